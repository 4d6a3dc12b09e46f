"""The memory gate: how the peak grows with the batch, and which batch fits before anyone rents.

measured at two or more batches      peak = a + b x batch, least squares, with its largest residual
measured at one                      the same b, bounded by the analytical one, through that point
not measured                         weights, gradients, optimizer state, activations: a bound
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlbench.analysis.recommend import assumptions
from dlbench.analysis.recommend.job import OPTIMIZER_BYTES, Job
from dlbench.core import metrics
from dlbench.core.catalog import Amount, Catalog, Offer
from dlbench.core.recommendation import Need
from dlbench.core.types import (
    Absent,
    CaseResult,
    Estimated,
    Interval,
    Mode,
    Precision,
    Run,
)
from dlbench.core.units import compact

MIB = 2**20

CONTEXT_MIB = (300.0, 700.0, 1500.0)
"""What a CUDA context, its libraries and their workspaces take before any tensor."""
PROCESS_MIB = (250.0, 500.0, 900.0)
"""What a framework's process takes on a host."""

HALF = (Precision.BF16, Precision.FP16)

KEPT = {Mode.TRAINING: (1.2, 2.1, 2.1), Mode.INFERENCE: (0.05, 0.15, 0.4)}
"""Numbers kept at a time over the outputs of convolutions and products of a forward pass. Training
keeps those of normalisations and of the backward pass too: resnet50 takes about 90 MiB a sample in
fp32, 2.1 times its 11.1 million outputs. Inference frees all but the largest few layers."""

FIT_MARGIN = 0.05
"""Peaks of two trials differ by a few percent: caches, fragmentation."""

LEAST_POINTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakModel:
    """Peak memory in MiB over the batch size: ``fixed + each x batch``, with low and high ends."""

    fixed: tuple[float, float, float]
    each: tuple[float, float, float]
    method: str
    sources: tuple[str, ...]

    def at(self, batch: int) -> Estimated:
        """The peak at a batch, with its interval."""
        low, mid, high = (f + e * batch for f, e in zip(self.fixed, self.each, strict=True))
        return Estimated(
            value=mid,
            interval=Interval(low=low, high=high, level=0.9),
            method=self.method,
            from_=self.sources,
        )


def peak_model(job: Job, need: Need, runs: Sequence[Run], kind: str) -> PeakModel:
    """The peak on a kind of device, ``cpu`` or ``gpu``, from what was measured of it, else a bound."""
    points = _points(job, need, runs, kind)
    bound = _bound(job, need, kind)
    if not points:
        return bound
    sources = tuple(sorted({source for _, _, source in points}))
    batches = sorted({batch for batch, _, _ in points})
    if len(batches) < LEAST_POINTS:
        return _through_point(points, bound, sources)
    return _fitted([(b, p) for b, p, _ in points], sources)


def _points(job: Job, need: Need, runs: Sequence[Run], kind: str) -> list[tuple[int, float, str]]:
    """(batch, MiB, run) of each measured case of this job on this kind of device."""
    found = []
    for run in runs:
        kinds = {d.id: d.kind for d in run.environment.devices}
        for result in run.results:
            case = result.case
            same = (case.workload, case.variant, case.mode, case.framework, case.precision) == (
                job.workload,
                job.variant,
                job.mode,
                need.framework,
                need.precision,
            )
            on = "gpu" if kinds.get(case.device) == "nvidia" else kinds.get(case.device, "")
            if same and on == kind and (peak := _peak_mib(result, run, kind)) is not None:
                found.append((case.batch_size, peak, run.run_id))
    return found


def _peak_mib(result: CaseResult, run: Run, kind: str) -> float | None:
    names = (
        ("peak_device_used_mib", "peak_framework_reserved_mib")
        if kind == "gpu"
        else ("peak_host_rss_mib",)
    )
    for name in names:
        metric = metrics.compute(name, result, run)
        if not isinstance(metric, Absent):
            return metric.value
    return None


def _fitted(points: Sequence[tuple[int, float]], sources: tuple[str, ...]) -> PeakModel:
    """Least squares; the interval is the largest residual and a margin, and no term is negative."""
    n = len(points)
    mean_x = sum(b for b, _ in points) / n
    mean_y = sum(p for _, p in points) / n
    slope = sum((b - mean_x) * (p - mean_y) for b, p in points)
    slope = max(0.0, slope / sum((b - mean_x) ** 2 for b, _ in points))
    fixed = max(0.0, mean_y - slope * mean_x)
    off = max(abs(p - fixed - slope * b) for b, p in points)
    sizes = sorted({b for b, _ in points})
    return PeakModel(
        fixed=(
            max(0.0, fixed * (1 - FIT_MARGIN) - off),
            fixed,
            fixed * (1 + FIT_MARGIN) + off,
        ),
        each=(slope * (1 - FIT_MARGIN), slope, slope * (1 + FIT_MARGIN)),
        method=f"{fixed:.0f} MiB + {slope:.4g} MiB x batch, fitted to batches {sizes}",
        sources=sources,
    )


def _through_point(
    points: Sequence[tuple[int, float, str]], bound: PeakModel, sources: tuple[str, ...]
) -> PeakModel:
    """One batch was measured: the growth is the bound's, but not above what the point allows."""
    batch = points[0][0]
    peak = max(p for _, p, _ in points)
    each = tuple(min(e, peak / batch) for e in bound.each)
    low, mid, high = each
    # A larger growth leaves less that is fixed: all three lines meet in the measured point.
    return PeakModel(
        fixed=(
            peak * (1 - FIT_MARGIN) - low * batch,
            peak - mid * batch,
            peak * (1 + FIT_MARGIN) - high * batch,
        ),
        each=(low, mid, high),
        method=f"{peak:.0f} MiB measured at batch {batch}; growth bounded by activations",
        sources=sources,
    )


def _bound(job: Job, need: Need, kind: str) -> PeakModel:
    half = need.precision in HALF
    training = job.mode is Mode.TRAINING
    weight_bytes = 4.0 if training or not half else 2.0
    if need.precision is Precision.INT8:
        weight_bytes = 1.0
    if training:
        # Weights, gradients and optimizer state in fp32; a half-precision copy beside them.
        weight_bytes += 4.0 + OPTIMIZER_BYTES.get(job.optimizer, 8.0) + (2.0 if half else 0.0)
    weights = job.parameters * weight_bytes / MIB
    number_bytes = 2.0 if half else 4.0
    kept = (1.0, 1.0, 1.2) if job.activations_known else KEPT[job.mode]
    low_each, each, high_each = (
        a * number_bytes * k / MIB for a, k in zip(job.activations, kept, strict=True)
    )
    base = CONTEXT_MIB if kind == "gpu" else PROCESS_MIB
    low, mid, top = (b + weights * f for b, f in zip(base, (1.0, 1.1, 1.3), strict=True))
    return PeakModel(
        fixed=(low, mid, top),
        each=(low_each, each, high_each),
        method=(
            f"analytical bound: {weight_bytes:g} bytes a parameter"
            f"{f' ({job.optimizer})' if training else ''}, {compact(job.activations[1])} activations a "
            "sample"
        ),
        sources=("parameters and FLOPs of the model",),
    )


def usable_mib(offer: Offer, catalog: Catalog) -> Amount:
    """Memory that a process can have on one device of an offer; of the host where it has none."""
    if offer.accelerator is None:
        memory = offer.memory_gib
        if isinstance(memory, Absent):
            return Absent(reason="the source does not say how much memory the machine has")
        share = assumptions.USABLE_HOST_MEMORY
        return max(0.0, memory * 1024 * share - assumptions.HOST_RESERVE_MIB)
    device = catalog.accelerator(offer.accelerator)
    if device is None or isinstance(device.memory_gib, Absent):
        return Absent(reason=f"the memory of {offer.accelerator} is not known")
    count = offer.accelerator_count
    share = 1.0 if isinstance(count, Absent) else min(1.0, count)
    return device.memory_gib * share * 1024 * assumptions.USABLE_MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The batch to use and its peak; ``batch`` is None where nothing fits, with the reason.

    ``times`` is how many times the usable memory the smallest batch would surely fit into.
    """

    batch: int | None
    peak: Estimated
    reason: str
    times: float | None = None


def gate(model: PeakModel, usable: Amount, wanted: int, *, fixed: bool) -> Fit:
    """The largest batch up to ``wanted`` of which even the high end fits; ``fixed`` allows no other."""
    if isinstance(usable, Absent):
        return Fit(batch=None, peak=model.at(wanted), reason=usable.reason)
    batch = wanted
    while model.at(batch).interval.high > usable and batch > 1 and not fixed:
        batch //= 2
    peak = model.at(batch)
    if peak.interval.high <= usable:
        return Fit(batch=batch, peak=peak, reason="")
    certain = "needs" if peak.interval.low > usable else "may need up to"
    amount = peak.interval.low if peak.interval.low > usable else peak.interval.high
    return Fit(
        batch=None,
        peak=peak,
        reason=(
            f"batch {batch} {certain} {amount / 1024:.1f} GiB, {usable / 1024:.1f} GiB are usable "
            f"({model.method})"
        ),
        times=peak.interval.high / usable if usable > 0 else None,
    )
