"""NVIDIA GPUs through nvidia-ml-py: what is here, and what it can say of itself.

Capabilities are probed, never assumed from the architecture: what a driver does not answer is Absent
with NVML's own words. Devices are named by UUID, since CUDA's order is not NVML's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, DeviceInfo, Fact, Precision
from dlbench.core.units import MIB
from dlbench.devices import _nvml, _nvml_meters
from dlbench.devices._cuda_visible import Candidate, visible
from dlbench.devices._nvml import Gpu, known

meters = _nvml_meters.meters
energy_meters = _nvml_meters.energy_meters
power_meters = _nvml_meters.power_meters
sampler_meters = _nvml_meters.sampler_meters
processes = _nvml_meters.processes
occupants = _nvml_meters.occupants
memory_held_mib = _nvml_meters.memory_held_mib
GpuProcess = _nvml_meters.GpuProcess

CUDA_VERSION_MAJOR = 1000
CUDA_VERSION_MINOR = 10
"""NVML states CUDA 12.4 as 12040."""

TENSOR_TO_FP32 = {7: 8, 8: 16, 9: 16, 10: 32, 11: 32, 12: 32}
"""Dense fp16 tensor operations a cycle over fp32 ones, the most of any chip of a major compute
capability (V100 8; A100 and H100 16; B200 28): an upper bound against implausible results."""

PRECISIONS_FROM = (
    (Precision.FP32, (0, 0)),
    (Precision.FP16, (7, 0)),
    (Precision.INT8, (7, 5)),
    (Precision.TF32, (8, 0)),
    (Precision.BF16, (8, 0)),
)
"""The compute capability from which a precision has tensor cores (CUDA programming guide)."""

ARCHITECTURES = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
}
"""nvml.h, NVML_DEVICE_ARCH_...; what is younger keeps its number."""

VIRTUALISATION = {0: "none", 1: "pass-through", 2: "vgpu", 3: "host vgpu", 4: "host vsga"}
"""nvmlGpuVirtualizationMode_t in words."""


def find() -> tuple[DeviceInfo, ...] | Absent:
    """All GPUs and MIG slices that CUDA_VISIBLE_DEVICES lets through, or why there are none."""
    nvml = _nvml.load()
    if isinstance(nvml, Absent):
        return nvml
    boards = _nvml.boards(nvml)
    if isinstance(boards, Absent):
        return boards
    # A job of a cluster may use some of a machine's GPUs. NVML counts the others too; CUDA, which
    # numbers what this process may use, does not.
    boards = [board for board in boards if not _forbidden(board)] or boards
    silent = [board for board in boards if isinstance(board, Absent)]
    usable, candidates = _candidates(nvml, boards)
    if not usable:
        return _nothing_usable(boards, silent)
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = visible(candidates, setting, order_known=_order_known(candidates, silent))
    if isinstance(chosen, Absent):
        return chosen
    shared = _system_facts(nvml) | _silent_facts(silent)
    return tuple(_info(usable[n], f"nvidia:{i}", shared) for i, n in enumerate(chosen))


def _forbidden(board: Gpu | Absent) -> bool:
    return isinstance(board, Absent) and board.code == Reason.NO_PERMISSION


def child_environment(device: DeviceInfo) -> Mapping[str, str]:
    """A worker sees this GPU and no other, by UUID; without one it sees none."""
    uuid = "" if isinstance(device.uuid, Absent) else device.uuid
    return {"CUDA_VISIBLE_DEVICES": uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _candidates(
    nvml: Any,  # noqa: ANN401
    boards: Sequence[Gpu | Absent],
) -> tuple[list[Gpu], list[Candidate]]:
    """What CUDA could be given: each board, or in MIG mode its slices instead."""
    usable: list[Gpu] = []
    candidates: list[Candidate] = []
    for position, board in enumerate(boards):
        if isinstance(board, Absent):
            continue
        parts = _nvml.slices(nvml, board)
        for gpu in [board] if parts is None else parts:
            uuid = gpu.uuid()
            if isinstance(uuid, Absent):
                continue
            usable.append(gpu)
            candidates.append(
                Candidate(
                    uuid=uuid, board=position, board_uuid=board.uuid(), name=str(board.name())
                )
            )
    return usable, candidates


def _order_known(candidates: Sequence[Candidate], silent: Sequence[Absent]) -> bool:
    """CUDA puts the fastest GPU first and cannot count one that does not answer.

    Among GPUs of one kind its order is the bus's anyway.
    """
    if silent:
        return False
    by_bus = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return by_bus or len({c.name for c in candidates}) == 1


def _nothing_usable(boards: Sequence[Gpu | Absent], silent: Sequence[Absent]) -> Absent:
    if silent:
        first = silent[0]
        return Absent(
            reason="; ".join(s.reason for s in silent), remedy=first.remedy, code=first.code
        )
    if boards:
        return Absent(
            reason="the GPU is in MIG mode and has no slice",
            remedy="Make one: sudo nvidia-smi mig -cgi <profile> -C, or ask who runs the machine.",
            code=Reason.NO_DEVICE,
        )
    return Absent(
        reason="the NVIDIA driver is loaded and sees no GPU",
        remedy="In a container, give it the GPUs (--gpus all); else look at: dmesg | grep NVRM.",
        code=Reason.NO_DEVICE,
    )


def _info(gpu: Gpu, device_id: str, shared: Mapping[str, str | Absent]) -> DeviceInfo:
    # Slices do not answer what belongs to their board.
    capability = gpu.board.ask("nvmlDeviceGetCudaComputeCapability")
    version = (0, 0) if isinstance(capability, Absent) else tuple(capability)
    name = gpu.name()
    return DeviceInfo(
        id=device_id,
        kind="nvidia",
        name="NVIDIA GPU" if isinstance(name, Absent) else name,
        uuid=gpu.uuid(),
        memory_mib=known(gpu.ask("nvmlDeviceGetMemoryInfo"), lambda m: m.total / MIB),
        precisions=tuple(p for p, least in PRECISIONS_FROM if version >= least),
        peak_flops=_peak_flops(gpu.board, version[0]),
        facts={
            "compute_capability": known(capability, lambda c: ".".join(map(str, c))),
            **_facts(gpu),
            **shared,
        },
    )


def _peak_flops(board: Gpu, major: int) -> dict[str, float]:
    """Upper bounds by precision, from cores and the highest clock; none if these are unknown.

    A slice is given its board's: too much for it, and still a bound.
    """
    cores = board.ask("nvmlDeviceGetNumGpuCores")
    clock_mhz = _max_clock_mhz(board, "NVML_CLOCK_SM")
    if isinstance(cores, Absent) or isinstance(clock_mhz, Absent):
        return {}
    fp32 = 2.0 * cores * clock_mhz * 1e6
    peaks = {Precision.FP32.value: fp32}
    if factor := TENSOR_TO_FP32.get(major):
        peaks |= {
            Precision.FP16.value: fp32 * factor,
            Precision.BF16.value: fp32 * factor,
            Precision.TF32.value: fp32 * factor / 2,
            Precision.INT8.value: fp32 * factor * 2,
        }
    return peaks


def _facts(gpu: Gpu) -> dict[str, Fact]:
    """What else can change a result; each entry may be unknown."""
    ask = gpu.board.ask
    return {
        "sm_clock_max_mhz": _max_clock_mhz(gpu.board, "NVML_CLOCK_SM"),
        "memory_clock_max_mhz": _max_clock_mhz(gpu.board, "NVML_CLOCK_MEM"),
        "architecture": _architecture(gpu.board),
        "power_limit_w": known(ask("nvmlDeviceGetEnforcedPowerLimit"), lambda mw: mw / 1000),
        "power_limit_default_w": known(
            ask("nvmlDeviceGetPowerManagementDefaultLimit"), lambda mw: mw / 1000
        ),
        "pcie_generation": ask("nvmlDeviceGetCurrPcieLinkGeneration"),
        "pcie_generation_max": ask("nvmlDeviceGetMaxPcieLinkGeneration"),
        "pcie_width": ask("nvmlDeviceGetCurrPcieLinkWidth"),
        "pcie_width_max": ask("nvmlDeviceGetMaxPcieLinkWidth"),
        "persistence": known(ask("nvmlDeviceGetPersistenceMode"), bool),
        "ecc": known(ask("nvmlDeviceGetEccMode"), lambda mode: bool(mode[0])),
        "mig": known(ask("nvmlDeviceGetMigMode"), lambda mode: bool(mode[0])),
        "mig_slice": gpu.is_slice,
        "virtualisation": known(
            ask("nvmlDeviceGetVirtualizationMode"), lambda mode: VIRTUALISATION.get(mode, str(mode))
        ),
    }


def _architecture(board: Gpu) -> str | Absent:
    """The chip's generation, which decides how far its power sensor can be trusted."""
    number = board.ask("nvmlDeviceGetArchitecture")
    if isinstance(number, Absent):
        return number
    return ARCHITECTURES.get(number, f"architecture {number}")


def _max_clock_mhz(board: Gpu, constant: str) -> Any:  # noqa: ANN401
    clock = board.constant(constant)
    return clock if isinstance(clock, Absent) else board.ask("nvmlDeviceGetMaxClockInfo", clock)


def _system_facts(nvml: Any) -> dict[str, str | Absent]:  # noqa: ANN401
    return {
        "driver": _nvml.words(_nvml.system(nvml, "nvmlSystemGetDriverVersion")),
        "nvml": _nvml.words(_nvml.system(nvml, "nvmlSystemGetNVMLVersion")),
        "cuda_driver": known(_nvml.system(nvml, "nvmlSystemGetCudaDriverVersion"), _cuda_version),
    }


def _cuda_version(number: int) -> str:
    major, rest = divmod(number, CUDA_VERSION_MAJOR)
    return f"{major}.{rest // CUDA_VERSION_MINOR}"


def _silent_facts(silent: Sequence[Absent]) -> dict[str, str | Absent]:
    """A GPU that does not answer is said with those that do: it hides none, and is not hidden."""
    return {"silent_gpus": "; ".join(s.reason for s in silent)} if silent else {}
