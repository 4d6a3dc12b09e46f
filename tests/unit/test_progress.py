"""What a session that runs tells the terminal."""

from __future__ import annotations

import io

from rich.console import Console

from dlbench.cli.progress import Progress
from tests import builders


def test_a_resumed_session_says_what_its_journal_has_lost() -> None:
    """One line for each; what a journal holds may not colour the terminal."""
    out = io.StringIO()
    trials = [builders.trial(builders.case(), 0)]
    lost = ["line 3 does not match its checksum; the line was left out", "[red]torn[/]"]
    Progress(Console(file=out, width=200)).begin(
        builders.plan([builders.case()]), "r1", trials, lost
    )
    assert out.getvalue().splitlines() == [
        "run r1: 1 case, profile test, 1 trials already there",
        *(f"journal: {problem}" for problem in lost),
    ]
