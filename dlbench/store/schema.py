"""The schema of result documents, written down from the types themselves."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any

from dlbench.core.types import SCHEMA_VERSION, Run

INTRODUCTION = f"""# Result documents, schema version {SCHEMA_VERSION}

<!-- Written by dlbench.store.schema from the types; tests/golden holds it to them. -->

One JSON object in UTF-8:

```
{{"schema": "dlbench/run", "schema_version": {SCHEMA_VERSION}, "content_sha256": "...", "run": {{Run}}}}
```

`content_sha256` is the SHA-256 of `run` as canonical JSON (keys sorted, no spaces, UTF-8): an edited
document shows. Reading is strict: unknown or duplicate keys, missing keys, wrong types, NaN, Infinity,
integers over 30 digits, nesting over 32 levels, lone surrogates, files over 256 MiB and newer schema
versions are refused in one sentence. So is a document of which nothing can be computed: a value of no
duration or no samples, a trial that counts and has none, over 256 trials of a case or two of one
round, more readings than times, a number that nothing can be, a workload that is not described.
`dlbench check FILE-OR-FOLDER` reads these too and names each rule.

Older versions are read for ever: `tests/golden/documents/` keeps documents of each. A change that an
older reader would misread raises the version. Quantities end in their unit (`_s`, `_mib`, `_j`).
A number that is not known is an `Absent` object with its reason; it is never 0 and never left out.
Derived numbers (throughput, percentiles, joules a sample) are not stored: they are computed from the
values by whoever reads.

A journal (`<run_id>.journal`, while a run is in progress) holds one record a line:
`<crc32 of the JSON, 8 hex digits> <JSON>`, with the records `{{"kind": "header", "header": ...}}`,
`{{"kind": "trial", "trial": Trial}}` and `{{"kind": "note", "name": ..., "value": ...}}`.
"""


def markdown() -> str:
    """docs/schema.md: every type that a document can hold, in the order in which one meets them."""
    return "\n".join([INTRODUCTION, *(_section(kind) for kind in _reachable(Run))])


def _reachable(root: type) -> list[type]:
    found: list[type] = []
    waiting = [root]
    while waiting:
        kind = waiting.pop(0)
        if kind not in found:
            found.append(kind)
            waiting += list(_inner(kind))
    return found


def _inner(kind: type) -> Iterator[type]:
    if not is_dataclass(kind):
        return
    for hint in typing.get_type_hints(kind).values():
        yield from _own_types(hint)


def _own_types(hint: Any) -> Iterator[type]:  # noqa: ANN401 - any annotation
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, StrEnum)):
        yield hint
    for argument in typing.get_args(hint):
        yield from _own_types(argument)


def _section(kind: type) -> str:
    doc = inspect.cleandoc(kind.__doc__ or "")
    if issubclass(kind, StrEnum):
        return f"## {kind.__name__}\n\n{doc}\n\nOne of {', '.join(f'`{m.value}`' for m in kind)}.\n"
    rows = [f"| `{f.name}` | {_words(kind, f.name)} |" for f in fields(kind)]  # type: ignore[arg-type]
    table = "\n".join(["| field | type |", "| --- | --- |", *rows])
    return f"## {kind.__name__}\n\n{doc}\n\n{table}\n"


def _words(kind: type, name: str) -> str:
    text = inspect.get_annotations(kind)[name]
    return "`" + str(text).replace("|", "or").replace("tuple[", "list[").replace(", ...", "") + "`"


def main() -> None:
    """Print the page: ``python -m dlbench.store.schema > docs/schema.md``."""
    print(markdown(), end="")  # noqa: T201


if __name__ == "__main__":
    main()
