"""How a recommendation is printed: for the terminal, as Markdown; and the guided questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from dlbench.analysis.recommend import words
from dlbench.cli import show
from dlbench.core import units
from dlbench.core.errors import UsageError
from dlbench.core.footprint import J_PER_KWH
from dlbench.core.recommendation import Candidate, Constraint, Recommendation, Rejection, Step
from dlbench.core.types import Absent, Metric, Task

EXAMPLES_A_REASON = 2
"""Rejected offers that are named for each reason; ``--rejected`` names all."""

SIDE_BY_SIDE = 118
"""Narrower, each candidate has a table of its own."""


# --- numbers --------------------------------------------------------------------------------


def _number(metric: Metric, scale: float, unit: str) -> str:
    """A number with its interval, or why there is none."""
    if isinstance(metric, Absent):
        return f"unknown: {metric.reason}"
    text = units.significant(metric.value * scale)
    if metric.interval is not None and metric.interval.low < metric.interval.high:
        low, high = metric.interval.low * scale, metric.interval.high * scale
        text += f" ({units.significant(low)} to {units.significant(high)})"
    return f"{text} {unit}"


def _time(metric: Metric) -> str:
    if isinstance(metric, Absent):
        return f"unknown: {metric.reason}"
    text = units.duration(metric.value)
    if metric.interval is not None and metric.interval.low < metric.interval.high:
        low, high = units.duration(metric.interval.low), units.duration(metric.interval.high)
        text += f" ({low} to {high})"
    return text


def _price(candidate: Candidate) -> str:
    price = candidate.price_usd_per_h
    if candidate.owned:
        return "your own"
    if isinstance(price, Absent):
        return "unknown"
    return f"{price:.4g} USD/h, {candidate.price_as_of}"


def _lines(candidate: Candidate, *, serving: bool) -> list[tuple[str, str]]:
    """A candidate as name and value, for tables of any kind."""
    lines = [
        ("hardware", candidate.hardware),
        ("price", _price(candidate)),
        ("cost a month" if serving else "cost", _number(candidate.cost_usd, 1, "USD")),
        (
            ("p99", _number(candidate.latency_p99_s, 1e3, "ms"))
            if serving
            else ("time", _time(candidate.time_s))
        ),
        ("energy", _number(candidate.energy_j, 1 / J_PER_KWH, "kWh")),
        ("carbon", _number(candidate.carbon_g, 1e-3, "kg CO2e")),
        (
            "throughput",
            _number(candidate.throughput_samples_per_s, 1, "samples/s")
            + f", batch {candidate.batch_size}",
        ),
        ("evidence", str(candidate.evidence)),
    ]
    shares = (("in deadline", candidate.p_deadline), ("in budget", candidate.p_budget))
    lines += [
        (name, f"{words.share(share)} of outcomes") for name, share in shares if share is not None
    ]
    return lines


# --- terminal -------------------------------------------------------------------------------


def answer(found: Recommendation, *, explain: bool, all_rejected: bool) -> None:
    """The whole answer: the pick first, then why, then everything that it rests on."""
    if found.pick is None:
        show.console().print("[red bold]Nothing in the catalog keeps every limit.[/]")
        for sentence in found.binding:
            show.line(f"  {sentence}")
    else:
        _pick(found, found.pick)
    _rejected(found.rejected, all_=all_rejected)
    _section("Defaults taken", [", ".join(f"{n} {v}" for n, v in found.defaults)])
    _section("What it rests on", found.notes)
    if explain:
        _explain(found)
    elif found.pick is not None:
        show.line("Each number's way: --explain. Launch files: --launch FOLDER.")


def _pick(found: Recommendation, pick: Candidate) -> None:
    out = show.console()
    serving = found.need.serving
    out.print(f"[green bold]{show.clean(pick.name)}[/]", soft_wrap=True)
    for reason in found.reasons:
        out.print(f"  {show.clean(reason)}")
    if found.cpu_verdict:
        out.print(f"  [bold]{show.clean(found.cpu_verdict)}[/]")
    columns = [
        ("pick", pick),
        *((f"alternative {i}", c) for i, c in enumerate(found.alternatives, 1)),
    ]
    if out.width >= SIDE_BY_SIDE:
        _side_by_side(columns, serving=serving)
    for label, candidate in columns:
        if out.width < SIDE_BY_SIDE:
            rows = _lines(candidate, serving=serving)
            show.table(("", label), [("what", candidate.name), *rows])
        for warning in candidate.warnings:
            out.print(f"  [yellow]careful[/] {label}: {show.clean(warning)}")
    _section("What would flip it", [flip.sentence for flip in found.flips])
    _section("Buy or rent", [b.sentence for b in found.buy_or_rent])
    if found.launch is not None and isinstance(found.launch.skypilot_yaml, str):
        _section("SkyPilot task (task.yaml)", found.launch.skypilot_yaml.splitlines(), code=True)
    elif found.launch is not None:
        _section("Steps", found.launch.shell.splitlines(), code=True)


def _side_by_side(columns: Sequence[tuple[str, Candidate]], *, serving: bool) -> None:
    parts = [{"what": c.name, **dict(_lines(c, serving=serving))} for _, c in columns]
    rows = [(name, *(part.get(name, "-") for part in parts)) for name in parts[0]]
    show.table(("", *(label for label, _ in columns)), rows)


def _section(title: str, lines: Sequence[str], *, code: bool = False) -> None:
    """A title and its lines; lines of ``code`` are not broken, so that they can be copied."""
    lines = [line for line in lines if line]
    if not lines:
        return
    out = show.console()
    out.print(f"\n[bold]{show.clean(title)}[/]")
    for line in lines:
        out.print(f"  {show.clean(line)}", soft_wrap=code)


def _rejected(rejected: Sequence[Rejection], *, all_: bool) -> None:
    """By reason, the commonest first, with examples; or all."""
    counts = Counter(r.constraint for r in rejected)
    lines = []
    for constraint, n in counts.most_common():
        members = [r for r in rejected if r.constraint is constraint]
        lines.append(f"{n} for {constraint}")
        shown = members if all_ else members[:EXAMPLES_A_REASON]
        lines += [f"  {r.name}, {r.hardware}: {r.reason}" for r in shown]
    _section("Rejected", lines)


def _explain(found: Recommendation) -> None:
    if found.pick is not None:
        _steps(f"How the numbers of {found.pick.name} came about", found.pick.trail)
        for candidate in found.alternatives:
            _steps(f"How those of {candidate.name} did", candidate.trail)
    _steps("Assumptions, for all", found.assumptions)
    show.line(f"simulated with seed {found.seed}, prices seen from {found.made_on}")


def _steps(title: str, steps: Sequence[Step]) -> None:
    _section(
        title,
        [
            f"{s.name}: {s.value} = {s.formula}"
            + (f" [{s.source}{', ' + s.as_of if s.as_of else ''}]" if s.source else "")
            for s in steps
        ],
    )


# --- Markdown -------------------------------------------------------------------------------


def markdown(found: Recommendation, *, explain: bool) -> None:
    """The answer for a document or an issue."""
    serving = found.need.serving
    lines = [f"## {found.need.name}", ""]
    if found.pick is None:
        lines += ["**Nothing in the catalog keeps every limit.**", ""]
        lines += [f"- {s}" for s in found.binding]
    else:
        lines += [f"**{found.pick.name}**", ""]
        lines += [f"- {s}" for s in (*found.reasons, found.cpu_verdict) if s]
        lines += ["", *_markdown_table(found, found.pick, serving=serving)]
        lines += _markdown_list("What would flip it", [f.sentence for f in found.flips])
        lines += _markdown_list("Buy or rent", [b.sentence for b in found.buy_or_rent])
        lines += _markdown_list("Careful", _careful(found))
    lines += _markdown_list("Rejected", _counts(found.rejected))
    lines += _markdown_list(
        "Defaults taken", [f"{name}: {value}" for name, value in found.defaults]
    )
    lines += _markdown_list("What it rests on", found.notes)
    if explain and found.pick is not None:
        lines += [
            "",
            "| step | value | formula | source | date |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            "| "
            + " | ".join(_cell(x) for x in (s.name, s.value, s.formula, s.source, s.as_of))
            + " |"
            for s in (*found.pick.trail, *found.assumptions)
        ]
    if found.launch is not None:
        yaml = found.launch.skypilot_yaml
        block = yaml if isinstance(yaml, str) else found.launch.shell
        lines += ["", "```", *block.splitlines(), "```"]
    for line in lines:
        print(_printable(line))  # noqa: T201 - this is the terminal's room


def _markdown_table(found: Recommendation, pick: Candidate, *, serving: bool) -> list[str]:
    columns = [pick, *found.alternatives]
    heads = ["", "pick", *(f"alternative {i}" for i in range(1, len(columns)))]
    rows = [["what", *(c.name for c in columns)]]
    parts = [dict(_lines(c, serving=serving)) for c in columns]
    rows += [[name, *(part.get(name, "-") for part in parts)] for name in parts[0]]
    return [
        "| " + " | ".join(heads) + " |",
        "| " + " | ".join("---" for _ in heads) + " |",
        *("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows),
    ]


def _careful(found: Recommendation) -> list[str]:
    """Warnings of all that are shown: an alternative's price may be the older one."""
    columns = [*([found.pick] if found.pick else []), *found.alternatives]
    return [f"{c.name}: {warning}" for c in columns for warning in c.warnings]


def _markdown_list(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"### {title}", "", *(f"- {line}" for line in lines)] if lines else []


def _counts(rejected: Sequence[Rejection]) -> list[str]:
    first: dict[Constraint, Rejection] = {}
    for rejection in rejected:
        first.setdefault(rejection.constraint, rejection)
    counts = Counter(r.constraint for r in rejected)
    return [
        f"{n} for {constraint}, such as {first[constraint].name}: {first[constraint].reason}"
        for constraint, n in counts.most_common()
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)


# --- JSON -----------------------------------------------------------------------------------


def plain(data: Any) -> Any:  # noqa: ANN401 - any plain data
    """As JSON can have it: an infinity, which it cannot, is the word."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    if isinstance(data, float) and data in {float("inf"), float("-inf")}:
        return "unlimited"
    return data


# --- guided ---------------------------------------------------------------------------------


def questions(ask: Callable[..., Any]) -> dict[str, Any]:
    """Five questions; an empty answer leaves the setting open."""
    show.line("Five questions; Enter leaves one open.")
    task = _one_of(ask("1/5 training, fine-tuning or inference?", default="training"), list(Task))
    table: dict[str, Any] = {"task": task}
    table["workload"] = ask("2/5 which model? (dlbench list names them)", default="resnet50")
    if task == Task.INFERENCE:
        rate = ask("3/5 requests a second, and p99 in ms?", default="10 100")
        table["requests_per_s"], table["p99_ms"] = _numbers(rate, 2)
    else:
        amount = ask("3/5 samples of your data, and epochs?", default="50000 10")
        table["samples"], table["epochs"] = _numbers(amount, 2)
    if task == Task.INFERENCE:
        budget = ask("4/5 USD a month at most?", default="")
        if budget:
            (table["budget_usd_per_month"],) = _numbers(budget, 1)
    else:
        limits = ask("4/5 hours until the deadline, and USD at most?", default="")
        table |= dict(zip(("deadline_h", "budget_usd"), _numbers(limits, None), strict=False))
    regions = ask("5/5 countries or regions it may be in, such as DE FR?", default="")
    if regions:
        table["regions"] = regions.replace(",", " ").split()
    return table


def _one_of(given: str, known: Sequence[str]) -> str:
    near = [str(name) for name in known if str(name).startswith(given.strip().lower())]
    if not near:
        raise UsageError(f"task is {given!r}", f"One of: {', '.join(map(str, known))}.")
    return near[0]


def _numbers(given: str, count: int | None) -> list[float]:
    words = given.replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise UsageError(f"{given!r} are no numbers", "Write them like: 50000 10") from None
    if count is not None and len(numbers) != count:
        raise UsageError(f"{given!r} are not {count} numbers", "Write them like: 50000 10")
    return numbers
