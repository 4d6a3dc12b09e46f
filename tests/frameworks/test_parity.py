"""The same model everywhere: every pair of frameworks, every workload, same outputs and losses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.protocols import Capability
from dlbench.core.types import Absent, Mode

pytestmark = pytest.mark.frameworks

PROGRAM = """
import json, sys, traceback
from tests.conformance.test_frameworks import request_for
from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Mode, Precision
framework = sys.argv[1]
adapter = registry.framework(framework)
def results(workload, precision):
    workload, _, variant = workload.partition(" ")
    common = {"precision": Precision(precision), "variant": variant or "tiny"}
    found = {}
    subject = adapter.open_subject(request_for(framework, workload, **common))
    found["parameters"] = subject.info["parameters"]
    found["outputs"] = [subject.fetch(subject.query(i)).ravel()[:2000].tolist() for i in range(4)]
    found["shape"] = list(subject.fetch(subject.query(0)).shape)
    found["compute"] = subject.info["compute_dtype"]
    modes = workloads.read(workloads.folders()[workload]).modes
    if Mode.TRAINING in modes and Mode.TRAINING in adapter.probe().modes:
        subject = adapter.open_subject(
            request_for(framework, workload, mode=Mode.TRAINING, scenario=None, **common)
        )
        found["losses"] = [float(subject.fetch(subject.step(0))) for _ in range(5)]
        subject = adapter.open_subject(
            request_for(
                framework, workload, mode=Mode.TRAINING, scenario=None, batch_size=96, **common
            )
        )
        found["later"] = [float(subject.fetch(subject.step(i % 4))) for i in range(12)]
    return found
for line in sys.stdin:
    try:
        answer = results(*line.rstrip().rsplit(" ", 1))
    except Exception:
        answer = {"failed": traceback.format_exc()}
    print("ANSWER", json.dumps(answer), flush=True)
"""

LARGEST = {"fp32": 1e-4, "bf16": 0.1}
"""Deviation over the spread of the outputs (inference) or over the loss (training). Later steps
drift apart as rounding is fed back."""


def installed() -> dict[str, Capability]:
    """Every framework that is here, with what it can do."""
    probes = {n: registry.framework(n).probe() for n in registry.names("frameworks") if n != "fake"}
    return {name: found for name, found in probes.items() if not isinstance(found, Absent)}


def _workload(name: str) -> workloads.Workload:
    return workloads.read(workloads.folders()[name.partition(" ")[0]])


def _real() -> list[str]:
    """Every workload by its name, and its further tiny variants as ``name variant``."""
    found = []
    for name in workloads.folders():
        if name != "fake":
            more = [v for v in _workload(name).variants if v.startswith("tiny_")]
            found += [name, *(f"{name} {variant}" for variant in more)]
    return found


REAL = _real()


def _training() -> list[str]:
    return [name for name, found in installed().items() if Mode.TRAINING in found.modes]


def _cells() -> list[tuple[str, str]]:
    cells = []
    for name in REAL:
        files = _workload(name).model_files
        runs = [f for f in installed() if registry.model_stem(f, files)]
        cells += [(name, framework) for framework in runs if framework != "pytorch"]
    return cells


@cache
def _process(framework: str) -> subprocess.Popen[str]:
    """One a framework, since two in one process fight over threads, and importing takes long."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, framework],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def end_processes() -> None:
    """All that were started."""
    for framework in installed():
        process = _process(framework)
        process.kill()
        process.communicate()
    _process.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def _end_processes() -> Iterator[None]:
    yield
    end_processes()


@cache
def results(framework: str, workload: str, precision: str) -> Any:
    """Outputs and losses, computed in the framework's own process."""
    process = _process(framework)
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{workload} {precision}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("ANSWER "):
            answer = json.loads(line.removeprefix("ANSWER "))
            assert "failed" not in answer, answer["failed"]
            return answer
    raise AssertionError(f"the {framework} process died with code {process.wait()} in {workload}")


def deviation(got: list[list[float]], wanted: list[list[float]]) -> float:
    """The largest, over the spread of what was wanted."""
    every = [x for row in wanted for x in row]
    mean = sum(every) / len(every)
    spread = (sum((x - mean) ** 2 for x in every) / len(every)) ** 0.5
    pairs = zip([x for row in got for x in row], every, strict=True)
    return float(max(abs(a - b) for a, b in pairs) / spread)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("workload", "framework"), _cells())
def test_same_weights_same_outputs_same_losses(
    workload: str, framework: str, precision: str
) -> None:
    """Outputs, first loss, and the loss after one update, against PyTorch in fp32."""
    if precision not in _workload(workload).table["tolerance"]:
        pytest.skip(f"{workload} states no tolerance for {precision}")
    if precision not in installed()[framework].precisions["cpu"]:
        pytest.skip(f"the {framework} adapter does not run {precision} on the CPU")
    wanted = results("pytorch", workload, "fp32")
    got = results(framework, workload, precision)
    assert got["parameters"] == wanted["parameters"]
    assert got["shape"] == wanted["shape"]
    assert got["compute"] == {"fp32": "float32", "bf16": "bfloat16"}[precision]
    limit = LARGEST[precision]
    assert deviation(got["outputs"], wanted["outputs"]) <= limit
    for step in range(2 if "losses" in got else 0):
        assert got["losses"][step] == pytest.approx(wanted["losses"][step], rel=limit), step


LATER = 1e-4
"""Relative difference of the losses of twelve steps: rounding, fed back (measured: up to 2e-6)."""


@pytest.mark.parametrize(("workload", "framework"), _cells())
def test_a_dozen_steps_over_all_buffers_train_the_same(workload: str, framework: str) -> None:
    """At a batch in which inputs repeat: optimisers differ in what they make of repeated rows."""
    got = results(framework, workload, "fp32")
    if "later" not in got:
        pytest.skip(f"{framework} does not train {workload}")
    wanted = results("pytorch", workload, "fp32")["later"]
    for step, (ours, theirs) in enumerate(zip(got["later"], wanted, strict=True)):
        assert ours == pytest.approx(theirs, rel=LATER), step


@pytest.mark.parametrize("workload", [n for n in REAL if "bf16" in _workload(n).table["tolerance"]])
def test_pytorch_in_bf16_is_still_the_same_model(workload: str) -> None:
    """And really computes in bf16: close to fp32, and not equal to it."""
    wanted = results("pytorch", workload, "fp32")
    got = results("pytorch", workload, "bf16")
    moved = deviation(got["outputs"], wanted["outputs"])
    assert 1e-6 < moved <= LARGEST["bf16"]


@pytest.mark.parametrize("framework", _training())
@pytest.mark.parametrize("workload", [n for n in REAL if Mode.TRAINING in _workload(n).modes])
def test_training_lowers_the_loss_on_the_same_batch(workload: str, framework: str) -> None:
    """Five updates are enough to see it."""
    losses = results(framework, workload, "fp32")["losses"]
    assert losses[-1] < losses[0]


KERAS_TRAINERS = [f for f in _training() if "model_keras" in registry.framework(f).MODEL_FILES]


@pytest.mark.parametrize("framework", KERAS_TRAINERS)
@pytest.mark.parametrize("workload", ["resnet50", "lstm_lm"])
def test_fp16_computes_in_fp16_and_trains_with_a_scaled_loss(workload: str, framework: str) -> None:
    """On the CPU, which plans refuse as too slow: the code is the GPU's.

    The loss that is told is the unscaled one, and updates follow that of fp32.
    """
    wanted = results(framework, workload, "fp32")
    got = results(framework, workload, "fp16")
    assert got["compute"] == "float16"
    assert 1e-6 < deviation(got["outputs"], wanted["outputs"]) <= FP16
    for ours, theirs in zip(got["losses"], wanted["losses"], strict=True):
        assert ours == pytest.approx(theirs, rel=FP16)
    assert got["losses"][-1] < got["losses"][0]


FP16 = 2e-2
"""As the workloads' own tolerance."""


def test_modes_of_the_compiler_that_replay_cuda_graphs_are_for_inference_on_a_gpu() -> None:
    """Elsewhere each is refused by name, with the modes that there are."""
    from dataclasses import replace

    from dlbench.core.errors import UnsupportedError
    from dlbench.frameworks import pytorch
    from tests.conformance.test_frameworks import request_for

    def of(name: str, /, **changes: Any) -> str:
        case = request_for("pytorch", "gemm").case
        return pytorch.compile_mode(replace(case, options=(("compile_mode", name),), **changes))

    assert pytorch.compile_mode(request_for("pytorch", "gemm").case) == "default"
    assert of("max-autotune-no-cudagraphs") == "max-autotune-no-cudagraphs"
    assert of("reduce-overhead", device="nvidia:1") == "reduce-overhead"
    assert of("max-autotune", device="nvidia") == "max-autotune"
    for changes in ({}, {"device": "nvidia:0", "mode": Mode.TRAINING, "scenario": None}):
        with pytest.raises(UnsupportedError, match="max-autotune replays CUDA graphs") as refused:
            of("max-autotune", **changes)
        assert refused.value.advice.endswith("default or max-autotune-no-cudagraphs")
    with pytest.raises(UnsupportedError, match="there is no compile_mode 'fastest'") as refused:
        of("fastest", device="nvidia:0")
    assert refused.value.advice.endswith("or reduce-overhead or max-autotune")
