"""U-Net in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

# Keras keeps 0.99 of the running statistics where PyTorch keeps 0.9, and adds 1e-3 to the variance.
NORMALISATION = {"momentum": 0.9, "epsilon": 1e-5}


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, H, W, channels) slices to (N, H, W, classes) logits."""
    settings = spec["model"]
    channels, height, width = spec["inputs"]["input"]["shape"]
    images = keras.Input((height, width, channels))
    x, seen = images, []
    for i, n in enumerate(settings["widths"]):
        x = _double(layers.MaxPooling2D(2)(x) if i else x, n, f"down-{i}")
        seen.append(x)
    seen.pop()
    for i, n in enumerate(reversed(settings["widths"][:-1])):
        x = layers.Conv2DTranspose(n, 2, strides=2, name=f"up-{i}")(x)
        x = _double(layers.Concatenate()([seen.pop(), x]), n, f"merge-{i}")
    x = layers.Conv2D(settings["classes"], 1, name="head")(x)
    return keras.Model(images, x, name=spec["name"])


def _double(x: Any, n: int, name: str) -> Any:
    """Two 3x3 convolutions, each normalised and rectified."""
    for i in (1, 2):
        x = layers.Conv2D(n, 3, padding="same", use_bias=False, name=f"{name}-conv{i}")(x)
        x = layers.ReLU()(layers.BatchNormalization(**NORMALISATION, name=f"{name}-bn{i}")(x))
    return x


def loss(outputs: Any, targets: Any) -> Any:
    """Mean cross-entropy a pixel of (N, H, W, classes) logits and (N, H, W) classes."""
    logits = keras.ops.cast(outputs, "float32")
    return keras.ops.mean(
        keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    )
