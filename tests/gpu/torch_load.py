"""The load of a real acceptance: matrix products of torch on the first CUDA device it sees."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dlbench.core.types import Absent
from dlbench.core.units import MIB
from dlbench.frameworks import pytorch

SIDE = 4096
"""Of square matrices: large enough to keep any card busy."""

ENQUEUED = 20
"""Products between two synchronisations, so that work ends when it is asked to."""


class TorchLoad:
    """Matrix products in fp16; on ``cpu`` the same calls, to try them where there is no card."""

    def __init__(self, torch: Any, device: str = "cuda", side: int = SIDE) -> None:
        """Allocate two matrices and warm up."""
        self._torch = torch
        self._device = torch.device(device)
        self._a = torch.ones((side, side), dtype=torch.float16, device=self._device)
        self._b = torch.empty_like(self._a)
        self.work(0.5)

    def work(self, seconds: float) -> None:
        """Multiply for that long."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for _ in range(ENQUEUED):
                self._torch.matmul(self._a, self._a, out=self._b)
            self._synchronize()

    def allocate(self, mib: float) -> object:
        """Bytes on the device, written once so that they exist."""
        held = self._torch.zeros(int(mib * MIB), dtype=self._torch.uint8, device=self._device)
        self._synchronize()
        return held

    def memory_mib(self) -> Mapping[str, float | Absent]:
        """What the product says of torch's allocator: its two peaks."""
        peaks = pytorch.allocator_peaks(self._torch, cuda=self._device.type == "cuda")
        return {
            "framework_allocated": peaks.framework_allocated_mib,
            "framework_reserved": peaks.framework_reserved_mib,
        }

    def uuid(self) -> str | Absent:
        """As CUDA has it; older torch does not tell."""
        if self._device.type != "cuda":
            return Absent(reason="the CPU has no UUID")
        found = getattr(self._torch.cuda.get_device_properties(0), "uuid", None)
        return str(found) if found else Absent(reason="this torch does not tell the card's UUID")

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            self._torch.cuda.synchronize()
