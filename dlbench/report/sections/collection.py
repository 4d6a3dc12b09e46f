"""Many results together: the median of each group with its spread over machines and days."""

from __future__ import annotations

from dataclasses import replace

from markupsafe import Markup

from dlbench.analysis.groups import Group
from dlbench.analysis.rows import Row
from dlbench.core.stats import LEVEL
from dlbench.core.types import Absent, Interval, Metric
from dlbench.report.content import Content
from dlbench.report.panels import Column, Spec, panels
from dlbench.report.render import render

ORDER = 18
TITLE = "Throughput over machines"

INTRODUCTION = """
<p>Samples a second; more is better: the median over all results of a case on one model of device, and the middle nine
tenths of them, which are a spread between machines and days, not a confidence interval. Numbers further down are
medians too.</p>
{% if n_left_out %}<p>{{ n_left_out }} smaller groups are left out.</p>{% endif %}
"""


def html(content: Content) -> Markup | None:
    """Panels like those of throughput, with spreads in place of intervals."""
    collection = content.collection
    if collection is None:
        return None
    groups = {id(group.row): group for group in collection.groups}
    made = panels(
        content,
        Spec(
            value_of=lambda row: _spread(row, groups[id(row)]),
            head="Median, spread",
            caption="samples a second",
            columns=(
                Column(title="Device", shown=lambda row: row.device_name),
                Column(title="Results", shown=lambda row: f"{groups[id(row)].n_results:,}"),
                Column(title="Machines", shown=lambda row: f"{groups[id(row)].n_machines:,}"),
            ),
        ),
    )
    return render(INTRODUCTION, n_left_out=collection.n_left_out) + made


def _spread(row: Row, group: Group) -> Metric:
    value = row.metrics["throughput_samples_per_s"]
    if isinstance(value, Absent) or group.low is None or group.high is None:
        return value
    return replace(value, interval=Interval(low=group.low, high=group.high, level=LEVEL))
