"""How far int8 moves outputs: a share of their spread, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from dlbench.core.types import Absent
from dlbench.frameworks import _seeded
from dlbench.frameworks.onnxruntime import answers, rms_drift, unseen
from tests.subjects import request_for

EXACT = np.array([0.0, 2.0, 4.0, 6.0])


def test_drift_is_the_root_mean_square_over_the_spread() -> None:
    """Each output is one too large; the exact ones have a spread of the square root of five."""
    assert rms_drift(EXACT, EXACT + 1.0) == pytest.approx(5.0**-0.5)


def test_drift_is_of_samples_that_did_not_calibrate() -> None:
    """As many; of those that did, bert_base's was a fifth of what it is of others."""
    spec = request_for("fake", "bert_base").spec
    known = {
        sample.tobytes()
        for i in range(_seeded.N_BUFFERS)
        for sample in _seeded.batch(spec, "inputs", i, 3)[0]
    }
    others = [sample.tobytes() for batch in unseen(spec, 3) for sample in batch[0]]
    assert len(set(others) - known) == len(known) == 3 * _seeded.N_BUFFERS


def test_answers_are_those_of_all_batches_in_order() -> None:
    """Copied: a library may write the next ones over them."""
    place = np.zeros(2)

    def run(arrays: Sequence[float]) -> np.ndarray[Any, Any]:
        place[:] = arrays
        return place

    assert answers(run, [(1.0, 2.0), (3.0, 4.0)]).tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("spoiled", [np.nan, np.inf])
def test_an_int8_output_that_is_no_number_has_no_drift(spoiled: float) -> None:
    """NaN would be no fact, and no document could hold it."""
    found = rms_drift(EXACT, np.array([0.0, 2.0, 4.0, spoiled]))
    assert found == Absent(reason="an int8 output is no finite number")
