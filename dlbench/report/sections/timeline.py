"""One trial over time: how it warmed up, and whether it was steady when it counted."""

from __future__ import annotations

import statistics

from markupsafe import Markup

from dlbench.core import metrics
from dlbench.core.types import CaseResult, Run, Trial, Value
from dlbench.report import charts, svg, telemetry
from dlbench.report.content import Content, doer, origins, task
from dlbench.report.render import render

ORDER = 32
TITLE = "Over time"

MOST_TRIALS = 60
"""One trial a case is drawn, of this many cases at most: the rest is in the documents."""

TEMPLATE = """
<p>Each value of one trial, in the order in which it was measured, and under it what was read meanwhile. The shaded part
at the left is warm-up and does not count; the one at the right, where there is one, is the window in which energy was measured. Of each case the trial of median speed is shown.</p>
<p class="control" data-script hidden><label for="trial">Trial</label>
<select id="trial">{% for t in trials %}<option value="{{ loop.index0 }}">{{ t.title }}</option>{% endfor %}</select></p>
{% for t in trials %}
<figure class="trial" data-trial="{{ loop.index0 }}" data-r="{{ t.number }}"{% if not loop.first %} hidden{% endif %}>
<figcaption>{{ t.title }}, trial {{ t.round }}</figcaption>
{{ t.charts }}
<details><summary>The numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="Table: values of {{ t.title }}"><table>
<thead><tr><th scope="col" class="number">From start</th><th scope="col">Part</th><th scope="col" class="number">Samples/s</th></tr></thead>
<tbody>{% for at, part, speed in t.lines %}<tr><td class="number">{{ '%.2f' | format(at) }} s</td><td>{{ part }}</td><td class="number">{{ '%.4g' | format(speed) }}</td></tr>
{% endfor %}</tbody></table></div>{{ t.readings }}</details>
</figure>
{% endfor %}
{% if n_more > 0 %}<p>{{ n_more }} further cases are in the data, not here.</p>{% endif %}
"""


def html(content: Content) -> Markup | None:
    """A figure a case, one of them in view."""
    found = [
        (run, result, trial)
        for run in content.runs
        for result in sorted(run.results, key=lambda r: r.case.label)
        if (trial := _typical(result)) is not None
    ]
    if not found:
        return None
    return render(
        TEMPLATE,
        trials=[_shown(content, *entry) for entry in found[:MOST_TRIALS]],
        n_more=len(found) - MOST_TRIALS,
    )


def _typical(result: CaseResult) -> Trial | None:
    """The measured trial nearest to the median of all."""
    trials = [t for t in result.measured if t.values]
    if not trials:
        return None
    speeds = {t.round: metrics.trial_seconds_per_sample(t) for t in trials}
    middle = statistics.median(speeds.values())
    return min(trials, key=lambda t: (abs(speeds[t.round] - middle), t.round))


def _shown(content: Content, run: Run, result: CaseResult, trial: Trial) -> dict[str, object]:
    number = content.number(run, result.case)
    row = content.rows[number]
    title = f"{task(row.case)}: {doer(row, origins(content.rows)[number])}"
    values = [*trial.warm_up, *trial.values]
    start_s = values[0].start_s
    frame = telemetry.frame(trial)
    lines = [
        (v.start_s - start_s, "warm-up" if i < len(trial.warm_up) else "steady", _speed(v))
        for i, v in enumerate(values)
    ]
    return {
        "title": title,
        "number": number,
        "round": trial.round + 1,
        "lines": lines,
        "charts": _chart(title, lines, frame) + telemetry.charts(trial, title, frame),
        "readings": telemetry.table(trial),
    }


def _speed(value: Value) -> float:
    return value.n_samples / value.duration_s


def _chart(title: str, lines: list[tuple[float, str, float]], frame: telemetry.Frame) -> Markup:
    x = frame.x
    y = svg.from_zero([speed for _, _, speed in lines])
    marks = frame.bands + svg.path([(x.at(at), y.at(speed)) for at, _, speed in lines], colour=0)
    marks += Markup().join(
        svg.point(
            x.at(at),
            y.at(speed),
            colour=0 if part == "steady" else 1,
            title=_says(at, part, speed),
        )
        for at, part, speed in lines
    )
    steady = [speed for _, part, speed in lines if part == "steady"]
    across = svg.Axis(scale=x, title="seconds since the first value")
    upright = svg.Axis(scale=y, title="samples/s", n_ticks=4)
    return svg.plot(
        marks,
        across,
        upright,
        f"Samples a second over time, {title}: {len(lines) - len(steady)} values of warm-up, then "
        f"{len(steady)} steady ones between {min(steady):.4g} and {max(steady):.4g}",
        figure=charts.figure([_series(lines)], across, upright, spans=frame.spans).element,
        css="short",
    )


def _says(at: float, part: str, speed: float) -> str:
    return f"{part}, {at:.2f} s: {speed:.4g} samples/s"


def _series(lines: list[tuple[float, str, float]]) -> charts.Series:
    return charts.Series(
        name="samples/s",
        points=[(at, speed) for at, _, speed in lines],
        says=[_says(*line) for line in lines],
        mode="lines+markers",
        hues=[0 if part == "steady" else 1 for _, part, _ in lines],
    )
