"""Zaremba et al. 2014's large LSTM language model in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class LanguageModel(nn.Module):
    """Embedding, stacked LSTM from a zero state, and a linear layer over the vocabulary."""

    def __init__(self, vocabulary: int, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, num_layers=depth, batch_first=True)
        self.softmax = nn.Linear(width, vocabulary)
        for name, parameter in self.lstm.named_parameters():
            # The second bias adds nothing to the first; see workload.toml.
            if name.startswith("bias_hh"):
                parameter.requires_grad_(requires_grad=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, T) tokens to (N, T, vocabulary) logits."""
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.softmax(hidden)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return LanguageModel(**spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy a token of (N, T, vocabulary) logits and (N, T) tokens."""
    return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
