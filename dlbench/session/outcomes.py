"""From the way a worker process ended to its outcome. Pure: an exit in, an outcome out."""

from __future__ import annotations

import signal
from dataclasses import replace

from dlbench.core.requests import WorkerExit
from dlbench.core.types import Outcome, OutcomeKind


def outcome_of_exit(ended: WorkerExit) -> Outcome:
    """The outcome of a worker that sent no trial, or that was stopped."""
    if ended.returncode is None:
        return Outcome(
            kind=OutcomeKind.TIMEOUT,
            detail="unkillable",
            message="the worker did not die by SIGKILL: it hangs in the kernel or the driver",
            advice="This device is not used again in this run; reboot before measuring.",
        )
    if ended.interrupted:
        return Outcome(
            kind=OutcomeKind.INTERRUPTED, message="stopped by a signal while it was running"
        )
    if ended.timed_out:
        return Outcome(
            kind=OutcomeKind.TIMEOUT,
            detail=ended.phase,
            message=f"no sign of life in phase {ended.phase} until its deadline",
            advice="Raise --phase-timeout if it was only slow.",
        )
    if ended.returncode == -signal.SIGKILL and ended.oom_kills > 0:
        return Outcome(
            kind=OutcomeKind.OOM_HOST,
            message="the kernel's OOM killer ended the worker",
            advice="Use a smaller --batch-size, or a machine with more memory.",
        )
    if ended.returncode < 0:
        return _crashed(-ended.returncode, ended.phase)
    return Outcome(
        kind=OutcomeKind.ERROR,
        detail="no_result",
        message=f"the worker left with exit code {ended.returncode} in phase {ended.phase} and sent"
        " no result",
        advice="The tail of its output is in the trial's log.",
    )


def blamed(outcome: Outcome, phase: str, framework: str, remedy: str) -> Outcome:
    """The outcome of a worker that sent none; one that ended while importing its framework says so."""
    if phase != "load" or outcome.kind not in (OutcomeKind.CRASHED, OutcomeKind.ERROR):
        return outcome
    return replace(
        outcome,
        message=f"{outcome.message}, while {framework} was imported",
        advice=f"It is installed and broken: {remedy}",
    )


def signal_name(number: int) -> str:
    """``SIGKILL``; a number where it has no name (real-time signals)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _crashed(number: int, phase: str) -> Outcome:
    return Outcome(
        kind=OutcomeKind.CRASHED,
        detail=str(number),
        message=f"the worker was ended by {signal_name(number)} in phase {phase}",
        advice="The tail of its output, with the stack, is in the trial's log.",
    )
