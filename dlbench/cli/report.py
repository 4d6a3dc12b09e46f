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
from dlbench.core.errors import StoreError, UsageError

if TYPE_CHECKING:
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
        typer.Option("--out", "-o", help="The file; default reports/<run>.<format>."),
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

    given = site.given(region, intensity, pue, tariff)
    content = _content(files, compare=compare, given=given)
    if need is not None:
        content = _with_answer(content, need, catalog_files or [])
    kind = format_ or _by_suffix(out)
    path = out or Path("reports") / f"{_name(content)}.{kind}"
    _write(content, path, kind)
    if json:
        show.as_json({"report": str(path), "format": str(kind)})
    else:
        show.line(f"report    {path}")


def _content(files: Sequence[Path], *, compare: bool, given: Given) -> Content:
    from dlbench import catalog
    from dlbench.analysis import packed
    from dlbench.report import content
    from dlbench.store import runs as store

    paths = store.document_files(files, (".json", packed.SUFFIX))
    tables = [packed.read(path) for path in paths if path.suffix == packed.SUFFIX]
    runs = [store.read_run(path) for path in paths if path.suffix != packed.SUFFIX]
    found = content.of(runs, tables, side_by_side=compare, given=given, places=catalog.load())
    if compare and found.n_documents < 2:  # noqa: PLR2004 - one beside another
        raise UsageError(
            "--compare needs two documents, and there is one",
            "Name a second document, or leave --compare out.",
        )
    return found


def _with_answer(content: Content, path: Path, catalog_files: list[Path]) -> Content:
    """The content with the answer to a need, and what would be the front without its limits."""
    from dlbench import catalog
    from dlbench.analysis import recommend as recommending
    from dlbench.analysis.recommend import needs
    from dlbench.cli.catalog import today

    need, defaults = needs.build(needs.read(path))
    offers = catalog.load(catalog_files)
    predictor = recommending.predictor(content.runs, offers)
    answer, wider = (
        recommending.recommend(
            asked, content.runs, offers, predictor, today=today(), defaults=defaults
        )
        for asked in (need, _without_limits(need))
    )
    return replace(content, recommendation=answer, others=wider.front)


def _without_limits(need: Need) -> Need:
    return replace(need, deadline_h=None, budget_usd=None, budget_usd_per_month=None)


def _by_suffix(out: Path | None) -> Format:
    suffix = out.suffix.removeprefix(".").lower() if out else ""
    return Format(suffix) if suffix in set(Format) else Format.HTML


def _name(content: Content) -> str:
    return content.runs[-1].run_id if content.runs else "collection"


def _write(content: Content, path: Path, kind: Format) -> None:
    import json

    from dlbench.report import build, formats, pdf

    if kind is Format.PDF:
        _folder(path)
        pdf.print_page(build.page(content), path)
    elif kind is Format.MD:
        _write_text(formats.markdown(content), path)
    elif kind is Format.JSON:
        plain = formats.plain(content)
        _write_text(json.dumps(plain, indent=1, allow_nan=False, default=str) + "\n", path)
    else:
        _write_text(build.page(content), path)


def write(runs: Sequence[Run], path: Path) -> None:
    """Build the page of some documents and write it, all or nothing."""
    from dlbench.report import build

    _write_text(build.build(runs), path)


def _folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _write_text(text: str, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    _folder(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror}", "Choose another file with --out."
    )
