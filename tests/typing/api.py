"""What users and plug-in authors write; mypy --strict must accept it as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dlbench
from dlbench.core.protocols import Capability, Device, Framework, Meter, Subject, SubjectRequest
from dlbench.core.types import Absent, DeviceInfo, PeakMemory, Policy, Precision, Reading

if TYPE_CHECKING:
    import numpy as np


def labels(folder: Path) -> list[str]:
    """Documents are read into typed values."""
    runs: tuple[dlbench.Run, ...] = dlbench.load_runs([folder])
    cases: list[dlbench.Case] = [result.case for run in runs for result in run.results]
    return [case.label for case in cases]


class MySubject:
    """A subject needs no base class."""

    n_buffers = 4
    info: Mapping[str, str | int | float | bool | Absent] = {"parameters": 1}

    def refill(self, buffer: int) -> None: ...

    def step(self, buffer: int) -> object:
        return buffer

    def query(self, buffer: int) -> object:
        return buffer

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        raise NotImplementedError

    def copy_inputs(self, source: int, target: int) -> None: ...

    def places(self, handle: object) -> frozenset[str]:
        return frozenset({"cpu"})

    def synchronize(self) -> None: ...

    def mark(self) -> object | None:
        return None

    def elapsed_s(self, start: object, end: object) -> float:
        return 0.0

    def peak_memory(self) -> PeakMemory:
        absent = Absent(reason="not counted")
        return PeakMemory(
            framework_allocated_mib=absent,
            framework_reserved_mib=absent,
            device_used_mib=absent,
            host_rss_mib=absent,
        )

    def close(self) -> None: ...


class MyFramework:
    """Neither does a framework; a module with these names does as well."""

    MODEL_FILES = ("model_mine",)
    DISTRIBUTIONS = ("mine",)
    INSTALL = "pip install mine"

    def probe(self) -> Capability | Absent:
        return Capability(
            version="1",
            precisions={"cpu": (Precision.FP32,)},
            policies={Policy.BASE: "nothing"},
            reasons={},
        )

    def open_subject(self, request: SubjectRequest) -> Subject:
        model: ModuleType = request.load_model()
        assert model
        return MySubject()


class MyMeter:
    """One source of readings."""

    def read(self) -> Sequence[Reading]:
        return (Reading(t_s=0.0, source="mine", quantity="power_w", value=Absent(reason="off")),)


class MyDevice:
    """A kind of device."""

    def find(self) -> tuple[DeviceInfo, ...] | Absent:
        return Absent(reason="none here", remedy="buy one")

    def meters(self, device: DeviceInfo) -> tuple[Meter, ...]:
        return (MyMeter(),)

    def memory_held_mib(self, device: DeviceInfo, pid: int) -> float | Absent:
        return Absent(reason="not counted")

    def occupants(self, device: DeviceInfo) -> tuple[int, ...] | Absent:
        return ()

    def child_environment(self, device: DeviceInfo) -> Mapping[str, str]:
        return {}


framework: Framework = MyFramework()
device: Device = MyDevice()
