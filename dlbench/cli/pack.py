"""``dlbench pack``: a large collection of documents as one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
    from dlbench.store import runs as store

    paths = store.document_files(files)
    # One document at a time: a large collection fits in memory as rows, not as raw values.
    table = frame.of_rows([row for path in paths for row in rows.of([store.read_run(path)])])
    packed.write(table, out)
    if json:
        show.as_json({"path": str(out), "documents": len(paths), "results": len(table)})
    else:
        size = f"{out.stat().st_size / 1e6:.1f} MB"
        show.line(f"packed    {out}: {len(table):,} results of {len(paths):,} documents, {size}")
