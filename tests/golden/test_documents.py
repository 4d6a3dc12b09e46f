"""Documents of every schema version are read for ever, and the written schema is the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlbench.core.types import SCHEMA_VERSION, OutcomeKind
from dlbench.store import codec, runs, schema

FOLDER = Path(__file__).parent / "documents"
DOCUMENTS = sorted(FOLDER.glob("*.json"))
ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "results").glob("*.json"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_golden_documents_are_read(path: Path) -> None:
    """With their content as it was sealed, and the numbers that were in it."""
    run = runs.read_run(path)
    stated, actual = codec.stated_and_actual_sha256(path.read_bytes())
    assert stated == actual
    kinds = [r.outcome.kind for r in run.results]
    assert kinds == [OutcomeKind.OK, OutcomeKind.OK, OutcomeKind.CRASHED]
    assert run.results[0].trials[0].values[0].duration_s == 0.02


def test_there_is_a_golden_document_of_each_version() -> None:
    """A new version brings its own."""
    for version in range(1, SCHEMA_VERSION + 1):
        assert any(path.name.startswith(f"v{version}-") for path in DOCUMENTS)


def test_todays_documents_are_written_byte_for_byte_the_same() -> None:
    """An accidental change of the format shows here."""
    path = FOLDER / f"v{SCHEMA_VERSION}-two-frameworks.json"
    assert codec.encode_run(runs.read_run(path)) == path.read_bytes()


def test_the_written_schema_is_current() -> None:
    """docs/schema.md is what the types say: python -m dlbench.store.schema > docs/schema.md."""
    assert (ROOT / "docs/schema.md").read_text(encoding="utf-8") == schema.markdown()


def test_there_are_published_results() -> None:
    """Of none every rule would hold."""
    assert len(PUBLISHED) >= LEAST_PUBLISHED


LEAST_PUBLISHED = 12


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.name)
def test_published_results_hold_every_rule(path: Path) -> None:
    """What the repository ships can be trusted."""
    from dlbench.analysis import check

    failed = [c for c in check.check_run(runs.read_run(path)) if c.passed is False]
    assert failed == []
