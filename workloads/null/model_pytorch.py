"""Next to nothing in PyTorch: numbers times factors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Scale(nn.Module):
    """One factor for each number."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(n))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n) to the same."""
        return x * self.scale


class Null(nn.Module):
    """The factors under the name of their Keras layer."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.null = Scale(n)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n) to the same."""
        return self.null(x)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant."""
    return Null(**spec["model"])
