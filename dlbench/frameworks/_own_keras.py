"""A model of the user's own in Keras: built, looked at and counted before it is timed."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import FROZEN_PRODUCTS, Absent, Fact, Mode
from dlbench.frameworks import _keras_flops, _own, _seeded

LAYERS = "products and convolutions of Keras's own layers"


def prepare(keras: Any, request: SubjectRequest) -> _own.Prepared:  # noqa: ANN401
    """Build the user's model from a fixed seed and run it once on a few samples.

    Raises:
        ModelError: the file, the function, the model or its outputs are not what they must be.
        UnsupportedError: it computes in something else than the case's precision.
    """
    from dlbench.frameworks import _keras

    asked = str(keras.mixed_precision.dtype_policy().compute_dtype)
    keras.utils.set_random_seed(request.spec["seed"])
    with _set_back(keras):
        model = _own.made(request)
    if not isinstance(model, keras.Model):
        raise _own.no_model(request, model, "a keras.Model")

    def look(n: int) -> tuple[Any, Any, float | Absent, str]:
        arrays = _seeded.batch(request.spec, "inputs", 0, n)
        tensors = [keras.ops.convert_to_tensor(_whole(a)) for a in arrays]
        given = tensors[0] if len(tensors) == 1 else tensors
        with _own.blamed(_own.refused(request)):
            return given, *_look(keras, model, given, cuda=request.device.kind == "nvidia")

    n_samples, (given, output, flops, counter) = _own.looked(request, look)
    first = _first(keras, output)
    if first is None:
        raise _own.no_tensor(request, output)
    _own.check_output(request, tuple(first.shape), n_samples)
    _check_precision(request, _keras.compute_dtype(keras, model), asked)
    per_sample = flops / n_samples if isinstance(flops, float) else flops
    facts: dict[str, Fact] = {"flops_per_sample": per_sample, "flops_counted_by": counter}
    facts["several_outputs"] = first is not output
    if first is not output or _lacks_training(keras, model):
        model = _tensors_only(keras, model)
        model(given, training=False)
    if request.case.mode is not Mode.TRAINING:
        return _own.Prepared(model=model, loss=None, spec=request.spec, facts=facts)
    name, targets = _own.choose_loss(
        request,
        tuple(first.shape[1:]),
        keras.backend.standardize_dtype(first.dtype),
        sum(math.prod(v.shape) for v in model.trainable_variables),
    )
    return _own.Prepared(
        model=model,
        loss=_loss(keras, name),
        spec=_own.with_targets(request.spec, targets),
        facts={**facts, "loss": name, FROZEN_PRODUCTS: _frozen(keras, model)},
    )


def _frozen(keras: Any, model: Any) -> bool:  # noqa: ANN401
    """Whether weights of products are not trained; rows of a table are no products."""
    trained = {id(variable) for variable in model.trainable_variables}
    return any(
        id(weight) not in trained and len(weight.shape) > 1
        for layer in model._flatten_layers()  # noqa: SLF001 - Keras has no public way to all of them
        if not isinstance(layer, keras.layers.Embedding)
        for weight in layer._trainable_variables  # noqa: SLF001 - nor to those of a frozen layer
    )


JAX_SWITCHES = ("jax_disable_jit", "jax_debug_nans", "jax_debug_infs")
"""What finds faults: no compiler, or a look at each number. Variables of the shell set them too."""


@contextlib.contextmanager
def _set_back(keras: Any) -> Iterator[None]:  # noqa: ANN401
    """What the user's file turns on to find its faults is not measured, on any of Keras's backends.

    Nor is TensorFlow's own use of XLA, which is ``tuned``'s to turn on.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        before = {name: getattr(jax.config, name) for name in JAX_SWITCHES}
        yield
        for name, value in before.items():
            jax.config.update(name, value)
        return
    yield
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(False)
        tf.debugging.disable_check_numerics()
        if tf.config.optimizer.get_jit():
            # XLA for whatever it can compile, in base too.
            tf.config.optimizer.set_jit(False)
    else:
        import torch

        from dlbench.frameworks import _own_torch

        _own_torch.set_back(torch)


def _look(
    keras: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    given: Any,  # noqa: ANN401
    *,
    cuda: bool,
) -> tuple[Any, float | Absent, str]:
    """Outputs, FLOPs, and who counted them: PyTorch on the CPU, else a table of layers.

    PyTorch's counter does not know cuDNN's recurrent layers.
    """
    if not model.built:
        # Building runs layers too, and must not be counted.
        model(given, training=False)
    if keras.backend.backend() != "torch" or cuda:
        return *_keras_flops.counted(keras, model, given), LAYERS
    import torch

    from dlbench.frameworks import _own_torch

    with torch.no_grad(), _own_torch.counting(torch) as counter:
        output = model(given, training=False)
    return output, float(counter.get_total_flops()), _own_torch.COUNTER


def _check_precision(request: SubjectRequest, found: str, asked: str) -> None:
    """Layers of a saved model, or with a dtype in their arguments, follow no global policy."""
    if found != asked:
        raise UnsupportedError(
            f"the layers of {_own.label(request)} state their own dtype: it computes in {found},"
            f" whatever {request.case.precision} asks for",
            "Make them without a dtype (those of a saved model have one), and set no dtype policy;"
            " keras.utils.clear_session() sets one too.",
        )


def _first(keras: Any, output: Any) -> Any:  # noqa: ANN401
    """The output itself, or the first tensor of several; None if there is none."""
    return next(iter(_own.tensors(output, keras.ops.is_tensor)), None)


def _lacks_training(keras: Any, model: Any) -> bool:  # noqa: ANN401
    """JAX calls a model's ``call`` directly, which must then take ``training``; others need not."""
    parameters = inspect.signature(model.call).parameters
    return keras.backend.backend() == "jax" and "training" not in parameters


def _tensors_only(keras: Any, model: Any) -> Any:  # noqa: ANN401
    """The model with its tensors alone, a list of several; called with ``training`` or without.

    All of them: of the first alone a compiler leaves out what only the others need.
    """

    class Tensors(keras.Model):  # type: ignore[misc]
        """Runs the model, gives its tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: ANN401
            answered = self.model(inputs, training=training)
            found = _own.tensors(answered, keras.ops.is_tensor)
            return found[0] if len(found) == 1 else found

    return Tensors()


def _whole(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Keras's whole numbers are of 32 bits."""
    return array.astype(np.int32) if array.dtype == np.int64 else array


def _loss(keras: Any, name: str) -> Any:  # noqa: ANN401
    def cross_entropy(outputs: Any, targets: Any) -> Any:  # noqa: ANN401
        outputs = keras.ops.cast(_first(keras, outputs), "float32")
        return keras.ops.mean(
            keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True)
        )

    def mse(outputs: Any, targets: Any) -> Any:  # noqa: ANN401
        outputs = keras.ops.cast(_first(keras, outputs), "float32")
        return keras.ops.mean(keras.ops.square(outputs - targets))

    return {"cross_entropy": cross_entropy, "mse": mse}[name]
