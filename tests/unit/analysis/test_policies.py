"""A ``tuned`` that costs speed is said in a sentence, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.analysis import compare, policies
from dlbench.cli import show
from dlbench.core.types import Case, Pairing, Policy, Precision, Run
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


def test_a_pair_that_differs_in_more_than_the_policy_says_nothing_of_it() -> None:
    """``dlbench ab policy=base policy=tuned,precision=bf16``: what is slower here may be bf16."""
    for other in (
        replace(TUNED, precision=Precision.BF16),
        replace(TUNED, batch_size=8),
        replace(TUNED, options=(("compile_mode", "default"),)),
    ):
        (found,) = compare.within(_pairs(BASE, other))
        assert found.verdict == "slower"
        assert not policies.slower_tuned([found])
        assert found.varied == ""
        assert "batch 2" not in found.what or other.batch_size == BASE.batch_size
        assert "fp32" not in found.what or other.precision == BASE.precision
    (found,) = compare.within(_pairs(BASE, TUNED))
    assert policies.slower_tuned([found]) == (found,)


def _pairs(a: Case, b: Case) -> Run:
    """Eight pairs, in each of which B takes a quarter longer."""
    seconds = [0.01 * (1 + i / 1000) for i in range(8)]
    run = builders.run(
        [builders.result(a, seconds), builders.result(b, [1.25 * s for s in seconds])]
    )
    pairing = Pairing(a=a.case_id, b=b.case_id, a_name="a", b_name="b", zone=0.02)
    profile = replace(run.plan.profile, looks=(8,))
    return replace(run, plan=replace(run.plan, profile=profile, pairings=(pairing,)))
