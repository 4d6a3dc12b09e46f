"""``make gpu``: does dlbench tell the truth on this NVIDIA card? Writes a document and a short report.

It needs a card, its driver, torch with CUDA and dlbench's own packages; no registry and no pytest. It
ends with 0 if every check passed, 4 if one failed or could not be applied, 6 if there is nothing to
accept here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlbench.core.types import Check, DeviceInfo, Run
    from tests.gpu.probes import Load

EXIT_INCOMPLETE = 4
EXIT_MISSING = 6
"""As dlbench's own: some checks failed; the environment is missing."""

NEEDED = ("msgspec", "numpy", "psutil", "pynvml", "rich", "typer", "torch")
"""Modules without which nothing can be accepted; of these only torch is no dependency of dlbench."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
POLICIES = ("base", "tuned")
WORKLOAD = "resnet50"
LEAST_TRAINING_MIB = 20.0
"""Of one sample of WORKLOAD in fp32, whose activations alone are several times that."""


def runs_of(memory_mib: float) -> dict[str, tuple[str, ...]]:
    """The product's own runs on a card of that size, whose documents are then judged."""
    too_large = str(int(memory_mib / LEAST_TRAINING_MIB))
    matrix = ("--precision", ",".join(PRECISIONS), "--policy", ",".join(POLICIES))
    training = ("--mode", "training")
    return {
        "energy": (*training, "--profile", "standard"),
        # The gate and the clocks are asked of each case, not how precise it is; and none is cut off.
        "protocol": (*matrix, "--profile", "quick", "--telemetry", "off", "--time-budget", "2h"),
        "out_of_memory": (*training, "--batch-size", too_large, "--profile", "quick"),
        "batch_search": (*training, "--batch-size", "auto", "--profile", "quick"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Accept this machine's first NVIDIA card; the exit code."""
    options = _options(arguments)
    missing = _missing()
    if missing:
        return _nothing(missing)
    from dlbench.core.types import Absent

    # Kept before the load narrows it to one card: the product's runs find their card themselves.
    surroundings = dict(os.environ)
    found = _card()
    if isinstance(found, str):
        return _nothing(found)
    device, load = found
    if isinstance(device.memory_mib, Absent):
        return _nothing(f"{device.name} does not tell its memory: {device.memory_mib.reason}")
    product = Product(
        device=device.id,
        folder=options.out,
        surroundings=surroundings,
        runs=runs_of(device.memory_mib),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    checks = []
    for check in _all(device, load, product, options.soak_s):
        checks.append(check)
        _say(f"{WORDS[check.passed]:<12} {check.rule:<28} {check.detail}")
    _write(options.out, device, checks)
    complete = all(check.passed for check in checks)
    return 0 if complete else EXIT_INCOMPLETE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/gpu-acceptance"))
    parser.add_argument("--soak-s", type=float, default=600.0, help="length of the soak")
    return parser.parse_args(arguments)


WORDS = {True: "passed", False: "FAILED", None: "not applied"}


def _say(text: str) -> None:
    print(text, flush=True)


def _nothing(why: str) -> int:
    print(f"gpu acceptance: nothing was accepted: {why}", file=sys.stderr)
    return EXIT_MISSING


def _missing() -> str:
    """Which packages this Python lacks, in a sentence; nothing if none."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    return f"{sys.executable} lacks {', '.join(absent)} (make gpu GPU_PYTHON=/path/to/python)"


def _card() -> tuple[DeviceInfo, Load] | str:
    """The first card and a load for it, or why there is none."""
    from dlbench.core.types import Absent
    from dlbench.devices import nvidia

    devices = nvidia.find()
    if isinstance(devices, Absent):
        return f"no NVIDIA card: {devices.reason}"
    # Before CUDA begins: the load works on the card whose sensors are read.
    os.environ.update(nvidia.child_environment(devices[0]))
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device, though NVML sees {devices[0].name}"
    from tests.gpu.torch_load import TorchLoad

    return devices[0], TorchLoad(torch)


def _all(device: DeviceInfo, load: Load, product: Product, soak_s: float) -> Iterator[Check]:
    """Every check in turn: the card's own first, then what the product says of it."""
    from tests.gpu import probes

    yield probes.same_device(device, load)
    yield probes.counter_period(device)
    yield probes.call_latency(device)
    yield probes.power_tail(device, load)
    yield probes.memory(device, load)
    yield from judged({name: product.run(name) for name in product.runs})
    yield probes.soak(device, load, soak_s)


def judged(runs: dict[str, Run | str]) -> Iterator[Check]:
    """What the product's documents are worth; a run without one fails its checks in its words."""
    from dlbench.core.types import Check
    from tests.gpu import checks

    for name, run in runs.items():
        if isinstance(run, str):
            yield Check(rule=f"run_{name}", passed=False, detail=run)
        elif name == "energy":
            trials = [t for r in run.results for t in r.measured]
            yield checks.counter_against_integral(trials)
            yield checks.energy_repeats(trials)
            yield checks.throttle_counters(trials)
        elif name == "protocol":
            yield from checks.protocol(run, [(p, q) for p in PRECISIONS for q in POLICIES])
        elif name == "out_of_memory":
            yield checks.out_of_memory(run)
        else:
            yield checks.batch_search(run.plan.searches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """``dlbench run`` on one card, as a user calls it; ``runs`` are its arguments by a name."""

    device: str
    folder: Path
    surroundings: Mapping[str, str]
    runs: Mapping[str, tuple[str, ...]]

    def run(self, name: str) -> Run | str:
        """The document of one run, or why there is none."""
        from dlbench.store import runs

        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        before = set(folder.glob("*.json"))
        asked = ["run", WORKLOAD, "-f", "pytorch", "-d", self.device, *self.runs[name]]
        _say(f"running      dlbench {' '.join(asked)}")
        done = subprocess.run(
            [sys.executable, "-m", "dlbench", *asked, "--out", str(folder), "--json"],
            capture_output=True,
            text=True,
            check=False,
            env={**self.surroundings, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
        )
        made = sorted(set(folder.glob("*.json")) - before)
        if not made:
            return f"exit {done.returncode}: {done.stderr.strip()[-300:]}"
        return runs.read_run(made[-1])


def _write(out: Path, device: DeviceInfo, checks: Sequence[Check]) -> None:
    """The document and the report, beside the runs' own documents."""
    from dlbench import environment

    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    here = environment.gather([device], ["pytorch"])
    document: dict[str, Any] = {
        "kind": "gpu acceptance",
        "created_utc": made,
        "environment": asdict(here),
        "checks": [asdict(check) for check in checks],
    }
    path = out / "acceptance.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "acceptance.md").write_text(report(device.name, made, checks), encoding="utf-8")
    _say(f"document     {path}")
    _say(f"report       {out / 'acceptance.md'}")


def report(name: str, made: str, checks: Sequence[Check]) -> str:
    """The acceptance as a page of Markdown."""
    counts = {word: sum(c.passed is p for c in checks) for p, word in WORDS.items()}
    rows = [
        f"| {c.rule} | {WORDS[c.passed]} | {c.detail.replace('|', '/').replace(chr(10), ' ')} |"
        for c in checks
    ]
    summary = ", ".join(f"{n} {word.lower()}" for word, n in counts.items())
    table = "| check | verdict | found |\n| --- | --- | --- |"
    head = f"# dlbench on {name}\n\n{made}: {summary}.\n\n{table}"
    return "\n".join([head, *rows]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
