"""The same content for a pull request (Markdown) and for programs (JSON)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dlbench.analysis import bottleneck, contests
from dlbench.analysis.compare import sentence
from dlbench.core import recommendation, units
from dlbench.core.types import Absent, Estimated, Metric
from dlbench.report import table
from dlbench.report.build import facts, headline
from dlbench.report.content import Content, by_task, doer, origins
from dlbench.report.sections import bottlenecks
from dlbench.report.sections.verdict import BADGES, pair_of

SHOWN = (
    ("samples/s", "throughput_samples_per_s"),
    ("p50", "latency_p50_s"),
    ("p99", "latency_p99_s"),
    ("J/sample", "energy_j_per_sample"),
)


def markdown(content: Content) -> str:
    """Headline, verdicts, what bounds each case, a table a task, and what was not measured."""
    lines = [f"# {_text(headline(content))}", "", _text(facts(content)), ""]
    if content.recommendation:
        told = (*content.recommendation.reasons, *content.recommendation.binding)
        lines += [*(f"- {_text(line)}" for line in told), ""]
    lines += [
        f"- **{BADGES[f.comparison.verdict]}**: {_text(sentence(f.comparison))}"
        + (f"; {_text(f.resolution)}" if f.resolution else "")
        + (f"; {_text(f.origin)}" if f.origin else "")
        for f in content.compared
    ]
    lines += [
        f"- **no verdict**: {_text(pair_of(c.contest))}: {_text(c.why_no_verdict)}"
        for c in content.contested
        if c.why_no_verdict
    ]
    bounds = bottlenecks.told(content)
    lines += [f"- **{b.name}**: {_text(words)}" for b, words in bounds]
    lines += [""] if content.compared or content.contested or bounds else []
    told = origins(content.rows)
    heads = [head for head, _ in SHOWN]
    for title, rows in by_task(content).items():
        lines += [f"## {_text(title)}", "", _line(["case", *heads, "trials", "outcome"])]
        lines += [_line(["---", *("---:" for _ in heads), "---:", "---"])]
        for i, row in rows:
            cells = [_number(row.metrics[name], name) for _, name in SHOWN]
            ended = str(row.outcome.kind) + (
                f": {row.outcome.message}" if row.outcome.message else ""
            )
            lines.append(_line([doer(row, told[i]), *cells, str(row.n_trials), ended]))
        lines.append("")
    lines += ["Measured numbers have their 95 % interval; ≈ is estimated; absent is not known."]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(_text(c) for c in cells)} |"


def _text(words: str) -> str:
    """Text that Markdown and the HTML inside it leave as it is, on one line."""
    plain = "".join(c if c.isprintable() else " " for c in words)
    for bad in "\\`*_[]<>|#":
        plain = plain.replace(bad, f"\\{bad}")
    return plain.replace("&", "&amp;")


def _number(value: Metric, name: str) -> str:
    if isinstance(value, Absent):
        return "absent"
    form = units.duration if name.endswith("_s") and "per" not in name else _significant
    sign = "≈ " if isinstance(value, Estimated) else ""
    bounds = value.interval
    interval = f" ({form(bounds.low)} – {form(bounds.high)})" if bounds else ""
    return f"{sign}{form(value.value)}{interval}"


def _significant(value: float) -> str:
    return units.significant(value, 4)


def plain(content: Content) -> dict[str, Any]:
    """Headline, facts, comparisons, contests and bottlenecks in words, sites, the answer, all rows."""
    answer = content.recommendation
    return {
        "headline": headline(content),
        "facts": facts(content),
        "comparisons": [
            {**asdict(f.comparison), "sentence": sentence(f.comparison)} for f in content.compared
        ],
        "contests": [contests.plain(c.contest) for c in content.contested],
        "bottlenecks": [
            {**bottleneck.plain(b), "sentence": words} for b, words in bottlenecks.told(content)
        ],
        "sites": {run_id: asdict(site) for run_id, site in content.sites.items()},
        "recommendation": recommendation.plain(answer) if answer else None,
        "table": table.of(content),
    }
