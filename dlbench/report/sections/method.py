"""How it was measured, and what is not claimed."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.core import drift, units
from dlbench.core.types import COMMITS, DAMAGE, Absent, Run, WorkloadInfo
from dlbench.measure.sampler import HARNESS_SHARE, harness_share
from dlbench.report.content import Content
from dlbench.report.render import render

ORDER = 70
TITLE = "Method and caveats"

MOST = 20

TEMPLATE = """
<p><span class="measured">Measured</span> numbers are bold with their 95 % interval beside them; <span class="estimated">≈ estimated</span>
ones are slanted, hatched in charts, and derived through a model or a bound; <span class="absent">absent</span> ones are words, with the
reason under the table, and never zero.</p>
<ul>
<li>Each trial is a fresh process: load, first step (timed apart), warm-up until two windows of five values
differ by under 2 %, then steady values on the host's monotonic clock with the device synchronised.</li>
<li>Trials of all cases are interleaved in seeded random order. Comparisons inside a run are paired by
round.</li>
<li>The unit of the statistics is the trial (the median of its steady values); nothing is removed. Each
look at the data was paid for, so intervals keep 95 %.</li>
{% if not own or others %}
<li>All frameworks hold the same seeded weights and inputs, and each trial's results were compared with one
fp32 reference; a trial that fails a rule has no speed.</li>
{% endif %}
{% for name in own %}
<li>{{ name }} (a model of one's own): there is no reference, so each trial was held to the rules that need none; one that
fails a rule has no speed.</li>
{% endfor %}
{% if synthetic %}
<li>Where nothing else is said, inputs lie on the device: loading and decoding are not in the numbers.</li>
{% endif %}
{% for run in runs %}
<li>Run {{ run.run_id }}: profile {{ run.plan.profile.name }} (target ±{{ '%.0f' | format(100 *
run.plan.profile.target_half_width) }} %), seed {{ run.plan.seed }}
{{- drift(run) }}
{%- for flag in run.flags if flag != 'drift' %}; flagged {{ flag }}{% endfor %}.
{{- overhead(run) }}{{ resumed(run) }}</li>
{% endfor %}
<li>A result holds for this machine, these versions and these settings. Another day on the same kind of
machine may differ by several per cent.</li>
</ul>
"""


def html(content: Content) -> Markup | None:
    """The method, with this run's own figures."""
    return render(
        TEMPLATE,
        runs=content.runs[:MOST],
        own=sorted({w.name for w in _workloads(content) if w.own}),
        others=any(not w.own for w in _workloads(content)),
        synthetic=_synthetic(content),
        drift=_drift,
        overhead=_overhead,
        resumed=_resumed,
    )


def _workloads(content: Content) -> list[WorkloadInfo]:
    return [w for run in content.runs for w in run.plan.workloads]


def _synthetic(content: Content) -> bool:
    return any(row.case.data_mode == "synthetic" for row in content.rows)


def _drift(run: Run) -> str:
    found = drift.of(run)
    if isinstance(found, Absent):
        return ""
    changed = f", surely more than {100 * drift.LIMIT:g} %: the machine itself changed"
    return f"; {drift.words(found)} during the run{changed if drift.drifted(found) else ''}"


def _resumed(run: Run) -> str:
    """That it was interrupted, whether it was ended so, and what its journal had lost by then."""
    names = ("resumed_utc", COMMITS, "sealed_utc", DAMAGE)
    resumed, commits, sealed, lost = (run.notes.get(name) for name in names)
    words = f" Resumed {resumed}." if resumed else ""
    words += f" Not of one commit of dlbench: {commits}." if commits else ""
    words += f" Interrupted, and ended as it was {sealed}." if sealed else ""
    return f"{words} Its journal was damaged: {lost}." if lost else words


def _overhead(run: Run) -> str:
    """A sentence where the harness's own cost shows in a result, the worst of the run."""
    found = [
        (harness_share(cost, trial.values, result.case.batch_size), cost, result.case.label)
        for result in run.results
        for trial in result.measured
        if isinstance(cost := trial.subject.get("harness_overhead_s_per_step"), float)
    ]
    share, cost, label = max(found, default=(0.0, 0.0, ""))
    if share <= HARNESS_SHARE:
        return ""
    return f" The harness itself took {units.duration(cost)} of a step, {100 * share:.1f} % of {label}'s."
