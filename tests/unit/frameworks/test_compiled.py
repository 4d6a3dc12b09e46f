"""Whether PyTorch compiled in this process, or found what an earlier one had compiled."""

from __future__ import annotations

from collections import Counter, defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from dlbench.frameworks import pytorch


@pytest.mark.parametrize(
    ("counted", "before"),
    [
        ({}, False),
        ({"fxgraph_cache_miss": 1}, False),
        ({"fxgraph_cache_hit": 2}, True),
        # A graph like one that was compiled just now, in this process.
        ({"fxgraph_cache_miss": 1, "fxgraph_cache_hit": 1}, False),
        # Frozen weights are not kept by every release.
        ({"fxgraph_cache_bypass": 1}, False),
    ],
)
def test_all_of_it_was_found(counted: dict[str, int], *, before: bool) -> None:
    """By PyTorch's own counters: some found and some compiled is compiled."""
    counters: Any = defaultdict(Counter, {"inductor": Counter(counted)})
    torch = SimpleNamespace(_dynamo=SimpleNamespace(utils=SimpleNamespace(counters=counters)))
    assert pytorch._compiled_before(torch) is before


def test_found_by_the_layer_above_is_found_too() -> None:
    """AOTAutograd keeps programs of training in a cache of its own."""
    counters: Any = defaultdict(Counter, {"aot_autograd": Counter(autograd_cache_hit=1)})
    torch = SimpleNamespace(_dynamo=SimpleNamespace(utils=SimpleNamespace(counters=counters)))
    assert pytorch._compiled_before(torch) is True
