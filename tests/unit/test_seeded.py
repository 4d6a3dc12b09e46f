"""Inputs drawn side by side are those drawn one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from dlbench.frameworks import _seeded

SPEC = {
    "name": "some",
    "seed": 7,
    "distinct_samples": None,
    "inputs": {
        "x": {"shape": [3, 5, 4], "dtype": "float32", "std": 2.0},
        "tokens": {"shape": [6], "dtype": "int64", "below": 50},
    },
}


def test_threads_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and tokens, with more samples than are distinct."""
    alone = _seeded.batch(SPEC, "inputs", 1, 80)
    monkeypatch.setattr(_seeded, "WORTH_THREADS", 1)
    together = _seeded.batch(SPEC, "inputs", 1, 80)
    assert [x.shape for x in alone] == [(80, 3, 5, 4), (80, 6)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one[64:], one[:16])
    assert len(np.unique(alone[0][:64])) == 64 * 60


def test_many_small_samples_come_of_one_stream_and_depend_on_no_batch_size() -> None:
    """Scalars and vectors that differ as often as the workload says; images keep a level a channel."""
    inputs = {
        "user": {"shape": [], "dtype": "int64", "below": 10**9},
        "dense": {"shape": [13], "dtype": "float32", "std": 2.0},
        "image": {"shape": [3, 2, 2], "dtype": "float32", "std": 1.0},
    }
    spec = {"name": "some", "seed": 7, "distinct_samples": 5000, "inputs": inputs}
    large = _seeded.batch(spec, "inputs", 2, 6000)
    for one, other in zip(large, _seeded.batch(spec, "inputs", 2, 3), strict=True):
        np.testing.assert_array_equal(one[:3], other)
        np.testing.assert_array_equal(one[5000:], one[:1000])
    user, dense, _ = large
    assert user.dtype == np.int64
    assert len(np.unique(user[:5000])) == 5000
    assert len(np.unique(dense[:5000])) > 0.99 * 5000 * 13
    assert dense.std() == pytest.approx(2.0, rel=0.02)
    alone = _seeded.batch({**spec, "distinct_samples": None}, "inputs", 2, 3)
    np.testing.assert_array_equal(large[2][:3], alone[2])
