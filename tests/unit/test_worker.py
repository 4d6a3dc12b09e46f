"""The worker's own rules; its process is tested through real sessions in tests/faults."""

from __future__ import annotations

import pytest

from dlbench import worker
from dlbench.core import tracks
from dlbench.core.types import Absent, Policy, Reading
from tests import builders

GONE = Absent(reason="GPU is lost")


def _readings(*values: float | Absent, quantity: str = "power_w") -> list[Reading]:
    return [
        Reading(t_s=float(i), source="meter", quantity=quantity, value=v)
        for i, v in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("readings", "lost"),
    [
        (_readings(1.0, 2.0), False),
        (_readings(1.0, GONE), True),
        (_readings(GONE, GONE), False),
        (_readings(GONE, 1.0), False),
        (_readings(1.0, 2.0) + _readings(GONE, GONE, quantity="energy_counter_j"), False),
        ([], False),
    ],
)
def test_telemetry_is_lost_when_it_was_there_before(readings: list[Reading], lost: bool) -> None:
    """A card without a sensor has not lost it."""
    assert tracks.telemetry_lost(readings) is lost


def test_where_a_compiler_may_have_failed_the_way_without_it_is_told() -> None:
    """Its errors are of every kind; in base there is none to turn off."""
    assert worker._without_compiler(builders.case()) == ""
    told = worker._without_compiler(builders.case(policy=Policy.TUNED))
    assert told == " --policy base compiles nothing."
