"""The example that the repository shows is the report of documents that it ships."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from dlbench.report import build, content
from dlbench.report.sections import data
from dlbench.store import runs

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "reports/example.html"
AGAIN = "the example is of another day: make example"

MOST_BYTES = 2_500_000
"""Of the page itself, of which plotly's bundle is 1.2 MB (decision 0045). Documents come on top."""


def _parts(page: str) -> list[str]:
    """Headline, sections in order, and every document inside."""
    return [
        *re.findall(r"<h1>.*?</h1>", page),
        *re.findall(r'<section id="\w+"', page),
        *re.findall(r'<script type="application/json" id="data-document-\d+">.*?</script>', page),
    ]


def _documents() -> list[Path]:
    """What ``make example`` is made of."""
    found = re.search(r"^EXAMPLE := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return [ROOT / name for name in found[1].split()]


def test_the_example_is_of_published_documents() -> None:
    """Same headline, same sections, same sealed documents as a report that is made now."""
    documents = _documents()
    found = content.of(runs.load_runs(documents))
    page = build.page(replace(found, sealed=data.sealed(documents)))
    assert _parts(EXAMPLE.read_text(encoding="utf-8")) == _parts(page), AGAIN


def test_the_example_is_light_enough_to_send() -> None:
    """A page that people forward; the documents inside are held to their own limit."""
    page = EXAMPLE.read_text(encoding="utf-8")
    inside = re.findall(r'id="data-document-\d+">(.*?)</script>', page, re.DOTALL)
    n_bytes = sum(len(text.encode()) for text in inside)
    assert 0 < n_bytes <= data.MOST_BYTES
    assert EXAMPLE.stat().st_size - n_bytes < MOST_BYTES
