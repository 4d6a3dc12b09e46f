"""``make gpu``: does dlbench tell the truth on this NVIDIA card? Writes a document and a short report.

It needs a card, its driver, torch with CUDA and a few of dlbench's packages; no registry and no
pytest. It ends with 0 if every check of every part passed, 4 if one failed, could not be applied or is
still to run, 6 if there is nothing to accept here.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlbench.core.types import Check, DeviceInfo, Environment, Run
    from tests.gpu.probes import Load

EXIT_NOTHING_RAN = 3
EXIT_INCOMPLETE = 4
EXIT_MISSING = 6
"""As dlbench's own: nothing ran; some checks failed; the environment is missing."""

NEEDED = ("msgspec", "numpy", "psutil", "pynvml", "rich", "typer", "torch")
"""Modules without which nothing can be accepted; of these only torch is no dependency of dlbench."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
POLICIES = ("base", "tuned")
LEAST_TRAINING_MIB = 40.0
"""Of one sample of resnet50 in fp32, whose activations alone are twice that."""

CARD, PARITY, SOAK = "card", "parity", "soak"
PROTOCOL = "protocol_"
RUNS = ("energy", *(PROTOCOL + p for p in PRECISIONS), "out_of_memory", "batch_search")
PARTS = (*RUNS, PARITY, CARD, SOAK)
"""In this order: while the product runs, this process computes nothing on the card, and holds none."""


def runs_of(memory_mib: float) -> dict[str, tuple[str, ...]]:
    """The product's own runs on a card of that size, whose documents are then judged."""
    too_large = str(int(memory_mib / LEAST_TRAINING_MIB))
    training = ("--mode", "training")
    # The gate and the clocks are asked of each case, not how precise it is; the first trials suffice.
    protocol = ("--policy", ",".join(POLICIES), "--profile", "quick", "--telemetry", "off")
    return {
        "energy": (*training, "--profile", "standard", "--time-budget", "6m"),
        **{PROTOCOL + p: ("--precision", p, *protocol, "--time-budget", "6m") for p in PRECISIONS},
        "out_of_memory": (*training, "--batch-size", too_large, "--profile", "quick"),
        "batch_search": (*training, "--batch-size", "auto", "--profile", "quick"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Accept this machine's first NVIDIA card; the exit code."""
    options = _options(arguments)
    missing = _missing()
    if missing:
        return _nothing(missing)
    from dlbench import environment
    from dlbench.core.types import Absent

    # Kept before the load narrows it to one card: the product's runs find their card themselves.
    surroundings = dict(os.environ)
    found = _card()
    if isinstance(found, str):
        return _nothing(found)
    device, make_load = found
    if isinstance(device.memory_mib, Absent):
        return _nothing(f"{device.name} does not tell its memory: {device.memory_mib.reason}")
    product = Product(
        device=device.id,
        workload=options.workload,
        framework=options.framework,
        folder=options.out,
        surroundings=surroundings,
        runs=runs_of(device.memory_mib),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    book = Book(
        folder=options.out,
        device=device.name,
        environment=environment.gather([device], [options.framework]),
    )
    book.take_up()
    for part in (p for p in PARTS if p in options.only):
        book.begin(part)
        for check in _of_part(part, device, make_load, product, options):
            book.add(part, check)
    book.close()
    return 0 if book.complete else EXIT_INCOMPLETE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/gpu-acceptance"))
    parser.add_argument("--soak-s", type=float, default=600.0, help="length of the soak")
    parser.add_argument("--parity-s", type=float, default=900.0, help="its cells' time at most")
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"of {','.join(PARTS)}")
    parser.add_argument("--workload", default="resnet50", help="what the product's runs measure")
    parser.add_argument("--framework", default="pytorch", help="and by which framework")
    return parser.parse_args(arguments)


def _parts(text: str) -> tuple[str, ...]:
    asked = tuple(text.split(","))
    unknown = set(asked) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no part {', '.join(sorted(unknown))}")
    return asked


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


def _card() -> tuple[DeviceInfo, Callable[[], Load]] | str:
    """The first card and how to make a load for it, or why there is none."""
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

    def make_load() -> Load:
        from tests.gpu.torch_load import TorchLoad

        return TorchLoad(torch)

    return devices[0], make_load


def _of_part(
    part: str,
    device: DeviceInfo,
    make_load: Callable[[], Load],
    product: Product,
    options: argparse.Namespace,
) -> Iterator[Check]:
    """The checks of one part."""
    from dlbench.core.types import Run
    from tests.gpu import probes
    from tests.subjects import installed

    if part == CARD:
        load = make_load()
        yield probes.same_device(device, load)
        yield probes.counter_period(device)
        yield probes.call_latency(device)
        yield probes.power_tail(device, load)
        yield probes.memory(device, load)
    elif part == PARITY:
        from tests.gpu import parity

        here = [name for name in installed() if device.kind in installed()[name].precisions]
        yield from parity.compare(device, here, os.cpu_count() or 1, options.parity_s)
    elif part == SOAK:
        yield probes.soak(device, make_load(), options.soak_s)
    else:
        run = product.run(part)
        yield from judged(part, run) if isinstance(run, Run) else [run]


def judged(part: str, run: Run) -> Iterator[Check]:
    """What a document of the product is worth."""
    from tests.gpu import checks

    if part == "energy":
        trials = [t for r in run.results for t in r.measured]
        yield checks.counter_against_integral(trials)
        yield checks.energy_repeats(trials)
        yield checks.throttle_counters(trials)
    elif part.startswith(PROTOCOL):
        precision = part.removeprefix(PROTOCOL)
        yield from checks.protocol(run, [(precision, policy) for policy in POLICIES])
    elif part == "out_of_memory":
        yield checks.out_of_memory(run)
    else:
        yield checks.batch_search(run.plan.searches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """``dlbench run`` on one card, as a user calls it; ``runs`` are its arguments by a name.

    ``program`` is a dlbench that tests put in the place of the user's.
    """

    device: str
    workload: str
    framework: str
    folder: Path
    surroundings: Mapping[str, str]
    runs: Mapping[str, tuple[str, ...]]
    program: str = "dlbench"

    def run(self, name: str) -> Run | Check:
        """The document of one run; without one a check that failed in the product's words.

        Where nothing could run (this card has not that precision) it could not be applied.
        """
        from dlbench.core.types import Check
        from dlbench.store import runs

        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        before = set(folder.glob("*.json"))
        asked = ["run", self.workload, "-f", self.framework, "-d", self.device, *self.runs[name]]
        _say(f"running      dlbench {' '.join(asked)}")
        done = subprocess.run(
            [sys.executable, "-m", self.program, *asked, "--out", str(folder), "--json"],
            capture_output=True,
            text=True,
            check=False,
            env={**self.surroundings, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
        )
        made = sorted(set(folder.glob("*.json")) - before)
        if not made:
            detail = f"exit {done.returncode}: {done.stderr.strip()[-300:]}"
            passed = None if done.returncode == EXIT_NOTHING_RAN else False
            return Check(rule=f"run_{name}", passed=passed, detail=detail)
        return runs.read_run(made[-1])


@dataclass(slots=True, kw_only=True)
class Book:
    """What was found, by part: written after each, beside the runs' own documents."""

    folder: Path
    device: str
    environment: Environment
    found: dict[str, list[Check]] = field(default_factory=dict)

    @property
    def document(self) -> Path:
        """Where it lies."""
        return self.folder / "acceptance.json"

    @property
    def checks(self) -> list[Check]:
        """All of them; a part that has not run is one that could not be applied."""
        from dlbench.core.types import Check

        unrun = {
            part: [Check(rule=part, passed=None, detail=f"not run yet: --only {part}")]
            for part in PARTS
            if not self.found.get(part)
        }
        return [check for part in PARTS for check in (self.found | unrun)[part]]

    @property
    def complete(self) -> bool:
        """Whether every part has run and passed."""
        return all(check.passed for check in self.checks)

    def take_up(self) -> None:
        """Keep the parts that ran before, if it was here: same machine, same card, same software."""
        from dlbench.core.types import Check

        try:
            before = json.loads(self.document.read_text(encoding="utf-8"))
            same = before["environment"]["fingerprint"] == self.environment.fingerprint
            kept = [(c.pop("part"), Check(**c)) for c in before["checks"]] if same else []
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            _say(f"not kept     {self.document} cannot be read: {error}")
            return
        for part, check in kept:
            self.found.setdefault(part, []).append(check)

    def begin(self, part: str) -> None:
        """A part runs anew: what it found before does not count any more."""
        self.found[part] = []

    def add(self, part: str, check: Check) -> None:
        """One check, told and written at once: what ends this process takes no finding along."""
        self.found[part].append(check)
        _say(f"{WORDS[check.passed]:<12} {check.rule:<28} {check.detail}")
        self._write()

    def close(self) -> None:
        """Say where it lies."""
        self._write()
        _say(f"document     {self.document}")
        _say(f"report       {self.folder / 'acceptance.md'}")

    def _write(self) -> None:
        made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        document: dict[str, Any] = {
            "kind": "gpu acceptance",
            "created_utc": made,
            "environment": asdict(self.environment),
            "checks": [
                {"part": part, **asdict(check)}
                for part, checks in self.found.items()
                for check in checks
            ],
        }
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        self.document.write_text(text, encoding="utf-8")
        page = report(self.device, made, self.checks)
        (self.folder / "acceptance.md").write_text(page, encoding="utf-8")


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
