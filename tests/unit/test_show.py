"""What the terminal says of cases that failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.cli import show
from dlbench.core.types import BatchSearch, CaseResult, Mode, OutcomeKind
from tests import builders

LOG = "".join(f"line {i} of [red]it[/]\x1b[2J\n" for i in range(40))


def _failed(log: str, kind: OutcomeKind, mode: Mode = Mode.INFERENCE) -> CaseResult:
    case = builders.case(mode=mode)
    trial = replace(builders.failed(case, 0, kind), log=log)
    return CaseResult(case=case, trials=(trial,), stop_reason="it broke")


def test_a_failure_shows_the_end_of_its_log_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Its sentence names the log, which else the document alone has; who failed alike shares it."""
    both = [_failed(LOG, OutcomeKind.ERROR, mode) for mode in (Mode.INFERENCE, Mode.TRAINING)]
    show.run_table(builders.run(both))
    out = capsys.readouterr().out
    told = [line.strip() for line in out.splitlines() if line.strip().startswith("line ")]
    assert told == [f"line {i} of [red]it[/]\N{REPLACEMENT CHARACTER}[2J" for i in range(28, 40)]
    assert out.count("it broke") == 2


def test_what_is_no_failure_shows_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A framework that is missing, or a combination that nobody supports, has said it all."""
    show.run_table(builders.run([_failed(LOG, OutcomeKind.UNSUPPORTED)]))
    assert "line " not in capsys.readouterr().out


@pytest.mark.parametrize("capped", [True, False])
def test_a_batch_that_is_only_the_largest_tried_is_told_as_such(
    capsys: pytest.CaptureFixture[str], capped: bool
) -> None:
    """With the case it is of, at the end of the run; one that memory bounds is what was asked for."""
    run = builders.run([_failed("", OutcomeKind.TIMEOUT)])
    (case,) = run.plan.cases
    search = BatchSearch(case_id="before", batch_size=case.batch_size, probes=(), capped=capped)
    show.run_table(replace(run, plan=replace(run.plan, searches=(search,))))
    told = f"{case.label}: throughput still grew at this batch" in capsys.readouterr().out
    assert told is capped
