"""The one frame: a row a case and skip, gaps with their reasons."""

from __future__ import annotations

import math

from dlbench.analysis import frame
from dlbench.core import metrics
from tests import builders


def test_each_case_and_skip_is_a_row() -> None:
    """With the case's columns, its outcome and all metrics."""
    table = frame.results([builders.sealed_run()])
    assert list(table["outcome"]) == ["ok", "ok", "crashed", "missing_dependency"]
    assert list(table["framework"]) == ["pytorch", "tensorflow", "pytorch", "jax"]
    assert {f"{name}_kind" for name in metrics.REGISTRY} <= set(table.columns)


def test_numbers_are_the_metrics() -> None:
    """Samples a second of the first case, between its bounds."""
    row = frame.results([builders.sealed_run()]).iloc[0]
    assert math.isclose(row["throughput_samples_per_s"], 99, rel_tol=0.01)
    assert row["throughput_samples_per_s_low"] < row["throughput_samples_per_s"]
    assert row["throughput_samples_per_s_kind"] == "measured"


def test_an_absent_number_is_a_gap_with_its_reason() -> None:
    """NaN in the frame only, and the kind says absent."""
    row = frame.results([builders.sealed_run()]).iloc[2]
    assert math.isnan(row["throughput_samples_per_s"])
    assert row["throughput_samples_per_s_kind"] == "absent"
    assert "it broke" in row["throughput_samples_per_s_reason"]
