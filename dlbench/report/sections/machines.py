"""Machines as columns: the same case on each, and how many times the first it is."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.types import Case
from dlbench.report.content import Content, framework, setting, task, versions
from dlbench.report.render import render

ORDER = 16
TITLE = "Machine against machine"

LEAST = 2

MOST_COLUMNS = 8

TEMPLATE = """
<p>Samples a second of the same case on each machine. Days and machines differ in more than hardware, so a
difference below 10 % is not called one.{% if n_more > 0 %} {{ n_more }} further document{{ 's have' if n_more > 1 else ' has' }} no column here.{% endif %}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table: machines"><table>
<thead><tr><th scope="col">Case</th>{% for column in columns %}<th scope="col" class="number">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for case, version, cells in lines %}
<tr data-r="{{ numbers(cells) }}"><th scope="row">{{ task(case) }}<br><span class="doer">{{ framework(case) }}, {{ setting(case) }}{% if version %}, {{ version }}{% endif %}</span></th>
{% for entry in cells %}<td class="number">{% if entry %}{{ entry[1].metrics['throughput_samples_per_s'] | cell }}
{%- if entry[2] %} <span class="against {{ entry[2][1] }}">{{ entry[2][0] }}</span>{% endif %}
{%- else %}<span class="absent" title="this case is not in that document">not asked</span>{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
"""

APART = """
<p>No case ran on two of these machines, so nothing says which is faster. To compare them, measure the same workload, mode,
precision and batch on each.</p>
"""

Entry = tuple[int, Row, tuple[str, str] | None]


def html(content: Content) -> Markup | None:
    """The table where several machines were measured, or where it was asked for."""
    keys = list(dict.fromkeys((row.machine, row.run_id) for row in content.rows))
    if len(content.machines) < LEAST and not content.side_by_side:
        return None
    n_more = len(keys) - MOST_COLUMNS
    keys = keys[:MOST_COLUMNS]
    lines = _lines(content, keys)
    if not content.side_by_side and not any(_meet(cells) for *_, cells in lines):
        return render(APART)
    return render(
        TEMPLATE,
        n_more=n_more,
        columns=_names(content, keys),
        lines=lines,
        task=task,
        framework=framework,
        setting=setting,
        numbers=lambda cells: " ".join(str(entry[0]) for entry in cells if entry),
    )


def _meet(cells: Sequence[Entry | None]) -> bool:
    """Whether two machines ran it, or one is held against another's case of another device."""
    ran = [entry for entry in cells if entry and (entry[1].n_trials or entry[2])]
    return len(ran) > 1 or any(entry[2] for entry in ran)


def _names(content: Content, keys: Sequence[tuple[str, str]]) -> list[str]:
    """A machine's name; with the day where one machine was measured more than once."""
    created = {row.run_id: row.created_utc for row in content.rows}
    machines = [machine for machine, _ in keys]
    return [
        f"{machine}, {created[run_id][:16]}" if machines.count(machine) > 1 else machine
        for machine, run_id in keys
    ]


def _lines(
    content: Content, keys: Sequence[tuple[str, str]]
) -> list[tuple[Case, str, list[Entry | None]]]:
    """Each case, and each version of its work, that a document with a column has."""
    shown = {run_id for _, run_id in keys}
    cells: dict[tuple[Case, str], dict[str, tuple[int, Row]]] = {}
    for i, (row, version) in enumerate(zip(content.rows, versions(content.rows), strict=True)):
        if row.run_id in shown:
            cells.setdefault((row.case, version), {})[row.run_id] = (i, row)
    against = _against(content)
    ordered = sorted(cells.items(), key=lambda item: (item[0][0].label, item[0][1]))
    return [
        (
            case,
            version,
            [
                (*by_run[run_id], against.get(by_run[run_id][0])) if run_id in by_run else None
                for _, run_id in keys
            ],
        )
        for (case, version), by_run in ordered
    ]


def _against(content: Content) -> dict[int, tuple[str, str]]:
    """By row: its ratio to the first machine in words, and the verdict for the eye."""
    found = {}
    for compared in content.compared:
        first, second = compared.rows
        if content.rows[first].run_id != content.rows[second].run_id:
            c = compared.comparison
            word = {"cannot tell": "cannot tell", "equivalent": "equal"}.get(c.verdict)
            found[second] = (
                word or f"{units.ratio(c.estimate.ratio, 2)}×",
                "open" if word else "clear",
            )
    return found
