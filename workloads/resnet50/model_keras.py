"""ResNet-50 v1.5 in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

EXPANSION = 4

# Keras keeps 0.99 of the running statistics where PyTorch keeps 0.9, and adds 1e-3 to the variance.
NORMALISATION = {"momentum": 0.9, "epsilon": 1e-5}


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, H, W, 3) images to (N, classes) logits."""
    settings = spec["model"]
    channels, height, width = spec["inputs"]["input"]["shape"]
    images = keras.Input((height, width, channels))
    x = layers.ZeroPadding2D(3)(images)
    x = layers.Conv2D(settings["stem"], 7, strides=2, use_bias=False, name="conv1")(x)
    x = layers.ReLU()(layers.BatchNormalization(**NORMALISATION, name="bn1")(x))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    for i, (n, depth) in enumerate(zip(settings["widths"], settings["depths"], strict=True)):
        for j in range(depth):
            stride = 2 if i > 0 and j == 0 else 1
            x = _bottleneck(x, n, stride, f"layer{i + 1}-{j}")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(settings["classes"], name="fc")(x)
    return keras.Model(images, x, name=spec["name"])


def _bottleneck(x: Any, width: int, stride: int, name: str) -> Any:
    n_out = width * EXPANSION
    shortcut = x
    if stride != 1 or x.shape[-1] != n_out:
        shortcut = _convolve(x, n_out, 1, stride, f"{name}-downsample-0", f"{name}-downsample-1")
    x = layers.ReLU()(_convolve(x, width, 1, 1, f"{name}-conv1", f"{name}-bn1"))
    x = layers.ReLU()(_convolve(x, width, 3, stride, f"{name}-conv2", f"{name}-bn2"))
    x = _convolve(x, n_out, 1, 1, f"{name}-conv3", f"{name}-bn3")
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _convolve(x: Any, n: int, kernel: int, stride: int, name: str, bn_name: str) -> Any:
    """A padded convolution and its normalisation.

    Padding is explicit where it matters: Keras's ``same`` pads a strided convolution on the right
    only, PyTorch on both sides.
    """
    if kernel > 1 and stride > 1:
        x = layers.ZeroPadding2D(kernel // 2)(x)
    padding = "same" if kernel > 1 and stride == 1 else "valid"
    x = layers.Conv2D(n, kernel, strides=stride, padding=padding, use_bias=False, name=name)(x)
    return layers.BatchNormalization(**NORMALISATION, name=bn_name)(x)


def loss(outputs: Any, targets: Any) -> Any:
    """Mean cross-entropy of (N, classes) logits and (N,) classes."""
    logits = keras.ops.cast(outputs, "float32")
    return keras.ops.mean(
        keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    )
