"""From a need to one answer: what to rent or use, and why.

need, documents, catalog
  memory gate        which batch fits, else a reason          memory.py
  throughput         by the best evidence there is            evidence.py measured.py roofline.py
  several devices    what they do together                    scaling.py
  distributions      time, cost, energy, carbon               simulate.py estimate.py serving.py
  limits and pick    kept with the need's confidence          solve.py
  words              reasons, flips, binding limit, launch    words.py buying.py launch.py
Recommendation
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from dlbench.analysis.recommend import (
    assumptions,
    buying,
    estimate,
    evidence,
    job,
    launch,
    measured,
    memory,
    needs,
    scaling,
    serving,
    simulate,
    solve,
    words,
)
from dlbench.analysis.recommend.estimate import Choice, Fitted, Simulated
from dlbench.analysis.recommend.evidence import Rate
from dlbench.analysis.recommend.job import Job
from dlbench.analysis.recommend.measured import Seen
from dlbench.analysis.recommend.memory import PeakModel, Room
from dlbench.analysis.recommend.simulate import Draws
from dlbench.analysis.recommend.solve import Judged
from dlbench.catalog import ages, lint
from dlbench.core.catalog import OWNED, Accelerator, Catalog, Offer, Region
from dlbench.core.recommendation import (
    Constraint,
    Evidence,
    Need,
    OwnedMachine,
    Predictor,
    Recommendation,
    Refusal,
    Rejection,
)
from dlbench.core.types import Absent, Mode, Policy, Run
from dlbench.core.units import compact, counted

__all__ = ["check", "predictor", "recommend"]

OLD_BUILDS_BELOW = 7.5
"""Compute capability that the newest builds of PyTorch for CUDA 12.8 and later leave out."""

ARM_HOSTED = frozenset({"T4G", "GH200-96GB", "GB200"})
"""Sold beside ARM processors only: AWS's Graviton2 (g5g), NVIDIA's Grace. Fewer packages are built."""

Defaults = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that is looked up for each candidate, once."""

    need: Need
    job: Job
    catalog: Catalog
    devices: dict[str, Accelerator]
    places: dict[tuple[str, str], Region | None]
    models: dict[str, dict[Policy, PeakModel]]
    found: tuple[Seen, ...]
    predicted: dict[float, Mapping[str, evidence.Told]]
    draws: Draws
    suspicious: dict[str, str]
    absurd: dict[tuple[str, str], str]
    wrong_unit: dict[str, str]
    today: date


def recommend(
    need: Need,
    runs: Sequence[Run],
    catalog: Catalog,
    predictor: Predictor | None = None,
    *,
    today: date,
    defaults: Defaults = (),
) -> Recommendation:
    """The answer to a need; the same for the same arguments, on every machine.

    Args:
        need: what is to be done, and within which limits.
        runs: every result document that may count as evidence.
        catalog: accelerators, offers, regions.
        predictor: who is asked of accelerators on which nobody measured this; None for the roofline.
        today: the day that ages of prices are counted to.
        defaults: settings that the need left open, to be echoed; those not among them are told as the
            need's own words.

    Raises:
        UsageError: the need names something that is not there, or says too little.
    """
    needs.check(need, catalog)
    every, runs = runs, job.current(need, runs)
    known = _known(need, runs, catalog, predictor, today, defaults)
    simulated, rejected = _tried(known)
    judged = [solve.judge(s, need) for s in simulated]
    kept = solve.feasible(judged, need)
    pick = kept[0] if kept else None
    shown = solve.with_shares(pick, need) if pick else None
    others = solve.alternatives(kept, pick) if pick else []
    rejected += _over_limits(judged, need)
    rejected += _dominated(kept, pick, others, words.minimised(need))
    return Recommendation(
        need=need,
        defaults=known.job.defaults,
        pick=shown,
        reasons=words.reasons(pick, kept, need) if pick else (),
        alternatives=tuple(solve.with_shares(j, need) for j in others),
        front=tuple(solve.with_shares(j, need) for j in solve.front(kept)),
        rejected=tuple(rejected),
        binding=()
        if pick
        else words.binding(
            judged,
            rejected,
            need,
            _lifted(
                known,
                {r.constraint for r in rejected},
                lambda other: _known(other, runs, catalog, predictor, today, defaults),
            ),
        ),
        flips=words.flips(pick, judged, need) if pick else (),
        buy_or_rent=buying.buy_or_rent(judged, need),
        cpu_verdict=words.cpu_verdict(pick, kept, need, rejected),
        compared=tuple(
            solve.with_shares(j, need)
            for j in _compared(kept, judged, need)
            if all(j is not other for other in (pick, *others))
        ),
        launch=launch.launch(shown, need) if shown else None,
        notes=_notes(known, every, runs, judged, rejected),
        assumptions=assumptions.steps(),
        made_on=str(today),
        seed=need.seed,
    )


def check(need: Need, runs: Sequence[Run], catalog: Catalog) -> None:
    """That what a need says so far is possible, be there more to say or not.

    Raises:
        UsageError: a model, a region, a provider or an accelerator that is not there.
    """
    needs.check(need, catalog)
    if need.workload:
        job.facts(need, runs)


def _known(
    need: Need,
    runs: Sequence[Run],
    catalog: Catalog,
    predictor: Predictor | None,
    today: date,
    defaults: Defaults,
) -> Known:
    work = job.read(need, runs)
    work = replace(work, defaults=(*defaults, *work.defaults))
    found = measured.seen(work, need, runs, catalog)
    models = {kind: memory.peak_models(work, need, runs, kind) for kind in ("cpu", "gpu")}
    models["gpus"] = (
        memory.beside_others(models["gpu"], work) if need.mode is Mode.TRAINING else models["gpu"]
    )
    devices = {device.name: device for device in catalog.accelerators}
    findings = lint.check(catalog, today)
    return Known(
        need=need,
        job=work,
        catalog=catalog,
        devices=devices,
        places={},
        models=models,
        found=found,
        predicted={
            n: _predictions(n, work, need, catalog, models["gpu"], predictor, found)
            for n in _numbers_of_devices(need, catalog)
        },
        draws=simulate.draws(need.seed),
        suspicious={f.offer: f.sentence for f in findings if f.rule == "far-below-family"},
        absurd=lint.absurdly_low(catalog),
        wrong_unit={f.offer: f.sentence for f in findings if f.rule == "memory-unit"},
        today=today,
    )


def _numbers_of_devices(need: Need, catalog: Catalog) -> set[float]:
    """All that a batch may be spread over."""
    counts = {o.accelerator_count for o in catalog.offers}
    counts |= {float(machine.accelerator_count) for machine in need.owned}
    return {_spread_over(n, need) for n in counts if not isinstance(n, Absent)} | {1.0}


def _spread_over(devices: float, need: Need) -> float:
    """How many devices share a batch: a machine's where it is a step's; else each has its own."""
    return max(1.0, devices) if need.steps is not None else 1.0


def _predictions(
    n: float,
    work: Job,
    need: Need,
    catalog: Catalog,
    models: dict[Policy, PeakModel],
    predictor: Predictor | None,
    found: Sequence[Seen],
) -> Mapping[str, evidence.Told]:
    """What the predictor says of each NVIDIA GPU, at the batch that one of ``n`` takes and can hold."""
    wanted = work.wanted_batch(need, "nvidia", n)
    if predictor is None or isinstance(wanted, Refusal):
        return {}
    rooms = [
        (device, _space(models, usable, wanted, need))
        for device in catalog.accelerators
        if device.kind == "gpu"
        and device.vendor == "NVIDIA"
        and not isinstance(usable := _usable(device), Absent)
    ]
    return evidence.predictions(work, need, rooms, predictor, found)


def _space(models: dict[Policy, PeakModel], usable_mib: float, wanted: int, need: Need) -> Room:
    """Which batches may be: the one that was given alone; of a step's, a share or parts of it."""
    given = need.batch_size is not None and need.steps is None
    most = wanted if given or need.steps is not None else None
    return Room(
        models=models, usable_mib=usable_mib, wanted=wanted, least=wanted if given else 1, most=most
    )


def _usable(device: Accelerator) -> float | Absent:
    size = device.memory_gib
    return size if isinstance(size, Absent) else size * 1024 * assumptions.USABLE_MEMORY


def predictor(runs: Sequence[Run], catalog: Catalog) -> Predictor:
    """Who is asked of accelerators that nobody measured: shipped coefficients and one's documents."""
    from dlbench.analysis.recommend.predicted import predicting

    return predicting(runs, catalog)


# --- trying each ----------------------------------------------------------------------------


def _choices(known: Known) -> Iterator[Choice]:
    need = known.need
    # First, so that it is among the few examples of a reason why something is out.
    for machine in need.owned:
        yield _own(machine, known)
    for offer in known.catalog.offers:
        device = known.devices.get(offer.accelerator or "")
        place = _place(known, offer)
        yield Choice(offer=offer, spot=False, device=device, place=place)
        if need.spot and not isinstance(offer.spot_usd_per_h, Absent):
            yield Choice(offer=offer, spot=True, device=device, place=place)


def _place(known: Known, offer: Offer) -> Region | None:
    key = (offer.provider, offer.region)
    if key not in known.places:
        known.places[key] = known.catalog.region(*key)
    return known.places[key]


def _own(machine: OwnedMachine, known: Known) -> Choice:
    device = known.catalog.accelerator(machine.accelerator) if machine.accelerator else None
    offer = Offer(
        provider=OWNED,
        instance_type=machine.name,
        region="your own",
        accelerator=device.name if device else None,
        accelerator_count=float(machine.accelerator_count if device else 0),
        vcpus=machine.vcpus,
        memory_gib=machine.memory_gib,
        ondemand_usd_per_h=Absent(reason="the machine is not rented"),
        spot_usd_per_h=Absent(reason="the machine is not rented"),
        cpu_model=machine.cpu_model,
        price_scope="instance",
        source="the need",
        as_of=str(known.today),
        spot_source="",
        spot_as_of="",
        note="",
        origin="need",
    )
    place = known.catalog.region("owned", machine.country) if machine.country else None
    return Choice(offer=offer, spot=False, device=device, place=place, owned=machine)


def _tried(known: Known) -> tuple[list[Simulated], list[Rejection]]:
    simulated, rejected = [], []
    for choice in _choices(known):
        tried = _try(choice, known)
        if isinstance(tried, Simulated):
            simulated.append(_warned(tried, known))
        else:
            rejected.append(_rejection(choice, tried))
    return simulated, rejected


LIFTED: dict[str, tuple[Constraint, Any]] = {
    "regions": (Constraint.REGION, ()),
    "exclude_providers": (Constraint.PROVIDER, ()),
    "max_devices": (Constraint.DEVICES, 10**6),
    "max_instances": (Constraint.DEVICES, 10**6),
    "max_price_age_days": (Constraint.PRICE_AGE, None),
    "batch_size": (Constraint.MEMORY, None),
    words.ALLOWANCE: (Constraint.BUDGET, True),
}
"""Wishes that take offers out before anything is simulated, by what each is without it; and spot
instances, which a need that forbids them never sees."""


def _lifted(
    known: Known, met: Collection[Constraint], again: Callable[[Need], Known]
) -> list[tuple[str, Judged]]:
    """The pick without each wish that took something out: whether that wish alone stands in the way.

    ``again`` looks everything up for another need.
    """
    found = []
    for name, (constraint, without) in LIFTED.items():
        if constraint not in met or getattr(known.need, name) == without:
            continue
        changes: dict[str, Any] = {name: without}
        need = replace(known.need, **changes)
        # What is asked of a predictor, and a step's work, are of a batch: asked again without one.
        freed = again(need) if name == "batch_size" else replace(known, need=need)
        judged = [solve.judge(one, freed.need) for one in _tried(freed)[0]]
        best = solve.best(judged, freed.need)
        if best is not None:
            found.append((name, best))
    return found


def _rejection(choice: Choice, refusal: Refusal) -> Rejection:
    offer, number = choice.offer, choice.offer.accelerator_count
    count = "" if isinstance(number, Absent) else f"{number:g} x "
    # Without an accelerator's name a machine is one of processors only where its source says so.
    alone = "not stated" if isinstance(number, Absent) else "CPU"
    return Rejection(
        name=f"{offer.name}{' spot' if choice.spot else ''}",
        hardware=f"{count}{offer.accelerator}" if offer.accelerator else alone,
        constraint=refusal.constraint,
        reason=refusal.reason,
        times=refusal.times,
    )


def _try(choice: Choice, known: Known) -> Simulated | Refusal:
    """One candidate simulated, or the first reason why not: the cheapest question first."""
    refusal = _refused(choice, known)
    if refusal is not None:
        return refusal
    room = _room(choice, known)
    if isinstance(room, Refusal):
        return room
    told = known.predicted[_spread_over(choice.devices, known.need)]
    rate = evidence.rate(
        choice.offer, known.job, known.need, room, known.found, told, known.catalog
    )
    if isinstance(rate, Refusal):
        return rate
    simulated = _simulated(choice, known, room, rate)
    if isinstance(simulated, Refusal):
        return simulated
    return _unpaid(simulated) or simulated


def _unpaid(simulated: Simulated) -> Refusal | None:
    """Energy that somebody pays for and nobody knows: a cost without it would be a bargain."""
    machine, energy = simulated.choice.owned, simulated.candidate.energy_j
    if machine is None or machine.tariff_usd_per_kwh == 0 or not isinstance(energy, Absent):
        return None
    return Refusal(Constraint.PRICE, f"its energy cannot be priced: {energy.reason}")


NO_SHARDING = "sharding a model over several is not considered"


def _room(choice: Choice, known: Known) -> Room | Refusal:
    """The memory gate of one candidate."""
    need, on_gpu = known.need, choice.offer.accelerator is not None
    usable = memory.usable_mib(choice.offer, known.catalog)
    if isinstance(usable, Absent):
        return Refusal(Constraint.MEMORY_UNKNOWN, usable.reason)
    if not on_gpu and (doubt := known.wrong_unit.get(choice.offer.name)) is not None:
        return Refusal(Constraint.MEMORY_UNKNOWN, doubt)
    kind = "nvidia" if on_gpu else "cpu"
    wanted = known.job.wanted_batch(need, kind, _spread_over(choice.devices, need))
    if isinstance(wanted, Refusal):
        return wanted
    models = known.models["gpus" if choice.devices > 1 else "gpu" if on_gpu else "cpu"]
    room = _space(models, usable, wanted, need)
    if not room.batches:
        fit = room.fit(Policy.BASE)
        each = f", on each device: {NO_SHARDING}" if choice.devices > 1 else ""
        return Refusal(Constraint.MEMORY, f"{fit.reason}{each}", fit.times)
    return room


def _simulated(choice: Choice, known: Known, room: Room, rate: Rate) -> Simulated | Refusal:
    fitted = Fitted(
        need=known.need,
        job=known.job,
        draws=known.draws,
        found=known.found,
        room=room,
        rate=rate,
        scale=scaling.together(choice.offer, known.job, known.need, known.found, known.catalog),
    )
    if known.need.serving:
        return serving.serving(choice, fitted)
    return estimate.training(choice, fitted)


def _refused(choice: Choice, known: Known) -> Refusal | None:
    """Reasons that need no estimate: seller, place, price, number of devices."""
    need, offer = known.need, choice.offer
    if offer.provider in need.exclude_providers:
        return Refusal(Constraint.PROVIDER, "exclude_providers names it")
    if choice.owned is None and (price := _price_refused(choice, known)) is not None:
        return price
    if need.regions and (place := _place_refused(choice, need)) is not None:
        return place
    refusal = evidence.unsupported(offer, need, known.catalog)
    if refusal is not None:
        return Refusal(Constraint.THROUGHPUT, refusal.reason)
    if choice.devices > need.max_devices:
        return Refusal(
            Constraint.DEVICES,
            f"{choice.devices:g} device{'s' * (choice.devices != 1)}, "
            f"max_devices is {need.max_devices}",
            choice.devices / need.max_devices if need.max_devices else None,
        )
    return None


def _price_refused(choice: Choice, known: Known) -> Refusal | None:
    need, offer = known.need, choice.offer
    if isinstance(choice.price, Absent):
        remedy = "; yours: dlbench catalog add prices.csv"
        return Refusal(Constraint.PRICE, f"no price is known ({offer.source}){remedy}")
    if choice.price <= 0:
        return Refusal(Constraint.PRICE, f"a price of {choice.price:g} is none")
    if offer.price_scope in {"accelerator", "host"}:
        return Refusal(Constraint.PRICE, f"the price is the {offer.price_scope}'s alone")
    if not offer.origin.startswith("user") and (doubt := _doubt(choice, known, choice.price)):
        return Refusal(Constraint.PRICE, f"{doubt}: confirm it with dlbench catalog add")
    if need.max_price_age_days is not None:
        old = ages.stale(offer, known.today, spot=choice.spot, limit=need.max_price_age_days)
        if old:
            return Refusal(Constraint.PRICE_AGE, old, _times_as_old(choice, known))
    return None


def _doubt(choice: Choice, known: Known, usd_per_h: float) -> str:
    """Why a price that nobody of the house wrote is not believed; "" if it is."""
    if lint.is_placeholder(choice.offer, usd_per_h):
        return f"{usd_per_h:g} USD/h is a placeholder"
    field = "spot_usd_per_h" if choice.spot else "ondemand_usd_per_h"
    absurd = known.absurd.get((choice.offer.name, field))
    if absurd is not None:
        return f"its price is {absurd}"
    far = known.suspicious.get(choice.offer.name)
    return f"{far}, and old" if far is not None and _long_ago(choice, known) else ""


def _times_as_old(choice: Choice, known: Known) -> float | None:
    """The price's age over what the need allows; None where it cannot be said."""
    age, limit = ages.age_days(choice.price_as_of, known.today), known.need.max_price_age_days
    return age / limit if age is not None and age > 0 and limit else None


def _long_ago(choice: Choice, known: Known) -> bool:
    """Older than three times what its kind of seller allows."""
    limit = LONG_AGO * ages.WARN_AFTER_DAYS[ages.kind(choice.offer.provider)]
    return bool(ages.stale(choice.offer, known.today, spot=choice.spot, limit=limit))


LONG_AGO = 3
"""A price four times off its family's is believed while it is fresh, and not when it is old."""


def _place_refused(choice: Choice, need: Need) -> Refusal | None:
    country = choice.country
    if needs.allows(need, choice.offer.region, country) or (choice.owned and not country):
        return None
    where = f"in {country}" if country else "where its source does not say"
    return Refusal(Constraint.REGION, f"it is {where}, regions are {', '.join(need.regions)}")


def _warned(simulated: Simulated, known: Known) -> Simulated:
    """The candidate with what a careful person should know of it."""
    choice, candidate = simulated.choice, simulated.candidate
    found: list[str] = []
    if choice.owned is None:
        found.append(ages.stale(choice.offer, known.today, spot=choice.spot))
        found += [known.suspicious.get(choice.offer.name, ""), choice.offer.note]
    if choice.owned is not None and not choice.country and known.need.regions:
        where = ", ".join(known.need.regions)
        found.append(f"its country is not stated: that it stands in {where} is on your word")
    if choice.owned is not None and choice.owned.count > 1 and not known.need.serving:
        found.append(
            f"a run works on one of the {choice.owned.count}: what several do together was not measured"
        )
    found += [_shared(simulated, known.need), _at_once(simulated, known.need)]
    if choice.device and choice.device.kind == "gpu" and _old(choice.device):
        found.append(
            f"{choice.device.name} has compute capability {choice.device.compute_capability}: newest "
            "builds of frameworks leave it out, older ones are needed"
        )
    if choice.owned is None and choice.device and choice.device.name in ARM_HOSTED:
        found.append(
            f"the processors beside {choice.device.name} are ARM ones: see that your framework has a "
            "build with CUDA for them"
        )
    if choice.device and known.need.precision in choice.device.not_confirmed:
        found.append(f"its {known.need.precision} peak has one source only")
    return replace(simulated, candidate=replace(candidate, warnings=tuple(filter(None, found))))


def _shared(simulated: Simulated, need: Need) -> str:
    """That other work bears part of a purchase, where its owner says that there is any."""
    machine, time_s = simulated.choice.owned, simulated.candidate.time_s
    if machine is None or machine.purchase_usd == 0 or isinstance(time_s, Absent):
        return ""
    hours = time_s.value / 3600 * (1 if need.serving else need.runs_per_month)
    works_h = (machine.utilisation or 0.0) * estimate.HOURS_A_MONTH
    if works_h <= hours:
        return ""
    return (
        f"its price is shared by the {compact(works_h)} h a month of its utilisation, of which this "
        f"need is {compact(hours)}: for this alone it costs more"
    )


def _at_once(simulated: Simulated, need: Need) -> str:
    """That a run is longer than a month, or a month's runs do not fit into one: priced as several."""
    machine, time_s = simulated.choice.owned, simulated.candidate.time_s
    if need.serving or isinstance(time_s, Absent):
        return ""
    months = need.runs_per_month * time_s.value / 3600 / estimate.HOURS_A_MONTH
    if months <= 1:
        return ""
    if need.runs_per_month == 1:
        return f"one run takes {compact(months)} months"
    told = f"{need.runs_per_month:g} runs a month are the work of {compact(months)} machines"
    if machine is None:
        return f"{told} all month"
    there = f"there {'is' if machine.count == 1 else 'are'} {machine.count}"
    return f"{told} all month: priced as that, and {there}"


def _old(device: Accelerator) -> bool:
    try:
        return float(device.compute_capability) < OLD_BUILDS_BELOW
    except ValueError:
        return False


# --- the rest of the answer -----------------------------------------------------------------


def _over_limits(judged: Sequence[Judged], need: Need) -> list[Rejection]:
    found = []
    for one in judged:
        limit = solve.broken(one, need)
        if limit is not None:
            found.append(_rejection(one.simulated.choice, limit))
    return found


def _compared(kept: Sequence[Judged], judged: Sequence[Judged], need: Need) -> list[Judged]:
    """Those that sentences set beside the pick: the best of each kind, one's own, and the best rent."""
    best = [words.best_of(kept, cpu=True), words.best_of(kept, cpu=False)]
    own = [j for j in judged if j.simulated.choice.owned is not None]
    rented = [buying.best_rent(judged, need)] if own else []
    found: list[Judged] = []
    for one in (*best, *own, *rented):
        if one is not None and all(one is not other for other in found):
            found.append(one)
    return found


def _dominated(
    kept: Sequence[Judged], pick: Judged | None, others: Sequence[Judged], minimised: str
) -> list[Rejection]:
    if pick is None:
        return []
    found = []
    for one in kept:
        if one is pick or one in others:
            continue
        times = words.times_the_pick(one.value, pick.value)
        reason = f"keeps every limit, and is {words.worse(times)} in {minimised}"
        found.append(_rejection(one.simulated.choice, Refusal(Constraint.DOMINATED, reason, times)))
    return found


def _old_prices(known: Known) -> list[str]:
    """One sentence of all prices that are older than their seller's kind allows, and what to do."""
    priced = [o for o in known.catalog.offers if not isinstance(o.ondemand_usd_per_h, Absent)]
    old = sum(bool(ages.stale(offer, known.today)) for offer in priced)
    if not old:
        return []
    limits = ", ".join(f"{kind} {days}" for kind, days in ages.WARN_AFTER_DAYS.items())
    told = f"{old} of {len(priced)} prices are older than they should be (days: {limits})"
    return [
        f"{told}. See the seller's page before you rent; newer: dlbench catalog update, or add yours."
    ]


def _past(every: Sequence[Run], runs: Sequence[Run]) -> list[str]:
    """How much was measured of the workload as it no longer is, and does not count."""
    n = sum(len(run.results) for run in every) - sum(len(run.results) for run in runs)
    told = (
        f"{counted(n, 'case')} of another version of the workload, or of another file, not counted."
    )
    return [told] if n else []


def _notes(
    known: Known,
    every: Sequence[Run],
    runs: Sequence[Run],
    judged: Sequence[Judged],
    rejected: Sequence[Rejection],
) -> tuple[str, ...]:
    """What the answer rests on, and what nobody counted."""
    tiers: dict[Evidence, int] = dict.fromkeys(Evidence, 0)
    for one in judged:
        tiers[one.candidate.evidence] += 1
    based = ", ".join(f"{n} {tier}" for tier, n in tiers.items() if n)
    measured_on = sorted({s.device.name for s in known.found})
    found = [
        f"{len(known.catalog.offers)} offers looked at; "
        + (f"of {len(judged)} simulated ways: {based}." if judged else "none could be simulated."),
        f"Of {len(runs)} documents, {len(known.found) or 'no'} "
        f"case{'s' * (len(known.found) != 1)} measured this job"
        + (f", on {', '.join(measured_on)}." if measured_on else "."),
    ]
    found += [*_past(every, runs), *_old_prices(known)]
    methods = dict.fromkeys(model.method for model in known.models["gpu"].values())
    found.append(f"Memory on a GPU: {'; or '.join(methods)}.")
    if known.need.steps is not None:
        found += [f"Work: {step.formula}." for step in known.job.steps if step.name == "work"]
    if any(NO_SHARDING in r.reason for r in rejected):
        found.append(f"Each device is taken to hold the whole model: {NO_SHARDING}.")
    if known.need.data_gb == 0 and not known.need.serving:
        found.append("data_gb is 0: no upload was counted.")
    found.append(
        "Speeds are with inputs resident on the device; a slow data pipeline comes on top: dlbench run "
        "--data pipeline."
    )
    found.append(
        "Egress (what is fetched from a machine: about 0.1 USD a GB at large clouds), taxes, discounts "
        "and idle disks are not counted; carbon is operational only."
    )
    found += [f"Left out: {problem}" for problem in known.catalog.problems]
    return tuple(found)
