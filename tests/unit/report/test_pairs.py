"""Documents of ``dlbench ab`` on the page: verdicts, what could be resolved, and why there is none."""

from __future__ import annotations

import re

from dlbench.core.types import Run
from dlbench.report import build, content, formats
from dlbench.report.sections import comparisons, verdict
from tests import documents

WOBBLE = (1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.001)
FASTER = documents.paired_run([0.02 * w for w in WOBBLE], [0.01] * 8)
WILD = documents.paired_run([0.01 * w**20 for w in WOBBLE], [0.01] * 8, zone=0.05)
LOST = documents.paired_run([0.02] * 8, [0.01] * 8, failed=(0, 2, 4, 6))
NONE = documents.paired_run([], [])


def _words(run: Run) -> tuple[str, str]:
    """Verdict and comparisons as plain text."""
    found = content.of([run])
    sections = [section.html(found) for section in (verdict, comparisons)]
    assert all(sections)
    first, second = (re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", s)) for s in sections if s)
    return first, second


def test_a_verdict_says_what_was_resolved() -> None:
    """The smallest difference that would have been found, beside the verdict and in the table."""
    said, table = _words(FASTER)
    assert "TensorFlow has 2.00x" in said
    assert "This machine resolves" in said
    assert "% with 64." in said
    assert re.search(r"8 0 of 8 0\.031 ±2\.0 % ≈ [\d.]+ % ✓ faster this machine resolves", table)


def test_cannot_tell_says_how_many_pairs_would_tell() -> None:
    """And within which difference both would be equal: that of the document, not the usual one."""
    said, table = _words(WILD)
    assert "cannot tell" in said
    assert "pairs would be needed for 5 %" in said
    assert "±5.0 %" in table
    assert "? cannot tell" in table


def test_too_many_lost_pairs_are_no_verdict_and_no_number() -> None:
    """The headline, the verdict and the table say so, with the reason; there is no ratio."""
    said, table = _words(LOST)
    assert "no verdict" in said
    assert "4 of 8 pairs failed (it broke)" in said
    assert "nothing to compare" not in said
    assert "4 of 8" in table
    assert "2.0" not in table.partition("±")[0].partition("Verdict on B")[2]
    assert build.headline(content.of([LOST])).startswith("No verdict on fake inference")
    assert 'class="forest' not in str(comparisons.html(content.of([LOST])))


def test_no_pair_at_all_is_said() -> None:
    """An interrupted comparison has no ratio of 1."""
    said, table = _words(NONE)
    assert "no pair was measured to its end" in said
    assert "no pair was measured to its end" in table


def test_markdown_and_json_tell_it_too() -> None:
    """A pull request is where it is read."""
    text = formats.markdown(content.of([LOST]))
    assert "- **no verdict**: fake inference" in text
    assert "4 of 8 pairs failed" in text
    assert "this machine resolves" in formats.markdown(content.of([FASTER]))
    (plain,) = formats.plain(content.of([LOST]))["contests"]
    assert plain["verdict"] == "no verdict"
    assert plain["ratio"] is None


def test_pairs_follow_the_filter() -> None:
    """Each line knows both of its rows."""
    found = content.of([FASTER])
    (contested,) = found.contested
    assert contested.rows == found.compared[0].rows
    assert f'data-r="{contested.row_numbers}"' in str(comparisons.html(found))
