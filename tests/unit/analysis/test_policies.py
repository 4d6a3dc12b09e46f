"""A ``tuned`` that costs speed is said in a sentence, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.analysis import compare, policies
from dlbench.cli import show
from dlbench.core.types import Case, Policy, Run
from dlbench.report import content
from dlbench.report.sections import verdict
from tests import builders

NOISE = (1.0, 1.6, 0.8, 1.2, 0.9)

BASE = builders.case(framework="pytorch", batch_size=2)
TUNED = replace(BASE, policy=Policy.TUNED)


def _run(seconds: dict[Case, float]) -> Run:
    return builders.run(
        [builders.result(case, [s * x for x in NOISE]) for case, s in seconds.items()]
    )


def _said(seconds: dict[Case, float]) -> list[str]:
    found = compare.within(_run(seconds))
    return [policies.sentence(c) for c in policies.slower_tuned(found)]


def test_a_slower_tuned_is_told_with_its_numbers() -> None:
    """Base has 1.25 times its throughput, whatever the rounds were like."""
    (said,) = _said({BASE: 0.01, TUNED: 0.0125})
    assert said == (
        "tuned is slower than base here, so use base: fake inference, PyTorch, fake, fp32, batch 2: "
        "base has 1.25x [1.25, 1.25] the throughput of tuned (5 trials each)"
    )


def test_a_faster_or_equal_tuned_is_not_told() -> None:
    """Half the time, or 1 % more: inside of the zone that counts as equal."""
    assert not _said({BASE: 0.01, TUNED: 0.005})
    assert not _said({BASE: 0.01, TUNED: 0.0101})


def test_which_side_is_tuned_does_not_matter() -> None:
    """In a document of pairs A may be the tuned one."""
    (found,) = compare.within(_run({BASE: 0.01, TUNED: 0.0125}))
    turned = replace(found, a=found.b, b=found.a, verdict="faster")
    assert policies.slower_tuned([turned]) == (turned,)
    assert not policies.slower_tuned([replace(turned, verdict="slower")])


def test_a_slower_framework_is_no_slower_policy() -> None:
    """Only cases that differ in the policy alone are meant."""
    other = replace(TUNED, framework="jax")
    assert not _said({TUNED: 0.01, other: 0.05})


def test_the_summary_and_the_report_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Where somebody who asked for tuned looks."""
    run = _run({BASE: 0.01, TUNED: 0.0125})
    show.slower_tuned(compare.within(run))
    words = "tuned is slower than base here, so use base: fake inference, PyTorch"
    assert words in capsys.readouterr().out
    assert words in str(verdict.html(content.of([run])))
    equal = _run({BASE: 0.01, TUNED: 0.0101})
    show.slower_tuned(compare.within(equal))
    assert not capsys.readouterr().out
    assert words not in str(verdict.html(content.of([equal])))
