"""JAX, running Keras 3 model files statelessly through its own jitted steps with donated buffers.

JAX is used compiled or not at all: ``base`` and ``tuned`` are one ``jax.jit`` of the whole step. What
the step replaces (weights, statistics, optimiser state) is donated to it. On a CPU ``tuned`` has layers
in the form that XLA compiles well there (docs/decisions/0057), and everywhere it trains embedding
tables row by row where the optimiser allows it (0065) and holds weights in 16 bits where inference
computes so (0067); else both are the same program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlbench.core import pip
from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, Case, DataMode, Fact, Mode, PeakMemory, Policy, Precision
from dlbench.core.units import MIB
from dlbench.frameworks import _subject

if TYPE_CHECKING:
    import numpy as np

    from dlbench.frameworks import _jax_rows

MODEL_FILES = ("model_keras",)
DISTRIBUTIONS = ("jax", "jaxlib", "keras")

INSTALL = "pip install 'dlbench[jax]'"
INSTALL_CUDA = "pip install 'jax[cuda13]'"

CUDA_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")

CPU_PRECISIONS = (Precision.FP32, Precision.BF16)
CUDA_PRECISIONS = (Precision.FP32, Precision.TF32, Precision.BF16, Precision.FP16)

MATMUL_PRECISIONS = {
    Precision.FP32: "highest",
    Precision.TF32: "tensorfloat32",
    Precision.BF16: "default",
    Precision.FP16: "default",
}
"""Of every product, asked for by name: on a GPU JAX computes float32 in TF32 unless told not to.

In 16 bits what a model of the user's own leaves in float32 may then be TF32, which is no coarser than
what was asked for. ``highest`` would hold for the 16-bit products too, and XLA makes no Triton kernels
of products that ask for more than its default (``CanTritonHandleGEMM``).
"""

FULL_WORDS = ("RESOURCE_EXHAUSTED", "CUDA_ERROR_OUT_OF_MEMORY")
"""XLA's allocator, and the driver's where a program is loaded."""

POLICIES = {
    Policy.BASE: "one `jax.jit` of the whole step of a Keras model, its state donated: nobody uses JAX "
    "uncompiled",
    Policy.TUNED: "on a CPU depthwise convolutions as sums of shifted products, those of one pixel and "
    "transposed ones without overlap as one product, and in training the gradients of other "
    "convolutions' kernels as products, LSTM and GRU with one for the weights' gradient of all steps; "
    "everywhere tables that plain SGD trains row by row, and in inference in 16 bits weights that are "
    "held so; else the same program",
}
"""What each policy turns on, for `dlbench list` and the docs."""


def probe() -> Capability | Absent:
    """Version and devices of the installed packages, without importing them."""
    for package in ("jax", "jaxlib", "keras"):
        if importlib.util.find_spec(package) is None:
            return Absent(reason=f"{package} is not installed", remedy=INSTALL)
    version = pip.version("jax")
    if version is None:
        return Absent(reason="a jax without its metadata is on the path", remedy=INSTALL)
    precisions: dict[str, tuple[Precision, ...]] = {"cpu": CPU_PRECISIONS}
    reasons = {}
    if any(importlib.util.find_spec(plugin) for plugin in CUDA_PLUGINS):
        precisions["nvidia"] = CUDA_PRECISIONS
    else:
        reasons["nvidia"] = f"JAX {version} has no CUDA plugin ({INSTALL_CUDA})"
    return Capability(
        version=version,
        precisions=precisions,
        policies=POLICIES,
        reasons=reasons,
    )


def open_subject(request: SubjectRequest) -> JaxSubject:
    """Import JAX and Keras and build the subject.

    Raises:
        SubjectError: of the kind that says what failed.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    # XLA takes its number of CPU threads from here, and all the GPU's memory unless told not to.
    os.environ["NPROC"] = str(request.threads)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with pip.importing("JAX is installed but", INSTALL, DISTRIBUTIONS):
        import jax
        import keras
    with translated(jax, cuda=request.device.kind == "nvidia"):
        return JaxSubject(jax, keras, request)


@contextlib.contextmanager
def translated(jax: Any, *, cuda: bool) -> Iterator[None]:  # noqa: ANN401 - the module
    """JAX's way of saying that memory is gone, as ours."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not any(words in str(error) for words in FULL_WORDS):
            raise
        raise _subject.out_of_memory(error, cuda=cuda) from error


def set_numerics(jax: Any, precision: Precision) -> None:  # noqa: ANN401 - the module
    """The arithmetic of products, by name."""
    jax.config.update("jax_default_matmul_precision", MATMUL_PRECISIONS[precision])


class JaxSubject(_subject.Clockless):
    """A Keras model as a pure function on one device, with its inputs and state resident there."""

    def __init__(self, jax: Any, keras: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _files, _keras, _seeded

        case = request.case
        self._jax, self._keras = jax, keras
        self._cuda = request.device.kind == "nvidia"
        self.n_buffers = _seeded.N_BUFFERS
        self._device = self._open_device(case.precision)
        prepared = _keras.prepare(keras, request)
        # The user's file may have set its own; what is measured is what was asked for.
        set_numerics(jax, case.precision)
        request = replace(request, spec=prepared.spec)
        self._model, self._loss = prepared.model, prepared.loss
        reformed: str | Absent = Absent(reason="only tuned on a CPU has layers of another form")
        if case.policy is Policy.TUNED and not self._cuda:
            from dlbench.frameworks import _jax_cpu

            training = case.mode is Mode.TRAINING
            reformed = _jax_cpu.adopt(keras, self._model, training=training)
        self.inputs = [self._resident(request, "inputs", i) for i in range(self.n_buffers)]
        self.targets = [self._resident(request, "targets", i) for i in range(self.n_buffers)]
        self._spec = request.spec
        self._feed = _files.Feed(request, for_keras=True)
        if case.data_mode is DataMode.PIPELINE:
            self.inputs.append(self.inputs[0])
            self.targets.append(self.targets[0])
        self._tables = self._row_by_row(case, request.spec)
        self._trained = self._on_device(self._model.trainable_variables)
        self._untrained = self._on_device(self._model.non_trainable_variables)
        self._run_query = jax.jit(self._infer)
        self._place: Any = self._reserved() if request.spec.get("in_place") else None
        if case.mode is Mode.TRAINING:
            self._optimizer = _keras.optimizer(keras, request.spec["optimizer"], case.precision)
            variables = self._model.trainable_variables
            self._optimizer.build(self._tables.dense(variables) if self._tables else variables)
            self._optimizer_state = self._on_device(self._optimizer.variables)
            self._run_step = jax.jit(self._train, donate_argnums=(0, 1, 2))
        self._last: list[Any] = []
        self._told: dict[str, Fact] = {
            "parameters": _keras.n_parameters(self._model),
            "threads": request.threads,
            "framework_version": jax.__version__,
            "keras_version": keras.__version__,
            "parameter_dtype": _keras.parameter_dtype(self._model),
            "compute_dtype": _keras.compute_dtype(keras, self._model),
            "compiled": True,
            "reformed_layers": reformed,
            "tables_by_row": len(self._tables.positions) if self._tables else 0,
            "input_shape": _subject.shapes(self.inputs[0]),
            "device": str(self._device.device_kind),
            **self._feed.facts,
            **prepared.facts,
        }

    @property
    def info(self) -> dict[str, Fact]:
        """Facts; what products are computed in, as JAX tells it now."""
        found = str(self._jax.config.jax_default_matmul_precision)
        tf32 = found == MATMUL_PRECISIONS[Precision.TF32]
        return {**self._told, "tf32": tf32, "matmul_precision": found}

    # --- building ---------------------------------------------------------------------------

    def _row_by_row(self, case: Case, spec: Mapping[str, Any]) -> _jax_rows.Tables | None:
        """Whether tables are trained by their rows: in ``tuned``, where plain SGD allows it."""
        from dlbench.frameworks import _jax_rows

        if case.policy is not Policy.TUNED or case.mode is not Mode.TRAINING or spec.get("own"):
            return None
        settings = spec["optimizer"]
        plain = settings["name"] == "sgd" and not settings["momentum"]
        if not plain or "clip_norm" in settings or case.precision is Precision.FP16:
            return None
        found = _jax_rows.Tables(self._keras, self._model)
        self._learning_rate = settings["learning_rate"]
        return found if found.positions else None

    def _open_device(self, precision: Precision) -> Any:  # noqa: ANN401
        jax = self._jax
        jax.config.update("jax_platforms", "cuda" if self._cuda else "cpu")
        set_numerics(jax, precision)
        try:
            return jax.local_devices()[0]
        except RuntimeError as error:
            raise UnsupportedError(
                f"JAX {jax.__version__} sees no GPU, though the driver does: {error}", INSTALL_CUDA
            ) from error

    def _on_device(self, variables: Any) -> list[Any]:  # noqa: ANN401
        """Their values, bound to the device as a step's results are: else step two compiles anew."""
        return [self._jax.device_put(v.value, self._device) for v in variables]

    def _resident(self, request: SubjectRequest, side: str, buffer: int) -> list[Any]:
        from dlbench.frameworks import _keras, _seeded

        dtype = _keras.input_dtype(request)
        arrays = _seeded.batch(request.spec, side, buffer, request.case.batch_size)
        lying = [
            self._jax.device_put(_keras.to_keras(a, request.spec), self._device) for a in arrays
        ]
        return lying if dtype is None else [x.astype(dtype) for x in lying]

    def _reserved(self) -> Any:  # noqa: ANN401
        """Outputs to be written over: XLA gives those of a query to the next one, which donates them.

        On a CPU new memory of their size comes from the system page by page (decision 66).
        """
        jax = self._jax

        def infer(trained: Any, untrained: Any, inputs: Any, place: Any) -> Any:  # noqa: ANN401, ARG001
            return self._infer(trained, untrained, inputs)

        self._run_query = jax.jit(infer, donate_argnums=3, keep_unused=True)
        outputs = jax.eval_shape(self._infer, self._trained, self._untrained, self.inputs[0])
        return jax.device_put(jax.numpy.zeros(outputs.shape, outputs.dtype), self._device)

    def refill(self, buffer: int) -> None:
        """Copy a batch to the device."""
        with translated(self._jax, cuda=self._cuda):
            self.inputs[buffer] = [
                self._jax.device_put(a, self._device) for a in self._feed.batch(buffer)
            ]

    # --- running ----------------------------------------------------------------------------

    def _infer(self, trained: Any, untrained: Any, inputs: Any) -> Any:  # noqa: ANN401
        from dlbench.frameworks import _keras

        outputs, _ = self._model.stateless_call(
            trained, untrained, _keras.as_argument(inputs), training=False
        )
        return outputs

    def _train(
        self,
        trained: Any,  # noqa: ANN401
        untrained: Any,  # noqa: ANN401
        optimizer_state: Any,  # noqa: ANN401
        inputs: Any,  # noqa: ANN401
        targets: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        from dlbench.frameworks import _keras

        def loss_of(weights: Any) -> Any:  # noqa: ANN401
            outputs, statistics = self._model.stateless_call(
                weights, untrained, _keras.as_argument(inputs), training=True
            )
            loss = self._loss(outputs, *targets)
            # The scale is part of the optimiser's state, and so of what the step is given.
            state = zip(self._optimizer.variables, optimizer_state, strict=True)
            with self._keras.StatelessScope(state_mapping=list(state)):
                return self._optimizer.scale_loss(loss), (loss, statistics)

        if self._tables is not None:
            return self._train_by_row(self._tables, loss_of, trained, optimizer_state)
        (_, (loss, untrained)), gradients = self._jax.value_and_grad(loss_of, has_aux=True)(trained)
        trained, optimizer_state = self._optimizer.stateless_apply(
            optimizer_state, gradients, trained
        )
        return loss, trained, untrained, optimizer_state

    def _train_by_row(
        self,
        tables: _jax_rows.Tables,
        loss_of: Any,  # noqa: ANN401
        trained: Any,  # noqa: ANN401
        optimizer_state: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        from dlbench.frameworks import _jax_rows

        (_, (loss, untrained)), gradients, by_table = tables.value_and_gradients(loss_of, trained)
        dense, optimizer_state = self._optimizer.stateless_apply(
            optimizer_state, gradients, tables.dense(trained)
        )
        moved = [
            _jax_rows.descended(x, by_table.get(i, []), self._learning_rate)
            for i, x in enumerate(trained)
        ]
        return loss, tables.merged(dense, moved), untrained, optimizer_state

    def step(self, buffer: int) -> object:
        """One training step; the loss before its update."""
        with translated(self._jax, cuda=self._cuda):
            loss, self._trained, self._untrained, self._optimizer_state = self._run_step(
                self._trained,
                self._untrained,
                self._optimizer_state,
                self.inputs[buffer],
                self.targets[buffer],
            )
        self._last = [loss, self._trained]
        return loss

    def query(self, buffer: int) -> object:
        """One inference; its outputs."""
        with translated(self._jax, cuda=self._cuda):
            given = (self._trained, self._untrained, self.inputs[buffer])
            if self._place is None:
                outputs = self._run_query(*given)
            else:
                outputs = self._place = self._run_query(*given, self._place)
        self._last = [outputs]
        return _subject.first(outputs)

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs (batch first) or a loss, on the host as float32."""
        import numpy as np

        from dlbench.frameworks import _keras

        with translated(self._jax, cuda=self._cuda):
            if self._place is not None:
                # What shows the host its own memory could not be written over.
                handle = self._jax.numpy.array(handle, copy=True)
            return _keras.from_keras(np.asarray(handle, dtype=np.float32), self._spec)

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """A buffer's inputs as they lie on the device, which may have no room for another copy."""
        import numpy as np

        from dlbench.frameworks import _keras

        jnp = self._jax.numpy
        with translated(self._jax, cuda=self._cuda):
            copied = [np.asarray(x) for x in self.inputs[buffer]]
        wide = (
            x.astype("float32", copy=False) if jnp.issubdtype(x.dtype, jnp.floating) else x
            for x in copied
        )
        return tuple(_keras.from_keras(x, self._spec) for x in wide)

    def copy_inputs(self, source: int, target: int) -> None:
        """As new arrays: JAX's cannot be written to."""
        with translated(self._jax, cuda=self._cuda):
            self.inputs[target] = [self._jax.numpy.array(x, copy=True) for x in self.inputs[source]]

    def places(self, handle: object) -> frozenset[str]:
        """Of weights, statistics, inputs and the result."""
        kept = [*self._trained, *self._untrained]
        every: list[Any] = [*kept, *(x for buffer in self.inputs for x in buffer), handle]
        platforms = {device.platform for x in every for device in x.devices()}
        return frozenset({"gpu": "nvidia", "cuda": "nvidia"}.get(p, p) for p in platforms)

    def synchronize(self) -> None:
        """Wait for what was started last; a device runs in order. On the CPU too JAX runs ahead."""
        with translated(self._jax, cuda=self._cuda):
            self._jax.block_until_ready(self._last)

    def peak_memory(self) -> PeakMemory:
        """The GPU allocator's peak; on the CPU JAX keeps no count."""
        stats = self._device.memory_stats() or {}
        peak = stats.get("peak_bytes_in_use")
        pool = stats.get("peak_pool_bytes", stats.get("pool_bytes"))
        uncounted = Absent(reason=f"JAX does not count memory on the {self._device.platform}")
        unsaid = Absent(reason="JAX does not say what its allocator reserved")
        return _subject.counted(peak / MIB if peak else uncounted, pool / MIB if pool else unsaid)

    def close(self) -> None:
        """The process ends next."""
        self.inputs, self.targets = [], []
