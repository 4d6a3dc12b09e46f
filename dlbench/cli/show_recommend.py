"""How a recommendation is printed in the terminal; and the guided questions."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from dlbench.analysis.recommend import words
from dlbench.cli import show
from dlbench.core import units
from dlbench.core.errors import UsageError
from dlbench.core.footprint import J_PER_KWH
from dlbench.core.recommendation import Candidate, Recommendation, Rejection, Step
from dlbench.core.types import Absent, Estimated, Measured, Metric, Task

EXAMPLES_A_REASON = 2
"""Rejected offers that are named for each reason; ``--rejected`` names all."""

SIDE_BY_SIDE = 118
"""Narrower, each candidate has a table of its own."""


# --- numbers --------------------------------------------------------------------------------


def ranged(known: Measured | Estimated, shown: Callable[[float], str]) -> str:
    """A number with the ends of its interval, where these are two: ``3.2 (2.9 to 3.6)``."""
    bounds = known.interval
    if bounds is None or bounds.low >= bounds.high:
        return shown(known.value)
    return f"{shown(known.value)} ({shown(bounds.low)} to {shown(bounds.high)})"


def _number(metric: Metric, scale: float, unit: str) -> str:
    """A number with its interval, or why there is none."""
    if isinstance(metric, Absent):
        return f"unknown: {metric.reason}"
    return f"{ranged(metric, lambda x: units.few_zeros(x * scale))} {unit}"


def _time(metric: Metric) -> str:
    if isinstance(metric, Absent):
        return f"unknown: {metric.reason}"
    return ranged(metric, units.duration)


def _price(candidate: Candidate) -> str:
    price = candidate.price_usd_per_h
    if candidate.owned:
        return "your own"
    if isinstance(price, Absent):
        return "unknown"
    return f"{price:.4g} USD/h, {candidate.price_as_of}"


def _lines(candidate: Candidate, *, serving: bool) -> list[tuple[str, str]]:
    """A candidate as name and value, each with its unit."""
    a_month = " a month" if serving else ""
    lines = [
        ("hardware", candidate.hardware),
        ("price", _price(candidate)),
        (f"cost{a_month}", _number(candidate.cost_usd, 1, "USD")),
        (
            ("p99", _number(candidate.latency_p99_s, 1e3, "ms"))
            if serving
            else ("time", _time(candidate.time_s))
        ),
        (f"energy{a_month}", _number(candidate.energy_j, 1 / J_PER_KWH, "kWh")),
        (f"carbon{a_month}", _number(candidate.carbon_g, 1e-3, "kg CO2e")),
        (
            "throughput",
            _number(candidate.throughput_samples_per_s, 1, "samples/s")
            + f", batch {words.batch(candidate)}",
        ),
        ("evidence", str(candidate.evidence)),
    ]
    shares = (("in deadline", candidate.p_deadline), ("in budget", candidate.p_budget))
    lines += [
        (name, f"{words.share(share)} of outcomes") for name, share in shares if share is not None
    ]
    return lines


RANGES = "Ranges hold nine of ten simulated outcomes."


def columns(found: Recommendation) -> list[tuple[str, Candidate]]:
    """What is shown, by what it is called: the pick, and the alternatives."""
    picks = [("pick", found.pick)] if found.pick else []
    return picks + [(f"alternative {i}", c) for i, c in enumerate(found.alternatives, 1)]


def careful(found: Recommendation) -> list[str]:
    """What to know of those that are shown, each warning once, with all that it is of."""
    whose: dict[str, list[str]] = {}
    for label, candidate in columns(found):
        for warning in candidate.warnings:
            whose.setdefault(warning, []).append(label)
    return [f"{', '.join(labels)}: {warning}" for warning, labels in whose.items()]


def evidence_of(step: Step) -> str:
    """Where a number of ``--explain`` is from, and of which day."""
    source = f"{step.source}{', ' + step.as_of if step.as_of else ''}"
    return f"{step.value} = {step.formula}" + (f" [{source}]" if step.source else "")


# --- terminal -------------------------------------------------------------------------------


def answer(found: Recommendation, *, explain: bool, all_rejected: bool) -> None:
    """The whole answer: the pick first, then why, then everything that it rests on."""
    if found.pick is None:
        show.console().print("[red bold]Nothing in the catalog keeps every limit.[/]")
        for sentence in found.binding:
            _said(sentence)
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
        _said(reason)
    if found.cpu_verdict:
        _said(found.cpu_verdict, style="bold")
    if out.width >= SIDE_BY_SIDE:
        _side_by_side(columns(found), serving=serving)
    else:
        for label, candidate in columns(found):
            rows = _lines(candidate, serving=serving)
            show.table(("", label), [("what", candidate.name), *rows])
    _said(RANGES)
    _section("Careful", careful(found), style="yellow")
    _section("What would flip it", [flip.sentence for flip in found.flips])
    _section("Buy or rent", [b.sentence for b in found.buy_or_rent])
    if found.launch is not None and isinstance(found.launch.skypilot_yaml, str):
        _code("SkyPilot task (task.yaml)", found.launch.skypilot_yaml)
    elif found.launch is not None:
        _code("Steps", found.launch.shell)


def _said(text: str, *, indent: int = 2, style: str = "") -> None:
    """A sentence; what goes on in a next line stands further in, so that sentences are told apart."""
    out = show.console()
    for line in textwrap.wrap(
        text,
        width=max(out.width, NARROWEST),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    ):
        out.print(f"[{style}]{show.clean(line)}[/]" if style else show.clean(line), soft_wrap=True)


NARROWEST = 20
"""Columns, below which nothing is fitted to a terminal's width."""


def _side_by_side(shown: Sequence[tuple[str, Candidate]], *, serving: bool) -> None:
    parts = [{"what": c.name, **dict(_lines(c, serving=serving))} for _, c in shown]
    rows = [(name, *(part.get(name, "-") for part in parts)) for name in parts[0]]
    show.table(("", *(label for label, _ in shown)), rows)


def _title(title: str, style: str = "") -> None:
    show.console().print(f"\n[bold {style}]{show.clean(title)}[/]")


def _section(title: str, lines: Sequence[str], *, style: str = "") -> None:
    """A title and its sentences; a line that starts further in stays there."""
    lines = [line for line in lines if line]
    if not lines:
        return
    _title(title, style)
    for line in lines:
        _said(line.lstrip(" "), indent=2 + len(line) - len(line.lstrip(" ")))


def _code(title: str, text: str) -> None:
    """Lines that are copied, and therefore not broken."""
    _title(title)
    for line in text.splitlines():
        show.line(f"  {line}")


def _rejected(rejected: Sequence[Rejection], *, all_: bool) -> None:
    """By reason, the commonest first, with examples; or all."""
    counts = Counter(r.constraint for r in rejected)
    lines = []
    for constraint, n in counts.most_common():
        members = [r for r in rejected if r.constraint is constraint]
        lines.append(f"{n} for {constraint}")
        shown = members if all_ else members[:EXAMPLES_A_REASON]
        lines += [f"  {r.name}, {r.hardware}: {r.reason}" for r in shown]
    if max(counts.values(), default=0) > EXAMPLES_A_REASON and not all_:
        lines.append("Each of them with its reason: --rejected.")
    _section("Rejected", lines)


def _explain(found: Recommendation) -> None:
    if found.pick is not None:
        _steps(f"How the numbers of {found.pick.name} came about", found.pick.trail)
    for candidate in (*found.alternatives, *found.compared):
        _steps(f"How those of {candidate.name} did", candidate.trail)
    _steps("Assumptions, for all", found.assumptions)
    show.line(f"simulated with seed {found.seed}, prices seen from {found.made_on}")


def _steps(title: str, steps: Sequence[Step]) -> None:
    _section(title, [f"{step.name}: {evidence_of(step)}" for step in steps])


# --- guided ---------------------------------------------------------------------------------

Table = dict[str, Any]


def questions(ask: Callable[..., str], check: Callable[[Table], None]) -> Table:
    """Five questions; an empty answer leaves the setting open, and a wrong one is asked again.

    Args:
        ask: what ``typer.prompt`` is.
        check: raises UsageError where a need's table, or the part of one, makes no sense.
    """
    table: Table = {}

    def answered(question: str, default: str, read: Callable[[str], Table]) -> None:
        while True:
            given = ask(question, default=default, show_default=bool(default))
            try:
                told = read(given)
                check(table | told)
            except UsageError as error:
                show.error(error)
            else:
                table.update(told)
                return

    answered("1/5 training, fine-tuning or inference?", "training", _task)
    answered("2/5 which model? (dlbench list names them)", "resnet50", lambda x: {"workload": x})
    if table["task"] == Task.INFERENCE:
        rate = ("requests_per_s", "p99_ms")
        answered("3/5 requests a second, and p99 in ms?", "10 100", lambda x: _both(x, rate))
        answered("4/5 USD a month at most?", "", lambda x: _limits(x, ("budget_usd_per_month",)))
    else:
        amount = ("samples", "epochs")
        answered("3/5 samples of your data, and epochs?", "50000 10", lambda x: _both(x, amount))
        ends = ("deadline_h", "budget_usd")
        limits = "4/5 hours until the deadline, and USD at most? (-: none)"
        answered(limits, "", lambda x: _limits(x, ends))
    answered("5/5 countries or regions it may be in, such as DE FR?", "", _regions)
    return table


def _task(given: str) -> Table:
    """A task by how it begins, else as it was given, which is then refused."""
    said = given.strip().lower()
    return {"task": next((str(task) for task in Task if str(task).startswith(said)), given)}


def _regions(given: str) -> Table:
    said = _words(given)
    return {"regions": said} if said else {}


def _both(given: str, fields: tuple[str, str]) -> Table:
    """Two numbers, of which none may be left open."""
    said = _numbers(given)
    if len(said) != len(fields):
        raise UsageError(f"{given!r} is not two numbers", EXAMPLE_OF_TWO)
    return dict(zip(fields, map(_number_of, said), strict=True))


def _limits(given: str, fields: tuple[str, ...]) -> Table:
    """Limits; each may be left open by a dash, or by saying less."""
    said = _numbers(given)
    if len(said) > len(fields):
        raise UsageError(
            f"{given!r} is more than {units.counted(len(fields), 'number')}",
            EXAMPLE_OF_TWO if len(fields) > 1 else "Write it like: 20",
        )
    pairs = zip(fields, said, strict=False)
    return {field: _number_of(word) for field, word in pairs if word != "-"}


EXAMPLE_OF_TWO = "Write them like: 48 20"


def _words(given: str) -> list[str]:
    return given.replace(",", " ").split()


COMMA_WITHIN = re.compile(r"\d,\d")


def _numbers(given: str) -> list[str]:
    """Words that should be numbers; 1,500 may be meant as one of them, or as 1.5, or as two."""
    if COMMA_WITHIN.search(given):
        raise UsageError(f"{given!r} has a comma within a number", "Write it like: 1500, or 0.5.")
    return _words(given)


def _number_of(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UsageError(f"{word!r} is no number", "Write it like: 20, or 0.5.") from None
