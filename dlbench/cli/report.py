"""``dlbench report``: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlbench.core.errors import StoreError

if TYPE_CHECKING:
    from dlbench.core.types import Run


def report(
    files: Annotated[list[Path], typer.Argument(help="Result documents, or folders of them.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The HTML file; default reports/<run>.html."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the path as JSON.")] = False,
) -> None:
    """Write a report that opens anywhere, offline, from result documents.

    Example: dlbench report results/ -o report.html
    """
    from dlbench.cli import show
    from dlbench.store import runs as store

    runs = store.load_runs(files)
    path = out or Path("reports") / f"{runs[-1].run_id}.html"
    write(runs, path)
    if json:
        show.as_json({"report": str(path)})
    else:
        show.line(f"report    {path}")


def write(runs: Sequence[Run], path: Path) -> None:
    """Build the page and write it, all or nothing."""
    from dlbench.report import build

    page = build.build(runs)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", "Choose another file with --out."
        ) from error
