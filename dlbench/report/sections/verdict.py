"""The verdict in words: what is faster, by how much, and what cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dlbench.analysis import compare
from dlbench.analysis.compare import Comparison
from dlbench.core.errors import GateError
from dlbench.core.types import Run
from dlbench.report.render import render

ORDER = 10
TITLE = "Verdict"

TEMPLATE = """
<ul class="verdicts">
{% for c in comparisons %}
<li class="{{ 'clear' if c.verdict in ('faster', 'slower') else 'open' }}">
<span class="badge">{{ badge[c.verdict] }}</span> <span>{{ sentence(c) }}.
{% if c.flags %}<span class="flags">Flags: {{ c.flags | join(', ') }}.</span>{% endif %}</span></li>
{% endfor %}
</ul>
{% if not comparisons %}
<p>{{ n_measured }} of {{ n_cases }} cases were measured; no two of them differ in one thing only, so
there is nothing to compare. The numbers stand below.</p>
{% else %}
<p class="basis">{{ basis }}. Intervals have 95 % confidence and include the spread between processes.</p>
{% endif %}
"""

BADGES = {
    "faster": "clear",
    "slower": "clear",
    "equivalent": "equal",
    "cannot tell": "cannot tell",
}

FIRST = {"faster": 0, "slower": 0, "equivalent": 1, "cannot tell": 2}


def found(runs: Sequence[Run]) -> list[Comparison]:
    """Comparisons inside each run, then across runs; clear ones first."""
    inside = [c for run in runs for c in compare.within(run)]
    between: list[Comparison] = []
    if len(runs) > 1:
        try:
            between = [c for pair in compare.all_pairs(runs) for c in pair.comparisons]
        except GateError:
            between = []
    return sorted([*inside, *between], key=lambda c: FIRST[c.verdict])


def html(runs: Sequence[Run]) -> Markup | None:
    """The verdicts as a list."""
    comparisons = found(runs)
    return render(
        TEMPLATE,
        comparisons=comparisons,
        sentence=compare.sentence,
        badge=BADGES,
        basis="; ".join(dict.fromkeys(c.basis for c in comparisons)).capitalize(),
        n_measured=sum(bool(r.measured) for run in runs for r in run.results),
        n_cases=sum(len(run.results) for run in runs),
    )
