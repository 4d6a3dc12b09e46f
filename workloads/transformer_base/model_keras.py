"""The base Transformer in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

EPSILON = 1e-6

SMOOTHING = 0.1
"""Share of a target's probability that goes to all of the vocabulary."""


class Positions(layers.Layer):  # type: ignore[misc]
    """Scale embeddings by the root of their width and add sinusoids of their place."""

    def call(self, x: Any) -> Any:
        """(N, T, width) to the same."""
        _, length, width = x.shape
        return x * math.sqrt(width) + ops.cast(_sinusoids(length, width), x.dtype)


def _sinusoids(length: int, width: int) -> Any:
    """(length, width): sines in even places, cosines in odd ones, of ever longer waves."""
    rates = 10000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * rates
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=2)
    return waves.reshape(length, width).astype(np.float32)


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, S) and (N, T) tokens to (N, T, vocabulary) logits."""
    settings = spec["model"]
    sizes = (settings["width"], settings["inner"], settings["heads"])
    source = keras.Input(tuple(spec["inputs"]["source"]["shape"]), dtype="int32")
    target = keras.Input(tuple(spec["inputs"]["target"]["shape"]), dtype="int32")
    # By itself Keras on PyTorch would multiply by the table as it is held, in float32.
    computed = keras.mixed_precision.dtype_policy().compute_dtype
    embedding = layers.ReversibleEmbedding(
        settings["vocabulary"], settings["width"], reverse_dtype=computed, name="embedding"
    )
    memory = Positions()(embedding(source))
    for i in range(settings["depth"]):
        memory = _encoder_layer(memory, *sizes, f"encoder-{i}")
    x = Positions()(embedding(target))
    for i in range(settings["depth"]):
        x = _decoder_layer(x, memory, *sizes, f"decoder-{i}")
    return keras.Model([source, target], embedding(x, reverse=True), name=spec["name"])


def _encoder_layer(x: Any, width: int, inner: int, heads: int, name: str) -> Any:
    x = _normalise(x, _attend_self(x, width, heads, f"{name}-attention"), f"{name}-norm1")
    return _normalise(x, _feed(x, width, inner, f"{name}-feed"), f"{name}-norm2")


def _decoder_layer(x: Any, memory: Any, width: int, inner: int, heads: int, name: str) -> Any:
    attended = _attend_self(x, width, heads, f"{name}-attention", causal=True)
    x = _normalise(x, attended, f"{name}-norm1")
    x = _normalise(x, _attend_cross(x, memory, width, heads, f"{name}-cross"), f"{name}-norm2")
    return _normalise(x, _feed(x, width, inner, f"{name}-feed"), f"{name}-norm3")


def _normalise(x: Any, branch: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)(layers.Add()([x, branch]))


def _feed(x: Any, width: int, inner: int, name: str) -> Any:
    x = layers.Dense(inner, activation="relu", name=f"{name}-inner")(x)
    return layers.Dense(width, name=f"{name}-outer")(x)


def _attend_self(x: Any, width: int, heads: int, name: str, *, causal: bool = False) -> Any:
    """A sequence's attention to itself; the three projections are one product."""
    qkv = layers.Dense(3 * width, use_bias=False, name=f"{name}-qkv")(x)
    query, key, value = ops.split(qkv, 3, axis=-1)
    x = _attend(query, key, value, heads, causal=causal)
    return layers.Dense(width, use_bias=False, name=f"{name}-output")(x)


def _attend_cross(x: Any, memory: Any, width: int, heads: int, name: str) -> Any:
    query = layers.Dense(width, use_bias=False, name=f"{name}-query")(x)
    key_value = layers.Dense(2 * width, use_bias=False, name=f"{name}-key_value")(memory)
    key, value = ops.split(key_value, 2, axis=-1)
    x = _attend(query, key, value, heads, causal=False)
    return layers.Dense(width, use_bias=False, name=f"{name}-output")(x)


def _attend(query: Any, key: Any, value: Any, heads: int, *, causal: bool) -> Any:
    """(N, T, width) queries over (N, S, width) keys and values, in heads."""
    _, length, width = query.shape
    query, key, value = (
        layers.Reshape((x.shape[1], heads, width // heads))(x) for x in (query, key, value)
    )
    x = ops.dot_product_attention(query, key, value, is_causal=causal)
    return layers.Reshape((length, width))(x)


def loss(outputs: Any, targets: Any) -> Any:
    """Mean smoothed cross-entropy a token of (N, T, vocabulary) logits and (N, T) tokens."""
    outputs = ops.cast(outputs, "float32")
    sharp = keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True)
    flat = ops.logsumexp(outputs, axis=-1) - ops.mean(outputs, axis=-1)
    return ops.mean((1 - SMOOTHING) * sharp + SMOOTHING * flat)
