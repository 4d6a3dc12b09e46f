"""The environment that a worker is given."""

from __future__ import annotations

import pytest

from dlbench import environment
from dlbench.session import workers
from tests import builders


def test_a_worker_gets_no_variable_that_overrides_its_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No framework would see them; all else is the caller's, but for threads and devices."""
    for name in (*environment.OVERRIDES, "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("XLA_FLAGS", "--a")
    found = workers.child_environment(builders.CPU, 3)
    assert environment.OVERRIDES & found.keys() == set()
    assert {
        "NVIDIA_TF32_OVERRIDE",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "DNNL_DEFAULT_FPMATH_MODE",
        "TF_SET_ONEDNN_FPMATH_MODE",
    } < environment.OVERRIDES
    assert found["XLA_FLAGS"] == "--a"
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert {found[name] for name in environment.THREAD_VARIABLES} == {"3"}
