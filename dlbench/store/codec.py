"""Documents to bytes and back, strictly. The only user of msgspec.

Whatever is read may come from a stranger, and is refused, in one sentence, when it is too large, not
UTF-8, not JSON (NaN and Infinity are not), nested too deeply, holds duplicate or unknown keys, lacks
keys, has values of the wrong type, or was written by a newer dlbench.

    {"schema": "dlbench/run", "schema_version": 1, "content_sha256": "...", "run": {...}}
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import operator
import re
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dlbench.core import units
from dlbench.core.errors import DocumentError, StoreError
from dlbench.core.types import SCHEMA_VERSION, Run

T = TypeVar("T")

SCHEMA = "dlbench/run"

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
"""A thousand times a usual document; checked before anything is read into memory."""

MAX_DEPTH = 32
"""Documents nest ten deep; more is an attack on the parser's stack."""

MAX_INTEGER_DIGITS = 30
"""Python's own limit of 4,300 digits still lets a file cost seconds."""

ENVELOPE_KEYS = {"schema", "schema_version", "content_sha256", "run"}

NUMBERS = re.compile(rb"\[(?:\n *(?:-?[0-9][-+.0-9Ee]*|null),?)+\n *\]")
"""A list of numbers as it is indented; a string holds no line break, so none can look like one."""

UPGRADE = "Install a newer dlbench: git pull in its clone, then pip install . there."

ALIKE = bytes.maketrans(b"123456789,[-", b"0" * 9 + b":" * 3)
GIANT = b":" + b"0" * (MAX_INTEGER_DIGITS + 1)
"""How an integer that is too long begins, without spaces, once all that may stand there looks alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A document: what it is, the hash of its content, and that."""

    schema: str
    schema_version: int
    content_sha256: str
    run: Run


def encode_run(run: Run) -> bytes:
    """A sealed document: indented by one, keys in field order, its content's hash on top.

    Raises:
        DocumentError: the run holds a NaN or an infinity, which is a bug in whoever made it.
    """
    plain = to_plain(run)
    envelope = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "content_sha256": content_sha256(plain),
        "run": plain,
    }
    indented = msgspec.json.format(msgspec.json.encode(envelope), indent=1)
    return NUMBERS.sub(_on_one_line, indented) + b"\n"


def _on_one_line(numbers: re.Match[bytes]) -> bytes:
    """A series of a thousand readings is one line and not a thousand."""
    return numbers.group().translate(None, b" \n")


def decode_run(data: bytes, name: str = "document") -> Run:
    """A run from a document's bytes; ``name`` is what messages call it.

    Raises:
        DocumentError: it cannot be trusted or read; the message says where and why.
    """
    return _as_written(data) or _walked(data, name)


def _as_written(data: bytes) -> Run | None:
    """The run of a document in which every key is one of ours, once, and where we write it.

    Read by its keys alone and written again, it is the same, byte for byte but for spaces: then nothing
    in it was passed over. Any other document is walked through for what is wrong with it, if anything.
    """
    try:
        compact = msgspec.json.format(data, indent=-1)
        if GIANT in compact.translate(ALIKE):
            return None
        envelope = msgspec.json.decode(compact, type=Envelope)
        understood = msgspec.json.encode(msgspec.json.decode(compact, type=_by_keys(Envelope)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    ours = (envelope.schema, envelope.schema_version) == (SCHEMA, SCHEMA_VERSION)
    return envelope.run if ours and understood == compact else None


@cache
def _by_keys(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    """The type of ``hint`` by which its keys are read, and all between them stays as it is written.

    A key with a default may be lacking, as it is in older documents, and is then not written either.
    """
    if dataclasses.is_dataclass(hint):
        hints, fields = typing.get_type_hints(hint), []
        for field in dataclasses.fields(hint):
            kind = _by_keys(hints[field.name]) if _has_keys(hints[field.name]) else msgspec.Raw
            needed = field.default is field.default_factory is dataclasses.MISSING
            either = (kind,) if needed else (kind | msgspec.UnsetType, msgspec.UNSET)
            fields.append((field.name, *either))
        name = hint.__name__  # type: ignore[union-attr]  # an annotation is a type
        return msgspec.defstruct(name, fields, kw_only=True, gc=False)
    inner = tuple(_by_keys(part) if _has_keys(part) else part for part in typing.get_args(hint))
    whole = typing.get_origin(hint)
    return reduce(operator.or_, inner) if whole is types.UnionType else whole[inner]


def _has_keys(hint: Any) -> bool:  # noqa: ANN401 - any annotation
    keyed = dataclasses.is_dataclass(hint) or typing.get_origin(hint) is dict
    return keyed or any(map(_has_keys, typing.get_args(hint)))


def _walked(data: bytes, name: str) -> Run:
    """The run of a document that is parsed value by value, so that each refusal has its words."""
    envelope = parse(data, name)
    if not isinstance(envelope, dict) or envelope.get("schema") != SCHEMA:
        raise DocumentError(f"{name} is not a dlbench result document", "dlbench run writes them.")
    _check_version(envelope.get("schema_version"), name)
    unknown = sorted(set(envelope) - ENVELOPE_KEYS)
    if unknown:
        raise DocumentError(f"{name} has an unknown key {unknown[0]!r}", "Was it edited?")
    return _converted(Run, envelope.get("run"), name)


def stated_and_actual_sha256(data: bytes, name: str = "document") -> tuple[str, str]:
    """The content hash that a document states, and the one that its content has."""
    envelope = parse(data, name)
    return str(envelope.get("content_sha256")), content_sha256(envelope.get("run"))


def read_bytes(path: Path) -> bytes:
    """A file's bytes, refused by its size before it is read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > MAX_DOCUMENT_BYTES:
                raise DocumentError(
                    f"{path} has {size:,} bytes, more than the {MAX_DOCUMENT_BYTES:,} that any "
                    "document has",
                    "It is not a dlbench document.",
                )
            file.seek(0)
            return file.read()
    except OSError as error:
        why = error.strerror or error
        raise StoreError(f"{path} cannot be read: {why}", "Check the path.") from error


def content_sha256(plain_run: Any) -> str:  # noqa: ANN401 - any JSON value
    """The hash of a run's canonical JSON: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(plain_run, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


# --- plain values ---------------------------------------------------------------------------


def to_plain(value: Any) -> Any:  # noqa: ANN401 - any core dataclass
    r"""A core dataclass as plain JSON values.

    A byte of a file's name or of a variable that is no UTF-8, a lone surrogate in Python, is written
    ``\udce9``: no document can hold it as it is.

    Raises:
        DocumentError: it holds a number that JSON has no word for.
    """
    plain = msgspec.to_builtins(value, str_keys=True)
    for path, number in _floats(plain, ""):
        if not math.isfinite(number):
            raise DocumentError(f"{path or 'value'} is {number}, which is not a number to keep")
    try:
        msgspec.json.encode(plain)
    except UnicodeEncodeError:
        return _in_utf8(plain)
    return plain


def _in_utf8(plain: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(plain, str):
        return units.in_utf8(plain)
    if isinstance(plain, dict):
        return {_in_utf8(key): _in_utf8(item) for key, item in plain.items()}
    if isinstance(plain, list | tuple):
        return [_in_utf8(item) for item in plain]
    return plain


def encode_line(value: Any) -> bytes:  # noqa: ANN401 - a journal record
    """Any plain or core value as one line of JSON."""
    return msgspec.json.encode(to_plain(value))


def convert(kind: type[T], plain: Any, name: str = "record") -> T:  # noqa: ANN401 - any JSON value
    """Plain JSON values as a core dataclass, strictly.

    Raises:
        DocumentError: a key is missing or unknown, or a value has the wrong type or no finite size.
    """
    for path, number in _floats(plain, ""):
        if not math.isfinite(number):
            raise DocumentError(f"{name}: {path} is {number}, which is not a number")
    return _converted(kind, plain, name)


def _converted(kind: type[T], plain: Any, name: str) -> T:  # noqa: ANN401 - any JSON value
    """As ``convert``, of values that were parsed here: each number in them is finite."""
    try:
        value = msgspec.convert(plain, kind, strict=True)
    except msgspec.ValidationError as error:
        raise DocumentError(f"{name}: {error}", "Was it edited, or cut short?") from None
    except RecursionError:
        raise DocumentError(f"{name} is nested too deeply", "It is not ours.") from None
    # msgspec passes over keys that a dataclass does not have. Whatever was understood survives the
    # way back, so a key that does not was not understood.
    unknown = _first_lost_key(plain, msgspec.to_builtins(value, str_keys=True), "")
    if unknown is not None:
        raise DocumentError(f"{name} has an unknown key at {unknown}", "Was it edited?")
    return value


def parse(data: bytes, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """JSON from a stranger: no duplicates, no NaN, no infinity, no giants, no surrogates.

    Raises:
        DocumentError: it has one of these, or is no JSON at all.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except UnicodeDecodeError as error:
        raise DocumentError(f"{name} is not UTF-8 text ({error.reason})", "Was it cut?") from None
    except RecursionError:
        raise DocumentError(f"{name} is nested too deeply", "It is not ours.") from None
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"{name} is not JSON: {error.msg} in line {error.lineno}", "Was it cut short?"
        ) from None
    except _RefusedError as error:
        raise DocumentError(f"{name} {error}", "It was not written by dlbench.") from None
    problem = _first_problem(value, "", 0)
    if problem is not None:
        raise DocumentError(f"{name} {problem}", "It was not written by dlbench.")
    return value


class _RefusedError(Exception):
    """A value that the parser's hooks do not let pass."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None
        raise _RefusedError(f"has the key {twice[:40]!r} twice in one object")
    return found


def _no_constant(word: str) -> float:
    raise _RefusedError(f"holds {word}, which is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _RefusedError(f"holds {text[:20]}, which is too large for a number")
    return number


def _short(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise _RefusedError(f"holds an integer of {len(text):,} digits")
    return int(text)


def _first_problem(value: Any, path: str, depth: int) -> str | None:  # noqa: ANN401
    """Too deep, or a string that UTF-8 cannot hold (a lone surrogate)."""
    if depth > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, str):
        return None if _encodable(value) else f"has a lone surrogate at {path or 'its root'}"
    if isinstance(value, dict):
        for key, item in value.items():
            if not _encodable(key):
                return f"has a lone surrogate in a key at {path or 'its root'}"
            if (found := _first_problem(item, f"{path}.{key}", depth + 1)) is not None:
                return found
    if isinstance(value, list) and not _numbers(value):
        for i, item in enumerate(value):
            if (found := _first_problem(item, f"{path}[{i}]", depth + 1)) is not None:
                return found
    return None


def _numbers(items: list[Any]) -> bool:
    """Whether it is a series of numbers, as most of a document is: nothing in it is left to look at."""
    return {int, float, type(None)}.issuperset(map(type, items))


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _floats(value: Any, path: str) -> Iterable[tuple[str, float]]:  # noqa: ANN401
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _floats(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _floats(item, f"{path}[{i}]")


def _first_lost_key(before: Any, after: Any, path: str) -> str | None:  # noqa: ANN401
    """The path of a key in ``before`` that ``after`` does not have."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, item in before.items():
            if key not in after:
                return f"{path}.{key}".lstrip(".")
            if (found := _first_lost_key(item, after[key], f"{path}.{key}")) is not None:
                return found
    elif isinstance(before, list) and isinstance(after, list | tuple) and not _numbers(before):
        for i, (item, back) in enumerate(zip(before, after, strict=False)):
            if (found := _first_lost_key(item, back, f"{path}[{i}]")) is not None:
                return found
    return None


def _check_version(version: object, name: str) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DocumentError(f"{name} states no schema version", "Was it edited?")
    if version > SCHEMA_VERSION:
        raise DocumentError(
            f"{name} has schema version {version}, and this dlbench reads up to {SCHEMA_VERSION}",
            UPGRADE,
        )
