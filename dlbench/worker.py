"""The child: one request in, one trial out.

    stdin   the request, JSON, read to its end
    fd      (named by --events) JSON lines: {"event": "phase" | "progress" | "trial", ...}
    stdout, stderr   belong to the frameworks; nothing here is read from them

A fresh process for each trial: half of the variance lies between processes, and whatever a
framework does to itself (crash, hang, leak) ends with it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from dlbench import own_models, workloads
from dlbench.core import registry, tracks
from dlbench.core.errors import ModelError, SubjectError
from dlbench.core.plain import from_plain
from dlbench.core.protocols import Subject, SubjectRequest
from dlbench.core.requests import TrialRequest
from dlbench.core.types import (
    DRIVER_OPTION,
    LOADGEN,
    Absent,
    Case,
    Check,
    DeviceInfo,
    Fact,
    Outcome,
    OutcomeKind,
    PeakMemory,
    Policy,
    Scenario,
    TelemetryLevel,
    Trial,
    Window,
)
from dlbench.measure import conditions, energy, evidence, family, gate, loadgen, sampler, server

Emit = Callable[[dict[str, Any]], None]

Done = TypeVar("Done")

BAD_INPUT_EXIT = 3
"""The request could not be understood: a bug in dlbench, not in the subject."""


def main() -> None:
    """Read the request from stdin, run it, and write events to the descriptor in argv."""
    request = from_plain(TrialRequest, json.load(sys.stdin))
    if not family.die_with(request.parent_pid):
        os._exit(BAD_INPUT_EXIT)
    faulthandler.enable()
    descriptor = int(sys.argv[sys.argv.index("--events") + 1])
    # A file of the user's may read arguments, and these are none of its own.
    del sys.argv[1:]
    measured = os.getpid()
    with os.fdopen(descriptor, "w", encoding="utf-8", buffering=1) as pipe:

        def emit(event: dict[str, Any]) -> None:
            if os.getpid() != measured:
                # The user's code forked, and this copy came back: it must not be measured beside us.
                os._exit(0)
            pipe.write(json.dumps(event, allow_nan=False) + "\n")

        run_trial(request, emit)
    # Frameworks' own exit handlers have crashed and hung; the result is out, so leave at once.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def run_trial(request: TrialRequest, emit: Emit) -> Trial:
    """Measure, and send the trial; whatever goes wrong in the subject becomes its outcome.

    The subject is closed when the trial is out: what hangs or crashes there takes nothing.
    """
    with contextlib.ExitStack() as closing:
        return _tried(request, emit, closing)


def _tried(request: TrialRequest, emit: Emit, closing: contextlib.ExitStack) -> Trial:
    trial = Trial(
        case_id=request.case.case_id,
        round=request.round,
        role=request.role,
        position=request.position,
        started_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        outcome=Outcome(kind=OutcomeKind.OK),
    )
    return _attempt(
        lambda: _measure(request, trial, emit, closing),
        lambda error: _sent(_failed(trial, error, request.case), emit),
    )


def _attempt(work: Callable[[], Done], otherwise: Callable[[Exception], Done]) -> Done:
    """The worker's border: whatever a subject raises becomes what is told instead."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the border
        return otherwise(error)


def _failed(trial: Trial, error: Exception, case: Case) -> Trial:
    """The trial with the outcome that an exception is; called while that is handled."""
    if isinstance(error, SubjectError):
        # Of a model of the user's own: what it raised, without the way to it through dlbench.
        cause = error.__cause__ or error
        log = _traceback(cause) if isinstance(error, ModelError) else trial.log
        return replace(trial, outcome=_of_subject_error(error), log=log)
    if isinstance(error, MemoryError):
        message = f"the process could not allocate memory: {error}".removesuffix(": ")
        advice = "Use a smaller --batch-size."
        outcome = Outcome(kind=OutcomeKind.OOM_HOST, message=message, advice=advice)
        return replace(trial, outcome=outcome)
    message = f"{type(error).__name__}: {error}"
    outcome = Outcome(
        kind=OutcomeKind.ERROR,
        detail=type(error).__name__,
        message=message[:MESSAGE_CHARACTERS],
        advice="The traceback is in the trial's log." + _without_compiler(case),
    )
    return replace(trial, outcome=outcome, log=_traceback(error))


def _sent(trial: Trial, emit: Emit) -> Trial:
    """The trial, once it is out; raises where it holds a NaN, or else what JSON has no word for."""
    emit({"event": "trial", "trial": asdict(trial)})
    return trial


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-LOG_CHARACTERS:]


def _without_compiler(case: Case) -> str:
    """What to try where a compiler may have failed, whose errors are of every kind."""
    return " --policy base compiles nothing." if case.policy is Policy.TUNED else ""


MESSAGE_CHARACTERS = 500
LOG_CHARACTERS = 8000


def _of_subject_error(error: SubjectError) -> Outcome:
    return Outcome(
        kind=error.outcome,
        detail=error.detail,
        message=error.message[:MESSAGE_CHARACTERS],
        advice=error.advice,
    )


def _measure(
    request: TrialRequest, trial: Trial, emit: Emit, closing: contextlib.ExitStack
) -> Trial:
    case = request.case
    workload = (
        own_models.read(request.model)
        if request.model
        else workloads.read(Path(request.workload_folder))
    )
    if workload.content_hash != request.content_hash:
        raise ModelError(
            f"the files of {workload.name} were changed after the run was begun",
            "A document is of one model: start a new run.",
        )
    emit({"event": "phase", "phase": "load", "pid": os.getpid()})
    # Before any framework binds this thread to a core of its own.
    watch = _Watch(emit)
    load_start_s = time.monotonic()
    subject = _open(request, workload, emit)
    closing.callback(_close, subject)
    loaded = Window(name="load", start_s=load_start_s, end_s=time.monotonic())
    samples = _sample(subject, request, watch.progress)
    watch.end()
    memory = _peak_memory(subject, request.device)
    emit({"event": "phase", "phase": "gate"})
    gate_start_s = time.monotonic()
    stated = _stated(workload, request)
    found = evidence.gather(subject, samples, stated, watch.steady_clocks_s(), watch.progress)
    digest, checks = gate.digest(found), gate.judge(found)
    overhead_s = sampler.harness_overhead_s(subject, case, request.profile, samples.steps_per_value)
    gated = Window(name="gate", start_s=gate_start_s, end_s=time.monotonic())
    facts = dict(subject.info) | {
        "harness_overhead_s_per_step": overhead_s,
        "steps_per_value": samples.steps_per_value,
        "foreign_cpu_share": watch.foreign_share(),
        **samples.facts,
    }
    done = replace(
        trial,
        outcome=_verdict(checks, watch),
        values=samples.values,
        warm_up=samples.warm_up,
        windows=(loaded, *samples.windows, gated),
        first_step_s=samples.first_step_s,
        queries_s=_timeable(samples.queries_s),
        memory=memory,
        digest=digest,
        checks=checks,
        flags=(*_flags(samples, checks, watch), *_costly(case, samples, overhead_s)),
        subject={name: _known(fact) for name, fact in facts.items()},
    )
    return _sent_with_energy(done, subject, request, samples, watch)


def _known(fact: Fact) -> Fact:
    """A fact that a document can hold: what is no finite number is not known."""
    if isinstance(fact, float) and not math.isfinite(fact):
        return Absent(reason=f"it was found to be {fact}")
    return fact


def _close(subject: Subject) -> None:
    """Release the device; the trial is out, and the process ends next whatever happens here."""
    _attempt(subject.close, lambda _: traceback.print_exc())


def _sent_with_energy(
    done: Trial,
    subject: Subject,
    request: TrialRequest,
    samples: sampler.Samples,
    watch: _Watch,
) -> Trial:
    """The trial with its energy windows, or with the reason why it has none.

    What is measured already is sent first: whatever goes wrong now takes only the energy.
    """
    if not _wants_energy(request):
        return _sent(done, watch.emit)
    why = "the worker did not get to the end of its energy windows"
    _sent(_without_energy(done, why), watch.emit)

    def with_energy() -> Trial:
        before = watch.look()
        record, facts = _energy(subject, request, samples, watch.progress)
        if conditions.suspended(before, watch.look()):
            # A counter goes on meanwhile, and the windows' clock does not.
            return _sent(_without_energy(done, SLEPT), watch.emit)
        lost = ("telemetry_lost",) if tracks.telemetry_lost(record.readings) else ()
        whole = replace(
            done,
            subject={**done.subject, **facts},
            windows=(*done.windows, *record.windows),
            readings=record.readings,
            energy=record.values,
            flags=(*done.flags, *lost),
        )
        return _sent(whole, watch.emit)

    def without(error: Exception) -> Trial:
        raised = f"its energy windows raised {type(error).__name__}: {error}"[:MESSAGE_CHARACTERS]
        return _sent(replace(_without_energy(done, raised), log=_traceback(error)), watch.emit)

    return _attempt(with_energy, without)


SLEPT = "the machine was suspended while its energy was measured"


def _without_energy(done: Trial, why: str) -> Trial:
    flags = tuple(dict.fromkeys((*done.flags, "telemetry_lost")))
    return replace(done, readings=(energy.unended(why),), flags=flags)


def _wants_energy(request: TrialRequest) -> bool:
    """Whether energy is to be measured."""
    off = request.telemetry in (None, TelemetryLevel.OFF) or not request.profile.energy_windows
    return not off and request.role == "measure"


def _open(request: TrialRequest, workload: workloads.Workload, emit: Emit) -> Subject:
    adapter = registry.framework(request.case.framework)
    own, stem = request.model, registry.model_stem(request.case.framework, workload.model_files)
    onnx = own is not None and stem == own_models.ONNX_STEM

    def load_model() -> Any:  # noqa: ANN401 - a module, or what stands for one
        emit({"event": "phase", "phase": "build"})
        if own is None:
            return workloads.load_model(workload.folder, str(stem))
        return None if onnx else own_models.load(own)

    return adapter.open_subject(
        SubjectRequest(
            case=request.case,
            device=request.device,
            spec=workload.spec(request.case.variant),
            load_model=load_model,
            threads=request.threads,
            seed=request.seed,
            scratch=Path(tempfile.gettempdir()),
            model_path=Path(own.path) if own and onnx else None,
        )
    )


def _sample(subject: Subject, request: TrialRequest, progress: sampler.Progress) -> sampler.Samples:
    case, profile = request.case, request.profile
    seed = _arrivals_seed(request)
    if case.scenario is Scenario.SERVER:
        return server.serve(subject, case, profile, progress, seed)
    if dict(case.options).get(DRIVER_OPTION) == LOADGEN:
        return loadgen.drive(subject, case, profile, progress, seed)
    return sampler.sample(subject, case, profile, progress)


SEEDS_A_TRIAL = 1000
"""Each trial draws its own arrivals, or all would agree for the wrong reason."""


def _arrivals_seed(request: TrialRequest) -> int:
    return request.seed + SEEDS_A_TRIAL * request.position


def _energy(
    subject: Subject, request: TrialRequest, samples: sampler.Samples, progress: sampler.Progress
) -> tuple[energy.EnergyRecord, Mapping[str, str]]:
    """The energy windows, if the profile has time and the device a sensor; else why there are none.

    A server's are windows of queries that come at the rate it was found to hold: stepping without
    pause would measure something else. Of these it is said in how many the limit held again.
    """
    progress("energy", 0, None)
    found = energy.find_meters(request.device)
    plan = energy.plan_of(
        request.profile, counted=found.counted, averaging_s=found.averaging_s or 0.0
    )
    if plan is None or not found.any_sensor:
        return replace(energy.NOTHING, readings=found.first), {}
    subject.synchronize()
    if request.case.scenario is Scenario.SERVER:
        seed = _arrivals_seed(request)
        shift = server.shift(subject, request.case, samples, progress, seed)
        record = energy.measure(plan, shift.work, found.meters)
        return record, {"energy_windows_in_time": f"{sum(shift.held)} of {len(shift.held)}"}
    stepper = sampler.Stepper(
        subject=subject,
        case=request.case,
        profile=request.profile,
        progress=progress,
        steps_per_value=samples.steps_per_value,
        # The seeded first batch of a pipeline has been used.
        n_steps=1,
    )
    return energy.measure(plan, stepper.work, found.meters, prepare=stepper.fall_into_step), {}


class _Watch:
    """Tells the parent how far it is, and looks at the machine at both ends of the steady window."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._cpus = os.sched_getaffinity(0)
        self._before: conditions.Snapshot | None = None
        self._after: conditions.Snapshot | None = None
        self._clocks: list[tuple[float, float] | None] = [None, None]

    def progress(self, phase: str, n_values: int, per_sample_s: float | None) -> None:
        if n_values:
            self.emit(
                {"event": "progress", "phase": phase, "n": n_values, "per_sample_s": per_sample_s}
            )
            return
        self.emit({"event": "phase", "phase": phase})
        if phase == "steady":
            # A steady part that did not hold is run again; only the last one counts.
            self._before = self.look()
            self._clocks[0] = conditions.clock_pair(sampler.now_s)

    def end(self) -> None:
        self._clocks[1] = conditions.clock_pair(sampler.now_s)
        self._after = self.look()

    def look(self) -> conditions.Snapshot:
        """The machine now."""
        return conditions.snapshot(self._cpus)

    @property
    def edges(self) -> tuple[conditions.Snapshot, conditions.Snapshot]:
        if self._before is None or self._after is None:
            raise RuntimeError("the steady window was never entered")
        return self._before, self._after

    def steady_clocks_s(self) -> tuple[float, float] | None:
        """How long the steady window was by the clock of the values, and by the kernel's boot clock."""
        if self._clocks[0] is None or self._clocks[1] is None:
            return None
        (ours, boot), (ours_later, boot_later) = self._clocks[0], self._clocks[1]
        return ours_later - ours, boot_later - boot

    def foreign_share(self) -> float | Absent:
        share = conditions.foreign_share(*self.edges)
        return (
            Absent(reason="/proc/stat does not say, or not for so short a time")
            if share is None
            else share
        )


def _stated(workload: workloads.Workload, request: TrialRequest) -> evidence.Stated:
    from dlbench.frameworks import _seeded

    spec = workload.spec(request.case.variant)
    return evidence.Stated(
        case=request.case,
        device=request.device,
        workload=workload.info(request.case.variant),
        expected=workload.reference(request.case),
        seeded=lambda buffer: _seeded.batch(spec, "inputs", buffer, 1),
        distinct_samples=_seeded.distinct_samples(spec),
    )


FLAGGED_CHECKS = {"clocks_agree": "clock_disagree"}
"""Rules whose failure flags a trial and does not refuse it."""


def _verdict(checks: tuple[Check, ...], watch: _Watch) -> Outcome:
    if conditions.suspended(*watch.edges):
        return Outcome(
            kind=OutcomeKind.INVALID,
            detail="suspended",
            message="the machine was suspended while values were taken",
            advice="Keep it awake and run again.",
        )
    for check in checks:
        if check.passed is False and check.rule not in FLAGGED_CHECKS:
            return Outcome(
                kind=OutcomeKind.INVALID,
                detail=check.rule,
                message=f"the correctness gate refused it: {check.detail}",
                advice="Its speed does not count; see docs/how-it-measures.md, The gate.",
            )
    return Outcome(kind=OutcomeKind.OK)


def _flags(
    samples: sampler.Samples,
    checks: tuple[Check, ...],
    watch: _Watch,
) -> tuple[str, ...]:
    found = [*samples.flags] if samples.steady else [*samples.flags, "not_steady"]
    found += [
        FLAGGED_CHECKS[c.rule] for c in checks if c.passed is False and c.rule in FLAGGED_CHECKS
    ]
    found += conditions.flags(*watch.edges)
    return tuple(found)


def _costly(case: Case, samples: sampler.Samples, overhead_s: float) -> tuple[str, ...]:
    share = sampler.harness_share(overhead_s, samples.values, case.batch_size)
    return ("harness_cost",) if share > sampler.HARNESS_SHARE else ()


def _timeable(queries_s: tuple[float, ...]) -> tuple[float, ...]:
    """Single queries, if the clock can resolve them to 0.1 %; else none."""
    if not queries_s:
        return ()
    least_s = sampler.LEAST_VALUE_RESOLUTIONS * sampler.clock_resolution_s()
    return queries_s if statistics.median(queries_s) >= least_s else ()


def _peak_memory(subject: Subject, device: DeviceInfo) -> PeakMemory:
    """The subject's own peaks, with the host's filled in by the kernel and the device's by its driver.

    What the driver says is of now, and a peak all the same: allocators keep what they once held.
    """
    return replace(
        subject.peak_memory(),
        device_used_mib=registry.device_kind(device.kind).memory_held_mib(device, os.getpid()),
        host_rss_mib=_peak_rss_mib(),
    )


def _peak_rss_mib() -> float | Absent:
    """VmHWM: unlike ru_maxrss it does not inherit the parent's size across fork."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError as error:
        return Absent(reason=f"/proc/self/status cannot be read: {error.strerror}")
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return Absent(reason="this kernel does not record a process's peak memory")


if __name__ == "__main__":
    main()
