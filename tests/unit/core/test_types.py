"""What core types say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.core.types import CaseResult, OutcomeKind, Trial
from tests import builders

CASE = builders.case()
GOOD = builders.trial(CASE, 0)
CRASHED_SENTINEL = replace(builders.failed(CASE, 1), role="sentinel")
LOST = builders.failed(CASE, 1, OutcomeKind.DEVICE_LOST)


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
