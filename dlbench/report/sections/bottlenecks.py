"""What each case waits for: data, the copy to the device, or compute."""

from __future__ import annotations

from markupsafe import Markup

from dlbench.analysis import bottleneck
from dlbench.report.content import Content
from dlbench.report.render import render

ORDER = 35
TITLE = "Bottlenecks"

TEMPLATE = """
<ul>
{% for b in found %}
<li><strong>{{ b.name }}</strong>: {{ b.sentence }}.</li>
{% endfor %}
</ul>
<p class="note">From the same case with inputs that lie on the device, that are copied from host memory, and that
are decoded from files: the files lie in the page cache, so that no disk is measured.</p>
"""


def html(content: Content) -> Markup | None:
    """The list, if data modes were compared."""
    found = [b for run in content.runs for b in bottleneck.find(run)]
    return render(TEMPLATE, found=found) if found else None
