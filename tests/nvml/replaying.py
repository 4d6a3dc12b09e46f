"""Ask a device adapter in a fresh process, with the replay library in the driver's place.

A fresh process each time, since the binding keeps its library and NVML its state for as long as the
process lives. The real nvidia-ml-py does the reading.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "replay.c"

SONAME = "libnvidia-ml.so.1"
"""The name under which the binding looks for the driver's library."""

A100 = (
    "gpu name NVIDIA_A100-SXM4-80GB uuid GPU-aaaa0000 memory_mib 81920 used_mib 1024 power_mw 250000 "
    "base_mj 7000 major 8 minor 0 cores 6912 sm_mhz 1410 mem_mhz 1593 limit_mw 400000 "
    "default_mw 400000 mig 0 ecc 1 persistence 1 reasons 0 celsius 41 utilisation 97 virtual 0 pcie 4"
)
H100 = (
    "gpu name NVIDIA_H100_80GB_HBM3 uuid GPU-bbbb1111 memory_mib 81559 used_mib 0 power_mw 600000 "
    "base_mj 0 major 9 minor 0 cores 16896 sm_mhz 1980 mem_mhz 2619 mig 0"
)

PID = 4711
"""The process whose memory is asked for."""

PROGRAM = (
    f"PID = {PID}"
    """
import json, sys
from dataclasses import asdict
from dlbench.core import registry
from dlbench.core.types import Absent

kind, n_reads = sys.argv[1], int(sys.argv[2])
adapter = registry.device_kind(kind)
found = adapter.find()
answer = {"absent": asdict(found), "devices": []} if isinstance(found, Absent) else {
    "absent": None, "devices": [asdict(device) for device in found]}
devices = () if isinstance(found, Absent) else found
meters = {device.id: adapter.meters(device) for device in devices}
answer["reads"] = {
    name: [[asdict(r) for meter in opened for r in meter.read()] for _ in range(n_reads)]
    for name, opened in meters.items()
}
answer["environments"] = {d.id: dict(adapter.child_environment(d)) for d in devices}
if kind == "nvidia":
    asked = {d.id: adapter.processes(d) for d in devices}
    answer["processes"] = {
        name: asdict(p) if isinstance(p, Absent) else [asdict(one) for one in p]
        for name, p in asked.items()
    }
asked = {d.id: adapter.occupants(d) for d in devices}
answer["occupants"] = {n: asdict(x) if isinstance(x, Absent) else x for n, x in asked.items()}
asked = {d.id: adapter.memory_held_mib(d, PID) for d in devices}
answer["held_mib"] = {n: asdict(x) if isinstance(x, Absent) else x for n, x in asked.items()}
json.dump(answer, sys.stdout)
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an adapter said, as plain data; an Absent is a dictionary with ``reason``."""

    absent: dict[str, str] | None
    devices: list[dict[str, Any]]
    reads: dict[str, list[list[dict[str, Any]]]]
    environments: dict[str, dict[str, str]]
    processes: dict[str, Any]
    held_mib: dict[str, Any]
    occupants: dict[str, Any]

    def values(self, device_id: str, quantity: str) -> list[Any]:
        """What was read of one quantity, read by read."""
        return [
            reading["value"]
            for read in self.reads[device_id]
            for reading in read
            if reading["quantity"] == quantity
        ]


def build(folder: Path) -> Path:
    """Compile the library into a folder, or skip the test where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to build the replay library with")
    library = folder / SONAME
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run(
        [compiler, *flags, f"-Wl,-soname,{SONAME}", "-o", str(library), str(SOURCE), "-lm"],
        check=True,
    )
    return library


def ask(
    kind: str, scenario: str, folder: Path, *, n_reads: int = 1, **variables: str | Path
) -> Answer:
    """Run an adapter's find and meters in a process of its own.

    Args:
        kind: the adapter's name.
        scenario: statements of replay.c.
        folder: where the scenario may be written.
        n_reads: how often each meter is read.
        variables: environment variables of the process.
    """
    path = folder / "scenario.txt"
    path.write_text(scenario)
    answer = run(PROGRAM, kind, str(n_reads), DLBENCH_NVML_REPLAY=path, **variables)
    return Answer(**{"processes": {}, **answer})


def run(program: str, *arguments: str, **variables: str | Path) -> dict[str, Any]:
    """What a program prints as JSON in a process of its own, with these environment variables."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **{name: str(value) for name, value in variables.items()},
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
