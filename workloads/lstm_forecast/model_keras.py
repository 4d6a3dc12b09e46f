"""A DeepAR-like LSTM with a Gaussian likelihood in Keras 3, under the same names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, T) values, (N, T + H, C) covariates to (N, H, 2) distributions."""
    settings = spec["model"]
    (known,) = spec["inputs"]["history"]["shape"]
    steps, n_covariates = spec["inputs"]["covariates"]["shape"]
    history = keras.Input((known,))
    covariates = keras.Input((steps, n_covariates))
    # Each step reads the value before it; zero before the first and where it lies in the future.
    previous = layers.ZeroPadding1D((1, steps - known - 1))(layers.Reshape((known, 1))(history))
    x = layers.Concatenate()([previous, covariates])
    for i in range(settings["depth"]):
        x = layers.LSTM(settings["width"], return_sequences=True, name=f"lstm-{i}")(x)
    x = ops.cast(layers.Dense(2, name="head")(x[:, known:]), "float32")
    x = ops.concatenate([x[..., :1], ops.softplus(x[..., 1:])], axis=-1)
    return keras.Model([history, covariates], x, name=spec["name"])


def loss(outputs: Any, future: Any) -> Any:
    """Mean negative log-likelihood of (N, H) values under (N, H, 2) means and deviations."""
    mean, deviation = outputs[..., 0], outputs[..., 1]
    z = (future - mean) / deviation
    return ops.mean(0.5 * ops.square(z) + ops.log(deviation)) + 0.5 * math.log(2 * math.pi)
