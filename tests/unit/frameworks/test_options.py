"""Options of an adapter: a value that is none of theirs is refused, and not taken for another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.core.errors import UnsupportedError
from dlbench.frameworks import pytorch
from tests.subjects import request_for


def _pins(device: str, *given: str) -> bool:
    case = replace(request_for("pytorch", "null").case, device=device)
    return pytorch.pins(replace(case, options=tuple(("pinned", word) for word in given)))


def test_host_memory_is_pinned_for_a_gpu_unless_told_not_to() -> None:
    """On a CPU there is nothing to copy to."""
    assert _pins("nvidia:0")
    assert _pins("nvidia", "true")
    assert not _pins("nvidia:0", "false")
    assert not _pins("cpu")


@pytest.mark.parametrize("word", ["True", "yes", "1", ""])
def test_pinned_is_true_or_false(word: str) -> None:
    """Anything else was measured as false, under the name that was given."""
    with pytest.raises(UnsupportedError, match="true or false"):
        _pins("nvidia:0", word)
