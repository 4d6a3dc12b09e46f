"""Catalog tables as they lie in files: strict CSV in, typed rows out.

Files come from strangers, so nothing is guessed: unknown and missing columns, bad numbers, control
characters, oversized files and repeated rows are refused in a sentence that names row, field and
remedy. An empty cell is "not known", never 0.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dlbench.core.catalog import Accelerator, Amount, Catalog, Offer, Region, oldest_date
from dlbench.core.errors import StoreError, UsageError
from dlbench.core.types import Absent

MAX_BYTES = 16 * 1024 * 1024
MAX_ROWS = 100_000
MAX_CELL = 4096
"""Generous for prices of every provider; far from what could fill memory."""
MAX_USD_PER_H = 100_000.0
"""Above any instance that is rented: more is a slip, such as a price of a year."""

MAX_AMOUNT = 1e9
"""Above any count, size or rate of a table: more is a slip too, and products of it overflow."""

T = TypeVar("T")

OFFER_COLUMNS = (
    "provider",
    "instance_type",
    "region",
    "accelerator",
    "accelerator_count",
    "vcpus",
    "memory_gib",
    "ondemand_usd_h",
    "spot_usd_h",
    "cpu_model",
    "price_scope",
    "source",
    "as_of",
    "spot_source",
    "spot_as_of",
    "note",
)
WHOLE = "instance"
EACH = "per GPU, host included"
SCOPES = (WHOLE, EACH, "accelerator slice", "accelerator", "host")
"""What a price is of; those of an accelerator or a host alone are never recommended."""

OFFER_REQUIRED = ("provider", "instance_type", "region", "ondemand_usd_h", "as_of")

ACCELERATOR_COLUMNS = (
    "name",
    "vendor",
    "kind",
    "memory_gib",
    "mem_bw_gb_s",
    "tdp_w",
    "release_year",
    "interconnect",
    "interconnect_gb_s",
    "compute_capability",
    "cores",
    "aliases",
    "confirmed_by_source",
    "not_confirmed",
    "disagreement",
    "note",
    "source",
    "as_of",
)

REGION_COLUMNS = (
    "provider",
    "region",
    "location",
    "country",
    "carbon_intensity_g_per_kwh",
    "intensity_scope",
    "intensity_year",
    "carbon_free_energy_fraction",
    "alt_intensity_g_per_kwh",
    "alt_source",
    "pue",
    "pue_year",
    "pue_scope",
    "source",
    "pue_source",
    "as_of",
    "google_same_grid_region",
    "google_same_grid_g_per_kwh",
    "low_g_per_kwh",
    "high_g_per_kwh",
)

COUNTRY = "country"
"""Extra column of a user's file: where a region of their own stands."""

PEAKS = {
    "fp32": "fp32_tflops",
    "tf32": "tf32_tflops",
    "fp16": "fp16_tflops",
    "bf16": "bf16_tflops",
    "fp8": "fp8_tflops",
    "int8": "int8_tops",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, which knows where it stands: for sentences about it."""

    file: str
    number: int
    cells: Mapping[str, str]

    def refuse(self, field: str, problem: str, remedy: str) -> UsageError:
        """An error on one field of this row."""
        return UsageError(f"{self.file}, row {self.number}: {field} {problem}", remedy)

    def text(self, field: str, *, required: bool = False) -> str:
        """A cell as text, without control characters."""
        text = self.cells.get(field, "").strip()
        if required and not text:
            raise self.refuse(field, "is empty", f"Give {field}, or leave the row out.")
        if len(text) > MAX_CELL or not text.isprintable():
            raise self.refuse(field, "is too long or holds control characters", f"Fix {field}.")
        return text

    def amount(self, field: str, why: str = "") -> Amount:
        """A cell as a finite number of at least 0; Absent where it is empty."""
        text = self.text(field)
        if not text:
            return Absent(reason=why or f"the source does not say {field}")
        try:
            number = float(text)
        except ValueError:
            raise self.refuse(field, f"is no number: {text!r}", "Write it like 1.25.") from None
        if not math.isfinite(number) or number < 0 or "_" in text:
            raise self.refuse(field, f"is {text}", "A finite number of at least 0 is needed.")
        if number > MAX_AMOUNT:
            raise self.refuse(field, f"is {number:g}", f"At most {MAX_AMOUNT:g} is believed.")
        return number

    def size(self, field: str) -> Amount:
        """How much a machine has of something that it cannot lack: above 0, or not known."""
        number = self.amount(field)
        if number == 0:
            remedy = f"Give the number; if it is not known, leave {field} empty."
            raise self.refuse(field, "is 0, and no machine is without", remedy)
        return number

    def price(self, field: str) -> Amount:
        """A price: above 0, or not known."""
        number = self.amount(field, "no price is given")
        if not isinstance(number, Absent) and number > MAX_USD_PER_H:
            raise self.refuse(field, f"is {number:g}", "Give USD an hour of one instance.")
        if number == 0:
            raise self.refuse(
                field,
                "is 0.00, and nothing is for rent at that price",
                f"Give the price; if it is not known, leave {field} empty.",
            )
        return number

    def whole(self, field: str) -> int | Absent:
        """A cell as a whole number."""
        number = self.amount(field)
        return number if isinstance(number, Absent) else round(number)

    def day(self, field: str) -> str:
        """A date: 2026-11-25, or 2026-11, or 2026."""
        text = self.text(field, required=True)
        if oldest_date(text) is None:
            raise self.refuse(field, f"is no date: {text!r}", "Write it like 2026-11-25.")
        return text


# --- reading --------------------------------------------------------------------------------


def read_bytes(path: Path, limit: int = MAX_BYTES, what: str = "a CSV file") -> bytes:
    """A file's bytes, at most ``limit`` of them; ``what`` it should be, for whoever named another.

    Raises:
        StoreError: it cannot be read, is no plain file, or is larger.
    """
    try:
        if not path.is_file():
            raise StoreError(f"{path} is no file", f"Name {what}.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", "Check the path.") from error
    if len(data) > limit:
        raise StoreError(f"{path} is larger than {limit >> 20} MiB", "Cut it to what you need.")
    return data


def table(
    data: bytes,
    file: str,
    *,
    known: Sequence[str],
    required: Sequence[str],
    broken: list[int] | None = None,
) -> Iterator[Row]:
    """The rows of a CSV table with a header line; columns are checked before the first row.

    Any column is allowed where none are ``known``. A row of too few or too many cells is refused, or,
    where a list is given for them, its number is added to ``broken``.
    """
    reader = csv.reader(io.StringIO(_decoded(data, file), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, file, known, required)
        for number, cells in enumerate(reader, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if number > MAX_ROWS:
                raise UsageError(f"{file} has more than {MAX_ROWS:,} rows", "Split it.")
            if len(cells) != len(header) and broken is not None:
                broken.append(number)
                continue
            if len(cells) != len(header):
                raise UsageError(
                    f"{file}, row {number} has {len(cells)} cells where the header has {len(header)}",
                    "Quote cells that hold commas.",
                )
            yield Row(file, number, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise UsageError(f"{file} is no CSV table: {error}", "Save it as CSV in UTF-8.") from error


def _decoded(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}", "Save it as CSV in UTF-8.") from error


def _check_header(
    header: list[str], file: str, known: Sequence[str], required: Sequence[str]
) -> None:
    missing = [name for name in required if name not in header]
    if len(header) == 1 and (apart := next((x for x in ";\t|" if x in header[0]), "")):
        raise UsageError(
            f"{file} has {apart!r} between its cells", "Save it with commas, and numbers like 1.25."
        )
    if missing:
        raise UsageError(
            f"{file} has no column {missing[0]!r}",
            f"Columns: {', '.join(known or required)}; first line.",
        )
    strange = [name for name in header if name not in known]
    if strange and known:
        raise UsageError(
            f"{file} has an unknown column {strange[0]!r}", f"Columns: {', '.join(known)}."
        )
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{file} has the column {twice!r} twice", "Remove one of them.")


def _all(rows: Iterator[Row], build: Callable[[Row], T]) -> tuple[T, ...]:
    return tuple(build(row) for row in rows)


# --- tables ---------------------------------------------------------------------------------


def accelerators(data: bytes, file: str) -> tuple[Accelerator, ...]:
    """The table of devices."""
    known = (*ACCELERATOR_COLUMNS, *PEAKS.values())
    rows = table(data, file, known=known, required=("name", "kind", "source", "as_of"))
    return _all(rows, _accelerator)


def _accelerator(row: Row) -> Accelerator:
    peaks = {name: row.amount(column) for name, column in PEAKS.items()}
    return Accelerator(
        name=row.text("name", required=True),
        vendor=row.text("vendor"),
        kind=row.text("kind", required=True),
        memory_gib=row.amount("memory_gib"),
        memory_bandwidth_gb_per_s=row.amount("mem_bw_gb_s"),
        peak_tflops={name: x for name, x in peaks.items() if not isinstance(x, Absent)},
        tdp_w=row.amount("tdp_w"),
        release_year=row.whole("release_year"),
        interconnect=row.text("interconnect"),
        interconnect_gb_per_s=row.amount("interconnect_gb_s"),
        compute_capability=row.text("compute_capability"),
        aliases=tuple(x for x in row.text("aliases").split("|") if x),
        cores=row.whole("cores"),
        note=row.text("note"),
        disagreement=row.text("disagreement"),
        not_confirmed=row.text("not_confirmed"),
        source=row.text("source", required=True),
        as_of=row.day("as_of"),
    )


def offers(data: bytes, file: str, origin: str) -> tuple[Offer, ...]:
    """A table of offers, shipped or a user's own; its columns are in docs/catalog.md."""
    rows = table(data, file, known=(*OFFER_COLUMNS, COUNTRY), required=OFFER_REQUIRED)
    found: dict[tuple[str, str, str, str], Offer] = {}
    for row in rows:
        offer = _offer(row, origin)
        if offer.key in found:
            raise row.refuse(
                "instance_type", f"repeats {offer.name}, which has a row above", "Remove one."
            )
        found[offer.key] = offer
    return tuple(found.values())


def _offer(row: Row, origin: str) -> Offer:
    accelerator = row.text("accelerator") or None
    count = row.amount("accelerator_count")
    if accelerator is None and isinstance(count, Absent) and row.text("vcpus"):
        count = 0.0
    if accelerator is None and not isinstance(count, Absent) and count > 0:
        raise row.refuse(
            "accelerator", f"is empty, and accelerator_count is {count:g}", "Name the accelerator."
        )
    if accelerator is not None and (isinstance(count, Absent) or count == 0):
        raise row.refuse(
            "accelerator_count", f"is missing for {accelerator}", "Say how many an instance has."
        )
    spot = row.price("spot_usd_h")
    return Offer(
        provider=_seller(row),
        instance_type=row.text("instance_type", required=True),
        region=row.text("region", required=True),
        accelerator=accelerator,
        accelerator_count=count,
        vcpus=row.size("vcpus"),
        memory_gib=row.size("memory_gib"),
        ondemand_usd_per_h=row.price("ondemand_usd_h"),
        spot_usd_per_h=spot,
        cpu_model=row.text("cpu_model"),
        price_scope=_scope(row, count),
        source=row.text("source") or f"{row.file} (user)",
        as_of=row.day("as_of"),
        spot_source=row.text("spot_source"),
        spot_as_of=_spot_day(row, spot),
        note=row.text("note"),
        origin=origin,
    )


def _spot_day(row: Row, spot: Amount) -> str:
    """The spot price's own day; else that of the other price, where there is one."""
    if row.text("spot_as_of"):
        return row.day("spot_as_of")
    return "" if isinstance(spot, Absent) else row.day("as_of")


def _scope(row: Row, count: Amount) -> str:
    scope = row.text("price_scope") or WHOLE
    if scope not in SCOPES or (scope == EACH and count != 1):
        raise row.refuse(
            "price_scope",
            f"is {scope!r}",
            f"Give the whole instance's price, or one of: {'; '.join(SCOPES)}.",
        )
    return scope


def _seller(row: Row) -> str:
    """Small letters, as the catalog has all: "AWS" is no other seller than "aws"."""
    return row.text("provider", required=True).lower()


def canonical(offers_: Sequence[Offer], catalog: Catalog, file: str) -> tuple[Offer, ...]:
    """Offers with their accelerators under the catalog's names.

    Raises:
        UsageError: an accelerator has no such name or alias, or two names of a row are one.
    """
    found: dict[tuple[str, str, str, str], Offer] = {}
    for offer in offers_:
        device = catalog.accelerator(offer.accelerator) if offer.accelerator else None
        if offer.accelerator and device is None:
            raise UsageError(
                f"{file}: accelerator {offer.accelerator!r} of {offer.name} is not in the catalog",
                "dlbench catalog list accelerators shows the names and aliases that are known.",
            )
        named = offer if device is None else replace(offer, accelerator=device.name)
        if named.key in found:
            raise UsageError(
                f"{file}: {offer.accelerator!r} of {offer.name} is {named.accelerator}, which has a "
                "row there already",
                "Remove one.",
            )
        found[named.key] = named
    return tuple(found.values())


def countries(data: bytes, file: str) -> tuple[tuple[str, str, str], ...]:
    """Where a user's regions stand: provider, region and a code of two letters, each once."""
    rows = table(data, file, known=(*OFFER_COLUMNS, COUNTRY), required=OFFER_REQUIRED)
    found: dict[tuple[str, str, str], None] = {}
    for row in rows:
        code = row.text(COUNTRY).upper()
        if code and (len(code) != len("DE") or not code.isalpha()):
            raise row.refuse(
                COUNTRY, f"is {code!r}", "A code of two letters is needed, such as DE."
            )
        if code:
            found[_seller(row), row.text("region"), code] = None
    return tuple(found)


def regions(data: bytes, file: str) -> tuple[Region, ...]:
    """The table of places."""
    return _all(table(data, file, known=REGION_COLUMNS, required=REGION_COLUMNS[:4]), _region)


def _region(row: Row) -> Region:
    return Region(
        provider=row.text("provider", required=True),
        region=row.text("region", required=True),
        location=row.text("location"),
        country=row.text("country"),
        low_g_per_kwh=row.amount("low_g_per_kwh", "no carbon figure of this place was found"),
        high_g_per_kwh=row.amount("high_g_per_kwh", "no carbon figure of this place was found"),
        intensity_year=row.text("intensity_year"),
        pue=row.amount("pue", "no PUE of this provider was found"),
        source=_intensity_sources(row),
        pue_source=row.text("pue_source"),
        as_of=row.day("as_of"),
    )


def _intensity_sources(row: Row) -> str:
    """Everyone whose figure is an end of the range, or lies in it."""
    source, year = row.text("source"), row.text("intensity_year")
    neighbour = row.text("google_same_grid_region")
    named = (
        f"{source}, {year}" if source and year else source,
        row.text("alt_source"),
        f"gcp/{neighbour} on the same grid" if neighbour else "",
    )
    return "; ".join(name for name in named if name)


def offers_csv(offers_: Sequence[Offer]) -> str:
    """Offers as a table that ``offers`` reads back."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(OFFER_COLUMNS)
    for offer in offers_:
        writer.writerow(_cells(offer))
    return out.getvalue()


def _cells(offer: Offer) -> tuple[str, ...]:
    def number(x: Amount) -> str:
        return "" if isinstance(x, Absent) else f"{x:.10g}"

    return (
        offer.provider,
        offer.instance_type,
        offer.region,
        offer.accelerator or "",
        number(offer.accelerator_count),
        number(offer.vcpus),
        number(offer.memory_gib),
        number(offer.ondemand_usd_per_h),
        number(offer.spot_usd_per_h),
        offer.cpu_model,
        offer.price_scope,
        offer.source,
        offer.as_of,
        offer.spot_source,
        offer.spot_as_of,
        offer.note,
    )
