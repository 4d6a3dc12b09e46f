"""Build one self-contained HTML file from documents: byte-stable, offline, safe to open.

Everything from a document is escaped; script and style run by the hash of their text only, and
nothing is fetched: a document from a stranger cannot make this page do anything. plotly's bundle is
there once, as text that the page's script runs when a chart comes into view.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

import dlbench
from dlbench.analysis.compare import Comparison, sentence
from dlbench.analysis.groups import Collection
from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.errors import UsageError
from dlbench.core.recommendation import Recommendation
from dlbench.core.types import Absent, Case, Estimated, Policy, Run
from dlbench.report import candidates, charts, filters, sections
from dlbench.report import content as contents
from dlbench.report.content import Compared, Content
from dlbench.report.render import json_for_script, render
from dlbench.report.sections.verdict import pair_of, programs

_FOLDER = Path(__file__).parent

BUNDLE = "plotly_js/plotly-basic.min.js"


def build(runs: Sequence[Run]) -> str:
    """The whole page of some documents.

    Raises:
        UsageError: there are no runs.
    """
    if not runs:
        raise UsageError("there is nothing to report on", "Give at least one result document.")
    return page(contents.of(runs))


def page(content: Content) -> str:
    """The whole page of a content."""
    css, js = _own("report.css"), _own("charts.js") + _own("report.js")
    parts = [
        {"id": section.__name__.rpartition(".")[2], "title": section.TITLE, "html": markup}
        for section in sections.all_sections()
        if (markup := section.html(content)) is not None
    ]
    drawn = any(charts.MARK in part["html"] for part in parts)
    bundle = _own(BUNDLE) if drawn else ""
    return str(
        render(
            _own("template.html"),
            policy=content_security_policy(css, js, bundle),
            title=f"dlbench: {headline(content)}",
            headline=headline(content),
            many=len(content.rows) > LAZY_ROWS,
            facts=facts(content),
            sections=parts,
            facets=filters.facets(content.rows),
            filters=json_for_script(filters.index(content.rows)),
            css=Markup(css),  # noqa: S704 - our own files
            js=Markup(js),  # noqa: S704
            bundle=Markup(bundle),  # noqa: S704
            version=dlbench.__version__,
            n_documents=units.counted(content.n_documents, "result document"),
        )
    )


def _own(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def content_security_policy(css: str, js: str, bundle: str = "") -> str:
    """Nothing but this style and these scripts, each by its hash.

    plotly puts rules of its own into style elements that it makes empty, and saves a picture by way
    of one that the page holds itself.
    """
    scripts, styles, images = _hash(js), _hash(css), ""
    if bundle:
        scripts, styles = f"{scripts} {_hash(bundle)}", f"{styles} {_hash('')}"
        images = "img-src blob: data:; "
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; {images}"
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def headline(content: Content) -> str:
    """The verdict in a line: the pick, or the clearest difference, or that there is none.

    Names that somebody made very long are told whole further down.
    """
    words = _headline(content)
    return words if len(words) <= MOST_LETTERS else words[: MOST_LETTERS - 1].rstrip() + "…"


def _headline(content: Content) -> str:
    if content.recommendation:
        return _recommended(content.recommendation)
    if content.collection:
        c = content.collection
        return (
            f"{c.n_measured:,} results of {units.counted(c.n_machines, 'machine')}, medians by case"
        )
    if content.compared:
        return _compared(content)
    if content.contested:
        return f"No verdict on {pair_of(content.contested[0].contest)}"
    if not content.rows and programs(content):
        return f"{programs(content)} monitored"
    return _measured([row for row in content.rows if row.n_trials > 0])


def _measured(rows: Sequence[Row]) -> str:
    """How many cases; of a single one how fast it is: ``123.4 samples/s [120.1, 126.0]``."""
    if len(rows) != 1:
        return f"{units.counted(len(rows), 'case')} measured" if rows else "Nothing was measured"
    case, speed = rows[0].case, rows[0].metrics["throughput_samples_per_s"]
    if isinstance(speed, Absent):
        return f"{case.label} measured"
    bounds = [speed.interval.low, speed.interval.high] if speed.interval else []
    value, *low_high = (units.significant(x, 4) for x in (speed.value, *bounds))
    sign = "≈ " if isinstance(speed, Estimated) else ""
    interval = f" [{', '.join(low_high)}]" if low_high else ""
    return f"{case.label}: {sign}{value} samples/s{interval}"


def _compared(content: Content) -> str:
    """Of machines where there are several, else of frameworks, else of the rest."""
    across = [f for f in content.compared if content.crosses_runs(f)]
    frameworks = [f for f in content.compared if f.comparison.varied == "framework"]
    compared = across or frameworks or content.compared
    if len(compared) == 1:
        return sentence(compared[0].comparison).rpartition(" (")[0]
    of = " across documents" if across else " of frameworks" if frameworks else ""
    bounded = any(f.comparison.estimate.interval for f in compared)
    nothing = "No clear winner in" if bounded else "Too few trials to decide"
    return _winners(content, compared) or f"{nothing} {len(compared)} comparisons{of}"


CLEAR = ("faster", "slower")


def _recommended(answer: Recommendation) -> str:
    pick = answer.pick
    if pick is None:
        return "Nothing that is known keeps every limit"
    cost, time = (
        candidates.middle(pick.cost_usd),
        candidates.middle(candidates.time_of(answer, pick)),
    )
    month = " a month" if answer.need.serving else ""
    parts = [f"about {candidates.usd(cost)}{month}"] if cost is not None else []
    word = "p99 of about" if month else "about"
    parts += [f"{word} {units.duration(time)}"] if time is not None else []
    where = (
        pick.offer.instance_type if pick.owned else f"{pick.offer.provider}, {pick.offer.region}"
    )
    verb = "Use" if pick.owned else "Rent"
    many = f"{pick.n_instances} machines of " if pick.n_instances > 1 else ""
    return f"{verb} {many}{pick.hardware} ({where}): {', '.join(parts)}"


LAZY_ROWS = 150
"""Of more rows than this, a browser lays out what is in view first."""

MOST_LETTERS = 220
"""Of a headline: six lines of a phone's width, more than any that was ever needed."""

MOST_TASKS = 4
"""A headline names this many tasks; of more, it counts each winner's."""

MOST_WINNERS = 3
"""So many winners are named; what others win is counted."""


def _winners(content: Content, compared: Sequence[Compared]) -> str:
    """Who wins what: ``TensorFlow is faster for a and b; PyTorch for c``.

    Of three and more that did one task, those that none of the others beat: ``A or B is fastest for c``.
    Of many tasks those with base settings are counted. Empty where nobody wins anything.
    """
    tasks: dict[tuple[str, str], list[Comparison]] = {}
    for found in compared:
        machine = "" if content.crosses_runs(found) else content.rows[found.rows[0]].machine
        tasks.setdefault((machine, found.comparison.what), []).append(found.comparison)
    base = {key: found for key, found in tasks.items() if found[0].a.policy is Policy.BASE}
    if len(tasks) > MOST_TASKS:
        tasks = base or tasks
    wins = _wins(list(tasks.values()))
    two = all(len(_names(comparisons)) == 2 for comparisons in tasks.values())  # noqa: PLR2004 - A, B
    few = sum(len(_tasks(won)) for won in wins.values()) <= MOST_TASKS
    if not few:
        wins = dict(sorted(wins.items(), key=lambda item: -len(item[1])))
    parts = [
        f"{winner} {_verb(winner, two=two) if i == 0 else ''}for "
        f"{_joined(_tasks(won)) if few else units.counted(len(won), 'task')}"
        for i, (winner, won) in enumerate(list(wins.items())[:MOST_WINNERS])
    ]
    more = sum(len(won) for won in list(wins.values())[MOST_WINNERS:])
    below = f"; {units.counted(more, 'more task')} below" if more else ""
    undecided = len(tasks) - sum(len(won) for won in wins.values())
    rest = f"; {undecided} of {units.counted(len(tasks), 'task')} undecided" if undecided else ""
    return "; ".join(parts) + below + rest if wins else ""


def _wins(tasks: Sequence[Sequence[Comparison]]) -> dict[str, list[Case]]:
    """What each winner, or those that cannot be told apart, have won."""
    wins: dict[str, list[Case]] = {}
    for comparisons in tasks:
        if best := _unbeaten(comparisons):
            wins.setdefault(" or ".join(sorted(best)), []).append(comparisons[0].a)
    return wins


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(name for c in comparisons for name in (c.a_name, c.b_name)))


def _unbeaten(comparisons: Sequence[Comparison]) -> list[str]:
    """Those of one task that none is clearly faster than; nobody where nothing is clear."""
    clear = [c for c in comparisons if c.verdict in CLEAR]
    losers = {c.a_name if c.verdict == "faster" else c.b_name for c in clear}
    return [name for name in _names(comparisons) if name not in losers] if losers else []


def _tasks(won: Sequence[Case]) -> list[str]:
    """Each task once; won with base settings, it need not be told again as tuned."""
    base = {(c.workload, c.mode) for c in won if c.policy is Policy.BASE}
    told = [c for c in won if c.policy is Policy.BASE or (c.workload, c.mode) not in base]
    settings = {Policy.BASE: "", Policy.TUNED: " (tuned)"}
    return list(dict.fromkeys(f"{c.workload} {c.mode}{settings[c.policy]}" for c in told))


def _verb(winner: str, *, two: bool) -> str:
    return f"{'are' if 'inputs' in winner else 'is'} {'faster' if two else 'fastest'} "


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def facts(content: Content) -> str:
    """One line on what stands behind it."""
    answer = content.recommendation
    if answer and not content.rows:
        return (
            f"{answer.pick.evidence if answer.pick else 'no way found'} · made on {answer.made_on}"
        )
    if content.collection:
        return _collection_facts(content.collection)
    machines = _counted(content.machines, "machines")
    devices = _counted(list(dict.fromkeys(row.device_name for row in content.rows)), "devices")
    dates = sorted({row.created_utc[:10] for row in content.rows})
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else ""
    cases, trials = len(content.rows), sum(row.n_trials for row in content.rows)
    parts = [
        f"{machines} ({devices})" if machines else "",
        when,
        units.counted(cases, "case"),
        f"{units.counted(trials, 'trial')}, each a fresh process" if trials else "",
    ]
    return " · ".join(part for part in parts if part)


def _collection_facts(c: Collection) -> str:
    days = dict.fromkeys([c.first_utc[:10], c.last_utc[:10]])
    return " · ".join(
        [
            units.counted(c.n_documents, "document"),
            " to ".join(days),
            units.counted(c.n_results, "case"),
            f"{c.n_results - c.n_measured:,} not measured",
            units.counted(len(c.groups), "group"),
        ]
    )


def _counted(names: Sequence[str], word: str) -> str:
    return ", ".join(names) if len(names) <= MOST_TASKS else f"{len(names)} {word}"
