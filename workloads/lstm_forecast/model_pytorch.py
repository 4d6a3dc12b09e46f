"""A DeepAR-like LSTM with a Gaussian likelihood in PyTorch: Salinas et al. 2017."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Forecaster(nn.Module):
    """One LSTM over history and horizon, and a linear layer to mean and standard deviation."""

    def __init__(self, covariates: int, width: int, depth: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1 + covariates, width, num_layers=depth, batch_first=True)
        self.head = nn.Linear(width, 2)
        for name, parameter in self.lstm.named_parameters():
            # The second bias adds nothing to the first; see workload.toml.
            if name.startswith("bias_hh"):
                parameter.requires_grad_(requires_grad=False)

    def forward(self, history: torch.Tensor, covariates: torch.Tensor) -> torch.Tensor:
        """(N, T) values and (N, T + H, C) covariates to (N, H, 2) means and deviations."""
        known = history.shape[1]
        horizon = covariates.shape[1] - known
        # Each step reads the value before it; zero before the first and where it lies in the future.
        previous = functional.pad(history, (1, horizon - 1)).unsqueeze(2)
        hidden, _ = self.lstm(torch.cat([previous, covariates], dim=2))
        mean, deviation = self.head(hidden[:, known:]).float().chunk(2, dim=2)
        return torch.cat([mean, functional.softplus(deviation)], dim=2)


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The model of a variant, with PyTorch's own initial weights (the adapter sets the seeded)."""
    covariates = spec["inputs"]["covariates"]["shape"][1]
    return Forecaster(covariates, **spec["model"])


def loss(outputs: torch.Tensor, future: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood of (N, H) values under (N, H, 2) means and deviations."""
    mean, deviation = outputs.unbind(2)
    z = (future - mean) / deviation
    return (0.5 * z.square() + deviation.log()).mean() + 0.5 * math.log(2 * math.pi)
