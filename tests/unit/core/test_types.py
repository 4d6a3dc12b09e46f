"""What core types say of themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dlbench.core.types import (
    DRIVER_OPTION,
    LATENCY_LIMIT_OPTION,
    LOADGEN,
    CaseResult,
    DataMode,
    OutcomeKind,
    Policy,
    Scenario,
    Trial,
)
from tests import builders

CASE = builders.case()
GOOD = builders.trial(CASE, 0)
CRASHED_SENTINEL = replace(builders.failed(CASE, 1), role="sentinel")
LOST = builders.failed(CASE, 1, OutcomeKind.DEVICE_LOST)


def test_cases_that_differ_in_anything_have_labels_that_differ() -> None:
    """Two that an option tells apart had one, in refusals, courses and checks."""
    changes: list[dict[str, Any]] = [
        {},
        {"policy": Policy.TUNED},
        {"data_mode": DataMode.HOST},
        {"variant": "tiny"},
        {"n_devices": 2},
        {"options": (("compile_mode", "default"),)},
        {"options": (("compile_mode", "max-autotune"),)},
        {"options": (("compile_mode", "default"), ("pinned", "false"))},
        {"options": ((DRIVER_OPTION, LOADGEN),)},
        {"scenario": Scenario.SERVER, "options": ((LATENCY_LIMIT_OPTION, "50"),)},
        {"scenario": Scenario.SERVER, "options": ((LATENCY_LIMIT_OPTION, "100"),)},
    ]
    labels = [replace(CASE, **one).label for one in changes]
    assert len(set(labels)) == len(labels)
    assert labels[7] == f"{CASE.label} compile_mode=default pinned=false"


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ((GOOD, CRASHED_SENTINEL), OutcomeKind.OK),
        ((GOOD, CRASHED_SENTINEL, LOST), OutcomeKind.DEVICE_LOST),
        ((CRASHED_SENTINEL,), OutcomeKind.CRASHED),
        ((replace(GOOD, role="sentinel"),), OutcomeKind.SKIPPED),
        ((), OutcomeKind.SKIPPED),
    ],
)
def test_a_sentinel_decides_of_a_case_that_has_nothing_else(
    trials: tuple[Trial, ...], expected: OutcomeKind
) -> None:
    """Values that were measured count whatever became of it when it was run as the sentinel."""
    result = CaseResult(case=CASE, trials=trials, stop_reason="device fake was lost")
    assert result.outcome.kind is expected
