"""Data sheets: the peak that a workload's arithmetic meets, and names of devices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from dlbench.analysis.predict.types import Arithmetic, DeviceSpec

CPU_NAME = re.compile(
    r"\b(xeon|epyc|core-?i\d|ryzen|cpu|apple m\d|graviton|neoverse)\b", re.IGNORECASE
)
_NOISE = re.compile(
    r"\b(nvidia|tesla|geforce|amd|instinct|grace|hopper|superchip|grid|cts|pcie gen\d|ada lovelace|"
    r"corporation|generation|vidia)\b|[()\[\],]",
    re.IGNORECASE,
)
_SLICE = re.compile(r"\bmig\b|\d+g\.\d+gb|-\d+[qc]\b", re.IGNORECASE)


def peak_tflops(spec: DeviceSpec, arithmetic: Arithmetic) -> float | None:
    """The dense peak that bounds this arithmetic on this device; None where nothing is known."""
    match arithmetic:
        case Arithmetic.FP32:
            return spec.fp32_tflops
        case Arithmetic.TF32 | Arithmetic.SINGLE:
            return max(
                (x for x in (spec.tf32_tflops, spec.fp32_tflops) if x is not None), default=None
            )
        case Arithmetic.FP8:
            return spec.fp8_tflops or spec.fp16_tflops or spec.fp32_tflops
        case _:
            return spec.fp16_tflops or spec.fp32_tflops


def key(name: str) -> str:
    """A device's name without what sellers add to it: for matching only."""
    text = _NOISE.sub(" ", name.lower())
    text = re.sub(r"sxm(?!\d)", "sxm4" if "a100" in text else "sxm5", text)
    text = re.sub(r"(?<=\d)\s*g(i?b)?\b", "gb", text)
    text = re.sub(r"\brtx(?=[a\d])", "rtx ", text)
    return re.sub(r"[^a-z0-9]+", "", text)


def is_slice(name: str) -> bool:
    """Whether a name says that only a part of a device was used (MIG, vGPU profiles)."""
    return _SLICE.search(name) is not None


class DeviceTable:
    """Data sheets by name; aliases and sellers' decorations lead to the same device."""

    def __init__(
        self, specs: Iterable[DeviceSpec], aliases: Mapping[str, str] | None = None
    ) -> None:
        self._specs: dict[str, DeviceSpec] = {}
        for spec in specs:
            self._specs.setdefault(spec.name, spec)
        self._keys = {key(name): name for name in reversed(list(self._specs))}
        for alias, name in (aliases or {}).items():
            if name in self._specs:
                self._keys.setdefault(key(alias), name)

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def names(self) -> tuple[str, ...]:
        """All names, in the order of the table."""
        return tuple(self._specs)

    def find(self, name: str) -> DeviceSpec | None:
        """The data sheet of a device; None where the name is not known, or names a slice."""
        if name in self._specs:
            return self._specs[name]
        if is_slice(name):
            return None
        found = self._keys.get(key(name))
        return self._specs[found] if found else None


def interconnect(name: str) -> str:
    """What joins several of these in one machine, by the name: ``nvlink`` or ``pcie``."""
    return "nvlink" if re.search(r"sxm|nvl|g[bh]200|mi\d{3}", name, re.IGNORECASE) else "pcie"
