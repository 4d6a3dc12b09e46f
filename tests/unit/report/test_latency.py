"""Report and summary call the latency of text generation by its name."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dlbench.cli import show
from dlbench.core.types import Run, Scenario
from dlbench.report import content
from dlbench.report.sections import latency
from tests import builders


def _run(latency_is: str | None, **changes: object) -> Run:
    case = builders.case(**changes)
    result = builders.result(case, [0.2, 0.3, 0.25])
    trials = tuple(replace(t, queries_s=(0.25,) * 20) for t in result.trials)
    named = replace(builders.WORKLOAD, latency_is=latency_is)
    plan = builders.plan([case], workloads=(named,))
    return builders.run([replace(result, trials=trials)], plan=plan)


def _html(latency_is: str | None, **changes: object) -> str:
    return str(latency.html(content.of([_run(latency_is, **changes)])))


def test_the_p50_of_a_prompt_is_its_time_to_first_token() -> None:
    """In a sentence, with the words and the letters that people look for."""
    assert "The p50 of fake is its time to first token (TTFT)." in _html("time_to_first_token")


def test_other_latencies_have_no_other_name() -> None:
    """An image's p50 is its p50."""
    assert "TTFT" not in _html(None)
    assert "TPOT" in _html("time_per_output_token")
    assert "TPOT" not in _html("time_per_output_token", scenario=Scenario.SERVER)


def _of_batches(n: int) -> str:
    cases = [builders.case(framework="pytorch", batch_size=size + 1) for size in range(n)]
    results = [builders.result(case, [0.2, 0.3, 0.25]) for case in cases]
    asked = [
        replace(r, trials=tuple(replace(t, queries_s=(0.25,) * 20) for t in r.trials))
        for r in results
    ]
    return str(latency.html(content.of([builders.run(asked)])))


def test_curves_of_one_framework_are_told_apart() -> None:
    """They had one colour and one dash; no legend could say which was which."""
    legend = re.findall(r'<line class="line c(\d) d(\d)"', _of_batches(3))
    assert legend == [("0", "0"), ("1", "1"), ("2", "2")]


def test_cases_without_a_curve_are_counted() -> None:
    """Of more than six the slowest had none, and nothing said so."""
    assert "2 slower cases are not drawn here." in _of_batches(8)
    assert "1 slower case is not drawn here." in _of_batches(7)
    assert "not drawn" not in _of_batches(6)


def test_the_summary_of_a_run_has_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a case under the table."""
    show.run_table(_run("time_per_output_token"))
    out = capsys.readouterr().out
    assert "time per output token (TPOT) of fake fake fake fp32 inference b1: 250 ms" in out
    show.run_table(_run(None))
    assert "TPOT" not in capsys.readouterr().out
