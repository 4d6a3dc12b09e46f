"""Which trial of a plan of pairs comes next, and when a pairing has had enough."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from dlbench import paired
from dlbench.core.types import Case, OutcomeKind, Pairing, Plan, Trial
from dlbench.paired.standing import standings
from dlbench.session import schedule
from tests import builders

A = builders.case(policy="base", options=(("side", "a"),))
B = builders.case(policy="base", options=(("side", "b"),))
C = builders.case(batch_size=2, options=(("side", "a"),))
D = builders.case(batch_size=2, options=(("side", "b"),))

Median = Callable[[Case, int], float | None]
"""Seconds a sample of a case in a round, or None where it fails."""


def plan_of(*pairs: tuple[Case, Case], **changes: object) -> Plan:
    """A plan of these pairs, at the four looks."""
    pairings = tuple(
        Pairing(a=a.case_id, b=b.case_id, a_name="left", b_name="right", zone=0.02)
        for a, b in pairs
    )
    planned = builders.plan([c for pair in pairs for c in pair], sentinel=None, pairings=pairings)
    profile = replace(planned.profile, looks=paired.LOOKS)
    return replace(planned, profile=profile, **changes)  # type: ignore[arg-type]


def play(plan: Plan, median: Median, begun: Sequence[Trial] = (), **options: object) -> list[Trial]:
    """Run a whole schedule, or the rest of one."""
    trials = list(begun)
    while (upcoming := schedule.next_trial(plan, trials, **options)) is not None:  # type: ignore[arg-type]
        seconds = median(upcoming.case, upcoming.round)
        if seconds is None:
            trial = builders.failed(upcoming.case, upcoming.round)
        else:
            trial = builders.trial(upcoming.case, upcoming.round, seconds)
        trials.append(replace(trial, position=upcoming.position))
        assert len(trials) < 1000
    return trials


def _noisy(spread: float, b_slower: float = 0.0) -> Median:
    rng = random.Random(5)

    def median(case: Case, _round: int) -> float:
        slower = b_slower if case in (B, D) else 0.0
        return 0.01 * (1 + slower) * math.exp(rng.gauss(0, spread))

    return median


def test_pairs_are_whole_and_who_is_first_is_drawn() -> None:
    """Each round has A and B next to each other, each of them first about as often."""
    plan = plan_of((A, B), seed=3)
    trials = play(plan, _noisy(0.3))
    ids = [t.case_id for t in trials]
    pairs = [tuple(ids[i : i + 2]) for i in range(0, len(ids), 2)]
    assert len(pairs) == 64
    assert {frozenset(pair) for pair in pairs} == {frozenset((A.case_id, B.case_id))}
    first = sum(pair[0] == A.case_id for pair in pairs)
    assert 20 <= first <= 44
    assert [t.round for t in trials[::2]] == list(range(64))


def test_a_lost_pair_is_replaced_by_a_pair_of_its_own() -> None:
    """Where records were damaged, no trial takes the place of another one."""
    plan = plan_of((A, B))
    whole = play(plan, _noisy(0.01, b_slower=0.2))
    for damaged in ({4}, {4, 5}, {len(whole) - 2, len(whole) - 1}):
        left = [t for t in whole if t.position not in damaged]
        trials = play(plan, _noisy(0.01, b_slower=0.2), begun=left)
        places = [(t.case_id, t.round) for t in trials]
        assert len(set(places)) == len(places)
        assert len({t.position for t in trials}) == len(trials)
        rounds = [t.round for t in sorted(trials, key=lambda t: t.position)]
        assert rounds == sorted(rounds)
        assert len(standings(plan, trials)[0].differences) == 8


def test_a_clear_difference_stops_at_the_first_look() -> None:
    """Eight pairs that all say the same are enough."""
    plan = plan_of((A, B))
    trials = play(plan, _noisy(0.01, b_slower=0.2))
    assert len(trials) == 16
    assert standings(plan, trials)[0].judgement.verdict == "slower"
    assert schedule.stop_reason(plan, A, trials) == "decided after 8 pairs: slower"
    assert schedule.stop_reason(plan, B, trials) == "decided after 8 pairs: slower"


def test_no_verdict_between_looks_however_clear() -> None:
    """Twelve pairs are not looked at; the next look is at sixteen."""
    plan = plan_of((A, B))
    trials = play(plan, _noisy(0.5))[:24]
    assert schedule.stop_reason(plan, A, trials) is None


def test_a_case_that_is_decided_leaves_and_the_other_goes_on() -> None:
    """With two pairings, rounds hold both until one is decided."""
    plan = plan_of((A, B), (C, D))
    rng = random.Random(2)

    def median(case: Case, _round: int) -> float:
        spread = 0.005 if case in (A, B) else 0.4
        return (0.02 if case == B else 0.01) * math.exp(rng.gauss(0, spread))

    trials = play(plan, median)
    n = {name: sum(t.case_id == c.case_id for t in trials) for name, c in (("B", B), ("D", D))}
    assert n == {"B": 16, "D": 64}
    rounds = [t.round for t in trials]
    assert rounds == sorted(rounds)


def test_the_other_half_of_a_failed_half_is_not_run() -> None:
    """A pair of which a half failed is lost; after three of them nothing more is tried."""
    plan = plan_of((A, B))
    trials = play(plan, lambda case, _round: None if case == A else 0.01)
    (standing,) = standings(plan, trials)
    assert standing.unreliable
    assert (standing.n_begun, standing.n_lost) == (3, 3)
    assert schedule.stop_reason(plan, A, trials) == "3 of 3 pairs failed"


def test_failing_half_of_the_pairs_is_no_verdict() -> None:
    """However clear the pairs that are left."""
    plan = plan_of((A, B))
    trials = play(plan, lambda case, r: None if case == B and r % 2 else 0.01 * (1 + (case == B)))
    (standing,) = standings(plan, trials)
    assert standing.unreliable
    assert standing.n_lost == 3


def test_one_lost_pair_costs_a_pair_and_no_more() -> None:
    """A single failure is made up for by another pair."""
    plan = plan_of((A, B))
    noisy = _noisy(0.01, b_slower=0.3)
    trials = play(plan, lambda case, r: None if r == 2 and case == A else noisy(case, r))
    (standing,) = standings(plan, trials)
    assert not standing.unreliable
    assert (standing.n_begun, standing.n_lost, standing.judgement.n) == (9, 1, 8)
    assert standing.rounds == (0, 1, 3, 4, 5, 6, 7, 8)


def test_the_time_budget_ends_between_pairs() -> None:
    """A pair is begun only if it fits; the first one always is."""
    plan = plan_of((A, B), time_budget_s=10.0)
    spans = {A.case_id: 3.0, B.case_id: 3.0}
    assert schedule.next_trial(plan, [], elapsed_s=99.0, spans_s=spans) is not None
    one_pair = [builders.trial(A, 0), builders.trial(B, 0)]
    assert schedule.next_trial(plan, one_pair, elapsed_s=4.0, spans_s=spans) is not None
    assert schedule.next_trial(plan, one_pair, elapsed_s=4.1, spans_s=spans) is None
    assert schedule.next_trial(plan, one_pair[:1], elapsed_s=99.0, spans_s=spans) is not None


def test_a_lost_device_ends_its_pairs() -> None:
    """Nothing is run on it any more, not even the second half of a pair."""
    plan = plan_of((A, B))
    lost = frozenset({"fake"})
    assert schedule.next_trial(plan, [builders.trial(A, 0)], lost_devices=lost) is None
    assert schedule.stop_reason(plan, A, [], lost) == "device fake was lost"


def test_a_resumed_comparison_goes_on_exactly_as_it_would_have() -> None:
    """What comes next depends on the plan and the trials, on nothing else; after any number of them."""
    plan = plan_of((A, B), (C, D))
    trials = play(plan, _noisy(0.3))
    for n in (1, 2, 17, 30):
        upcoming = schedule.next_trial(plan, trials[:n])
        assert upcoming is not None
        assert (upcoming.case.case_id, upcoming.round) == (trials[n].case_id, trials[n].round)


def test_an_oom_is_a_loss_like_any_other() -> None:
    """The kind of failure does not matter to what may be said."""
    plan = plan_of((A, B))
    trials = [builders.failed(A, r, OutcomeKind.OOM_DEVICE) for r in range(3)]
    assert standings(plan, trials)[0].unreliable
