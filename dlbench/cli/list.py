"""``dlbench list``: workloads and the frameworks that run them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dlbench.core.protocols import Capability
from dlbench.core.types import Absent, WorkloadInfo


def list_workloads(
    workloads_folder: Annotated[
        Path | None, typer.Option("--workloads", help="A folder of your own workloads.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List workloads, the frameworks that have a model of each, and the suites.

    A cell says yes (installed), no (a model, but the framework is not installed) or - (no model).
    """
    from dlbench import workloads
    from dlbench.cli import show
    from dlbench.core import metrics, registry, units

    found = [workloads.read(folder) for folder in workloads.folders(workloads_folder).values()]
    frameworks = registry.names("frameworks")
    probes = {name: registry.framework(name).probe() for name in frameworks}
    installed = {name: not isinstance(found, Absent) for name, found in probes.items()}
    cells = {
        (workload.name, name): registry.model_stem(name, workload.model_files) is not None
        for workload in found
        for name in frameworks
    }
    suites = workloads.suites(workloads_folder)
    if json:
        show.as_json(
            {
                "workloads": [
                    {
                        "name": workload.name,
                        "version": workload.version,
                        "task": workload.task,
                        "sample": workload.sample,
                        "modes": list(workload.modes),
                        "scenarios": list(workload.scenarios),
                        "data_modes": list(workload.data_modes),
                        "parameters": workload.info("full").parameters,
                        "flops_per_sample": workload.info("full").flops,
                        "variants": {v: _sizes(workload.info(v)) for v in workload.variants},
                        "frameworks": [n for n in frameworks if cells[workload.name, n]],
                    }
                    for workload in found
                ],
                "frameworks": {name: _able(probe) for name, probe in probes.items()},
                "suites": {name: list(members) for name, members in suites.items()},
            }
        )
        return
    sizes, matrix = [], []
    real = [name for name in frameworks if name != TEST_FRAMEWORK]
    for workload in found:
        info = workload.info("full")
        flops = "-" if isinstance(info.flops, Absent) else units.scaled(info.flops, "FLOP")
        size = (_count(info.parameters), flops)
        sizes.append((workload.name, workload.task, *size))
        marks = [
            ("yes" if installed[n] else "no") if cells[workload.name, n] else "-" for n in real
        ]
        if workload.name != TEST_FRAMEWORK:
            matrix.append((workload.name, *marks))
    show.table(("workload", "task", "parameters", "a sample"), sizes)
    for name in sorted(metrics.LATENCY_NAMES, reverse=True):
        of = [w.name for w in found if w.info("full").latency_is == name]
        if of:
            show.line(f"{metrics.LATENCY_NAMES[name]}: the latency of {', '.join(of)}")
    show.table(("workload", *real), matrix)
    show.table(
        ("suite", "workloads"),
        [(name, ", ".join(members)) for name, members in sorted(suites.items())],
    )


def _sizes(info: WorkloadInfo) -> dict[str, Any]:
    return {
        "parameters": info.parameters,
        "flops_per_sample": info.flops,
        "tokens_per_sample": info.tokens_per_sample,
        "latency_is": info.latency_is,
    }


def _able(probe: Capability | Absent) -> dict[str, Any]:
    """What an installed framework can do here, or how it would get here."""
    if isinstance(probe, Absent):
        return {"installed": False, "reason": probe.reason, "remedy": probe.remedy}
    return {
        "installed": True,
        "version": probe.version,
        "modes": list(probe.modes),
        "precisions": {kind: list(found) for kind, found in probe.precisions.items()},
        "policies": dict(probe.policies),
        "reasons": dict(probe.reasons),
    }


def _count(number: int | Absent) -> str:
    """A whole number in a few characters: 25.6 M, and 10 rather than 10.0."""
    from dlbench.core import units

    if isinstance(number, Absent):
        return "-"
    return units.scaled(number, "").strip() if number >= SCALED_FROM else str(number)


TEST_FRAMEWORK = "fake"
"""Framework and workload of this name are for trying dlbench; the matrix leaves them out."""

SCALED_FROM = 1000
"""Below, a number has no prefix and no decimals."""
