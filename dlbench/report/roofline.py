"""The measured roofline of each machine, device and precision: a part of the section on ceilings.

A case is a line, not a point, where nobody measured how many bytes it moves: see analysis/ceiling.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from dlbench.analysis import ceiling
from dlbench.analysis.ceiling import Key, Place, Roofline
from dlbench.analysis.rows import Row
from dlbench.core import units
from dlbench.core.types import Absent
from dlbench.report import charts, svg
from dlbench.report.content import Content, framework, origins, setting, task
from dlbench.report.render import render

MOST_LINES = 8
"""As many as there are colours: the highest of each task, then the highest. The rest is in the table."""

MOST_ROOFS = 12
"""Charts of more machines than this are not looked at one by one."""

BEYOND_RIDGE = 40.0
"""The x axis ends at so many times the ridge: all that lies further right is alike."""

TEMPLATE = """
<h3 class="sub">Roofline</h3>
<p>Operations a second against operations a byte of memory, both logarithmic. The roof is measured: the slope by <code>{{ triad }}</code>,
the flat part by {{ micro }}. How high a case is was measured too. <strong>How many bytes it moves was not</strong>, so most cases are
lines: each begins at the least intensity that the memory's speed leaves possible, and the case is somewhere on it. One that begins
near the bend uses what the arithmetic gives; what holds back the others, memory or something else, this chart cannot tell.</p>
{% for one in drawn %}
<figure data-panel><figcaption>{{ one.title }}</figcaption>{{ one.legend }}{{ one.chart }}
<p class="note">{{ one.words }}{% if one.n_more > 0 %} {{ one.n_more }} more case{{ 's are' if one.n_more > 1 else ' is' }} in the table only.{% endif %}</p>
<details><summary>The numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="Table: roofline of {{ one.title }}"><table>
<thead><tr><th scope="col">Case</th><th scope="col" class="number">FLOP/s</th><th scope="col" class="number">FLOP a byte</th></tr></thead>
<tbody>{% for case in one.cases %}
<tr data-r="{{ case.number }}"><th scope="row">{{ case.task }} <span class="doer">{{ case.doer }}</span></th><td class="number"><span class="estimated">{{ case.flops }}</span></td>
<td class="number"><span class="estimated">{{ case.intensity }}</span></td></tr>
{% endfor %}</tbody></table></div></details></figure>
{% endfor %}
{% if n_more %}<p>{{ n_more }} further roofline{{ 's are' if n_more > 1 else ' is' }} not drawn; what {{ 'they are' if n_more > 1 else 'it is' }} made of is in the data.</p>{% endif %}
"""

NONE = """
<h3 class="sub">Roofline</h3>
<p><span class="absent">absent</span> The memory's speed was not measured here beside {{ micro }}: <code>dlbench run {{ triad }}</code>.</p>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A case with its number among the rows, and its place under the roof."""

    number: int
    row: Row
    place: Place
    when: str

    @property
    def task(self) -> str:
        """What was done."""
        return task(self.row.case)

    @property
    def doer(self) -> str:
        """Who did it, and how; device and precision are those of the roof."""
        case = self.row.case
        how = setting(case).removeprefix(f"{case.device}, {case.precision}, ")
        return ", ".join(word for word in (framework(case), how, self.when) if word)

    @property
    def flops(self) -> str:
        """Its height: operations are counted from the model."""
        return "≈ " + units.scaled(self.place.flops_per_s, "FLOP/s")

    @property
    def intensity(self) -> str:
        """Its place, or the least of it."""
        return ("≈ " if self.place.exact else "≥ ") + units.significant(self.place.flop_per_byte)

    @property
    def words(self) -> str:
        """All of it in a line."""
        return f"{self.task}, {self.doer}: {self.flops}, {self.intensity} FLOP/byte"


def html(content: Content) -> Markup:
    """A chart and a table for each roofline; or what would make one."""
    lines = ceiling.rooflines(content.rows)
    micro = " or ".join(ceiling.MICRO)
    if not lines:
        return render(NONE, micro=micro, triad=ceiling.TRIAD)
    many = len(content.machines) > 1
    drawn = [
        _figure(of, lines[of], _placed(content, of, lines[of]), _where(of, lines, many=many))
        for of in sorted(lines)[:MOST_ROOFS]
    ]
    return render(
        TEMPLATE,
        drawn=drawn,
        micro=micro,
        triad=ceiling.TRIAD,
        n_more=max(0, len(lines) - MOST_ROOFS),
    )


def _placed(content: Content, of: Key, roofline: Roofline) -> list[Placed]:
    """The cases under a roof, highest first, without those that it is made of."""
    told = origins(content.rows)
    found = [
        Placed(
            number=i,
            row=row,
            place=place,
            # The machine is the chart's.
            when=told[i].removeprefix(row.machine).removeprefix(", "),
        )
        for i, row in enumerate(content.rows)
        if ceiling.key(row) == of
        and row.case.workload not in ceiling.MICRO
        and not isinstance(place := ceiling.place(row, roofline), Absent)
    ]
    return sorted(found, key=lambda case: (-case.place.flops_per_s, case.number))


def _shown(cases: list[Placed]) -> list[Placed]:
    """So many as can be told apart, in the order given."""
    best = {case.task: case for case in reversed(cases)}.values()
    first = [case for case in cases if case in best]
    kept = [*first, *(case for case in cases if case not in first)][:MOST_LINES]
    return [case for case in cases if case in kept]


def _where(of: Key, among: Iterable[Key], *, many: bool) -> str:
    """Whose roof it is, where a page has several machines'; else nothing."""
    where = ceiling.named(of, among)
    return where if many or where != of[0] else ""


def _figure(of: Key, roofline: Roofline, cases: list[Placed], where: str) -> dict[str, object]:
    _, device, _, precision = of
    title = ", ".join(filter(None, [device, precision, where]))
    shown = _shown(cases)
    ridge = roofline.ridge_flop_per_byte
    end = ridge * BEYOND_RIDGE
    x = svg.around([*(c.place.flop_per_byte for c in shown), ridge / 10, end], log=True)
    heights = [c.place.flops_per_s for c in shown]
    y = svg.around([*heights, roofline.flops_per_s, roofline.bytes_per_s * x.low], log=True)
    roof = _roof(roofline, x)
    across = svg.Axis(scale=x, title="FLOP a byte of memory")
    upright = svg.Axis(scale=y, title="FLOP/s")
    marks = svg.path([(x.at(a), y.at(b)) for a, b in roof], colour="ink")
    marks += Markup().join(_mark(case, i % 8, x, y) for i, case in enumerate(shown))
    series = [_series(case, i % 8, x) for i, case in enumerate(shown)]
    words = (
        f"The two ceilings meet at {units.significant(ridge)} FLOP a byte: "
        f"{units.scaled(roofline.flops_per_s, 'FLOP/s')} ({_who(roofline.arithmetic)}), and "
        f"{units.scaled(roofline.bytes_per_s, 'B/s')} ({_who(roofline.memory)})."
    )
    chart = svg.plot(
        marks,
        across,
        upright,
        f"Roofline, {title}, both axes logarithmic. {words} {'; '.join(c.words for c in shown)}",
        figure=charts.figure([*series, _roof_series(roof)], across, upright).element,
        css="tall",
    )
    return {
        "title": title,
        "words": words,
        "chart": chart,
        "legend": svg.legend(
            [(i % 8, str(c.number), f"{c.task}, {c.doer}") for i, c in enumerate(shown)], dots=True
        ),
        "cases": cases,
        "n_more": len(cases) - len(shown),
    }


def _who(top: ceiling.Ceiling) -> str:
    return f"{top.workload}, {top.framework}"


def _roof(roofline: Roofline, x: svg.Scale) -> list[tuple[float, float]]:
    """From the left end up to the ridge, and flat to the right end."""
    top = roofline.flops_per_s
    return [
        (x.low, roofline.bytes_per_s * x.low),
        (roofline.ridge_flop_per_byte, top),
        (x.high, top),
    ]


def _ends(case: Placed, x: svg.Scale) -> list[tuple[float, float]]:
    """A point where the bytes are known, else a line from the least to the right end."""
    place = case.place
    begin = (place.flop_per_byte, place.flops_per_s)
    return [begin] if place.exact else [begin, (x.high, place.flops_per_s)]


def _mark(case: Placed, colour: int, x: svg.Scale, y: svg.Scale) -> Markup:
    ends = [(x.at(a), y.at(b)) for a, b in _ends(case, x)]
    dot = svg.point(
        *ends[0],
        colour=colour,
        title=case.words,
        rows=str(case.number),
        hollow=not case.place.exact,
    )
    if case.place.exact:
        return dot
    line = svg.path(ends, colour=colour)
    return Markup('<g data-r="{}" class="span">{}</g>').format(case.number, line) + dot


def _series(case: Placed, colour: int, x: svg.Scale) -> charts.Series:
    ends = _ends(case, x)
    return charts.Series(
        name=f"{case.task}, {case.doer}",
        points=ends,
        says=[case.words] * len(ends),
        colour=colour,
        rows=[case.number],
        mode="lines+markers",
        hues=[colour] * len(ends),
        sizes=[9.0, 0.0][: len(ends)],
        hollow=[not case.place.exact] * len(ends),
    )


def _roof_series(roof: list[tuple[float, float]]) -> charts.Series:
    return charts.Series(
        name="measured ceilings",
        points=roof,
        says=[
            f"ceiling: {units.scaled(b, 'FLOP/s')} at {units.significant(a)} FLOP/byte"
            for a, b in roof
        ],
        colour="ink",
    )
