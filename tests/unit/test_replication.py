"""Replicating a document: what can run here, what cannot and why, and whether it agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dlbench import replication
from dlbench.analysis import agreement
from dlbench.arms import ARM
from dlbench.core import units
from dlbench.core.errors import NothingToRunError, UsageError
from dlbench.core.types import BatchProbe, BatchSearch, Case, OutcomeKind, Pairing, Run
from dlbench.plan import Machine
from tests import builders, sessions

A = builders.case(framework="pytorch", batch_size=2)
B = builders.case(framework="tensorflow", batch_size=2)
MACHINE = Machine(devices=sessions.devices(), absent_devices={}, threads=1)


def _document(*cases: Case) -> Run:
    """A document of the fake workload as it is here."""
    results = [builders.result(c, [0.001, 0.0011, 0.0009]) for c in cases]
    return builders.run(results, plan=sessions.plan(cases))


def test_the_plan_is_the_documents() -> None:
    """Same cases with the same ids, profile, seed; tagged with what it replicates."""
    first, second = sessions.fake_case(), sessions.fake_case(factor="2")
    there = _document(first, second)
    found = replication.replication(there, MACHINE)
    assert [c.case_id for c in found.plan.cases] == [first.case_id, second.case_id]
    assert found.plan.profile == there.plan.profile
    assert found.plan.tags == (f"replicates {there.run_id}",)
    assert found.plan.sentinel == first.case_id
    assert found.impossible == ()


def test_what_cannot_run_here_is_named_with_its_reason() -> None:
    """Another workload content, a device that is not here, and what was never measured."""
    possible, elsewhere = sessions.fake_case(), replace(sessions.fake_case(), device="nvidia:3")
    failed = sessions.fake_case(fault="segv@load")
    there = _document(possible, elsewhere, failed)
    crashed = replace(there.results[2], trials=(builders.failed(failed, 0),))
    there = replace(there, results=(*there.results[:2], crashed))
    found = replication.replication(there, MACHINE)
    assert found.plan.cases == (possible,)
    reasons = {one.case: one.reason for one in found.impossible}
    assert "nvidia:3" in reasons[elsewhere]
    assert "not measured there: it broke" in reasons[failed]


def test_another_version_of_a_workload_is_not_the_same_thing() -> None:
    """Nothing is left to run, and the reason is the error."""
    there = _document(sessions.fake_case())
    info = replace(there.plan.workloads[0], content_hash="0" * 64, version=9)
    there = replace(there, plan=replace(there.plan, workloads=(info,)))
    with pytest.raises(NothingToRunError, match="is another one here"):
        replication.replication(there, MACHINE)


def test_a_model_of_someones_own_is_never_run() -> None:
    """A document comes from strangers; it must not choose code."""
    there = _document(sessions.fake_case())
    info = replace(there.plan.workloads[0], own="--model evil.py:build")
    there = replace(there, plan=replace(there.plan, workloads=(info,)))
    with pytest.raises(NothingToRunError, match="no document may name code"):
        replication.replication(there, MACHINE)


def test_pairs_stay_pairs() -> None:
    """A comparison is replicated as one."""
    a, b = sessions.fake_case(), sessions.fake_case(factor="2")
    there = _document(a, b)
    pairing = Pairing(a=a.case_id, b=b.case_id, a_name="x", b_name="y", zone=0.02)
    there = replace(there, plan=replace(there.plan, pairings=(pairing,)))
    found = replication.replication(there, MACHINE)
    assert found.plan.pairings == (pairing,)
    assert found.plan.sentinel is None


def test_fewer_threads_are_said() -> None:
    """The rule that had to change is named."""
    there = _document(sessions.fake_case())
    there = replace(there, plan=replace(there.plan, threads=8))
    found = replication.replication(there, MACHINE)
    assert found.plan.threads == 1
    assert found.changed == ("1 CPU thread instead of 8: no more are here",)


def test_the_same_figures_agree_and_a_third_of_the_speed_does_not() -> None:
    """Case by case, with the spread between sessions."""
    there = builders.run([builders.result(A, [0.01] * 5), builders.result(B, [0.02] * 5)])
    here = builders.run([builders.result(A, [0.0102] * 5), builders.result(B, [0.06] * 5)])
    found = agreement.agreement(there, here)
    assert [c.state for c in found.cases] == ["agrees", "slower here"]
    assert found.differs
    assert "0.33x [0." in agreement.sentence(found.cases[1])


def test_conclusions_are_compared_too() -> None:
    """What was faster there must be faster here; where it cannot be told that is said."""
    there = builders.run([builders.result(A, [0.01] * 5), builders.result(B, [0.02] * 5)])
    turned = builders.run([builders.result(A, [0.02] * 5), builders.result(B, [0.01] * 5)])
    noise = (1.0, 3.0, 0.4, 2.0, 0.7)
    vague = builders.run(
        [builders.result(A, [0.01 * x for x in noise]), builders.result(B, [0.012] * 5)]
    )
    for here, holds in ((there, True), (turned, False), (vague, None)):
        (conclusion,) = agreement.agreement(there, here).conclusions
        assert conclusion.holds is holds
    words = agreement.conclusion_sentence(agreement.agreement(there, turned).conclusions[0])
    assert "does not hold here" in words


def test_one_trial_or_none_agrees_with_nothing() -> None:
    """No interval, no agreement; a failure has its reason."""
    there = builders.run([builders.result(A, [0.01] * 5)])
    one = builders.run([builders.result(A, [0.01])])
    assert agreement.agreement(there, one).cases[0].state == "cannot tell"
    crashed = replace(builders.result(A, []), trials=(builders.failed(A, 0),))
    found = agreement.agreement(there, builders.run([crashed]))
    assert found.cases[0].state == "failed here"
    assert "it broke" in agreement.sentence(found.cases[0])


def test_a_document_replicated_at_once_is_measured_again(results: Path) -> None:
    """Real worker processes: the new document has the same cases and its tag."""
    there = sessions.run(
        sessions.plan([sessions.fake_case(), sessions.fake_case(factor="2")]), results
    ).run
    found = replication.replication(there, MACHINE)
    here = sessions.run(found.plan, results).run
    assert {r.case for r in here.results} == {r.case for r in there.results}
    assert all(r.measured for r in here.results)
    assert here.plan.tags == (f"replicates {there.run_id}",)
    plain = agreement.plain(agreement.agreement(there, here))
    assert {c["state"] for c in plain["cases"]} == {"cannot tell"}


def test_identical_sides_are_replicated_as_a_pair() -> None:
    """The mark that tells them apart is no adapter's option."""
    a = sessions.fake_case()
    b = replace(a, options=(*a.options, (ARM, "B")))
    there = _document(a, b)
    pairing = Pairing(a=a.case_id, b=b.case_id, a_name="A", b_name="B", zone=0.02)
    there = replace(there, plan=replace(there.plan, pairings=(pairing,)))
    found = replication.replication(there, MACHINE)
    assert found.plan.pairings == (pairing,)
    assert found.plan.cases == (a, b)
    assert found.impossible == ()


def test_two_python_environments_are_not_replicated_in_one() -> None:
    """Where they lay is not recorded: both sides would run here and be called by those versions."""
    a, b = sessions.fake_case(), sessions.fake_case(factor="2")
    there = _document(a, b)
    pairing = Pairing(
        a=a.case_id,
        b=b.case_id,
        a_name="old",
        b_name="new",
        zone=0.02,
        a_versions={"torch": "2.8.0"},
        b_versions={"torch": "2.13.0"},
    )
    there = replace(there, plan=replace(there.plan, pairings=(pairing,)))
    with pytest.raises(UsageError, match="two Python environments"):
        replication.replication(there, MACHINE)


def test_pairs_without_their_partners_are_not_measured_alone() -> None:
    """Nothing could be said of one side: no pair is left, and so nothing to run."""
    a, b = sessions.fake_case(), replace(sessions.fake_case(), device="nvidia:3")
    there = _document(a, b)
    pairing = Pairing(a=a.case_id, b=b.case_id, a_name="x", b_name="y", zone=0.02)
    there = replace(there, plan=replace(there.plan, pairings=(pairing,)))
    with pytest.raises(NothingToRunError, match="nvidia:3"):
        replication.replication(there, MACHINE)
    c, d = sessions.fake_case(factor="2"), sessions.fake_case(factor="3")
    whole = Pairing(a=c.case_id, b=d.case_id, a_name="x", b_name="y", zone=0.02)
    there = _document(a, b, c, d)
    there = replace(there, plan=replace(there.plan, pairings=(pairing, whole)))
    found = replication.replication(there, MACHINE)
    assert found.plan.cases == (c, d)
    assert [one.case for one in found.impossible] == [b, a]
    assert found.impossible[1].reason == replication.NO_PARTNER


def test_speeds_of_a_search_there_are_none_of_here() -> None:
    """Batch sizes are the document's, and nothing is searched for."""
    case = sessions.fake_case()
    there = _document(case)
    probe = BatchProbe(batch_size=1, samples_per_s=9.0, outcome=OutcomeKind.OK)
    search = BatchSearch(case_id=case.case_id, batch_size=1, probes=(probe,), capped=True)
    there = replace(there, plan=replace(there.plan, searches=(search,)))
    assert replication.replication(there, MACHINE).plan.searches == ()


def test_threads_that_were_asked_for_are_taken_and_said() -> None:
    """More than the document's too, and fewer for no other reason than that."""
    there = _document(sessions.fake_case())
    there = replace(there, plan=replace(there.plan, threads=2))
    for asked in (1, 4):
        machine = replace(MACHINE, threads=asked)
        found = replication.replication(there, machine, threads=asked)
        assert found.plan.threads == asked
        assert found.changed == (f"{units.counted(asked, 'CPU thread')} instead of 2: asked for",)
