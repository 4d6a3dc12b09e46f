"""Offers through gpuhunt (extra ``prices``), which asks sellers or reads dstack's daily collection.

Each seller is asked on its own, so that one which fails loses nothing of the others.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from dlbench.core.catalog import SKYPILOT_RUNPOD, Accelerator, Amount, Catalog, Offer
from dlbench.core.errors import MissingError, UsageError
from dlbench.core.fetching import Fetched
from dlbench.core.types import Absent
from dlbench.providers import _accelerators, _currencies

SELLERS = (
    "aws",
    "azure",
    "gcp",
    "lambdalabs",
    "nebius",
    "oci",
    "runpod",
    "verda",
    "vastai",
)
"""Sellers that gpuhunt can read without anybody's credentials."""

OUR_NAMES = {"lambdalabs": "lambda", "vastai": "vast", "datacrunch": "verda"}

SOURCE = "gpuhunt"

NOT_ON_DEMAND = {
    "gcp-dws-calendar-mode": "price of a reservation in Google's calendar",
    "runpod-cluster": "rented only as part of a cluster",
}
"""gpuhunt's marks of items that are not for whoever comes, and are cheaper or dearer for it."""


def fetch(where: str, catalog: Catalog, as_of: str, seller: str) -> tuple[Fetched, ...]:
    """Ask gpuhunt for one seller, or for all.

    Raises:
        UsageError: a place is named, which gpuhunt does not read, or a seller asks for no dollars.
        MissingError: gpuhunt is not installed, or none of the sellers answered.
    """
    if where:
        raise UsageError(
            f"gpuhunt asks the sellers, and reads no {where}",
            "Leave --source out for a table of SkyPilot's, or --from for gpuhunt.",
        )
    _currencies.refuse_foreign(seller.lower())
    theirs = {ours: name for name, ours in OUR_NAMES.items()}
    wanted = (theirs.get(seller, seller),) if seller else SELLERS
    fetched, failures = [], []
    with _overheard() as records:
        hunt = _catalog()
        reasons = dict(filter(None, map(_reason, records)))
        for name in wanted:
            items = _items(hunt, name, reasons)
            if isinstance(items, str):
                failures.append((items, 1))
            else:
                fetched.append(read(items, catalog, as_of=as_of, seller=OUR_NAMES.get(name, name)))
    if not fetched:
        raise MissingError(
            f"gpuhunt got nothing: {failures[0][0]}", "Check the connection, or use --from FILE."
        )
    problems = (*fetched[0].problems, *failures, *_passed_over(records))
    return (replace(fetched[0], problems=problems), *fetched[1:])


def _catalog() -> Any:  # noqa: ANN401 - gpuhunt has no types of ours
    try:
        import gpuhunt
    except ImportError as error:
        raise MissingError(
            "gpuhunt is not installed",
            "pip install 'dlbench[prices]', or: dlbench catalog update --from FILE",
        ) from error
    try:
        return gpuhunt.default_catalog()
    except (OSError, RuntimeError, ValueError, gpuhunt.GPUHuntError) as error:
        why = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        raise MissingError(
            f"gpuhunt cannot load its catalog: {why}", "Check the connection, or use --from FILE."
        ) from error


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it; nothing is written."""
        self.records.append(record)


@contextlib.contextmanager
def _overheard() -> Iterator[list[logging.LogRecord]]:
    """What gpuhunt logs meanwhile, kept from the terminal, where it would write tracebacks."""
    handler = _Kept()
    logger = logging.getLogger("gpuhunt")
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield handler.records
    finally:
        logger.propagate = before
        logger.removeHandler(handler)


PROVIDER = "Provider"
"""How the names of gpuhunt's classes of sellers end."""


def _reason(record: logging.LogRecord) -> tuple[str, str] | None:
    """The seller of whom gpuhunt says that it has nothing, and why; None where it says something else.

    It logs a seller's name with an exception, or the name of its class (``SeewebProvider``).
    """
    subject = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
    if subject and record.exc_info:
        return subject, str(record.exc_info[1])
    if subject.endswith(PROVIDER):
        return subject.removesuffix(PROVIDER).lower(), record.getMessage()
    return None


def _passed_over(records: Iterable[logging.LogRecord]) -> list[tuple[str, int]]:
    """What gpuhunt says of rows that it leaves out: the first of each kind, and how many there are."""
    kinds: dict[str, list[str]] = {}
    for record in records:
        if record.levelno == logging.WARNING and _reason(record) is None:
            kinds.setdefault(str(record.msg), []).append(record.getMessage())
    return [(f"gpuhunt: {told[0]}", len(told)) for told in kinds.values()]


def _items(hunt: Any, name: str, reasons: dict[str, str]) -> list[Any] | str:  # noqa: ANN401
    """One seller's items, or a sentence; whatever a seller's code raises is that seller's alone."""
    if name in reasons:
        return f"{name}: {reasons[name]}"
    try:
        return list(hunt.query(provider=name))
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{name}: {type(error).__name__}: {error}"


def read(items: Iterable[Any], catalog: Catalog, *, as_of: str, seller: str) -> Fetched:
    """Offers of gpuhunt's items: its on-demand and spot items of a machine become one offer."""
    found: dict[tuple[object, ...], Offer] = {}
    problems: dict[str, int] = {}
    digest = hashlib.sha256()
    known = _accelerators.of_types(catalog, seller)
    for item in items:
        digest.update(repr(item).encode())
        offer = _offer(item, catalog, as_of, seller, known)
        if isinstance(offer, str):
            problems[offer] = problems.get(offer, 0) + 1
            continue
        machine = (offer.key, offer.accelerator_count, offer.vcpus, offer.memory_gib)
        other = found.get(machine)
        found[machine] = offer if other is None else _joined(other, offer)
    return Fetched(
        name=f"gpuhunt-{seller}",
        source=SOURCE,
        offers=_named_apart(tuple(found.values())),
        raw=digest.digest(),
        problems=tuple(sorted(problems.items())),
    )


def _named_apart(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """Machines of several sizes that have one name (a platform of Nebius's), with their sizes in it."""
    machines = Counter(offer.key for offer in offers)
    return tuple(
        o
        if machines[o.key] == 1
        else replace(o, instance_type=f"{o.instance_type} {_size(o)}".strip())
        for o in offers
    )


def _size(offer: Offer) -> str:
    parts = ((offer.accelerator_count, "gpu"), (offer.vcpus, "vcpu"), (offer.memory_gib, "gib"))
    return "-".join(f"{x:g}{unit}" for x, unit in parts if not isinstance(x, Absent) and x > 0)


def _offer(
    item: Any,  # noqa: ANN401
    catalog: Catalog,
    as_of: str,
    seller: str,
    known: dict[str, Accelerator],
) -> Offer | str:
    name, remark = None, ""
    count = float(item.gpu_count or 0)
    there = known.get(str(item.instance_name).lower())
    for mark in getattr(item, "flags", None) or ():
        if mark in NOT_ON_DEMAND:
            return f"{NOT_ON_DEMAND[mark]}: left out"
    if count:
        device, remark = _accelerators.resolve(
            catalog, str(item.gpu_name), [str(item.instance_name)], item.gpu_memory, there
        )
        if device is None:
            return f"{remark}: left out"
        name = device.name
    elif there is not None:
        return f"no accelerator is named, and the catalog has {there.name} there: left out"
    price: Amount = (
        float(item.price) if item.price and item.price > 0 else Absent(reason="no price")
    )
    if isinstance(price, Absent):
        return "price of 0, left out"
    unknown = Absent(reason="not among gpuhunt's items")
    return Offer(
        provider=seller,
        instance_type=_type(item, seller, name),
        region=_region(item, seller),
        accelerator=name,
        accelerator_count=count,
        vcpus=float(item.cpu) if item.cpu else Absent(reason="gpuhunt does not say"),
        memory_gib=float(item.memory) if item.memory else Absent(reason="gpuhunt does not say"),
        ondemand_usd_per_h=unknown if item.spot else price,
        spot_usd_per_h=price if item.spot else unknown,
        cpu_model="",
        price_scope="instance",
        source=SOURCE,
        as_of=as_of,
        spot_source=SOURCE if item.spot else "",
        spot_as_of=as_of if item.spot else "",
        note=remark,
        origin="fetched: gpuhunt",
    )


def _region(item: Any, seller: str) -> str:  # noqa: ANN401
    """Where it is; of Google's the region, which is what all other tables name, of a zone."""
    place = str(item.location)
    return place.rpartition("-")[0] if seller == "gcp" and GCP_ZONE.search(place) else place


GCP_ZONE = re.compile(r"\d-[a-z0-9]+$")
"""us-central1-a."""


def _type(item: Any, seller: str, accelerator: str | None) -> str:  # noqa: ANN401
    """The type's name; of Google's N1 hosts with what is attached, of which each has many.

    RunPod's names are of one card, however many there are: as its own price list has them, where data
    centres (US-KS-2) are secure, and countries (US) the community's.
    """
    host = str(item.instance_name)
    if seller == "runpod" and item.gpu_count:
        if accelerator not in SKYPILOT_RUNPOD:
            return f"{item.gpu_count:g}x {host}"
        cloud = "SECURE" if "-" in str(item.location) else "COMMUNITY"
        return f"{item.gpu_count:g}x_{accelerator}_{cloud}"
    if seller == "gcp" and host.startswith("n1-") and item.gpu_count:
        return f"{host}+{str(item.gpu_name).lower()}x{item.gpu_count:g}"
    return host


def _joined(a: Offer, b: Offer) -> Offer:
    """With the lowest prices of both: zones of a region may differ."""
    return replace(
        a,
        ondemand_usd_per_h=_lowest(a.ondemand_usd_per_h, b.ondemand_usd_per_h),
        spot_usd_per_h=_lowest(a.spot_usd_per_h, b.spot_usd_per_h),
        spot_source=a.spot_source or b.spot_source,
        spot_as_of=a.spot_as_of or b.spot_as_of,
    )


def _lowest(a: Amount, b: Amount) -> Amount:
    if isinstance(a, Absent):
        return b
    return a if isinstance(b, Absent) else min(a, b)
