"""Comparisons: paired inside a run, cautious across runs, refused where they would mislead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dlbench.analysis import compare
from dlbench.core.errors import GateError
from dlbench.core.types import Case, Environment, Policy, Precision, Run
from tests import builders

A = builders.case(framework="pytorch", batch_size=2)
B = builders.case(framework="tensorflow", batch_size=2)

NOISE = (1.0, 1.6, 0.8, 1.2, 0.9)


def _run(*results: Any, **changes: Any) -> Run:
    return builders.run(results, **changes)


def test_a_changed_model_of_the_users_own_is_refused_with_both_options() -> None:
    """The same name, another file: no comparison, and what each was made from."""

    def of(digit: str, options: str) -> Run:
        case = builders.case()
        info = replace(builders.WORKLOAD, content_hash=digit * 64, own=options)
        return builders.run(
            [builders.result(case, [0.01, 0.01, 0.01])],
            plan=builders.plan([case], workloads=(info,)),
        )

    with pytest.raises(GateError, match=r"another file or other options: --input 3; --input 4"):
        compare.across(of("0", "--input 3"), of("1", "--input 4"))


def test_frameworks_of_one_run_are_paired_by_round() -> None:
    """Noise that hits both cancels: twice as fast, whatever the rounds were like."""
    run = _run(
        builders.result(A, [0.02 * x for x in NOISE]), builders.result(B, [0.01 * x for x in NOISE])
    )
    (found,) = compare.within(run)
    assert (found.a_name, found.b_name, found.varied) == ("PyTorch", "TensorFlow", "framework")
    assert found.estimate.ratio == pytest.approx(2.0)
    assert found.estimate.n == 5
    assert found.verdict == "faster"
    assert compare.sentence(found) == (
        "fake inference, fake, fp32, batch 2: TensorFlow has 2.00x [2.00, 2.00] the throughput of "
        "PyTorch (5 trials each)"
    )


def test_the_slower_one_is_told_from_the_winners_side() -> None:
    """The sentence names the winner first, and turns the interval with it."""
    run = _run(builders.result(A, [0.01, 0.011, 0.0105]), builders.result(B, [0.02, 0.022, 0.021]))
    (found,) = compare.within(run)
    assert found.verdict == "slower"
    assert "PyTorch has 2.00x [2.00, 2.00] the throughput of TensorFlow" in compare.sentence(found)


def test_noise_of_their_own_leaves_cannot_tell() -> None:
    """A ratio of 1.1 between trials that differ by half is no verdict."""
    run = _run(builders.result(A, [0.010, 0.015, 0.008]), builders.result(B, [0.012, 0.009, 0.010]))
    (found,) = compare.within(run)
    assert found.verdict == "cannot tell"
    assert "cannot tell whether" in compare.sentence(found)


def test_equal_ones_are_called_equal() -> None:
    """When the whole interval is within 2 %."""
    speeds = [0.0100, 0.0101, 0.0099]
    run = _run(builders.result(A, speeds), builders.result(B, [s * 1.001 for s in speeds]))
    (found,) = compare.within(run)
    assert found.verdict == "equivalent"
    assert "equally fast" in compare.sentence(found)


def test_one_trial_gives_a_ratio_without_interval() -> None:
    """And no verdict."""
    run = _run(builders.result(A, [0.02]), builders.result(B, [0.01]))
    (found,) = compare.within(run)
    assert (found.estimate.interval, found.verdict) == (None, "cannot tell")
    assert "too few trials for an interval" in compare.sentence(found)


@pytest.mark.parametrize(
    ("other", "varied"),
    [
        (replace(A, policy=Policy.TUNED), "policy"),
        (replace(A, precision=Precision.BF16), "precision"),
        (replace(A, device="nvidia:0"), "device"),
        (replace(A, batch_size=4), None),
        (replace(B, policy=Policy.TUNED), None),
    ],
)
def test_only_cases_that_differ_in_one_thing_are_compared(other: Case, varied: str | None) -> None:
    """Two differences at once explain nothing; another batch is another task."""
    run = _run(builders.result(A, NOISE), builders.result(other, NOISE))
    assert [c.varied for c in compare.within(run)] == ([varied] if varied else [])


def test_only_common_rounds_are_paired() -> None:
    """A case that stopped earlier is compared on what both have."""
    run = _run(builders.result(A, [0.02] * 8), builders.result(B, [0.01] * 3))
    assert compare.within(run)[0].estimate.n == 3


def _elsewhere(**changes: Any) -> Environment:
    return replace(builders.ENVIRONMENT, machine="other-8c", **changes)


def test_across_documents_a_small_difference_is_no_verdict() -> None:
    """6 % between two perfect single sessions is less than sessions differ."""
    a = _run(builders.result(A, [0.01] * 5))
    b = _run(builders.result(A, [0.0094] * 5), environment=_elsewhere())
    (found,) = compare.across(a, b).comparisons
    assert found.verdict == "cannot tell"
    assert "single session" in found.basis
    assert (found.a_name, found.b_name) == ("test-2c", "other-8c")


def test_across_documents_a_large_difference_is() -> None:
    """Twice as fast is beyond any session's spread."""
    a = _run(builders.result(A, [0.02] * 5))
    b = _run(builders.result(A, [0.01] * 5), environment=_elsewhere())
    (found,) = compare.across(a, b).comparisons
    assert found.verdict == "faster"
    assert found.estimate.interval is not None
    assert found.estimate.interval.low < 1.9
    assert found.estimate.interval.high > 2.1


def test_two_documents_of_one_machine_are_told_apart_by_time() -> None:
    """Both names would be the same otherwise."""
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(A, NOISE), created_utc="2026-02-01T00:00:00Z")
    (found,) = compare.across(a, b).comparisons
    assert found.b_name == "test-2c 2026-02-01T00:00:00Z"


def test_environment_differences_come_first_and_name_both_values() -> None:
    """Only what differs; absences with their reason."""
    facts = {**builders.ENVIRONMENT.facts, "governor": "performance"}
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(A, NOISE), environment=_elsewhere(facts=facts))
    assert compare.differences(a, b) == (("governor", "absent (not shown)", "performance"),)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"precision": Precision.BF16}, "precision differs: fp32 and bf16"),
        ({"policy": Policy.TUNED}, "policy differs"),
        ({"variant": "tiny"}, "variant differs"),
    ],
)
def test_what_is_not_comparable_is_refused_with_the_reason(
    change: dict[str, Any], word: str
) -> None:
    """Never silently."""
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(replace(A, **change), NOISE))
    with pytest.raises(GateError, match=word):
        compare.across(a, b)
    mixed = _run(builders.result(A, NOISE), builders.result(replace(A, **change), NOISE))
    found = compare.across(a, mixed)
    assert len(found.comparisons) == 1
    assert word in found.refusals[0].reason


def test_another_version_of_a_workload_is_refused() -> None:
    """Its content hash differs."""
    a = _run(builders.result(A, NOISE))
    changed = replace(builders.WORKLOAD, content_hash="1" * 64, version=2)
    b = _run(builders.result(A, NOISE))
    b = replace(b, plan=replace(b.plan, workloads=(changed,)))
    with pytest.raises(GateError, match=r"is not the same \(versions 1 and 2\)"):
        compare.across(a, b)


def test_nothing_in_common_is_said() -> None:
    """With both names and exit code 5."""
    a = _run(builders.result(A, NOISE))
    b = _run(builders.result(B, NOISE))
    with pytest.raises(GateError, match="share no case") as caught:
        compare.across(a, b)
    assert caught.value.exit_code == 5


def test_failed_cases_are_not_compared() -> None:
    """A case without a measured trial has no ratio."""
    crashed = replace(builders.result(B, []), trials=(builders.failed(B, 0),))
    assert compare.within(_run(builders.result(A, NOISE), crashed)) == ()
