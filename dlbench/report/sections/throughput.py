"""The chart of throughputs with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core.types import Run
from dlbench.report import charts
from dlbench.report.render import json_for_script, render

ORDER = 20
TITLE = "Throughput"

TEMPLATE = """
<p>Samples a second in steady state; longer is better. Whiskers are 95 % intervals over processes.</p>
<figure>
<div id="chart-throughput" class="chart" role="img" aria-label="{{ alternative }}"></div>
<figcaption class="note">The same numbers stand in the table of results.</figcaption>
</figure>
<script type="application/json" id="data-throughput">{{ figure }}</script>
<noscript><p class="note">The chart needs JavaScript; the table below has all of it.</p></noscript>
"""


def html(runs: Sequence[Run]) -> Markup | None:
    """The chart's place and its data."""
    figure = charts.throughput(runs)
    if figure is None:
        return None
    return render(TEMPLATE, figure=json_for_script(figure), alternative=charts.alternative(runs))
