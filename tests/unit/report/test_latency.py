"""Report and summary call the latency of text generation by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.cli import show
from dlbench.core.types import Run
from dlbench.report import content
from dlbench.report.sections import latency
from tests import builders


def _run(latency_is: str | None) -> Run:
    case = builders.case()
    result = builders.result(case, [0.2, 0.3, 0.25])
    trials = tuple(replace(t, queries_s=(0.25,) * 20) for t in result.trials)
    named = replace(builders.WORKLOAD, latency_is=latency_is)
    plan = builders.plan([case], workloads=(named,))
    return builders.run([replace(result, trials=trials)], plan=plan)


def _html(latency_is: str | None) -> str:
    return str(latency.html(content.of([_run(latency_is)])))


def test_the_p50_of_a_prompt_is_its_time_to_first_token() -> None:
    """In a sentence, with the words and the letters that people look for."""
    assert "The p50 of fake is its time to first token (TTFT)." in _html("time_to_first_token")


def test_other_latencies_have_no_other_name() -> None:
    """An image's p50 is its p50."""
    assert "TTFT" not in _html(None)


def test_the_summary_of_a_run_has_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a case under the table."""
    show.run_table(_run("time_per_output_token"))
    out = capsys.readouterr().out
    assert "time per output token (TPOT) of fake fake fake fp32 inference b1: 250 ms" in out
    show.run_table(_run(None))
    assert "TPOT" not in capsys.readouterr().out
