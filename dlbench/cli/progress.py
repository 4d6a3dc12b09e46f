"""The live view of a running session; plain lines where there is no terminal.

Drawn only when a worker speaks and at most once a second: on a small machine the drawing itself
would otherwise be a noisy neighbour of what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from dlbench.cli import show
from dlbench.core import stats, units
from dlbench.core.errors import EXIT_INTERRUPTED
from dlbench.core.metrics import trial_seconds_per_sample
from dlbench.core.types import Absent, BatchProbe, Case, Plan, Trial
from dlbench.session import Observer
from dlbench.session.schedule import Next, stop_reason

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

DRAW_EVERY_S = 1.0

MOST_ROWS = 24
"""More cases than this scroll off a usual terminal; the finished ones are then left out."""


class Progress(Observer):
    """An observer that shows a session while it runs."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._live: Live | None = None
        self._plan: Plan | None = None
        self._trials: Sequence[Trial] = ()
        self._upcoming: Next | None = None
        self._doing = ""
        self._drawn_s = 0.0
        self._spans_s: dict[str, float] = {}
        self._began_s = 0.0
        self._elapsed_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._live is not None:
            self._live.stop()
        if isinstance(error, SystemExit):
            # The console's reader left (`dlbench run | head`): its journal is left to be resumed.
            raise SystemExit(EXIT_INTERRUPTED) from error

    def probed(self, case: Case, batch_size: int, found: BatchProbe) -> None:
        """One line for each batch size that was tried."""
        speed = found.samples_per_s
        said = str(found.outcome) if isinstance(speed, Absent) else f"{units.significant(speed)}/s"
        label = case.label.replace(f" b{case.batch_size}", "")
        self._out.print(f"batch auto: {show.clean(label)}: {batch_size} -> {show.clean(said)}")

    def begin(
        self, plan: Plan, run_id: str, trials: Sequence[Trial], problems: Sequence[str]
    ) -> None:
        """Show the plan's size and what is amiss; open the live view on a terminal."""
        self._plan, self._trials = plan, trials
        again = f", {len(trials)} trials already there" if trials else ""
        self._out.print(
            f"run [bold]{show.clean(run_id)}[/]: {units.counted(len(plan.cases), 'case')}, "
            f"profile {show.clean(plan.profile.name)}{again}"
        )
        for problem in problems:
            self._out.print(f"[yellow]journal[/]: {show.clean(problem)}", soft_wrap=True)
        if self._out.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._out, auto_refresh=False, transient=True)
            self._live.start()

    def trial_begins(self, upcoming: Next) -> None:
        """A worker starts."""
        self._upcoming, self._doing = upcoming, "starting"
        self._began_s = time.monotonic()
        self._draw(now=True)

    def event(self, upcoming: Next, event: Mapping[str, Any]) -> None:
        """The worker is in a phase, or has a throughput so far."""
        phase = str(event.get("phase", ""))
        per_sample_s = event.get("per_sample_s")
        self._doing = phase.replace("_", " ")
        if isinstance(per_sample_s, float) and per_sample_s > 0:
            self._doing += f", {event.get('n')} values, {units.significant(1 / per_sample_s)}/s"
        self._upcoming = upcoming
        self._draw()

    def trial_ended(self, trial: Trial, trials: Sequence[Trial], elapsed_s: float) -> None:
        """A trial is on disk."""
        span_s = time.monotonic() - self._began_s
        self._trials, self._elapsed_s = trials, elapsed_s
        self._spans_s[trial.case_id] = span_s
        if self._live is None and self._upcoming is not None:
            self._out.print(self._line(trial, self._upcoming.case, span_s), soft_wrap=True)
        self._draw(now=True)

    def _line(self, trial: Trial, case: Case, span_s: float) -> str:
        speed = ""
        if trial.outcome.ok:
            speed = f"{units.significant(1 / trial_seconds_per_sample(trial), 4)} samples/s "
        role = "sentinel" if trial.role == "sentinel" else f"round {trial.round + 1}"
        flags = f" [{', '.join(trial.flags)}]" if trial.flags else ""
        return show.clean(
            f"{len(self._trials):>4} {case.label}: {speed}{trial.outcome} "
            f"({role}, {units.duration(span_s)}){flags}{self._left()}"
        )

    # --- drawing ----------------------------------------------------------------------------

    def _draw(self, *, now: bool = False) -> None:
        if self._live is None:
            return
        clock = time.monotonic()
        if now or clock - self._drawn_s >= DRAW_EVERY_S:
            self._drawn_s = clock
            self._live.update(self._view(), refresh=True)

    def _view(self) -> RenderableType:
        from rich.table import Table

        if self._plan is None or self._upcoming is None:
            return ""
        table = Table(box=None, pad_edge=False, caption_justify="left")
        for column in ("case", "n", "samples/s", "so far"):
            table.add_column(column, justify="left" if column in ("case", "so far") else "right")
        for case in self._shown_cases():
            table.add_row(*self._row(case))
        round_ = self._upcoming.round + 1
        table.caption = (
            f"round {round_} · trial {len(self._trials) + 1} · "
            f"{units.duration(self._elapsed_s)} measured{self._left()}"
        )
        return table

    def _shown_cases(self) -> Sequence[Case]:
        if self._plan is None:
            return ()
        cases = self._plan.cases
        if len(cases) <= MOST_ROWS:
            return cases
        return [c for c in cases if stop_reason(self._plan, c, self._trials) is None][:MOST_ROWS]

    def _row(self, case: Case) -> tuple[str, str, str, str]:
        own = [t for t in self._trials if t.case_id == case.case_id and t.role == "measure"]
        medians_s = [trial_seconds_per_sample(t) for t in own if t.outcome.ok]
        speed = interval = ""
        if medians_s:
            speed = units.significant(1 / stats.case_centre(medians_s), 4)
            found = stats.case_interval(medians_s, self._level())
            if not isinstance(found, Absent):
                interval = f"+-{stats.relative_half_width(found):.1%}"
        state = interval
        if self._upcoming is not None and self._upcoming.case == case:
            role = "sentinel: " if self._upcoming.role == "sentinel" else ""
            state = f"{interval} [cyan]{role}{show.clean(self._doing)}[/]".strip()
        elif own and not own[-1].outcome.ok:
            state = f"[red]{show.clean(own[-1].outcome)}[/]"
        elif self._plan is not None and stop_reason(self._plan, case, self._trials):
            state = f"{interval} [green]done[/]"
        return show.clean(case.label), str(len(own)), speed, state

    def _level(self) -> float:
        return stats.paid_level(len(self._plan.profile.looks)) if self._plan else stats.LEVEL

    def _left(self) -> str:
        """Time until the next look by the latest spans; more if that look is not enough."""
        if self._plan is None:
            return ""
        needed_s = due_s = 0.0
        known = self._spans_s.values()
        usual_s = sum(known) / len(known) if known else 0.0
        for case in self._plan.cases:
            own = [t for t in self._trials if t.case_id == case.case_id and t.role == "measure"]
            if stop_reason(self._plan, case, self._trials) is None:
                look = next((n for n in self._plan.profile.looks if n > len(own)), len(own))
                span_s = self._spans_s.get(case.case_id, usual_s)
                needed_s += (look - len(own)) * span_s
                due_s += max(0, self._plan.least_rounds - len(own)) * span_s
        if self._plan.time_budget_s is not None:
            needed_s = min(needed_s, max(due_s, self._plan.time_budget_s - self._elapsed_s))
        return f" · at least {units.duration(needed_s)} left" if needed_s else ""
