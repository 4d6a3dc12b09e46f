"""Every comparison as a row: ratio, interval, verdict."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core.types import Run
from dlbench.report.render import render
from dlbench.report.sections import verdict

ORDER = 30
TITLE = "Comparisons"

TEMPLATE = """
<div class="scroll" tabindex="0" role="region" aria-label="Comparisons"><table>
<thead><tr><th scope="col">What</th><th scope="col">A</th><th scope="col">B</th>
<th scope="col" class="number">B over A</th><th scope="col" class="number">95 % interval</th>
<th scope="col" class="number">Trials</th><th scope="col">Verdict on B</th></tr></thead>
<tbody>
{% for c in comparisons %}
<tr><th scope="row">{{ c.what }}</th><td>{{ c.a_name }}</td><td>{{ c.b_name }}</td>
<td class="number">{{ '%.3f' | format(c.estimate.ratio) }}</td>
<td class="number">{% if c.estimate.interval %}
{{ '%.3f' | format(c.estimate.interval.low) }} – {{ '%.3f' | format(c.estimate.interval.high) }}
{% else %}<span class="absent">too few trials</span>{% endif %}</td>
<td class="number">{{ c.estimate.n }}</td><td>{{ c.verdict }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">A ratio above 1 means that B has the higher throughput. Equivalent: the whole interval lies
within ±2 %. Across documents no verdict is given below 10 %.</p>
"""


def html(runs: Sequence[Run]) -> Markup | None:
    """The table, if there is anything to compare."""
    comparisons = verdict.found(runs)
    return render(TEMPLATE, comparisons=comparisons) if comparisons else None
