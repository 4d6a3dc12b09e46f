"""PyTorch's products by oneDNN on a CPU: the same numbers, and what was made by which library."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from dlbench.core import registry
from dlbench.core.types import Mode, Policy
from tests import subjects
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks


@pytest.fixture(autouse=True)
def _torch() -> None:
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")


def answers_and_calls(
    framework: str, workload: str, mode: str, policy: str, gain: float
) -> tuple[list[float], dict[str, int], dict[str, Any]]:
    """Runs beside: outputs or six losses, calls of each library, and what the subject tells.

    Products of any size are given away, since a tiny model has no large ones.
    """
    import torch

    from dlbench.frameworks import _torch_cpu

    request = request_for(framework, workload, mode=Mode(mode), policy=Policy(policy))
    # PyTorch's own cache would hold the programs of another test.
    uncached = torch._inductor.config.patch(force_disable_caches=True)
    here = mock.patch.multiple(_torch_cpu, LEAST_FLOPS=0.0, gain=lambda: gain)
    with here, uncached:
        subject: Any = registry.framework(framework).open_subject(request)
        run = subject.step if request.case.mode is Mode.TRAINING else subject.query
        answers = [subject.fetch(run(0)).ravel() for _ in range(3)]
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            run(0)
    calls = {event.key: event.count for event in seen.key_averages()}
    facts = ("products_by_onednn", "onednn_gain", "tf32")
    told = {name: subject.info.get(name) for name in facts}
    told["switch"] = torch.backends.mkldnn.matmul.fp32_precision
    return [float(x) for answer in answers for x in answer[:50]], calls, told


@pytest.mark.parametrize("mode", ["training", "inference"])
@pytest.mark.parametrize("workload", ["bert_base", "gnmt", "dlrm_small"])
def test_products_by_onednn_answer_like_base(workload: str, mode: str) -> None:
    """Also where a graph has a sparse gradient, and in a model of two graphs; TF32 is not left on."""
    base, _, _ = subjects.ask("pytorch", answers_and_calls, workload, mode, "base", 1.0)
    tuned, calls, told = subjects.ask("pytorch", answers_and_calls, workload, mode, "tuned", 2.0)
    largest = max(map(abs, base))
    assert tuned == pytest.approx(base, abs=2e-5 * largest)
    assert told["products_by_onednn"]
    assert told["onednn_gain"] == 2.0
    assert told["tf32"] is False
    assert told["switch"] == "ieee"
    assert calls.get("mkldnn::_linear_pointwise", 0) > 0
    assert "mkl::_mkl_linear" not in calls


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_products_stay_where_onednn_is_not_faster(mode: str) -> None:
    """As on processors whose own library this is; and after a model whose products it made."""
    subjects.ask("pytorch", answers_and_calls, "bert_base", mode, "tuned", 2.0)
    _, calls, told = subjects.ask("pytorch", answers_and_calls, "bert_base", mode, "tuned", 1.05)
    assert not told["products_by_onednn"]
    assert "mkldnn::_linear_pointwise" not in calls
    assert "dlbench::product" not in calls


def test_all_products_of_training_are_given_away() -> None:
    """Forward and both gradients of each layer: none is left to the build's own library."""
    _, calls, _ = subjects.ask("pytorch", answers_and_calls, "bert_base", "training", "tuned", 2.0)
    assert calls["dlbench::product"] == calls["mkldnn::_linear_pointwise"]
    assert "aten::mm" not in calls
    assert "aten::addmm" not in calls


def gain(framework: str) -> float:
    """Runs beside: what is measured here."""
    from dlbench.frameworks import _torch_cpu

    return _torch_cpu.gain()


def test_the_gain_is_a_ratio_of_speeds() -> None:
    """Whatever the processor is: a call that did nothing would be hundreds of times as fast."""
    assert 0.1 < subjects.ask("pytorch", gain) < 20
