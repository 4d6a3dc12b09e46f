"""How the catalog is printed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from dlbench.catalog import ages
from dlbench.catalog.lint import OLD_PRICE, Finding
from dlbench.catalog.query import Change
from dlbench.catalog.stored import Receipt
from dlbench.cli import show
from dlbench.core import units
from dlbench.core.catalog import Accelerator, Amount, Offer, Region
from dlbench.core.errors import DlbenchError
from dlbench.core.fetching import Fetched
from dlbench.core.types import Absent

FEW = 8
"""Findings of one rule that are printed unless all are asked for."""

WIDE = 100
"""Narrower, sizes of machines, and kinds and years of accelerators, are left out; ``catalog show`` of
one has them."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")


def amount(number: Amount | int, digits: int = 4) -> str:
    """A number with few digits, or a dash."""
    if isinstance(number, Absent):
        return "-"
    return f"{number:,.0f}" if number >= 10**digits else f"{number:.{digits}g}"


def offers(found: Sequence[Offer], limit: int, today: date, *, sources: bool = False) -> None:
    """Offers as a table; a price that is older than its seller's kind allows is marked."""
    if not found:
        show.line("no offer matches")
        return
    wide = sources or _wide()
    rows = [
        (
            offer.name,
            _hardware(offer),
            *((amount(offer.vcpus), amount(offer.memory_gib)) if wide else ()),
            _price(offer.ondemand_usd_per_h),
            _spot(offer, today),
            offer.as_of + ("*" if ages.stale(offer, today) else ""),
        )
        for offer in found[:limit]
    ]
    size = ("vCPU", "GiB") if wide else ()
    names = ("offer", "hardware", *size, "USD/h", "spot", "as of")
    show.table(names, rows)
    show.line("* older than 7 days (marketplace), 30 (small cloud) or 90 (hyperscaler)")
    if len(found) > limit:
        show.line(f"{len(found) - limit} more: --limit {len(found)}, or filter")
    if sources:
        for source in dict.fromkeys(offer.source for offer in found):
            show.line(f"source: {source}")
        for note in dict.fromkeys(offer.note for offer in found if offer.note):
            show.line(f"note: {note}")


def _wide() -> bool:
    return show.console().width >= WIDE


def _hardware(offer: Offer) -> str:
    if offer.accelerator is None:
        unknown = isinstance(offer.accelerator_count, Absent)
        return "not stated" if unknown else offer.cpu_model or "CPU"
    return f"{amount(offer.accelerator_count)} x {offer.accelerator}"


def _spot(offer: Offer, today: date) -> str:
    """A spot price, which has a date of its own: marked as the other one's is."""
    known = not isinstance(offer.spot_usd_per_h, Absent)
    old = known and ages.stale(offer, today, spot=True)
    return _price(offer.spot_usd_per_h) + ("*" if old else "")


def _price(price: Amount) -> str:
    return "-" if isinstance(price, Absent) else f"{price:.3f}" if price >= 1 else f"{price:.4f}"


def accelerators(found: Sequence[Accelerator]) -> None:
    """Devices as a table of dense peaks."""
    all_ = len(found) == 1 or _wide()
    rows = [
        (
            a.name,
            *((a.kind,) if all_ else ()),
            amount(a.memory_gib),
            amount(a.memory_bandwidth_gb_per_s),
            *(amount(a.peak_tflops[p]) if p in a.peak_tflops else "-" for p in PRECISIONS),
            amount(a.tdp_w),
            *((_year(a),) if all_ else ()),
        )
        for a in found
    ]
    kind, year = (("kind",), ("year",)) if all_ else ((), ())
    show.table(("name", *kind, "GiB", "GB/s", *PRECISIONS, "W", *year), rows)
    show.line("TFLOPS and TOPS are dense peaks; of processors computed, a socket")


def _year(device: Accelerator) -> str:
    return "-" if isinstance(device.release_year, Absent) else str(device.release_year)


def accelerator(device: Accelerator) -> None:
    """One device with where its figures are from, and who disagrees."""
    accelerators([device])
    show.line(f"also called: {', '.join(device.aliases) or 'nothing else'}")
    show.line(f"source: {device.source}, read {device.as_of}")
    for label, text in (
        ("not confirmed by a second source", device.not_confirmed),
        ("sources disagree", device.disagreement),
        ("note", device.note),
    ):
        if text:
            show.line(f"{label}: {text}")


def regions(found: Sequence[Region]) -> None:
    """Places as a table; all of it where there is room."""
    names = ("provider", "region", "location", "country", "g CO2e/kWh", "PUE", "year")
    shown = len(names) if _wide() else names.index("PUE")
    rows = [
        (
            r.provider,
            r.region,
            r.location,
            r.country or "-",
            " to ".join(dict.fromkeys(map(amount, (r.low_g_per_kwh, r.high_g_per_kwh)))),
            amount(r.pue),
            r.intensity_year or "-",
        )[:shown]
        for r in found
    ]
    show.table(names[:shown], rows, whole=[name for name in names if name != "location"])
    if shown < len(names):
        show.line(f"PUE and year: in {WIDE} columns, or --json")


def findings(found: Sequence[Finding], limit: int) -> None:
    """What the linter found, by rule."""
    if not found:
        show.line("nothing to remark")
        return
    by_rule: dict[tuple[str, str], list[Finding]] = {}
    for finding in found:
        by_rule.setdefault((finding.severity, finding.rule), []).append(finding)
    for (severity, rule), members in by_rule.items():
        show.line(f"{severity}: {rule}, {len(members)}")
        for finding in members[:limit]:
            show.line(f"  {finding.offer}: {finding.sentence}")
        if len(members) > limit:
            show.line(f"  and {len(members) - limit} more: dlbench catalog check --all")
        if rule == OLD_PRICE:
            show.line("  newer ones: dlbench catalog update; yours: dlbench catalog add prices.csv")


def problems(sentences: Sequence[str]) -> None:
    """Files that could not be read."""
    for sentence in sentences:
        show.line(f"left out: {sentence}")


def changes(found: Sequence[Change]) -> None:
    """What differs from the shipped rows."""
    if not found:
        show.line(
            "nothing differs from the shipped rows: dlbench catalog update fetches newer prices, "
            "dlbench catalog add prices.csv takes yours"
        )
        return
    rows = [
        (
            c.kind,
            c.offer,
            c.field.removesuffix("_usd_per_h"),
            _side(c, c.before),
            _side(c, c.after),
            "-" if c.ratio is None else f"{c.ratio - 1:+.0%}",
        )
        for c in found
    ]
    show.table(("change", "offer", "what", "before", "after", "by"), rows)


def _side(change: Change, value: Amount | str) -> str:
    """A price, a size, or words."""
    if isinstance(value, str):
        return value or "-"
    return amount(value) if change.kind == "machine" else _price(value)


def updated(
    done: Sequence[tuple[Fetched, Receipt]], failed: Sequence[tuple[str, DlbenchError]]
) -> None:
    """What was stored, what was left out of it, and what failed."""
    for fetched, receipt in done:
        offers_ = units.counted(receipt.rows, "offer")
        show.line(f"{fetched.name}: {offers_} stored, from {receipt.source}")
        for sentence, count in fetched.problems:
            show.line(f"  {count} x {sentence}")
    for place, error in failed:
        show.line(
            f"failed: {place}: {error.message}" + (f" -> {error.advice}" * bool(error.advice))
        )
    if done:
        show.line(
            "used from now on where no newer price was fetched, by dlbench recommend too; what "
            "changed: dlbench catalog diff"
        )
