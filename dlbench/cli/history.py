"""``dlbench history``: one case over many documents, and where it took a step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlbench.core.errors import GateError


def history(
    files: Annotated[list[Path], typer.Argument(help="Documents or folders of them.")],
    case: Annotated[
        str, typer.Option(help="Only cases with these words: 'resnet50 pytorch training'.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the courses as JSON.")] = False,
) -> None:
    """Show how a case's throughput went over documents of one machine, and name its steps.

    Example: dlbench history results --case "resnet50 pytorch"
    """
    from dlbench.analysis import history as over_time
    from dlbench.cli import show, show_compare
    from dlbench.store import runs as store

    runs = store.load_runs(files)
    found = over_time.courses(runs, case)
    divided = over_time.divided(runs, case)
    if not found and divided:
        more = f" (and {len(divided) - 1} more)" if len(divided) > 1 else ""
        raise GateError(
            f"{divided[0]}{more}",
            "Only the same work has a course: measure one of them again with the other's files.",
        )
    if not found:
        named = f" named {case!r}" if case else ""
        raise GateError(
            f"no case{named} stands in two documents of one machine, of {len(runs):,} read",
            "Give more documents, or fewer words in --case.",
        )
    if json:
        show.as_json([over_time.plain(course) for course in found])
    else:
        show_compare.courses(found, divided)
