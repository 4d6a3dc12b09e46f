"""The measured roof, and cases under it as lines that begin where all memory traffic would be used."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from dlbench.analysis import ceiling
from dlbench.core.types import Measured, Mode
from dlbench.report import content, roofline
from dlbench.report.sections import ceiling as section
from tests import documents

RUN = documents.rich_run()
FOUND = content.of([RUN])


def _figure(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'class="figure">(.*?)</script>', html)
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_roof_is_the_two_measured_ceilings() -> None:
    """The slope is the triad's bytes a second, the flat part the matrix product's FLOP/s."""
    *_, roof = _figure(roofline.html(FOUND))["data"]
    (line,) = ceiling.rooflines(FOUND.rows).values()
    x, y = roof["x"], roof["y"]
    assert y[0] / x[0] == pytest.approx(line.bytes_per_s, rel=1e-4)
    assert y[1] == y[2] == pytest.approx(line.flops_per_s, rel=1e-4)
    assert x[1] == pytest.approx(line.ridge_flop_per_byte, rel=1e-4)
    assert roof["meta"]["colour"] == "ink"


def test_a_case_is_a_line_from_the_slope_to_the_right() -> None:
    """At the height that was measured; no intensity is made up, and the mark is hollow."""
    figure = _figure(roofline.html(FOUND))
    (line,) = ceiling.rooflines(FOUND.rows).values()
    *cases, roof = figure["data"]
    assert 1 < len(cases) <= roofline.MOST_LINES
    for case in cases:
        row = FOUND.rows[case["meta"]["rows"][0]]
        done = row.metrics["flops_per_s"]
        assert isinstance(done, Measured)
        assert case["y"] == pytest.approx([done.value] * 2, rel=1e-4)
        assert case["x"][0] == pytest.approx(done.value / line.bytes_per_s, rel=1e-4)
        assert case["x"][1] == roof["x"][2]
        assert case["meta"]["hollow"] == [True, True]
        assert case["marker"]["size"][1] == 0
        assert "≥" in case["customdata"][0]


def test_a_case_whose_bytes_are_known_is_a_point() -> None:
    """A workload that states its bytes and its operations."""
    bandwidth = Measured(value=5.0, n=3, source="host clock and the workload's bytes")
    rows = tuple(
        replace(row, metrics={**row.metrics, "bandwidth_gb_per_s": bandwidth})
        if row.case.mode is Mode.TRAINING
        else row
        for row in FOUND.rows
    )
    figure = _figure(roofline.html(replace(FOUND, rows=rows)))
    points = [c for c in figure["data"] if len(c["x"]) == 1]
    assert {rows[c["meta"]["rows"][0]].case.mode for c in points} == {Mode.TRAINING}
    for point in points:
        assert point["x"][0] == pytest.approx(point["y"][0] / 5e9, rel=1e-4)
        assert point["meta"]["hollow"] == [False]


def test_every_task_has_a_line_and_every_case_a_row() -> None:
    """The highest of each task is drawn; what is not drawn is in the table, and is counted."""
    html = str(roofline.html(FOUND))
    cases = [
        row
        for row in FOUND.rows
        if isinstance(row.metrics["flops_per_s"], Measured) and row.case.workload != "gemm"
    ]
    assert html.count("<tr data-r=") == len(cases) == 11
    assert "3 more cases are in the table only" in html
    assert "gemm inference" not in html
    drawn = {FOUND.rows[c["meta"]["rows"][0]].case for c in _figure(html)["data"][:-1]}
    assert {content.task(c) for c in drawn} == {content.task(row.case) for row in cases}


def test_without_the_memorys_speed_there_is_no_slope() -> None:
    """It is said, with the command that measures it; the shares stand."""
    results = tuple(r for r in RUN.results if r.case.workload != ceiling.TRIAD)
    found = content.of([replace(RUN, results=results)])
    html = str(section.html(found))
    assert "dlbench run memory_bandwidth" in html
    assert "Of the ceiling" in html
    assert 'class="plot' not in html


def test_of_many_machines_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said how many are not."""
    monkeypatch.setattr(roofline, "MOST_ROOFS", 1)
    html = str(roofline.html(content.of([RUN, documents.other_machine()])))
    assert html.count('class="figure"') == 1
    assert "1 further roofline is not drawn" in html


def test_both_ceilings_are_told_with_intervals() -> None:
    """In the table under the shares."""
    html = str(section.html(FOUND))
    table = html[html.index("The ceilings themselves") : html.index("Roofline")]
    assert re.search(r"gemm, pytorch.*?GFLOP/s.*?interval", table, re.DOTALL)
    assert re.search(r"memory_bandwidth, pytorch.*?19.7 GB/s.*?interval", table, re.DOTALL)
