"""``dlbench devices``: the devices of this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from dlbench.core.types import Absent, DeviceInfo


def devices(
    json: Annotated[bool, typer.Option("--json", help="Print the devices as JSON.")] = False,
) -> None:
    """List the devices that can be measured here, and why others cannot."""
    from dlbench import environment
    from dlbench.cli import show

    found, absent = environment.find_devices()
    limit = environment.memory_limit_mib()
    if json:
        show.as_json(
            {
                "devices": [asdict(device) for device in found],
                "memory_limit_mib": asdict(limit) if isinstance(limit, Absent) else limit,
                "absent": {kind: asdict(reason) for kind, reason in absent.items()},
            }
        )
        return
    rows = []
    for device in found:
        memory = _memory(device, limit)
        rows.append((device.id, device.name, memory, ", ".join(device.precisions)))
    show.table(("device", "name", "memory", "native precisions"), rows)
    for kind, reason in absent.items():
        show.line(f"no {kind}: {reason.reason}" + (f" -> {reason.remedy}" if reason.remedy else ""))


def _memory(device: DeviceInfo, limit_mib: float | Absent) -> str:
    """What it has; of the host's, what a container's limit leaves too."""
    memory_mib = device.memory_mib
    if isinstance(memory_mib, Absent):
        return "-"
    gib = f"{memory_mib / 1024:,.1f} GiB"
    if device.kind != "cpu" or isinstance(limit_mib, Absent) or limit_mib >= memory_mib:
        return gib
    return f"{limit_mib / 1024:,.1f} of {gib} usable"
