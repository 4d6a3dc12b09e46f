"""Each cheat is refused by its own rule, and passes when exactly that rule is off."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dlbench import worker, workloads
from dlbench.analysis import check
from dlbench.core import registry
from dlbench.core.requests import TrialRequest
from dlbench.core.types import (
    Absent,
    Case,
    CaseResult,
    Check,
    DeviceInfo,
    Mode,
    Outcome,
    OutcomeKind,
    Precision,
    Profile,
    Scenario,
    Trial,
)
from dlbench.frameworks import _seeded
from dlbench.measure import gate
from dlbench.measure.evidence import Evidence
from tests import builders
from tests.cheats import honest
from tests.cheats.cheats import CHEATS, Cheat

PROFILE = Profile(
    name="test",
    target_half_width=0.5,
    looks=(1,),
    min_values=8,
    max_values=8,
    max_steady_s=0.5,
    max_warm_up_s=0.5,
    min_warm_up_s=0.0,
    min_steady_s=0.024,
    time_budget_s=None,
)

BATCH = 16
POSITIONS = (0, 3, 5, 11, 17, 22, 29, 31)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workload with a reference that float64 arithmetic gives."""
    found = tmp_path_factory.mktemp("workloads") / "small"
    shutil.copytree(Path(__file__).parent / "small", found)
    workload = workloads.read(found)
    model: Any = workloads.load_model(found, "model_small")
    spec = workload.spec("full")
    weights = [
        _seeded.weight(spec, f"{n}.weight", s).astype(np.float64) for n, s in model.SHAPES.items()
    ]
    outputs = [
        model.forward(weights, _seeded.batch(spec, "inputs", i, 1)[0])[-1][0] for i in range(4)
    ]
    batch = [_seeded.batch(spec, side, 0, BATCH)[0] for side in ("inputs", "targets")]
    loss, _ = model.loss_and_gradients(weights, *batch)
    reference = {
        "inference": {
            "positions": POSITIONS,
            "spread": float(np.std(outputs)),
            "values": [[float(x[p]) for p in POSITIONS] for x in outputs],
        },
        "training": {"first_loss": {str(BATCH): float(loss)}},
    }
    (found / "reference.json").write_text(json.dumps({"full": reference}))
    return found


def _device() -> DeviceInfo:
    """One whose peak nobody knows, so that arithmetic cannot catch a cheat in its rule's stead."""
    found = registry.device_kind("fake").find()
    assert not isinstance(found, Absent)
    return replace(found[0], peak_flops={})


def _case(mode: Mode, precision: Precision) -> Case:
    return builders.case(
        workload="small",
        mode=mode,
        scenario=Scenario.OFFLINE if mode is Mode.INFERENCE else None,
        precision=precision,
        batch_size=BATCH,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One trial by the worker's own path, and what its gate judged by."""

    case: Case
    trial: Trial
    evidence: Evidence


def _measured(folder: Path, subject: type[honest.Subject], case: Case) -> Measured:
    seen: list[Evidence] = []

    def judged(found: Evidence) -> tuple[Check, ...]:
        seen.append(found)
        return judge(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "judge", judged)
        trial = _trial(folder, subject, case, patch)
    assert len(seen) == 1, trial.log
    return Measured(case=case, trial=trial, evidence=seen[0])


judge = gate.judge


def _trial(folder: Path, subject: type[honest.Subject], case: Case, patch: Any) -> Trial:

    def opened(request: Any) -> honest.Subject:
        if issubclass(subject, Cheat):
            return subject(request, patch.setattr)
        return subject(request)

    adapter = SimpleNamespace(MODEL_FILES=honest.MODEL_FILES, open_subject=opened)
    patch.setattr(registry, "framework", lambda _: adapter)
    request = TrialRequest(
        case=case,
        device=_device(),
        profile=PROFILE,
        workload_folder=str(folder),
        threads=1,
        seed=0,
        round=0,
        role="measure",
        position=0,
        parent_pid=0,
        content_hash=workloads.read(folder).content_hash,
    )
    return worker.run_trial(request, lambda _: None)


def _refusals(folder: Path, measured: Measured) -> list[str]:
    """The rules that refuse a trial, or the document that holds it; an empty list is a pass.

    They judge what was measured once, so that rules can be switched off one after the other.
    """
    checks = judge(measured.evidence)
    failed = [c.rule for c in checks if c.passed is False]
    if not worker.FLAGGED_CHECKS.keys() >= set(failed):
        return failed
    trial = replace(measured.trial, outcome=Outcome(kind=OutcomeKind.OK), checks=checks)
    info = workloads.read(folder).info("full")
    run = builders.run(
        [CaseResult(case=measured.case, trials=(trial,), stop_reason="one trial")],
        plan=builders.plan([measured.case], workloads=(info,), profile=PROFILE),
        environment=replace(builders.ENVIRONMENT, devices=(_device(),)),
    )
    return [c.rule for c in check.check_run(run) if c.passed is False]


@pytest.fixture(scope="module")
def cheat(folder: Path, request: pytest.FixtureRequest) -> Measured:
    """A trial of the cheat that a rule refuses."""
    subject = CHEATS[request.param]
    return _measured(folder, subject, _case(subject.mode, subject.precision))


def test_there_are_thirteen_and_each_has_a_rule_that_exists() -> None:
    """In the worker's gate or in the document's rules."""
    assert len(CHEATS) == 13
    assert set(CHEATS) <= gate.RULES.keys() | check.RULES.keys()


def test_the_docs_say_which_rule_refuses_each() -> None:
    """A row a cheat in the table of what is refused."""
    page = Path(__file__).parents[2] / "docs/how-it-measures.md"
    _, _, section = page.read_text(encoding="utf-8").partition("## What is refused")
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")]
    assert {row[2].strip(" `") for row in rows[2:15]} == set(CHEATS)


@pytest.mark.parametrize(
    ("mode", "precision"), sorted({(c.mode, c.precision) for c in CHEATS.values()})
)
def test_the_honest_subject_passes(folder: Path, mode: Mode, precision: Precision) -> None:
    """Every rule that the cheats fail was applied to it."""
    measured = _measured(folder, honest.Subject, _case(mode, precision))
    assert measured.trial.outcome.ok, measured.trial.log
    assert _refusals(folder, measured) == []


@pytest.mark.parametrize(("cheat", "rule"), [(n, n) for n in CHEATS], indirect=["cheat"])
def test_a_cheat_is_refused_by_its_rule_and_by_no_other(
    folder: Path, cheat: Measured, rule: str
) -> None:
    """So that the name of the rule says what was wrong; the worker's own word is the same."""
    assert _refusals(folder, cheat) == [rule]
    outcome = f"invalid({rule})" if rule in gate.RULES else "ok"
    assert str(cheat.trial.outcome) == outcome, cheat.trial.log


@pytest.mark.parametrize("off", CHEATS)
@pytest.mark.parametrize(("cheat", "rule"), [(n, n) for n in CHEATS], indirect=["cheat"])
def test_with_one_rule_off_exactly_its_cheat_passes(
    folder: Path, cheat: Measured, rule: str, off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirteen rules by thirteen cheats: none is caught by accident, none leans on another rule."""
    # A copy without it: a rule put back into the dictionary itself would stand last there.
    home: Any = gate if off in gate.RULES else check
    monkeypatch.setattr(home, "RULES", {n: r for n, r in home.RULES.items() if n != off})
    assert _refusals(folder, cheat) == ([] if rule == off else [rule])
