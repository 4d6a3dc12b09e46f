"""A convolution in Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The convolution of a variant: (N, H, W, C) to (N, H, W, C)."""
    channels, height, width = spec["inputs"]["image"]["shape"]
    kernel = spec["model"]["kernel"]
    dtype = keras.config.dtype_policy().compute_dtype
    images = keras.Input((height, width, channels), dtype=dtype)
    x = layers.Conv2D(channels, kernel, padding="same", use_bias=False, name="convolution")(images)
    return keras.Model(images, x, name=spec["name"])
