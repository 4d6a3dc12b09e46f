"""A model compiled by OpenVINO, and the requests that run it: what the adapter's subject stands on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlbench.core.errors import UnsupportedError
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Absent, Fact, Precision
from dlbench.frameworks import onnxruntime, pytorch

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Facts = dict[str, Fact]

HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""Arithmetic of what is not quantised."""


def _quantised(
    ov: Any,  # noqa: ANN401
    converted: Any,  # noqa: ANN401
    exact: Path,
    batches: Sequence[Sequence[Any]],
    others: Sequence[Sequence[Any]],
    settings: Mapping[str, Any],
    private: Path,
) -> tuple[Any, float | Absent, float | Absent]:
    """An ONNX file compiled for int8, how far that moves outputs, and the share quantised.

    It is calibrated by ``batches``; outputs are those of ``others``.

    Raises:
        UnsupportedError: OpenVINO runs none of it in int8 here.
    """
    quantised, core = private / "int8.onnx", ov.Core()
    share = onnxruntime.quantise(exact, quantised, batches)
    models = (converted, core.read_model(quantised))
    both = [core.compile_model(model, "CPU", settings) for model in models]

    def answered(compiled: Any) -> Any:  # noqa: ANN401
        return onnxruntime.answers(lambda given: compiled(list(given))[0], others)

    drift = onnxruntime.rms_drift(*map(answered, both))
    if compute_dtype(both[1]) != "int8":
        raise UnsupportedError("OpenVINO runs no operation of this model in int8 here")
    return both[1], drift, share


def compute_dtype(compiled: Any) -> str:  # noqa: ANN401
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
    from dlbench.frameworks import _own, _own_torch, _seeded

    prepared = pytorch.prepare(torch, request)
    model = prepared.model.eval()
    arrays = _seeded.batch(request.spec, "inputs", 0, request.case.batch_size)
    if request.case.precision is Precision.INT8:
        with _own.derived(request, "exported to ONNX"), pytorch.translated(torch):
            onnxruntime.export(torch, model, arrays, exact)
    example = tuple(torch.from_numpy(a) for a in arrays)
    shapes = [list(a.shape) for a in arrays]
    with _own.derived(request, "converted by OpenVINO"), pytorch.translated(torch):
        converted = ov.convert_model(model, example_input=example, input=shapes)

    def opened() -> Callable[[Sequence[Any]], Any]:
        exact = ov.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda given: exact(list(given))[0]

    _own_torch.check_derived(torch, request, model, opened)
    facts: Facts = {
        **prepared.facts,
        "parameters": pytorch.n_parameters(model, request),
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
class Program:
    """A compiled model and what runs it: a request for each stream, each with its part of a batch.

    ``narrow`` is whether it takes and gives bf16, for which NumPy has no type: such arrays are of bits.
    """

    compiled: Any
    requests: Sequence[Any]
    spec: Mapping[str, Any]
    facts: Facts
    drift: float | Absent
    share: float | Absent
    narrow: bool

    def held(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """A batch's inputs in the format in which the program takes them."""
        return tuple(_bf16_bits(a) if self.narrow else a for a in arrays)

    def parts(self, ov: Any, held: Sequence[Array]) -> list[list[Any]]:  # noqa: ANN401
        """A batch's inputs for each request, in place: they must live as long."""
        n = len(held[0]) // len(self.requests)
        return [
            [self._tensor(ov, a[i * n : (i + 1) * n]) for a in held]
            for i in range(len(self.requests))
        ]

    def _tensor(self, ov: Any, part: Array) -> Any:  # noqa: ANN401
        if self.narrow:
            return ov.Tensor(part, list(part.shape), ov.Type.bf16)
        return ov.Tensor(part, shared_memory=True)

    def numbers(self, tensor: Any) -> Array:  # noqa: ANN401
        """What a tensor holds, as NumPy knows it."""
        data: Array = tensor.data
        return _of_bf16_bits(data.view("uint16")) if self.narrow else data

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


def _bf16_bits(array: Array) -> Array:
    """The upper halves of float32 numbers, rounded to the nearest, ties to even."""
    bits = array.view("uint32")
    halves: Array = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return halves.astype("uint16")


def _of_bf16_bits(bits: Array) -> Array:
    numbers: Array = (bits.astype("uint32") << 16).view("float32")
    return numbers


def _taking_bf16(ov: Any, converted: Any) -> Any:  # noqa: ANN401
    """The model with inputs and outputs in bf16: the program then has no layer that casts them."""
    steps = ov.preprocess.PrePostProcessor(converted)
    for i in range(len(converted.inputs)):
        steps.input(i).tensor().set_element_type(ov.Type.bf16)
    for i in range(len(converted.outputs)):
        steps.output(i).tensor().set_element_type(ov.Type.bf16)
    return steps.build()


def compiled_for(ov: Any, torch: Any, request: SubjectRequest, n_streams: int) -> Program:  # noqa: ANN401
    """The model compiled for the part of a batch that a stream has.

    Raises:
        UnsupportedError: an ONNX file of the user's own has another batch.
    """
    from dlbench.frameworks import _own, _seeded

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
    share: float | Absent = Absent(reason="nothing is quantised")
    narrow = bool(request.spec.get("in_place")) and request.case.precision is Precision.BF16
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
            others = onnxruntime.unseen(spec, part.case.batch_size)
            with _own.derived(part, "quantised"):
                compiled, drift, share = _quantised(
                    ov, converted, exact, calibration, others, settings, Path(private)
                )
        else:
            model = _taking_bf16(ov, converted) if narrow else converted
            compiled = ov.Core().compile_model(model, "CPU", settings)
    requests = [compiled.create_infer_request() for _ in range(n_streams)]
    return Program(
        compiled=compiled,
        requests=requests,
        spec=spec,
        facts=found,
        drift=drift,
        share=share,
        narrow=narrow,
    )


def most_streams(batch_size: int, threads: int) -> int:
    """The largest number of equal parts of a batch that have a thread each."""
    return max(n for n in range(1, min(batch_size, threads) + 1) if batch_size % n == 0)


def _fastest_s(ov: Any, program: Program, batch_size: int) -> float:  # noqa: ANN401
    """Seconds of the fastest of a few queries."""
    from dlbench.frameworks import _seeded, _subject

    held = program.held(_seeded.batch(program.spec, "inputs", 0, batch_size))
    parts = program.parts(ov, held)
    return _subject.fastest_s(lambda: program.run(parts))


def tuned(ov: Any, torch: Any, request: SubjectRequest) -> Program:  # noqa: ANN401
    """The faster of one stream and as many as there can be."""
    whole = request.case.batch_size
    one = compiled_for(ov, torch, request, 1)
    n_streams = most_streams(whole, request.threads)
    if n_streams == 1:
        return one
    one_s = _fastest_s(ov, one, whole)
    # One at a time in memory, whose peak is measured.
    del one
    try:
        many = compiled_for(ov, torch, request, n_streams)
    except UnsupportedError:
        # An ONNX file whose batch is fixed cannot be split.
        return compiled_for(ov, torch, request, 1)
    if _fastest_s(ov, many, whole) < one_s:
        return many
    del many
    return compiled_for(ov, torch, request, 1)
