"""In which currency a seller's prices are, where its table does not say: a euro is no dollar."""

from __future__ import annotations

from dlbench.core.catalog import Catalog
from dlbench.core.errors import UsageError

FOREIGN = {"seeweb": "EUR"}
"""Whose price lists are in another currency; SkyPilot and gpuhunt pass their numbers on as they are."""

DOLLARS = frozenset({"latitude", "shadeform"})
"""Of whom the catalog has nothing, and of whom SkyPilot reads dollars or cents by name."""


def refuse_foreign(seller: str) -> None:
    """Nothing of a seller whose numbers are not dollars.

    Raises:
        UsageError: they are not.
    """
    if seller in FOREIGN:
        raise UsageError(
            f"{seller}'s price list is in {FOREIGN[seller]}, and its table says nothing of it",
            "Write its prices in USD into a file of yours: dlbench catalog add prices.csv",
        )


def remark(seller: str, catalog: Catalog) -> str:
    """What to say of a table without a currency; "" of sellers that are known to ask for dollars."""
    if seller in DOLLARS or any(offer.provider == seller for offer in catalog.offers):
        return ""
    return "the table names no currency: taken as USD"
