"""What CUDA_VISIBLE_DEVICES lets through, in all the forms that CUDA reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A GPU, or a MIG slice of one, that CUDA could be given.

    ``board`` is the position of its board in the driver's (PCI bus) order and ``board_uuid`` that
    board's; both are its own where it is no slice.
    """

    uuid: str
    board: int
    board_uuid: str | Absent
    name: str


def visible(
    candidates: Sequence[Candidate], setting: str | None, *, order_known: bool
) -> list[int] | Absent:
    """Positions of the candidates that a setting lets through, in the order CUDA gives them.

    Args:
        candidates: what the driver lists, in its order.
        setting: the value of CUDA_VISIBLE_DEVICES, None if it is not set.
        order_known: whether an index means the same to CUDA as to the driver.
    """
    if setting is None:
        return list(range(len(candidates)))
    chosen: list[int] = []
    for word in (w.strip() for w in setting.split(",")):
        if not order_known and _is_index(word):
            return Absent(
                reason="CUDA_VISIBLE_DEVICES holds an index, and CUDA need not count these GPUs in "
                "the driver's order",
                remedy="Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by UUID (nvidia-smi -L).",
                code=Reason.DEVICE_AMBIGUOUS,
            )
        position = _position(candidates, word)
        # CUDA ignores everything from the first entry on that names no device.
        if position is None or position in chosen:
            break
        chosen.append(position)
    return chosen or Absent(
        reason=f"CUDA_VISIBLE_DEVICES={setting!r} hides every GPU",
        remedy="Unset it.",
        code=Reason.DEVICE_HIDDEN,
    )


def _is_index(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _position(candidates: Sequence[Candidate], word: str) -> int | None:
    """The one candidate that a word names; of a board with slices, CUDA gives the first."""
    if _is_index(word):
        of_board = [i for i, c in enumerate(candidates) if c.board == int(word)]
        return of_board[0] if of_board else None
    if word.startswith("MIG-"):
        named = [i for i, c in enumerate(candidates) if c.uuid.startswith(word)]
        return named[0] if len(named) == 1 else None
    if word.startswith("GPU-"):
        boards = {c.board for c in candidates if str(c.board_uuid).startswith(word)}
        if len(boards) == 1:
            return next(i for i, c in enumerate(candidates) if c.board in boards)
    return None
