"""What a step waits for, by what happens to its time when data come from further away.

The same case with resident inputs, with inputs copied from the host, and with inputs decoded from
files: what the second costs over the first is the copy, what the third costs over the second the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dlbench.analysis import compare
from dlbench.analysis.compare import Comparison
from dlbench.core.types import Case, DataMode, Run

Name = Literal["data", "host-to-device", "compute", "cannot tell"]

FLIPPED = {"faster": "slower", "slower": "faster"}

COSTS = {
    "data": "reading, decoding and augmenting",
    "host-to-device": "the copy of inputs to the device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """What bounds a case; ``share`` is the part of each step's time that would go if it were free."""

    case: Case
    name: Name
    share: float | None

    @property
    def sentence(self) -> str:
        """In words; a run may have its case in several precisions and policies."""
        what = self.case.label
        if self.name == "compute":
            return f"{what}: bound by compute; inputs arrive in time"
        if self.name == "cannot tell":
            return f"{what}: cannot tell what bounds it"
        return (
            f"{what}: bound by {self.name}; {COSTS[self.name]} cost {self.share:.0%} of each step"
        )


def plain(found: Bottleneck) -> dict[str, Any]:
    """As ``--json`` prints it: the case, what bounds it, and both in words."""
    return {**asdict(found), "sentence": found.sentence}


def find(run: Run) -> tuple[Bottleneck, ...]:
    """The bottleneck of each case that was measured with resident inputs and with others."""
    pairs = [c for c in compare.within(run) if c.varied == "data_mode"]
    tasks = dict.fromkeys(replace(c.a, data_mode=DataMode.SYNTHETIC) for c in pairs)
    return tuple(_of(task, pairs) for task in tasks if _nearest(task, pairs))


def _nearest(task: Case, pairs: Sequence[Comparison]) -> bool:
    """Whether the resident case is among them, without which there is nothing to hold against."""
    return any(task in (c.a, c.b) for c in pairs)


def _of(task: Case, pairs: Sequence[Comparison]) -> Bottleneck:
    host, pipeline = (replace(task, data_mode=mode) for mode in (DataMode.HOST, DataMode.PIPELINE))
    steps: tuple[tuple[Name, Case, Case], ...] = (
        ("data", pipeline, host),
        ("host-to-device", host, task),
    )
    unsure = False
    for name, far, near in steps:
        found = _against(far, near, pairs)
        # Without the copy's own case, what a pipeline costs over resident inputs is mostly the data.
        found = found or (_against(far, task, pairs) if far == pipeline else None)
        if found is None:
            continue
        verdict, ratio = found
        if verdict == "slower":
            return Bottleneck(case=task, name=name, share=1 - ratio)
        unsure = unsure or verdict == "cannot tell"
    return Bottleneck(case=task, name="cannot tell" if unsure else "compute", share=None)


def _against(far: Case, near: Case, pairs: Sequence[Comparison]) -> tuple[str, float] | None:
    """Verdict on ``far`` against ``near``, and its throughput over the other's."""
    for c in pairs:
        if (c.a, c.b) == (near, far):
            return c.verdict, c.estimate.ratio
        if (c.a, c.b) == (far, near):
            return FLIPPED.get(c.verdict, c.verdict), 1 / c.estimate.ratio
    return None
