"""Questions to a catalog: which offers, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dlbench.core.catalog import ZONES, Accelerator, Amount, Catalog, Offer, lies_in
from dlbench.core.errors import UsageError
from dlbench.core.types import Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which offers to keep; empty or None is "any"."""

    provider: str = ""
    accelerator: str = ""
    region: str = ""
    cpu_only: bool = False
    max_usd_per_h: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One offer that is new, gone, or has another price: before and after in USD an hour."""

    offer: str
    kind: str
    field: str
    before: Amount
    after: Amount

    @property
    def ratio(self) -> float | None:
        """After over before, where both are known."""
        if isinstance(self.before, Absent) or isinstance(self.after, Absent):
            return None
        return self.after / self.before


def offers(catalog: Catalog, wanted: Filter) -> tuple[Offer, ...]:
    """Offers that match, the cheapest an hour first and those without a price last.

    Raises:
        UsageError: no such provider, accelerator or place is in the catalog.
    """
    device = known_accelerator(catalog, wanted.accelerator) if wanted.accelerator else None
    if wanted.provider:
        known_provider(catalog, wanted.provider)
    if wanted.region:
        known_place(catalog, wanted.region)
    kept = [o for o in catalog.offers if _matches(o, wanted, device, catalog)]
    return tuple(sorted(kept, key=lambda o: (_price(o.ondemand_usd_per_h), o.key)))


def known_accelerator(catalog: Catalog, name: str) -> Accelerator:
    """The accelerator of that name or alias.

    Raises:
        UsageError: there is none; the nearest names are told.
    """
    device = catalog.accelerator(name)
    if device is None:
        import difflib

        names = [n for a in catalog.accelerators for n in (a.name, *a.aliases)]
        near = difflib.get_close_matches(name, names, n=3)
        raise UsageError(
            f"no accelerator {name!r} is in the catalog",
            f"Did you mean {', '.join(near)}?" if near else "dlbench catalog list accelerators",
        )
    return device


def known_provider(catalog: Catalog, name: str) -> str:
    """That name, if somebody of it rents.

    Raises:
        UsageError: nobody does.
    """
    names = sorted({offer.provider for offer in catalog.offers})
    if name not in names:
        raise UsageError(f"no provider {name!r} is in the catalog", f"Known: {', '.join(names)}.")
    return name


def known_place(catalog: Catalog, name: str) -> str:
    """That name, if it is a zone of countries, or a region or a country of the catalog.

    Raises:
        UsageError: none has.
    """
    places = {r.region.lower() for r in catalog.regions} | {
        r.country.lower() for r in catalog.regions if r.country
    }
    places |= {offer.region.lower() for offer in catalog.offers} | {zone.lower() for zone in ZONES}
    if name.lower() not in places:
        raise UsageError(
            f"no region or country {name!r} is in the catalog", "dlbench catalog list regions"
        )
    return name


def _matches(offer: Offer, wanted: Filter, device: Accelerator | None, catalog: Catalog) -> bool:
    place = catalog.region(offer.provider, offer.region) if wanted.region else None
    country = place.country if place else ""
    return (
        (not wanted.provider or offer.provider == wanted.provider)
        and (device is None or offer.accelerator == device.name)
        and (not wanted.region or lies_in(wanted.region, offer.region, country))
        and (not wanted.cpu_only or (offer.accelerator is None and offer.accelerator_count == 0))
        and (
            wanted.max_usd_per_h is None or _price(offer.ondemand_usd_per_h) <= wanted.max_usd_per_h
        )
    )


def _price(amount: Amount) -> float:
    """For sorting only: unknown comes after every price."""
    return float("inf") if isinstance(amount, Absent) else amount


def changes(before: Iterable[Offer], after: Iterable[Offer]) -> tuple[Change, ...]:
    """What is new, gone or differently priced, the largest changes of price first."""
    old, new = {o.key: o for o in before}, {o.key: o for o in after}
    nothing = Absent(reason="no such row")
    found = []
    for key in [*old, *(k for k in new if k not in old)]:
        a, b = old.get(key), new.get(key)
        for field in ("ondemand_usd_per_h", "spot_usd_per_h"):
            x = getattr(a, field) if a else nothing
            y = getattr(b, field) if b else nothing
            if _differs(x, y):
                kind = "new" if a is None else "gone" if b is None else "price"
                named = b or a
                found.append(
                    Change(
                        offer=named.name if named else "",
                        kind=kind,
                        field=field,
                        before=x,
                        after=y,
                    )
                )
    return tuple(sorted(found, key=lambda c: (c.kind, -abs((c.ratio or 1) - 1), c.offer)))


def _differs(x: Amount, y: Amount) -> bool:
    if isinstance(x, Absent) or isinstance(y, Absent):
        return isinstance(x, Absent) != isinstance(y, Absent)
    return x != y
