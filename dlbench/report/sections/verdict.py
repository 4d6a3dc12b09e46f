"""The verdict in words: what is faster, by how much, and what cannot be told."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.analysis import compare
from dlbench.report.content import Content
from dlbench.report.render import render

ORDER = 10
TITLE = "Verdict"

MOST = 8
"""More verdicts than this are read in the table of comparisons."""

TEMPLATE = """
{% if shown %}
<ul class="verdicts">
{% for found in shown %}
{% set c = found.comparison %}
<li class="{{ css[c.verdict] }}" data-r="{{ found.row_numbers }}">
<span class="badge"><span aria-hidden="true">{{ sign[c.verdict] }}</span> {{ badge[c.verdict] }}</span> <span>{{ sentence(c) }}.
{% if c.flags %}<span class="flags">Flags: {{ c.flags | join(', ') }}.</span>{% endif %}</span></li>
{% endfor %}
</ul>
{% if n_more %}<p>{{ n_more }} more stand under <a href="#comparisons">Comparisons</a>.</p>{% endif %}
<p class="note">{{ basis }}. Intervals have 95 % confidence and include the spread between processes.</p>
{% elif collection %}
<p>Too many results to compare one by one: alike ones stand together below, with the median over machines and days.
Which of two cases is faster on one machine is said by <code>dlbench compare</code> of its document.</p>
{% elif not n_cases %}
<p>The document holds no results: nothing was measured, and nothing can be said.</p>
{% elif not n_measured %}
<p>Nothing was measured: {{ n_cases }} case{{ 's' if n_cases != 1 }} failed or {{ 'were' if n_cases != 1 else 'was' }} skipped.
Each stands with its reason under <a href="#problems">Not measured</a>.</p>
{% else %}
<p>{{ n_measured }} of {{ n_cases }} case{{ 's' if n_cases != 1 }} {{ 'were' if n_measured != 1 else 'was' }} measured. No two of them differ in one thing only, so
there is nothing to compare. The numbers stand below.</p>
{% endif %}
"""

BADGES = {
    "faster": "clear",
    "slower": "clear",
    "equivalent": "equal",
    "cannot tell": "cannot tell",
}

SIGNS = {"faster": "✓", "slower": "✓", "equivalent": "=", "cannot tell": "?"}

CSS = {"faster": "clear", "slower": "clear", "equivalent": "equal", "cannot tell": "open"}


def html(content: Content) -> Markup | None:
    """The verdicts as a list, clear ones first."""
    return render(
        TEMPLATE,
        shown=content.compared[:MOST],
        n_more=max(0, len(content.compared) - MOST),
        sentence=compare.sentence,
        badge=BADGES,
        sign=SIGNS,
        css=CSS,
        basis="; ".join(dict.fromkeys(f.comparison.basis for f in content.compared)).capitalize(),
        n_measured=sum(row.n_trials > 0 for row in content.rows),
        n_cases=len(content.rows),
        collection=content.collection,
    )
