"""Almost nothing, on inputs that had to come from the host: the same in Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers


class Corner(layers.Layer):  # type: ignore[misc]
    """The first numbers of each sample, scaled."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = n

    def build(self, shape: Any) -> None:  # noqa: ARG002 - Keras's signature
        """One factor a number."""
        self.scale = self.add_weight(shape=(self.n,), name="scale")

    def call(self, x: Any) -> Any:
        """(N, rows, columns) to (N, n)."""
        return x[:, 0, : self.n] * self.scale


def build(spec: Mapping[str, Any]) -> keras.Model:
    """The model of a variant: (N, rows, columns) to (N, n)."""
    x = keras.Input(tuple(spec["inputs"]["x"]["shape"]))
    return keras.Model(x, Corner(spec["model"]["n"], name="corner")(x), name=spec["name"])
