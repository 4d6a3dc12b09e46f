"""Terminal output of telemetry: what a run's sampler cost, and what a monitored program took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlbench.cli.show import (
    clean,
    console,
    distinct_reasons,
    empty_table,
    metric_as_plain,
)
from dlbench.core import metrics, units
from dlbench.core import monitored as figures
from dlbench.core.monitored import Figure
from dlbench.core.tracks import NOT_READ
from dlbench.core.types import Absent, Estimated, Metric, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from dlbench.session.monitor import Finished

WORDS = {
    "duration_s": "time",
    "cpu_s": "processor time",
    "peak_rss_mib": "peak memory (resident)",
    "energy_j": "energy",
    "net_energy_j": "energy above idle",
    "mean_power_w": "mean power",
    "p95_power_w": "power, 95th percentile",
    "utilisation_percent": "utilisation",
    "sm_clock_mhz": "clock",
    "max_temperature_c": "highest temperature",
    "peak_device_memory_mib": "peak memory (device)",
    "throttled_share": "time throttled",
}

NAME_WIDTH = 24

LEAST_TABLE_WIDTH = 100
"""Narrower, a table drops its least needed columns instead of breaking words."""


def overhead(run: Run) -> None:
    """What the sampler cost in this run, as its null steps found it."""
    notes = run.notes
    share = notes.get("telemetry_core_share")
    median, p99 = (notes.get(f"telemetry_overhead_{w}") for w in ("median", "p99"))
    if not any(isinstance(x, float) for x in (share, median, p99)):
        return
    parts = []
    if isinstance(share, float):
        parts.append(f"{share:.1%} of a core")
    if isinstance(median, float) and isinstance(p99, float):
        parts.append(f"null steps {median:+.1%} at the median, {p99:+.1%} at p99")
    console().print(f"[dim]telemetry cost: {clean('; '.join(parts))}[/]", soft_wrap=True)


COLUMNS = (
    ("J/sample", "energy_j_per_sample"),
    ("net", "net_energy_j_per_sample"),
    ("samples/J", "samples_per_j"),
    ("host J/sample", "host_energy_j_per_sample"),
    ("W mean", "mean_power_w"),
    ("W p95", "p95_power_w"),
    ("use %", "utilisation_percent"),
    ("MHz", "sm_clock_mhz"),
    ("degC", "max_temperature_c"),
    ("throttled", "throttled_share"),
)
"""What devices were seen to do, in the order in which people ask."""


ONLY_WIDE = (
    "net_energy_j_per_sample",
    "host_energy_j_per_sample",
    "sm_clock_mhz",
    "max_temperature_c",
)
"""Left out where the terminal is narrow."""


ENERGY = (
    "energy_j_per_sample",
    "net_energy_j_per_sample",
    "samples_per_j",
    "host_energy_j_per_sample",
    "mean_power_w",
    "p95_power_w",
)
"""Those of the columns that are of energy and power."""


def energy(run: Run) -> None:
    """Joules and watts of a document's cases; where none has any, why."""
    _table(run, [c for c in COLUMNS if c[1] in ENERGY], f"Energy and power in {run.run_id}")
    for reason in distinct_reasons(run, ENERGY[0]):
        console().print(f"[dim]energy in {clean(run.run_id)}: {clean(reason)}[/]", soft_wrap=True)


def energy_as_plain(run: Run) -> dict[str, Any]:
    """The same as ``--json`` prints it, by case."""
    return {
        result.case.case_id: {
            name: metric_as_plain(metrics.compute(name, result, run)) for name in ENERGY
        }
        for result in run.results
    }


def devices(run: Run) -> None:
    """Energy, power, utilisation, clock, heat and throttling of each case; nothing if none was read."""
    wide = console().width >= LEAST_TABLE_WIDTH
    _table(run, [c for c in COLUMNS if wide or c[1] not in ONLY_WIDE], "Devices meanwhile")


def _table(run: Run, wanted: Sequence[tuple[str, str]], title: str) -> None:
    """Cases by quantities; one that no case has is no column."""
    values = {
        (result.case, name): metrics.compute(name, result, run)
        for result in run.results
        for _, name in wanted
    }
    known = [
        (heading, name)
        for heading, name in wanted
        if any(not isinstance(values[r.case, name], Absent) for r in run.results)
    ]
    if not known:
        return
    drawn = empty_table("case", *(heading for heading, _ in known), title=title)
    for result in run.results:
        cells = (_cell(name, values[result.case, name]) for _, name in known)
        drawn.add_row(clean(result.case.label), *cells)
    console().print(drawn)
    if any(isinstance(value, Estimated) for value in values.values()):
        console().print("[dim]~ estimated (--json says how); - absent[/]")


def _cell(name: str, value: Metric) -> str:
    if isinstance(value, Absent):
        return "[dim]-[/]"
    sign = "~" if isinstance(value, Estimated) else ""
    if name == "throttled_share":
        return f"{sign}{value.value:.1%}"
    return f"{sign}{units.significant(value.value)}"


def monitored(finished: Finished) -> None:
    """What a program took, on stderr: stdout is the program's."""
    out = console(stderr=True)
    (found,) = finished.run.monitored
    words = " ".join(found.command) or found.name
    ended = "" if not found.exit_code else f" [yellow](exit code {found.exit_code})[/]"
    out.print(f"\n[bold]{clean(words)}[/]{ended}", soft_wrap=True)
    _figures(out, "", figures.of_host(found))
    by_id = {d.id: d for d in finished.run.environment.devices}
    for part in found.devices:
        device = by_id.get(part.device)
        name = "" if device is None else f" ({device.name})"
        out.print(f"[bold]{clean(part.device)}[/]{clean(name)}", soft_wrap=True)
        _figures(out, "  ", figures.of_device(found, part, device))
    if finished.path is not None:
        out.print(f"document  [bold]{clean(finished.path)}[/]", soft_wrap=True)


def _figures(out: Console, indent: str, found: tuple[Figure, ...]) -> None:
    """One line a number; a reason that several share stands once."""
    reasons: dict[Absent, list[str]] = {}
    for figure in found:
        if figure.value == NOT_READ:
            # A processor has no streaming multiprocessors: not missed, and not worth a line.
            continue
        if isinstance(figure.value, Absent):
            reasons.setdefault(figure.value, []).append(WORDS[figure.name])
            continue
        text = f"{indent}{WORDS[figure.name]:<{NAME_WIDTH}}{_amount(figure)}"
        out.print(clean(text), soft_wrap=True)
    for reason, names in reasons.items():
        hint = f" -> {reason.remedy}" if reason.remedy else ""
        text = f"{indent}not known: {', '.join(names)}: {reason.reason}{hint}"
        out.print(f"[dim]{clean(text)}[/]", soft_wrap=True)


def _amount(figure: Figure) -> str:
    value = figure.value
    if isinstance(value, Absent):
        return "absent"
    sign = "~" if isinstance(value, Estimated) else ""
    return f"{sign}{_number(figure.unit, value.value)}{_bounds(figure.unit, value)}"


def _number(unit: str, value: float) -> str:
    if unit == "s":
        return units.duration(value)
    if unit == "share":
        return f"{value:.1%}"
    return f"{units.significant(value)} {unit}"


def _bounds(unit: str, value: Metric) -> str:
    """The interval, where it says more than the number."""
    if isinstance(value, Absent) or value.interval is None:
        return ""
    low, high = value.interval.low, value.interval.high
    if high - low < abs(value.value) * LEAST_SPREAD:
        return ""
    return f"  [{_number(unit, low)} to {_number(unit, high)}]"


LEAST_SPREAD = 1e-3
"""A narrower interval would print the same digits thrice."""


def monitored_as_plain(finished: Finished) -> dict[str, Any]:
    """A monitored program as ``--json`` prints it."""
    (found,) = finished.run.monitored
    by_id = {d.id: d for d in finished.run.environment.devices}
    return {
        "run_id": finished.run.run_id,
        "command": list(found.command),
        "exit_code": found.exit_code,
        "host": _plain(figures.of_host(found)),
        "devices": {
            part.device: _plain(figures.of_device(found, part, by_id.get(part.device)))
            for part in found.devices
        },
        "path": None if finished.path is None else str(finished.path),
    }


def _plain(found: tuple[Figure, ...]) -> dict[str, Any]:
    return {f.name: {"unit": f.unit, **metric_as_plain(f.value)} for f in found}
