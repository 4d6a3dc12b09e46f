"""Which mode of ``torch.compile`` runs a workload fastest: all modes in turns, in one process.

    python benchmarks/compile_modes.py [--only resnet50,inference] [--device nvidia] [--processes 2]

A process builds ``tuned`` PyTorch once in each mode that dlbench takes for the case, in seeded random
order, and takes values of all in turns. One ratio a process: throughput in a mode over that in
``default``; the interval is over processes. A JSON line for each workload, mode of running and mode of
compiling (docs/decisions/0079).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlbench import environment, workloads
from dlbench.core import stats
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Case, Mode, Policy, Precision, Scenario
from dlbench.frameworks import pytorch
from dlbench.measure import sampler
from dlbench.plan import PROFILES

VALUES = 12
WARM_UP_STEPS, WARM_UP_S = 2, 2.0
"""Beside the first step, which compiles: at least so many, and so long."""


def main() -> None:
    """Run the processes of each workload and mode, and print their ratios."""
    options = _options()
    if options.child is not None:
        name, mode = options.only
        print(json.dumps(_one_process(_case(name, Mode(mode), options), options.child)))
        return
    suites = workloads.suites()
    for name in suites["full"]:
        for mode in Mode:
            if name not in suites["micro"] and set(options.only) <= {name, mode.value}:
                _compare(name, mode)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--device", default="cpu", choices=("cpu", "nvidia"))
    parser.add_argument("--precision", type=Precision, default=Precision.FP32)
    parser.add_argument("--batch-size", type=int, help="of all; else each workload's own")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _case(name: str, mode: Mode, options: argparse.Namespace) -> Case:
    workload = workloads.read(workloads.folders()[name])
    return Case(
        workload=name,
        framework="pytorch",
        device=options.device,
        precision=options.precision,
        mode=mode,
        scenario=Scenario.OFFLINE if mode is Mode.INFERENCE else None,
        policy=Policy.TUNED,
        batch_size=options.batch_size or workload.default_batch("full", mode, options.device),
    )


def _compare(name: str, mode: Mode) -> None:
    options = _options()
    if mode not in workloads.read(workloads.folders()[name]).modes:
        return
    found: list[dict[str, Any]] = []
    for seed in range(options.processes):
        command = [sys.executable, "-W", "ignore", __file__, "--only", f"{name},{mode}"]
        command += ["--device", options.device, "--precision", options.precision]
        if options.batch_size is not None:
            command += ["--batch-size", str(options.batch_size)]
        done = subprocess.run(
            [*command, "--child", str(seed)], check=False, capture_output=True, text=True
        )
        if done.returncode:
            print(f"{name} {mode}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return
        found.append(json.loads(done.stdout.splitlines()[-1]))
    default, *others = found[0]
    for other in others:
        before_s, after_s = (
            [process[side]["median_s"] for process in found] for side in (default, other)
        )
        ratio = stats.paired_ratio(before_s, after_s)
        line = {
            "workload": name,
            "mode": mode,
            "device": options.device,
            "precision": options.precision,
            "compile_mode": other,
            "ratio": round(ratio.ratio, 3),
            "ratios": [round(a / b, 3) for a, b in zip(before_s, after_s, strict=True)],
            "first_step_s": {
                side: round(max(process[side]["first_step_s"] for process in found), 1)
                for side in (default, other)
            },
            "median_s": {side: found[-1][side]["median_s"] for side in (default, other)},
        }
        print(json.dumps(line), flush=True)


def _one_process(case: Case, seed: int) -> dict[str, dict[str, float]]:
    """Median seconds of a value, and of the first step, in each mode of ``torch.compile``."""
    order = random.Random(seed)
    modes = pytorch.compile_modes(case)
    found: dict[str, dict[str, float]] = {}
    steppers: dict[str, sampler.Stepper] = {}
    for mode in order.sample(modes, k=len(modes)):
        steppers[mode] = _stepper(replace(case, options=(("compile_mode", mode),)))
        # The compiler's settings are the process's: each compiles before the next one is built.
        found[mode] = {"first_step_s": steppers[mode].value().duration_s}
    for stepper in steppers.values():
        end_s = time.monotonic() + WARM_UP_S
        for done in range(10**6):
            if done >= WARM_UP_STEPS and time.monotonic() > end_s:
                break
            stepper.value()
    taken: dict[str, list[float]] = {mode: [] for mode in modes}
    for _ in range(VALUES):
        for mode in order.sample(modes, k=len(modes)):
            taken[mode].append(steppers[mode].value().duration_s)
    return {mode: {"median_s": statistics.median(taken[mode]), **found[mode]} for mode in modes}


def _stepper(case: Case) -> sampler.Stepper:
    workload = workloads.read(workloads.folders()[case.workload])
    devices, _ = environment.find_devices()
    subject = pytorch.open_subject(
        SubjectRequest(
            case=case,
            device=next(device for device in devices if device.kind == case.device),
            spec=workload.spec(case.variant),
            load_model=lambda: workloads.load_model(workload.folder, pytorch.MODEL_FILES[-1]),
            threads=environment.usable_threads(None),
            seed=0,
            scratch=Path(tempfile.gettempdir()),
        )
    )
    return sampler.Stepper(subject=subject, case=case, profile=PROFILES["quick"])


if __name__ == "__main__":
    main()
