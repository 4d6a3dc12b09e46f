"""The linter of offers: what looks wrong in a price table, each rule one function.

A finding is an error where the row must not be believed, a warning where a person should look.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from dlbench.catalog import ages
from dlbench.core.catalog import PLACEHOLDER_USD_PER_H, Amount, Catalog, Offer, oldest_date
from dlbench.core.types import Absent
from dlbench.core.units import counted

Severity = Literal["error", "warning"]

MOST_USD_PER_ACCELERATOR_H = 100.0
"""No single accelerator was for rent above a fifth of this in any table read."""

FAMILY_FACTOR = 4.0
"""Between the cheapest and the dearest honest seller of one device lies about a factor of eight, so a
factor of four from the median on either side."""

MEMORY_GIB = (0.5, 32 * 1024.0)
"""Below is megabytes read as gigabytes; above is MiB in a GiB column."""

LEAST_OFFERS_OF_A_FAMILY = 3

LEAST_OF_FAMILY = {"ondemand_usd_per_h": 0.02, "spot_usd_per_h": 0.01}
"""Shares of the median on demand of an accelerator's sellers. The cheapest shipped price on demand is
at 0.085 (a V100 whose price two sources give), and with the deepest shipped discount, of 84 %, its spot
price would be at 0.013. A price that is a hundredth of itself is at 0.01, give or take its seller."""

LEAST_OF_OWN = 0.05
"""A spot price's share of the same machine's on demand: half of what the discount of 91 % leaves that
large clouds promise at most; the shipped ones are at 0.157 and more."""

OLD_PRICE = "old-price"
"""The one rule of which a row can be an error and right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one offer."""

    severity: Severity
    rule: str
    offer: str
    sentence: str


Rule = Callable[[Catalog, date], Iterator[Finding]]


def check(catalog: Catalog, today: date, max_price_age: int | None = None) -> tuple[Finding, ...]:
    """All findings, errors first; with ``max_price_age`` an older price is an error."""
    found = [finding for rule in RULES for finding in rule(catalog, today)]
    found += _old(catalog, today, max_price_age)
    return tuple(sorted(found, key=lambda f: (f.severity, f.rule, f.offer)))


def _finding(severity: Severity, rule: str, offer: Offer, sentence: str) -> Finding:
    return Finding(severity=severity, rule=rule, offer=offer.name, sentence=sentence)


def _no_price(catalog: Catalog, _: date) -> Iterator[Finding]:
    for offer in catalog.offers:
        if isinstance(offer.ondemand_usd_per_h, Absent) and isinstance(
            offer.spot_usd_per_h, Absent
        ):
            yield _finding(
                "warning", "no-price", offer, "no price: listed, never recommended until it has one"
            )


def _placeholder(catalog: Catalog, _: date) -> Iterator[Finding]:
    for offer in catalog.offers:
        for field in ("ondemand_usd_per_h", "spot_usd_per_h"):
            price = getattr(offer, field)
            if isinstance(price, Absent):
                continue
            if is_placeholder(offer, price):
                column = field.replace("_per_h", "_h")
                yield _finding(
                    "error", "placeholder-price", offer, f"{column} is {price:g}: a placeholder"
                )


def is_placeholder(offer: Offer, usd_per_h: float) -> bool:
    """Whether a price says that there is none; the largest processors do cost hundreds an hour."""
    each = usd_per_h / max(_count(offer), 1.0) if offer.accelerator else 0.0
    return usd_per_h == PLACEHOLDER_USD_PER_H or each > MOST_USD_PER_ACCELERATOR_H


def _spot(catalog: Catalog, _: date) -> Iterator[Finding]:
    for offer in catalog.offers:
        full, spot = offer.ondemand_usd_per_h, offer.spot_usd_per_h
        if isinstance(full, Absent) or isinstance(spot, Absent):
            continue
        if spot >= full:
            sentence = f"spot {spot:g} is not below on-demand {full:g}: no discount, or no data"
            yield _finding("error", "spot-equals-on-demand", offer, sentence)


def _family(catalog: Catalog, _: date) -> Iterator[Finding]:
    """A price an accelerator (or a vCPU) far from the median of its kind, one voice a seller."""
    families: dict[tuple[str, str], list[tuple[Offer, float]]] = defaultdict(list)
    for offer in catalog.offers:
        each = _each(offer, offer.ondemand_usd_per_h)
        if each is not None:
            families[_kind(offer), _tier(offer)].append((offer, each))
    for (name, tier), members in families.items():
        if len(members) < LEAST_OFFERS_OF_A_FAMILY:
            continue
        median, sellers = _median(members)
        for offer, each in members:
            if not median / FAMILY_FACTOR <= each <= median * FAMILY_FACTOR:
                rule = "far-below-family" if each < median else "far-above-family"
                sentence = (
                    f"{each:.3g} USD/h per {name} is {each / median:.2g} times {median:.3g}, the "
                    f"median of {counted(sellers, tier)}"
                )
                yield _finding("warning", rule, offer, sentence)


def _kind(offer: Offer) -> str:
    return offer.accelerator or "vCPU"


def _each(offer: Offer, price: Amount) -> float | None:
    """The price of one accelerator or, of a machine without, of one vCPU; None if it is not known."""
    size = _count(offer) if offer.accelerator else offer.vcpus
    if isinstance(price, Absent) or isinstance(size, Absent) or size <= 0:
        return None
    return price / size


def _median(members: Iterable[tuple[Offer, float]]) -> tuple[float, int]:
    """Over sellers, each with the median of its own rows; and how many they are."""
    by_seller: dict[str, list[float]] = defaultdict(list)
    for offer, each in members:
        by_seller[offer.provider].append(each)
    return statistics.median(map(statistics.median, by_seller.values())), len(by_seller)


def _absurd(catalog: Catalog, _: date) -> Iterator[Finding]:
    for (name, field), sentence in absurdly_low(catalog).items():
        told = f"{field.replace('_per_h', '_h')} is {sentence}"
        yield Finding(severity="error", rule="absurdly-low", offer=name, sentence=told)


def absurdly_low(catalog: Catalog) -> dict[tuple[str, str], str]:
    """Why a price is too low for anybody to sell at it, by the offer's name and the price's field."""
    families: dict[str, list[tuple[Offer, float]]] = defaultdict(list)
    for offer in catalog.offers:
        full = offer.ondemand_usd_per_h
        each = _each(offer, full)
        if each is not None and not isinstance(full, Absent) and not is_placeholder(offer, full):
            families[_kind(offer)].append((offer, each))
    medians = {
        kind: _median(members)
        for kind, members in families.items()
        if len(members) >= LEAST_OFFERS_OF_A_FAMILY
    }
    found: dict[tuple[str, str], str] = {}
    for offer in catalog.offers:
        for field, share in LEAST_OF_FAMILY.items():
            price = getattr(offer, field)
            each = _each(offer, price)
            median, sellers = medians.get(_kind(offer), (0.0, 0))
            if each is not None and each < share * median:
                found[offer.name, field] = (
                    f"{price:g}, {each:.2g} USD/h per {_kind(offer)}: {each / median:.1%} of "
                    f"{median:.3g}, the median on demand of {counted(sellers, 'seller')}"
                )
        full, spot = offer.ondemand_usd_per_h, offer.spot_usd_per_h
        if isinstance(full, Absent) or isinstance(spot, Absent) or is_placeholder(offer, full):
            continue
        if spot < LEAST_OF_OWN * full:
            found.setdefault(
                (offer.name, "spot_usd_per_h"),
                f"{spot:g}, {spot / full:.1%} of the {full:g} on demand",
            )
    return found


def _host_apart(catalog: Catalog, _: date) -> Iterator[Finding]:
    for offer in catalog.offers:
        if offer.price_scope in {"accelerator", "host"}:
            yield _finding(
                "warning",
                "host-apart",
                offer,
                f"the price is the {offer.price_scope}'s alone; host and accelerator must be summed",
            )


def _memory(catalog: Catalog, _: date) -> Iterator[Finding]:
    low, high = MEMORY_GIB
    for offer in catalog.offers:
        memory = offer.memory_gib
        if not isinstance(memory, Absent) and not low <= memory <= high:
            yield _finding("error", "memory-unit", offer, f"memory_gib is {memory:g}: wrong unit?")


def _accelerators(catalog: Catalog, _: date) -> Iterator[Finding]:
    known = {device.name for device in catalog.accelerators}
    for offer in catalog.offers:
        if offer.accelerator is not None and offer.accelerator not in known:
            sentence = f"accelerator {offer.accelerator!r} is in no table: alias missing?"
            yield _finding("error", "unknown-accelerator", offer, sentence)
        count = offer.accelerator_count
        if offer.accelerator is None and not isinstance(count, Absent) and count > 0:
            yield _finding(
                "error", "accelerator-without-name", offer, f"{count:g} accelerators without a name"
            )


def _regions(catalog: Catalog, _: date) -> Iterator[Finding]:
    named = {(o.provider, o.region) for o in catalog.offers}
    places = {key: catalog.region(*key) for key in named}
    for offer in catalog.offers:
        place = places[offer.provider, offer.region]
        if place is None:
            # A fetched price of a place that nobody placed can be believed; a shipped one is our slip.
            severity: Severity = "error" if offer.origin == "shipped" else "warning"
            yield _finding(
                severity, "unknown-region", offer, f"region {offer.region!r} is in no table"
            )
        elif not place.country:
            sentence = "the source does not say where it stands: no carbon, no data residency"
            yield _finding("warning", "place-not-stated", offer, sentence)


def _sources(catalog: Catalog, today: date) -> Iterator[Finding]:
    for offer in catalog.offers:
        if not offer.source:
            yield _finding("error", "no-source", offer, "no source is given")
        day = oldest_date(offer.as_of)
        if day is None or day > today:
            yield _finding("error", "bad-date", offer, f"as_of is {offer.as_of!r}")


def _old(catalog: Catalog, today: date, limit: int | None) -> Iterable[Finding]:
    severity: Severity = "warning" if limit is None else "error"
    for offer in catalog.offers:
        for spot in (False, True):
            price = offer.spot_usd_per_h if spot else offer.ondemand_usd_per_h
            sentence = (
                ""
                if isinstance(price, Absent)
                else ages.stale(offer, today, spot=spot, limit=limit)
            )
            if sentence:
                yield _finding(severity, OLD_PRICE, offer, sentence)


def _tier(offer: Offer) -> str:
    """Large clouds ask two to four times what others do for the same device."""
    return "hyperscaler" if ages.kind(offer.provider) == "hyperscaler" else "other seller"


def _count(offer: Offer) -> float:
    count = offer.accelerator_count
    return 0.0 if isinstance(count, Absent) else count


RULES: tuple[Rule, ...] = (
    _no_price,
    _placeholder,
    _absurd,
    _spot,
    _family,
    _host_apart,
    _memory,
    _accelerators,
    _regions,
    _sources,
)
