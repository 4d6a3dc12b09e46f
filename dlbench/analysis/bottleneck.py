"""What a step waits for, by what happens to its time when data come from further away.

The same case with resident inputs, with inputs copied from the host, and with inputs decoded from
files: what the second costs over the first is the copy, what the third costs over the second the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dlbench.analysis import compare
from dlbench.analysis.compare import Comparison
from dlbench.core.stats import Verdict
from dlbench.core.types import Case, DataMode, Run

Name = Literal["data", "host-to-device", "compute", "cannot tell"]

FLIPPED: dict[Verdict, Verdict] = {"faster": "slower", "slower": "faster"}

COSTS = {
    "data": "reading, decoding and augmenting",
    "host-to-device": "the copy of inputs to the device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """What bounds a case; ``share`` is the part of each step's time that would go if it were free.

    ``files`` says whether it was measured with inputs decoded from files, and not copied alone.
    """

    case: Case
    name: Name
    share: float | None
    files: bool

    @property
    def sentence(self) -> str:
        """In words; a run may have its case in several precisions and policies."""
        what = self.case.label
        if self.name == "compute" and not self.files:
            return (
                f"{what}: bound by compute; inputs copied from the host arrive in time, those decoded "
                "from files were not measured"
            )
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
    pairs = {(c.a, c.b): c for c in compare.within(run) if c.varied == "data_mode"}
    tasks = dict.fromkeys(replace(a, data_mode=DataMode.SYNTHETIC) for a, _ in pairs)
    # Without the resident case there is nothing to hold against.
    compared = {case for pair in pairs for case in pair}
    return tuple(_of(task, pairs) for task in tasks if task in compared)


Pairs = Mapping[tuple[Case, Case], Comparison]
"""Each comparison by its A and B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """What one way of feeding costs over another: a share of its step, and the most that it may be."""

    verdict: Verdict
    share: float
    most: float


def _of(task: Case, pairs: Pairs) -> Bottleneck:
    """The step that costs most of the time; none where one that is not clear may cost more."""
    host, pipeline = (replace(task, data_mode=mode) for mode in (DataMode.HOST, DataMode.PIPELINE))
    found: dict[Name, _Cost | None] = {
        # Without the copy's own case, what a pipeline costs over resident inputs is mostly the data.
        "data": _cost(pipeline, host, pairs) or _cost(pipeline, task, pairs),
        "host-to-device": _cost(host, task, pairs),
    }
    known = {n: c for n, c in found.items() if c and c.verdict in ("slower", "cannot tell")}
    files = found["data"] is not None
    if not known:
        return Bottleneck(case=task, name="compute", share=None, files=files)
    costs: dict[Name, float] = {}
    left = 1.0  # of the longest step, which holds the others
    for name, cost in known.items():
        share = cost.share if cost.verdict == "slower" else cost.most
        costs[name] = left * share
        left -= costs[name]
    largest = max(costs, key=lambda name: costs[name])
    if known[largest].verdict != "slower":
        return Bottleneck(case=task, name="cannot tell", share=None, files=files)
    return Bottleneck(case=task, name=largest, share=known[largest].share, files=files)


def _cost(far: Case, near: Case, pairs: Pairs) -> _Cost | None:
    """Of ``far`` over ``near``; None where they were not compared."""
    if c := pairs.get((near, far)):
        ratio, bounds = c.estimate.ratio, c.estimate.interval
        return _Cost(verdict=c.verdict, share=1 - ratio, most=1 - bounds.low if bounds else 1.0)
    if c := pairs.get((far, near)):
        ratio, bounds = c.estimate.ratio, c.estimate.interval
        return _Cost(
            verdict=FLIPPED.get(c.verdict, c.verdict),
            share=1 - 1 / ratio,
            most=1 - 1 / bounds.high if bounds else 1.0,
        )
    return None
