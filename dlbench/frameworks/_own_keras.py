"""A model of the user's own in Keras: built, looked at and counted before it is timed."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Absent, Mode
from dlbench.frameworks import _keras_flops, _own, _seeded

LAYERS = "products and convolutions of Keras's own layers"


def prepare(keras: Any, request: SubjectRequest) -> _own.Prepared:  # noqa: ANN401
    """Build the user's model from a fixed seed and run it once on two samples.

    Raises:
        ModelError: the file, the function, the model or its outputs are not what they must be.
    """
    keras.utils.set_random_seed(request.spec["seed"])
    model = _own.made(request)
    if not isinstance(model, keras.Model):
        raise _own.no_model(request, model, "a keras.Model")
    n_samples = min(_own.CHECKED_SAMPLES, request.case.batch_size)
    arrays = _seeded.batch(request.spec, "inputs", 0, n_samples)
    tensors = [keras.ops.convert_to_tensor(_whole(a)) for a in arrays]
    given = tensors[0] if len(tensors) == 1 else tensors
    with _own.blamed(_own.refused(request)):
        output, flops, counter = _look(keras, model, given, cuda=request.device.kind == "nvidia")
    if not keras.ops.is_tensor(output):
        raise _own.no_output(request, output, "one tensor")
    _own.check_output(request, output.shape, n_samples)
    per_sample = flops / n_samples if isinstance(flops, float) else flops
    facts: dict[str, _own.Fact] = {"flops_per_sample": per_sample, "flops_counted_by": counter}
    model = _callable_without_state(keras, model, request)
    if request.case.mode is not Mode.TRAINING:
        return _own.Prepared(model=model, loss=None, spec=request.spec, facts=facts)
    floating = "float" in keras.backend.standardize_dtype(output.dtype)
    name, targets = _own.choose_loss(request, tuple(output.shape[1:]), floating=floating)
    return _own.Prepared(
        model=model,
        loss=_loss(keras, name),
        spec=_own.with_targets(request.spec, targets),
        facts={**facts, "loss": name},
    )


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

    with torch.inference_mode(), _own_torch.counting(torch) as counter:
        output = model(given, training=False)
    return output, float(counter.get_total_flops()), _own_torch.COUNTER


def _callable_without_state(keras: Any, model: Any, request: SubjectRequest) -> Any:  # noqa: ANN401
    """JAX calls a model's ``call`` directly, which must then take ``training``; others need not."""
    if keras.backend.backend() != "jax" or "training" in inspect.signature(model.call).parameters:
        return model
    tables = request.spec["inputs"].values()
    inputs = [
        keras.Input(tuple(t["shape"]), dtype="int32" if t["dtype"] == "int64" else t["dtype"])
        for t in tables
    ]
    with _own.blamed(_own.refused(request)):
        return keras.Model(inputs, model(inputs[0] if len(inputs) == 1 else inputs))


def _whole(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Keras's whole numbers are of 32 bits."""
    return array.astype(np.int32) if array.dtype == np.int64 else array


def _loss(keras: Any, name: str) -> Any:  # noqa: ANN401
    def cross_entropy(outputs: Any, targets: Any) -> Any:  # noqa: ANN401
        outputs = keras.ops.cast(outputs, "float32")
        return keras.ops.mean(
            keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True)
        )

    def mse(outputs: Any, targets: Any) -> Any:  # noqa: ANN401
        return keras.ops.mean(keras.ops.square(keras.ops.cast(outputs, "float32") - targets))

    return {"cross_entropy": cross_entropy, "mse": mse}[name]
