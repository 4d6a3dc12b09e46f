"""Which trial of a plan of pairs comes next.

    round 0: pair of case 1 (B A), pair of case 2 (A B); round 1: ...

A pure function of the plan and the trials so far, as ``schedule`` is for a plan of single cases. The
order of cases in a round, and of A and B in a pair, is drawn from the plan's seed. A half of a pair
that failed makes the pair lost: its other half is not run.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from dlbench.core.types import Case, Pairing, Plan, Trial
from dlbench.paired.standing import Standing, standings


def next_of_pairs(
    plan: Plan,
    trials: Sequence[Trial],
    *,
    elapsed_s: float,
    spans_s: Mapping[str, float],
    lost_devices: frozenset[str],
) -> tuple[Case, int] | None:
    """The next case and its round, or None when all is decided or time is up."""
    cases = {case.case_id: case for case in plan.cases}
    measured = [t for t in trials if t.role == "measure"]
    half = _half_done(plan, measured)
    if half is not None:
        case_id, round_ = half
        return (cases[case_id], round_) if cases[case_id].device not in lost_devices else None
    active = [
        s
        for s in standings(plan, trials)
        if pairs_stop_reason(plan, s, cases, lost_devices) is None
    ]
    if not active:
        return None
    rounds = [(next_round(_of(s.pairing, measured), measured), s.pairing) for s in active]
    round_ = min(n for n, _ in rounds)
    waiting = [pairing for n, pairing in rounds if n == round_]
    pairing = min(waiting, key=lambda p: _drawn(plan, round_, f"pair:{p.a}"))
    if _out_of_time(plan, pairing, round_, elapsed_s, spans_s):
        return None
    return cases[_order(plan, pairing, round_)[0]], round_


def next_round(own: Sequence[Trial], measured: Sequence[Trial] = ()) -> int:
    """The round after one's last; never one that is over for all others.

    Rounds are not counted: where a record was damaged one is missing, and measured late it would stand
    beside trials of another time.
    """
    after = 1 + max((t.round for t in own), default=-1)
    return max(after, *(t.round for t in measured), 0)


def _of(pairing: Pairing, measured: Sequence[Trial]) -> list[Trial]:
    return [t for t in measured if t.case_id in (pairing.a, pairing.b)]


def pairs_stop_reason(
    plan: Plan, standing: Standing, cases: Mapping[str, Case], lost_devices: frozenset[str]
) -> str | None:
    """Why a pairing needs no further pair, or None while it does."""
    said, n = standing.judgement, len(standing.differences)
    if standing.unreliable:
        return f"{standing.n_lost} of {standing.n_begun} pairs failed"
    for case_id in (standing.pairing.a, standing.pairing.b):
        if cases[case_id].device in lost_devices:
            return f"device {cases[case_id].device} was lost"
    if said.verdict != "cannot tell":
        return f"decided after {said.n} pairs: {said.verdict}"
    if n >= plan.profile.looks[-1]:
        return f"all {n} pairs done without a verdict"
    return None


def _half_done(plan: Plan, measured: Sequence[Trial]) -> tuple[str, int] | None:
    """The other half of the pair that was begun last, if its first half went well."""
    if not measured or not measured[-1].outcome.ok:
        return None
    last = measured[-1]
    pairing = next(p for p in plan.pairings if last.case_id in (p.a, p.b))
    other = pairing.b if last.case_id == pairing.a else pairing.a
    done = any(t.case_id == other and t.round == last.round for t in measured)
    return None if done else (other, last.round)


def _order(plan: Plan, pairing: Pairing, round_: int) -> tuple[str, str]:
    """Which half runs first: by lot, for each pair anew."""
    if _drawn(plan, round_, f"first:{pairing.a}:{pairing.b}") < 0.5:  # noqa: PLR2004 - a fair coin
        return pairing.a, pairing.b
    return pairing.b, pairing.a


def _drawn(plan: Plan, round_: int, what: str) -> float:
    return random.Random(f"{plan.seed}:{round_}:{what}").random()  # noqa: S311 - a lot, no secret


def _out_of_time(
    plan: Plan, pairing: Pairing, round_: int, elapsed_s: float, spans_s: Mapping[str, float]
) -> bool:
    """Whether another pair would outlast the budget; the first one is always run."""
    if plan.time_budget_s is None or round_ == 0:
        return False
    needed_s = spans_s.get(pairing.a, 0.0) + spans_s.get(pairing.b, 0.0)
    return elapsed_s + needed_s > plan.time_budget_s
