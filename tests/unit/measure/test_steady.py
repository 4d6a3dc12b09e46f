"""The rule that ends warm-up."""

from __future__ import annotations

import pytest

from dlbench.measure.steady import is_steady


@pytest.mark.parametrize(
    ("durations_s", "expected"),
    [
        ([1.0] * 9, False),
        ([1.0] * 10, True),
        ([1.0] * 5 + [0.97] * 5, False),
        ([1.0] * 5 + [0.985] * 5, True),
        ([5.0] * 20 + [1.0] * 10, True),
        ([1.0] * 9 + [50.0], True),
    ],
)
def test_two_windows_of_five_within_two_percent(durations_s: list[float], expected: bool) -> None:
    """Ten values are needed; one outlier does not matter, a trend does."""
    assert is_steady(durations_s) is expected
