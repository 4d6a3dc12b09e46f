"""What the predictor is told: a device's data sheet, a workload, and what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What is done with the model; ``unknown`` where a table does not say."""

    TRAIN = "train"
    INFER = "infer"
    UNKNOWN = "unknown"


class Arithmetic(StrEnum):
    """Which peak of a data sheet bounds the arithmetic.

    ``single`` is float32 as a framework runs it by itself: TF32 where the device has it.
    """

    HALF = "half"
    SINGLE = "single"
    TF32 = "tf32"
    FP32 = "fp32"
    FP8 = "fp8"
    INT8 = "int8"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A device's data sheet: dense peaks in TFLOP/s, bandwidth in GB/s. None is not known.

    ``arch`` names the siblings of a device: what was learnt of one holds first for these.
    """

    name: str
    kind: str = "gpu"
    arch: str | None = None
    year: float | None = None
    fp32_tflops: float | None = None
    tf32_tflops: float | None = None
    fp16_tflops: float | None = None
    fp8_tflops: float | None = None
    int8_tops: float | None = None
    mem_bw_gb_s: float | None = None
    memory_gib: float | None = None
    l2_mib: float | None = None
    sm: float | None = None
    boost_mhz: float | None = None
    tdp_w: float | None = None


OWN_PANEL = "dlbench"
"""Where dlbench's own rates come from."""

OTHER = "other"
"""The family of a model whose name tells of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What runs: everything beside the device that a throughput depends on.

    ``panel`` is where such numbers come from (one harness, one way to count), ``phase`` what is
    counted of the model (pre-training, a data set, a sequence length), and ``setup`` the rest of
    what makes two of its rows comparable: versions, layout, resolution. ``unit`` is the unit of the
    rate; joules a sample are asked for as ``J/...``. ``batch`` is one device's, in units where it is
    dlbench's own. ``gmacs`` are forward multiply-accumulates a sample in units of 1e9, ``macts_m``
    activations in millions.
    """

    model: str
    task: Task
    arithmetic: Arithmetic
    family: str = OTHER
    framework: str = "unknown"
    policy: str = "base"
    panel: str = "own"
    phase: str = ""
    setup: str = ""
    unit: str = "samples/s"
    batch: float | None = None
    n_devices: int = 1
    params_m: float | None = None
    gmacs: float | None = None
    macts_m: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One measured rate of one device: units a second and device, above 0.

    For a unit of joules ``rate`` is the data sheet's watts over the joules: the rate at which the
    device would work at full power, so that it behaves as a throughput does. ``n`` is below 1 where
    the rate is believed less than one row.
    """

    device: str
    workload: Workload
    rate: float
    source: str
    n: float = 1
