"""How old a price is, and from which age on that is told.

Prices move both ways and by tens of percent within weeks, the faster the smaller the seller.
"""

from __future__ import annotations

from datetime import date

from dlbench.core.catalog import Offer, oldest_date

MARKETPLACES = frozenset({"vast", "runpod", "tensordock"})
HYPERSCALERS = frozenset({"aws", "azure", "gcp", "oci"})

WARN_AFTER_DAYS = {"marketplace": 7, "hyperscaler": 90, "small cloud": 30}
"""A marketplace's offers move daily; a hyperscaler's list prices a few times a year."""


def kind(provider: str) -> str:
    """Marketplace, hyperscaler or small cloud."""
    if provider in MARKETPLACES:
        return "marketplace"
    return "hyperscaler" if provider in HYPERSCALERS else "small cloud"


def age_days(as_of: str, today: date) -> int | None:
    """Days since a price's date; of a bare year or month since its first day. None if unreadable."""
    day = oldest_date(as_of)
    return None if day is None else (today - day).days


def stale(offer: Offer, today: date, *, spot: bool = False, limit: int | None = None) -> str:
    """A sentence if the price is older than ``limit``, or than its kind of seller allows; else ""."""
    as_of = offer.spot_as_of if spot else offer.as_of
    age = age_days(as_of, today)
    what = "spot price" if spot else "price"
    if age is None:
        return f"the {what} has no readable date"
    if age < 0:
        return f"the {what} is of {as_of}, a day that is yet to come"
    allowed = WARN_AFTER_DAYS[kind(offer.provider)] if limit is None else limit
    if age <= allowed:
        return ""
    at_most = "up to " if len(as_of) < len("2026-11-25") else ""
    return (
        f"the {what} is of {as_of}, {at_most}{age} days ago (limit {allowed}, {_why(offer, limit)})"
    )


def _why(offer: Offer, limit: int | None) -> str:
    return f"{kind(offer.provider)}" if limit is None else "--max-price-age"
