"""``dlbench compare``: which is faster, and by how much."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlbench.core.errors import GateError

if TYPE_CHECKING:
    from dlbench.analysis.compare import Across, Comparison

MOST_DIFFERENCES = 20


def compare(
    files: Annotated[
        list[Path], typer.Argument(help="Result documents; the first is compared with the others.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a table for a pull request.")
    ] = False,
) -> None:
    """Compare cases: inside one document round by round, or across documents.

    Example: dlbench compare results/a.json results/b.json
    """
    from dlbench.analysis import bottleneck
    from dlbench.analysis import compare as comparing
    from dlbench.cli import show
    from dlbench.store import runs as store

    runs = store.load_runs(files)
    if len(runs) > 1:
        pairs = comparing.all_pairs(runs)
        comparisons = [c for pair in pairs for c in pair.comparisons]
    else:
        pairs = ()
        comparisons = list(comparing.within(runs[0]))
        if not comparisons:
            raise GateError(
                f"{files[0]} has no two measured cases that differ in one thing only",
                "Give a second document, or measure two frameworks in one run.",
            )
    if json:
        show.as_json(_plain(pairs, comparisons))
    elif markdown:
        show.markdown(comparisons)
    else:
        for pair in pairs:
            show.environment_differences(pair, MOST_DIFFERENCES)
        show.comparisons(comparisons)
        show.bottlenecks([b for run in runs for b in bottleneck.find(run)])
        for pair in pairs:
            show.refusals(pair)


def _plain(pairs: tuple[Across, ...], comparisons: list[Comparison]) -> dict[str, Any]:
    from dlbench.analysis.compare import sentence

    return {
        "comparisons": [{**asdict(c), "sentence": sentence(c)} for c in comparisons],
        "pairs": [
            {
                "a": pair.a_run.run_id,
                "b": pair.b_run.run_id,
                "differences": [list(d) for d in pair.differences],
                "refused": [asdict(r) for r in pair.refusals],
            }
            for pair in pairs
        ],
    }
