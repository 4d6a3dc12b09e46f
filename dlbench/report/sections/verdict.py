"""The verdict in words: what is faster, by how much, and what cannot be told."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.analysis import compare, contests, policies
from dlbench.analysis.contests import Contest
from dlbench.core import units
from dlbench.core.recommendation import Candidate
from dlbench.report import candidates
from dlbench.report.content import Content
from dlbench.report.render import render

ORDER = 10
TITLE = "Verdict"

MOST = 8
"""More verdicts than this are read in the table of comparisons."""

MOST_BESIDE = 3
"""So many where a recommendation is the verdict."""

TEMPLATE = """
{% if answer %}
<div class="answer">
{% if answer.pick %}
<p class="lead"><strong>{{ answer.pick.hardware }}</strong>: {{ answer.pick.name }}. {{ cell.cost }}{{ ' a month' if serves }}, {{ cell.time }}.</p>
<ul>{% for line in answer.reasons %}<li>{{ line }}</li>{% endfor %}</ul>
<p class="note">Evidence: {{ answer.pick.evidence }}. {% if kept %}Of the simulated outcomes {{ kept | join(' and ') }}.{% endif %}

Price of {{ answer.pick.price_as_of or 'no date' }}.</p>
{% else %}
<p class="lead"><strong>Nothing keeps every limit.</strong></p>
<ul>{% for line in answer.binding %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}
{% if answer.cpu_verdict %}<p>{{ answer.cpu_verdict }}</p>{% endif %}
</div>
{% if shown or few %}<h3>What was measured</h3>{% endif %}
{% endif %}
{% if refused %}
<ul class="verdicts">
{% for found in refused %}
<li class="refused" data-r="{{ found.row_numbers }}"><span class="badge"><span aria-hidden="true">✕</span> no verdict</span>
<span>{{ pair_of(found.contest) }}: {{ found.why_no_verdict }}.</span></li>
{% endfor %}
</ul>
{% endif %}
{% if shown or few %}
<ul class="verdicts">
{% for found in shown %}
{% set c = found.comparison %}
<li class="{{ css[c.verdict] }}" data-r="{{ found.row_numbers }}">
<span class="badge"><span aria-hidden="true">{{ sign[c.verdict] }}</span> {{ badge[c.verdict] }}</span> <span>{{ sentence(c) }}.
{% if found.origin %}<span class="doer origin">{{ found.origin }}.</span> {% endif %}
{% if c.flags %}<span class="flags">Flags: {{ c.flags | join(', ') }}.</span>{% endif %}
{% if found.resolution %}<br><span class="note">{{ found.resolution[0] | upper }}{{ found.resolution[1:] }}.</span>{% endif %}</span></li>
{% endfor %}
{% if few %}<li class="open"><span class="badge"><span aria-hidden="true">?</span> cannot tell</span>
<span>{{ few }}. Their ratios stand under <a href="#comparisons">Comparisons</a>; three trials of each case decide more.</span></li>{% endif %}
</ul>
{% if n_more %}<p>{{ n_more }} more stand{{ 's' if n_more == 1 }} under <a href="#comparisons">Comparisons</a>.</p>{% endif %}
{% if slower_tuned %}<ul>
{% for line in slower_tuned %}<li>{{ line }}.</li>{% endfor %}
</ul>{% endif %}
<p class="note">{{ basis }}. Intervals have 95 % confidence and include the spread between processes.</p>
{% elif refused %}
{% elif collection %}
<p>Too many results to compare one by one: alike ones stand together below, with the median over machines and days.
Which of two cases is faster on one machine is said by <code>dlbench compare</code> of its document.</p>
{% elif programs and not n_cases and not answer %}
<p>The document has no cases, but {{ programs }} that <code>dlbench monitor</code> watched:
<code>dlbench energy</code> of it shows the figures.</p>
{% elif not n_cases and not answer %}
<p>The document holds no results: nothing was measured, and nothing can be said.</p>
{% elif n_cases and not n_measured %}
<p>Nothing was measured: {{ n_cases }} case{{ 's' if n_cases != 1 }} failed or {{ 'were' if n_cases != 1 else 'was' }} skipped.
Each stands with its reason under <a href="#problems">Not measured</a>.</p>
{% elif n_cases %}
<p>{{ n_measured }} of {{ n_cases }} case{{ 's' if n_cases != 1 }} {{ 'were' if n_measured != 1 else 'was' }} measured. No two of one run differ in one thing only, so
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


def _kept(pick: Candidate) -> list[str]:
    """Shares of outcomes within the limits that there are."""
    return [
        f"{candidates.share(share)} {what}"
        for share, what in (
            (pick.p_deadline, "keep the deadline"),
            (pick.p_budget, "keep the budget"),
        )
        if share is not None
    ]


def programs(content: Content) -> str:
    """How many monitored programs the documents hold, in words; empty where there is none."""
    n = sum(len(run.monitored) for run in content.runs)
    return units.counted(n, "program") if n else ""


def pair_of(contest: Contest) -> str:
    """What was to be told apart: ``resnet50 training, cpu, fp32, batch 8, new and old``."""
    return f"{contests.task(contest)}, {contest.names[1]} and {contest.names[0]}"


def html(content: Content) -> Markup | None:
    """The verdicts as a list, clear ones first."""
    answer = content.recommendation
    most = MOST_BESIDE if answer else MOST
    _, n_few = compare.worth_telling([found.comparison for found in content.compared])
    shown = [f for f in content.compared if not n_few or f.comparison.estimate.interval]
    return render(
        TEMPLATE,
        answer=answer,
        cell=candidates.cells(answer, answer.pick) if answer and answer.pick else {},
        serves=answer is not None and answer.need.serving,
        kept=_kept(answer.pick) if answer and answer.pick else [],
        shown=shown[:most],
        n_more=max(0, len(shown) - most),
        few=compare.too_few_trials(n_few) if n_few else "",
        refused=[found for found in content.contested if found.why_no_verdict],
        pair_of=pair_of,
        sentence=compare.sentence,
        slower_tuned=[
            policies.sentence(c)
            for c in policies.slower_tuned(f.comparison for f in content.compared)
        ],
        badge=BADGES,
        sign=SIGNS,
        css=CSS,
        basis="; ".join(dict.fromkeys(f.comparison.basis for f in content.compared)).capitalize(),
        n_measured=sum(row.n_trials > 0 for row in content.rows),
        n_cases=len(content.rows),
        programs=programs(content),
        collection=content.collection,
    )
