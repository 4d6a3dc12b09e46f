"""``dlbench ab`` with real worker processes: a verdict, a refusal, another Python, a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench import paired
from dlbench.analysis import check, contests
from dlbench.cli import ab as cli_ab
from dlbench.core.errors import StoreError
from dlbench.core.types import Case, Pairing, Plan
from dlbench.session import Settings, run_plan
from dlbench.store import runs
from tests import sessions


def _pairs(a: Case, b: Case) -> Plan:
    pairing = Pairing(a=a.case_id, b=b.case_id, a_name="left", b_name="right", zone=0.02)
    planned = sessions.plan([a, b], pairings=(pairing,))
    return replace(planned, profile=replace(planned.profile, looks=paired.LOOKS[:1]))


def test_a_true_difference_is_found_each_side_in_its_own_python(
    results: Path, tmp_path: Path
) -> None:
    """B takes half as long again; eight pairs of processes say so, and every rule holds.

    B's workers are started by the Python that was given for it.
    """
    wrapper, mark = tmp_path / "python", tmp_path / "used"
    wrapper.write_text(f'#!/bin/sh\necho x >> {mark}\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    # Steps so long that how late a busy machine wakes who sleeps hardly shows in their ratio.
    a, b = sessions.fake_case(step_ms="20"), sessions.fake_case(step_ms="20", factor="1.5")
    settings = Settings(folder=results, pythons={b.case_id: str(wrapper)})
    finished = run_plan(_pairs(a, b), sessions.surroundings(), sessions.devices(), settings)
    run = runs.read_run(finished.path)
    (found,) = contests.contests(run)
    assert found.verdict == "slower"
    assert found.judgement.n == 8
    assert found.judgement.ratio == pytest.approx(1 / 1.5, rel=0.1)
    assert [c for c in check.check_run(run) if c.passed is False] == []
    assert len(mark.read_text().splitlines()) == 8


def test_a_side_that_crashes_gets_no_verdict(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three pairs are tried, then it is said, also where the pairs cannot be written down."""
    broken = sessions.fake_case(fault="segv@load")
    finished = sessions.run(_pairs(sessions.fake_case(), broken), results)
    (found,) = contests.contests(finished.run)
    assert found.verdict == "no verdict"
    assert "3 of 3 pairs failed" in found.refusal
    assert "SIGSEGV" in found.refusal
    with pytest.raises(StoreError, match="cannot be written"):
        cli_ab._close(finished, results, [], as_json=True)
    (said,) = json.loads(capsys.readouterr().out)["contests"]
    assert said["verdict"] == "no verdict"


def _ab(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlbench", "ab", *arguments]
    variables = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, env=variables, timeout=300, cwd=folder
    )


def test_the_command_line_ends_as_its_conditions_say(results: Path) -> None:
    """A crash is exit code 4 and JSON without a number; a bad side is exit code 2."""
    common = ("-w", "fake", "-f", "fake", "--mode", "inference", "--json")
    done = _ab("option.factor=1", "option.fault=abort@load", *common, folder=results)
    assert done.returncode == 4, done.stderr
    (said,) = json.loads(done.stdout)["contests"]
    assert said["verdict"] == "no verdict"
    assert said["ratio"] is None
    done = _ab("factor=1", "policy=base", *common, folder=results)
    assert done.returncode == 2
    assert "has no 'factor'" in json.loads(done.stderr)["error"]


def test_commands_from_the_command_line(tmp_path: Path) -> None:
    """A slower command fails a job that asked for it; the trace holds all pairs, and is all there is.

    Eight of them, or more where the machine turned one round.
    """
    trace = tmp_path / "trace.jsonl"
    done = _ab(
        "--command", "sleep 0.02", "sleep 0.2", "--pairs", "32", "--fail-if", "slower:3%",
        "--trace", str(trace), folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "B is slower than A" in done.stdout
    assert "--fail-if slower:3%" in done.stdout
    rows = [json.loads(line) for line in trace.read_text().splitlines()]
    assert len(rows) == 2 * len({row["pair"] for row in rows}) >= 16
    assert f"({len(rows) // 2} pairs" in done.stdout
    assert list(tmp_path.iterdir()) == [trace]
