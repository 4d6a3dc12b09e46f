"""SSD300 on ResNet-50 in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

EXPANSION = 4
N_COORDINATES = 4
NEGATIVES_A_POSITIVE = 3

# Keras keeps 0.99 of the running statistics where PyTorch keeps 0.9, and adds 1e-3 to the variance.
NORMALISATION = {"momentum": 0.9, "epsilon": 1e-5}


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, H, W, 3) images to (N, boxes, 4 + classes)."""
    settings = spec["model"]
    channels, height, width = spec["inputs"]["input"]["shape"]
    images = keras.Input((height, width, channels))
    x = layers.ZeroPadding2D(3)(images)
    x = layers.Conv2D(settings["stem"], 7, strides=2, use_bias=False, name="conv1")(x)
    x = layers.ReLU()(layers.BatchNormalization(**NORMALISATION, name="bn1")(x))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    k = 0
    for i, (n, depth) in enumerate(zip(settings["widths"], settings["depths"], strict=True)):
        for j in range(depth):
            # The third stage keeps the size of the second: small objects need it.
            x = _bottleneck(x, n, 2 if i == 1 and j == 0 else 1, f"backbone-{k}")
            k += 1
    maps = [x]
    for i, row in enumerate(settings["extras"]):
        maps.append(_extra(maps[-1], row, f"extras-{i}"))
    places, kinds = [], []
    for i, (x, boxes) in enumerate(zip(maps, settings["boxes"], strict=True)):
        places.append(_head(x, boxes, N_COORDINATES, f"places-{i}"))
        kinds.append(_head(x, boxes, settings["classes"], f"kinds-{i}"))
    placed, named = layers.Concatenate(axis=1)(places), layers.Concatenate(axis=1)(kinds)
    outputs = layers.Concatenate(axis=2)([placed, named])
    return keras.Model(images, outputs, name=spec["name"])


def _bottleneck(x: Any, width: int, stride: int, name: str) -> Any:
    n_out = width * EXPANSION
    shortcut = x
    if stride != 1 or x.shape[-1] != n_out:
        shortcut = _convolve(x, n_out, 1, stride, f"{name}-downsample-0", f"{name}-downsample-1")
    x = layers.ReLU()(_convolve(x, width, 1, 1, f"{name}-conv1", f"{name}-bn1"))
    x = layers.ReLU()(_convolve(x, width, 3, stride, f"{name}-conv2", f"{name}-bn2"))
    x = _convolve(x, n_out, 1, 1, f"{name}-conv3", f"{name}-bn3")
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _extra(x: Any, row: list[int], name: str) -> Any:
    """1x1 and 3x3 convolutions, each normalised: half as large where the stride is 2, else 2 less."""
    width, n_out, stride = row
    x = layers.ReLU()(_convolve(x, width, 1, 1, f"{name}-conv1", f"{name}-bn1"))
    if stride > 1:
        return layers.ReLU()(_convolve(x, n_out, 3, stride, f"{name}-conv2", f"{name}-bn2"))
    x = layers.Conv2D(n_out, 3, use_bias=False, name=f"{name}-conv2")(x)
    return layers.ReLU()(layers.BatchNormalization(**NORMALISATION, name=f"{name}-bn2")(x))


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


def _head(x: Any, boxes: int, n: int, name: str) -> Any:
    """(N, H, W, C) to (N, H W boxes, n)."""
    return layers.Reshape((-1, n))(layers.Conv2D(boxes * n, 3, padding="same", name=name)(x))


def loss(outputs: Any, offsets: Any, labels: Any) -> Any:
    """Smooth L1 of the positive boxes and cross-entropy of them and of the hardest negative ones.

    (N, boxes, 4 + classes) outputs, (N, boxes, 4) offsets and (N, boxes) labels, of which those
    that are no class are background, class 0. Summed over boxes, over the image's number of positives.
    """
    outputs = ops.cast(outputs, "float32")
    places, logits = outputs[:, :, :N_COORDINATES], outputs[:, :, N_COORDINATES:]
    kinds = ops.where(labels < logits.shape[2], labels, 0)
    positive = ops.cast(kinds > 0, "float32")
    n_positives = ops.sum(positive, axis=1)
    off = ops.abs(places - offsets)
    placed = ops.sum(ops.where(off < 1, 0.5 * ops.square(off), off - 0.5), axis=2)
    named = keras.losses.sparse_categorical_crossentropy(kinds, logits, from_logits=True)
    # A box's rank among the background: the order of the order.
    hardness = ops.stop_gradient(named * (1 - positive))
    rank = ops.argsort(ops.argsort(-hardness, axis=1), axis=1)
    fewest = NEGATIVES_A_POSITIVE * n_positives[:, None]
    hard = ops.cast(ops.cast(rank, "float32") < fewest, "float32")
    sums = ops.sum(placed * positive + named * ops.maximum(positive, hard), axis=1)
    return ops.mean(sums / ops.maximum(n_positives, 1))
