"""The real command line on real frameworks and tiny models: a document, comparisons, a report."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import timeit
from pathlib import Path

import pytest

from dlbench.analysis import check, compare
from dlbench.core import registry
from dlbench.core.types import Absent, Precision
from dlbench.store import runs

pytestmark = [pytest.mark.e2e, pytest.mark.frameworks]


def _dlbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One trial of each case, as long as those of ``quick``."""
    return subprocess.run(
        [sys.executable, "-m", "tests.brief", *arguments, "--profile", "round"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _needs(*frameworks: str) -> None:
    for name in frameworks:
        if isinstance(registry.framework(name).probe(), Absent):
            pytest.skip(f"{name} is not installed")


def test_two_frameworks_and_modes_on_a_tiny_model(results: Path, tmp_path: Path) -> None:
    """Both frameworks, both modes: all ok, all rules hold, compared and reported."""
    _needs("pytorch", "tensorflow")
    done = _dlbench(
        "run", "lstm_lm", "-f", "pytorch,tensorflow", "--variant", "tiny",
        "--threads", "1", "--out", str(results),
        "--report", str(tmp_path), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    run = runs.read_run(Path(summary["path"]))
    assert len(run.results) == 4
    assert all(r.outcome.ok for r in run.results)
    assert [c for c in check.check_run(run) if c.passed is False] == []
    assert len(compare.within(run)) == 2
    page = Path(summary["report"]).read_text(encoding="utf-8")
    assert "TensorFlow" in page
    look_s = statistics.median(timeit.repeat(time.monotonic, number=1000, repeat=99)) / 1000
    for result in run.results:
        for trial in result.trials:
            rules = {c.rule: c.passed for c in trial.checks}
            matched = (
                "first_loss_matches_reference"
                if result.case.mode == "training"
                else ("outputs_match_reference")
            )
            assert rules[matched] is True
            assert rules["parameters_as_stated"] is True
            # The harness costs a step less than 400 looks at the clock do here: about 20 us.
            overhead_s = trial.subject["harness_overhead_s_per_step"]
            assert isinstance(overhead_s, float)
            assert 0 < overhead_s < 400 * look_s


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_tuned_and_bf16_run_and_are_named(framework: str, results: Path) -> None:
    """The compiler's first step is apart; precision and policy stand in the case and the subject."""
    _needs(framework)
    done = _dlbench(
        "run", "resnet50", "-f", framework, "--variant", "tiny", "--mode", "inference",
        "--precision", "bf16", "--policy", "tuned", "--out", str(results),
        "--json",
    )  # fmt: skip
    if "no native bf16" in done.stderr:
        pytest.skip("this processor has no bf16")
    assert done.returncode == 0, done.stderr
    run = runs.read_run(Path(json.loads(done.stdout)["path"]))
    (result,) = run.results
    assert result.case.precision is Precision.BF16
    (trial, *_) = result.trials
    assert trial.subject["compute_dtype"] == "bfloat16"
    assert trial.subject["compiled"] is True
    assert isinstance(trial.first_step_s, float)
    assert trial.first_step_s > 5 * statistics.median(
        v.duration_s / v.n_samples for v in trial.values
    )
