"""The journal: whole lines only, checksummed, one writer, damage told and never repaired."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.core.errors import DocumentError, StoreError
from dlbench.store import codec, journal
from dlbench.store.journal import Journal, JournalHeader, read_journal
from tests import builders

RUN = builders.sealed_run()
TRIALS = RUN.results[0].trials
HEADER = JournalHeader(
    run_id="r1",
    created_utc=RUN.created_utc,
    dlbench_version="0.1.0",
    plan=RUN.plan,
    environment=RUN.environment,
)


def _written(folder: Path) -> Path:
    with Journal.create(folder, HEADER) as book:
        for trial in TRIALS:
            book.append_trial(trial)
        book.append_note("resumed_utc", "2026-01-01T00:00:00Z")
        return book.path


def test_what_was_written_is_read(results: Path) -> None:
    """Header, trials and notes, in order."""
    contents = read_journal(_written(results))
    assert contents.header == HEADER
    assert contents.trials == TRIALS
    assert contents.notes == (("resumed_utc", "2026-01-01T00:00:00Z"),)
    assert contents.problems == ()


def test_every_truncation_loses_the_torn_line_only(results: Path) -> None:
    """Cut anywhere: all lines before the cut are read, and the torn one is told."""
    path = _written(results)
    data = path.read_bytes()
    first = data.index(b"\n") + 1
    for cut in range(first, len(data), 97):
        path.write_bytes(data[:cut])
        contents = read_journal(path)
        whole = data[:cut].count(b"\n")
        assert len(contents.trials) + len(contents.notes) == whole - 1
        assert bool(contents.problems) is not data[:cut].endswith(b"\n")


def test_a_corrupt_line_is_refused_and_the_rest_shown(results: Path) -> None:
    """One flipped bit in the second trial."""
    path = _written(results)
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"0.0", b"0.1", 1)
    path.write_bytes(b"\n".join(lines))
    contents = read_journal(path)
    assert contents.trials == (TRIALS[0], TRIALS[2])
    assert contents.problems == ("line 3 does not match its checksum; the line was left out",)


@pytest.mark.parametrize("value", [None, [], {}])
def test_a_note_without_a_plain_value_is_refused(value: object, results: Path) -> None:
    """Its checksum holds, and it would get into the document."""
    path = _written(results)
    with Journal.resume(path)[0] as book:
        book.append_note("odd", value)  # type: ignore[arg-type]
    contents = read_journal(path)
    assert [name for name, _ in contents.notes] == ["resumed_utc"]
    assert contents.problems == ("line 6 is a note without a plain value; the line was left out",)


@pytest.mark.parametrize(
    "name", ["./../planted", "../planted", "/srv/planted", "a/b", "..", "", "a\nb"]
)
def test_a_strangers_journal_names_no_file_elsewhere(name: str, results: Path) -> None:
    """Sealed, it had put its document above its folder, and its report over any page."""
    record = {"kind": "header", "header": codec.to_plain(replace(HEADER, run_id=name))}
    body = codec.encode_line(record)
    path = results / "a.journal"
    path.write_bytes(f"{zlib.crc32(body):08x} ".encode() + body + b"\n")
    with pytest.raises(DocumentError, match="names no file beside it"):
        read_journal(path)


def test_resuming_cuts_the_torn_tail_and_appends(results: Path) -> None:
    """The next record does not stick to half of one."""
    path = _written(results)
    with path.open("ab") as file:
        file.write(b"deadbeef {half")
    book, contents = Journal.resume(path)
    with book:
        assert contents.problems == ("the last line was torn (14 bytes) and was dropped",)
        book.append_trial(TRIALS[0])
    after = read_journal(path)
    assert after.trials == (*TRIALS, TRIALS[0])
    assert after.problems == ()


def test_a_second_writer_is_refused(results: Path) -> None:
    """Two sessions on one journal would interleave."""
    path = _written(results)
    book, _ = Journal.resume(path)
    with book, pytest.raises(StoreError, match="written by another dlbench"):
        Journal.resume(path)


def test_a_folder_in_which_nothing_can_be_locked_is_refused(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share without locks: a sentence before anything is measured, and no file is left."""

    def unlockable(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unlockable)
    with pytest.raises(StoreError, match="cannot be locked: No locks available"):
        Journal.create(results, HEADER)
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"hello\n", b"00000000 {}\n"])
def test_what_is_no_journal_is_refused(data: bytes, results: Path) -> None:
    """Empty, text, or a wrong checksum in the first line."""
    path = results / "x.journal"
    path.write_bytes(data)
    with pytest.raises(DocumentError, match="is not a journal") as caught:
        read_journal(path)
    assert "--resume last" in caught.value.advice


@pytest.mark.parametrize("name", ["write", "fsync"])
def test_whichever_call_fails_the_journal_stays_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail the Nth write or fsync, for every N: what was acknowledged is there, and no more."""
    real: Callable[..., int] = getattr(os, name)
    n = failures = 0
    while True:
        n += 1
        folder = tmp_path / str(n)
        folder.mkdir()
        calls = 0

        def fail_nth(*arguments: object, nth: int = n) -> int:
            nonlocal calls
            calls += 1
            if calls == nth:
                raise OSError(28, "No space left on device")
            return real(*arguments)

        acknowledged = 0
        monkeypatch.setattr(os, name, fail_nth)
        try:
            with Journal.create(folder, HEADER) as book:
                for trial in TRIALS:
                    book.append_trial(trial)
                    acknowledged += 1
        except StoreError as error:
            failures += 1
            assert "No space left on device" in error.message
        finally:
            monkeypatch.setattr(os, name, real)
        paths = list(folder.iterdir())
        if paths:
            assert len(read_journal(paths[0]).trials) == acknowledged
            assert read_journal(paths[0]).problems == ()
        if calls < n:
            break
    assert failures >= len(TRIALS)
    assert acknowledged == len(TRIALS)


def test_a_full_disk_ends_with_the_path_and_the_size(results: Path) -> None:
    """A real limit on file size stands in for the disk; what was written before is whole."""
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from dlbench.core.errors import StoreError\n"
        "from dlbench.store.journal import Journal\n"
        "from tests.unit.store.test_journal import HEADER, TRIALS\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000))\n"
        "with Journal.create(Path(sys.argv[1]), HEADER) as book:\n"
        " try:\n  while True: book.append_trial(TRIALS[0])\n"
        " except StoreError as error: print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(results)], capture_output=True, text=True, check=True
    )
    assert "r1.journal cannot be written" in done.stdout
    assert "bytes): File too large" in done.stdout
    contents = read_journal(results / "r1.journal")
    assert contents.problems == ()
    assert len(contents.trials) >= 2
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 12000


def test_an_unwritable_folder_is_refused_beforehand(tmp_path: Path) -> None:
    """A file where the folder should be, which not even root can write into."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        journal.check_writable(blocked / "results")


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    """The folder is made, the probe removed."""
    folder = tmp_path / "new" / "results"
    journal.check_writable(folder)
    assert list(folder.iterdir()) == []
