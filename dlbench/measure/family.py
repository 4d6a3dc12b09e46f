"""A process, its parent, and its living descendants with the CPU time that they used."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

FAMILY_EVERY_S = 1.0
"""How often children are looked for; reading each process of the machine ten times a second would cost
more than all other readings together."""


PR_SET_PDEATHSIG = 1
"""linux/prctl.h: the signal this process gets when its parent dies."""


def die_with(parent_pid: int) -> bool:
    """Let this process die when its parent does, even by SIGKILL; False if that is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent_pid


def death_fd(pid: int) -> int:
    """A descriptor that is readable once a child of ours has ended; whoever asks for it closes it.

    The kernel's own is there from Linux 5.3 on, and where Python was built with it: conda's was not,
    and some containers refuse it. There a thread waits, and leaves the child to be waited for.
    """
    with contextlib.suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    read_fd, write_fd = os.pipe()

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(write_fd)

    threading.Thread(target=wait, daemon=True).start()
    return read_fd


class Family:
    """A process and its living descendants, looked up now and then: the younger, the more often.

    Children are found through the kernel's lists of each thread's (CONFIG_PROC_CHILDREN); where it
    keeps none only the process itself is known. ``exclude`` are descendants that do not belong to it.
    """

    def __init__(
        self, pid: int, root: Path = Path("/proc"), exclude: frozenset[int] = frozenset()
    ) -> None:
        self._pid = pid
        self._exclude = exclude
        self._root = root
        self._pids = frozenset((pid,))
        self._began_s = time.monotonic()
        self._due_s = 0.0

    def pids(self) -> frozenset[int]:
        """Of all members."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            # A program of half a second has children too, which would never be seen.
            self._due_s = now_s + min(FAMILY_EVERY_S, (now_s - self._began_s) / 10)
            self._pids = frozenset(self._descend(self._pid))
        return self._pids

    def _descend(self, pid: int) -> set[int]:
        found = {pid}
        waiting = [pid]
        while waiting:
            for path in (self._root / str(waiting.pop()) / "task").glob("*/children"):
                try:
                    children = {int(word) for word in path.read_text().split()}
                except (OSError, ValueError):
                    continue
                waiting += children - found - self._exclude
                found |= children - self._exclude
        return found


def used_cpu_s(exclude: frozenset[int] = frozenset()) -> float:
    """CPU seconds of this process and its descendants until now, those that have ended included.

    Processes that work for this one (a loader's) are its own work. ``exclude`` are living ones that do
    not belong to it.
    """
    ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own_s = sum(usage.ru_utime + usage.ru_stime for usage in ended)
    living = Family(os.getpid(), exclude=exclude).pids() - {os.getpid()}
    return own_s + sum(_cpu_s(pid) for pid in living)


def _cpu_s(pid: int, root: Path = Path("/proc")) -> float:
    """Of a process and of its children that it has waited for; none of one that is gone."""
    try:
        return sum(map(int, _stat(pid, root)[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def began_ticks(pid: int, root: Path = Path("/proc")) -> int:
    """When a process began, in ticks since the machine did: with its number what no other has.

    Raises:
        OSError: it is gone.
    """
    return int(_stat(pid, root)[19])


def _stat(pid: int, root: Path) -> list[bytes]:
    """What the kernel says of a process (proc(5)) from its state on: utime is the twelfth.

    The name in parentheses before it may hold anything, half a letter too.
    """
    return (root / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
