"""``dlbench devices``: the devices of this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from dlbench.core.types import Absent


def devices(
    json: Annotated[bool, typer.Option("--json", help="Print the devices as JSON.")] = False,
) -> None:
    """List the devices that can be measured here, and why others cannot."""
    from dlbench import environment
    from dlbench.cli import show

    found, absent = environment.find_devices()
    if json:
        show.as_json(
            {
                "devices": [asdict(device) for device in found],
                "absent": {kind: asdict(reason) for kind, reason in absent.items()},
            }
        )
        return
    rows = []
    for device in found:
        memory = device.memory_mib
        gib = "-" if isinstance(memory, Absent) else f"{memory / 1024:,.1f} GiB"
        rows.append((device.id, device.name, gib, ", ".join(device.precisions)))
    show.table(("device", "name", "memory", "native precisions"), rows)
    for kind, reason in absent.items():
        show.line(f"no {kind}: {reason.reason}" + (f" -> {reason.remedy}" if reason.remedy else ""))
