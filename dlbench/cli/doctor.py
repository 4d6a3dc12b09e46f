"""``dlbench doctor``: what is here, what can be measured, what disturbs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine has, what can be measured on it, and what to do about the rest."""
    from dlbench import doctor as examining
    from dlbench.cli import show

    findings = examining.examine_here()
    if json:
        show.as_json([asdict(finding) for finding in findings])
    else:
        show.findings(findings)
