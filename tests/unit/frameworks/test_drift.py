"""How far int8 moves outputs: a share of their spread, or the reason why there is none."""

from __future__ import annotations

import numpy as np
import pytest

from dlbench.core.types import Absent
from dlbench.frameworks.onnxruntime import rms_drift

EXACT = np.array([0.0, 2.0, 4.0, 6.0])


def test_drift_is_the_root_mean_square_over_the_spread() -> None:
    """Each output is one too large; the exact ones have a spread of the square root of five."""
    assert rms_drift(EXACT, EXACT + 1.0) == pytest.approx(5.0**-0.5)


@pytest.mark.parametrize("spoiled", [np.nan, np.inf])
def test_an_int8_output_that_is_no_number_has_no_drift(spoiled: float) -> None:
    """NaN would be no fact, and no document could hold it."""
    found = rms_drift(EXACT, np.array([0.0, 2.0, 4.0, spoiled]))
    assert found == Absent(reason="an int8 output is no finite number")
