"""``dlbench energy`` as a user calls it: joules of a document become grams and money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlbench.__main__ import main
from dlbench.catalog import stored
from dlbench.core.types import CaseResult
from dlbench.store import codec
from tests import builders
from tests.energy.scripted import World
from tests.energy.traces import parse

POWER_W = 250.0


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog folder of the test's own."""
    monkeypatch.setenv(stored.FOLDER_VARIABLE, str(tmp_path / "mine"))


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A document whose one trial has three energy windows at 250 W."""
    world = World(trace=parse([["idle", "60000"], ["load", "constant", "250000"]]))
    record = world.measure(5.0, 3)
    case = builders.case()
    trial = builders.trial(
        case, 0, windows=record.windows, energy=record.values, readings=record.readings
    )
    run = builders.run([CaseResult(case=case, trials=(trial,), stop_reason="x")])
    path = tmp_path / "run.json"
    path.write_bytes(codec.encode_run(run))
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of one command."""
    monkeypatch.setattr("sys.argv", ["dlbench", "energy", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _cases(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)[0]["cases"]
    return found


def test_grams_and_money_follow_from_the_joules(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Carbon is the document's own kWh x PUE x intensity, and cost its kWh x PUE x tariff."""
    flags = ["--intensity", "400", "--pue", "1.5", "--tariff", "0.2", "--json"]
    assert call(monkeypatch, str(document), *flags) == 0
    case = _cases(capsys)[0]
    kwh = case["energy_kwh_per_1000_samples"]
    assert kwh["kind"] == "measured"
    assert kwh["value"] > 0
    assert case["carbon_g_per_1000_samples"]["value"] == pytest.approx(kwh["value"] * 600)
    assert case["carbon_g_per_1000_samples"]["kind"] == "estimated"
    assert case["energy_cost_usd_per_1000_samples"]["value"] == pytest.approx(kwh["value"] * 0.3)
    assert case["embodied_g_per_1000_samples"]["kind"] == "absent"


def test_without_a_place_carbon_is_absent_and_energy_is_not(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table shows a dash and names the flag that would fill it."""
    assert call(monkeypatch, str(document)) == 0
    out = capsys.readouterr().out
    assert "site      unknown" in out
    assert "--region" in out
    assert "operational: it is not known where the machine stands" in out


def test_a_region_shows_its_range_source_and_year(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Low and high of the catalog, with the source they are from."""
    assert call(monkeypatch, str(document), "--region", "aws/eu-central-1") == 0
    out = capsys.readouterr().out
    assert "276 - 381" in out
    assert "2023" in out


@pytest.mark.parametrize(
    "flags",
    [
        ["--pue", "0.9"],
        ["--intensity", "-5"],
        ["--intensity", "nan"],
        ["--intensity", "80-30"],
        ["--tariff", "inf"],
        ["--tariff", "cheap"],
        ["--embodied-kg", "100"],
        ["--embodied-kg", "100", "--life-hours", "0"],
        ["--region", "atlantis"],
    ],
)
def test_impossible_factors_are_refused(
    flags: list[str],
    document: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, with a sentence and what to write instead."""
    assert call(monkeypatch, str(document), *flags) == 2
    assert "try:" in capsys.readouterr().err
