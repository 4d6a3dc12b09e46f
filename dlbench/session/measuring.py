"""``with dlbench.measure() as m:`` the same telemetry around a part of one's own program.

    with dlbench.measure() as m:
        train()
    print(m)

The sampler is another process; what is measured is disturbed by no thread of ours, but for one that
wakes every ten seconds where the processors' energy is counted: within minutes that starts again at 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from dlbench import environment as environments
from dlbench.core import monitored as figures
from dlbench.core import units
from dlbench.core.errors import UsageError
from dlbench.core.types import (
    Absent,
    DeviceInfo,
    Estimated,
    Metric,
    Monitored,
    Run,
    TelemetryLevel,
)
from dlbench.measure.family import used_cpu_s
from dlbench.session import monitor
from dlbench.session.workers import UTC_FORMAT
from dlbench.store import journal, runs
from dlbench.telemetry.watch import Watch

IDLE_S = 0.5
"""How long devices are watched before the block begins: their baseline.

Half of what ``dlbench monitor`` takes unless told otherwise: the program waits for it at every block. A
counter's ticks are awaited beyond it, and the sampler reads power five times.
"""


class measure:  # noqa: N801 - it is used as a function is
    """Measure the energy, power, utilisation and memory of a block.

    Args:
        name: what the block is called in its document.
        devices: ids such as ``cpu`` or ``nvidia:0``; all that are found unless told.
        synchronize: called at both ends, so that asynchronous work counts where it was started
            (``torch.cuda.synchronize``).
        level: ``basic``, or ``full``.

    Raises:
        UsageError: a device is not here.
    """

    def __init__(
        self,
        name: str = "block",
        *,
        devices: Sequence[str] = (),
        synchronize: Callable[[], object] | None = None,
        level: str = "basic",
    ) -> None:
        self._name = name
        self._synchronize = synchronize or _nothing
        self._level = TelemetryLevel(level)
        self._devices = chosen(devices)
        self._watch = Watch(devices=self._devices, level=self._level)
        self._started = datetime.now(UTC)
        self._cpu_s = 0.0
        self._run: Run | None = None

    def __enter__(self) -> Self:
        # One block may be measured again and again: each time is a document of its own.
        self._watch, self._run = Watch(devices=self._devices, level=self._level), None
        self._synchronize()
        self._watch.prepare(os.getpid(), IDLE_S)
        self._watch.begin()
        self._started = datetime.now(UTC)
        self._cpu_s = self._used_cpu_s()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        ended = False
        try:
            if error is None:
                self._synchronize()
                ended = True
        finally:
            self._end(exit_code=0 if ended else 1)

    def _end(self, exit_code: int) -> None:
        """Stop watching, and write down what was seen."""
        used_s = self._used_cpu_s() - self._cpu_s
        watched = self._watch.end()
        found = Monitored(
            name=self._name,
            command=(),
            started_utc=self._started.strftime(UTC_FORMAT),
            exit_code=exit_code,
            cpu_s=used_s,
            windows=watched.windows,
            host=watched.host,
            devices=watched.devices,
        )
        here = environments.gather(self._devices, [], inherited=os.environ)
        self._run = monitor.document(found, here, self._level, self._started)

    def _used_cpu_s(self) -> float:
        """Of this process and its children, but for the samplers beside them."""
        pids = (sampler.pid for sampler in self._watch.samplers)
        return used_cpu_s(exclude=frozenset(pid for pid in pids if pid is not None))

    @property
    def run(self) -> Run:
        """The document: all readings, and the machine.

        Raises:
            UsageError: the block has not ended.
        """
        if self._run is None:
            raise UsageError("the block has not ended yet", "Ask after the with statement.")
        return self._run

    @property
    def metrics(self) -> dict[str, dict[str, Metric]]:
        """By ``host`` or device id and by name, each number as what it is."""
        run = self.run
        (found,) = run.monitored
        by_id = {d.id: d for d in self._devices}
        named = {
            part.device: figures.of_device(found, part, by_id.get(part.device))
            for part in found.devices
        }
        named = {"host": figures.of_host(found), **named}
        return {who: {f.name: f.value for f in own} for who, own in named.items()}

    def __str__(self) -> str:
        lines = [self._name]
        for who, own in self.metrics.items():
            lines += [f"  {who:<10} {name:<24} {_words(value)}" for name, value in own.items()]
        return "\n".join(lines)

    def save(self, folder: str | Path = "results") -> Path:
        """Write the document, as ``dlbench monitor`` does.

        Raises:
            StoreError: it cannot be written.
            UsageError: the block has not ended.
        """
        run = self.run
        journal.check_writable(Path(folder), "save(FOLDER)")
        return runs.seal(run, Path(folder))


def chosen(ids: Sequence[str]) -> tuple[DeviceInfo, ...]:
    """Devices of this machine by their ids or kinds; all of them if none is named.

    Raises:
        UsageError: there is no such device here.
    """
    found, absent = environments.find_devices()
    if not ids:
        return found
    for name in ids:
        if not any(name in (d.id, d.kind) for d in found):
            why = absent.get(name.partition(":")[0])
            reason = f": {why.reason}" if why else ""
            raise UsageError(f"there is no device {name} here{reason}", "dlbench devices")
    return tuple(d for d in found if d.id in ids or d.kind in ids)


def _words(value: Metric) -> str:
    if isinstance(value, Absent):
        return f"absent: {value.reason}"
    return f"{'~' if isinstance(value, Estimated) else ''}{units.significant(value.value)}"


def _nothing() -> None:
    """Nothing to synchronise."""
