"""Each way in which a worker can end has its outcome."""

from __future__ import annotations

import signal

import pytest

from dlbench.core.requests import WorkerExit
from dlbench.session.outcomes import blamed, outcome_of_exit


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


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (WorkerExit(returncode=-signal.SIGSEGV, phase="load"), True),
        (WorkerExit(returncode=-signal.SIGILL, phase="load"), True),
        (WorkerExit(returncode=1, phase="load"), True),
        (WorkerExit(returncode=-signal.SIGSEGV, phase="build"), False),
        (WorkerExit(returncode=-signal.SIGSEGV, phase="start"), False),
        (WorkerExit(returncode=-signal.SIGTERM, phase="load", timed_out=True), False),
        (WorkerExit(returncode=-signal.SIGKILL, phase="load", oom_kills=1), False),
    ],
)
def test_a_framework_that_dies_when_imported_is_told_with_its_install_line(
    ended: WorkerExit, told: bool
) -> None:
    """A crash elsewhere, a slow disk and a lack of memory are not its fault."""
    plain = outcome_of_exit(ended)
    outcome = blamed(plain, ended.phase, "jax", "pip install 'dlbench[jax]'")
    assert str(outcome) == str(plain)
    assert ("while jax was imported" in outcome.message) is told
    assert ("pip install 'dlbench[jax]'" in outcome.advice) is told
