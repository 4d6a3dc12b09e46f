"""The live view of ``dlbench ab``: the interval closing around the ratio, pair by pair."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from dlbench import paired
from dlbench.cli import show
from dlbench.cli.progress import Progress
from dlbench.core import stats, units
from dlbench.core.metrics import trial_seconds_per_sample
from dlbench.core.types import Interval, Trial
from dlbench.paired.standing import Standing, standings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

BAR_WIDTH = 41
"""Characters of the picture of an interval; odd, so that 1 has a place of its own."""

LEAST_SPAN = 0.05
"""The picture shows at least +-5 %."""


class AbProgress(Progress):
    """An observer that shows pairs: one line a pair, or a live table on a terminal."""

    def trial_ended(self, trial: Trial, trials: Sequence[Trial], elapsed_s: float) -> None:
        """A trial is on disk; when its pair is whole, or lost, it is told."""
        self._trials, self._elapsed_s = trials, elapsed_s
        self._spans_s[trial.case_id] = time.monotonic() - self._began_s
        if self._live is None and self._plan is not None:
            for standing in standings(self._plan, trials):
                if trial.case_id in (standing.pairing.a, standing.pairing.b):
                    self._tell(standing, trial)
        self._draw(now=True)

    def _tell(self, standing: Standing, trial: Trial) -> None:
        """One line for the pair that ended with this trial."""
        pair = self._pair(standing, trial.round)
        names = (standing.pairing.a_name, standing.pairing.b_name)
        if not trial.outcome.ok:
            side = names[0] if trial.case_id == standing.pairing.a else names[1]
            words = f"{side} failed: {trial.outcome}"
        elif None in pair:
            return
        else:
            speeds = [f"{units.significant(1 / s, 4)}" for s in pair if s is not None]
            words = f"{names[0]} {speeds[0]}, {names[1]} {speeds[1]} samples/s"
        task = f"{self._task(standing)}: " if self._plan and len(self._plan.pairings) > 1 else ""
        d = standing.differences
        so_far = f" {paired.so_far_in_words(d, self._n_looks())}" if d else ""
        self._out.print(
            show.clean(f"{trial.round + 1:>4} {task}{words}{so_far}{self._left()}"), soft_wrap=True
        )

    def _pair(self, standing: Standing, round_: int) -> tuple[float | None, float | None]:
        """Seconds a sample of A and B in one round, None where it is not there."""
        found = {
            t.case_id: trial_seconds_per_sample(t)
            for t in self._trials
            if t.round == round_ and t.outcome.ok
        }
        return found.get(standing.pairing.a), found.get(standing.pairing.b)

    def _task(self, standing: Standing) -> str:
        cases = {c.case_id: c for c in self._plan.cases} if self._plan else {}
        a, b = cases[standing.pairing.a], cases[standing.pairing.b]
        framework = f" {a.framework}" if a.framework == b.framework else ""
        return f"{a.workload}{framework} {a.mode}"

    def _n_looks(self) -> int:
        return len(self._plan.profile.looks) if self._plan else len(paired.LOOKS)

    def _view(self) -> RenderableType:
        from rich.table import Table

        if self._plan is None or self._upcoming is None:
            return ""
        found = standings(self._plan, self._trials)
        span = span_of(found)
        table = Table(box=None, pad_edge=False, caption_justify="left")
        axis = f"{1 / (1 + span):.2f}".ljust(BAR_WIDTH // 2 - 1) + "1".ljust(BAR_WIDTH // 2 - 2)
        for column in ("case", "pairs", "B over A", f"{axis}{1 + span:.2f}", ""):
            table.add_column(column, no_wrap=True)
        for standing in found:
            table.add_row(*self._cells(standing, span))
        table.caption = (
            f"pair {self._upcoming.round + 1} · {show.clean(self._doing)} · "
            f"{units.duration(self._elapsed_s)} measured{self._left()}"
        )
        return table

    def _cells(self, standing: Standing, span: float) -> tuple[str, ...]:
        said, n = standing.judgement, len(standing.differences)
        d = standing.differences
        ratio = f"{math.exp(stats.hodges_lehmann(d)):.3f}" if d else ""
        interval = paired.reported_interval(d, self._n_looks())
        bar = picture(interval, span, standing.pairing.zone)
        state = "" if said.verdict == "cannot tell" else f"[green]{said.verdict}[/]"
        state = "[red]no verdict[/]" if standing.unreliable else state
        lost = f" ({standing.n_lost} lost)" if standing.n_lost else ""
        return show.clean(self._task(standing)), f"{n}{lost}", ratio, bar, state

    def _left(self) -> str:
        """Time until the next look, by the latest spans."""
        if self._plan is None or not self._spans_s:
            return ""
        needed_s = 0.0
        for standing in standings(self._plan, self._trials):
            if standing.judgement.verdict != "cannot tell" or standing.unreliable:
                continue
            n = len(standing.differences)
            look = next((x for x in self._plan.profile.looks if x > n), n)
            pair_s = sum(
                self._spans_s.get(c, 0.0) for c in (standing.pairing.a, standing.pairing.b)
            )
            needed_s += (look - n) * pair_s
        return f" · {units.duration(needed_s)} to the next look" if needed_s else ""


def span_of(found: Sequence[Standing]) -> float:
    """How far from 1 the picture reaches: to the widest interval, and no less than 5 %."""
    edges = [LEAST_SPAN]
    for standing in found:
        interval = paired.reported_interval(standing.differences)
        if isinstance(interval, Interval):
            edges += [interval.high - 1, 1 / interval.low - 1]
    return max(edges)


def picture(interval: object, span: float, zone: float) -> str:
    """An interval between 1 - span and 1 + span; dots mark the zone of equivalence."""
    cells = [" "] * BAR_WIDTH
    for edge in (-zone, 0.0, zone):
        cells[_place(math.log1p(edge), span)] = "·"
    if isinstance(interval, Interval):
        low, high = (_place(math.log(x), span) for x in (interval.low, interval.high))
        cells[low : high + 1] = ["─"] * (high + 1 - low)
        cells[low], cells[high] = "├", "┤"
        middle = _place((math.log(interval.low) + math.log(interval.high)) / 2, span)
        cells[middle] = "●"
    return "".join(cells)


def _place(ln_ratio: float, span: float) -> int:
    """The character at which a ratio stands."""
    share = (ln_ratio / math.log1p(span) + 1) / 2
    return min(BAR_WIDTH - 1, max(0, round(share * (BAR_WIDTH - 1))))
