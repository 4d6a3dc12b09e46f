"""OpenVINO: inference of a model converted from the workload's PyTorch model, on the CPU.

``base`` is the library as it comes, with the arithmetic set by name: on processors with bf16 OpenVINO
would otherwise use it without being asked. ``tuned`` splits a batch over streams, each with threads of
its own, where that is faster here. ``int8`` is ONNX Runtime's static quantisation of the
exported model, whose pairs of quantising operations OpenVINO turns into int8 kernels of its own.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlbench.core.errors import HostOutOfMemoryError, MissingDependencyError, UnsupportedError
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, DataMode, Mode, PeakMemory, Policy, Precision
from dlbench.frameworks import onnxruntime, pytorch

if TYPE_CHECKING:
    import numpy as np

    from dlbench.frameworks._own import Fact

    Facts = dict[str, Fact]

MODEL_FILES = ("model_onnx", "model_pytorch")

INSTALL = "pip install 'dlbench[openvino]'"

HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""Arithmetic of what is not quantised."""

INT8_NEEDS = ("onnx", "onnxruntime")
INSTALL_INT8 = "pip install 'dlbench[openvino,onnx]'"

OUT_OF_MEMORY = ("bad allocation", "bad_alloc", "Cannot allocate memory", "could not allocate")

POLICIES = {
    Policy.BASE: "converted from the PyTorch model, one stream, arithmetic set by name",
    Policy.TUNED: "a batch is split over as many streams as there are threads "
    "(`PERFORMANCE_HINT` `THROUGHPUT`), if that is faster than one stream when it is tried at loading; "
    "a batch of one has one stream",
}
"""What each policy turns on, for `dlbench list` and the docs."""


def probe() -> Capability | Absent:
    """Version of the installed package, without importing it."""
    for package in ("openvino", "torch"):
        if importlib.util.find_spec(package) is None:
            return Absent(reason=f"{package} is not installed", remedy=INSTALL)
    try:
        version = importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return Absent(reason="an openvino without its metadata is on the path", remedy=INSTALL)
    precisions = tuple(HINTS)
    reasons = {"nvidia": "OpenVINO does not run on NVIDIA GPUs"}
    missing = [package for package in INT8_NEEDS if importlib.util.find_spec(package) is None]
    if missing:
        precisions = tuple(p for p in precisions if p is not Precision.INT8)
        reasons["int8"] = f"OpenVINO's int8 needs {' and '.join(missing)} ({INSTALL_INT8})"
    return Capability(
        version=version,
        precisions={"cpu": precisions},
        policies=POLICIES,
        reasons=reasons,
        modes=(Mode.INFERENCE,),
    )


def open_subject(request: SubjectRequest) -> OpenVinoSubject:
    """Convert the PyTorch model and compile it.

    Raises:
        SubjectError: of the kind that says what failed.
    """
    # A benchmark tells nobody but its user; the converter tells its makers, except where it believes
    # itself in continuous integration (openvino_telemetry/utils/opt_in_checker.py).
    os.environ["CI"] = "true"
    try:
        import openvino
        import torch
    except Exception as error:
        raise MissingDependencyError(
            f"OpenVINO or PyTorch does not import: {type(error).__name__}: {error}", INSTALL
        ) from error
    with translated():
        return OpenVinoSubject(openvino, torch, request)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """OpenVINO's ways of saying that memory is gone, as ours."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        text = str(error).strip().split("\n", 1)[0][:300]
        raise HostOutOfMemoryError(text, "Use a smaller --batch-size.") from error


def _quantised(
    ov: Any,  # noqa: ANN401
    converted: Any,  # noqa: ANN401
    exact: Path,
    batches: Sequence[Sequence[Any]],
    settings: Mapping[str, Any],
    private: Path,
) -> tuple[Any, float]:
    """An ONNX file compiled for int8, and how far from the converted model's that moves outputs.

    Raises:
        UnsupportedError: OpenVINO runs none of it in int8 here.
    """
    quantised, core = private / "int8.onnx", ov.Core()
    onnxruntime.quantise(exact, quantised, batches)
    models = (converted, core.read_model(quantised))
    both = [core.compile_model(model, "CPU", settings) for model in models]
    drift = onnxruntime.rms_drift(*(compiled(list(batches[0]))[0] for compiled in both))
    if _compute_dtype(both[1]) != "int8":
        raise UnsupportedError("OpenVINO runs no operation of this model in int8 here")
    return both[1], drift


def _compute_dtype(compiled: Any) -> str:  # noqa: ANN401
    """What the compiled program computes in: int8 where any layer with weights does."""
    layers = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    if any(
        layer["layerType"].value in WEIGHTED and layer["runtimePrecision"].value in ("i8", "u8")
        for layer in layers
    ):
        return "int8"
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return {"f32": "float32", "bf16": "bfloat16"}[hint]


WEIGHTED = ("Convolution", "FullyConnected", "MatMul", "Deconvolution")
"""Kinds of layers, in the words of OpenVINO's CPU plug-in, that hold a model's arithmetic."""


def _converted(
    ov: Any,  # noqa: ANN401
    torch: Any,  # noqa: ANN401
    request: SubjectRequest,
    exact: Path,
) -> tuple[Any, Any, Facts]:
    """The PyTorch model in OpenVINO's form, its spec, and where it comes from.

    For int8 there is an ONNX file beside it, ``exact``, which can be quantised. The drift is not
    measured from that file: OpenVINO 2026.4 computes gnmt wrongly from it in fp32.
    """
    from dlbench.frameworks import _seeded

    prepared = pytorch.prepare(torch, request)
    model = prepared.model.eval()
    arrays = _seeded.batch(request.spec, "inputs", 0, request.case.batch_size)
    if request.case.precision is Precision.INT8:
        onnxruntime.export(torch, model, arrays, exact)
    example = tuple(torch.from_numpy(a) for a in arrays)
    shapes = [list(a.shape) for a in arrays]
    converted = ov.convert_model(model, example_input=example, input=shapes)
    facts: Facts = {
        **prepared.facts,
        "parameters": pytorch.n_parameters(model),
        "derived_from": f"model_pytorch, PyTorch {torch.__version__}",
    }
    return converted, prepared.spec, facts


_DTYPES = {"f32": "float32", "f16": "float16", "i64": "int64", "i32": "int32", "boolean": "bool"}


def _read(ov: Any, request: SubjectRequest) -> tuple[Any, Any, Facts]:  # noqa: ANN401
    """An ONNX file of the user's own at the case's batch size, its spec, and what was counted."""
    from dlbench.frameworks import _onnx_file, _own

    request.load_model()
    path, n_samples = request.model_path, request.case.batch_size
    if path is None:
        raise RuntimeError("there is no file to read")
    with _onnx_file.opened(request, "OpenVINO"):
        model = ov.Core().read_model(str(path))
    declared = [
        _onnx_file.Declared(
            name=given.any_name,
            shape=tuple(None if n.is_dynamic else n.get_length() for n in given.partial_shape),
            dtype=_DTYPES.get(name := given.element_type.get_type_name(), name),
        )
        for given in model.inputs
    ]
    request = _onnx_file.completed(request, declared)
    sizes = [[n_samples, *table["shape"]] for table in request.spec["inputs"].values()]
    with _own.blamed(_own.refused(request)):
        model.reshape({d.name: size for d, size in zip(declared, sizes, strict=True)})
    output = model.outputs[0].partial_shape
    shape = tuple(-1 if n.is_dynamic else n.get_length() for n in output)
    _own.check_output(request, shape, n_samples)
    counted = _onnx_file.facts(request, declared, path)
    return model, request.spec, {**counted, "derived_from": path.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """A compiled model and what runs it: a request for each stream, each with its part of a batch."""

    compiled: Any
    requests: Sequence[Any]
    spec: Mapping[str, Any]
    facts: Facts
    drift: float | Absent

    def parts(self, ov: Any, arrays: Sequence[Any]) -> list[list[Any]]:  # noqa: ANN401
        """A batch's inputs for each request, in place."""
        n = len(arrays[0]) // len(self.requests)
        return [
            [ov.Tensor(a[i * n : (i + 1) * n], shared_memory=True) for a in arrays]
            for i in range(len(self.requests))
        ]

    def run(self, parts: Sequence[Sequence[Any]]) -> list[Any]:
        """All outputs, in order; finished when this returns."""
        for request, tensors in zip(self.requests, parts, strict=True):
            for i, tensor in enumerate(tensors):
                request.set_input_tensor(i, tensor)
        *others, last = self.requests
        for request in others:
            request.start_async()
        last.infer()
        for request in others:
            request.wait()
        return [request.get_output_tensor(0) for request in self.requests]


def _program(ov: Any, torch: Any, request: SubjectRequest, n_streams: int) -> _Program:  # noqa: ANN401
    """The model compiled for the part of a batch that a stream has.

    Raises:
        UnsupportedError: an ONNX file of the user's own has another batch.
    """
    from dlbench.frameworks import _seeded

    whole = request.case.batch_size
    part = replace(request, case=replace(request.case, batch_size=whole // n_streams))
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[request.case.precision],
        "INFERENCE_NUM_THREADS": request.threads,
        "NUM_STREAMS": n_streams,
    }
    if n_streams > 1:
        settings["PERFORMANCE_HINT"] = "THROUGHPUT"
    drift: float | Absent = Absent(reason="only int8 changes the model's numbers")
    with tempfile.TemporaryDirectory(dir=request.scratch) as private:
        exact = request.model_path or Path(private) / "model.onnx"
        if request.model_path is None:
            converted, spec, found = _converted(ov, torch, part, exact)
        else:
            converted, spec, found = _read(ov, part)
        if request.case.precision is Precision.INT8:
            # By all samples of all buffers, whatever part of a batch a stream has.
            calibration = [
                tuple(a[i : i + part.case.batch_size] for a in arrays)
                for buffer in range(_seeded.N_BUFFERS)
                for arrays in (_seeded.batch(spec, "inputs", buffer, whole),)
                for i in range(0, whole, part.case.batch_size)
            ]
            compiled, drift = _quantised(ov, converted, exact, calibration, settings, Path(private))
        else:
            compiled = ov.Core().compile_model(converted, "CPU", settings)
    requests = [compiled.create_infer_request() for _ in range(n_streams)]
    return _Program(compiled=compiled, requests=requests, spec=spec, facts=found, drift=drift)


def most_streams(batch_size: int, threads: int) -> int:
    """The largest number of equal parts of a batch that have a thread each."""
    return max(n for n in range(1, min(batch_size, threads) + 1) if batch_size % n == 0)


TRIED_QUERIES = 5
"""Of each number of streams; the fastest counts, since others may take the processor meanwhile."""


def _fastest_s(ov: Any, program: _Program, batch_size: int) -> float:  # noqa: ANN401
    """Seconds of the fastest of a few queries, the first not among them."""
    from dlbench.frameworks import _seeded

    arrays = _seeded.batch(program.spec, "inputs", 0, batch_size)
    parts = program.parts(ov, arrays)
    program.run(parts)
    spans = []
    for _ in range(TRIED_QUERIES):
        start = time.perf_counter()
        program.run(parts)
        spans.append(time.perf_counter() - start)
    return min(spans)


def _tuned(ov: Any, torch: Any, request: SubjectRequest) -> _Program:  # noqa: ANN401
    """The faster of one stream and as many as there can be."""
    whole = request.case.batch_size
    one = _program(ov, torch, request, 1)
    n_streams = most_streams(whole, request.threads)
    if n_streams == 1:
        return one
    one_s = _fastest_s(ov, one, whole)
    # One at a time in memory, whose peak is measured.
    del one
    try:
        many = _program(ov, torch, request, n_streams)
    except UnsupportedError:
        # An ONNX file whose batch is fixed cannot be split.
        return _program(ov, torch, request, 1)
    if _fastest_s(ov, many, whole) < one_s:
        return many
    del many
    return _program(ov, torch, request, 1)


class OpenVinoSubject:
    """A compiled model with its inference requests, and inputs that they read in place."""

    def __init__(self, ov: Any, torch: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _files, _seeded

        case = request.case
        self.n_buffers = _seeded.N_BUFFERS
        torch.set_num_threads(request.threads)
        self._ov = ov
        self._program = program = (
            _tuned(ov, torch, request)
            if case.policy is Policy.TUNED
            else _program(ov, torch, request, 1)
        )
        request = replace(request, spec=program.spec)
        # Tensors share these arrays' memory, so that they must live as long.
        self._kept = [
            _seeded.batch(program.spec, "inputs", i, case.batch_size) for i in range(self.n_buffers)
        ]
        self.inputs = [program.parts(ov, arrays) for arrays in self._kept]
        self._feed = _files.Feed(request)
        if case.data_mode is DataMode.PIPELINE:
            self.inputs.append(self.inputs[0])
            self._kept.append(self._kept[0])
        self.info: dict[str, str | int | float | bool | Absent] = {
            "threads": program.compiled.get_property("INFERENCE_NUM_THREADS"),
            "framework_version": importlib.metadata.version("openvino"),
            "parameter_dtype": "int8" if case.precision is Precision.INT8 else "float32",
            "compute_dtype": _compute_dtype(program.compiled),
            "compiled": True,
            "streams": len(program.requests),
            "input_shape": " ".join("x".join(map(str, a.shape)) for a in self._kept[0]),
            "device": "cpu",
            "tf32": False,
            "int8_drift": program.drift,
            **program.facts,
        }

    def refill(self, buffer: int) -> None:
        """The device is the host: the request is pointed at the batch."""
        self._fill(buffer, self._feed.batch(buffer))

    def _fill(self, buffer: int, arrays: Any) -> None:  # noqa: ANN401
        self._kept[buffer] = arrays
        self.inputs[buffer] = self._program.parts(self._ov, arrays)

    def step(self, buffer: int) -> object:  # noqa: ARG002
        """It does not train."""
        raise UnsupportedError("OpenVINO runs inference only", "--mode inference")

    def query(self, buffer: int) -> object:
        """One inference, finished when this returns; a handle to its outputs."""
        with translated():
            return self._program.run(self.inputs[buffer])

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs of the latest query, batch first, as float32: a copy, since the next overwrites."""
        import numpy as np

        tensors: Any = handle
        return np.concatenate([np.array(x.data, dtype=np.float32) for x in tensors])

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """A buffer's inputs: copies of what the request reads in place."""
        import numpy as np

        by_input = zip(*self.inputs[buffer], strict=True)
        return tuple(np.concatenate([x.data for x in parts]) for parts in by_input)

    def copy_inputs(self, source: int, target: int) -> None:
        """As new arrays, which the request is pointed at."""
        self._fill(target, self.read_inputs(source))

    def places(self, handle: object) -> frozenset[str]:  # noqa: ARG002
        """Of the compiled model: its tensors are the host's."""
        return frozenset(
            x.lower() for x in self._program.compiled.get_property("EXECUTION_DEVICES")
        )

    def synchronize(self) -> None:
        """A request has finished when ``infer`` returns."""

    def mark(self) -> object | None:
        """The CPU has no clock of its own."""
        return None

    def elapsed_s(self, start: object, end: object) -> float:  # noqa: ARG002
        """Never called, since ``mark`` returns None."""
        raise RuntimeError("OpenVINO has no device clock")

    def peak_memory(self) -> PeakMemory:
        """It counts nothing that Python can read."""
        uncounted = Absent(reason="OpenVINO does not say what it holds")
        elsewhere = Absent(reason="the worker asks for it")
        return PeakMemory(
            framework_allocated_mib=uncounted,
            framework_reserved_mib=uncounted,
            device_used_mib=elsewhere,
            host_rss_mib=elsewhere,
        )

    def close(self) -> None:
        """The process ends next."""
        self.inputs, self._kept = [], []
