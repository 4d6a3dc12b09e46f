"""``dlbench pack``: a large collection of documents as one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlbench.core.errors import UsageError


def pack(
    files: Annotated[list[Path], typer.Argument(help="Result documents, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The Parquet file.")] = Path(
        "results.parquet"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print path and counts as JSON.")] = False,
) -> None:
    """Pack the numbers of many documents into one file that `report` opens in seconds.

    It holds every metric with interval, kind and reason, one row a case; not the raw values,
    so keep the documents. Needs pyarrow: pip install 'dlbench[parquet]'.

    Example: dlbench pack results/ -o all.parquet && dlbench report all.parquet
    """
    from dlbench.analysis import frame, packed, rows
    from dlbench.cli import show
    from dlbench.core import units
    from dlbench.store import runs as store

    if out.suffix != packed.SUFFIX and not out.is_dir():
        raise UsageError(
            f"{out} does not end in {packed.SUFFIX}, by which a packed collection is known",
            f"--out {out.with_suffix(packed.SUFFIX) if out.name else 'results.parquet'}",
        )
    paths = store.document_files(files)
    # One document at a time: a large collection fits in memory as rows, not as raw values.
    of_runs = [rows.of([run]) for run in store.each_distinct(paths)]
    table = frame.of_rows([row for rows_ in of_runs for row in rows_])
    packed.write(table, out)
    if json:
        show.as_json({"path": str(out), "documents": len(of_runs), "results": len(table)})
    else:
        size = f"{out.stat().st_size / 1e6:.1f} MB"
        results, documents = (
            units.counted(len(table), "result"),
            units.counted(len(of_runs), "document"),
        )
        show.line(f"packed    {out}: {results} of {documents}, {size}")
