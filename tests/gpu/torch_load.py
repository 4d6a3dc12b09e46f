"""The load of a real acceptance: matrix products of torch on the first CUDA device it sees."""

from __future__ import annotations

import time
from typing import Any

from dlbench.core.types import Absent

SIDE = 4096
"""Of square matrices: large enough to keep any card busy."""

ENQUEUED = 20
"""Products between two synchronisations, so that work ends when it is asked to."""

MIB = 1024**2


class TorchLoad:
    """Matrix products in fp16."""

    def __init__(self, torch: Any) -> None:
        """Allocate two matrices and warm up."""
        self._torch = torch
        self._a = torch.ones((SIDE, SIDE), dtype=torch.float16, device="cuda")
        self._b = torch.empty_like(self._a)
        self.work(0.5)

    def work(self, seconds: float) -> None:
        """Multiply for that long."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for _ in range(ENQUEUED):
                self._torch.matmul(self._a, self._a, out=self._b)
            self._torch.cuda.synchronize()

    def allocate(self, mib: float) -> object:
        """Bytes on the device, written once so that they exist."""
        held = self._torch.zeros(int(mib * MIB), dtype=self._torch.uint8, device="cuda")
        self._torch.cuda.synchronize()
        return held

    def allocated_mib(self) -> float | Absent:
        """What torch's allocator holds."""
        return float(self._torch.cuda.memory_allocated()) / MIB

    def uuid(self) -> str | Absent:
        """As CUDA has it; older torch does not tell."""
        found = getattr(self._torch.cuda.get_device_properties(0), "uuid", None)
        return str(found) if found else Absent(reason="this torch does not tell the card's UUID")
