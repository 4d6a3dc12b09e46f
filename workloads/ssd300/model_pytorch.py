"""SSD300 on ResNet-50 in PyTorch: Liu et al. 2015, with NVIDIA's backbone and extra layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

EXPANSION = 4
N_COORDINATES = 4
NEGATIVES_A_POSITIVE = 3


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided), 1x1 convolutions, each normalised, around a shortcut."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = width * EXPANSION
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n_in, H, W) to (N, 4 width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.relu(self.bn2(self.conv2(x)), inplace=True)
        return functional.relu(self.bn3(self.conv3(x)) + shortcut, inplace=True)


class Extra(nn.Module):
    """1x1 and 3x3 convolutions, each normalised: half as large where ``stride`` is 2, else 2 less."""

    def __init__(self, n_in: int, width: int, n_out: int, stride: int) -> None:
        super().__init__()
        padding = 1 if stride > 1 else 0
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, n_out, 3, stride=stride, padding=padding, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n_in, H, W) to (N, n_out, H', W')."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(x)), inplace=True)


class SSD(nn.Module):
    """Backbone at an eighth of the image, ever smaller maps, boxes and classes from each of them."""

    def __init__(
        self,
        *,
        stem: int,
        widths: list[int],
        depths: list[int],
        extras: list[list[int]],
        boxes: list[int],
        classes: int,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        blocks = []
        n_in = stem
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for j in range(depth):
                # The third stage keeps the size of the second: small objects need it.
                blocks.append(Bottleneck(n_in, width, stride=2 if i == 1 and j == 0 else 1))
                n_in = width * EXPANSION
        self.backbone = nn.Sequential(*blocks)
        sizes = [n_in, *(n_out for _, n_out, _ in extras)]
        self.extras = nn.ModuleList(Extra(n, *row) for n, row in zip(sizes, extras, strict=False))
        maps = list(zip(sizes, boxes, strict=True))
        self.places = nn.ModuleList(nn.Conv2d(n, k * N_COORDINATES, 3, padding=1) for n, k in maps)
        self.kinds = nn.ModuleList(nn.Conv2d(n, k * classes, 3, padding=1) for n, k in maps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) images to (N, boxes, 4 + classes): offsets, then logits."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.backbone(functional.max_pool2d(x, 3, stride=2, padding=1))
        maps = [x]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        places = [_boxes(head(x), N_COORDINATES) for head, x in zip(self.places, maps, strict=True)]
        kinds = [_boxes(head(x), self.classes) for head, x in zip(self.kinds, maps, strict=True)]
        return torch.cat([torch.cat(places, dim=1), torch.cat(kinds, dim=1)], dim=2)


def _boxes(x: torch.Tensor, n: int) -> torch.Tensor:
    """(N, k n, H, W) to (N, H W k, n)."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, n)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return SSD(**spec["model"])


def loss(outputs: torch.Tensor, offsets: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of the positive boxes and cross-entropy of them and of the hardest negative ones.

    (N, boxes, 4 + classes) outputs, (N, boxes, 4) offsets and (N, boxes) labels, of which those
    that are no class are background, class 0. Summed over boxes, over the image's number of positives.
    """
    places, logits = outputs.float().split([N_COORDINATES, outputs.shape[2] - N_COORDINATES], dim=2)
    kinds = torch.where(labels < logits.shape[2], labels, 0)
    positive = (kinds > 0).float()
    n_positives = positive.sum(dim=1)
    placed = functional.smooth_l1_loss(places, offsets, reduction="none").sum(dim=2)
    named = functional.cross_entropy(logits.transpose(1, 2), kinds, reduction="none")
    # A box's rank among the background: the order of the order.
    hardness = (named * (1 - positive)).detach()
    rank = hardness.argsort(dim=1, descending=True).argsort(dim=1)
    hard = (rank < NEGATIVES_A_POSITIVE * n_positives[:, None]).float()
    sums = (placed * positive + named * torch.maximum(positive, hard)).sum(dim=1)
    return (sums / n_positives.clamp(min=1)).mean()
