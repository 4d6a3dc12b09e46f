"""STREAM's triad in Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers


class Triad(layers.Layer):
    """The sum b + scale c, with a row of factors."""

    def build(self, shapes: Any) -> None:
        """One factor a column."""
        self.scale = self.add_weight(shape=(shapes[0][-1],), name="scale")

    def call(self, arrays: Any) -> Any:
        """Two (N, M, n) to one."""
        b, c = arrays
        return b + self.scale * c


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The triad of a variant."""
    dtype = keras.config.dtype_policy().compute_dtype
    b, c = (keras.Input(tuple(t["shape"]), dtype=dtype) for t in spec["inputs"].values())
    return keras.Model([b, c], Triad(name="triad")([b, c]), name=spec["name"])
