"""What ``dlbench ab`` prints: the plan of pairs, the verdicts, and what decided an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbench.analysis import contests as judging
from dlbench.cli import show
from dlbench.cli.show import VERDICT_STYLES, clean, console
from dlbench.core import units
from dlbench.core.types import Absent, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dlbench.analysis.contests import Contest
    from dlbench.plan import TimeEstimate
    from dlbench.session.commands import CommandContest, CommandRequest


def plan(planned: Plan, estimate: TimeEstimate) -> None:
    """What would be compared, and how long it may take."""
    out = console()
    cases = {case.case_id: case for case in planned.cases}
    for pairing in planned.pairings:
        names = f"[bold]{clean(pairing.a_name)}[/] and [bold]{clean(pairing.b_name)}[/]"
        work = judging.in_common(cases[pairing.a], cases[pairing.b])
        out.print(f"{names}: {clean(work)}", soft_wrap=True)
    show.skips(planned.skips)
    _versions(planned)
    looks = ", ".join(str(n) for n in planned.profile.looks)
    out.print(
        f"looks at {looks} pairs · equal within {100 * planned.pairings[0].zone:g} % · "
        f"{units.counted(planned.threads, 'CPU thread')} · seed {planned.seed}"
    )
    out.print(
        f"estimated [bold]{units.duration(estimate.low_s)} to {units.duration(estimate.high_s)}[/]"
    )


def _versions(planned: Plan) -> None:
    """In which versions two Python environments differ."""
    first = planned.pairings[0]
    for name, left in first.a_versions.items():
        right = first.b_versions.get(name, left)
        if left != right:
            words = ("none" if isinstance(v, Absent) else v for v in (left, right))
            console().print(f"[dim]{clean(name)}:[/] {clean(' and '.join(words))}")


def contests(found: Sequence[Contest]) -> None:
    """Each verdict in words, then what this machine resolves."""
    out = console()
    for contest in found:
        style = VERDICT_STYLES.get(contest.verdict, "red")
        flags = f" [yellow]({clean(', '.join(contest.flags))})[/]" if contest.flags else ""
        out.print(
            f"[{style}]{contest.verdict:<11}[/] {clean(judging.sentence(contest))}{flags}",
            soft_wrap=True,
        )
        resolution = judging.resolution_sentence(contest)
        if resolution:
            out.print(f"            {clean(resolution)}", soft_wrap=True)
    out.print(
        "[dim]exact signed-rank test, paid for all looks; the interval holds the true ratio in 95 % of "
        "comparisons[/]",
        soft_wrap=True,
    )


def conditions(broken: Sequence[str]) -> None:
    """Conditions of ``--fail-if`` that hold."""
    for words in broken:
        console().print(f"[red]fails[/]       --fail-if {clean(words)}", soft_wrap=True)


# --- whole commands -------------------------------------------------------------------------


def command_watcher(
    request: CommandRequest, *, stderr: bool
) -> Callable[[CommandContest, float], None]:
    """A line after each pair: both times, and the interval so far."""
    out = console(stderr=stderr)
    for label, words in zip("AB", request.commands, strict=True):
        out.print(f"[bold]{label}[/] {clean(' '.join(words))}", soft_wrap=True)

    def tell(found: CommandContest, left_s: float) -> None:
        out.print(clean(found.last_pair_in_words(left_s)), soft_wrap=True)

    return tell


def commands_verdict(found: CommandContest) -> None:
    """The verdict on two commands."""
    out = console()
    refusal = found.refusal()
    verdict = "no verdict" if refusal else found.judgement.verdict
    style = VERDICT_STYLES.get(verdict, "red")
    out.print(f"[{style}]{verdict:<11}[/] {clean(found.sentence())}", soft_wrap=True)
    if not refusal:
        out.print(f"            {clean(found.resolution_sentence())}", soft_wrap=True)
    if found.interrupted:
        out.print("[yellow]interrupted[/]")
