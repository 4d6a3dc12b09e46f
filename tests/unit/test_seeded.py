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
