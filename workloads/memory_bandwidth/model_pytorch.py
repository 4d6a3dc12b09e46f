"""STREAM's triad in PyTorch: what a machine's memory can do at best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Scale(nn.Module):
    """A row of factors."""

    sums: torch.Tensor | None

    def __init__(self, n: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(n))
        self.register_buffer("sums", None, persistent=False)

    def forward(self, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """The sum b + scale c, in one pass over memory."""
        return torch.addcmul(b, c, self.scale, out=self.sums)


class Triad(nn.Module):
    """The triad under the name of its Keras layer."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.triad = Scale(n)

    def reserve(self, b: torch.Tensor, c: torch.Tensor) -> None:  # noqa: ARG002 - as forward
        """Memory for the sums: new memory of this size comes from the system, page by page."""
        self.triad.sums = torch.empty_like(b)

    def forward(self, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Two (N, M, n) to one."""
        return self.triad(b, c)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The triad of a variant."""
    return Triad(**spec["model"])
