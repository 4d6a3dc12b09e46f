"""The command that measures the same again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from dlbench.core.types import DRIVER_OPTION, LATENCY_LIMIT_OPTION, Case, Run
from dlbench.report.content import Content
from dlbench.report.render import render

ORDER = 80
TITLE = "Reproduce"

MOST = 20

TEMPLATE = """
{% for command in commands %}<pre><code>{{ command }}</code></pre>{% endfor %}
{% if n_more > 0 %}<p>{{ n_more }} further commands are not printed here.</p>{% endif %}
"""


def html(content: Content) -> Markup | None:
    """One command a run."""
    commands = list(dict.fromkeys(filter(None, map(command, content.runs))))
    if not commands:
        return None
    return render(TEMPLATE, commands=commands[:MOST], n_more=len(commands) - MOST)


def command(run: Run) -> str:
    """The command line whose plan holds every case of this run; empty where there is none.

    Pairs are not what ``dlbench run`` measures; Python environments and models of one's own are in no
    document, and ``dlbench replicate`` has neither.
    """
    cases = run.plan.cases
    own = {w.name: w.own for w in run.plan.workloads if w.own}
    if run.monitored:
        whole = [m.command for m in run.monitored if m.command]
        return "\n".join(shlex.join(["dlbench", "monitor", "--", *words]) for words in whole)
    if run.plan.pairings:
        elsewhere = own or run.plan.has_environments
        return "" if elsewhere else shlex.join(["dlbench", "replicate", f"{run.run_id}.json"])
    if not cases:
        return ""
    words = ["dlbench", "run", *sorted({c.workload for c in cases} - set(own))]
    words += [word for options in own.values() for word in _words(options)]
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
    data = sorted({str(c.data_mode) for c in cases})
    if data != ["synthetic"]:
        words += ["--data", ",".join(data)]
    words += _limits(cases) + _options(cases) + _batches(run)
    variants = sorted({c.variant for c in cases} - {"full"})
    if variants:
        words += ["--variant", variants[0]]
    words += ["--profile", run.plan.profile.name, "--seed", str(run.plan.seed)]
    words += ["--threads", str(run.plan.threads)]
    return shlex.join(words)


def _words(options: str) -> list[str]:
    """A document may come from anybody: what does not read as options stays one quoted word."""
    try:
        return shlex.split(options)
    except ValueError:
        return [options]


def _limits(cases: Sequence[Case]) -> list[str]:
    found = sorted({dict(c.options).get(LATENCY_LIMIT_OPTION, "") for c in cases} - {""})
    return ["--latency-limit", f"{found[0]}ms"] if found else []


def _options(cases: Sequence[Case]) -> list[str]:
    """The adapters' that all cases have alike; of a comparison of options no one command has both."""
    given = [dict(case.options) for case in cases]
    names = sorted({name for one in given for name in one} - {LATENCY_LIMIT_OPTION, DRIVER_OPTION})
    values = {name: {one.get(name) for one in given} for name in names}
    shared = [f"{name}={found.pop()}" for name, found in values.items() if len(found) == 1]
    words = [word for option in shared for word in ("--option", option)]
    return words + ["--loadgen"] * any(DRIVER_OPTION in one for one in given)


def _batches(run: Run) -> list[str]:
    """Named where there is one size, a case has several, or they were searched for.

    Else they are the workloads' own, by mode and device, which the command takes.
    """
    cases = run.plan.cases
    sizes = sorted({c.batch_size for c in cases})
    alike = {replace(c, batch_size=1) for c in cases}
    own = len(sizes) > 1 and len(alike) == len(cases) and not run.plan.searches
    return [] if own or not sizes else ["--batch-size", ",".join(map(str, sizes))]
