"""Throughput of every case, as bars with intervals."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.types import Absent, Metric
from dlbench.report.content import Content
from dlbench.report.panels import Column, Spec, panels
from dlbench.report.render import absences, render, seconds_cell

ORDER = 20
TITLE = "Throughput"

INTRODUCTION = """
<p>Samples a second in steady state; more is better. The 95 % interval over processes stands under its number, and
is the line through the end of a bar. <em>First result</em>: seconds from importing the framework to the result of the
first step, with loading, compiling and tuning wherever a framework does them.</p>
"""


def html(content: Content) -> Markup | None:
    """A panel a task; cases that have no number are rows too."""
    if content.collection:
        return None
    made = panels(
        content,
        Spec(
            value_of=_throughput,
            head="Samples/s",
            caption="samples a second",
            columns=tuple(_columns(content)),
        ),
    )
    if not made.strip():
        return None
    values = [("Throughput", _throughput(row)) for row in content.rows]
    return render(INTRODUCTION) + made + absences(values)


def _throughput(row: Row) -> Metric:
    return row.metrics["throughput_samples_per_s"]


def _columns(content: Content) -> list[Column]:
    """Trials and time to the first result always; tokens, bytes and int8's own where there are some."""
    found = [
        Column(title=title, shown=_also(name, form))
        for title, name, form in (
            ("Tokens/s", "throughput_tokens_per_s", _four_digits),
            ("GB/s", "bandwidth_gb_per_s", _four_digits),
            ("int8 drift", "int8_drift_ratio", units.percent),
            ("In int8", "int8_share", units.percent),
        )
        if any(not isinstance(row.metrics[name], Absent) for row in content.rows)
    ]
    return [
        *found,
        Column(title="Trials", shown=lambda row: str(row.n_trials)),
        Column(
            title="First result",
            shown=lambda row: seconds_cell(row.metrics["time_to_first_result_s"]),
        ),
    ]


def _four_digits(value: float) -> str:
    return units.significant(value, 4)


def _also(name: str, form: Callable[[float], str]) -> Callable[[Row], str]:
    def shown(row: Row) -> str:
        value = row.metrics[name]
        return "–" if isinstance(value, Absent) else form(value.value)

    return shown
