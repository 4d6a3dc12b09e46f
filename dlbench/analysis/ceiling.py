"""The most arithmetic a machine was seen to do, and what share of it a case does.

Data sheets promise peaks that no program reaches; a matrix product that ran in the same session is a
ceiling that can be reached, because it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlbench.analysis.rows import Row
from dlbench.core.stats import LEVEL
from dlbench.core.types import Absent, Estimated, Interval, Measured

MICRO = ("gemm", "conv2d")
"""The workloads whose arithmetic is a ceiling for all others."""

Key = tuple[str, str, str]
"""Machine, device and precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The fastest micro workload of a machine, device and precision, in FLOP/s."""

    machine: str
    device: str
    precision: str
    workload: str
    framework: str
    value: Measured


def _key(row: Row) -> Key:
    return row.machine, row.case.device, str(row.case.precision)


def find(rows: Sequence[Row]) -> dict[Key, Ceiling]:
    """The highest ceiling of each machine, device and precision."""
    found: dict[Key, Ceiling] = {}
    for row in rows:
        value = row.metrics["flops_per_s"]
        if row.case.workload not in MICRO or not isinstance(value, Measured):
            continue
        best = found.get(_key(row))
        if best is None or value.value > best.value.value:
            machine, device, precision = _key(row)
            found[_key(row)] = Ceiling(
                machine=machine,
                device=device,
                precision=precision,
                workload=row.case.workload,
                framework=row.case.framework,
                value=value,
            )
    return found


def share(row: Row, ceilings: Mapping[Key, Ceiling]) -> Estimated | Absent:
    """FLOP/s over the ceiling's, with the widest bounds that both intervals allow."""
    value = row.metrics["flops_per_s"]
    if isinstance(value, Absent):
        return value
    top = ceilings.get(_key(row))
    if top is None:
        return Absent(
            reason=f"no ceiling was measured on {row.case.device} in {row.case.precision}",
            remedy=f"dlbench run {MICRO[0]} --device {row.case.device}",
        )
    low, high = _bounds(value)
    top_low, top_high = _bounds(top.value)
    return Estimated(
        value=value.value / top.value.value,
        interval=Interval(low=low / top_high, high=high / top_low, level=LEVEL),
        method="the model's FLOPs over a micro workload's, both from the host clock",
        from_=(f"{top.workload} {top.framework}",),
    )


def _bounds(value: Measured | Estimated) -> tuple[float, float]:
    if value.interval is None:
        return value.value, value.value
    return value.interval.low, value.interval.high
