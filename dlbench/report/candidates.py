"""The ways that a recommendation compares, each once, with their numbers in the units of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dlbench.analysis.recommend import solve
from dlbench.core import units
from dlbench.core.footprint import G_PER_KG, J_PER_KWH, S_PER_H
from dlbench.core.recommendation import Candidate, Recommendation
from dlbench.core.types import Absent, Metric
from dlbench.report.render import metric_cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A candidate with its number in table and chart.

    ``front``: no other beats it in both time and cost. ``kept``: it keeps the limits of the need.
    """

    number: int
    candidate: Candidate
    role: str
    front: bool
    kept: bool


def of(answer: Recommendation, others: Sequence[Candidate] = ()) -> tuple[Way, ...]:
    """Pick, alternatives, the rest of the front, then ``others`` beyond the limits; each once."""
    kept: list[Candidate] = []
    for candidate in (answer.pick, *answer.alternatives, *answer.front):
        if candidate is not None and candidate not in kept:
            kept.append(candidate)
    names = {_key(c) for c in kept}
    beyond = [c for c in others if _key(c) not in names]
    return tuple(
        Way(
            number=n,
            candidate=candidate,
            role=_role(answer, candidate),
            front=candidate in answer.front or candidate in others,
            kept=candidate in kept,
        )
        for n, candidate in enumerate((*kept, *beyond), start=1)
    )


def _key(candidate: Candidate) -> tuple[object, ...]:
    """What one rents, whatever is expected of it."""
    return (candidate.offer.key, candidate.spot, candidate.n_instances, candidate.batch_size)


def _role(answer: Recommendation, candidate: Candidate) -> str:
    if candidate == answer.pick:
        return "pick"
    return "alternative" if candidate in answer.alternatives else ""


def time_of(answer: Recommendation, candidate: Candidate) -> Metric:
    """What there is to be short: the run, or a query's p99."""
    return candidate.latency_p99_s if answer.need.serving else candidate.time_s


def middle(value: Metric) -> float | None:
    """The number, or None where it is not known."""
    return None if isinstance(value, Absent) else value.value


def highest(value: Metric) -> float | None:
    """The upper end of the interval."""
    if isinstance(value, Absent):
        return None
    return value.interval.high if value.interval else value.value


def limits(answer: Recommendation) -> tuple[float | None, float | None]:
    """The need's own limits of time (seconds) and cost (USD, of a run or a month)."""
    need, budget = answer.need, solve.budget_usd(answer.need)
    if answer.need.serving:
        return (need.p99_ms / 1000 if need.p99_ms else None), budget
    return (need.deadline_h * S_PER_H if need.deadline_h else None), budget


def bought_usd(answer: Recommendation, candidate: Candidate) -> float:
    """What must be paid for a machine of one's own before it costs so little; as the budget is told."""
    need = answer.need
    name = candidate.offer.instance_type if candidate.owned else None
    machine = next((m for m in need.owned if m.name == name), None)
    if machine is None:
        return 0.0
    monthly = need.serving or (need.budget_usd is None and need.budget_usd_per_month is not None)
    field = solve.budget_field(need) if monthly or need.budget_usd is not None else "budget_usd"
    return solve.bought_usd(machine, candidate.n_instances, field, need)


def usd(value: float) -> str:
    """Dollars, with their sign before."""
    return f"${units.dollars(value)}"


def kg(grams: float) -> str:
    """Grams as kilograms for people."""
    return f"{units.few_zeros(grams / G_PER_KG)} kg"


def cells(answer: Recommendation, candidate: Candidate) -> dict[str, Markup]:
    """A candidate's numbers as cells."""
    return {
        "time": metric_cell(time_of(answer, candidate), units.duration),
        "cost": metric_cell(candidate.cost_usd, usd),
        "energy": metric_cell(
            candidate.energy_j, lambda j: f"{units.few_zeros(j / J_PER_KWH)} kWh"
        ),
        "carbon": metric_cell(candidate.carbon_g, kg),
        "throughput": metric_cell(
            candidate.throughput_samples_per_s, lambda x: units.significant(x, 3)
        ),
        "memory": metric_cell(candidate.memory_mib, lambda m: f"{m / 1024:.1f} GiB"),
    }


def share(value: float | None) -> str:
    """A share of simulated outcomes in words."""
    if value is None:
        return "no limit"
    return "over 99 %" if value > 0.99 else "under 1 %" if value < 0.01 else units.percent(value)  # noqa: PLR2004
