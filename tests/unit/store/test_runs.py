"""Sealed documents: unique names, all or nothing, found in folders."""

from __future__ import annotations

import errno
import gc
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from dlbench.core.errors import DocumentError, StoreError, UsageError
from dlbench.store import codec, runs
from tests import builders

RUN = builders.sealed_run()


def test_a_run_id_sorts_by_time_and_names_the_machine() -> None:
    """In UTC whatever the zone, safe as a file's name."""
    local = datetime(2026, 1, 2, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    run_id = runs.new_run_id("AMD EPYC/2c ü", local)
    assert re.fullmatch(r"20260101T230000Z-amd-epyc-2c-[0-9a-f]{6}", run_id)
    assert runs.new_run_id("m", local) != runs.new_run_id("m", local)


def test_sealing_writes_the_document_and_removes_the_journal(results: Path) -> None:
    """In that order."""
    journal = results / "x.journal"
    journal.write_text("j")
    path = runs.seal(RUN, results, journal)
    assert runs.read_run(path) == RUN
    assert list(results.iterdir()) == [path]


def _no_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_links_keeps_documents_too(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a rename, where the name is free; else as everywhere."""
    monkeypatch.setattr(os, "link", _no_links)
    path = runs.seal(RUN, results)
    assert runs.read_run(path) == RUN
    assert list(results.iterdir()) == [path]
    with pytest.raises(StoreError, match="File exists"):
        runs.seal(replace(RUN, dlbench_version="another"), results)
    assert runs.read_run(path) == RUN


@pytest.mark.parametrize("with_journal", [True, False])
def test_an_existing_document_is_never_overwritten(results: Path, with_journal: bool) -> None:
    """Another document of that name is refused, and the journal stays."""
    path = runs.seal(RUN, results)
    before = path.read_bytes()
    journal = results / "x.journal"
    journal.write_text("j")
    other = replace(RUN, dlbench_version="another")
    with pytest.raises(StoreError, match="File exists"):
        runs.seal(other, results, journal if with_journal else None)
    assert path.read_bytes() == before
    assert sorted(p.name for p in results.iterdir()) == sorted([path.name, "x.journal"])


def test_what_was_sealed_already_is_kept_and_only_its_journal_removed(results: Path) -> None:
    """The state that a kill leaves between the two; the document keeps its time of writing."""
    path = runs.seal(RUN, results)
    before = path.read_bytes()
    journal = results / "x.journal"
    journal.write_text("j")
    again = replace(RUN, finished_utc="2027-01-01T00:00:00Z")
    assert runs.seal(again, results, journal) == path
    assert path.read_bytes() == before
    assert list(results.iterdir()) == [path]


def test_without_a_journal_even_the_same_document_is_refused(results: Path) -> None:
    """Nobody resumes; the name was used twice."""
    runs.seal(RUN, results)
    with pytest.raises(StoreError, match="File exists"):
        runs.seal(RUN, results)


def test_a_damaged_document_of_that_name_is_not_taken_for_the_run(results: Path) -> None:
    """The journal is then all there is, and stays."""
    path = results / f"{RUN.run_id}.json"
    path.write_text("{}")
    journal = results / "x.journal"
    journal.write_text("j")
    with pytest.raises(StoreError, match="File exists"):
        runs.seal(RUN, results, journal)
    assert journal.exists()
    assert path.read_text() == "{}"


def test_a_failed_write_leaves_no_half_document(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name appears with the whole content or not at all."""

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="No space left"):
        runs.seal(RUN, results)
    assert list(results.iterdir()) == []


def test_a_document_that_nobody_would_read_is_not_written(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal had gone all the same: hours of trials with it."""
    journal = results / "kept.journal"
    journal.write_text("trials")
    monkeypatch.setattr(codec, "MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(StoreError, match="bytes, and none of more than 100 is read") as refused:
        runs.seal(RUN, results, journal)
    assert str(journal) in refused.value.advice
    assert [path.name for path in results.iterdir()] == ["kept.journal"]


def test_folders_are_searched_and_bad_files_named(results: Path) -> None:
    """A corrupt document among good ones is not passed over."""
    runs.seal(RUN, results)
    assert runs.load_runs([results]) == (RUN,)
    (results / "bad.json").write_text("{}")
    with pytest.raises(DocumentError, match=r"bad\.json"):
        runs.load_runs([results])


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_left_as_it_was(results: Path, was_on: bool) -> None:
    """It pauses while documents are read, also where one of them is refused."""
    runs.seal(RUN, results)
    (gc.enable if was_on else gc.disable)()
    try:
        runs.load_runs([results])
        assert gc.isenabled() is was_on
        (results / "torn.json").write_text("{", encoding="utf-8")
        with pytest.raises(DocumentError):
            runs.load_runs([results])
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


def test_nothing_to_load_is_said(results: Path) -> None:
    """An empty folder, and no file at all."""
    with pytest.raises(StoreError, match="no result document"):
        runs.load_runs([results])
    with pytest.raises(StoreError, match="no result document in nothing"):
        runs.load_runs([])


def test_an_empty_folder_beside_a_document_is_said(results: Path, tmp_path: Path) -> None:
    """``compare a.json empty/`` compared the cases of a.json with each other."""
    path = runs.seal(RUN, results)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StoreError, match=r"no result document in .*empty"):
        runs.document_files([path, empty])


def test_what_is_read_is_not_written_over(results: Path, tmp_path: Path) -> None:
    """By whatever name: what was measured would be gone."""
    path = runs.seal(RUN, results)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    for name in (path, link, results / ".." / results.name / path.name):
        with pytest.raises(UsageError, match="would be lost"):
            runs.check_spared(name, [path])
    runs.check_spared(tmp_path / "other.json", [path])


def test_a_journal_is_not_taken_for_a_document(results: Path) -> None:
    """The advice is to resume it."""
    path = results / "x.journal"
    path.write_text("j")
    with pytest.raises(DocumentError, match="unfinished run") as caught:
        runs.read_run(path)
    assert caught.value.advice == f"dlbench run --resume {path}"


def test_the_latest_journal_is_the_newest_by_name(results: Path) -> None:
    """And none is an error."""
    with pytest.raises(StoreError, match="no unfinished run"):
        runs.latest_journal(results)
    for name in ("20260102T000000Z-a", "20260103T000000Z-a", "20260101T000000Z-b"):
        (results / f"{name}.journal").write_text("j")
    assert runs.latest_journal(results).name == "20260103T000000Z-a.journal"


@pytest.mark.parametrize("variables", [{"TZ": "Asia/Tokyo"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_bytes_do_not_depend_on_zone_or_locale(variables: dict[str, str], results: Path) -> None:
    """The same run is the same file everywhere."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom dlbench.store import runs\n"
        "from tests import builders\nruns.seal(builders.sealed_run(), Path(sys.argv[1]))\n"
    )
    elsewhere = results / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [sys.executable, "-c", program, str(elsewhere)], check=True, env={**os.environ, **variables}
    )
    here = runs.seal(RUN, results)
    (there,) = elsewhere.iterdir()
    assert there.read_bytes() == here.read_bytes()
    assert datetime.now(UTC).tzinfo is UTC


def test_a_document_of_which_nothing_can_be_computed_is_refused_when_it_is_read(
    results: Path,
) -> None:
    """With its file, what is amiss, and the command that names all of it; check itself may read it."""
    first = RUN.results[0]
    values = first.trials[0].values
    trial = replace(first.trials[0], values=(replace(values[0], duration_s=0.0), *values[1:]))
    first = replace(first, trials=(trial, *first.trials[1:]))
    path = results / "x.json"
    path.write_bytes(codec.encode_run(replace(RUN, results=(first, *RUN.results[1:]))))
    with pytest.raises(DocumentError) as caught:
        runs.read_run(path)
    assert caught.value.message == (
        f"{path} cannot be so: fake pytorch fake fp32 inference b2, trial 0: "
        "values[0] is of 2 samples in 0.0 s"
    )
    assert caught.value.advice == f"dlbench check {path}"


def test_a_copy_of_a_document_counts_once(tmp_path: Path) -> None:
    """In another folder it is no second session.

    Two of one name that differ were both kept: a report counted them as one, and showed the numbers of
    the one in comparisons of the other.
    """
    paths = [tmp_path / name for name in ("a", "b", "c")]
    part = replace(RUN, finished_utc="2027-01-01T00:00:00Z", results=RUN.results[:1])
    for path in paths:
        path.mkdir()
    first, second, third = map(runs.seal, (RUN, RUN, part), paths)
    assert runs.load_runs([first, second]) == (RUN,)
    with pytest.raises(DocumentError) as caught:
        runs.load_runs(paths)
    assert caught.value.message == (
        f"{first} and {third} are both of run {RUN.run_id}, and differ: a run has one document"
    )


def test_what_has_no_size_is_said_to_be_that() -> None:
    """A pipe, as a shell's <(...) is: the reason was None."""
    source, target = os.pipe()
    try:
        with pytest.raises(StoreError, match=r"cannot be read: .*(seek)"):
            runs.read_run(Path(f"/dev/fd/{source}"))
    finally:
        os.close(source)
        os.close(target)
