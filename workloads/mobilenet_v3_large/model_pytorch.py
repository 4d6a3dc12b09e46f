"""MobileNetV3-Large in PyTorch: Howard et al. 2019, table 1, at full width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

EPSILON = 1e-3
MOMENTUM = 0.01


def rounded(n: float) -> int:
    """The nearest multiple of eight, at least eight, that loses at most a tenth."""
    near = max(8, int(n + 4) // 8 * 8)
    return near if near >= 0.9 * n else near + 8


def activation(kind: str) -> nn.Module:
    """``relu`` or ``hardswish``, in place."""
    return nn.ReLU(inplace=True) if kind == "relu" else nn.Hardswish(inplace=True)


class Convolution(nn.Module):
    """A padded convolution without bias, its normalisation, and an activation if there is one."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        kind: str | None,
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            n_in, n_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(n_out, eps=EPSILON, momentum=MOMENTUM)
        self.activation = activation(kind) if kind else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n_in, H, W) to (N, n_out, H / stride, W / stride)."""
        return self.activation(self.bn(self.conv(x)))


class Gate(nn.Module):
    """Squeeze and excite: weigh channels by what they hold on average."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(n, rounded(n / 4))
        self.excite = nn.Linear(rounded(n / 4), n)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n, H, W) to the same."""
        weights = functional.relu(self.squeeze(x.mean((2, 3))))
        return x * functional.hardsigmoid(self.excite(weights))[:, :, None, None]


class Block(nn.Module):
    """Widen, convolve each channel by itself, weigh channels, narrow; a shortcut where it fits."""

    def __init__(self, n_in: int, row: list[Any]) -> None:
        super().__init__()
        kernel, inner, n_out, gated, kind, stride = row
        self.shortcut = stride == 1 and n_in == n_out
        self.expand = Convolution(n_in, inner, 1, kind) if inner != n_in else nn.Identity()
        self.depthwise = Convolution(inner, inner, kernel, kind, stride=stride, groups=inner)
        self.gate = Gate(inner) if gated else nn.Identity()
        self.project = Convolution(inner, n_out, 1, None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, n_in, H, W) to (N, n_out, H / stride, W / stride)."""
        y = self.project(self.gate(self.depthwise(self.expand(x))))
        return x + y if self.shortcut else y


class MobileNetV3(nn.Module):
    """Stem, blocks, a 1x1 convolution, global mean, two linear layers."""

    def __init__(self, *, stem: int, rows: list[list[Any]], head: int, classes: int) -> None:
        super().__init__()
        self.stem = Convolution(3, stem, 3, "hardswish", stride=2)
        widths = [stem, *(row[2] for row in rows)]
        self.blocks = nn.Sequential(
            *(Block(n_in, row) for n_in, row in zip(widths, rows, strict=False))
        )
        n_last = 6 * widths[-1]
        self.last = Convolution(widths[-1], n_last, 1, "hardswish")
        self.fc1 = nn.Linear(n_last, head)
        self.fc2 = nn.Linear(head, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) images to (N, classes) logits."""
        x = self.last(self.blocks(self.stem(x))).mean((2, 3))
        return self.fc2(functional.hardswish(self.fc1(x)))


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    return MobileNetV3(**spec["model"])


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of (N, classes) logits and (N,) classes."""
    return functional.cross_entropy(outputs, targets)
