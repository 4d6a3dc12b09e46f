"""IResNet-50 with a margin softmax in PyTorch: Deng et al. 2018, as in InsightFace's ArcFace."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

SCALE, MARGIN = 64.0, 0.5
"""Of the softmax over angles (section 2 of the paper)."""


class Block(nn.Module):
    """Normalise, 3x3, normalise, rectify, 3x3 (strided), normalise, around a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.prelu = nn.PReLU(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.downsample: nn.Module | None = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n_in, H, W) to (N, n_out, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(x)) + shortcut


class Identities(nn.Module):
    """Cosines of the angles between embeddings and one learned direction an identity."""

    def __init__(self, width: int, identities: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(identities, width) * 0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width) to (N, identities)."""
        return functional.linear(functional.normalize(x), functional.normalize(self.weight))


class ArcFace(nn.Module):
    """Stem, stages of blocks, one linear layer to the embedding; identities in training."""

    def __init__(
        self, *, size: int, widths: list[int], depths: list[int], embedding: int, identities: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.prelu = nn.PReLU(widths[0])
        blocks = []
        n_in = widths[0]
        for width, depth in zip(widths, depths, strict=True):
            for j in range(depth):
                blocks.append(Block(n_in, width, stride=2 if j == 0 else 1))
                n_in = width
        self.blocks = nn.Sequential(*blocks)
        self.bn2 = nn.BatchNorm2d(n_in)
        self.fc = nn.Linear(n_in * (size // 2 ** len(widths)) ** 2, embedding)
        self.features = nn.BatchNorm1d(embedding)
        self.identities = Identities(embedding, identities)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) faces to (N, embedding); in training to the cosines of all identities."""
        x = self.bn2(self.blocks(self.prelu(self.bn1(self.conv1(x)))))
        x = self.features(self.fc(x.flatten(1)))
        return self.identities(x) if self.training else x


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return ArcFace(**spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of scaled cosines; the angle to the right identity is widened by a margin."""
    cosines = outputs.float().clamp(-1 + 1e-7, 1 - 1e-7)
    right = cosines.gather(1, targets[:, None])
    widened = right * math.cos(MARGIN) - (1 - right.square()).sqrt() * math.sin(MARGIN)
    return functional.cross_entropy(SCALE * cosines.scatter(1, targets[:, None], widened), targets)
