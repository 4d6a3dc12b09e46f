"""The acceptance's parity with the CPU in the place of the card: the same code, the same processes."""

from __future__ import annotations

import collections
from dataclasses import replace

import pytest

from dlbench.core import registry
from dlbench.core.types import Absent, Precision
from tests import subjects
from tests.gpu import parity

pytestmark = pytest.mark.frameworks


def test_what_a_card_computes_is_tried_in_tuned_by_every_framework_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four workloads in each precision; all where PyTorch's compiler has been seen on a card."""
    precisions = (Precision.FP32, Precision.TF32, Precision.BF16, Precision.FP16)
    found = registry.device_kind("cpu").find()
    assert not isinstance(found, Absent)
    card = replace(found[0], id="nvidia:0", kind="nvidia", precisions=precisions)
    there = subjects.installed()
    if not {"pytorch", "tensorflow", "keras"} <= set(there):
        pytest.skip("not every framework is installed")
    able = {n: replace(c, precisions={"nvidia": precisions}) for n, c in there.items()}
    monkeypatch.setattr(parity, "installed", lambda: able)
    every = parity.cells(["pytorch", "tensorflow", "keras"], card)
    n_tuned = collections.Counter(
        (c.framework, str(c.precision)) for c in every if c.policy == "tuned"
    )
    n_base = collections.Counter(
        (c.framework, str(c.precision)) for c in every if c.policy == "base"
    )
    assert n_tuned["pytorch", "fp32"] == n_base["pytorch", "fp32"] > len(parity.KINDS)
    assert n_tuned["pytorch", "bf16"] == n_base["pytorch", "bf16"] > len(parity.KINDS)
    few = {key: n for key, n in n_tuned.items() if n == len(parity.KINDS)}
    assert set(few) == {
        ("pytorch", "tf32"),
        ("pytorch", "fp16"),
        *(("tensorflow", precision) for precision in precisions),
    }
    assert "keras" not in {framework for framework, _ in n_tuned}
    assert [c.policy for c in every] == sorted(c.policy for c in every)


def test_cells_are_compared_in_processes_of_their_framework(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trained, only inferred, and copied from the host; one that no adapter has fails by name."""
    found = registry.device_kind("cpu").find()
    assert not isinstance(found, Absent)
    names = ("lstm_lm", "gemm", "host_to_device")
    every = parity.cells(["pytorch"], found[0])
    assert {c.policy for c in every} == {"base", "tuned"}
    some = [
        c
        for c in every
        if c.workload in names and (c.precision, c.policy) == (Precision.FP32, "base")
    ]
    assert [c.workload for c in some] == ["gemm", "host_to_device", "lstm_lm"]
    broken = parity.Cell(framework="pytorch", workload="gemm", precision=Precision.INT8)
    monkeypatch.setattr(parity, "cells", lambda *_: (*some, broken))
    good, bad = parity.compare(found[0], ["pytorch"], n_processes=1, most_s=120.0)
    assert good.rule == "parity_pytorch_fp32_base"
    assert good.passed is True
    assert good.detail.startswith("3 workloads, largest ")
    assert bad.rule == "parity_pytorch_int8_base"
    assert bad.passed is False
    assert "gemm: ValueError: it computes in float32" in bad.detail


def test_cells_that_are_not_done_in_time_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The acceptance goes on without them."""
    found = registry.device_kind("cpu").find()
    assert not isinstance(found, Absent)
    cell = parity.Cell(framework="pytorch", workload="gemm", precision=Precision.FP32)
    monkeypatch.setattr(parity, "cells", lambda *_: (cell,))
    (check,) = parity.compare(found[0], ["pytorch"], n_processes=1, most_s=0.0)
    assert check.passed is False
    assert check.detail == "gemm: not done in time"
