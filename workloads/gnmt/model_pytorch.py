"""GNMT in PyTorch: Wu et al. 2016, with the attention of MLPerf's and NVIDIA's version 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

SMOOTHING = 0.1
"""Share of a target's probability that goes to all of the vocabulary."""


class Attention(nn.Module):
    """Bahdanau et al.'s additive attention, its vector normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.vector = nn.Parameter(torch.ones(width))
        self.scale = nn.Parameter(torch.ones(1))
        self.offset = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """(N, T, width) queries over (N, S, width) to (N, T, width) contexts."""
        pairs = self.query(x).unsqueeze(2) + self.key(memory).unsqueeze(1) + self.offset
        vector = self.vector * (self.scale / torch.linalg.vector_norm(self.vector))
        scores = functional.linear(torch.tanh(pairs), vector.unsqueeze(0)).squeeze(3)
        return torch.bmm(functional.softmax(scores, dim=2), memory)


class Translator(nn.Module):
    """Encoder and decoder of stacked LSTMs; one embedding for both, a linear layer to logits."""

    def __init__(self, vocabulary: int, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        first = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        second = nn.LSTM(2 * width, width, batch_first=True)
        rest = (nn.LSTM(width, width, batch_first=True) for _ in range(depth - 2))
        self.encoder = nn.ModuleList([first, second, *rest])
        first = nn.LSTM(width, width, batch_first=True)
        rest = (nn.LSTM(2 * width, width, batch_first=True) for _ in range(depth - 1))
        self.decoder = nn.ModuleList([first, *rest])
        self.attention = Attention(width)
        self.classifier = nn.Linear(width, vocabulary)
        for name, parameter in self.named_parameters():
            # The second bias adds nothing to the first; see workload.toml.
            if ".bias_hh" in name:
                parameter.requires_grad_(requires_grad=False)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(N, S) and (N, T) tokens to (N, T, vocabulary) logits of each next target token."""
        return self.classifier(self._decode(target, self._encode(source)))

    def _encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, S) tokens to (N, S, width); residual from the third layer."""
        x = self.embedding(tokens)
        for i, layer in enumerate(self.encoder):
            hidden, _ = layer(x)
            x = hidden + x if i > 1 else hidden
        return x

    def _decode(self, tokens: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """(N, T) tokens to (N, T, width); residual from the third layer.

        Attention needs the first layer only, so it runs once over all steps.
        """
        x, _ = self.decoder[0](self.embedding(tokens))
        context = self.attention(x, memory)
        for i, layer in enumerate(self.decoder[1:]):
            hidden, _ = layer(torch.cat([x, context], dim=2))
            x = hidden + x if i > 0 else hidden
        return x


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return Translator(**spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean smoothed cross-entropy a token of (N, T, vocabulary) logits and (N, T) tokens."""
    return functional.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), label_smoothing=SMOOTHING
    )
