"""U-Net in PyTorch: Ronneberger et al. 2015, padded and batch-normalised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Double(nn.Module):
    """Two 3x3 convolutions, each normalised and rectified."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n_in, H, W) to (N, n_out, H, W)."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(x)), inplace=True)


class UNet(nn.Module):
    """Down by halves, up again beside what was seen on the way down, one 1x1 convolution.

    Each of ``widths`` is twice the one before.
    """

    def __init__(self, channels: int, widths: list[int], classes: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            Double(n_in, n_out) for n_in, n_out in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * n, n, 2, stride=2) for n in reversed(widths[:-1])
        )
        self.merge = nn.ModuleList(Double(2 * n, n) for n in reversed(widths[:-1]))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) slices to (N, classes, H, W) logits; H and W divide by 2 ** depth."""
        seen = []
        for i, down in enumerate(self.down):
            x = down(functional.max_pool2d(x, 2) if i else x)
            seen.append(x)
        seen.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([seen.pop(), up(x)], dim=1))
        return self.head(x)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return UNet(**spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy a pixel of (N, classes, H, W) logits and (N, H, W) classes."""
    return functional.cross_entropy(outputs, targets)
