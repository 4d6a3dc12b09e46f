"""BERT in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

EPSILON = 1e-12


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


class Bias(layers.Layer):  # type: ignore[misc]
    """Add one number a word."""

    def build(self, shape: Any) -> None:
        """One number a word."""
        self.bias = self.add_weight(shape=(shape[-1],), name="bias")

    def call(self, x: Any) -> Any:
        """(N, M, vocabulary) to the same."""
        return x + self.bias


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, T) tokens and (N, T) segments to logits, as its PyTorch twin."""
    settings = spec["model"]
    width = settings["width"]
    inputs = [
        keras.Input(tuple(table["shape"]), dtype="int32") for table in spec["inputs"].values()
    ]
    tokens, segments, *masked = inputs
    # By itself Keras on PyTorch would multiply by the table as it is held, in float32.
    computed = keras.mixed_precision.dtype_policy().compute_dtype
    words = layers.ReversibleEmbedding(
        settings["vocabulary"], width, reverse_dtype=computed, name="words"
    )
    kinds = layers.Embedding(2, width, name="segments")(segments)
    x = Positions(settings["longest"], name="positions")(layers.Add()([words(tokens), kinds]))
    x = _normalise(x, "norm0")
    for i in range(settings["depth"]):
        x = _layer(x, settings["inner"], settings["heads"], f"layers-{i}")
    first = layers.Dense(width, activation="tanh", name="pooler")(x[:, 0])
    logits = layers.Dense(settings["classes"], name="classifier")(first)
    if masked:
        hidden = ops.take_along_axis(x, ops.expand_dims(masked[0], 2), axis=1)
        hidden = ops.gelu(layers.Dense(width, name="transform")(hidden), approximate=False)
        of_words = words(_normalise(hidden, "norm1"), reverse=True)
        of_words = Bias(name="decoder")(of_words)
        logits = layers.Concatenate()([layers.Flatten()(of_words), logits])
    return keras.Model(inputs, logits, name=spec["name"])


def _layer(x: Any, inner: int, heads: int, name: str) -> Any:
    x = _normalise(layers.Add()([x, _attend(x, heads, f"{name}-attention")]), f"{name}-norm1")
    fed = layers.Dense(inner, name=f"{name}-feed-inner")(x)
    fed = ops.gelu(fed, approximate=False)
    fed = layers.Dense(x.shape[-1], name=f"{name}-feed-outer")(fed)
    return _normalise(layers.Add()([x, fed]), f"{name}-norm2")


def _normalise(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def _attend(x: Any, heads: int, name: str) -> Any:
    """A sequence's attention to itself; the three projections are one product."""
    _, length, width = x.shape
    qkv = layers.Dense(3 * width, name=f"{name}-qkv")(x)
    query, key, value = (
        layers.Reshape((length, heads, width // heads))(y) for y in ops.split(qkv, 3, axis=-1)
    )
    attended = layers.Reshape((length, width))(ops.dot_product_attention(query, key, value))
    return layers.Dense(width, name=f"{name}-output")(attended)


CLASSES = 2
"""Of what stands behind the masked words' logits: whether the second sentence follows the first."""


def loss(outputs: Any, *targets: Any) -> Any:
    """Mean cross-entropy of (N, classes) logits and (N,) classes; with (N, M) masked words, of both."""
    outputs = ops.cast(outputs, "float32")
    if len(targets) == 1:
        return _cross_entropy(targets[0], outputs)
    words, follows = targets
    masked = ops.reshape(outputs[:, :-CLASSES], (-1, words.shape[1], _vocabulary(outputs, words)))
    return _cross_entropy(words, masked) + _cross_entropy(follows, outputs[:, -CLASSES:])


def _vocabulary(outputs: Any, words: Any) -> int:
    return int((outputs.shape[1] - CLASSES) // words.shape[1])


def _cross_entropy(targets: Any, logits: Any) -> Any:
    return ops.mean(keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True))
