"""Zaremba et al. 2014's large LSTM language model in Keras 3, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, T) tokens to (N, T, vocabulary) logits."""
    settings = spec["model"]
    tokens = keras.Input(tuple(spec["inputs"]["input"]["shape"]), dtype="int32")
    x = layers.Embedding(settings["vocabulary"], settings["width"], name="embedding")(tokens)
    for i in range(settings["depth"]):
        x = layers.LSTM(settings["width"], return_sequences=True, name=f"lstm-{i}")(x)
    x = layers.Dense(settings["vocabulary"], name="softmax")(x)
    return keras.Model(tokens, x, name=spec["name"])


def loss(outputs: Any, targets: Any) -> Any:
    """Mean cross-entropy a token of (N, T, vocabulary) logits and (N, T) tokens."""
    logits = keras.ops.cast(outputs, "float32")
    return keras.ops.mean(
        keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    )
