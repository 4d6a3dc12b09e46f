"""The base Transformer in PyTorch: Vaswani et al. 2017, normalised after each residual addition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

EPSILON = 1e-6

SMOOTHING = 0.1
"""Share of a target's probability that goes to all of the vocabulary."""


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself; the three projections are one product."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) to the same."""
        query, key, value = self.qkv(x).chunk(3, dim=2)
        return self.output(_attend(query, key, value, self.heads, causal=self.causal))


class CrossAttention(nn.Module):
    """Multi-head attention of one sequence to another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """(N, T, width) and (N, S, width) to (N, T, width)."""
        key, value = self.key_value(memory).chunk(2, dim=2)
        return self.output(_attend(self.query(x), key, value, self.heads, causal=False))


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, *, causal: bool
) -> torch.Tensor:
    """(N, T, width) queries over (N, S, width) keys and values, in heads."""
    query, key, value = (
        x.unflatten(2, (heads, x.shape[2] // heads)).transpose(1, 2) for x in (query, key, value)
    )
    x = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    return x.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Two linear layers around a ReLU, at each position alike."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) to the same."""
        return self.outer(functional.relu(self.inner(x), inplace=True))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, causal=False)
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.feed = FeedForward(width, inner)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, S, width) to the same."""
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.feed(x))


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's outputs, and feed-forward."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, causal=True)
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.cross = CrossAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.feed = FeedForward(width, inner)
        self.norm3 = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """(N, T, width) and the encoder's (N, S, width) to (N, T, width)."""
        x = self.norm1(x + self.attention(x))
        x = self.norm2(x + self.cross(x, memory))
        return self.norm3(x + self.feed(x))


class Transformer(nn.Module):
    """Encoder and decoder; one matrix embeds source and target and gives the logits."""

    positions: torch.Tensor

    def __init__(
        self, longest: int, vocabulary: int, width: int, inner: int, heads: int, depth: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.encoder = nn.ModuleList(EncoderLayer(width, inner, heads) for _ in range(depth))
        self.decoder = nn.ModuleList(DecoderLayer(width, inner, heads) for _ in range(depth))
        self.register_buffer("positions", _sinusoids(longest, width), persistent=False)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(N, S) and (N, T) tokens to (N, T, vocabulary) logits of each next target token."""
        memory = self._embed(source)
        for layer in self.encoder:
            memory = layer(memory)
        x = self._embed(target)
        for layer in self.decoder:
            x = layer(x, memory)
        return functional.linear(x, self.embedding.weight)

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        scale = math.sqrt(self.embedding.embedding_dim)
        return self.embedding(tokens) * scale + self.positions[: tokens.shape[1]]


def _sinusoids(length: int, width: int) -> torch.Tensor:
    """(length, width): sines in even places, cosines in odd ones, of ever longer waves."""
    places = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    rates = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = places * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).float()


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    longest = max(table["shape"][0] for table in spec["inputs"].values())
    return Transformer(longest, **spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean smoothed cross-entropy a token of (N, T, vocabulary) logits and (N, T) tokens."""
    return functional.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), label_smoothing=SMOOTHING
    )
