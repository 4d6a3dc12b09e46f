"""Each rule of ``dlbench check`` passes the sound document and fails exactly its own violation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dlbench.analysis import check
from dlbench.core import sound
from dlbench.core.types import (
    LATENCY_LIMIT_OPTION,
    CaseResult,
    Check,
    Column,
    Monitored,
    Outcome,
    OutcomeKind,
    Pairing,
    Run,
    Scenario,
    Track,
    Trial,
    Value,
    Window,
)
from tests import builders

RUN = builders.sealed_run()
LAST = RUN.results[1].trials
FIRST = RUN.results[0].trials[0]


def _trial(**changes: Any) -> Run:
    """The sound run with its first trial changed."""
    first = RUN.results[0]
    trials = (replace(first.trials[0], **changes), *first.trials[1:])
    return _first(replace(first, trials=trials))


def _first(result: CaseResult) -> Run:
    return replace(RUN, results=(result, *RUN.results[1:]))


def _values(**changes: Any) -> Run:
    values = RUN.results[0].trials[0].values
    return _trial(values=(replace(values[0], **changes), *values[1:]))


def _server(limit_ms: str, n: int = 500, n_late: int = 3, **changes: Any) -> Run:
    """The document with its first case a server's: that many queries, that many of them late."""
    old = RUN.results[0].case
    options = ((LATENCY_LIMIT_OPTION, limit_ms),)
    case = replace(old, scenario=Scenario.SERVER, options=options)
    late_s = 2 * float(limit_ms) / 1e3
    queries_s = (late_s,) * n_late + (late_s / 4,) * (n - n_late)
    trials = tuple(
        replace(t, case_id=case.case_id, queries_s=queries_s, **changes)
        for t in RUN.results[0].trials
    )
    cases = tuple(case if c == old else c for c in RUN.plan.cases)
    first = replace(RUN.results[0], case=case, trials=trials)
    return replace(RUN, plan=replace(RUN.plan, cases=cases), results=(first, *RUN.results[1:]))


def _track(t_us: tuple[int, ...], values: tuple[float, ...]) -> Track:
    column = Column(quantity="power_w", values=values)
    return Track(source="fake", start_s=0.0, t_us=t_us, columns=(column,))


def _case(**changes: Any) -> Run:
    """The sound document with its first case changed, in the plan too."""
    old = RUN.results[0].case
    case = replace(old, **changes)
    trials = tuple(replace(t, case_id=case.case_id) for t in RUN.results[0].trials)
    cases = tuple(case if c == old else c for c in RUN.plan.cases)
    first = replace(RUN.results[0], case=case, trials=trials)
    return replace(RUN, plan=replace(RUN.plan, cases=cases), results=(first, *RUN.results[1:]))


def _monitored(windows: tuple[Window, ...]) -> Monitored:
    return Monitored(
        name="train.py",
        command=("python", "train.py"),
        started_utc="2026-01-01T00:00:00Z",
        exit_code=0,
        cpu_s=1.0,
        windows=windows,
        host=(),
        devices=(),
    )


N_TRIALS = sum(len(result.trials) for result in RUN.results)
BROKEN = replace(builders.failed(RUN.results[0].case, 0), role="sentinel")
MANY = (
    *RUN.results[0].trials,
    *(replace(BROKEN, position=n) for n in range(N_TRIALS, N_TRIALS + sound.MOST_TRIALS)),
)
"""More trials of the first case than are judged; only three of them count."""

VIOLATIONS: dict[str, Run] = {
    "cases_complete": replace(
        RUN, plan=replace(RUN.plan, cases=(*RUN.plan.cases, RUN.plan.cases[0]))
    ),
    "trials_in_place": _trial(case_id="0" * 12),
    "stop_reasons": _first(replace(RUN.results[0], stop_reason="")),
    "positions_unique": replace(
        RUN,
        results=(
            RUN.results[0],
            replace(
                RUN.results[1],
                trials=(*LAST[:-1], replace(LAST[-1], position=99)),
            ),
            RUN.results[2],
        ),
    ),
    "interleaved": _trial(round=9),
    "values_plausible": _values(n_samples=3),
    "enough_values": _trial(
        values=FIRST.values[:2],
        windows=(FIRST.windows[0], Window(name="steady", start_s=0.0, end_s=0.04)),
    ),
    "values_in_window": _values(start_s=-0.001),
    "warm_up_by_rule": _trial(warm_up=FIRST.warm_up * 2),
    "nothing_left_out": _trial(
        values=tuple(
            replace(v, start_s=v.start_s * 4, duration_s=0.8 * v.duration_s) for v in FIRST.values
        ),
        windows=(FIRST.windows[0], Window(name="steady", start_s=0.0, end_s=0.4)),
    ),
    "gate_passed": _trial(checks=()),
    "flops_possible": _trial(
        values=tuple(Value(start_s=i * 1e-7, duration_s=1e-7, n_samples=2) for i in range(5)),
        windows=(FIRST.windows[0], Window(name="steady", start_s=0.0, end_s=6e-7)),
    ),
    "failures_explained": replace(
        RUN,
        plan=replace(
            RUN.plan,
            skips=(replace(RUN.plan.skips[0], outcome=Outcome(kind=OutcomeKind.SKIPPED)),),
        ),
    ),
    "facts_present": replace(RUN, environment=replace(RUN.environment, devices=())),
    "times_ordered": replace(RUN, finished_utc="2025-12-31T00:00:00Z"),
    "digests_finite": _trial(digest=(float("nan"),)),
    "latency_limits_hold": _server(limit_ms="1"),
    "durations_positive": _trial(energy=(Value(start_s=0.0, duration_s=0.0, n_samples=2),)),
    "batches_positive": _case(batch_size=0),
    "programs_timed": replace(RUN, monitored=(_monitored(windows=()),)),
    "trials_countable": replace(
        RUN, results=(replace(RUN.results[0], trials=MANY), *RUN.results[1:])
    ),
    "rounds_distinct": replace(
        RUN,
        results=(
            RUN.results[0],
            replace(RUN.results[1], trials=(LAST[0], replace(LAST[1], round=2), LAST[2])),
            RUN.results[2],
        ),
    ),
    "pairings_stand": replace(
        RUN,
        plan=replace(
            RUN.plan,
            pairings=(Pairing(a="0" * 12, b="1" * 12, a_name="A", b_name="B", zone=0.02),),
        ),
    ),
    "looks_stated": replace(
        RUN, plan=replace(RUN.plan, profile=replace(RUN.plan.profile, looks=()))
    ),
    "columns_fit": _trial(tracks=(_track((0, 1), (20.0, 21.0, 22.0)),)),
    "sizes_possible": _trial(tracks=(_track((0, 1), (20.0, 1e308)),)),
}


def _failed(run: Run) -> list[str]:
    return [c.rule for c in check.check_run(run) if c.passed is False]


def test_a_sound_document_holds_every_rule() -> None:
    """None is failed, none is left out."""
    assert _failed(RUN) == []
    assert {c.rule for c in check.check_run(RUN)} == set(check.RULES)


@pytest.mark.parametrize("rule", sorted(check.RULES))
def test_each_violation_fails_its_own_rule_and_no_other(rule: str) -> None:
    """So no rule passes by accident, and none hides behind another."""
    assert _failed(VIOLATIONS[rule]) == [rule]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: replace(t, windows=t.windows[:1]),
        lambda t: replace(
            t, windows=(t.windows[0], Window(name="steady", start_s=0.0, end_s=0.09))
        ),
        lambda t: replace(t, values=(t.values[1], *t.values[1:])),
    ],
)
def test_values_outside_of_their_window_or_over_each_other(
    spoil: Callable[[Trial], Trial],
) -> None:
    """No window, a window that ends too early, the same value twice."""
    first = RUN.results[0]
    run = _first(replace(first, trials=(spoil(first.trials[0]), *first.trials[1:])))
    assert _failed(run) == ["values_in_window"]


def _warmed(seconds: list[float], window_s: float | None = None) -> Run:
    """The sound run with a first trial that warmed up in steps of these lengths; the cap is 1 s."""
    starts = [sum(seconds[:i]) for i in range(len(seconds))]
    values = tuple(
        Value(start_s=start, duration_s=s, n_samples=2)
        for start, s in zip(starts, seconds, strict=True)
    )
    end_s = sum(seconds) if window_s is None else window_s
    window = Window(name="warm_up", start_s=0.0, end_s=end_s)
    return _trial(warm_up=values, windows=(window, FIRST.windows[1]))


FALLING = [0.05 * 0.95**i for i in range(20)]


@pytest.mark.parametrize(
    ("run", "sound"),
    [
        (_warmed([0.01] * 10), True),
        (_warmed([0.01] * 11), False),
        (_warmed([0.05] * 5 + [0.01] * 8), True),
        (_warmed([0.01] * 9), False),
        (_warmed([]), False),
        (_warmed(FALLING), False),
        (_warmed(FALLING, window_s=1.0), True),
        (_warmed([0.05 * 1.05**i for i in range(15)]), True),
        (_warmed([0.05 * 1.05**i for i in range(16)]), False),
    ],
)
def test_warm_up_ends_when_two_windows_agree_or_at_its_cap(run: Run, sound: bool) -> None:
    """Not a value sooner, not a value later."""
    assert _failed(run) == ([] if sound else ["warm_up_by_rule"])


@pytest.mark.parametrize(("pauses", "sound"), [([], True), ([1, 3], True), ([1, 2, 3], False)])
def test_a_process_may_be_held_up_now_and_then(pauses: list[int], sound: bool) -> None:
    """Two pauses as long as a value are no sign of values left out; three of five are."""
    values, start_s = [], 0.0
    for i, value in enumerate(FIRST.values):
        start_s += value.duration_s * 1.2 if i in pauses else 0.0
        values.append(replace(value, start_s=start_s))
        start_s += value.duration_s
    window = Window(name="steady", start_s=0.0, end_s=start_s)
    run = _trial(values=tuple(values), windows=(FIRST.windows[0], window))
    assert _failed(run) == ([] if sound else ["nothing_left_out"])


@pytest.mark.parametrize(
    ("run", "rules", "says"),
    [
        (
            _values(n_samples=0),
            ["durations_positive"],
            "fake pytorch fake fp32 inference b2, trial 0: values[0] is of 0 samples in 0.02 s",
        ),
        (
            _trial(warm_up=(replace(FIRST.warm_up[0], n_samples=0), *FIRST.warm_up[1:])),
            ["durations_positive"],
            "fake pytorch fake fp32 inference b2, trial 0: warm_up[0] is of 0 samples in",
        ),
        (_case(workload="other"), ["facts_present"], "workload other (full) is not described"),
        (
            _values(start_s=1e308),
            ["sizes_possible", "values_in_window", "nothing_left_out"],
            "results[0].trials[0].values[0].start_s is 1e+308, which nothing can be",
        ),
    ],
)
def test_what_cannot_be_divided_by_or_looked_up_is_a_failed_rule(
    run: Run, rules: list[str], says: str
) -> None:
    """The rule that says what is amiss is shown: no other ends the check before it."""
    failed = {c.rule: c.detail for c in check.check_run(run) if c.passed is False}
    assert list(failed) == rules
    assert failed[rules[0]].startswith(says)


def test_a_monitored_program_has_the_window_in_which_it_ran() -> None:
    """One that ends before it starts is none."""
    (rule, _) = check.RULES["programs_timed"]
    whole = Window(name="energy", start_s=1.0, end_s=2.0)
    back = replace(whole, end_s=0.5)
    assert list(rule(replace(RUN, monitored=(_monitored((whole,)),)))) == []
    assert list(rule(replace(RUN, monitored=(_monitored((back,)),)))) == [
        "train.py was monitored, and not in one window that ends after it starts"
    ]


def test_a_rule_that_cannot_be_computed_has_failed_and_says_by_what() -> None:
    """An interval of times that is no number, and a limit that is a word."""
    failed = {c.rule: c.detail for c in check.check_run(_values(start_s=1e308))}
    assert failed["nothing_left_out"] == (
        "cannot be applied: cannot convert float infinity to integer"
    )
    first = _server("10").results[0]
    case = replace(first.case, options=((LATENCY_LIMIT_OPTION, "soon"),))
    failed = {c.rule: c.detail for c in check.check_run(_first(replace(first, case=case)))}
    assert failed["latency_limits_hold"] == (
        "cannot be applied: could not convert string to float: 'soon'"
    )


def test_a_refused_trial_is_explained_by_its_rule() -> None:
    """Which case, what was found, what the rule holds and what it cannot see; not a failure."""
    outcome = Outcome(kind=OutcomeKind.INVALID, detail="synchronises", message="refused")
    late = Check(rule="synchronises", passed=False, detail="98.0% of a burst's time")
    run = _trial(outcome=outcome, checks=(late,))
    (found,) = check.refusals(run)
    assert (found.rule, found.passed) == ("synchronises", None)
    for part in (RUN.results[0].case.label, "98.0% of a burst's time. It holds when", "cannot see"):
        assert part in found.detail
    assert "synchronises" not in _failed(run)
    assert check.refusals(RUN) == ()


def test_a_refused_trial_that_is_made_to_count_fails_with_the_same_explanation() -> None:
    """Somebody edited its outcome."""
    late = Check(rule="synchronises", passed=False, detail="98 %")
    (failed,) = [c for c in check.check_run(_trial(checks=(late,))) if c.passed is False]
    assert failed.rule == "gate_passed"
    assert "counts although synchronises failed. It holds when" in failed.detail


def test_a_refusal_by_a_rule_of_another_version_says_so() -> None:
    """And does not guess what it held."""
    assert check.explanation("from_the_future") == "This version knows no rule of that name."


def test_an_edit_is_seen_by_the_hash() -> None:
    """The one rule that needs the bytes."""
    assert check.content_check("a", "a").passed is True
    assert check.content_check("a", "b").passed is False


def test_only_noted_damage_leaves_a_gap_between_positions() -> None:
    """A record that was lost took its position with it; no note makes up for two trials at one."""
    (rule, _) = check.RULES["positions_unique"]
    gap = VIOLATIONS["positions_unique"]
    noted: dict[str, Any] = {"notes": {"journal_damage": "line 4 does not match its checksum"}}
    assert list(rule(gap)) != []
    assert list(rule(replace(gap, **noted))) == []
    assert list(rule(replace(_trial(position=LAST[0].position), **noted))) != []


@pytest.mark.parametrize(
    ("n", "n_late", "flags", "sound"),
    [
        (458, 0, (), False),
        (459, 0, (), True),
        (661, 1, (), False),
        (662, 1, (), True),
        (100, 0, ("few_queries",), True),
    ],
)
def test_a_latency_limit_is_shown_by_enough_queries(
    n: int, n_late: int, flags: tuple[str, ...], sound: bool
) -> None:
    """MLPerf's own numbers; a trial that says that it had too few is not accused of it."""
    failed = _failed(_server("10", n, n_late, flags=flags))
    assert ("latency_limits_hold" not in failed) is sound


def test_a_servers_values_may_be_fewer_than_the_profile_wants() -> None:
    """They are of a hundred queries each, however few that makes."""
    values = FIRST.values[:2]
    windows = (FIRST.windows[0], Window(name="steady", start_s=0.0, end_s=0.04))
    assert "enough_values" not in _failed(_server("10", values=values, windows=windows))
