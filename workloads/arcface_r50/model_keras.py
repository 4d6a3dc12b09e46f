"""IResNet-50 with a margin softmax in Keras 3: the same model, layer for layer, same names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

SCALE, MARGIN = 64.0, 0.5
"""Of the softmax over angles (section 2 of the paper)."""

# Keras keeps 0.99 of the running statistics where PyTorch keeps 0.9, and adds 1e-3 to the variance.
NORMALISATION = {"momentum": 0.9, "epsilon": 1e-5}


class Identities(layers.Layer):  # type: ignore[misc]
    """In training, cosines of the angles between embeddings and one learned direction an identity."""

    def __init__(self, identities: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = identities

    def build(self, shape: Any) -> None:
        """One direction an identity."""
        self.weight = self.add_weight(shape=(self.n, shape[-1]), name="weight")

    def call(self, x: Any, training: bool = False) -> Any:
        """(N, width) to (N, identities), or as it is."""
        if not training:
            return x
        directions = ops.normalize(self.weight, axis=-1)
        return ops.matmul(ops.normalize(x, axis=-1), ops.transpose(directions))


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, H, W, 3) faces to embeddings or cosines, as its PyTorch twin."""
    settings = spec["model"]
    channels, height, width = spec["inputs"]["input"]["shape"]
    images = keras.Input((height, width, channels))
    x = _convolve(images, settings["widths"][0], 1, "conv1", "bn1")
    x = _rectify(x, "prelu")
    i = 0
    for n, depth in zip(settings["widths"], settings["depths"], strict=True):
        for j in range(depth):
            x = _block(x, n, 2 if j == 0 else 1, f"blocks-{i}")
            i += 1
    x = _normalise(x, "bn2")
    # PyTorch flattens channels first.
    x = layers.Flatten()(layers.Permute((3, 1, 2))(x))
    x = layers.Dense(settings["embedding"], name="fc")(x)
    x = _normalise(x, "features")
    x = Identities(settings["identities"], name="identities")(x)
    return keras.Model(images, x, name=spec["name"])


def _block(x: Any, n: int, stride: int, name: str) -> Any:
    """Normalise, 3x3, normalise, rectify, 3x3 (strided), normalise, around a shortcut."""
    shortcut = x
    if stride != 1:
        shortcut = layers.Conv2D(n, 1, strides=stride, use_bias=False, name=f"{name}-downsample-0")(
            x
        )
        shortcut = _normalise(shortcut, f"{name}-downsample-1")
    x = _convolve(_normalise(x, f"{name}-bn1"), n, 1, f"{name}-conv1", f"{name}-bn2")
    x = _rectify(x, f"{name}-prelu")
    x = _convolve(x, n, stride, f"{name}-conv2", f"{name}-bn3")
    return layers.Add()([x, shortcut])


def _convolve(x: Any, n: int, stride: int, name: str, bn_name: str) -> Any:
    """A padded 3x3 convolution and its normalisation.

    Padding is explicit where it matters: Keras's ``same`` pads a strided convolution on the right
    only, PyTorch on both sides.
    """
    if stride > 1:
        x = layers.ZeroPadding2D(1)(x)
    padding = "valid" if stride > 1 else "same"
    x = layers.Conv2D(n, 3, strides=stride, padding=padding, use_bias=False, name=name)(x)
    return _normalise(x, bn_name)


def _normalise(x: Any, name: str) -> Any:
    return layers.BatchNormalization(**NORMALISATION, name=name)(x)


def _rectify(x: Any, name: str) -> Any:
    return layers.PReLU(shared_axes=[1, 2], name=name)(x)


def loss(outputs: Any, targets: Any) -> Any:
    """Mean cross-entropy of scaled cosines; the angle to the right identity is widened by a margin."""
    cosines = ops.clip(ops.cast(outputs, "float32"), -1 + 1e-7, 1 - 1e-7)
    right = ops.take_along_axis(cosines, targets[:, None], axis=1)
    widened = right * math.cos(MARGIN) - ops.sqrt(1 - ops.square(right)) * math.sin(MARGIN)
    here = ops.arange(cosines.shape[1], dtype="int32")[None, :] == targets[:, None]
    logits = SCALE * ops.where(here, widened, cosines)
    return ops.mean(keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True))
