"""The parity table: how far each framework is from PyTorch in fp32, with the same weights and inputs.

    python benchmarks/parity_table.py [WORKLOAD ...] > table.md

Every workload's tiny variant. Outputs: largest deviation over the spread of the outputs. Losses:
largest relative difference over the first two training losses. A cell is the larger of both; ``-`` is a
cell that does not exist, ``failed`` one that should. Tests hold fp32 to 1e-4 and bf16 to 1e-1.
"""

from __future__ import annotations

import sys

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Precision
from tests import subjects
from tests.frameworks import test_parity as parity

PRECISIONS = (Precision.FP32, Precision.BF16)


def main() -> None:
    """Print one table a precision."""
    frameworks = subjects.installed()
    versions = ", ".join(f"{name} {found.version}" for name, found in frameworks.items())
    print(f"Against pytorch in fp32, on the CPU: {versions}.\n")
    names = sys.argv[1:] or [name for name in workloads.folders() if name != "fake"]
    for precision in PRECISIONS:
        columns = [
            f
            for f in frameworks
            if precision in frameworks[f].precisions["cpu"]
            and (f, precision) != ("pytorch", "fp32")
        ]
        print(f"| {precision} | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
        for name in names:
            row = [_cell(name, framework, precision) for framework in columns]
            print(f"| {name} | {' | '.join(row)} |", flush=True)
        print()
    subjects.end_processes()


def _cell(name: str, framework: str, precision: Precision) -> str:
    workload = workloads.read(workloads.folders()[name])
    if registry.model_stem(framework, workload.model_files) is None:
        return "-"
    if precision not in workload.table["tolerance"]:
        return "-"
    try:
        wanted = parity.results("pytorch", name, "fp32")
        got = parity.results(framework, name, precision)
    except AssertionError:
        return "failed"
    largest = parity.deviation(got["outputs"], wanted["outputs"])
    for ours, theirs in zip(got.get("losses", [])[:2], wanted.get("losses", []), strict=False):
        largest = max(largest, abs(ours / theirs - 1))
    return f"{largest:.1e}"


if __name__ == "__main__":
    main()
