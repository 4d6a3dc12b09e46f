"""Keras 3 on its torch backend, as its users run it: eager, with Keras's own optimiser.

``base`` only: Keras compiles nothing on this backend by itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlbench.core import pip
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, DataMode, Fact, Mode, Policy
from dlbench.frameworks import _subject, pytorch

if TYPE_CHECKING:
    import numpy as np

MODEL_FILES = ("model_keras",)
DISTRIBUTIONS = ("keras", "torch")

INSTALL = "pip install 'dlbench[keras]'"

CUDA_PRECISIONS = pytorch.CUDA_PRECISIONS

POLICIES = {
    Policy.BASE: "Keras on PyTorch, eager, Keras's own optimiser; gradients of embedding tables are "
    "whole tables, since Keras has no sparse ones there"
}
"""What each policy turns on, for `dlbench list` and the docs (docs/decisions/0067)."""

UNTUNED = (
    "`torch.compile` breaks Keras's layers into a graph for every few operations and is not faster "
    "than eager; PyTorch's own models have it, and Keras's have XLA in TensorFlow and JAX"
)
"""Keras 3.15, PyTorch 2.13: 134 frames for resnet50, 138 for bert_base; dynamo cannot guard what a
layer's call changes. Recurrent layers become one graph of all steps, which compiles for minutes."""


def probe() -> Capability | Absent:
    """Version and devices of the installed packages, without importing them."""
    if importlib.util.find_spec("keras") is None:
        return Absent(reason="keras is not installed", remedy=INSTALL)
    below = pytorch.probe()
    if isinstance(below, Absent):
        return Absent(reason=f"its torch backend: {below.reason}", remedy=INSTALL)
    version = pip.version("keras")
    if version is None:
        return Absent(reason="a keras without its metadata is on the path", remedy=INSTALL)
    return Capability(
        version=version,
        precisions=below.precisions,
        policies=POLICIES,
        reasons={**below.reasons, Policy.TUNED: UNTUNED},
        options=("pinned",),
    )


def open_subject(request: SubjectRequest) -> KerasSubject:
    """Import Keras and PyTorch and build the subject.

    Raises:
        SubjectError: of the kind that says what failed.
    """
    os.environ["KERAS_BACKEND"] = "torch"
    with pip.importing("Keras or PyTorch", INSTALL, DISTRIBUTIONS):
        import keras
        import torch
    with pytorch.translated(torch):
        return KerasSubject(torch, keras, request)


class KerasSubject(pytorch.OnTorch):
    """A Keras model of PyTorch tensors on one device, with its inputs resident there."""

    def __init__(self, torch: Any, keras: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _keras, _seeded

        case = request.case
        self._torch, self._keras = torch, keras
        self._cuda = request.device.kind == "nvidia"
        self.n_buffers = _seeded.N_BUFFERS
        if self._cuda:
            pytorch.require_cuda(torch)
        pytorch.set_numerics(torch, case, request.threads)
        self._place = "gpu:0" if self._cuda else "cpu"
        with keras.device(self._place):
            prepared = _keras.prepare(keras, request)
            request = replace(request, spec=prepared.spec)
            self._model, self._loss = prepared.model, prepared.loss
            self._spec = prepared.spec
            # The user's file may have set its own; what is measured is what was asked for.
            pytorch.set_numerics(torch, case, request.threads)
            self.inputs = [self._resident(request, "inputs", i) for i in range(self.n_buffers)]
            self.targets = [self._resident(request, "targets", i) for i in range(self.n_buffers)]
            if case.mode is Mode.TRAINING:
                self._optimizer = _keras.optimizer(keras, request.spec["optimizer"], case.precision)
                self._optimizer.build(self._model.trainable_variables)
        self._loading: dict[str, int] = {}
        self._prepare_refills(request)
        self._trained = self._model.trainable_variables
        if self._cuda:
            pytorch.forget_peaks(torch)
        self._told: dict[str, Fact] = {
            "parameters": _keras.n_parameters(self._model),
            "threads": torch.get_num_threads(),
            "framework_version": keras.__version__,
            "torch_version": torch.__version__,
            "parameter_dtype": _keras.parameter_dtype(self._model),
            "compute_dtype": _keras.compute_dtype(keras, self._model),
            "compiled": False,
            "input_shape": _subject.shapes(self.inputs[0]),
            "device": torch.cuda.get_device_name(0) if self._cuda else "cpu",
            **self._loading,
            **prepared.facts,
        }

    @property
    def info(self) -> dict[str, Fact]:
        """Facts; whether TF32 is on, as PyTorch tells it now."""
        return {**self._told, "tf32": pytorch.tf32(self._torch)}

    def _resident(self, request: SubjectRequest, side: str, buffer: int) -> list[Any]:
        from dlbench.frameworks import _keras, _seeded

        dtype = _keras.input_dtype(request)
        arrays = _seeded.batch(request.spec, side, buffer, request.case.batch_size)
        return [
            self._keras.ops.convert_to_tensor(_keras.to_keras(a, request.spec), dtype=dtype)
            for a in arrays
        ]

    def _prepare_refills(self, request: SubjectRequest) -> None:
        """Batches in host memory, pinned where a copy to a GPU is faster from there."""
        from dlbench.frameworks import _files

        case = request.case
        pin = pytorch.pins(case)
        if case.data_mode is DataMode.HOST:
            self._host = [
                [x.cpu().pin_memory() if pin else x.cpu() for x in b] for b in self.inputs
            ]
        elif case.data_mode is DataMode.PIPELINE:
            training = case.mode is Mode.TRAINING
            files = _files.files_of(
                request.spec, training=training, seed=request.seed, channels_last=True
            )
            self._loader = _files.torch_loader(
                self._torch, files, case.batch_size, request.threads, pin=pin
            )
            self._loading = _files.loader_facts(request.threads)
            self.inputs.append(self.inputs[0])
            self.targets.append(self.targets[0])

    def refill(self, buffer: int) -> None:
        """Start the copy of a batch to the device; on the CPU it is there already."""
        with pytorch.translated(self._torch):
            given = self._host[buffer] if buffer < self.n_buffers else [next(self._loader)]
            device = "cuda" if self._cuda else "cpu"
            self.inputs[buffer] = [x.to(device, non_blocking=True) for x in given]

    # --- running ----------------------------------------------------------------------------

    def step(self, buffer: int) -> object:
        """One training step; the loss before its update, still on the device."""
        from dlbench.frameworks import _keras

        torch = self._torch
        with pytorch.translated(torch), self._on_device():
            for variable in self._trained:
                variable.value.grad = None
            outputs = self._model(_keras.as_argument(self.inputs[buffer]), training=True)
            loss = self._loss(outputs, *self.targets[buffer])
            self._optimizer.scale_loss(loss).backward()
            gradients = [variable.value.grad for variable in self._trained]
            with torch.no_grad():
                self._optimizer.apply(gradients, self._trained)
            return loss.detach()

    def query(self, buffer: int) -> object:
        """One inference; its outputs, still on the device."""
        from dlbench.frameworks import _keras

        with pytorch.translated(self._torch), self._torch.no_grad(), self._on_device():
            outputs = self._model(_keras.as_argument(self.inputs[buffer]), training=False)
            return _subject.first(outputs)

    def _on_device(self) -> contextlib.AbstractContextManager[Any]:
        return self._keras.device(self._place)  # type: ignore[no-any-return]

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs (batch first) or a loss, on the host as float32."""
        from dlbench.frameworks import _keras

        with pytorch.translated(self._torch):
            tensor: Any = handle
            return _keras.from_keras(tensor.detach().cpu().float().numpy(), self._spec)

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """A buffer's inputs as they lie on the device."""
        from dlbench.frameworks import _keras

        with pytorch.translated(self._torch):
            copied = [x.cpu() for x in self.inputs[buffer]]
        wide = (x.float() if x.is_floating_point() else x for x in copied)
        return tuple(_keras.from_keras(x.numpy(), self._spec) for x in wide)

    def places(self, handle: object) -> frozenset[str]:
        """Of variables, inputs and the result."""
        kept = [v.value for v in self._model.variables]
        return pytorch.places(*kept, *(x for buffer in self.inputs for x in buffer), handle)

    def close(self) -> None:
        """The process ends next."""
        self.inputs, self.targets = [], []
