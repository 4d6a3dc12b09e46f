"""Deep Speech 2 in PyTorch: Amodei et al. 2015, with bidirectional GRUs; see workload.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

BLANK = 0


class DeepSpeech(nn.Module):
    """Two normalised convolutions, a stack of bidirectional GRUs, a linear layer over characters."""

    def __init__(
        self,
        bins: int,
        channels: int,
        convolutions: list[dict[str, list[int]]],
        clip: float,
        width: int,
        depth: int,
        characters: int,
    ) -> None:
        super().__init__()
        self.clip = clip
        self.conv1 = _convolution(1, channels, **convolutions[0])
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, **convolutions[1])
        self.bn2 = nn.BatchNorm2d(channels)
        for convolution in convolutions:
            bins = -(-bins // convolution["stride"][0])
        self.rnn = nn.GRU(
            channels * bins, width, num_layers=depth, batch_first=True, bidirectional=True
        )
        self.fc = nn.Linear(2 * width, characters)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """(N, 1, bins, T) spectrograms to (N, T / 2, characters) logits."""
        x = functional.hardtanh(self.bn1(self.conv1(spectrogram)), 0.0, self.clip, inplace=True)
        x = functional.hardtanh(self.bn2(self.conv2(x)), 0.0, self.clip, inplace=True)
        # Each step of the recurrent layers sees all channels of all bins.
        hidden, _ = self.rnn(x.permute(0, 3, 1, 2).flatten(2))
        return self.fc(hidden)


def _convolution(n_in: int, n_out: int, kernel: list[int], stride: list[int]) -> nn.Conv2d:
    """Kernels and strides are (bins, time); half a kernel of zeros on each side."""
    height, width = kernel
    padding = (height // 2, width // 2)
    return nn.Conv2d(n_in, n_out, (height, width), tuple(stride), padding, bias=False)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    bins = spec["inputs"]["spectrogram"]["shape"][1]
    return DeepSpeech(bins, **spec["model"])


def loss(outputs: torch.Tensor, transcript: torch.Tensor) -> torch.Tensor:
    """Mean CTC loss a sample of (N, T, characters) logits and (N, L) characters, counted from 0.

    The blank comes before the characters.
    """
    n, steps, _ = outputs.shape
    log_probabilities = functional.log_softmax(outputs.float(), dim=2).transpose(0, 1)
    # Lengths stay on the host: the loss wants them there, and would wait for the device to fetch them.
    losses = functional.ctc_loss(
        log_probabilities,
        transcript + BLANK + 1,
        torch.full((n,), steps),
        torch.full((n,), transcript.shape[1]),
        blank=BLANK,
        reduction="none",
    )
    return losses.mean()
