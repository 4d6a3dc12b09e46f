"""What ``dlbench replicate`` prints: what can run here, then agreement case by case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbench.analysis import agreement as judging
from dlbench.cli.show import clean, console
from dlbench.core.types import Run

if TYPE_CHECKING:
    from dlbench.analysis.agreement import Agreement
    from dlbench.replication import Replication

STYLES = {
    "agrees": "green",
    "faster here": "cyan",
    "slower here": "cyan",
    "cannot tell": "yellow",
    "failed here": "red",
}


HOLDS = {
    True: "[green]holds[/]      ",
    False: "[red]differs[/]    ",
    None: "[yellow]open[/]       ",
}
"""Marks of conclusions, as wide as a state."""


def plan(there: Run, found: Replication) -> None:
    """What is replicated, and what cannot be."""
    out = console()
    n = len(found.plan.cases)
    out.print(
        f"replicates [bold]{clean(there.run_id)}[/] of {clean(there.environment.machine)}: "
        f"{n} of {len(there.results)} cases can run here",
        soft_wrap=True,
    )
    for one in found.impossible:
        out.print(
            f"[yellow]not here[/]    {clean(one.case.label)}: {clean(one.reason)}", soft_wrap=True
        )
    for words in found.changed:
        out.print(f"[yellow]changed[/]     {clean(words)}", soft_wrap=True)


def agreement(there: Run, here: Run, found: Agreement) -> None:
    """Each case, then each conclusion."""
    out = console()
    a, b = clean(there.environment.machine), clean(here.environment.machine)
    out.print(f"here ({b}) over there ({a}, {clean(there.created_utc)}):", soft_wrap=True)
    for case in found.cases:
        words = clean(judging.sentence(case))
        out.print(f"[{STYLES[case.state]}]{case.state:<11}[/] {words}", soft_wrap=True)
    for basis in dict.fromkeys(c.comparison.basis for c in found.cases if c.comparison):
        out.print(f"[dim]basis: {clean(basis)}[/]", soft_wrap=True)
    for conclusion in found.conclusions:
        words = clean(judging.conclusion_sentence(conclusion))
        out.print(f"{HOLDS[conclusion.holds]} {words}", soft_wrap=True)
