"""When a child has ended, on kernels and Pythons of every age."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys

import pytest

from dlbench.measure import family
from dlbench.session import commands
from dlbench.session.signals import StopSignal
from tests import waiting


def _refused(_pid: int) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.fixture(params=["there", "unknown to Python", "refused by the kernel"], autouse=True)
def _pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "unknown to Python":
        monkeypatch.delattr(os, "pidfd_open")
    if request.param == "refused by the kernel":
        monkeypatch.setattr(os, "pidfd_open", _refused)


def test_a_childs_end_is_heard_and_leaves_its_exit_code() -> None:
    """Python as conda builds it has no os.pidfd_open: each trial there ended in a traceback."""
    program = [sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)"]
    with subprocess.Popen(program, stdin=subprocess.PIPE) as child:
        descriptor = family.death_fd(child.pid)
        assert not select.select([descriptor], [], [], 0)[0]
        assert child.stdin is not None
        child.stdin.close()
        assert select.select([descriptor], [], [], waiting.LIMIT_S)[0]
        os.close(descriptor)
        assert child.wait() == 3


def test_commands_are_timed_and_ended_when_they_are_too_slow() -> None:
    """Both ends of the wait, by the same descriptor."""
    stop = StopSignal()
    fails = commands.execute(("false",), None, stop, pair=0, label="A")
    slow = commands.execute(("sleep", "600"), 0.05, stop, pair=0, label="B")
    stop.close()
    assert fails.failure == "ended with exit code 1"
    assert slow.failure == "took longer than 0.05 s"
