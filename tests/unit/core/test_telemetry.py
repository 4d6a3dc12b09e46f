"""What a trial's readings say: energy metrics, power, throttling and neighbours, and every reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dlbench.core import energy, metrics, telemetry, tracks
from dlbench.core.reasons import Reason
from dlbench.core.types import (
    Absent,
    CaseResult,
    Column,
    Estimated,
    Measured,
    Metric,
    TelemetryLevel,
    Track,
    Trial,
    Value,
    Window,
)
from tests import builders
from tests.energy.scripted import World
from tests.energy.traces import parse

KILLED = Absent(reason="the sampler was ended before the work was", code=Reason.SAMPLER_KILLED)


T_OF_TWO = 7.6488
"""Student's t of two degrees of freedom at 1 - 0.05 / 3, two-sided: three looks were paid for."""


def _world(load: str = "constant 250000", period_ms: int = 100) -> World:
    return World(
        trace=parse([["idle", "60000"], ["load", *load.split()], ["period", str(period_ms)]])
    )


def _track(points: Sequence[tuple[float, float | None]], quantity: str, **more: Any) -> Track:
    column = Column(quantity=quantity, values=tuple(v for _, v in points), **more)
    start_s = points[0][0]
    return Track(
        source="nvml:nvidia:0",
        start_s=start_s,
        t_us=tuple(round((t - start_s) * 1e6) for t, _ in points),
        columns=(column,),
    )


def _trial(world: World, window_s: float = 5.0, n_windows: int = 3, **changes: Any) -> Trial:
    record = world.measure(window_s, n_windows)
    world.sleep(1.5)
    base: dict[str, Any] = {
        "windows": record.windows,
        "energy": record.values,
        "readings": record.readings,
        "tracks": (_track(world.power, "power_w"),),
    }
    return builders.trial(builders.case(), 0, **{**base, **changes})


def _compute(name: str, *trials: Trial, **changes: Any) -> Metric:
    result = CaseResult(case=builders.case(), trials=trials, stop_reason="x")
    return metrics.compute(name, result, builders.run([result], **changes))


def _steady(*series: tuple[str, Sequence[tuple[float, float | None]]], **changes: Any) -> Trial:
    """A trial of a steady window from 10 to 20 s, with one track for each quantity."""
    base: dict[str, Any] = {
        "windows": (Window(name="steady", start_s=10.0, end_s=20.0),),
        "tracks": tuple(_track(points, name) for name, points in series),
    }
    return builders.trial(builders.case(), 0, **{**base, **changes})


def _tenths(value: float, start_s: float = 5.0, end_s: float = 25.0) -> list[tuple[float, float]]:
    return [(i / 10, value) for i in range(round(start_s * 10), round(end_s * 10))]


# --- energy -----------------------------------------------------------------------------------


def test_energy_of_long_windows_is_measured_and_right() -> None:
    """250 W and a thousand samples a second: a quarter of a joule each, of which 190 mJ are net."""
    trial = _trial(_world())
    gross = _compute("energy_j_per_sample", trial)
    assert isinstance(gross, Measured)
    assert gross.value == pytest.approx(0.250, rel=1e-3)
    assert gross.interval is not None
    assert gross.interval.low < 0.250 < gross.interval.high
    net = _compute("net_energy_j_per_sample", trial)
    assert isinstance(net, Measured)
    assert net.value == pytest.approx(0.190, rel=1e-3)
    per_j = _compute("samples_per_j", trial)
    assert isinstance(per_j, Measured)
    assert per_j.value == pytest.approx(4.0, rel=1e-3)
    mean_w = _compute("mean_power_w", trial)
    assert isinstance(mean_w, Measured)
    assert mean_w.value == pytest.approx(250.0, rel=1e-3)


def test_energy_of_short_windows_is_estimated_with_the_way_out() -> None:
    """Two seconds are right to a percent and still too short to be reported as measured."""
    value = _compute("energy_j_per_sample", _trial(_world(), 2.0, 1))
    assert isinstance(value, Estimated)
    assert value.value == pytest.approx(0.250, rel=1e-2)
    assert "--profile standard" in value.method


def test_the_sensors_own_error_is_in_the_interval() -> None:
    """What a sensor that is 13 % high and 8 % low at worst says of 0.25 J is so wide."""
    gpu = replace(builders.CPU, kind="nvidia", facts={"architecture": "hopper"})
    surroundings = replace(builders.ENVIRONMENT, devices=(gpu,))
    value = _compute("energy_j_per_sample", _trial(_world()), environment=surroundings)
    assert isinstance(value, Measured)
    assert value.interval is not None
    assert value.interval.low == pytest.approx(0.250 / 1.13, rel=5e-3)
    assert value.interval.high == pytest.approx(0.250 / 0.92, rel=5e-3)
    assert "2312.02741" in value.source


@pytest.mark.parametrize(
    ("name", "most", "source"),
    [
        ("13th Gen Intel(R) Core(TM) i9-13900K", 0.05, "RAPL in Action"),
        ("AMD EPYC 9654 96-Core Processor", 0.2, "assumed"),
        ("CPU", 0.2, "assumed"),
    ],
)
def test_a_study_of_intels_processors_speaks_of_intels(name: str, most: float, source: str) -> None:
    """Of AMD's no error is published: a wider one is assumed, and said to be."""
    cpu = replace(builders.CPU, kind="cpu", name=name)
    surroundings = replace(builders.ENVIRONMENT, devices=(cpu,))
    value = _compute("energy_j_per_sample", _trial(_world()), environment=surroundings)
    assert isinstance(value, Measured)
    assert value.interval is not None
    expected = [0.250 / (1 + most), 0.250 / (1 - most)]
    assert [value.interval.low, value.interval.high] == pytest.approx(expected, rel=5e-3)
    assert source in value.source


def test_energy_over_trials_is_as_uncertain_as_trials_differ() -> None:
    """240, 250 and 260 W in three processes: Student's interval at 98.3 %, not their extremes."""
    trials = [_trial(_world(f"constant {mw}"), 5.0, 1) for mw in (240_000, 250_000, 260_000)]
    value = _compute("energy_j_per_sample", *trials)
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(0.25, rel=1e-3)
    assert value.interval is not None
    half_j = T_OF_TWO * 0.01 / math.sqrt(3)
    ends = value.interval.low, value.interval.high
    assert ends == pytest.approx((0.25 - half_j, 0.25 + half_j), abs=1e-3)
    assert "within" not in value.source
    per_j = _compute("samples_per_j", *trials)
    assert isinstance(per_j, Measured)
    assert per_j.interval is not None
    assert (per_j.interval.low, per_j.interval.high) == pytest.approx((1 / ends[1], 1 / ends[0]))


def test_two_processes_do_not_say_how_processes_differ() -> None:
    """Their energy is bounded by what both drew, and the source says that it is theirs alone."""
    low, high = (_trial(_world(f"constant {mw}"), 5.0, 1) for mw in (240_000, 260_000))
    both = _compute("energy_j_per_sample", low, high)
    assert isinstance(both, Measured)
    assert both.interval is not None
    assert both.interval.low == pytest.approx(0.24, rel=1e-3)
    assert both.interval.high == pytest.approx(0.26, rel=1e-3)
    assert both.source.endswith("interval within these processes")
    one = _compute("energy_j_per_sample", low)
    assert isinstance(one, Measured)
    assert one.source.endswith("interval within one process")


def test_one_trial_without_energy_makes_the_metric_absent() -> None:
    """The others' numbers do not stand for it."""
    lost = Absent(reason="GPU is lost", code=Reason.DEVICE_LOST)
    world = _world()
    world.fails[200] = lost
    assert _compute("energy_j_per_sample", _trial(_world()), _trial(world)) == lost


def test_a_contradiction_makes_energy_an_estimate_and_flags_the_trial() -> None:
    """Counter and power readings apart by a fifth: which of them lies is not known."""
    world = _world()
    trial = _trial(world)
    power = [(t_s, w * 1.2) for t_s, w in world.power]
    trial = replace(trial, tracks=(_track(power, "power_w"),))
    assert list(telemetry.flags(trial)) == ["suspect"]
    value = _compute("energy_j_per_sample", replace(trial, flags=("suspect",)))
    assert isinstance(value, Estimated)
    assert "contradict" in value.method
    for name in ("mean_power_w", "p95_power_w"):
        assert isinstance(_compute(name, trial), Measured), name
        doubted = _compute(name, replace(trial, flags=("suspect",)))
        assert isinstance(doubted, Estimated), name
        assert "contradict" in doubted.method


def test_power_that_never_moves_is_suspect() -> None:
    """Idle and at work the same milliwatts: the sensor is stuck, and without a counter all there is."""
    world = _world()
    trial = _trial(world, 10.0, 1, readings=())
    stuck = [(t_s, 250.0) for t_s, _ in world.power]
    trial = replace(trial, tracks=(_track(stuck, "power_w"),))
    assert telemetry.stale_power(trial, telemetry.of_trial(trial))
    assert "suspect" in list(telemetry.flags(trial))


def test_power_that_never_moves_is_honest_where_the_counter_says_the_same() -> None:
    """A device that draws the same idle and at work."""
    world = World(trace=parse([["idle", "250000"], ["load", "constant", "250000"]]))
    trial = _trial(world, 10.0, 1)
    assert list(telemetry.flags(trial)) == []
    assert isinstance(_compute("energy_j_per_sample", trial), Measured)


def test_no_counter_uses_every_reading_of_power() -> None:
    """By the integral, said so."""
    world = World(trace=_world("walk 3 100000 400000 50").trace, sample_every_s=0.02)
    value = _compute("energy_j_per_sample", _trial(world, 10.0, 1, readings=()))
    assert isinstance(value, Measured)
    assert value.source.startswith("integral: power readings")
    assert value.value == pytest.approx(world.truth_j[0] / 10_000, rel=0.01)


def test_a_quick_profile_without_a_counter_says_what_would_help() -> None:
    """No time for an integral: absent, with the profile that has it."""
    unsupported = Absent(reason="Not Supported", code=Reason.NOT_SUPPORTED)
    world = _world()
    world.fails[1] = unsupported
    trial = _trial(world, 1.0, 1, energy=(), windows=())
    value = _compute("energy_j_per_sample", trial)
    assert isinstance(value, Absent)
    assert value.code == Reason.WINDOW_TOO_SHORT
    assert value.remedy == "--profile standard"


def test_telemetry_switched_off_is_the_reason_for_everything() -> None:
    """And names the switch."""
    trial = builders.trial(builders.case(), 0)
    planned = replace(builders.plan([builders.case()]), telemetry=TelemetryLevel.OFF)
    for name in ("energy_j_per_sample", "mean_power_w", "utilisation_percent", "throttled_share"):
        value = _compute(name, trial, plan=planned)
        assert isinstance(value, Absent)
        assert value.code == Reason.TELEMETRY_OFF


@pytest.mark.parametrize("name", ["p95_power_w", "mean_power_w"])
def test_a_killed_sampler_is_the_reason_for_what_only_it_could_know(name: str) -> None:
    """Its readings end in mid-run: no number from half of them."""
    short = [p for p in _tenths(100.0) if p[0] < 14]
    trial = _steady(("power_w", short), subject={"sampler": KILLED})
    assert _compute(name, trial) == KILLED


def test_energy_by_counter_survives_the_sampler() -> None:
    """The worker's own edges are whole; what is missing is the check by integral."""
    trial = _trial(_world(), tracks=(), subject={"sampler": KILLED})
    assert isinstance(_compute("energy_j_per_sample", trial), Measured)
    assert _compute("p95_power_w", trial) == KILLED


def test_an_integral_needs_its_sampler() -> None:
    """Without a counter a killed sampler leaves nothing."""
    world = World(trace=_world().trace, sample_every_s=0.02)
    trial = _trial(world, 10.0, 1, readings=())
    cut_s = trial.energy[0].start_s + 5.0
    seen = [p for p in world.power if p[0] < cut_s]
    trial = replace(trial, tracks=(_track(seen, "power_w"),), subject={"sampler": KILLED})
    assert _compute("energy_j_per_sample", trial) == KILLED


# --- power, clocks, heat ----------------------------------------------------------------------


def test_readings_count_while_the_subject_works_only() -> None:
    """Ten seconds at 200 W between idling at 50: 200 W, by mean and by percentile."""
    points = [(t, 200.0 if 10 <= t <= 20 else 50.0) for t, _ in _tenths(0.0)]
    trial = _steady(("power_w", points), ("temperature_c", _tenths(71.0)))
    for name, expected in (("mean_power_w", 200.0), ("p95_power_w", 200.0)):
        value = _compute(name, trial)
        assert isinstance(value, Measured)
        assert value.value == pytest.approx(expected)
    heat = _compute("max_temperature_c", trial)
    assert isinstance(heat, Measured)
    assert heat.value == 71.0


READ = (
    ("mean_power_w", "power_w"),
    ("p95_power_w", "power_w"),
    ("sm_clock_mhz", "sm_clock_mhz"),
)


@pytest.mark.parametrize(("name", "quantity"), READ)
def test_what_was_read_has_an_interval_over_trials(name: str, quantity: str) -> None:
    """190, 200 and 210 in three processes: Student's, three times as wide as their extremes."""
    trials = [_steady((quantity, _tenths(x))) for x in (190.0, 200.0, 210.0)]
    value = _compute(name, *trials)
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(200.0)
    assert value.interval is not None
    half = T_OF_TWO * 10.0 / math.sqrt(3)
    assert [value.interval.low, value.interval.high] == pytest.approx([200 - half, 200 + half])
    two = _compute(name, *trials[:2])
    assert isinstance(two, Measured)
    assert (two.interval, two.n) == (None, 2)


def test_shares_stay_shares_and_the_highest_is_the_highest() -> None:
    """No device works more than all of the time; 75 degrees were reached, and have no interval."""
    trials = [
        _steady(("utilisation_percent", _tenths(used)), ("temperature_c", _tenths(heat)))
        for used, heat in ((90.0, 71.0), (98.0, 75.0), (99.0, 70.0))
    ]
    used = _compute("utilisation_percent", *trials)
    assert isinstance(used, Measured)
    assert used.interval is not None
    assert used.interval.low < 90
    assert used.interval.high == 100.0
    heat = _compute("max_temperature_c", *trials)
    assert isinstance(heat, Measured)
    assert (heat.value, heat.interval, heat.n) == (75.0, None, 3)
    seldom = [_steady(("utilisation_percent", _tenths(used))) for used in (1.0, 5.0, 20.0)]
    used = _compute("utilisation_percent", *seldom)
    assert isinstance(used, Measured)
    assert used.interval is not None
    assert used.interval.low == 0.0


def test_power_that_is_doubted_is_no_point() -> None:
    """Of one trial, too: it may be as wrong as the widest that was published of any sensor."""
    trial = _steady(("power_w", _tenths(100.0)), flags=("suspect",))
    value = _compute("mean_power_w", trial)
    assert isinstance(value, Estimated)
    assert [value.interval.low, value.interval.high] == pytest.approx([100 / 1.13, 100 / 0.92])


def test_p95_is_not_the_mean() -> None:
    """A tenth of the time at 400 W: the mean is 130, the 95th percentile 400."""
    points = [(t, 400.0 if round(t * 10) % 10 == 0 else 100.0) for t, _ in _tenths(0.0)]
    value = _compute("p95_power_w", _steady(("power_w", points)))
    assert isinstance(value, Measured)
    assert value.value == 400.0


def test_power_of_a_device_with_a_counter_only_is_its_slope() -> None:
    """As of a processor with RAPL: 30 J more at each tenth are 300 W."""
    points = [(t, 300.0 * t) for t, _ in _tenths(0.0)]
    value = _compute("p95_power_w", _steady(("energy_counter_j", points)))
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(300.0)


def test_a_counter_that_answered_once_has_no_slope() -> None:
    """One that was reset after its first read was a traceback."""
    value = _compute("mean_power_w", _steady(("energy_counter_j", [(10.0, 3000.0)])))
    assert isinstance(value, Absent)
    assert value.reason == "the energy counter was read once only"


def test_a_failed_read_of_one_package_shifts_none_of_the_others() -> None:
    """Two packages of 50 and 100 W: that read says nothing of the sum, and all others stay together."""
    times_s = [10 + i / 10 for i in range(40)]
    one = _track([(t, 50 * t) for t in times_s], "energy_counter_j")
    failed: list[tuple[float, float | None]] = [(t, 100 * t) for t in times_s]
    failed[17] = (times_s[17], None)
    other = replace(_track(failed, "energy_counter_j"), source="rapl:package-1")
    found = tracks.power_points([one, other])
    assert not isinstance(found, Absent)
    power, _ = found
    assert [w for _, w in power] == pytest.approx([150.0] * 38)
    assert [t for t, _ in power] == pytest.approx([t for t in times_s[1:] if t != times_s[17]])
    late = _track([(t, 100 * t) for t in times_s[5:]], "energy_counter_j")
    apart = tracks.power_points([one, late])
    assert isinstance(apart, Absent)
    assert "never read together" in apart.reason


def test_a_sampler_that_came_too_late_is_said() -> None:
    """Its first reading lies within the work."""
    value = _compute("mean_power_w", _steady(("power_w", _tenths(100.0, 15.0))))
    assert isinstance(value, Absent)
    assert value.code == Reason.SAMPLER_LATE


def test_a_hole_in_the_readings_is_said() -> None:
    """Two seconds of nothing, of which nobody knows."""
    points = [p for p in _tenths(100.0) if not 13 < p[0] < 15]
    value = _compute("mean_power_w", _steady(("power_w", points)))
    assert isinstance(value, Absent)
    assert value.code == Reason.LOW_COVERAGE


def test_readings_seconds_apart_do_not_watch_a_window() -> None:
    """Ten a second are promised: one in two seconds was called all of it, and its integral measured."""
    times_s = [i * 0.1 for i in range(101)]
    for every, covered in ((1, 1.0), (5, 1.0), (20, 0.75)):
        assert energy.coverage(times_s[::every], 1.0, 9.0) == pytest.approx(covered, abs=0.01)
    seldom = [(t, 100.0) for t in times_s[::20]]
    rest = energy.Idle(power_w=20.0, uncertainty_w=0.1, period_s=0.0)
    found = energy.integral_energy(seldom, (1.0, 9.0), energy.Sensor(), rest)
    assert isinstance(found, Absent)
    assert found.code == Reason.LOW_COVERAGE


def test_a_quantity_that_no_source_has_is_absent() -> None:
    """A processor has no clock of streaming multiprocessors."""
    value = _compute("sm_clock_mhz", _steady(("power_w", _tenths(100.0))))
    assert isinstance(value, Absent)
    assert value.code == Reason.NOT_SUPPORTED


# --- throttling and neighbours ------------------------------------------------------------------


def test_throttling_is_counted_by_the_driver_and_not_by_polls() -> None:
    """Bits that no poll saw set, and a counter that rose by 30 ms in each second: 3 %."""
    counter = [(t, 0.03 * t) for t, _ in _tenths(0.0)]
    trial = _steady(
        ("throttle_reasons_bits", _tenths(0.0)), ("throttled_hardware_thermal_s", counter)
    )
    share = telemetry.throttled_share(trial)
    assert not isinstance(share, Absent)
    assert share.least == share.most == pytest.approx(0.03, rel=1e-3)
    assert share.source == "cumulative counters"
    assert list(telemetry.flags(trial)) == ["throttled"]


def test_without_counters_polled_reasons_are_the_share() -> None:
    """A quarter of the readings with the power cap's bit; idle bits do not count."""
    bits = [(t, 4.0 if i % 4 == 0 else 1.0) for i, (t, _) in enumerate(_tenths(0.0))]
    share = telemetry.throttled_share(_steady(("throttle_reasons_bits", bits)))
    assert not isinstance(share, Absent)
    assert share.least == share.most == pytest.approx(0.25, abs=0.01)
    assert share.source == "polled reasons"


def _spell(start_s: float, end_s: float) -> list[tuple[float, float]]:
    """A counter that rises between two moments."""
    return [(t, min(max(t, start_s), end_s)) for t, _ in _tenths(0.0)]


HEAT_FIRST = ("throttled_software_thermal_s", _spell(10.0, 14.0))
BRAKE_LATER = ("throttled_power_brake_s", _spell(16.0, 20.0))


def test_spells_of_different_reasons_are_added_where_polls_saw_them_apart() -> None:
    """Four seconds of heat, then four of the brake, of ten: eight; both at once: four."""
    for bits_later, brake, expected in (
        (0x80, BRAKE_LATER, 0.8),
        (0x0, ("throttled_power_brake_s", _spell(10.0, 14.0)), 0.4),
    ):
        bits = [
            (t, float(0xA0 & ~bits_later if t < 14 else bits_later if t >= 16 else 0))
            for t, _ in _tenths(0.0, 10.0, 20.1)
        ]
        trial = _steady(HEAT_FIRST, brake, ("throttle_reasons_bits", bits))
        share = telemetry.throttled_share(trial)
        assert not isinstance(share, Absent)
        assert share.least == share.most == pytest.approx(expected, abs=0.02)
        assert share.source == "cumulative counters and polled reasons"


def test_counters_alone_say_at_least() -> None:
    """Nobody knows whether the two spells met: between four and eight seconds of ten, an estimate."""
    trial = _steady(HEAT_FIRST, BRAKE_LATER)
    value = _compute("throttled_share", trial)
    assert isinstance(value, Estimated)
    assert value.value == pytest.approx(0.4, abs=0.01)
    assert [value.interval.low, value.interval.high] == pytest.approx([0.4, 0.8], abs=0.01)
    assert value.method.startswith("at least")
    assert list(telemetry.flags(trial)) == ["throttled"]
    one = _compute("throttled_share", _steady(HEAT_FIRST), _steady(BRAKE_LATER))
    assert isinstance(one, Measured)
    assert one.value == pytest.approx(0.4, abs=0.01)
    assert (one.interval, one.n, one.source) == (None, 2, "cumulative counters")


def test_a_reason_that_nothing_counts_is_in_the_share() -> None:
    """Heat is counted and stands still, half of the polls saw the power limit: half of the time."""
    bits = [(t, 4.0 if t < 15 else 0.0) for t, _ in _tenths(0.0)]
    still = ("throttled_hardware_thermal_s", _tenths(7.0))
    share = telemetry.throttled_share(_steady(still, ("throttle_reasons_bits", bits)))
    assert not isinstance(share, Absent)
    assert share.least == share.most == pytest.approx(0.5, abs=0.01)


def test_a_card_at_its_power_limit_is_told_from_one_that_heat_holds_back() -> None:
    """Each by its own counters, or by its own bits where nothing counts; both may be true."""
    still = _tenths(7.0)
    rising = [(t, 0.8 * t) for t, _ in still]
    counted = ("throttled_power_cap_s", rising), ("throttled_hardware_thermal_s", still)
    assert list(telemetry.flags(_steady(*counted))) == ["power_capped"]
    both = ("throttled_power_cap_s", rising), ("throttled_power_brake_s", rising)
    assert list(telemetry.flags(_steady(*both))) == ["throttled", "power_capped"]
    for bits, flags in (
        (0x4, ["power_capped"]),
        (0x40, ["throttled"]),
        (0x84, ["throttled", "power_capped"]),
        (0x1, []),
    ):
        polled = _steady(("throttle_reasons_bits", _tenths(float(bits))))
        assert list(telemetry.flags(polled)) == flags
    # Heat is counted and the power limit is not: that is asked of the polls.
    half = ("throttle_reasons_bits", _tenths(4.0)), ("throttled_hardware_thermal_s", still)
    assert list(telemetry.flags(_steady(*half))) == ["power_capped"]
    # A counter that stands still is believed, whatever a poll saw.
    quiet = _steady(("throttle_reasons_bits", _tenths(4.0)), ("throttled_power_cap_s", still))
    assert list(telemetry.flags(quiet)) == []


def test_heat_of_a_processor_is_its_throttling() -> None:
    """The package that was held longest counts; a steady counter and none at all are told apart."""
    hot = _steady(
        ("throttled_cores_s", _tenths(7.0)),
        ("throttled_package_0_s", _tenths(3.0)),
        ("throttled_package_1_s", [(t, 0.05 * t) for t, _ in _tenths(0.0)]),
        ("core_clock_mhz", _tenths(2100.0)),
    )
    share = telemetry.throttled_share(hot)
    assert not isinstance(share, Absent)
    assert share.least == pytest.approx(0.05, rel=1e-3)
    assert list(telemetry.flags(hot)) == ["throttled"]
    cool = _steady(("throttled_cores_s", _tenths(7.0)), ("core_clock_mhz", _tenths(900.0)))
    quiet = telemetry.Held(least=0.0, most=0.0, source="cumulative counters")
    assert telemetry.throttled_share(cool) == quiet
    assert list(telemetry.flags(cool)) == []


def test_a_processor_whose_heat_is_not_counted_says_why() -> None:
    """A virtual machine: the share is absent in the kernel's terms, and no flag says otherwise."""
    uncounted = Absent(reason="the kernel does not count it", code=Reason.NO_SENSOR)
    track = Track(
        source="thermal",
        start_s=5.0,
        t_us=(0, 20_000_000),
        columns=(Column(quantity="throttled_cores_s", values=(None,), absent=uncounted),),
    )
    trial = _steady(tracks=(track,))
    assert telemetry.throttled_share(trial) == uncounted
    assert list(telemetry.flags(trial)) == []


# --- the host beside a device -------------------------------------------------------------------


def _package(number: int, watts: float, every_s: float = 0.1) -> Track:
    """A package's counter at a constant power from the first second to the fiftieth."""
    n = round(50 / every_s)
    return Track(
        source=f"host_rapl:package-{number}",
        start_s=0.0,
        t_us=tuple(round(i * every_s * 1e6) for i in range(n)),
        columns=(
            Column(
                quantity="energy_counter_j", values=tuple(watts * i * every_s for i in range(n))
            ),
        ),
    )


def test_the_hosts_energy_stands_beside_the_devices_and_is_in_no_sum() -> None:
    """Two packages of 40 and 25 W beside a GPU of 250 W, a thousand samples a second."""
    alone = _trial(_world())
    beside = replace(alone, tracks=(*alone.tracks, _package(0, 40.0), _package(1, 25.0)))
    intel = {**builders.ENVIRONMENT.facts, "cpu": "Intel(R) Xeon(R) Platinum 8480+"}
    surroundings = replace(builders.ENVIRONMENT, facts=intel)
    host = _compute("host_energy_j_per_sample", beside, environment=surroundings)
    assert isinstance(host, Measured)
    assert host.value == pytest.approx(0.065, rel=1e-6)
    assert host.interval is not None
    # At most a tenth of a second at each edge, and 5 % of RAPL's own.
    assert 0.065 * (1 - 0.2 / 5) / 1.05 <= host.interval.low <= 0.065 / 1.05
    assert 0.065 / 0.95 <= host.interval.high <= 0.065 * (1 + 0.2 / 5) / 0.95
    for name in ("energy_j_per_sample", "net_energy_j_per_sample", "mean_power_w", "p95_power_w"):
        assert _compute(name, beside) == _compute(name, alone), name


def test_a_device_without_a_sensor_is_not_given_the_hosts_energy() -> None:
    """Its joules and watts stay absent, whatever RAPL says of the processors."""
    values = tuple(Value(start_s=s, duration_s=5.0, n_samples=10) for s in (10.0, 20.0))
    windows = (Window(name="idle", start_s=5.0, end_s=8.0),)
    trial = builders.trial(
        builders.case(), 0, windows=windows, energy=values, tracks=(_package(0, 40.0),)
    )
    for name in ("energy_j_per_sample", "mean_power_w", "p95_power_w"):
        value = _compute(name, trial)
        assert isinstance(value, Absent), name
        assert value.code == Reason.NO_SENSOR, name
    assert isinstance(_compute("host_energy_j_per_sample", trial), Measured)


def test_the_hosts_energy_wants_reads_on_both_sides_of_a_window() -> None:
    """Absent with its reason: a sampler that ended early, no RAPL, no window, a short one, the CPU."""
    alone = _trial(_world())
    early = replace(_package(0, 40.0), t_us=(0, 100_000), columns=_package(0, 40.0).columns)
    early = replace(early, columns=(replace(early.columns[0], values=(0.0, 4.0)),))
    cut = _compute("host_energy_j_per_sample", replace(alone, tracks=(early,)))
    assert isinstance(cut, Absent)
    assert cut.code == Reason.LOW_COVERAGE
    no_rapl = Absent(reason="no RAPL interface", code=Reason.NO_RAPL)
    silent = replace(
        early,
        source="host_rapl",
        t_us=(0,),
        columns=(Column(quantity="energy_counter_j", values=(None,), absent=no_rapl),),
    )
    assert _compute("host_energy_j_per_sample", replace(alone, tracks=(silent,))) == no_rapl
    bare = builders.trial(builders.case(), 0, tracks=(_package(0, 40.0),))
    unwindowed = _compute("host_energy_j_per_sample", bare)
    assert isinstance(unwindowed, Absent)
    assert unwindowed.code == Reason.NO_ENERGY_WINDOW
    short = replace(_trial(_world(), 2.0, 1), tracks=(_package(0, 40.0),))
    assert isinstance(_compute("host_energy_j_per_sample", short), Estimated)


def test_one_trial_in_doubt_makes_the_whole_an_estimate() -> None:
    """Of two, one had a window of 2 s, or a sensor that is contradicted."""
    whole, short = _trial(_world(), 5.0, 1), _trial(_world(), 2.0, 1)
    assert isinstance(_compute("energy_j_per_sample", whole, short), Estimated)
    flagged = replace(whole, flags=("suspect",))
    for name in ("energy_j_per_sample", "mean_power_w"):
        assert isinstance(_compute(name, whole, whole), Measured), name
        assert isinstance(_compute(name, whole, flagged), Estimated), name
    beside = [replace(t, tracks=(_package(0, 40.0),)) for t in (whole, short)]
    assert isinstance(_compute("host_energy_j_per_sample", *beside), Estimated)


def test_another_process_on_the_device_is_contention() -> None:
    """Seen once is enough."""
    counts = [(t, 1.0 if 12 < t < 12.2 else 0.0) for t, _ in _tenths(0.0)]
    assert list(telemetry.flags(_steady(("other_processes_count", counts)))) == ["contended"]
    quiet = _steady(("other_processes_count", _tenths(0.0)))
    assert list(telemetry.flags(quiet)) == []


# --- tracks -----------------------------------------------------------------------------------


def test_a_shorter_column_goes_on_with_its_last_value() -> None:
    """That is how a document keeps what does not change."""
    column = Column(quantity="power_limit_w", values=(300.0, 250.0))
    track = Track(source="s", start_s=1.0, t_us=(0, 100, 200, 300), columns=(column,))
    assert tracks.values(track, column) == (300.0, 250.0, 250.0, 250.0)
    assert tracks.points([track], "power_limit_w") == [
        (1.0, 300.0),
        (1.0001, 250.0),
        (1.0002, 250.0),
        (1.0003, 250.0),
    ]


def test_a_sensor_that_goes_away_is_lost_and_one_that_never_came_is_not() -> None:
    """Nor is a process that has ended."""
    gone = Absent(reason="GPU is lost", code=Reason.DEVICE_LOST)
    ended = Absent(reason="it has ended", code=Reason.PROCESS_GONE)
    lost = _track([(0.0, 1.0), (0.1, None)], "power_w", absent=gone)
    never = _track([(0.0, None), (0.1, None)], "power_w", absent=gone)
    process = _track([(0.0, 1.0), (0.1, None)], "cpu_s", absent=ended)
    assert tracks.lost([process, never]) is None
    assert tracks.lost([process, lost]) == gone


def test_old_documents_have_no_energy_window() -> None:
    """Counters at the edges of the steady window, as they were read once, are no energy any more."""
    trial = _trial(_world(), energy=(), windows=(Window(name="steady", start_s=0, end_s=9),))
    value = _compute("energy_j_per_sample", trial)
    assert isinstance(value, Absent)
    assert value.code == Reason.NO_ENERGY_WINDOW


def test_values_and_windows_of_energy_are_the_same_spans() -> None:
    """One is for whoever draws phases, the other counts samples."""
    trial = _trial(_world())
    spans = [(w.start_s, w.end_s) for w in trial.windows if w.name == "energy"]
    assert [a for a, _ in telemetry.spans(trial)] == [a for a, _ in spans]
    assert [b for _, b in telemetry.spans(trial)] == pytest.approx([b for _, b in spans])
    assert all(isinstance(v, Value) and v.n_samples == 5000 for v in trial.energy)


def test_a_mean_is_of_the_windows_and_of_nothing_between_them() -> None:
    """Two windows of 5 s, 2 s apart; a clock that is low for the first 0.1 s of each."""
    starts_s = (10.0, 17.0)
    points = [
        (start_s + i / 10, 500.0 if i == 0 else 1500.0) for start_s in starts_s for i in range(51)
    ]
    trial = _steady(
        ("sm_clock_mhz", points),
        energy=tuple(Value(start_s=s, duration_s=5.0, n_samples=1) for s in starts_s),
    )
    # Half of a tenth of a second at each beginning is 1000 MHz too low.
    assert telemetry.mean_of(trial, "sm_clock_mhz") == pytest.approx(1500 - 1000 * 0.05 / 5)
