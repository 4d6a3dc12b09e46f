"""Sections one by one: the one that the docs print, and the method's own figures."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.cli import show
from dlbench.core.types import Mode, Run, Window, WorkloadInfo
from dlbench.report import content
from dlbench.report.sections import method, scaling
from tests import builders, documents

PAGE = Path(__file__).parents[3] / "docs/extend/add-a-report-section.md"


def test_the_section_in_the_docs_is_a_section(tmp_path: Path) -> None:
    """It has an order, a title, and a row for each case."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "first_step.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("first_step", path)
    assert spec is not None
    assert spec.loader is not None
    section = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(section)
    found = content.of([_loaded(documents.rich_run())])
    assert section.TITLE == "First result"
    assert isinstance(section.ORDER, int)
    assert section.html(found).count("<tr data-r=") == len(found.rows) - 1  # the fake was skipped
    assert section.html(content.of([documents.empty_run()])) is None


def _loaded(run: Run) -> Run:
    """The same run, of trials that say how long they loaded."""
    load = Window(name="load", start_s=-4.0, end_s=-2.0)
    results = (
        replace(r, trials=tuple(replace(t, windows=(load, *t.windows)) for t in r.trials))
        for r in run.results
    )
    return replace(run, results=tuple(results))


def test_a_sweep_shows_what_a_larger_batch_costs_in_latency() -> None:
    """Beside the throughput of each batch; training has none."""
    page = str(scaling.html(content.of([documents.rich_run()])))
    assert page.count("Latency, p50") == 1
    (line,) = re.findall(r'<td class="number">4</td>.*?</tr>', page, re.DOTALL)
    assert " ms</span>" in line
    case = builders.case(mode=Mode.TRAINING, scenario=None)
    cases = [replace(case, batch_size=n) for n in (1, 2)]
    run = builders.run([builders.result(c, [0.01, 0.011, 0.012]) for c in cases])
    assert "Latency" not in str(scaling.html(content.of([run])))


@pytest.mark.parametrize(
    ("last_s", "words"),
    [
        (0.01, "+0 % [+0 %, +0 %] during the run."),
        (
            0.013,
            "+30 % [+30 %, +30 %] during the run, surely more than 3 %: the machine itself changed.",
        ),
    ],
)
def test_the_method_says_by_how_much_the_machine_drifted(last_s: float, words: str) -> None:
    """By the trials, whatever flag an older document bears."""
    medians_s = [0.01, (0.01 * last_s) ** 0.5, last_s]
    run = builders.run([builders.result(builders.case(), medians_s)], flags=("drift",))
    page = str(method.html(content.of([run])))
    assert f"; the sentinel&#39;s time moved by {words}</li>" in page


def test_the_method_says_what_a_resumed_run_has_lost() -> None:
    """When, and which lines; text of a document is escaped."""
    notes = {"resumed_utc": "2026-01-01T00:05:00Z", "journal_damage": "line <4> was left out"}
    notes["commits"] = "a when it was begun, b since then"
    run = builders.run([builders.result(builders.case(), [0.01])], notes=notes)
    page = str(method.html(content.of([run])))
    assert (
        " Resumed 2026-01-01T00:05:00Z. Not of one commit of dlbench: a when it was begun, b since "
        "then. Its journal was damaged: line &lt;4&gt; was left out."
    ) in page


def test_the_method_claims_no_reference_for_a_model_of_ones_own() -> None:
    """Seeded weights and a reference are of dlbench's workloads; beside each other both are told."""
    ours, own = (
        builders.WORKLOAD,
        replace(builders.WORKLOAD, name="net", own="--model net.py:build"),
    )
    cases = [builders.case(), builders.case(workload="net")]

    def page(*infos: WorkloadInfo) -> str:
        results = [
            builders.result(c, [0.01]) for c in cases if c.workload in {w.name for w in infos}
        ]
        run = builders.run(results)
        return str(method.html(content.of([replace(run, plan=replace(run.plan, workloads=infos))])))

    claimed, held = "compared with one\nfp32 reference", "net (a model of one's own"
    assert (claimed in page(ours), held in page(ours)) == (True, False)
    assert (claimed in page(own), held in page(own)) == (False, True)
    assert (claimed in page(ours, own), held in page(ours, own)) == (True, True)


def test_what_held_the_clocks_down_is_told_in_report_and_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the name of its flag, and in the terminal with what it means."""
    run = replace(documents.rich_run(), flags=("cpu_limited", "on_battery"))
    page = str(method.html(content.of([run])))
    assert "; flagged cpu_limited; flagged on_battery." in page
    show.run_table(run)
    told = capsys.readouterr().out
    assert "cpu_limited: the CPU's governor is powersave" in told
    assert "on_battery: the machine ran on battery" in told
    show.run_table(replace(run, flags=()))
    assert "cpu_limited" not in capsys.readouterr().out
