"""The order of trials, the stop rule and the time budget."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from dlbench.core import drift
from dlbench.core.types import Absent, Case, OutcomeKind, Plan, Trial
from dlbench.session import schedule
from tests import builders

A = builders.case(batch_size=1)
B = builders.case(batch_size=2)
C = builders.case(batch_size=3)


def _play(plan: Plan, speeds: dict[str, list[float]], **options: float) -> list[Trial]:
    """Run a whole schedule with given medians per round."""
    trials: list[Trial] = []
    while (upcoming := schedule.next_trial(plan, trials)) is not None:
        medians = speeds[upcoming.case.case_id]
        median_s = medians[upcoming.round % len(medians)]
        trials.append(
            builders.trial(
                upcoming.case,
                upcoming.round,
                median_s,
                role=upcoming.role,
                position=upcoming.position,
            )
        )
    return trials


def _quiet(*cases: Case) -> dict[str, list[float]]:
    return {c.case_id: [0.0100, 0.01001, 0.00999] for c in cases}


def test_quiet_cases_stop_at_the_first_look() -> None:
    """Three precise trials a case, and the sentinel before each round and at the end."""
    plan = builders.plan([A, B, C])
    trials = _play(plan, _quiet(A, B, C))
    roles = [t.role for t in trials]
    assert roles == (["sentinel"] + ["measure"] * 3) * 3 + ["sentinel"]
    assert [t.position for t in trials] == list(range(13))
    reason = schedule.stop_reason(plan, B, trials)
    assert reason is not None
    assert reason.startswith("precise to +-0.")


def test_each_round_has_every_case_once_in_its_own_order() -> None:
    """Rounds are complete, and not all in the same order."""
    cases = [builders.case(batch_size=n) for n in range(1, 7)]
    trials = [t for t in _play(builders.plan(cases), _quiet(*cases)) if t.role == "measure"]
    rounds = [[t.case_id for t in trials if t.round == r] for r in range(3)]
    assert all(sorted(r) == sorted(c.case_id for c in cases) for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1


def test_the_seed_decides_the_order() -> None:
    """The same seed gives the same order, another one a different one."""
    cases = [builders.case(batch_size=n) for n in range(1, 9)]

    def order(seed: int) -> list[str]:
        return [t.case_id for t in _play(builders.plan(cases, seed=seed), _quiet(*cases))]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_noisy_case_goes_on_to_the_last_look_while_a_quiet_one_rests() -> None:
    """Precision decides for each case alone; the last look ends it in any case."""
    plan = builders.plan([A, B])
    trials = _play(plan, {**_quiet(A), B.case_id: [0.01, 0.02, 0.04, 0.015]})
    measured = [t.case_id for t in trials if t.role == "measure"]
    assert (measured.count(A.case_id), measured.count(B.case_id)) == (3, 8)
    reason = schedule.stop_reason(plan, B, trials)
    assert reason == "all 8 trials done without reaching the target of 5.0 %"
    quiet = schedule.stop_reason(plan, A, trials)
    assert quiet is not None
    assert re.fullmatch(r"precise to \+-[\d.]+ % after 3 trials \(target 5\.0 %\)", quiet)


def test_a_case_is_looked_at_at_looks_alone_and_each_is_paid_for() -> None:
    """Medians 1.5 % apart: three are precise to 5 % only if one look is paid for; four are no look."""
    plan = builders.plan([A])
    trials = [
        builders.trial(A, i, 0.01 * math.exp(y)) for i, y in enumerate((-0.015, 0.0, 0.015, 0, 0))
    ]
    # Student's t of 2 at 1 - 0.05 / 3; at 95 % it were 4.303, and 3.8 %.
    half = math.expm1(7.6488 * 0.015 / math.sqrt(3))
    assert schedule.precision(plan, trials[:3]) == pytest.approx(half, rel=1e-4)
    assert schedule.stop_reason(plan, A, trials[:3]) is None
    assert schedule.stop_reason(plan, A, trials[:4]) is None
    reason = schedule.stop_reason(plan, A, trials)
    assert reason == "precise to +-1.9 % after 5 trials (target 5.0 %)"


def test_a_failed_trial_ends_its_case_only() -> None:
    """The others go on."""
    plan = builders.plan([A, B], sentinel=None)
    trials = [builders.failed(B, 0)]
    assert schedule.stop_reason(plan, B, trials) == "trial 1 ended as crashed"
    upcoming = schedule.next_trial(plan, trials)
    assert upcoming is not None
    assert upcoming.case == A


def test_a_failed_sentinel_is_not_run_again() -> None:
    """The rest is measured without it."""
    plan = builders.plan([A, B])
    trials = [replace(builders.failed(A, 0), role="sentinel")]
    upcoming = schedule.next_trial(plan, trials)
    assert upcoming is not None
    assert upcoming.role == "measure"


def test_a_sentinel_that_never_ran_has_its_place_taken() -> None:
    """The machine was watched by nobody: the case with the shortest step does it from round 1 on."""
    plan = builders.plan([A, B, C])
    quiet = _quiet(A, B, C)
    trials = [replace(builders.failed(A, 0), role="sentinel")]
    while (upcoming := schedule.next_trial(plan, trials)) is not None:
        case, round_ = upcoming.case, upcoming.round
        made = (
            builders.failed(case, round_)
            if case == A
            else builders.trial(case, round_, quiet[case.case_id][round_ % 3])
        )
        trials.append(replace(made, role=upcoming.role, position=upcoming.position))
    watched = [(t.case_id, t.round) for t in trials[1:] if t.role == "sentinel"]
    assert watched == [(B.case_id, n) for n in (1, 2, 3)]
    assert not isinstance(drift.drift(trials), Absent)


@pytest.mark.parametrize("others", [(B, C), (B,)])
def test_a_sentinel_that_fails_later_has_its_place_taken(others: tuple[Case, ...]) -> None:
    """Nobody watched the machine from there on, and the start of the session passed for the whole."""
    plan = builders.plan([A, *others])
    quiet = _quiet(A, *others)
    trials: list[Trial] = []
    while (upcoming := schedule.next_trial(plan, trials)) is not None:
        case, round_ = upcoming.case, upcoming.round
        made = (
            builders.failed(case, round_)
            if (case, round_) == (A, 1)
            else builders.trial(case, round_, quiet[case.case_id][round_ % 3])
        )
        trials.append(replace(made, role=upcoming.role, position=upcoming.position))
    watched = [(t.case_id, t.round) for t in trials if t.role == "sentinel" and t.outcome.ok]
    assert watched == [(A.case_id, 0), (B.case_id, 2), (B.case_id, 3)]
    assert (trials[-1].case_id, trials[-1].role) == (B.case_id, "sentinel")


def test_of_two_cases_the_one_that_runs_watches_itself() -> None:
    """It needs no trials as a sentinel beside its own."""
    plan = builders.plan([A, B])
    trials = [replace(builders.failed(A, 0), role="sentinel"), builders.failed(A, 0)]
    for n in range(3):
        upcoming = schedule.next_trial(plan, trials)
        assert upcoming is not None
        assert (upcoming.case, upcoming.role) == (B, "measure")
        trials.append(builders.trial(B, n, 0.01, position=upcoming.position))
    assert not isinstance(drift.drift(trials), Absent)


def test_a_lost_device_is_used_no_more() -> None:
    """Cases of a lost device stop with that reason; nothing is left, so nothing runs."""
    plan = builders.plan([A, B])
    assert schedule.next_trial(plan, [], lost_devices=frozenset({"fake"})) is None
    assert schedule.stop_reason(plan, A, [], frozenset({"fake"})) == "device fake was lost"


def test_resuming_goes_on_exactly_where_it_was() -> None:
    """Feeding any prefix of a session back in continues to the same whole."""
    plan = builders.plan([A, B, C])
    whole = _play(plan, _quiet(A, B, C))
    for cut in range(len(whole)):
        upcoming = schedule.next_trial(plan, whole[:cut])
        assert upcoming is not None
        after = whole[cut]
        assert (upcoming.case.case_id, upcoming.round, upcoming.role) == (
            after.case_id,
            after.round,
            after.role,
        )


def test_no_round_is_begun_that_does_not_fit_the_budget() -> None:
    """After a first round of 20 s, a budget of 30 s has no room for a second."""
    plan = builders.plan([A, B], sentinel=None, time_budget_s=30.0)
    first = [builders.trial(A, 0), builders.trial(B, 0)]
    spans_s = {A.case_id: 10.0, B.case_id: 10.0}
    assert schedule.next_trial(plan, first, elapsed_s=20.0, spans_s=spans_s) is None
    roomy = replace(plan, time_budget_s=40.0)
    assert schedule.next_trial(roomy, first, elapsed_s=20.0, spans_s=spans_s) is not None


def test_the_least_rounds_run_whatever_the_budget() -> None:
    """Three of each, sentinels between, and none more, though the budget was over from the start."""
    plan = builders.plan([A, B], time_budget_s=1.0, least_rounds=3)
    spans_s = {A.case_id: 10.0, B.case_id: 10.0}
    trials: list[Trial] = []
    while upcoming := schedule.next_trial(plan, trials, elapsed_s=99.0, spans_s=spans_s):
        trials.append(builders.trial(upcoming.case, upcoming.round, role=upcoming.role))
    assert [t.role for t in trials].count("sentinel") == 4
    measured = [(t.case_id, t.round) for t in trials if t.role == "measure"]
    assert sorted(measured) == sorted((c.case_id, n) for c in (A, B) for n in range(3))


def test_one_case_is_measured_whatever_the_budget() -> None:
    """The sentinel alone used up the budget; one case still runs, and a second one does not."""
    plan = builders.plan([A, B], time_budget_s=1.0)
    trials = [builders.trial(A, 0, role="sentinel")]
    upcoming = schedule.next_trial(plan, trials, elapsed_s=2.0)
    assert upcoming is not None
    assert upcoming.role == "measure"
    trials.append(builders.trial(upcoming.case, 0))
    upcoming = schedule.next_trial(plan, trials, elapsed_s=3.0)
    assert upcoming is not None
    assert upcoming.role == "sentinel"


def test_a_case_that_failed_is_not_the_one_that_is_measured_whatever_the_budget() -> None:
    """The first did not fit in memory, and that was the whole session: nothing was measured."""
    plan = builders.plan([A, B, C], sentinel=None, time_budget_s=1.0)
    trials = [builders.failed(A, 0, OutcomeKind.OOM_DEVICE)]
    spans_s = {A.case_id: 3.0}
    upcoming = schedule.next_trial(plan, trials, elapsed_s=3.0, spans_s=spans_s)
    assert upcoming is not None
    assert upcoming.case in (B, C)
    trials.append(builders.trial(upcoming.case, 0))
    assert schedule.next_trial(plan, trials, elapsed_s=6.0, spans_s=spans_s) is None


def test_a_begun_round_is_finished() -> None:
    """Half a round would leave cases that cannot be paired."""
    plan = builders.plan([A, B], sentinel=None, time_budget_s=30.0)
    trials = [builders.trial(A, 0), builders.trial(B, 0)]
    second = schedule.next_trial(plan, trials)
    assert second is not None
    trials.append(builders.trial(second.case, 1))
    spans_s = {A.case_id: 10.0, B.case_id: 10.0}
    upcoming = schedule.next_trial(plan, trials, elapsed_s=35.0, spans_s=spans_s)
    assert upcoming is not None
    assert upcoming.round == 1


def test_a_begun_round_is_finished_also_where_those_that_ran_in_it_have_enough() -> None:
    """Else the others would have a trial less, because of how the first ones came out."""
    plan = builders.plan([A, B], sentinel=None, time_budget_s=30.0)
    trials = [builders.trial(of, n) for n in range(2) for of in (A, B)]
    third = schedule.next_trial(plan, trials)
    assert third is not None
    trials.append(builders.trial(third.case, 2))
    assert schedule.stop_reason(plan, third.case, trials) is not None
    spans_s = {A.case_id: 10.0, B.case_id: 10.0}
    upcoming = schedule.next_trial(plan, trials, elapsed_s=50.0, spans_s=spans_s)
    assert upcoming is not None
    assert (upcoming.case, upcoming.round) == (B if third.case == A else A, 2)


@pytest.mark.parametrize("damaged", range(13))
def test_a_lost_record_is_measured_again_in_a_round_of_its_own(damaged: int) -> None:
    """No round of a case or of the sentinel, and no position, comes twice; no round is late."""
    plan = builders.plan([A, B, C])
    whole = _play(plan, _quiet(A, B, C))
    trials = [t for t in whole if t.position != damaged]
    for _ in range(9):
        upcoming = schedule.next_trial(plan, trials)
        if upcoming is None:
            break
        trials.append(
            builders.trial(
                upcoming.case, upcoming.round, role=upcoming.role, position=upcoming.position
            )
        )
    places = [(t.case_id, t.role, t.round) for t in trials]
    assert len(set(places)) == len(places)
    assert len({t.position for t in trials}) == len(trials)
    rounds = [t.round for t in sorted(trials, key=lambda t: t.position) if t.role == "measure"]
    assert rounds == sorted(rounds)
    measured = [t.case_id for t in trials if t.role == "measure"]
    assert {measured.count(c.case_id) for c in (A, B, C)} == {3}


def test_what_has_run_of_the_first_round_is_not_counted_again() -> None:
    """A took 10 of 15 s; nobody knows how long B takes, and A is not due."""
    plan = builders.plan([A, B], sentinel=None, time_budget_s=15.0)
    spans_s = {A.case_id: 10.0}
    upcoming = schedule.next_trial(plan, [builders.trial(A, 0)], elapsed_s=10.0, spans_s=spans_s)
    assert upcoming is not None
    assert (upcoming.case, upcoming.round) == (B, 0)


def test_after_the_budget_the_sentinel_closes_the_session() -> None:
    """First, between and last holds for a session that was cut short too."""
    plan = builders.plan([A, B], time_budget_s=1.0)
    trials = [
        builders.trial(A, 0, role="sentinel"),
        builders.trial(A, 0),
        builders.trial(B, 0),
    ]
    upcoming = schedule.next_trial(plan, trials, elapsed_s=5.0)
    assert upcoming is not None
    assert upcoming.role == "sentinel"
    trials.append(builders.trial(A, 1, role="sentinel"))
    assert schedule.next_trial(plan, trials, elapsed_s=6.0) is None
