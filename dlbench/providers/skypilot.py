"""Offers from SkyPilot's catalog files (``<cloud>/vms.csv``), which differ by cloud and by version.

What they hold is not always what it says: hosts and accelerators priced apart, placeholders of 700 USD,
spot prices of 0 or equal to the full price, gigabytes in a MiB field, totals in a field for one.
Each of these is taken for what it is, or the row is left out with a reason; ``docs/catalog.md``
lists them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dlbench.core import catalog_rows
from dlbench.core.catalog import (
    PLACEHOLDER_USD_PER_H,
    SKYPILOT_RUNPOD,
    Accelerator,
    Amount,
    Catalog,
    Offer,
)
from dlbench.core.catalog_rows import Row
from dlbench.core.errors import UsageError
from dlbench.core.fetching import Fetched
from dlbench.core.types import Absent
from dlbench.providers import _accelerators, _currencies, _download

MAX_BYTES = 64 * 1024 * 1024
"""The largest file of the real catalog has 4.6 MB."""

DEFAULT = (
    "https://raw.githubusercontent.com/skypilot-org/skypilot-catalog/master/catalogs/v8/{}/vms.csv"
)

REQUIRED = ("InstanceType", "Price", "SpotPrice", "Region")

TOTAL_IN_SIZE = frozenset({"primeintellect", "vast"})
"""Whose SizeInMiB is that of all accelerators of an instance; the others' is of one."""

LEAST_BIDS = frozenset({"mithril"})
"""Whose columns of prices both hold what an auction begins at."""

LEAST_MIB = 1024
"""A memory "in MiB" below this is in GB: RunPod writes 80."""

GCP_BUNDLES = {
    "a2-highgpu": "A100",
    "a2-megagpu": "A100",
    "a2-ultragpu": "A100-80GB",
    "a3-highgpu": "H100",
    "a3-edgegpu": "H100",
    "a3-megagpu": "H100-MEGA",
    "a3-ultragpu": "H200",
    "a4-highgpu": "B200",
    "g2-standard": "L4",
    "g4-standard": "RTXPRO6000",
}
"""GCP's host families that come with a fixed accelerator, which has a row and a price of its own."""

GCP_ACCELERATED = re.compile(r"(?:a|ct)\d|g[2-9]")
"""How names of such families begin, of those to come too (g1-small is a shared core of old)."""

GCP_COUNTS = {
    "g2": {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8},
    "g4": {48: 1, 96: 2, 192: 4, 384: 8},
}
"""How many accelerators one of so many vCPUs has, where the name of its type does not say."""

TPU = re.compile(r"tpu-(v\d+[a-z]*)-(\d{1,6})$")
TPU_CORES_PER_CHIP = {"v2": 2, "v3": 2, "v4": 2, "v5p": 2}
"""These generations' names count cores, of which a chip has two; later ones count chips."""

TPU_NAMES = {"v5litepod": "v5e", "v5e": "v5e"}

RUNPOD_SKYPILOT = {theirs: ours for ours, theirs in SKYPILOT_RUNPOD.items()}
"""Which of an accelerator's forms RunPod's short names are: A100-80GB is the PCIe card."""

COUNTRY_IN_ZONE = re.compile(r"^(?:EUR?|AP|SEA|OC)-([A-Z]{2})-")
"""RunPod's zones name a country; some rows' region names another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of such a file, its numbers read."""

    type: str
    upstream: str
    accelerator: str
    count: float
    vcpus: Amount
    memory_gib: Amount
    gpu_info: str
    price: Amount
    spot: Amount
    region: str
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is the same of all rows of a file; ``known`` are accelerators of the seller's types."""

    catalog: Catalog
    source: str
    as_of: str
    seller: str
    known: dict[str, Accelerator]
    remarks: tuple[str, ...]


def fetch(where: str, catalog: Catalog, as_of: str, seller: str) -> tuple[Fetched, ...]:
    """Read one cloud's file from a path or an https address.

    Raises:
        UsageError: nobody can say whose prices they are, they are not in dollars, or it is no such
            table.
        StoreError, MissingError: it cannot be read.
    """
    seller = _checked(seller.lower(), where) if seller else seller_of(where)
    _currencies.refuse_foreign(seller)
    source = where or DEFAULT.format(seller)
    data = _download.read(source, MAX_BYTES)
    if not as_of:
        raise UsageError(
            f"nobody says of which day the prices of {source} are: these tables carry none, and the "
            "file's own date is that of a copy",
            "Say the day on which SkyPilot had them: --as-of 2026-11-25.",
        )
    return (read(data, source, catalog, as_of=as_of, seller=seller),)


def seller_of(where: str) -> str:
    """Whose file it is, by its folder (``gcp/vms.csv``) or its name (``gcp_v8_vms.csv``)."""
    path = Path(where)
    return _checked(
        path.parent.name if path.stem == "vms" else path.name.split("_")[0].split(".")[0], where
    )


def _checked(name: str, where: str) -> str:
    """The seller's name, which is that of a file too."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,30}", name):
        raise UsageError(
            f"{name!r} is no seller: whose prices {where or 'these'} are cannot be told",
            "Name the cloud: --seller aws",
        )
    return name


def read(data: bytes, source: str, catalog: Catalog, *, as_of: str, seller: str) -> Fetched:
    """The offers of one file's bytes."""
    file = Path(source).name
    problems: Counter[str] = Counter()
    broken: list[int] = []
    rows = catalog_rows.table(data, file, known=(), required=REQUIRED, broken=broken)
    lines = [line for row in rows if (line := _line(row, problems)) is not None]
    if broken:
        problems["a row is cut off or has cells too many: left out"] += len(broken)
    lines = list(dict.fromkeys(lines))
    if seller == "gcp":
        lines = _summed(lines, problems)
    currency = _currencies.remark(seller, catalog)
    everywhere = seller in {"lambda", "runpod"}
    remarks = ("the file lists each type everywhere, available or not" * everywhere, currency)
    table = Table(
        catalog=catalog,
        source=source,
        as_of=as_of,
        seller=seller,
        known=_accelerators.of_types(catalog, seller),
        remarks=tuple(filter(None, remarks)),
    )
    offers = [offer for line in lines if (offer := _offer(line, table, problems)) is not None]
    if currency and offers:
        problems[currency] += len(offers)
    return Fetched(
        name=f"skypilot-{seller}",
        source=source,
        offers=_one_a_region(offers),
        raw=data,
        problems=tuple(sorted(problems.items())),
    )


def _line(row: Row, problems: Counter[str]) -> Line | None:
    try:
        return Line(
            type=row.text("InstanceType"),
            upstream=row.text("UpstreamCloudId"),
            accelerator=row.text("AcceleratorName"),
            count=_or(row.amount("AcceleratorCount"), 0.0),
            vcpus=_some(row.amount("vCPUs")),
            memory_gib=_some(row.amount("MemoryGiB")),
            gpu_info=row.text("GpuInfo"),
            price=row.amount("Price"),
            spot=row.amount("SpotPrice"),
            region=row.text("Region").lstrip(", "),
            zone=row.text("AvailabilityZone"),
        )
    except UsageError as error:
        problems[f"a row could not be read ({error.message})"] += 1
        return None


def _some(amount: Amount) -> Amount:
    """No machine is without: a 0 is not known."""
    return Absent(reason="the file says 0") if amount == 0 else amount


def _or(amount: Amount, otherwise: float) -> float:
    return otherwise if isinstance(amount, Absent) else amount


# --- GCP: hosts and accelerators have rows and prices of their own --------------------------


def _summed(lines: Sequence[Line], problems: Counter[str]) -> list[Line]:
    apart = {
        (line.accelerator, line.count, line.region): line
        for line in lines
        if not line.type and not TPU.match(line.accelerator)
    }
    hosts = [line for line in lines if line.type]
    whole: list[Line] = []
    for host in hosts:
        family = "-".join(host.type.split("-")[:2])
        accelerator = GCP_BUNDLES.get(family)
        if accelerator is None and GCP_ACCELERATED.match(host.type):
            problems[f"{family} comes with accelerators that nobody told us of: left out"] += 1
            continue
        if accelerator is None:
            whole.append(host)
            continue
        count = _bundled(host)
        device = apart.get((accelerator, count, host.region))
        if device is None:
            problems[f"{host.type}'s host has a price, its {accelerator} has none: left out"] += 1
            continue
        whole.append(_sum(host, device))
    alone = [line for line in lines if not line.type and TPU.match(line.accelerator)]
    bundled = set(GCP_BUNDLES.values())
    for name, _, _ in apart:
        if name not in bundled:
            problems[f"{name} is sold without a fixed host and was not summed: left out"] += 1
    return whole + alone


def _bundled(host: Line) -> float:
    counts = GCP_COUNTS.get(host.type.partition("-")[0])
    if counts is not None:
        return float(counts.get(int(_or(host.vcpus, 0)), 0))
    found = re.search(r"-(\d+)g\b", host.type)
    return float(found[1]) if found else 0.0


def _sum(host: Line, device: Line) -> Line:
    def both(a: Amount, b: Amount) -> Amount:
        if isinstance(a, Absent) or isinstance(b, Absent) or {a, b} & {0, PLACEHOLDER_USD_PER_H}:
            return Absent(reason="host or accelerator has no price")
        return a + b

    return replace(
        host,
        accelerator=device.accelerator,
        count=device.count,
        # The host's row has the host's memory; the accelerator's cell, a bare name, would deny it.
        gpu_info=device.gpu_info if "{" in device.gpu_info else "",
        price=both(host.price, device.price),
        spot=both(host.spot, device.spot),
    )


# --- one row to one offer -------------------------------------------------------------------


def _offer(line: Line, table: Table, problems: Counter[str]) -> Offer | None:
    name, count, remark = None, 0.0, ""
    there = table.known.get(line.type.lower())
    if line.accelerator:
        found = _device(line, table, there)
        if isinstance(found, str):
            problems[f"{found}: left out"] += 1
            return None
        name, count, remark = found
    elif there is not None:
        problems[f"no accelerator is named, and the catalog has {there.name} there: left out"] += 1
        return None
    if _contradicts(line, table.seller):
        problems["zone and region are in different countries: left out"] += 1
        return None
    if table.seller in LEAST_BIDS:
        problems["its price is the least bid of an auction: left out"] += 1
        return None
    price, spot = _prices(line, problems)
    if isinstance(price, Absent) and isinstance(spot, Absent):
        problems["no usable price: left out"] += 1
        return None
    return Offer(
        provider=table.seller,
        instance_type=_type(line, name, table.seller),
        region=line.region or "unknown",
        accelerator=name,
        accelerator_count=count,
        vcpus=line.vcpus,
        memory_gib=_host_memory(line),
        ondemand_usd_per_h=price,
        spot_usd_per_h=spot,
        cpu_model="",
        price_scope="instance",
        source=table.source,
        as_of=table.as_of,
        spot_source="" if isinstance(spot, Absent) else table.source,
        spot_as_of="" if isinstance(spot, Absent) else table.as_of,
        note="; ".join(filter(None, (remark, *table.remarks))),
        origin="fetched: skypilot",
    )


def _type(line: Line, accelerator: str | None, seller: str) -> str:
    """The type's name; RunPod's with the accelerator as its own price list has it."""
    if seller == "runpod" and accelerator in SKYPILOT_RUNPOD:
        return line.type.replace(f"_{line.accelerator}_", f"_{accelerator}_")
    return line.type or line.accelerator


def _device(line: Line, table: Table, there: Accelerator | None) -> tuple[str, float, str] | str:
    """Name, count and a remark; or the reason why nobody can say which device it is, or how many."""
    catalog, seller = table.catalog, table.seller
    tpu = TPU.match(line.accelerator)
    if tpu is not None:
        generation = TPU_NAMES.get(tpu[1], tpu[1])
        device = catalog.accelerator(f"TPU-{generation}")
        if device is None:
            return f"accelerator {line.accelerator!r} is in no table"
        return device.name, int(tpu[2]) / TPU_CORES_PER_CHIP.get(generation, 1), "price with host"
    given = line.accelerator
    if seller == "runpod":
        given = RUNPOD_SKYPILOT.get(given, given)
    if seller == "vast":
        # The type still says what the accelerator's name was cut down from.
        given = line.type.partition("-")[2].partition("-")[0] or given
    memory = _memory_gib(line, seller)
    hints = [line.type, line.upstream, line.gpu_info]
    device, remark = _accelerators.resolve(catalog, given, hints, memory, there)
    if device is not None and line.count == 0:
        return f"how many {device.name} one has is not said"
    return remark if device is None else (device.name, line.count, remark)


def _memory_gib(line: Line, seller: str) -> float | None:
    """Memory of one accelerator, from JSON or a Python repr with JSON's null in it; 0 is not known."""
    size = re.search(r"""['"]SizeInMiB['"]:\s*(\d+(?:\.\d+)?)""", line.gpu_info)
    number = float(size[1]) if size else 0.0
    if number == 0:
        return None
    if number < LEAST_MIB:
        return number
    return number / 1024 / (line.count if seller in TOTAL_IN_SIZE and line.count else 1)


def _host_memory(line: Line) -> Amount:
    """Older files have the accelerators' memory in the host's column; they have no sizes either."""
    bare = bool(line.accelerator) and bool(line.gpu_info) and "{" not in line.gpu_info
    if bare and not TPU.match(line.accelerator):
        return Absent(reason="this file's column holds the accelerators' memory")
    return line.memory_gib


def _contradicts(line: Line, seller: str) -> bool:
    zone = COUNTRY_IN_ZONE.match(line.zone)
    return seller == "runpod" and zone is not None and zone[1] != line.region


def _prices(line: Line, problems: Counter[str]) -> tuple[Amount, Amount]:
    price, spot = _real(line.price, problems), _real(line.spot, problems)
    if not isinstance(price, Absent) and not isinstance(spot, Absent) and spot >= price:
        problems["spot price not below the full price, taken as unknown"] += 1
        spot = Absent(reason="the file repeats the on-demand price")
    return price, spot


def _real(price: Amount, problems: Counter[str]) -> Amount:
    if isinstance(price, Absent):
        return price
    if price == 0:
        problems["price of 0.00, taken as unknown"] += 1
        return Absent(reason="the file says 0.00")
    if price == PLACEHOLDER_USD_PER_H:
        problems["placeholder price of 700, taken as unknown"] += 1
        return Absent(reason="the file has a placeholder")
    return price


def _one_a_region(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Zones of a region become one offer with the lowest prices among them."""
    found: dict[tuple[str, str, str, str], Offer] = {}
    for offer in offers:
        other = found.get(offer.key)
        found[offer.key] = offer if other is None else _cheaper(other, offer)
    return tuple(found.values())


def _cheaper(a: Offer, b: Offer) -> Offer:
    spot = _lowest(a.spot_usd_per_h, b.spot_usd_per_h)
    return replace(
        a,
        ondemand_usd_per_h=_lowest(a.ondemand_usd_per_h, b.ondemand_usd_per_h),
        spot_usd_per_h=spot,
        spot_source=a.spot_source or b.spot_source,
        spot_as_of=a.spot_as_of or b.spot_as_of,
        note=a.note
        if "lowest of its zones" in a.note
        else f"{a.note}; lowest of its zones".strip("; "),
    )


def _lowest(a: Amount, b: Amount) -> Amount:
    if isinstance(a, Absent):
        return b
    return a if isinstance(b, Absent) else min(a, b)
