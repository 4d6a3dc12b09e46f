"""GNMT in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

SMOOTHING = 0.1
"""Share of a target's probability that goes to all of the vocabulary."""


class Attention(layers.Layer):  # type: ignore[misc]
    """The part of an additive attention that has weights of its own: from projections to scores."""

    def build(self, query_shape: Any, key_shape: Any) -> None:  # noqa: ARG002 - Keras's names
        """The vector, its length and the offset within the tanh."""
        width = query_shape[-1]
        self.vector = self.add_weight(shape=(width,), name="vector")
        self.scale = self.add_weight(shape=(1,), name="scale")
        self.offset = self.add_weight(shape=(width,), name="offset")

    def call(self, query: Any, key: Any) -> Any:
        """(N, T, width) and (N, S, width) to (N, T, S)."""
        pairs = ops.expand_dims(query, 2) + ops.expand_dims(key, 1) + self.offset
        length = ops.sqrt(ops.sum(ops.square(self.vector)))
        vector = self.vector * (self.scale / length)
        return ops.squeeze(ops.matmul(ops.tanh(pairs), ops.expand_dims(vector, 1)), 3)

    def compute_output_shape(self, query_shape: Any, key_shape: Any) -> Any:
        """(N, T, S)."""
        return (*query_shape[:2], key_shape[1])


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, S) and (N, T) tokens to (N, T, vocabulary) logits."""
    settings = spec["model"]
    width, depth = settings["width"], settings["depth"]
    source = keras.Input(tuple(spec["inputs"]["source"]["shape"]), dtype="int32")
    target = keras.Input(tuple(spec["inputs"]["target"]["shape"]), dtype="int32")
    embedding = layers.Embedding(settings["vocabulary"], width, name="embedding")
    x = _decode(embedding(target), _encode(embedding(source), width, depth), width, depth)
    x = layers.Dense(settings["vocabulary"], name="classifier")(x)
    return keras.Model([source, target], x, name=spec["name"])


def _encode(x: Any, width: int, depth: int) -> Any:
    """(N, S, width) to the same; the first layer runs both ways, residual from the third layer.

    Turned by hand: of a layer that ``go_backwards`` Keras's backends do not agree which way its outputs
    run (3.15: on a GPU JAX turns them back, all others do not).
    """
    forward = _lstm(x, width, "encoder-0-0")
    backward = _lstm(ops.flip(x, axis=1), width, "encoder-0-0_reverse")
    x = layers.Concatenate()([forward, ops.flip(backward, axis=1)])
    for i in range(1, depth):
        hidden = _lstm(x, width, f"encoder-{i}-0")
        x = layers.Add()([hidden, x]) if i > 1 else hidden
    return x


def _decode(x: Any, memory: Any, width: int, depth: int) -> Any:
    """(N, T, width) to the same; residual from the third layer.

    Attention needs the first layer only, so it runs once over all steps.
    """
    x = _lstm(x, width, "decoder-0-0")
    context = _attend(x, memory, width)
    for i in range(1, depth):
        hidden = _lstm(layers.Concatenate()([x, context]), width, f"decoder-{i}-0")
        x = layers.Add()([hidden, x]) if i > 1 else hidden
    return x


def _lstm(x: Any, width: int, name: str) -> Any:
    return layers.LSTM(width, return_sequences=True, name=name)(x)


def _attend(x: Any, memory: Any, width: int) -> Any:
    """(N, T, width) queries over (N, S, width) to (N, T, width) contexts."""
    query = layers.Dense(width, use_bias=False, name="attention-query")(x)
    key = layers.Dense(width, use_bias=False, name="attention-key")(memory)
    scores = Attention(name="attention")(query, key)
    return ops.matmul(ops.softmax(scores, axis=-1), memory)


def loss(outputs: Any, targets: Any) -> Any:
    """Mean smoothed cross-entropy a token of (N, T, vocabulary) logits and (N, T) tokens."""
    outputs = ops.cast(outputs, "float32")
    sharp = keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True)
    flat = ops.logsumexp(outputs, axis=-1) - ops.mean(outputs, axis=-1)
    return ops.mean((1 - SMOOTHING) * sharp + SMOOTHING * flat)
