"""The catalog's accelerators as data sheets for the predictor."""

from __future__ import annotations

from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.types import DeviceSpec
from dlbench.core.catalog import Accelerator, Catalog
from dlbench.core.types import Absent

_ARCHITECTURES = {
    "3": "Kepler",
    "5": "Maxwell",
    "6": "Pascal",
    "7.0": "Volta",
    "7.5": "Turing",
    "8.9": "Ada Lovelace",
    "8": "Ampere",
    "9": "Hopper",
    "10": "Blackwell",
    "12": "Blackwell 2.0",
}
"""NVIDIA's compute capability by its architecture: whole, else by its first number."""


def spec_of(accelerator: Accelerator) -> DeviceSpec:
    """A catalog row as a data sheet; what the row does not say stays unknown."""
    peaks = accelerator.peak_tflops
    return DeviceSpec(
        name=accelerator.name,
        kind=accelerator.kind,
        arch=_arch(accelerator),
        year=_known(accelerator.release_year),
        fp32_tflops=peaks.get("fp32"),
        tf32_tflops=peaks.get("tf32"),
        fp16_tflops=_matrix_peak(accelerator),
        fp8_tflops=peaks.get("fp8"),
        int8_tops=peaks.get("int8"),
        mem_bw_gb_s=_known(accelerator.memory_bandwidth_gb_per_s),
        memory_gib=_known(accelerator.memory_gib),
        tdp_w=_known(accelerator.tdp_w),
    )


def device_table(catalog: Catalog) -> DeviceTable:
    """Every accelerator of a catalog, under its name and its aliases."""
    aliases = {alias: a.name for a in catalog.accelerators for alias in a.aliases}
    return DeviceTable([spec_of(a) for a in catalog.accelerators], aliases)


def _matrix_peak(accelerator: Accelerator) -> float | None:
    """Pascal's fp16 is a vector rate, which no framework's mixed precision reaches."""
    if accelerator.vendor == "NVIDIA" and accelerator.compute_capability.startswith(("5", "6")):
        return None
    return accelerator.peak_tflops.get("bf16") or accelerator.peak_tflops.get("fp16")


def _arch(accelerator: Accelerator) -> str | None:
    if accelerator.kind == "cpu":
        return "cpu"
    capability = accelerator.compute_capability
    return _ARCHITECTURES.get(capability) or _ARCHITECTURES.get(capability.split(".")[0])


def _known(amount: float | Absent) -> float | None:
    return None if isinstance(amount, Absent) else float(amount)
