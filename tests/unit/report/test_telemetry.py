"""Readings beside a trial's values: drawn on one axis, thinned without moving, absent with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.core.types import Column, Trial
from dlbench.report import telemetry
from tests import documents

TRIAL = next(r for r in documents.rich_run().results if r.case.framework == "pytorch").trials[0]


def test_what_was_read_is_drawn_and_what_was_not_is_not() -> None:
    """Power and heat; processors in use from their seconds: 0.5 s in each 0.25 s are two of them."""
    drawn = telemetry.charts(TRIAL, "a trial", 0.0, 1.0)
    assert "power, W, a trial: 15 readings between 90 and 104" in drawn
    assert "temperature, °C, a trial" in drawn
    assert "processors in use, a trial: 14 readings between 2 and 2" in drawn
    assert "clock" not in drawn


def test_the_table_says_why_a_quantity_is_absent() -> None:
    """Beside the others with their bounds."""
    table = telemetry.table(TRIAL)
    assert "this device does not tell its clock" in table
    assert ">90<" in table.replace("\n", "")
    assert telemetry.table(replace(TRIAL, tracks=())) == ""


def test_thinning_keeps_the_mean_and_the_span() -> None:
    """Neighbours become their mean; few points stay as they are."""
    points = [(float(i), float(i % 7)) for i in range(1000)]
    few = telemetry.thinned(points, 100)
    assert len(few) == 100
    assert sum(v for _, v in few) / 100 == pytest.approx(sum(v for _, v in points) / 1000)
    assert few[0][0] < 10
    assert few[-1][0] > 989
    assert telemetry.thinned(points[:50], 100) == points[:50]


def _silent(trial: Trial) -> Trial:
    track = replace(
        trial.tracks[0], columns=(Column(quantity="power_w", values=(None,)),), t_us=(0,)
    )
    return replace(trial, tracks=(track,))


def test_a_sensor_that_never_answered_is_no_line_at_zero() -> None:
    """Nothing is drawn, and the table says absent."""
    silent = _silent(TRIAL)
    assert telemetry.charts(silent, "a trial", 0.0, 1.0) == ""
    assert "absent" in telemetry.table(silent)
