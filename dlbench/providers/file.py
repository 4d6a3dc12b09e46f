"""Offers from a table in the catalog's own format, by path: what ``catalog add`` takes."""

from __future__ import annotations

from pathlib import Path

from dlbench.core import catalog_rows
from dlbench.core.catalog import Catalog
from dlbench.core.errors import UsageError
from dlbench.core.fetching import Fetched


def fetch(where: str, catalog: Catalog, as_of: str, seller: str) -> tuple[Fetched, ...]:  # noqa: ARG001
    """The offers of one file; its rows carry their own dates and sellers.

    Raises:
        UsageError: a row is wrong, or says of a region where it stands, which offers do not keep.
        StoreError: the file cannot be read.
    """
    path = Path(where)
    data = catalog_rows.read_bytes(path)
    for provider, region, country in catalog_rows.countries(data, path.name):
        known = catalog.region(provider, region)
        if known is None or known.country != country:
            raise UsageError(
                f"{path.name}: that {provider} {region} is in {country} would be lost, since fetched"
                " rows have no country",
                f"Make it a file of yours, which keeps it: dlbench catalog add {path}",
            )
    rows = catalog_rows.offers(data, path.name, origin=f"fetched: {path.stem}")
    offers = catalog_rows.canonical(rows, catalog, path.name)
    return (Fetched(name=path.stem, source=str(path), offers=offers, raw=data),)
