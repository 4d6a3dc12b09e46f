"""Rows, frames and packed collections: the same numbers whichever way they go."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dlbench.analysis import frame, groups, packed, rows
from dlbench.core.errors import DlbenchError, DocumentError, StoreError
from dlbench.core.types import Absent, Estimated, Measured
from dlbench.report import build, content
from tests import documents

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra parquet)")

RUN = documents.rich_run()


def test_a_frame_holds_what_a_row_holds(tmp_path: Path) -> None:
    """To Parquet and back: cases, outcomes, values, intervals, kinds and reasons."""
    before = rows.of([RUN, documents.other_machine(), documents.strange_run(documents.SCRIPTS)])
    path = tmp_path / "all.parquet"
    packed.write(frame.of_rows(before), path)
    after = frame.rows_of(packed.read(path))
    assert len(after) == len(before)
    for a, b in zip(before, after, strict=True):
        assert (a.case, a.run_id, a.machine, a.n_trials, a.flags) == (
            b.case,
            b.run_id,
            b.machine,
            b.n_trials,
            b.flags,
        )
        assert (a.outcome.kind, a.outcome.message) == (b.outcome.kind, b.outcome.message)
        assert (a.version, a.content_hash) == (b.version, b.content_hash)
        assert a.version
        for name, x in a.metrics.items():
            y = b.metrics[name]
            assert type(x) is type(y)
            if isinstance(x, Measured | Estimated) and isinstance(y, Measured | Estimated):
                assert (x.value, x.interval) == (y.value, y.interval)
            elif isinstance(x, Absent) and isinstance(y, Absent):
                assert x.reason == y.reason


def test_a_new_metric_is_absent_in_an_old_collection(tmp_path: Path) -> None:
    """Collections are read for ever too."""
    table = frame.results([RUN])
    old = table[[c for c in table.columns if not c.startswith("latency_p90_s")]]
    packed.write(old, tmp_path / "old.parquet")
    row = frame.rows_of(packed.read(tmp_path / "old.parquet"))[0]
    value = row.metrics["latency_p90_s"]
    assert isinstance(value, Absent)
    assert "before" in value.reason


def _without_machine(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="machine")


def _numbers_for_names(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(machine=1)


def _words_for_numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(throughput_samples_per_s="fast")


def _no_message(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(message=table["message"].where(table.index > 0))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without_machine, "no column machine"),
        (_numbers_for_names, "column machine is of type"),
        (_words_for_numbers, "column throughput_samples_per_s is of type"),
        (_no_message, "a text is missing"),
        (lambda table: table.assign(precision="fp2"), "precision is 'fp2'"),
        (lambda table: table.assign(scenario="rush"), "scenario is 'rush'"),
        (lambda table: table.assign(outcome="won"), "outcome is 'won'"),
        (lambda table: table.assign(step_s_kind="guessed"), "step_s_kind is 'guessed'"),
        (lambda table: table.assign(options="5"), "options are '5': no pairs"),
        (lambda table: table.assign(options="[" * 100_000), "options are .*: no pairs"),
        (lambda table: table.assign(options="[[1]]"), "options are '\\[\\[1\\]\\]': not enough"),
        (lambda table: table.assign(batch_size=0), "a batch of no sample"),
        (lambda table: table.assign(threads="many"), "threads are no number"),
        (lambda table: table.assign(step_s=math.inf), "step_s is no number"),
        (lambda table: table.assign(step_s_low=math.nan), "step_s is no number"),
        (lambda table: table.assign(energy_j_per_sample=math.nan), "energy_j_per_sample is no"),
    ],
)
def test_what_is_no_collection_is_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    """In a sentence that names the column."""
    packed.write(change(frame.results([RUN])), tmp_path / "x.parquet")
    with pytest.raises(DocumentError, match=says):
        packed.read(tmp_path / "x.parquet")


@pytest.mark.parametrize("kind", ["estimated", "absent"])
def test_a_strangers_speeds_make_a_page_whatever_they_are(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ours each trial has a speed that was measured; others ended in a traceback."""
    monkeypatch.setattr(content, "MOST_ROWS", 5)
    name = "throughput_samples_per_s"
    number = math.nan if kind == "absent" else 5.0
    table = frame.results([RUN]).assign(**{f"{name}_kind": kind})
    table[[name, f"{name}_low", f"{name}_high"]] = number
    packed.write(table, tmp_path / "x.parquet")
    found = content.of([], [packed.read(tmp_path / "x.parquet")])
    assert '<section id="data"' in build.page(found)
    assert found.collection is not None
    assert {g.low for g in found.collection.groups if g.n_measured} == {
        None if kind == "absent" else 5.0
    }


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\x00" * 100 + b"PAR1", b"{}"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, data: bytes) -> None:
    """Without a traceback."""
    path = tmp_path / "x.parquet"
    path.write_bytes(data)
    with pytest.raises(DocumentError, match="cannot be read as Parquet"):
        packed.read(path)


def test_no_file_is_said(tmp_path: Path) -> None:
    """With the command that makes one."""
    with pytest.raises(StoreError, match="there is no file"):
        packed.read(tmp_path / "none.parquet")


def test_too_large_a_claim_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is unpacked."""
    packed.write(frame.results([RUN]), tmp_path / "x.parquet")
    monkeypatch.setattr(packed, "MOST_ROWS", 3)
    with pytest.raises(DlbenchError, match="too many to open"):
        packed.read(tmp_path / "x.parquet")


def test_groups_are_medians_with_their_spread() -> None:
    """Alike cases of two machines together; what differs apart; failures counted."""
    table = frame.results([RUN, documents.other_machine()])
    found = groups.of(table)
    assert found.n_results == len(table) == 30
    assert found.n_documents == found.n_machines == 2
    assert sum(g.n_results for g in found.groups) == 30
    group = next(g for g in found.groups if g.row.case.mode == "training" and g.n_measured)
    mine = table[(table["case_id"] == group.row.case.case_id)]["throughput_samples_per_s"]
    value = group.row.metrics["throughput_samples_per_s"]
    assert isinstance(value, Measured)
    assert value.value == pytest.approx(mine.median())
    assert group.low is not None
    assert group.high is not None
    assert mine.min() <= group.low < value.value < group.high <= mine.max()
    assert {(f.outcome, f.count) for f in found.failures} == {
        ("crashed", 2),
        ("missing_dependency", 2),
    }


def test_a_median_over_estimates_is_an_estimate() -> None:
    """From the lowest bound of any of them to the highest; what was measured alone stays measured."""
    table = frame.results([RUN, documents.other_machine()])
    has = table["energy_j_per_sample_kind"] != "absent"
    first = table[has].iloc[0]
    one = (table["run_id"] == first["run_id"]) & (table["case_id"] == first["case_id"])
    table.loc[one, "energy_j_per_sample_kind"] = "estimated"
    same = table[table["case_id"] == first["case_id"]]
    group = next(
        g
        for g in groups.of(table).groups
        if g.row.case.case_id == first["case_id"] and g.n_measured
    )
    found = group.row.metrics["energy_j_per_sample"]
    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(same["energy_j_per_sample"].median())
    assert found.interval.low == same["energy_j_per_sample_low"].min()
    assert found.interval.high == same["energy_j_per_sample_high"].max()
    assert isinstance(group.row.metrics["throughput_samples_per_s"], Measured)


def test_versions_of_a_workload_are_never_pooled(tmp_path: Path) -> None:
    """Nor files that differ under one number; of a collection packed earlier it is not known which."""
    other = documents.other_machine()
    changed = [
        replace(w, content_hash="2" * 64, version=version)
        for w in other.plan.workloads
        for version in (w.version + 1, w.version)
    ]
    for plan in (
        replace(other.plan, workloads=tuple(changed[::2])),
        replace(other.plan, workloads=tuple(changed[1::2])),
    ):
        found = groups.of(frame.results([RUN, replace(other, plan=plan)]))
        assert {g.n_results for g in found.groups} == {1}
        pairs = [w for w in content.versions(groups.rows(found.groups)) if w]
        assert len(set(pairs)) == 2
    earlier = frame.results([other]).drop(columns=["version", "content_hash"])
    packed.write(earlier, tmp_path / "earlier.parquet")
    both = [frame.results([RUN]), packed.read(tmp_path / "earlier.parquet")]
    table = pd.concat(both, ignore_index=True)
    found = groups.of(table)
    assert {g.n_results for g in found.groups} == {1}
    told = content.origins(groups.rows(found.groups))
    assert set(told) == {"version 1", "version not stated"}


def test_other_numbers_of_threads_are_never_pooled(tmp_path: Path) -> None:
    """A case on 8 threads and on 1 had one median; a GPU's host may have any number."""
    one = replace(RUN, run_id="one", plan=replace(RUN.plan, threads=8))
    table = frame.results([RUN, one])
    packed.write(table, tmp_path / "x.parquet")
    read = packed.read(tmp_path / "x.parquet")
    told = [row.threads for row in frame.rows_of(read)]
    assert told == [row.threads for row in rows.of([RUN, one])]
    found = groups.of(read).groups
    on_cpu = [g.row.threads for g in found if g.row.case.device == "cpu"]
    assert {*on_cpu} == {"1", "8"}
    assert all(g.n_results == 1 for g in found if g.row.case.device == "cpu")
    assert {g.row.threads for g in found if g.row.case.device != "cpu"} <= {""}
    packed.write(table.drop(columns="threads"), tmp_path / "old.parquet")
    old = packed.read(tmp_path / "old.parquet")
    assert {row.threads for row in frame.rows_of(old)} == {""}


@pytest.mark.parametrize("most_rows", [1000, 1])
def test_a_packed_run_that_differs_from_its_document_is_refused(
    most_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two was dropped without a look: a run sealed before its end, or measured on elsewhere.

    What was packed by another dlbench, which computed a metric otherwise, is no other run.
    """
    monkeypatch.setattr(content, "MOST_ROWS", most_rows)
    alike = frame.results([RUN])
    alike["threads"] = ""
    alike["latency_p90_s"] *= 1.01
    assert content.of([RUN], [alike, alike]).n_documents == 1
    measured = alike["throughput_samples_per_s_kind"] == "measured"
    less, slower, ended = (alike.copy() for _ in range(3))
    less.loc[measured, "n_trials"] -= 1
    slower.loc[measured, "throughput_samples_per_s"] *= 0.99
    ended.loc[measured, "outcome"] = "skipped"
    for other in (less, slower, ended):
        twice = pd.concat([alike, other], ignore_index=True)
        for runs, tables in (([RUN], [other]), ([], [alike, other]), ([], [twice])):
            with pytest.raises(DocumentError, match=f"of run {RUN.run_id} there are two documents"):
                content.of(runs, tables)


def test_a_group_without_a_number_says_why() -> None:
    """Never zero."""
    found = groups.of(frame.results([RUN]))
    crashed = next(g for g in found.groups if g.row.outcome.kind == "crashed")
    value = crashed.row.metrics["throughput_samples_per_s"]
    assert isinstance(value, Absent)
    assert "it broke" in value.reason
    assert crashed.low is None


def _rewritten(path: Path, change: Callable[[Any], Any]) -> Path:
    """A packed collection whose Arrow table was changed by hand."""
    from pyarrow import parquet

    packed.write(frame.results([RUN]), path)
    parquet.write_table(change(parquet.read_table(path)), path)
    return path


def test_a_strangers_metadata_are_passed_over(tmp_path: Path) -> None:
    """They are for pandas, and could make it stumble or hide a column."""
    path = _rewritten(
        tmp_path / "x.parquet", lambda t: t.replace_schema_metadata({"pandas": '{"columns": 5}'})
    )
    assert len(packed.read(path)) == len(frame.results([RUN]))


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Nobody can say which is meant."""
    path = _rewritten(tmp_path / "x.parquet", lambda t: t.append_column("machine", t["machine"]))
    with pytest.raises(DocumentError, match="a column is there twice"):
        packed.read(path)
