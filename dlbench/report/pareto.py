"""Cost against time: what more money buys, and what it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core import units
from dlbench.core.recommendation import Recommendation
from dlbench.core.types import Absent, Metric
from dlbench.report import candidates, charts, svg
from dlbench.report.candidates import Way
from dlbench.report.render import render

LEAST_PX, MOST_PX = 5.0, 15.0
"""Radius of a dot, whose area follows the carbon."""

TEMPLATE = """
<h3>Cost against time</h3>
<p>Each way as a dot with the numbers of the table: further left is sooner, further down is cheaper; both axes are logarithmic. Lines through a dot hold nine
of ten outcomes; a larger dot emits more carbon, a hollow one is of unknown carbon. The thin line joins those that no other
beats in both.{% if limits %} Dashed lines are the limits.{% endif %}</p>
<figure>{{ chart }}</figure>
"""


Span = tuple[float, float]


def figure(answer: Recommendation, found: Sequence[Way], spans: tuple[Span, Span]) -> Markup:
    """The chart, where both numbers are known of some way; ``spans`` are of time and cost."""
    ways = [w for w in found if _known(answer, w)]
    if not ways:
        return Markup()
    x, y = (svg.Scale(low=low, high=high, log=True) for low, high in spans)
    carbon = [c for w in ways if (c := candidates.middle(w.candidate.carbon_g))]
    marks = _front(answer, ways, x, y) + _limits(answer, x, y)
    marks += Markup().join(_dot(answer, w, x, y, max(carbon, default=1.0)) for w in ways)
    words = "; ".join(_words(answer, w) for w in ways)
    title = "p99" if answer.need.serving else "time"
    across = svg.Axis(scale=x, title=title, form=svg.time, times=True)
    upright = svg.Axis(scale=y, title="cost", form=lambda v: f"${svg.short(v)}")
    series = [*_joined(answer, ways), _dots(answer, ways, max(carbon, default=1.0))]
    chart = svg.plot(
        marks,
        across,
        upright,
        f"Cost against time, both logarithmic: {words}",
        figure=charts.figure(series, across, upright).element,
        css="tall",
    )
    return render(TEMPLATE, chart=chart, limits=any(candidates.limits(answer)))


def _numbers(answer: Recommendation, way: Way) -> tuple[float, float]:
    """Seconds and dollars of a way that has both."""
    time = candidates.middle(candidates.time_of(answer, way.candidate)) or 0.0
    return time, candidates.middle(way.candidate.cost_usd) or 0.0


def _joined(answer: Recommendation, ways: Sequence[Way]) -> list[charts.Series]:
    """The thin line through those that no other beats."""
    front = sorted((_numbers(answer, w), w) for w in ways if w.front)
    if len(front) < 2:  # noqa: PLR2004 - a line has two ends
        return []
    return [
        charts.Series(
            name="beaten by none in both",
            points=[at for at, _ in front],
            says=[_words(answer, way) for _, way in front],
            colour=6,
        )
    ]


def _dots(answer: Recommendation, ways: Sequence[Way], most_g: float) -> charts.Series:
    return charts.Series(
        name="ways",
        points=[_numbers(answer, w) for w in ways],
        says=[_words(answer, w) for w in ways],
        mode="markers",
        hues=["good" if w.role == "pick" else 0 for w in ways],
        labels=[str(w.number) for w in ways],
        sizes=[2 * _radius(w, most_g) for w in ways],
        hollow=[candidates.middle(w.candidate.carbon_g) is None for w in ways],
        x_bounds=[_bounds(candidates.time_of(answer, w.candidate)) for w in ways],
        y_bounds=[_bounds(w.candidate.cost_usd) for w in ways],
        ways=[w.number for w in ways],
    )


def _bounds(value: Metric) -> charts.Bounds:
    if isinstance(value, Absent) or value.interval is None:
        return None
    return value.interval.low, value.interval.high


def _radius(way: Way, most_g: float) -> float:
    grams = candidates.middle(way.candidate.carbon_g)
    return LEAST_PX if grams is None else max(LEAST_PX, MOST_PX * math.sqrt(grams / most_g))


def _known(answer: Recommendation, way: Way) -> bool:
    values = (candidates.time_of(answer, way.candidate), way.candidate.cost_usd)
    return not any(isinstance(v, Absent) for v in values)


def _at(answer: Recommendation, way: Way, x: svg.Scale, y: svg.Scale) -> tuple[float, float]:
    time, cost = _numbers(answer, way)
    return x.at(time), y.at(cost)


def _words(answer: Recommendation, way: Way) -> str:
    time, cost = _numbers(answer, way)
    grams = candidates.middle(way.candidate.carbon_g)
    carbon = "carbon unknown" if grams is None else f"{candidates.kg(grams)} CO2e"
    return (
        f"No. {way.number}, {way.candidate.hardware}: {units.duration(time)}, "
        f"{candidates.usd(cost)}, {carbon}"
    )


def _front(answer: Recommendation, ways: list[Way], x: svg.Scale, y: svg.Scale) -> Markup:
    return svg.path(sorted(_at(answer, w, x, y) for w in ways if w.front), colour=6)


def _limits(answer: Recommendation, x: svg.Scale, y: svg.Scale) -> Markup:
    """Both lines, hidden where there is no such limit; the script moves them."""
    time, cost = candidates.limits(answer)
    return Markup(
        '<g id="limit-time" class="limit"{}>{}</g><g id="limit-cost" class="limit"{}>{}</g>'
    ).format(
        Markup("") if time else Markup(" hidden"),
        svg.rule(x=x.at(time or x.high), css="limit"),
        Markup("") if cost else Markup(" hidden"),
        svg.rule(y=y.at(cost or y.high), css="limit"),
    )


def _dot(answer: Recommendation, way: Way, x: svg.Scale, y: svg.Scale, most_g: float) -> Markup:
    left, up = _at(answer, way, x, y)
    grams = candidates.middle(way.candidate.carbon_g)
    radius = _radius(way, most_g)
    return Markup(
        '<g class="way{}" data-dot="{}"><title>{}</title>{}{}<circle cx="{}%" cy="{}%" r="{}"/>'
        '<text x="{}%" y="{}%" dx="{}" dy="-.5em">{}</text></g>'
    ).format(
        (" unknown" if grams is None else "") + (" pick" if way.role == "pick" else ""),
        way.number,
        _words(answer, way),
        _across(candidates.time_of(answer, way.candidate), x, up),
        _upright(way.candidate.cost_usd, y, left),
        left,
        round(100 - up, 3),
        round(radius, 1),
        left,
        round(100 - up, 3),
        round(radius + 2),
        way.number,
    )


def _across(value: Metric, x: svg.Scale, up: float) -> Markup:
    if isinstance(value, Absent) or value.interval is None:
        return Markup()
    return Markup('<line x1="{0}%" x2="{1}%" y1="{2}%" y2="{2}%"/>').format(
        x.at(value.interval.low), x.at(value.interval.high), round(100 - up, 3)
    )


def _upright(value: Metric, y: svg.Scale, left: float) -> Markup:
    if isinstance(value, Absent) or value.interval is None:
        return Markup()
    low, high = (round(100 - y.at(v), 3) for v in (value.interval.low, value.interval.high))
    return Markup('<line x1="{0}%" x2="{0}%" y1="{1}%" y2="{2}%"/>').format(left, low, high)
