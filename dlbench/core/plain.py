"""Dataclasses from plain JSON data, for the request that a worker gets from its own parent.

Documents and everything else that may come from strangers go through ``store.codec`` instead; the
worker may not import the store, and its only input is what the session has just built.
"""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


def from_plain(cls: type[T], data: dict[str, Any]) -> T:
    """Build a core dataclass from what ``dataclasses.asdict`` and JSON made of it."""
    hints = _hints(typing.cast("type[Any]", cls))
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]  # every caller's is a dataclass
    return cls(**{name: _value(hints[name], data[name]) for name in names if name in data})


def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, data: Any) -> Any:  # noqa: ANN401 - any field of any dataclass
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _union(arguments, data)
    if origin is tuple:
        inner = (arguments[0] for _ in data) if arguments[-1] is Ellipsis else arguments
        return tuple(_value(h, x) for h, x in zip(inner, data, strict=True))
    if origin is dict:
        return {key: _value(arguments[1], x) for key, x in data.items()}
    if is_dataclass(hint):
        return from_plain(typing.cast("type[Any]", hint), data)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(data)
    return data


def _union(arguments: tuple[Any, ...], data: Any) -> Any:  # noqa: ANN401
    """A dict can only be the union's one dataclass, a string its enum if it has one."""
    for hint in arguments:
        if isinstance(data, dict) and is_dataclass(hint):
            return _value(hint, data)
        if isinstance(data, str) and isinstance(hint, type) and issubclass(hint, StrEnum):
            return hint(data)
    return data
