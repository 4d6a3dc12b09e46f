"""ONNX files of the user's own: what is refused before a library runs them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.core.errors import ModelError
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
