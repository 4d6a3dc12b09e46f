"""BERT in PyTorch: Devlin et al. 2018, normalised after each residual addition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

EPSILON = 1e-12


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself; the three projections are one product."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) to the same."""
        query, key, value = (
            y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, dim=2)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        return self.output(attended.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers around an erf GELU, at each position alike."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) to the same."""
        return self.outer(functional.gelu(self.inner(x)))


class Layer(nn.Module):
    """Attention and feed-forward."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.feed = FeedForward(width, inner)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) to the same."""
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.feed(x))


class Bert(nn.Module):
    """Encoder, pooler over the first token, and a classifier."""

    def __init__(
        self,
        *,
        vocabulary: int,
        longest: int,
        width: int,
        inner: int,
        heads: int,
        depth: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(longest, width)
        self.segments = nn.Embedding(2, width)
        self.norm0 = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(Layer(width, inner, heads) for _ in range(depth))
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, tokens: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        """(N, T) tokens and (N, T) segments to (N, classes) logits."""
        return self.classify(self.encode(tokens, segments))

    def encode(self, tokens: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        """(N, T) tokens and (N, T) segments to (N, T, width)."""
        places = self.positions.weight[: tokens.shape[1]]
        x = self.norm0(self.words(tokens) + self.segments(segments) + places)
        for layer in self.layers:
            x = layer(x)
        return x

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) to (N, classes) logits, by the first token."""
        return self.classifier(torch.tanh(self.pooler(x[:, 0])))


class Bias(nn.Module):
    """One number a word, added to the logits that the embedding gives."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocabulary))


class PretrainingBert(Bert):
    """With logits of masked words too, by a transform and the embedding itself."""

    def __init__(self, *, vocabulary: int, width: int, **settings: int) -> None:
        super().__init__(vocabulary=vocabulary, width=width, **settings)
        self.transform = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.decoder = Bias(vocabulary)

    def forward(
        self, tokens: torch.Tensor, segments: torch.Tensor, masked: torch.Tensor
    ) -> torch.Tensor:
        """(N, T) tokens, (N, T) segments and (N, M) places to (N, M * vocabulary + classes) logits."""
        x = self.encode(tokens, segments)
        hidden = x.gather(1, masked.unsqueeze(2).expand(-1, -1, x.shape[2]))
        hidden = self.norm1(functional.gelu(self.transform(hidden)))
        words = functional.linear(hidden, self.words.weight, self.decoder.bias)
        return torch.cat([words.flatten(1), self.classify(x)], dim=1)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    kind = PretrainingBert if "masked" in spec["inputs"] else Bert
    return kind(**spec["model"])


CLASSES = 2
"""Of what stands behind the masked words' logits: whether the second sentence follows the first."""


def loss(outputs: torch.Tensor, *targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of (N, classes) logits and (N,) classes; with (N, M) masked words, of both."""
    if len(targets) == 1:
        return functional.cross_entropy(outputs, targets[0])
    words, follows = targets
    masked = outputs[:, :-CLASSES].reshape(words.numel(), -1)
    return functional.cross_entropy(masked, words.flatten()) + functional.cross_entropy(
        outputs[:, -CLASSES:], follows
    )
