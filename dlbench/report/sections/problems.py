"""What failed and what was skipped: visible, with what to do."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core.types import Run
from dlbench.report.render import render

ORDER = 50
TITLE = "Not measured"

TEMPLATE = """
<div class="scroll" tabindex="0" role="region" aria-label="Not measured"><table>
<thead><tr><th scope="col">Case</th><th scope="col">Outcome</th><th scope="col">Why</th>
<th scope="col">What to do</th></tr></thead><tbody>
{% for case, outcome in rows %}
<tr><th scope="row">{{ case.label }}</th><td>{{ outcome.kind }}
{%- if outcome.detail and outcome.kind != 'skipped' %} ({{ outcome.detail }}){% endif %}</td>
<td>{{ outcome.message }}</td><td>{{ outcome.advice }}</td></tr>
{% endfor %}
</tbody></table></div>
"""


def html(runs: Sequence[Run]) -> Markup | None:
    """The table, if anything was not measured."""
    rows = [(r.case, r.outcome) for run in runs for r in run.results if not r.outcome.ok]
    rows += [(skip.case, skip.outcome) for run in runs for skip in run.plan.skips]
    return render(TEMPLATE, rows=rows) if rows else None
