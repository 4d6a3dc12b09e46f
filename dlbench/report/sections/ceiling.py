"""What share of the arithmetic that the machine was seen to do each case does."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from dlbench.analysis import ceiling
from dlbench.analysis.ceiling import Ceiling, Key
from dlbench.core import units
from dlbench.core.types import Absent
from dlbench.report import roofline
from dlbench.report.content import Content
from dlbench.report.panels import Column, Spec, panels
from dlbench.report.render import metric_cell, render, share_cell

ORDER = 30
TITLE = "Share of the ceiling"

TEMPLATE = """
<p>The model's arithmetic a second over the most that was measured on the same machine, device and precision by
{{ names }}: nothing from a data sheet. It is <span class="estimated">≈ estimated</span>, since operations are counted
from the model and not by the hardware; its bounds come from both intervals.</p>
{{ made }}
<h3>The ceilings themselves</h3>
<div class="scroll" tabindex="0" role="region" aria-label="Table: measured ceilings"><table>
<thead><tr><th scope="col">Ceiling</th><th scope="col">Machine</th><th scope="col">Device</th><th scope="col">Precision</th><th scope="col" class="number">Measured</th></tr></thead>
<tbody>{% for c in ceilings %}
<tr><th scope="row">{{ c.workload }}, {{ c.framework }}</th><td>{{ where(c) }}</td><td>{{ c.device }}</td><td>{{ c.precision }}</td>
<td class="number">{{ shown(c) }}</td></tr>
{% endfor %}</tbody></table></div>
{{ roofline }}
"""

NONE = """
<p><span class="absent">absent</span> No ceiling was measured on this machine, so that no share can be given. To have one, measure the
micro workloads too: <code>dlbench run gemm conv2d</code>.</p>
"""


def html(content: Content) -> Markup | None:
    """Panels of shares, and the ceilings."""
    if content.collection:
        return None
    found = ceiling.find(content.rows)
    if not any(row.n_trials for row in content.rows):
        return None
    if not found:
        return render(NONE)
    made = panels(
        content,
        Spec(
            value_of=lambda row: ceiling.share(row, found),
            head="Of the ceiling",
            caption="share of the measured ceiling",
            columns=(
                Column(title="Done", shown=lambda row: _flops_of(row.metrics["flops_per_s"])),
            ),
            shown=share_cell,
            form=lambda x: f"{x:.0%}",
            d3_format=".0%",
            keep=lambda row: row.n_trials > 0 and row.case.workload not in ceiling.MICRO,
        ),
    )
    return render(
        TEMPLATE,
        made=made,
        ceilings=_all_ceilings(content, found),
        names=" or ".join(ceiling.MICRO),
        roofline=roofline.html(content),
        shown=_ceiling_cell,
        where=lambda top: ceiling.named(top.key, found),
    )


def _all_ceilings(content: Content, found: Mapping[Key, Ceiling]) -> list[Ceiling]:
    """Of arithmetic, then of memory, each once."""
    lines = ceiling.rooflines(content.rows).values()
    return [
        *(found[key] for key in sorted(found)),
        *dict.fromkeys(line.memory for line in lines),
    ]


def _ceiling_cell(top: Ceiling) -> Markup:
    if top.workload == ceiling.TRIAD:
        return metric_cell(top.value, lambda x: units.scaled(x * ceiling.BYTES_PER_GB, "B/s"))
    return metric_cell(top.value, lambda x: units.scaled(x, "FLOP/s"))


def _flops_of(value: object) -> Markup | str:
    if isinstance(value, Absent) or not hasattr(value, "value"):
        return "–"
    return units.scaled(value.value, "FLOP/s")
