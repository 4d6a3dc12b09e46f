"""The charts again as plotly figures, which the page's script puts in the place of the SVG.

Values are those that the SVG was drawn from, in their own units. Colours are numbers in ``meta``,
which the script turns into those of its theme; so are the rows that the filter knows. plotly reads
HTML and templates in labels, so every string passes ``label``.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from dlbench.report import svg
from dlbench.report.render import json_for_script

MARK = Markup('class="figure"')
"""By this the page's script, and its builder, know that there is something to draw."""

MOST_LETTERS = 120
"""A longer label is cut: one box beside the pointer has to hold it."""

SAYS = "%{customdata}<extra></extra>"
"""The only template: a point says its words, and nothing else."""

DIGITS = 6
"""Significant digits of a coordinate: more than a screen has points."""

DASHES = ("solid", "9px,4px", "2.5px,3px", "11px,3px,2px,3px", "5px,2px", "1px,4px", "15px,4px", "6px,2px,1px,2px")  # fmt: skip
"""Of the lines d0 to d7 in report.css."""

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
"""Of the dots in svg.SHAPES."""

Bounds = tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points in the units of their axes.

    ``rows``: the row that all points belong to, or one for each point. ``says``: what each point
    answers to the pointer. ``colour`` numbers line and dots, or names one of report.css; ``hues`` dots one by one. ``labels``
    stand beside dots, whose diameters in pixels are ``sizes``. ``ways`` are numbers that a deadline
    or a budget greys out.
    """

    name: str
    points: Sequence[tuple[float, float]]
    says: Sequence[str]
    colour: int | str = 0
    rows: Sequence[int] = ()
    mode: str = "lines"
    steps: bool = False
    hues: Sequence[int | str] = ()
    labels: Sequence[str] = ()
    sizes: Sequence[float] = ()
    x_bounds: Sequence[Bounds] = ()
    y_bounds: Sequence[Bounds] = ()
    hollow: Sequence[bool] = ()
    ways: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of the x axis that is shaded; ``css`` is its class in the SVG."""

    start: float
    end: float
    css: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What plotly draws: traces and layout as plain data."""

    data: list[dict[str, Any]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)

    @property
    def element(self) -> Markup:
        """As JSON for the page's script."""
        data = json_for_script({"data": self.data, "layout": self.layout})
        return Markup('<script type="application/json" {}>{}</script>').format(MARK, data)


def label(text: str) -> str:
    """Text that plotly shows as it is: no tag, no entity, no template, no control character."""
    cut = text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
    plain = "".join(max(c, " ") for c in cut)
    return html.escape(plain, quote=False).replace("%{", "%&#123;")


def figure(
    series: Sequence[Series], x: svg.Axis, y: svg.Axis, *, spans: Sequence[Span] = ()
) -> Figure:
    """The figure of some series on two axes."""
    import plotly.graph_objects as go

    return drawn([go.Scatter(**_scatter(s)) for s in series], x, y, spans=spans)


def drawn(
    traces: Sequence[Any], x: svg.Axis, y: svg.Axis | None = None, *, spans: Sequence[Span] = ()
) -> Figure:
    """Traces on our axes, as plain data; without ``y``, lines of a table stand for it."""
    import plotly.graph_objects as go

    title = {"text": label(x.title), "standoff": 8}
    upright = {"yaxis": _axis(y), "annotations": [_title(y.title)]} if y else {}
    layout = go.Layout(
        template=go.layout.Template(),
        xaxis={**_axis(x), "title": title},
        shapes=[_shade(s) for s in spans],
        showlegend=False,
        hovermode="closest",
        **upright,
    )
    plain = go.Figure(data=traces, layout=layout).to_plotly_json()
    return Figure(data=plain["data"], layout=plain["layout"])


def _scatter(series: Series) -> dict[str, Any]:
    meta = {name: list(getattr(series, name)) for name in ("rows", "hues", "hollow", "ways")}
    number = series.colour if isinstance(series.colour, int) else 0
    hues = [h if isinstance(h, int) else 0 for h in series.hues] or [number]
    symbols = [SYMBOLS[h % len(SYMBOLS)] for h in hues]
    return {
        "name": label(series.name),
        "x": [rounded(x) for x, _ in series.points],
        "y": [rounded(y) for _, y in series.points],
        "mode": series.mode + ("+text" if series.labels else ""),
        "text": [label(t) for t in series.labels] or None,
        "textposition": "top right" if series.labels else None,
        "customdata": [label(t) for t in series.says],
        "hovertemplate": SAYS,
        "line": {
            "shape": "hv" if series.steps else "linear",
            "dash": DASHES[number % len(DASHES)],
            "width": 2.25,
        },
        "marker": {
            "symbol": symbols if series.hues else symbols[0],
            "size": [rounded(s) for s in series.sizes] or 8,
            "opacity": 1,
        },
        "error_x": errors([x for x, _ in series.points], series.x_bounds),
        "error_y": errors([y for _, y in series.points], series.y_bounds),
        "meta": {"colour": series.colour, **{name: v for name, v in meta.items() if v}},
    }


def rounded(value: float) -> float:
    """As precise as can be seen."""
    return float(f"{value:.{DIGITS}g}")


def errors(
    values: Sequence[float], bounds: Sequence[Bounds], *, thickness: float = 1, cap: int = 0
) -> dict[str, Any] | None:
    """From each value to the ends of its interval; nothing where there is none."""
    if not any(bounds):
        return None
    pairs = list(zip(values, bounds, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [rounded(b[1] - v) if b else None for v, b in pairs],
        "arrayminus": [rounded(v - b[0]) if b else None for v, b in pairs],
        "width": cap,
        "thickness": thickness,
    }


def _axis(axis: svg.Axis) -> dict[str, Any]:
    scale = axis.scale
    kind: dict[str, Any] = {"range": [scale.low, scale.high], "zeroline": False}
    if scale.log:
        kind = {"type": "log", "range": [math.log10(scale.low), math.log10(scale.high)]}
    if axis.times or axis.places or scale.log or scale.unit != 1:
        ticks = axis.ticks()
        return {**kind, "tickvals": ticks, "ticktext": [label(axis.form(t)) for t in ticks]}
    return {
        **kind,
        "tickformat": axis.d3_format,
        "ticksuffix": axis.unit,
        "nticks": axis.n_ticks + 2,
    }


def _title(words: str) -> dict[str, Any]:
    """Over the chart's left end, where it can be read without turning one's head."""
    return {
        "text": label(words),
        "xref": "x domain",
        "yref": "paper",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "xshift": -44,
        "yshift": 9,
        "showarrow": False,
    }


def _shade(span: Span) -> dict[str, Any]:
    return {
        "type": "rect", "name": span.css, "xref": "x", "yref": "paper", "layer": "below",
        "x0": rounded(span.start), "x1": rounded(span.end), "y0": 0, "y1": 1, "line": {"width": 0},
    }  # fmt: skip
