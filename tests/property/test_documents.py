"""A document with anything in it changed: refused with a sentence, or read by every analysis."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.analysis import check, compare, rows
from dlbench.core.errors import DlbenchError, DocumentError
from dlbench.core.trial_energy import COUNTER
from dlbench.core.types import Column, Monitored, Reading, Run, Track, Window
from dlbench.report import build, content
from dlbench.store import codec, runs
from tests import builders, documents

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


CLOCKED = tuple(
    Reading(t_s=1.0, source="x", quantity=COUNTER, value=float(joules)) for joules in range(4)
)
IDLE = Window(name="idle", start_s=0.0, end_s=2.0)
LOADED = Window(name="load", start_s=0.0, end_s=0.0)
STEADY = Window(name="steady", start_s=0.0, end_s=0.1)


def _all_trials(**changes: Any) -> Run:
    """The document with each trial that counts changed alike."""
    results = tuple(
        replace(r, trials=tuple(replace(t, **changes) if t.outcome.ok else t for t in r.trials))
        for r in RUN.results
    )
    return replace(RUN, results=results)


def _paired(**changes: Any) -> Run:
    run = documents.paired_run([0.01] * 9, [0.011] * 9)
    pairing = replace(run.plan.pairings[0], **changes)
    return replace(run, plan=replace(run.plan, pairings=(pairing,)))


def _many(n: int) -> Run:
    first = RUN.results[1]
    trials = tuple(replace(first.trials[0], round=i, position=i) for i in range(n))
    return replace(RUN, results=(RUN.results[0], replace(first, trials=trials), *RUN.results[2:]))


def _monitored(end_s: float) -> Run:
    program = Monitored(
        name="train.py",
        command=(),
        started_utc="2026-01-01T00:00:00Z",
        exit_code=0,
        cpu_s=1.0,
        windows=(IDLE, Window(name="energy", start_s=2.0, end_s=end_s)),
        host=(),
        devices=(),
    )
    return replace(builders.run([]), monitored=(program,))


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (_all_trials(values=()), "counts and has no values"),
        (_all_trials(queries_s=(0.0,) * 400), "a query took 0.0 s"),
        (_all_trials(queries_s=(-1.0,) * 400), "a query took -1.0 s"),
        (_all_trials(windows=(LOADED,), first_step_s=0.0), "the first step took 0.0 s"),
        (_all_trials(windows=(LOADED,), first_step_s=-1.0), "the first step took -1.0 s"),
        (_all_trials(readings=(CLOCKED[0], replace(CLOCKED[1], t_s=0.9))), "not in order"),
        (_many(257), "has 257 trials"),
        (_paired(a="0" * 12), "are no two cases of this run"),
        (_paired(zone=-1.0), "are alike within -1"),
        (_paired(zone=0.0), "are alike within 0"),
        (_monitored(2.0), "not in one window that ends after it starts"),
    ],
)
def test_documents_of_which_nothing_can_be_computed_are_refused(
    run: Run, says: str, tmp_path: Path
) -> None:
    """Each ended in a traceback; whoever looks why is told by a rule of ``dlbench check``."""
    document = tmp_path / "strange.json"
    document.write_bytes(codec.encode_run(run))
    with pytest.raises(DocumentError, match=says):
        runs.read_run(document)
    assert any(says in c.detail for c in check.check_run(run) if c.passed is False)


AT_ONCE = Track(
    source="x",
    start_s=0.0,
    t_us=(0, 0, 0),
    columns=(Column(quantity="power_w", values=(1.0, 2.0, 3.0)),),
)


@pytest.mark.parametrize(
    "run",
    [
        _all_trials(readings=CLOCKED, windows=(IDLE,)),
        _all_trials(tracks=(AT_ONCE,), energy=(), windows=(STEADY,)),
        _many(256),
    ],
)
def test_odd_documents_are_read_by_all(run: Run, tmp_path: Path) -> None:
    """Reads at one moment, and as many trials as there may be."""
    document = tmp_path / "odd.json"
    document.write_bytes(codec.encode_run(run))
    assert rows.of([runs.read_run(document)])
    assert build.page(content.of([run], [], side_by_side=False))
