"""What tests of queries share: a server's case, a brief profile, and verdicts looked at again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dlbench.core.types import LATENCY_LIMIT_OPTION, Case, Profile, Scenario
from dlbench.measure import server
from dlbench.measure.loadgen import Record
from dlbench.measure.server import Served
from tests import builders
from tests.unit.measure.test_sampler import PROFILE

QUICK: Profile = replace(PROFILE, max_steady_s=1.0, min_warm_up_s=0.05, max_warm_up_s=0.5)


def case(limit_ms: str = "20", batch_size: int = 1) -> Case:
    """Of a server with that limit."""
    return builders.case(
        scenario=Scenario.SERVER,
        batch_size=batch_size,
        options=((LATENCY_LIMIT_OPTION, limit_ms),),
    )


def kept_verdicts(monkeypatch: pytest.MonkeyPatch) -> list[Served]:
    """All runs that are judged in a test."""
    found: list[Served] = []
    judge = server.judged

    def keep(record: Record, rate_per_s: float) -> Served:
        found.append(judge(record, rate_per_s))
        return found[-1]

    monkeypatch.setattr(server, "judged", keep)
    return found


def assert_told_rightly(judged: Sequence[Served], limit_s: float) -> None:
    """Each verdict is what the run's own queries say; no load of the machine changes that.

    Of one query at the edge LoadGen may think otherwise.
    """
    assert judged
    for served in judged:
        record = served.record
        n, late = len(record.latencies_s), sum(x > limit_s for x in record.latencies_s)
        behind = not server.keeps_up(record.due_s, record.latencies_s)
        if served.in_time:
            assert late - 1 <= 0.01 * n
            assert not behind
        else:
            assert behind or late + 1 >= 0.01 * n
