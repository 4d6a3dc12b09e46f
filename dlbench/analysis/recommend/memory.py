"""The memory gate: how the peak grows with the batch, and which batch fits before anyone rents.

measured at three batches or more    peak = a + b x batch, least squares, with its largest residual
measured at one or two               lines through these points, their growth bounded by activations
not measured                         weights, gradients, optimizer state, activations: a bound

Policies differ in what they keep, so each has a model of its own where it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from dlbench.analysis.recommend import assumptions
from dlbench.analysis.recommend.assumptions import Range
from dlbench.analysis.recommend.job import FP32_BYTES, OPTIMIZER_BYTES, Job
from dlbench.analysis.recommend.roofline import HALF
from dlbench.core import metrics
from dlbench.core.catalog import Amount, Catalog, Offer
from dlbench.core.recommendation import Need
from dlbench.core.types import (
    Absent,
    CaseResult,
    Estimated,
    Interval,
    Mode,
    Policy,
    Precision,
    Run,
)
from dlbench.core.units import MIB, compact

FIT_MARGIN = 0.05
"""Peaks of two trials differ by a few percent: caches, fragmentation."""

LEAST_BATCHES = 3
"""A line through two points leaves nothing over that could say how far it is off."""

Three = tuple[float, float, float]
"""A low end, the middle, a high end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakModel:
    """Peak memory in MiB over the batch size: a known ``anchor``, and what ``each`` sample more takes.

    Of several anchors (batch, MiB) each bounds the peak at every batch, and the tightest counts.
    ``least`` MiB are held at any batch.
    """

    anchors: tuple[tuple[int, Three], ...]
    each: Three
    method: str
    sources: tuple[str, ...]
    least: float = 0.0

    def at(self, batch: int) -> Estimated:
        """The peak at a batch, with its interval: low end <= value <= high end at every batch."""
        return _peak(self, batch)


@cache
def _peak(model: PeakModel, batch: int) -> Estimated:
    """Hundreds of machines are asked for the same few batches."""
    lines = [
        [[peak + e * (batch - at) for e in model.each] for peak in peaks]
        for at, peaks in model.anchors
    ]
    low = max(model.least, *(min(lows) for lows, _, _ in lines))
    mid = max(low, *(mids[1] for _, mids, _ in lines))
    high = max(mid, min(max(highs) for _, _, highs in lines))
    return Estimated(
        value=mid,
        interval=Interval(low=low, high=high, level=0.9),
        method=model.method,
        from_=model.sources,
    )


def peak_models(job: Job, need: Need, runs: Sequence[Run], kind: str) -> dict[Policy, PeakModel]:
    """The peak on a kind of device, ``cpu`` or ``gpu``, in each policy.

    From what was measured in it, else in another one, else a bound.
    """
    points = {policy: _points(job, need, runs, kind, policy) for policy in Policy}
    measured = max(points.values(), key=lambda found: len({batch for batch, _, _ in found}))
    bound = _bound(job, need, kind)
    return {
        policy: _model(found or measured, bound, _held_mib(job, need))
        for policy, found in points.items()
    }


def _model(
    points: Sequence[tuple[int, float, str]], bound: PeakModel, held_mib: float
) -> PeakModel:
    if not points:
        return bound
    sources = tuple(sorted({source for _, _, source in points}))
    # A framework that holds less than all of it, of frozen or sparse weights, was seen to.
    least = min(held_mib, *(peak for _, peak, _ in points))
    if len({batch for batch, _, _ in points}) < LEAST_BATCHES:
        return _through_points(points, bound, sources, least)
    return _fitted([(b, p) for b, p, _ in points], sources, least)


def beside_others(models: Mapping[Policy, PeakModel], job: Job) -> dict[Policy, PeakModel]:
    """The peaks on a device that trains together with others: with what they exchange gradients in."""
    buckets, gradients = assumptions.BUCKETS, job.parameters * FP32_BYTES / MIB
    return {
        policy: replace(
            model,
            anchors=tuple(
                (batch, _plus(peaks, [gradients * of for of in _ends(buckets)]))
                for batch, peaks in model.anchors
            ),
            method=f"{model.method} + {gradients:.0f} MiB of gradients for the exchange",
        )
        for policy, model in models.items()
    }


def _plus(peaks: Three, more: Sequence[float]) -> Three:
    low, mid, high = (peak + x for peak, x in zip(peaks, more, strict=True))
    return low, mid, high


def _points(
    job: Job, need: Need, runs: Sequence[Run], kind: str, policy: Policy
) -> list[tuple[int, float, str]]:
    """(batch, MiB, run) of each measured case of this job on this kind of device, in a policy."""
    found = []
    for run in runs:
        kinds = {d.id: d.kind for d in run.environment.devices}
        for result in run.results:
            case = result.case
            work = (case.workload, case.variant, case.mode, case.framework, case.precision)
            same = (*work, case.policy) == (
                job.workload,
                job.variant,
                job.mode,
                need.framework,
                need.precision,
                policy,
            )
            on = "gpu" if kinds.get(case.device) == "nvidia" else kinds.get(case.device, "")
            if same and on == kind and (peak := _peak_mib(result, run, kind)) is not None:
                found.append((case.batch_size, peak, run.run_id))
    return found


def _peak_mib(result: CaseResult, run: Run, kind: str) -> float | None:
    """As the driver or the system counts it; a framework does not count the context beside its own."""
    beside_mib = assumptions.CONTEXT_MIB.mid
    names = (
        {"peak_device_used_mib": 0.0, "peak_framework_reserved_mib": beside_mib}
        if kind == "gpu"
        else {"peak_host_rss_mib": 0.0}
    )
    for name, more_mib in names.items():
        metric = metrics.compute(name, result, run)
        if not isinstance(metric, Absent):
            return metric.value + more_mib
    return None


def _fitted(
    points: Sequence[tuple[int, float]], sources: tuple[str, ...], least: float
) -> PeakModel:
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
        anchors=((0, (fixed * (1 - FIT_MARGIN) - off, fixed, fixed * (1 + FIT_MARGIN) + off)),),
        each=(slope * (1 - FIT_MARGIN), slope, slope * (1 + FIT_MARGIN)),
        method=f"{fixed:.0f} MiB + {slope:.4g} MiB x batch, fitted to batches {sizes}",
        sources=sources,
        least=least,
    )


def _through_points(
    points: Sequence[tuple[int, float, str]],
    bound: PeakModel,
    sources: tuple[str, ...],
    least: float,
) -> PeakModel:
    """One batch or two were measured: the growth is the bound's, and not above what a point allows.

    Of two the middle is the line through both, and what others may do stays the bound's.
    """
    peaks = {batch: max(p for b, p, _ in points if b == batch) for batch, _, _ in sorted(points)}
    most = min((peak - least) / batch for batch, peak in peaks.items())
    low, mid, high = (min(e, most) for e in bound.each)
    (first, small), (last, large) = min(peaks.items()), max(peaks.items())
    if last > first:
        mid = max(0.0, (large - small) / (last - first))
        low, high = min(low, mid), max(high, mid)
    measured = " and ".join(f"{peak:.0f} MiB measured at batch {b}" for b, peak in peaks.items())
    return PeakModel(
        anchors=tuple(
            (batch, (peak * (1 - FIT_MARGIN), peak, peak * (1 + FIT_MARGIN)))
            for batch, peak in peaks.items()
        ),
        each=(low, mid, high),
        method=f"{measured}; growth bounded by activations",
        sources=sources,
        least=least,
    )


def _weight_bytes(job: Job, need: Need) -> float:
    """Of a parameter, held at any batch: in training with its gradient and optimizer state, fp32."""
    if job.mode is Mode.TRAINING:
        return 8.0 + OPTIMIZER_BYTES.get(job.optimizer, 8.0)
    if need.precision is Precision.INT8:
        return 1.0
    return 2.0 if need.precision in HALF else 4.0


def _held_mib(job: Job, need: Need) -> float:
    return job.parameters * _weight_bytes(job, need) / MIB


def _bound(job: Job, need: Need, kind: str) -> PeakModel:
    half = need.precision in HALF
    training = job.mode is Mode.TRAINING
    # In training a half-precision copy of the weights stands beside them.
    weight_bytes = _weight_bytes(job, need) + (2.0 if training and half else 0.0)
    weights = job.parameters * weight_bytes / MIB
    number_bytes = 2.0 if half else 4.0
    known = assumptions.KEPT_COUNTED if job.counted else assumptions.KEPT
    kept, numbers = known[job.mode], job.activations
    if training and job.kept is not None:
        kept, numbers = assumptions.KEPT_AS_STATED, (job.kept,) * 3
    # In 16 bits a copy of half the size stands beside the inputs.
    copied = 0.5 if half else 0.0
    low_each, each, high_each = (
        (a * number_bytes * k + job.input_bytes * (n + copied)) / MIB
        for a, k, n in zip(numbers, _ends(kept), _ends(assumptions.INPUTS_HELD), strict=True)
    )
    each_words = f"{kept.mid:g} x {number_bytes:g} bytes of {compact(numbers[1])} activations"
    if job.input_bytes:
        batches, input_mib = assumptions.INPUTS_HELD.mid + copied, job.input_bytes / MIB
        each_words = f"({each_words} + {batches:g} x {compact(input_mib)} MiB of inputs)"
    base = assumptions.CONTEXT_MIB if kind == "gpu" else assumptions.PROCESS_MIB
    held = assumptions.WEIGHTS_HELD
    low, mid, top = (b + weights * f for b, f in zip(_ends(base), _ends(held), strict=True))
    return PeakModel(
        anchors=((0, (low, mid, top)),),
        each=(low_each, each, high_each),
        method=(
            f"analytical bound: {base.mid:g} MiB + {held.mid:g} x {weight_bytes:g} bytes a parameter"
            f"{f' ({job.optimizer})' if training else ''} + batch x {each_words}"
        ),
        sources=("parameters and FLOPs of the model",),
    )


def _ends(of: Range) -> Three:
    return of.low, of.mid, of.high


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


MAY_NEED = "may need up to"
"""In the reason of a batch that may not fit, as far as anybody can say."""


def gate(model: PeakModel, usable: float, wanted: int, *, fixed: bool) -> Fit:
    """The largest batch up to ``wanted`` of which even the high end fits; ``fixed`` allows no other."""
    batch = wanted
    while model.at(batch).interval.high > usable and batch > 1 and not fixed:
        batch //= 2
    peak = model.at(batch)
    if peak.interval.high <= usable:
        return Fit(batch=batch, peak=peak, reason="")
    certain = "needs" if peak.interval.low > usable else MAY_NEED
    amount = peak.interval.low if peak.interval.low > usable else peak.interval.high
    needed, there = (f"{mib / 1024:.1f}" for mib in (amount, usable))
    if needed == there:
        needed, there = (f"{mib / 1024:.4g}" for mib in (amount, usable))
    return Fit(
        batch=None,
        peak=peak,
        reason=(f"batch {batch} {certain} {needed} GiB, {there} GiB are usable ({model.method})"),
        times=peak.interval.high / usable if usable > 0 else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The memory of one device, and which batches may be worked with there.

    ``wanted`` is the largest that is looked for; from ``least`` to ``most`` what was measured counts.
    """

    models: Mapping[Policy, PeakModel]
    usable_mib: float
    wanted: int
    least: int = 1
    most: int | None = None

    def fit(self, policy: Policy) -> Fit:
        """The largest batch up to the wanted one that surely fits."""
        fixed = self.least == self.wanted
        return gate(self.models[policy], self.usable_mib, self.wanted, fixed=fixed)

    @property
    def batches(self) -> dict[Policy, int]:
        """The batch of each policy in which one fits."""
        found = {policy: self.fit(policy).batch for policy in Policy}
        return {policy: batch for policy, batch in found.items() if batch is not None}

    def holds(self, policy: Policy, batch: int) -> bool:
        """Whether a batch may be worked with, and surely fits."""
        if batch < self.least or (self.most is not None and batch > self.most):
            return False
        return self.models[policy].at(batch).interval.high <= self.usable_mib
