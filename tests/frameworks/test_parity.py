"""The same model everywhere: every pair of frameworks, every workload, same outputs and losses."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Mode, Precision
from tests import subjects
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks


REPEATING = 96
"""A training batch in which inputs repeat: optimisers differ in what they make of repeated rows."""

SAME = (0,) * 5
OTHERS = (1, 2, 3, 0, 1, 2, 3)
STEPS = {"fp32": SAME + OTHERS, "fp16": SAME, "bf16": SAME[:2]}
"""Buffers of a dozen steps: the first five show that the loss falls; of bf16 two are compared."""


def computed(framework: str, workload: str, precision: str) -> dict[str, Any]:
    """Outputs and losses of one model, in the framework's process."""
    workload, _, variant = workload.partition(" ")
    adapter = registry.framework(framework)
    common: dict[str, Any] = {"precision": Precision(precision), "variant": variant or "tiny"}
    subject = adapter.open_subject(request_for(framework, workload, **common))
    found: dict[str, Any] = {
        "parameters": subject.info["parameters"],
        "outputs": [subject.fetch(subject.query(i)).ravel()[:2000].tolist() for i in range(4)],
        "shape": list(subject.fetch(subject.query(0)).shape),
        "compute": subject.info["compute_dtype"],
        "formats": _formats(subject),
    }
    if Mode.TRAINING in _workload(workload).modes and framework in _training():
        common |= {"mode": Mode.TRAINING, "scenario": None, "batch_size": REPEATING}
        subject = adapter.open_subject(request_for(framework, workload, **common))
        handles: list[Any] = [subject.step(i) for i in STEPS[precision]]
        found["wide_loss"] = all("float32" in str(x.dtype) for x in handles)
        found["loss_scale"] = _loss_scale(subject)
        found["losses"] = [float(subject.fetch(x)) for x in handles]
    return found


def _loss_scale(subject: Any) -> float:
    """By what a loss is multiplied before its gradients are taken: 1 where it is not."""
    if scaler := getattr(subject, "_scaler", None):
        return float(scaler.get_scale())
    variables = getattr(subject._optimizer, "variables", ())
    state = getattr(subject, "_optimizer_state", variables)  # JAX's variables hold none
    pairs = zip(variables, state, strict=True)
    return next((float(x) for v, x in pairs if v.name == "dynamic_scale"), 1.0)


def _formats(subject: Any) -> list[str]:
    """In which a Keras model's layers compute that have weights, and a tied table's product with it."""
    layers: list[Any] = getattr(getattr(subject, "_model", None), "_flatten_layers", list)()
    wide = (getattr(x, "reverse_dtype", None) or x.compute_dtype for x in layers if x.weights)
    return sorted(set(wide))


KERAS = ("jax", "keras", "tensorflow")

LARGEST = {"fp32": 1e-4, "bf16": 0.1}
"""Deviation over the spread of the outputs (inference) or over the loss (training). Later steps
drift apart as rounding is fed back."""


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
    return [name for name, found in subjects.installed().items() if Mode.TRAINING in found.modes]


def _cells() -> list[tuple[str, str]]:
    cells = []
    for name in REAL:
        files = _workload(name).model_files
        runs = [f for f in subjects.installed() if registry.model_stem(f, files)]
        cells += [(name, framework) for framework in runs if framework != "pytorch"]
    return cells


@cache
def results(framework: str, workload: str, precision: str) -> Any:
    """Asked once for each model; the tests below compare what was answered."""
    return subjects.ask(framework, computed, workload, precision)


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
    if precision not in subjects.installed()[framework].precisions["cpu"]:
        pytest.skip(f"the {framework} adapter does not run {precision} on the CPU")
    wanted = results("pytorch", workload, "fp32")
    got = results(framework, workload, precision)
    assert got["parameters"] == wanted["parameters"]
    assert got["shape"] == wanted["shape"]
    dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
    assert got["compute"] == dtype
    # Precision is one arithmetic for all of a model, as under PyTorch's autocast: the logits too.
    assert got["formats"] == ([dtype] if framework in KERAS else [])
    assert got.get("wide_loss", True)
    limit = LARGEST[precision]
    assert deviation(got["outputs"], wanted["outputs"]) <= limit
    if "losses" in got:
        first = workloads.LOSS_TOLERANCE[Precision(precision)]
        assert got["losses"][0] == pytest.approx(wanted["losses"][0], rel=first)
        assert got["losses"][1] == pytest.approx(wanted["losses"][1], rel=limit)


LATER = 1e-4
"""Relative difference of the losses of twelve steps: rounding, fed back."""


@pytest.mark.parametrize(("workload", "framework"), _cells())
def test_a_dozen_steps_over_all_buffers_train_the_same(workload: str, framework: str) -> None:
    """Beyond the first updates: what an optimiser keeps, and every input."""
    got = results(framework, workload, "fp32")
    if "losses" not in got:
        pytest.skip(f"{framework} does not train {workload}")
    wanted = results("pytorch", workload, "fp32")["losses"]
    assert len(wanted) == 12
    for step, (ours, theirs) in enumerate(zip(got["losses"], wanted, strict=True)):
        assert ours == pytest.approx(theirs, rel=LATER), step


@pytest.mark.parametrize("workload", [n for n in REAL if "bf16" in _workload(n).table["tolerance"]])
def test_pytorch_in_bf16_is_still_the_same_model(workload: str) -> None:
    """And really computes in bf16: close to fp32, and not equal to it."""
    wanted = results("pytorch", workload, "fp32")
    got = results("pytorch", workload, "bf16")
    moved = deviation(got["outputs"], wanted["outputs"])
    assert 1e-6 < moved <= LARGEST["bf16"]
    if "losses" in got:
        first = workloads.LOSS_TOLERANCE[Precision.BF16]
        assert got["losses"][0] == pytest.approx(wanted["losses"][0], rel=first)


@pytest.mark.parametrize("framework", _training())
@pytest.mark.parametrize("workload", [n for n in REAL if Mode.TRAINING in _workload(n).modes])
def test_training_lowers_the_loss_on_the_same_batch(workload: str, framework: str) -> None:
    """Four updates are enough to see it."""
    losses = results(framework, workload, "fp32")["losses"][: len(SAME)]
    assert losses[-1] < losses[0]


SCALED = {"pytorch": ("resnet50", "deepspeech2")}
"""PyTorch has no LSTM in fp16 on a CPU; gradients of the second are clipped in either."""


@pytest.mark.parametrize(
    ("framework", "workload"),
    [(f, name) for f in _training() for name in SCALED.get(f, ("resnet50", "lstm_lm"))],
)
def test_fp16_computes_in_fp16_and_trains_with_a_scaled_loss(workload: str, framework: str) -> None:
    """On the CPU, which plans refuse as too slow: the code is the GPU's.

    The loss that is told is the unscaled one, and falls as far as that of fp32: what the scale did to
    gradients was undone before they were clipped, and before the update.
    """
    wanted = results(framework, workload, "fp32")
    got = results(framework, workload, "fp16")
    assert got["compute"] == "float16"
    assert 1e-6 < deviation(got["outputs"], wanted["outputs"]) <= FP16
    assert (wanted["loss_scale"], got["loss_scale"] > 1) == (1, True)
    # A step whose gradients overflow is left out: the same loss comes again, at half the scale.
    ours, theirs = list(dict.fromkeys(got["losses"])), wanted["losses"]
    assert len(ours) > 1
    assert ours[0] == pytest.approx(theirs[0], rel=FP16)
    fall = theirs[0] - theirs[len(ours) - 1]
    assert ours[0] - ours[-1] == pytest.approx(fall, rel=FALL)


FP16 = 2e-2
"""As the workloads' own tolerance."""

FALL = 0.1
"""Of what a few updates lower the loss by, which is some hundredths of it."""


def test_the_mode_of_the_compiler_is_the_one_that_was_measured_to_be_fastest() -> None:
    """Of what was measured: a small batch's inference in fp32 on a CPU, of the full variant."""
    from dataclasses import replace

    from dlbench.frameworks import pytorch

    small = replace(request_for("pytorch", "gpt2_decode").case, variant="full", batch_size=2)
    assert pytorch.compile_mode(small) == "max-autotune-no-cudagraphs"
    told = (("compile_mode", "default"),)
    for changes in (
        {"batch_size": 3},
        {"workload": "bert_base"},
        {"variant": "tiny"},
        {"precision": Precision.BF16},
        {"device": "nvidia"},
        {"mode": Mode.TRAINING, "scenario": None},
        {"options": told},
    ):
        assert pytorch.compile_mode(replace(small, **changes)) == "default"
    for name, most in pytorch.FASTER_AUTOTUNED.items():
        at_most = replace(small, workload=name, batch_size=most)
        assert pytorch.compile_mode(at_most) == pytorch.COMPILE_MODES[-1], name
        assert Mode.INFERENCE in workloads.read(workloads.folders()[name]).modes


def test_modes_of_the_compiler_that_replay_cuda_graphs_are_for_inference_on_a_gpu() -> None:
    """Elsewhere each is refused by name, with the modes that there are."""
    from dataclasses import replace

    from dlbench.core.errors import UnsupportedError
    from dlbench.frameworks import pytorch

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
