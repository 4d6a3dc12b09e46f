"""The user's own catalog on disk: what ``catalog update`` fetched and what ``catalog add`` was given.

$DLBENCH_CATALOG_DIR, else $XDG_DATA_HOME/dlbench/catalog, else ~/.local/share/dlbench/catalog
    fetched/<source>.csv       one file a source, with <source>.json beside it: when, from where, hash
    user/<name>.csv            the user's files, as they were added
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dlbench.core import catalog_rows
from dlbench.core.catalog import Offer
from dlbench.core.errors import StoreError, UsageError
from dlbench.core.fetching import Fetched

FOLDER_VARIABLE = "DLBENCH_CATALOG_DIR"

MAX_RECEIPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """When a file was fetched, from where, and the SHA-256 of what was stored and of what came."""

    source: str
    fetched_on: str
    rows: int
    sha256: str
    raw_sha256: str


def folder() -> Path:
    """Where the user's catalog lies; it need not exist.

    Raises:
        StoreError: whoever has no home has none, as a container's number without a name.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    try:
        data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    except RuntimeError as error:
        raise StoreError(
            "there is no home folder to keep a catalog in", f"Set {FOLDER_VARIABLE}."
        ) from error
    return Path(data) / "dlbench" / "catalog"


def fetched_files() -> tuple[Path, ...]:
    """What ``catalog update`` stored, in the order of names."""
    return _stored("fetched")


def user_files() -> tuple[Path, ...]:
    """What ``catalog add`` stored, in the order of names."""
    return _stored("user")


def _stored(part: str) -> tuple[Path, ...]:
    """Nothing where there is no folder, nor could be one."""
    try:
        return tuple(sorted((folder() / part).glob("*.csv")))
    except StoreError:
        return ()


def readable(fetched: Fetched) -> Fetched:
    """Without rows that could not be read again: one of them would lose all the others."""
    kept, problems = [], Counter(dict(fetched.problems))
    for offer in fetched.offers:
        try:
            catalog_rows.offers(catalog_rows.offers_csv([offer]).encode(), "it", offer.origin)
            kept.append(offer)
        except UsageError as error:
            problems[f"{error.message.partition(': ')[2]}: left out"] += 1
    return replace(fetched, offers=tuple(kept), problems=tuple(sorted(problems.items())))


def write_fetched(name: str, offers: Sequence[Offer], receipt: Receipt) -> Path:
    """Replace what is stored of one source; the others stay as they are."""
    path = folder() / "fetched" / f"{name}.csv"
    told = json.dumps(asdict(receipt), indent=1) + "\n"
    _write({path: catalog_rows.offers_csv(offers), path.with_name(f"{name}.json"): told})
    return path


def receipt_of(offers: Sequence[Offer], *, source: str, fetched_on: str, raw: bytes) -> Receipt:
    """The receipt of offers as they would be stored."""
    return Receipt(
        source=source,
        fetched_on=fetched_on,
        rows=len(offers),
        sha256=hashlib.sha256(catalog_rows.offers_csv(offers).encode()).hexdigest(),
        raw_sha256=hashlib.sha256(raw).hexdigest(),
    )


def verify(path: Path, data: bytes) -> None:
    """A fetched file must be as it was stored.

    Raises:
        StoreError: it was changed since, or its receipt is missing.
    """
    remedy = "Fetch it again: dlbench catalog update; or keep your changes: dlbench catalog add."
    if not path.with_suffix(".json").is_file():
        raise StoreError(f"{path} has no receipt, and is left out", remedy)
    raw = catalog_rows.read_bytes(path.with_suffix(".json"), MAX_RECEIPT_BYTES)
    try:
        receipt = json.loads(raw)
        stored_hash = receipt["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(f"the receipt of {path} cannot be read", remedy) from None
    if stored_hash != hashlib.sha256(data).hexdigest():
        raise StoreError(f"{path} was changed after it was fetched, and is left out", remedy)


def add(source: Path, data: bytes) -> Path:
    """Keep a user's file, which was read and found good, under its own name."""
    path = folder() / "user" / f"{source.stem}.csv"
    _write({path: data.decode("utf-8-sig")})
    return path


def remove(name: str) -> Path:
    """Take away a file that was added.

    Raises:
        UsageError: there is none of that name.
        StoreError: it cannot be taken away.
    """
    added = {path.stem: path for path in user_files()}
    path = added.get(name) or added.get(Path(name).stem)
    if path is None:
        raise UsageError(
            f"no file {name!r} was added", f"Added so far: {', '.join(added) or 'none'}."
        )
    try:
        path.unlink()
    except OSError as error:
        raise StoreError(
            f"{path} cannot be removed: {error.strerror}", "Check the rights on its folder."
        ) from error
    return path


def _write(texts: Mapping[Path, str]) -> None:
    """All of some files or nothing of them: none is moved to its place before each is written."""
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside[path].write_text(text, encoding="utf-8", newline="")
        for path, temporary in beside.items():
            temporary.replace(path)
    except OSError as error:
        for temporary in beside.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", f"Set {FOLDER_VARIABLE}."
        ) from error
