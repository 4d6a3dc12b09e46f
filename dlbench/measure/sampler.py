"""Take timed values of a subject.

    first step | warm-up ................ | steady .................................. | gate
    one call   | value value value value  | value value value value value value value |
               until is_steady or the cap   min_values .. max_values, or max_steady_s

    value:  synchronise, clock, step step step, synchronise, clock

A value holds as many steps as it takes to last ``least_value_s``. Between values nothing is timed,
so that is where progress is told. In ``single_stream`` every query is synchronised and timed on its
own, as a client would see it.

In a pipeline what a loader decoded while the model was compiled is thrown away before warm-up, and a
steady value holds whole rounds of the loader's processes, which bring their batches side by side.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dlbench.core import stats
from dlbench.core.protocols import Subject
from dlbench.core.types import Case, DataMode, Mode, Profile, Scenario, Value, Window
from dlbench.measure.steady import is_steady

LEAST_VALUE_S = 1e-3
"""A value shorter than a millisecond is at the mercy of one interrupt."""

LEAST_VALUE_RESOLUTIONS = 1000
"""The clock's own step must stay under 0.1 % of a value."""

LEAST_VALUE_SYNCHRONISATIONS = 200
"""The final synchronisation is the harness's cost, not the model's: under 0.5 % of a value."""

LATENCY_VALUES = 400
"""A trial bounds its own p99 at 95 % with 368 queries; the trial's time limit still holds."""

PROGRESS_EVERY_S = 0.5
"""Often enough for a person and as a heartbeat, seldom enough to cost nothing."""

NULL_STEPS = 1000
"""Most steps of a null value: what a value costs once is beyond them under a thousandth of itself."""

HARNESS_SHARE = 0.005
"""Beyond half a per cent of a step the harness shows in the result."""

NULL_VALUES = 5
NULL_LEAST_S = 5e-3
"""Null values are taken until there are so many and they have lasted so long: one alone is a few us."""

BATCHES_AHEAD, LOADER_PROCESSES = "batches_ahead", "loader_processes"
"""Facts of a subject's loader: how many batches it decodes before they are asked for, and, where it is
many processes, how many of them decode a batch each."""

Progress = Callable[[str, int, float | None], None]
"""Called between values with the phase, the number of values and seconds a sample so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What the sampler saw. ``last_output`` is the handle that the last timed step returned."""

    first_step_s: float
    warm_up: tuple[Value, ...]
    values: tuple[Value, ...]
    queries_s: tuple[float, ...]
    windows: tuple[Window, ...]
    steps_per_value: int
    steady: bool
    first_loss: object = None
    last_loss: object = None
    last_output: object
    last_buffer: int
    flags: tuple[str, ...] = ()
    facts: Mapping[str, str | float] = field(default_factory=dict)


def now_s() -> float:
    """The clock that values are read from."""
    return time.monotonic()


def clock_resolution_s() -> float:
    """The smallest step by which the monotonic clock is seen to move."""
    steps = []
    for _ in range(100):
        start = now = time.monotonic()
        while now == start:
            now = time.monotonic()
        steps.append(now - start)
    return min(steps)


def least_value_s(subject: Subject, least_steady_s: float, n_values: int) -> float:
    """How long a value must last.

    Clock and synchronisation must not show in it, and ``n_values`` of them must last
    ``least_steady_s``.
    """
    spans = []
    for _ in range(20):
        start = time.monotonic()
        subject.synchronize()
        spans.append(time.monotonic() - start)
    synchronisation_s = statistics.median(spans)
    return max(
        LEAST_VALUE_S,
        least_steady_s / n_values,
        LEAST_VALUE_RESOLUTIONS * clock_resolution_s(),
        LEAST_VALUE_SYNCHRONISATIONS * synchronisation_s,
    )


def sample(subject: Subject, case: Case, profile: Profile, progress: Progress) -> Samples:
    """Run the first step, warm up and take values, as the profile says."""
    return Stepper(subject=subject, case=case, profile=profile, progress=progress).run()


def harness_overhead_s(
    subject: Subject, case: Case, profile: Profile, steps_per_value: int
) -> float:
    """Seconds of a value that are the harness's, a step: its loop around steps that do nothing.

    A null value has as many steps as the case's had, up to ``NULL_STEPS``: clock and synchronisation
    are paid once a value, so that a value of one long step has more of them than one of many.
    """
    null = Stepper(subject=_NullSubject(subject), case=case, profile=profile, progress=_tell_nobody)
    null.steps_per_value = min(steps_per_value, NULL_STEPS)
    spans: list[float] = []
    while len(spans) < NULL_VALUES or sum(spans) < NULL_LEAST_S:
        spans.append(null.value().duration_s)
    return statistics.median(spans) / null.steps_per_value


def harness_share(overhead_s: float, values: Sequence[Value], batch_size: int) -> float:
    """The part of a step's time that is the harness's."""
    return overhead_s / (stats.median_seconds_per_sample(values) * batch_size)


def _tell_nobody(phase: str, n_values: int, per_sample_s: float | None) -> None:
    """No progress is told of the null workload."""


@dataclass(slots=True, kw_only=True)
class Stepper:
    """The state of one trial's timing: where in the rotation of buffers it is, and what it kept."""

    subject: Subject
    case: Case
    profile: Profile
    progress: Progress = _tell_nobody
    steps_per_value: int = 1
    n_steps: int = 0
    first_loss: object = None
    last_loss: object = None
    last_output: object = None
    last_buffer: int = 0
    queries_s: list[float] = field(default_factory=list)
    progress_due_s: float = 0.0

    def run(self) -> Samples:
        """First step, warm-up, steady values."""
        windows = []
        start_s = time.monotonic()
        self.progress("first_step", 0, None)
        first_step_s = self.first_step()
        windows.append(Window(name="first_step", start_s=start_s, end_s=time.monotonic()))
        self.progress("warm_up", 0, None)
        start_s = time.monotonic()
        warm_up, steady = self.warm_up()
        windows.append(Window(name="warm_up", start_s=start_s, end_s=time.monotonic()))
        self.queries_s.clear()
        self.steps_per_value = self.whole_rounds()
        self.progress("steady", 0, None)
        start_s = time.monotonic()
        values = self.steady_values()
        windows.append(Window(name="steady", start_s=start_s, end_s=time.monotonic()))
        return Samples(
            first_step_s=first_step_s,
            warm_up=tuple(warm_up),
            values=tuple(values),
            queries_s=tuple(self.queries_s),
            windows=tuple(windows),
            steps_per_value=self.steps_per_value,
            steady=steady,
            first_loss=self.first_loss,
            last_loss=self.last_loss,
            last_output=self.last_output,
            last_buffer=self.last_buffer,
        )

    def step(self) -> None:
        """One training step or one query, on the next buffer in rotation."""
        buffer = self.n_steps % self.subject.n_buffers
        fed = self.case.data_mode is DataMode.PIPELINE and self.n_steps > 0
        if fed:
            # The first step was on a seeded batch, whose loss is known; all others are the loader's.
            buffer = self.subject.n_buffers
        self.n_steps += 1
        self.last_buffer = buffer
        if fed or self.case.data_mode is DataMode.HOST:
            self.subject.refill(buffer)
        if self.case.mode is Mode.TRAINING:
            loss = self.subject.step(buffer)
            if buffer == 0 or fed:
                self.last_loss = loss
        else:
            self.last_output = self.subject.query(buffer)

    def first_step(self) -> float:
        """Seconds of the very first call."""
        start = time.monotonic()
        self.step()
        self.subject.synchronize()
        seconds = time.monotonic() - start
        self.first_loss = self.last_loss
        return seconds

    def warm_up(self) -> tuple[list[Value], bool]:
        """Values until the rule holds (True) or the cap is reached (False)."""
        least_s = least_value_s(self.subject, self.profile.min_steady_s, self.most_values())
        self.drop_batches_ahead()
        values: list[Value] = []
        start = time.monotonic()
        while True:
            values.append(self.value())
            self.tell("warm_up", values)
            if values[-1].duration_s < least_s:
                self.steps_per_value = self.enough_steps(values[-1], least_s)
            elapsed_s = time.monotonic() - start
            enough = elapsed_s >= self.profile.min_warm_up_s
            if enough and is_steady([v.duration_s / v.n_samples for v in values]):
                return values, True
            if elapsed_s >= self.profile.max_warm_up_s:
                return values, False

    def enough_steps(self, value: Value, least_s: float) -> int:
        """Steps a value that will last ``least_s``, with a fifth to spare for getting faster."""
        return max(
            self.steps_per_value + 1,
            math.ceil(1.2 * least_s / value.duration_s * self.steps_per_value),
        )

    def drop_batches_ahead(self) -> None:
        """Take what a loader has decoded since it was started, and step on none of it.

        It had all the time that the model took to load and compile: with a process a CPU thread that
        may be batches for seconds, in which a slow loader would pass for a fast one.
        """
        for _ in range(self.fact(BATCHES_AHEAD, 0)):
            self.subject.refill(self.subject.n_buffers)

    def fall_into_step(self) -> None:
        """Bring a loader that decoded while the device idled to the pace at which it is used."""
        if self.fact(BATCHES_AHEAD, 0):
            self.drop_batches_ahead()
            self.value()

    def whole_rounds(self) -> int:
        """Steps of a steady value: as in warm-up, up to a multiple of the loader's processes.

        Each has a batch ready at about the same time as the others: those come in a burst, and then
        none for as long as it takes to decode one. The median of shorter values would not see the wait.
        """
        n_processes = self.fact(LOADER_PROCESSES, 1)
        return math.ceil(self.steps_per_value / n_processes) * n_processes

    def fact(self, name: str, otherwise: int) -> int:
        """A number that the subject tells of its loader, in a pipeline."""
        found = self.subject.info.get(name, otherwise)
        pipeline = self.case.data_mode is DataMode.PIPELINE
        return found if pipeline and isinstance(found, int) else otherwise

    def most_values(self) -> int:
        """Values of the steady part; more where percentiles are wanted of them."""
        latency = self.case.scenario is Scenario.SINGLE_STREAM
        return max(self.profile.max_values, LATENCY_VALUES if latency else 0)

    def steady_values(self) -> list[Value]:
        """Values until there are enough, or the time is up and there are at least a few."""
        most = self.most_values()
        values: list[Value] = []
        start = time.monotonic()
        while len(values) < most:
            values.append(self.value())
            self.tell("steady", values)
            out_of_time = time.monotonic() - start >= self.profile.max_steady_s
            if out_of_time and len(values) >= self.profile.min_values:
                break
        return values

    def work(self, seconds: float) -> Value:
        """Values, one after the other, for at least so long, as one. Synchronised after."""
        start_s = time.monotonic()
        values: list[Value] = []
        while time.monotonic() < start_s + seconds:
            values.append(self.value())
            self.tell("energy", values)
        return Value(
            start_s=start_s,
            duration_s=time.monotonic() - start_s,
            n_samples=sum(value.n_samples for value in values),
        )

    def value(self) -> Value:
        """One timed value; device and host clock enclose the same steps."""
        subject = self.subject
        run_steps = (
            self.queries_one_by_one
            if self.case.scenario in (Scenario.SINGLE_STREAM, Scenario.SERVER)
            else self.steps_together
        )
        subject.synchronize()
        mark = subject.mark()
        start = time.monotonic()
        run_steps()
        end_mark = subject.mark()
        subject.synchronize()
        end = time.monotonic()
        if self.steps_per_value == 1 and self.case.scenario is Scenario.OFFLINE:
            self.queries_s.append(end - start)
        return Value(
            start_s=start,
            duration_s=end - start,
            n_samples=self.steps_per_value * self.case.batch_size,
            device_s=None
            if mark is None or end_mark is None
            else subject.elapsed_s(mark, end_mark),
        )

    def steps_together(self) -> None:
        """All steps of a value, started one after the other without waiting."""
        for _ in range(self.steps_per_value):
            self.step()

    def queries_one_by_one(self) -> None:
        """All queries of a value, each awaited and timed on its own."""
        for _ in range(self.steps_per_value):
            start = time.monotonic()
            self.step()
            self.subject.synchronize()
            self.queries_s.append(time.monotonic() - start)

    def tell(self, phase: str, values: list[Value]) -> None:
        """Tell of progress now and then, never within a value."""
        now = time.monotonic()
        if now >= self.progress_due_s:
            self.progress_due_s = now + PROGRESS_EVERY_S
            self.progress(phase, len(values), stats.median_seconds_per_sample(values))


class _NullSubject:
    """Does nothing and returns at once, but synchronises with the real device."""

    def __init__(self, real: Subject) -> None:
        self.n_buffers = real.n_buffers
        self.info = real.info
        self.synchronize = real.synchronize
        self.mark = real.mark
        self.elapsed_s = real.elapsed_s
        self.fetch = real.fetch
        self.peak_memory = real.peak_memory
        self.read_inputs = real.read_inputs
        self.copy_inputs = real.copy_inputs
        self.places = real.places

    def step(self, buffer: int) -> object:
        return buffer

    query = step

    def refill(self, buffer: int) -> None:
        """Data are not the harness's cost."""

    def close(self) -> None:
        """Nothing of its own to release."""
