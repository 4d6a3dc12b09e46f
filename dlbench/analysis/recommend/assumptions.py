"""Every number of the recommender that nobody measured: its value, its range, where it is from.

Each is a ``Step`` of the answer, so that ``--explain`` shows it. Ranges hold nine of ten cases.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlbench.analysis.predict import host
from dlbench.analysis.predict.types import Task
from dlbench.analysis.recommend import billing
from dlbench.core.recommendation import Step
from dlbench.core.units import percent

READ = "2026-11-25"

ESTIMATED = "estimated, no server case"
"""How the formula of a service's rate begins that is derived from offline throughput."""

NOT_MEASURED = "not measured"
"""How the formula of a step ends whose number is one of these ranges where a measurement could be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A middle and the ends of a range that holds nine of ten cases."""

    low: float
    mid: float
    high: float
    source: str

    def step(self, name: str, unit: str) -> Step:
        """As a line of the explanation."""
        value = f"{self.mid:g} ({self.low:g} to {self.high:g}) {unit}".strip()
        return Step(name=name, value=value, formula="assumed", source=self.source, as_of=READ)

    def times(self, other: Range) -> Range:
        """The product, end by end: as wide as if both were at the same end at once."""
        return Range(
            low=self.low * other.low,
            mid=self.mid * other.mid,
            high=self.high * other.high,
            source="; ".join(filter(None, (self.source, other.source))),
        )


def exactly(value: float, source: str = "") -> Range:
    """A number that has no range."""
    return Range(low=value, mid=value, high=value, source=source)


ROOFLINE_SHARE = Range(
    low=0.05,
    mid=0.25,
    high=0.65,
    source=(
        "share of the dense peak in 23,000 public timm results on 3 GPUs and a processor: medians "
        "0.18 to 0.32, 5th percentiles 0.03 to 0.07, 95th 0.42 to 0.71"
    ),
)
"""Of the peak of its precision, that a model reaches; the model's FLOPs over time."""

BANDWIDTH_SHARE = Range(
    low=0.4, mid=0.75, high=0.95, source="share of the data sheet's bandwidth that kernels reach"
)

HOST_STEP_S = {
    mode: Range(low=low, mid=mid, high=high, source="launching a model's kernels")
    for mode, (low, mid, high) in (
        ("training", host.STEP_S[Task.TRAIN]),
        ("inference", host.STEP_S[Task.INFER]),
    )
}
"""Seconds a step or a batch costs on an accelerator however small it is."""

CPU_HOST_S = Range(
    low=0.0001, mid=0.0005, high=0.002, source="a call of a framework on a processor"
)

UNKNOWN_CORE_GFLOPS = Range(
    low=40, mid=80, high=160, source="2.5 GHz x 32 fp32 operations a cycle; a processor not named"
)

UNKNOWN_CORE_GB_PER_S = Range(
    low=1.6,
    mid=4.8,
    high=6.4,
    source="bandwidth of a socket over its cores: the catalog's processors",
)

CPU_SCALING = Range(
    low=0.55,
    mid=0.85,
    high=1.0,
    source="exponent of throughput over cores; 1 would be perfect scaling",
)
CPU_CORE_RATIO = Range(
    low=0.6, mid=1.0, high=1.6, source="speed of a core over that of the core that was measured"
)


BATCH_GAIN = Range(
    low=0.0,
    mid=0.2,
    high=0.8,
    source="exponent of throughput over batch: 0 of a full device, 1 where the host sets the pace",
)


def core_times(times: float) -> Range:
    """The rate of ``times`` as many cores over that of one set of them."""
    return _power(times, CPU_SCALING)


def batch_times(times: float) -> Range:
    """The rate at a batch of ``times`` the size over that at the batch that was measured."""
    return _power(times, BATCH_GAIN)


def _power(times: float, exponent: Range) -> Range:
    low, high = sorted((times**exponent.low, times**exponent.high))
    return Range(low=low, mid=times**exponent.mid, high=high, source=exponent.source)


BANDWIDTH_RATIO = Range(
    low=0.6,
    mid=1.0,
    high=1.4,
    source="error of scaling by memory bandwidth on public tables: median 14 %, 90th percentile 40 %",
)

SLICE_SHARE = Range(
    low=0.75, mid=1.0, high=1.25, source="a slice of an accelerator over its share of the whole"
)

SCALING_NVLINK = Range(
    low=0.86, mid=0.95, high=0.99, source="efficiency kept at each doubling of devices, NVLink"
)
SCALING_PCIE = Range(
    low=0.65, mid=0.85, high=0.95, source="efficiency kept at each doubling of devices, PCIe"
)
SCALING_REPLICAS = Range(
    low=0.90, mid=0.97, high=1.0, source="independent replicas that share one host"
)

UPLOAD_SLOWDOWN = Range(low=1.0, mid=1.15, high=1.5, source="real over nominal upload time")
RESTART_MIN = Range(
    low=3.0,
    mid=10.0,
    high=30.0,
    source="waiting for another spot instance, loading the checkpoint; its set-up comes on top, and "
    "what was uploaded outlasts it",
)

METER = Range(low=0.9, mid=1.0, high=1.1, source="another machine than the one that was metered")
ACCELERATOR_LOAD = Range(low=0.5, mid=0.75, high=0.98, source="power over the data sheet's watts")
HOST_W_PER_VCPU = Range(low=1.5, mid=2.5, high=5.0, source="host power over its vCPUs, memory too")
PUE_SPREAD = Range(low=0.95, mid=1.0, high=1.12, source="a site over its provider's average PUE")
INTENSITY_SPREAD = Range(
    low=0.8,
    mid=1.0,
    high=1.25,
    source="where one source only: other sources differ by a median factor of 1.5 end to end",
)

STORAGE_USD_PER_GB_MONTH = Range(
    low=0.02, mid=0.08, high=0.2, source="block and object storage of large clouds"
)

CONTEXT_MIB = Range(
    low=300,
    mid=700,
    high=1500,
    source="a CUDA context, its libraries and their workspaces, before any tensor",
)
PROCESS_MIB = Range(low=250, mid=500, high=900, source="a framework's process on a host")
WEIGHTS_HELD = Range(
    low=1.0, mid=1.1, high=1.3, source="memory of weights, gradients and optimizer over their bytes"
)
KEPT = {
    "training": Range(
        low=1.2,
        mid=2.1,
        high=2.1,
        source="numbers kept over the outputs of convolutions and products: of normalisations and the "
        "backward pass too; resnet50 takes about 90 MiB a sample in fp32, 2.1 times its 11.1 million",
    ),
    "inference": Range(
        low=0.05, mid=0.15, high=0.4, source="the same: all are freed but the largest few layers"
    ),
}
KEPT_COUNTED = {
    "training": Range(
        low=1.2,
        mid=2.1,
        high=3.5,
        source="numbers kept over the counted outputs of convolutions and products: 1.2 to 3.5, "
        "median 2.1, of thirteen models that dlbench trained on an H200 and an H100 (2026-11-27)",
    ),
    "inference": Range(
        low=0.05,
        mid=0.45,
        high=1.1,
        source="the same of thirteen models that answered on an H100 (2026-11-27): 0.04 to 1.15, "
        "median 0.47",
    ),
}
INPUTS_HELD = Range(
    low=1.0,
    mid=2.0,
    high=4.0,
    source="batches of inputs on a device: that at work and the next; dlbench has four in rotation",
)
BUCKETS = Range(
    low=0.0,
    mid=1.0,
    high=1.0,
    source="copies of the gradients through which several devices exchange them: PyTorch's "
    "DistributedDataParallel holds one, but where gradients are views of its buckets",
)
KEPT_AS_STATED = Range(
    low=1.0, mid=1.0, high=1.2, source="the same, where the need says how much training keeps"
)

SERVICES_A_LATENCY = 2.0
"""A request that just missed a batch waits for that one and then for its own."""

IDLE_SHARE = 0.25
"""Of its power at work, that an accelerator draws while it waits between requests."""

UTILISATION_SERVED = 0.8
"""Share of a measured server rate that is planned for; the rest is for bursts and a failed instance."""

UTILISATION_DERIVED = 0.6
"""The same where the rate is derived from offline throughput: queues grow before the limit."""

USABLE_MEMORY = 0.94
"""Of a GPU's memory, that a process can have: the driver and its context keep the rest. Of 80 GiB the
driver reports 79.2, and a CUDA context takes 0.3 to 0.6."""
USABLE_HOST_MEMORY = 0.9

HOST_RESERVE_MIB = 1024.0
"""What the operating system of a rented machine keeps."""

STATED = (
    (ROOFLINE_SHARE, "share of peak (roofline)", ""),
    (BANDWIDTH_SHARE, "share of bandwidth (roofline)", ""),
    (HOST_STEP_S["training"], "host time a step, training", "s"),
    (HOST_STEP_S["inference"], "host time a batch, inference", "s"),
    (CPU_HOST_S, "host time a batch, a processor's", "s"),
    (UNKNOWN_CORE_GFLOPS, "a core of a processor that is not named", "GFLOPS"),
    (UNKNOWN_CORE_GB_PER_S, "its share of the bandwidth", "GB/s"),
    (BANDWIDTH_RATIO, "another accelerator", "x measured x ratio of bandwidths"),
    (SLICE_SHARE, "a slice of an accelerator", "x its share"),
    (SCALING_NVLINK, "scaling, NVLink", "a doubling"),
    (SCALING_PCIE, "scaling, PCIe", "a doubling"),
    (SCALING_REPLICAS, "scaling, inference replicas", "a doubling"),
    (CPU_SCALING, "scaling over cores", "exponent"),
    (CPU_CORE_RATIO, "another processor's core", "x the one measured"),
    (BATCH_GAIN, "scaling over batch, another one measured", "exponent"),
    (UPLOAD_SLOWDOWN, "upload", "x nominal"),
    (RESTART_MIN, "restart after an interruption", "min"),
    (ACCELERATOR_LOAD, "accelerator power", "x TDP"),
    (METER, "joules a sample", "x metered"),
    (HOST_W_PER_VCPU, "host power", "W a vCPU"),
    (PUE_SPREAD, "PUE of a site", "x provider's"),
    (INTENSITY_SPREAD, "carbon intensity", "x source"),
    (STORAGE_USD_PER_GB_MONTH, "storage", "USD/GB-month"),
    (CONTEXT_MIB, "memory of a context on a GPU", "MiB"),
    (PROCESS_MIB, "memory of a process on a host", "MiB"),
    (WEIGHTS_HELD, "memory of what is held at any batch", "x its bytes"),
    (KEPT["training"], "activations kept, training", "x outputs of a forward"),
    (KEPT["inference"], "activations kept, inference", "x outputs of a forward"),
    (KEPT_COUNTED["training"], "activations kept, training, counted", "x outputs of a forward"),
    (KEPT_COUNTED["inference"], "activations kept, inference, counted", "x outputs of a forward"),
    (KEPT_AS_STATED, "activations kept, stated", "x activation_mib_per_sample"),
    (INPUTS_HELD, "inputs held, where they are large", "batches"),
    (BUCKETS, "gradients for the exchange, several devices", "x gradients in fp32"),
)


def steps() -> tuple[Step, ...]:
    """All of them, as lines of the explanation."""
    ranges = tuple(range_.step(name, unit) for range_, name, unit in STATED)
    return (
        Step(
            name="simulation",
            value="median (5th to 95th percentile) of each number over all outcomes",
            formula="each part drawn from its range; lopsided ranges make the median of a sum or a "
            "product differ from the sum or product of medians",
            source="seeded draws, which all candidates share",
        ),
        *ranges,
        Step(
            name="accelerator that waits",
            value=f"{percent(IDLE_SHARE)} of its power at work",
            formula="assumed",
            source="between a service's requests",
            as_of=READ,
        ),
        Step(
            name="p99 of a service, not measured",
            value=f"{SERVICES_A_LATENCY:g} x the time of a batch",
            formula="assumed",
            source="a request that just missed a batch waits for that one and then for its own",
            as_of=READ,
        ),
        Step(
            name="planned utilisation",
            value=f"{percent(UTILISATION_SERVED)} of a measured rate, "
            f"{percent(UTILISATION_DERIVED)} of another",
            formula="rate / (instances x rate of one)",
            source="head-room for bursts and a failed instance",
            as_of=READ,
        ),
        billing.step(),
        billing.EGRESS,
        Step(
            name="usable memory",
            value=f"{percent(USABLE_MEMORY)} of a GPU's, {percent(USABLE_HOST_MEMORY)} of a host's",
            formula="data sheet x share",
            source="what driver and context keep",
            as_of=READ,
        ),
    )
