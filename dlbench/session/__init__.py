"""Run a plan: lock, journal, order, worker processes, resume, seal.

Every planned case ends in exactly one recorded outcome, and no finished trial is ever lost: each is
one fsynced journal line before the next one starts.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlbench
from dlbench import environment as environments
from dlbench import own_models, workloads
from dlbench import plan as planning
from dlbench.core import drift
from dlbench.core.errors import DocumentError, GateError, InterruptedSearchError, UsageError
from dlbench.core.types import (
    COMMITS,
    DAMAGE,
    BatchProbe,
    Case,
    CaseResult,
    DeviceInfo,
    Environment,
    Fact,
    OutcomeKind,
    Plan,
    Run,
    Trial,
)
from dlbench.measure import energy
from dlbench.session import batch_search, counting
from dlbench.session.lock import await_free, device_lock, lock_name
from dlbench.session.schedule import Next, next_trial, stop_reason
from dlbench.session.signals import StopSignal, stop_on_signals
from dlbench.session.workers import UTC_FORMAT, Settings, Workers
from dlbench.store import journal, runs
from dlbench.telemetry import overhead

__all__ = [
    "ASKED",
    "Finished",
    "Observer",
    "Settings",
    "resume",
    "run_plan",
    "search_batches",
]


ASKED = "frameworks_asked"
"""The note of a run whose frameworks were asked for by name."""


class Observer:
    """Whoever wants to know how far it is, such as the terminal; by itself it does not look."""

    def probed(self, case: Case, batch_size: int, found: BatchProbe) -> None:
        """The search for a case's batch size has tried one."""

    def begin(
        self, plan: Plan, run_id: str, trials: Sequence[Trial], problems: Sequence[str]
    ) -> None:
        """The session starts, with the trials that a resumed one has, and what is amiss with them."""

    def trial_begins(self, upcoming: Next) -> None:
        """A worker is about to start."""

    def event(self, upcoming: Next, event: Mapping[str, Any]) -> None:
        """The worker spoke: a phase or progress."""

    def trial_ended(self, trial: Trial, trials: Sequence[Trial], elapsed_s: float) -> None:
        """A trial is finished and on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """What the journal of a resumed session already holds; of a new one nothing.

    ``problems`` are what whoever resumes is told of it.
    """

    trials: tuple[Trial, ...] = ()
    notes: Mapping[str, journal.Remark] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a session leaves: the run, and where it lies (a journal if it was interrupted)."""

    run: Run
    path: Path
    interrupted: bool


def run_plan(
    plan: Plan,
    environment: Environment,
    devices: Sequence[DeviceInfo],
    settings: Settings,
    observer: Observer | None = None,
    *,
    asked: Sequence[str] = (),
) -> Finished:
    """Measure a plan on this machine and write its document.

    Args:
        plan: what to run.
        environment: the machine, as it will stand in the document.
        devices: the same devices with their real ids, for the workers.
        settings: where results go and how long to wait.
        observer: is told of progress.
        asked: frameworks that were asked for by name, and are missed where they are not here.

    Raises:
        StoreError: results cannot be written; nothing was measured, or all finished trials lie in
            the journal.
        UsageError: a device is in use by another session.
    """
    journal.check_writable(settings.folder)
    now = datetime.now(UTC)
    header = journal.JournalHeader(
        run_id=runs.new_run_id(environment.machine, now),
        created_utc=now.strftime(UTC_FORMAT),
        dlbench_version=dlbench.__version__,
        plan=plan,
        environment=environment,
    )
    with _locks(plan, devices, settings):
        book = journal.Journal.create(settings.folder, header)
        before = _Before(notes={ASKED: ", ".join(asked)} if asked else {})
        for name, value in before.notes.items():
            book.append_note(name, value)
        return _conduct(header, book, before, devices, settings, observer or Observer())


def search_batches(
    plan: Plan,
    devices: Sequence[DeviceInfo],
    settings: Settings,
    observer: Observer | None = None,
) -> Plan:
    """The plan with each case at the batch size of the largest throughput, searched for here.

    The plan's time budget is what the search leaves of it. Of a budget that the user gave, the search
    takes half at most, each case an equal share of what that leaves; a size that was begun is ended.

    Raises:
        UsageError: a device is in use by another session.
        InterruptedSearchError: a stop was asked for before the search had ended.
    """
    observer = observer or Observer()
    workers = _workers(plan, devices, settings)
    budget_s, found = plan.time_budget_s, []
    with _locks(plan, devices, settings), stop_on_signals() as stop:
        start_s = time.monotonic()
        half_s = math.inf if budget_s is None or plan.least_rounds else budget_s / 2
        for i, case in enumerate(plan.cases):
            told = functools.partial(observer.probed, case)
            now_s = time.monotonic()
            until_s = now_s + (start_s + half_s - now_s) / (len(plan.cases) - i)
            found.append(batch_search.search(case, workers, stop, told, until_s))
            if stop.asked:
                raise InterruptedSearchError("the search for batch sizes was interrupted")
        spent_s = time.monotonic() - start_s
    left_s = None if budget_s is None else max(0.0, budget_s - spent_s)
    return replace(planning.with_batches(plan, found), time_budget_s=left_s)


def resume(
    path: Path,
    environment: Environment,
    devices: Sequence[DeviceInfo],
    settings: Settings,
    observer: Observer | None = None,
) -> Finished:
    """Go on with an unfinished journal, on the machine that began it.

    Raises:
        GateError: the machine or its software changed since.
        DocumentError: the journal cannot be read, or a workload changed since.
    """
    header = journal.read_journal(path).header
    _same_machine(header.environment, environment)
    _same_workloads(header.plan, settings)
    if header.plan.has_environments:
        raise UsageError(
            "a comparison of two Python environments cannot be resumed: where they lie is not recorded",
            f"Start it anew with dlbench ab, or make the document of it: --resume {path} --seal",
        )
    settings = replace(settings, folder=path.parent)
    with _locks(header.plan, devices, settings):
        book, contents = journal.Journal.resume(path)
        now_utc = datetime.now(UTC).strftime(UTC_FORMAT)
        mixed = _commits(contents, environment, now_utc)
        before = _before(book, contents, ("resumed_utc", now_utc), *mixed)
        before = replace(before, trials=_without_one_cut_short(before.trials))
        if mixed:
            told = f"the run is not of one commit of dlbench: {before.notes[COMMITS]}"
            before = replace(before, problems=(*before.problems, told))
        return _conduct(header, book, before, devices, settings, observer or Observer())


def seal(path: Path) -> Finished:
    """Make the document of what a journal has and measure no more, on whatever machine.

    Raises:
        StoreError: another process writes the journal, or the document cannot be written.
        DocumentError: it cannot be read, or has no finished trial.
    """
    header = journal.read_journal(path).header
    book, contents = journal.Journal.resume(path)
    with book:
        before = _before(book, contents)
    if not before.trials:
        raise DocumentError(f"{path} has no finished trial", f"dlbench run --resume {path}")
    # Of the document alone: where that cannot be written, the journal may still be resumed.
    sealed = {"sealed_utc": datetime.now(UTC).strftime(UTC_FORMAT)}
    session = _Session(
        header=header,
        book=book,
        workers=_workers(header.plan, (), Settings(folder=path.parent)),
        observer=Observer(),
        trials=list(before.trials),
        notes={**before.notes, **sealed},
    )
    run = session.run(interrupted=True)
    return Finished(run=run, path=runs.seal(run, path.parent, journal=path), interrupted=False)


def _before(
    book: journal.Journal,
    contents: journal.JournalContents,
    *events: tuple[str, journal.Remark],
) -> _Before:
    """What counts of a journal, with all that it must be told by: what happened, what is lost.

    Both are written to it, since a torn line is gone when it is resumed again.
    """
    remarks = [*events, *((DAMAGE, problem) for problem in contents.problems)]
    fresh = [remark for remark in remarks if remark not in contents.notes]
    for name, value in fresh:
        book.append_note(name, value)
    told: dict[str, journal.Remark] = {}
    for name, value in (*contents.notes, *fresh):
        told[name] = f"{told[name]}; {value}" if name in told else value
    # One that was cut short may have been measured again, in its place.
    kept = {t.position: t for t in contents.trials if t.outcome.kind is not OutcomeKind.INTERRUPTED}
    return _Before(trials=tuple(kept.values()), notes=told, problems=contents.problems)


def _commits(
    contents: journal.JournalContents, now: Environment, now_utc: str
) -> tuple[tuple[str, journal.Remark], ...]:
    """The note that the run goes on under another commit than it was begun with, or than it had since.

    It is no reason to refuse: most commits change nothing that is measured, and hours would be lost.
    """
    then = contents.header.environment
    begun, present = (environments.commit(e.facts) for e in (then, now))
    noted = any(name == COMMITS for name, _ in contents.notes)
    if begun == present and not noted:
        return ()
    first = "" if noted else f"{begun} when it was begun, "
    return ((COMMITS, f"{first}{present} since {now_utc}"),)


def _without_one_cut_short(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Trials but for a last one that a stop met in its energy windows: it is measured again, whole.

    By itself it would take the energy of its case, which is known of all trials or of none.
    """
    cut = bool(trials) and any(r.source == energy.UNENDED for r in trials[-1].readings)
    return tuple(trials[:-1] if cut else trials)


def _same_machine(then: Environment, now: Environment) -> None:
    changed = environments.changed(then, now)
    if then.fingerprint != now.fingerprint or changed:
        what = f": {'; '.join(changed)}" if changed else ""
        raise GateError(
            f"the run was begun on {then.machine} and this is not that machine any more{what}",
            "Make it so again, or start a new run: a document is of one machine.",
        )


def _same_workloads(plan: Plan, settings: Settings) -> None:
    models = {m.name: m for m in (settings.model, *settings.other_models) if m is not None}
    for info in plan.workloads:
        found = own_models.find(info.name, settings.workload_folder, models.get(info.name))
        if found is None and info.own is not None:
            raise DocumentError(
                f"{info.name} is a model of your own, and no journal may name code to run",
                f"Name it again: dlbench run --resume ... {info.own}",
            )
        if found is None or found.content_hash != info.content_hash:
            raise DocumentError(
                f"workload {info.name} is not the one that the run was begun with",
                "Start a new run.",
            )


def _locks(plan: Plan, devices: Sequence[DeviceInfo], settings: Settings) -> contextlib.ExitStack:
    used = {c.device for c in plan.cases}
    with contextlib.ExitStack() as acquiring:
        for device in sorted((d for d in devices if d.id in used), key=lock_name):
            acquiring.enter_context(device_lock(device.id, lock_name(device), wait=settings.wait))
            await_free(device, wait=settings.wait)
        return acquiring.pop_all()


def _conduct(
    header: journal.JournalHeader,
    book: journal.Journal,
    before: _Before,
    devices: Sequence[DeviceInfo],
    settings: Settings,
    observer: Observer,
) -> Finished:
    session = _Session(
        header=header,
        book=book,
        workers=_workers(header.plan, devices, settings),
        observer=observer,
        trials=list(before.trials),
        notes=dict(before.notes),
    )
    with book, stop_on_signals() as stop:
        observer.begin(header.plan, header.run_id, session.trials, before.problems)
        session.notes |= _overhead(header.plan, devices)
        session.measure(stop)
    run = session.run(interrupted=stop.asked)
    if stop.asked:
        return Finished(run=run, path=book.path, interrupted=True)
    path = runs.seal(run, settings.folder, journal=book.path)
    return Finished(run=run, path=path, interrupted=False)


def _overhead(plan: Plan, devices: Sequence[DeviceInfo]) -> dict[str, Fact]:
    """What the sampler costs here, on the first device that is measured."""
    used = {case.device for case in plan.cases}
    device = next((d for d in devices if d.id in used), None)
    return {} if device is None else overhead.measure(device, plan.telemetry)


def _workers(plan: Plan, devices: Sequence[DeviceInfo], settings: Settings) -> Workers:
    by_id = {d.id: d for d in devices}
    folders = workloads.folders(settings.workload_folder)
    return Workers(plan=plan, devices=by_id, settings=settings, folders=folders)


@dataclass(slots=True, kw_only=True)
class _Session:
    """The state of one session: its trials so far, time spent, and devices lost."""

    header: journal.JournalHeader
    book: journal.Journal
    workers: Workers
    observer: Observer
    trials: list[Trial]
    lost: set[str] = field(default_factory=set)
    elapsed_s: float = 0.0
    spans_s: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Fact] = field(default_factory=dict)

    def measure(self, stop: StopSignal) -> None:
        """Run trials until the schedule has no more, or a stop was asked for."""
        plan = self.header.plan
        self.elapsed_s = sum(_span_s(t) for t in self.trials)
        self.spans_s |= {t.case_id: _span_s(t) for t in self.trials}
        while not stop.asked:
            upcoming = next_trial(
                plan,
                self.trials,
                elapsed_s=self.elapsed_s,
                spans_s=self.spans_s,
                lost_devices=frozenset(self.lost),
            )
            if upcoming is None:
                return
            self.observer.trial_begins(upcoming)
            start_s = time.monotonic()
            trial = self.trial(upcoming, stop)
            span_s = time.monotonic() - start_s
            self.elapsed_s += span_s
            self.spans_s[trial.case_id] = span_s
            self.book.append_trial(trial)
            self.trials.append(trial)
            self.observer.trial_ended(trial, self.trials, self.elapsed_s)

    def trial(self, upcoming: Next, stop: StopSignal) -> Trial:
        """Run one trial in a process of its own; always returns one, whatever happens to it."""
        trial, gone = self.workers.run(
            upcoming, lambda event: self.observer.event(upcoming, event), stop
        )
        if gone or trial.outcome.kind is OutcomeKind.DEVICE_LOST:
            self.lost.add(upcoming.case.device)
        return trial

    def run(self, *, interrupted: bool) -> Run:
        """The document of all that was measured."""
        plan = counting.counted(self.header.plan, self.trials)
        return Run(
            run_id=self.header.run_id,
            created_utc=self.header.created_utc,
            finished_utc=datetime.now(UTC).strftime(UTC_FORMAT),
            dlbench_version=self.header.dlbench_version,
            plan=plan,
            environment=self.header.environment,
            results=tuple(self.result(case, interrupted=interrupted) for case in plan.cases),
            flags=self.flags(),
            notes=self.notes,
        )

    def flags(self) -> tuple[str, ...]:
        """What the whole run must be read with: the machine drifted, or its clocks were held down."""
        drifted = (drift.FLAG,) if drift.drifted(drift.drift(self.trials)) else ()
        return (*drifted, *environments.flags(self.header.environment.facts))

    def result(self, case: Case, *, interrupted: bool) -> CaseResult:
        own = tuple(t for t in self.trials if t.case_id == case.case_id)
        reason = stop_reason(self.header.plan, case, self.trials, frozenset(self.lost))
        if reason is None:
            reason = "interrupted" if interrupted else "the time budget ended"
        return CaseResult(
            case=case,
            trials=own,
            stop_reason=reason,
            flags=tuple(sorted({flag for t in own for flag in t.flags})),
        )


def _span_s(trial: Trial) -> float:
    """Seconds that a trial's phases took; for a resumed session's time budget."""
    return sum(w.end_s - w.start_s for w in trial.windows)
