"""LoadGen on a clock that only moves when somebody works: arrivals, verdict and logs like its own.

A search on it gives the same rate on every machine, however busy.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dlbench.measure.loadgen import LEAST_QUERIES, MLLOG
from tests.unit.measure.clockwork import Clock

Issue = Callable[[Sequence[Any]], None]


class Pretended:
    """The names of the module that a server's measurement uses."""

    TestScenario = SimpleNamespace(Server="Server")
    TestMode = SimpleNamespace(PerformanceOnly="PerformanceOnly")
    TestSettings = LogSettings = LogOutputSettings = SimpleNamespace

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done_s: dict[int, float] = {}

    def ConstructSUT(self, issue: Issue, _flush: object) -> Issue:  # noqa: N802 - LoadGen's names
        return issue

    def ConstructQSL(self, *_: object) -> None:  # noqa: N802
        """Inputs are resident."""

    def DestroySUT(self, _: object) -> None:  # noqa: N802
        """Nothing is held."""

    DestroyQSL = DestroySUT

    def QuerySampleResponse(self, query: int, _data: int, _size: int) -> int:  # noqa: N802
        return query

    def QuerySamplesComplete(self, queries: Sequence[int]) -> None:  # noqa: N802
        self.done_s.update(dict.fromkeys(queries, self.clock.now_s))

    def StartTestWithLogSettings(  # noqa: N802
        self, issue: Issue, _queries: object, settings: Any, logs: Any, _: str
    ) -> None:
        """Poisson arrivals; queries that fall due while others are answered are issued next."""
        self.done_s.clear()
        start_s = self.clock.now_s
        due_s = [start_s + t for t in _arrivals_s(settings)]
        n = 0
        while n < len(due_s):
            self.clock.now_s = max(self.clock.now_s, due_s[n])
            many = settings.server_coalesce_queries
            after = next(
                (i for i in range(n, len(due_s)) if due_s[i] > self.clock.now_s), len(due_s)
            )
            end = after if many else n + 1
            issue([SimpleNamespace(id=i, index=i) for i in range(n, end)])
            n = end
        latencies_s = [self.done_s[i] - due for i, due in enumerate(due_s)]
        _write(Path(logs.log_output.outdir), [t - start_s for t in due_s], latencies_s, settings)


def _arrivals_s(settings: Any) -> list[float]:
    """From the start; the first after a gap like any other."""
    generator = random.Random(settings.schedule_rng_seed)
    due_s: list[float] = []
    t_s = 0.0
    while len(due_s) < settings.max_query_count:
        t_s += generator.expovariate(settings.server_target_qps)
        enough = len(due_s) >= settings.min_query_count and t_s > settings.min_duration_ms / 1e3
        if due_s and (enough or t_s > settings.max_duration_ms / 1e3):
            break
        due_s.append(t_s)
    return due_s


def _write(
    folder: Path, due_s: Sequence[float], latencies_s: Sequence[float], settings: Any
) -> None:
    p99_s = float(np.quantile(latencies_s, settings.server_target_latency_percentile))
    facts = {
        "result_99.00_percentile_latency_ns": round(p99_s * 1e9),
        "result_perf_constraints_met": p99_s * 1e9 <= settings.server_target_latency_ns,
        "early_stopping_met": len(due_s) >= LEAST_QUERIES,
    }
    detail = [MLLOG + json.dumps({"key": k, "value": v}) for k, v in facts.items()]
    (folder / "mlperf_log_detail.txt").write_text("\n".join(detail))
    queries = [
        f'{{"name":"Sample","cat":"default","ph":"b","ts":{due * 1e6!r},'
        f'"args":{{"complete_ns":{round(latency * 1e9)}}}}},'
        for due, latency in zip(due_s, latencies_s, strict=True)
    ]
    (folder / "mlperf_log_trace.json").write_text("\n".join(queries) + "\n")
