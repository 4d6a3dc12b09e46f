"""What each case waits for: data, the copy to the device, or compute."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.analysis import bottleneck
from dlbench.analysis.bottleneck import Bottleneck
from dlbench.report.content import Content, origins
from dlbench.report.render import render

ORDER = 35
TITLE = "Bottlenecks"

TEMPLATE = """
<ul>
{% for b, words in found %}
<li><strong>{{ b.name }}</strong>: {{ words }}.</li>
{% endfor %}
</ul>
<p class="note">From the same case with inputs that lie on the device, that are copied from host memory, and that
are decoded from files: the files lie in the page cache, so that no disk is measured.</p>
"""


def html(content: Content) -> Markup | None:
    """The list, if data modes were compared."""
    found = told(content)
    return render(TEMPLATE, found=found) if found else None


def told(content: Content) -> list[tuple[Bottleneck, str]]:
    """Each with its sentence, and what tells its document from others of the same case."""
    rows = zip(content.rows, origins(content.rows), strict=True)
    origin_of = {(row.run_id, row.case): origin for row, origin in rows}
    found = []
    for run in content.runs:
        for one in bottleneck.find(run):
            origin = origin_of.get((run.run_id, one.case), "")
            found.append((one, f"{one.sentence} ({origin})" if origin else one.sentence))
    return found
