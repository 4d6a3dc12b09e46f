"""What ``dlbench compare`` and ``history`` print: surroundings first, then ratios, then refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbench.analysis import matrix as beside
from dlbench.analysis import surroundings
from dlbench.cli import show
from dlbench.cli.show import clean, console
from dlbench.core import stats, units
from dlbench.core.types import Absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlbench.analysis.compare import Across, Comparison
    from dlbench.analysis.history import Course, Step
    from dlbench.analysis.matrix import Matrix
    from dlbench.core.types import Measured, Metric

MOST_DIFFERENCES = 20

MOST_CHANGES = 3
"""Named at a step; all of them are in --json."""


def environment_differences(pair: Across) -> None:
    """What differs between two environments, what moves results first and bright."""
    out = console()
    a, b = pair.a_run.environment.machine, pair.b_run.environment.machine
    if not pair.differences:
        out.print("[dim]the environments are the same[/]")
        return
    heavy = surroundings.matter(pair.differences, pair.a_run, pair.b_run)
    title = "Environments differ in" if heavy else "Environments differ, in nothing that matters"
    rows = [
        [f"* {name}" if i < heavy else f"  {name}", left, right]
        for i, (name, left, right) in enumerate(pair.differences[:MOST_DIFFERENCES])
    ]
    show.table(["on", a, b], rows, title=title)
    if heavy:
        out.print("[dim]* moves results[/]")
    if len(pair.differences) > MOST_DIFFERENCES:
        out.print(f"[dim]and {len(pair.differences) - MOST_DIFFERENCES} more (--json)[/]")


def environments(pairs: Sequence[Across], names: Sequence[str]) -> None:
    """In what many environments differ, as one table: a column for each document."""
    baseline: dict[str, str] = {}
    heavy: dict[str, bool] = {}
    of_run: list[dict[str, str]] = []
    for pair in pairs:
        n = surroundings.matter(pair.differences, pair.a_run, pair.b_run)
        for i, (name, left, _) in enumerate(pair.differences):
            baseline[name], heavy[name] = left, heavy.get(name, False) or i < n
        of_run.append({name: right for name, _, right in pair.differences})
    if not baseline:
        console().print("[dim]the environments are the same[/]")
        return
    ordered = sorted(baseline, key=lambda name: not heavy[name])[:MOST_DIFFERENCES]
    rows = [
        [
            f"{'*' if heavy[name] else ' '} {name}",
            baseline[name],
            *(found.get(name, baseline[name]) for found in of_run),
        ]
        for name in ordered
    ]
    show.table(["on", *names], rows, title="Environments differ in")
    if any(heavy.values()):
        console().print("[dim]* moves results[/]")


def matrix(of: Matrix) -> None:
    """A row for each case, a column for each document."""
    rows = [
        [row.case.label, number(row.baseline), *(beside.cell_words(cell) for cell in row.cells)]
        for row in of.rows
    ]
    show.table(["case", f"{of.columns[0]}, samples/s", *of.columns[1:]], rows)
    out = console()
    out.print(f"[dim]ratios of throughput over {clean(of.columns[0])}[/]")
    if any(cell and cell.allowed for row in of.rows for cell in row.cells):
        out.print("[dim]* differs in what --allow let pass[/]")


def number(value: Metric) -> str:
    """A throughput with four digits, or a dash."""
    return "-" if isinstance(value, Absent) else units.significant(value.value, 4)


def courses(found: Sequence[Course], divided: Sequence[str] = ()) -> None:
    """Each case over time, with its steps and what changed at each; then what is no one course."""
    for course in found:
        steps = {step.point: step for step in course.steps}
        rows = [
            [
                point.created_utc.replace("T", " ").removesuffix("Z"),
                point.dlbench_version,
                units.significant(point.throughput.value, 4),
                _half_width(point.throughput),
                _step_words(steps.get(i)),
            ]
            for i, point in enumerate(course.points)
        ]
        title = f"{course.case.label} on {course.machine}"
        show.table(["UTC", "dlbench", "samples/s", "+-", "step"], rows, title=title)
        n = len(course.steps)
        words = units.counted(n, "step") if n else "no step"
        console().print(
            f"[dim]{words}; scatter between sessions {units.percent(course.scatter)} from "
            f"{course.scatter_source}[/]",
            soft_wrap=True,
        )
    for sentence in divided:
        console().print(f"[dim]{clean(sentence)}[/]", soft_wrap=True)


def _half_width(value: Measured) -> str:
    if value.interval is None:
        return "?"
    return units.percent(stats.relative_half_width(value.interval))


def _step_words(step: Step | None) -> str:
    if step is None:
        return ""
    changed = ", ".join(f"{name} {a} -> {b}" for name, a, b in step.changed[:MOST_CHANGES])
    return f"{units.ratio(step.ratio, 2)}x" + (
        f" ({changed})" if changed else " (nothing recorded changed)"
    )


# --- Markdown -------------------------------------------------------------------------------


def markdown(pairs: Sequence[Across], comparisons: Sequence[Comparison], of: Matrix | None) -> str:
    """Everything as Markdown, for a pull request: ratios, then what differs and what was refused."""
    lines = _markdown_matrix(of) if of is not None else _markdown_rows(comparisons)
    lines += ["", *(f"Basis: {basis}." for basis in dict.fromkeys(c.basis for c in comparisons))]
    for pair in pairs:
        heavy = surroundings.matter(pair.differences, pair.a_run, pair.b_run)
        if heavy:
            names = f"{pair.a_run.environment.machine} and {pair.b_run.environment.machine}"
            lines += ["", f"What differs between {_cell(names)} and moves results:", ""]
            lines += [
                f"- {_cell(name)}: {_cell(left)} and {_cell(right)}"
                for name, left, right in pair.differences[:heavy]
            ]
    refused = [r for pair in pairs for r in pair.refusals]
    if refused:
        lines += ["", "Not compared:", ""]
        words = dict.fromkeys(f"- {_cell(r.a.label)}: {_cell(r.reason)}" for r in refused)
        lines += list(words)
    return "\n".join(lines)


def _markdown_rows(comparisons: Sequence[Comparison]) -> list[str]:
    lines = ["| what | A | B | B over A | 95 % interval | verdict on B |", "| --- " * 6 + "|"]
    for c in comparisons:
        bounds = c.estimate.interval
        ends = [units.ratio(x, 3) for x in (bounds.low, bounds.high)] if bounds else []
        interval = " - ".join(ends) or "too few trials"
        what = c.what + (f" ({'; '.join(c.allowed)})" if c.allowed else "")
        cells = (what, c.a_name, c.b_name, units.ratio(c.estimate.ratio, 3), interval, c.verdict)
        lines.append("| " + " | ".join(_cell(x) for x in cells) + " |")
    return lines


def _markdown_matrix(of: Matrix) -> list[str]:
    heading = ["case", f"{of.columns[0]}, samples/s", *of.columns[1:]]
    lines = ["| " + " | ".join(_cell(x) for x in heading) + " |", "| --- " * len(heading) + "|"]
    for row in of.rows:
        cells = [row.case.label, number(row.baseline), *map(beside.cell_words, row.cells)]
        lines.append("| " + " | ".join(_cell(x) for x in cells) + " |")
    return lines


def _cell(text: str) -> str:
    """Text of a document as safe inside a Markdown table: no cell, no HTML, no link and no picture."""
    safe = "".join(c if c.isprintable() else " " for c in text)
    return safe.replace("|", "/").replace("<", "&lt;").replace("`", "'").replace("](", "]\\(")
