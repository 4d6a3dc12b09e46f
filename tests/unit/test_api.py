"""The public API is what ``__all__`` says, lazily; the docs name what exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dlbench
from dlbench.core import errors, metrics, units
from scripts import docs_tables

ROOT = Path(__file__).parents[2]


def test_every_public_name_is_there() -> None:
    """And an unknown one is an AttributeError, as of any module."""
    for name in dlbench.__all__:
        assert getattr(dlbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dlbench.nonsense


def test_importing_the_package_imports_nothing() -> None:
    """Names are fetched from their homes on first use."""
    program = "import dlbench, sys; print([m for m in sys.modules if m.startswith('dlbench.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", ["README.md", "docs/workloads.md"])
def test_tables_of_workloads_are_current(page: str) -> None:
    """Made anew they are the same: each workload, its sizes, its modes, its sources."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert docs_tables.MARKED.search(text)
    assert docs_tables.filled(text) == text


def test_no_table_is_made_for_nobody_and_none_is_of_the_tests() -> None:
    """Each stands on a page; variants that are there for tests stand on none."""
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in docs_tables.PAGES]
    shown = [name for text in texts for _, name, _ in docs_tables.MARKED.findall(text)]
    assert sorted(shown) == sorted(docs_tables.TABLES)
    assert "tiny" not in docs_tables.variants()


@pytest.mark.frameworks
def test_the_tables_of_frameworks_are_current() -> None:
    """Their precisions, and what their policies turn on, as each adapter says."""
    text = (ROOT / "docs/how-it-measures.md").read_text(encoding="utf-8")
    assert "<!-- table: policies -->" in text
    assert "<!-- table: frameworks -->" in text
    assert docs_tables.filled(text) == text


def test_every_exit_code_is_documented() -> None:
    """docs/architecture.md lists what core/errors.py ends with."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    codes = [value for name, value in vars(errors).items() if name.startswith("EXIT_")]
    assert len(codes) == 8
    for code in codes:
        assert f"| {code} |" in text


def test_the_tree_of_errors_is_complete() -> None:
    """Each class of core/errors.py is drawn at its top."""
    assert errors.__doc__ is not None
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert len(classes) >= 12
    for kind in classes:
        assert kind.__name__ in errors.__doc__


def test_links_of_the_docs_lead_somewhere() -> None:
    """Every relative link of every page."""
    import re

    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(pages) >= 10
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (85e-6, "85.0 us"),
        (0.0123, "12.3 ms"),
        (4.56, "4.56 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_as_people_read_them(seconds: float, shown: str) -> None:
    """In the unit that suits them."""
    assert units.duration(seconds) == shown


def test_numbers_as_people_read_them() -> None:
    """Significant digits, no exponents, decimal prefixes."""
    told = [units.compact(x) for x in (0, 0.5, 1.0, 31.24, 13_240.0, 0.00001, float("inf"))]
    assert told == ["0", "0.5", "1", "31.2", "13,240", "1e-5", "unlimited"]
    assert [units.significant(x) for x in (0, 0.004213, 9.9996, 31.24, 1280.4)] == [
        "0", "0.00421", "10.0", "31.2", "1,280",
    ]  # fmt: skip
    assert units.scaled(8.178e9, "FLOP") == "8.18 GFLOP"
    assert units.scaled(12, "FLOP") == "12.0 FLOP"
    assert metrics.REGISTRY["step_s"].unit == "s"
