"""What a document of pairs says, in words, as data, as a trace, and as an exit code."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dlbench import paired
from dlbench.analysis import compare, contests, fail_if
from dlbench.core.errors import UsageError
from dlbench.core.types import Absent, Run
from dlbench.store import codec
from tests import documents, queries

A, B = documents.PAIR

run_of = documents.paired_run

WOBBLE = (1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.001)
FASTER = run_of([0.02 * w for w in WOBBLE], [0.01] * 8)
SAME = run_of([0.01 * (1 + (w - 1) / 10) for w in WOBBLE], [0.01] * 8)
WILD = run_of([0.01 * w**20 for w in WOBBLE], [0.01] * 8)


def test_the_faster_side_is_named_with_its_ratio() -> None:
    """B took half of the time: twice the throughput."""
    (found,) = contests.contests(FASTER)
    assert found.verdict == "faster"
    words = contests.sentence(found)
    assert words.startswith("fake inference, fake, fp32, batch 4: TensorFlow has 2.000x [1.")
    assert words.endswith("the throughput of PyTorch (8 pairs, p = 0.031)")


def test_the_same_document_the_other_way_round() -> None:
    """Slower is said as how much faster the other is."""
    (found,) = contests.contests(run_of([0.01] * 8, [0.02 * w for w in WOBBLE]))
    assert found.verdict == "slower"
    assert "PyTorch has 2.000x" in contests.sentence(found)


def test_equivalent_says_within_what() -> None:
    """And what could have been found."""
    (found,) = contests.contests(SAME)
    assert found.verdict == "equivalent"
    assert "PyTorch and TensorFlow are equally fast within +-2 %" in contests.sentence(found)
    words = contests.resolution_sentence(found)
    assert words.startswith("this machine resolves 0.")
    assert "% with 64" in words
    assert "needed" not in words


def test_cannot_tell_says_how_many_pairs_would_be_needed() -> None:
    """The figure is the rule's own sum."""
    (found,) = contests.contests(WILD)
    assert found.verdict == "cannot tell"
    said = found.judgement
    assert isinstance(said.resolves, float)
    needed = paired.pairs_needed(said.resolves, 8, 0.02)
    assert f"about {needed:,} pairs would be needed for 2 %" in contests.resolution_sentence(found)


def test_half_of_the_pairs_failed_is_a_sentence_and_no_number() -> None:
    """Neither ratio, interval nor p-value leave the program."""
    run = run_of([0.02] * 8, [0.01] * 8, failed=(0, 2, 4, 6))
    (found,) = contests.contests(run)
    assert found.verdict == "no verdict"
    assert "4 of 8 pairs failed (it broke)" in contests.sentence(found)
    plain = contests.plain(found)
    assert plain["ratio"] is plain["interval"] is plain["p"] is None
    assert contests.resolution_sentence(found) == ""
    assert compare.within(run) == ()


def test_a_limit_of_one_side_is_not_what_both_have_in_common() -> None:
    """A server's latency limits compared: the sentence was of 50 ms, whichever the other side had."""
    short, long = queries.case("50"), queries.case("100")
    assert contests.in_common(short, long).startswith("fake inference, server, ")
    assert contests.in_common(short, short).startswith("fake inference, server 50 ms, ")


def test_without_a_whole_pair_no_ratio_is_told() -> None:
    """One whose only pair was interrupted was said to have a ratio of 1.000."""
    (found,) = contests.contests(run_of([0.02], [0.01], failed=(0,)))
    words = contests.sentence(found)
    assert words.endswith("PyTorch or TensorFlow is faster: no pair was measured to its end")
    assert contests.plain(found)["ratio"] is None


def test_compare_and_report_read_it_as_the_contest_it_was() -> None:
    """The verdict is that of the exact test, not another one from the same trials."""
    (comparison,) = compare.within(FASTER)
    assert comparison.verdict == "faster"
    assert (comparison.a_name, comparison.b_name) == ("PyTorch", "TensorFlow")
    assert comparison.varied == "framework"
    assert "signed-rank" in comparison.basis
    assert comparison.estimate.ratio == pytest.approx(2.0, rel=0.01)


def test_a_document_of_pairs_is_written_and_read() -> None:
    """Pairings survive the store, the versions of other environments too."""
    pairing = replace(
        FASTER.plan.pairings[0], a_versions={"torch": "2.8.0", "jax": Absent(reason="not there")}
    )
    run = replace(FASTER, plan=replace(FASTER.plan, pairings=(pairing,)))
    assert codec.decode_run(codec.encode_run(run), "x") == run
    assert contests.plain(contests.contests(run)[0])["a_versions"] == {
        "torch": "2.8.0",
        "jax": None,
    }


def test_a_trace_is_what_the_replays_read() -> None:
    """Two lines a pair, milliseconds a sample, in the order of pairs."""
    rows = [json.loads(line) for line in contests.trace(FASTER)]
    assert len(rows) == 16
    assert [(r["pair"], r["label"]) for r in rows[:3]] == [(0, "A"), (0, "B"), (1, "A")]
    assert rows[1]["fake_inference_ms"]["values"] == pytest.approx([10.0] * 5)


def test_each_contest_of_a_trace_has_a_name_of_its_own() -> None:
    """One workload on two devices: the second one's pairs stood in place of the first one's."""
    (first,) = FASTER.plan.pairings
    cases = [replace(r.case, device="nvidia:0") for r in FASTER.results]
    results = tuple(
        replace(r, case=c, trials=tuple(replace(t, case_id=c.case_id) for t in r.trials))
        for c, r in zip(cases, FASTER.results, strict=True)
    )
    pairings = (first, replace(first, a=cases[0].case_id, b=cases[1].case_id))
    plan = replace(FASTER.plan, cases=(*FASTER.plan.cases, *cases), pairings=pairings)
    both = replace(FASTER, plan=plan, results=(*FASTER.results, *results))
    rows = [json.loads(line) for line in contests.trace(both)]
    for device in ("fake", "nvidia_0"):
        key = f"fake_inference_{device}_fp32_batch_4_ms"
        assert sum(key in row for row in rows) == 16, rows[0].keys()


@pytest.mark.parametrize(
    ("condition", "run", "holds"),
    [
        ("faster:50%", FASTER, True),
        ("faster:150%", FASTER, None),
        ("faster", FASTER, True),
        ("slower:3%", FASTER, False),
        ("different", FASTER, True),
        ("different", SAME, False),
        ("cannot-tell", WILD, True),
        ("cannot-tell", SAME, False),
        ("unresolved:0.03", WILD, True),
        ("unresolved:3%", SAME, False),
    ],
)
def test_conditions_for_ci(condition: str, run: Run, holds: bool | None) -> None:
    """Each holds where it says, and shares of 100 % and more are refused."""
    if holds is None:
        with pytest.raises(UsageError, match="is not a share"):
            fail_if.parse(condition)
        return
    assert fail_if.parse(condition).holds(contests.contests(run)[0].judgement) is holds


def test_slower_by_less_than_the_threshold_does_not_fail() -> None:
    """Surely slower, by 2.5 %: slower:3% lets it pass, slower:2% does not."""
    run = run_of([0.01 * (1 + (w - 1) / 10) for w in WOBBLE], [0.01025] * 8)
    said = contests.contests(run)[0].judgement
    assert said.verdict == "slower"
    assert not fail_if.parse("slower:3%").holds(said)
    assert fail_if.parse("slower:2%").holds(said)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worse:3%",
        "slower:x",
        "slower:-3%",
        "unresolved",
        "slower:0",
        "different:3%",
        "cannot-tell:3%",
    ],
)
def test_conditions_that_make_no_sense(text: str) -> None:
    """A sentence, before anything is measured."""
    with pytest.raises(UsageError):
        fail_if.parse(text)
