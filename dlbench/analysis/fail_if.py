"""``--fail-if slower:3%``: conditions under which a comparison ends a CI job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dlbench.core.errors import UsageError
from dlbench.core.types import Absent
from dlbench.paired import Judgement

Kind = Literal["slower", "faster", "different", "cannot-tell", "unresolved"]

KINDS: tuple[Kind, ...] = ("slower", "faster", "different", "cannot-tell", "unresolved")

WITHOUT_SIZE: tuple[Kind, ...] = ("different", "cannot-tell")

HELP = "slower:3%, faster:3%, different, cannot-tell, unresolved:3%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One of ``KINDS``, and the relative difference from which on it holds."""

    kind: Kind
    threshold: float = 0.0

    @property
    def words(self) -> str:
        """As it was written."""
        return f"{self.kind}:{100 * self.threshold:g}%" if self.threshold else self.kind

    def holds(self, said: Judgement) -> bool:
        """Whether a judgement on B meets it.

        ``slower:3%`` asks for both: the verdict slower, and a ratio at least 3 % below 1.
        ``unresolved:3%`` holds where so small a difference would not have been found.
        """
        if self.kind == "slower":
            return said.verdict == "slower" and said.ratio <= 1 / (1 + self.threshold)
        if self.kind == "faster":
            return said.verdict == "faster" and said.ratio >= 1 + self.threshold
        if self.kind == "different":
            return said.verdict in ("faster", "slower")
        if self.kind == "cannot-tell":
            return said.verdict == "cannot tell"
        return isinstance(said.resolves, Absent) or said.resolves > self.threshold


def parse(text: str) -> Condition:
    """A condition as it was written.

    Raises:
        UsageError: it is none.
    """
    word, _, amount = text.partition(":")
    kind = next((k for k in KINDS if k == word.strip()), None)
    if kind is None:
        raise UsageError(f"--fail-if {text!r} is not known", HELP)
    if kind == "unresolved" and not amount:
        raise UsageError("--fail-if unresolved needs a size", "unresolved:3%")
    if kind in WITHOUT_SIZE and amount:
        raise UsageError(f"--fail-if {kind} takes no size", f"{kind}, or slower:3% and faster:3%")
    return Condition(kind=kind, threshold=relative(amount, "--fail-if") if amount else 0.0)


def relative(text: str, option: str) -> float:
    """A share: ``3%``, ``3 %`` or ``0.03``.

    Raises:
        UsageError: it is no number, or not between 0 and 100 %.
    """
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise UsageError(f"{option} {text!r} is not a share", "Write 3% or 0.03.")
    return share
