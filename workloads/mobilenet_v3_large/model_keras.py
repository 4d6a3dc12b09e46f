"""MobileNetV3-Large in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

# PyTorch's momentum of 0.01 is what it takes of the new; Keras's is what it keeps of the old.
NORMALISATION = {"momentum": 0.99, "epsilon": 1e-3}


def rounded(n: float) -> int:
    """The nearest multiple of eight, at least eight, that loses at most a tenth."""
    near = max(8, int(n + 4) // 8 * 8)
    return near if near >= 0.9 * n else near + 8


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, H, W, 3) images to (N, classes) logits."""
    settings = spec["model"]
    channels, height, width = spec["inputs"]["input"]["shape"]
    images = keras.Input((height, width, channels))
    x = _convolve(images, settings["stem"], 3, "hardswish", "stem", stride=2)
    for i, row in enumerate(settings["rows"]):
        x = _block(x, row, f"blocks-{i}")
    x = _convolve(x, 6 * x.shape[-1], 1, "hardswish", "last")
    x = layers.GlobalAveragePooling2D()(x)
    x = ops.hard_swish(layers.Dense(settings["head"], name="fc1")(x))
    x = layers.Dense(settings["classes"], name="fc2")(x)
    return keras.Model(images, x, name=spec["name"])


def _convolve(
    x: Any, n_out: int | None, kernel: int, kind: str | None, name: str, *, stride: int = 1
) -> Any:
    """A padded convolution, its normalisation, an activation; one channel by itself without n_out.

    Padding is explicit where it matters: Keras's ``same`` pads a strided convolution on the right
    only, PyTorch on both sides.
    """
    if stride > 1:
        x = layers.ZeroPadding2D(kernel // 2)(x)
    options = {
        "strides": stride,
        "padding": "valid" if stride > 1 else "same",
        "use_bias": False,
        "name": f"{name}-conv",
    }
    if n_out is None:
        x = layers.DepthwiseConv2D(kernel, **options)(x)
    else:
        x = layers.Conv2D(n_out, kernel, **options)(x)
    x = layers.BatchNormalization(**NORMALISATION, name=f"{name}-bn")(x)
    if kind is None:
        return x
    return layers.ReLU()(x) if kind == "relu" else ops.hard_swish(x)


def _block(x: Any, row: list[Any], name: str) -> Any:
    """Widen, convolve each channel by itself, weigh channels, narrow; a shortcut where it fits."""
    kernel, inner, n_out, gated, kind, stride = row
    y = x if inner == x.shape[-1] else _convolve(x, inner, 1, kind, f"{name}-expand")
    y = _convolve(y, None, kernel, kind, f"{name}-depthwise", stride=stride)
    if gated:
        y = _weigh(y, f"{name}-gate")
    y = _convolve(y, n_out, 1, None, f"{name}-project")
    return layers.Add()([x, y]) if stride == 1 and n_out == x.shape[-1] else y


def _weigh(x: Any, name: str) -> Any:
    """Squeeze and excite: weigh channels by what they hold on average."""
    n = x.shape[-1]
    weights = layers.GlobalAveragePooling2D()(x)
    weights = layers.Dense(rounded(n / 4), activation="relu", name=f"{name}-squeeze")(weights)
    weights = ops.hard_sigmoid(layers.Dense(n, name=f"{name}-excite")(weights))
    return layers.Multiply()([x, layers.Reshape((1, 1, n))(weights)])


def loss(outputs: Any, targets: Any) -> Any:
    """Mean cross-entropy of (N, classes) logits and (N,) classes."""
    logits = ops.cast(outputs, "float32")
    return ops.mean(keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True))
