"""The tables that most sections are: one panel with bars a task, one row a case, its number last.

Tasks of one case each are rows of one panel without bars: side by side, bars of different tasks would
compare what cannot be compared, and each in a panel of its own compares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from dlbench.analysis.rows import Row
from dlbench.core.types import Absent, Estimated, Measured, Metric
from dlbench.report import row_charts, svg
from dlbench.report.content import Content, by_task, colours, doer, framework, origins, setting
from dlbench.report.render import cell, reason, render, words

TEMPLATE = """
{% for panel in panels %}
<div class="panel{% if panel.singles %} singles{% endif %}" data-panel>
<h3>{{ panel.title }}</h3>
<table class="bars">
<caption class="hidden">{{ panel.title }}: {{ caption }}</caption>
<thead><tr><th scope="col">{% if panel.singles %}Task</th>{% else %}Case</th><td class="chart-cell"></td>{% endif %}<th scope="col" class="number">{{ head }}</th>
{% for column in columns %}<th scope="col" class="number">{{ column.title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for line in panel.lines %}
<tr data-r="{{ line.number }}"><th scope="row">{{ line.name }} <span class="doer">{{ line.setting }}{% if line.origin %}, <span class="origin">{{ line.origin }}</span>{% endif %}</span>
{%- if line.flags %} <span class="flags">{{ line.flags }}</span>{% endif %}</th>
{% if not panel.singles %}<td class="chart-cell">{{ line.bar }}</td>{% endif %}<td class="number" data-head="{{ head }}">{{ line.value }}</td>
{% for column in columns %}<td class="number" data-head="{{ column.title }}">{{ column.shown(line.row) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
{% if not panel.singles %}
<tfoot><tr><td></td><td class="chart-cell">{{ panel.axis }}</td><td></td>{% for _ in columns %}<td></td>{% endfor %}</tr></tfoot>
{% endif %}
</table>
{{ panel.figure }}
</div>
{% endfor %}
"""

SINGLES = "Tasks with one case each"

NONE = Markup()


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
    metric: Metric
    name: str
    setting: str
    origin: str
    flags: str
    value: Markup
    bar: Markup = NONE


Tasks = dict[str, list[Line]]
"""What a section shows of each task, by the task's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A task with its lines; or, of ``singles``, tasks as lines, which have no bars."""

    title: str
    lines: tuple[Line, ...]
    axis: Markup = NONE
    figure: Markup = NONE
    singles: bool = False


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
    """A panel for each task that has a number, then one for all of one case; cases without one say so."""
    hues = colours(content)
    several, single = grouped(_lines(content, spec))
    made = [_of_task(title, lines, spec, hues) for title, lines in several.items()]
    made += [_of_singles(single)] if single else []
    return render(TEMPLATE, panels=made, head=spec.head, caption=spec.caption, columns=spec.columns)


def grouped(tasks: Tasks) -> tuple[Tasks, Tasks]:
    """Tasks that have a panel of their own, and those of one case that share one.

    A task that would be alone in the shared panel keeps its own.
    """
    single = {title: lines for title, lines in tasks.items() if len(lines) == 1}
    if len(single) == 1:
        single = {}
    return {title: lines for title, lines in tasks.items() if title not in single}, single


def _lines(content: Content, spec: Spec) -> Tasks:
    """Lines of each task, best first; tasks without any number are left out."""
    told = origins(content.rows)
    found = {}
    for title, numbered in by_task(content).items():
        lines = [_line(i, row, told[i], spec) for i, row in numbered if spec.keep(row)]
        if not all(isinstance(line.metric, Absent) for line in lines):
            found[title] = sorted(lines, key=lambda line: _place(line.metric, spec.best_first))
    return found


def _line(number: int, row: Row, origin: str, spec: Spec) -> Line:
    metric = spec.value_of(row)
    return Line(
        number=number,
        row=row,
        metric=metric,
        name=framework(row.case),
        setting=setting(row.case),
        origin=origin,
        flags=", ".join(row.flags),
        value=_value(row, metric, spec.shown),
    )


def _of_task(title: str, lines: Sequence[Line], spec: Spec, hues: dict[str, int]) -> Panel:
    """One task: bars on one scale."""
    tops = [_top(line.metric) for line in lines if not isinstance(line.metric, Absent)]
    scale = svg.from_zero(tops, spec.unit)
    barred = tuple(
        replace(line, bar=_bar(line.metric, scale, hues[line.row.case.framework])) for line in lines
    )
    return Panel(
        title=title,
        lines=barred,
        axis=svg.axis_row(scale, spec.form),
        figure=_figure(title, lines, spec, scale, hues),
    )


def _of_singles(tasks: Tasks) -> Panel:
    """Several tasks, each a line named by the task; who did it stands with the setting."""
    named = [
        replace(line, name=title, setting=doer(line.row))
        for title, lines in tasks.items()
        for line in lines
    ]
    return Panel(title=SINGLES, lines=tuple(named), singles=True)


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
    title: str, lines: Sequence[Line], spec: Spec, scale: svg.Scale, hues: dict[str, int]
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
        for n, line in enumerate(lines)
        if not isinstance(value := line.metric, Absent)
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
