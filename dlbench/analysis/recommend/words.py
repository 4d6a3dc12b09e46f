"""What is said of an answer: reasons, what would flip it, what binds, is a CPU enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dlbench.analysis.recommend import solve
from dlbench.analysis.recommend.assumptions import ESTIMATED, NOT_MEASURED
from dlbench.analysis.recommend.estimate import HOURS_A_MONTH
from dlbench.analysis.recommend.memory import MAY_NEED
from dlbench.analysis.recommend.solve import Judged
from dlbench.core import units
from dlbench.core.recommendation import (
    Candidate,
    Constraint,
    Evidence,
    Flip,
    Need,
    Rejection,
    Step,
)
from dlbench.core.types import Absent, Metric, Objective, Policy
from dlbench.core.units import at_least, compact, percent

MOST_PRICE_FACTOR = 100.0
PRICE_STEPS = 40
"""Halvings of the interval: the factor is then exact to far more digits than a price has."""

JUST_UNDER = 0.999

AS_DEAR = 1e-6
"""A rise of less is the halving's own error: two sizes of one type are priced in proportion."""

ALLOWANCE = "spot"
"""The one wish that adds ways, where others take some out."""

BUDGETS: dict[str, Any] = {"budget_usd": None, "budget_usd_per_month": None}

ONLY_WAY = "and is the only way that keeps every limit"


def money(metric: Metric) -> str:
    """A cost with its interval."""
    if isinstance(metric, Absent):
        return f"unknown ({metric.reason})"
    low, high = (metric.interval.low, metric.interval.high) if metric.interval else (0.0, 0.0)
    ends = units.dollars(low), units.dollars(high)
    return usd(metric.value) + (f" ({' to '.join(ends)})" if ends[0] != ends[1] else "")


def usd(value: float) -> str:
    """Dollars, with their name behind."""
    return f"{units.dollars(value)} USD"


def share(value: float) -> str:
    """A share of simulated outcomes, which is never all of what can happen."""
    return "over 99 %" if value > NEARLY_ALL else percent(value)


NEARLY_ALL = 0.99


def span(metric: Metric) -> str:
    """A time with its interval."""
    if isinstance(metric, Absent):
        return f"unknown ({metric.reason})"
    low, high = (metric.interval.low, metric.interval.high) if metric.interval else (0.0, 0.0)
    return f"{units.duration(metric.value)} ({units.duration(low)} to {units.duration(high)})"


# --- reasons --------------------------------------------------------------------------------


def reasons(pick: Judged, kept: Sequence[Judged], need: Need) -> tuple[str, ...]:
    """Why this one, in plain words."""
    candidate = solve.with_shares(pick, need)
    found = [_first(candidate, need, len(kept)), _a_month(candidate, need)]
    found.append(_limits(candidate, need))
    found += [_head_room(candidate), _devices(candidate), _memory(candidate)]
    found.append(_evidence(candidate))
    other = next((j for j in kept if j.hardware != pick.hardware), None)
    if other is not None and pick.value > 0:
        found.append(
            f"The next best hardware, {other.candidate.hardware} ({other.candidate.name}), is "
            f"{_worse(other.value, pick.value)} in {minimised(need)}."
        )
    return tuple(sentence for sentence in found if sentence)


def minimised(need: Need) -> str:
    """What decides; where carbon has a price, cost is with it."""
    priced = need.objective is Objective.COST and need.carbon_usd_per_kg > 0
    return f"cost with {_carbon_price(need)}" if priced else str(need.objective)


def _carbon_price(need: Need) -> str:
    return f"carbon at {need.carbon_usd_per_kg:g} USD/kg"


def _first(candidate: Candidate, need: Need, n: int) -> str:
    least = {
        Objective.COST: "costs least",
        Objective.TIME: "is fastest",
        Objective.ENERGY: "uses least energy",
        Objective.CARBON: "emits least",
    }[need.objective]
    if minimised(need) != need.objective:
        least += f", with {_carbon_price(need)},"
    among = f"of {n} ways that keep every limit" if n > 1 else ONLY_WAY
    if need.serving:
        rate = f"{need.requests_per_s:g} requests/s within {need.p99_ms:g} ms"
        return f"It {least} {among}: {money(candidate.cost_usd)} a month for {rate}."
    return f"It {least} {among}: {money(candidate.cost_usd)}, done in {span(candidate.time_s)}."


def _a_month(candidate: Candidate, need: Need) -> str:
    """What all runs of a month cost together, where there are more or less than one."""
    runs, cost, time = need.runs_per_month, candidate.cost_usd, candidate.time_s
    if need.serving or runs == 1 or isinstance(cost, Absent) or isinstance(time, Absent):
        return ""
    hours = runs * time.value / 3600
    at_once = "" if hours <= HOURS_A_MONTH else f", of the {HOURS_A_MONTH:g} that a month has"
    told = f"{runs:g} runs a month cost {money(_times(cost, runs))}, and take {compact(hours)} h"
    upload = ", each with an upload of its own" * (need.data_gb > 0 and not candidate.owned)
    return f"{told}{at_once}{upload}."


def _times(metric: Metric, n: float) -> Metric:
    """So many of a number, its ends with it: all runs are as this one."""
    if isinstance(metric, Absent) or metric.interval is None:
        return metric
    ends = replace(metric.interval, low=metric.interval.low * n, high=metric.interval.high * n)
    return replace(metric, value=metric.value * n, interval=ends)


def _limits(candidate: Candidate, need: Need) -> str:
    parts = []
    if candidate.p_deadline is not None:
        parts.append(
            f"{share(candidate.p_deadline)} end within the deadline of {need.deadline_h:g} h"
        )
    budget = solve.budget_usd(need)
    if candidate.p_budget is not None and budget is not None:
        parts.append(f"{share(candidate.p_budget)} stay within the budget of {_of(budget, need)}")
    return f"Of the simulated outcomes, {' and '.join(parts)}." if parts else ""


def _of(budget: float, need: Need) -> str:
    """A budget, and how a month's is one run's."""
    month, runs = need.budget_usd_per_month, need.runs_per_month
    if need.serving:
        return f"{usd(budget)} a month"
    if month is None or runs == 1 or budget == need.budget_usd:
        return usd(budget)
    return f"{usd(budget)} a run ({usd(month)} a month / {runs:g} runs)"


def _step(candidate: Candidate, name: str) -> Step | None:
    return next((step for step in candidate.trail if step.name == name), None)


def _head_room(candidate: Candidate) -> str:
    """Of a service: how many instances, and how much of their rate is left for bursts."""
    step = _step(candidate, "instances")
    return "" if step is None else f"Instances: {step.value} = {step.formula}."


def scaling(candidate: Candidate) -> Step | None:
    """What several devices do together, over one of them; None where there is one at most."""
    count = candidate.offer.accelerator_count
    several = not isinstance(count, Absent) and count > 1
    return _step(candidate, "scaling") if several else None


def is_assumed(step: Step) -> bool:
    """Whether nobody measured what that step says."""
    return step.formula.endswith(NOT_MEASURED)


def check_scaling(candidate: Candidate) -> str:
    """What there is to do about a scaling that is assumed: dlbench has no run over several devices."""
    return (
        "dlbench run measures one device: time your own program on 1 and on "
        f"{candidate.offer.accelerator_count:g}"
    )


def _devices(candidate: Candidate) -> str:
    """What several devices do together, which is never so many times one."""
    step = scaling(candidate)
    if step is None:
        return ""
    count = candidate.offer.accelerator_count
    check = f"; {check_scaling(candidate)}" if is_assumed(step) else ""
    return f"Its {count:g} devices are taken as {step.value} ({step.formula}){check}."


def batch(candidate: Candidate) -> str:
    """The batch of one device, said so where there are several."""
    count = candidate.offer.accelerator_count
    several = not isinstance(count, Absent) and count > 1
    return f"{candidate.batch_size} a device" if several else f"{candidate.batch_size}"


def _memory(candidate: Candidate) -> str:
    memory, usable = candidate.memory_mib, candidate.usable_memory_mib
    if isinstance(memory, Absent) or isinstance(usable, Absent):
        return ""
    # It is the far end that must fit: the middle alone would ask why the batch is no larger.
    most = f" (up to {memory.interval.high / 1024:.1f})" if memory.interval else ""
    return (
        f"A batch of {batch(candidate)} takes {memory.value / 1024:.1f} GiB{most} of "
        f"{usable / 1024:.1f} usable ({getattr(memory, 'method', 'measured')})."
    )


def _evidence(candidate: Candidate) -> str:
    weak = {
        Evidence.PREDICTED: " Measure it before you rely on it: dlbench run.",
        Evidence.ROOFLINE: " That is a rough bound: nobody measured anything like it. Measure first.",
    }.get(candidate.evidence, "")
    served = _step(candidate, "rate within the limit")
    derived = served is not None and served.formula.startswith(ESTIMATED)
    p99 = " Its p99 is estimated from that: no server case was measured." if derived else ""
    tuned = " with expert settings (tuned)" if candidate.policy is Policy.TUNED else ""
    return f"Its speed is {candidate.evidence}{tuned}.{weak}{p99}"


def times_the_pick(value: float, pick: float) -> float:
    """In what is minimised; where the pick takes nothing, another is as good or beyond any number."""
    if pick > 0:
        return value / pick
    return 1.0 if value == pick else float("inf")


def _worse(value: float, than: float) -> str:
    return worse(times_the_pick(value, than))


def worse(ratio: float) -> str:
    """As good, 18 % worse, or 9.1 times the pick where percents get long."""
    if ratio < LEVEL:
        return "as good as the pick"
    if ratio == float("inf"):
        return "worse"
    return f"{percent(ratio - 1)} worse" if ratio < TWICE else f"{compact(ratio)} times the pick"


LEVEL, TWICE = 1.005, 2.0
"""Below the first, a percentage would be 0 %."""


def cpu_verdict(
    pick: Judged | None, kept: Sequence[Judged], need: Need, rejected: Sequence[Rejection]
) -> str:
    """Whether accelerators are needed at all, said outright; nothing where none are wanted."""
    if pick is None or need.max_devices == 0:
        return ""
    on_cpu, on_gpu = best_of(kept, cpu=True), best_of(kept, cpu=False)
    if pick is on_cpu:
        if on_gpu is None:
            return _no_accelerator(rejected)
        return (
            f"A CPU is enough: the best accelerator, {on_gpu.candidate.hardware} "
            f"({on_gpu.candidate.name}), is {_worse(on_gpu.value, pick.value)} in {minimised(need)}."
        )
    if on_cpu is None:
        return _no_cpu(rejected, need)
    return (
        f"A CPU would do, and is {_worse(on_cpu.value, pick.value)} in {minimised(need)}: "
        f"{on_cpu.candidate.name}, {money(on_cpu.candidate.cost_usd)}."
    )


def best_of(kept: Sequence[Judged], *, cpu: bool) -> Judged | None:
    """The best with processors alone, or with accelerators."""
    return next((j for j in kept if (j.simulated.choice.offer.accelerator is None) is cpu), None)


OUT_OF_REACH = frozenset(
    {Constraint.PROVIDER, Constraint.REGION, Constraint.PRICE, Constraint.PRICE_AGE}
)
"""Reasons for which something cannot be had, whatever it could do."""

NOT_COMPARED = OUT_OF_REACH | {
    Constraint.PRECISION,
    Constraint.THROUGHPUT,
    Constraint.MEMORY_UNKNOWN,
}
"""Reasons for which something is out before anybody knows whether it would do."""


def _why_not(rejected: Sequence[Rejection], *, cpu: bool) -> tuple[Counter[Constraint], bool]:
    """Why each processor, or accelerator, is out: of those that can be had, where there are any."""
    why = Counter(r.constraint for r in rejected if (r.hardware == "CPU") is cpu)
    reached = Counter({c: n for c, n in why.items() if c not in OUT_OF_REACH})
    return reached or why, bool(reached) and reached != why


def _no_accelerator(rejected: Sequence[Rejection]) -> str:
    """Why no accelerator is left: too little memory does not say that a processor is fast enough."""
    why, _ = _why_not(rejected, cpu=False)
    tried = Counter({c: n for c, n in why.items() if c not in NOT_COMPARED})
    if not tried:
        return "A CPU is enough: no accelerator was compared."
    constraint, n = tried.most_common(1)[0]
    share_ = f"{n} of {tried.total()}"
    if constraint is Constraint.MEMORY:
        return (
            f"Only CPUs are left: {share_} accelerators {_lack(rejected)} the memory on each device, "
            "and sharding a model over several is not considered."
        )
    return f"A CPU is enough: no accelerator keeps every limit ({share_} fail on {constraint})."


def _lack(rejected: Sequence[Rejection]) -> str:
    """Whether it is sure that accelerators have too little memory, and who could say it otherwise."""
    out = [r for r in rejected if r.constraint is Constraint.MEMORY and r.hardware != "CPU"]
    if not any(MAY_NEED in r.reason for r in out):
        return "lack"
    return "lack, or may lack (activation_mib_per_sample or a measurement would tell),"


def _no_cpu(rejected: Sequence[Rejection], need: Need) -> str:
    """Why no processor is left: what was never compared is not told as too slow."""
    why, fewer = _why_not(rejected, cpu=True)
    tried = Counter({c: n for c, n in why.items() if c not in NOT_COMPARED})
    if not why:
        return "No CPU was compared: the catalog has none."
    if 2 * tried.total() > why.total():
        constraint, n = tried.most_common(1)[0]
        share_ = f"{n} of {tried.total()}"
        return f"A CPU is not enough: none keeps every limit ({share_} fail on {constraint})."
    constraint, n = (why - tried).most_common(1)[0]
    compared = "Few CPUs were" if tried else "No CPU was"
    share_ = f"{n} of {why.total()}{' that the need allows' * fewer}"
    other = "; in fp32 one may do" if constraint is Constraint.PRECISION else ""
    told = f" {need.precision}" if constraint is Constraint.PRECISION else ""
    return f"{compared} compared: {share_} are out for {constraint}{told}{other}."


# --- what would flip it ---------------------------------------------------------------------


def flips(pick: Judged, judged: Sequence[Judged], need: Need) -> tuple[Flip, ...]:
    """Changes of price, deadline and budget that change the pick, each found by solving again."""
    found = [
        _price_rise(pick, judged, need),
        _price_fall(pick, judged, need),
        *_half_price(pick, judged, need),
        *_deadline(pick, judged, need),
        *_budget(pick, judged, need),
    ]
    return tuple(flip for flip in found if flip is not None)


def _name(judged: Judged | None) -> str:
    return "nothing" if judged is None else judged.candidate.name


def _same(a: Judged | None, b: Judged | None) -> bool:
    """Whether two answers are one offer, however its price was changed meanwhile."""
    if a is None or b is None:
        return a is b
    x, y = a.simulated.choice, b.simulated.choice
    return (x.offer.key, x.spot) == (y.offer.key, y.spot)


def _repriced(
    judged: Sequence[Judged], one: Judged, need: Need
) -> Callable[[float], Judged | None]:
    """The pick at so many times the price of one of them; of the others the best stays the best."""
    other = solve.best([j for j in judged if j is not one], need)
    others = [] if other is None else [other]
    return lambda factor: solve.best(
        [solve.judge(one.simulated.at_price(factor), need), *others], need
    )


def _turn(holds: Callable[[float], bool], kept: float, lost: float) -> tuple[float, float]:
    """Factors on both sides of where it turns: the last that holds, and the first that does not."""
    for _ in range(PRICE_STEPS):
        mid = (kept * lost) ** 0.5
        kept, lost = (mid, lost) if holds(mid) else (kept, mid)
    return kept, lost


def _price_rise(pick: Judged, judged: Sequence[Judged], need: Need) -> Flip | None:
    """The smallest rise of the pick's price at which it is no longer the pick."""
    price = pick.candidate.price_usd_per_h
    if isinstance(price, Absent):
        return None

    at = _repriced(judged, pick, need)

    def still(factor: float) -> bool:
        return _same(at(factor), pick)

    if still(MOST_PRICE_FACTOR):
        return None
    _, high = _turn(still, 1.0, MOST_PRICE_FACTOR)
    other = at(high)
    above = f"Above {compact(price * high, 4)} USD/h"
    return Flip(
        change="price of the pick",
        value=price * high,
        new_pick=_name(other),
        sentence=(
            f"{above} for the pick: {_name(other)}, which is as good now."
            if high - 1 < AS_DEAR
            else f"{above} (+{percent(high - 1)}) for the pick: {_name(other)}."
        ),
    )


def _price_fall(pick: Judged, judged: Sequence[Judged], need: Need) -> Flip | None:
    """The smallest fall of a rival's price that makes it the pick: of the nearest rival elsewhere."""
    if need.objective is not Objective.COST:
        return None
    others = [j for j in solve.feasible(judged, need) if j.hardware != pick.hardware]
    rival = next((j for j in others if not j.candidate.owned), None)
    if rival is None or isinstance(price := rival.candidate.price_usd_per_h, Absent):
        return None
    at = _repriced(judged, rival, need)

    def wins(factor: float) -> bool:
        return _same(at(factor), rival)

    if not wins(1 / MOST_PRICE_FACTOR):
        return None
    low, _ = _turn(wins, 1 / MOST_PRICE_FACTOR, 1.0)
    return Flip(
        change="price of a rival",
        value=price * low,
        new_pick=_name(rival),
        sentence=(
            f"Below {compact(price * low, 4)} USD/h ({percent(low - 1)}) for {_name(rival)}: "
            "that one."
        ),
    )


def _half_price(pick: Judged, judged: Sequence[Judged], need: Need) -> list[Flip]:
    """Whether any rival on other hardware would win at half its price: the nearest that would."""
    if need.objective is not Objective.COST:
        return []
    for rival in solve.feasible(judged, need):
        price = rival.candidate.price_usd_per_h
        if rival.hardware == pick.hardware or isinstance(price, Absent):
            continue
        wins = _same(_repriced(judged, rival, need)(0.5), rival)
        verdict = f"the pick becomes {_name(rival)}" if wins else "the pick stays"
        return [
            Flip(
                change="half the price of the nearest rival",
                value=price / 2,
                new_pick=_name(rival) if wins else _name(pick),
                sentence=(
                    f"At half its price ({compact(price / 2, 4)} USD/h) for {_name(rival)}: {verdict}."
                ),
            )
        ]
    return []


def _deadline(pick: Judged, judged: Sequence[Judged], need: Need) -> list[Flip | None]:
    if need.serving:
        return []
    tighter = replace(need, deadline_h=pick.sure_h * JUST_UNDER)
    other = solve.best(judged, tighter)
    found: list[Flip | None] = [
        Flip(
            change="deadline",
            value=pick.sure_h,
            new_pick=_name(other),
            sentence=f"With a deadline under {compact(pick.sure_h)} h: {_describe(other)}"
            + (f", down to {at_least(other.sure_h, 4)} h." if other else "."),
        )
    ]
    if need.deadline_h is not None:
        half = need.deadline_h / 2
        other = solve.best(judged, replace(need, deadline_h=half))
        same = "the pick stays" if _same(other, pick) else _describe(other)
        found.append(
            Flip(
                change="half the deadline",
                value=half,
                new_pick=_name(other),
                sentence=f"With half the deadline ({half:g} h): {same}.",
            )
        )
        found.append(_looser(pick, judged, need))
    return found


def _looser(pick: Judged, judged: Sequence[Judged], need: Need) -> Flip | None:
    """The nearest later deadline that allows something better."""
    free = replace(need, deadline_h=None)
    better = [j for j in judged if j.value < pick.value and solve.keeps(j, free)]
    if not better:
        return None
    soonest = min(better, key=lambda j: j.sure_h)
    found = solve.best(judged, replace(need, deadline_h=soonest.sure_h))
    best = solve.best(judged, free)
    at_last = "" if _same(found, best) else f"; without a deadline {_describe(best)}"
    return Flip(
        change="deadline",
        value=soonest.sure_h,
        new_pick=_name(found),
        sentence=f"With {at_least(soonest.sure_h)} h or more: {_describe(found)}{at_last}.",
    )


def _budget(pick: Judged, judged: Sequence[Judged], need: Need) -> list[Flip | None]:
    """Under which budget the pick falls; with cost as the objective that is the least there is.

    In the field that the need has, of a month's runs together; none where the pick costs nothing.
    """
    months = need.budget_usd is None and need.budget_usd_per_month is not None
    month = need.serving or months
    field = "budget_usd_per_month" if month else "budget_usd"
    runs = need.runs_per_month if month and not need.serving else 1.0
    needed_usd = solve.needed_usd(pick, field, need) * runs
    if needed_usd == 0:
        return []
    limit: dict[str, Any] = {field: needed_usd * JUST_UNDER}
    tighter = replace(need, **limit)
    other = solve.best(judged, tighter)
    least_usd = solve.needed_usd(other, field, need) * runs if other else 0.0
    return [
        Flip(
            change="budget",
            value=needed_usd,
            new_pick=_name(other),
            # In four digits, as what binds is: cents alone would be half of a night's work off.
            sentence=f"With a budget under {compact(needed_usd, 4)} USD{' a month' * month}: "
            f"{_describe(other)}" + (f", down to {at_least(least_usd, 4)} USD." if other else "."),
        )
    ]


def _describe(judged: Judged | None) -> str:
    if judged is None:
        return "nothing in the catalog"
    candidate = judged.candidate
    month = " a month" if judged.simulated.choice_is_serving else ""
    return f"{candidate.name}, {candidate.hardware}, for {money(candidate.cost_usd)}{month}"


# --- nothing feasible -----------------------------------------------------------------------


def binding(
    judged: Sequence[Judged],
    rejected: Sequence[Rejection],
    need: Need,
    lifted: Sequence[tuple[str, Judged]] = (),
) -> tuple[str, ...]:
    """Which limit stands in the way, and by how much: each is lifted alone, and it is solved again.

    ``lifted`` are wishes that are no amounts, each with the pick that there is without it.
    """
    found = []
    bounds = _bounds(need)
    for bound in bounds:
        without: dict[str, Any] = {bound.field: None}
        kept = [j for j in judged if solve.keeps(j, replace(need, **without))]
        if not kept:
            continue
        least = min(kept, key=lambda j: (bound.of(j), solve.order(j)))
        needed = bound.of(least)
        found.append(
            f"{bound.name} binds: {_unknown(least, 'carbon', len(kept))}."
            if needed == float("inf")
            else f"{bound.name} binds: it is {bound.told}, and {at_least(needed, 4)} {bound.unit} "
            f"would be needed (by {least.candidate.name}, {least.candidate.hardware}): "
            f"{at_least(needed / bound.limit)} times as much."
        )
    found += [
        f"{name} binds: {'with' if name == ALLOWANCE else 'without'} it, {_describe(best)}."
        for name, best in lifted
    ]
    free = replace(need, deadline_h=None, carbon_limit_kg=None, **BUDGETS)
    ways = [j for j in judged if solve.keeps(j, free)]
    if not found and judged and not ways:
        what = "carbon" if need.objective is Objective.COST else str(need.objective)
        found.append(f"objective binds: {_unknown(judged[0], what, len(judged))}.")
    elif not found and judged:
        found.append(_together(ways, bounds))
    if not judged:
        found += _hard(rejected)
    return tuple(found)


class Bound(NamedTuple):
    """One amount that a need limits: its name for people, its field, and how much a candidate needs."""

    name: str
    field: str
    limit: float
    unit: str
    of: Callable[[Judged], float]

    @property
    def told(self) -> str:
        """The limit with its unit."""
        return f"{compact(self.limit, 4)} {self.unit}"


def _bounds(need: Need) -> list[Bound]:
    """Deadline, each budget, and carbon, as far as the need has them."""

    def bought(name: str) -> Callable[[Judged], float]:
        return lambda j: solve.needed_usd(j, name, need)

    found = []
    if need.deadline_h is not None:
        found.append(Bound("deadline_h", "deadline_h", need.deadline_h, "h", lambda j: j.sure_h))
    for name, usd_ in solve.budgets(need).items():
        found.append(Bound(name, name.partition(" ")[0], usd_, "USD", bought(name)))
    if need.carbon_limit_kg is not None:
        name, limit = "carbon_limit_kg", need.carbon_limit_kg
        found.append(
            Bound(
                name, name, limit, "kg", lambda j: float("inf") if j.sure_kg is None else j.sure_kg
            )
        )
    return found


def _together(ways: Sequence[Judged], bounds: Sequence[Bound]) -> str:
    """Where no limit stands alone in the way: all that the nearest candidate would need of each."""

    def times(j: Judged) -> float:
        return max(bound.of(j) / bound.limit for bound in bounds)

    nearest = min(ways, key=lambda j: (times(j), solve.order(j)))
    told = [
        f"{bound.name} is {bound.told}, and "
        + (
            _unknown(nearest, "carbon", len(ways))
            if (needed := bound.of(nearest)) == float("inf")
            else f"{at_least(needed, 4)} {bound.unit} would be needed"
        )
        for bound in bounds
        if bound.of(nearest) > bound.limit
    ]
    return (
        f"More than one limit stands in the way, least of {nearest.candidate.name}, "
        f"{nearest.candidate.hardware}: {'; '.join(told)}."
    )


def _unknown(one: Judged, what: str, n: int) -> str:
    """That a number is not known of any of so many ways, and of one of them why."""
    candidate = one.candidate
    metric = {"carbon": candidate.carbon_g, "energy": candidate.energy_j}.get(
        what, candidate.latency_p99_s
    )
    why = f": {metric.reason}" if isinstance(metric, Absent) else ""
    return (
        f"the {what} of none of {units.counted(n, 'way')} is known, such as {candidate.name}{why}"
    )


def _hard(rejected: Sequence[Rejection]) -> list[str]:
    """Nothing could even be simulated: the commonest reasons, each with the nearest offer."""
    counts = Counter(r.constraint for r in rejected)
    return [_nearest(constraint, rejected, n) for constraint, n in counts.most_common(3)]


def _nearest(constraint: Constraint, rejected: Sequence[Rejection], n: int) -> str:
    """A reason with the offer that misses it by least: what one would have to give."""
    members = [r for r in rejected if r.constraint is constraint]
    measured = [(r.times, r) for r in members if r.times is not None]
    told = f"{constraint} binds for {n} of {len(rejected)} ways, "
    if not measured:
        return f"{told}such as {members[0].name}: {members[0].reason}."
    times, least = min(measured, key=lambda pair: (pair[0], pair[1].name))
    return (
        f"{told}least for {least.name}, {least.hardware}: {least.reason}: "
        f"{at_least(times)} times as much."
    )
