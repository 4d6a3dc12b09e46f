"""Sealed result documents in a folder: named once, never overwritten, never edited."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dlbench.core import sound
from dlbench.core.errors import DocumentError, StoreError, UsageError
from dlbench.core.types import Run
from dlbench.store import codec
from dlbench.store.journal import NOTHING_STAYS, RESUMABLE, SUFFIX, sync_folder, translated


def new_run_id(machine: str, now: datetime) -> str:
    """A name that sorts by time, says the machine, and is unique: also a file's name."""
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in machine.lower()).strip("-")
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{safe or 'machine'}-{secrets.token_hex(3)}"


def seal(run: Run, folder: Path, journal: Path | None = None) -> Path:
    """Write the document of a finished run, then remove its journal.

    A session that was killed after its document was there, and before its journal was gone, is sealed
    already: when it is resumed, that document is kept as it is.

    Raises:
        StoreError: it cannot be written, is larger than any that is read, or another has its name;
            the journal stays.
    """
    path = folder / f"{run.run_id}.json"
    temporary = folder / f".{run.run_id}.{os.getpid()}.tmp"
    data = codec.encode_run(run)
    if len(data) > codec.MAX_DOCUMENT_BYTES:
        kept = "" if journal is None else f" The trials stay in {journal}."
        raise StoreError(
            f"the document would have {len(data):,} bytes, and none of more than "
            f"{codec.MAX_DOCUMENT_BYTES:,} is read",
            f"Run fewer cases at a time, or with --telemetry off.{kept}",
        )
    try:
        with translated(path, len(data), NOTHING_STAYS if journal is None else RESUMABLE):
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                _give_name(temporary, path)
            except FileExistsError:
                if journal is None or not _is_document_of(path, run):
                    raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(folder)
    if journal is not None:
        with translated(journal):
            journal.unlink()
    return path


NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What link(2) says on file systems without hard links: FAT, and many that lie over a network."""


def _give_name(temporary: Path, path: Path) -> None:
    """A whole file its name; one that is taken is not overwritten.

    A link fails there, where a rename would overwrite in silence: that is for file systems alone that
    have no links, after a look.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temporary.rename(path)


def _is_document_of(path: Path, run: Run) -> bool:
    """Whether the document there is this run's: all the same but for when it was written, and how."""
    try:
        there = read_run(path)
    except DocumentError:
        return False
    return replace(there, finished_utc=run.finished_utc, notes=run.notes) == run


def read_run(path: Path) -> Run:
    """One document.

    Raises:
        StoreError: there is no such file, or it cannot be read.
        DocumentError: it cannot be trusted; the message names the file.
    """
    if path.suffix == SUFFIX:
        raise DocumentError(
            f"{path} is the journal of an unfinished run", f"dlbench run --resume {path}"
        )
    run = codec.decode_run(codec.read_bytes(path), str(path))
    problem = next(sound.problems(run), None)
    if problem is not None:
        raise DocumentError(f"{path} cannot be so: {problem}", f"dlbench check {path}")
    return run


def load_runs(paths: Sequence[Path]) -> tuple[Run, ...]:
    """All documents of files and folders (their ``*.json``), each once, in the order of names.

    Raises:
        StoreError: nothing is there.
        DocumentError: one of them cannot be trusted, or two of them are of one run and differ.
    """
    return read_distinct(document_files(paths))


def read_distinct(files: Iterable[Path]) -> tuple[Run, ...]:
    """The documents of these files, each once: a copy in another folder is that document.

    Raises:
        StoreError: one of them is not there, or cannot be read.
        DocumentError: one of them cannot be trusted, or two of them are of one run and differ.
    """
    with _nothing_collected():
        return tuple(each_distinct(files))


def each_distinct(files: Iterable[Path]) -> Iterator[Run]:
    """The same, one at a time: none is kept, and one that cannot be trusted is told in its turn."""
    first: dict[str, Path] = {}
    for path in files:
        run = read_run(path)
        if run.run_id not in first:
            first[run.run_id] = path
            yield run
        elif run != read_run(first[run.run_id]):
            raise DocumentError(
                f"{first[run.run_id]} and {path} are both of run {run.run_id}, and differ: "
                "a run has one document",
                "Give one of the two.",
            )


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Documents hold no cycles, and the collector would walk through all again at each that is read."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def document_files(paths: Sequence[Path], suffixes: Sequence[str] = (".json",)) -> tuple[Path, ...]:
    """The files of those paths, each once: of a folder, those of its files with such a suffix.

    Raises:
        StoreError: nothing is there, or nothing in one of the folders.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = [f for suffix in suffixes for f in sorted(path.glob(f"*{suffix}"))]
        if not inside:
            raise StoreError(f"there is no result document in {path}", "dlbench run")
        files += inside
    if not files:
        raise StoreError("there is no result document in nothing", "dlbench run")
    return tuple(dict.fromkeys(files))


def check_spared(out: Path, read: Sequence[Path]) -> None:
    """That a file to be written is none of the documents that were read.

    Raises:
        UsageError: it is one, and would be gone.
    """
    if out.resolve() in {path.resolve() for path in read}:
        raise UsageError(
            f"{out} is one of the documents to read, and would be lost",
            "Name another file with --out.",
        )


def latest_journal(folder: Path) -> Path:
    """The newest unfinished run of a folder.

    Raises:
        StoreError: there is none.
    """
    journals = sorted(folder.glob(f"*{SUFFIX}"))
    if not journals:
        raise StoreError(f"there is no unfinished run in {folder}", "dlbench run")
    return journals[-1]
