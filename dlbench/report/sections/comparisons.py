"""Every comparison as a row: ratio, interval on one scale, verdict."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.analysis import contests
from dlbench.analysis.compare import Comparison
from dlbench.core import units
from dlbench.core.stats import EQUIVALENCE_ZONE as ZONE
from dlbench.report import charts, row_charts, svg
from dlbench.report.content import Compared, Content
from dlbench.report.render import render
from dlbench.report.sections.verdict import CSS, SIGNS

ORDER = 40
TITLE = "Comparisons"

MOST = 400

PAIRS = """
<h3 class="sub">In pairs</h3>
<p>What <code>dlbench ab</code> measured in interleaved pairs. <em>Resolved</em> is the difference that so many pairs on this machine
find 95 times in 100: one that is smaller may be there and not be seen.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table: pairs"><table class="cards">
<thead><tr><th scope="col">What</th><th scope="col" class="number">Pairs</th><th scope="col" class="number">Lost</th>
<th scope="col" class="number">p</th><th scope="col" class="number">Equal within</th><th scope="col" class="number">Resolved</th>
<th scope="col">Verdict on B</th></tr></thead>
<tbody>
{% for found in contested %}
{% set c = found.contest %}{% set said = c.judgement %}
<tr data-r="{{ found.row_numbers }}"><th scope="row">{{ task(c) }}<br><span class="doer">A: {{ c.names[0] }}; B: {{ c.names[1] }}</span></th>
<td class="number" data-head="Pairs">{{ said.n }}</td><td class="number" data-head="Lost">{{ c.n_lost }} of {{ c.n_begun }}</td>
{% if found.why_no_verdict %}
<td class="number" data-head="p"><span class="absent">absent</span></td><td class="number" data-head="Equal within">±{{ percent(c.pairing.zone) }}</td><td class="number" data-head="Resolved"><span class="absent">absent</span></td>
<td data-head="Verdict on B"><span class="failed">no verdict</span><br><span class="note">{{ found.why_no_verdict }}</span></td></tr>
{% else %}
<td class="number" data-head="p">{{ significant(said.p, 2) }}</td><td class="number" data-head="Equal within">±{{ percent(c.pairing.zone) }}</td>
<td class="number" data-head="Resolved">{% if said.resolves is number %}<span class="estimated">≈ {{ percent(said.resolves) }}</span>{% else %}<span class="absent" title="{{ said.resolves.reason }}">absent</span>{% endif %}</td>
<td data-head="Verdict on B"><span class="verdict {{ css[said.verdict] }}"><span aria-hidden="true">{{ sign[said.verdict] }}</span> {{ said.verdict }}</span><br><span class="note">{{ found.resolution }}</span></td></tr>
{% endif %}
{% endfor %}
</tbody></table></div>
"""

TEMPLATE = """
<p>How many times the throughput of A case B has. An interval that crosses 1 decides nothing; one inside
the shaded band (±2 %) says that they are equal. Across documents no verdict is given below 10 %.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table: comparisons"><table class="forest cards">
<thead><tr><th scope="col">What</th><th scope="col">A</th><th scope="col">B</th>
<td class="chart-cell"></td><th scope="col" class="number">B over A</th>
<th scope="col" class="number">95 % interval</th>
<th scope="col" class="number">Trials</th><th scope="col">Verdict on B</th></tr></thead>
<tbody>
{% for found in shown %}
{% set c = found.comparison %}
<tr data-r="{{ found.row_numbers }}"><th scope="row">{{ c.what }}{% if found.origin %}<br><span class="doer origin">{{ found.origin }}</span>{% endif %}</th><td data-head="A">{{ c.a_name }}</td><td data-head="B">{{ c.b_name }}</td>
<td class="chart-cell">{{ mark(c) }}</td>
<td class="number" data-head="B over A"><span class="measured">{{ ratio(c.estimate.ratio, 3) }}</span></td>
<td class="number" data-head="95 % interval">{% if c.estimate.interval %}
<span class="interval">{{ ratio(c.estimate.interval.low, 3) }} – {{ ratio(c.estimate.interval.high, 3) }}</span>
{% else %}<span class="absent">too few trials</span>{% endif %}</td>
<td class="number" data-head="Trials">{{ c.estimate.n }}</td><td class="verdict {{ css[c.verdict] }}" data-head="Verdict on B"><span aria-hidden="true">{{ sign[c.verdict] }}</span> {{ c.verdict }}</td></tr>
{% endfor %}
</tbody>
<tfoot><tr><td></td><td></td><td></td><td class="chart-cell">{{ axis }}</td><td></td><td></td><td></td><td></td></tr></tfoot>
</table>{{ figure }}</div>
{% if n_more %}<p>{{ n_more }} further comparisons are in the data, not here.</p>{% endif %}
"""


def html(content: Content) -> Markup | None:
    """The table with its drawing, if there is anything to compare; and what pairs resolve."""
    parts = [
        *([_ratios(content)] if content.compared else []),
        *([_pairs(content)] if content.contested else []),
    ]
    return Markup().join(parts) if parts else None


def _pairs(content: Content) -> Markup:
    return render(
        PAIRS,
        contested=content.contested,
        task=contests.task,
        percent=units.percent,
        significant=units.significant,
        css=CSS,
        sign=SIGNS,
    )


def _ratios(content: Content) -> Markup:
    shown = content.compared[:MOST]
    scale = _scale(shown)
    return render(
        TEMPLATE,
        shown=shown,
        n_more=len(content.compared) - len(shown),
        ratio=units.ratio,
        mark=lambda c: _mark(c, scale),
        axis=svg.axis_row(scale, lambda x: f"{x:g}"),
        figure=_figure(shown, scale).element,
        css=CSS,
        sign=SIGNS,
    )


def _scale(shown: tuple[Compared, ...]) -> svg.Scale:
    """One logarithmic scale around 1 for all."""
    ends = [1.0 / 1.2, 1.2]
    for found in shown:
        estimate = found.comparison.estimate
        ends.append(estimate.ratio)
        ends += [estimate.interval.low, estimate.interval.high] if estimate.interval else []
    return svg.around([min(max(x, 0.01), 100.0) for x in ends], log=True)


HUES = {"clear": "good", "open": "open"}


def _figure(shown: tuple[Compared, ...], scale: svg.Scale) -> charts.Figure:
    """The same for plotly, a group a verdict."""
    groups: dict[str, list[row_charts.Mark]] = {}
    for line, found in enumerate(shown):
        groups.setdefault(found.comparison.verdict, []).append(_dot(line, found.comparison))
    return row_charts.ratios(
        [(verdict, HUES.get(CSS[verdict], "soft"), marks) for verdict, marks in groups.items()],
        svg.Axis(scale=scale, title="B over A", form=lambda x: f"{x:g}", n_ticks=4),
        [
            charts.Span(start=1 - ZONE, end=1 + ZONE, css="zone"),
            charts.Span(start=1.0, end=1.0, css="one"),
        ],
    )


def _dot(line: int, comparison: Comparison) -> row_charts.Mark:
    interval = comparison.estimate.interval
    bounds = (interval.low, interval.high) if interval else None
    ends = f" ({' – '.join(units.ratio(x, 3) for x in bounds)})" if bounds else ""
    says = f"B over A: {units.ratio(comparison.estimate.ratio, 3)}{ends}, {comparison.verdict}"
    return row_charts.Mark(line=line, value=comparison.estimate.ratio, bounds=bounds, says=says)


def _mark(comparison: Comparison, scale: svg.Scale) -> Markup:
    estimate = comparison.estimate
    bounds = (estimate.interval.low, estimate.interval.high) if estimate.interval else None
    return Markup('<svg class="bar ratio {}" aria-hidden="true">{}{}{}{}</svg>').format(
        CSS[comparison.verdict],
        svg.band(scale.at(1 - ZONE), scale.at(1 + ZONE), "zone"),
        svg.rule(x=scale.at(1.0), css="one"),
        svg.whisker(bounds, scale),
        Markup('<circle class="dot" cx="{}%" cy="50%" r="4.5"/>').format(scale.at(estimate.ratio)),
    )
