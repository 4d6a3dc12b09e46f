"""How often does ``dlbench ab`` tell identical things apart, live, on this machine?

    python benchmarks/live_aa.py 40                       a small NumPy program, whole processes
    python benchmarks/live_aa.py 10 --workload lstm_lm    trials of a workload's tiny variant

Each run compares a thing with itself until the rule has decided or all pairs are done. ``faster`` and
``slower`` are false alarms; at 5 % nominal, 40 runs may show up to 4 (with 95 % confidence). Ends with
exit code 1 where there are more than that.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scipy import stats as scipy_stats

from dlbench import arms, environment, paired, session
from dlbench.analysis import contests
from dlbench.core.stats import EQUIVALENCE_ZONE
from dlbench.core.types import Absent, Mode, Selection
from dlbench.paired import Judgement
from dlbench.plan import Machine
from dlbench.session import commands

PROGRAM = """
import numpy
rng = numpy.random.default_rng(0)
x = rng.standard_normal((192, 192))
for _ in range(120):
    x = numpy.tanh(x @ x / 192)
"""
"""About a tenth of a second of arithmetic, beside the start of Python and NumPy."""

CONFIDENCE = 0.95

SHORT_S = 0.3
"""Warm-up and steady part of a workload's trial here: the start of the process is most of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One A/A comparison."""

    verdict: str
    n: int
    ratio: float
    resolves: float | None
    span_s: float


def main() -> None:
    """Run, count, and compare the count with what chance allows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("runs", type=int)
    parser.add_argument("--workload", help="instead of the small program")
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--pairs", type=int, default=paired.LOOKS[-1])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: list[Outcome] = []
    for i in range(options.runs):
        began_s = time.monotonic()
        said = _one(options, options.seed + i)
        resolves = None if isinstance(said.resolves, Absent) else said.resolves
        found.append(
            Outcome(
                verdict=said.verdict,
                n=said.n,
                ratio=said.ratio,
                resolves=resolves,
                span_s=time.monotonic() - began_s,
            )
        )
        last = found[-1]
        shown = "?" if resolves is None else f"{resolves:.1%}"
        print(
            f"{i + 1:>3}: {last.verdict:<11} ratio {last.ratio:.4f}, {last.n} pairs, "
            f"resolves {shown}, {last.span_s:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    _close(found, as_json=options.json)


def _one(options: argparse.Namespace, seed: int) -> Judgement:
    if options.workload:
        return _workload(options.workload, options.framework, options.pairs, seed)
    program = f'{sys.executable} -c "{PROGRAM}"'
    asked = commands.request(
        (program, program),
        most_pairs=options.pairs,
        zone=EQUIVALENCE_ZONE,
        budget_s=None,
        timeout_s=60.0,
        seed=seed,
    )
    return commands.run(asked).judgement


def _workload(name: str, framework: str, pairs: int, seed: int) -> Judgement:
    devices, absent = environment.find_devices()
    machine = Machine(
        devices=devices, absent_devices=absent, threads=environment.usable_threads(None)
    )
    common = Selection(
        workloads=(name,),
        frameworks=(framework,),
        devices=("cpu",),
        modes=(Mode.INFERENCE,),
        variant="tiny",
        seed=seed,
    )
    a, b = arms.parse("name=A"), arms.parse("name=B")
    plan = arms.make_pairs(a, b, common, machine, most_pairs=pairs)
    short = replace(plan.profile, min_warm_up_s=SHORT_S, min_steady_s=SHORT_S, max_values=10)
    plan = replace(plan, profile=short)
    with tempfile.TemporaryDirectory(prefix="dlbench-live-aa-") as folder:
        used = [d for d in devices if d.id == "cpu"]
        surroundings = environment.gather(used, [framework])
        settings = session.Settings(folder=Path(folder))
        finished = session.run_plan(plan, surroundings, devices, settings)
    if finished.interrupted:
        sys.exit(130)
    (contest,) = contests.contests(finished.run)
    if contest.refusal:
        sys.exit(f"no verdict: {contest.refusal}")
    return contest.judgement


def _close(found: list[Outcome], *, as_json: bool) -> None:
    counts = Counter(outcome.verdict for outcome in found)
    alarms = counts["faster"] + counts["slower"]
    allowed = int(scipy_stats.binom.ppf(CONFIDENCE, len(found), paired.ALPHA))
    words = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    if as_json:
        print(json.dumps({"alarms": alarms, "runs": [asdict(o) for o in found]}, indent=1))
    else:
        print(
            f"{len(found)} comparisons of identical things: {words}; {alarms} false alarms, "
            f"up to {allowed} are expected at {paired.ALPHA:.0%}"
        )
    sys.exit(1 if alarms > allowed else 0)


if __name__ == "__main__":
    main()
