"""Write the tables of workloads, frameworks and worked needs into the docs, from what they describe.

    python scripts/docs_tables.py [PAGE ...]

After a new fit of the coefficients, or a new document in results/: docs/worked-needs.md.
Each stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. A test fails when one is out of date.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

from dlbench import catalog, workloads
from dlbench.analysis import recommend as recommending
from dlbench.analysis.recommend import needs
from dlbench.core import registry, units
from dlbench.core.protocols import Capability, Framework
from dlbench.core.recommendation import Candidate, Recommendation
from dlbench.core.types import Absent, Metric, Mode, Policy
from dlbench.measure import gate
from dlbench.store import runs
from dlbench.workloads import Workload

ROOT = Path(__file__).parent.parent

PAGES = ("README.md", "docs/how-it-measures.md", "docs/workloads.md", "docs/worked-needs.md")

ANSWERED_ON = date(2026, 11, 26)
"""The day of the worked needs' answers: prices are as old as they were then."""

TEST_NAME = "fake"

DEVICE_NAMES = {"cpu": "CPU", "nvidia": "NVIDIA GPU"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def found() -> list[Workload]:
    """Every workload but the test's."""
    return [workloads.read(f) for name, f in workloads.folders().items() if name != TEST_NAME]


def counted(flops: float | Absent) -> float:
    """FLOPs of a shipped workload, which states them."""
    if isinstance(flops, Absent):
        raise TypeError(flops.reason)
    return flops


def short() -> str:
    """What is measured, a line a workload."""
    rows = []
    for workload in found():
        info = workload.info("full")
        size = (f"{info.parameters:,}", units.scaled(counted(info.flops), "FLOP"))
        rows.append((workload.name, workload.task, *size, ", ".join(workload.modes)))
    return table(("workload", "task", "parameters", "a sample", "modes"), rows)


def suites() -> str:
    """What a name of several workloads stands for."""
    rows = [(f"`{name}`", ", ".join(members)) for name, members in workloads.suites().items()]
    return table(("suite", "workloads"), rows)


def variants() -> str:
    """A line a variant, the tests' tiny ones left out."""
    rows = []
    for workload in found():
        for variant in workload.variants:
            if variant.startswith("tiny"):
                continue
            info = workload.info(variant)
            tokens = str(info.tokens_per_sample or "-")
            size = (f"{info.parameters:,}", units.scaled(counted(info.flops), "FLOP"), tokens)
            rows.append((f"{workload.name} {variant}", *size, *_batches(workload, variant)))
    modes = [f"batch, {mode}" for mode in Mode]
    return table(("workload and variant", "parameters", "a sample", "tokens", *modes), rows)


def _batches(workload: Workload, variant: str) -> Iterable[str]:
    sizes = workload.table["variants"][variant]["batch"]
    for mode in Mode:
        kinds = sizes.get(mode, {})
        yield ", ".join(f"{n} ({DEVICE_NAMES[k]})" for k, n in kinds.items()) or "-"


def sources() -> str:
    """What each stands for, where its sizes come from, and the data set of time-to-train."""
    rows = []
    for workload in found():
        data = workload.table["dataset"]
        stated = [data["name"]]
        if "samples" in data:
            stated.append(f"{data['samples']:,} samples")
        if "epochs" in data:
            stated.append(f"{data['epochs']} epochs")
        rows.append(
            (workload.name, workload.sample, workload.table["reference"], ", ".join(stated))
        )
    return table(("workload", "a sample", "reference", "data set"), rows)


def installed() -> Iterable[tuple[str, Framework, Capability]]:
    """Every framework but the test's, with what it can do; all must be installed."""
    for name in registry.names("frameworks"):
        if name == TEST_NAME:
            continue
        adapter = registry.framework(name)
        able = adapter.probe()
        if isinstance(able, Absent):
            raise SystemExit(f"{name}: {able.reason} ({able.remedy})")
        yield name, adapter, able


def frameworks() -> str:
    """What each is installed by, and the precisions that its adapter has on each kind of device.

    Of NVIDIA GPUs as its build for them has it, whatever build is here.
    """
    rows = []
    for name, adapter, able in installed():
        by_kind = (able.precisions["cpu"], getattr(adapter, "CUDA_PRECISIONS", ()))
        told = [", ".join(precisions) or "-" for precisions in by_kind]
        rows.append((name, f"`{adapter.INSTALL}`", *told))
    return table(("framework", "installed by", *DEVICE_NAMES.values()), rows)


def policies() -> str:
    """What each policy of each framework turns on."""
    rows = []
    for name, _, able in installed():
        texts = [
            able.policies.get(policy) or f"not offered: {able.reasons[policy]}" for policy in Policy
        ]
        rows.append((name, ", ".join(able.modes), *texts))
    return table(("framework", "runs", "`base`", "`tuned` adds"), rows)


def rules() -> str:
    """The gate's, in the order in which they are applied."""
    modes = {None: "both", Mode.TRAINING: "training", Mode.INFERENCE: "inference"}
    rows = ((f"`{name}`", modes[r.mode], r.holds, r.blind) for name, r in gate.RULES.items())
    return table(("rule", "mode", "holds when", "cannot see"), rows)


@functools.cache
def answers() -> tuple[Recommendation, ...]:
    """What each of docs/needs gets from the published documents and the shipped coefficients."""
    listed = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\((\w[\w-]*\.json)\)", listed)  # and none that somebody measured since
    documents = runs.load_runs([ROOT / "results" / name for name in names])
    shipped = catalog.shipped()
    predictor = recommending.predictor(documents, shipped)
    return tuple(
        recommending.recommend(
            needs.build(needs.read(path))[0], documents, shipped, predictor, today=ANSWERED_ON
        )
        for path in sorted((ROOT / "docs" / "needs").glob("*.toml"))
    )


def needs_answered() -> str:
    """A line a need: its pick, what that costs and takes, and the pick at half a price or time."""
    rows = []
    for answer in answers():
        name, pick = answer.need.name, answer.pick
        if pick is None:
            raise SystemExit(f"{name}: {answer.binding[0]}")
        halved = (_halved(answer, what) for what in HALVES)
        rows.append((name, pick.name, *_amounts(pick), pick.evidence, *halved))
    amounts = ("USD (nine of ten)", "hours (nine of ten)")
    return table(("need", "pick", *amounts, "evidence", *HALVES), rows)


HALVES = ("half the price of the nearest rival", "half the deadline")


def _halved(answer: Recommendation, what: str) -> str:
    """The pick then; ``-`` where there is no such rival, or no deadline."""
    found = {flip.change: flip.new_pick for flip in answer.flips}
    stays = answer.pick is not None and found.get(what) == answer.pick.name
    return "the pick stays" if stays else found.get(what, "-")


def _amounts(pick: Candidate) -> tuple[str, str]:
    """Cost and hours with their ranges; a service has a month's cost, and its p99 instead of hours."""
    cost = _with_ends(pick.cost_usd, 1)
    if isinstance(pick.latency_p99_s, Absent):
        return cost, _with_ends(pick.time_s, 1 / 3600)
    return f"{cost} a month", f"p99 {_with_ends(pick.latency_p99_s, 1e3)} ms"


def _with_ends(metric: Metric, scale: float) -> str:
    if isinstance(metric, Absent) or metric.interval is None:
        raise TypeError(f"{metric} has no range")
    ends = (metric.value, metric.interval.low, metric.interval.high)
    middle, low, high = (units.significant(x * scale) for x in ends)
    return middle if low == high else f"{middle} ({low} to {high})"


TABLES: dict[str, Callable[[], str]] = {
    "short": short,
    "variants": variants,
    "sources": sources,
    "suites": suites,
    "frameworks": frameworks,
    "policies": policies,
    "rules": rules,
    "needs": needs_answered,
}

MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The page with each table made anew."""
    return MARKED.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n\n{m[3]}", text)


def main() -> None:
    """Write the pages that are named, or all."""
    for page in sys.argv[1:] or PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(page)


if __name__ == "__main__":
    main()
