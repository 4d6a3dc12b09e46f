"""How long a query waits: percentiles, and the whole distribution."""

from __future__ import annotations

import math

from markupsafe import Markup

from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.metrics import LATENCY_NAMES, OF_ANYBODY
from dlbench.core.types import Metric, Mode
from dlbench.report import charts, svg
from dlbench.report.content import Content, colours, doer, origins, task
from dlbench.report.panels import Column, Spec, panels
from dlbench.report.render import absences, render, seconds_cell

ORDER = 22
TITLE = "Latency"

MOST_CURVES = 6
MOST_POINTS = 120
"""A curve is drawn through at most this many of its queries, evenly spread by rank."""

INTRODUCTION = """
<p>From a query's start to its outputs, at inference; shorter is better. p90 and p99: of 100 queries, 90
or 99 are answered within. Each is taken in every trial and has its interval over trials.</p>
{% for workload, words in named %}<p>The p50 of {{ workload }} is its {{ words }}.</p>{% endfor %}
"""

CURVES = """
<h3>Distribution</h3>
<p class="note">The share of queries answered within a time: the further left and the steeper, the better.</p>
<div class="grid">
{% for title, n_more, chart, legend in curves %}
<figure data-panel><figcaption>{{ title }}</figcaption>{{ legend }}{{ chart }}
{%- if n_more > 0 %}<p class="note">{{ n_more }} slower case{{ 's are' if n_more > 1 else ' is' }} not drawn here.</p>{% endif %}</figure>
{% endfor %}
</div>
"""

NAMES = {"latency_p50_s": "p50", "latency_p90_s": "p90", "latency_p99_s": "p99"}


def html(content: Content) -> Markup | None:
    """Panels by median, p90 and p99 beside, curves under them."""
    made = panels(
        content,
        Spec(
            value_of=lambda row: row.metrics["latency_p50_s"],
            head="p50",
            caption="seconds a query",
            columns=(
                Column(title="p90", shown=lambda row: seconds_cell(row.metrics["latency_p90_s"])),
                Column(title="p99", shown=lambda row: seconds_cell(row.metrics["latency_p99_s"])),
            ),
            shown=seconds_cell,
            form=svg.seconds,
            d3_format="~s",
            tick_unit="s",
            best_first=-1,
            keep=_asked,
        ),
    )
    if not made.strip():
        return None
    curves = _curves(content)
    values: list[tuple[str, Metric]] = [
        (word, row.metrics[name])
        for row in content.rows
        if _asked(row)
        for name, word in NAMES.items()
    ]
    shown = render(CURVES, curves=curves) if curves else Markup()
    return render(INTRODUCTION, named=_named(content)) + made + absences(values) + shown


def _named(content: Content) -> list[tuple[str, str]]:
    """Workloads whose latency has a name of its own, with the name."""
    told = {w.name: w.latency_is for run in content.runs for w in run.plan.workloads}
    asked = [row for row in content.rows if _asked(row)]
    return [
        (name, LATENCY_NAMES[known])
        for name, known in sorted(told.items())
        if known is not None
        and any(
            row.case.workload == name and row.metrics[f"{known}_s"] != OF_ANYBODY for row in asked
        )
    ]


def _asked(row: Row) -> bool:
    return row.case.mode is Mode.INFERENCE and row.n_trials > 0


def _curves(content: Content) -> list[tuple[str, int, Markup, Markup]]:
    """By task: title, how many have no curve, chart and legend of the distributions of the fastest."""
    tasks: dict[str, list[tuple[int, list[float]]]] = {}
    for run in content.runs:
        for result in run.results:
            queries = sorted(q_s for t in result.measured for q_s in t.queries_s)
            if queries and result.case.mode is Mode.INFERENCE:
                number = content.number(run, result.case)
                tasks.setdefault(task(result.case), []).append((number, queries))
    return [
        (
            title,
            len(found) - MOST_CURVES,
            *_chart(content, title, sorted(found, key=_median)[:MOST_CURVES]),
        )
        for title, found in sorted(tasks.items())
    ]


def _median(entry: tuple[int, list[float]]) -> float:
    return entry[1][len(entry[1]) // 2]


def _chart(
    content: Content, title: str, series: list[tuple[int, list[float]]]
) -> tuple[Markup, Markup]:
    hues, told = _hues(content, [number for number, _ in series]), origins(content.rows)
    longest = max(queries[-1] for _, queries in series)
    x, y = svg.Scale(low=0.0, high=longest * 1.02), svg.Scale(low=0.0, high=1.0)
    marks = Markup().join(
        Markup('<g data-r="{}">{}</g>').format(
            number,
            svg.path(
                [(x.at(q_s), y.at(p)) for q_s, p in _steps(queries)],
                colour=hues[number],
                steps=True,
            ),
        )
        for number, queries in series
    )
    words = [(number, doer(content.rows[number], told[number])) for number, _ in series]
    across = svg.Axis(
        scale=x, title="time to the answer", form=svg.seconds, d3_format="~s", unit="s"
    )
    upright = svg.Axis(
        scale=y, title="queries answered", form=lambda p: f"{p:.0%}", d3_format=".0%"
    )
    curves = [
        _curve(number, name, queries, hues[number])
        for (number, name), (_, queries) in zip(words, series, strict=True)
    ]
    return (
        svg.plot(
            marks,
            across,
            upright,
            f"Distribution of latency, {title}: "
            + "; ".join(
                f"{name} half within {units.duration(_median((0, queries)))}, all within "
                f"{units.duration(queries[-1])}"
                for (_, name), (_, queries) in zip(words, series, strict=True)
            ),
            figure=charts.figure(curves, across, upright).element,
        ),
        svg.legend([(hues[n], str(n), name) for n, name in words]),
    )


def _hues(content: Content, numbers: list[int]) -> dict[int, int]:
    """By row: its framework's colour; of several cases of one framework each has a line of its own."""
    frameworks = [content.rows[number].case.framework for number in numbers]
    if len(set(frameworks)) < len(frameworks):
        return {number: place for place, number in enumerate(numbers)}
    of = colours(content)
    return {n: of[name] for n, name in zip(numbers, frameworks, strict=True)}


def _curve(number: int, name: str, queries: list[float], colour: int) -> charts.Series:
    points = _steps(queries)
    return charts.Series(
        name=name,
        points=points,
        says=[f"{name}: {p:.0%} within {units.duration(q_s)}" for q_s, p in points],
        colour=colour,
        rows=(number,),
        steps=True,
    )


def _steps(queries: list[float]) -> list[tuple[float, float]]:
    """Points of the empirical distribution function, thinned evenly by rank."""
    n = len(queries)
    every = math.ceil(n / MOST_POINTS)
    ranks = sorted({*range(every - 1, n, every), n - 1})
    return [(queries[0], 0.0), *((queries[i], (i + 1) / n) for i in ranks)]
