"""Build one self-contained HTML file from documents: byte-stable, offline, safe to open.

Everything from a document is escaped; scripts run by the hash of their text only, and nothing is
fetched: a document from a stranger cannot make this page do anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

import dlbench
from dlbench.analysis.compare import Comparison, sentence
from dlbench.core.errors import UsageError
from dlbench.core.types import Run
from dlbench.report import sections
from dlbench.report.render import render
from dlbench.report.sections import verdict

_FOLDER = Path(__file__).parent


def build(runs: Sequence[Run]) -> str:
    """The whole page.

    Raises:
        UsageError: there are no runs.
    """
    if not runs:
        raise UsageError("there is nothing to report on", "Give at least one result document.")
    from plotly.offline import get_plotlyjs

    plotly, js = get_plotlyjs(), _own("report.js")
    parts = [
        {"id": section.__name__.rpartition(".")[2], "title": section.TITLE, "html": markup}
        for section in sections.all_sections()
        if (markup := section.html(runs)) is not None
    ]
    return str(
        render(
            _own("template.html"),
            policy=content_security_policy(plotly, js),
            title=f"dlbench: {headline(runs)}",
            headline=headline(runs),
            facts=facts(runs),
            sections=parts,
            css=Markup(_own("report.css")),  # noqa: S704 - our own files
            plotly=Markup(plotly),  # noqa: S704
            js=Markup(js),  # noqa: S704
            version=dlbench.__version__,
            n_documents=f"{len(runs)} result document{'s' * (len(runs) != 1)}",
        )
    )


def _own(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def content_security_policy(*scripts: str) -> str:
    """Nothing but these scripts, by hash; styles inline, since plotly sets them on its elements."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def headline(runs: Sequence[Run]) -> str:
    """The verdict in a line: the clearest difference, or that there is none to be told."""
    comparisons = verdict.found(runs)
    clear = [c for c in comparisons if c.verdict in {"faster", "slower"}]
    if len(comparisons) == 1:
        return sentence(comparisons[0]).rpartition(" (")[0]
    if clear:
        return _winners(clear, len(comparisons))
    if comparisons:
        return f"No clear winner in {len(comparisons)} comparisons"
    measured = sum(bool(r.measured) for run in runs for r in run.results)
    return f"{measured} case{'s' * (measured != 1)} measured"


def _winners(clear: Sequence[Comparison], n_all: int) -> str:
    """Who wins what: ``TensorFlow is faster for a and b; PyTorch for c``."""
    wins: dict[str, list[str]] = {}
    for c in clear:
        winner = c.b_name if c.verdict == "faster" else c.a_name
        wins.setdefault(winner, []).append(f"{c.a.workload} {c.a.mode}")
    parts = [
        f"{winner} {'is faster ' if i == 0 else ''}for {_joined(list(dict.fromkeys(tasks)))}"
        for i, (winner, tasks) in enumerate(wins.items())
    ]
    undecided = n_all - len(clear)
    rest = f"; {undecided} of {n_all} undecided" if undecided else ""
    return "; ".join(parts) + rest


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def facts(runs: Sequence[Run]) -> str:
    """One line on what stands behind it."""
    machines = ", ".join(dict.fromkeys(run.environment.machine for run in runs))
    devices = ", ".join(dict.fromkeys(d.name for run in runs for d in run.environment.devices))
    trials = sum(len(r.measured) for run in runs for r in run.results)
    cases = sum(len(run.results) for run in runs)
    return (
        f"{machines} ({devices}) · {runs[0].created_utc[:10]} · {cases} cases · "
        f"{trials} trials, each a fresh process"
    )
