"""Deep Speech 2 in Keras 3: the same model, layer for layer, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

# Keras keeps 0.99 of the running statistics where PyTorch keeps 0.9, and adds 1e-3 to the variance.
NORMALISATION = {"momentum": 0.9, "epsilon": 1e-5}

BLANK = 0


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, bins, T, 1) spectrograms to (N, T / 2, characters) logits."""
    settings = spec["model"]
    channels, bins, steps = spec["inputs"]["spectrogram"]["shape"]
    spectrogram = keras.Input((bins, steps, channels))
    x = spectrogram
    for i, convolution in enumerate(settings["convolutions"], start=1):
        x = _convolve(x, settings["channels"], **convolution, number=i)
        x = layers.ReLU(max_value=settings["clip"])(x)
    # Each step of the recurrent layers sees all channels of all bins, channels outermost.
    _, bins, steps, channels = x.shape
    x = layers.Reshape((steps, channels * bins))(layers.Permute((2, 3, 1))(x))
    for i in range(settings["depth"]):
        x = _both_ways(x, settings["width"], f"rnn-{i}")
    x = layers.Dense(settings["characters"], name="fc")(x)
    return keras.Model(spectrogram, x, name=spec["name"])


def _convolve(x: Any, n: int, kernel: list[int], stride: list[int], number: int) -> Any:
    """A convolution and its normalisation; padded on both sides, where Keras's ``same`` is not."""
    height, width = kernel
    x = layers.ZeroPadding2D((height // 2, width // 2))(x)
    x = layers.Conv2D(
        n, (height, width), strides=tuple(stride), use_bias=False, name=f"conv{number}"
    )(x)
    return layers.BatchNormalization(**NORMALISATION, name=f"bn{number}")(x)


def _both_ways(x: Any, width: int, name: str) -> Any:
    """(N, T, n) to (N, T, 2 width): forward outputs, then backward ones in the order of time.

    Turned by hand: Keras's backends do not agree in which order layers that ``go_backwards`` answer.
    """
    forward = layers.GRU(width, return_sequences=True, name=name)(x)
    turned = ops.flip(x, axis=1)
    backward = layers.GRU(width, return_sequences=True, name=f"{name}_reverse")(turned)
    return layers.Concatenate()([forward, ops.flip(backward, axis=1)])


def loss(outputs: Any, transcript: Any) -> Any:
    """Mean CTC loss a sample of (N, T, characters) logits and (N, L) characters, counted from 0.

    The blank comes before the characters.
    """
    n, steps, _ = outputs.shape
    losses = ops.ctc_loss(
        transcript + (BLANK + 1),
        ops.cast(outputs, "float32"),
        ops.full((n,), transcript.shape[1], dtype="int32"),
        ops.full((n,), steps, dtype="int32"),
        mask_index=BLANK,
    )
    return ops.mean(losses)
