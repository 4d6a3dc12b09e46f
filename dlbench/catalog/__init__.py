"""The catalog as it stands for a user: shipped rows, what ``update`` fetched, and their own files.

Later sources win row by row: shipped, then fetched, then the user's; of two fetched rows of one thing
the one with the newer price. A fetched file that cannot be read becomes a problem that is told, and
loses nothing else; a user's own file that is wrong is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from dlbench.catalog import stored
from dlbench.core import catalog_rows
from dlbench.core.catalog import ANYWHERE, Catalog, Offer, Region, oldest_date
from dlbench.core.errors import DlbenchError, UsageError
from dlbench.core.types import Absent

CONTRADICTED = (
    "ondemand_usd_per_h",
    "spot_usd_per_h",
    "accelerator_count",
    "vcpus",
    "memory_gib",
)
"""What two files must not say differently of one offer: each decides what is recommended."""


@cache
def shipped() -> Catalog:
    """The catalog of the package alone; works offline, and is read once."""
    folder = resources.files("dlbench.catalog") / "data"
    return Catalog(
        accelerators=catalog_rows.accelerators(
            (folder / "accelerators.csv").read_bytes(), "accelerators.csv"
        ),
        offers=catalog_rows.offers(
            (folder / "offers.csv").read_bytes(), "offers.csv", origin="shipped"
        ),
        regions=catalog_rows.regions((folder / "regions.csv").read_bytes(), "regions.csv"),
        sources=("shipped with dlbench",),
    )


def load(files: Sequence[Path] = ()) -> Catalog:
    """The shipped catalog, with fetched rows over it, and the user's added and given files over those.

    Raises:
        UsageError: a user's file is wrong, or two of them contradict each other on one offer.
        StoreError: a file cannot be read.
    """
    return with_files(fetched(), [*stored.user_files(), *files])


def fetched() -> Catalog:
    """The shipped catalog, with fetched rows over it: what a user's files are held against."""
    return _with_fetched(shipped())


def with_files(catalog: Catalog, files: Sequence[Path]) -> Catalog:
    """The catalog with a user's files over it, each once.

    Raises:
        UsageError: one of them is wrong, or contradicts another, or the catalog on a place's country.
        StoreError: one of them cannot be read.
    """
    tables = [(path, read_user_file(path, catalog)) for path in dict.fromkeys(files)]
    refuse_contradictions(tables)
    for path, offers in tables:
        catalog = merged(catalog, offers, f"{path} (yours)")
    for path, _ in tables:
        catalog = _with_places(catalog, path)
    return catalog


def _with_fetched(catalog: Catalog) -> Catalog:
    tables: list[tuple[Path, tuple[Offer, ...]]] = []
    for path in stored.fetched_files():
        try:
            data = catalog_rows.read_bytes(path)
            stored.verify(path, data)
            offers = catalog_rows.offers(data, path.name, origin=f"fetched: {path.stem}")
        except DlbenchError as error:
            problem = f"{error.message}. {error.advice}".strip()
            catalog = replace(catalog, problems=(*catalog.problems, problem))
            continue
        tables.append((path, offers))
    newest: dict[tuple[str, str, str], date] = {}
    for offer in (o for _, offers in tables for o in offers):
        newest[offer.sold_as] = max(_day(offer), newest.get(offer.sold_as, date.min))
    for path, offers in tables:
        kept = [o for o in offers if _day(o) == newest[o.sold_as]]
        catalog = merged(catalog, kept, f"{path} (fetched)")
    return catalog


def _day(offer: Offer) -> date:
    """Of its price."""
    return oldest_date(offer.as_of) or date.min


def read_user_file(path: Path, catalog: Catalog) -> tuple[Offer, ...]:
    """A user's offers, their accelerators under the catalog's names.

    Raises:
        UsageError: a row is wrong; the message names the field and the remedy.
    """
    offers = catalog_rows.offers(
        catalog_rows.read_bytes(path), path.name, origin=f"user: {path.name}"
    )
    _refuse_lost_accelerators(offers, catalog, path)
    return catalog_rows.canonical(offers, catalog, path.name)


def _refuse_lost_accelerators(offers: Sequence[Offer], catalog: Catalog, path: Path) -> None:
    """A row that only renews a price must still say of which machine it is the price.

    In a region of which the catalog has no row, too: one type is one machine.
    """
    with_one: dict[tuple[str, ...], str] = {}
    for o in catalog.offers:
        if o.accelerator is not None:
            with_one[o.sold_as] = with_one[o.sold_as[:2]] = o.accelerator
    for o in catalog.offers:
        if o.accelerator is None:
            with_one.pop(o.sold_as[:2], None)
    for offer in offers:
        there, elsewhere = with_one.get(offer.sold_as), with_one.get(offer.sold_as[:2])
        if offer.accelerator is None and (there or elsewhere):
            raise UsageError(
                f"{path.name}: accelerator of {offer.name} is empty, and the catalog has "
                f"{f'{there} there' if there else f'{elsewhere} in that type elsewhere'}",
                "Name it and accelerator_count; a machine without needs an instance_type of its own.",
            )


def refuse_contradictions(tables: Sequence[tuple[Path, Sequence[Offer]]]) -> None:
    """Two files of a user that describe one offer differently: nobody can say which is right.

    Raises:
        UsageError: naming both files, the offer and the field.
    """
    seen: dict[tuple[str, str, str, str], tuple[Path, Offer]] = {}
    _refuse_other_accelerators(tables)
    for path, offers in tables:
        for offer in offers:
            if offer.key not in seen:
                seen[offer.key] = (path, offer)
                continue
            other_path, other = seen[offer.key]
            for field in CONTRADICTED:
                a, b = getattr(other, field), getattr(offer, field)
                if not isinstance(a, Absent) and not isinstance(b, Absent) and a != b:
                    raise UsageError(
                        f"{other_path} and {path} contradict each other on {offer.name}: "
                        f"{field.replace('_per_h', '_h')} is {a:g} in the one and {b:g} in the other",
                        "Correct one of them, or take it away: dlbench catalog add --remove NAME.",
                    )


def _refuse_other_accelerators(tables: Sequence[tuple[Path, Sequence[Offer]]]) -> None:
    """One thing that is sold has the accelerators of one file, and none of them in another."""
    seen: dict[tuple[str, str, str], tuple[Path, list[Offer]]] = {}
    for path, offers in tables:
        here: dict[tuple[str, str, str], list[Offer]] = {}
        for offer in offers:
            here.setdefault(offer.sold_as, []).append(offer)
        for sold_as, rows in here.items():
            other_path, others = seen.setdefault(sold_as, (path, rows))
            if {o.accelerator for o in others}.isdisjoint(o.accelerator for o in rows):
                raise UsageError(
                    f"{other_path} and {path} contradict each other on {rows[0].name}: accelerator is "
                    f"{others[0].accelerator or 'empty'} in the one and "
                    f"{rows[0].accelerator or 'empty'} in the other",
                    "Correct one of them, or give instance_type a name of its own.",
                )


def merged(catalog: Catalog, offers: Sequence[Offer], source: str) -> Catalog:
    """The catalog with ``offers`` in place of rows of the same key, and after all others.

    A row of less authority goes whatever its accelerator: one type is not two machines because two
    tables take its accelerator for different ones.
    What a row leaves open of its machine is as the rows before it have it of that type: whoever renews
    a price says nothing of the processor.
    A row without any price stands for a whole provider (as MaxCloudON's does) until that provider has
    a row with one; a shipped price of all regions until the same type was fetched in one of them.
    """
    before = {_somewhere(o): o for o in catalog.offers} | {o.key: o for o in catalog.offers}
    offers = [_completed(o, before.get(o.key) or before.get(_somewhere(o))) for o in offers]
    keys, sold = {offer.key for offer in offers}, {offer.sold_as for offer in offers}
    theirs = {_authority(offer) for offer in offers}
    rows = [
        o
        for o in catalog.offers
        if o.key not in keys and (o.sold_as not in sold or _authority(o) in theirs)
    ]
    priced = {o.provider for o in offers if not isinstance(o.ondemand_usd_per_h, Absent)}
    fetched = {_somewhere(o) for o in offers if o.origin.startswith("fetched")}
    kept = tuple(
        o
        for o in (*rows, *offers)
        if not (o.provider in priced and _is_placeholder(o))
        and not (o.origin == "shipped" and o.region == ANYWHERE and _somewhere(o) in fetched)
    )
    return replace(catalog, offers=kept, sources=(*catalog.sources, source))


def _completed(offer: Offer, before: Offer | None) -> Offer:
    """An offer with what is known of its type, where it does not say it itself; never a price."""
    if before is None:
        return offer
    named: dict[str, Any] = {"cpu_model": offer.cpu_model or before.cpu_model}
    for field in MACHINE:
        own = getattr(offer, field)
        named[field] = getattr(before, field) if isinstance(own, Absent) else own
    return replace(offer, **named)


MACHINE = ("accelerator_count", "vcpus", "memory_gib")
"""What one type has everywhere, beside its processor's name."""


def _authority(offer: Offer) -> str:
    """Shipped, fetched or user."""
    return offer.origin.partition(":")[0]


def _somewhere(offer: Offer) -> tuple[str, ...]:
    """What it is, wherever it is."""
    provider, kind, _, accelerator = offer.key
    return provider, kind, accelerator


def _is_placeholder(offer: Offer) -> bool:
    return (
        offer.origin == "shipped"
        and isinstance(offer.ondemand_usd_per_h, Absent)
        and isinstance(offer.spot_usd_per_h, Absent)
    )


def _with_places(catalog: Catalog, path: Path) -> Catalog:
    """With the places that a user's file names with their country.

    Raises:
        UsageError: the place is known as another: data residency would hang on who is believed.
    """
    for provider, region, country in catalog_rows.countries(
        catalog_rows.read_bytes(path), path.name
    ):
        known = catalog.region(provider, region)
        if known is None:
            own = _place_in(provider, region, country, path, catalog)
            catalog = replace(catalog, regions=(*catalog.regions, own))
        elif known.country != country:
            raise UsageError(
                f"{path}: country of {provider} {region} is {country}, and "
                f"{known.country or 'not stated'} in the catalog or in a row of yours before it",
                "Correct the row that is wrong, or give the region a name of its own.",
            )
    return catalog


def _place_in(provider: str, region: str, country: str, path: Path, catalog: Catalog) -> Region:
    unknown = Absent(reason=f"no carbon figure of {country} is in the catalog")
    average = next(
        (r for r in catalog.regions if r.provider == "country" and r.country == country), None
    )
    if average is not None:
        return replace(average, provider=provider, region=region, location=region)
    return Region(
        provider=provider,
        region=region,
        location=region,
        country=country,
        low_g_per_kwh=unknown,
        high_g_per_kwh=unknown,
        intensity_year="",
        pue=unknown,
        source=f"{path.name} (user)",
        pue_source="",
        as_of="",
    )
