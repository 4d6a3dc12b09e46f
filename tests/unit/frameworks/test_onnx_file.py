"""ONNX files of the user's own: what is refused before a library runs them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench.core.errors import ModelError, UnsupportedError
from dlbench.frameworks import _onnx_file
from tests.subjects import request_for


def test_a_file_without_an_input_is_refused() -> None:
    """Its constants are folded when it is opened: there was a speed, of nothing."""
    spec = {"own": {"label": "net.onnx"}, "inputs": {}}
    with pytest.raises(ModelError, match=r"net\.onnx takes no input"):
        _onnx_file.completed(replace(request_for("fake", "null"), spec=spec), [])


@pytest.mark.parametrize("batch", [-1, 0, 1, "N"])
def test_other_shapes_of_a_file_than_its_inputs_are_not_believed(
    batch: int | str, tmp_path: Path
) -> None:
    """Exporters write -1 for any size (FLOPs were negative); tools change the batch of inputs alone."""
    onnx = pytest.importorskip("onnx")
    helper, single = onnx.helper, onnx.TensorProto.FLOAT
    given = helper.make_tensor_value_info("x", single, ["N" if batch == 1 else batch, 64])
    told = [helper.make_tensor_value_info(name, single, [batch, 10]) for name in ("y", "z")]
    weights = helper.make_tensor("w", single, [64, 10], [1.0] * 640)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "net", [given], told[:1], [weights], value_info=told[1:])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    inputs = {"input0": {"shape": [64], "dtype": "float32", "std": 1.0}}
    request = request_for("fake", "null", batch_size=4)
    request = replace(request, spec={"own": {"label": "net.onnx"}, "inputs": inputs})
    declared = [_onnx_file.Declared(name="x", shape=(None, 64), dtype="float32")]
    assert _onnx_file.facts(request, declared, path)["flops_per_sample"] == 2 * 64 * 10


def _facts(path: Path, node: dict[str, Any], *, in_a_branch: bool) -> Any:
    """What is found of a file whose one product is that node's, of 64 numbers and what it holds."""
    onnx = pytest.importorskip("onnx")
    helper, single = onnx.helper, onnx.TensorProto.FLOAT
    held = [
        helper.make_tensor("w", onnx.TensorProto.INT8, [64, 10], [1] * 640),
        helper.make_tensor("scales", single, [10], [0.1] * 10),
    ]
    if node["op_type"] == "MatMul":
        held = [helper.make_tensor("w", single, [64, 10], [0.1] * 640)]
    nodes = [helper.make_node(outputs=["y"], **node)]
    given, answer = (
        helper.make_tensor_value_info(n, single, ["N", s]) for n, s in (("x", 64), ("y", 10))
    )
    outer = held
    if in_a_branch:
        branch = helper.make_graph(nodes, "branch", [], [answer], held)
        outer = [helper.make_tensor("yes", onnx.TensorProto.BOOL, [], [True])]
        nodes = [helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)]
    graph = helper.make_graph(nodes, "net", [given], [answer], outer)
    opsets = [helper.make_opsetid(domain, n) for domain, n in (("", 18), ("com.microsoft", 1))]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    inputs = {"input0": {"shape": [64], "dtype": "float32", "std": 1.0}}
    spec = {"own": {"label": path.name}, "inputs": inputs}
    request = replace(request_for("fake", "null", batch_size=4), spec=spec)
    declared = [_onnx_file.Declared(name="x", shape=(None, 64), dtype="float32")]
    return _onnx_file.facts(request, declared, path)


@pytest.mark.parametrize("in_a_branch", [False, True])
@pytest.mark.parametrize(
    ("operator", "domain", "attributes"),
    [
        ("MatMulNBits", "com.microsoft", {"K": 64, "N": 10, "bits": 4, "block_size": 32}),
        ("DequantizeLinear", "", {"axis": 1}),
        ("MatMulIntegerToFloat", "com.microsoft", {}),
        ("MatMulInteger", "", {}),
    ],
)
def test_a_quantised_file_is_never_called_fp32(
    operator: str, domain: str, attributes: dict[str, Any], *, in_a_branch: bool, tmp_path: Path
) -> None:
    """By ONNX Runtime's own operators too, as 4-bit files have them, and inside of branches."""
    node = {"op_type": operator, "inputs": ["x", "w", "scales"], "domain": domain, **attributes}
    with pytest.raises(UnsupportedError, match=rf"is quantised \({operator}\)"):
        _facts(tmp_path / "net.onnx", node, in_a_branch=in_a_branch)


@pytest.mark.parametrize("in_a_branch", [False, True])
def test_weights_of_branches_are_counted(*, in_a_branch: bool, tmp_path: Path) -> None:
    """Of two branches each has its own; there were no parameters at all."""
    node = {"op_type": "MatMul", "inputs": ["x", "w"]}
    found = _facts(tmp_path / "net.onnx", node, in_a_branch=in_a_branch)
    assert found["parameters"] == 640 * (1 + in_a_branch)


def test_weights_are_not_copied_to_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times they lay in memory, which was told as the model's; only shapes are asked for."""
    onnx, numpy = pytest.importorskip("onnx"), pytest.importorskip("numpy")
    helper = onnx.helper
    weights = onnx.numpy_helper.from_array(numpy.ones((64, 100), dtype="float32"), "w")
    ends = [
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size])]
        for name, size in (("x", 64), ("y", 100))
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", *ends, [weights])), path)
    passed, infer = [], onnx.shape_inference.infer_shapes

    def watched(model: Any, **how: Any) -> Any:
        passed.append(model.ByteSize())
        return infer(model, **how)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", watched)
    inputs = {"input0": {"shape": [64], "dtype": "float32", "std": 1.0}}
    spec = {"own": {"label": path.name}, "inputs": inputs}
    request = replace(request_for("fake", "null", batch_size=4), spec=spec)
    declared = [_onnx_file.Declared(name="x", shape=(None, 64), dtype="float32")]
    found = _onnx_file.facts(request, declared, path)
    assert (found["parameters"], found["flops_per_sample"]) == (6400, 2 * 6400)
    assert passed[0] < 1000 < path.stat().st_size
