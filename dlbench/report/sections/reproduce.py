"""The command that measures the same again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core.types import Run
from dlbench.report.render import render

ORDER = 80
TITLE = "Reproduce"

TEMPLATE = """
{% for command in commands %}<pre><code>{{ command }}</code></pre>{% endfor %}
"""


def html(runs: Sequence[Run]) -> Markup | None:
    """One command a run."""
    return render(TEMPLATE, commands=[command(run) for run in runs])


def command(run: Run) -> str:
    """The command line whose plan holds every case of this run."""
    cases = run.plan.cases
    words = ["dlbench", "run", *sorted({c.workload for c in cases})]
    for option, values in (
        ("--framework", {c.framework for c in cases}),
        ("--device", {c.device for c in cases}),
        ("--precision", {str(c.precision) for c in cases}),
        ("--mode", {str(c.mode) for c in cases}),
        ("--scenario", {str(c.scenario) for c in cases if c.scenario}),
        ("--policy", {str(c.policy) for c in cases}),
    ):
        if values:
            words += [option, ",".join(sorted(values))]
    variants = sorted({c.variant for c in cases})
    if variants != ["full"]:
        words += ["--variant", variants[0]]
    words += ["--profile", run.plan.profile.name, "--seed", str(run.plan.seed)]
    words += ["--threads", str(run.plan.threads)]
    return shlex.join(words)
