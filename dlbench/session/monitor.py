"""Run any program with telemetry around it, and keep what was read in one document."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import dlbench
from dlbench import environment as environments
from dlbench.core.errors import StoreError
from dlbench.core.types import (
    Absent,
    DeviceInfo,
    Environment,
    Monitored,
    Plan,
    Profile,
    Run,
    TelemetryLevel,
)
from dlbench.session.workers import UTC_FORMAT
from dlbench.store import journal, runs
from dlbench.telemetry.host import core_s
from dlbench.telemetry.watch import Watch

MOST_IDLE_S = 60.0

SIGNAL_EXIT = 128
"""A program that a signal ended: 128 and the signal's number, as a shell says it."""

GATE = """
import os, sys
if not os.read(int(sys.argv[1]), 1):
    os._exit(125)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    print(f"dlbench monitor: {sys.argv[2]}: {error.strerror}", file=sys.stderr)
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
"""A process that waits until it may become the program, which so is watched from its very first moment.
127 and 126 say what a shell says with them: there is no such program, or it may not be run. With 125
it ends where nobody watches any more: a pipe that was closed without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A monitored program: its document, where that lies (None: not kept), and its exit code.

    ``lost`` says why a document that was to be kept is not.
    """

    run: Run
    path: Path | None
    exit_code: int
    lost: StoreError | None = None


def monitor(
    command: Sequence[str],
    devices: Sequence[DeviceInfo],
    level: TelemetryLevel,
    folder: Path | None,
    *,
    idle_s: float,
) -> Finished:
    """Run a program to its end, whatever that is.

    Args:
        command: the program and its arguments; it has our stdin, stdout, stderr and terminal.
        devices: what to watch.
        level: how much to read.
        folder: where the document goes; None keeps none.
        idle_s: how long to watch the devices before.

    Raises:
        StoreError: nothing can be written into the folder; the program has not run.
    """
    if folder is not None:
        journal.check_writable(folder)
    started = datetime.now(UTC)
    watch = Watch(devices=devices, level=level)
    with _signals_are_the_programs() as forwarding:
        read_fd, write_fd = os.pipe()
        process = subprocess.Popen(
            # Nothing that a site or an environment adds: it only waits, and a Ctrl-C may come early.
            [sys.executable, "-I", "-S", "-c", GATE, str(read_fd), *command],
            pass_fds=(read_fd,),
        )
        os.close(read_fd)
        forwarding.to(process.pid)
        watch.prepare(process.pid, idle_s)
        # What the waiting process has used until now is ours, and not the program's.
        before_s = core_s(process.pid)
        own_s = 0.0 if isinstance(before_s, Absent) else before_s
        watch.begin()
        with contextlib.suppress(BrokenPipeError):
            os.write(write_fd, b"x")
        _, status, used = os.wait4(process.pid, 0)
        forwarding.to_nobody()
        os.close(write_fd)
        watched = watch.end()
    process.returncode = os.waitstatus_to_exitcode(status)
    code = process.returncode
    monitored = Monitored(
        name=Path(command[0]).name,
        command=tuple(command),
        started_utc=started.strftime(UTC_FORMAT),
        exit_code=code if code >= 0 else SIGNAL_EXIT - code,
        cpu_s=max(0.0, used.ru_utime + used.ru_stime - own_s),
        windows=watched.windows,
        host=watched.host,
        devices=watched.devices,
    )
    run = document(
        monitored, environments.gather(devices, [], inherited=os.environ), level, started
    )
    path = lost = None
    if folder is not None:
        # What was read is shown whatever became of the folder meanwhile.
        try:
            journal.check_writable(folder)
            path = runs.seal(run, folder)
        except StoreError as error:
            lost = error
    return Finished(run=run, path=path, exit_code=monitored.exit_code, lost=lost)


def document(
    monitored: Monitored, environment: Environment, level: TelemetryLevel, started: datetime
) -> Run:
    """A result document without cases: what was monitored, on which machine."""
    profile = Profile(
        name="monitor",
        target_half_width=1.0,
        looks=(1,),
        min_values=0,
        max_values=0,
        max_steady_s=0.0,
        max_warm_up_s=0.0,
        time_budget_s=None,
    )
    plan = Plan(
        cases=(),
        skips=(),
        workloads=(),
        profile=profile,
        seed=0,
        time_budget_s=None,
        sentinel=None,
        threads=environments.usable_threads(None),
        telemetry=level,
    )
    return Run(
        run_id=runs.new_run_id(f"{environment.machine}-monitor", started),
        created_utc=started.strftime(UTC_FORMAT),
        finished_utc=datetime.now(UTC).strftime(UTC_FORMAT),
        dlbench_version=dlbench.__version__,
        plan=plan,
        environment=environment,
        results=(),
        monitored=(monitored,),
    )


class _Forwarding:
    """The way of a signal to the program; one that comes before there is a program waits for it."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._waiting: list[int] = []
        self._ended = False

    def send(self, number: int) -> None:
        """Now, or as soon as it is known to whom; a program that has ended gets none."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)
        elif not self._ended:
            self._waiting.append(number)

    def to(self, pid: int) -> None:
        """The program is this process."""
        self._pid = pid
        while self._waiting:
            self.send(self._waiting.pop(0))

    def to_nobody(self) -> None:
        """The program has ended: its number may be another's soon."""
        self._pid, self._ended = None, True

    @property
    def has_a_program(self) -> bool:
        """Whether there is one to tell."""
        return self._pid is not None


@contextlib.contextmanager
def _signals_are_the_programs() -> Iterator[_Forwarding]:
    """Ctrl-C reaches the program by its terminal and SIGTERM through us; we stay to write it down.

    A handler, and not SIG_IGN: the program would inherit that.
    """
    forwarding = _Forwarding()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        """The terminal has told the program already, if there was one."""
        if not forwarding.has_a_program:
            forwarding.send(number)

    def forward(number: int, _frame: FrameType | None) -> None:
        forwarding.send(number)

    previous = {
        signal.SIGINT: signal.signal(signal.SIGINT, interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, forward),
    }
    try:
        yield forwarding
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
