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
from dlbench.core.catalog import PLACEHOLDER_USD_PER_H, Catalog, Offer, oldest_date
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
        price = offer.ondemand_usd_per_h
        size = _count(offer) if offer.accelerator else offer.vcpus
        if not isinstance(price, Absent) and not isinstance(size, Absent) and size > 0:
            families[offer.accelerator or "vCPU", _tier(offer)].append((offer, price / size))
    for (name, tier), members in families.items():
        if len(members) < LEAST_OFFERS_OF_A_FAMILY:
            continue
        by_seller: dict[str, list[float]] = defaultdict(list)
        for offer, each in members:
            by_seller[offer.provider].append(each)
        median = statistics.median(statistics.median(prices) for prices in by_seller.values())
        for offer, each in members:
            if not median / FAMILY_FACTOR <= each <= median * FAMILY_FACTOR:
                rule = "far-below-family" if each < median else "far-above-family"
                sentence = (
                    f"{each:.3g} USD/h per {name} is {each / median:.2g} times {median:.3g}, the "
                    f"median of {counted(len(by_seller), tier)}"
                )
                yield _finding("warning", rule, offer, sentence)


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
    _spot,
    _family,
    _host_apart,
    _memory,
    _accelerators,
    _regions,
    _sources,
)
