"""Grams and dollars beside the joules, for a place that is given or recorded; else a reason."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench.__main__ import main
from dlbench.analysis.footprint import Given
from dlbench.core import units
from dlbench.core.footprint import Bounds
from dlbench.core.types import Estimated, Measured
from dlbench.report import build, carbon, content, table
from dlbench.report.sections import energy
from dlbench.store import codec
from tests import answers, builders, documents

RUN = documents.rich_run()

GIVEN = Given(
    intensity_g_per_kwh=Bounds(low=300.0, high=500.0, source="--intensity 300-500"),
    pue=Bounds(low=1.5, high=1.5, source="--pue 1.5"),
    tariff_usd_per_kwh=Bounds(low=0.36, high=0.36, source="--tariff 0.36"),
)


def _heads(section: str) -> list[str]:
    first = section[section.index("<thead>") : section.index("</thead>")]
    return re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', first)


def test_each_quantity_stands_once() -> None:
    """No column is shown twice under another name."""
    section = str(energy.html(content.of([RUN])))
    quantities = ["J/sample", "Samples/J", "Net of idle", "Mean power, W", "p95 power, W"]
    assert _heads(section) == ["Case", *quantities]
    row = re.search(r"<tr data-r.*?</tr>", section, re.DOTALL)
    assert row is not None
    numbers = re.findall(r'class="measured">([^<]*)<', row[0])
    assert len(numbers) == len(set(numbers)) == 4


def test_grams_and_dollars_follow_from_joules_and_place() -> None:
    """Of a million samples, as ranges, with each factor and its source."""
    found = content.of([RUN], given=GIVEN)
    section = str(energy.html(found))
    assert _heads(section)[-2:] == ["g CO2e of a million", "USD of a million"]
    row = next(r for r in found.rows if isinstance(r.metrics["energy_j_per_sample"], Measured))
    joules = row.metrics["energy_j_per_sample"]
    taken = carbon.of_row(found, row)
    grams, dollars = taken.carbon_g, taken.energy_cost_usd
    assert isinstance(joules, Measured)
    assert isinstance(grams, Estimated)
    assert isinstance(dollars, Estimated)
    assert joules.interval is not None
    assert grams.interval is not None
    assert grams.value == pytest.approx(joules.value / 3.6 * 1.5 * 400)
    assert grams.interval.low == pytest.approx(joules.interval.low / 3.6 * 1.5 * 300)
    assert grams.interval.high == pytest.approx(joules.interval.high / 3.6 * 1.5 * 500)
    assert dollars.value == pytest.approx(joules.value / 3.6 * 1.5 * 0.36)
    assert f'<span class="estimated">≈ {units.significant(grams.value)}</span>' in section
    for words in ("300 – 500", "--intensity 300-500", "--pue 1.5", "--tariff 0.36"):
        assert words in section


def test_an_unknown_place_is_said_with_what_would_make_it_known() -> None:
    """No column, no average: the reason and the options."""
    section = str(energy.html(content.of([RUN])))
    assert "CO2e of a million<" not in section
    assert "unknown</span>, because it is not known where the machine stands." in section
    assert "To know it, give <code>--region" in section
    assert section.count('class="absent" title="no tariff was given') == 1


def test_the_recorded_cloud_region_is_the_default() -> None:
    """With the catalog's source and year; what somebody gives goes before it."""
    facts = {**RUN.environment.facts, "cloud_provider": "aws", "cloud_region": "eu-central-1"}
    run = replace(RUN, environment=replace(RUN.environment, facts=facts))
    section = str(energy.html(content.of([run])))
    assert "aws eu-central-1, Frankfurt" in section
    assert "Our World in Data" in section
    assert "2023" in section
    assert "unknown</span>, because" not in section
    assert "--intensity 300-500" in str(energy.html(content.of([run], given=GIVEN)))


def test_without_energy_there_is_no_carbon_and_no_factor() -> None:
    """One sentence, not a table of factors that nothing rests on."""
    section = str(energy.html(content.of([builders.sealed_run()], given=GIVEN)))
    assert "so they are not known either" in section
    assert "--intensity" not in section


def test_the_saved_numbers_have_carbon_too() -> None:
    """Under the names of ``dlbench energy --json``; absent ones with their reason."""
    of = table.of(content.of([RUN], given=GIVEN))
    rows = [dict(zip(of["columns"], row, strict=True)) for row in of["rows"]]
    names = ("carbon_g_per_million_samples", "energy_cost_usd_per_million_samples")
    kinds = {row[f"{name}_kind"] for row in rows for name in names}
    assert kinds == {"estimated", "absent"}
    for row in rows:
        assert (row[names[0]] is None) == (row["energy_j_per_sample"] is None)
    (plain,) = [r for r in rows if r["outcome"] == "crashed"]
    assert "it broke" in plain["carbon_g_per_million_samples_reason"]


def test_places_with_strange_names_are_text() -> None:
    """A region that a stranger's document recorded."""
    assert "<script>" not in str(energy.html(content.of([documents.hostile_run()], given=GIVEN)))


def test_the_chart_of_cost_against_time_says_carbon_in_words() -> None:
    """The size of a dot is nothing to those who do not see it."""
    answer = answers.recommendation()
    page = build.page(replace(content.of([RUN]), recommendation=answer))
    label = re.search(r'aria-label="Cost against time[^"]*"', page)
    assert label is not None
    assert " kg CO2e" in label[0]
    assert "carbon unknown" in label[0]


# --- the command ----------------------------------------------------------------------------


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A document."""
    path = tmp_path / "run.json"
    path.write_bytes(codec.encode_run(RUN))
    return path


def _report(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["dlbench", "report", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_takes_the_place(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON holds the site of each document, and the grams of each case."""
    out = document.with_name("out.json")
    flags = ["--region", "DE", "--pue", "1.0", "--tariff", "0.32", "-o", str(out)]
    assert _report(monkeypatch, str(document), *flags) == 0
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    site = found["sites"][RUN.run_id]
    assert site["name"].startswith("country DE")
    assert site["pue"] == {"low": 1.0, "high": 1.0, "source": "--pue 1.0"}
    assert "carbon_g_per_million_samples" in found["table"]["columns"]


@pytest.mark.parametrize(
    ("option", "text"), [("--pue", "0.5"), ("--intensity", "high"), ("--region", "atlantis")]
)
def test_a_wrong_place_is_refused(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    option: str, text: str,
) -> None:  # fmt: skip
    """Before anything is written."""
    out = document.with_name("out.html")
    assert _report(monkeypatch, str(document), option, text, "-o", str(out)) == 2
    assert option in capsys.readouterr().err
    assert not out.exists()
