"""``dlbench catalog``: what can be rented or used, at which price, of which date."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlbench.cli import completing
from dlbench.core import units
from dlbench.core.errors import DlbenchError, GateError, UsageError

if TYPE_CHECKING:
    from dlbench.catalog.stored import Receipt
    from dlbench.core.fetching import Fetched

app = typer.Typer(
    add_completion=False,  # the root has it
    no_args_is_help=True,
    help="Accelerators, offers with dated prices, regions. Works offline; only `update` may connect.",
)

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Files = Annotated[
    list[Path] | None, typer.Option("--catalog", help="Your own price file, over all others.")
]


class What(StrEnum):
    """What can be listed."""

    OFFERS = "offers"
    ACCELERATORS = "accelerators"
    REGIONS = "regions"


MOST_SHOWN = 40
"""Offers, unless another ``--limit`` is given."""


def today() -> date:
    """The day that ages are counted to."""
    return datetime.now(UTC).date()


@app.command("list")
def list_catalog(  # noqa: PLR0913, PLR0917 - one parameter an option
    what: Annotated[What, typer.Argument(help="offers, accelerators or regions.")] = What.OFFERS,
    provider: Annotated[str, typer.Option(help="One provider only.")] = "",
    accelerator: Annotated[
        str,
        typer.Option(
            help="One accelerator, by any of its names.", autocompletion=completing.accelerators
        ),
    ] = "",
    region: Annotated[
        str,
        typer.Option(help="A region, or a country such as DE.", autocompletion=completing.regions),
    ] = "",
    cpu: Annotated[bool, typer.Option("--cpu", help="Machines without accelerators.")] = False,
    max_usd_per_h: Annotated[
        float | None, typer.Option(min=0, help="Largest price an hour.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Rows to print; --json prints all.")
    ] = MOST_SHOWN,
    files: Files = None,
    json: Json = False,
) -> None:
    """List offers, the cheapest an hour first; or accelerators, or regions.

    Example: dlbench catalog list --accelerator A100-80GB --region US
    """
    from dlbench import catalog
    from dlbench.catalog import query
    from dlbench.cli import show, show_catalog

    if max_usd_per_h is not None and math.isnan(max_usd_per_h):
        raise UsageError("--max-usd-per-h nan is no price", "--max-usd-per-h 2.50")
    if what is not What.OFFERS:
        _refuse_of_offers(
            what,
            {
                "--provider": provider,
                "--accelerator": accelerator,
                "--region": region,
                "--cpu": cpu,
                "--max-usd-per-h": max_usd_per_h is not None,
                "--limit": limit != MOST_SHOWN,
            },
        )
    loaded = catalog.load(files or [])
    if what is What.ACCELERATORS:
        if json:
            show.as_json([asdict(a) for a in loaded.accelerators])
        else:
            show_catalog.accelerators(loaded.accelerators)
        return
    if what is What.REGIONS:
        if json:
            show.as_json([asdict(r) for r in loaded.regions])
        else:
            show_catalog.regions(loaded.regions)
        return
    wanted = query.Filter(
        provider=provider,
        accelerator=accelerator,
        region=region,
        cpu_only=cpu,
        max_usd_per_h=max_usd_per_h,
    )
    found = query.offers(loaded, wanted)
    if json:
        show.as_json([asdict(offer) for offer in found])
    else:
        show_catalog.offers(found, limit, today())
        show_catalog.problems(loaded.problems)


def _refuse_of_offers(what: What, given: Mapping[str, object]) -> None:
    """A list that was narrowed in vain looks like one that was."""
    meant = [option for option, value in given.items() if value]
    if meant:
        raise UsageError(
            f"{' and '.join(meant)} {'choose' if len(meant) > 1 else 'chooses'} offers, and {what} are "
            "listed",
            f"dlbench catalog list, or dlbench catalog list {what} without it.",
        )


@app.command("show")
def show_one(
    name: Annotated[
        str,
        typer.Argument(
            help="An accelerator by any name, or an instance type.",
            autocompletion=completing.accelerators_and_instances,
        ),
    ],
    files: Files = None,
    json: Json = False,
) -> None:
    """Show all that is known of one accelerator or instance type, with sources and dates.

    Example: dlbench catalog show "NVIDIA A100-SXM4-80GB"
    """
    from dlbench import catalog
    from dlbench.catalog import lint, query
    from dlbench.cli import show, show_catalog

    loaded = catalog.load(files or [])
    offers = tuple(o for o in loaded.offers if o.instance_type.lower() == name.lower())
    device = loaded.accelerator(name)
    if not offers and device is None:
        device = query.known_accelerator(loaded, name)
    if device is not None:
        # Some sellers call an instance as its accelerator: whoever asks for H100 means all of them.
        of_device = query.offers(loaded, query.Filter(accelerator=device.name))
        offers = (*of_device, *(o for o in offers if o not in of_device))
    names = {offer.name for offer in offers}
    findings = [f for f in lint.check(loaded, today()) if f.offer in names]
    if json:
        show.as_json(
            {
                "accelerator": asdict(device) if device else None,
                "offers": [asdict(offer) for offer in offers],
                "findings": [asdict(finding) for finding in findings],
            }
        )
        return
    if device is not None:
        show_catalog.accelerator(device)
    show_catalog.offers(offers, len(offers), today(), sources=device is None)
    show_catalog.findings(findings, limit=show_catalog.FEW)
    show_catalog.problems(loaded.problems)


@app.command("check")
def check(
    max_price_age: Annotated[
        int | None, typer.Option(min=0, help="Days; an older price is an error.")
    ] = None,
    files: Files = None,
    json: Json = False,
    verbose: Annotated[bool, typer.Option("--all", help="Print each finding.")] = False,
) -> None:
    """Check the catalog: placeholders, odd prices, unknown names and places, old prices.

    Ends with exit code 5 if a row must not be believed.

    Example: dlbench catalog check --catalog prices.csv --max-price-age 90
    """
    from dlbench import catalog
    from dlbench.catalog import lint
    from dlbench.cli import show, show_catalog

    loaded = catalog.load(files or [])
    found = lint.check(loaded, today(), max_price_age)
    if json:
        show.as_json({"findings": [asdict(f) for f in found], "problems": list(loaded.problems)})
    else:
        show_catalog.findings(found, limit=len(found) if verbose else show_catalog.FEW)
        show_catalog.problems(loaded.problems)
    errors = [f for f in found if f.severity == "error"]
    old = {f.offer for f in errors if f.rule == lint.OLD_PRICE}
    wrong = {f.offer for f in errors if f.rule != lint.OLD_PRICE}
    told = [
        f"{len(offers)} of {len(loaded.offers)} offers {what}"
        for offers, what in (
            (wrong, "must not be believed"),
            (old, "have a price older than --max-price-age"),
        )
        if offers
    ]
    if told:
        raise GateError(
            ", and ".join(told),
            "dlbench catalog check --all names them; correct them in a file of yours: "
            "dlbench catalog add",
        )


@app.command("diff")
def diff(
    file: Annotated[
        Path | None, typer.Argument(help="A price file; default: all of yours.")
    ] = None,
    json: Json = False,
) -> None:
    """Show how rows differ from the shipped ones, in price, machine or day: all of yours, or one file.

    Example: dlbench catalog diff prices.csv
    """
    from dlbench import catalog
    from dlbench.catalog import query
    from dlbench.cli import show, show_catalog

    shipped = catalog.shipped()
    if file is None:
        after = catalog.load()
    else:
        after = catalog.merged(shipped, catalog.read_user_file(file, shipped), str(file))
    changes = query.changes(shipped.offers, after.offers)
    if json:
        show.as_json([{**asdict(c), "ratio": c.ratio} for c in changes])
    else:
        show_catalog.changes(changes)
        show_catalog.problems(after.problems)


@app.command("update")
def update(
    source: Annotated[str, typer.Option("--source", help="gpuhunt, skypilot or file.")] = "",
    where: Annotated[
        list[str] | None,
        typer.Option("--from", help="A path or https address of a price table; may be repeated."),
    ] = None,
    seller: Annotated[str, typer.Option(help="Whose prices, such as aws.")] = "",
    as_of: Annotated[
        str, typer.Option(help="Day of prices that carry none: of a file needed, else today.")
    ] = "",
    json: Json = False,
) -> None:
    """Fetch prices into your own catalog: through gpuhunt, or from SkyPilot's tables.

    The one command that may open a connection, and only when it is called. What fails loses nothing of
    the others, and nothing that was there.

    Example: dlbench catalog update --from catalogs/v8/gcp/vms.csv --as-of 2026-11-25
    """
    from dlbench import catalog
    from dlbench.catalog import stored
    from dlbench.cli import show, show_catalog
    from dlbench.core import registry
    from dlbench.core.catalog import oldest_date

    if as_of and oldest_date(as_of) is None:
        raise UsageError(f"--as-of {as_of!r} is no date", "Write it like 2026-11-25.")
    chosen = source or ("skypilot" if where or seller else "gpuhunt")
    provider = registry.provider(chosen)
    loaded = catalog.shipped()
    done: list[tuple[Fetched, Receipt]] = []
    failed: list[tuple[str, DlbenchError]] = []
    for place in where or [""]:
        over_the_net = not place or "://" in place
        day = as_of or (str(today()) if over_the_net else "")
        try:
            found = provider.fetch(place, loaded, day, seller)
        except DlbenchError as error:
            failed.append((place or chosen, error))
            continue
        for fetched in map(stored.readable, found):
            try:
                _refuse_loss(fetched, [one.name for one, _ in done])
                receipt = stored.receipt_of(
                    fetched.offers, source=fetched.source, fetched_on=str(today()), raw=fetched.raw
                )
                stored.write_fetched(fetched.name, fetched.offers, receipt)
                done.append((fetched, receipt))
            except DlbenchError as error:
                failed.append((place or fetched.name, error))
    if json:
        show.as_json(
            {
                "stored": [
                    {"name": f.name, **asdict(r), "problems": dict(f.problems)} for f, r in done
                ],
                "failed": [
                    {"from": place, "error": e.message, "advice": e.advice} for place, e in failed
                ],
            }
        )
    elif done or len(failed) > 1:
        show_catalog.updated(done, failed)
    if failed and not done:
        raise failed[0][1]


def _refuse_loss(fetched: Fetched, done: Sequence[str]) -> None:
    """What is stored takes the place of all that was under its name.

    Raises:
        UsageError: that would lose it for nothing, or for another table of the same call.
    """
    if not fetched.offers:
        why = "; ".join(f"{n} x {sentence}" for sentence, n in fetched.problems[:3])
        raise UsageError(
            f"no row of {fetched.source} can be used ({why or 'it has none'}), and what was stored of "
            f"{fetched.name} stays",
            "See that the table is whole, and the one that you mean.",
        )
    if fetched.name in done:
        raise UsageError(
            f"{fetched.source} is a second table of {fetched.name}, and would take its place",
            "Make one table of them; --seller is for all that are named in one call.",
        )


@app.command("add")
def add(
    file: Annotated[Path | None, typer.Argument(help="Your price file, CSV.")] = None,
    remove: Annotated[str, typer.Option(help="Take away a file that was added, by name.")] = "",
    json: Json = False,
) -> None:
    """Add a price file of your own: its rows win over all others from then on.

    Columns: provider, instance_type, region, ondemand_usd_h, as_of; and for what is known: accelerator,
    accelerator_count, vcpus, memory_gib, spot_usd_h, cpu_model, country, source, note. See
    docs/catalog.md.

    Example: dlbench catalog add prices.csv
    """
    from dlbench import catalog
    from dlbench.catalog import lint, stored
    from dlbench.cli import show, show_catalog
    from dlbench.core import catalog_rows

    if remove and file is not None:
        raise UsageError(
            f"{file} is to be added, and {remove} to be taken away: one of them at a time",
            f"dlbench catalog add --remove {remove}, then dlbench catalog add {file}",
        )
    if remove:
        gone = stored.remove(remove)
        if json:
            show.as_json({"removed": str(gone)})
        else:
            show.line(f"{gone} is removed")
        return
    if file is None:
        raise UsageError("no file is given", "dlbench catalog add prices.csv")
    below = catalog.fetched()
    offers = catalog.read_user_file(file, below)
    if not offers:
        raise UsageError(f"{file} has no row", "To take away what was added: add --remove NAME.")
    before = stored.user_files()
    others = [p for p in before if p.stem != file.stem]
    catalog.with_files(below, [*others, file])
    kept = stored.add(file, catalog_rows.read_bytes(file))
    names = {offer.name for offer in offers}
    findings = [f for f in lint.check(catalog.load(), today()) if f.offer in names]
    if json:
        show.as_json(
            {"added": str(kept), "rows": len(offers), "findings": [asdict(f) for f in findings]}
        )
        return
    again = ", in place of what was added under that name" if len(others) < len(before) else ""
    rows = units.counted(len(offers), "row")
    show.line(f"{rows} of {file} added as {kept}{again}")
    show_catalog.findings(findings, limit=show_catalog.FEW)
