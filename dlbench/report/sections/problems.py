"""What failed and what was skipped: visible, with what to do."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.report.content import Content
from dlbench.report.render import render

ORDER = 50
TITLE = "Not measured"

TEMPLATE = """
<div class="scroll" tabindex="0" role="region" aria-label="Table: not measured"><table class="cards">
<thead><tr><th scope="col">Case</th>{% if many %}<th scope="col">Machine</th>{% endif %}<th scope="col">Outcome</th><th scope="col">Why</th>
<th scope="col">What to do</th></tr></thead><tbody>
{% for i, row in rows %}
<tr data-r="{{ i }}"><th scope="row">{{ row.case.label }}</th>{% if many %}<td data-head="Machine">{{ row.machine }}</td>{% endif %}<td class="failed" data-head="Outcome">{{ (row.outcome.kind | string).replace('_', ' ') }}
{%- if row.outcome.detail and row.outcome.kind != 'skipped' %} ({{ row.outcome.detail }}){% endif %}</td>
<td data-head="Why">{{ row.outcome.message }}</td><td data-head="What to do">{{ row.outcome.advice }}</td></tr>
{% endfor %}
</tbody></table></div>
"""


COUNTS = """
<div class="scroll" tabindex="0" role="region" aria-label="Table: not measured"><table>
<thead><tr><th scope="col">Outcome</th><th scope="col">Why</th><th scope="col" class="number">Cases</th></tr></thead><tbody>
{% for f in failures %}<tr><th scope="row" class="failed">{{ f.outcome.replace('_', ' ') }}</th><td>{{ f.message }}</td><td class="number">{{ '{:,}'.format(f.count) }}</td></tr>
{% endfor %}</tbody></table></div>
"""


def html(content: Content) -> Markup | None:
    """The table, if anything was not measured."""
    if content.collection:
        failures = content.collection.failures
        return render(COUNTS, failures=failures) if failures else None
    rows = [(i, row) for i, row in enumerate(content.rows) if not row.outcome.ok]
    if not rows:
        return None
    return render(TEMPLATE, rows=rows, many=len(content.machines) > 1)
