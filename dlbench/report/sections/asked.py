"""What was asked of the machines, so that nobody reads the answer to another question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from markupsafe import Markup

from dlbench.analysis.compare import NAMES
from dlbench.core.recommendation import Recommendation
from dlbench.report.content import Content, task
from dlbench.report.render import render

ORDER = 12
TITLE = "What was asked"

MOST_WORDS = 12

TEMPLATE = """
{% if need %}<h3>The need</h3>
<dl class="facts-list">{% for name, value in need %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>{% endfor %}</dl>
{% if defaults %}<details><summary>{{ defaults | length }} settings that nobody chose</summary>
<dl class="facts-list">{% for name, value in defaults %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>{% endfor %}</dl></details>{% endif %}
{% if facts %}<h3>What was measured</h3>{% endif %}{% endif %}
<dl class="facts-list">
{% for name, value in facts %}<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>{% endfor %}
</dl>
"""


def html(content: Content) -> Markup | None:
    """The plan in a few words."""
    answer = content.recommendation
    need = _need(answer) if answer else []
    defaults = [(_words(name), value) for name, value in answer.defaults] if answer else []
    if not content.rows:
        return render(TEMPLATE, facts=[], need=need, defaults=defaults) if need else None
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
    return render(TEMPLATE, facts=facts, need=need, defaults=defaults)


def _need(answer: Recommendation) -> list[tuple[str, str]]:
    """Name and value of what somebody chose."""
    left_open = {name for name, _ in answer.defaults}
    return [
        (_words(f.name), _shown(value))
        for f in fields(answer.need)
        if (value := getattr(answer.need, f.name)) != f.default and f.name not in left_open
    ]


def _words(name: str) -> str:
    return name.replace("_usd", " in USD").replace("_", " ")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(getattr(v, "name", str(v)) for v in value)
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def _listed(words: Iterable[str]) -> str:
    once = list(dict.fromkeys(words))
    rest = len(once) - MOST_WORDS
    return ", ".join(once[:MOST_WORDS]) + (f" and {rest} more" if rest > 0 else "")
