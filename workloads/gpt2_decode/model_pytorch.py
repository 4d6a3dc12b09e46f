"""One more token of GPT-2 small in PyTorch, with the keys and values of those before it at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """The new token's attention to the cached ones and to itself.

    The cache is read where it lies: scores and values of the old and of the new are products apart, so
    that nothing is appended.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """(N, 1, width), and (N, heads, T, width / heads) of the cache twice, to (N, 1, width)."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1))[:, 0].unbind(1)
        length, size = keys.shape[2:]
        old = torch.matmul(keys, query[..., None])[..., 0]
        new = (query * key).sum(dim=2, keepdim=True)
        weights = functional.softmax(torch.cat([old, new], dim=2) / math.sqrt(size), dim=2)
        attended = torch.matmul(weights[:, :, None, :length], values)[:, :, 0]
        return self.output((attended + weights[:, :, length:] * value).flatten(1)[:, None])


class Layer(nn.Module):
    """Attention, then two linear layers around a tanh GELU, each beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """(N, 1, width) to the same."""
        x = x + self.attention(self.norm1(x), keys, values)
        return x + self.outer(functional.gelu(self.inner(self.norm2(x)), approximate="tanh"))


class Decoder(nn.Module):
    """Embedding of one token at its place, decoder, logits by the embedding of tokens again."""

    def __init__(
        self, *, vocabulary: int, longest: int, width: int, heads: int, depth: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(longest, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, token: torch.Tensor, cache: torch.Tensor) -> torch.Tensor:
        """(N, 1) tokens and the cache to (N, vocabulary) logits.

        The cache has keys, values, keys, ... of each layer: (N, 2 depth, heads, T, width / heads).
        """
        x = self.embedding(token) + self.positions.weight[cache.shape[3]]
        for i, layer in enumerate(self.layers):
            x = layer(x, cache[:, 2 * i], cache[:, 2 * i + 1])
        return functional.linear(self.norm(x)[:, 0], self.embedding.weight)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return Decoder(**spec["model"])
