"""What the page can be narrowed down to: facets, and each row's value in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlbench.analysis.compare import NAMES
from dlbench.analysis.rows import Row

FACETS = (
    ("workload", "Workload"),
    ("framework", "Framework"),
    ("device", "Device"),
    ("precision", "Precision"),
    ("policy", "Setting"),
    ("mode", "Mode"),
    ("batch", "Batch"),
    ("machine", "Machine"),
)

MOST_VALUES = 40
"""A facet of more values than this would be longer than the table it narrows down."""


def _value(row: Row, facet: str) -> str:
    if facet == "machine":
        return row.machine
    return str(row.case.batch_size if facet == "batch" else getattr(row.case, facet))


def _values(rows: Sequence[Row], facet: str) -> list[str]:
    found = {_value(row, facet) for row in rows}
    return sorted(found, key=int) if facet == "batch" else sorted(found)


def facets(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Facets that have something to choose, with the words for their values."""
    found = []
    for name, title in FACETS:
        values = _values(rows, name)
        if 1 < len(values) <= MOST_VALUES:
            words = [NAMES.get(v, v) if name == "framework" else v for v in values]
            found.append({"name": name, "title": title, "values": words})
    return found


def index(rows: Sequence[Row]) -> dict[str, Any]:
    """For the script: the values of each facet, and each row as numbers into them."""
    names = [str(facet["name"]) for facet in facets(rows)]
    values = {name: _values(rows, name) for name in names}
    places = {name: {v: i for i, v in enumerate(values[name])} for name in names}
    return {
        "facets": [{"name": name, "values": values[name]} for name in names],
        "rows": [[places[name][_value(row, name)] for name in names] for row in rows],
    }
