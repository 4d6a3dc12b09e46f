"""Waiting for what happens in other processes: for as long as a busy machine needs, and no longer."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable

import psutil
import pytest

from tests.controls import Metronome

LIMIT_S = 120.0
"""Far more than any machine needs: reached only if it never happens."""


def until(condition: Callable[[], bool]) -> None:
    """Return as soon as it holds.

    Raises:
        AssertionError: it did not for two minutes.
    """
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)


def child(pid: int, word: str) -> psutil.Process:
    """The first child with a word in its command line; others (git, a probe) come and go meanwhile.

    Each has its parent's command line, word and all, until it has become its own program.
    """
    found: list[psutil.Process] = []

    def look() -> bool:
        parent = psutil.Process(pid)
        for process in parent.children():
            with contextlib.suppress(psutil.Error):
                command = process.cmdline()
                if command != parent.cmdline() and word in " ".join(command):
                    found.append(process)
        return bool(found)

    until(look)
    return found[0]


def program(pid: int, name: str) -> None:
    """Return when a child has become this program: before, a signal meets what starts it."""

    def look() -> bool:
        for process in psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] == [name]:
                    return True
        return False

    until(look)


def lives(pid: int) -> bool:
    """Whether there is such a process; one that ended and was not asked for its end is none."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


BUSY_LOAD_PER_CORE = 1.5
"""With so many programs waiting for each core a sleeper is woken late, and no rate holds any limit."""


def skip_without_a_rate(message: str, limit_s: float, beside: Metronome) -> None:
    """Skip the rest of a server's test that failed for want of a rate, on a machine seen to be busy.

    Busy is one with a queue of programs, and one that woke a sleeper late by half of the limit. What no
    load can change was asserted before.
    """
    load_per_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    late_s = beside.latest_s(-math.inf, math.inf)
    if "rate" in message and (load_per_core > BUSY_LOAD_PER_CORE or late_s > limit_s / 2):
        pytest.skip(f"a load of {load_per_core:.1f} a core, {late_s:.3f} s late: {message}")
