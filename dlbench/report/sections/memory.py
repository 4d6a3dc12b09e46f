"""Peak memory, on the device and on the host: different numbers with different names."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.core.types import Metric
from dlbench.report.content import Content
from dlbench.report.panels import Column, Spec, panels
from dlbench.report.render import absences, mib_cell, render

ORDER = 24
TITLE = "Memory"

DEVICE = """
<h3 class="sub">On the device</h3>
<p>The most that the framework's allocator held at once; less is better.</p>
"""

HOST = """
<h3 class="sub">On the host</h3>
<p>The largest resident size of the worker process, framework included; less is better.</p>
"""

NAMES = {
    "peak_framework_allocated_mib": "Allocated on the device",
    "peak_host_rss_mib": "Resident on the host",
}


def html(content: Content) -> Markup | None:
    """The device's panels where there are any, then the host's."""
    device = panels(
        content,
        Spec(
            value_of=lambda row: row.metrics["peak_framework_allocated_mib"],
            head="Allocated",
            caption="peak memory allocated on the device",
            columns=(
                Column(
                    title="Reserved",
                    shown=lambda row: mib_cell(row.metrics["peak_framework_reserved_mib"]),
                ),
                Column(
                    title="Used, by driver",
                    shown=lambda row: mib_cell(row.metrics["peak_device_used_mib"]),
                ),
            ),
            shown=mib_cell,
            form=_tick,
            tick_unit=" MiB",
            unit=_unit,
            best_first=-1,
            keep=lambda row: row.n_trials > 0,
        ),
    )
    host = panels(
        content,
        Spec(
            value_of=lambda row: row.metrics["peak_host_rss_mib"],
            head="Resident",
            caption="peak resident memory on the host",
            shown=mib_cell,
            form=_tick,
            tick_unit=" MiB",
            unit=_unit,
            best_first=-1,
            keep=lambda row: row.n_trials > 0,
        ),
    )
    if not device.strip() and not host.strip():
        return None
    values: list[tuple[str, Metric]] = [
        (word, row.metrics[name])
        for row in content.rows
        if row.n_trials
        for name, word in NAMES.items()
    ]
    parts = [render(DEVICE) + device] if device.strip() else []
    parts += [render(HOST) + host] if host.strip() else []
    return Markup().join(parts) + absences(values)


GIB = 1024.0


def _unit(top: float) -> float:
    return GIB if top >= GIB else 1.0


def _tick(value: float) -> str:
    if not value:
        return "0"
    return (
        f"{value / GIB:g} GiB" if value >= GIB / 4 and not value % (GIB / 4) else f"{value:g} MiB"
    )
