"""What documents say of a job: its measured cases, and what repeats of one agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlbench.analysis.predict.documents import REPEAT_OF_NOISY, noisy
from dlbench.analysis.recommend.job import Job
from dlbench.core import metrics
from dlbench.core.catalog import OWNED, Accelerator, Catalog, Offer, spelled
from dlbench.core.recommendation import Need
from dlbench.core.types import (
    Case,
    CaseResult,
    DataMode,
    DeviceInfo,
    Measured,
    Run,
    Scenario,
)
from dlbench.core.units import compact


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


def rented_as(found: Seen, offer: Offer) -> bool:
    """Whether a document's machine was of an offer's type, and of its provider where that is known.

    One's own machine of processors is told by their name and the number of their threads.
    """
    facts = found.run.environment.facts
    if offer.provider == OWNED:
        of = found.device
        return (
            of.kind == "cpu"
            and offer.accelerator is None
            and not isinstance(facts.get("cloud_instance"), str)
            and spelled(of.name) == spelled(offer.cpu_model)
            and of.facts.get("logical_cores") == offer.vcpus
        )
    provider = facts.get("cloud_provider")
    same_provider = not isinstance(provider, str) or provider == offer.provider
    return same_provider and facts.get("cloud_instance") == offer.instance_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What documents of one piece of work on one device say: the middle one, and the ends around it."""

    middle: Seen
    low: float
    high: float
    n: int

    @property
    def of_several(self) -> str:
        """The number's way, in words."""
        if self.n == 1:
            return ""
        return f", the middle of {self.n} documents ({compact(self.low, 4)} to {compact(self.high, 4)})"


def agreed(repeats: Sequence[Seen], margin: float = 0.0) -> Agreed:
    """The median of documents that measured alike, with its own ends, widened to the rates of all.

    The fastest would be the luckiest. Of two in the middle the slower counts. How wide the others' own
    intervals are does not count: trials may have had a neighbour, and what they add is a rate.
    """
    in_order = sorted(repeats, key=lambda s: (s.each_per_s, s.run.created_utc))
    middle = in_order[(len(in_order) - 1) // 2]
    ends = [_ends(s, margin, its_own=s is middle) for s in repeats]
    return Agreed(
        middle=middle,
        low=min(low for low, _ in ends),
        high=max(high for _, high in ends),
        n=len(in_order),
    )


def nearest(found: Sequence[Seen], batch: int) -> list[Seen]:
    """Of one device and policy: with resident inputs, offline, on the fewest devices, at one batch.

    The largest up to the batch, else the smallest above.
    """
    few = min(s.case.n_devices for s in found)
    single = [s for s in found if s.case.n_devices == few]
    resident = [s for s in single if s.case.data_mode is DataMode.SYNTHETIC] or single
    offline = [s for s in resident if s.case.scenario in {None, Scenario.OFFLINE}] or resident
    sizes = {s.case.batch_size for s in offline}
    size = max((x for x in sizes if x <= batch), default=min(sizes))
    return [s for s in offline if s.case.batch_size == size]


def _ends(found: Seen, margin: float, *, its_own: bool) -> tuple[float, float]:
    """Of one device's rate, of its interval or the rate alone; a noisy document is believed less."""
    if noisy(found.result):
        margin = max(margin, REPEAT_OF_NOISY)
    rate_, n = found.rate, found.case.n_devices
    known = rate_.interval if its_own else None
    low, high = (known.low, known.high) if known else (rate_.value,) * 2
    return low * (1 - margin) / n, high * (1 + margin) / n
