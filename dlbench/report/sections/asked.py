"""What was asked of the machines, so that nobody reads the answer to another question."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from dlbench.analysis.compare import NAMES
from dlbench.report.content import Content, task
from dlbench.report.render import render

ORDER = 12
TITLE = "What was asked"

MOST_WORDS = 12

TEMPLATE = """
<dl class="facts-list">
{% for name, value in facts %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>{% endfor %}
</dl>
"""


def html(content: Content) -> Markup | None:
    """The plan in a few words."""
    if not content.rows:
        return None
    cases = [row.case for row in content.rows]
    facts = [
        ("Tasks", _listed(task(c) for c in cases)),
        ("Frameworks", _listed(NAMES.get(c.framework, c.framework) for c in cases)),
        ("Devices", _listed(row.device_name for row in content.rows)),
        ("Precision", _listed(str(c.precision) for c in cases)),
        ("Settings", _listed(str(c.policy) for c in cases)),
        ("Batch", _listed(str(b) for b in sorted({c.batch_size for c in cases}))),
        ("Inputs", _listed(NAMES.get(c.data_mode, c.data_mode) for c in cases)),
    ]
    profiles = dict.fromkeys(
        f"±{100 * p.target_half_width:.0f} % ({p.name})"
        for p in (run.plan.profile for run in content.runs)
    )
    facts += [("Wanted precision of results", _listed(profiles))] if profiles else []
    return render(TEMPLATE, facts=facts)


def _listed(words: Iterable[str]) -> str:
    once = list(dict.fromkeys(words))
    rest = len(once) - MOST_WORDS
    return ", ".join(once[:MOST_WORDS]) + (f" and {rest} more" if rest > 0 else "")
