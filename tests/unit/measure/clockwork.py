"""A subject whose steps take exactly as long as they are told, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlbench.core.types import Absent, PeakMemory

NOT_HERE = Absent(reason="clockwork")


class Clock:
    """Stands in for the module ``time``: moves only when somebody works."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.tick_s = 1e-7

    def monotonic(self) -> float:
        """Reading the clock takes a tenth of a microsecond, as it does on a real machine."""
        self.now_s += self.tick_s
        return self.now_s


class Clockwork:
    """Honours the Subject protocol; ``step_s(n)`` is the length of the n-th step."""

    n_buffers = 4

    def __init__(self, clock: Clock, step_s: Callable[[int], float]) -> None:
        self.clock = clock
        self.step_s = step_s
        self.info: dict[str, Any] = {"parameters": 10}
        self.buffers: list[int] = []
        self.refilled: list[tuple[int, int]] = []
        self.pending_s = 0.0
        self.n_synchronised = 0
        self.device_clock_rate: float | None = None

    def query(self, buffer: int) -> object:
        """Start the work; it is done when somebody synchronises."""
        self.pending_s += self.step_s(len(self.buffers))
        self.buffers.append(buffer)
        return buffer, len(self.buffers)

    step = query

    def refill(self, buffer: int) -> None:
        """Remember which buffer was filled before which step."""
        self.refilled.append((len(self.buffers), buffer))

    def synchronize(self) -> None:
        self.n_synchronised += 1
        self.clock.now_s += self.pending_s
        self.pending_s = 0.0

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        assert isinstance(handle, tuple)
        return np.array([[handle[0] * 10.0 + i for i in range(8)]])

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        return (np.full((1, 3), float(buffer)),)

    def copy_inputs(self, source: int, target: int) -> None:
        raise NotImplementedError

    def places(self, handle: object) -> frozenset[str]:
        return frozenset({"fake"})

    def mark(self) -> object | None:
        return None if self.device_clock_rate is None else (self.clock.now_s + self.pending_s,)

    def elapsed_s(self, start: object, end: object) -> float:
        assert self.device_clock_rate is not None
        return (end[0] - start[0]) * self.device_clock_rate  # type: ignore[index,no-any-return]

    def peak_memory(self) -> PeakMemory:
        return PeakMemory(
            framework_allocated_mib=NOT_HERE,
            framework_reserved_mib=NOT_HERE,
            device_used_mib=NOT_HERE,
            host_rss_mib=NOT_HERE,
        )

    def close(self) -> None:
        """Nothing is held."""
