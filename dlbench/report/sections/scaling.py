"""Throughput, and how long a query takes, against the batch size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markupsafe import Markup

from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.types import Absent, Case, Measured
from dlbench.report import charts, svg
from dlbench.report.content import Content, framework, origins, task, without_batch
from dlbench.report.render import render

ORDER = 28
TITLE = "Scaling with the batch"

LEAST_BATCHES = 2

TEMPLATE = """
<p>The same case with other batch sizes. Where the line flattens, a larger batch buys nothing, and at
inference each query waits longer for it.</p>
<div class="grid">
{% for title, chart, legend, table in charts %}
<figure data-panel><figcaption>{{ title }}</figcaption>{{ legend }}{{ chart }}{{ table }}</figure>
{% endfor %}
</div>
"""

TABLE = """
<div class="scroll" tabindex="0" role="region" aria-label="Table: batch sizes of {{ title }}"><table>
<thead><tr><th scope="col">Case</th><th scope="col" class="number">Batch</th><th scope="col" class="number">Samples/s</th>
{%- if timed %}<th scope="col" class="number">Latency, p50</th>{% endif %}</tr></thead>
<tbody>{% for number, name, batch, value, latency in lines %}
<tr data-r="{{ number }}"><th scope="row">{{ name }}</th><td class="number">{{ batch }}</td><td class="number">{{ value | cell }}</td>
{%- if timed %}<td class="number">{{ latency | seconds }}</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
"""

Numbered = tuple[int, Row, Measured]


def html(content: Content) -> Markup | None:
    """A chart a task of which some case was measured with several batches."""
    tasks: dict[str, list[list[Numbered]]] = {}
    for series in _series(content).values():
        if len({row.case.batch_size for _, row, _ in series}) >= LEAST_BATCHES:
            tasks.setdefault(task(series[0][1].case), []).append(series)
    if not tasks:
        return None
    told = origins(content.rows)
    return render(TEMPLATE, charts=[_figure(t, found, told) for t, found in sorted(tasks.items())])


def _series(content: Content) -> dict[tuple[str, Case], list[Numbered]]:
    found: dict[tuple[str, Case], list[Numbered]] = {}
    for i, row in enumerate(content.rows):
        value = row.metrics["throughput_samples_per_s"]
        if isinstance(value, Measured):
            found.setdefault((row.run_id, without_batch(row.case)), []).append((i, row, value))
    for series in found.values():
        series.sort(key=lambda entry: entry[1].case.batch_size)
    return found


def _name(row: Row, origin: str) -> str:
    case = row.case
    words = [framework(case), case.device, str(case.precision)]
    words += [str(case.policy)] if case.policy != "base" else []
    words += [f"{case.data_mode} data"] if case.data_mode != "synthetic" else []
    words += [case.adapter_options] if case.adapter_options else []
    return ", ".join(words + ([origin] if origin else []))


def _figure(
    title: str, found: list[list[Numbered]], told: Sequence[str]
) -> tuple[str, Markup, Markup, Markup]:
    batches = [row.case.batch_size for series in found for _, row, _ in series]
    x = svg.around([float(b) for b in batches], log=True)
    y = svg.from_zero([value.value for series in found for _, _, value in series])
    marks = Markup().join(_line(series, i % 8, x, y) for i, series in enumerate(found))
    lines = [
        (number, _name(row, told[number]), row.case.batch_size, value, row.metrics["latency_p50_s"])
        for series in found
        for number, row, value in series
    ]
    words = "; ".join(
        f"{name}, batch {b}: {units.significant(v.value, 4)}" for _, name, b, v, _ in lines
    )
    names = [(i % 8, _numbers(s), _name(s[0][1], told[s[0][0]])) for i, s in enumerate(found)]
    measured = sorted({float(b) for b in batches})
    across = svg.Axis(scale=x, title="batch size", form=lambda b: f"{b:g}", places=measured)
    upright = svg.Axis(scale=y, title="samples/s")
    drawn = [
        _points(s, name, i % 8)
        for i, (s, (_, _, name)) in enumerate(zip(found, names, strict=True))
    ]
    chart = svg.plot(
        marks,
        across,
        upright,
        f"Throughput against batch size, {title}, samples/s: {words}",
        figure=charts.figure(drawn, across, upright).element,
    )
    timed = any(not isinstance(latency, Absent) for *_, latency in lines)
    listed = render(TABLE, title=title, lines=lines, timed=timed)
    return title, chart, svg.legend(names, dots=True), listed


def _numbers(series: list[Numbered]) -> str:
    return " ".join(str(i) for i, _, _ in series)


def _says(batch: int, value: Measured) -> str:
    return f"batch {batch}: {units.significant(value.value, 4)} samples/s"


def _points(series: list[Numbered], name: str, colour: int) -> charts.Series:
    return charts.Series(
        name=name,
        points=[(row.case.batch_size, value.value) for _, row, value in series],
        says=[f"{name}, {_says(row.case.batch_size, value)}" for _, row, value in series],
        colour=colour,
        rows=[number for number, _, _ in series],
        mode="lines+markers",
        y_bounds=[(v.interval.low, v.interval.high) if v.interval else None for _, _, v in series],
    )


def _line(series: list[Numbered], colour: int, x: svg.Scale, y: svg.Scale) -> Markup:
    at = [(x.at(row.case.batch_size), y.at(value.value)) for _, row, value in series]
    dots = Markup().join(
        svg.point(
            left,
            up,
            colour=colour,
            title=_says(row.case.batch_size, value),
            rows=str(number),
        )
        for (left, up), (number, row, value) in zip(at, series, strict=True)
    )
    return _segments(series, at, colour) + dots


def _segments(series: list[Numbered], at: list[tuple[float, float]], colour: int) -> Markup:
    """A line from each batch to the next, which is there while both of them are."""
    numbers = [number for number, _, _ in series]
    return Markup().join(
        Markup('<g data-r="{} {}">{}</g>').format(a, b, svg.path(ends, colour=colour))
        for (a, b), ends in zip(itertools.pairwise(numbers), itertools.pairwise(at), strict=True)
    )
