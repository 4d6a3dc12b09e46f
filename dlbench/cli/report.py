"""``dlbench report``: what documents say, as one page, for people or for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlbench.cli import site
from dlbench.cli.site import Intensity, Pue, Region, Tariff
from dlbench.core.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from dlbench.analysis.footprint import Given
    from dlbench.core.recommendation import Need
    from dlbench.core.types import Run
    from dlbench.report.content import Content


class Format(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MD = "md"
    JSON = "json"
    PDF = "pdf"


def report(  # noqa: PLR0913, PLR0917 - a command line is its options
    files: Annotated[
        list[Path],
        typer.Argument(help="Result documents, packed collections (.parquet), or folders of them."),
    ],
    need: Annotated[
        Path | None,
        typer.Option("--need", help="A need as a TOML file: the report opens with what to use."),
    ] = None,
    catalog_files: Annotated[
        list[Path] | None,
        typer.Option("--catalog", help="With --need: your own price file; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The file; default reports/<last run>[-and-<others>].<format>."
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format", help="html, md, json or pdf; default: what --out ends in, else html."
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Documents side by side, one column each (two at least)."),
    ] = False,
    region: Region = None,
    intensity: Intensity = None,
    pue: Pue = None,
    tariff: Tariff = None,
    json: Annotated[bool, typer.Option("--json", help="Print the path as JSON.")] = False,
) -> None:
    """Write a report that opens anywhere, offline, from result documents.

    Example: dlbench report results/ -o report.html

    Example: dlbench report a.json b.json --compare --format pdf

    Example: dlbench report results/ --need need.toml -o answer.html

    Example: dlbench report results/ --region DE --pue 1.0 --tariff 0.32
    """
    from dlbench.cli import show
    from dlbench.store import runs as store

    kind = format_ or _by_suffix(out)
    given = site.given(region, intensity, pue, tariff)
    paths = _paths(files)
    if out is not None:
        store.check_spared(out, paths)
    runs, tables = _read(paths)
    content = replace(_content(runs, tables, compare=compare, given=given), sealed=_sealed(paths))
    if need is not None:
        content = _with_answer(content, runs, need, catalog_files or [])
    path = out or Path("reports") / f"{_name(content)}.{kind}"
    _write(_data(content, kind), path)
    if json:
        show.as_json({"report": str(path), "format": str(kind)})
    else:
        show.line(f"report    {path}")


def _paths(files: Sequence[Path]) -> Sequence[Path]:
    from dlbench.analysis import packed
    from dlbench.store import runs as store

    return store.document_files(files, (".json", packed.SUFFIX))


def _read(paths: Sequence[Path]) -> tuple[Sequence[Run], list[pd.DataFrame]]:
    """Documents and packed collections."""
    from dlbench.analysis import packed
    from dlbench.store import runs as store

    tables = [packed.read(path) for path in paths if path.suffix == packed.SUFFIX]
    return store.read_distinct(p for p in paths if p.suffix != packed.SUFFIX), tables


def _sealed(paths: Sequence[Path]) -> tuple[str, ...]:
    """The documents as they lie there, as far as the page holds them."""
    from dlbench.analysis import packed
    from dlbench.report.sections import data

    return data.sealed([path for path in paths if path.suffix != packed.SUFFIX])


def _content(
    runs: Sequence[Run], tables: Sequence[pd.DataFrame], *, compare: bool, given: Given
) -> Content:
    from dlbench import catalog
    from dlbench.report import content

    found = content.of(runs, tables, side_by_side=compare, given=given, places=catalog.load())
    if compare and found.n_documents < 2:  # noqa: PLR2004 - one beside another
        raise UsageError(
            "--compare needs two documents, and there is one",
            "Name a second document, or leave --compare out.",
        )
    return found


def _with_answer(
    content: Content, runs: Sequence[Run], path: Path, catalog_files: list[Path]
) -> Content:
    """The content with the answer to a need, and what would be the front without its limits.

    ``runs`` are the evidence: of more results than can be read, the content has medians alone.
    """
    from dlbench import catalog
    from dlbench.analysis import recommend as recommending
    from dlbench.analysis.recommend import needs
    from dlbench.cli.catalog import today

    need, defaults = needs.build(needs.read(path))
    offers = catalog.load(catalog_files)
    predictor = recommending.predictor(runs, offers)
    answer, wider = (
        recommending.recommend(asked, runs, offers, predictor, today=today(), defaults=defaults)
        for asked in (need, _without_limits(need))
    )
    return replace(content, recommendation=answer, others=wider.front)


def _without_limits(need: Need) -> Need:
    return replace(need, deadline_h=None, budget_usd=None, budget_usd_per_month=None)


def _by_suffix(out: Path | None) -> Format:
    suffix = out.suffix.removeprefix(".").lower() if out else ""
    if suffix and suffix not in set(Format):
        known = ", ".join(f".{form}" for form in Format)
        raise UsageError(
            f"{out} does not say what to write: .{suffix} is no form of a report",
            f"Known: {known}; or say it with --format.",
        )
    return Format(suffix) if suffix else Format.HTML


def _name(content: Content) -> str:
    """After the last document; of several also how many others, since that one has its own report."""
    if not content.runs:
        return "collection"
    others = content.n_documents - 1
    return content.runs[-1].run_id + (f"-and-{others}" if others else "")


def _data(content: Content, kind: Format) -> bytes:
    import json

    from dlbench.report import build, formats, pdf

    if kind is Format.PDF:
        return pdf.printed(build.page(content))
    if kind is Format.MD:
        return formats.markdown(content).encode()
    if kind is Format.JSON:
        plain = formats.plain(content)
        return (json.dumps(plain, indent=1, allow_nan=False, default=str) + "\n").encode()
    return build.page(content).encode()


def write(runs: Sequence[Run], path: Path) -> None:
    """Build the page of some documents and write it, all or nothing."""
    from dlbench.report import build

    _write(build.build(runs).encode(), path)


def _write(data: bytes, path: Path) -> None:
    from dlbench.store import files

    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
