"""Offers from a table in the catalog's own format, by path: what ``catalog add`` takes."""

from __future__ import annotations

from pathlib import Path

from dlbench.core import catalog_rows
from dlbench.core.catalog import Catalog
from dlbench.core.fetching import Fetched


def fetch(where: str, catalog: Catalog, as_of: str, seller: str) -> tuple[Fetched, ...]:  # noqa: ARG001
    """The offers of one file; its rows carry their own dates and sellers.

    Raises:
        UsageError: a row is wrong.
        StoreError: the file cannot be read.
    """
    path = Path(where)
    data = catalog_rows.read_bytes(path)
    rows = catalog_rows.offers(data, path.name, origin=f"fetched: {path.stem}")
    offers = catalog_rows.canonical(rows, catalog, path.name)
    return (Fetched(name=path.stem, source=str(path), offers=offers, raw=data),)
