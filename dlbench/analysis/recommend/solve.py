"""The limits and the pick: cheap enough to be asked again with another price, deadline or budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dlbench.analysis.recommend.estimate import Simulated
from dlbench.analysis.recommend.simulate import quantiles
from dlbench.core.recommendation import (
    Candidate,
    Constraint,
    Evidence,
    Need,
    OwnedMachine,
    Refusal,
)
from dlbench.core.types import Absent, Objective
from dlbench.core.units import at_least, compact, percent

RANK = {tier: i for i, tier in enumerate(Evidence)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A simulated candidate by the numbers that decide: what the confidence can count on.

    ``sure_*`` is the value that a share ``confidence`` of outcomes stays within; None is unknown.
    """

    simulated: Simulated
    value: float
    sure_h: float
    sure_usd: float
    sure_kg: float | None

    @property
    def candidate(self) -> Candidate:
        """Its candidate."""
        return self.simulated.candidate

    @property
    def hardware(self) -> tuple[str, float, bool]:
        """What alternatives differ in: accelerators and how many, or processors; rented or own."""
        choice = self.simulated.choice
        return (choice.offer.accelerator or "CPU", choice.devices, choice.owned is not None)


def judge(simulated: Simulated, need: Need) -> Judged:
    """One candidate under a need."""
    share = need.confidence
    carbon = simulated.carbon_g
    return Judged(
        simulated=simulated,
        value=simulated.value(need.objective, need.carbon_usd_per_kg),
        sure_h=quantiles(simulated.time_s, (share,))[0] / 3600,
        sure_usd=quantiles(simulated.cost_usd, (share,))[0],
        sure_kg=None if carbon is None else quantiles(carbon, (share,))[0] / 1e3,
    )


def budgets(need: Need) -> dict[str, float]:
    """What one candidate may cost, by the field that says so: of a run, or a month's share of it."""
    runs = 1.0 if need.serving else need.runs_per_month
    monthly = "budget_usd_per_month" + (" / runs_per_month" if runs != 1 else "")
    found = {"budget_usd": need.budget_usd}
    if need.budget_usd_per_month is not None:
        found[monthly] = need.budget_usd_per_month / runs
    return {field: limit for field, limit in found.items() if limit is not None}


def budget_usd(need: Need) -> float | None:
    """The tighter budget of a need."""
    return min(budgets(need).values(), default=None)


def budget_field(need: Need) -> str:
    """The field of the need that is its tighter budget, for whoever must change it."""
    found = budgets(need)
    return min(found, key=lambda field: found[field], default="budget_usd_per_month")


def purchase(judged: Judged, need: Need) -> Refusal | None:
    """A machine that is still to be paid, and costs more than the need may: its hours may be cheap.

    A month's budget is held against a month of its life.
    """
    machine = judged.simulated.choice.owned
    if machine is None or machine.purchase_usd == 0:
        return None
    total = machine.purchase_usd * judged.candidate.n_instances
    a_month = total / (machine.life_years * 12)
    for field, price, often, limit in (
        ("budget_usd", total, "", need.budget_usd),
        ("budget_usd_per_month", a_month, " a month", need.budget_usd_per_month),
    ):
        if limit is not None and price > limit:
            return Refusal(
                Constraint.BUDGET,
                f"it is to be bought for {compact(price, 4)} USD{often}, {field} is {limit:g}; "
                "purchase_usd = 0 if it is paid",
                price / limit if limit else None,
            )
    return None


def needed_usd(judged: Judged, field: str, need: Need) -> float:
    """The least amount in a field of the budget that a candidate keeps: its cost, and its purchase.

    ``field`` as ``budget_field`` has it; a month's budget is told as one run's part of it.
    """
    machine, n = judged.simulated.choice.owned, judged.candidate.n_instances
    return max(judged.sure_usd, 0.0 if machine is None else bought_usd(machine, n, field, need))


def bought_usd(machine: OwnedMachine, n: int, field: str, need: Need) -> float:
    """What ``n`` of a machine are bought for, in the terms of a field of the budget."""
    total = machine.purchase_usd * n
    if field == "budget_usd":
        return total
    return total / (machine.life_years * 12) / (1.0 if need.serving else need.runs_per_month)


def keeps(judged: Judged, need: Need) -> bool:
    """Whether every limit is kept with the need's confidence; ``broken`` says in words which is not."""
    budget, kg = budget_usd(need), judged.sure_kg
    return (
        judged.value < float("inf")
        and (need.deadline_h is None or judged.sure_h <= need.deadline_h)
        and (budget is None or judged.sure_usd <= budget)
        and purchase(judged, need) is None
        and (need.carbon_limit_kg is None or (kg is not None and kg <= need.carbon_limit_kg))
    )


def _over_budget(judged: Judged, need: Need, sure: str) -> Refusal | None:
    budget = budget_usd(need)
    if budget is None or judged.sure_usd <= budget:
        return None
    cost = at_least(judged.sure_usd, 4)
    return Refusal(
        Constraint.BUDGET,
        f"{sure} cost up to {cost} USD, {budget_field(need)} is {compact(budget, 4)}",
        judged.sure_usd / budget,
    )


def broken(judged: Judged, need: Need) -> Refusal | None:
    """The first limit that is not kept with the need's confidence, and by how much."""
    sure = f"{percent(need.confidence)} of outcomes"
    if need.deadline_h is not None and judged.sure_h > need.deadline_h:
        return Refusal(
            Constraint.DEADLINE,
            f"{sure} take up to {at_least(judged.sure_h)} h, deadline_h is {need.deadline_h:g}",
            judged.sure_h / need.deadline_h,
        )
    if (unpaid := _over_budget(judged, need, sure) or purchase(judged, need)) is not None:
        return unpaid
    if need.carbon_limit_kg is not None:
        if judged.sure_kg is None:
            return Refusal(
                Constraint.CARBON, "its carbon is not known, and carbon_limit_kg is given"
            )
        if judged.sure_kg > need.carbon_limit_kg:
            reason = f"{sure} emit up to {at_least(judged.sure_kg)} kg, carbon_limit_kg is "
            times = judged.sure_kg / need.carbon_limit_kg
            return Refusal(Constraint.CARBON, f"{reason}{need.carbon_limit_kg:g}", times)
    if judged.value == float("inf"):
        unknown = "carbon" if need.objective is Objective.COST else need.objective
        return Refusal(Constraint.OBJECTIVE, f"its {unknown} is not known, and is minimised")
    return None


def order(judged: Judged) -> tuple[float, int, float, str, str]:
    """The better first: by the objective, evidence, cost, and the name so that ties are stable."""
    candidate = judged.candidate
    rank = RANK[candidate.evidence]
    return (judged.value, rank, judged.sure_usd, candidate.offer.name, str(candidate.spot))


def feasible(judged: Sequence[Judged], need: Need) -> list[Judged]:
    """All that keep every limit, the best first."""
    return sorted((j for j in judged if keeps(j, need)), key=order)


def best(judged: Sequence[Judged], need: Need) -> Judged | None:
    """The pick of a need."""
    kept = [j for j in judged if keeps(j, need)]
    return min(kept, key=order) if kept else None


def with_shares(judged: Judged, need: Need) -> Candidate:
    """The candidate with its way, and the shares of outcomes within deadline and budget."""
    simulated, budget = judged.simulated, budget_usd(need)
    return replace(
        simulated.candidate,
        trail=simulated.trail(),
        p_deadline=None
        if need.deadline_h is None
        else float(np.mean(simulated.time_s <= need.deadline_h * 3600)),
        p_budget=None if budget is None else float(np.mean(simulated.cost_usd <= budget)),
    )


def front(kept: Sequence[Judged]) -> list[Judged]:
    """Those that no other beats in median time and median cost both, by rising cost.

    At inference time is a month for all, and latency takes its place.
    """

    def seconds(j: Judged) -> float:
        latency, time = j.candidate.latency_p99_s, j.candidate.time_s
        chosen = time if isinstance(latency, Absent) else latency
        return float("inf") if isinstance(chosen, Absent) else chosen.value

    def usd(j: Judged) -> float:
        cost = j.candidate.cost_usd
        return float("inf") if isinstance(cost, Absent) else cost.value

    found: list[Judged] = []
    for judged in sorted(kept, key=lambda j: (usd(j), seconds(j), order(j))):
        if not found or seconds(judged) < seconds(found[-1]):
            found.append(judged)
    return found


def alternatives(kept: Sequence[Judged], pick: Judged) -> list[Judged]:
    """Two other ways: the next best on other hardware, and the best of the other axis."""
    others = [j for j in kept if j.hardware != pick.hardware]
    rest = [j for j in kept if j is not pick]
    chosen = others[:1]
    other_axis = [
        j
        for j in front(kept)
        if j is not pick and j not in chosen and j.value <= pick.value * DEAREST_ALTERNATIVE
    ]
    if other_axis:
        # Of the front's other end: the fastest for that money where cost decides.
        chosen.append(other_axis[-1])
    for judged in [*others, *rest]:
        if len(chosen) >= ALTERNATIVES:
            break
        if judged not in chosen:
            chosen.append(judged)
    return chosen[:ALTERNATIVES]


ALTERNATIVES = 2

DEAREST_ALTERNATIVE = 3.0
"""Times the pick, in what is minimised; beyond, being faster is another need."""
