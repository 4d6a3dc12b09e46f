"""The same content as Markdown, JSON, PDF, and of too many results."""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlbench.analysis import frame, recommend, rows
from dlbench.cli import report
from dlbench.core.errors import MissingError, StoreError
from dlbench.core.types import LATENCY_LIMIT_OPTION
from dlbench.report import browser, build, content, formats, pdf, table
from dlbench.store import codec
from tests import builders, documents

RUN = documents.rich_run()


def test_markdown_has_verdict_numbers_and_failures() -> None:
    """A table a task, each row of as many cells as its head."""
    text = formats.markdown(content.of([RUN]))
    assert text.startswith("# ")
    assert "- **clear**: " in text
    assert "crashed: it broke" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count(" | ") for line in lines} == {6}


def test_markdown_and_json_name_what_bounds_each_case() -> None:
    """As the page does; of two machines each has its name."""
    words = (
        "resnet50 pytorch cpu fp32 inference b8: bound by data; reading, decoding and augmenting"
    )
    assert f"- **data**: {words} cost " in formats.markdown(content.of([RUN]))
    both = formats.plain(content.of([RUN, documents.other_machine()]))["bottlenecks"]
    assert [b["name"] for b in both] == ["data", "data"]
    assert len({b["sentence"] for b in both}) == 2
    assert all(b["sentence"].startswith(words) and b["sentence"].endswith(")") for b in both)


def test_hostile_markdown_stays_text() -> None:
    """No HTML, no link, no cell more than there are."""
    text = formats.markdown(content.of([documents.hostile_run()]))
    assert "<script" not in text.replace("\\<script", "")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count(" | ") for line in lines} == {6}


def test_json_is_strict_and_says_the_same() -> None:
    """No NaN, and the headline of the page."""
    plain = formats.plain(content.of([RUN]))
    again = json.loads(json.dumps(plain, allow_nan=False, default=str))
    assert again["headline"] == build.headline(content.of([RUN]))
    assert len(again["table"]["rows"]) == 15
    assert all(c["sentence"] for c in again["comparisons"])


def test_without_a_browser_a_pdf_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not a traceback."""
    monkeypatch.setattr(browser, "NAMES", ("no-such-browser",))
    with pytest.raises(MissingError, match="neither is on this machine") as error:
        pdf.printed("<p>")
    assert "apt install chromium" in error.value.advice


def test_too_many_results_are_shown_as_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians and spreads; no trial, no comparison, no ceiling of all machines together."""
    monkeypatch.setattr(content, "MOST_ROWS", 20)
    found = content.of([RUN, documents.other_machine()])
    assert found.collection is not None
    page = build.page(found)
    assert "26 results of 2 machines, medians by case" in page
    assert 'id="collection"' in page
    for name in ("throughput", "comparisons", "ceiling", "timeline", "environment"):
        assert f'<section id="{name}"' not in page
    assert "2 documents" in page
    made = table.of(found)
    assert {"n_results", "throughput_p5"} <= set(made["columns"])
    assert len(made["rows"]) == len(found.collection.groups) == 15
    at = made["columns"].index("n_trials")
    n_trials = sum(row.n_trials for row in rows.of([RUN, documents.other_machine()]))
    assert sum(row[at] for row in made["rows"]) == n_trials


def test_packed_rows_join_documents_without_doubling() -> None:
    """A document that is there twice counts once, with its trials."""
    packed = frame.of_rows(rows.of([RUN, documents.other_machine()]))
    found = content.of([RUN], [packed])
    assert len(found.rows) == 30
    assert found.n_documents == 2
    assert "Machine against machine" in build.page(found)


def test_rows_of_two_packed_files_count_once() -> None:
    """Of files that share a document: all its cases and trials were told twice."""
    packed = frame.results([RUN])
    alone = content.of([], [packed])
    both = content.of([], [packed, frame.results([RUN, documents.other_machine()])])
    assert len(alone.rows) == 15
    assert len(both.rows) == 30
    assert build.facts(content.of([], [packed, packed])) == build.facts(alone)


def test_a_packed_collection_alone_has_a_page() -> None:
    """Without trials there is no curve, but numbers and failures."""
    page = build.page(content.of([], [frame.results([RUN])]))
    assert 'id="throughput"' in page
    assert 'id="problems"' in page
    assert 'id="timeline"' not in page
    assert "crashed" in page


def test_a_collection_of_strange_strings_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are made of what strangers wrote, too."""
    monkeypatch.setattr(content, "MOST_ROWS", 5)
    page = build.page(content.of([documents.hostile_run(), replace(RUN, run_id="b")]))
    assert "<script>document" not in page
    assert "<img" not in page


def test_cases_that_differ_in_an_option_alone_are_told_apart_in_the_data() -> None:
    """Two limits of a server were two rows of one case with two speeds."""
    cases = [
        builders.case(scenario="server", options=((LATENCY_LIMIT_OPTION, ms), ("driver", "x")))
        for ms in ("10", "100")
    ]
    run = builders.run([builders.result(case, [0.01] * 3) for case in cases])
    made = table.of(content.of([run]))
    at = made["columns"].index("options")
    assert {row[at] for row in made["rows"]} == {
        "driver=x, latency_limit_ms=10",
        "driver=x, latency_limit_ms=100",
    }
    assert {len(row) for row in made["rows"]} == {len(made["columns"])}


def _saved(page: str) -> list[bytes]:
    """The documents that a page holds, as its buttons save them."""
    return [
        x.encode() for x in re.findall(r'id="data-document-\d+">(.*?)</script>', page, re.DOTALL)
    ]


def test_documents_are_saved_from_a_report_with_the_seal_that_they_had(tmp_path: Path) -> None:
    """Of an older version the hash was another; one that was edited was sealed anew, and held."""
    sealed = codec.encode_run(documents.other_machine())
    edited = tmp_path / "edited.json"
    edited.write_bytes(sealed.replace(b'"machine": "', b'"machine": "x'))
    older = Path("tests/golden/documents/v1-before-energy-windows.json")
    out = tmp_path / "out.html"
    report.report([older, edited], out=out)
    saved = _saved(out.read_text(encoding="utf-8"))
    hashes = [codec.stated_and_actual_sha256(text) for text in saved]
    assert hashes == [codec.stated_and_actual_sha256(p.read_bytes()) for p in (older, edited)]
    assert [stated == actual for stated, actual in hashes] == [True, False]
    assert _saved(build.build([RUN])) == [codec.encode_run(RUN)]


def test_a_report_of_several_documents_has_not_the_name_of_one() -> None:
    """It would overwrite that document's own report."""
    other = documents.other_machine()
    assert report._name(content.of([RUN])) == RUN.run_id
    assert report._name(content.of([other, RUN])) == f"{RUN.run_id}-and-1"
    assert report._name(content.of([])) == "collection"


def test_a_report_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the report of before, in each form; nothing stays beside it."""
    monkeypatch.setattr(pdf, "printed", lambda page: page.encode())
    monkeypatch.setattr(Path, "write_bytes", _half_then_full)
    for kind in report.Format:
        path = tmp_path / f"report.{kind}"
        path.write_text("before")
        with pytest.raises(StoreError, match="No space left") as refused:
            report._write(report._data(content.of([RUN]), kind), path)
        assert refused.value.advice == "Choose another file with --out."
        assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == len(report.Format)


def _half_then_full(path: Path, data: bytes) -> int:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_documents_are_the_evidence_of_a_need_however_many_results_they_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of more than can be read the page has medians; the answer forgot the documents with them."""
    monkeypatch.setattr(content, "MOST_ROWS", 5)
    given: list[object] = []

    def noted(_need: object, runs: object, *_: object, **__: object) -> SimpleNamespace:
        given.append(runs)
        return SimpleNamespace(front=())

    monkeypatch.setattr(recommend, "predictor", lambda runs, _: given.append(runs))
    monkeypatch.setattr(recommend, "recommend", noted)
    found = content.of([RUN])
    assert found.runs == ()
    report._with_answer(found, [RUN], Path("docs/needs/startup.toml"), [])
    assert given == [[RUN]] * 3
