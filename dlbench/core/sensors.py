"""How wrong a device's own energy sensor can be, whatever is done with its readings.

The sensor is the floor: no arithmetic makes a result better than this. Each entry has its source.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlbench.core.types import DeviceInfo

ARXIV_2312_02741 = "Yang, Adamek, Armour, arXiv 2312.02741 (2023)"

RAPL_IN_ACTION = "Khan et al., RAPL in Action, ACM TOMPECS 3(2), 2018"

ARXIV_2108_00808 = "Schöne et al., arXiv 2108.00808 (2021)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorError:
    """Relative error of what a sensor says against an external meter: ``low`` to ``high``."""

    low: float
    high: float
    source: str


UNKNOWN = SensorError(
    low=-0.08, high=0.13, source=f"the widest published for NVIDIA GPUs: {ARXIV_2312_02741}"
)
"""An architecture that nobody has compared with a meter is not taken to be better than the others."""

PART_TIME = SensorError(
    low=-0.08,
    high=0.13,
    source=f"samples 25 of every 100 ms: {ARXIV_2312_02741}",
)

FULL_TIME = SensorError(low=-0.05, high=0.05, source=f"gain of the sensor: {ARXIV_2312_02741}")

BY_ARCHITECTURE = {
    "volta": FULL_TIME,
    "turing": FULL_TIME,
    "pascal": FULL_TIME,
    "ada": FULL_TIME,
    "ampere": PART_TIME,
    "hopper": PART_TIME,
    "fake": SensorError(low=0.0, high=0.0, source="it is computed"),
}
"""By the architecture's name as the NVIDIA adapter gives it, or the kind of device."""

RAPL_OF_INTEL = SensorError(
    low=-0.05, high=0.05, source=f"RAPL of Intel's processors: {RAPL_IN_ACTION}"
)

RAPL_OF_OTHERS = SensorError(
    low=-0.2,
    high=0.2,
    source="assumed, no error being published for RAPL of processors that are not Intel's; limits of "
    f"AMD's: {ARXIV_2108_00808}",
)
"""AMD's counter is a model's, of which no study states by how much it errs: four times Intel's is a
guess, and said to be one."""


def of_device(device: DeviceInfo | None) -> SensorError:
    """The error of a device's sensor; the widest published one where it is not known."""
    if device is None:
        return UNKNOWN
    if device.kind == "cpu":
        return of_processor(device.name)
    architecture = str(device.facts.get("architecture", device.kind))
    return BY_ARCHITECTURE.get(architecture.lower(), UNKNOWN)


def of_processor(name: object) -> SensorError:
    """The error of RAPL in a processor of that name; one without a name is not taken for Intel's."""
    return RAPL_OF_INTEL if "intel" in str(name).lower() else RAPL_OF_OTHERS


def true_range(value: float, error: SensorError) -> tuple[float, float]:
    """What is true where the sensor says ``value``: it may have said too much, or too little."""
    return value / (1 + error.high), value / (1 + error.low)
