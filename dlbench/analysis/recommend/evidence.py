"""How fast an offer is at a job, by the best evidence there is.

    measured on that instance  >  on that accelerator  >  predicted from elsewhere  >  roofline

Each tier has a wider interval than the one before. A rate is of one accelerator (or of all
processors of a machine); what several of them do together is in ``scaling``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlbench.analysis.recommend import assumptions
from dlbench.analysis.recommend.assumptions import Range
from dlbench.analysis.recommend.job import Job
from dlbench.core import metrics
from dlbench.core.catalog import Accelerator, Catalog, Offer
from dlbench.core.recommendation import Evidence, Need, Predictor, Question, Step
from dlbench.core.types import (
    Absent,
    Case,
    CaseResult,
    DataMode,
    DeviceInfo,
    Estimated,
    Interval,
    Measured,
    Metric,
    Mode,
    Policy,
    Precision,
    Run,
    Scenario,
)
from dlbench.core.units import compact

REPEAT_ON_SAME = 0.03
"""Two machines of one type differ by a few percent, and a month later too."""
REPEAT_ON_ACCELERATOR = 0.10
"""The same accelerator in another host: clocks, cooling, PCIe, processors that feed it."""

REPEAT_OF_NOISY = 0.30
"""A case whose trials were flagged: a neighbour took part of the machine, or it never was steady."""

NOISE_FLAGS = frozenset({"contended", "not_steady"})

OLDEST_COMPUTE_CAPABILITY = 5.0
"""CUDA 12 has no support for Kepler (3.x)."""

NEVER_MEASURED = Absent(reason="nothing was measured", remedy="dlbench run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Samples a second of one device with low and high ends (nine of ten), and where it is from."""

    value: float
    low: float
    high: float
    tier: Evidence
    batch: int
    metric: Metric
    steps: tuple[Step, ...]
    policy: Policy = Policy.BASE
    latency_p99_s: Metric = NEVER_MEASURED
    energy_j_per_sample: Metric = NEVER_MEASURED


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One measured case of the job, and the device it ran on."""

    result: CaseResult
    run: Run
    device: DeviceInfo
    rate: Measured
    accelerator: Accelerator | None

    @property
    def case(self) -> Case:
        """Its case."""
        return self.result.case

    @property
    def each_per_s(self) -> float:
        """Samples a second of one device, of several that were measured together an equal share."""
        return self.rate.value / self.case.n_devices


def seen(job: Job, need: Need, runs: Sequence[Run], catalog: Catalog) -> tuple[Seen, ...]:
    """Every measured case of this job with this framework and precision, the newest last."""
    found = []
    for run in sorted(runs, key=lambda r: r.created_utc):
        devices = {d.id: d for d in run.environment.devices}
        for result in run.results:
            case = result.case
            if case.device not in devices or not _same(case, job, need):
                continue
            rate = metrics.compute("throughput_samples_per_s", result, run)
            if isinstance(rate, Measured):
                device = devices[case.device]
                found.append(
                    Seen(
                        result=result,
                        run=run,
                        device=device,
                        rate=rate,
                        accelerator=catalog.accelerator(device.name),
                    )
                )
    return tuple(found)


def _same(case: Case, job: Job, need: Need) -> bool:
    return (case.workload, case.variant, case.mode, case.framework, case.precision) == (
        job.workload,
        job.variant,
        job.mode,
        need.framework,
        need.precision,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the predictor said of an accelerator, and the policy of which it spoke."""

    answer: Estimated | Absent
    policy: Policy


def predictions(
    job: Job,
    need: Need,
    catalog: Catalog,
    batches: dict[str, int],
    predictor: Predictor | None,
    found: Sequence[Seen],
) -> dict[str, Told]:
    """What the predictor says of each accelerator, asked once for all of them.

    In the policies that were measured on accelerators, by the user or else by whom the predictor learnt
    from: one that was measured ``tuned`` is not compared with one that is told in ``base``. As with
    measured rates the faster counts.
    """
    if predictor is None:
        return {}
    devices = [d for d in catalog.accelerators if d.name in batches]
    questions = [
        Question(
            workload=job.workload,
            variant=job.variant,
            task=job.task,
            parameters=job.parameters,
            flops_per_sample=job.flops_per_sample,
            activations=job.activations[1] if job.activations_known else None,
            accelerator=device,
            framework=need.framework,
            precision=need.precision,
            mode=job.mode,
            batch_size=batches[device.name],
        )
        for device in devices
    ]
    measured = {s.case.policy for s in found if s.accelerator and s.accelerator.kind == "gpu"}
    if not measured and questions:
        measured = set(predictor.policies(questions[0]))
    policies = sorted(measured) or [Policy.BASE]
    asked = [replace(question, policy=policy) for question in questions for policy in policies]
    answers = predictor.throughputs(asked)
    told: dict[str, Told] = {}
    for question, answer in zip(asked, answers, strict=True):
        name, now = question.accelerator.name, Told(answer=answer, policy=question.policy)
        told[name] = max(told.get(name, now), now, key=_speed)
    return told


def _speed(told: Told) -> float:
    """Of an answer; a refusal is slower than any."""
    return told.answer.value if isinstance(told.answer, Estimated) else 0.0


# --- tiers ----------------------------------------------------------------------------------


def rate(
    offer: Offer,
    job: Job,
    need: Need,
    batch: int,
    found: Sequence[Seen],
    predicted: dict[str, Told],
    catalog: Catalog,
) -> Rate | Absent:
    """The rate of one device of an offer by the best tier, or why nobody can say."""
    refusal = unsupported(offer, need, catalog)
    if refusal is not None:
        return refusal
    if offer.accelerator is None:
        return _cpu_rate(offer, job, need, batch, found, catalog)
    device = catalog.accelerator(offer.accelerator)
    if device is None:
        return Absent(reason=f"accelerator {offer.accelerator} is in no table")
    here = [s for s in found if s.accelerator is not None and s.accelerator.name == device.name]
    if here and _whole(offer):
        return _measured(offer, here, batch)
    told = predicted.get(device.name)
    if told is not None and isinstance(told.answer, Estimated):
        return _predicted(told.answer, told.policy, offer, batch)
    elsewhere = [s for s in found if s.accelerator is not None and s.accelerator.kind == "gpu"]
    scaled = _by_bandwidth(elsewhere, device, offer, batch) if elsewhere else None
    bound = scaled or _roofline(device, job, need, offer, batch)
    return _refused(bound, told.answer) if told and isinstance(bound, Rate) else bound


def _refused(bound: Rate, answer: Absent | Estimated) -> Rate:
    """A bound where the predictor dared no answer: wider, and the way says so."""
    first = bound.steps[0]
    reason = answer.reason if isinstance(answer, Absent) else ""
    told = replace(first, formula=f"{first.formula}; wider, since the predictor refuses: {reason}")
    return replace(
        bound,
        low=bound.low / REFUSAL_WIDENS,
        high=bound.high * REFUSAL_WIDENS,
        steps=(told, *bound.steps[1:]),
    )


REFUSAL_WIDENS = 2.0
"""The predictor refuses what it cannot tell within a factor of ten; a roofline claims half of it."""


def unsupported(offer: Offer, need: Need, catalog: Catalog) -> Absent | None:
    """Why no framework of ours runs there, if none does."""
    device = catalog.accelerator(offer.accelerator) if offer.accelerator else None
    if device is None:
        return None
    if device.vendor != "NVIDIA":
        return Absent(reason=f"dlbench has no way to run {need.framework} on {device.name} yet")
    if need.framework == "openvino":
        return Absent(reason="OpenVINO runs on processors here")
    if need.framework == "onnxruntime" and need.precision not in ONNX_ON_ACCELERATORS:
        return Absent(reason=f"ONNX Runtime runs {need.precision} on no accelerator here")
    if _capability(device) < OLDEST_COMPUTE_CAPABILITY:
        return Absent(
            reason=f"{device.name} has compute capability {device.compute_capability}, which CUDA 12 "
            "left behind"
        )
    return None


ONNX_ON_ACCELERATORS = (Precision.FP32, Precision.TF32)
"""What ONNX Runtime computes in there, as its adapter has it; int8 is made for processors."""


def _capability(device: Accelerator) -> float:
    try:
        return float(device.compute_capability)
    except ValueError:
        return math.inf


def _whole(offer: Offer) -> bool:
    count = offer.accelerator_count
    return not isinstance(count, Absent) and count >= 1


def rented_as(found: Seen, offer: Offer) -> bool:
    """Whether a document's machine was of an offer's type, and of its provider where that is known."""
    facts = found.run.environment.facts
    provider = facts.get("cloud_provider")
    same_provider = not isinstance(provider, str) or provider == offer.provider
    return same_provider and facts.get("cloud_instance") == offer.instance_type


def _measured(offer: Offer, here: Sequence[Seen], batch: int) -> Rate:
    on_type = [s for s in here if rented_as(s, offer)]
    tier = Evidence.INSTANCE if on_type else Evidence.ACCELERATOR
    best = _nearest(on_type or here, batch)
    margin = REPEAT_ON_SAME if on_type else REPEAT_ON_ACCELERATOR
    if _noisy(best):
        margin = max(margin, REPEAT_OF_NOISY)
    low, high = (end / best.case.n_devices for end in _ends(best.rate, margin))
    return Rate(
        value=best.each_per_s,
        low=low,
        high=high,
        tier=tier,
        batch=best.case.batch_size,
        policy=best.case.policy,
        metric=best.rate,
        latency_p99_s=metrics.compute("latency_p99_s", best.result, best.run),
        energy_j_per_sample=metrics.compute("energy_j_per_sample", best.result, best.run),
        steps=(_seen_step(best, margin),),
    )


def _noisy(found: Seen) -> bool:
    flags = {flag for trial in found.result.measured for flag in trial.flags}
    return bool(NOISE_FLAGS & (flags | set(found.result.flags)))


def _nearest(found: Sequence[Seen], batch: int) -> Seen:
    """Of one device, with resident inputs, offline, at the nearest batch that fits.

    Policies are an expert's choice: the faster of two at one batch counts. The newest wins a tie.
    """
    single = [s for s in found if s.case.n_devices == 1] or list(found)
    resident = [s for s in single if s.case.data_mode is DataMode.SYNTHETIC] or single
    offline = [s for s in resident if s.case.scenario in {None, Scenario.OFFLINE}] or resident
    fitting = [s for s in offline if s.case.batch_size <= batch] or offline
    return max(fitting, key=lambda s: (s.case.batch_size, s.rate.value, s.run.created_utc))


def _ends(rate: Measured, margin: float) -> tuple[float, float]:
    low, high = (
        (rate.interval.low, rate.interval.high) if rate.interval else (rate.value, rate.value)
    )
    return low * (1 - margin), high * (1 + margin)


def _of_several(found: Seen) -> str:
    n = found.case.n_devices
    return f", of which one of {n} devices has its share" if n > 1 else ""


def _seen_step(found: Seen, margin: float) -> Step:
    trials = f"{found.rate.n} trials{_of_several(found)}"
    return Step(
        name="throughput",
        value=f"{compact(found.rate.value, 4)} samples/s ({found.case.label})",
        formula=f"measured, {trials}; +-{margin:.0%} for another machine"
        + (" and a noisy one" if _noisy(found) else ""),
        source=f"document {found.run.run_id}",
        as_of=found.run.created_utc[:10],
    )


def _predicted(answer: Estimated, policy: Policy, offer: Offer, batch: int) -> Rate:
    return _sliced(
        Rate(
            value=answer.value,
            low=answer.interval.low,
            high=answer.interval.high,
            tier=Evidence.PREDICTED,
            batch=batch,
            policy=policy,
            metric=answer,
            steps=(
                Step(
                    name="throughput",
                    value=f"{compact(answer.value, 4)} ({compact(answer.interval.low, 4)} to "
                    f"{compact(answer.interval.high, 4)}) samples/s",
                    formula=answer.method + ("" if policy is Policy.BASE else f", {policy}"),
                    source="; ".join(answer.from_) or "predictor",
                ),
            ),
        ),
        offer,
    )


def _by_bandwidth(
    found: Sequence[Seen], device: Accelerator, offer: Offer, batch: int
) -> Rate | None:
    best = _nearest(found, batch)
    measured_on = best.accelerator
    if measured_on is None:
        return None
    there, here = measured_on.memory_bandwidth_gb_per_s, device.memory_bandwidth_gb_per_s
    if isinstance(there, Absent) or isinstance(here, Absent):
        return None
    spread = assumptions.BANDWIDTH_RATIO
    value = best.each_per_s * here / there
    return _sliced(
        _estimated(
            value,
            spread,
            Evidence.PREDICTED,
            best.case.batch_size,
            best.case.policy,
            formula=(
                f"{compact(best.each_per_s, 4)} samples/s on {measured_on.name} x "
                f"{here:g} / {there:g} GB/s"
            ),
            source=f"document {best.run.run_id}; {spread.source}",
            as_of=best.run.created_utc[:10],
        ),
        offer,
    )


def _estimated(  # noqa: PLR0913 - the parts of one rate
    value: float,
    spread: Range,
    tier: Evidence,
    batch: int,
    policy: Policy = Policy.BASE,
    *,
    formula: str,
    source: str,
    as_of: str,
) -> Rate:
    low, high = value * spread.low / spread.mid, value * spread.high / spread.mid
    return Rate(
        value=value,
        low=low,
        high=high,
        tier=tier,
        batch=batch,
        policy=policy,
        metric=Estimated(
            value=value,
            interval=Interval(low=low, high=high, level=0.9),
            method=formula,
            from_=(source,),
        ),
        steps=(
            Step(
                name="throughput",
                value=f"{compact(value, 4)} ({compact(low, 4)} to {compact(high, 4)}) samples/s",
                formula=formula,
                source=source,
                as_of=as_of,
            ),
        ),
    )


def _sliced(rate_: Rate, offer: Offer) -> Rate:
    count = offer.accelerator_count
    if isinstance(count, Absent) or count >= 1:
        return rate_
    spread = assumptions.SLICE_SHARE
    return _estimated(
        rate_.value * count,
        Range(
            low=spread.low * rate_.low / rate_.value,
            mid=1.0,
            high=spread.high * rate_.high / rate_.value,
            source=spread.source,
        ),
        rate_.tier,
        rate_.batch,
        rate_.policy,
        formula=f"{count:g} of ({rate_.steps[0].formula})",
        source=f"{rate_.steps[0].source}; {spread.source}",
        as_of=rate_.steps[0].as_of,
    )


def _roofline(device: Accelerator, job: Job, need: Need, offer: Offer, batch: int) -> Rate | Absent:
    peak = device.peak_tflops.get(need.precision)
    if peak is None:
        return Absent(
            reason=f"the data sheet of {device.name} has no {need.precision} peak",
            remedy="another precision",
        )
    share, host = assumptions.ROOFLINE_SHARE, assumptions.HOST_STEP_S[job.mode]

    def samples_per_s(of_peak: float, host_s: float) -> float:
        return batch / (batch * job.flops / (peak * 1e12 * of_peak) + host_s)

    value = samples_per_s(share.mid, host.mid)
    spread = Range(
        low=samples_per_s(share.low, host.high) / value,
        mid=1.0,
        high=samples_per_s(share.high, host.low) / value,
        source=share.source,
    )
    return _sliced(
        _estimated(
            value,
            spread,
            Evidence.ROOFLINE,
            batch,
            formula=(
                f"batch {batch} / ({batch} x {compact(job.flops / 1e9, 4)} GFLOP / ({peak:g} TFLOPS x "
                f"{share.mid:.0%}) + {host.mid * 1e3:g} ms)"
            ),
            source=f"data sheet of {device.name}; {share.source}",
            as_of=device.as_of,
        ),
        offer,
    )


# --- processors -----------------------------------------------------------------------------


def cores(offer: Offer, catalog: Catalog) -> float | Absent:
    """Physical cores of a machine: half of its vCPUs, or all where a core has one thread."""
    if isinstance(offer.vcpus, Absent):
        return Absent(reason="the source does not say how many vCPUs the machine has")
    model = catalog.accelerator(offer.cpu_model) if offer.cpu_model else None
    single = model is not None and (
        model.vendor in {"AWS", "Ampere"} or model.name in ONE_THREAD_A_VCPU
    )
    return offer.vcpus if single else max(1.0, offer.vcpus / 2)


ONE_THREAD_A_VCPU = frozenset({"EPYC-9R14", "Graviton3", "Graviton4", "Altra-Max-M128-30"})
"""On AWS's c7a and m7a, and on ARM, a vCPU is a whole core."""


def _cpu_rate(
    offer: Offer, job: Job, need: Need, batch: int, found: Sequence[Seen], catalog: Catalog
) -> Rate | Absent:
    n = cores(offer, catalog)
    if isinstance(n, Absent):
        return n
    on_cpu = [s for s in found if s.device.kind == "cpu"]
    same_type = [s for s in on_cpu if rented_as(s, offer)]
    if same_type:
        return _measured(offer, same_type, batch)
    if on_cpu:
        return _by_cores(on_cpu, n, batch)
    return _cpu_roofline(offer, job, need, batch, n, catalog)


def _by_cores(found: Sequence[Seen], n: float, batch: int) -> Rate | Absent:
    best = _nearest(found, batch)
    there = best.device.facts.get("physical_cores")
    if not isinstance(there, int) or there < 1:
        return Absent(reason="the document does not say how many cores were measured")
    scaling, ratio = assumptions.CPU_SCALING, assumptions.CPU_CORE_RATIO
    times = n / there
    ends = sorted(times**power for power in (scaling.low, scaling.high))
    mid = times**scaling.mid
    return _estimated(
        best.rate.value * mid,
        Range(
            low=ratio.low * ends[0] / mid,
            mid=1.0,
            high=ratio.high * ends[1] / mid,
            source=ratio.source,
        ),
        Evidence.PREDICTED,
        best.case.batch_size,
        best.case.policy,
        formula=(
            f"{compact(best.rate.value, 4)} samples/s on {there} cores of {best.device.name} x "
            f"({n:g} / {there} cores)^{scaling.mid:g}"
        ),
        source=f"document {best.run.run_id}; {scaling.source}",
        as_of=best.run.created_utc[:10],
    )


def _cpu_roofline(
    offer: Offer, job: Job, need: Need, batch: int, n: float, catalog: Catalog
) -> Rate | Absent:
    model = catalog.accelerator(offer.cpu_model) if offer.cpu_model else None
    share, unknown = assumptions.ROOFLINE_SHARE, assumptions.UNKNOWN_CORE_GFLOPS
    peak = model.peak_tflops.get(need.precision) if model else None
    if peak is not None and model is not None and not isinstance(model.cores, Absent):
        core, spread = peak * 1e3 / model.cores, (1.0, 1.0)
        source, as_of = f"data sheet of {model.name}", model.as_of
    elif need.precision is Precision.FP32:
        core, spread = unknown.mid, (unknown.low / unknown.mid, unknown.high / unknown.mid)
        source, as_of = unknown.source, assumptions.READ
    else:
        return Absent(reason=f"nobody says that this processor computes in {need.precision}")
    value = n * core * 1e9 * share.mid / job.flops
    return _estimated(
        value,
        Range(
            low=share.low / share.mid * spread[0],
            mid=1.0,
            high=share.high / share.mid * spread[1],
            source=share.source,
        ),
        Evidence.ROOFLINE,
        batch,
        formula=f"{n:g} cores x {core:.0f} GFLOPS x {share.mid:.0%} / "
        f"{compact(job.flops / 1e9, 4)} GFLOP",
        source=f"{source}; {share.source}",
        as_of=as_of,
    )


# --- several devices ------------------------------------------------------------------------


def scaling(offer: Offer, job: Job, found: Sequence[Seen], catalog: Catalog) -> tuple[Range, Step]:
    """What all devices of an instance do, over what one does; measured where somebody did.

    Never linear in silence: the efficiency is kept at each doubling, and stated.
    """
    count = offer.accelerator_count
    n = 1.0 if isinstance(count, Absent) or offer.accelerator is None else count
    if n <= 1:
        one = Range(low=1.0, mid=1.0, high=1.0, source="one device")
        return one, Step(name="scaling", value="1", formula="one device", source="")
    measured = _measured_scaling(offer, n, found)
    if measured is not None:
        return measured
    assumed = _assumed_scaling(offer, job, catalog)
    doublings = math.log2(n)
    low, mid, high = (n * e**doublings for e in (assumed.low, assumed.mid, assumed.high))
    step = Step(
        name="scaling",
        value=f"{mid:.3g} ({low:.3g} to {high:.3g}) x one device",
        formula=f"{n:g} x {assumed.mid:g}^log2({n:g}), {assumptions.NOT_MEASURED}",
        source=assumed.source,
        as_of=assumptions.READ,
    )
    return Range(low=low, mid=mid, high=high, source=assumed.source), step


def _measured_scaling(offer: Offer, n: float, found: Sequence[Seen]) -> tuple[Range, Step] | None:
    here = [s for s in found if s.accelerator and s.accelerator.name == offer.accelerator]
    many = [s for s in here if s.case.n_devices == n]
    single = {s.case.batch_size: s for s in here if s.case.n_devices == 1}
    if many and not single:
        # Nobody measured one alone: together they do so many times one's share.
        source = f"document {many[-1].run.run_id}"
        step = Step(
            name="scaling",
            value=f"{n:g} x one device's share",
            formula=f"{n:g} devices were measured together",
            source=source,
            as_of=many[-1].run.created_utc[:10],
        )
        return Range(low=n, mid=n, high=n, source=source), step
    for several in reversed(many):
        one = single.get(several.case.batch_size) or next(iter(single.values()), None)
        if one is not None:
            times = several.rate.value / one.rate.value
            spread = Range(
                low=times * 0.95,
                mid=times,
                high=times * 1.05,
                source=f"document {several.run.run_id}",
            )
            step = Step(
                name="scaling",
                value=f"{times:.3g} x one device",
                formula=f"measured: {compact(several.rate.value, 4)} / "
                f"{compact(one.rate.value, 4)} samples/s",
                source=spread.source,
                as_of=several.run.created_utc[:10],
            )
            return spread, step
    return None


def _assumed_scaling(offer: Offer, job: Job, catalog: Catalog) -> Range:
    if job.mode is Mode.INFERENCE:
        return assumptions.SCALING_REPLICAS
    device = catalog.accelerator(offer.accelerator or "")
    link = device.interconnect if device else ""
    joined = "NVLink" in link and "bridge" not in link
    return assumptions.SCALING_NVLINK if joined else assumptions.SCALING_PCIE
