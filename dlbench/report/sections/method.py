"""How it was measured, and what is not claimed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core import units
from dlbench.core.types import Run
from dlbench.report.render import render

ORDER = 70
TITLE = "Method and caveats"

TEMPLATE = """
<ul>
<li>Each trial is a fresh process: load, first step (timed apart), warm-up until two windows of five values
differ by under 2 %, then steady values on the host's monotonic clock with the device synchronised.</li>
<li>Trials of all cases are interleaved in seeded random order. Comparisons inside a run are paired by
round.</li>
<li>The unit of the statistics is the trial (the median of its steady values); nothing is removed. Each
look at the data was paid for, so intervals keep 95 %.</li>
<li>All frameworks hold the same seeded weights and inputs, and each trial's results were compared with one
fp32 reference; a trial that fails a rule has no speed.</li>
<li>Data mode: {{ data_modes | join(', ') }} (inputs lie on the device; loading and decoding are not in the
numbers).</li>
{% for run in runs %}
<li>Run {{ run.run_id }}: profile {{ run.plan.profile.name }} (target ±{{ '%.0f' | format(100 *
run.plan.profile.target_half_width) }} %), seed {{ run.plan.seed }}
{%- if drift(run) %}; the sentinel moved by {{ drift(run) }} during the run
{%- if 'drift' in run.flags %}, more than 3 %: the machine itself changed{% endif %}{% endif %}.
The harness's own cost is {{ overhead(run) }} a step.</li>
{% endfor %}
<li>A result holds for this machine, these versions and these settings. Another day on the same kind of
machine may differ by several per cent.</li>
</ul>
"""


def html(runs: Sequence[Run]) -> Markup | None:
    """The method, with this run's own figures."""
    modes = sorted({str(r.case.data_mode) for run in runs for r in run.results})
    return render(TEMPLATE, runs=runs, data_modes=modes, drift=_drift, overhead=_overhead)


def _drift(run: Run) -> str:
    moved = run.notes.get("sentinel_drift")
    return f"{moved:.1%}" if isinstance(moved, float) else ""


def _overhead(run: Run) -> str:
    found = [
        cost
        for result in run.results
        for trial in result.measured
        if isinstance(cost := trial.subject.get("harness_overhead_s_per_step"), float)
    ]
    return units.duration(statistics.median(found)) if found else "not measured"
