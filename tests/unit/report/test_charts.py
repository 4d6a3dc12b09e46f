"""Figures for plotly: the values of the SVG, and words that stay words."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.core import units
from dlbench.core.types import Measured
from dlbench.report import build, charts, content, svg
from dlbench.report.sections import ceiling, comparisons, scaling, throughput
from tests import answers, documents

FOLDER = Path(charts.__file__).parent / "plotly_js"
LINEAR = svg.Axis(scale=svg.Scale(low=0, high=10), title="seconds")
LOG = svg.Axis(scale=svg.Scale(low=1, high=1000, log=True), title="samples/s")


def figures(page: str) -> list[dict[str, Any]]:
    """Every figure of a page, in order."""
    found = re.findall(r'<script type="application/json" class="figure">(.*?)</script>', page)
    return [json.loads(text) for text in found]


def strings(value: object) -> list[str]:
    """Every string in plain data."""
    if isinstance(value, dict):
        return [s for v in value.values() for s in strings(v)]
    if isinstance(value, list):
        return [s for v in value for s in strings(v)]
    return [value] if isinstance(value, str) else []


@given(st.text())
def test_a_label_holds_no_tag_and_no_template(text: str) -> None:
    """Nothing that plotly would read as HTML, and no %{...} that it would fill in."""
    shown = charts.label(text)
    assert not set("<>") & set(shown)
    assert "%{" not in shown
    assert not any(ord(c) < 32 for c in shown)


def test_a_label_is_what_it_was_once_read() -> None:
    """Markup and templates in names come out as they were written; only long ones are cut."""
    assert charts.label("a<b> & %{x}") == "a&lt;b&gt; &amp; %&#123;x}"
    assert charts.label("x" * 500) == "x" * 119 + "…"


def test_values_bounds_and_axes_are_those_given() -> None:
    """In their own units, on the scales of the SVG."""
    series = charts.Series(
        name="one",
        points=[(1.0, 10.0), (2.0, 123.4567891)],
        says=["a", "b"],
        colour=2,
        rows=[7, 9],
        mode="lines+markers",
        y_bounds=[(8.0, 13.0), None],
    )
    made = charts.figure([series], LINEAR, LOG)
    (trace,) = made.data
    assert trace["x"] == [1.0, 2.0]
    assert trace["y"] == [10.0, 123.457]
    assert trace["error_y"]["array"] == [3.0, None]
    assert trace["error_y"]["arrayminus"] == [2.0, None]
    assert "error_x" not in trace
    assert trace["meta"] == {"colour": 2, "rows": [7, 9]}
    assert trace["customdata"] == ["a", "b"]
    assert trace["marker"]["symbol"] == "triangle-up"
    assert made.layout["xaxis"]["range"] == [0, 10]
    assert made.layout["yaxis"]["type"] == "log"
    assert made.layout["yaxis"]["range"] == pytest.approx([0, 3])
    assert made.layout["yaxis"]["tickvals"] == [1, 10, 100, 1000]


def test_shades_keep_their_class() -> None:
    """The page's script colours them by it."""
    span = charts.Span(start=0.0, end=1.5, css="warm-up")
    (shape,) = charts.figure([], LINEAR, LINEAR, spans=[span]).layout["shapes"]
    assert (shape["name"], shape["x0"], shape["x1"]) == ("warm-up", 0, 1.5)


def test_every_svg_chart_has_its_figure() -> None:
    """As many as there are framed charts and tables of bars; an answer for each point."""
    found = replace(content.of([documents.rich_run()]), recommendation=answers.recommendation())
    page = build.page(found)
    made = figures(page)
    framed = page.count('<div class="plot ')
    tables = page.count('class="bars"') - page.count('class="panel singles"')
    assert framed > 10
    assert tables > 5
    assert len(made) == framed + tables + page.count('class="forest cards"')
    for figure in made:
        for trace in figure["data"]:
            assert len(trace["x"]) == len(trace["y"]) == len(trace["customdata"]) > 0
    assert page.count('id="plotly"') == 1


def test_the_figure_of_batches_has_the_rows_numbers() -> None:
    """Each point is a row's batch and throughput, and knows its row for the filter."""
    found = content.of([documents.rich_run()])
    (figure,) = figures(str(scaling.html(found)))
    (trace,) = figure["data"]
    rows = [found.rows[n] for n in trace["meta"]["rows"]]
    assert trace["x"] == [row.case.batch_size for row in rows] == [1, 2, 4, 8]
    speeds = [row.metrics["throughput_samples_per_s"] for row in rows]
    assert trace["y"] == pytest.approx([s.value for s in speeds if hasattr(s, "value")], rel=1e-5)


def test_the_figure_of_cost_against_time_has_the_ways_numbers() -> None:
    """Seconds and dollars of each way that has both, and the number by which limits grey it."""
    answer = answers.recommendation()
    page = build.page(replace(content.of([documents.rich_run()]), recommendation=answer))
    dots = next(t for f in figures(page) for t in f["data"] if "ways" in t["meta"])
    assert dots["meta"]["ways"] == [1, 2, 3, 4]
    assert answer.pick is not None
    assert dots["x"][0] == pytest.approx(getattr(answer.pick.time_s, "value", None), rel=1e-5)
    assert dots["y"][0] == pytest.approx(getattr(answer.pick.cost_usd, "value", None), rel=1e-5)
    assert units.duration(dots["x"][0]) in dots["customdata"][0]


def test_bars_are_the_numbers_of_their_lines() -> None:
    """Value and interval of each row with a number; estimated ones hatched, absent ones left out."""
    found = content.of([documents.rich_run()])
    made = figures(str(throughput.html(found)))
    bars = {figure["data"][0]["name"]: figure["data"][0] for figure in made}
    bar = bars["resnet50 inference"]
    speeds = [
        row.metrics["throughput_samples_per_s"]
        for row in found.rows
        if content.task(row.case) == "resnet50 inference"
    ]
    known = sorted((s for s in speeds if isinstance(s, Measured)), key=lambda s: -s.value)
    assert len(known) == len(speeds) - 1
    assert bar["x"] == pytest.approx([s.value for s in known], rel=1e-5)
    assert bar["y"] == list(range(len(known)))
    assert known[0].interval is not None
    assert bar["x"][0] + bar["error_x"]["array"][0] == pytest.approx(
        known[0].interval.high, rel=1e-4
    )
    assert bar["customdata"][0] == "Samples/s: 49.07 (47.66 – 50.53)"
    (share, *_) = figures(str(ceiling.html(found)))
    assert set(share["data"][0]["marker"]["pattern"]["shape"]) == {"/"}


def test_ratios_are_grouped_by_verdict() -> None:
    """A dot a comparison, in its line; what cannot be told is hollow."""
    found = content.of([documents.rich_run()])
    (figure,) = figures(str(comparisons.html(found)))
    dots = {line: x for t in figure["data"] for line, x in zip(t["y"], t["x"], strict=True)}
    ratios = [c.comparison.estimate.ratio for c in found.compared]
    assert [dots[n] for n in range(len(ratios))] == pytest.approx(ratios, rel=1e-5)
    hollow = {t["name"]: t["meta"]["hollow"][0] for t in figure["data"]}
    assert hollow == {"slower": False, "faster": False, "cannot tell": True}
    assert [s["name"] for s in figure["layout"]["shapes"]] == ["zone", "one"]


def test_hostile_words_are_escaped_for_plotly_too() -> None:
    """It reads HTML in labels: no string of any figure holds a tag or a template."""
    bad = answers.strange("".join(documents.HOSTILE))
    found = content.of([documents.hostile_run(), documents.other_machine()])
    made = figures(build.page(replace(found, recommendation=bad)))
    said = [s for figure in made for s in strings(figure)]
    assert any("&lt;script&gt;" in s for s in said)
    allowed = "%{customdata}<extra></extra>"
    assert all("<" not in s and "%{" not in s for s in said if s != allowed)


def test_the_bundle_is_the_published_one_of_the_packages_version() -> None:
    """Unchanged, and the same plotly.js as the Python package was made for."""
    from plotly import offline

    text = (FOLDER / "plotly-basic.min.js").read_bytes()
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(text).hexdigest() in page
    (version,) = re.findall(r"version \| ([\d.]+)", page)
    assert f"plotly.js (basic - minified) v{version}" in text[:100].decode()
    assert offline.get_plotlyjs_version() == version
    assert b"</script" not in text.lower()
    assert b"<!--" not in text
