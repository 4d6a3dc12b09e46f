"""What the terminal says of cases that failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer import Exit

from dlbench.analysis import check, compare
from dlbench.cli import ab, show, show_ab, show_compare
from dlbench.cli.progress import Progress
from dlbench.core.types import Absent, BatchSearch, CaseResult, DataMode, Mode, OutcomeKind, Run
from dlbench.plan import TimeEstimate
from dlbench.session import Finished
from tests import builders, documents

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
    told = f"{case.label}: throughput was not seen to stop" in capsys.readouterr().out
    assert told is capped


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (52, "case samples/s +- outcome"),
        (60, "case samples/s +- memory outcome"),
        (70, "case samples/s +- n p99 memory outcome"),
        (80, "case samples/s +- n p50 p99 memory energy outcome"),
    ],
)
def test_a_narrow_terminal_cuts_no_outcome(
    width: int, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns are left out instead; however wide an interval is, and with two flags at a case."""
    case = builders.case()
    flagged = builders.result(case, (0.001, 0.1, 0.01), flags=("not_steady", "contended"))
    monkeypatch.setenv("COLUMNS", str(width))
    show.run_table(builders.run([flagged]))
    out = capsys.readouterr().out
    (headings,) = (line for line in out.splitlines() if line.startswith(" case"))
    assert " ".join(headings.split()) == columns
    assert "not_steady" in out
    assert "contended" in out
    assert ">999 %" in out


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"data_mode": DataMode.HOST}, ["synthetic data", "host data"]),
        ({"options": (("step_ms", "7"),)}, ["step_ms=7"]),
    ],
)
def test_a_case_that_has_no_word_of_its_own_is_in_the_table(
    other: dict[str, Any], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`run resnet50 --data synthetic,host` with one framework ended in a traceback, all measured."""
    cases = [builders.case(), builders.case(**other)]
    show.run_table(builders.run([builders.result(case, (0.01, 0.01, 0.01)) for case in cases]))
    out = capsys.readouterr().out
    assert [words for words in told if words in out] == told
    assert out.count("100.0") == 2


HOSTILE = "[/nowhere]\x1b[2J"


def _invalid(rule: str) -> Run:
    """A document of one trial that the gate refused by this rule."""
    case = builders.case()
    trial = builders.failed(case, 0, OutcomeKind.INVALID)
    trial = replace(trial, outcome=replace(trial.outcome, detail=rule))
    return builders.run([CaseResult(case=case, trials=(trial,), stop_reason="it broke")])


def test_names_from_a_document_are_neither_markup_nor_control(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of a rule, of machines over columns, of a profile: each was a traceback, or moved the cursor."""
    run = builders.sealed_run()
    environment = replace(run.environment, machine=HOSTILE, versions={"dlbench": "9"})
    other = replace(run, run_id="b", environment=environment)
    show.checks("x.json", check.refusals(_invalid(HOSTILE)))
    show_compare.environment_differences(compare.across(run, other))
    plan = replace(run.plan, profile=replace(run.plan.profile, name=HOSTILE))
    Progress(show.console()).begin(plan, "id", (), ())
    out = capsys.readouterr().out
    assert out.count("[/nowhere]\N{REPLACEMENT CHARACTER}[2J") >= 3
    assert "\x1b" not in out


def test_a_trial_that_the_gate_refused_is_no_rule_that_was_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One rule failed of one, whatever else is told of the document."""
    run = _invalid("synchronises")
    failed = check.content_check("a", "b")
    show.checks("x.json", (failed, *check.refusals(run)))
    assert "x.json: 1 of 1 rules failed" in capsys.readouterr().out


@pytest.mark.parametrize(("mode", "said"), [(Mode.INFERENCE, True), (Mode.TRAINING, False)])
def test_too_few_queries_are_explained_where_there_were_some(
    mode: Mode, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training has none, and its table no cell to explain."""
    case = builders.case(mode=mode)
    trials = tuple(builders.trial(case, i, queries_s=(0.01,) * 40) for i in range(3))
    show.run_table(builders.run([CaseResult(case=case, trials=trials, stop_reason="x")]))
    assert (
        "n small: p99 needs 368 queries a trial (--scenario single_stream)"
        in capsys.readouterr().out
    ) is said


@pytest.mark.parametrize("versions", [{}, {"torch": "2.9"}])
def test_pairs_of_two_pythons_are_not_sent_to_a_resume_that_is_refused(
    versions: dict[str, str | Absent], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the environments lie is recorded nowhere; what was measured can be sealed."""
    run = documents.paired_run([0.01], [0.01])
    (pairing,) = run.plan.pairings
    run = replace(run, plan=replace(run.plan, pairings=(replace(pairing, a_versions=versions),)))
    with pytest.raises(Exit):
        ab._close(
            Finished(run=run, path=Path("x.journal"), interrupted=True), None, [], as_json=False
        )
    out = capsys.readouterr().out
    assert ("go on with" in out) is not bool(versions)
    assert ("dlbench run --resume x.journal --seal" in out) is bool(versions)


def test_a_plan_of_pairs_says_what_both_sides_do(capsys: pytest.CaptureFixture[str]) -> None:
    """It gave A's framework and batch as if they were those of both."""
    planned = documents.paired_run([0.01], [0.02]).plan
    show_ab.plan(planned, TimeEstimate(low_s=1.0, high_s=2.0, basis=""))
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "pytorch and tensorflow: fake inference, fake, fp32, batch 4"
