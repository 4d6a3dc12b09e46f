"""The sampler on a clockwork subject: every number can be said beforehand."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from dlbench.core.types import Case, DataMode, Mode, Profile, Scenario, Value
from dlbench.frameworks import _files, _tfdata
from dlbench.measure import energy, sampler
from tests import builders
from tests.unit.measure.clockwork import Clock, Clockwork

PROFILE = Profile(
    name="test",
    target_half_width=0.05,
    looks=(3,),
    min_values=5,
    max_values=20,
    max_steady_s=8.0,
    max_warm_up_s=8.0,
    min_warm_up_s=1.0,
    time_budget_s=None,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The sampler's clock, moved by the subject alone."""
    clock = Clock()
    monkeypatch.setattr(sampler, "time", clock)
    return clock


def _sample(
    subject: Clockwork, case: Case | None = None, profile: Profile = PROFILE
) -> sampler.Samples:
    told: list[tuple[str, int, float | None]] = []
    samples = sampler.sample(
        subject, case or builders.case(batch_size=4), profile, lambda *a: told.append(a)
    )
    assert [t[0] for t in told if t[1] == 0] == ["first_step", "warm_up", "steady"]
    return samples


def test_values_last_as_long_as_the_steps_do(clock: Clock) -> None:
    """Steps of 60 ms, asynchronous until synchronised, read as 60 ms each."""
    samples = _sample(Clockwork(clock, lambda _: 0.06))
    assert len(samples.values) == 20
    assert samples.steps_per_value == 1
    for value in samples.values:
        assert value.duration_s == pytest.approx(0.06, abs=1e-6)
        assert value.n_samples == 4


def test_the_first_step_is_timed_apart(clock: Clock) -> None:
    """A compile of 3 s shows as the first step and nowhere else."""
    samples = _sample(Clockwork(clock, lambda n: 3.0 if n == 0 else 0.06))
    assert samples.first_step_s == pytest.approx(3.0, abs=1e-5)
    assert max(v.duration_s for v in (*samples.warm_up, *samples.values)) < 0.07


def test_warm_up_lasts_until_two_windows_agree(clock: Clock) -> None:
    """A subject that gets faster for 40 steps is not measured before it is steady."""
    samples = _sample(Clockwork(clock, lambda n: max(0.06, 0.26 - n * 0.005)))
    assert samples.steady
    assert all(v.duration_s == pytest.approx(0.06, rel=0.02) for v in samples.values)


def test_a_subject_that_never_settles_is_flagged(clock: Clock) -> None:
    """Steps that keep getting slower hit the cap, and it is said."""
    samples = _sample(Clockwork(clock, lambda n: 0.06 * 1.02**n))
    assert not samples.steady


def test_warm_up_takes_at_least_its_second(clock: Clock) -> None:
    """A steady subject of 60 ms steps is still warmed up for a second."""
    samples = _sample(Clockwork(clock, lambda _: 0.06))
    window = next(w for w in samples.windows if w.name == "warm_up")
    assert window.end_s - window.start_s == pytest.approx(1.0, abs=0.1)


def test_short_steps_share_a_value(clock: Clock) -> None:
    """Steps of 20 us are taken by the thousand, so that twenty values last a second."""
    samples = _sample(Clockwork(clock, lambda _: 20e-6))
    assert samples.steps_per_value >= 2500
    assert all(v.duration_s >= 0.05 for v in samples.values)
    assert samples.values[0].n_samples == 4 * samples.steps_per_value
    assert samples.queries_s == ()


class Waits(Clockwork):
    """Whose device takes a millisecond to answer."""

    def synchronize(self) -> None:
        super().synchronize()
        self.clock.now_s += 1e-3


def test_neither_clock_nor_synchronisation_shows_in_a_value(clock: Clock) -> None:
    """A thousand of the clock's own steps, two hundred synchronisations, and a share of the time."""
    plain, waits = Clockwork(clock, lambda _: 0.06), Waits(clock, lambda _: 0.06)
    assert sampler.least_value_s(plain, 0.0, 20) == pytest.approx(1e-3)
    assert sampler.least_value_s(plain, 1.0, 20) == pytest.approx(0.05)
    clock.tick_s = 1e-5
    assert sampler.least_value_s(plain, 0.0, 20) == pytest.approx(0.01)
    assert sampler.least_value_s(waits, 0.0, 20) == pytest.approx(200 * 1.01e-3)


def test_slow_steps_end_at_the_time_limit_but_not_before_enough_values(clock: Clock) -> None:
    """Steps of 3 s: five values though the limit of 8 s was reached after three."""
    samples = _sample(Clockwork(clock, lambda _: 3.0))
    assert len(samples.values) == 5


def test_inputs_rotate(clock: Clock) -> None:
    """Every step takes the next buffer, over phases too."""
    subject = Clockwork(clock, lambda _: 0.06)
    samples = _sample(subject)
    assert subject.buffers == [i % 4 for i in range(len(subject.buffers))]
    assert samples.last_buffer == subject.buffers[-1]
    assert samples.last_output == (subject.buffers[-1], len(subject.buffers))


def test_offline_queries_are_the_batches(clock: Clock) -> None:
    """One query a value, where a value is one step."""
    samples = _sample(Clockwork(clock, lambda _: 0.06))
    assert samples.queries_s == pytest.approx([0.06] * 20, abs=1e-6)


def test_inputs_come_from_the_host_before_each_step_and_only_if_asked(clock: Clock) -> None:
    """The same buffer that is stepped on next; in a pipeline the one beyond, after the first step."""
    resident = Clockwork(clock, lambda _: 0.06)
    _sample(resident)
    assert resident.refilled == []
    host = Clockwork(clock, lambda _: 0.06)
    _sample(host, builders.case(batch_size=4, data_mode=DataMode.HOST))
    assert host.refilled == list(enumerate(host.buffers))
    assert set(host.buffers) == {0, 1, 2, 3}
    pipeline = Clockwork(clock, lambda _: 0.06)
    samples = _sample(pipeline, builders.case(batch_size=4, data_mode=DataMode.PIPELINE))
    assert pipeline.buffers[0] == 0
    assert set(pipeline.buffers[1:]) == {pipeline.n_buffers}
    assert pipeline.refilled == [(i, 4) for i in range(1, len(pipeline.buffers))]
    assert samples.last_buffer == pipeline.n_buffers


class Fed(Clockwork):
    """Fed by processes that decode a batch each, all at once, as PyTorch's DataLoader has them.

    Batch i is the i-th process's modulo their number; two for each process are decoded or begun before
    anything is asked for, and were there when warm-up began. The device works while the host waits.
    """

    def __init__(self, clock: Clock, step_s: float, decode_s: float, processes: int) -> None:
        super().__init__(clock, lambda _: step_s)
        self.decode_s, self.processes = decode_s, processes
        self.ahead = 2 * processes
        self.info |= {"loader_processes": processes, "batches_ahead": self.ahead}
        self.done_s = [clock.now_s] * self.ahead
        self.n_taken = 0

    def refill(self, buffer: int) -> None:
        """Wait for the next batch in order; its process begins another."""
        super().refill(buffer)
        waited_s = max(0.0, self.done_s[self.n_taken] - self.clock.now_s)
        self.clock.now_s += waited_s
        self.pending_s = max(0.0, self.pending_s - waited_s)
        self.n_taken += 1
        begun_s = max(self.clock.now_s, self.done_s[-self.processes])
        self.done_s.append(begun_s + self.decode_s)


@pytest.mark.parametrize(("processes", "batch_s"), [(2, 0.008), (64, 0.008), (64, 0.0054)])
def test_a_slow_loader_of_many_processes_shows_in_full(
    clock: Clock, processes: int, batch_s: float
) -> None:
    """The device takes 5 ms a step: neither bursts nor what was decoded before hide the loader."""
    subject = Fed(clock, step_s=0.005, decode_s=batch_s * processes, processes=processes)
    samples = _sample(subject, builders.case(batch_size=4, data_mode=DataMode.PIPELINE))
    per_step_s = statistics.median(v.duration_s / v.n_samples for v in samples.values) * 4
    assert per_step_s == pytest.approx(batch_s, rel=0.02)
    assert samples.steps_per_value % processes == 0


@pytest.mark.parametrize("step_s", [0.001, 0.0075])
def test_energy_windows_have_no_more_batches_than_the_loader_makes(
    clock: Clock, step_s: float
) -> None:
    """What it decodes while the device idles is no sample of the next window: that was 18 % more."""
    subject = Fed(clock, step_s=step_s, decode_s=0.008 * 64, processes=64)
    case = builders.case(batch_size=4, data_mode=DataMode.PIPELINE)
    stepper = sampler.Stepper(subject=subject, case=case, profile=PROFILE, n_steps=1)
    stepper.steps_per_value = stepper.whole_rounds()

    def sleep(seconds: float) -> None:
        clock.now_s += seconds

    plan = energy.EnergyPlan(window_s=5.0, n_windows=3, idle_s=1.0, settle_s=1.2)
    record = energy.measure(plan, stepper.work, (), clock.monotonic, sleep, stepper.fall_into_step)
    assert [4 * v.duration_s / v.n_samples for v in record.values] == pytest.approx(
        [0.008] * 3, rel=0.02
    )


def test_a_fast_loader_of_many_processes_does_not_hold_the_device_up(clock: Clock) -> None:
    """It brings a batch every 2 ms, the device takes 5 ms a step."""
    subject = Fed(clock, step_s=0.005, decode_s=0.016, processes=8)
    samples = _sample(subject, builders.case(batch_size=4, data_mode=DataMode.PIPELINE))
    assert [v.duration_s / v.n_samples * 4 for v in samples.values] == pytest.approx(
        [0.005] * len(samples.values), rel=0.02
    )


def test_the_sampler_and_loaders_mean_the_same_facts() -> None:
    """Under the names that the sampler reads."""
    assert _files.loader_facts(8) == {sampler.LOADER_PROCESSES: 8, sampler.BATCHES_AHEAD: 16}
    assert _tfdata.loader_facts(4, 8) == {sampler.BATCHES_AHEAD: 4}


def test_single_stream_times_each_query_to_its_end(clock: Clock) -> None:
    """Each query is synchronised on its own, and enough are taken for a p99."""
    case = builders.case(scenario=Scenario.SINGLE_STREAM)
    profile = replace(PROFILE, max_steady_s=60.0)
    samples = _sample(Clockwork(clock, lambda _: 0.004), case, profile)
    assert len(samples.queries_s) >= 368
    assert samples.queries_s == pytest.approx([0.004] * len(samples.queries_s), abs=1e-5)


def test_training_keeps_first_and_last_loss_of_the_same_batch(clock: Clock) -> None:
    """Both handles come from buffer 0."""
    case = builders.case(mode=Mode.TRAINING, scenario=None)
    samples = _sample(Clockwork(clock, lambda _: 0.06), case)
    assert samples.first_loss == (0, 1)
    assert isinstance(samples.last_loss, tuple)
    assert samples.last_loss[0] == 0
    assert samples.last_loss[1] > 20
    assert samples.queries_s == ()


def test_the_devices_clock_is_read_over_the_same_steps(clock: Clock) -> None:
    """A device clock that runs 10 % fast reads 10 % more."""
    subject = Clockwork(clock, lambda _: 0.06)
    subject.device_clock_rate = 1.1
    samples = _sample(subject)
    assert samples.values[0].device_s == pytest.approx(0.066, rel=1e-3)


@pytest.mark.parametrize(("steps", "paid_by"), [(1, 1), (50, 50), (10**6, 1000)])
def test_the_harness_costs_what_an_empty_step_costs(clock: Clock, steps: int, paid_by: int) -> None:
    """Of a null value the clock's own reading is left; as many steps pay for it as a value has."""
    clock.tick_s = 1e-5
    overhead_s = sampler.harness_overhead_s(
        Clockwork(clock, lambda _: 99.0), builders.case(), PROFILE, steps
    )
    assert overhead_s == pytest.approx(1e-5 / paid_by, rel=0.1)


def test_in_single_stream_every_query_pays_for_its_own_clock(clock: Clock) -> None:
    """And does not get cheaper in company."""
    clock.tick_s = 1e-5
    case = builders.case(scenario=Scenario.SINGLE_STREAM)
    overhead_s = sampler.harness_overhead_s(Clockwork(clock, lambda _: 99.0), case, PROFILE, 50)
    assert overhead_s == pytest.approx(2.02e-5, rel=0.01)


def test_the_harness_share_is_of_a_step() -> None:
    """10 us of a step of 1 ms, whatever the batch and the number of steps a value."""
    values = [Value(start_s=0.0, duration_s=0.01, n_samples=40)]
    assert sampler.harness_share(1e-5, values, batch_size=4) == pytest.approx(0.01)


def test_the_real_clocks_resolution_is_seen() -> None:
    """The monotonic clock moves in steps of under a millisecond, and over zero."""
    assert 0 < sampler.clock_resolution_s() < 1e-3
