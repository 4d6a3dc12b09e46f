"""The two sides of a comparison: how they are written, paired and named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench import arms, environment, paired
from dlbench.core.errors import MissingError, UsageError
from dlbench.core.types import Mode, Plan, Policy, Selection
from dlbench.plan import Machine
from tests import sessions

COMMON = Selection(workloads=("fake",), frameworks=("fake",), modes=(Mode.INFERENCE,))
MACHINE = Machine(devices=sessions.devices(), absent_devices={}, threads=1)


def _plan(a: str, b: str, common: Selection = COMMON, **options: object) -> Plan:
    return arms.make_pairs(arms.parse(a), arms.parse(b), common, MACHINE, **options)  # type: ignore[arg-type]


def test_a_side_is_a_list_of_names_and_values() -> None:
    """Blanks do not matter; the name, the Python and options stand apart."""
    arm = arms.parse("policy=tuned, batch=4,option.factor=2,name=mine,python=/x/bin/python")
    assert arm.settings == (("policy", "tuned"), ("batch", "4"))
    assert arm.options == (("factor", "2"),)
    assert (arm.name, arm.python) == ("mine", "/x/bin/python")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("framework", "is not name=value"),
        ("framework=", "is not name=value"),
        ("speed=high", "has no 'speed'"),
    ],
)
def test_a_side_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    """With a sentence that names what is wrong."""
    with pytest.raises(UsageError, match=message):
        arms.parse(text)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("policy=base", "policy=best", "policy=best is not known"),
        ("batch=2", "batch=two", "batch=two is not known"),
        ("framework=fake", "framework=fake", "is set for both sides"),
    ],
)
def test_a_value_that_is_not_known_is_refused(a: str, b: str, message: str) -> None:
    """And so is what both the common part and a side say."""
    with pytest.raises(UsageError, match=message):
        _plan(a, b)


def test_cases_are_paired_by_all_that_is_common() -> None:
    """Two modes and two policies make two pairings, each of one mode."""
    plan = _plan("policy=base", "policy=tuned", replace(COMMON, modes=()))
    cases = {c.case_id: c for c in plan.cases}
    assert len(plan.pairings) == 2
    for pairing in plan.pairings:
        a, b = cases[pairing.a], cases[pairing.b]
        assert (a.policy, b.policy) == (Policy.BASE, Policy.TUNED)
        assert a == replace(b, policy=Policy.BASE)
        assert (pairing.a_name, pairing.b_name) == ("base", "tuned")
    assert plan.sentinel is None
    assert plan.profile.looks == paired.LOOKS
    assert plan.time_budget_s is None
    assert plan.least_rounds == 0
    assert plan.profile.energy_windows == 0


def test_identical_sides_are_told_apart_by_a_mark() -> None:
    """A against A is a comparison too: of the machine with itself."""
    plan = _plan("name=A", "name=B")
    a, b = plan.cases
    assert a.case_id != b.case_id
    assert dict(b.options) == {"arm": "B"}
    assert (plan.pairings[0].a_name, plan.pairings[0].b_name) == ("A", "B")


def test_names_say_what_differs_and_nothing_else() -> None:
    """Settings that are equal on both sides are not repeated."""
    plan = _plan("policy=base,batch=2", "policy=base,batch=4")
    assert (plan.pairings[0].a_name, plan.pairings[0].b_name) == ("batch 2", "batch 4")
    plan = _plan("option.factor=1", "option.factor=2,name=slow")
    assert (plan.pairings[0].a_name, plan.pairings[0].b_name) == ("factor=1", "slow")
    plan = _plan("policy=tuned", "batch=1")
    assert plan.pairings[0].a_name == "tuned default batch"


def test_fewer_than_eight_pairs_are_refused() -> None:
    """No exact test could ever find anything with them."""
    with pytest.raises(UsageError, match="7 pairs cannot show"):
        _plan("policy=base", "policy=tuned", most_pairs=7)
    assert _plan("policy=base", "policy=tuned", most_pairs=20).profile.looks == (8, 16)


def test_several_counterparts_are_refused() -> None:
    """Where the device varies so may the batch: which of two belongs to which must be said."""
    common = replace(COMMON, batch_sizes=(1, 2), frameworks=("fake",), devices=())
    with pytest.raises(UsageError, match="has 2 counterparts"):
        _plan("device=fake", "device=fake,name=other", common)


def test_environments_are_named_and_their_versions_kept() -> None:
    """This Python against itself: the same versions on both sides, a path in neither."""
    python = sys.executable
    plan = _plan(f"python={python}", f"python={python}")
    (pairing,) = plan.pairings
    assert (pairing.a_name, pairing.b_name) == ("environment A", "environment B")
    assert pairing.a_versions == pairing.b_versions
    assert pairing.a_versions["python"] == ".".join(map(str, sys.version_info[:3]))
    a, b = arms.parse(f"python={python}"), arms.parse("policy=base")
    assert arms.pythons(plan, a, b) == {pairing.a: python}


def test_a_python_that_is_not_there_or_has_no_dlbench_is_missing() -> None:
    """With the command that would mend it."""
    with pytest.raises(MissingError, match="no Python at"):
        _plan("python=/nowhere/python", f"python={sys.executable}")
    with pytest.raises(MissingError, match="cannot run dlbench's worker"):
        _plan("python=/bin/false", f"python={sys.executable}")


NET = """import torch


def small():
    return torch.nn.Linear(8, 2)


def wide():
    return torch.nn.Linear(8, 64)
"""


def test_two_models_of_ones_own_are_sides(tmp_path: Path) -> None:
    """Each has a workload of its own; only the model is different between the cases."""
    path = tmp_path / "net.py"
    path.write_text(NET, encoding="utf-8")
    small, wide = (arms.parse(f"model={path}:{name}") for name in ("small", "wide"))
    a, b = arms.with_models(small, wide, ["8"], "auto", frameworks_given=False)
    cpu = tuple(d for d in environment.find_devices()[0] if d.id == "cpu")
    machine = replace(MACHINE, devices=cpu)
    common = Selection(frameworks=("pytorch",), devices=("cpu",), modes=(Mode.INFERENCE,))
    plan = arms.make_pairs(a, b, common, machine)
    (pairing,) = plan.pairings
    assert (pairing.a_name, pairing.b_name) == ("small", "wide")
    assert [w.name for w in plan.workloads] == ["net.small.A", "net.wide.B"]
    assert {c.workload for c in plan.cases} == {"net.small.A", "net.wide.B"}


def test_a_model_on_one_side_only_is_refused() -> None:
    """There would be two differences at once."""
    a, b = arms.parse("model=net.py:small"), arms.parse("policy=base")
    with pytest.raises(UsageError, match="the other has none"):
        arms.with_models(a, b, ["8"], "auto", frameworks_given=False)
