"""DLRM in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, numbers) and (N, categories) ids to (N,) logits."""
    settings = spec["model"]
    (numbers,) = spec["inputs"]["dense"]["shape"]
    (categories,) = spec["inputs"]["sparse"]["shape"]
    dense = keras.Input((numbers,))
    sparse = keras.Input((categories,), dtype="int32")
    x = dense
    for i, width in enumerate(settings["bottom"]):
        x = layers.Dense(width, activation="relu", name=f"bottom-{i}")(x)
    rows = [
        layers.Embedding(settings["rows"], settings["bottom"][-1], name=f"tables-{i}")(sparse[:, i])
        for i in range(categories)
    ]
    x = layers.Concatenate()([x, _interact([x, *rows])])
    for i, width in enumerate(settings["top"][:-1]):
        x = layers.Dense(width, activation="relu", name=f"top-{i}")(x)
    last = len(settings["top"]) - 1
    x = layers.Dense(settings["top"][-1], name=f"top-{last}")(x)
    return keras.Model([dense, sparse], ops.squeeze(x, -1), name=spec["name"])


def _interact(vectors: list[Any]) -> Any:
    """Each pair's dot product once: the lower triangle without its diagonal, row by row."""
    n = len(vectors)
    features = ops.stack(vectors, axis=1)
    products = ops.matmul(features, ops.transpose(features, (0, 2, 1)))
    row, column = np.tril_indices(n, k=-1)
    pairs = (row * n + column).astype("int32")
    return ops.take(ops.reshape(products, (-1, n * n)), pairs, axis=1)


def loss(outputs: Any, targets: Any) -> Any:
    """Mean binary cross-entropy of (N,) logits and (N,) targets of 0 or 1."""
    logits, wanted = ops.cast(outputs, "float32"), ops.cast(targets, "float32")
    return ops.mean(ops.binary_crossentropy(wanted, logits, from_logits=True))
