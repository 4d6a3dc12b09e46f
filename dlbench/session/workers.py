"""One trial: a worker process with its device, threads and deadlines, and how it ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dlbench import environment as environments
from dlbench.core import pip, registry, sound
from dlbench.core.errors import DocumentError
from dlbench.core.requests import TrialRequest, WorkerExit
from dlbench.core.types import DeviceInfo, Outcome, OutcomeKind, OwnModel, Plan, Profile, Trial
from dlbench.launchers import local
from dlbench.session.outcomes import blamed, outcome_of_exit
from dlbench.session.schedule import Next
from dlbench.session.signals import StopSignal
from dlbench.store import codec
from dlbench.telemetry.observed import observed
from dlbench.telemetry.sampler import Sampler

UTC_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

Launch = Callable[..., WorkerExit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run, apart from what: nothing here alters a result.

    ``phase_timeout_s`` caps every phase's deadline; ``workload_folder`` is searched first, after the
    user's own ``model``. ``pythons`` are those of cases that run in another environment, by case_id.
    """

    folder: Path
    wait: bool = False
    phase_timeout_s: float | None = None
    workload_folder: Path | None = None
    model: OwnModel | None = None
    launch: Launch = local.launch
    pythons: Mapping[str, str] = field(default_factory=dict)
    other_models: tuple[OwnModel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Starts the workers of one plan.

    ``folders`` are the workloads', by name, as they lay when the run was begun: one that is gone since
    is its trials' failure, and not the run's.
    """

    plan: Plan
    devices: Mapping[str, DeviceInfo]
    settings: Settings
    folders: Mapping[str, Path]

    def run(
        self,
        upcoming: Next,
        on_event: Callable[[Mapping[str, Any]], None],
        stop: StopSignal,
        profile: Profile | None = None,
    ) -> tuple[Trial, bool]:
        """One trial, whatever happens to it, and whether its process could not be killed."""
        python = self.settings.pythons.get(upcoming.case.case_id)
        device = self.devices[upcoming.case.device]
        sampler = Sampler(device, self.plan.telemetry)

        def hear(event: Mapping[str, Any]) -> None:
            if isinstance(pid := event.get("pid"), int):
                sampler.start(pid)
            on_event(event)

        try:
            ended = self.settings.launch(
                self._request(upcoming, profile or self.plan.profile),
                environment=child_environment(device, self.plan.threads),
                deadlines=self._deadlines(),
                on_event=hear,
                stop=stop,
                **({} if python is None else {"python": python}),
            )
        finally:
            recording = sampler.stop()
        trial = observed(_received(upcoming, ended), recording)
        return trial, ended.returncode is None

    def _request(self, upcoming: Next, profile: Profile) -> TrialRequest:
        name = upcoming.case.workload
        models = (self.settings.model, *self.settings.other_models)
        own = next((m for m in models if m is not None and m.name == name), None)
        folder = "" if own else str(self.folders[name])
        return TrialRequest(
            case=upcoming.case,
            device=self.devices[upcoming.case.device],
            profile=profile,
            workload_folder=folder,
            model=own,
            threads=self.plan.threads,
            seed=self.plan.seed,
            round=upcoming.round,
            role=upcoming.role,
            position=upcoming.position,
            parent_pid=os.getpid(),
            content_hash=next(w.content_hash for w in self.plan.workloads if w.name == name),
            telemetry=self.plan.telemetry,
        )

    def _deadlines(self) -> local.Deadlines:
        deadlines = local.Deadlines()
        cap_s = self.settings.phase_timeout_s
        return deadlines if cap_s is None else deadlines.capped(cap_s)


def _received(upcoming: Next, ended: WorkerExit) -> Trial:
    """The worker's own trial if it sent a valid one, else one that says how it ended."""
    framework = upcoming.case.framework
    outcome = outcome_of_exit(ended)
    remedy = pip.anew(registry.framework(framework).INSTALL, registry.distributions(framework))
    outcome = blamed(outcome, ended.phase, framework, remedy)
    if ended.trial is not None:
        try:
            trial = _readable(ended.trial)
        except DocumentError as error:
            outcome = Outcome(
                kind=OutcomeKind.ERROR,
                detail="bad_result",
                message=f"the worker sent a trial that cannot be read: {error.message}",
            )
        else:
            return trial if trial.outcome.ok or trial.log else replace(trial, log=ended.log)
    return Trial(
        case_id=upcoming.case.case_id,
        round=upcoming.round,
        role=upcoming.role,
        position=upcoming.position,
        started_utc=datetime.now(UTC).strftime(UTC_FORMAT),
        outcome=outcome,
        log=ended.log,
    )


def _readable(plain: dict[str, Any]) -> Trial:
    """A worker's trial; with one that is unsound the whole document could not be read again.

    Raises:
        DocumentError: it is no trial, or nothing can be computed from it.
    """
    trial = codec.convert(Trial, plain)
    problem = next(sound.of_trial(trial), None)
    if problem is not None:
        raise DocumentError(problem)
    return trial


def child_environment(device: DeviceInfo, threads: int) -> dict[str, str]:
    """The worker's environment: ours, one device visible, and the thread policy."""
    return {
        **environments.handed_on(),
        **registry.device_kind(device.kind).child_environment(device),
        **dict.fromkeys(environments.THREAD_VARIABLES, str(threads)),
        "PYTHONUNBUFFERED": "1",
    }
