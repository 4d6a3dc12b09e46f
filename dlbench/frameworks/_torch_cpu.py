"""Matrix products of compiled PyTorch programs by oneDNN, where the build's own library is slower.

PyTorch hands fp32 products on a CPU to the library that it was built with, mostly Intel's MKL, which
uses half the vector width of AMD's processors; oneDNN, which comes with PyTorch for its convolutions,
uses all of it (docs/decisions/0074).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch._inductor import list_mode_options
from torch._inductor.compile_fx import compile_fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

from dlbench.core.types import Absent

LEAST_GAIN = 1.1
"""How many times as fast oneDNN has to be: below it neither library is worth a detour."""

LEAST_FLOPS = 1e7
"""Of a product that is given to oneDNN in training: others last no longer than its call, 10 us."""

ROWS, FEATURES = 256, 1024
N_TIMED = 9

aten, mkldnn = torch.ops.aten, torch.ops.mkldnn

_library = torch.library.Library("dlbench", "DEF")
_library.define(
    "product(Tensor a, Tensor b, Tensor? bias) -> Tensor", tags=(torch.Tag.needs_exact_strides,)
)


def _product(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """``a @ b + bias`` by oneDNN: (M, K), (K, N), (N,) or (1,) to (M, N)."""
    if bias is not None:
        # Of a bias oneDNN is handed the first number's address, and takes N from there on.
        bias = bias.expand(b.shape[1]).contiguous()
    found: torch.Tensor = mkldnn._linear_pointwise.default(a, b.t(), bias, "none", [], "")  # noqa: SLF001 - Inductor's own
    return found


_library.impl("product", _product, "CPU")
_library.impl("product", lambda a, b, _: a.new_empty(a.shape[0], b.shape[1]), "Meta")


def gain() -> float | Absent:
    """How many times as fast as PyTorch's own library oneDNN multiplies in fp32 here.

    Of the fastest products with the threads set, in turns and some 50 ms: others may take the processor
    meanwhile.
    """
    if not torch.backends.mkldnn.is_available():
        return Absent(reason="this build of PyTorch has no oneDNN")
    rows, weights = torch.ones(ROWS, FEATURES), torch.ones(FEATURES, FEATURES)
    ways: tuple[Callable[[], Any], ...] = (
        lambda: rows @ weights,
        lambda: _product(rows, weights, None),
    )
    durations_s: list[list[float]] = [[], []]
    with torch.inference_mode():
        for _ in range(N_TIMED):
            for taken, way in zip(durations_s, ways, strict=True):
                began_s = time.perf_counter()
                way()
                taken.append(time.perf_counter() - began_s)
    own_s, by_onednn_s = map(min, durations_s)
    return own_s / by_onednn_s


class Products(CustomGraphPass):  # type: ignore[misc]
    """A pass of Inductor over forward and backward: large fp32 products go to oneDNN.

    Each lays its weights out anew, since training changes them; that is a small part of a product.
    """

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Turn nodes into oneDNN's; of a graph with a sparse gradient Inductor lets nothing change."""
        if any(_is_sparse(node) for node in graph.nodes):
            return
        for node in graph.nodes:
            if (given := _operands(node)) is not None:
                node.target, node.args = torch.ops.dlbench.product.default, given

    def uuid(self) -> bytes:
        """Of this file: Inductor's cache then holds no programs of another version of it."""
        found: bytes = get_hash_for_files((__file__,))
        return found


def _is_sparse(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.layout is not torch.strided


def _operands(node: torch.fx.Node) -> tuple[Any, Any, Any] | None:
    """Both factors and the bias of a product that oneDNN is to make; None for all else."""
    if node.target is aten.mm.default:
        factors, bias = node.args, None
    elif node.target is aten.addmm.default and not node.kwargs:
        bias, *factors = node.args
        if bias.meta["val"].dim() != 1:
            return None
    else:
        return None
    a, b = (factor.meta["val"] for factor in factors)
    sizes = (*a.shape, b.shape[1])
    plain = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    if not plain or not all(isinstance(n, int) for n in sizes):
        return None
    m, k, n = sizes
    return (*factors, bias) if 2 * m * k * n >= LEAST_FLOPS else None


def can_pack() -> bool:
    """Whether Inductor can be told to pack weights for oneDNN: since PyTorch 2.9."""
    return hasattr(torch.backends.mkldnn, "matmul")


def packing(mode: str) -> Callable[[torch.fx.GraphModule, Sequence[Any]], Any]:
    """Inductor in a mode of ``torch.compile``, as a backend that packs frozen weights for oneDNN."""

    def backend(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Any:  # noqa: ANN401
        with _packed_for_onednn():
            return compile_fx(graph, inputs, config_patches=list_mode_options(mode))

    return backend


@contextlib.contextmanager
def _packed_for_onednn() -> Iterator[None]:
    """Inductor packs fp32 for MKL, unless oneDNN may use TF32: so it may, until the program runs.

    By the switch for all libraries: autotuning asks it, and it refuses where oneDNN's says otherwise.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
