"""Jinja with autoescape always on, and the filters that turn metrics into cells.

Everything from a document passes through here and comes out as text: documents come from strangers.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from dlbench.core import units
from dlbench.core.types import Absent, Estimated, Metric


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"cell": cell, "seconds": seconds_cell, "mib": mib_cell}
    return environment


def render(template: str, **values: Any) -> Markup:  # noqa: ANN401 - a template's values
    """A template with its values, escaped."""
    return Markup(_environment().from_string(template).render(**values))  # noqa: S704 - just escaped


def cell(value: Metric, digits: int = 4) -> Markup:
    """A metric as a cell's content: the number with its interval, or a dash with the reason."""
    return _cell(value, lambda x: units.significant(x, digits))


def seconds_cell(value: Metric) -> Markup:
    """A metric in seconds, in the unit that suits it."""
    return _cell(value, units.duration)


def mib_cell(value: Metric) -> Markup:
    """A metric in MiB."""
    return _cell(value, lambda x: f"{x:,.0f} MiB")


def _cell(value: Metric, shown: Any) -> Markup:  # noqa: ANN401 - a formatter
    if isinstance(value, Absent):
        word = "n too small" if value.reason.startswith("n too small") else "absent"
        reason = value.reason + (f" ({value.remedy})" if value.remedy else "")
        return render(
            '<span class="absent" title="{{ reason }}">{{ word }}</span>', word=word, reason=reason
        )
    interval = value.interval
    bounds = f"{shown(interval.low)} – {shown(interval.high)}" if interval else ""
    kind = "estimated" if isinstance(value, Estimated) else "measured"
    return render(
        '<span class="{{ kind }}">{{ sign }}{{ number }}</span>'
        '{% if bounds %} <span class="interval">{{ bounds }}</span>{% endif %}',
        kind=kind,
        sign="≈ " if kind == "estimated" else "",
        number=shown(value.value),
        bounds=bounds,
    )


def json_for_script(data: Any) -> Markup:  # noqa: ANN401 - any plain data
    """JSON that can stand in a script element: nothing in it can end the element or the line."""
    text = json.dumps(data, allow_nan=False, sort_keys=True, separators=(",", ":"))
    for bad in "<>&\u2028\u2029":
        text = text.replace(bad, f"\\u{ord(bad):04x}")
    return Markup(text)  # noqa: S704 - every character that HTML could read is escaped
