"""A matrix product in Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The product of a variant: (N, M, n) to (N, M, n)."""
    dtype = keras.config.dtype_policy().compute_dtype
    matrices = keras.Input(tuple(spec["inputs"]["matrix"]["shape"]), dtype=dtype)
    x = layers.Dense(spec["model"]["n"], use_bias=False, name="product")(matrices)
    return keras.Model(matrices, x, name=spec["name"])
