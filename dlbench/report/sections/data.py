"""The numbers of this page, to be saved from inside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from dlbench.core.recommendation import plain
from dlbench.report import table
from dlbench.report.content import Content
from dlbench.report.render import json_for_script, render, text_for_script
from dlbench.store import codec

ORDER = 90
TITLE = "Data"

MOST_BYTES = 2_000_000
"""Documents of up to this size together travel inside the page."""

TEMPLATE = """
<p>All numbers of this page with their intervals, kinds and reasons, one line a {{ 'group' if grouped else 'case' }}{% if documents %}; and the
documents themselves, exactly as they were sealed, which <code>dlbench check</code> reads{% endif %}.</p>
<p class="control" data-script hidden>
<button type="button" data-save="table" data-as="csv" data-name="dlbench-results.csv">Save as CSV</button>
<button type="button" data-save="table" data-as="json" data-name="dlbench-results.json">Save as JSON</button>
{% if answer %}<button type="button" data-save="recommendation" data-as="text" data-name="dlbench-recommendation.json">Save the recommendation</button>{% endif %}
{% for name, _ in documents %}
<button type="button" data-save="document-{{ loop.index0 }}" data-as="text" data-name="{{ name }}">Save document{{ ' ' ~ loop.index if documents | length > 1 }}</button>
{% endfor %}
</p>
<noscript><p class="note">Saving needs JavaScript. Without it, the same JSON stands in this file's source.</p></noscript>
<script type="application/json" id="data-table">{{ table }}</script>
{% if answer %}<script type="application/json" id="data-recommendation">{{ answer }}</script>
{% endif %}
{% for _, text in documents %}<script type="application/json" id="data-document-{{ loop.index0 }}">{{ text }}</script>
{% endfor %}
"""


def html(content: Content) -> Markup | None:
    """Buttons, and what they save."""
    answer = content.recommendation
    return render(
        TEMPLATE,
        table=json_for_script(table.of(content)),
        documents=_documents(content),
        answer=json_for_script(plain(answer)) if answer else None,
        grouped=content.collection is not None,
    )


def _documents(content: Content) -> list[tuple[str, Markup]]:
    """Each document's file name and text, if all of them are small enough."""
    total, found = 0, []
    for n, text in enumerate(_texts(content)):
        total += len(text)
        if total > MOST_BYTES:
            return []
        found.append((f"dlbench-document-{n + 1}.json", text_for_script(text)))
    return found


def _texts(content: Content) -> Iterable[str]:
    if content.sealed is not None:
        return content.sealed
    return (codec.encode_run(run).decode() for run in content.runs)


def sealed(documents: Sequence[Path]) -> tuple[str, ...]:
    """The texts of files, each once; none where the page has no room for them together.

    Written anew, a document would be sealed anew: of an older version it would have another hash than
    its file, and one that was edited would pass for what was measured.
    """
    if sum(path.stat().st_size for path in documents) > MOST_BYTES:
        return ()
    return tuple(dict.fromkeys(codec.read_bytes(path).decode() for path in documents))
