"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from dlbench.core import units
from dlbench.core.types import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1234.5, "1,234"),
        (0.00421, "0.00421"),
        (1e-4, "0.000100"),
        (0.0000134, "1.34e-5"),
        (9.996e-5, "1.00e-4"),
        (-2e-12, "-2.00e-12"),
    ],
)
def test_zeros_that_would_be_counted_are_an_exponent(value: float, text: str) -> None:
    """From a ten-thousandth down; above it all digits stand there."""
    assert units.few_zeros(value) == text


def test_digits_are_as_many_as_were_asked_for() -> None:
    """With an exponent too."""
    assert units.few_zeros(8.333e-6, 2) == "8.3e-6"
    assert units.few_zeros(0.042, 2) == "0.042"


def test_sentences_have_no_zeros_that_say_nothing() -> None:
    """Neither behind the point nor before an exponent; ends of a range may be unlimited."""
    given = (31.25, 13200.0, 1.0, 0.5, 1e-5, 1.25e-7, 0.0, float("inf"))
    told = ["31.2", "13,200", "1", "0.5", "1e-5", "1.25e-7", "0", "unlimited"]
    assert [units.compact(x) for x in given] == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (0.0, "0"),
        (12.3, "12.3"),
        (7.9664, "7.97"),
        (7.9604, "7.97"),
        (9.991, "10"),
        (12_345.2, "12,346"),
        (2_400.0000000000005, "2,400"),
        (0.004213, "0.00422"),
        (math.inf, "unlimited"),
    ],
)
def test_what_is_needed_is_never_told_as_less(given: float, told: str) -> None:
    """Three digits, rounded up."""
    assert units.at_least(given) == told


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1.0, 2, "1.00"),
        (0.104, 2, "0.10"),
        (0.0332, 2, "0.033"),
        (0.0033, 2, "0.0033"),
        (0.0332, 3, "0.033"),
        (0.00042, 3, "0.00042"),
        (1e-100, 2, "1.0e-100"),
    ],
)
def test_a_small_ratio_is_not_shown_as_none(value: float, decimals: int, text: str) -> None:
    """Processors against GPUs: 0.0033 was 0.00, and so were the ends of its interval."""
    assert units.ratio(value, decimals) == text
    shown = units.bracketed(Interval(low=value, high=2.0, level=0.95), decimals)
    assert shown == f" [{text}, {2:.{decimals}f}]"


def test_one_thing_is_singular() -> None:
    """Any other number is plural, with commas."""
    assert units.counted(1, "CPU thread") == "1 CPU thread"
    assert units.counted(0, "case") == "0 cases"
    assert units.counted(1280, "case") == "1,280 cases"
