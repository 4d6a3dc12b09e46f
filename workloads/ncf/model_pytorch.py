"""NeuMF in PyTorch: He et al. 2017, neural collaborative filtering."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class NeuMF(nn.Module):
    """Matrix factorisation and a perceptron, each with embeddings of its own, and one last layer."""

    def __init__(self, users: int, items: int, factors: int, widths: list[int]) -> None:
        super().__init__()
        self.mf_user_embed = nn.Embedding(users, factors)
        self.mf_item_embed = nn.Embedding(items, factors)
        self.mlp_user_embed = nn.Embedding(users, widths[0] // 2)
        self.mlp_item_embed = nn.Embedding(items, widths[0] // 2)
        self.mlp = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(widths))
        self.final = nn.Linear(factors + widths[-1], 1)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """(N,) users and (N,) items to (N,) logits."""
        product = self.mf_user_embed(user) * self.mf_item_embed(item)
        x = torch.cat([self.mlp_user_embed(user), self.mlp_item_embed(item)], dim=1)
        for layer in self.mlp:
            x = functional.relu(layer(x), inplace=True)
        return self.final(torch.cat([product, x], dim=1)).squeeze(1)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return NeuMF(**spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of (N,) logits and (N,) targets of 0 or 1."""
    return functional.binary_cross_entropy_with_logits(outputs.float(), targets.float())
