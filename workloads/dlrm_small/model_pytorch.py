"""DLRM in PyTorch: Naumov et al. 2019, with the dot products of all pairs of features."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class DLRM(nn.Module):
    """Bottom layers for numbers, tables for categories, their dot products, top layers."""

    pairs: torch.Tensor

    def __init__(
        self, numbers: int, categories: int, rows: int, bottom: list[int], top: list[int]
    ) -> None:
        super().__init__()
        width = bottom[-1]
        # With sparse gradients an update costs what the batch touches, not what the tables hold.
        self.tables = nn.ModuleList(
            nn.Embedding(rows, width, sparse=True) for _ in range(categories)
        )
        self.bottom = _linears([numbers, *bottom])
        features = categories + 1
        self.top = _linears([width + features * (features - 1) // 2, *top])
        row, column = torch.tril_indices(features, features, offset=-1)
        self.register_buffer("pairs", row * features + column, persistent=False)

    def forward(self, dense: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
        """(N, numbers) and (N, categories) ids to (N,) logits."""
        for layer in self.bottom:
            dense = functional.relu(layer(dense), inplace=True)
        x = torch.cat([dense, self._interact(dense, sparse)], dim=1)
        *hidden, last = self.top
        for layer in hidden:
            x = functional.relu(layer(x), inplace=True)
        return last(x).squeeze(1)

    def _interact(self, dense: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
        """Each pair's dot product once: the lower triangle without its diagonal, row by row."""
        rows = [table(ids) for table, ids in zip(self.tables, sparse.unbind(1), strict=True)]
        features = torch.stack([dense, *rows], dim=1)
        products = torch.bmm(features, features.transpose(1, 2))
        return products.flatten(1).index_select(1, self.pairs)


def _linears(widths: list[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(widths))


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    (numbers,) = spec["inputs"]["dense"]["shape"]
    (categories,) = spec["inputs"]["sparse"]["shape"]
    return DLRM(numbers, categories, **spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of (N,) logits and (N,) targets of 0 or 1."""
    return functional.binary_cross_entropy_with_logits(outputs.float(), targets.float())
