r"""The journal of a run in progress: append-only lines, checksummed and fsynced, one writer.

    <crc32, 8 hex digits> <one line of compact JSON>\n

The first record is the header (plan, environment), each further one a trial or a note. A line counts
once it is complete and its checksum holds: what a crash tears is the last line at most, and it is
dropped and said. A line that is corrupt in the middle is refused and said, never repaired.
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dlbench.core.errors import DlbenchError, DocumentError, StoreError
from dlbench.core.types import SCHEMA_VERSION, Environment, Plan, Trial
from dlbench.store import codec

SUFFIX = ".journal"
CRC_DIGITS = 8

NAME_ONE = f"Name the {SUFFIX} of an unfinished run; dlbench run --resume last takes the newest."

NAME = re.compile(r"\w[\w.-]*", re.ASCII)
"""What runs are called: the document and the report have that name, in the folder and not above it."""

NOTHING_STAYS = "Free some space or choose another folder."
RESUMABLE = (
    "Free some space or choose another folder with --out; what was written before is whole, and "
    "dlbench run --resume goes on with it."
)

Remark = str | int | float | bool
"""A note's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHeader:
    """What a run is, written before its first trial."""

    run_id: str
    created_utc: str
    dlbench_version: str
    plan: Plan
    environment: Environment
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """What a journal holds; ``problems`` says which lines were refused, and why."""

    header: JournalHeader
    trials: tuple[Trial, ...]
    notes: tuple[tuple[str, Remark], ...]
    problems: tuple[str, ...]
    whole_bytes: int


class Journal:
    """An open journal; the only one for its file, by a lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path, header: JournalHeader) -> Self:
        """Start a journal in ``folder``; it must not exist yet.

        Raises:
            StoreError: it cannot be created or written.
        """
        path = folder / f"{header.run_id}{SUFFIX}"
        with translated(path):
            descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644
            )
        journal = cls(path, descriptor)
        try:
            _lock(path, descriptor)
            journal._append({"kind": "header", "header": codec.to_plain(header)})
            sync_folder(folder)
        except BaseException:
            journal.close()
            # Without its header it is no journal; leaving it would only puzzle.
            path.unlink(missing_ok=True)
            raise
        return journal

    @classmethod
    def resume(cls, path: Path) -> tuple[Self, JournalContents]:
        """Open an existing journal to go on with it; a torn last line is cut off.

        Raises:
            StoreError: another process writes it, or it cannot be written.
            DocumentError: it cannot be read.
        """
        with translated(path):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        journal = cls(path, descriptor)
        try:
            _lock(path, descriptor)
            contents = read_journal(path)
            with translated(path):
                os.ftruncate(descriptor, contents.whole_bytes)
                os.fsync(descriptor)
        except BaseException:
            journal.close()
            raise
        return journal, contents

    def append_trial(self, trial: Trial) -> None:
        """Write one trial; when this returns it survives a power failure."""
        self._append({"kind": "trial", "trial": codec.to_plain(trial)})

    def append_note(self, name: str, value: Remark) -> None:
        """Write a remark on the run itself, such as that it was resumed."""
        self._append({"kind": "note", "name": name, "value": value})

    def close(self) -> None:
        """Release the file and its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, record: dict[str, Any]) -> None:
        """Write a whole line and fsync it; a line that could not be completed is cut off again."""
        body = codec.encode_line(record)
        line = f"{zlib.crc32(body):0{CRC_DIGITS}x} ".encode() + body + b"\n"
        with translated(self.path, n_bytes=len(line)):
            start = os.fstat(self._descriptor).st_size
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._descriptor, line[written:])
                os.fsync(self._descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, start)
                raise


def read_journal(path: Path) -> JournalContents:
    """Everything in a journal that can be trusted, and a sentence on everything that cannot.

    Raises:
        StoreError: the file cannot be read.
        DocumentError: it has no valid header, or was written by a newer dlbench.
    """
    lines = codec.read_bytes(path).split(b"\n")
    torn = lines.pop()
    problems: list[str] = []
    header: JournalHeader | None = None
    trials: list[Trial] = []
    notes: list[tuple[str, Remark]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = _record(line, f"line {number}")
            if number == 1:
                header = _header(record, path)
            elif record.get("kind") == "trial":
                trials.append(codec.convert(Trial, record.get("trial"), f"line {number}"))
            elif record.get("kind") == "note":
                notes.append(_note(record, f"line {number}"))
            else:
                problems.append(f"line {number} is of an unknown kind and was left out")
        except DlbenchError as error:
            if number == 1:
                newer = error.advice == codec.UPGRADE
                raise DocumentError(
                    f"{path} is not a journal: {error.message}",
                    codec.UPGRADE if newer else NAME_ONE,
                ) from None
            problems.append(f"{error.message}; the line was left out")
    if header is None:
        raise DocumentError(f"{path} is not a journal: it has no header", NAME_ONE)
    if torn:
        problems.append(f"the last line was torn ({len(torn):,} bytes) and was dropped")
    return JournalContents(
        header=header,
        trials=tuple(trials),
        notes=tuple(notes),
        problems=tuple(problems),
        whole_bytes=sum(len(line) + 1 for line in lines),
    )


def _record(line: bytes, name: str) -> dict[str, Any]:
    stated, _, body = line.partition(b" ")
    if stated != f"{zlib.crc32(body):0{CRC_DIGITS}x}".encode():
        raise DocumentError(f"{name} does not match its checksum", "The file was damaged.")
    record = codec.parse(body, name)
    if not isinstance(record, dict):
        raise DocumentError(f"{name} is not a record", "The file was damaged.")
    return record


def _note(record: dict[str, Any], name: str) -> tuple[str, Remark]:
    value = record.get("value")
    if not isinstance(value, Remark):
        raise DocumentError(f"{name} is a note without a plain value", "The file was damaged.")
    return str(record.get("name")), value


def _header(record: dict[str, Any], path: Path) -> JournalHeader:
    plain = record.get("header")
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise DocumentError(
            f"it has schema version {version}, and this dlbench reads up to {SCHEMA_VERSION}",
            codec.UPGRADE,
        )
    header = codec.convert(JournalHeader, plain, path.name)
    if not NAME.fullmatch(header.run_id):
        raise DocumentError(
            f"its run is called {header.run_id!r}, which names no file beside it", "It is not ours."
        )
    return header


def check_writable(folder: Path, option: str = "--out") -> None:
    """Make the folder if it is not there, and see that a file can be written in it.

    Args:
        folder: where something is to be kept.
        option: what names another folder.

    Raises:
        StoreError: nothing could be kept there; raised before anything is measured.
    """
    probe = folder / f".dlbench-{os.getpid()}"
    with translated(folder, advice=f"Choose another folder with {option}."):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("wb") as file:
                file.write(b"0")
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


@contextlib.contextmanager
def translated(path: Path, n_bytes: int | None = None, advice: str = RESUMABLE) -> Iterator[None]:
    """Turn the system's refusal into ours, with the path and what was to be written."""
    try:
        yield
    except OSError as error:
        what = "" if n_bytes is None else f" ({n_bytes:,} bytes)"
        raise StoreError(
            f"{path} cannot be written{what}: {error.strerror or error}", advice
        ) from error


def _lock(path: Path, descriptor: int) -> None:
    # Windows has none, and reads documents all the same.
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(
            f"{path} is being written by another dlbench", "Wait for it to end."
        ) from None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be locked: {error.strerror}", "Choose another folder with --out."
        ) from error


def sync_folder(folder: Path) -> None:
    """A new name survives a power failure only once its folder is on disk."""
    with translated(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
