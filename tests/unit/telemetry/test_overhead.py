"""What the sampler costs is measured by each run, and said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.cli import show_telemetry
from dlbench.core.types import Absent, TelemetryLevel
from dlbench.telemetry import overhead
from tests import builders, sessions
from tests.energy.scripted import World
from tests.energy.traces import parse


@pytest.mark.parametrize("level", [None, TelemetryLevel.OFF])
def test_nothing_is_measured_where_telemetry_is_off(level: TelemetryLevel | None) -> None:
    """No sampler, no cost, no note."""
    assert overhead.measure(sessions.devices()[0], level) == {}


def test_the_null_pair_gives_all_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes around 0, less than a third of a core, and a start: how small depends on the machine."""
    monkeypatch.setattr(overhead, "BLOCK_S", overhead.BLOCK_S / 2)
    notes = overhead.measure(sessions.devices()[0], TelemetryLevel.BASIC)
    assert set(notes) == {
        "telemetry_start_s",
        "telemetry_start_cpu_s",
        "telemetry_overhead_median",
        "telemetry_overhead_p99",
        "telemetry_core_share",
    }
    share, start_s = notes["telemetry_core_share"], notes["telemetry_start_s"]
    assert isinstance(share, Absent | float)
    assert isinstance(share, Absent) or 0 < share < 1 / 3
    assert isinstance(start_s, float)
    assert 0 < start_s < overhead.READY_S


def test_a_change_is_relative_to_the_steps_alone() -> None:
    """A fifth more at the median; with too few steps there is no percentile."""
    alone = [1.0] * 200
    assert overhead._change({True: [1.2] * 200, False: alone}, 0.5) == pytest.approx(0.2)
    assert isinstance(overhead._change({True: [1.2] * 20, False: alone}, 0.99), Absent)


def test_the_cost_is_printed_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """In shares; nothing where nothing was measured."""
    notes: overhead.Notes = {
        "telemetry_core_share": 0.0081,
        "telemetry_overhead_median": 0.001,
        "telemetry_overhead_p99": -0.002,
    }
    result = builders.result(builders.case(), [0.01] * 3)
    show_telemetry.overhead(builders.run([result], notes=notes))
    assert "0.8% of a core; null steps +0.1% at the median, -0.2% at p99" in capsys.readouterr().out
    show_telemetry.overhead(builders.run([result]))
    assert capsys.readouterr().out == ""


def test_what_devices_did_is_a_table_of_what_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    """250 W and a quarter of a joule a sample; no column for what no case has."""
    world = World(
        trace=parse([["idle", "60000"], ["load", "constant", "250000"], ["period", "100"]])
    )
    record = world.measure(5.0, 3)
    trial = builders.trial(
        builders.case(),
        0,
        windows=record.windows,
        energy=record.values,
        readings=record.readings,
    )
    result = replace(builders.result(builders.case(), []), trials=(trial,))
    show_telemetry.devices(builders.run([result]))
    out = capsys.readouterr().out
    assert "J/sample" in out
    assert "0.250" in out
    assert "250" in out
    assert "MHz" not in out
    show_telemetry.devices(builders.run([builders.result(builders.case(), [0.01] * 3)]))
    assert capsys.readouterr().out == ""


def test_compared_documents_tell_their_energy_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Measured without a mark, estimated with one and its key, absent with the reason."""
    found = {}
    for window_s, n in ((5.0, 3), (2.0, 1)):
        world = World(
            trace=parse([["idle", "60000"], ["load", "constant", "250000"], ["period", "100"]])
        )
        record = world.measure(window_s, n)
        found[window_s] = builders.trial(
            builders.case(),
            0,
            windows=record.windows,
            energy=record.values,
            readings=record.readings,
        )
    base = builders.result(builders.case(), [])
    show_telemetry.energy(builders.run([replace(base, trials=(found[5.0],))]))
    measured = capsys.readouterr().out
    assert "0.250" in measured
    assert "~" not in measured
    show_telemetry.energy(builders.run([replace(base, trials=(found[2.0],))]))
    estimated = capsys.readouterr().out
    assert "~0.250" in estimated
    assert "~4.00" in estimated
    assert "~ estimated" in estimated
    show_telemetry.energy(builders.run([builders.result(builders.case(), [0.01] * 3)]))
    absent = capsys.readouterr().out
    assert "J/sample" not in absent
    assert "no energy meter on this device" in absent
