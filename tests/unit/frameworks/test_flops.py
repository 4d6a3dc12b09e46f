"""What PyTorch's counter is told: products of vectors, distances, bilinear layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dlbench.frameworks import _own_torch


def _bilinear(torch: Any, *batch: int) -> Any:
    layer = torch.nn.Bilinear(3, 4, 5)
    return layer(torch.ones(*batch, 3), torch.ones(*batch, 4))


PRODUCTS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "mv": (lambda t: t.mv(t.ones(3, 4), t.ones(4)), 2 * 3 * 4),
    "matmul of a vector": (lambda t: t.ones(2, 3, 4) @ t.ones(4), 2 * 2 * 3 * 4),
    "dot": (lambda t: t.dot(t.ones(4), t.ones(4)), 2 * 4),
    "vdot": (lambda t: t.vdot(t.ones(4), t.ones(4)), 2 * 4),
    "addmv": (lambda t: t.addmv(t.ones(3), t.ones(3, 4), t.ones(4)), 2 * 3 * 4),
    "addbmm": (
        lambda t: t.addbmm(t.ones(3, 5), t.ones(2, 3, 4), t.ones(2, 4, 5)),
        2 * 2 * 3 * 4 * 5,
    ),
    "addmm and gelu": (
        lambda t: t._addmm_activation(t.ones(3), t.ones(2, 4), t.ones(4, 3), use_gelu=True),
        2 * 2 * 4 * 3,
    ),
    "cdist": (lambda t: t.cdist(t.ones(2, 3), t.ones(5, 3)), 2 * 2 * 5 * 3),
    "cdist of many": (lambda t: t.cdist(t.ones(2, 30, 3), t.ones(2, 40, 3)), 2 * 2 * 30 * 40 * 3),
    "cdist that broadcasts": (
        lambda t: t.cdist(t.ones(3, 1, 2, 3), t.ones(4, 5, 3), p=1.0),
        2 * 3 * 4 * 2 * 5 * 3,
    ),
    "pdist": (lambda t: t.pdist(t.ones(5, 3)), 2 * 10 * 3),
    "bilinear": (lambda t: _bilinear(t, 2), 2 * 2 * 5 * 3 * 4),
    "bilinear of a sequence": (lambda t: _bilinear(t, 2, 7), 2 * 2 * 7 * 5 * 3 * 4),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_counted(name: str) -> None:
    """PyTorch's own counter has each of them for nothing."""
    torch = pytest.importorskip("torch")
    work, flops = PRODUCTS[name]
    with torch.no_grad(), _own_torch.counting(torch) as counter:
        work(torch)
    assert counter.get_total_flops() == flops
    assert counter.formats == {"float32"}
