"""What a call costs in each framework at the least, and what of it is dlbench's.

    python benchmarks/null_workload.py [--device cpu] [--processes 3]

Each process runs one real trial of the workload ``null`` (eight numbers times eight factors). Per
framework and scenario: the median time of a query, and the harness's own share of it, measured in the
same process as its loop around a step that does nothing, with the framework's real synchronisation. In
``single_stream`` each query is synchronised and timed on its own, and so bears the whole of it; in
``offline`` the queries of a value share it. Ends with 1 if the harness takes above 20 us anywhere.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import replace

from dlbench import environment, worker, workloads
from dlbench.core import registry
from dlbench.core.requests import TrialRequest
from dlbench.core.types import Absent, Case, Mode, Precision, Scenario
from dlbench.plan import PROFILES

WORKLOAD = "null"

MOST_S = 20e-6
"""A step: under 0.5 % of any model that takes 4 ms."""


def main() -> None:
    """A line a framework and scenario."""
    options = _options()
    if options.child:
        print(json.dumps(_trial(options)))
        return
    print(f"{'framework':<12} {'scenario':<14} {'a query':>10} {'harness':>9} {'share':>6}")
    worst_s = 0.0
    for name in _installed(options.device):
        for scenario in (Scenario.OFFLINE, Scenario.SINGLE_STREAM):
            found = [_in_a_process(options, name, scenario) for _ in range(options.processes)]
            query_s, harness_s = (statistics.median(one[i] for one in found) for i in range(2))
            worst_s = max(worst_s, harness_s)
            print(
                f"{name:<12} {scenario:<14} {query_s * 1e6:>7.2f} us {harness_s * 1e6:>6.2f} us "
                f"{harness_s / query_s:>6.1%}",
                flush=True,
            )
    print(f"the harness takes {worst_s * 1e6:.1f} us at most; {MOST_S * 1e6:.0f} are allowed")
    if worst_s > MOST_S:
        raise SystemExit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="a device id, such as nvidia:0")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _installed(device: str) -> list[str]:
    kind = device.partition(":")[0]
    probes = {name: registry.framework(name).probe() for name in registry.names("frameworks")}
    return [
        name
        for name, able in probes.items()
        if not isinstance(able, Absent) and name != "fake" and kind in able.precisions
    ]


def _in_a_process(options: argparse.Namespace, name: str, scenario: Scenario) -> list[float]:
    command = [sys.executable, "-W", "ignore", __file__, "--device", options.device]
    done = subprocess.run(
        [*command, "--child", name, scenario], check=True, capture_output=True, text=True
    )
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _trial(options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a query, and of the harness in it."""
    name, scenario = options.child
    devices, _ = environment.find_devices()
    folder = workloads.folders()[WORKLOAD]
    case = Case(
        workload=WORKLOAD,
        framework=name,
        device=options.device,
        precision=Precision.FP32,
        mode=Mode.INFERENCE,
        scenario=Scenario(scenario),
        batch_size=1,
    )
    trial = worker.run_trial(
        TrialRequest(
            case=case,
            device=next(d for d in devices if d.id == options.device),
            profile=replace(PROFILES["quick"], min_warm_up_s=0.5, min_steady_s=0.5),
            workload_folder=str(folder),
            threads=environment.usable_threads(None),
            seed=0,
            round=0,
            role="measure",
            position=0,
            parent_pid=0,
            content_hash=workloads.read(folder).content_hash,
        ),
        lambda _: None,
    )
    if not trial.outcome.ok:
        raise SystemExit(f"{name}: {trial.outcome} {trial.outcome.message}")
    harness_s = trial.subject["harness_overhead_s_per_step"]
    if not isinstance(harness_s, float):
        raise SystemExit(f"{name}: the trial does not say what the harness cost")
    return statistics.median(v.duration_s / v.n_samples for v in trial.values), harness_s


if __name__ == "__main__":
    main()
