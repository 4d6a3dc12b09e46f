"""How wrong a device's own energy sensor can be, whatever is done with its readings.

The sensor is the floor: no arithmetic makes a result better than this. Each entry has its source.
"""

from __future__ import annotations

from dataclasses import dataclass

ARXIV_2312_02741 = "Yang, Adamek, Armour, arXiv 2312.02741 (2023)"

INTEL_SDM = "Khan et al., RAPL in Action, ACM TOMPECS 3(2), 2018"


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
    "rapl": SensorError(low=-0.05, high=0.05, source=INTEL_SDM),
    "fake": SensorError(low=0.0, high=0.0, source="it is computed"),
}
"""By the architecture's name as the NVIDIA adapter gives it, or the kind of counter."""


def sensor_error(architecture: str) -> SensorError:
    """The error of that architecture's sensor; the widest published one where it is not known."""
    return BY_ARCHITECTURE.get(architecture.lower(), UNKNOWN)


def true_range(value: float, error: SensorError) -> tuple[float, float]:
    """What is true where the sensor says ``value``: it may have said too much, or too little."""
    return value / (1 + error.high), value / (1 + error.low)
