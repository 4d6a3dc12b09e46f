"""All terminal output: what is printed, how, and in which words. Nothing is computed here."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dlbench.core import drift, metrics, stats, units
from dlbench.core.errors import DlbenchError
from dlbench.core.types import (
    Absent,
    Case,
    CaseResult,
    Check,
    Estimated,
    Measured,
    Metric,
    Mode,
    OutcomeKind,
    Plan,
    Run,
    Skip,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from dlbench.analysis.bottleneck import Bottleneck
    from dlbench.analysis.compare import Across, Comparison
    from dlbench.doctor import Finding
    from dlbench.plan import TimeEstimate

OUTCOME_STYLES = {
    "ok": "green",
    "skipped": "yellow",
    "unsupported": "yellow",
    "interrupted": "yellow",
}
"""Anything else is a failure, and red."""

CASE_WIDTH = 18
"""Enough for a name of a task; narrower columns of cases wrap to towers."""

LEFT_OUT = ("95 % interval", "p50", "energy", "n", "p99", "memory")
"""Columns that a table of results drops, in this order, where the terminal is too narrow for all."""

MOST_HALF_WIDTH = 9.99
"""Of an interval, as a share of its number, that is told apart: a wider one says nothing more."""


def console(*, stderr: bool = False) -> Console:
    """The console that everything is printed through."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def clean(text: object) -> str:
    """A string from a document as safe to print: no control characters, no markup.

    Result files come from strangers; an escape sequence in a name could rewrite the screen.
    """
    from rich.markup import escape

    return escape("".join(c if c.isprintable() or c == "\n" else "�" for c in str(text)))


def error(failure: DlbenchError, *, as_json: bool = False) -> None:
    """An error as its sentence and its advice, on stderr."""
    if as_json:
        plain = {"error": failure.message, "advice": failure.advice, "exit_code": failure.exit_code}
        print(json.dumps(plain), file=sys.stderr)  # noqa: T201 - this is the terminal's room
        return
    out = console(stderr=True)
    out.print(f"[red bold]error:[/] {clean(failure.message)}", soft_wrap=True)
    if failure.advice:
        out.print(f"[dim]  try:[/] {clean(failure.advice)}", soft_wrap=True)


def as_json(data: Any) -> None:  # noqa: ANN401 - any plain data
    """Data as JSON on stdout; escaped where the terminal's encoding has not every character."""
    escaped = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(data, indent=1, allow_nan=False, ensure_ascii=escaped))  # noqa: T201


# --- plan -----------------------------------------------------------------------------------


def plan(planned: Plan, estimate: TimeEstimate) -> None:
    """What would run, what would not and why, and how long it may take."""
    out = console()
    shared, tasks = _grouped(planned.cases)
    title = f"Plan: {units.counted(len(planned.cases), 'case')}"
    table = empty_table("case", "trials", title=f"{title} ({shared})" if shared else title)
    looks = planned.profile.looks
    for task, choices in tasks.items():
        for case, words in choices.items():
            sentinel = " [dim](also the sentinel)[/]" if case.case_id == planned.sentinel else ""
            label = clean(f"{task} {words}".strip())
            table.add_row(label + sentinel, f"{looks[0]}-{looks[-1]}")
    out.print(table)
    skips(planned.skips)
    target = planned.profile.target_half_width
    out.print(
        f"profile [bold]{planned.profile.name}[/]: until each interval is within "
        f"+-{units.percent(target)}, {units.counted(planned.threads, 'CPU thread')}, "
        f"seed {planned.seed}"
    )
    out.print(
        f"estimated [bold]{units.duration(estimate.low_s)} to {units.duration(estimate.high_s)}[/]"
        f" [dim]({estimate.basis})[/]"
    )


def plan_summary(planned: Plan, estimate: TimeEstimate) -> dict[str, Any]:
    """A plan as ``--dry-run --json`` prints it."""
    return {
        "cases": [{"case_id": case.case_id, **asdict(case)} for case in planned.cases],
        "skips": [asdict(skip) for skip in planned.skips],
        "profile": asdict(planned.profile),
        "sentinel": planned.sentinel,
        "seed": planned.seed,
        "threads": planned.threads,
        "estimate": asdict(estimate),
    }


LABELS_A_REASON = 3
"""Skipped cells that are shown with their reason; a large matrix has hundreds."""


def skips(skipped: tuple[Skip, ...]) -> None:
    """The cells that will not run, each reason once with the cells that it holds for."""
    if not skipped:
        return
    out = console()
    by_reason: dict[tuple[str, str], list[str]] = {}
    for skip in skipped:
        key = (f"{skip.outcome.kind}: {skip.outcome.message}", skip.outcome.advice)
        by_reason.setdefault(key, []).append(skip.case.label)
    for (reason, advice), labels in by_reason.items():
        hint = f" [dim]-> {clean(advice)}[/]" if advice else ""
        out.print(f"[yellow]skipped[/] {len(labels)} x {clean(reason)}{hint}", soft_wrap=True)
        rest = len(labels) - LABELS_A_REASON
        more = [f"and {rest} more (--json has all)"] if rest > 0 else []
        for label in [*labels[:LABELS_A_REASON], *more]:
            out.print(f"  [dim]{clean(label)}[/]", soft_wrap=True)


# --- results --------------------------------------------------------------------------------


def run_table(run: Run) -> None:
    """The closing table of a run, and under it whatever a reader must know to trust it."""
    out = console()
    out.print(results_table(run, out))
    for reason in distinct_reasons(run, "energy_j_per_sample"):
        out.print(f"[dim]energy:[/] {clean(reason)}", soft_wrap=True)
    for result in run.results:
        _token_time(result, run)
        _int8(result, run)
    p99s = [_p99(result, run) for result in run.results]
    for remedy in dict.fromkeys(x.remedy for x in p99s if isinstance(x, Absent) and _n_small(x)):
        out.print(f"[dim]n small: p99 needs 368 queries a trial ({remedy})[/]")
    told: set[str] = set()
    for result in run.results:
        if not result.outcome.ok:
            _failure(result)
            _log(result, told)
    skips(run.plan.skips)
    for case, search in zip(run.plan.cases, run.plan.searches, strict=False):
        if search.capped:
            out.print(
                f"[yellow]batch auto[/]: {clean(case.label)}: throughput was not seen to stop growing "
                "at this batch, the largest that was tried; --batch-size may name a larger one",
                soft_wrap=True,
            )
    moved = drift.of(run)
    if not isinstance(moved, Absent) and drift.drifted(moved):
        words = f"the machine itself changed during the run ({drift.words(moved)})"
        out.print(
            f"[yellow]drift[/]: {clean(words)}; intervals include what fell between trials",
            soft_wrap=True,
        )
    for flag in filter(HELD_DOWN.get, run.flags):
        out.print(f"[yellow]{flag}[/]: {HELD_DOWN[flag]}", soft_wrap=True)


HELD_DOWN = {
    "on_battery": "the machine ran on battery, which holds clocks down: plug it in",
    "cpu_limited": "the CPU's governor is powersave, which holds clocks down (dlbench doctor)",
}
"""Flags of a whole run that say what held the machine's clocks down."""


def _token_time(result: CaseResult, run: Run) -> None:
    """What text generation is judged by, under its own name."""
    name = run.workload(result.case).latency_is
    if name is None or result.case.mode is not Mode.INFERENCE or not result.measured:
        return
    value = metrics.compute(f"{name}_s", result, run)
    shown = value.reason if isinstance(value, Absent) else units.duration(value.value)
    words = f"{metrics.LATENCY_NAMES[name]} of {result.case.label}: {shown}"
    console().print(clean(words), soft_wrap=True)


def _int8(result: CaseResult, run: Run) -> None:
    """What a speed in int8 costs in accuracy, and how much of the model it is of."""
    drift, share = (metrics.compute(n, result, run) for n in ("int8_drift_ratio", "int8_share"))
    if isinstance(drift, Absent):
        return
    words = f"{result.case.label}: outputs moved by {units.percent(drift.value)} of their spread"
    if not isinstance(share, Absent):
        words += f"; {units.percent(share.value)} of its operations are in int8"
    console().print(clean(words), soft_wrap=True)


def where(path: Path, *, interrupted: bool, reported: bool = False, resumable: bool = True) -> None:
    """Where the document lies, and what to do with it next; ``reported``: a report of it follows."""
    out = console()
    if interrupted:
        resume = f"dlbench run --resume {clean(path)}"
        out.print(f"[yellow]interrupted[/]; finished trials are in {clean(path)}", soft_wrap=True)
        if resumable:
            out.print(f"  go on with: {resume}", soft_wrap=True)
            out.print("  or make the document of them: the same with --seal", soft_wrap=True)
        else:
            out.print(f"  make the document of them: {resume} --seal", soft_wrap=True)
        return
    out.print(f"document  [bold]{clean(path)}[/]", soft_wrap=True)
    if not reported:
        out.print(f"  next: dlbench report {clean(path)}", soft_wrap=True)


def results_table(run: Run, out: Console) -> Table:
    """One row a case; columns are left out until words fit: a cut outcome would pass for another.

    What all cases share stands once, in the title; what can be chosen between (framework, device,
    precision, policy) stands together under the task that it is chosen for.
    """
    shared, tasks = _grouped([r.case for r in run.results])
    memory_heading, memory = _memory_column(run)
    cells = {r.case: _result_cells(r, memory[r.case], run) for r in run.results}
    for n_left_out in range(len(LEFT_OUT) + 1):
        columns = [c for c in next(iter(cells.values()), {}) if c not in LEFT_OUT[:n_left_out]]
        headings = [memory_heading if c == "memory" else c for c in columns]
        rows = {case: [of_case[c] for c in columns] for case, of_case in cells.items()}
        table = empty_table("case", *headings, title=shared)
        longest = CASE_WIDTH
        for task, choices in tasks.items():
            if task:
                table.add_row(clean(task).replace("batch ", "batch\N{NO-BREAK SPACE}"))
            for case, words in choices.items():
                label = f"  {words}" if task else words
                table.add_row(clean(label), *rows[case])
                longest = max([longest, *map(len, label.split())])
        if not rows or longest + _least_width(headings, list(rows.values())) <= out.width:
            break
    return table


def _least_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Characters beside the cases in which the table cuts neither a number nor a word."""
    from rich.text import Text

    def width(heading: str, cell: str) -> int:
        text = Text.from_markup(cell).plain
        return max(map(len, text.split() if heading in WORD_COLUMNS else [text]), default=0)

    columns = zip(headings, zip(*rows, strict=True), strict=True)
    widths = [max(len(h), *(width(h, cell) for cell in column)) for h, column in columns]
    return len(" ") + sum(len("  ") + w for w in widths)


def _result_cells(result: CaseResult, memory: str, run: Run) -> dict[str, str]:
    """By column, in their order."""
    throughput = metrics.compute("throughput_samples_per_s", result, run)
    return {
        "samples/s": _number(throughput),
        "+-": _half_width(throughput),
        "95 % interval": _interval(throughput),
        "n": str(len(result.measured)),
        "p50": _seconds(metrics.compute("latency_p50_s", result, run)),
        "p99": _seconds(metrics.compute("latency_p99_s", result, run)),
        "memory": memory,
        "energy": _energy(result, run),
        "outcome": _outcome(result),
    }


def _grouped(cases: Sequence[Case]) -> tuple[str, dict[str, dict[Case, str]]]:
    """What all cases share; then by task, each case with the words that tell it from the others.

    Where no task has two cases there is one group without a name.
    """
    tasks = {case: _task(case) for case in cases}
    resident = "synthetic data" if len({case.data_mode for case in cases}) > 1 else ""
    choices = {case: _choice(case, resident) for case in cases}
    common = _common(tuple(tasks.values())) + _common(tuple(choices.values()))
    if len(cases) < 2:  # noqa: PLR2004 - nothing to have in common
        common = ()
    ordered = sorted(cases, key=lambda c: (c.workload, c.mode, c.batch_size, c.label))
    grouped: dict[str, dict[Case, str]] = {}
    for case in ordered:
        task = " ".join(w for w in tasks[case] if w and w not in common)
        choice = " ".join(w for w in choices[case] if w and w not in common)
        grouped.setdefault(task, {})[case] = choice
    if all(len(group) == 1 for group in grouped.values()):
        flat = {
            case: " ".join(filter(None, (task, words)))
            for task, group in grouped.items()
            for case, words in group.items()
        }
        grouped = {"": flat}
    return ", ".join(common), grouped


def _task(case: Case) -> tuple[str, ...]:
    return (
        case.workload,
        str(case.mode),
        case.arrivals,
        f"batch {case.batch_size}",
        case.variant if case.variant != "full" else "",
    )


def _choice(case: Case, resident: str) -> tuple[str, ...]:
    """``resident`` stands for inputs on the device: words where other cases have others."""
    data = resident if case.data_mode == "synthetic" else f"{case.data_mode} data"
    setting = (str(case.precision), str(case.policy), data, case.adapter_options)
    return (case.framework, case.device, *setting)


def _common(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(c[0] for c in zip(*rows, strict=True) if len(set(c)) == 1 and c[0])


def empty_table(*columns: str, title: str | None = None) -> Table:
    """What all tables look like: numbers stand right and do not wrap, words do both."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        title=clean(title) if title else None,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        words = column in WORD_COLUMNS
        table.add_column(
            column,
            justify="left" if words else "right",
            no_wrap=not words,
            overflow="fold",
            min_width=CASE_WIDTH if column == "case" else None,
        )
    return table


WORD_COLUMNS = {"case", "outcome", "verdict", "what", "reason", "remedy", "message", "on"}
"""Columns of words wrap and stand left; numbers do neither."""


def _number(value: Metric) -> str:
    if isinstance(value, Absent):
        return "[dim]-[/]"
    return f"[bold]{units.significant(value.value, 4)}[/]"


def _half_width(value: Metric) -> str:
    if isinstance(value, Absent):
        return "[dim]-[/]"
    if value.interval is None:
        return "[dim]?[/]"
    half = stats.relative_half_width(value.interval)
    return units.percent(half) if half < MOST_HALF_WIDTH else f">{100 * MOST_HALF_WIDTH:.0f} %"


def _interval(value: Metric) -> str:
    if isinstance(value, Absent):
        return "[dim]-[/]"
    if value.interval is None:
        return "[dim]too few trials[/]"
    low, high = value.interval.low, value.interval.high
    return f"{units.significant(low, 4)} - {units.significant(high, 4)}"


def _seconds(value: Metric) -> str:
    if isinstance(value, Absent):
        return "[dim]n small[/]" if _n_small(value) else "[dim]-[/]"
    return units.duration(value.value)


def _n_small(value: Metric) -> bool:
    return isinstance(value, Absent) and value.reason.startswith("n too small")


def _memory(result: CaseResult, run: Run) -> tuple[str, str]:
    """The device allocator's peak where there is one, else the host's, and which it is."""
    for name, place in (("peak_framework_allocated_mib", "GPU"), ("peak_host_rss_mib", "host")):
        value = metrics.compute(name, result, run)
        if isinstance(value, Measured):
            return f"{value.value / 1024:,.2f} GiB", place
    return "[dim]-[/]", ""


def _memory_column(run: Run) -> tuple[str, dict[Case, str]]:
    """The heading and the cells; where is said once, in the heading, if it is the same for all."""
    found = {r.case: _memory(r, run) for r in run.results}
    places = {place for _, place in found.values() if place}
    if len(places) == 1:
        return f"{places.pop()} mem", {case: amount for case, (amount, _) in found.items()}
    return "memory", {case: f"{amount} {place}".strip() for case, (amount, place) in found.items()}


def _energy(result: CaseResult, run: Run) -> str:
    value = metrics.compute("energy_j_per_sample", result, run)
    if isinstance(value, Estimated | Measured):
        sign = "~" if isinstance(value, Estimated) else ""
        return f"{sign}{units.significant(value.value)} J"
    return "[dim]absent[/]"


def _outcome(result: CaseResult) -> str:
    outcome = result.outcome
    style = OUTCOME_STYLES.get(outcome.kind, "red")
    # A skip's detail is its reason, which stands below the table.
    text = str(outcome.kind) if outcome.kind == "skipped" else str(outcome)
    word = f"[{style}]{clean(text)}[/]"
    flags = f"[yellow]{clean(', '.join(result.flags))}[/]"
    if not result.flags:
        return word
    return flags if outcome.ok else f"{word} {flags}"


def _p99(result: CaseResult, run: Run) -> Metric:
    return metrics.compute("latency_p99_s", result, run)


def _failure(result: CaseResult) -> None:
    out, outcome = console(), result.outcome
    style = OUTCOME_STYLES.get(outcome.kind, "red")
    advice = f" [dim]-> {clean(outcome.advice)}[/]" if outcome.advice else ""
    out.print(
        f"[{style}]{clean(outcome.kind)}[/] {clean(result.case.label)}: "
        f"{clean(outcome.message or outcome.detail)}{advice}",
        soft_wrap=True,
    )


LOGGED = (OutcomeKind.ERROR, OutcomeKind.CRASHED, OutcomeKind.TIMEOUT)
"""Outcomes of which the trial's log may say more than their sentence."""

LOG_LINES = 12
"""A traceback's own end; the document has the whole log."""


def _log(result: CaseResult, told: set[str]) -> None:
    """The end of the failed trial's log, once for all cases that failed alike."""
    if result.outcome.kind not in LOGGED:
        return
    log = next((t.log for t in result.trials if not t.outcome.ok and t.log), "")
    if not log or log in told:
        return
    told.add(log)
    for line in log.splitlines()[-LOG_LINES:]:
        console().print(f"  [dim]{clean(line)}[/]", soft_wrap=True)


def distinct_reasons(run: Run, metric_name: str) -> list[str]:
    """Why a metric is absent from cases that ran, each reason once."""
    reasons = []
    for result in run.results:
        if result.measured:
            value = metrics.compute(metric_name, result, run)
            if isinstance(value, Absent):
                remedy = f" ({value.remedy})" if value.remedy else ""
                reasons.append(value.reason + remedy)
    return list(dict.fromkeys(reasons))


def run_summary(run: Run) -> dict[str, Any]:
    """A run as ``--json`` prints it: each case with its metrics, as what they are."""
    return {
        "run_id": run.run_id,
        "machine": run.environment.machine,
        "flags": list(drift.flags(run)),
        "cases": [
            {
                "case_id": result.case.case_id,
                "case": asdict(result.case),
                "outcome": asdict(result.outcome),
                "flags": list(result.flags),
                "stop_reason": result.stop_reason,
                "n_trials": len(result.measured),
                "metrics": {
                    name: metric_as_plain(metrics.compute(name, result, run))
                    for name in metrics.REGISTRY
                },
            }
            for result in run.results
        ],
        "skips": [asdict(skip) for skip in run.plan.skips],
    }


def metric_as_plain(value: Metric) -> dict[str, Any]:
    """A metric with the word that says what it is: measured, estimated or absent."""
    return {"kind": type(value).__name__.lower(), **asdict(value)}


# --- comparisons ----------------------------------------------------------------------------

VERDICT_STYLES = {"faster": "green", "slower": "red", "equivalent": "cyan", "cannot tell": "yellow"}


def comparisons(found: Sequence[Comparison]) -> None:
    """Each comparison in words, the verdict first."""
    from dlbench.analysis.compare import sentence, too_few_trials, worth_telling

    out = console()
    told, n_more = worth_telling(found)
    for comparison in told:
        style = VERDICT_STYLES[comparison.verdict]
        undecided = comparison.verdict in ("equivalent", "cannot tell")
        word = comparison.verdict if undecided else "clear"
        flags = f" [yellow]({clean(', '.join(comparison.flags))})[/]" if comparison.flags else ""
        out.print(f"[{style}]{word:<11}[/] {clean(sentence(comparison))}{flags}", soft_wrap=True)
    if n_more:
        out.print(
            f"[{VERDICT_STYLES['cannot tell']}]{'cannot tell':<11}[/] {too_few_trials(n_more)} "
            "(--json and the report have their ratios; more trials decide)",
            soft_wrap=True,
        )
    bases(found)


def bases(found: Sequence[Comparison]) -> None:
    """How these were compared, each way once."""
    for basis in dict.fromkeys(c.basis for c in found):
        console().print(f"[dim]basis: {clean(basis)}; 95 % intervals[/]", soft_wrap=True)


def slower_tuned(found: Sequence[Comparison]) -> None:
    """Each case whose ``tuned`` costs speed, though the comparison has said so among others."""
    from dlbench.analysis import policies

    for comparison in policies.slower_tuned(found):
        console().print(f"[yellow]{clean(policies.sentence(comparison))}[/]", soft_wrap=True)


def bottlenecks(found: Sequence[Bottleneck]) -> None:
    """What each case waits for."""
    out = console()
    for one in found:
        out.print(f"[cyan]{one.name:<11}[/] {clean(one.sentence)}", soft_wrap=True)


def refusals(pairs: Sequence[Across]) -> None:
    """What looked alike and was not compared, with the reason, each once."""
    out = console()
    words = (f"{clean(r.a.label)}: {clean(r.reason)}" for pair in pairs for r in pair.refusals)
    for line in dict.fromkeys(words):
        out.print(f"[yellow]not compared[/] {line}", soft_wrap=True)


# --- the machine ----------------------------------------------------------------------------

STATUS_STYLES = {"ok": "green", "limited": "yellow", "missing": "yellow", "problem": "red"}


def findings(found: Sequence[Finding]) -> None:
    """What doctor found, by topic, each with its remedy."""
    out = console()
    topic = ""
    for finding in found:
        if finding.topic != topic:
            topic = finding.topic
            out.print(f"\n[bold]{clean(topic)}[/]")
        style = STATUS_STYLES[finding.status]
        out.print(f"  [{style}]{finding.status:<8}[/] {clean(finding.message)}", soft_wrap=True)
        if finding.remedy:
            out.print(f"           [dim]-> {clean(finding.remedy)}[/]", soft_wrap=True)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str | None = None,
    whole: Collection[str] = (),
) -> None:
    """Any small table of words and numbers; ``whole`` are columns that are never broken."""
    drawn = empty_table(title=title)
    for column in columns:
        drawn.add_column(clean(column), overflow="fold", no_wrap=column in whole)
    for row in rows:
        drawn.add_row(*(clean(cell) for cell in row))
    console().print(drawn)


def line(text: str) -> None:
    """One plain sentence."""
    console().print(clean(text), soft_wrap=True)


def checks(name: str, found: Sequence[Check]) -> None:
    """Each rule of a document, passed or failed."""
    out = console()
    failed, n = sum(c.passed is False for c in found), sum(c.passed is not None for c in found)
    state = f"[red]{failed} of {n} rules failed[/]" if failed else "[green]all rules hold[/]"
    out.print(f"[bold]{clean(name)}[/]: {state}", soft_wrap=True)
    marks = {True: "[green]passed[/]", False: "[red]failed[/]", None: "[yellow]refused[/]"}
    for check in found:
        words = f"{clean(check.rule)}: {clean(check.detail)}"
        out.print(f"  {marks[check.passed]} {words}", soft_wrap=True)
