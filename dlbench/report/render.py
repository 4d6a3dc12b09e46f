"""Jinja with autoescape always on, and the filters that turn metrics into cells.

Everything from a document passes through here and comes out as text: documents come from strangers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from dlbench.core import units
from dlbench.core.types import Absent, Estimated, Metric

Shown = Callable[[float], str]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "cell": cell, "seconds": seconds_cell, "mib": mib_cell, "share": share_cell,
    }  # fmt: skip
    return environment


@cache
def _template(text: str) -> jinja2.Template:
    return _environment().from_string(text)


def render(template: str, **values: Any) -> Markup:  # noqa: ANN401 - a template's values
    """A template with its values, escaped."""
    return Markup(_template(template).render(**values))  # noqa: S704 - just escaped


def cell(value: Metric, digits: int = 4) -> Markup:
    """A metric as a cell's content: the number with its interval, or a dash with the reason."""
    return _cell(value, lambda x: units.significant(x, digits))


def seconds_cell(value: Metric) -> Markup:
    """A metric in seconds, in the unit that suits it."""
    return _cell(value, units.duration)


def mib_cell(value: Metric) -> Markup:
    """A metric in MiB, as GiB where that reads better."""
    return _cell(value, mib)


def share_cell(value: Metric) -> Markup:
    """A share in per cent."""
    return _cell(value, lambda x: f"{x:.1%}")


def metric_cell(value: Metric, shown: Shown) -> Markup:
    """A metric as a cell's content, its numbers written by ``shown``."""
    return _cell(value, shown)


def words(shown: Markup) -> str:
    """A cell's content as plain text: the number, and its interval in brackets."""
    number, _, interval = shown.partition('<span class="interval">')
    return number.striptags() + (f" ({interval.striptags()})" if interval else "")


def mib(value: float) -> str:
    """Mebibytes for people."""
    if value >= 1024:  # noqa: PLR2004 - a GiB
        return f"{units.significant(value / 1024)} GiB"
    return f"{value:,.0f} MiB"


def _cell(value: Metric, shown: Shown) -> Markup:
    if isinstance(value, Absent):
        word = "n too small" if value.reason.startswith("n too small") else "absent"
        return Markup('<span class="absent" title="{}">{}</span>').format(reason(value), word)
    interval = value.interval
    kind, sign = ("estimated", "≈ ") if isinstance(value, Estimated) else ("measured", "")
    number = Markup('<span class="{}">{}{}</span>').format(kind, sign, shown(value.value))
    if interval is None:
        return number
    low, high = shown(interval.low), shown(interval.high)
    if low == high == shown(value.value):
        return number  # narrower than it is written
    return number + Markup(' <span class="interval">{} – {}</span>').format(low, high)


def reason(value: Absent) -> str:
    """Why a number is absent, and what would make it known."""
    return value.reason + (f" ({value.remedy})" if value.remedy else "")


def absences(values: list[tuple[str, Metric]]) -> Markup:
    """The reasons of all absent numbers of a section, each once, folded under it."""
    found = dict.fromkeys(
        f"{name}: {reason(value)}" for name, value in values if isinstance(value, Absent)
    )
    if not found:
        return Markup()
    return render(
        '<details class="why"><summary>Why numbers are absent here</summary><ul>'
        "{% for line in lines %}<li>{{ line }}</li>{% endfor %}</ul></details>",
        lines=list(found),
    )


def json_for_script(data: Any) -> Markup:  # noqa: ANN401 - any plain data
    """JSON that can stand in a script element: nothing in it can end the element or the line."""
    return text_for_script(json.dumps(data, allow_nan=False, sort_keys=True, separators=(",", ":")))


def text_for_script(text: str) -> Markup:
    """JSON text, the same value after reading, without a character that HTML could act on."""
    for bad in "<>&\u2028\u2029":
        text = text.replace(bad, f"\\u{ord(bad):04x}")
    return Markup(text)  # noqa: S704 - every character that HTML could read is escaped
