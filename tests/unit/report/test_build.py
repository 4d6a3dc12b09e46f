"""The page: escaped, self-contained, byte-stable, honest about what is missing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dlbench.core.errors import UsageError
from dlbench.core.types import Absent, Estimated, Interval, Measured, Run
from dlbench.report import build, charts, render
from dlbench.report.sections import all_sections
from tests import builders

RUN = builders.sealed_run()
SKELETON = Path(__file__).parents[2] / "golden/report-skeleton.txt"

HOSTILE = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "</script><script>document.title='pwned'</script>",
    "<a href='javascript:alert(1)'>x</a>",
    "{{ 7 * 7 }}",
    "\u2028\u2029\u202e\x00\x1b[2J",
)


def hostile_run() -> Run:
    """A document whose every string was written by an enemy."""
    bad = "".join(HOSTILE)
    case = replace(RUN.results[0].case, framework=bad)
    other = replace(RUN.results[1].case, framework="tensorflow")
    results = (
        replace(RUN.results[0], case=case, stop_reason=bad, flags=(bad,)),
        replace(RUN.results[1], case=other),
        replace(RUN.results[2], trials=(replace(RUN.results[2].trials[0], log=bad),)),
    )
    outcome = replace(RUN.plan.skips[0].outcome, message=bad, advice=bad)
    skips = (replace(RUN.plan.skips[0], outcome=outcome),)
    return replace(
        RUN,
        run_id=bad,
        results=results,
        environment=replace(
            RUN.environment, machine=bad, facts={bad: bad}, versions={bad: Absent(reason=bad)}
        ),
        plan=replace(RUN.plan, skips=skips, tags=(bad,), cases=tuple(r.case for r in results)),
    )


class _Structure(HTMLParser):
    """Tags, ids and attributes of a page, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


def _parsed(page: str) -> _Structure:
    structure = _Structure()
    structure.feed(page)
    return structure


def test_no_runs_is_said() -> None:
    """A report of nothing has nothing to say."""
    with pytest.raises(UsageError, match="nothing to report"):
        build.build([])


def test_the_page_is_byte_stable() -> None:
    """The same documents give the same page, today and tomorrow."""
    assert build.build([RUN]) == build.build([RUN])


def test_the_verdict_is_the_headline() -> None:
    """Who is faster, by how much, with the interval, above everything else."""
    page = build.build([RUN])
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert headline.startswith("fake inference, fake, fp32, batch 2: PyTorch has 2.00x [")
    assert page.index("<h1>") < page.index('id="verdict"') < page.index('id="throughput"')


def test_scripts_run_by_hash_only_and_nothing_is_fetched() -> None:
    """Two scripts and data; the policy names exactly their hashes; no address anywhere."""
    page = build.build([RUN])
    structure = _parsed(page)
    policy = next(a["content"] or "" for t, a in structure.tags if a.get("http-equiv") is not None)
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    scripts = [
        text
        for (tag, attributes), text in zip(
            [x for x in structure.tags if x[0] == "script"], structure.scripts, strict=True
        )
        if attributes.get("type") != "application/json" and tag == "script"
    ]
    assert len(scripts) == 2
    for text in scripts:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for _, attributes in structure.tags:
        assert not (attributes.get("src") or "").startswith("http")
        assert (attributes.get("href") or "#").startswith("#")


def test_hostile_strings_stay_text() -> None:
    """No tag, attribute or script more than in the harmless page; no template is evaluated."""
    harmless, hostile = _parsed(build.build([RUN])), _parsed(build.build([hostile_run()]))
    assert [t for t, _ in hostile.tags if t in {"script", "img", "iframe", "style"}] == [
        t for t, _ in harmless.tags if t in {"script", "img", "iframe", "style"}
    ]
    for _, attributes in hostile.tags:
        assert not any(name.startswith("on") for name in attributes)
    page = build.build([hostile_run()])
    assert "<img src=x" not in page
    assert "{{ 7 * 7 }}" in page
    assert "'javascript:" not in page.replace("&#39;javascript:", "")


def test_json_in_a_script_cannot_end_it() -> None:
    """And is still the same JSON."""
    text = render.json_for_script({"x": "".join(HOSTILE)})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"x": "".join(HOSTILE)}


def test_labels_are_escaped_for_plotly() -> None:
    """Plotly reads some HTML in labels."""
    figure = charts.throughput([hostile_run()])
    assert figure is not None
    labels = [label for trace in figure["data"] for label in trace["y"]]
    assert any("&lt;script&gt;" in label for label in labels)
    assert not any("<script" in label or "<a " in label for label in labels)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Measured(value=12.345, n=3, source="x"), '<span class="measured">12.35</span>'),
        (
            Estimated(value=2.0, interval=Interval(low=1.0, high=3.0, level=0.95), method="m"),
            '<span class="estimated">≈ 2.000</span> <span class="interval">1.000 – 3.000</span>',
        ),
        (Absent(reason="no meter", remedy="buy one"), "no meter (buy one)"),
        (Absent(reason="n too small: 3"), ">n too small</span>"),
    ],
)
def test_each_kind_of_number_looks_different(
    value: Measured | Estimated | Absent, expected: str
) -> None:
    """Measured, estimated and absent can be told apart at a glance."""
    assert expected in render.cell(value)


def test_failures_and_skips_are_rows() -> None:
    """With their reasons and what to do."""
    page = build.build([RUN])
    section = page[page.index('id="problems"') : page.index('id="environment"')]
    assert "crashed" in section
    assert "JAX is not installed" in section
    assert "install it" in section


def test_a_run_of_failures_only_is_a_good_page() -> None:
    """No chart, no comparison, but what went wrong and where."""
    run = builders.run([RUN.results[2]])
    page = build.build([run])
    assert "<h1>0 cases measured</h1>" in page
    assert 'id="throughput"' not in page
    assert "it broke" in page


def test_the_commands_to_reproduce_quote_what_must_be() -> None:
    """A hostile framework name cannot become a second command."""
    from dlbench.report.sections import reproduce

    assert reproduce.command(RUN).startswith("dlbench run fake --framework pytorch,tensorflow")
    assert "'" in reproduce.command(hostile_run())


def test_the_structure_is_the_golden_one() -> None:
    """Sections, headings and ids; a change is a decision, made by updating the file."""
    structure = _parsed(build.build([RUN]))
    lines = [f"{tag} #{a['id']}" for tag, a in structure.tags if a.get("id")]
    lines += [f"section {s.ORDER} {s.TITLE}" for s in all_sections()]
    assert "\n".join(lines) + "\n" == SKELETON.read_text(encoding="utf-8")
