"""What dlbench costs: its throughput over a hand-written PyTorch loop around the same model.

    python benchmarks/overhead.py [--mode training] [--batch-size 4] [--processes 8]

Each process builds dlbench's subject and a plain loop with the same weights and settings, and takes
values of both in turn, in seeded random order, so that whatever the machine does hits both. Which one
is built first alternates: of two identical models in one process the first was 2-4 % slower, by
where it lies in memory. One ratio a process; the interval is over processes. A ratio of 0.99 means
that dlbench reads 1 % less throughput than the plain loop.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlbench import environment, workloads
from dlbench.core import registry, stats
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Case, Mode, Precision, Scenario
from dlbench.measure import sampler
from dlbench.plan import PROFILES

VALUES = 12
WARM_UP_STEPS = 3


def main() -> None:
    """Run the processes and print the ratio with its interval."""
    options = _options()
    if options.child is not None:
        print(json.dumps(_one_process(options, seed=options.child)))
        return
    plain_s, ours_s = [], []
    for seed in range(options.processes):
        command = [sys.executable, __file__, *sys.argv[1:], "--child", str(seed)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        pair = json.loads(output.splitlines()[-1])
        plain_s.append(pair["plain_s"])
        ours_s.append(pair["ours_s"])
        print(
            f"{seed + 1:>3}: plain {pair['plain_s']:.4f} s a step, dlbench {pair['ours_s']:.4f} s, "
            f"ratio {pair['plain_s'] / pair['ours_s']:.4f}, "
            f"null step {pair['null_s'] * 1e6:.2f} us",
            flush=True,
        )
    found = stats.paired_ratio(plain_s, ours_s)
    bounds = found.interval
    interval = f" [{bounds.low:.4f}, {bounds.high:.4f}]" if bounds else ""
    print(
        f"{options.workload} {options.mode} batch {options.batch_size}: dlbench's throughput over "
        f"the hand-written loop's: {found.ratio:.4f}{interval}, {found.n} processes"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="resnet50")
    parser.add_argument("--mode", default="inference", choices=[m.value for m in Mode])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _one_process(options: argparse.Namespace, seed: int) -> dict[str, float]:
    case = Case(
        workload=options.workload,
        framework="pytorch",
        device="cpu",
        precision=Precision.FP32,
        mode=Mode(options.mode),
        scenario=Scenario.OFFLINE if options.mode == "inference" else None,
        batch_size=options.batch_size,
    )
    workload = workloads.read(workloads.folders()[case.workload])
    model_file = workloads.load_model(workload.folder, "model_pytorch")
    spec = workload.spec("full")
    threads = environment.usable_threads(None)
    (device,), _ = environment.find_devices()
    request = SubjectRequest(
        case=case,
        device=device,
        spec=spec,
        load_model=lambda: model_file,
        threads=threads,
        seed=0,
        scratch=Path(tempfile.gettempdir()),
    )
    adapter = registry.framework("pytorch")
    twin = adapter.open_subject(request)
    if seed % 2:
        plain = _plain_loop(model_file, twin, spec, case)
        subject = adapter.open_subject(request)
    else:
        subject = adapter.open_subject(request)
        plain = _plain_loop(model_file, twin, spec, case)
    twin.close()
    ours = sampler.Stepper(subject=subject, case=case, profile=PROFILES["quick"])

    def value_of_ours() -> float:
        return ours.value().duration_s

    def value_of_plain() -> float:
        start = time.monotonic()
        plain()
        return time.monotonic() - start

    for _ in range(WARM_UP_STEPS):
        value_of_ours()
        value_of_plain()
    order = random.Random(seed)
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(VALUES):
        both: list[tuple[str, Callable[[], float]]] = [
            ("ours", value_of_ours),
            ("plain", value_of_plain),
        ]
        order.shuffle(both)
        for name, take in both:
            taken[name].append(take())
    return {
        "ours_s": statistics.median(taken["ours"]),
        "plain_s": statistics.median(taken["plain"]),
        "null_s": sampler.harness_overhead_s(
            subject, case, PROFILES["quick"], ours.steps_per_value
        ),
    }


def _plain_loop(model_file: Any, twin: Any, spec: Any, case: Case) -> Callable[[], None]:
    """What anybody would write: the same model, weights, inputs and SGD, in a plain loop."""
    import torch

    model = model_file.build(spec)
    model.load_state_dict(twin.model.state_dict())
    inputs = [x.clone() for (x,) in twin.inputs]
    targets = [y.clone() for (y,) in twin.targets]
    counter = iter(range(10**9))
    if case.mode is Mode.INFERENCE:
        model.eval()

        def infer() -> None:
            with torch.inference_mode():
                model(inputs[next(counter) % len(inputs)])

        return infer
    model.train()
    settings = spec["optimizer"]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        trained, lr=settings["learning_rate"], momentum=settings["momentum"]
    )

    def train() -> None:
        i = next(counter) % len(inputs)
        optimizer.zero_grad(set_to_none=True)
        model_file.loss(model(inputs[i]), targets[i]).backward()
        if "clip_norm" in settings:
            torch.nn.utils.clip_grad_norm_(trained, settings["clip_norm"])
        optimizer.step()

    return train


if __name__ == "__main__":
    main()
