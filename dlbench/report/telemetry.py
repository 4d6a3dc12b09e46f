"""What the sampler read while a trial ran: power, clocks, heat, use, on the axis of its values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from markupsafe import Markup

from dlbench.core import tracks
from dlbench.core.energy import Point
from dlbench.core.types import Absent, Trial
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

BEFORE_S = 1.0
"""Readings from so long before the first value are drawn too."""

TABLE = """
<div class="scroll" tabindex="0" role="region" aria-label="Table: what was read"><table>
<thead><tr><th scope="col">Quantity</th><th scope="col">Source</th><th scope="col" class="number">Readings</th><th scope="col" class="number">Least</th><th scope="col" class="number">Mean</th><th scope="col" class="number">Most</th></tr></thead>
<tbody>{% for line in lines %}<tr><th scope="row">{{ line.quantity }}</th><td>{{ line.source }}</td>
{%- if line.absent %}<td colspan="4"><span class="absent">absent</span> {{ line.absent }}</td>{% else %}<td class="number">{{ line.n }}</td><td class="number">{{ line.least }}</td><td class="number">{{ line.mean }}</td><td class="number">{{ line.most }}</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
"""


def charts(trial: Trial, title: str, start_s: float, steady_s: float) -> Markup:
    """A chart for each quantity that was read, ``start_s`` on the host's clock being zero.

    ``steady_s`` is how long after it the warm-up ended.
    """
    end_s = max(v.start_s + v.duration_s for v in trial.values)
    found = []
    for quantity, words in SHOWN:
        points = _points(trial, quantity)
        shown = (
            [] if isinstance(points, Absent) else tracks.within(points, start_s - BEFORE_S, end_s)
        )
        if len(shown) > 1:
            relative = [(t_s - start_s, value) for t_s, value in shown]
            found.append(_chart(f"{words}, {title}", words, relative, steady_s))
    return Markup().join(found)


def _points(trial: Trial, quantity: str) -> list[Point] | Absent:
    if quantity == tracks.POWER:
        power = tracks.power_points(trial.tracks)
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


def _chart(title: str, words: str, points: list[Point], steady_s: float) -> Markup:
    values = [value for _, value in points]
    x = svg.Scale(low=min(0.0, points[0][0]), high=max(points[-1][0], steady_s) * 1.03 or 1.0)
    y = svg.from_zero(values)
    marks = svg.band(x.at(0.0), x.at(steady_s), "warm-up") if steady_s > 0 else Markup()
    marks += svg.path([(x.at(t), y.at(v)) for t, v in thinned(points)], colour=2)
    return svg.plot(
        marks,
        svg.Axis(scale=x, title="seconds since the first value"),
        svg.Axis(scale=y, title=words, n_ticks=3),
        f"{title}: {len(values)} readings between {min(values):.4g} and {max(values):.4g}",
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
        "absent": "",
        "n": len(values),
        "least": svg.short(min(values)),
        "mean": svg.short(tracks.mean(found)),
        "most": svg.short(max(values)),
    }
