"""How fast an offer is at a job, by the best evidence there is.

    measured on that instance  >  on that accelerator  >  predicted from elsewhere  >  roofline

Each tier has a wider interval than the one before. Of each policy the best tier counts, and of the
policies the fastest. A rate is of one accelerator (or of all processors of a machine); what several of
them do together is in ``scaling.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dlbench.analysis.predict.documents import REPEAT_OF_NOISY, noisy
from dlbench.analysis.predict.estimate import GAIN_EXPONENT, SD_OF_POLICY
from dlbench.analysis.recommend import assumptions, roofline
from dlbench.analysis.recommend.assumptions import Range, exactly
from dlbench.analysis.recommend.job import Job
from dlbench.analysis.recommend.measured import (
    Agreed,
    Seen,
    agreed,
    nearest,
    rented_as,
)
from dlbench.analysis.recommend.memory import Room
from dlbench.core import metrics
from dlbench.core.catalog import Accelerator, Catalog, Offer
from dlbench.core.recommendation import (
    Constraint,
    Evidence,
    Need,
    Predictor,
    Question,
    Refusal,
    Step,
)
from dlbench.core.stats import NORMAL_90
from dlbench.core.types import (
    Absent,
    Estimated,
    Metric,
    Policy,
    Precision,
)
from dlbench.core.units import compact, percent

REPEAT_ON_SAME = 0.03
"""Two machines of one type differ by a few percent, and a month later too."""
REPEAT_ON_ACCELERATOR = 0.10
"""The same accelerator in another host: clocks, cooling, PCIe, processors that feed it."""

OLDEST_COMPUTE_CAPABILITY = 5.0
"""CUDA 12 has no support for Kepler (3.x)."""

OLDEST_FOR_TRITON = 7.0
"""PyTorch's compiler, which ``tuned`` turns on, writes Triton: none for Pascal (6.x)."""

NEVER_MEASURED = Absent(reason="nothing was measured", remedy="dlbench run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Samples a second of one device with low and high ends (nine of ten), and where it is from.

    ``step_s`` of a batch's seconds are known not to depend on its size, beside the host's.
    """

    value: float
    low: float
    high: float
    tier: Evidence
    batch: int
    steps: tuple[Step, ...]
    policy: Policy = Policy.BASE
    step_s: float = 0.0
    energy_j_per_sample: Metric = NEVER_MEASURED


class Said(NamedTuple):
    """A predictor's answer, and the batch that it is of: what the whole of an accelerator holds."""

    batch: int
    answer: Estimated | Absent


Told = Mapping[Policy, Said]
"""What the predictor said of an accelerator in each policy in which it was asked."""


def predictions(
    job: Job,
    need: Need,
    rooms: Sequence[tuple[Accelerator, Room]],
    predictor: Predictor,
    found: Sequence[Seen],
) -> Mapping[str, Told]:
    """What the predictor says of each accelerator by name, asked once for all of them.

    In the policies that were measured on accelerators, by the user or else by whom the predictor learnt
    from: one that was measured ``tuned`` is not compared with one that is told in ``base``. What an
    accelerator cannot do, or does not hold, is not asked.
    """
    measured = {s.case.policy for s in found if s.accelerator and s.accelerator.kind == "gpu"}
    asked: list[Question] = []
    for device, room in rooms:
        question = Question(
            workload=job.workload,
            variant=job.variant,
            task=job.task,
            parameters=job.parameters,
            flops_per_sample=job.flops_per_sample,
            activations=None if job.kept is None else job.activations[1],
            accelerator=device,
            framework=need.framework,
            precision=need.precision,
            mode=job.mode,
            batch_size=room.wanted,
        )
        measured = measured or set(predictor.policies(question)) or {Policy.BASE}
        for policy, batch in room.batches.items():
            if policy in measured and _compiles(device, policy, need):
                asked.append(replace(question, policy=policy, batch_size=batch))
    told: dict[str, dict[Policy, Said]] = {}
    for one, answer in zip(asked, predictor.throughputs(asked), strict=True):
        told.setdefault(one.accelerator.name, {})[one.policy] = Said(one.batch_size, answer)
    return told


def _compiles(device: Accelerator, policy: Policy, need: Need) -> bool:
    """Whether a policy's compiler has support for an accelerator."""
    needs_triton = policy is Policy.TUNED and need.framework == "pytorch"
    return not needs_triton or _capability(device) >= OLDEST_FOR_TRITON


# --- tiers ----------------------------------------------------------------------------------


def rate(
    offer: Offer,
    job: Job,
    need: Need,
    room: Room,
    found: Sequence[Seen],
    predicted: Mapping[str, Told],
    catalog: Catalog,
) -> Rate | Refusal:
    """The rate of one device of an offer in the fastest policy that fits, or why nobody can say.

    Documents of a batch that does not fit, or is not the one insisted on, were not measured here: they
    are scaled, as those of other hardware are.
    """
    device = catalog.accelerator(offer.accelerator) if offer.accelerator else None
    if offer.accelerator is not None and device is None:
        return Refusal(Constraint.THROUGHPUT, f"accelerator {offer.accelerator} is in no table")
    told = predicted.get(device.name, {}) if device else {}
    ways = []
    batches = room.batches
    for policy, batch in batches.items():
        same = [s for s in found if s.case.policy is policy]
        way = (
            _of_processor(offer, cores(offer, catalog), room, batch, same)
            if device is None
            else _of_accelerator(offer, device, room, batch, same)
            or _elsewhere(offer, device, need, batch, found, (policy, told.get(policy)))
        )
        ways += [way] if way else []
    if ways:
        return max(ways, key=lambda way: way.value)
    return _by_sheet(offer, device, job, need, next(iter(batches.values())), told, catalog)


def _of_accelerator(
    offer: Offer, device: Accelerator, room: Room, batch: int, found: Sequence[Seen]
) -> Rate | None:
    """As it was measured there in the documents' policy, at a batch that fits; else None."""
    here = [s for s in found if s.accelerator is not None and s.accelerator.name == device.name]
    fitting = [s for s in here if room.holds(s.case.policy, s.case.batch_size)]
    return _measured(offer, fitting, batch) if fitting and _whole(offer) else None


def _elsewhere(
    offer: Offer,
    device: Accelerator,
    need: Need,
    batch: int,
    found: Sequence[Seen],
    told: tuple[Policy, Said | None],
) -> Rate | None:
    """As it is predicted, or measured on others; None where nobody knows, or the device cannot."""
    policy, said = told
    if need.precision not in device.peak_tflops or not _compiles(device, policy, need):
        return None
    if said is not None and isinstance(said.answer, Estimated):
        return _predicted(said.answer, policy, offer, batch, said.batch)
    return _by_bandwidth(found, policy, device, offer, need, batch)


def _by_sheet(
    offer: Offer,
    device: Accelerator | None,
    job: Job,
    need: Need,
    batch: int,
    told: Told,
    catalog: Catalog,
) -> Rate | Refusal:
    """By the data sheet alone: wider where the predictor refuses, and where it never learnt from."""
    if device is not None:
        bound = roofline.accelerator(device, job, need, batch)
        refusals = [said.answer.reason for said in told.values() if isinstance(said.answer, Absent)]
        wider = f"since the predictor refuses: {refusals[0]}" if refusals else ""
    else:
        n = cores(offer, catalog)
        if isinstance(n, Absent):
            return Refusal(Constraint.THROUGHPUT, n.reason)
        bound = roofline.processor(offer, n, job, need, batch, catalog)
        wider = "since no processor was measured at this"
    if isinstance(bound, Refusal):
        return bound
    times = REFUSAL_WIDENS if wider else 1.0
    found = _estimated(
        (bound.low / times, bound.value, bound.high * times),
        Evidence.ROOFLINE,
        batch,
        Policy.BASE,
        formula=bound.formula
        + (f"; {REFUSAL_WIDENS:g} times as wide to either side, {wider}" if wider else ""),
        source=bound.source,
        as_of=bound.as_of,
    )
    return _sliced(replace(found, step_s=bound.step_s), offer)


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


def _measured(offer: Offer, here: Sequence[Seen], batch: int) -> Rate:
    on_type = [s for s in here if rented_as(s, offer)]
    tier = Evidence.INSTANCE if on_type else Evidence.ACCELERATOR
    margin = REPEAT_ON_SAME if on_type else REPEAT_ON_ACCELERATOR
    found = agreed(nearest(on_type or here, batch), margin)
    best = found.middle
    return Rate(
        value=best.each_per_s,
        low=found.low,
        high=found.high,
        tier=tier,
        batch=best.case.batch_size,
        policy=best.case.policy,
        energy_j_per_sample=metrics.compute("energy_j_per_sample", best.result, best.run),
        steps=(_seen_step(found, margin),),
    )


def _of_several(found: Seen) -> str:
    n = found.case.n_devices
    return f", of which one of {n} devices has its share" if n > 1 else ""


def _seen_step(found: Agreed, margin: float) -> Step:
    best = found.middle
    flagged = noisy(best.result)
    trials = f"{best.rate.n} trials{_of_several(best)}{found.of_several}"
    return Step(
        name="throughput",
        value=f"{compact(best.rate.value, 4)} samples/s ({best.case.label})",
        formula=f"measured, {trials}; "
        f"+-{percent(max(margin, REPEAT_OF_NOISY) if flagged else margin)} for another machine"
        + (" and a noisy one" if flagged else ""),
        source=f"document {best.run.run_id}",
        as_of=best.run.created_utc[:10],
    )


def _predicted(answer: Estimated, policy: Policy, offer: Offer, batch: int, asked: int) -> Rate:
    """As it was predicted at a batch of ``asked``, of which less may fit here."""
    times, ends = assumptions.batch_times(batch / asked), answer.interval
    other = batch != asked
    scaled = f" x (batch {batch} / {asked})^{assumptions.BATCH_GAIN.mid:g}" if other else ""
    return _sliced(
        _estimated(
            (ends.low * times.low, answer.value * times.mid, ends.high * times.high),
            Evidence.PREDICTED,
            batch,
            policy,
            formula=answer.method + scaled + ("" if policy is Policy.BASE else f", {policy}"),
            source="; ".join([*(answer.from_ or ("predictor",)), *[times.source] * other]),
        ),
        offer,
    )


def _by_bandwidth(
    found: Sequence[Seen],
    policy: Policy,
    device: Accelerator,
    offer: Offer,
    need: Need,
    batch: int,
) -> Rate | None:
    """From the accelerator measured in a policy whose bandwidth is nearest; None where none was."""
    here = device.memory_bandwidth_gb_per_s
    same = [s for s in found if s.case.policy is policy]
    gpus = {s.accelerator.name: s.accelerator for s in same if s.accelerator}
    ratios = {
        name: here / there.memory_bandwidth_gb_per_s
        for name, there in gpus.items()
        if there.kind == "gpu"
        and not isinstance(here, Absent)
        and not isinstance(there.memory_bandwidth_gb_per_s, Absent)
    }
    if not ratios:
        return None
    closest = min(ratios, key=lambda name: abs(math.log(ratios[name])))
    there = [s for s in found if s.accelerator and s.accelerator.name == closest]
    alike = agreed(nearest([s for s in there if s in same], batch))
    plain = [s for s in there if s.case.policy is Policy.BASE]
    spread, gain = assumptions.BANDWIDTH_RATIO, _carried(alike, plain, device, gpus[closest], need)
    return _sliced(
        _scaled(
            alike,
            spread.times(exactly(ratios[closest])).times(gain),
            batch,
            formula=f"{closest}{alike.of_several} x {ratios[closest]:.3g}, the ratio of bandwidths"
            + (f", x {gain.mid:.3g}" if gain.mid != 1 else ""),
        ),
        offer,
    )


def _carried(
    alike: Agreed, plain: Sequence[Seen], here: Accelerator, there: Accelerator, need: Need
) -> Range:
    """What of a policy's gain on another accelerator is believed here, over all of it.

    As the predictor carries it (``docs/decisions/0069``). Where nobody ran it plainly there, any part
    of the rate may be the policy's gain, and the low end says so.
    """
    if alike.middle.case.policy is Policy.BASE:
        return exactly(1.0)
    peaks = [device.peak_tflops.get(need.precision, 0.0) for device in (here, there)]
    kept = (min(peaks) / max(peaks)) ** GAIN_EXPONENT if min(peaks) > 0 else 0.0
    strange = here.compute_capability != there.compute_capability
    spread = math.exp(NORMAL_90 * SD_OF_POLICY) if strange else 1.0
    low = mid = LARGEST_GAIN ** (kept - 1)
    if plain:
        base = agreed(nearest(plain, alike.middle.case.batch_size)).middle
        gain = max(1.0, alike.middle.each_per_s / base.each_per_s)
        low = mid = gain ** (kept - 1)
    return Range(
        low=low / spread,
        mid=mid if plain else 1.0,
        high=spread,
        source=f"ln of a policy's gain carries by the ratio of peaks^{GAIN_EXPONENT:g}",
    )


LARGEST_GAIN = 3.0
"""Of an expert's settings over plain ones: 2.9 were measured, of ResNet-50's training on an H200."""


def _scaled(alike: Agreed, times: Range, batch: int, *, formula: str) -> Rate:
    """What documents of another device say of this one, ``times`` as fast, and of another batch."""
    best = alike.middle
    there = best.case.batch_size
    larger = assumptions.batch_times(batch / there)
    other = "" if batch == there else f" x (batch {batch} / {there})^{assumptions.BATCH_GAIN.mid:g}"
    return _estimated(
        (
            alike.low * times.low * larger.low,
            best.each_per_s * times.mid * larger.mid,
            alike.high * times.high * larger.high,
        ),
        Evidence.PREDICTED,
        batch,
        best.case.policy,
        formula=f"{compact(best.each_per_s, 4)} samples/s on {formula}{other}",
        source="; ".join(
            filter(None, (f"document {best.run.run_id}", times.source, larger.source * bool(other)))
        ),
        as_of=best.run.created_utc[:10],
    )


def _estimated(
    ends: tuple[float, float, float],
    tier: Evidence,
    batch: int,
    policy: Policy,
    *,
    formula: str,
    source: str,
    as_of: str = "",
) -> Rate:
    low, value, high = ends
    return Rate(
        value=value,
        low=low,
        high=high,
        tier=tier,
        batch=batch,
        policy=policy,
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
    if offer.accelerator is None or isinstance(count, Absent) or count >= 1:
        return rate_
    spread = assumptions.SLICE_SHARE
    part = _estimated(
        (rate_.low * count * spread.low, rate_.value * count, rate_.high * count * spread.high),
        rate_.tier,
        rate_.batch,
        rate_.policy,
        formula=f"{count:g} of ({rate_.steps[0].formula})",
        source=f"{rate_.steps[0].source}; {spread.source}",
        as_of=rate_.steps[0].as_of,
    )
    return replace(part, step_s=rate_.step_s / count)


# --- processors -----------------------------------------------------------------------------


def cores(offer: Offer, catalog: Catalog) -> float | Absent:
    """Physical cores of a machine: half of its vCPUs, or all where a core has one thread."""
    if isinstance(offer.vcpus, Absent):
        return Absent(reason="the source does not say how many vCPUs the machine has")
    model = catalog.accelerator(offer.cpu_model) if offer.cpu_model else None
    single = model is not None and (
        model.vendor in {"AWS", "Ampere"} or model.name in ONE_THREAD_A_VCPU
    )
    whole = ONE_THREAD_TYPES.get(offer.provider)
    if single or (whole is not None and whole.match(offer.instance_type)):
        return offer.vcpus
    return max(1.0, offer.vcpus / 2)


ONE_THREAD_A_VCPU = frozenset({"EPYC-9R14", "Graviton3", "Graviton4", "Altra-Max-M128-30"})
"""On AWS's c7a and m7a, and on ARM, a vCPU is a whole core."""

ONE_THREAD_TYPES = {
    "aws": re.compile(r"[a-z]+\d+g[a-z]*\.|[cmr][78]a\."),
    "azure": re.compile(r"Standard_([A-Z]+\d+p[a-z]*_|F\d+a[a-z]*_v6)"),
    "gcp": re.compile(r"(t2d|t2a|c4a|n4a|h3|h4d)-"),
}
"""Types of which that is known where their processor is not named: ARM's (at AWS with a g, at Azure
with a p), some of AMD's, and those of https://cloud.google.com/compute/docs/cpu-platforms."""


def _of_processor(
    offer: Offer, n: float | Absent, room: Room, batch: int, found: Sequence[Seen]
) -> Rate | None:
    """In the documents' policy: measured there, or scaled by cores; else None."""
    on_cpu = [s for s in found if s.device.kind == "cpu"]
    same_type = [s for s in on_cpu if rented_as(s, offer) and _had_all_cores(s)]
    fitting = [s for s in same_type if room.holds(s.case.policy, s.case.batch_size)]
    if fitting:
        return _measured(offer, fitting, batch)
    counted = [s for s in on_cpu if _cores_of(s)]
    if isinstance(n, Absent) or not counted:
        return None
    closest = min(counted, key=lambda s: abs(math.log(n / _cores_of(s))))
    name, there = closest.device.name, _cores_of(closest)
    same = [s for s in counted if (s.device.name, _cores_of(s)) == (name, there)]
    alike = agreed(nearest(same, batch))
    times, ratio = assumptions.core_times(n / there), assumptions.CPU_CORE_RATIO
    return _scaled(
        alike,
        ratio.times(times),
        batch,
        formula=f"{there} cores of {name}{alike.of_several} x "
        f"({n:g} / {there} cores)^{assumptions.CPU_SCALING.mid:g}",
    )


def _cores_of(found: Seen) -> int:
    """Physical cores that a document's workers used; 0 where it does not say how many there were.

    A container sees all cores of its machine, and may use as many as it has threads.
    """
    there = found.device.facts.get("physical_cores")
    return min(there, found.run.plan.threads) if isinstance(there, int) else 0


def _had_all_cores(found: Seen) -> bool:
    """Whether the rate is the whole machine's, as far as the document says."""
    there = found.device.facts.get("physical_cores")
    return not isinstance(there, int) or there <= found.run.plan.threads
