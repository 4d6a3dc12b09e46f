"""GPT-2 small in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

EPSILON = 1e-5


class Positions(layers.Layer):  # type: ignore[misc]
    """Add a learned vector of each place."""

    def __init__(self, longest: int, **options: Any) -> None:
        super().__init__(**options)
        self.longest = longest

    def build(self, shape: Any) -> None:
        """One row a place, as many as the model may ever see."""
        self.table = self.add_weight(shape=(self.longest, shape[-1]), name="weight")

    def call(self, x: Any) -> Any:
        """(N, T, width) to the same."""
        return x + self.table[: x.shape[1]]


class Asked(layers.Layer):  # type: ignore[misc]
    """All tokens in training; in inference the last one, whose logits are the next token's."""

    def call(self, x: Any, training: bool = False) -> Any:
        """(N, T, width) to the same, or to (N, width)."""
        return x if training else x[:, -1]


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, T) tokens to logits, as its PyTorch twin."""
    settings = spec["model"]
    tokens = keras.Input(tuple(spec["inputs"]["tokens"]["shape"]), dtype="int32")
    # By itself Keras on PyTorch would multiply by the table as it is held, in float32.
    computed = keras.mixed_precision.dtype_policy().compute_dtype
    embedding = layers.ReversibleEmbedding(
        settings["vocabulary"], settings["width"], reverse_dtype=computed, name="embedding"
    )
    x = Positions(settings["longest"], name="positions")(embedding(tokens))
    for i in range(settings["depth"]):
        x = _layer(x, settings["heads"], f"layers-{i}")
    x = _normalise(Asked()(x), "norm")
    return keras.Model(tokens, embedding(x, reverse=True), name=spec["name"])


def _layer(x: Any, heads: int, name: str) -> Any:
    width = x.shape[-1]
    attended = _attend(_normalise(x, f"{name}-norm1"), heads, f"{name}-attention")
    x = layers.Add()([x, attended])
    fed = layers.Dense(4 * width, name=f"{name}-inner")(_normalise(x, f"{name}-norm2"))
    fed = ops.gelu(fed, approximate=True)
    return layers.Add()([x, layers.Dense(width, name=f"{name}-outer")(fed)])


def _normalise(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def _attend(x: Any, heads: int, name: str) -> Any:
    """Each token's attention to those before it; the three projections are one product."""
    _, length, width = x.shape
    qkv = layers.Dense(3 * width, name=f"{name}-qkv")(x)
    query, key, value = (
        layers.Reshape((length, heads, width // heads))(y) for y in ops.split(qkv, 3, axis=-1)
    )
    attended = ops.dot_product_attention(query, key, value, is_causal=True)
    return layers.Dense(width, name=f"{name}-output")(layers.Reshape((length, width))(attended))


def loss(outputs: Any, targets: Any) -> Any:
    """Mean cross-entropy a token of (N, T, vocabulary) logits and (N, T) tokens."""
    logits = ops.cast(outputs, "float32")
    return ops.mean(keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True))
