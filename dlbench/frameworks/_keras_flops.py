"""FLOPs of a Keras model's forward pass, where each of its layers is one whose products are known.

As PyTorch's counter does, only products are counted (dense layers, convolutions, recurrent layers,
attention), a multiply and an add as two. A layer that is not in the tables makes the count Absent:
half a count would pass for a whole one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlbench.core.types import Absent

Rule = Callable[[Any, Any, Any], Any]
"""A layer, its inputs and its output, to FLOPs."""


def counted(keras: Any, model: Any, given: Any) -> tuple[Any, float | Absent]:  # noqa: ANN401
    """The model's outputs in inference mode, and what computing them took.

    The calls of its layers are watched while it runs eagerly, so that a layer that is used twice counts
    twice.
    """
    watched: list[tuple[Any, Any, Any]] = []
    original, depth = keras.Operation.__call__, [0]

    def call(layer: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        leaf = type(layer).__name__ in _RULES or type(layer).__name__ in _FREE
        depth[0] += leaf
        try:
            output = original(layer, *arguments, **named)
        finally:
            depth[0] -= leaf
        if depth[0] == 0:
            watched.append((layer, (*arguments, *named.values()), output))
        return output

    keras.Operation.__call__ = call
    try:
        output = model(given, training=False)
    finally:
        keras.Operation.__call__ = original
    return output, _total(watched)


def _total(watched: list[tuple[Any, Any, Any]]) -> float | Absent:
    total = 0.0
    for layer, arguments, output in watched:
        kind, home = type(layer).__name__, type(layer).__module__
        if not home.startswith("keras."):
            return Absent(reason=f"the products of {kind}, a layer of your own, are not known")
        rule = _RULES.get(kind) or _CONTAINERS.get(kind)
        if rule:
            total += float(rule(layer, arguments, output))
        elif kind not in _FREE and not _moves_or_scales(home, kind):
            return Absent(reason=f"the products of Keras's {kind} are not counted")
    if math.isnan(total):
        return Absent(reason="an EinsumDense with an ellipsis is not counted")
    return total


def _moves_or_scales(home: str, kind: str) -> bool:
    """Whether an operation of a functional model, or a layer that augments images, has no product."""
    return home.startswith(_FREE_HOMES) and kind not in _PRODUCTS


def _dense(layer: Any, _: Any, output: Any) -> Any:  # noqa: ANN401
    return 2.0 * math.prod(output.shape) * layer.kernel.shape[0]


def _convolution(layer: Any, _: Any, output: Any) -> Any:  # noqa: ANN401
    """The kernel's second last dimension is of one group's inputs already."""
    return 2.0 * math.prod(output.shape) * math.prod(layer.kernel.shape[:-1])


def _depthwise(layer: Any, _: Any, output: Any) -> Any:  # noqa: ANN401
    return 2.0 * math.prod(output.shape) * math.prod(layer.kernel.shape[:-2])


def _transposed(layer: Any, arguments: Any, _: Any) -> Any:  # noqa: ANN401
    """Each input is multiplied with a whole kernel: (size, out, in) over in."""
    return 2.0 * math.prod(arguments[0].shape) * math.prod(layer.kernel.shape[:-1])


def _recurrent(layer: Any, arguments: Any, _: Any) -> Any:  # noqa: ANN401
    n_samples, n_steps = arguments[0].shape[:2]
    cell = layer.cell
    products = math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape)
    return 2.0 * n_samples * n_steps * products


def _einsum(layer: Any, arguments: Any, _: Any) -> Any:  # noqa: ANN401
    """One product for each combination of all letters, which inputs and kernel give their sizes."""
    left, kernel = layer.equation.split("->")[0].split(",")
    sizes = dict(zip(reversed(left), reversed(arguments[0].shape), strict=False))
    sizes |= dict(zip(kernel, layer.kernel.shape, strict=True))
    return math.nan if "." in left else 2.0 * math.prod(sizes.values())


def _product(_: Any, arguments: Any, output: Any) -> Any:  # noqa: ANN401
    return 2.0 * math.prod(output.shape) * arguments[0].shape[-1]


def _attention(layer: Any, arguments: Any, _: Any) -> Any:  # noqa: ANN401
    """Scores and their weighted sums; the projections around them are layers of their own.

    Over a sequence, or over some or all axes of an image.
    """
    n_queries = math.prod(arguments[0].shape[:-1])
    n_keys = math.prod(arguments[1].shape[axis] for axis in layer.attention_axes)
    return 2.0 * n_queries * layer.num_heads * n_keys * (layer.key_dim + layer.value_dim)


_RULES: dict[str, Rule] = {
    "Dense": _dense,
    "EinsumDense": _einsum,
    "Matmul": _product,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _transposed),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), _recurrent),
}

_CONTAINERS: dict[str, Rule] = {
    **dict.fromkeys(("Functional", "Sequential", "Bidirectional", "InputLayer"), lambda *_: 0.0),
    "MultiHeadAttention": _attention,
}
"""Whatever they call is watched by itself; what they add to it."""

_FREE_HOMES = (
    "keras.src.layers.preprocessing.image_preprocessing.",
    "keras.src.ops.nn",
    "keras.src.ops.numpy",
)

_PRODUCTS = frozenset(
    {
        *("Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv", "DotProductAttention"),
        *("Corrcoef", "Correlate", "Cross", "Dot", "Einsum", "Inner", "Kron", "Outer"),
        *("Tensordot", "Vander", "Vdot"),
    }
)
"""The operations of those homes that multiply and add, and are not counted."""

_DIMENSIONS = ("1D", "2D", "3D")

_FREE = frozenset(
    {
        "Activation",
        "ActivityRegularization",
        "Add",
        "AlphaDropout",
        "Average",
        "BatchNormalization",
        "Cast",
        "CategoryEncoding",
        "Concatenate",
        "Dropout",
        "ELU",
        "Embedding",
        "Flatten",
        "GaussianDropout",
        "GaussianNoise",
        "GroupNormalization",
        "Identity",
        "LayerNormalization",
        "LeakyReLU",
        "Masking",
        "Maximum",
        "Minimum",
        "Multiply",
        "Normalization",
        "PReLU",
        "Permute",
        "RMSNormalization",
        "ReLU",
        "RepeatVector",
        "Rescaling",
        "Reshape",
        "Softmax",
        "Subtract",
        "UnitNormalization",
        *(f"SpatialDropout{d}" for d in _DIMENSIONS),
        *(f"{kind}{d}" for d in _DIMENSIONS for kind in ("Cropping", "UpSampling", "ZeroPadding")),
        *(
            f"{where}{kind}Pooling{d}"
            for d in _DIMENSIONS
            for kind in ("Average", "Max")
            for where in ("", "Global")
        ),
    }
)
"""Layers of Keras, and its operation that casts, without a product: they move, add, compare or scale
single numbers."""
