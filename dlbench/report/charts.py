"""Figures as plain plotly JSON; drawn in the page, beside a table with the same numbers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from dlbench.core import metrics
from dlbench.core.types import Case, CaseResult, Measured, Run

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, told apart by all kinds of colour vision."""

BAR_PX = 36
GAP_PX = 62
MARGIN_PX = 40


def task(case: Case) -> str:
    """What was done, whoever did it."""
    words = [case.workload, str(case.mode)]
    words += [case.arrivals] if case.arrivals else []
    words += [case.variant] if case.variant != "full" else []
    return " ".join(words)


def doer(case: Case) -> str:
    """Who did it: framework, device, and what else was set."""
    words = [case.framework, case.device, str(case.precision), f"batch {case.batch_size}"]
    words += [str(case.policy)] if case.policy != "base" else []
    return " ".join(words)


def throughput(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Bars from zero with 95 % intervals, one panel a task; None when nothing was measured."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    panels = _panels(runs)
    if not panels:
        return None
    n_bars = sum(len(bars) for bars in panels.values())
    height = n_bars * BAR_PX + (len(panels) - 1) * GAP_PX
    figure = make_subplots(
        rows=len(panels),
        cols=1,
        subplot_titles=[f"<b>{html.escape(name)}</b>, samples/s" for name in panels],
        row_heights=[len(bars) for bars in panels.values()],
        vertical_spacing=GAP_PX / height if len(panels) > 1 else 0,
    )
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    colours = _colours(runs)
    for row, bars in enumerate(panels.values(), start=1):
        for label, framework, value in bars:
            low, high = (
                (value.interval.low, value.interval.high)
                if value.interval
                else (value.value, value.value)
            )
            figure.add_trace(
                go.Bar(
                    x=[value.value],
                    y=[html.escape(label)],
                    orientation="h",
                    marker={"color": colours[framework]},
                    error_x={
                        "type": "data",
                        "array": [high - value.value],
                        "arrayminus": [value.value - low],
                        "thickness": 2,
                        "width": 6,
                    },
                    hovertemplate=f"%{{x:.4g}} samples/s<br>95 % {low:.4g} – {high:.4g}"
                    "<extra></extra>",
                    showlegend=False,
                ),
                row=row,
                col=1,
            )
        figure.update_xaxes(rangemode="tozero", row=row, col=1)
        figure.update_yaxes(autorange="reversed", automargin=True, row=row, col=1)
    figure.update_layout(
        template="none",
        height=height + 2 * MARGIN_PX,
        margin={"l": 8, "r": 24, "t": MARGIN_PX, "b": MARGIN_PX},
        bargap=0.35,
    )
    plain: dict[str, Any] = figure.to_plotly_json()
    return {"data": _lists(plain["data"]), "layout": _lists(plain["layout"])}


def _panels(runs: Sequence[Run]) -> dict[str, list[tuple[str, str, Measured]]]:
    """By task, the bars in falling order: label, framework, throughput."""
    many = len(runs) > 1
    panels: dict[str, list[tuple[str, str, Measured]]] = {}
    for run in runs:
        for result in sorted(run.results, key=lambda r: r.case.label):
            value = metrics.compute("throughput_samples_per_s", result, run)
            if isinstance(value, Measured):
                label = doer(result.case) + (f" · {run.environment.machine}" if many else "")
                bars = panels.setdefault(task(result.case), [])
                bars.append((label, result.case.framework, value))
    return {
        name: sorted(bars, key=lambda bar: -bar[2].value) for name, bars in sorted(panels.items())
    }


def _colours(runs: Sequence[Run]) -> dict[str, str]:
    names = sorted({r.case.framework for run in runs for r in run.results})
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def alternative(runs: Sequence[Run]) -> str:
    """The chart in words, for those who do not see it."""
    parts = []
    for name, bars in _panels(runs).items():
        values = ", ".join(f"{label} {value.value:.4g}" for label, _, value in bars)
        parts.append(f"{name}: {values} samples/s")
    return "Throughput. " + "; ".join(parts) + "."


def _lists(value: Any) -> Any:  # noqa: ANN401 - plotly's JSON
    """Plain lists, so that the page's bytes depend on the data alone."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_lists(item) for item in value]
    return value


def results_of(runs: Sequence[Run]) -> list[tuple[Run, CaseResult]]:
    """Every case of every run, in the order of labels."""
    return [(run, r) for run in runs for r in sorted(run.results, key=lambda r: r.case.label)]
