"""What the sampler read while a trial ran: power, clocks, heat, use, on the axis of its values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dlbench.core import telemetry, tracks
from dlbench.core.energy import Point
from dlbench.core.types import Absent, Trial
from dlbench.report import charts as figures
from dlbench.report import svg
from dlbench.report.render import reason, render

SHOWN = (
    ("power_w", "power, W"),
    ("sm_clock_mhz", "clock, MHz"),
    ("temperature_c", "temperature, °C"),
    ("utilisation_percent", "device in use, %"),
    ("cpu_s", "processors in use"),
    ("rss_mib", "memory of the process, MiB"),
)
"""Quantities in the order in which they explain a speed, and what their axes say."""

CPU_SECONDS = "cpu_s"
"""Runs up while a process works: its rise a second is how many processors it keeps busy."""

MOST_POINTS = 240
"""More readings than this are drawn as the mean of neighbours; the document has all of them."""

TABLE = """
<div class="scroll" tabindex="0" role="region" aria-label="Table: what was read"><table>
<thead><tr><th scope="col">Quantity</th><th scope="col">Source</th><th scope="col" class="number">Readings</th><th scope="col" class="number">Least</th><th scope="col" class="number">Mean</th><th scope="col" class="number">Most</th></tr></thead>
<tbody>{% for line in lines %}<tr><th scope="row">{{ line.quantity }}</th><td>{{ line.source }}</td>
{%- if line.absent is not none %}<td colspan="4"><span class="absent">absent</span> {{ line.absent }}</td>{% else %}<td class="number">{{ line.n }}</td><td class="number">{{ line.least }}</td><td class="number">{{ line.mean }}</td><td class="number">{{ line.most }}</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all charts of a trial share: zero on the host's clock, the axis, and what is shaded."""

    start_s: float
    end_s: float
    x: svg.Scale
    spans: tuple[figures.Span, ...]

    @property
    def bands(self) -> Markup:
        """What is shaded, as SVG."""
        return Markup().join(
            svg.band(self.x.at(s.start), self.x.at(s.end), s.css) for s in self.spans
        )


def frame(trial: Trial) -> Frame:
    """From the first value to the end of the last energy window, or of the last value."""
    start_s = (*trial.warm_up, *trial.values)[0].start_s
    steady_s = trial.values[0].start_s - start_s
    spans = [(v.start_s - start_s, v.start_s + v.duration_s - start_s) for v in trial.energy]
    last = max([v.start_s + v.duration_s - start_s for v in trial.values] + [s[1] for s in spans])
    x = svg.Scale(low=0.0, high=last * 1.02)
    shaded = [figures.Span(start=0.0, end=steady_s, css="warm-up")] if steady_s > 0 else []
    if spans:
        first, end = min(s[0] for s in spans), max(s[1] for s in spans)
        shaded.append(figures.Span(start=first, end=end, css="energy-window"))
    return Frame(start_s=start_s, end_s=start_s + last, x=x, spans=tuple(shaded))


def charts(trial: Trial, title: str, frame: Frame) -> Markup:
    """A chart for each quantity that was read."""
    found = []
    for quantity, words in SHOWN:
        points = _points(trial, quantity)
        read = (
            [] if isinstance(points, Absent) else tracks.within(points, frame.start_s, frame.end_s)
        )
        if len(read) > 1:
            relative = [(t_s - frame.start_s, value) for t_s, value in read]
            found.append(_chart(f"{words}, {title}", words, relative, frame))
    return Markup().join(found)


def _points(trial: Trial, quantity: str) -> list[Point] | Absent:
    if quantity == tracks.POWER:
        power = tracks.power_points(telemetry.device_tracks(trial))
        return power if isinstance(power, Absent) else power[0]
    found = tracks.points(trial.tracks, quantity)
    if quantity == CPU_SECONDS and not isinstance(found, Absent):
        return [
            (t1, max(0.0, (s1 - s0) / (t1 - t0)))
            for (t0, s0), (t1, s1) in itertools.pairwise(found)
            if t1 > t0
        ]
    return found


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most ``most`` points, each the mean of as many neighbours."""
    every = math.ceil(len(points) / most)
    parts = [points[i : i + every] for i in range(0, len(points), every)]
    return [
        (math.fsum(t for t, _ in part) / len(part), math.fsum(v for _, v in part) / len(part))
        for part in parts
    ]


def _chart(title: str, words: str, points: list[Point], frame: Frame) -> Markup:
    values = [value for _, value in points]
    x, y = frame.x, svg.from_zero(values)
    drawn = thinned(points)
    series = figures.Series(
        name=words,
        points=drawn,
        says=[f"{t_s:.2f} s: {value:.4g}, {words}" for t_s, value in drawn],
    )
    across = svg.Axis(scale=x, title="seconds since the first value")
    upright = svg.Axis(scale=y, title=words, n_ticks=3)
    return svg.plot(
        frame.bands + svg.path([(x.at(t), y.at(v)) for t, v in drawn], colour=0),
        across,
        upright,
        f"{title}: {len(values)} readings between {min(values):.4g} and {max(values):.4g}",
        figure=figures.figure([series], across, upright, spans=frame.spans).element,
        css="short",
    )


def table(trial: Trial) -> Markup:
    """Each quantity of each source: how often it was read, and between which bounds."""
    lines = [
        _line(track.source, column.quantity, trial)
        for track in trial.tracks
        for column in track.columns
    ]
    return render(TABLE, lines=lines) if lines else Markup()


def _line(source: str, quantity: str, trial: Trial) -> dict[str, object]:
    found = tracks.points([t for t in trial.tracks if t.source == source], quantity)
    line: dict[str, object] = {"quantity": quantity.replace("_", " "), "source": source}
    if isinstance(found, Absent):
        return {**line, "absent": reason(found)}
    values = [value for _, value in found]
    return {
        **line,
        "absent": None,
        "n": len(values),
        "least": svg.short(min(values)),
        "mean": svg.short(tracks.mean(found)),
        "most": svg.short(max(values)),
    }
