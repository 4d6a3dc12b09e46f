"""A convolution in PyTorch: what a machine's arithmetic can do on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Convolution(nn.Module):
    """One convolution that keeps channels and size."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        return self.convolution(images)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The convolution of a variant."""
    return Convolution(**spec["model"])
