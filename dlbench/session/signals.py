"""SIGINT and SIGTERM while a session runs: the first asks, the second insists."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from dlbench.core.errors import EXIT_INTERRUPTED


class StopSignal:
    """Readable (``select``) once a stop was asked for; ``asked`` says the same in words."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.asked = False

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._read_fd

    def ask(self) -> None:
        """Ask the session to stop; from a signal handler or another thread."""
        self.asked = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._write_fd, b"x")

    def close(self) -> None:
        """Release the pipe."""
        os.close(self._read_fd)
        os.close(self._write_fd)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopSignal]:
    """A stop signal that SIGINT and SIGTERM ask through; the second one leaves at once.

    Leaving at once is safe for a plan: every finished trial is on disk, and the worker dies with its
    parent. What keeps no journal loses what it has: a search for batch sizes, and a comparison of
    commands but for its trace, whose command under way goes on to its end.
    """
    stop = StopSignal()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.asked:
            os._exit(EXIT_INTERRUPTED)
        stop.ask()

    previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        stop.close()
