"""Joules a sample with carbon and cost, or why there are none."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from dlbench.analysis.rows import Row
from dlbench.core.types import Absent, Metric
from dlbench.report import carbon
from dlbench.report.content import Content
from dlbench.report.panels import Column, Spec, panels
from dlbench.report.render import absences, cell, reason, render

ORDER = 26
TITLE = "Energy"

INTRODUCTION = """
<p>Joules a sample, from energy windows of each trial's own; less is better. Bounds include what is published of
the sensor's own error. Windows under 5 s or 50 ticks of the counter are <span class="estimated">≈
estimated</span>.</p>
"""

BESIDE = (
    ("Samples/J", "samples_per_j", 4),
    ("Net of idle", "net_energy_j_per_sample", 4),
    ("Mean power, W", "mean_power_w", 3),
    ("p95 power, W", "p95_power_w", 3),
)
"""What stands beside joules a sample: title, metric and digits."""

HOST = ("Host, J/sample", "host_energy_j_per_sample", 4)
"""Of a host whose own meter was read beside a device; shown where one was, and in no sum."""

NONE = """
<p>No case has a figure for energy.</p>
<ul>{% for line in reasons %}<li><span class="absent">absent</span> {{ line }}</li>{% endfor %}</ul>
<p>Carbon and the cost of electricity follow from energy, so they are not known either.</p>
"""


def html(content: Content) -> Markup | None:
    """Panels; where no case was metered, the reasons."""
    measured = [row for row in content.rows if row.n_trials]
    if not measured:
        return None
    metered = any(not isinstance(row.metrics[HOST[1]], Absent) for row in measured)
    made = panels(
        content,
        Spec(
            value_of=_energy,
            head="J/sample",
            caption="joules a sample",
            columns=(
                *(
                    Column(title=title, shown=_shown(name, digits))
                    for title, name, digits in (*BESIDE, *([HOST] if metered else []))
                ),
                *carbon.columns(content),
            ),
            best_first=-1,
            keep=lambda row: row.n_trials > 0,
        ),
    )
    values: list[tuple[str, Metric]] = [("Energy", _energy(row)) for row in measured]
    if made.strip():
        return render(INTRODUCTION) + made + absences(values) + carbon.basis(content)
    reasons = dict.fromkeys(reason(v) for _, v in values if isinstance(v, Absent))
    return render(NONE, reasons=list(reasons))


def _shown(name: str, digits: int) -> Callable[[Row], Markup]:
    return lambda row: cell(row.metrics[name], digits)


def _energy(row: Row) -> Metric:
    return row.metrics["energy_j_per_sample"]
