"""Three dense layers, and their gradient by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SHAPES = {"first": (128, 128), "second": (128, 128), "third": (32, 128)}


def forward(weights: Sequence[Array], inputs: Array) -> list[Array]:
    """What goes into each layer, and last the outputs."""
    found = [inputs]
    for weight in weights[:-1]:
        found.append(np.maximum(found[-1] @ weight.T, 0))
    return [*found, found[-1] @ weights[-1].T]


def loss_and_gradients(
    weights: Sequence[Array], inputs: Array, targets: Array
) -> tuple[Array, list[Array]]:
    """Mean squared error, and its gradient for each layer's weights."""
    passed = forward(weights, inputs)
    error = passed[-1] - targets
    slope = 2 * error / error.size
    gradients: list[Array] = []
    for i in reversed(range(len(weights))):
        gradients.insert(0, slope.T @ passed[i])
        slope = (slope @ weights[i]) * (passed[i] > 0)
    return np.mean(error**2), gradients
