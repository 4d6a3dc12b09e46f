"""The ways to do it as a table, which a deadline and a budget rank again in the page."""

from __future__ import annotations

import math
from collections import Counter
from statistics import NormalDist

from markupsafe import Markup

from dlbench.core.recommendation import Recommendation
from dlbench.core.stats import NORMAL_90
from dlbench.core.types import Absent
from dlbench.report import candidates, pareto
from dlbench.report.content import Content
from dlbench.report.render import json_for_script, render

ORDER = 14
TITLE = "Recommendation"

MOST_REJECTED = 60

STEPS = 100
"""Positions of a slider; the last one is "no limit"."""

TEMPLATE = """
{% if ways %}
<form id="limits" aria-label="Other limits" data-script hidden class="answer">
<div><label for="deadline">{{ 'Answer within' if serves else 'Done within' }}</label> <output for="deadline" id="deadline-word"></output><br>
<input type="range" id="deadline" min="0" max="{{ steps }}" value="{{ at_time }}" data-limit="time"></div>
<div><label for="budget">Budget{{ ' a month' if serves }}</label> <output for="budget" id="budget-word"></output><br>
<input type="range" id="budget" min="0" max="{{ steps }}" value="{{ at_cost }}" data-limit="cost"></div>
<div><label for="rank-by">Best in</label><br><select id="rank-by" data-limit="by">
{% for name in ('cost', 'time', 'carbon') %}<option value="{{ name }}"{% if name == by %} selected{% endif %}>{{ name }}</option>{% endfor %}
</select></div>
<p id="ranked" role="status"></p>
</form>
<div class="scroll" tabindex="0" role="region" aria-label="Table: ways to do it"><table class="ways cards">
<thead><tr><th scope="col" class="number">No.</th><th scope="col">What</th><th scope="col" class="number">{{ 'p99' if serves else 'Time' }}</th><th scope="col" class="number">Cost{{ ' a month' if serves }}</th>
<th scope="col" class="number">Carbon</th><th scope="col">Within limits</th><th scope="col">Evidence</th><th scope="col" class="number">Price an hour</th></tr></thead>
<tbody id="ways">
{% for way in ways %}
{% set c = way.candidate %}{% set cell = cells(c) %}
<tr data-way="{{ way.number }}"{% if way.role == 'pick' %} class="pick"{% endif %}><td class="number" data-head="No.">{{ way.number }}</td>
<th scope="row">{{ c.hardware }}{% if way.role %} <span class="role">{{ way.role }}</span>{% endif %}<br><span class="doer">{{ c.name }}, batch {{ c.batch_size }}</span></th>
<td class="number" data-head="{{ 'p99' if serves else 'Time' }}">{{ cell.time }}</td><td class="number" data-head="Cost{{ ' a month' if serves }}">{{ cell.cost }}</td><td class="number" data-head="Carbon">{{ cell.carbon }}</td>
<td data-head="Within limits"><span class="fits" data-fits="{{ way.number }}">{{ fits(c) if way.kept else 'breaks a limit' }}</span></td>
<td data-head="Evidence">{{ c.evidence }}<br><span class="doer">{{ cell.throughput }} samples/s</span></td>
<td class="number" data-head="Price an hour">{% if price(c) %}<span class="measured">{{ price(c) }}</span>{% else %}<span class="absent">absent</span>{% endif %} <span class="interval">of {{ c.price_as_of or 'no date' }}</span></td></tr>
{% endfor %}
</tbody></table></div>
<p class="note">Intervals hold nine of ten simulated outcomes (seed {{ answer.seed }}). Prices have the date of their source; made on {{ answer.made_on }}.
{% if beyond %}Ways that break a limit of the need are here for other limits only.{% else %}Ways that break a limit of the need are rejected below, and not ranked again.{% endif %}</p>
{{ figure }}
{% if careful %}<details class="why"><summary>Careful: {{ careful | length }} warning{{ 's' if careful | length != 1 }}</summary><ul>{% for warning, numbers in careful.items() %}<li>No. {{ numbers | join(', ') }}: {{ warning }}</li>{% endfor %}</ul></details>{% endif %}
{% endif %}
{% if answer.binding %}<h3>What stands in the way</h3><ul>{% for line in answer.binding %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
{% if answer.flips %}<h3>What would change the answer</h3><ul>{% for f in answer.flips %}<li>{{ f.sentence }}</li>{% endfor %}</ul>{% endif %}
{% if answer.buy_or_rent %}<h3>Buy or rent</h3><ul>{% for b in answer.buy_or_rent %}<li>{{ b.sentence }}</li>{% endfor %}</ul>{% endif %}
{% if answer.launch %}<details><summary>How to start it</summary>
{% if answer.launch.skypilot_yaml is string %}<pre tabindex="0"><code>{{ answer.launch.skypilot_yaml }}</code></pre>{% endif %}
<pre tabindex="0"><code>{{ answer.launch.shell }}</code></pre></details>{% endif %}
{% for way in ways %}
<details><summary>How the numbers of No. {{ way.number }} come about</summary>{{ trail(way.candidate.trail, 'no. ' ~ way.number) }}</details>
{% endfor %}
{% if answer.assumptions %}<details><summary>Assumptions for all of them</summary>{{ trail(answer.assumptions, 'all') }}</details>{% endif %}
{% if answer.rejected %}<details><summary>{{ '{:,}'.format(answer.rejected | length) }} way{{ 's were' if answer.rejected | length != 1 else ' was' }} rejected</summary>
<ul>{% for reason, count in counts %}<li>{{ reason }}: {{ count }}</li>{% endfor %}</ul>
<div class="scroll" tabindex="0" role="region" aria-label="Table: rejected ways"><table>
<thead><tr><th scope="col">What</th><th scope="col">Hardware</th><th scope="col">Because of</th><th scope="col">Why</th></tr></thead><tbody>
{% for r in rejected %}<tr><th scope="row">{{ r.name }}</th><td>{{ r.hardware }}</td><td>{{ r.constraint }}</td><td>{{ r.reason }}</td></tr>{% endfor %}
</tbody></table></div>{% if n_more > 0 %}<p>{{ n_more }} more are in the data.</p>{% endif %}</details>{% endif %}
{% if answer.notes %}<ul class="note">{% for line in answer.notes %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
<script type="application/json" id="data-ways">{{ data }}</script>
"""

TRAIL = """
<div class="scroll" tabindex="0" role="region" aria-label="Table: steps of {{ whose }}"><table>
<thead><tr><th scope="col">Step</th><th scope="col">Value</th><th scope="col">From</th><th scope="col">Source</th><th scope="col">Date</th></tr></thead><tbody>
{% for s in steps %}<tr><th scope="row">{{ s.name }}</th><td>{{ s.value }}</td><td>{{ s.formula }}</td><td>{{ s.source }}</td><td>{{ s.as_of }}</td></tr>{% endfor %}
</tbody></table></div>
"""


def html(content: Content) -> Markup | None:
    """Sliders, table, what would change it, and every step on the way."""
    answer = content.recommendation
    if answer is None:
        return None
    ways = candidates.of(answer, content.others)
    scales = scales_of(answer, ways)
    limits = candidates.limits(answer)
    counts = Counter(str(r.constraint) for r in answer.rejected)
    return render(
        TEMPLATE,
        answer=answer,
        ways=ways,
        beyond=any(not way.kept for way in ways),
        serves=answer.need.serving,
        steps=STEPS,
        figure=pareto.figure(answer, ways, scales),
        at_time=_position(limits[0], scales[0]),
        at_cost=_position(limits[1], scales[1]),
        by=answer.need.objective if answer.need.objective in {"cost", "time", "carbon"} else "cost",
        cells=lambda c: candidates.cells(answer, c),
        fits=lambda c: (
            f"{candidates.share(c.p_deadline)} time, {candidates.share(c.p_budget)} cost"
        ),
        price=lambda c: (
            None if isinstance(c.price_usd_per_h, Absent) else candidates.usd(c.price_usd_per_h)
        ),
        trail=lambda steps, whose: render(TRAIL, steps=steps, whose=whose),
        careful=_warnings(ways),
        counts=counts.most_common(),
        rejected=answer.rejected[:MOST_REJECTED],
        n_more=len(answer.rejected) - MOST_REJECTED,
        data=json_for_script(_data(answer, ways, scales)),
    )


def _warnings(ways: tuple[candidates.Way, ...]) -> dict[str, list[int]]:
    """Each warning once, with the numbers of the ways that it is about."""
    found: dict[str, list[int]] = {}
    for way in ways:
        for warning in way.candidate.warnings:
            found.setdefault(warning, []).append(way.number)
    return found


Span = tuple[float, float]


def scales_of(answer: Recommendation, ways: tuple[candidates.Way, ...]) -> tuple[Span, Span]:
    """The least and most that the two sliders reach: a little around all intervals and limits."""
    times = [candidates.time_of(answer, w.candidate) for w in ways]
    costs = [w.candidate.cost_usd for w in ways]
    limits = candidates.limits(answer)
    found = []
    for values, limit in ((times, limits[0]), (costs, limits[1])):
        known = [x for v in values for x in (candidates.middle(v), candidates.highest(v)) if x]
        known += [limit] if limit else []
        found.append((min(known, default=1.0) / 1.5, max(known, default=1.0) * 1.5))
    return found[0], found[1]


def _position(limit: float | None, scale: Span) -> int:
    """Where a slider stands: logarithmic, the end for no limit."""
    if limit is None:
        return STEPS
    low, high = scale
    return min(STEPS - 1, math.ceil((STEPS - 1) * math.log(limit / low) / math.log(high / low)))


def _data(
    answer: Recommendation, ways: tuple[candidates.Way, ...], scales: tuple[Span, Span]
) -> dict[str, object]:
    """For the script: medians, upper ends and names, and what must be bought first.

    ``sure``: how far from the middle to the upper end, which 19 in 20 outcomes keep, the share of
    outcomes lies that the need asks for, taken for log-normal.
    """
    limits = candidates.limits(answer)
    return {
        "steps": STEPS,
        "scales": {"time": scales[0], "cost": scales[1]},
        "limits": {"time": limits[0], "cost": limits[1]},
        "sure": round(NormalDist().inv_cdf(answer.need.confidence) / NORMAL_90, 4),
        "ways": [
            {
                "number": way.number,
                "name": f"{way.candidate.hardware}, {way.candidate.name}",
                "time": candidates.middle(candidates.time_of(answer, way.candidate)),
                "time_high": candidates.highest(candidates.time_of(answer, way.candidate)),
                "cost": candidates.middle(way.candidate.cost_usd),
                "cost_high": candidates.highest(way.candidate.cost_usd),
                "carbon": candidates.middle(way.candidate.carbon_g),
                "kept": way.kept,
                "bought": candidates.bought_usd(answer, way.candidate),
            }
            for way in ways
        ],
    }
