"""Questions to a catalog: which offers, and what changed between two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
    """One field of an offer that is new, gone or changed: before and after, prices in USD an hour.

    ``kind`` is new, gone, price, machine (what it is, or of what its price is), or date where nothing
    but a price's day changed.
    """

    offer: str
    kind: str
    field: str
    before: Amount | str
    after: Amount | str

    @property
    def ratio(self) -> float | None:
        """After over before, of prices that are both known."""
        if self.kind != "price" or not isinstance(self.before, float | int):
            return None
        return self.after / self.before if isinstance(self.after, float | int) else None


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


PRICES = ("ondemand_usd_per_h", "spot_usd_per_h")
MACHINE = (
    "accelerator",
    "accelerator_count",
    "vcpus",
    "memory_gib",
    "cpu_model",
    "price_scope",
)
DATES = ("as_of", "spot_as_of")


def changes(before: Iterable[Offer], after: Iterable[Offer]) -> tuple[Change, ...]:
    """What is new, gone or other than it was, the largest changes of price first.

    A row is known by its name, whatever its accelerator, unless several have that name.
    """
    rows = (tuple(before), tuple(after))
    several = {n for side in rows for n, k in Counter(o.sold_as for o in side).items() if k > 1}
    old, new = ({o.key if o.sold_as in several else o.sold_as: o for o in side} for side in rows)
    found: list[Change] = []
    for key in [*old, *(k for k in new if k not in old)]:
        a, b = old.get(key), new.get(key)
        if a is None or b is None:
            found += _whole(a, b)
            continue
        here = [*_of("price", PRICES, a, b), *_of("machine", MACHINE, a, b)]
        found += here or _of("date", DATES, a, b)
    return tuple(sorted(found, key=lambda c: (c.kind, -abs((c.ratio or 1) - 1), c.offer)))


def _whole(a: Offer | None, b: Offer | None) -> list[Change]:
    """A row that is new or gone, by its prices."""
    nothing = Absent(reason="no such row")
    row, kind = (b, "new") if a is None else (a, "gone")
    if row is None:
        return []
    fields = [f for f in PRICES if not isinstance(getattr(row, f), Absent)] or PRICES[:1]
    return [
        Change(
            offer=row.name,
            kind=kind,
            field=field,
            before=nothing if a is None else getattr(row, field),
            after=getattr(row, field) if a is None else nothing,
        )
        for field in fields
    ]


def _of(kind: str, fields: Sequence[str], a: Offer, b: Offer) -> list[Change]:
    return [
        Change(offer=b.name, kind=kind, field=field, before=x, after=y)
        for field in fields
        if _differs(x := _value(a, field), y := _value(b, field))
    ]


def _value(offer: Offer, field: str) -> Amount | str:
    value: Amount | str | None = getattr(offer, field)
    return "" if value is None else value


def _differs(x: Amount | str, y: Amount | str) -> bool:
    if isinstance(x, Absent) or isinstance(y, Absent):
        return isinstance(x, Absent) != isinstance(y, Absent)
    return x != y
