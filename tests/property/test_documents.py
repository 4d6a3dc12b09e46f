"""A document with anything in it changed: refused with a sentence, or read by every analysis."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.analysis import check, compare
from dlbench.core.errors import DlbenchError, DocumentError
from dlbench.core.types import Run
from dlbench.report import build, content
from dlbench.store import codec, runs
from tests import documents

RUN = documents.one_case_a_task()
PLAIN = json.loads(json.dumps(codec.to_plain(RUN)))

FIRST = 3
"""Of a list this many are changed: the others are alike."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands that can be changed."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    if isinstance(value, list):
        for i, item in enumerate(value[:FIRST]):
            yield from _places(item, (*path, i))


def _by_kind() -> dict[tuple[str, ...], list[tuple[Any, ...]]]:
    """Places of the same meaning together, so that a rare one is met as often as a usual one."""
    found = defaultdict(list)
    for path in _places(PLAIN):
        found[tuple(part for part in path if isinstance(part, str))].append(path)
    return found


PLACES = st.sampled_from([st.sampled_from(same) for same in _by_kind().values()]).flatmap(
    lambda same: same
)


def _at(path: tuple[Any, ...], plain: Any) -> Any:
    for part in path:
        plain = plain[part]
    return plain


def _others(value: Any) -> list[Any]:
    """What a value of that type may be instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [0, -1, 1, 10**15, 10**25]
    if isinstance(value, float):
        return [0.0, -1.0, 1e308, 1e-308, 5e-324, 1e17]
    if isinstance(value, str):
        return ["", "a\nb", "soon"]
    return [[], value[:1], value[::-1]] if isinstance(value, list) else [{}]


def _survives(path: tuple[Any, ...], other: Any, folder: Path) -> bool:
    """Whether a document with that in that place is read; then compare and report run."""
    plain = copy.deepcopy(PLAIN)
    _at(path[:-1], plain)[path[-1]] = other
    try:
        run = codec.convert(Run, plain)
    except DocumentError:
        return False
    failed = [c for c in check.check_run(run) if c.passed is False]
    assert all(c.detail for c in failed)
    document = folder / "changed.json"
    document.write_bytes(codec.encode_run(run))
    try:
        run = runs.read_run(document)
    except DocumentError as error:
        assert error.message
        assert failed, "what is not read is not said to hold all rules"
        return False
    for a, b in ((RUN, run), (run, RUN)):
        try:
            compare.across(a, b)
        except DlbenchError as error:
            assert error.message
    assert build.page(content.of([run], [], side_by_side=False))
    return True


@settings(max_examples=30, deadline=None)
@given(path=PLACES, data=st.data())
def test_a_changed_document_is_refused_or_read_by_all(
    path: tuple[Any, ...], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One place, any value of its type: a sentence or a page, never a traceback."""
    other = data.draw(st.sampled_from(_others(_at(path, PLAIN))))
    _survives(path, other, tmp_path_factory.mktemp("documents", numbered=True))


TRIAL = ("results", 1, "trials", 1)


@pytest.mark.parametrize(
    ("path", "other", "read"),
    [
        ((*TRIAL, "tracks", 0, "t_us"), [0, 1], False),
        ((*TRIAL, "tracks", 0, "columns", 0, "values"), [], False),
        (("results", 1, "case", "batch_size"), 0, False),
        ((*TRIAL, "warm_up", 1, "duration_s"), 0.0, False),
        ((*TRIAL, "warm_up", 1, "n_samples"), 0, False),
        ((*TRIAL, "energy", 0, "duration_s"), 0.0, False),
        ((*TRIAL, "values", 3, "start_s"), 1e308, False),
        ((*TRIAL, "values", 3, "n_samples"), 0, False),
        ((*TRIAL, "memory", "host_rss_mib"), 1e-320, False),
        (("results", 0, "case", "workload"), "other", False),
        (("plan", "profile", "looks"), [], False),
        ((*TRIAL, "tracks", 0, "columns", 3, "absent", "reason"), "", True),
    ],
)
def test_changes_that_once_ended_in_a_traceback(
    path: tuple[Any, ...], other: Any, read: bool, tmp_path: Path
) -> None:
    """Each is refused now, or read."""
    assert _survives(path, other, tmp_path) is read
