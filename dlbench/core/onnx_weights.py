"""Which files beside an ONNX file hold its weights, found without running or importing anything.

An ONNX file is a protobuf message (onnx/onnx.proto3), and each tensor in it may say that its numbers
lie in another file (``external_data``, with a ``location``). A file comes from a stranger: only its
own folder, and those in it, may be named.

No name may hold a ``*``: ONNX Runtime and OpenVINO take ``*/_ORT_MEM_ADDR_/*`` and
``*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*`` for memory of the process, at the address of the tensor's offset.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from dlbench.core.errors import ModelError

HELD_BY: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {13: "StringStringEntryProto"},
}
"""By field number, the messages of each message in which a tensor may be, and what a tensor says."""

KEY, VALUE = 1, 2
"""The fields of a StringStringEntryProto."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields on the wire; groups, which ONNX has not, are none of them."""

VARINT_BYTES = 10
"""The longest, of 64 bits."""

HOW = "Save it with its weights in one file, or in files of its own folder."


def beside(path: Path) -> tuple[Path, ...]:
    """The files that hold the weights of an ONNX file, sorted; one that is named may not be there.

    Raises:
        ModelError: the file names one outside its folder.
        ValueError: it is no protobuf message.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return ()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            locations = set(_locations(data))
    return tuple(_inside(path, location) for location in sorted(locations))


def _inside(path: Path, location: str) -> Path:
    """The file of that location, links followed.

    A link to elsewhere in the same folder is a file of the folder; a link out of it is not.
    """
    told = f"{path.name} has weights in {location!r}"
    ways = (PurePosixPath(location), PureWindowsPath(location))
    if any(way.is_absolute() or way.drive or ".." in way.parts for way in ways):
        raise ModelError(f"{told}, which is outside its folder", HOW)
    if "*" in location or not location.isprintable():
        raise ModelError(f"{told}, which is no name of a file", HOW)
    folder = path.parent.resolve()
    found = folder / location
    if not found.resolve().is_relative_to(folder):
        raise ModelError(f"{told}, a link to a file outside its folder", HOW)
    if found.exists() and not found.is_file():
        raise ModelError(f"{told}, which is no plain file", HOW)
    return found


# --- the message ----------------------------------------------------------------------------


def _locations(data: mmap.mmap) -> Iterator[str]:
    """What tensors say of where their numbers are; ValueError where the bytes are no message."""
    # A stack of our own: a stranger's graphs may lie in each other deeper than Python calls itself.
    pending = [("ModelProto", 0, len(data))]
    while pending:
        message, start, end = pending.pop()
        if message == "StringStringEntryProto":
            entry = {number: data[a:b] for number, a, b in _fields(data, start, end)}
            if entry.get(KEY) == b"location":
                yield entry.get(VALUE, b"").decode()
            continue
        inner = HELD_BY[message]
        pending += [(inner[n], a, b) for n, a, b in _fields(data, start, end) if n in inner]


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of bytes in a message; other fields are passed over."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == VARINT:
            _, at = _varint(data, at, end)
        elif kind == BYTES:
            size, at = _varint(data, at, end)
            if size <= end - at:
                yield tag >> 3, at, at + size
            at += size
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"a field of kind {kind} at byte {at}")
        if at > end:
            raise ValueError(f"a field ends at byte {at}, beyond its message, which ends at {end}")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, lowest first, and where it ends."""
    number = 0
    for i, byte in enumerate(data[at : min(at + VARINT_BYTES, end)]):
        number |= (byte & 127) << 7 * i
        if byte < 128:  # noqa: PLR2004 - the eighth bit says that more follow
            return number & 2**64 - 1, at + i + 1
    raise ValueError(f"an endless number at byte {at}")
