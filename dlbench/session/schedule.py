"""Which trial comes next.

A pure function of the plan and the trials so far, so that a resumed session goes on exactly where
it was.

    sentinel, round 0 (all cases, shuffled), sentinel, round 1, ..., last round, sentinel

A case leaves the rotation when its interval is narrow enough at a look, when a trial of it fails,
or when the looks are over. The session ends early when the next round would outlast its budget.
Cases stop on their own precision, never on how they compare.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlbench.core import stats
from dlbench.core.metrics import trial_seconds_per_sample
from dlbench.core.types import Absent, Case, Plan, Trial
from dlbench.core.units import percent
from dlbench.paired.standing import standings
from dlbench.session.pairs import next_of_pairs, next_round, pairs_stop_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The trial to run now."""

    case: Case
    round: int
    role: str
    position: int


def next_trial(
    plan: Plan,
    trials: Sequence[Trial],
    *,
    elapsed_s: float = 0.0,
    spans_s: Mapping[str, float] | None = None,
    lost_devices: frozenset[str] = frozenset(),
) -> Next | None:
    """The next trial, or None when all is done.

    Args:
        plan: what was planned.
        trials: all trials so far, in the order they ran.
        elapsed_s: measuring time spent so far, for the time budget.
        spans_s: seconds that the latest trial of each case took, by case_id.
        lost_devices: ids of devices that must not be used any more.
    """
    position = 1 + max((t.position for t in trials), default=-1)
    if plan.pairings:
        found = next_of_pairs(
            plan,
            trials,
            elapsed_s=elapsed_s,
            spans_s=spans_s or {},
            lost_devices=lost_devices,
        )
        if found is None:
            return None
        return Next(case=found[0], round=found[1], role="measure", position=position)
    active = [c for c in plan.cases if stop_reason(plan, c, trials, lost_devices) is None]
    sentinel = _sentinel(plan, trials, lost_devices)
    measured = [t for t in trials if t.role == "measure"]
    rounds = {c.case_id: next_round(_measured_so_far(c, trials), measured) for c in active}
    due = next_round([t for t in trials if t.role == "sentinel"])
    current = min(rounds.values(), default=None)
    if current is None or out_of_time(plan, rounds, measured, elapsed_s, spans_s or {}):
        if sentinel and measured and due <= next_round(measured):
            return Next(case=sentinel, round=due, role="sentinel", position=position)
        return None
    if sentinel and due <= current:
        return Next(case=sentinel, round=due, role="sentinel", position=position)
    waiting = [c for c in active if rounds[c.case_id] == current]
    case = _shuffled(plan, waiting, current)[0]
    return Next(case=case, round=current, role="measure", position=position)


def stop_reason(
    plan: Plan,
    case: Case,
    trials: Sequence[Trial],
    lost_devices: frozenset[str] = frozenset(),
) -> str | None:
    """Why a case needs no further trial, or None while it does."""
    if plan.pairings:
        cases = {c.case_id: c for c in plan.cases}
        standing = next(
            s for s in standings(plan, trials) if case.case_id in (s.pairing.a, s.pairing.b)
        )
        return pairs_stop_reason(plan, standing, cases, lost_devices)
    own = _measured_so_far(case, trials)
    failed = next((t for t in own if not t.outcome.ok), None)
    if failed is not None:
        return f"trial {len(own)} ended as {failed.outcome}"
    if case.device in lost_devices:
        return f"device {case.device} was lost"
    n = len(own)
    looks = plan.profile.looks
    if n in looks:
        half_width = precision(plan, own)
        target = plan.profile.target_half_width
        if half_width is not None and half_width <= target:
            return f"precise to +-{percent(half_width)} after {n} trials (target {percent(target)})"
    if n >= looks[-1]:
        target = plan.profile.target_half_width
        return f"all {n} trials done without reaching the target of {percent(target)}"
    return None


def precision(plan: Plan, trials: Sequence[Trial]) -> float | None:
    """Relative half-width of a case's interval at the level that pays for the looks."""
    medians_s = [trial_seconds_per_sample(t) for t in trials if t.outcome.ok]
    if not medians_s:
        return None
    interval = stats.case_interval(medians_s, stats.paid_level(len(plan.profile.looks)))
    return None if isinstance(interval, Absent) else stats.relative_half_width(interval)


def out_of_time(
    plan: Plan,
    rounds: Mapping[str, int],
    measured: Sequence[Trial],
    elapsed_s: float,
    spans_s: Mapping[str, float],
) -> bool:
    """Whether the current round (of the first, what is left of it) would outlast the budget.

    A round is begun only if it fits, and a begun one is finished: cases keep equal numbers of trials,
    so that their rounds can be paired. A case that has never run has no known span and does not count.
    The plan's least rounds run whatever the budget, and so do cases until one is measured: a session
    that ends with nothing has wasted it.
    """
    current = min(rounds.values())
    if plan.time_budget_s is None or current < plan.least_rounds:
        return False
    begun = any(t.round == current and (current > 0 or t.outcome.ok) for t in measured)
    if begun == (current > 0):
        return False
    needed_s = sum(spans_s.get(case_id, 0.0) for case_id, n in rounds.items() if n == current)
    return elapsed_s + needed_s > plan.time_budget_s


def _measured_so_far(case: Case, trials: Sequence[Trial]) -> list[Trial]:
    case_id = case.case_id
    return [t for t in trials if t.case_id == case_id and t.role == "measure"]


def _sentinel(plan: Plan, trials: Sequence[Trial], lost_devices: frozenset[str]) -> Case | None:
    """The case that watches the machine now; one that failed, or whose device is gone, does no more.

    The case with the shortest step takes its place, from the next round on. An only one watches itself,
    unless another has watched before: its trials as the sentinel say that it went on from there.
    """
    if plan.sentinel is None:
        return None
    failed = {t.case_id for t in trials if not t.outcome.ok}
    usable = [c for c in plan.cases if c.case_id not in failed and c.device not in lost_devices]
    ran = {t.case_id for t in trials if t.role == "sentinel" and t.outcome.ok}
    found = next((c for c in usable if c.case_id in (ran or {plan.sentinel})), None)
    if found:
        return found
    per_sample_s = {t.case_id: trial_seconds_per_sample(t) for t in trials if t.outcome.ok}
    measured = [c for c in usable if c.case_id in per_sample_s]
    if len(measured) < 2 and not ran:  # noqa: PLR2004 - several
        return None
    return min(measured, key=lambda c: per_sample_s[c.case_id] * c.batch_size, default=None)


def _shuffled(plan: Plan, cases: Sequence[Case], round_: int) -> list[Case]:
    """The cases in this round's order: each has its own seeded number, whoever else is waiting."""
    return sorted(cases, key=lambda c: random.Random(f"{plan.seed}:{round_}:{c.case_id}").random())  # noqa: S311
