"""ONNX Runtime: inference of a graph that is exported from the workload's PyTorch model.

``base`` is the library as it comes, all graph optimisations included. ``int8`` (CPU) is static
quantisation in QDQ form, calibrated on the workload's own inputs; what it costs in accuracy is stated
with the subject (``int8_drift``).
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlbench.core import pip, units
from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, DataMode, Fact, Mode, Policy, Precision
from dlbench.frameworks import _subject, pytorch

if TYPE_CHECKING:
    import numpy as np

    Facts = dict[str, Fact]

MODEL_FILES = ("model_onnx", "model_pytorch")
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnx", "torch")

INSTALL = "pip install 'dlbench[onnx]'"
INSTALL_CUDA = "pip uninstall onnxruntime && pip install onnxruntime-gpu"
INSTALL_LIBRARIES = (
    "The trial's log names the library that it lacks; those of its CUDA version come with "
    "pip install 'onnxruntime-gpu[cuda,cudnn]'"
)

OPSET = 18
"""Has every operation of our models, and every release since 2023 runs it."""

CPU_PRECISIONS = (Precision.FP32, Precision.INT8)
CUDA_PRECISIONS = (Precision.FP32, Precision.TF32)

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}

OUT_OF_MEMORY = (
    "Failed to allocate memory",
    "bad allocation",
    "bad_alloc",
    "out of memory",
    "smaller than requested bytes",
)
"""The arena, C++, the driver ("CUDA failure 2: out of memory"), and the arena at its limit."""

POLICIES = {
    Policy.BASE: "exported from the PyTorch model (opset 18), all graph optimisations, as the library "
    "comes; int8 by static quantisation"
}
"""What each policy turns on, for `dlbench list` and the docs."""

UNTUNED = (
    "what an expert turns on is on in base: every graph optimisation, inputs and outputs bound in "
    "place, the memory arena, threads that spin"
)
"""Looked at and left: the optimiser for transformers fuses no attention of what PyTorch exports, and
the rest of what it does the session does too; shrinking blocks of work and denormals as zero showed
no gain."""


def probe() -> Capability | Absent:
    """Version and devices of the installed packages, without importing them."""
    for package in ("onnxruntime", "onnx", "torch"):
        if importlib.util.find_spec(package) is None:
            return Absent(reason=f"{package} is not installed", remedy=INSTALL)
    version = pip.version("onnxruntime-gpu") or pip.version("onnxruntime")
    if version is None:
        return Absent(reason="an onnxruntime without its metadata is on the path", remedy=INSTALL)
    precisions: dict[str, tuple[Precision, ...]] = {"cpu": CPU_PRECISIONS}
    reasons: dict[str, str] = {Policy.TUNED: UNTUNED}
    if pip.version("onnxruntime-gpu"):
        precisions["nvidia"] = CUDA_PRECISIONS
    else:
        reasons["nvidia"] = f"the installed ONNX Runtime is a CPU build ({INSTALL_CUDA})"
    return Capability(
        version=version,
        precisions=precisions,
        policies=POLICIES,
        reasons=reasons,
        modes=(Mode.INFERENCE,),
    )


def open_subject(request: SubjectRequest) -> OnnxSubject:
    """Export the PyTorch model and open a session on it.

    Raises:
        SubjectError: of the kind that says what failed.
    """
    with pip.importing("ONNX Runtime or PyTorch", INSTALL, DISTRIBUTIONS):
        import onnxruntime
        import torch
    cuda = request.device.kind == "nvidia"
    if cuda:
        # Its provider looks for CUDA's libraries where the system has them. Those of PyTorch's that are
        # loaded by now need not be of its CUDA version, and are not all that it wants
        # (onnxruntime#24719).
        onnxruntime.preload_dlls()
    with translated(cuda=cuda):
        return OnnxSubject(onnxruntime, torch, request)


@contextlib.contextmanager
def translated(*, cuda: bool) -> Iterator[None]:
    """ONNX Runtime's ways of saying that memory is gone, as ours."""
    try:
        yield
    except _errors() as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise _subject.out_of_memory(error, cuda=cuda) from error


def _errors() -> tuple[type[Exception], ...]:
    """The library's errors, each a child of Exception itself, and what C++'s own become in Python."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    own = (x for x in vars(native).values() if isinstance(x, type) and issubclass(x, Exception))
    return (RuntimeError, MemoryError, *own)


def export(torch: Any, model: Any, arrays: Sequence[Any], path: Path) -> None:  # noqa: ANN401
    """Write a model as ONNX for inputs of these shapes, which lets the runtime specialise.

    By the exporter that traces: it keeps a recurrent layer as one LSTM or GRU operation, where
    the newer one unrolls it.
    """
    import warnings

    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            model,
            tuple(torch.from_numpy(a) for a in arrays),
            str(path),
            dynamo=False,
            opset_version=OPSET,
        )


class OnnxSubject(_subject.Runtime):
    """A session with its inputs bound: no copy between host and device in a query."""

    def __init__(self, ort: Any, torch: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _files, _own, _seeded

        case = request.case
        self._cuda = request.device.kind == "nvidia"
        self.n_buffers = _seeded.N_BUFFERS
        torch.set_num_threads(request.threads)
        drift: float | Absent = Absent(reason="only int8 changes the model's numbers")
        share: float | Absent = Absent(reason="nothing is quantised")
        with tempfile.TemporaryDirectory(dir=request.scratch) as private:
            if request.model_path is None:
                path = Path(private) / "model.onnx"
                spec, found = self._export(ort, torch, request, path)
            else:
                path = request.model_path
                spec, found = self._read(ort, request, path)
            request = replace(request, spec=spec)
            batches = [
                _seeded.batch(spec, "inputs", i, case.batch_size) for i in range(self.n_buffers)
            ]
            if case.precision is Precision.INT8:
                quantised = Path(private) / "int8.onnx"
                with _own.derived(request, "quantised"):
                    share = quantise(path, quantised, batches)
                others = unseen(spec, case.batch_size)
                drift = rms_drift(
                    *(answers(self._runner(ort, request, p), others) for p in (path, quantised))
                )
                path = quantised
            self._session = self._open(ort, request, path)
        self._ort = ort
        self.inputs = [self._resident(arrays) for arrays in batches]
        self._bindings = [self._bind(values) for values in self.inputs]
        self._feed = _files.Feed(request)
        if case.data_mode is DataMode.PIPELINE:
            self.inputs.append(self.inputs[0])
            self._bindings.append(self._bindings[0])
        self.info: dict[str, Fact] = {
            "threads": request.threads,
            "framework_version": ort.__version__,
            "parameter_dtype": "int8" if case.precision is Precision.INT8 else "float32",
            "compute_dtype": "int8" if case.precision is Precision.INT8 else "float32",
            "compiled": True,
            "input_shape": _subject.shapes(batches[0]),
            "device": self._session.get_providers()[0],
            "tf32": self._tf32(),
            "nodes_on_cpu": self._nodes_on_cpu(),
            "int8_drift": drift,
            "int8_share": share,
            **self._feed.facts,
            **found,
        }

    # --- building ---------------------------------------------------------------------------

    def _export(
        self,
        ort: Any,  # noqa: ANN401
        torch: Any,  # noqa: ANN401
        request: SubjectRequest,
        path: Path,
    ) -> tuple[Mapping[str, Any], Facts]:
        """Write the PyTorch model's file; its spec, and where the file comes from."""
        from dlbench.frameworks import _own, _own_torch, _seeded

        prepared = pytorch.prepare(torch, request)
        model = prepared.model.eval()
        arrays = _seeded.batch(request.spec, "inputs", 0, request.case.batch_size)
        with _own.derived(request, "exported to ONNX"), pytorch.translated(torch):
            export(torch, model, arrays, path)
        _own_torch.check_derived(torch, request, model, lambda: self._runner(ort, request, path))
        return prepared.spec, {
            **prepared.facts,
            "parameters": pytorch.n_parameters(model, request),
            "derived_from": f"model_pytorch, PyTorch {torch.__version__}, ONNX opset {OPSET}",
            "model_file_mib": path.stat().st_size / units.MIB,
        }

    def _read(
        self,
        ort: Any,  # noqa: ANN401
        request: SubjectRequest,
        path: Path,
    ) -> tuple[Mapping[str, Any], Facts]:
        """Look at a file of the user's own, and run it once; its spec, and what was counted."""
        from dlbench.frameworks import _onnx_file, _own, _seeded

        request.load_model()
        with _onnx_file.opened(request, "ONNX Runtime"):
            session = self._open(ort, request, path)
        declared = [
            _onnx_file.Declared(
                name=given.name,
                shape=tuple(n if isinstance(n, int) else None for n in given.shape),
                dtype=_DTYPES.get(given.type, given.type),
            )
            for given in session.get_inputs()
        ]
        request = _onnx_file.completed(request, declared)
        arrays = _seeded.batch(request.spec, "inputs", 0, request.case.batch_size)
        batch = {d.name: array for d, array in zip(declared, arrays, strict=True)}
        with _own.blamed(_own.refused(request)), translated(cuda=self._cuda):
            output = session.run(None, batch)[0]
        _own.check_output(request, getattr(output, "shape", ()), request.case.batch_size)
        counted = _onnx_file.facts(request, declared, path)
        return request.spec, {**counted, "derived_from": path.name}

    def _open(self, ort: Any, request: SubjectRequest, path: Path) -> Any:  # noqa: ANN401
        options = ort.SessionOptions()
        options.intra_op_num_threads = request.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not self._cuda:
            return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        tf32 = int(request.case.precision is Precision.TF32)
        provider = ("CUDAExecutionProvider", {"device_id": 0, "use_tf32": tf32})
        # What goes wrong on the card is raised: by itself the library would try again on the CPU.
        session = ort.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
        # A provider that fails to load is replaced by the CPU's with no more than a warning.
        if session.get_providers()[0] != "CUDAExecutionProvider":
            built = "CUDAExecutionProvider" in ort.get_available_providers()
            raise UnsupportedError(
                f"ONNX Runtime {ort.__version__} could not open its CUDA provider",
                INSTALL_LIBRARIES if built else INSTALL_CUDA,
            )
        return session

    def _tf32(self) -> bool | Absent:
        """Whether the session computes in TF32, as its CUDA provider tells; the CPU's has none."""
        if not self._cuda:
            return False
        told = self._session.get_provider_options()["CUDAExecutionProvider"].get("use_tf32")
        if told is None:
            return Absent(reason="ONNX Runtime's CUDA provider does not say whether TF32 is on")
        return str(told) == "1"

    def _nodes_on_cpu(self) -> int | Absent:
        """Nodes of the graph that a session on a GPU leaves to the CPU, with copies to it and back."""
        if not self._cuda:
            return Absent(reason="the whole graph is the CPU's")
        assigned = getattr(self._session, "get_provider_graph_assignment_info", None)
        if assigned is None:
            return Absent(reason="this ONNX Runtime does not say where it computes each node")
        parts = (part for part in assigned() if part.ep_name == "CPUExecutionProvider")
        return sum(len(part.get_nodes()) for part in parts)

    def _resident(self, arrays: Sequence[Any]) -> list[Any]:
        place = "cuda" if self._cuda else "cpu"
        return [self._ort.OrtValue.ortvalue_from_numpy(a, place, 0) for a in arrays]

    def _bind(self, values: Sequence[Any]) -> Any:  # noqa: ANN401
        place = "cuda" if self._cuda else "cpu"
        binding = self._session.io_binding()
        for given, value in zip(self._session.get_inputs(), values, strict=True):
            binding.bind_ortvalue_input(given.name, value)
        for output in self._session.get_outputs():
            binding.bind_output(output.name, place, 0)
        return binding

    def _runner(
        self,
        ort: Any,  # noqa: ANN401
        request: SubjectRequest,
        path: Path,
    ) -> Callable[[Sequence[Any]], Any]:
        """What takes a batch's arrays and gives the first output of a file."""
        session = self._open(ort, request, path)
        names = [given.name for given in session.get_inputs()]
        return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]

    # --- running ----------------------------------------------------------------------------

    def refill(self, buffer: int) -> None:
        """Copy a batch to the device, or bind it where it is on the CPU."""
        with translated(cuda=self._cuda):
            self._fill(buffer, self._feed.batch(buffer))

    def _fill(self, buffer: int, arrays: Sequence[Any]) -> None:
        self.inputs[buffer] = self._resident(arrays)
        self._bindings[buffer] = self._bind(self.inputs[buffer])

    def query(self, buffer: int) -> object:
        """One inference, finished when this returns; a handle to its outputs."""
        with translated(cuda=self._cuda):
            self._session.run_with_iobinding(self._bindings[buffer])
            return self._bindings[buffer].get_outputs()[0]

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs, batch first, on the host as float32."""
        value: Any = handle
        return value.numpy().astype("float32", copy=False)  # type: ignore[no-any-return]

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """A buffer's inputs as they lie on the device."""
        import numpy as np

        return tuple(np.array(value.numpy()) for value in self.inputs[buffer])

    def copy_inputs(self, source: int, target: int) -> None:
        """As new values, bound anew."""
        with translated(cuda=self._cuda):
            self._fill(target, self.read_inputs(source))

    def places(self, handle: object) -> frozenset[str]:
        """Of inputs and the result, and of the provider that runs the graph."""
        every: list[Any] = [*(x for buffer in self.inputs for x in buffer), handle]
        names = {value.device_name().lower() for value in every}
        names.add(self._session.get_providers()[0].removesuffix("ExecutionProvider").lower())
        return frozenset({"cuda": "nvidia"}.get(name, name) for name in names)

    def close(self) -> None:
        """The process ends next."""
        self.inputs, self._bindings = [], []


def unseen(spec: Mapping[str, Any], batch_size: int) -> list[tuple[Any, ...]]:
    """As many batches as calibrate, of other samples: what calibrated stays within its own range."""
    from dlbench.frameworks import _seeded

    n = _seeded.N_BUFFERS
    return [_seeded.batch(spec, "inputs", n + i, batch_size) for i in range(n)]


def answers(run: Callable[[Sequence[Any]], Any], batches: Sequence[Sequence[Any]]) -> Any:  # noqa: ANN401
    """The first output of all batches, one after the other."""
    import numpy as np

    return np.concatenate([np.array(run(arrays)) for arrays in batches])


def rms_drift(exact: Any, quantised: Any) -> float | Absent:  # noqa: ANN401
    """Root mean square deviation of the quantised outputs over the spread of the exact ones."""
    import numpy as np

    spread = float(np.std(exact))
    if not 0 < spread < math.inf:
        return Absent(reason="the exact outputs have no spread to compare with")
    drift = float(np.sqrt(np.mean((quantised - exact) ** 2)) / spread)
    return drift if math.isfinite(drift) else Absent(reason="an int8 output is no finite number")


def _masking(model: Path) -> list[str]:
    """Names of the nodes that add and follow a mask of minus infinity, which has no int8."""
    import numpy as np
    import onnx

    graph = onnx.load(str(model)).graph
    constants = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    masked = {
        name for name, x in constants.items() if x.dtype.kind == "f" and not np.isfinite(x).all()
    }
    excluded = []
    for node in graph.node:
        if node.op_type in MASK_FOLLOWERS and masked & set(node.input):
            masked.add(node.output[0])
            excluded.append(node.name)
    return excluded


MASK_FOLLOWERS = ("Add", "Softmax")
"""From a causal mask to the weights of attention, as PyTorch's exporter writes it."""


LEAST_INT8 = 0.5
"""Below, most of a model would be computed in float32 under the name of int8."""


def _plain(source: Path) -> Any:  # noqa: ANN401 - an onnx.ModelProto
    """A file's model with its weights inside, wherever they lay, and none of them an input."""
    import onnx

    model = onnx.load(str(source))
    held = {weight.name for weight in model.graph.initializer}
    inputs = [given for given in model.graph.input if given.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    # Before its fourth version the format wants every weight to be an input too.
    model.ir_version = max(model.ir_version, 4)
    return model


def quantise(source: Path, target: Path, batches: Sequence[Sequence[Any]]) -> float | Absent:
    """Static quantisation: weights and activations to int8 by minima and maxima of the inputs.

    Returns:
        The share of the model's operations that it takes to int8.

    Raises:
        UnsupportedError: that is none, or less than half.
    """
    import logging

    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    from dlbench.frameworks import _onnx_file

    prepared = target.with_suffix(".prepared.onnx")
    logging.disable(logging.WARNING)
    model = _plain(source)
    shape_inference.quant_pre_process(model, str(prepared), skip_symbolic_shape=True)

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
        """The workload's own buffers."""

        def __init__(self) -> None:
            names = [given.name for given in model.graph.input]
            self._feeds = iter([dict(zip(names, arrays, strict=True)) for arrays in batches])

        def get_next(self) -> Any:  # noqa: ANN401
            return next(self._feeds, None)

    quantization.quantize_static(
        str(prepared),
        str(target),
        Calibration(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        # Unsigned activations: the fast instructions of x86 multiply signed by unsigned bytes.
        activation_type=quantization.QuantType.QUInt8,
        nodes_to_exclude=_masking(prepared),
    )
    logging.disable(logging.NOTSET)
    prepared.unlink()
    names = [given.name for given in model.graph.input]
    sizes = {name: array.shape for name, array in zip(names, batches[0], strict=True)}
    made = onnx.load(str(target), load_external_data=False)
    share = _onnx_file.int8_share(onnx, made, sizes)
    if share == 0.0:
        raise UnsupportedError("the model has no product that static quantisation takes to int8")
    if isinstance(share, float) and share < LEAST_INT8:
        raise UnsupportedError(
            "static quantisation, which knows no recurrent layers, takes"
            f" {units.percent(share)} of the model's operations to int8: most would be float32",
            "--precision fp32",
        )
    return share
