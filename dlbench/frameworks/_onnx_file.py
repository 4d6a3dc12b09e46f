"""An ONNX file of the user's own: which inputs it takes, what it holds, and what it computes.

Parsed in the worker only. Shapes and types of inputs are told by the library that runs the file; the
``onnx`` package counts, and without it nothing is counted.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlbench.core import onnx_weights
from dlbench.core.errors import ModelError, UnsupportedError
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Absent, Fact, Precision
from dlbench.core.units import MIB
from dlbench.frameworks import _own

Shapes = Mapping[str, Sequence[int]]

COUNTER = "products and convolutions of ONNX operators"

INPUT_HOW = "Give the shape of one sample for each input, in order: --input 128:int64:30522"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One input as the file declares it; a dimension without a fixed size is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@contextlib.contextmanager
def opened(request: SubjectRequest, library: str) -> Iterator[None]:
    """A file that the library does not read is the file's fault.

    Weights beside it are looked for first: no library is handed a path that leaves the file's folder.
    """
    with _own.blamed(f"{_own.label(request)} is no model that {library} can open: it raised"):
        if request.model_path is not None:
            _check_files(request, request.model_path)
        yield


def _check_files(request: SubjectRequest, path: Path) -> None:
    for part in onnx_weights.beside(path):
        if not part.exists():
            name = part.relative_to(path.parent.resolve())
            raise ModelError(
                f"{_own.label(request)} has weights in {name}, which is not there",
                "Put it beside the file, where it was when the file was saved.",
            )


def completed(request: SubjectRequest, declared: Sequence[Declared]) -> SubjectRequest:
    """The request with the spec's inputs, in the order in which the file declares them.

    What the file leaves open is what the user stated.

    Raises:
        ModelError: the file does not say enough, or not what the user says.
        UnsupportedError: its batch is fixed at another size.
    """
    if not declared:
        # A library computes it once, when it opens it, and would be timed at doing nothing.
        raise ModelError(
            f"{_own.label(request)} takes no input: it answers one thing", "Export it with inputs."
        )
    stated = list(request.spec["inputs"].values())
    if stated and len(stated) != len(declared):
        names = ", ".join(d.name for d in declared)
        raise ModelError(
            f"{_own.label(request)} takes {len(declared)} inputs ({names}), and {len(stated)} were"
            " stated",
            INPUT_HOW,
        )
    inputs = {
        f"input{i}": _table(request, d, stated[i] if stated else None)
        for i, d in enumerate(declared)
    }
    return replace(request, spec={**request.spec, "inputs": inputs})


def _table(
    request: SubjectRequest, declared: Declared, stated: Mapping[str, Any] | None
) -> dict[str, Any]:
    what = f"{_own.label(request)}: its input {declared.name}"
    if not declared.shape:
        raise ModelError(f"{what} has no batch dimension", "Export it with batches.")
    batch, *sample = declared.shape
    if batch not in (None, request.case.batch_size):
        raise UnsupportedError(
            f"{what} has a fixed batch of {batch}, not {request.case.batch_size}",
            f"--batch-size {batch}, or export it with a dynamic batch",
        )
    if declared.dtype not in ("float32", "float16", "int64", "int32", "bool"):
        raise ModelError(f"{what} is of {declared.dtype}, which is not made here")
    if stated is None:
        return _unstated(what, sample, declared.dtype)
    wanted = stated["shape"]
    fits = len(wanted) == len(sample) and all(
        a in (None, b) for a, b in zip(sample, wanted, strict=True)
    )
    if not fits or stated["dtype"] != declared.dtype:
        raise ModelError(
            f"{what} is {_words(sample)} {declared.dtype} a sample, not {_own.describe(stated)}",
            INPUT_HOW,
        )
    return dict(stated)


def _unstated(what: str, sample: Sequence[int | None], dtype: str) -> dict[str, Any]:
    if None in sample:
        raise ModelError(f"{what} is {_words(sample)} a sample, ? being of any size", INPUT_HOW)
    if dtype == "bool":
        return {"shape": list(sample), "dtype": dtype, "below": 2}
    if dtype.startswith("int"):
        raise ModelError(f"{what} is {dtype}, and the file does not say below what", INPUT_HOW)
    return {"shape": list(sample), "dtype": dtype, "std": 1.0}


def _words(sample: Sequence[int | None]) -> str:
    return "x".join("?" if n is None else str(n) for n in sample) or "scalar"


# --- counting -------------------------------------------------------------------------------


def facts(request: SubjectRequest, declared: Sequence[Declared], path: Path) -> dict[str, Fact]:
    """What the file holds and takes: ``parameters``, ``flops_per_sample``.

    Raises:
        UnsupportedError: its weights or its products are not in the precision that was asked for.
    """
    size: dict[str, Fact] = {"model_file_mib": path.stat().st_size / MIB}
    try:
        import onnx
    except ImportError:
        uncounted = Absent(
            reason="the onnx package, which counts, is not installed", remedy="pip install onnx"
        )
        return {**size, "parameters": uncounted, "flops_per_sample": uncounted}
    with opened(request, "onnx"):
        # Sizes stand in the file itself, wherever the weights lie.
        model = onnx.load(os.fspath(path), load_external_data=False)
    _check_weights(onnx, request, model)
    weights = _weights(onnx, model)
    for tensor in weights:
        # Shapes follow without them, and each pass to and from ONNX would hold them once more: that
        # would be told as the model's memory.
        if math.prod(tensor.dims) > SHAPING:
            tensor.ClearField("raw_data")
    tables = request.spec["inputs"].values()
    sizes = {
        d.name: [request.case.batch_size, *t["shape"]]
        for d, t in zip(declared, tables, strict=True)
    }
    inferred = _inferred(onnx, model, sizes)
    _check_products(onnx, request, inferred)
    flops = _flops(inferred)
    return {
        **size,
        "parameters": sum(math.prod(t.dims) for t in weights),
        "flops_per_sample": flops if isinstance(flops, Absent) else flops / request.case.batch_size,
        "flops_counted_by": COUNTER,
    }


SHAPING = 64
"""So few floating-point numbers may decide shapes, as the scales of Resize do."""


def _floating(onnx: Any) -> tuple[int, ...]:  # noqa: ANN401
    kinds = onnx.TensorProto
    return (kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE)


def _weights(onnx: Any, model: Any) -> list[Any]:  # noqa: ANN401
    """What all graphs hold of floating-point numbers: initializers, and tensors of constant nodes."""
    held = [t for graph, _ in _graphs(model) for t in getattr(graph, "initializer", ())]
    held += [
        attribute.t
        for node, _ in _nodes(model)
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value" and math.prod(attribute.t.dims) > 1
    ]
    return [t for t in held if t.data_type in _floating(onnx)]


def _check_weights(onnx: Any, request: SubjectRequest, model: Any) -> None:  # noqa: ANN401
    """A file of 16-bit or quantised weights is never measured under the name of fp32."""
    asked = request.case.precision
    stored = {
        onnx.TensorProto.DataType.Name(t.data_type).lower()
        for t in _weights(onnx, model)
        if math.prod(t.dims) > 1
    }
    other = sorted(stored - {"float"})
    if other:
        raise UnsupportedError(
            f"{_own.label(request)} holds weights in {other[0]}: it does not compute in {asked}",
            "Export it in float32.",
        )
    quantised = [n.op_type for n, _ in _nodes(model) if QUANTISED.search(n.op_type)]
    if quantised:
        raise UnsupportedError(
            f"{_own.label(request)} is quantised ({quantised[0]}): it does not compute in {asked}",
            "Give the float32 model; --precision int8 quantises it."
            if asked is not Precision.INT8
            else "Give the float32 model: int8 is made from it here.",
        )


QUANTISED = re.compile(
    r"[Qq]uant|Integer|NBits|Bnb4|FpQ4|BFP|^Q(Linear|Attention|Gemm|Embed|MoE|Ordered)"
)
"""Names of operators on narrow numbers: ONNX's, and those that ONNX Runtime adds (``MatMulNBits``)."""

UNKNOWN = frozenset({"Attention", "DFT", "DeformConv", "Einsum", "If", "Loop", "STFT", "Scan"})
"""Operators with products that are not counted here."""


def _inferred(onnx: Any, model: Any, sizes: Shapes) -> Any:  # noqa: ANN401
    """The model with every tensor's type and shape that follow from those of the inputs.

    What the file tells of other shapes is forgotten: it may be of another batch, or -1 for any.
    """
    for given in model.graph.input:
        if given.name in sizes:
            dimensions = given.type.tensor_type.shape.dim
            for dimension, size in zip(dimensions, sizes[given.name], strict=True):
                dimension.dim_value = size
    for told in (*model.graph.value_info, *model.graph.output):
        if told.type.HasField("tensor_type"):
            told.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _check_products(onnx: Any, request: SubjectRequest, model: Any) -> None:  # noqa: ANN401
    """Casts may take a float32 file's products to 16 bits: that is never measured as fp32.

    A product of tensors whose types the file does not tell is one of float32 where nothing in the file
    is anything else.
    """
    floats = {t: name.lower() for name, t in onnx.TensorProto.DataType.items() if "FLOAT" in name}
    floats |= {onnx.TensorProto.DOUBLE: "double"}
    products, others = [], set()
    for node, types in _nodes(model):
        casts = [a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"]
        used = [types.get(name) for name in node.input if name]
        others |= {floats[t] for t in (*casts, *used) if t in floats} - {"float"}
        if node.op_type in PRODUCTS:
            products.append((node.op_type, used))
    if not others:
        return
    for operator, used in products:
        found = {floats[t] for t in used if t in floats} - {"float"}
        if not found and None in used:
            found = others
        if found:
            raise UnsupportedError(
                f"{_own.label(request)} casts tensors to {min(found)} for its products ({operator}):"
                f" it does not compute in {request.case.precision}",
                "Export it in float32.",
            )


def _graphs(model: Any) -> Iterator[tuple[Any, Mapping[str, int]]]:  # noqa: ANN401
    """Every graph and function of a file, with what is known of the types of its tensors."""
    pending: list[tuple[Any, Mapping[str, int]]] = [(model.graph, {})]
    pending += [(function, {}) for function in model.functions]
    while pending:
        graph, outer = pending.pop()
        types = {**outer, **_types(graph)} if hasattr(graph, "initializer") else outer
        yield graph, types
        for attribute in (a for node in graph.node for a in node.attribute):
            inner = [attribute.g] if attribute.HasField("g") else attribute.graphs
            pending += [(body, types) for body in inner]


def _nodes(model: Any) -> Iterator[tuple[Any, Mapping[str, int]]]:  # noqa: ANN401
    """Every node of all of them, with the same."""
    return ((node, types) for graph, types in _graphs(model) for node in graph.node)


def _types(graph: Any) -> dict[str, int]:  # noqa: ANN401
    """Number formats of a graph's tensors, by ONNX's numbers for them."""
    told = (*graph.input, *graph.value_info, *graph.output)
    types = {v.name: v.type.tensor_type.elem_type for v in told if v.type.HasField("tensor_type")}
    return {n: t for n, t in types.items() if t} | {t.name: t.data_type for t in graph.initializer}


def _flops(model: Any) -> float | Absent:  # noqa: ANN401
    """FLOPs of the forward pass of a batch, multiply and add as two; only products are counted."""
    counted = _counted(model)
    return counted if isinstance(counted, Absent) else float(sum(flops for _, flops in counted))


def int8_share(onnx: Any, model: Any, sizes: Shapes) -> float | Absent:  # noqa: ANN401
    """The share of a quantised model's operations that are products of two int8 tensors.

    Static quantisation knows convolutions and dense products; recurrent layers stay in float32.
    """
    inferred = _inferred(onnx, model, sizes)
    counted = _counted(inferred)
    if isinstance(counted, Absent):
        return counted
    nodes = inferred.graph.node
    dequantised = {x for node in nodes if node.op_type == "DequantizeLinear" for x in node.output}
    total = sum(flops for _, flops in counted)
    narrow = sum(flops for node, flops in counted if dequantised.issuperset(node.input[:2]))
    return narrow / total if total else 0.0


def _counted(model: Any) -> list[tuple[Any, float]] | Absent:  # noqa: ANN401
    """Every product of the graph, with its FLOPs."""
    if model.functions:
        return Absent(reason="functions of an ONNX file's own are not counted")
    shapes = _shapes(model.graph)
    counted = []
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type in UNKNOWN:
            return Absent(reason=f"the products of ONNX's {node.op_type} are not counted")
        rule = _RULES.get(node.op_type)
        if rule is None:
            continue
        try:
            counted.append((node, 2.0 * rule(node, shapes)))
        except KeyError as error:
            return Absent(reason=f"the shape of {error.args[0]} in the file is not known")
    return counted


def _shapes(graph: Any) -> dict[str, list[int]]:  # noqa: ANN401
    """Every tensor's shape that is known in full."""
    found = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(
            d.HasField("dim_value") for d in dimensions
        ):
            found.setdefault(value.name, [d.dim_value for d in dimensions])
    return found


def _convolution(node: Any, shapes: Shapes) -> int:  # noqa: ANN401
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _transposed(node: Any, shapes: Shapes) -> int:  # noqa: ANN401
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(node: Any, shapes: Shapes) -> int:  # noqa: ANN401
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _product(node: Any, shapes: Shapes) -> int:  # noqa: ANN401
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _recurrent(node: Any, shapes: Shapes) -> int:  # noqa: ANN401
    n_steps, n_samples = shapes[node.input[0]][:2]
    return n_steps * n_samples * sum(math.prod(shapes[w]) for w in node.input[1:3])


_RULES: dict[str, Callable[[Any, Shapes], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _product,
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
}

PRODUCTS = frozenset(_RULES) | UNKNOWN - {"If", "Loop", "Scan"}
"""Operators that hold a model's arithmetic; the others have graphs, whose nodes are looked at."""
