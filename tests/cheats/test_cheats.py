"""Each cheat is refused by its own rule, and passes when exactly that rule is off."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
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
    DeviceInfo,
    Mode,
    Precision,
    Profile,
    Scenario,
    Trial,
)
from dlbench.frameworks import _seeded
from dlbench.measure import gate
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


def _trial(folder: Path, subject: type[honest.Subject], case: Case, patch: Any) -> Trial:
    """One trial by the worker's own path."""

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
    )
    return worker.run_trial(request, lambda _: None)


def _refusals(folder: Path, trial: Trial, case: Case) -> list[str]:
    """The rules that refuse a trial, or the document that holds it; an empty list is a pass."""
    if not trial.outcome.ok:
        assert trial.outcome.kind == "invalid", trial.log
        return [c.rule for c in trial.checks if c.passed is False]
    info = workloads.read(folder).info("full")
    run = builders.run(
        [CaseResult(case=case, trials=(trial,), stop_reason="one trial")],
        plan=builders.plan([case], workloads=(info,), profile=PROFILE),
        environment=replace(builders.ENVIRONMENT, devices=(_device(),)),
    )
    return [c.rule for c in check.check_run(run) if c.passed is False]


def _try(folder: Path, subject: type[honest.Subject], case: Case, off: str | None) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        if off is not None:
            # A copy without it: a rule put back into the dictionary itself would stand last there.
            home: Any = gate if off in gate.RULES else check
            patch.setattr(home, "RULES", {n: r for n, r in home.RULES.items() if n != off})
        return _refusals(folder, _trial(folder, subject, case, patch), case)


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
    assert _try(folder, honest.Subject, _case(mode, precision), None) == []


@pytest.mark.parametrize("rule", CHEATS)
def test_a_cheat_is_refused_by_its_rule_and_by_no_other(folder: Path, rule: str) -> None:
    """So that the name of the rule says what was wrong."""
    cheat = CHEATS[rule]
    assert _try(folder, cheat, _case(cheat.mode, cheat.precision), None) == [rule]


@pytest.mark.parametrize("off", CHEATS)
@pytest.mark.parametrize("rule", CHEATS)
def test_with_one_rule_off_exactly_its_cheat_passes(folder: Path, rule: str, off: str) -> None:
    """Thirteen rules by thirteen cheats: none is caught by accident, none leans on another rule."""
    cheat = CHEATS[rule]
    case = _case(cheat.mode, cheat.precision)
    assert _try(folder, cheat, case, off) == ([] if rule == off else [rule])
