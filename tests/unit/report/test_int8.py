"""What int8 costs, and how much of a model it is of, stands beside its speed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.cli import show
from dlbench.core import metrics
from dlbench.core.types import Absent, Measured, Precision, Run
from dlbench.report import content
from dlbench.report.sections import throughput
from tests import builders

FACTS = {"int8_drift": 0.0314, "int8_share": 0.94}
NONE = Absent(reason="an int8 output is no finite number")


def _run(facts: dict[str, float | Absent], precision: Precision = Precision.INT8) -> Run:
    result = builders.result(builders.case(precision=precision), [0.2, 0.3, 0.25])
    trials = tuple(replace(t, subject={**t.subject, **facts}) for t in result.trials)
    return builders.run([replace(result, trials=trials)])


def test_the_summary_says_how_far_outputs_moved(capsys: pytest.CaptureFixture[str]) -> None:
    """And of how many of the model's operations that is; of fp32 nothing."""
    show.run_table(_run(dict(FACTS)))
    words = (
        "fake fake fake int8 inference b1: outputs moved by 3.1 % of their spread; 94 % of its"
        " operations are in int8"
    )
    assert words in capsys.readouterr().out
    show.run_table(_run({}, Precision.FP32))
    assert "int8" not in capsys.readouterr().out


def test_the_report_has_both_beside_the_throughput() -> None:
    """Columns that are there where a case is of int8."""
    page = str(throughput.html(content.of([_run(dict(FACTS))])))
    assert '<td class="number" data-head="int8 drift">3.1 %</td>' in page
    assert '<td class="number" data-head="In int8">94 %</td>' in page
    assert "int8 drift" not in str(throughput.html(content.of([_run({}, Precision.FP32)])))


def test_what_no_trial_knows_is_absent_with_its_reason() -> None:
    """The subject's own, where it gives one."""
    run = _run({"int8_drift": NONE, "int8_share": 0.94})
    (result,) = run.results
    assert metrics.compute("int8_drift_ratio", result, run) == NONE
    share = metrics.compute("int8_share", result, run)
    assert isinstance(share, Measured)
    assert (share.value, share.n) == (0.94, 3)
    older = _run({})
    found = metrics.compute("int8_share", older.results[0], older)
    assert found == Absent(reason="no trial stated it")
