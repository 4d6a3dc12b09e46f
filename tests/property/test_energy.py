"""Joules against closed forms: all loads, counter periods, windows and phases, on a virtual clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dlbench.core import energy, trial_energy
from dlbench.core.energy import Sensor, WindowEnergy
from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, Reading
from dlbench.measure.energy import EnergyRecord
from tests.energy.scripted import SOURCE, World
from tests.energy.traces import FOLDER, Trace, parse, read

LOADS = {
    "constant": "constant 250000",
    "ramp": "ramp 100000 300000 3000",
    "sine": "sine 200000 80000 700",
    "square": "square 100000 300000 500",
    "bursts": "bursts 80000 350000 1000 150",
    "walk": "walk 7 100000 400000 50",
}
IDLE_MW = 60_000
PERIODS_MS = (0, 20, 100, 1000)
WINDOWS_S = (0.25, 1.0, 5.0, 60.0)

phases = st.floats(0, 0.999)
loads = st.one_of(
    st.builds("constant {}".format, st.integers(70_000, 700_000)),
    st.builds(
        "ramp {} {} {}".format,
        st.integers(70_000, 300_000),
        st.integers(70_000, 700_000),
        st.integers(100, 20_000),
    ),
    st.builds(
        "sine {} {} {}".format,
        st.integers(200_000, 500_000),
        st.integers(0, 120_000),
        st.integers(50, 5000),
    ),
    st.builds(
        "square {} {} {}".format,
        st.integers(70_000, 300_000),
        st.integers(70_000, 700_000),
        st.integers(50, 5000),
    ),
    st.builds(
        "walk {} {} {} {}".format,
        st.integers(1, 10**6),
        st.integers(70_000, 150_000),
        st.integers(200_000, 700_000),
        st.integers(10, 500),
    ),
)


def _trace(
    load: str, period_ms: float = 100.0, phase: float = 0.0, average_s: float = 0.0
) -> Trace:
    trace = parse([["idle", str(IDLE_MW)], ["load", *load.split()], ["period", str(period_ms)]])
    return replace(trace, phase_s=phase * max(period_ms, 1) / 1e3, average_s=average_s)


def _energy(world: World, record: EnergyRecord, **sensor: float) -> trial_energy.TrialEnergy:
    found = trial_energy.evaluate(
        record.readings,
        record.windows,
        record.values,
        {"sensor": world.power},
        Sensor(**sensor),
    )
    assert not isinstance(found, Absent), found
    return found


def _integral(world: World, record: EnergyRecord, **sensor: float) -> trial_energy.TrialEnergy:
    """As above with no counter to read."""
    return _energy(world, replace(record, readings=()), **sensor)


# --- goal 1: with a counter -----------------------------------------------------------------


@pytest.mark.parametrize("window_s", WINDOWS_S)
@pytest.mark.parametrize("period_ms", PERIODS_MS)
@pytest.mark.parametrize("load", LOADS)
def test_the_counter_path_is_right_at_every_phase(
    load: str, period_ms: float, window_s: float
) -> None:
    """Within 1 % for a second or more, 3 % for a quarter, and within its own uncertainty."""
    for phase in (0.0, 0.13, 0.5, 0.97):
        world = World(trace=_trace(LOADS[load], period_ms, phase))
        found = _energy(world, world.measure(window_s))
        (window,), (true_j,) = found.windows, world.truth_j
        assert found.method == "counter"
        assert window.gross_j == pytest.approx(true_j, rel=0.01 if window_s >= 1 else 0.03)
        assert abs(window.gross_j - true_j) <= window.uncertainty_j
        net_j = true_j - IDLE_MW / 1e3 * window.duration_s
        assert abs(window.net_j - net_j) <= window.net_uncertainty_j


@settings(max_examples=60, deadline=None)
@given(
    load=loads,
    period_ms=st.sampled_from(PERIODS_MS),
    phase=phases,
    window_s=st.floats(0.25, 20),
    read_us=st.floats(5, 8000),
)
def test_any_load_any_phase_any_slowness_of_the_driver(
    load: str, period_ms: float, phase: float, window_s: float, read_us: float
) -> None:
    """Reads may take milliseconds; the uncertainty says so, and covers the truth."""
    world = World(trace=_trace(load, period_ms, phase), read_s=read_us / 1e6)
    found = _energy(world, world.measure(window_s, n_windows=2))
    for window, true_j in zip(found.windows, world.truth_j, strict=True):
        assert abs(window.gross_j - true_j) <= window.uncertainty_j
        assert window.gross_j > 0


@settings(max_examples=30, deadline=None)
@given(phase=phases, period_ms=st.sampled_from((20, 50, 100, 1000)))
def test_the_period_is_discovered_while_idle(phase: float, period_ms: float) -> None:
    """To within a poll, at every phase."""
    world = World(trace=_trace(LOADS["constant"], period_ms, phase))
    record = world.measure(1.0)
    rest = record.windows[0]
    points = [
        (r.t_s, r.value)
        for r in record.readings
        if not isinstance(r.value, Absent) and rest.start_s <= r.t_s <= rest.end_s
    ]
    found = energy.idle(points)
    assert not isinstance(found, Absent)
    assert found.period_s == pytest.approx(period_ms / 1e3, abs=2e-3)
    assert abs(found.power_w - IDLE_MW / 1e3) <= found.uncertainty_w


@dataclass(slots=True, kw_only=True)
class HeldUp(World):
    """Before one of its reads nothing runs for a second; device and counter go on."""

    held_at: int

    def read(self) -> Sequence[Reading]:
        """The counter, after whatever was in the way."""
        if self.n_reads + 1 == self.held_at:
            self.sleep(HELD_S)
        return World.read(self)


HELD_S = 1.0
"""Longer than any patience with a counter that ticks each 100 ms."""


def test_a_machine_that_holds_the_polling_up_costs_no_energy() -> None:
    """Wherever it does: a move between two late reads is no tick, and the next one is awaited."""
    world = World(trace=_trace(LOADS["constant"]))
    world.measure(1.0, n_windows=2, idle_s=0.4)
    for held_at in range(2, world.n_reads + 1, 7):
        held = HeldUp(trace=_trace(LOADS["constant"]), held_at=held_at)
        found = _energy(held, held.measure(1.0, n_windows=2, idle_s=0.4))
        assert found.method == "counter"
        for window, true_j in zip(found.windows, held.truth_j, strict=True):
            assert abs(window.gross_j - true_j) <= window.uncertainty_j
            assert window.gross_j == pytest.approx(true_j, rel=0.01)


def test_a_counter_that_is_always_late_is_not_awaited_for_ever() -> None:
    """Each read takes longer than bounds a tick: five of them are enough, and the reason is said."""
    world = World(trace=_trace(LOADS["constant"]), read_s=0.06)
    record = world.measure(1.0, idle_s=0.4)
    assert world.now_s < 10.0
    found = trial_energy.evaluate(record.readings, record.windows, record.values, {}, Sensor())
    assert isinstance(found, Absent)
    assert found.code == Reason.COUNTER_FROZEN


def test_work_begins_right_after_a_tick() -> None:
    """So that little has to be subtracted."""
    world = World(trace=_trace(LOADS["walk"], 100, 0.4))
    record = world.measure(1.0, n_windows=3)
    for value in record.values:
        phase_s = (value.start_s + 0.04) % 0.1
        assert phase_s < 3e-3


@settings(max_examples=40, deadline=None)
@given(load=loads, phase=phases, first_s=st.floats(0.3, 5), second_s=st.floats(0.3, 5))
def test_adjacent_windows_add_up(load: str, phase: float, first_s: float, second_s: float) -> None:
    """Energy of the parts is the energy of the whole, to within the parts' uncertainties."""
    trace = _trace(load, 100, phase)
    points = [(i * 1e-3, trace.counter_j(i * 1e-3)) for i in range(900)]
    at_rest = energy.idle(points)
    assert not isinstance(at_rest, Absent)

    def between(start_s: float, end_s: float) -> WindowEnergy:
        own = replace(trace, spans=[[start_s, end_s]])
        edges = [start_s - 0.2 + i * 1e-3 for i in range(200)]
        edges += [end_s + i * 1e-3 for i in range(200)]
        seen = [(t_s, own.counter_j(t_s)) for t_s in edges]
        found = energy.counter_energy(seen, (start_s, end_s), (0.0, math.inf), at_rest)
        assert not isinstance(found, Absent)
        return found

    whole = between(1.0, 1.0 + first_s + second_s)
    # The parts see the same load: the second one's begins where the first's ended.
    true_first_j = trace.load_j(first_s)
    first = between(1.0, 1.0 + first_s)
    assert abs(first.gross_j - true_first_j) <= first.uncertainty_j
    rest_j = trace.load_j(first_s + second_s) - true_first_j
    assert abs(whole.gross_j - first.gross_j - rest_j) <= whole.uncertainty_j + first.uncertainty_j


@settings(max_examples=30, deadline=None)
@given(phase=phases, factor=st.integers(2, 9), window_s=st.floats(0.5, 10))
def test_energy_scales_with_power(phase: float, factor: int, window_s: float) -> None:
    """A device that draws n times as much is said to use n times as much."""
    plain = World(trace=_trace("square 40000 60000 500", 100, phase))
    scaled = World(trace=_trace(f"square {40000 * factor} {60000 * factor} 500", 100, phase))
    scaled.trace.idle_w = plain.trace.idle_w = 20.0
    scaled.trace.idle_w *= factor
    (a,) = _energy(plain, plain.measure(window_s)).windows
    (b,) = _energy(scaled, scaled.measure(window_s)).windows
    assert b.gross_j == pytest.approx(factor * a.gross_j, rel=1e-3)
    assert b.net_j == pytest.approx(factor * a.net_j, rel=1e-3, abs=0.1)


# --- goal 2: without one ----------------------------------------------------------------------


@pytest.mark.parametrize("average_s", [0.0, 1.0])
@pytest.mark.parametrize("load", ["constant", "ramp", "square", "walk"])
def test_the_integral_is_right_without_a_counter(load: str, average_s: float) -> None:
    """Within 1 % for 5 s or more of an instant sensor, 10 s of one that averages over a second."""
    for seed in range(12):
        window_s = (10.0 if average_s else 5.0) + 0.37 * seed
        trace = _trace(LOADS[load], average_s=average_s)
        world = World(trace=trace, sample_every_s=0.02, seed=97 * seed)
        record = world.measure(window_s)
        world.sleep(1.5)
        found = _integral(world, record, averaging_s=average_s)
        assert found.method == "integral"
        assert found.windows[0].gross_j == pytest.approx(world.truth_j[0], rel=0.01)


def test_a_device_without_a_counter_idles_and_is_integrated() -> None:
    """Nothing to poll: the device is left idle all the same, or there would be no idle power."""
    unsupported = Absent(reason="Not Supported", code=Reason.NOT_SUPPORTED)
    world = World(trace=_trace(LOADS["ramp"]), sample_every_s=0.02, fails={1: unsupported})
    record = world.measure(10.0, n_windows=2, idle_s=0.5)
    world.sleep(1.5)
    rest = record.windows[0]
    assert rest.end_s - rest.start_s == pytest.approx(0.5, abs=0.01)
    found = _energy(world, record)
    assert found.method == "integral"
    for window, true_j in zip(found.windows, world.truth_j, strict=True):
        assert window.gross_j == pytest.approx(true_j, rel=0.01)


def test_a_window_too_short_for_an_integral_is_absent() -> None:
    """Never a guess: what it would take is said."""
    for window_s, averaging_s in ((4.0, 0.0), (9.0, 1.0)):
        world = World(trace=_trace(LOADS["square"], average_s=averaging_s))
        record = world.measure(window_s)
        found = trial_energy.evaluate(
            (), record.windows, record.values, {"s": world.power}, Sensor(averaging_s=averaging_s)
        )
        assert isinstance(found, Absent)
        assert found.code == Reason.WINDOW_TOO_SHORT
        assert found.remedy == "--profile standard"


def test_a_hole_in_the_readings_is_low_coverage_and_no_number() -> None:
    """A sensor that was silent for a fifth of the window could have missed anything."""
    world = World(trace=_trace(LOADS["square"]), sample_every_s=0.02)
    record = world.measure(6.0)
    hole_s = record.values[0].start_s + 1.0
    power = [(t_s, w) for t_s, w in world.power if not hole_s < t_s < hole_s + 1.2]
    found = trial_energy.evaluate((), record.windows, record.values, {"s": power}, Sensor())
    assert isinstance(found, Absent)
    assert found.code == Reason.LOW_COVERAGE
    assert "%" in found.reason


@settings(max_examples=60, deadline=None)
@given(
    times_s=st.lists(st.floats(0, 10), min_size=2, max_size=40, unique=True).map(sorted),
    start_s=st.floats(0, 5),
    span_s=st.floats(0.1, 5),
)
def test_coverage_is_a_share(times_s: list[float], start_s: float, span_s: float) -> None:
    """Between 0 and 1, whatever the readings; more of them never cover less of a fixed reach."""
    share = energy.coverage(times_s, start_s, start_s + span_s)
    assert 0 <= share <= 1 + 1e-9


@settings(max_examples=40, deadline=None)
@given(cut_s=st.floats(1, 9), load=loads)
def test_integrals_of_adjacent_spans_add_up(cut_s: float, load: str) -> None:
    """Where a reading lies on the cut."""
    trace = _trace(load)
    points = [(i / 10, trace.load_w(i / 10)) for i in range(101)]
    cut_s = round(cut_s, 1)
    left = [p for p in points if p[0] <= cut_s]
    right = [p for p in points if p[0] >= cut_s]
    assume(left[-1][0] == right[0][0])
    cut_s = right[0][0]
    parts_j = energy.integral(left, 0.0, cut_s) + energy.integral(right, cut_s, 10.0)
    assert parts_j == pytest.approx(energy.integral(points, 0.0, 10.0), rel=1e-9)


# --- counter and integral together ------------------------------------------------------------


@pytest.mark.parametrize("load", ["constant", "ramp", "sine", "walk"])
def test_counter_and_integral_of_an_honest_device_agree(load: str) -> None:
    """Nothing is suspect about it."""
    world = World(trace=_trace(LOADS[load]))
    record = world.measure(10.0)
    world.sleep(1.5)
    found = _energy(world, record)
    assert not isinstance(found.disagreement, Absent)
    assert found.disagreement < energy.SUSPECT_DISAGREEMENT
    assert not found.suspect
    assert found.reportable


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 2.0])
def test_a_sensor_that_contradicts_the_counter_is_suspect(factor: float) -> None:
    """By more than 5 %, either way; a stuck sensor is one of these."""
    world = World(trace=_trace(LOADS["constant"]))
    record = world.measure(10.0)
    world.power = [(t_s, w * factor) for t_s, w in world.power]
    found = _energy(world, record)
    assert found.suspect
    assert found.windows[0].gross_j == pytest.approx(world.truth_j[0], rel=0.01)


def test_short_windows_are_not_reportable() -> None:
    """Fifty periods of the counter and five seconds, or the number is an estimate."""
    for window_s, period_ms, expected in ((1.0, 100, False), (5.0, 100, True), (6.0, 1000, False)):
        world = World(trace=_trace(LOADS["constant"], period_ms))
        assert _energy(world, world.measure(window_s)).reportable is expected


# --- goal 6 -----------------------------------------------------------------------------------


def test_the_stated_uncertainty_covers_the_truth() -> None:
    """On at least 95 of 100 random traces, the sensor's own error left out on both sides."""
    import random

    random.seed(20260101)
    covered = {"counter": 0, "integral": 0}
    n_traces = 150
    for seed in range(n_traces):
        load = f"walk {seed + 1} {random.randint(70, 150)}000 {random.randint(200, 600)}000 " + str(
            random.randint(20, 400)
        )
        world = World(
            trace=_trace(load, random.choice(PERIODS_MS), random.random()),
            sample_every_s=0.02,
            seed=seed,
        )
        record = world.measure(random.uniform(5, 8))
        world.sleep(1.5)
        for found in (_energy(world, record), _integral(world, record)):
            error_j = abs(found.windows[0].gross_j - world.truth_j[0])
            covered[found.method] += error_j <= found.windows[0].uncertainty_j
    assert covered["counter"] >= 0.95 * n_traces
    assert covered["integral"] >= 0.95 * n_traces


# --- the trace files --------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.trace")), ids=lambda p: p.stem)
def test_a_traces_energy_is_the_integral_of_its_power(path: object) -> None:
    """The closed form, against ten thousand rectangles."""
    from pathlib import Path

    assert isinstance(path, Path)
    trace = read(path)
    n, span_s = 20_000, 3.7
    summed_j = math.fsum(trace.load_w((i + 0.5) * span_s / n) for i in range(n)) * span_s / n
    assert trace.load_j(span_s) == pytest.approx(summed_j, rel=2e-4)


# --- faults of a counter ----------------------------------------------------------------------

GONE = Absent(reason="GPU is lost", code=Reason.DEVICE_LOST)


@pytest.mark.parametrize("lost_at", [1, 2, 5, 40, 900, 1010, 1100, 1200])
def test_a_counter_lost_at_any_moment_is_absent_with_its_reason(lost_at: int) -> None:
    """At the start, while idle, at either edge: never a partial number, never the integral instead."""
    world = World(trace=_trace(LOADS["constant"], 20), fails={lost_at: GONE})
    record = world.measure(1.0)
    found = trial_energy.evaluate(record.readings, record.windows, record.values, {}, Sensor())
    if lost_at <= world.n_reads:
        assert found == GONE
    else:
        assert not isinstance(found, Absent)


def test_a_frozen_counter_is_absent() -> None:
    """It answers, and never moves."""
    world = World(trace=_trace(LOADS["constant"], period_ms=10**9))
    record = world.measure(5.0)
    found = trial_energy.evaluate(record.readings, record.windows, record.values, {}, Sensor())
    assert isinstance(found, Absent)
    assert found.code == Reason.COUNTER_FROZEN


def test_a_counter_that_freezes_under_load_is_absent() -> None:
    """The tick after the window never comes."""
    world = World(trace=_trace(LOADS["constant"], 100))
    record = world.measure(5.0)
    cut_s = record.values[0].start_s
    kept = tuple(r for r in record.readings if r.t_s <= cut_s)
    found = trial_energy.evaluate(kept, record.windows, record.values, {}, Sensor())
    assert isinstance(found, Absent)
    assert found.code == Reason.COUNTER_FROZEN
    assert "after the window" in found.reason


@pytest.mark.parametrize("watts", [0.0, -5.0, 1e6])
def test_power_that_no_device_draws_is_the_sensors_fault_and_no_counters(watts: float) -> None:
    """Without a counter nothing is said of one."""
    points = [(t / 10, watts) for t in range(200)]
    at_rest = energy.Idle(power_w=10.0, uncertainty_w=0.1, period_s=0.0)
    found = energy.integral_energy(points, (5.0, 15.0), Sensor(), at_rest)
    assert isinstance(found, Absent)
    assert found.code == Reason.POWER_IMPLAUSIBLE
    assert "counter" not in found.reason


def test_a_counter_that_jumps_is_implausible() -> None:
    """A million joules in a second is a broken counter."""
    world = World(trace=_trace(LOADS["constant"], 100))
    record = world.measure(1.0)
    after_s = record.values[0].start_s + 0.5
    readings = tuple(
        replace(r, value=r.value + 1e6)
        if r.t_s > after_s and not isinstance(r.value, Absent)
        else r
        for r in record.readings
    )
    found = trial_energy.evaluate(readings, record.windows, record.values, {}, Sensor())
    assert isinstance(found, Absent)
    assert found.code == Reason.COUNTER_IMPLAUSIBLE


def test_no_meter_and_no_window_are_reasons() -> None:
    """A device without a sensor; a profile without an energy window."""
    world = World(trace=_trace(LOADS["constant"]))
    record = world.measure(1.0)
    nothing = trial_energy.evaluate((), record.windows, record.values, {}, Sensor())
    assert isinstance(nothing, Absent)
    assert nothing.code == Reason.NO_SENSOR
    no_window = trial_energy.evaluate(record.readings, (), (), {}, Sensor())
    assert isinstance(no_window, Absent)
    assert no_window.code == Reason.NO_ENERGY_WINDOW


def test_only_reads_that_bound_ticks_are_kept() -> None:
    """A document must not hold a thousand polls a second."""
    world = World(trace=_trace(LOADS["constant"], 0))
    record = world.measure(5.0, n_windows=3)
    assert world.n_reads > 900
    assert len(record.readings) < 60
    assert {r.source for r in record.readings} == {SOURCE}
