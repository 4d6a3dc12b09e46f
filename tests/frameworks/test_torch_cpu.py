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
    """Runs beside: outputs or losses, calls of each library, and what the subject tells.

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


def switches_while_packing(framework: str) -> list[Any]:
    """Runs beside: PyTorch's switch for all libraries, and oneDNN's, meanwhile and after."""
    import torch

    from dlbench.frameworks import _torch_cpu, pytorch

    pytorch.set_numerics(torch, request_for(framework, "gemm").case, threads=1)
    found = []
    with _torch_cpu._packed_for_onednn():
        found += [torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision]
    found += [torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision]
    return [*found, pytorch.tf32(torch)]


def test_what_packs_can_be_autotuned() -> None:
    """Autotuning asks the switch for all libraries, which raises where oneDNN's alone says TF32."""
    found = subjects.ask("pytorch", switches_while_packing)
    assert found == ["high", "tf32", "highest", "ieee", False]


def distances_by_bias(framework: str) -> dict[str, float]:
    """Runs beside: how far oneDNN's product is from PyTorch's own, by how its bias lies in memory."""
    import torch

    from dlbench.frameworks import _torch_cpu

    torch.manual_seed(0)
    a, b, bias = torch.randn(16, 48), torch.randn(48, 32), torch.randn(64)
    biases = {
        "plain": bias[:32],
        "every other number": bias[::2],
        "one number spread": bias[:1].expand(32),
        "one number": bias[:1],
    }
    return {
        name: float((_torch_cpu._product(a, b, cut) - torch.addmm(cut, a, b)).abs().max())
        for name, cut in biases.items()
    }


def test_a_bias_may_lie_otherwise() -> None:
    """Of a model of the user's own: oneDNN took whatever lay behind its first number."""
    found = subjects.ask("pytorch", distances_by_bias)
    assert max(found.values()) < 1e-4, found


def gain_by_a_clock(framework: str) -> tuple[float, dict[str, int], str]:
    """Runs beside: what is found of known durations, by which products, and without oneDNN."""
    import itertools

    import torch

    from dlbench.core.types import Absent
    from dlbench.frameworks import _torch_cpu

    # Of each pair the build's own library takes 6 s, 7 s, ... and oneDNN 3 s, 4 s, ...
    spans_s = itertools.chain.from_iterable((6.0 + i, 3.0 + i) for i in itertools.count())
    now_s = itertools.accumulate(itertools.chain.from_iterable((1.0, span) for span in spans_s))
    clock = mock.patch("time.perf_counter", side_effect=now_s)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen, clock:
        found = _torch_cpu.gain()
    calls = {event.key: event.count for event in seen.key_averages()}
    with mock.patch.object(torch.backends.mkldnn, "is_available", return_value=False):
        without = _torch_cpu.gain()
    assert not isinstance(found, Absent)
    assert isinstance(without, Absent)
    return found, calls, without.reason


def test_the_gain_is_of_the_fastest_product_by_each_library() -> None:
    """Others may take the processor meanwhile; without oneDNN nothing was measured."""
    found, calls, without = subjects.ask("pytorch", gain_by_a_clock)
    assert found == 2.0
    assert calls["aten::mm"] == calls["mkldnn::_linear_pointwise"] == 9
    assert without == "this build of PyTorch has no oneDNN"


def told_of_an_uncompiled_model(framework: str) -> list[Any]:
    """Runs beside: what ``tuned`` says of a model that the compiler passes over, once it has run."""
    from dlbench.frameworks import _torch_cpu, pytorch

    request = request_for(framework, "lstm_lm", policy=Policy.TUNED)
    with (
        mock.patch.object(_torch_cpu, "gain", return_value=2.0),
        mock.patch.object(pytorch.TorchSubject, "_shows_lstm", return_value=False),
    ):
        subject: Any = registry.framework(framework).open_subject(request)
        subject.query(0)
    names = ("compiled", "products_by_onednn", "frozen_weights", "onednn_gain")
    return [subject.info[name] for name in names]


def test_what_was_not_compiled_has_no_products_by_onednn() -> None:
    """TorchDynamo leaves recurrent layers to the library's own, and nothing is frozen then."""
    told = subjects.ask("pytorch", told_of_an_uncompiled_model)
    assert told == [False, False, False, 2.0]
