"""What a data sheet alone says of a rate: arithmetic, traffic and the host, one after the other.

    time of a batch = batch x (FLOPs / peak  +  bytes of inputs and activations / bandwidth)
                      + parameters' bytes / bandwidth  +  host

Each share of peak and bandwidth that a model reaches is a range, and so is the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlbench.analysis.recommend import assumptions
from dlbench.analysis.recommend.assumptions import Range, exactly
from dlbench.analysis.recommend.job import OPTIMIZER_BYTES, Job
from dlbench.core.catalog import Accelerator, Catalog, Offer
from dlbench.core.recommendation import Constraint, Need, Refusal
from dlbench.core.types import Absent, Mode, Precision
from dlbench.core.units import compact, percent

ACTIVATION_PASSES = {Mode.TRAINING: 6.0, Mode.INFERENCE: 2.0}
"""An output is written and read at least; a backward pass does so twice more, with its gradients."""

NUMBER_BYTES = {Precision.BF16: 2.0, Precision.FP16: 2.0, Precision.INT8: 1.0}
"""Of an activation, and of a weight at inference; others have 4."""

HALF = (Precision.BF16, Precision.FP16)

ENDS = ("low", "mid", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Samples a second; ``step_s`` of a batch's seconds are the parameters' traffic."""

    value: float
    low: float
    high: float
    step_s: float
    formula: str
    source: str
    as_of: str


def accelerator(device: Accelerator, job: Job, need: Need, batch: int) -> Bound | Refusal:
    """Of one accelerator at a batch, or what its data sheet lacks."""
    peak, bandwidth = device.peak_tflops.get(need.precision), device.memory_bandwidth_gb_per_s
    if peak is None:
        reason = f"the data sheet of {device.name} has no {need.precision} peak"
        return Refusal(Constraint.PRECISION, reason)
    if isinstance(bandwidth, Absent):
        reason = f"the data sheet of {device.name} has no memory bandwidth"
        return Refusal(Constraint.THROUGHPUT, reason)
    sheet = f"data sheet of {device.name}"
    return _bound(
        job,
        need,
        batch,
        tflops=exactly(peak, sheet),
        gb_per_s=exactly(bandwidth, sheet),
        host=assumptions.HOST_STEP_S[job.mode],
        as_of=device.as_of,
    )


def processor(
    offer: Offer, n: float, job: Job, need: Need, batch: int, catalog: Catalog
) -> Bound | Refusal:
    """Of ``n`` cores at a batch; a small batch is split among them, with what that costs."""
    model = catalog.accelerator(offer.cpu_model) if offer.cpu_model else None
    core, stream = assumptions.UNKNOWN_CORE_GFLOPS, assumptions.UNKNOWN_CORE_GB_PER_S
    as_of = assumptions.READ
    peak = model.peak_tflops.get(need.precision) if model else None
    if model is not None and peak is not None and not isinstance(model.cores, Absent):
        sheet, as_of = f"data sheet of {model.name}", model.as_of
        core = exactly(peak * 1e3 / model.cores, sheet)
        if not isinstance(model.memory_bandwidth_gb_per_s, Absent):
            stream = exactly(model.memory_bandwidth_gb_per_s / model.cores, sheet)
    elif need.precision is not Precision.FP32:
        reason = f"nobody says that this processor computes in {need.precision}"
        return Refusal(Constraint.PRECISION, reason)
    times = assumptions.core_times(n)
    return _bound(
        job,
        need,
        batch,
        tflops=Range(
            low=core.low * times.low / 1e3,
            mid=core.mid * times.mid / 1e3,
            high=core.high * times.high / 1e3,
            source=f"{n:g} cores of {core.mid:.0f} GFLOPS ({core.source}), {times.source}",
        ),
        gb_per_s=stream.times(exactly(n)),
        host=exactly(0.0),
        as_of=as_of,
    )


def _bound(
    job: Job,
    need: Need,
    batch: int,
    *,
    tflops: Range,
    gb_per_s: Range,
    host: Range,
    as_of: str,
) -> Bound:
    share, reached = assumptions.ROOFLINE_SHARE, assumptions.BANDWIDTH_SHARE
    numbers = dict(zip(ENDS, reversed(job.activations), strict=True))
    hosts = dict(zip(ENDS, (host.high, host.mid, host.low), strict=True))

    def moved(activations: float) -> float:
        """Bytes of a sample: inputs are read, and their copy in 16 bits is written and read."""
        copied = 2.0 if need.precision in HALF else 1.0
        written = activations * _number_bytes(need) * ACTIVATION_PASSES[job.mode]
        return job.input_bytes * copied + written

    def parts(end: str) -> tuple[float, float, float]:
        """Seconds of a batch: arithmetic and activations of all samples; parameters; host."""
        flop_per_s = getattr(tflops, end) * 1e12 * getattr(share, end)
        byte_per_s = getattr(gb_per_s, end) * 1e9 * getattr(reached, end)
        bytes_each = moved(numbers[end])
        samples_s = batch * (job.flops / flop_per_s + bytes_each / byte_per_s)
        return samples_s, _parameter_bytes(job, need, end) / byte_per_s, hosts[end]

    low, value, high = (batch / sum(parts(end)) for end in ENDS)
    _, step_s, _ = parts("mid")
    each_mb = moved(numbers["mid"]) / 1e6
    host_words = f" + {host.mid * 1e3:g} ms" if host.mid else ""
    return Bound(
        value=value,
        low=low,
        high=high,
        step_s=step_s,
        formula=(
            f"batch {batch} / ({batch} x ({compact(job.flops / 1e9, 4)} GFLOP / "
            f"({compact(tflops.mid, 4)} TFLOPS x {percent(share.mid)}) + {compact(each_mb)} MB / "
            f"({compact(gb_per_s.mid, 4)} GB/s x {percent(reached.mid)})) + "
            f"{compact(step_s * 1e3)} ms of parameters{host_words})"
        ),
        source="; ".join(
            dict.fromkeys((tflops.source, gb_per_s.source, share.source, reached.source))
        ),
        as_of=as_of,
    )


def _number_bytes(need: Need) -> float:
    return NUMBER_BYTES.get(need.precision, 4.0)


def _parameter_bytes(job: Job, need: Need, end: str) -> float:
    """What a batch moves of the parameters, however many samples it has.

    A parameter that a sample does not multiply, of a table that is looked up, is not read. An optimizer
    reads weight, gradient and state of all, and writes weight and state; at the high end of the rate it
    leaves out what was not looked up.
    """
    multiplied = min(job.parameters, job.flops_per_sample / 2)
    if job.mode is Mode.INFERENCE:
        return multiplied * _number_bytes(need)
    updated = multiplied if end == "high" else job.parameters
    optimizer = 3 * 4.0 + 2 * OPTIMIZER_BYTES.get(job.optimizer, 8.0)
    gradient = 4.0
    return multiplied * 2 * _number_bytes(need) + updated * (gradient + optimizer)
