"""Each way in which a worker can end has its outcome."""

from __future__ import annotations

import signal

import pytest

from dlbench.core.requests import WorkerExit
from dlbench.session.outcomes import outcome_of_exit


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (WorkerExit(returncode=-signal.SIGSEGV, phase="steady"), "crashed(11)"),
        (WorkerExit(returncode=-signal.SIGABRT, phase="load"), "crashed(6)"),
        (WorkerExit(returncode=-signal.SIGKILL, phase="steady"), "crashed(9)"),
        (WorkerExit(returncode=-signal.SIGKILL, phase="steady", oom_kills=1), "oom_host"),
        (WorkerExit(returncode=0, phase="steady"), "error(no_result)"),
        (WorkerExit(returncode=3, phase="load"), "error(no_result)"),
        (WorkerExit(returncode=-signal.SIGTERM, phase="load", timed_out=True), "timeout(load)"),
        (WorkerExit(returncode=None, phase="load", timed_out=True), "timeout(unkillable)"),
        (WorkerExit(returncode=-signal.SIGTERM, phase="load", interrupted=True), "interrupted"),
    ],
)
def test_outcome_of_each_ending(ended: WorkerExit, expected: str) -> None:
    """The kind and its detail are exact, and there is a sentence with it."""
    outcome = outcome_of_exit(ended)
    assert str(outcome) == expected
    assert outcome.message
