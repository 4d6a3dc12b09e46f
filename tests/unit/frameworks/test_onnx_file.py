"""ONNX files of the user's own: what is refused before a library runs them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.core.errors import ModelError
from dlbench.frameworks import _onnx_file
from tests.subjects import request_for


def test_a_file_without_an_input_is_refused() -> None:
    """Its constants are folded when it is opened: there was a speed, of nothing."""
    spec = {"own": {"label": "net.onnx"}, "inputs": {}}
    with pytest.raises(ModelError, match=r"net\.onnx takes no input"):
        _onnx_file.completed(replace(request_for("fake", "null"), spec=spec), [])
