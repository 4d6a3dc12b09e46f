"""The machines and their software."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.core import units
from dlbench.core.types import Absent
from dlbench.report.content import Content
from dlbench.report.render import render

ORDER = 60
TITLE = "Environment"

MOST = 20
"""Machines of more documents than this are not all printed; they are in the data."""

TEMPLATE = """
{% for run in runs %}
<h3>{{ run.environment.machine }}</h3>
<p>{{ run.created_utc }} to {{ run.finished_utc }}, {{ counted(run.plan.threads, 'CPU thread') }}, run {{ run.run_id }}
{%- if run.plan.tags %}, tags {{ run.plan.tags | join(', ') }}{% endif %}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table: devices of {{ run.environment.machine }}, document {{ loop.index }}"><table>
<thead><tr><th scope="col">Device</th><th scope="col">Name</th><th scope="col">Memory (MiB)</th><th scope="col">Native precisions</th></tr></thead>
<tbody>{% for device in run.environment.devices %}
<tr><th scope="row">{{ device.id }}</th><td>{{ device.name }}</td><td>{{ show(device.memory_mib) }}</td><td>{{ device.precisions | join(', ') }}</td></tr>
{% endfor %}</tbody></table></div>
<details><summary>Software, kernel and devices</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Table: software of {{ run.environment.machine }}, document {{ loop.index }}"><table>
<thead><tr><th scope="col">What</th><th scope="col">As found</th></tr></thead>
<tbody>
{% for name, value in run.environment.versions.items() %}
<tr><th scope="row">{{ name }}</th><td>{{ show(value) }}</td></tr>
{% endfor %}
{% for name, value in run.environment.facts.items() %}
<tr><th scope="row">{{ name if name.startswith('variable ') else name.replace('_', ' ') }}</th><td>{{ show(value) }}</td></tr>
{% endfor %}
{% for device in run.environment.devices %}{% for name, value in device.facts.items() %}
<tr><th scope="row">{{ device.id }} {{ name.replace('_', ' ') }}</th><td>{{ show(value) }}</td></tr>
{% endfor %}{% endfor %}
</tbody></table></div></details>
{% endfor %}
{% if n_more > 0 %}<p>{{ n_more }} further documents are in the data, not here.</p>{% endif %}
"""


def html(content: Content) -> Markup | None:
    """Devices in view, the rest folded."""
    if not content.runs:
        return None
    shown, n_more = content.runs[:MOST], len(content.runs) - MOST
    return render(TEMPLATE, runs=shown, n_more=n_more, show=_show, counted=units.counted)


def _show(value: object) -> Markup:
    if isinstance(value, Absent):
        return render('<span class="absent">absent: {{ reason }}</span>', reason=value.reason)
    text = f"{value:,.6g}" if isinstance(value, float) else str(value)
    return render("{{ text }}", text=text)
