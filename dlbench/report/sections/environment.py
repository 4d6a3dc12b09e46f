"""The machines and their software."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core.types import Absent, Run
from dlbench.report.render import render

ORDER = 60
TITLE = "Environment"

TEMPLATE = """
{% for run in runs %}
<h3>{{ run.environment.machine }}</h3>
<p>{{ run.created_utc }} to {{ run.finished_utc }}, {{ run.plan.threads }} CPU threads, run {{ run.run_id }}
{%- if run.plan.tags %}, tags {{ run.plan.tags | join(', ') }}{% endif %}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Devices of {{ run.environment.machine }}"><table>
<thead><tr><th scope="col">Device</th><th scope="col">Name</th><th scope="col">Native precisions</th></tr></thead>
<tbody>{% for device in run.environment.devices %}
<tr><th scope="row">{{ device.id }}</th><td>{{ device.name }}</td><td>{{ device.precisions | join(', ') }}</td></tr>
{% endfor %}</tbody></table></div>
<details><summary>Software and kernel</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Software of {{ run.environment.machine }}"><table>
<tbody>
{% for name, value in run.environment.versions.items() %}
<tr><th scope="row">{{ name }}</th><td>{{ show(value) }}</td></tr>
{% endfor %}
{% for name, value in run.environment.facts.items() %}
<tr><th scope="row">{{ name.replace('_', ' ') }}</th><td>{{ show(value) }}</td></tr>
{% endfor %}
</tbody></table></div></details>
{% endfor %}
"""


def html(runs: Sequence[Run]) -> Markup | None:
    """Devices in view, the rest folded."""
    return render(TEMPLATE, runs=runs, show=_show)


def _show(value: object) -> Markup:
    if isinstance(value, Absent):
        return render('<span class="absent">absent: {{ reason }}</span>', reason=value.reason)
    text = f"{value:,.6g}" if isinstance(value, float) else str(value)
    return render("{{ text }}", text=text)
