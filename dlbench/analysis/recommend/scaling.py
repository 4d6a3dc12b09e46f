"""What several devices of a machine do together, over what one of them does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from dlbench.analysis.recommend import assumptions
from dlbench.analysis.recommend.assumptions import Range, exactly
from dlbench.analysis.recommend.job import Job
from dlbench.analysis.recommend.measured import Seen
from dlbench.core.catalog import Catalog, Offer
from dlbench.core.recommendation import Need, Step
from dlbench.core.types import Absent, Mode
from dlbench.core.units import compact


def together(
    offer: Offer, job: Job, need: Need, found: Sequence[Seen], catalog: Catalog
) -> tuple[Range, Step]:
    """What all devices of an instance do, over what one does; measured where somebody did.

    Never linear in silence: the efficiency is kept at each doubling, and stated. A step whose samples
    cannot be shared evenly takes as long as if each device had as many as the one that has most.
    """
    count = offer.accelerator_count
    n = 1.0 if isinstance(count, Absent) or offer.accelerator is None else count
    if n <= 1:
        return exactly(1.0, "one device"), Step(
            name="scaling", value="1", formula="one device", source="the offer"
        )
    scale = _measured_scaling(offer, n, found) or _kept_at_doublings(offer, n, job, catalog)
    busy = job.busy(need, n) / n
    return scale if busy == 1 else _unevenly(*scale, busy)


def _unevenly(scale: Range, step: Step, busy: float) -> tuple[Range, Step]:
    """The same of a step that has only a part of the samples that all devices could take with it."""
    fewer = scale.times(exactly(busy))
    ends = "" if fewer.low == fewer.high else f" ({fewer.low:.3g} to {fewer.high:.3g})"
    return fewer, replace(
        step,
        value=f"{fewer.mid:.3g}{ends} x one device",
        formula=f"{busy:.3g}, a step's samples over those of equal shares, x {step.formula}",
    )


def _kept_at_doublings(offer: Offer, n: float, job: Job, catalog: Catalog) -> tuple[Range, Step]:
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
    single = {(s.case.policy, s.case.batch_size): s for s in here if s.case.n_devices == 1}
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
        return exactly(n, source), step
    for several in reversed(many):
        policy = several.case.policy
        alike = (s for (of, _), s in single.items() if of is policy)
        one = single.get((policy, several.case.batch_size)) or next(alike, None)
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
