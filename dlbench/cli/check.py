"""``dlbench check``: can a document be trusted?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dlbench.core.errors import EXIT_REFUSED, EXIT_STORE, DocumentError, StoreError
from dlbench.core.types import Check


def check(
    files: Annotated[list[Path], typer.Argument(help="Result documents, or folders of them.")],
    json: Annotated[bool, typer.Option("--json", help="Print the rules as JSON.")] = False,
) -> None:
    """Validate documents: each rule by name, passed or failed. Ends with 5 if any failed.

    One that is not there fails by itself, hides no other, and the command ends with 7.

    Trials that the gate refused while they ran are named too, with what their rule holds and what it
    cannot see; they have no speed, and do not count as failures of the document.
    """
    from dlbench.cli import show
    from dlbench.store import runs

    found: dict[str, tuple[Check, ...]] = {}
    missing: list[StoreError] = []
    for path in runs.document_files(files):
        try:
            found[str(path)] = _checks(path)
        except StoreError as error:
            missing.append(error)
            found[str(path)] = (_unreadable(error),)
    if len(missing) == len(found):
        raise missing[0]
    if json:
        show.as_json({name: [asdict(c) for c in checks] for name, checks in found.items()})
    else:
        for name, checks in found.items():
            show.checks(name, checks)
    if missing:
        raise typer.Exit(EXIT_STORE)
    if any(c.passed is False for checks in found.values() for c in checks):
        raise typer.Exit(EXIT_REFUSED)


def _checks(path: Path) -> tuple[Check, ...]:
    """A file that is no document fails the first rule; there is nothing to apply others to.

    Raises:
        StoreError: there is no such file, or it cannot be read: nothing is known of a document.
    """
    from dlbench.analysis import check as rules
    from dlbench.store import codec

    try:
        data = codec.read_bytes(path)
        run = codec.decode_run(data, str(path))
    except DocumentError as error:
        return (_unreadable(error),)
    readable = Check(rule="readable", passed=True, detail="strictly decoded, schema version known")
    content = rules.content_check(*codec.stated_and_actual_sha256(data, str(path)))
    return (readable, content, *rules.check_run(run), *rules.refusals(run))


def _unreadable(error: DocumentError | StoreError) -> Check:
    detail = f"{error.message}. {error.advice}".strip()
    return Check(rule="readable", passed=False, detail=detail)
