"""``dlbench list``: workloads and the frameworks that run them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlbench.core.protocols import Capability
from dlbench.core.types import Absent, WorkloadInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dlbench.workloads import Workload


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
    from dlbench.core import registry

    found = [workloads.read(folder) for folder in workloads.folders(workloads_folder).values()]
    suites = workloads.suites(workloads_folder)
    probes = {name: registry.framework(name).probe() for name in registry.names("frameworks")}
    if json:
        show.as_json(
            {
                "workloads": [_described(workload, list(probes)) for workload in found],
                "frameworks": {name: _able(probe) for name, probe in probes.items()},
                "suites": {name: list(members) for name, members in suites.items()},
            }
        )
        return
    _sizes_table(found)
    _matrix(found, probes)
    rows = [(name, ", ".join(members)) for name, members in sorted(suites.items())]
    show.table(("suite", "workloads"), rows)


# --- tables ---------------------------------------------------------------------------------


def _sizes_table(found: Sequence[Workload]) -> None:
    """How large each is; then by what name a query's latency is known, where it has one."""
    from dlbench.cli import show
    from dlbench.core import metrics, units

    rows = []
    for workload in found:
        info = workload.info("full")
        flops = "-" if isinstance(info.flops, Absent) else units.scaled(info.flops, "FLOP")
        rows.append((workload.name, workload.task, _count(info.parameters), flops))
    show.table(("workload", "task", "parameters", "a sample"), rows)
    for name in sorted(metrics.LATENCY_NAMES, reverse=True):
        of = [w.name for w in found if w.info("full").latency_is == name]
        if of:
            show.line(f"{metrics.LATENCY_NAMES[name]}: the latency of {', '.join(of)}")


def _matrix(found: Sequence[Workload], probes: Mapping[str, Capability | Absent]) -> None:
    """Which framework has a model of which workload, and is here."""
    from dlbench.cli import show
    from dlbench.core import registry

    here = {
        name: "no" if isinstance(probe, Absent) else "yes"
        for name, probe in probes.items()
        if name != registry.FAKE
    }
    rows = [
        (w.name, *(here[n] if registry.model_stem(n, w.model_files) else "-" for n in here))
        for w in found
        if w.name != registry.FAKE
    ]
    show.table(("workload", *here), rows)


# --- JSON -----------------------------------------------------------------------------------


def _described(workload: Workload, frameworks: Sequence[str]) -> dict[str, Any]:
    from dlbench.core import registry

    full = workload.info("full")
    return {
        "name": workload.name,
        "version": workload.version,
        "task": workload.task,
        "sample": workload.sample,
        "modes": list(workload.modes),
        "scenarios": list(workload.scenarios),
        "data_modes": list(workload.data_modes),
        "parameters": full.parameters,
        "flops_per_sample": full.flops,
        "variants": {v: _sizes(workload.info(v)) for v in workload.variants},
        "frameworks": [n for n in frameworks if registry.model_stem(n, workload.model_files)],
    }


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


SCALED_FROM = 1000
"""Below, a number has no prefix and no decimals."""
