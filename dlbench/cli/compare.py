"""``dlbench compare``: which is faster, and by how much."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlbench.core import units
from dlbench.core.errors import GateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlbench.analysis.compare import Across, Comparison
    from dlbench.analysis.matrix import Matrix
    from dlbench.core.types import Run

LEAST_COLUMNS = 3
"""From so many documents on a matrix says more than sentences."""


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(help="Documents or folders; the first is compared with the others."),
    ],
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare although this differs: precision, policy, data, variant, devices, options, "
            "version, length."
        ),
    ] = None,
    sessions: Annotated[
        Path | None,
        typer.Option(
            help="Folder of further documents, to learn how much a machine differs from day to day."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print tables for a pull request.")
    ] = False,
) -> None:
    """Compare cases: inside one document round by round, or across documents.

    Across documents lie other days and machines: there is no p-value, the interval holds the spread
    between sessions, and no verdict is given for less than 10 %.

    Example: dlbench compare results/a.json results/b.json
    """
    from dlbench.analysis import bottleneck
    from dlbench.analysis import compare as comparing
    from dlbench.analysis.matrix import matrix
    from dlbench.cli import parsing, show, show_compare, show_telemetry
    from dlbench.store import runs as store

    allowed = _allowed(parsing.listed(allow))
    runs = store.load_runs(files)
    known = store.load_runs([sessions]) if sessions else ()
    if len(runs) > 1:
        pairs = comparing.all_pairs(runs, allowed, known)
        comparisons = [c for pair in pairs for c in pair.comparisons]
    else:
        pairs = ()
        comparisons = list(comparing.within(runs[0]))
        if not comparisons:
            raise _nothing_within(files[0], runs[0])
    _enough_trials(comparisons)
    table = matrix(runs, pairs) if len(runs) >= LEAST_COLUMNS else None
    if json:
        energy = {run.run_id: show_telemetry.energy_as_plain(run) for run in runs}
        bounds = [bottleneck.plain(b) for run in runs for b in bottleneck.find(run)]
        show.as_json({**_plain(pairs, comparisons, table), "energy": energy, "bottlenecks": bounds})
    elif markdown:
        show.line(show_compare.markdown(pairs, comparisons, table))
    else:
        if table is None:
            for pair in pairs:
                show_compare.environment_differences(pair)
            show.comparisons(comparisons)
            show.slower_tuned(comparisons)
            for run in runs:
                show_telemetry.energy(run)
        else:
            show_compare.environments(pairs, table.columns)
            show_compare.matrix(table)
            show.bases(comparisons)
        show.bottlenecks([b for run in runs for b in bottleneck.find(run)])
        show.refusals(pairs)


def _allowed(words: Sequence[str]) -> frozenset[str]:
    from dlbench.analysis.compare import ALLOWABLE

    for word in words:
        if word not in ALLOWABLE:
            raise UsageError(f"--allow {word!r} is not known", f"Known: {', '.join(ALLOWABLE)}.")
    return frozenset(ALLOWABLE[word] for word in words)


def _nothing_within(file: Path, run: Run) -> GateError:
    from dlbench.analysis.contests import contests

    refused = [c.refusal for c in contests(run) if c.refusal]
    if refused:
        return GateError(f"{file} has no verdict: {refused[0]}", "dlbench ab, once both sides run")
    return GateError(
        f"{file} has no two measured cases that differ in one thing only",
        "Give a second document, or measure two frameworks in one run.",
    )


def _enough_trials(comparisons: Sequence[Comparison]) -> None:
    """Refuse where not one comparison has an interval: ratios alone would be taken for results."""
    if any(c.estimate.interval for c in comparisons):
        return
    n = max(c.estimate.n for c in comparisons)
    raise GateError(
        f"there {'is' if n == 1 else 'are'} only {units.counted(n, 'trial')} of each case: "
        "no interval can be given, and so no verdict",
        "Measure at least 3 trials a case: dlbench run.",
    )


def _plain(
    pairs: Sequence[Across], comparisons: Sequence[Comparison], table: Matrix | None
) -> dict[str, Any]:
    from dlbench.analysis import matrix, policies, surroundings
    from dlbench.analysis.compare import sentence

    return {
        "comparisons": [{**asdict(c), "sentence": sentence(c)} for c in comparisons],
        "slower_tuned": [policies.sentence(c) for c in policies.slower_tuned(comparisons)],
        "matrix": matrix.plain(table) if table else None,
        "pairs": [
            {
                "a": pair.a_run.run_id,
                "b": pair.b_run.run_id,
                "differences": [list(d) for d in pair.differences],
                "differences_that_matter": surroundings.matter(
                    pair.differences, pair.a_run, pair.b_run
                ),
                "refused": [asdict(r) for r in pair.refusals],
            }
            for pair in pairs
        ],
    }
