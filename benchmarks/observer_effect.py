"""What watching costs the watched: a case with ``--telemetry off`` and ``full``, in interleaved pairs.

    python benchmarks/observer_effect.py [--workload lstm_lm] [--pairs 16]

Each half of a pair is a session of its own with one trial of the case, in a fresh worker; which of the
two comes first is drawn by lot. The rule of ``dlbench ab`` judges two things at once, Holm's
correction included: the median time of a step, and the 95th percentile of steps. Ends with 1 if
watching is found to make either slower.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from dlbench import environment, paired, plan, session
from dlbench.core import stats
from dlbench.core.types import Absent, Mode, Scenario, Selection, TelemetryLevel

TAIL = 0.95
"""A trial of the quick profile has 400 single steps: enough for this percentile, not for the 99th."""


def main() -> None:
    """Take the pairs and print what may be said."""
    options = _options()
    lot = random.Random(options.seed)
    differences: dict[str, list[float]] = {"median of a step": [], "p95 of steps": []}
    for pair in range(options.pairs):
        levels = [TelemetryLevel.OFF, TelemetryLevel.FULL]
        lot.shuffle(levels)
        found = {level: _half(options, level, pair) for level in levels}
        for i, name in enumerate(differences):
            off_s, full_s = found[TelemetryLevel.OFF][i], found[TelemetryLevel.FULL][i]
            differences[name].append(math.log(off_s / full_s))
        shares = ", ".join(f"{n} {math.exp(d[-1]):.4f}" for n, d in differences.items())
        print(f"{pair + 1:>3}: speed with full over off: {shares}", flush=True)
    judged = paired.judge(differences, paired.looks_until(options.pairs), ended=True)
    for name, judgement in judged.items():
        print(f"{name}: {_sentence(judgement)}")
    if any(j.verdict == "slower" for j in judged.values()):
        raise SystemExit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="lstm_lm")
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--variant", default="tiny")
    parser.add_argument("--pairs", type=int, default=16, choices=paired.LOOKS)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _half(options: argparse.Namespace, level: TelemetryLevel, pair: int) -> tuple[float, float]:
    """One trial: seconds of a step, in the median and at the tail."""
    selection = Selection(
        workloads=(options.workload,),
        frameworks=(options.framework,),
        devices=(options.device,),
        modes=(Mode.INFERENCE,),
        scenarios=(Scenario.SINGLE_STREAM,),
        variant=options.variant,
        telemetry=level,
        seed=pair,
    )
    devices, absent = environment.find_devices()
    machine = plan.Machine(
        devices=devices, absent_devices=absent, threads=environment.usable_threads(None)
    )
    planned = plan.make_plan(selection, machine)
    planned = replace(planned, profile=replace(planned.profile, looks=(1,)))
    surroundings = environment.gather(devices, [options.framework])
    with tempfile.TemporaryDirectory(prefix="dlbench-observer-") as folder:
        settings = session.Settings(folder=Path(folder))
        run = session.run_plan(planned, surroundings, devices, settings).run
    (result,) = run.results
    if not result.measured:
        raise SystemExit(f"telemetry {level}: {result.outcome} {result.outcome.message}")
    queries_s = sorted(result.measured[0].queries_s)
    if not queries_s:
        raise SystemExit("single steps are too short for this clock: give another --workload")
    return statistics.median(queries_s), stats.percentile(queries_s, TAIL)


def _sentence(judgement: paired.Judgement) -> str:
    interval = judgement.interval
    bounds = (
        interval.reason
        if isinstance(interval, Absent)
        else f"[{interval.low:.4f}, {interval.high:.4f}]"
    )
    resolves = (
        ""
        if isinstance(judgement.resolves, Absent)
        else f"; {judgement.resolves:.1%} would be found"
    )
    return (
        f"{judgement.verdict}: {judgement.ratio:.4f} of the speed when watched {bounds}, "
        f"p = {judgement.p:.2g}, {judgement.n} pairs{resolves}"
    )


if __name__ == "__main__":
    main()
