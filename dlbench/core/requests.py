"""What the session tells a worker, and what the launcher tells the session when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlbench.core.types import Case, DeviceInfo, OwnModel, Profile, TelemetryLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """One trial, complete: the worker needs nothing but this and the workload's folder.

    ``model`` is the user's own, which then stands for the folder's files. ``content_hash`` is of what
    the run was begun with: trials of other files do not belong to it.
    """

    case: Case
    device: DeviceInfo
    profile: Profile
    workload_folder: str
    threads: int
    seed: int
    round: int
    role: str
    position: int
    parent_pid: int
    content_hash: str
    telemetry: TelemetryLevel | None = None
    model: OwnModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExit:
    """How a worker process ended.

    ``returncode`` is negative for a signal, None if the process could not be killed; ``trial`` is
    the plain form of the trial it sent, if it got that far; ``phase`` is the last one it began.
    """

    returncode: int | None
    phase: str
    timed_out: bool = False
    interrupted: bool = False
    trial: dict[str, Any] | None = None
    log: str = ""
    oom_kills: int = 0
