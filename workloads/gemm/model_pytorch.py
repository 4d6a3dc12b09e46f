"""A matrix product in PyTorch: what a machine's arithmetic can do at best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Product(nn.Module):
    """Matrices by one resident square matrix."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.product = nn.Linear(n, n, bias=False)

    def forward(self, matrices: torch.Tensor) -> torch.Tensor:
        """(N, M, n) to (N, M, n), as one product of N M rows."""
        return self.product(matrices)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The product of a variant."""
    return Product(**spec["model"])
