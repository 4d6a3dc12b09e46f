"""Start a worker process on this machine, listen to it, and end it when it must end.

The worker is the leader of its own process group and session: a Ctrl-C in the terminal reaches
only the parent, and killing the group leaves no grandchild behind; one that made a session of its own
is known by a word in its environment. The parent sleeps in one ``select`` over the worker's events,
its output, its death and our own signals.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dlbench.core.requests import TrialRequest, WorkerExit
from dlbench.measure import family

TERM_GRACE_S = 5.0
"""After SIGTERM a framework gets this long to leave; then SIGKILL."""

KILL_GRACE_S = 5.0
"""After SIGKILL only a process stuck in the kernel is still there."""

TOGETHER_S = 1.0
"""Who ends a whole job (a batch system, a machine that shuts down) sends SIGTERM to each of its
processes: the worker may have ended of it before we hear."""

LOG_BYTES = 64 * 1024
"""The tail of stdout and stderr that is kept; a flooding worker is drained, not stored."""

EVENT_BYTES = 64 * 1024 * 1024
"""No trial's events are this large; a worker that sends more is not ours any more."""

CHUNK_BYTES = 1 << 16

MARK = "DLBENCH_TRIAL"
"""Of the worker's environment: what it starts has the same value, in whatever group or session."""

OnEvent = Callable[[dict[str, Any]], None]


class Stop(Protocol):
    """Something selectable that becomes readable when the session must end."""

    def fileno(self) -> int:
        """A descriptor that is readable once a stop was asked for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds that each phase may last without a sign of life.

    Loading and building cover a cold import from a slow disk, the first step compilers that search
    (XLA, torch.compile, cuDNN). Later phases speak every half second or once a value, whichever is
    slower; ``heartbeat_first_steps`` lets a value be that many times as long as the first step.
    """

    start_s: float = 60.0
    load_s: float = 600.0
    first_step_s: float = 1200.0
    heartbeat_s: float = 120.0
    heartbeat_first_steps: float = 10.0

    def of(self, phase: str, first_step_s: float = 0.0) -> float:
        """The deadline of a phase, once the first step took ``first_step_s``."""
        by_phase = {
            "start": self.start_s,
            "load": self.load_s,
            "build": self.load_s,
            "first_step": self.first_step_s,
        }
        slow_s = self.heartbeat_first_steps * first_step_s
        return by_phase.get(phase, max(self.heartbeat_s, slow_s))

    def capped(self, seconds: float) -> Deadlines:
        """The same with no phase above ``seconds``."""
        return Deadlines(
            start_s=min(self.start_s, seconds),
            load_s=min(self.load_s, seconds),
            first_step_s=min(self.first_step_s, seconds),
            heartbeat_s=min(self.heartbeat_s, seconds),
            heartbeat_first_steps=0.0,
        )


def launch(
    request: TrialRequest,
    *,
    environment: Mapping[str, str],
    deadlines: Deadlines,
    on_event: OnEvent,
    stop: Stop,
    python: str = sys.executable,
) -> WorkerExit:
    """Run one trial in a fresh process and return when it and its group are gone."""
    before = oom_kills()
    mark = uuid.uuid4().hex
    read_fd, write_fd = os.pipe()
    try:
        process = subprocess.Popen(
            # Not from the folder that we are called in: a stranger's statistics.py would run there.
            [python, "-P", "-m", "dlbench.worker", "--events", str(write_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write_fd,),
            start_new_session=True,
            env={**environment, MARK: mark},
        )
    except BaseException:
        os.close(read_fd)
        raise
    finally:
        os.close(write_fd)
    listener = _Listener(process=process, events_fd=read_fd, deadlines=deadlines, on_event=on_event)
    try:
        _send(process, request)
        reason = listener.listen(stop)
        returncode = _end(process, gently=reason != "ended")
        by_others = reason == "ended" and returncode == -signal.SIGTERM
        if by_others and _asked(stop, TOGETHER_S):
            reason = "stop"
        listener.drain()
    except BaseException:
        _end(process, gently=False)
        raise
    finally:
        _end_strays(mark)
        listener.close()
    return WorkerExit(
        returncode=returncode,
        phase=listener.phase,
        timed_out=reason == "timeout",
        interrupted=reason == "stop",
        trial=listener.trial,
        log=listener.log_text(),
        oom_kills=oom_kills() - before,
    )


def _send(process: subprocess.Popen[bytes], request: TrialRequest) -> None:
    if process.stdin is None:
        raise RuntimeError("the worker was started without a stdin")
    # A worker that dies at once breaks the pipe; its exit tells more than that error would.
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(json.dumps(asdict(request), allow_nan=False).encode())


@dataclass(slots=True, kw_only=True)
class _Listener:
    """What has been heard of one worker so far."""

    process: subprocess.Popen[bytes]
    events_fd: int
    deadlines: Deadlines
    on_event: OnEvent
    phase: str = "start"
    phase_start_s: float = 0.0
    first_step_s: float = 0.0
    trial: dict[str, Any] | None = None
    _log: bytearray = field(default_factory=bytearray)
    _pending: bytearray = field(default_factory=bytearray)
    _heard_bytes: int = 0

    def listen(self, stop: Stop) -> str:
        """Block until the worker ``ended``, is late (``timeout``) or must ``stop``."""
        output = self._output()
        death_fd = family.death_fd(self.process.pid)
        due_s = time.monotonic() + self.deadlines.of(self.phase)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self.events_fd, selectors.EVENT_READ, "events")
                selector.register(output, selectors.EVENT_READ, "output")
                selector.register(death_fd, selectors.EVENT_READ, "death")
                selector.register(stop, selectors.EVENT_READ, "stop")
                while True:
                    ready = {
                        key.data: key.fileobj
                        for key, _ in selector.select(max(0.0, due_s - time.monotonic()))
                    }
                    if "stop" in ready:
                        return "stop"
                    if "output" in ready and not self._hear_output():
                        selector.unregister(output)
                    if "events" in ready:
                        if self._hear_events():
                            due_s = time.monotonic() + self._patience_s()
                        else:
                            selector.unregister(self.events_fd)
                    if "death" in ready:
                        return "ended"
                    if time.monotonic() >= due_s:
                        return "timeout"
        finally:
            os.close(death_fd)

    def drain(self) -> None:
        """Hear what is still in the pipes of a worker that is gone, without waiting for more."""
        for descriptor, hear in (
            (self.events_fd, self._hear_events),
            (self._output(), self._hear_output),
        ):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while hear():
                    pass

    def log_text(self) -> str:
        """The tail of what the worker printed."""
        return bytes(self._log).decode("utf-8", errors="replace")

    def close(self) -> None:
        os.close(self.events_fd)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _output(self) -> int:
        if self.process.stdout is None:
            raise RuntimeError("the worker was started without a stdout")
        return self.process.stdout.fileno()

    def _hear_output(self) -> bool:
        chunk = os.read(self._output(), CHUNK_BYTES)
        self._log += chunk
        if len(self._log) > 2 * LOG_BYTES:
            del self._log[:-LOG_BYTES]
        return bool(chunk)

    def _hear_events(self) -> bool:
        """Take in what is there; False at the end, or when the worker talks nonsense."""
        chunk = os.read(self.events_fd, CHUNK_BYTES)
        self._heard_bytes += len(chunk)
        self._pending += chunk
        *lines, rest = self._pending.split(b"\n")
        self._pending = bytearray(rest)
        for line in lines:
            self._take(bytes(line))
        return bool(chunk) and self._heard_bytes <= EVENT_BYTES

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        if event.get("event") == "phase":
            self._enter(str(event.get("phase")))
        if event.get("event") == "trial":
            self.trial = event.get("trial")
            return
        self.on_event(event)

    def _enter(self, phase: str) -> None:
        now = time.monotonic()
        if self.phase == "first_step":
            self.first_step_s = now - self.phase_start_s
        self.phase, self.phase_start_s = phase, now

    def _patience_s(self) -> float:
        return self.deadlines.of(self.phase, self.first_step_s)


# --- endings --------------------------------------------------------------------------------


def _end(process: subprocess.Popen[bytes], *, gently: bool) -> int | None:
    """End the worker and its whole group; its return code, or None if it cannot be killed."""
    if gently and process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TERM_GRACE_S)
    # Also after a normal end: whatever the worker left behind in its group goes now.
    _signal_group(process.pid, signal.SIGKILL)
    try:
        return process.wait(KILL_GRACE_S)
    except subprocess.TimeoutExpired:
        return None


def _asked(stop: Stop, within_s: float) -> bool:
    """Whether a stop is asked for, now or within so many seconds."""
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        return bool(selector.select(within_s))


def _end_strays(mark: str) -> None:
    """Kill what the worker started in other sessions: it would share the machine with later trials."""
    wanted = f"{MARK}={mark}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        # Gone meanwhile, or another user's.
        with contextlib.suppress(OSError):
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def oom_kills(root: Path = Path("/")) -> int:
    """How often the kernel's OOM killer struck in our cgroup (v2) or, failing that, at all.

    A group of version 1 counts its own members' deaths alone: where we live in a group of a group, and
    on some kernels everywhere, its file stays at 0 whoever is killed.
    """
    for path in (_own_cgroup(root) / "memory.events", root / "proc/vmstat"):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.strip().isdigit():
                return int(count)
    return 0


def _own_cgroup(root: Path) -> Path:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return root / "sys/fs/cgroup"
    relative = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return root / "sys/fs/cgroup" / relative.lstrip("/")
