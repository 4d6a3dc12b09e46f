"""One more token of GPT-2 small in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

EPSILON = 1e-5


class Positions(layers.Layer):  # type: ignore[misc]
    """Add the learned vector of one place."""

    def __init__(self, longest: int, place: int, **options: Any) -> None:
        super().__init__(**options)
        self.longest, self.place = longest, place

    def build(self, shape: Any) -> None:
        """One row a place, as many as the model may ever see."""
        self.table = self.add_weight(shape=(self.longest, shape[-1]), name="weight")

    def call(self, x: Any) -> Any:
        """(N, 1, width) to the same."""
        return x + self.table[self.place]


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, 1) tokens and the cache to (N, vocabulary) logits."""
    settings = spec["model"]
    token = keras.Input((1,), dtype="int32")
    cache = keras.Input(tuple(spec["inputs"]["cache"]["shape"]))
    # By itself Keras on PyTorch would multiply by the table as it is held, in float32.
    computed = keras.mixed_precision.dtype_policy().compute_dtype
    embedding = layers.ReversibleEmbedding(
        settings["vocabulary"], settings["width"], reverse_dtype=computed, name="embedding"
    )
    x = embedding(token)
    x = Positions(settings["longest"], cache.shape[3], name="positions")(x)
    for i in range(settings["depth"]):
        x = _layer(x, cache[:, 2 * i], cache[:, 2 * i + 1], f"layers-{i}")
    x = _normalise(x, "norm")[:, 0]
    return keras.Model([token, cache], embedding(x, reverse=True), name=spec["name"])


def _layer(x: Any, keys: Any, values: Any, name: str) -> Any:
    width = x.shape[-1]
    attended = _attend(_normalise(x, f"{name}-norm1"), keys, values, f"{name}-attention")
    x = layers.Add()([x, attended])
    fed = layers.Dense(4 * width, name=f"{name}-inner")(_normalise(x, f"{name}-norm2"))
    fed = ops.gelu(fed, approximate=True)
    return layers.Add()([x, layers.Dense(width, name=f"{name}-outer")(fed)])


def _normalise(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def _attend(x: Any, keys: Any, values: Any, name: str) -> Any:
    """The new token's attention to the cached ones, read where they lie, and to itself."""
    width = x.shape[-1]
    _, heads, length, size = keys.shape
    qkv = layers.Dense(3 * width, name=f"{name}-qkv")(x)
    query, key, value = (layers.Reshape((heads, size))(y) for y in ops.split(qkv, 3, axis=-1))
    keys, values = ops.cast(keys, query.dtype), ops.cast(values, query.dtype)
    old = ops.matmul(keys, query[..., None])[..., 0]
    new = ops.sum(query * key, axis=2, keepdims=True)
    weights = ops.softmax(ops.concatenate([old, new], axis=2) / math.sqrt(size), axis=2)
    attended = ops.matmul(weights[:, :, None, :length], values)[:, :, 0]
    attended = layers.Reshape((1, width))(attended + weights[:, :, length:] * value)
    return layers.Dense(width, name=f"{name}-output")(attended)
