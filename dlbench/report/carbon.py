"""Carbon and cost of measured energy, and each factor with its source: a part of the energy section."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from markupsafe import Markup

from dlbench.analysis import footprint
from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.footprint import PER_SAMPLES, Bounds, Factor, Footprint, Site
from dlbench.core.types import Absent, Metric
from dlbench.report.content import Content
from dlbench.report.panels import Column
from dlbench.report.render import metric_cell, reason, render

COLUMNS = {
    "carbon_g": "g CO2e of a million",
    "energy_cost_usd": "USD of a million",
}
"""What stands beside the joules where it is known of some case; ``PER_SAMPLES`` is that million."""

TEMPLATE = """
<h3 class="sub">Carbon and cost</h3>
{% if carbon %}
<p>Grams of CO2e of {{ samples }} samples are kWh × PUE × grams a kWh, from the lowest to the highest that energy and sources
allow: all of it is <span class="estimated">≈ estimated</span>. Only the measured device counts, not the rest of the machine,
its idle hours or its making.</p>
{% endif %}
{% for why in unknown %}<p>Carbon is <span class="absent">unknown</span>, because {{ why.reason }}. To know it, give <code>{{ why.remedy or '--intensity' }}</code>.</p>
{% endfor %}
<div class="scroll" tabindex="0" role="region" aria-label="Table: what carbon and cost rest on"><table class="cards">
<thead><tr><th scope="col">Factor</th><th scope="col">Where</th><th scope="col" class="number">Lowest – highest</th><th scope="col">Source and year</th></tr></thead>
<tbody>{% for what, where, factor in factors %}
<tr><th scope="row">{{ what }}</th><td class="place" data-head="Where">{{ where }}</td>
{% if factor.source is defined %}<td class="number" data-head="Range">{{ span(factor) }}</td><td data-head="Source">{{ factor.source }}</td>
{% else %}<td class="number" data-head="Range"><span class="absent" title="{{ reason(factor) }}">absent</span></td><td data-head="Because">{{ reason(factor) }}</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
"""

FACTORS = (
    ("Grid, g CO2e a kWh", "intensity_g_per_kwh"),
    ("PUE: the site's energy over its machines'", "pue"),
    ("Electricity, USD a kWh", "tariff_usd_per_kwh"),
)


def of_row(content: Content, row: Row) -> Footprint:
    """What ``PER_SAMPLES`` samples of a row take, emit and cost where its machine stands."""
    return footprint.of_row(row, content.site(row))


def columns(content: Content) -> tuple[Column, ...]:
    """Grams and dollars, each where it is known of some case."""
    return tuple(
        Column(title=title, shown=_shown(content, name))
        for name, title in COLUMNS.items()
        if any(not isinstance(_get(content, row, name), Absent) for row in content.rows)
    )


def basis(content: Content) -> Markup:
    """What grams and dollars rest on, factor by factor; or why there are none."""
    metered = [
        row for row in content.rows if not isinstance(_get(content, row, "energy_kwh"), Absent)
    ]
    grams = [_get(content, row, "carbon_g") for row in metered]
    unknown = dict.fromkeys(v for v in grams if isinstance(v, Absent))
    return render(
        TEMPLATE,
        carbon=any(not isinstance(v, Absent) for v in grams),
        unknown=list(unknown),
        factors=_factors(dict.fromkeys(content.site(row) for row in metered)),
        samples=f"{PER_SAMPLES:,}",
        span=_span,
        reason=reason,
    )


def _shown(content: Content, name: str) -> Callable[[Row], Markup]:
    return lambda row: metric_cell(_get(content, row, name), units.few_zeros)


def _get(content: Content, row: Row, name: str) -> Metric:
    found: Metric = getattr(of_row(content, row), name)
    return found


def _factors(sites: Iterable[Site]) -> list[tuple[str, str, Factor]]:
    found = [(what, site.name, getattr(site, name)) for what, name in FACTORS for site in sites]
    return list(dict.fromkeys(found))


def _span(factor: Bounds) -> str:
    low, high = units.significant(factor.low), units.significant(factor.high)
    return low if low == high else f"{low} – {high}"
