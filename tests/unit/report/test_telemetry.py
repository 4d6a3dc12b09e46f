"""Readings beside a trial's values: drawn on one axis, thinned without moving, absent with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.core.telemetry import HOST_ENERGY
from dlbench.core.types import Column, Trial, Value
from dlbench.report import telemetry
from tests import documents

METERED = next(r for r in documents.rich_run().results if r.case.framework == "pytorch").trials[0]
TRIAL = replace(METERED, energy=())


def test_what_was_read_is_drawn_and_what_was_not_is_not() -> None:
    """Power and heat; processors in use from their seconds: 0.5 s in each 0.25 s are two of them."""
    drawn = telemetry.charts(TRIAL, "a trial", telemetry.frame(TRIAL))
    assert "power, W, a trial: 15 readings between 90 and 104" in drawn
    assert "temperature, °C, a trial" in drawn
    assert "processors in use, a trial: 14 readings between 2 and 2" in drawn
    assert "clock" not in drawn


def test_the_hosts_meter_is_in_no_line_of_the_device() -> None:
    """Two counters of 100 W each, read together: the device's line is 100 W and not the sum."""
    joules = Column(quantity="energy_counter_j", values=tuple(50.0 * i for i in range(5)))
    times_us = tuple(500_000 * i for i in range(5))
    device = replace(TRIAL.tracks[0], source="nvml:nvidia:0", columns=(joules,), t_us=times_us)
    host = replace(device, source=f"{HOST_ENERGY}:package-0")
    both = replace(TRIAL, tracks=(device, host))
    drawn = telemetry.charts(both, "a trial", telemetry.frame(both))
    assert "power, W, a trial: 4 readings between 100 and 100" in drawn
    assert "host_rapl:package-0" in telemetry.table(both)


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
    assert telemetry.charts(silent, "a trial", telemetry.frame(silent)) == ""
    assert "absent" in telemetry.table(silent)


def test_the_frame_holds_values_and_energy_windows() -> None:
    """Warm-up is shaded up to the first steady value, the energy window where it was."""
    window = Value(start_s=8.0, duration_s=2.0, n_samples=100)
    frame = telemetry.frame(replace(TRIAL, energy=(window,)))
    assert frame.end_s == 10.0
    assert frame.x.high == pytest.approx(10.2)
    assert f'class="warm-up" x="0.0%" width="{frame.x.at(1.5)}%"' in frame.bands
    assert f'class="energy-window" x="{frame.x.at(8.0)}%"' in frame.bands
    assert "energy-window" not in telemetry.frame(TRIAL).bands
