"""Tasks that compare cases have a panel with bars each; those of one case share a table."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dlbench.core.types import Run
from dlbench.report import build, charts, content, panels
from dlbench.report.sections import throughput
from tests import documents

RICH, SINGLES = documents.rich_run(), documents.one_case_a_task()


def _panels(run: Run) -> dict[str, str]:
    """The HTML of each panel of throughput, by its title, in order."""
    html = str(throughput.html(content.of([run])))
    parts = html.split('<div class="panel')[1:]
    return {re.findall(r"<h3>(.*?)</h3>", part)[0]: part for part in parts}


def _names(panel: str) -> list[str]:
    return re.findall(r'<th scope="row">(.*?) <span', panel)


def _with(run: Run, *numbers: int) -> Run:
    results = tuple(run.results[n] for n in numbers)
    return replace(
        run, results=results, plan=replace(run.plan, cases=tuple(r.case for r in results))
    )


@pytest.mark.parametrize(
    ("counts", "several", "single"),
    [
        ({}, [], []),
        ({"a": 1}, ["a"], []),
        ({"a": 2}, ["a"], []),
        ({"a": 1, "b": 1}, [], ["a", "b"]),
        ({"a": 2, "b": 1, "c": 3}, ["a", "b", "c"], []),
        ({"a": 1, "b": 2, "c": 1, "d": 3}, ["b", "d"], ["a", "c"]),
    ],
)
def test_tasks_of_one_case_go_together_unless_there_is_only_one(
    counts: dict[str, int], several: list[str], single: list[str]
) -> None:
    """In the order in which they were, and with all of their lines."""
    (line,) = panels._lines(content.of([_with(RICH, 0)]), _spec()).values()
    tasks = {title: line * n for title, n in counts.items()}
    found = panels.grouped(tasks)
    assert [list(part) for part in found] == [several, single]
    assert found[0] | found[1] == tasks


def _spec() -> panels.Spec:
    return panels.Spec(
        value_of=lambda row: row.metrics["throughput_samples_per_s"], head="", caption=""
    )


def test_a_document_of_one_case_a_task_has_one_table_without_bars() -> None:
    """Tasks by name with who did it and how, their numbers and flags; no bar, axis or figure."""
    ((title, table),) = _panels(SINGLES).items()
    assert title == "Tasks with one case each"
    assert table.count("<table") == 1
    assert _names(table) == [
        "gemm inference",
        "memory_bandwidth inference",
        "resnet50 inference",
        "resnet50 training",
    ]
    assert "<svg" not in table
    assert "<tfoot" not in table
    assert charts.MARK not in table
    row = table[table.index("resnet50 inference <") :].partition("</tr>")[0]
    assert '<span class="doer">TensorFlow, cpu, fp32, batch 8</span>' in row
    assert '<span class="flags">not_steady</span>' in row
    assert re.search(r'data-head="Samples/s"><span class="measured">49\.\d\d</span>', row)
    assert '<td class="number" data-head="Trials">3</td>' in row


def test_tasks_of_several_cases_keep_their_charts_before_the_table() -> None:
    """Two tasks with bars, an axis and a figure each, as they are where no table follows."""
    found = _panels(RICH)
    assert list(found) == ["resnet50 inference", "resnet50 training", "Tasks with one case each"]
    assert _names(found["Tasks with one case each"]) == [
        "gemm inference",
        "memory_bandwidth inference",
        "resnet50 inference single stream",
    ]
    training = found["resnet50 training"]
    assert training.count('class="bar measured') == 2
    assert training.count('class="bar-axis"') == training.count("<tfoot>") == 1
    assert charts.MARK in training
    alone = _panels(_with(RICH, 7, 8, 9))["resnet50 training"]
    unnumbered = [re.sub(r'data-r="\d+"|<details.*</details>', "", p) for p in (training, alone)]
    assert unnumbered[0].split() == unnumbered[1].split()


def test_a_lone_task_of_one_case_keeps_its_chart_in_its_place() -> None:
    """A table of one row would be a heading more for nothing."""
    found = _panels(_with(RICH, 6, 8, 9))
    assert list(found) == ["gemm inference", "resnet50 training"]
    assert found["gemm inference"].count('class="bar-axis"') == 1


def test_every_section_with_panels_groups_them() -> None:
    """One table in each, of the tasks that it has a number of: not all are metered, or have a share."""
    page = build.build([SINGLES])
    counts = {}
    for name in ("throughput", "latency", "memory", "energy", "ceiling"):
        section = page[page.index(f'<section id="{name}"') :].partition("</section>")[0]
        tables = section.split('<div class="panel singles"')[1:]
        counts[name] = [part.partition("</table>")[0].count("<tr data-r") for part in tables]
    assert counts == {
        "throughput": [4],
        "latency": [3],
        "memory": [4],
        "energy": [3],
        "ceiling": [2],
    }
