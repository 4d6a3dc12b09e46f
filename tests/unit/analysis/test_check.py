"""Each rule of ``dlbench check`` passes the sound document and fails exactly its own violation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dlbench.analysis import check
from dlbench.core.types import CaseResult, Outcome, OutcomeKind, Run, Trial, Value, Window
from tests import builders

RUN = builders.sealed_run()
LAST = RUN.results[1].trials


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
    "enough_values": _trial(values=RUN.results[0].trials[0].values[:2]),
    "values_in_window": _values(start_s=-1.0),
    "gate_passed": _trial(checks=()),
    "flops_possible": _trial(
        values=tuple(Value(start_s=float(i), duration_s=1e-7, n_samples=2) for i in range(5))
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
        lambda t: replace(t, windows=()),
        lambda t: replace(t, windows=(Window(name="steady", start_s=0.0, end_s=1.0),)),
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


def test_an_edit_is_seen_by_the_hash() -> None:
    """The one rule that needs the bytes."""
    assert check.content_check("a", "a").passed is True
    assert check.content_check("a", "b").passed is False
