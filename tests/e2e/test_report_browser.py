"""The report in a real browser: what it shows, what it does, and what it never does."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dlbench.analysis.footprint import Given
from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.footprint import Bounds
from dlbench.core.recommendation import Recommendation
from dlbench.core.types import Estimated, Interval, Run
from dlbench.report import browser as installed
from dlbench.report import build, content, pdf
from dlbench.store import codec
from tests import answers, builders, documents, waiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page

BROWSER = installed.find()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt install chromium)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TIMEOUT_MS = 1000 * waiting.LIMIT_S


class Visit:
    """A page with everything it logged, threw and requested."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", self._refuse)

    def _refuse(self, dialog: Dialog) -> None:
        self.messages.append(dialog.message)
        dialog.dismiss()

    def shown(self, selector: str) -> int:
        """How many elements of that kind can be seen."""
        return self.page.locator(f"{selector}:visible").count()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        flags = [*installed.FLAGS, "--no-sandbox"]  # containers run tests as root
        running = started.chromium.launch(executable_path=BROWSER, args=flags, timeout=TIMEOUT_MS)
        yield running
        running.close()


Opened = Callable[..., Visit]


def _page(runs: tuple[Run, ...], answer: Recommendation | None) -> str:
    """The report of some runs, of the rich one by default."""
    if not runs and answer in (None, answers.recommendation()):
        return _usual_page(answered=answer is not None)
    return build.page(
        replace(content.of(runs or (documents.rich_run(),)), recommendation=answer),
    )


@functools.cache
def _usual_page(*, answered: bool) -> str:
    """The two that most tests open, each built once."""
    found = content.of((documents.rich_run(),))
    return build.page(replace(found, recommendation=answers.recommendation() if answered else None))


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Open the report of some runs, or a page, in a fresh profile."""
    contexts = []

    def opened(
        *runs: Run,
        fragment: str = "",
        answer: Recommendation | None = None,
        html: str = "",
        **settings: Any,
    ) -> Visit:
        path = tmp_path / "report.html"
        path.write_text(html or _page(runs, answer), encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **settings})
        contexts.append(context)
        visit = Visit(context.new_page())
        visit.page.goto(path.as_uri() + fragment)
        if settings.get("java_script_enabled", True):
            visit.page.wait_for_selector("html[data-ready]", state="attached")
        return visit

    yield opened
    for context in contexts:
        context.close()


def _clean(visit: Visit) -> None:
    """Nothing logged, nothing thrown, and only the file itself was opened."""
    assert visit.messages == []
    assert [r for r in visit.requests if not r.startswith("blob:")] == visit.requests[:1]
    assert visit.requests[0].startswith("file://")


def test_every_section_is_rendered(visit: Opened) -> None:
    """Each has a heading and content of some height, and bars, curves and whiskers are drawn."""
    v = visit()
    sections = v.page.locator("main > section")
    assert sections.count() >= 15
    assert all(box["height"] > 40 for box in (s.bounding_box() for s in sections.all()) if box)
    assert v.shown("section h2") == sections.count()
    assert v.shown(".bar.measured .fill") > 10
    assert v.shown(".bar.estimated .fill") >= 1
    assert v.shown(".bar.absent") >= 1
    assert v.shown(".area path.line") >= 4
    widths = [
        box["width"] for b in v.page.locator("#throughput .fill").all() if (box := b.bounding_box())
    ]
    assert max(widths) > 100
    _clean(v)


def test_a_bar_is_as_long_as_its_number(visit: Opened) -> None:
    """Half the throughput is half the width, in pixels."""
    v = visit(builders.sealed_run())
    rows = v.page.locator("#throughput tbody tr:has(.fill)").all()
    numbers = [float(row.locator("span.measured").first.inner_text()) for row in rows]
    boxes = [row.locator(".fill").bounding_box() for row in rows]
    widths = [box["width"] for box in boxes if box]
    assert widths[1] / widths[0] == pytest.approx(numbers[1] / numbers[0], rel=0.02)


def test_the_filter_does_what_it_says(visit: Opened) -> None:
    """Rows of the other framework go, in tables, charts and comparisons; the count says so."""
    v = visit()
    before = v.shown("#throughput tbody tr")
    v.page.locator("#filters summary").click()
    v.page.get_by_role("checkbox", name="TensorFlow").uncheck()
    assert v.page.locator("#shown").inner_text() == "13 of 15 cases are shown"
    assert v.shown("#throughput tbody tr") == before - 2
    assert v.shown("#throughput th:has-text('TensorFlow')") == 0
    assert v.shown("#comparisons td:has-text('TensorFlow')") == 0
    v.page.get_by_role("checkbox", name="training").uncheck()
    assert v.shown("#throughput h3:has-text('resnet50 training')") == 0
    v.page.get_by_role("button", name="Show all").click()
    v.page.get_by_text("all 15 cases are shown").wait_for()
    assert v.shown("#throughput tbody tr") == before
    _clean(v)


def test_a_view_can_be_sent_as_a_link(visit: Opened) -> None:
    """The address holds the filter and the trial; opened again it shows the same."""
    v = visit()
    v.page.locator("#filters summary").click()
    v.page.get_by_role("checkbox", name="PyTorch").uncheck()
    choices = v.page.locator("#trial option:not([disabled])")
    v.page.locator("#trial").select_option(choices.nth(1).get_attribute("value"))
    fragment = "#" + v.page.url.partition("#")[2]
    assert "framework=" in fragment
    again = visit(fragment=fragment)
    assert again.page.locator("#shown").inner_text() == v.page.locator("#shown").inner_text()
    assert again.page.locator("#trial").input_value() == v.page.locator("#trial").input_value()
    assert again.shown("#throughput th:has-text('PyTorch')") == 0
    for nonsense in ("#framework=%5B&trial=-1&at=../x", "#framework=7&a=b=c", "#%E0%A4%A"):
        assert visit(fragment=nonsense).messages == []


def _slide(v: Visit, name: str, position: int) -> None:
    v.page.locator(name).evaluate(
        "(e, x) => { e.value = x; e.dispatchEvent(new Event('input', {bubbles: true})) }", position
    )


def test_the_page_begins_with_the_verdicts_pick(visit: Opened) -> None:
    """Its upper end (28 h) is beyond the deadline, nine in ten outcomes (26 h) are not."""
    answer = answers.recommendation()
    v = visit(answer=replace(answer, need=replace(answer.need, deadline_h=27.0)))
    assert (
        v.page.locator("#ranked")
        .inner_text()
        .startswith("4 of 4 ways; best in cost: No. 1, 1 x L4")
    )
    assert v.page.locator("[data-fits='1']").inner_text() == "keeps both"


def test_the_page_tells_a_span_of_time_as_everything_else_does(visit: Opened) -> None:
    """The slider's deadline and the table's times are read side by side: 119 s is not 1 min."""
    script = Path(build.__file__).with_name("report.js").read_text(encoding="utf-8")
    function = re.search(r"function duration\(s\) \{.*?\n  \}\n", script, re.DOTALL)
    assert function is not None
    spans_s = [5e-5, 0.0123, 0.9996, 4.56, 59.2, 60, 119, 3599.4, 3599.6, 3600, 108_000, 450_060]
    told = visit(answer=answers.recommendation()).page.evaluate(
        f"({spans_s}).map({function.group()})"
    )
    assert told == [units.duration(s) for s in spans_s]
    assert told[6] == "1 min 59 s"


def test_deadline_and_budget_rank_again(visit: Opened) -> None:
    """Tighter limits put ways behind and grey; the chart's lines follow; a link keeps it."""
    v = visit(answer=answers.recommendation())
    numbers = "Array.from(document.querySelectorAll('#ways tr'), (row) => row.dataset.way).join()"
    said = v.page.locator("#ranked")
    assert v.page.evaluate(numbers) == "1,2,3,4"
    assert said.inner_text().startswith("4 of 4 ways; best in cost: No. 1, 1 x L4")
    assert v.page.locator("#deadline-word").inner_text() == "30 h 00 min"
    _slide(v, "#deadline", 50)
    assert v.page.evaluate(numbers) == "3,4,1,2"
    assert "late" in v.page.locator("[data-fits='1']").inner_text()
    assert v.page.locator("[data-dot='1'].over").count() == 1
    assert v.page.locator("#limit-time line").get_attribute("x1") != "100%"
    v.page.locator("#rank-by").select_option("time")
    assert v.page.evaluate(numbers) == "3,4,2,1"
    fragment = "#" + v.page.url.partition("#")[2]
    again = visit(answer=answers.recommendation(), fragment=fragment)
    assert again.page.evaluate(numbers) == v.page.evaluate(numbers)
    assert again.page.locator("#ranked").inner_text() == said.inner_text()
    _slide(v, "#deadline", 0)
    assert said.inner_text() == "None of these 4 ways keeps both limits."
    _slide(v, "#deadline", 100)
    _slide(v, "#budget", 100)
    assert v.page.locator("#deadline-word").inner_text() == "no limit"
    assert v.shown("#limit-time line") == 0
    _clean(v)


def _live(v: Visit, section: str) -> Locator:
    """The first chart of a section, once it has become plotly's."""
    v.page.locator(f"#{section} .plot:visible").first.scroll_into_view_if_needed()
    chart = v.page.locator(f"#{section} .plot.live .chart .main-svg").first
    chart.wait_for()
    return v.page.locator(f"#{section} .plot.live").first


def test_a_chart_in_view_becomes_plotly(visit: Opened) -> None:
    """With its words, without logo or link; not before it is near; and nothing is fetched."""
    v = visit()
    assert v.page.locator(".plot.live").count() == 0
    words = v.page.locator("#latency .area").first.get_attribute("aria-label")
    plot = _live(v, "latency")
    assert plot.locator(".chart").get_attribute("aria-label") == words
    assert not plot.locator(".area").is_visible()
    assert v.page.locator(".plot.live").count() < v.page.locator(".plot").count()
    assert v.page.locator(".modebar-btn--logo, .plotlyjsicon, .chart a").count() == 0
    _clean(v)


def _point_at(v: Visit, x: float, y: float, said: Locator) -> None:
    """Until the chart answers: one that is drawn again under a pointer at rest says nothing."""

    def answered() -> bool:
        v.page.mouse.move(x - 1, y)
        v.page.mouse.move(x, y)
        return said.is_visible()

    waiting.until(answered)


def test_pointing_at_a_dot_says_its_numbers(visit: Opened) -> None:
    """The batch and the throughput of the table beside."""
    v = visit()
    plot = _live(v, "scaling")
    dot = plot.locator(".points path").first.bounding_box()
    assert dot is not None
    said = plot.locator(".hoverlayer .hovertext")
    _point_at(v, dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2, said)
    number = v.page.locator("#scaling td .measured").first.inner_text()
    assert (said.text_content() or "").endswith(f"batch 1: {number} samples/s")
    _clean(v)


def _colours(plot: Locator) -> list[str]:
    """Of a dot and a number, with the chart in view: what is out of view is drawn once it is back."""
    plot.scroll_into_view_if_needed()
    dot, text = plot.locator(".points path").first, plot.locator(".xtick text").first
    return [e.evaluate("(e) => getComputedStyle(e).fill") for e in (dot, text)]


def test_charts_change_with_light_and_dark(visit: Opened) -> None:
    """By the switch and by the system; back again is as before."""
    v = visit(color_scheme="light")
    plot = _live(v, "scaling")
    light = _colours(plot)
    v.page.get_by_role("button", name="Dark").click()
    waiting.until(lambda: all(a != b for a, b in zip(light, _colours(plot), strict=True)))
    dark = _colours(plot)
    v.page.get_by_role("button", name="Light").click()
    waiting.until(lambda: _colours(plot) == light)
    other = _live(visit(color_scheme="dark"), "scaling")
    waiting.until(lambda: _colours(other) == dark)


def test_the_filter_holds_for_plotly_too(visit: Opened) -> None:
    """Unticked batches leave the chart; as many curves stay as the SVG underneath has."""
    v = visit()
    dots = _live(v, "scaling").locator(".points path")
    _live(v, "latency")
    lines = v.page.locator("#latency .live .js-line")
    kept = v.page.locator("#latency .plot.live .area g[data-r]:not([hidden])")
    n_lines = lines.count()
    assert n_lines == kept.count()
    assert dots.count() == 4
    v.page.locator("#filters summary").click()
    v.page.locator("#filters input[name=batch]").nth(1).uncheck()
    v.page.get_by_role("checkbox", name="TensorFlow").uncheck()
    v.page.locator("#filters summary").click()
    v.page.locator("#scaling .live").first.scroll_into_view_if_needed()
    waiting.until(lambda: dots.count() == 3)
    v.page.locator("#latency .live").first.scroll_into_view_if_needed()
    left = v.page.locator("#latency .plot.live:visible .js-line")
    waiting.until(lambda: left.count() == kept.count() < n_lines)
    _clean(v)


def test_batches_leave_drawing_chart_and_table_alike(visit: Opened) -> None:
    """Of batches 1, 2, 4 and 8 without 2: no line over the gap, drawn by plotly or not."""
    v = visit()
    figure = v.page.locator("#scaling figure")
    chart = figure.locator(".chart")
    segments = figure.locator(".area g[data-r]:not([hidden])")
    lines = figure.locator("tbody tr:visible")
    _live(v, "scaling")
    assert (segments.count(), chart.locator(".points path").count(), lines.count()) == (3, 4, 4)
    joins = "(lines) => lines.map((e) => e.getAttribute('d')).join('').split('L').length - 1"
    assert chart.locator(".js-line").evaluate_all(joins) == 3
    v.page.locator("#filters summary").click()
    v.page.locator("#filters input[name=batch][value='1']").uncheck()
    v.page.locator("#filters summary").click()
    figure.scroll_into_view_if_needed()
    waiting.until(lambda: chart.locator(".points path").count() == 3)
    assert (segments.count(), lines.count()) == (1, 3)
    assert chart.locator(".js-line").evaluate_all(joins) == 1
    v.page.emulate_media(media="print")
    assert v.shown("#scaling .area .point") == 3
    assert segments.count() == 1
    _clean(v)


def test_a_series_can_be_switched_off(visit: Opened) -> None:
    """By its entry in the list over the chart, which says so; the others stay."""
    v = visit()
    figure = v.page.locator("#latency figure:has(.legend li:nth-child(2))").first
    figure.locator(".plot").scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    lines = figure.locator(".js-line")
    before = lines.count()
    switch = figure.locator(".legend button").first
    switch.press("Enter")
    assert switch.get_attribute("aria-pressed") == "false"
    waiting.until(lambda: lines.count() == before - 1)
    switch.press("Enter")
    waiting.until(lambda: lines.count() == before)
    _clean(v)


def test_limits_move_in_plotly_too(visit: Opened) -> None:
    """A tighter deadline greys the dots that are late, and moves its line."""
    v = visit(answer=answers.recommendation())
    plot = _live(v, "recommendation")
    grey = "(all) => all.map((e) => Number(e.style.opacity) < 1)"
    dots, lines = plot.locator(".points path"), plot.locator(".shapelayer path")
    assert dots.evaluate_all(grey) == [False] * 4
    before = lines.first.get_attribute("d")
    _slide(v, "#deadline", 50)
    waiting.until(lambda: dots.evaluate_all(grey) == [True, True, False, False])
    assert lines.first.get_attribute("d") != before
    _clean(v)


def test_a_chart_is_saved_as_a_picture(visit: Opened, tmp_path: Path) -> None:
    """From plotly's own bar, made in the page: a PNG of 2000 pixels, and no request."""
    v = visit()
    plot = _live(v, "scaling")
    plot.hover()
    with v.page.expect_download() as download:
        plot.get_by_role("button", name="Save as PNG").click()
    path = tmp_path / "chart.png"
    download.value.save_as(path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") == 2000
    _clean(v)


def test_bars_of_a_table_become_plotly_where_they_stand(visit: Opened) -> None:
    """As long as the SVG's, each in its line; on a phone, where they stand alone, they stay SVG."""
    v = visit()
    panel = v.page.locator("#throughput .panel:has(tr:nth-child(3))").first
    panel.scroll_into_view_if_needed()
    panel.locator(".chart .point path").first.wait_for()
    drawn = [b.bounding_box() for b in panel.locator(".chart .point path").all()]
    below = [b.bounding_box() for b in panel.locator(".bar .fill").all()]
    assert len(drawn) == len(below) > 3
    for over, under in zip(drawn, below, strict=True):
        assert over is not None
        assert under is not None
        for side in ("x", "y", "width", "height"):
            assert over[side] == pytest.approx(under[side], abs=2)
    assert not panel.locator(".bar .fill").first.is_visible()
    v.page.set_viewport_size({"width": 400, "height": 900})
    panel.locator(".bar .fill >> visible=true").first.wait_for()
    assert not panel.locator(".chart").is_visible()
    _clean(v)


def test_bars_follow_the_filter(visit: Opened) -> None:
    """What is unticked leaves, and the rest moves up with its lines; a bar says its number."""
    v = visit()
    panel = v.page.locator("#throughput .panel:has(tr:nth-child(3))").first
    panel.scroll_into_view_if_needed()
    bars = panel.locator(".chart .point path:not([d='M0,0Z'])")  # that is plotly's no bar
    bars.first.wait_for()
    before = bars.count()
    v.page.locator("#filters summary").click()
    v.page.get_by_role("checkbox", name="TensorFlow").uncheck()
    v.page.locator("#filters summary").click()
    panel.scroll_into_view_if_needed()
    line = panel.locator("tbody tr:visible").first

    def within() -> bool:
        row, bar = line.bounding_box(), bars.first.bounding_box()
        assert row is not None
        assert bar is not None
        return row["y"] < bar["y"] < bar["y"] + bar["height"] < row["y"] + row["height"]

    waiting.until(lambda: bars.count() == before - 1 and within())
    bar = bars.first.bounding_box()
    assert bar is not None
    said = panel.locator(".hoverlayer .hovertext")
    _point_at(v, bar["x"] + bar["width"] - 3, bar["y"] + bar["height"] / 2, said)
    number = line.locator("span.measured").first.inner_text()
    assert (said.text_content() or "").startswith(f"Samples/s: {number} (")
    _clean(v)


@pytest.mark.parametrize("width", [360, 1000, 1200])
def test_tasks_of_one_case_are_rows_that_do_what_charts_do(visit: Opened, width: int) -> None:
    """No bar and no axis; the filter takes rows and at last the table; on paper all of it stands."""
    v = visit(documents.one_case_a_task(), viewport={"width": width, "height": 900})
    table, rows = "#throughput .singles", "#throughput .singles tbody tr"
    assert (v.shown(table), v.shown(rows)) == (1, 4)
    assert v.shown("#throughput svg") == v.shown("#throughput .chart-cell") == 0
    assert v.page.locator(rows).first.locator("th").inner_text().splitlines()[0] == "gemm inference"
    assert v.shown(f"{rows}:has-text('TensorFlow, cpu, fp32, batch 8'):has-text('not_steady')") == 1
    assert v.page.evaluate("document.documentElement.scrollWidth") <= width
    for cell in v.page.locator(".singles tbody tr:first-child > *").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
    v.page.locator("#filters summary").click()
    v.page.get_by_role("checkbox", name="training").uncheck()
    assert v.shown(rows) == 3
    assert v.shown(f"{rows}:has-text('training')") == 0
    v.page.emulate_media(media="print")
    assert v.shown(rows) == 3
    assert v.shown("#memory .why li") >= 1
    v.page.emulate_media(media="screen")
    v.page.get_by_role("checkbox", name="inference").uncheck()
    assert v.shown(table) == 0
    _clean(v)


def test_where_plotly_fails_the_svg_stands(visit: Opened) -> None:
    """A figure that cannot be drawn leaves the chart as it was."""
    v = visit()
    v.page.evaluate("document.querySelector('#scaling .figure').textContent = '{'")
    v.page.locator("#scaling .plot").scroll_into_view_if_needed()
    _live(v, "timeline")
    assert v.page.locator("#scaling .area").is_visible()
    assert v.page.locator("#scaling .chart").count() == 0
    _clean(v)


def test_another_trial_can_be_chosen(visit: Opened) -> None:
    """Exactly one is in view, and it is the chosen one."""
    v = visit()
    assert v.shown("figure.trial") == 1
    v.page.locator("#trial").select_option(index=3)
    chosen = v.page.locator("#trial option:checked").inner_text()
    assert v.shown("figure.trial") == 1
    caption = v.page.locator("figure.trial:visible figcaption").inner_text()
    assert caption.startswith(chosen)


def test_dark_mode_follows_the_system_and_the_switch(visit: Opened) -> None:
    """Ground, text and bars change; the button says what it would do."""

    def look(v: Visit) -> list[str]:
        return [
            v.page.evaluate(f"getComputedStyle(document.querySelector('{s}')).{p}")
            for s, p in (("body", "backgroundColor"), ("h1", "color"), (".fill", "fill"))
        ]

    light, dark = visit(color_scheme="light"), visit(color_scheme="dark")
    in_light, in_dark = look(light), look(dark)
    assert all(a != b for a, b in zip(in_light, in_dark, strict=True))
    button = light.page.get_by_role("button", name="Dark")
    button.click()
    assert look(light) == in_dark
    light.page.get_by_role("button", name="Light").click()
    assert look(light) == in_light


def test_print_is_light_without_controls(visit: Opened) -> None:
    """On paper: dark ink, no filter, no button; and it fits the page."""
    v = visit(answer=answers.recommendation(), color_scheme="dark")
    _live(v, "scaling")
    v.page.emulate_media(media="print")
    assert v.shown(".chart") == 0
    assert v.shown("#scaling .area") == 1
    assert v.shown("#throughput .fill") > 3
    pick = "getComputedStyle(document.querySelector('tr.pick > th')).backgroundColor"
    assert v.page.evaluate(pick) == "rgb(232, 244, 239)"
    assert v.shown("#limits") == 0
    assert (
        v.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert v.shown("button") == v.shown("nav") == v.shown("#filters") == 0
    assert v.page.pdf(format="A4").startswith(b"%PDF-")


def test_the_command_prints_a_pdf() -> None:
    """Of several pages, from the same page as HTML."""
    data = pdf.printed(build.build([documents.rich_run()]))
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 3


WIDTHS = (
    1200, 320, 360, 480, 600, 768, 900, 980, 1000, 1024, 1100, 1140, 1200, 1220, 1280, 1440, 1600,
    1919, 1920, 3840,
)  # fmt: skip
"""Of windows in pixels: a usual one, in which a chart is drawn first, then a phone to 4K."""

SMALL_QUERIES = {
    "energy_j_per_sample": (1.326e-5, 1.478e-5, 1.632e-5),
    "samples_per_j": (61_275.0, 67_659.0, 75_415.0),
    "net_energy_j_per_sample": (1.142e-5, 1.294e-5, 1.451e-5),
    "host_energy_j_per_sample": (1.126e-5, 1.278e-5, 1.432e-5),
}
"""Energy as of a recommender's query on a large card, in long numbers: lowest, value, highest."""

PLACED = Given(
    intensity_g_per_kwh=Bounds(low=98.0, high=269.0, source="a test"),
    pue=Bounds(low=1.08, high=1.1, source="a test"),
    tariff_usd_per_kwh=Bounds(low=0.3, high=0.3, source="a test"),
)


def _small_queries(row: Row, *, host: bool) -> Row:
    """The row with long numbers for energy; with its host's too, or without."""
    named = {
        name: Estimated(value=value, interval=Interval(low=low, high=high, level=0.95), method="-")
        for name, (low, value, high) in SMALL_QUERIES.items()
        if host or not name.startswith("host")
    }
    return replace(row, metrics={**row.metrics, **named})


def _over(v: Visit, width: int) -> dict[str, int]:
    """By how many pixels the page, and each table with bars its card, is too wide at that width."""
    v.page.set_viewport_size({"width": width, "height": 900})
    over: dict[str, int] = v.page.evaluate(
        """async () => {
             // Charts are drawn again between one frame and the next.
             for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
             const root = document.documentElement;
             const over = { page: root.scrollWidth - root.clientWidth };
             for (const card of document.querySelectorAll(".panel")) {
               const name = card.closest("section").id + ": " + card.querySelector("h3").textContent;
               const n_px = card.querySelector("table").offsetWidth - card.clientWidth;
               over[name] = Math.max(over[name] ?? 0, n_px);
             }
             return over;
           }"""
    )
    return {name: n_px for name, n_px in over.items() if n_px > 0}


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("given", [Given(), PLACED], ids=["nowhere", "placed"])
def test_the_page_never_scrolls_sideways(visit: Opened, given: Given, *, host: bool) -> None:
    """From a phone to 4K, with five to eight numbers a bar; wide tables scroll in their own region."""
    found = content.of((documents.rich_run(),), given=given)
    rows = tuple(_small_queries(row, host=host) if row.n_trials else row for row in found.rows)
    answered = replace(found, rows=rows, recommendation=answers.recommendation())
    v = visit(html=build.page(answered))
    numbers = v.page.locator("#energy .panel:has(.bar)").first.locator("thead .number")
    assert numbers.count() == 5 + host + 2 * (given is PLACED)
    v.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    drawn = v.page.locator("#throughput .panel").first
    drawn.scroll_into_view_if_needed()
    drawn.locator(".chart .point path").first.wait_for()
    # Out of view it is not drawn again at once.
    v.page.evaluate("window.scrollTo({ top: 0, behavior: 'instant' })")
    assert {width: over for width in WIDTHS if (over := _over(v, width))} == {}
    _clean(v)


@pytest.mark.parametrize(
    ("width", "beside"),
    [(1200, False), (1280, True), (1920, True)],
    ids=["narrow", "usual", "large"],
)
def test_bars_stand_beside_seven_numbers_where_they_have_room(
    visit: Opened, width: int, *, beside: bool
) -> None:
    """In one line with them then, and wide enough to read; under the name else, as wide as the card."""
    found = content.of((documents.rich_run(),), given=PLACED)
    v = visit(html=build.page(found), viewport={"width": width, "height": 900})
    card = v.page.locator("#energy .panel:has(.bar)").first
    name, bar, last = (
        card.locator(f"tbody tr:first-child > {part}").bounding_box()
        for part in ("th", ".chart-cell", "td:last-child")
    )
    assert name is not None
    assert bar is not None
    assert last is not None
    assert (last["x"] >= bar["x"] + bar["width"] >= name["x"] + name["width"]) == beside
    assert (last["y"] >= bar["y"] + bar["height"] > name["y"] + name["height"]) != beside
    assert bar["width"] > (250 if beside else 1000)


def _cut_off(v: Visit) -> list[str]:
    """Elements with text that is wider than its box, where the box neither scrolls nor lets it out."""
    found: list[str] = v.page.evaluate(
        """() => Array.from(document.querySelectorAll("main *, header *")).filter((e) => {
             const css = getComputedStyle(e), hides = /hidden|clip/.test(css.overflowX);
             return hides && e.scrollWidth > e.clientWidth + 1 && e.innerText
               && !e.matches(".hidden, .hidden *, .plot.live, svg, svg *, .js-plotly-plot *");
           }).map((e) => e.outerHTML.slice(0, 120))"""
    )
    return found


@pytest.mark.parametrize("name", ["rich", "strange"])
def test_at_400_per_cent_everything_flows_in_one_column(visit: Opened, name: str) -> None:
    """A window of 1280 pixels has 320 of CSS then (WCAG 1.4.10): wide tables alone scroll."""
    run = documents.rich_run() if name == "rich" else documents.strange_run(documents.SCRIPTS)
    v = visit(
        run,
        answer=answers.recommendation(),
        viewport={"width": 320, "height": 256},
        device_scale_factor=4,
    )
    v.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    _live(v, "latency")
    assert v.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert _cut_off(v) == []
    for selector in (".verdicts li", "#throughput tbody tr", "#comparisons tbody tr", "#ways tr"):
        box = v.page.locator(selector).first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
    _clean(v)


def test_text_of_twice_the_size_loses_nothing(visit: Opened) -> None:
    """By the reader's own setting of the font (WCAG 1.4.4): in charts too, and nothing is cut off."""
    v = visit(answer=answers.recommendation())
    plot = _live(v, "latency")
    tick = "(e) => parseFloat(getComputedStyle(e).fontSize)"
    labels = [plot.locator(name).first for name in (".xtick text", ".xtitle")]
    small = [label.evaluate(tick) for label in labels]
    height = plot.locator(".main-svg").first.bounding_box()
    v.page.evaluate("document.documentElement.style.fontSize = '200%'")
    plot.scroll_into_view_if_needed()
    twice = pytest.approx([2 * x for x in small])
    waiting.until(lambda: [label.evaluate(tick) for label in labels] == twice)
    assert v.page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert _cut_off(v) == []
    taller = plot.locator(".main-svg").first.bounding_box()
    assert height is not None
    assert taller is not None
    assert taller["height"] == pytest.approx(2 * height["height"], rel=0.02)
    drawn = v.page.locator("#scaling .area text").first.evaluate(tick)
    assert drawn == pytest.approx(2 * 12)
    _clean(v)


def test_nothing_moves_for_those_who_want_no_motion(visit: Opened) -> None:
    """Jumps are jumps, and plotly's bar does not fade; for the others the page scrolls smoothly."""

    def motion(v: Visit) -> tuple[str, str]:
        _live(v, "latency")
        return (
            v.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior"),
            v.page.locator("#latency .modebar").first.evaluate(
                "(e) => getComputedStyle(e).transitionProperty"
            ),
        )

    still, moving = visit(reduced_motion="reduce"), visit(reduced_motion="no-preference")
    assert motion(still) == ("auto", "none")
    assert motion(moving)[0] == "smooth"
    moves = """Array.from(document.querySelectorAll("*")).filter((e) => {
      const css = getComputedStyle(e);
      const fades = css.transitionProperty !== "none" && parseFloat(css.transitionDuration) > 0;
      return fades || css.animationName !== "none";
    }).map((e) => e.outerHTML.slice(0, 120))"""
    assert still.page.evaluate(moves) == []


def test_without_javascript_verdict_and_tables_stand(visit: Opened) -> None:
    """And charts too; nothing that would not work is offered."""
    v = visit(answer=answers.recommendation(), java_script_enabled=False)
    assert v.shown(".verdicts li") >= 1
    assert v.shown("#throughput tbody tr") >= 10
    assert v.shown(".area path.line") >= 1
    assert v.page.locator(".chart").count() == 0
    assert v.shown("tr[data-way]") == 4
    assert v.shown("[data-dot]") == 4
    assert v.shown("button") == v.shown("input") == 0
    assert v.shown("#filters") == 0


def test_the_data_can_be_saved(visit: Opened, tmp_path: Path) -> None:
    """CSV and JSON agree, and the document is the sealed one."""
    run = documents.rich_run()
    v = visit(run)
    saved = {}
    for name in ("Save as CSV", "Save as JSON", "Save document"):
        with v.page.expect_download() as download:
            v.page.get_by_role("button", name=name).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        saved[name] = path.read_bytes()
    rows = json.loads(saved["Save as JSON"])
    table = list(csv.DictReader(io.StringIO(saved["Save as CSV"].decode(), newline="")))
    assert len(rows) == len(table) == 15
    for row, line in zip(rows, table, strict=True):
        assert {k: "" if x is None else x for k, x in row.items() if isinstance(x, str | None)} == {
            k: line[k] for k, x in row.items() if isinstance(x, str | None)
        }
        speed = row["throughput_samples_per_s"]
        assert (
            line["throughput_samples_per_s"] == ""
            if speed is None
            else float(line["throughput_samples_per_s"]) == pytest.approx(speed)
        )
    assert codec.decode_run(saved["Save document"], "saved") == run
    _clean(v)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_is_saved_as_text(visit: Opened, tmp_path: Path, first: str) -> None:
    """A spreadsheet that opens the CSV runs nothing of what a stranger wrote."""
    v = visit(documents.strange_run(first + "cmd|' /C calc'!A0"))
    with v.page.expect_download() as download:
        v.page.get_by_role("button", name="Save as CSV").click()
    path = tmp_path / "saved.csv"
    download.value.save_as(path)
    cells = [c for row in csv.reader(path.open(encoding="utf-8", newline="")) for c in row]
    assert "'" + first + "cmd|' /C calc'!A0" in cells
    assert not any(c[:1] == first and "cmd" in c for c in cells)


def test_hostile_documents_run_nothing(visit: Opened) -> None:
    """No script of theirs runs, no style of theirs holds, no request leaves, no policy is needed."""
    bad = answers.strange("".join(documents.HOSTILE))
    v = visit(documents.hostile_run(), documents.other_machine(), answer=bad)
    assert v.page.title().startswith("dlbench: ")
    assert "pwned" not in v.page.evaluate("String(window.name) + document.cookie")
    v.page.get_by_role("button", name="Dark").click()
    v.page.locator("#filters summary").click()
    v.page.locator("#filters input").first.uncheck()
    v.page.hover("main h2 >> nth=2")
    for section in ("latency", "scaling", "timeline"):
        _live(v, section).hover()
    assert v.page.title().startswith("dlbench: ")
    assert v.page.locator("img, iframe, link, a:not([href^='#']), svg a").count() == 0
    assert v.shown("main h2") > 5
    _clean(v)


@pytest.mark.parametrize("dark_and_wide", [False, True])
def test_axe_finds_no_violation(visit: Opened, *, dark_and_wide: bool) -> None:
    """WCAG 2.2 A and AA, and the good practices that axe knows; each section in one of the two."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe is not installed")
    v = (
        visit(
            builders.sealed_run(),
            documents.other_machine(),
            color_scheme="dark",
            viewport={"width": 1200, "height": 900},
        )
        if dark_and_wide
        else visit(answer=answers.recommendation(), viewport={"width": 360, "height": 780})
    )
    v.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    for section in ("latency", "scaling", "timeline"):
        _live(v, section)
    # Evaluated by the browser's debugger, which the page's policy does not bind.
    v.page.evaluate(axe.AXE_SCRIPT)
    found = v.page.evaluate(
        "axe.run({runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa','best-practice']})"
    )
    violations = [
        (x["id"], x["help"], [n["html"][:200] for n in x["nodes"][:3]]) for x in found["violations"]
    ]
    assert violations == []
    assert len(found["passes"]) > 20


def test_all_of_it_can_be_reached_by_keyboard(visit: Opened) -> None:
    """The skip link first, a visible focus, and a filter that works by keys."""
    v = visit()
    v.page.keyboard.press("Tab")
    assert v.page.evaluate("document.activeElement.className") == "skip"
    assert v.page.locator(".skip").bounding_box() is not None
    v.page.keyboard.press("Tab")
    outline = v.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    v.page.locator("#filters summary").focus()
    v.page.keyboard.press("Enter")
    v.page.keyboard.press("Tab")
    v.page.keyboard.press("Space")
    assert re.match(r"\d+ of 15", v.page.locator("#shown").inner_text())


@pytest.mark.parametrize(
    "run",
    [
        documents.empty_run(),
        builders.run([builders.sealed_run().results[2]]),
        documents.strange_run(documents.SCRIPTS),
    ],
    ids=["no results", "only failures", "every script"],
)
def test_bad_input_gives_a_good_page(visit: Opened, run: Run) -> None:
    """A verdict in words, no error, and nothing that runs out of the window of a phone."""
    v = visit(run, viewport={"width": 360, "height": 780})
    assert len(v.page.locator("#verdict").inner_text()) > 40
    assert v.page.evaluate("document.documentElement.scrollWidth") <= 360
    _clean(v)
