r"""The sampler: a process of its own that reads every meter ten times a second until told to stop.

    stdin    one line of JSON (what to watch), then nothing; its end is the order to stop
    stdout   a file: JSON lines, each written at once, so that whatever ends this process, all that it
             had read is there

    {"source": s, "quantities": [...], "methods": {...}, "averaging_s": {...}}   before a source's first
    [s, seconds, [value or null, ...]]                                           each read
    {"lost": [s, quantity, reason, remedy, code]}                                the first time of each
    {"end": {"cpu_s": ..., "n_reads": ..., "ready_s": ...}}    when it stopped in order

Never in the measured process: a thread there at ten readings a second made the slowest of short steps a
quarter slower.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TextIO

from dlbench.core import registry
from dlbench.core.plain import from_plain
from dlbench.core.protocols import Meter
from dlbench.core.reasons import Reason
from dlbench.core.sound import MOST_SIZE
from dlbench.core.trial_energy import COUNTER
from dlbench.core.types import Absent, DeviceInfo, Reading
from dlbench.measure.family import Family, die_with
from dlbench.measure.schedule import POWER_EVERY_S, SAMPLE_EVERY_S, due_s
from dlbench.telemetry.host import CgroupMeter, HostMeter

MILLI = 3
MICRO = 6
"""Digits that are kept: of values; and of seconds and joules, which RAPL counts in millionths."""


def main() -> None:
    """Sample until stdin ends."""
    request = json.loads(sys.stdin.readline())
    if not die_with(request["parent_pid"]):
        return
    book = Book(sys.stdout)
    slow, fast = _meters(request, book)
    if fast:
        _sample(book, fast, POWER_EVERY_S, slow, round(SAMPLE_EVERY_S / POWER_EVERY_S))
    else:
        _sample(book, slow, SAMPLE_EVERY_S, (), 1)
    book.end()


def _meters(request: Mapping[str, Any], book: Book) -> tuple[list[Meter], list[Meter]]:
    """What is read ten times a second, and what must be read more often."""
    device = from_plain(DeviceInfo, request["device"])
    kind = registry.device_kind(device.kind)
    # Where the measured process started the samplers itself, they are no part of its work.
    family = Family(request["pid"], exclude=frozenset((os.getpid(), *request.get("exclude", ()))))
    of_sampler = getattr(kind, "sampler_meters", None)
    own: Sequence[Meter] = (
        kind.meters(device)
        if of_sampler is None
        else of_sampler(device, family.pids, full=request["full"])
    )
    of_power = getattr(kind, "power_meters", None)
    first = [(meter, meter.read()) for meter in (*own, *_beside(device.kind))]
    for meter, readings in first:
        book.write(meter, readings)
    counted = any(_is_counter(r) for meter, readings in first if meter in own for r in readings)
    fast = list(of_power(device)) if of_power is not None and not counted else []
    # A card that says no power either needs no hurry.
    fast = [m for m in fast if any(not isinstance(r.value, Absent) for r in m.read())]
    lasting = [meter for meter, readings in first if not _never(readings)]
    return [*lasting, HostMeter(family), CgroupMeter(request["pid"])], fast


HOST_KIND = "cpu"
"""The kind of device that the host's processors are."""


def _beside(kind: str) -> Sequence[Meter]:
    """The processors' energy beside another device's."""
    if kind == HOST_KIND:
        return ()
    found: Sequence[Meter] = getattr(registry.device_kind(HOST_KIND), "meters_beside", tuple)()
    return found


NEVER = (str(Reason.NO_RAPL), str(Reason.NO_SENSOR))
"""What a machine does not have it will not have in a minute: said once, and not asked for again."""


def _never(readings: Sequence[Reading]) -> bool:
    return all(isinstance(r.value, Absent) and str(r.value.code) in NEVER for r in readings)


def _is_counter(reading: Reading) -> bool:
    return reading.quantity == COUNTER and not isinstance(reading.value, Absent)


def _sample(
    book: Book, meters: Sequence[Meter], every_s: float, seldom: Sequence[Meter], nth: int
) -> None:
    """Read ``meters`` at each turn and ``seldom`` at each ``nth``, until stdin ends."""
    start_s = time.monotonic()
    n = 0
    while True:
        for meter in meters:
            book.write(meter, meter.read())
        if n % nth == 0:
            for meter in seldom:
                book.write(meter, meter.read())
        n += 1
        # A read that took longer than a turn is followed by the next one that is still to come.
        n = max(n, int((time.monotonic() - start_s) / every_s))
        wait_s = max(0.0, start_s + due_s(n, every_s) - time.monotonic())
        if select.select([sys.stdin], [], [], wait_s)[0]:
            return


class Book:
    """Writes readings as lines, a source's names once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._known: set[str] = set()
        self._lost: set[tuple[str, str]] = set()
        self._n_reads = 0
        self._ready_s: float | None = None

    def write(self, meter: Meter, readings: Sequence[Reading]) -> None:
        """One read of a meter."""
        by_source: dict[str, list[Reading]] = {}
        for reading in readings:
            by_source.setdefault(reading.source, []).append(_possible(reading))
        for source, own in by_source.items():
            if source not in self._known:
                self._known.add(source)
                self._head(meter, source, own)
            for reading in own:
                self._lose(reading)
            self._line([source, round(own[0].t_s, MICRO), [_rounded(r) for r in own]])
        self._n_reads += 1
        self._ready_s = self._ready_s or time.monotonic()
        self._out.flush()

    def end(self) -> None:
        """The order to stop was heard."""
        cpu_s = time.process_time()
        self._line({"end": {"cpu_s": cpu_s, "n_reads": self._n_reads, "ready_s": self._ready_s}})
        self._out.flush()

    def _head(self, meter: Meter, source: str, own: Sequence[Reading]) -> None:
        self._line(
            {
                "source": source,
                "quantities": [r.quantity for r in own],
                "methods": dict(getattr(meter, "methods", {})),
                "averaging_s": dict(getattr(meter, "averaging_s", {})),
            }
        )

    def _lose(self, reading: Reading) -> None:
        key = (reading.source, reading.quantity)
        if not isinstance(reading.value, Absent) or key in self._lost:
            return
        self._lost.add(key)
        absent = reading.value
        self._line({"lost": [*key, absent.reason, absent.remedy, str(absent.code)]})

    def _line(self, record: object) -> None:
        self._out.write(json.dumps(record, allow_nan=False) + "\n")


def _possible(reading: Reading) -> Reading:
    """A number that nothing can be is a read that failed: no document that held it could be read."""
    value = reading.value
    if isinstance(value, Absent) or abs(value) <= MOST_SIZE:
        return reading
    reason = f"{reading.quantity} was said to be {value:.3g}"
    return replace(reading, value=Absent(reason=reason, code=Reason.FIELD_ERROR))


def _rounded(reading: Reading) -> float | None:
    if isinstance(reading.value, Absent):
        return None
    return round(reading.value, MICRO if reading.quantity.endswith("_j") else MILLI)


if __name__ == "__main__":
    main()
