"""Plotly figures whose marks stand in the lines of a table: bars, and ratios with their intervals.

A mark's y is the number of its line; the page's script puts it where that line is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlbench.report import charts, svg
from dlbench.report.charts import Bounds, Figure, Span, label, rounded

ESTIMATED_HUE = 6
"""The grey of hatched bars in report.css."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A number in a line of the table: its interval, its hue, and what it answers to the pointer."""

    line: int
    value: float
    bounds: Bounds
    says: str
    hue: int | str = 0
    estimated: bool = False


def bars(name: str, marks: Sequence[Mark], x: svg.Axis) -> Figure:
    """A bar from zero for each mark, hatched where it is estimated."""
    import plotly.graph_objects as go

    bar = go.Bar(
        **_shared(name, marks),
        orientation="h",
        marker={
            "pattern": {
                "shape": ["/" if m.estimated else "" for m in marks],
                "fillmode": "replace",
                "size": 7,
                "solidity": 0.45,
            }
        },
        meta={
            "colour": 0,
            "hues": [ESTIMATED_HUE if m.estimated else m.hue for m in marks],
            "whisker": "ink",
        },
    )
    return charts.drawn([bar], x)


def ratios(
    groups: Sequence[tuple[str, str, Sequence[Mark]]], x: svg.Axis, spans: Sequence[Span]
) -> Figure:
    """Dots with intervals: of each group its name, its hue, and its marks; hollow where in doubt."""
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            **_shared(name, marks),
            mode="markers",
            marker={"size": 10},
            meta={
                "colour": 0,
                "hues": [hue] * len(marks),
                "hollow": [hue == "open"] * len(marks),
                "whisker": hue if hue == "open" else "ink",
            },
        )
        for name, hue, marks in groups
    ]
    return charts.drawn(traces, x, spans=spans)


def _shared(name: str, marks: Sequence[Mark]) -> dict[str, Any]:
    return {
        "name": label(name),
        "x": [rounded(m.value) for m in marks],
        "y": [m.line for m in marks],
        "customdata": [label(m.says) for m in marks],
        "hovertemplate": charts.SAYS,
        "error_x": charts.errors(
            [m.value for m in marks], [m.bounds for m in marks], thickness=1.75, cap=5
        ),
    }
