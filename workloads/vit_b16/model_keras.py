"""ViT-B/16 in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

EPSILON = 1e-6


class Tokens(layers.Layer):  # type: ignore[misc]
    """Put the class token before the patches and add a learned vector of each place."""

    def build(self, shape: Any) -> None:
        """One vector for the class, and one for each place."""
        _, n_patches, width = shape
        self.class_token = self.add_weight(shape=(1, 1, width), name="class_token")
        self.positions = self.add_weight(shape=(1, n_patches + 1, width), name="positions")

    def call(self, x: Any) -> Any:
        """(N, P, width) to (N, P + 1, width)."""
        first = ops.broadcast_to(self.class_token, (ops.shape(x)[0], 1, x.shape[2]))
        return ops.concatenate([first, x], axis=1) + self.positions


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, H, W, 3) images to (N, classes) logits."""
    settings = spec["model"]
    width, patch = settings["width"], settings["patch"]
    channels, height, across = spec["inputs"]["input"]["shape"]
    images = keras.Input((height, across, channels))
    x = layers.Conv2D(width, patch, strides=patch, name="patches")(images)
    x = Tokens(name="tokens")(layers.Reshape((-1, width))(x))
    for i in range(settings["depth"]):
        x = _layer(x, settings["inner"], settings["heads"], f"layers-{i}")
    x = _normalise(x[:, 0], "norm")
    x = layers.Dense(settings["classes"], name="head")(x)
    return keras.Model(images, x, name=spec["name"])


def _layer(x: Any, inner: int, heads: int, name: str) -> Any:
    attended = _attend(_normalise(x, f"{name}-norm1"), heads, f"{name}-attention")
    x = layers.Add()([x, attended])
    fed = layers.Dense(inner, name=f"{name}-inner")(_normalise(x, f"{name}-norm2"))
    fed = ops.gelu(fed, approximate=False)
    return layers.Add()([x, layers.Dense(x.shape[-1], name=f"{name}-outer")(fed)])


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


def loss(outputs: Any, targets: Any) -> Any:
    """Mean cross-entropy of (N, classes) logits and (N,) classes."""
    logits = ops.cast(outputs, "float32")
    return ops.mean(keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True))
