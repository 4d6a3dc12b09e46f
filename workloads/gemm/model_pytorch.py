"""A matrix product in PyTorch: what a machine's arithmetic can do at best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Product(nn.Module):
    """Matrices by one resident square matrix."""

    products: torch.Tensor | None

    def __init__(self, n: int) -> None:
        super().__init__()
        self.product = nn.Linear(n, n, bias=False)
        self.register_buffer("products", None, persistent=False)

    def reserve(self, matrices: torch.Tensor) -> None:
        """Memory for the products: new memory comes from the system, page by page."""
        self.products = torch.empty_like(matrices)

    def forward(self, matrices: torch.Tensor) -> torch.Tensor:
        """(N, M, n) to (N, M, n), as one product of N M rows."""
        # The compiler would write elsewhere and copy.
        if self.products is None or torch.compiler.is_compiling():
            return self.product(matrices)
        rows, weights = matrices.flatten(0, 1), self.product.weight.t()
        torch.mm(rows, weights, out=self.products.flatten(0, 1))
        return self.products


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The product of a variant."""
    return Product(**spec["model"])
