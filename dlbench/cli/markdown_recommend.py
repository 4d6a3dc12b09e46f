"""A recommendation as Markdown, for a document, an issue or a chat: narrow, and readable unrendered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from dlbench.analysis.recommend import words
from dlbench.cli import show_recommend
from dlbench.cli.show_recommend import RANGES
from dlbench.core import units
from dlbench.core.footprint import J_PER_KWH, S_PER_H
from dlbench.core.recommendation import Candidate, Constraint, Recommendation, Rejection
from dlbench.core.types import Absent, Metric

S_PER_MIN = 60.0

HOURS_FROM_S = 2 * S_PER_H
"""A pick that takes as long has its times in hours, else all are in minutes."""


def show(found: Recommendation, *, explain: bool) -> None:
    """Print the answer."""
    for line in lines(found, explain=explain):
        print(_printable(line))  # noqa: T201 - this is the terminal's room


def lines(found: Recommendation, *, explain: bool) -> list[str]:
    """The answer: sentences, one narrow table, what it does not hold below it."""
    text = [f"## {found.need.name}", ""]
    if found.pick is None:
        text += ["**Nothing in the catalog keeps every limit.**", ""]
        text += [f"- {sentence}" for sentence in found.binding]
    else:
        text += [f"**{found.pick.name}**", ""]
        text += [f"- {sentence}" for sentence in (*found.reasons, found.cpu_verdict) if sentence]
        text += ["", *_table(found, found.pick), "", *_below(found), "", RANGES]
        text += _list("Careful", show_recommend.careful(found))
        text += _list("What would flip it", [flip.sentence for flip in found.flips])
        text += _list("Buy or rent", [b.sentence for b in found.buy_or_rent])
    text += _list("Rejected", _counts(found.rejected))
    taken = ", ".join(f"{name} {value}" for name, value in found.defaults)
    text += ["", "### Defaults taken", "", taken] if taken else []
    text += _list("What it rests on", found.notes)
    if explain:
        text += _explained(found)
    text = [_inert(line) for line in text]
    if found.launch is not None:
        yaml = found.launch.skypilot_yaml
        task = isinstance(yaml, str)
        block = yaml if isinstance(yaml, str) else found.launch.shell
        title = "SkyPilot task (task.yaml)" if task else "Steps"
        text += [
            "",
            f"### {title}",
            "",
            f"```{'yaml' if task else 'sh'}",
            *block.splitlines(),
            "```",
        ]
    return text


# --- the table ------------------------------------------------------------------------------

Cell = Callable[[Candidate], str]


def _table(found: Recommendation, pick: Candidate) -> list[str]:
    """Numbers alone, their units at the side; padded, so that it is a table unrendered too."""
    shown = show_recommend.columns(found)
    rows = [["", *(label for label, _ in shown)]]
    rows += [
        [name, *(cell(c) for _, c in shown)]
        for name, cell in _cells(pick, serving=found.need.serving)
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    padded = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in ruled]
    return [f"| {' | '.join(row)} |" for row in padded]


def _cells(pick: Candidate, *, serving: bool) -> list[tuple[str, Cell]]:
    month = " a month" if serving else ""
    hours = not isinstance(pick.time_s, Absent) and pick.time_s.value >= HOURS_FROM_S
    unit, of_s = ("h", S_PER_H) if hours else ("min", S_PER_MIN)
    found: list[tuple[str, Cell]] = [
        ("hardware", lambda c: _escaped(c.hardware)),
        ("USD/h", _price),
        (f"USD{month}" if serving else "cost, USD", lambda c: _number(c.cost_usd, 1)),
        ("p99, ms", lambda c: _number(c.latency_p99_s, 1e3))
        if serving
        else (f"time, {unit}", lambda c: _number(c.time_s, 1 / of_s)),
        (f"kWh{month}", lambda c: _number(c.energy_j, 1 / J_PER_KWH)),
        (f"kg CO2e{month}", lambda c: _number(c.carbon_g, 1e-3)),
        ("samples/s", lambda c: _number(c.throughput_samples_per_s, 1)),
        ("batch", words.batch),
    ]
    if pick.p_deadline is not None:
        found.append(("in deadline", lambda c: _share(c.p_deadline)))
    if pick.p_budget is not None:
        found.append(("in budget", lambda c: _share(c.p_budget)))
    return found


def _number(metric: Metric, scale: float) -> str:
    """A number with its ends; why one is unknown stands below the table."""
    if isinstance(metric, Absent):
        return "unknown"
    return show_recommend.ranged(metric, lambda x: units.few_zeros(x * scale))


def _price(candidate: Candidate) -> str:
    price = candidate.price_usd_per_h
    if candidate.owned:
        return "your own"
    return "unknown" if isinstance(price, Absent) else f"{price:.4g}"


def _share(share: float | None) -> str:
    return "-" if share is None else words.share(share)


def _below(found: Recommendation) -> list[str]:
    """What does not fit in the table: names, dates of prices, evidence, reasons of what is unknown."""
    text = []
    for label, candidate in show_recommend.columns(found):
        price = "" if candidate.owned else f"price of {candidate.price_as_of}, "
        text.append(f"- **{label}**: {candidate.name}; {price}{candidate.evidence}")
        unknown = {"energy": candidate.energy_j, "carbon": candidate.carbon_g}
        why = {name: m.reason for name, m in unknown.items() if isinstance(m, Absent)}
        for reason in dict.fromkeys(why.values()):
            names = " and ".join(name for name, its in why.items() if its == reason)
            text.append(f"  - {names} unknown: {reason}")
    return text


# --- lists ----------------------------------------------------------------------------------


def _list(title: str, sentences: Sequence[str]) -> list[str]:
    return ["", f"### {title}", "", *(f"- {s}" for s in sentences)] if sentences else []


def _counts(rejected: Sequence[Rejection]) -> list[str]:
    first: dict[Constraint, Rejection] = {}
    for rejection in rejected:
        first.setdefault(rejection.constraint, rejection)
    counts = Counter(r.constraint for r in rejected)
    return [
        f"{n} for {constraint}, such as {first[constraint].name}: {first[constraint].reason}"
        for constraint, n in counts.most_common()
    ]


def _explained(found: Recommendation) -> list[str]:
    """Each number's way, of all that are shown: a list, since formulas are sentences."""
    text = []
    compared = [(candidate.name, candidate) for candidate in found.compared]
    for label, candidate in (*show_recommend.columns(found), *compared):
        steps = [f"**{s.name}**: {show_recommend.evidence_of(s)}" for s in candidate.trail]
        text += _list(f"How the numbers of {label} came about", steps)
    assumed = [f"**{s.name}**: {show_recommend.evidence_of(s)}" for s in found.assumptions]
    return text + _list("Assumptions, for all", assumed)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _inert(text: str) -> str:
    """Names are from price files of strangers: in an issue they are no HTML, no link and no picture."""
    return text.replace("<", "\\<").replace("](", "]\\(")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
