"""The table with bars that most sections are: one panel a task, one row a case, its number last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dlbench.analysis.rows import Row
from dlbench.core.types import Absent, Estimated, Measured, Metric
from dlbench.report import row_charts, svg
from dlbench.report.content import Content, by_task, colours, framework, origins, setting
from dlbench.report.render import cell, reason, render, words

TEMPLATE = """
{% for panel in panels %}
<div class="panel" data-panel>
<h3>{{ panel.title }}</h3>
<table class="bars">
<caption class="hidden">{{ panel.title }}: {{ caption }}</caption>
<thead><tr><th scope="col">Case</th><td class="chart-cell"></td><th scope="col" class="number">{{ head }}</th>
{% for column in columns %}<th scope="col" class="number">{{ column.title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for line in panel.lines %}
<tr data-r="{{ line.number }}"><th scope="row">{{ line.name }} <span class="doer">{{ line.setting }}{% if line.origin %}, <span class="origin">{{ line.origin }}</span>{% endif %}</span>
{%- if line.flags %} <span class="flags">{{ line.flags }}</span>{% endif %}</th>
<td class="chart-cell">{{ line.bar }}</td><td class="number" data-head="{{ head }}">{{ line.value }}</td>
{% for column in columns %}<td class="number" data-head="{{ column.title }}">{{ column.shown(line.row) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
<tfoot><tr><td></td><td class="chart-cell">{{ panel.axis }}</td><td></td>{% for _ in columns %}<td></td>{% endfor %}</tr></tfoot>
</table>
{{ panel.figure }}
</div>
{% endfor %}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A further column: its title and what it shows of a row."""

    title: str
    shown: Callable[[Row], Markup | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a panel, ready to print."""

    number: int
    row: Row
    name: str
    setting: str
    origin: str
    flags: str
    bar: Markup
    value: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A task with its lines."""

    title: str
    lines: tuple[Line, ...]
    axis: Markup
    figure: Markup


def _everything(row: Row) -> bool:  # noqa: ARG001 - the default of a field
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a section's panels show: the number ``value_of`` a row, and in which form.

    ``best_first`` is 1 where more is better, -1 where less is. ``keep`` leaves out rows that the
    section is not about (training has no latency). ``unit`` gives the size in which the axis has
    round ticks, from its top. ``d3_format`` and ``tick_unit`` say ``form`` to plotly.
    """

    value_of: Callable[[Row], Metric]
    head: str
    caption: str
    columns: tuple[Column, ...] = ()
    shown: Callable[[Metric], Markup] = cell
    form: svg.Format = svg.short
    d3_format: str = ""
    tick_unit: str = ""
    unit: Callable[[float], float] | None = None
    best_first: int = 1
    keep: Callable[[Row], bool] = _everything


def panels(content: Content, spec: Spec) -> Markup:
    """A panel for each task that has a number; cases without one are rows that say so."""
    hues, told = colours(content), origins(content.rows)
    made = []
    for title, numbered in by_task(content).items():
        kept = [(i, row, spec.value_of(row)) for i, row in numbered if spec.keep(row)]
        known = [v for _, _, v in kept if not isinstance(v, Absent)]
        if not known:
            continue
        scale = svg.from_zero([_top(v) for v in known], spec.unit)
        kept.sort(key=lambda x: _place(x[2], spec.best_first))
        lines = tuple(
            Line(
                number=i,
                row=row,
                name=framework(row.case),
                setting=setting(row.case),
                origin=told[i],
                flags=", ".join(row.flags),
                bar=_bar(value, scale, hues[row.case.framework]),
                value=_value(row, value, spec.shown),
            )
            for i, row, value in kept
        )
        axis = svg.axis_row(scale, spec.form)
        figure = _figure(title, lines, [v for _, _, v in kept], spec, scale, hues)
        made.append(Panel(title=title, lines=lines, axis=axis, figure=figure))
    return render(TEMPLATE, panels=made, head=spec.head, caption=spec.caption, columns=spec.columns)


def _value(row: Row, value: Metric, shown: Callable[[Metric], Markup]) -> Markup:
    """The number; of a case that ended badly, how it ended."""
    if isinstance(value, Absent) and not row.n_trials:
        return Markup('<span class="absent" title="{}">{}</span>').format(
            reason(value), str(row.outcome.kind).replace("_", " ")
        )
    return shown(value)


def _place(value: Metric, best_first: int) -> tuple[bool, float]:
    return (True, 0.0) if isinstance(value, Absent) else (False, -best_first * value.value)


def _top(value: Measured | Estimated) -> float:
    return max(value.value, value.interval.high) if value.interval else value.value


def _figure(
    title: str,
    lines: Sequence[Line],
    values: Sequence[Metric],
    spec: Spec,
    scale: svg.Scale,
    hues: dict[str, int],
) -> Markup:
    """The same bars for plotly."""
    marks = [
        row_charts.Mark(
            line=n,
            value=value.value,
            bounds=(value.interval.low, value.interval.high) if value.interval else None,
            says=f"{spec.head}: {words(line.value)}",
            hue=hues[line.row.case.framework],
            estimated=isinstance(value, Estimated),
        )
        for n, (line, value) in enumerate(zip(lines, values, strict=True))
        if not isinstance(value, Absent)
    ]
    axis = svg.Axis(
        scale=scale, title=spec.head, form=spec.form, n_ticks=4, d3_format=spec.d3_format,
        unit=spec.tick_unit,
    )  # fmt: skip
    return row_charts.bars(title, marks, axis).element


def _bar(value: Metric, scale: svg.Scale, colour: int) -> Markup:
    if isinstance(value, Absent):
        return svg.no_bar()
    kind = "estimated" if isinstance(value, Estimated) else "measured"
    bounds = (value.interval.low, value.interval.high) if value.interval else None
    return svg.bar(value.value, bounds, scale, colour=colour, kind=kind)
