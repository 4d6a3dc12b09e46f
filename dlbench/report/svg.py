"""Charts as SVG that needs no script: positions in per cent, so that they fit any width.

Colours, dashes and type come from classes of report.css, so one drawing serves light, dark and
paper. Every string is escaped by markupsafe; no attribute but a number comes from data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dlbench.core import units

WHOLE = 1000
"""A path's own coordinates go from 0 to this in both directions."""

NEAR = 1e-9
"""A tick this close to an end, relative to the step, is inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From a number to per cent of the width (or height) of a chart; ticks are round in ``unit``."""

    low: float
    high: float
    log: bool = False
    unit: float = 1.0

    def at(self, value: float) -> float:
        """Per cent from the low end, held inside the chart."""
        low, high, x = self.low, self.high, value
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(max(value, self.low))
        share = 0.5 if high == low else (x - low) / (high - low)
        return round(100 * min(1.0, max(0.0, share)), 3)

    def ticks(self, n: int = 5) -> list[float]:
        """Round numbers of units inside, about ``n`` of them."""
        if self.log:
            return _log_ticks(self.low, self.high, n)
        return [t * self.unit for t in _ticks(self.low / self.unit, self.high / self.unit, n)]


def from_zero(values: Sequence[float], unit: Callable[[float], float] | None = None) -> Scale:
    """A scale from zero to a little over the largest: bars begin at zero."""
    high = (max(values, default=0.0) or 1.0) * 1.02
    return Scale(low=0.0, high=high, unit=unit(high) if unit else 1.0)


def around(values: Sequence[float], *, log: bool = False) -> Scale:
    """A scale that holds all values with a margin; logarithmic where all of them are positive."""
    low, high = min(values), max(values)
    if log and low > 0:
        room = max(1.08, (high / low) ** 0.06)
        return Scale(low=low / room, high=high * room, log=True)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Scale(low=low - room, high=high + room)


def _ticks(low: float, high: float, n: int) -> list[float]:
    span = high - low
    if span <= 0:
        return [low]
    rough = span / n
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough * (1 - NEAR))
    first = math.ceil(low / step - NEAR)
    last = math.floor(high / step + NEAR)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, n: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
        found = [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]
        if len(found) >= 3:  # noqa: PLR2004 - fewer do not show a scale
            return found[:: math.ceil(len(found) / (n + 2))]
    return _ticks(low, high, n)


# --- marks ----------------------------------------------------------------------------------


def bar(
    value: float, bounds: tuple[float, float] | None, scale: Scale, *, colour: int, kind: str
) -> Markup:
    """A bar from zero with its interval; ``kind`` is measured or estimated (hatched)."""
    return Markup(
        '<svg class="bar {} c{}" aria-hidden="true"><rect class="track" width="100%" height="100%"/>'
        '<rect class="fill" y="22%" width="{}%" height="56%"/>{}</svg>'
    ).format(kind, colour, scale.at(value), whisker(bounds, scale))


def no_bar() -> Markup:
    """Where a bar would be if there were a number: a dotted line, nothing that looks like zero."""
    return Markup(
        '<svg class="bar absent" aria-hidden="true">'
        '<line class="missing" x1="0" x2="100%" y1="50%" y2="50%"/></svg>'
    )


def whisker(bounds: tuple[float, float] | None, scale: Scale) -> Markup:
    """An interval as a horizontal line with two ends."""
    if bounds is None:
        return Markup()
    low, high = scale.at(bounds[0]), scale.at(bounds[1])
    return Markup(
        '<g class="whisker"><line x1="{0}%" x2="{1}%" y1="50%" y2="50%"/>'
        '<line x1="{0}%" x2="{0}%" y1="34%" y2="66%"/><line x1="{1}%" x2="{1}%" y1="34%" y2="66%"/></g>'
    ).format(low, high)


SHAPES = (
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "M-4.5 -4.5H4.5V4.5H-4.5Z",
    "M0 -6L6 4.5H-6Z",
    "M0 -6.3L6.3 0L0 6.3L-6.3 0Z",
    "M0 6L6 -4.5H-6Z",
    "M-6 -2H-2V-6H2V-2H6V2H2V6H-2V2H-6Z",
)
"""Circle, square, triangle, diamond, triangle down, cross: told apart without colour."""


def point(
    x: float, y: float, *, colour: int, title: str, rows: str = "", hollow: bool = False
) -> Markup:
    """A mark at per cent ``x`` from the left and ``y`` from the bottom, of ``rows`` for the filter."""
    more = Markup(' data-r="{}"').format(rows) if rows else Markup()
    return Markup(
        '<svg class="point{} c{}" x="{}%" y="{}%" overflow="visible"{}><title>{}</title>'
        '<path d="{}"/></svg>'
    ).format(
        " hollow" * hollow, colour, x, round(100 - y, 3), more, title, SHAPES[colour % len(SHAPES)]
    )


def rule(*, x: float | None = None, y: float | None = None, css: str = "grid") -> Markup:
    """A line across the chart at per cent ``x`` or ``y``."""
    if x is not None:
        return Markup('<line class="{}" x1="{}%" x2="{}%" y1="0" y2="100%"/>').format(css, x, x)
    at = round(100 - (y or 0.0), 3)
    return Markup('<line class="{}" x1="0" x2="100%" y1="{}%" y2="{}%"/>').format(css, at, at)


def band(low: float, high: float, css: str) -> Markup:
    """A vertical band from per cent ``low`` to ``high``."""
    return Markup('<rect class="{}" x="{}%" width="{}%" y="0" height="100%"/>').format(
        css, low, round(max(high - low, 0.0), 3)
    )


def path(
    points: Sequence[tuple[float, float]], *, colour: int | str, steps: bool = False
) -> Markup:
    """A line through points in per cent; with ``steps`` it goes right before it goes up.

    ``colour`` numbers a series, or names a colour of report.css, whose line is solid.
    """
    if not points:
        return Markup()
    scaled = [(_whole(x), WHOLE - _whole(y)) for x, y in points]
    parts = [f"M{scaled[0][0]} {scaled[0][1]}"]
    for x, y in scaled[1:]:
        parts.append(f"H{x}V{y}" if steps else f"L{x} {y}")
    return Markup(
        '<svg viewBox="0 0 {0} {0}" preserveAspectRatio="none" width="100%" height="100%">'
        '<path class="line {1}" d="{2}"/></svg>'
    ).format(WHOLE, f"c{colour} d{colour}" if isinstance(colour, int) else colour, "".join(parts))


def _whole(per_cent: float) -> int:
    return round(per_cent * WHOLE / 100)


# --- whole charts ---------------------------------------------------------------------------

Format = Callable[[float], str]


def short(value: float) -> str:
    """A tick's number: 0.25, 40, 1,200, 3.2 M."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5:  # noqa: PLR2004 - from here on a prefix is shorter
        return units.scaled(value, "").rstrip()
    text = f"{value:,.6g}"
    return text if len(text) <= 8 else units.significant(value)  # noqa: PLR2004


def seconds(value: float) -> str:
    """A tick of time: 0, 50 ms, 2.5 s."""
    for factor, unit in ((1e-3, "us"), (1.0, "ms")):
        if 0 < value < factor * (1 - NEAR):
            return f"{value / factor * 1e3:.6g} {unit}"
    return f"{value:.6g} s" if value else "0"


ROUND_TIMES_S = (
    *(m * 10.0**d for d in range(-6, 1) for m in (1, 3)),
    *(10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 3 * 3600.0, 12 * 3600.0),
    *(86400.0 * d for d in (1, 3, 10, 30, 100, 365)),
)

MOST_TIMES = 7

MOST_PLACES = 10

TIME_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def time(value: float) -> str:
    """A tick of a long scale of time: 30 ms, 10 min, 3 h."""
    for size, unit in TIME_UNITS:
        if value >= size * (1 - NEAR):
            return f"{value / size:.3g} {unit}"
    return seconds(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A scale with a title and the form of its numbers; ``times`` where it is a long one of time.

    ``d3_format`` and ``unit`` say the same form to plotly, which makes ticks of its own on a linear
    scale when somebody zooms.
    """

    scale: Scale
    title: str
    form: Format = short
    n_ticks: int = 5
    times: bool = False
    d3_format: str = ""
    unit: str = ""
    places: Sequence[float] = ()

    def ticks(self) -> list[float]:
        """Where numbers stand: at ``places``; else round ones, or times that people name (1 min)."""
        if self.places:
            return list(self.places)[:: math.ceil(len(self.places) / MOST_PLACES)]
        if not self.times:
            return self.scale.ticks(self.n_ticks)
        inside = [t for t in ROUND_TIMES_S if self.scale.low <= t <= self.scale.high]
        if not inside:
            return self.scale.ticks(self.n_ticks)
        return inside[:: math.ceil(len(inside) / MOST_TIMES)]


def plot(
    marks: Markup, x: Axis, y: Axis, alternative: str, *, figure: Markup, css: str = ""
) -> Markup:
    """A framed chart: grid, ticks, marks, both titles, its text alternative, and plotly's figure."""
    grid = Markup().join(
        [
            *(rule(x=x.scale.at(t)) for t in x.ticks()),
            *(rule(y=y.scale.at(t)) for t in y.ticks()),
        ]
    )
    labels = Markup().join(
        [
            *(
                Markup('<text class="tick x" x="{}%" y="100%" dy="1.35em">{}</text>').format(
                    x.scale.at(t), x.form(t)
                )
                for t in x.ticks()
            ),
            *(
                Markup('<text class="tick y" x="0" dx="-.5em" y="{}%" dy=".35em">{}</text>').format(
                    round(100 - y.scale.at(t), 3), y.form(t)
                )
                for t in y.ticks()
            ),
        ]
    )
    return Markup(
        '<div class="plot {}"><p class="axis-title" aria-hidden="true">{}</p>'
        '<svg class="area" role="img" aria-label="{}">{}{}{}</svg>'
        '<p class="axis-title x" aria-hidden="true">{}</p>{}</div>'
    ).format(css, y.title, alternative, grid, marks, labels, x.title, figure)


def axis_row(scale: Scale, form: Format) -> Markup:
    """The numbers under a column of bars."""
    return Markup('<svg class="bar-axis" aria-hidden="true">{}</svg>').format(
        Markup().join(
            Markup(
                '<line x1="{0}%" x2="{0}%" y1="0" y2="5"/><text x="{0}%" y="17">{1}</text>'
            ).format(scale.at(t), form(t))
            for t in scale.ticks(4)
        )
    )


LEGEND_LINE = Markup('<line class="line c{0} d{0}" x1="0" x2="26" y1="7" y2="7"/>')
LEGEND_MARK = Markup(
    '<svg class="point c{0}" x="13" y="7" overflow="visible"><path d="{1}"/></svg>'
)


def legend(entries: Sequence[tuple[int, str, str]], *, dots: bool = False) -> Markup:
    """Colour, row numbers and words of each series."""
    sign = LEGEND_MARK if dots else LEGEND_LINE
    item = Markup(
        '<li data-any="{}"><svg width="26" height="14" aria-hidden="true">{}</svg> {}</li>'
    )
    return Markup('<ul class="legend">{}</ul>').format(
        Markup().join(
            item.format(rows, sign.format(colour, SHAPES[colour % len(SHAPES)]), words)
            for colour, rows, words in entries
        )
    )
