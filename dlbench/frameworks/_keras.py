"""What all users of a Keras 3 model file share: the seeded weights under canonical names.

A Keras layer carries the canonical path of its PyTorch twin as its name (``layer1.0.conv1``); its
variables are then named and laid out by the kind of layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlbench.core.errors import UnsupportedError
from dlbench.frameworks import _seeded

Array = np.ndarray[Any, Any]


def set_weights(model: Any, spec: Mapping[str, Any]) -> None:  # noqa: ANN401 - a keras.Model
    """Give every variable of a Keras model its seeded value.

    Raises:
        UnsupportedError: the model has a kind of layer with weights that is not known here.
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        kind = type(layer).__name__
        if kind not in _RULES:
            raise UnsupportedError(
                f"no rule for the weights of a Keras layer {kind}",
                "Add it to frameworks/_keras.py.",
            )
        layer.set_weights(_RULES[kind](layer, spec))


def n_parameters(model: Any) -> int:  # noqa: ANN401
    """Trainable parameters."""
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def to_keras(array: Array) -> Array:
    """A canonical batch in Keras's layout: images go from NCHW to NHWC, all else is the same."""
    if array.ndim == 4:  # noqa: PLR2004 - N, C, H, W
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    return array


def _convolution(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    height, width, n_in, n_out = layer.kernel.shape
    kernel = _seeded.weight(spec, f"{layer.name}.weight", (n_out, n_in, height, width))
    return [kernel.transpose(2, 3, 1, 0), *_bias(layer, spec, n_out)]


def _dense(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    n_in, n_out = layer.kernel.shape
    kernel = _seeded.weight(spec, f"{layer.name}.weight", (n_out, n_in))
    return [kernel.T, *_bias(layer, spec, n_out)]


def _bias(layer: Any, spec: Mapping[str, Any], n: int) -> list[Array]:  # noqa: ANN401
    return [_seeded.weight(spec, f"{layer.name}.bias", (n,))] if layer.use_bias else []


def _normalisation(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    shape = tuple(layer.gamma.shape)
    names = ("weight", "bias", "running_mean", "running_var")
    return [_seeded.weight(spec, f"{layer.name}.{name}", shape) for name in names]


def _embedding(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    return [_seeded.weight(spec, f"{layer.name}.weight", tuple(layer.embeddings.shape))]


def _lstm(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    """Gates are in the same order in both (input, forget, cell, output), matrices transposed.

    The layer's name is ``<module>.<depth>``; PyTorch's second bias is frozen at zero.
    """
    module, _, depth = layer.name.rpartition(".")
    cell = layer.cell
    n_in, four_n = cell.kernel.shape
    n = cell.recurrent_kernel.shape[0]
    return [
        _seeded.weight(spec, f"{module}.weight_ih_l{depth}", (four_n, n_in)).T,
        _seeded.weight(spec, f"{module}.weight_hh_l{depth}", (four_n, n)).T,
        _seeded.weight(spec, f"{module}.bias_ih_l{depth}", (four_n,)),
    ]


_RULES = {
    "Conv2D": _convolution,
    "Dense": _dense,
    "BatchNormalization": _normalisation,
    "Embedding": _embedding,
    "LSTM": _lstm,
}
