"""What all users of a Keras 3 model file share: the seeded weights under canonical names.

A Keras layer carries the canonical path of its PyTorch twin as its name, with a dash for each dot
(``layer1-0-conv1``: Keras on PyTorch cannot have dots); its variables are then named and laid out by
the kind of layer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Mode, Policy, Precision
from dlbench.frameworks import _own, _own_keras, _seeded

Array = np.ndarray[Any, Any]

MIXED = {Precision.BF16: "mixed_bfloat16", Precision.FP16: "mixed_float16"}
"""Keras's policies: arithmetic in 16 bits, weights in 32."""


def set_weights(model: Any, spec: Mapping[str, Any]) -> None:  # noqa: ANN401 - a keras.Model
    """Give every variable of a Keras model its seeded value.

    A layer that the model file itself defines has its twin's weights as they are: under the same
    names, in the same shapes.

    Raises:
        UnsupportedError: the model has a kind of layer with weights that is not known here.
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        kind = type(layer)
        if kind.__module__.startswith("dlbench_workload_"):
            layer.set_weights(_of_its_own(layer, spec))
        elif kind.__name__ in _RULES:
            layer.set_weights(_RULES[kind.__name__](layer, spec))
        else:
            raise UnsupportedError(
                f"no rule for the weights of a Keras layer {kind.__name__}",
                "Add it to frameworks/_keras.py.",
            )


def prepare(keras: Any, request: SubjectRequest) -> _own.Prepared:  # noqa: ANN401
    """The workload's model under the case's precision, and what trains it.

    It has its seeded weights; a model of the user's own has its own.
    """
    keras.mixed_precision.set_dtype_policy(MIXED.get(request.case.precision, "float32"))
    if request.spec.get("own"):
        return _own_keras.prepare(keras, request)
    model_file = request.load_model()
    model = model_file.build(request.spec)
    set_weights(model, request.spec)
    tuned = request.case.policy is Policy.TUNED and request.case.mode is Mode.INFERENCE
    if tuned or request.spec.get("in_place"):
        narrow(keras, model)
    return _own.Prepared(model=model, loss=getattr(model_file, "loss", None), spec=request.spec)


def narrow(keras: Any, model: Any) -> None:  # noqa: ANN401 - the module, a keras.Model
    """Hold in 16 bits the weights that Keras would round to them in every call (decision 67).

    Those are what layers of such arithmetic read under autocasting; norms read theirs as they are.
    There is nothing public that changes the format of a variable that has a value.
    """
    for layer in model._flatten_layers():  # noqa: SLF001 - as below
        if layer.compute_dtype not in NARROW:
            continue
        for variable in (*layer._trainable_variables, *layer._non_trainable_variables):  # noqa: SLF001
            if variable._autocast and variable.dtype == "float32":  # noqa: SLF001
                value = keras.ops.cast(variable.value, layer.compute_dtype)
                variable._dtype = layer.compute_dtype  # noqa: SLF001
                variable._initialize(value)  # noqa: SLF001


NARROW = ("bfloat16", "float16")


def input_dtype(request: SubjectRequest) -> str | None:
    """The format in which inputs lie on the device where a query is to cast none, else None."""
    if not request.spec.get("in_place"):
        return None
    return {Precision.BF16: "bfloat16", Precision.FP16: "float16"}.get(request.case.precision)


def optimizer(keras: Any, settings: Mapping[str, Any], precision: Precision) -> Any:  # noqa: ANN401
    """The workload's optimiser, not built yet; in fp16, where gradients underflow, it scales losses."""
    clip_norm = settings.get("clip_norm")
    if settings["name"] == "adam":
        plain = keras.optimizers.Adam(
            learning_rate=settings["learning_rate"],
            beta_1=settings["beta_1"],
            beta_2=settings["beta_2"],
            epsilon=settings["epsilon"],
            global_clipnorm=clip_norm,
        )
    else:
        plain = keras.optimizers.SGD(
            learning_rate=settings["learning_rate"],
            momentum=settings["momentum"],
            global_clipnorm=clip_norm,
        )
    return keras.optimizers.LossScaleOptimizer(plain) if precision is Precision.FP16 else plain


def as_argument(tensors: Sequence[Any]) -> Any:  # noqa: ANN401
    """What a functional model is called with: its only input, or the list of them."""
    return tensors[0] if len(tensors) == 1 else list(tensors)


def canonical(layer: Any) -> str:  # noqa: ANN401
    """The path of a layer's PyTorch twin."""
    return str(layer.name).replace("-", ".")


def n_parameters(model: Any) -> int:  # noqa: ANN401
    """Parameters, frozen ones too: they take their room; a normalisation's means are none."""
    found = {
        id(variable): math.prod(variable.shape)
        for layer in model._flatten_layers()  # noqa: SLF001 - Keras has no public way to all of them
        for variable in layer._trainable_variables  # noqa: SLF001 - nor to those of a frozen layer
    }
    return sum(found.values())


def parameter_dtype(model: Any) -> str:  # noqa: ANN401
    """The number format of what is trained; a model of the user's own may have nothing."""
    variables = model.trainable_variables
    return str(variables[0].dtype) if variables else "none"


def compute_dtype(keras: Any, model: Any) -> str:  # noqa: ANN401
    """What most of the model's weights are computed with.

    Each layer has a policy of its own: the global one when it was made, or what its maker or a file
    says. A layer or two in float32, such as logits, are usual in 16 bits.
    """
    sizes: Counter[str] = Counter()
    for layer in model._flatten_layers():  # noqa: SLF001 - Keras has no public way to all of them
        kept = [*layer._trainable_variables, *layer._non_trainable_variables]  # noqa: SLF001
        sizes[str(layer.compute_dtype)] += sum(math.prod(v.shape) for v in kept)
    (found, size), *_ = sizes.most_common(1)
    return found if size else str(keras.mixed_precision.dtype_policy().compute_dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """What a model has among its layers, and inside of them."""

    recurrent: bool
    """It steps through a sequence."""
    grouped: bool
    """It convolves channels apart from each other: depthwise, separable, or in groups."""
    overlapping: bool
    """It convolves windows that share pixels: not 1 x 1, and not patches beside each other."""


def kinds(keras: Any, model: Any) -> Kinds:  # noqa: ANN401
    """The kinds of layers that compilers do not treat alike."""
    apart = tuple(
        getattr(keras.layers, f"{kind}Conv{n}D")
        for kind in ("Depthwise", "Separable")
        for n in (1, 2)
    )
    layers = list(model._flatten_layers())  # noqa: SLF001 - as above
    # By their classes: pooling has windows too, normalisations have groups, and a layer of the user's
    # own may have anything under these names.
    plain = tuple(
        getattr(keras.layers, f"Conv{n}D{kind}") for kind in ("", "Transpose") for n in (1, 2, 3)
    )
    convolutions: list[Any] = [x for x in layers if isinstance(x, (*plain, *apart))]
    return Kinds(
        recurrent=any(isinstance(x, keras.layers.RNN) for x in layers),
        grouped=any(isinstance(x, apart) or getattr(x, "groups", 1) > 1 for x in convolutions),
        overlapping=any(
            size > stride
            for x in convolutions
            for size, stride in zip(x.kernel_size, x.strides, strict=True)
        ),
    )


def to_keras(array: Array, spec: Mapping[str, Any]) -> Array:
    """A canonical batch in Keras's layout and types.

    Images go from NCHW to NHWC, and whole numbers are of 32 bits. The inputs of a model of the
    user's own are stated in its own layout.
    """
    if array.dtype == np.int64:
        array = array.astype(np.int32)
    if array.ndim == 4 and not spec.get("own"):  # noqa: PLR2004 - N, C, H, W
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    return array


def from_keras(array: Array, spec: Mapping[str, Any]) -> Array:
    """A batch or outputs in canonical layout: images go from NHWC to NCHW.

    What belongs to a model of the user's own has its own layout.
    """
    image = array.ndim == 4 and not spec.get("own")  # noqa: PLR2004 - N, H, W, C
    return array.transpose(0, 3, 1, 2) if image else array


def _convolution(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    height, width, n_in, n_out = layer.kernel.shape
    kernel = _seeded.weight(spec, f"{canonical(layer)}.weight", (n_out, n_in, height, width))
    return [kernel.transpose(2, 3, 1, 0), *_bias(layer, spec, n_out)]


def _depthwise(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    height, width, n_in, multiplier = layer.kernel.shape
    n_out = n_in * multiplier
    kernel = _seeded.weight(spec, f"{canonical(layer)}.weight", (n_out, 1, height, width))
    by_input = kernel.reshape(n_in, multiplier, height, width)
    return [by_input.transpose(2, 3, 0, 1), *_bias(layer, spec, n_out)]


def _transposed_convolution(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    height, width, n_out, n_in = layer.kernel.shape
    kernel = _seeded.weight(spec, f"{canonical(layer)}.weight", (n_in, n_out, height, width))
    return [kernel.transpose(2, 3, 1, 0), *_bias(layer, spec, n_out)]


def _dense(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    n_in, n_out = layer.kernel.shape
    kernel = _seeded.weight(spec, f"{canonical(layer)}.weight", (n_out, n_in))
    return [kernel.T, *_bias(layer, spec, n_out)]


def _bias(layer: Any, spec: Mapping[str, Any], n: int) -> list[Array]:  # noqa: ANN401
    return [_seeded.weight(spec, f"{canonical(layer)}.bias", (n,))] if layer.use_bias else []


def _normalisation(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    shape = tuple(layer.gamma.shape)
    names = ("weight", "bias", "running_mean", "running_var")
    return [_seeded.weight(spec, f"{canonical(layer)}.{name}", shape) for name in names]


def _layer_normalisation(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    shape = tuple(layer.gamma.shape)
    return [
        _seeded.weight(spec, f"{canonical(layer)}.{name}", shape) for name in ("weight", "bias")
    ]


def _parametric_relu(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    """One slope a channel; Keras keeps the dimensions that share it."""
    shape = tuple(layer.alpha.shape)
    return [_seeded.weight(spec, f"{canonical(layer)}.weight", shape[-1:]).reshape(shape)]


def _embedding(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    return [_seeded.weight(spec, f"{canonical(layer)}.weight", tuple(layer.embeddings.shape))]


def _lstm(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    """Gates are in the same order in both (input, forget, cell, output), matrices transposed.

    The layer's path is ``<module>.<depth>`` or, where it runs backwards, ``<module>.<depth>_reverse``;
    PyTorch's second bias is frozen at zero.
    """
    module, _, depth = canonical(layer).rpartition(".")
    cell = layer.cell
    n_in, four_n = cell.kernel.shape
    n = cell.recurrent_kernel.shape[0]
    return [
        _seeded.weight(spec, f"{module}.weight_ih_l{depth}", (four_n, n_in)).T,
        _seeded.weight(spec, f"{module}.weight_hh_l{depth}", (four_n, n)).T,
        _seeded.weight(spec, f"{module}.bias_ih_l{depth}", (four_n,)),
    ]


def _gru(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    """Keras's gates are update, reset, new (``reset_after``); PyTorch's reset, update, new.

    Named as for LSTM; both biases are trained, since the second one acts within the reset gate.
    """
    module, _, depth = canonical(layer).rpartition(".")
    cell = layer.cell
    n_in, three_n = cell.kernel.shape
    n = cell.recurrent_kernel.shape[0]
    kinds = {
        "weight_ih": (three_n, n_in),
        "weight_hh": (three_n, n),
        "bias_ih": (three_n,),
        "bias_hh": (three_n,),
    }
    parts = {}
    for kind, shape in kinds.items():
        reset, update, new = np.split(
            _seeded.weight(spec, f"{module}.{kind}_l{depth}", shape), 3, axis=0
        )
        parts[kind] = np.concatenate([update, reset, new])
    biases = np.stack([parts["bias_ih"], parts["bias_hh"]])
    return [parts["weight_ih"].T, parts["weight_hh"].T, biases]


def _of_its_own(layer: Any, spec: Mapping[str, Any]) -> list[Array]:  # noqa: ANN401
    return [
        _seeded.weight(spec, f"{canonical(layer)}.{w.name}", tuple(w.shape)) for w in layer.weights
    ]


_RULES = {
    "Conv2D": _convolution,
    "Dense": _dense,
    "BatchNormalization": _normalisation,
    "Conv2DTranspose": _transposed_convolution,
    "DepthwiseConv2D": _depthwise,
    "Embedding": _embedding,
    "GRU": _gru,
    "LSTM": _lstm,
    "LayerNormalization": _layer_normalisation,
    "PReLU": _parametric_relu,
    "ReversibleEmbedding": _embedding,
}
