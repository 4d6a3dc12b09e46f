"""NeuMF in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N,) users and (N,) items to (N,) logits."""
    settings = spec["model"]
    factors, widths = settings["factors"], settings["widths"]
    user = keras.Input((), dtype="int32")
    item = keras.Input((), dtype="int32")
    product = layers.Multiply()(
        [
            layers.Embedding(settings["users"], factors, name="mf_user_embed")(user),
            layers.Embedding(settings["items"], factors, name="mf_item_embed")(item),
        ]
    )
    x = layers.Concatenate()(
        [
            layers.Embedding(settings["users"], widths[0] // 2, name="mlp_user_embed")(user),
            layers.Embedding(settings["items"], widths[0] // 2, name="mlp_item_embed")(item),
        ]
    )
    for i, width in enumerate(widths[1:]):
        x = layers.Dense(width, activation="relu", name=f"mlp-{i}")(x)
    x = layers.Concatenate()([product, x])
    x = layers.Dense(1, name="final")(x)
    return keras.Model([user, item], ops.squeeze(x, -1), name=spec["name"])


def loss(outputs: Any, targets: Any) -> Any:
    """Mean binary cross-entropy of (N,) logits and (N,) targets of 0 or 1."""
    logits, wanted = ops.cast(outputs, "float32"), ops.cast(targets, "float32")
    return ops.mean(ops.binary_crossentropy(wanted, logits, from_logits=True))
