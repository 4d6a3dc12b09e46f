"""TensorFlow, running Keras 3 model files through its own ``tf.function`` steps (never model.fit).

``base``: graph mode, no XLA. ``tuned``: the step is compiled by XLA (``jit_compile=True``), unless the
model has layers that XLA slows down (docs/decisions/0055); inference on a CPU by XLA, or by a graph
with frozen weights or without, whichever is fastest (0068); weights are held in 16 bits where inference
computes so (0067).
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dlbench.core import pip
from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, DataMode, Fact, Mode, PeakMemory, Policy, Precision
from dlbench.core.units import MIB
from dlbench.frameworks import _subject

if TYPE_CHECKING:
    import numpy as np

MODEL_FILES = ("model_keras",)
DISTRIBUTIONS = ("tensorflow", "keras")

INSTALL = "pip install 'dlbench[tensorflow]'"
INSTALL_CUDA = "pip install 'tensorflow[and-cuda]'"

CPU_PRECISIONS = (Precision.FP32, Precision.BF16)
CUDA_PRECISIONS = (Precision.FP32, Precision.TF32, Precision.BF16, Precision.FP16)

FULL_WORDS = ("Dst tensor is not initialized", "CUDA_ERROR_OUT_OF_MEMORY")
"""Internal errors of a full GPU: a tensor that was copied there found no room (tensorflow#7025), or the
driver had none for a program."""

FROZEN_MOST_MIB = 384.0
"""Of weights that are made constants. TensorFlow 2.21 takes 14 times as much memory for it, and time
that grows faster than they: 2, 5 and 21 s of 127, 254 and 508 MiB; gnmt's 930 MiB overran 24 GiB."""

POLICIES = {
    Policy.BASE: "`tf.function` graphs of a Keras model; oneDNN as TensorFlow comes",
    Policy.TUNED: "XLA (`jit_compile=True`), but `base`'s graph where XLA is slower: on a CPU with "
    "grouped convolutions, or in training with recurrent layers or convolutions of windows that "
    "overlap; on a GPU with recurrent layers. "
    "Inference on a CPU: XLA, `base`'s graph, or that graph with frozen weights (up to 384 MiB), "
    "whichever is fastest when all are tried at loading; in 16 bits weights that are held so",
}
"""What each policy turns on, for `dlbench list` and the docs."""


def probe() -> Capability | Absent:
    """Version and devices of the installed package, without importing it."""
    for package in ("tensorflow", "keras"):
        if importlib.util.find_spec(package) is None:
            return Absent(reason=f"{package} is not installed", remedy=INSTALL)
    version = next(
        (v for v in map(pip.version, ("tensorflow", "tensorflow-cpu", "tf-nightly")) if v), None
    )
    if version is None:
        return Absent(reason="a tensorflow without its metadata is on the path", remedy=INSTALL)
    precisions = {"cpu": CPU_PRECISIONS, "nvidia": CUDA_PRECISIONS}
    reasons = {}
    if pip.version("tensorflow-cpu"):
        del precisions["nvidia"]
        reasons["nvidia"] = f"the installed TensorFlow is a CPU build ({INSTALL_CUDA})"
    return Capability(
        version=version,
        precisions=precisions,
        policies=POLICIES,
        reasons=reasons,
    )


def open_subject(request: SubjectRequest) -> TensorFlowSubject:
    """Import TensorFlow and build the subject.

    Raises:
        SubjectError: of the kind that says what failed.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with pip.importing("TensorFlow is installed but", INSTALL, DISTRIBUTIONS):
        import keras
        import tensorflow as tf
    with translated(tf, cuda=request.device.kind == "nvidia"):
        return TensorFlowSubject(tf, keras, request)


@contextlib.contextmanager
def translated(tf: Any, *, cuda: bool) -> Iterator[None]:  # noqa: ANN401 - the module
    """TensorFlow's ways of saying that memory is gone, or that XLA lacks an operation, as ours."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        _, told, found = str(error).partition("unsupported operations when trying to compile graph")
        if not told:
            raise
        lacking = ", ".join(dict.fromkeys(re.findall(r"(\w+) \(No registered", found)))
        raise UnsupportedError(f"XLA has no {lacking} for this device", "--policy base") from error
    except tf.errors.ResourceExhaustedError as error:
        raise _subject.out_of_memory(error, cuda=cuda) from error
    except tf.errors.InternalError as error:
        if not (cuda and any(words in str(error) for words in FULL_WORDS)):
            raise
        raise _subject.out_of_memory(error, cuda=True) from error


class _Way(NamedTuple):
    """Of answering a query: by what, whether with weights as constants, whether compiled by XLA."""

    run: Callable[..., Any]
    frozen: bool = False
    xla: bool = False


class TensorFlowSubject(_subject.Clockless):
    """A Keras model under TensorFlow on one device, with its inputs resident there."""

    def __init__(self, tf: Any, keras: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _keras, _seeded

        case = request.case
        self._tf, self._keras = tf, keras
        self._cuda = request.device.kind == "nvidia"
        self.n_buffers = _seeded.N_BUFFERS
        self._set_numerics(case.precision, request.threads)
        self._place = self._open_device()
        with tf.device(self._place):
            prepared = _keras.prepare(keras, request)
            request = replace(request, spec=prepared.spec)
            self._model, self._loss = prepared.model, prepared.loss
            self._spec = prepared.spec
            self._xla = case.policy is Policy.TUNED and self._suits_xla(case.mode)
            # The user's file may have set its own; what is measured is what was asked for.
            self._set_tf32(case.precision)
            self.inputs = [self._resident(request, "inputs", i) for i in range(self.n_buffers)]
            self.targets = [self._resident(request, "targets", i) for i in range(self.n_buffers)]
            self._loading: dict[str, int] = {}
            self._prepare_refills(request)
            self._run_query, self._frozen = self._compiled(self._infer), False
            if case.policy is Policy.TUNED and case.mode is Mode.INFERENCE and not self._cuda:
                self._choose_query()
            if case.mode is Mode.TRAINING:
                settings = request.spec["optimizer"]
                self._optimizer = self._build_optimizer(settings, case.precision)
                # An embedding's gradient has one row for each lookup. Whatever squares it (Adam, a
                # norm) must see repeated rows summed first, or it trains another model.
                self._needs_sums = settings["name"] == "adam" or "clip_norm" in settings
                self._run_step = self._compiled(self._train)
        if self._cuda:
            # The peak is the running model's, not its builder's.
            tf.config.experimental.reset_memory_stats("GPU:0")
        self._last: object = None
        self._told: dict[str, Fact] = {
            "parameters": _keras.n_parameters(self._model),
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "framework_version": tf.__version__,
            "keras_version": keras.__version__,
            "parameter_dtype": _keras.parameter_dtype(self._model),
            "compute_dtype": _keras.compute_dtype(keras, self._model),
            "compiled": self._xla,
            "frozen_weights": self._frozen,
            "input_shape": _subject.shapes(self.inputs[0]),
            "device": self._place,
            **self._loading,
            **prepared.facts,
        }
        if self._cuda:
            self._told["inputs_on_host"] = sum("CPU" in x.backing_device for x in self.inputs[0])

    @property
    def info(self) -> dict[str, Fact]:
        """Facts; whether TF32 is on, as TensorFlow tells it now."""
        tf32 = self._tf.config.experimental.tensor_float_32_execution_enabled()
        return {**self._told, "tf32": tf32}

    # --- building ---------------------------------------------------------------------------

    def _set_numerics(self, precision: Precision, threads: int) -> None:
        tf = self._tf
        # One worker runs one step at a time: all threads belong to the operations.
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self._set_tf32(precision)

    def _set_tf32(self, precision: Precision) -> None:
        tf32 = precision is Precision.TF32
        self._tf.config.experimental.enable_tensor_float_32_execution(tf32)

    def _open_device(self) -> str:
        if not self._cuda:
            return "/CPU:0"
        gpus = self._tf.config.list_physical_devices("GPU")
        if not gpus:
            raise UnsupportedError(
                f"TensorFlow {self._tf.__version__} sees no GPU, though the driver does",
                INSTALL_CUDA,
            )
        self._tf.config.experimental.set_memory_growth(gpus[0], enable=True)
        return "/GPU:0"

    def _resident(self, request: SubjectRequest, side: str, buffer: int) -> Any:  # noqa: ANN401
        from dlbench.frameworks import _keras, _seeded

        tf, dtype = self._tf, _keras.input_dtype(request)
        arrays = _seeded.batch(request.spec, side, buffer, request.case.batch_size)
        lying = [tf.identity(tf.constant(_keras.to_keras(a, request.spec))) for a in arrays]
        return lying if dtype is None else [tf.cast(x, dtype) for x in lying]

    def _prepare_refills(self, request: SubjectRequest) -> None:
        """Batches in host memory, as NumPy's or as tf.data makes them."""
        from dlbench.frameworks import _files, _keras, _seeded, _tfdata

        case = request.case
        if case.data_mode is DataMode.HOST:
            self._host = [
                [
                    _keras.to_keras(a, request.spec)
                    for a in _seeded.batch(request.spec, "inputs", i, case.batch_size)
                ]
                for i in range(self.n_buffers)
            ]
        elif case.data_mode is DataMode.PIPELINE:
            files = _files.files_of(
                request.spec, training=case.mode is Mode.TRAINING, seed=request.seed
            )
            with self._tf.device("/CPU:0"):
                self._loader = _tfdata.batches(self._tf, files, case.batch_size, request.threads)
            self._loading = _tfdata.loader_facts(case.batch_size, request.threads)
            self.inputs.append(self.inputs[0])
            self.targets.append(self.targets[0])

    def refill(self, buffer: int) -> None:
        """Copy a batch to the device."""
        tf = self._tf
        with translated(tf, cuda=self._cuda), tf.device(self._place):
            if buffer == self.n_buffers:
                self.inputs[buffer] = [tf.identity(next(self._loader))]
            else:
                self.inputs[buffer] = [tf.identity(tf.constant(a)) for a in self._host[buffer]]

    def _suits_xla(self, mode: Mode) -> bool:
        """Whether no layer is of a kind that XLA was seen to slow down, or that cuDNN would run."""
        from dlbench.frameworks import _keras

        kinds = _keras.kinds(self._keras, self._model)
        if self._cuda:
            return not kinds.recurrent
        slow = kinds.recurrent or kinds.overlapping
        return not (kinds.grouped or (slow and mode is Mode.TRAINING))

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self._tf.function(function, jit_compile=self._xla, autograph=False)  # type: ignore[no-any-return]

    def _choose_query(self) -> None:
        """Take what runs fastest here: XLA's program, TensorFlow's own graph, or that graph frozen.

        Only with constants for weights are normalisations folded into convolutions, and casts of
        weights done once. Those that are too large stay as they are.
        """
        sizes = (math.prod(v.shape) * v.value.dtype.size for v in self._model.variables)
        ways = [_Way(self._tf.function(self._infer, autograph=False))]
        if sum(sizes) / MIB <= FROZEN_MOST_MIB:
            ways.append(_Way(self._freeze(self._infer), frozen=True))
        if self._xla:
            ways.append(_Way(self._run_query, xla=True))
        fastest = min(ways, key=self._duration_s)
        self._run_query, self._frozen, self._xla = fastest.run, fastest.frozen, fastest.xla

    def _duration_s(self, way: _Way) -> float:
        """Seconds of a query so; infinite where XLA cannot compile it."""
        try:
            with translated(self._tf, cuda=False):
                return _subject.fastest_s(lambda: way.run(self.inputs[0]))
        except UnsupportedError:
            if not way.xla:
                raise
            return math.inf

    def _freeze(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from tensorflow.python.framework import convert_to_constants

        like = [self._tf.TensorSpec(x.shape, x.dtype) for x in self.inputs[0]]
        graph = self._tf.function(function, autograph=False).get_concrete_function(like)
        frozen = convert_to_constants.convert_variables_to_constants_v2(graph)
        return lambda inputs: frozen(*inputs)[0]

    def _build_optimizer(self, settings: Any, precision: Precision) -> Any:  # noqa: ANN401
        from dlbench.frameworks import _keras

        optimizer = _keras.optimizer(self._keras, settings, precision)
        optimizer.build(self._model.trainable_variables)
        return optimizer

    # --- running ----------------------------------------------------------------------------

    def _infer(self, inputs: Any) -> Any:  # noqa: ANN401
        from dlbench.frameworks import _keras

        return self._model(_keras.as_argument(inputs), training=False)

    def _train(self, inputs: Any, targets: Any) -> Any:  # noqa: ANN401
        from dlbench.frameworks import _keras

        with self._tf.GradientTape() as tape:
            outputs = self._model(_keras.as_argument(inputs), training=True)
            loss = self._loss(outputs, *targets)
            scaled = self._optimizer.scale_loss(loss)
        variables = self._model.trainable_variables
        gradients = tape.gradient(scaled, variables)
        if self._needs_sums:
            # A model of the user's own may have weights that its loss does not reach.
            gradients = [g if g is None else self._tf.convert_to_tensor(g) for g in gradients]
        self._optimizer.apply(gradients, variables)
        return loss

    def step(self, buffer: int) -> object:
        """One training step; the loss before its update."""
        with translated(self._tf, cuda=self._cuda), self._tf.device(self._place):
            self._last = self._run_step(self.inputs[buffer], self.targets[buffer])
        return self._last

    def query(self, buffer: int) -> object:
        """One inference; its outputs."""
        with translated(self._tf, cuda=self._cuda), self._tf.device(self._place):
            self._last = _subject.first(self._run_query(self.inputs[buffer]))
        return self._last

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs (batch first) or a loss, on the host as float32."""
        from dlbench.frameworks import _keras

        with translated(self._tf, cuda=self._cuda):
            value: Any = handle
            found = value.numpy().astype("float32", copy=False)
            return _keras.from_keras(found, self._spec)

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """A buffer's inputs as they lie on the device, which may have no room for another copy."""
        from dlbench.frameworks import _keras

        with translated(self._tf, cuda=self._cuda):
            copied = [(x.numpy(), x.dtype.is_floating) for x in self.inputs[buffer]]
        wide = (x.astype("float32", copy=False) if floating else x for x, floating in copied)
        return tuple(_keras.from_keras(x, self._spec) for x in wide)

    def copy_inputs(self, source: int, target: int) -> None:
        """As new tensors: TensorFlow's cannot be written to."""
        with translated(self._tf, cuda=self._cuda), self._tf.device(self._place):
            self.inputs[target] = [self._tf.identity(x) for x in self.inputs[source]]

    def places(self, handle: object) -> frozenset[str]:
        """Of variables, inputs and the result: the device whose kernel made each.

        Whole numbers of 32 bits TensorFlow keeps in host memory all the same, whoever makes them, and
        copies them in a step; the fact ``inputs_on_host`` says how many inputs those are.
        """
        kept = [v.value for v in self._model.variables]
        every: list[Any] = [*kept, *(x for buffer in self.inputs for x in buffer), handle]
        types = {self._tf.DeviceSpec.from_string(x.device).device_type for x in every}
        return frozenset({"GPU": "nvidia"}.get(kind, kind.lower()) for kind in types)

    def synchronize(self) -> None:
        """Wait for the device's stream; on the CPU a graph has run when its call returns."""
        if self._cuda:
            with translated(self._tf, cuda=True):
                self._tf.test.experimental.sync_devices()

    def peak_memory(self) -> PeakMemory:
        """The GPU allocator's peak; on the CPU TensorFlow would answer 0, which is not true."""
        reserved = Absent(reason="TensorFlow does not say what its allocator reserved")
        if not self._cuda:
            uncounted = Absent(reason="TensorFlow does not count memory on the CPU")
            return _subject.counted(uncounted, reserved)
        peak = self._tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return _subject.counted(peak / MIB, reserved)

    def close(self) -> None:
        """The process ends next."""
        self.inputs, self.targets = [], []
