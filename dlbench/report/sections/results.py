"""Every case as a row: throughput, latency, memory, energy, outcome."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core import metrics
from dlbench.core.types import Absent, CaseResult, Run
from dlbench.report import charts
from dlbench.report.render import render

ORDER = 40
TITLE = "Results"

TEMPLATE = """
<div class="scroll" tabindex="0" role="region" aria-label="Results"><table>
<thead><tr><th scope="col">Case</th><th scope="col" class="number">Samples/s</th>
<th scope="col" class="number">Trials</th>
<th scope="col" class="number">First step</th>
<th scope="col" class="number">p50</th><th scope="col" class="number">p99</th>
<th scope="col" class="number">Peak memory<br>device, host</th>
<th scope="col" class="number">J/sample</th><th scope="col">Outcome</th></tr></thead>
<tbody>
{% for run, result in rows %}
<tr><th scope="row">{{ task(result.case) }}<br><span class="doer">{{ doer(result.case) }}
{%- if many %} · {{ run.environment.machine }}{% endif %}</span></th>
<td class="number">{{ get('throughput_samples_per_s', result, run) | cell }}</td>
<td class="number">{{ result.measured | length }}</td>
<td class="number">{{ get('first_step_s', result, run) | seconds }}</td>
<td class="number">{{ get('latency_p50_s', result, run) | seconds }}</td>
<td class="number">{{ get('latency_p99_s', result, run) | seconds }}</td>
<td class="number">{{ get('peak_framework_allocated_mib', result, run) | mib }}<br>
{{ get('peak_host_rss_mib', result, run) | mib }}</td>
<td class="number">{{ get('energy_j_per_sample', result, run) | cell }}</td>
<td>{{ result.outcome.kind }}{% if result.flags %}
<br><span class="flags">{{ result.flags | join(', ') }}</span>{% endif %}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="note"><span class="measured">Measured</span>, <span class="estimated">≈ estimated</span> and
<span class="absent">absent</span> numbers look different everywhere.</p>
{% if absences %}<details><summary>Why some numbers are absent</summary><ul>
{% for reason in absences %}<li>{{ reason }}</li>{% endfor %}</ul></details>{% endif %}
"""

SHOWN = (
    "throughput_samples_per_s",
    "latency_p50_s",
    "latency_p99_s",
    "peak_framework_allocated_mib",
    "peak_host_rss_mib",
    "energy_j_per_sample",
)


def html(runs: Sequence[Run]) -> Markup | None:
    """The table of all cases."""
    rows = charts.results_of(runs)
    if not rows:
        return None
    return render(
        TEMPLATE,
        rows=rows,
        many=len(runs) > 1,
        task=charts.task,
        doer=charts.doer,
        get=metrics.compute,
        absences=_absences(rows),
    )


def _absences(rows: Sequence[tuple[Run, CaseResult]]) -> list[str]:
    """Each reason once, with the metric it belongs to."""
    reasons = []
    for run, result in rows:
        for name in SHOWN:
            value = metrics.compute(name, result, run)
            if isinstance(value, Absent):
                remedy = f" ({value.remedy})" if value.remedy else ""
                reasons.append(f"{metrics.REGISTRY[name].doc} {value.reason}{remedy}")
    return list(dict.fromkeys(reasons))
