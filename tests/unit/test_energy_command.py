"""``dlbench energy`` as a user calls it: joules of a document become grams and money."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench.__main__ import main
from dlbench.core.types import CaseResult, Monitored, MonitoredDevice
from dlbench.store import codec
from tests import builders
from tests.energy.scripted import World
from tests.energy.traces import parse


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


@pytest.fixture
def monitored(tmp_path: Path) -> Path:
    """A document of a program of 5 s at 250 W: 1,250 J."""
    world = World(trace=parse([["idle", "60000"], ["load", "constant", "250000"]]))
    record = world.measure(5.0, 1)
    part = MonitoredDevice(device="fake", readings=record.readings, tracks=(), lost=None)
    program = Monitored(
        name="train.py",
        command=("python", "train.py"),
        started_utc="2026-01-01T00:00:00Z",
        exit_code=0,
        cpu_s=1.0,
        windows=record.windows,
        host=(),
        devices=(part,),
    )
    run = replace(builders.run([builders.result(builders.case(), [0.01])]), monitored=(program,))
    path = tmp_path / "monitored.json"
    path.write_bytes(codec.encode_run(replace(run, results=())))
    return path


def test_a_monitored_program_has_a_footprint(
    monitored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the whole program: 1,250 J are 0.139 g at 400 g a kWh, and 5 s of 720 g an hour are 1 g."""
    flags = ["--intensity", "400", "--pue", "1", "--embodied-kg", "0.72", "--life-hours", "1"]
    assert call(monkeypatch, str(monitored), *flags, "--json") == 0
    device, machine = json.loads(capsys.readouterr().out)[0]["monitored"]
    assert device["label"] == "train.py: fake"
    assert device["carbon_g"]["value"] == pytest.approx(0.1389, rel=0.01)
    assert device["embodied_g"]["kind"] == "absent"
    assert machine["embodied_g"]["value"] == pytest.approx(1.0, rel=0.01)
    assert machine["carbon_g"]["kind"] == "absent"
    assert call(monkeypatch, str(monitored), *flags) == 0
    out = capsys.readouterr().out
    assert "of the whole program" in out
    assert "absent    cost: no tariff" in out


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
    kwh = case["energy_kwh_per_million_samples"]
    assert kwh["kind"] == "measured"
    assert kwh["value"] > 0
    assert case["carbon_g_per_million_samples"]["value"] == pytest.approx(kwh["value"] * 600)
    assert case["carbon_g_per_million_samples"]["kind"] == "estimated"
    assert case["energy_cost_usd_per_million_samples"]["value"] == pytest.approx(kwh["value"] * 0.3)
    assert case["embodied_g_per_million_samples"]["kind"] == "absent"


def test_joules_and_watts_stand_before_what_they_emit(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quarter of a joule a sample at 250 W, four samples a joule, each as what it is."""
    assert call(monkeypatch, str(document), "--json") == 0
    case = _cases(capsys)[0]
    for name, value in (
        ("energy_j_per_sample", 0.25),
        ("net_energy_j_per_sample", 0.19),
        ("samples_per_j", 4.0),
        ("mean_power_w", 250.0),
    ):
        assert case[name]["kind"] == "measured", name
        assert case[name]["value"] == pytest.approx(value, rel=0.01), name
    for name in ("p95_power_w", "host_energy_j_per_sample"):
        assert case[name]["kind"] == "absent", name
    assert call(monkeypatch, str(document)) == 0
    table = capsys.readouterr().out.split("of 1,000,000 samples")[0]
    for words in ("Energy and power in", "J/sample", "0.250", "samples/J", "4.00", "W mean"):
        assert words in table, words
    assert "W p95" not in table


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


def test_a_cost_without_cooling_says_so(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tariff alone gives a cost; that the site's cooling is not in it was in the JSON only."""
    words = "cost      without cooling: the site's PUE is not known"
    assert call(monkeypatch, str(document), "--tariff", "0.3") == 0
    assert words in capsys.readouterr().out
    assert call(monkeypatch, str(document), "--tariff", "0.3", "--pue", "1.1") == 0
    assert words not in capsys.readouterr().out
