"""The sampler as its parent sees it: started beside a process, ended with it, and what it had read.

It is started without waiting and stopped without asking twice: whatever goes wrong with it, what is
measured goes on, and the recording says what is missing and why.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any

from dlbench.core.reasons import Reason
from dlbench.core.telemetry import OFF
from dlbench.core.types import Absent, Column, DeviceInfo, TelemetryLevel, Track
from dlbench.core.units import MIB

STOP_S = 5.0
"""A sampler that hangs in a driver's call does not answer; after this long it is killed.

One on a busy machine may take seconds to leave, and would take the reasons of its readings along."""

MOST_BYTES = 192 * MIB
"""Eighteen hours of a card's readings, which are three kilobytes a second: of all devices together no
more than what a document, which is read up to 256 MiB, has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a sampler left. ``lost`` says why it did not get to its end; None if it did.

    ``cpu_s`` are the CPU seconds that it used, ``ready_s`` the moment of its first reading.
    """

    tracks: tuple[Track, ...] = ()
    lost: Absent | None = None
    cpu_s: float | Absent = OFF
    ready_s: float | Absent = OFF


class Sampler:
    """One sampler process; nothing happens at level ``off``."""

    def __init__(self, device: DeviceInfo, level: TelemetryLevel | None) -> None:
        self._device = device
        self._level = level
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: IO[bytes] | None = None
        self._failed: Absent | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    @property
    def has_read(self) -> bool:
        """Whether its first readings are there."""
        return self._lines is not None and os.fstat(self._lines.fileno()).st_size > 0

    def start(self, pid: int, exclude: Sequence[int] = ()) -> None:
        """Begin to watch a process and its children; returns at once, and never fails.

        Args:
            pid: the process.
            exclude: children of it that are not its own work, such as other samplers.
        """
        if self._level in (None, TelemetryLevel.OFF) or self._process is not None:
            return
        request = {
            "device": asdict(self._device),
            "pid": pid,
            "exclude": list(exclude),
            "full": self._level is TelemetryLevel.FULL,
            "parent_pid": os.getpid(),
        }
        try:
            self._lines = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it is stopped
            self._process = subprocess.Popen(
                # Not from the folder that we are called in: a stranger's module would run there.
                [sys.executable, "-P", "-m", "dlbench.telemetry.process"],
                stdin=subprocess.PIPE,
                stdout=self._lines,
                stderr=subprocess.DEVNULL,
                # A Ctrl-C in the terminal is the parent's to hear; it ends the sampler in order.
                start_new_session=True,
            )
            _pipe(self._process).write(json.dumps(request, allow_nan=False).encode() + b"\n")
            _pipe(self._process).flush()
        except OSError as error:
            self._failed = Absent(
                reason=f"the sampler could not be started: {error.strerror or error}",
                remedy="Free memory or processes, or use --telemetry off.",
                code=Reason.SAMPLER_NOT_STARTED,
            )

    def stop(self, n_beside: int = 0) -> Recording:
        """End it and read what it wrote; called again, nothing is left.

        Args:
            n_beside: other samplers, whose readings go into the same document.
        """
        process, lines = self._process, self._lines
        self._process = self._lines = None
        try:
            if process is not None:
                _end(process)
            if self._failed is not None:
                return Recording(lost=self._failed, cpu_s=self._failed, ready_s=self._failed)
            if process is None or lines is None:
                return Recording()
            return _recorded(lines, MOST_BYTES // (1 + n_beside))
        finally:
            if lines is not None:
                lines.close()


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdin is None:
        raise RuntimeError("the sampler was started without a stdin")
    return process.stdin


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        _pipe(process).close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)


def _recorded(lines: IO[bytes], most_bytes: int) -> Recording:
    """What is in a sampler's file, up to so many bytes."""
    lines.seek(0)
    found = parse(_whole(lines, most_bytes))
    if lines.seek(0, os.SEEK_END) <= most_bytes:
        return found
    full = Absent(
        reason=f"the readings are more than {most_bytes / MIB:,.0f} MiB: later ones are not kept",
        remedy="Watch a part of the work.",
        code=Reason.LOW_COVERAGE,
    )
    return replace(found, lost=full, cpu_s=full, ready_s=full)


def _whole(lines: IO[bytes], most_bytes: int) -> Iterator[str]:
    """One line at a time, since a day has millions; without a last one that is torn."""
    n_bytes = 0
    for line in lines:
        n_bytes += len(line)
        if n_bytes > most_bytes or not line.endswith(b"\n"):
            return
        yield line.decode("utf-8", errors="replace")


def parse(lines: Iterable[str]) -> Recording:
    """A recording from a sampler's lines; the last may be torn, and the end may be missing."""
    sources: dict[str, _Source] = {}
    end: Mapping[str, Any] | None = None
    for record in _records(lines):
        if isinstance(record, list):
            source, t_s, values = record
            sources[source].take(t_s, values)
        elif "source" in record:
            sources[record["source"]] = _Source(head=record)
        elif "lost" in record:
            source, quantity, reason, remedy, code = record["lost"]
            absent = Absent(reason=reason, remedy=remedy, code=code)
            sources[source].lost[quantity] = absent
        elif "end" in record:
            end = record["end"]
    tracks = tuple(source.track() for source in sources.values() if source.times_s)
    if end is None:
        killed = Absent(
            reason="the sampler was ended before the work was",
            remedy="Run again; dmesg shows whether the kernel killed it.",
            code=Reason.SAMPLER_KILLED,
        )
        return Recording(tracks=tracks, lost=killed, cpu_s=killed, ready_s=killed)
    return Recording(tracks=tracks, cpu_s=end["cpu_s"], ready_s=end["ready_s"])


def _records(lines: Iterable[str]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            # Torn by whatever killed the sampler; all before it is whole.
            return


@dataclass(slots=True, kw_only=True)
class _Source:
    """One source's reads, as they came."""

    head: Mapping[str, Any]
    times_s: list[float] = field(default_factory=list)
    rows: list[list[float | None]] = field(default_factory=list)
    lost: dict[str, Absent] = field(default_factory=dict)

    def take(self, t_s: float, values: list[float | None]) -> None:
        self.times_s.append(t_s)
        self.rows.append(values)

    def track(self) -> Track:
        """Column by column; what stays the same to the end is written once."""
        start_s = self.times_s[0]
        columns = [
            Column(
                quantity=quantity,
                values=_trimmed([row[i] for row in self.rows]),
                method=self.head["methods"].get(quantity, ""),
                averaging_s=self.head["averaging_s"].get(quantity, 0.0),
                absent=self.lost.get(quantity),
            )
            for i, quantity in enumerate(self.head["quantities"])
        ]
        return Track(
            source=self.head["source"],
            start_s=start_s,
            t_us=tuple(round((t - start_s) * 1e6) for t in self.times_s),
            columns=tuple(columns),
        )


def _trimmed(values: list[float | None]) -> tuple[float | None, ...]:
    n = len(values)
    while n > 1 and values[n - 1] == values[n - 2]:
        n -= 1
    return tuple(values[:n])
