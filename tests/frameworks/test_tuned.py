"""What ``tuned`` turns on gives the answers of ``base``, and is what the machine runs faster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Absent, Mode, Policy, Precision
from dlbench.core.units import MIB
from dlbench.frameworks import _openvino_program, _subject, tensorflow
from tests import subjects
from tests.subjects import request_for

pytestmark = [
    pytest.mark.frameworks,
    # PyTorch's, of tracing, which OpenVINO's converter does.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def openvino() -> Any:
    """The adapter, if what it needs is installed."""
    adapter: Any = registry.framework("openvino")
    found = adapter.probe()
    if isinstance(found, Absent):
        pytest.skip(found.reason)
    return adapter


@pytest.mark.parametrize(
    ("batch_size", "threads", "streams"),
    [(8, 2, 2), (8, 3, 2), (6, 4, 3), (7, 2, 1), (1, 64, 1), (4, 1, 1), (128, 48, 32)],
)
def test_a_batch_is_split_into_equal_parts_with_a_thread_each(
    batch_size: int, threads: int, streams: int
) -> None:
    """As many as there can be."""
    assert _openvino_program.most_streams(batch_size, threads) == streams


def _favouring(streams: int) -> Callable[..., float]:
    """A trial that this number of streams wins."""
    return lambda _ov, program, _batch: 0.1 if len(program.requests) == streams else 0.2


def _open(adapter: Any, policy: Policy, **changes: Any) -> Any:
    from dataclasses import replace

    request = request_for("openvino", "resnet50", policy=policy, **changes)
    return adapter.open_subject(replace(request, threads=2))


@pytest.mark.parametrize("streams", [1, 2])
def test_openvino_takes_the_streams_that_were_faster_and_answers_alike(
    openvino: Any, monkeypatch: pytest.MonkeyPatch, streams: int
) -> None:
    """Outputs in the order of samples, inputs as seeded, exchanged inputs followed."""
    import numpy as np

    monkeypatch.setattr(_openvino_program, "_fastest_s", _favouring(streams))
    base, tuned = _open(openvino, Policy.BASE), _open(openvino, Policy.TUNED)
    assert base.info["streams"] == 1
    assert tuned.info["streams"] == streams
    assert tuned.info["input_shape"] == base.info["input_shape"]
    for buffer in range(tuned.n_buffers):
        wanted = base.fetch(base.query(buffer))
        assert np.allclose(tuned.fetch(tuned.query(buffer)), wanted, atol=1e-5)
        (lies,), (seeded,) = tuned.read_inputs(buffer), base.read_inputs(buffer)
        assert (lies == seeded).all()
    tuned.copy_inputs(2, 1)
    assert np.allclose(tuned.fetch(tuned.query(1)), base.fetch(base.query(2)), atol=1e-5)


def test_a_batch_of_one_is_not_tried(openvino: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to split."""

    def never(*_: Any) -> float:
        raise AssertionError

    monkeypatch.setattr(_openvino_program, "_fastest_s", never)
    assert _open(openvino, Policy.TUNED, batch_size=1).info["streams"] == 1


def test_the_real_trial_ends_with_one_or_the_other(openvino: Any) -> None:
    """Timed as it is."""
    assert _open(openvino, Policy.TUNED).info["streams"] in (1, 2)


def test_int8_is_calibrated_by_all_samples_however_they_are_split(
    openvino: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same scales: outputs as of one stream, the drift of half a batch beside a whole one's."""
    import numpy as np

    if Precision.INT8 not in openvino.probe().precisions["cpu"]:
        pytest.skip("int8 needs onnx and onnxruntime")
    monkeypatch.setattr(_openvino_program, "_fastest_s", _favouring(2))
    base = _open(openvino, Policy.BASE, precision=Precision.INT8)
    tuned = _open(openvino, Policy.TUNED, precision=Precision.INT8)
    assert (tuned.info["streams"], tuned.info["compute_dtype"]) == (2, "int8")
    wanted = base.fetch(base.query(0))
    assert np.allclose(tuned.fetch(tuned.query(0)), wanted, atol=0.02 * np.std(wanted))


def compiled_and_answers(
    framework: str, workload: str, mode: str
) -> tuple[bool, list[float], list[float]]:
    """Runs beside: whether XLA compiles ``tuned``, and what it and ``base`` answer first."""
    answers = []
    for policy in (Policy.BASE, Policy.TUNED):
        request = request_for(framework, workload, policy=policy, mode=Mode(mode))
        subject: Any = registry.framework(framework).open_subject(request)
        answer = subject.query(0) if request.case.mode is Mode.INFERENCE else subject.step(0)
        answers.append(subject.fetch(answer).ravel()[:8].tolist())
        compiled = bool(subject.info["compiled"])
        assert policy is Policy.TUNED or not compiled
    return compiled, answers[1], answers[0]


@pytest.mark.parametrize(
    ("workload", "mode", "compiled"),
    [
        ("bert_base", "training", True),
        ("vit_b16", "training", True),
        ("resnet50", "training", False),
        ("unet", "training", False),
        *(
            (name, "training", False)
            for name in ("lstm_lm", "lstm_forecast", "deepspeech2", "gnmt")
        ),
        ("mobilenet_v3_large", "training", False),
        ("mobilenet_v3_large", "inference", False),
    ],
)
def test_tensorflow_leaves_to_its_graphs_what_xla_slows_down(
    workload: str, mode: str, compiled: bool
) -> None:
    """Grouped convolutions, and in training recurrent layers and windows that overlap; same answers."""
    if "tensorflow" not in subjects.installed():
        pytest.skip("tensorflow is not installed")
    found, tuned, base = subjects.ask("tensorflow", compiled_and_answers, workload, mode)
    assert found is compiled
    assert tuned == pytest.approx(base, rel=1e-3, abs=1e-4)


def tried_and_answers(
    framework: str, workload: str, precision: str, winner: str
) -> tuple[list[bool], list[list[list[float]]]]:
    """Runs beside: what a trial decided so leaves, and what it and ``base`` answer to each batch."""
    tried: tuple[str, ...] = ("graph", "frozen", "xla")
    if winner == "too large":
        tried, winner = ("graph", "xla"), "graph"
    spans = iter([0.1 if way == winner else 0.2 for way in tried])
    decided = mock.patch.object(_subject, "fastest_s", lambda query: (query(), next(spans))[1])
    answers = []
    for policy in (Policy.BASE, Policy.TUNED):
        request = request_for(
            framework,
            workload,
            policy=policy,
            mode=Mode.INFERENCE,
            precision=Precision(precision),
        )
        with decided:
            subject: Any = registry.framework(framework).open_subject(request)
        first = [subject.fetch(subject.query(i)) for i in range(subject.n_buffers)]
        subject.copy_inputs(2, 1)
        first.append(subject.fetch(subject.query(1)))
        answers.append([x.ravel()[:8].tolist() for x in first])
    assert next(spans, None) is None
    return [subject.info["frozen_weights"], subject.info["compiled"]], answers


@pytest.mark.parametrize("winner", ["graph", "frozen", "xla"])
@pytest.mark.parametrize(
    ("workload", "precision"), [("resnet50", "fp32"), ("lstm_lm", "fp32"), ("resnet50", "bf16")]
)
def test_tensorflow_takes_what_was_fastest_and_answers_alike(
    workload: str, precision: str, winner: str
) -> None:
    """Its graph, weights as constants, XLA's program: each batch's own answer, new inputs followed."""
    if "tensorflow" not in subjects.installed():
        pytest.skip("tensorflow is not installed")
    found, (base, tuned) = subjects.ask(
        "tensorflow", tried_and_answers, workload, precision, winner
    )
    assert found == [winner == "frozen", winner == "xla"]
    assert base[-1] == base[2] != base[1]
    allowed = 1e-4 if precision == "fp32" else 2e-2
    for ours, plain in zip(tuned, base, strict=True):
        assert ours == pytest.approx(plain, rel=allowed, abs=allowed)


def large_and_answers(framework: str, workload: str) -> tuple[list[bool], list[list[list[float]]]]:
    """Runs beside: as above, where no weights are few enough to be made constants."""
    with mock.patch.object(tensorflow, "FROZEN_MOST_MIB", 0.0):
        return tried_and_answers(framework, workload, "fp32", "too large")


def test_tensorflow_freezes_no_weights_that_take_gigabytes_to_freeze() -> None:
    """Those of gnmt and dlrm_small took 24 GiB: such a model runs by XLA or in ``base``'s graph."""
    if "tensorflow" not in subjects.installed():
        pytest.skip("tensorflow is not installed")
    found, (base, tuned) = subjects.ask("tensorflow", large_and_answers, "resnet50")
    assert found == [False, False]
    for ours, plain in zip(tuned, base, strict=True):
        assert ours == pytest.approx(plain, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("workload", "frozen"),
    [
        ("resnet50", True),
        ("transformer_base", True),
        ("arcface_r50", True),
        ("gnmt", False),
        ("dlrm_small", False),
    ],
)
def test_models_that_gain_by_frozen_weights_are_within_the_limit(
    workload: str, frozen: bool
) -> None:
    """Decisions 68 and 73: those were measured to gain; these overran the machine's memory."""
    parameters = workloads.read(workloads.folders()[workload]).info("full").parameters
    assert isinstance(parameters, int)
    assert (parameters * 4 / MIB <= tensorflow.FROZEN_MOST_MIB) is frozen


def kinds_of_layers(framework: str) -> list[tuple[bool, bool, bool]]:
    """Runs beside: recurrent, grouped and overlapping, of small models of one's own."""
    import keras

    from dlbench.frameworks import _keras

    class Own(keras.layers.Layer):  # type: ignore[misc]
        """One number under a name that convolutions have a pair under, and no strides."""

        kernel_size, groups = 3, 2

        def call(self, x: Any) -> Any:
            return x

    layers = keras.layers
    sequence, image = keras.Input((5, 4)), keras.Input((8, 8, 4))
    models = (
        keras.Model(sequence, layers.Bidirectional(layers.GRU(3))(sequence)),
        keras.Model(sequence, layers.TimeDistributed(layers.Dense(3))(sequence)),
        keras.Sequential([image, keras.Sequential([layers.DepthwiseConv2D(3)])]),
        keras.Model(image, layers.Conv2D(4, 3, groups=2)(image)),
        keras.Model(image, layers.GroupNormalization(2)(layers.Conv2D(4, 3)(image))),
        keras.Model(image, layers.MaxPooling2D(3, 1)(layers.Conv2D(4, 2, strides=2)(image))),
        keras.Model(sequence, layers.Conv1D(4, 3, strides=2)(layers.Conv1D(4, 1)(sequence))),
        keras.Model(sequence, Own()(sequence)),
    )
    return [astuple(_keras.kinds(keras, m)) for m in models]


def test_layers_are_seen_inside_of_others() -> None:
    """A wrapped layer, a model in a model; not a normalisation's groups, nor a pool's windows."""
    if "tensorflow" not in subjects.installed():
        pytest.skip("tensorflow is not installed")
    assert subjects.ask("tensorflow", kinds_of_layers) == [
        [True, False, False],
        [False, False, False],
        [False, True, True],
        [False, True, True],
        [False, False, True],
        [False, False, False],
        [False, False, True],
        [False, False, False],
    ]


def reformed_and_answers(
    framework: str, workload: str, mode: str, precision: str
) -> tuple[str, list[list[float]]]:
    """Runs beside: which layers ``tuned`` has in another form, and what ``base`` and it answer."""
    answers = []
    for policy in (Policy.BASE, Policy.TUNED):
        request = request_for(
            framework, workload, policy=policy, mode=Mode(mode), precision=Precision(precision)
        )
        subject: Any = registry.framework(framework).open_subject(request)
        infers = request.case.mode is Mode.INFERENCE
        found = [subject.fetch(subject.query(i) if infers else subject.step(i)) for i in range(4)]
        answers.append([float(x) for answer in found for x in answer.ravel()[:8]])
    return subject.info["reformed_layers"], answers


@pytest.mark.parametrize(
    ("workload", "mode", "precision", "reformed"),
    [
        ("mobilenet_v3_large", "training", "fp32", "6 Conv2D, 3 DepthwiseConv2D"),
        ("mobilenet_v3_large", "training", "bf16", "6 Conv2D, 3 DepthwiseConv2D"),
        ("mobilenet_v3_large", "inference", "fp32", "6 Conv2D, 3 DepthwiseConv2D"),
        ("mobilenet_v3_large", "inference", "bf16", "6 Conv2D, 3 DepthwiseConv2D"),
        ("lstm_lm", "training", "fp32", "2 LSTM"),
        ("lstm_lm", "training", "bf16", "2 LSTM"),
        ("lstm_lm", "inference", "fp32", "none"),
        ("deepspeech2", "training", "fp32", "4 GRU"),
        ("unet", "training", "fp32", "3 Conv2D, 2 Conv2DTranspose"),
        ("unet", "training", "bf16", "3 Conv2D, 2 Conv2DTranspose"),
        ("unet", "inference", "bf16", "1 Conv2D, 2 Conv2DTranspose"),
        ("resnet50", "training", "fp32", "7 Conv2D"),
        ("resnet50", "training", "bf16", "7 Conv2D"),
        ("vit_b16", "training", "fp32", "none"),
    ],
)
def test_jax_reforms_layers_that_xla_slows_down_on_a_cpu(
    workload: str, mode: str, precision: str, reformed: str
) -> None:
    """Of four batches, in training after an update by each: the answers are the same."""
    if "jax" not in subjects.installed():
        pytest.skip("jax is not installed")
    found, (base, tuned) = subjects.ask("jax", reformed_and_answers, workload, mode, precision)
    assert found == reformed
    # Of the largest answer: 16 bits round sums of another order otherwise.
    near = (1e-4 if precision == "fp32" else 3e-2) * max(map(abs, base))
    assert tuned == pytest.approx(base, abs=near)


def gradients_of_reformed_layers(framework: str) -> dict[str, tuple[str, float, float]]:
    """Runs beside: by layer, what was reformed, and how far outputs and gradients are from Keras's."""
    import os

    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras
    import numpy as np

    from dlbench.frameworks import _jax_cpu

    layers, image, sequence = keras.layers, keras.Input((11, 10, 3)), keras.Input((6, 4))
    wide, tall = keras.Input((11, 10, 16)), keras.Input((70, 7, 16))
    tokens = keras.Input((6,), dtype="int32")
    random = {"bias_initializer": "random_normal"}
    made = {
        "valid": layers.DepthwiseConv2D((3, 5), **random)(image),
        "same": layers.DepthwiseConv2D(3, padding="same", activation="relu", **random)(image),
        "same strided": layers.DepthwiseConv2D((5, 3), strides=2, padding="same")(image),
        "valid strided": layers.DepthwiseConv2D(3, strides=3, use_bias=False)(image),
        "dilated": layers.DepthwiseConv2D(3, dilation_rate=2)(image),
        "multiplied": layers.DepthwiseConv2D(3, depth_multiplier=2)(image),
        "one pixel": layers.Conv2D(4, 1, activation="relu", **random)(image),
        "one pixel, strided": layers.Conv2D(4, 1, strides=(2, 3), use_bias=False)(image),
        "strided": layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", **random)(
            wide
        ),
        "strided, oblong": layers.Conv2D(4, (3, 5), strides=(1, 2), use_bias=False)(wide),
        "strided, apart": layers.Conv2D(4, 2, strides=3)(wide),
        "many rows": layers.Conv2D(4, 3, padding="same", **random)(tall),
        "many rows, strided": layers.Conv2D(4, (5, 3), strides=(3, 1))(tall),
        "few rows": layers.Conv2D(4, 3, **random)(wide),
        "few channels": layers.Conv2D(4, 3, strides=2)(image),
        "patches": layers.Conv2D(4, 2, strides=2)(wide),
        "many taps": layers.Conv2D(4, 6)(wide),
        "in groups": layers.Conv2D(4, 1, groups=2)(wide),
        "convolution, dilated": layers.Conv2D(4, 3, dilation_rate=2)(wide),
        "transposed": layers.Conv2DTranspose(4, 2, strides=2, **random)(image),
        "transposed, oblong": layers.Conv2DTranspose(
            2, (3, 2), strides=(3, 2), padding="same", use_bias=False, activation="relu"
        )(image),
        "transposed, overlapping": layers.Conv2DTranspose(2, 3, strides=2)(image),
        "lstm": layers.LSTM(5, **random)(sequence),
        "states": layers.Concatenate()(layers.LSTM(5, return_state=True)(sequence)),
        "both ways": layers.Bidirectional(layers.LSTM(5, return_sequences=True))(sequence),
        "gru": layers.GRU(5, return_sequences=True, **random)(sequence),
        "gru without bias": layers.GRU(5, use_bias=False, go_backwards=True)(sequence),
        "gru of the first kind": layers.GRU(5, reset_after=False)(sequence),
        "hard": layers.LSTM(5, recurrent_activation="hard_sigmoid")(sequence),
        "masked": layers.LSTM(5)(layers.Embedding(9, 4, mask_zero=True)(tokens)),
    }
    found = {}
    for name, output in made.items():
        sources = keras.utils.get_source_inputs(output)
        model = keras.Model(sources, output)
        (given,) = sources
        numbers = np.random.default_rng(0).standard_normal((2, *given.shape[1:]))
        batch = abs(numbers * 4).astype(int) if name == "masked" else numbers.astype("float32")

        def answer(weights: Any, x: Any, model: Any = model) -> Any:
            kept = [v.value for v in model.non_trainable_variables]
            outputs, _ = model.stateless_call(weights, kept, x)
            return (outputs**2).sum(), outputs

        differentiated = (0,) if name == "masked" else (0, 1)
        results = []
        for reform in (False, True):
            reformed = _jax_cpu.adopt(keras, model, training=True) if reform else ""
            run = jax.jit(jax.grad(answer, argnums=differentiated, has_aux=True))
            weights = [v.value for v in model.trainable_variables]
            slopes, outputs = run(weights, batch)
            results.append([outputs, *jax.tree.leaves(slopes)])
        far = [float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*results, strict=True)]
        found[name] = (reformed, far[0], max(far[1:]))
    return found


def test_reformed_layers_have_the_outputs_and_gradients_of_keras() -> None:
    """Every setting that is covered; what is not keeps Keras's form, as a masked sequence does."""
    if "jax" not in subjects.installed():
        pytest.skip("jax is not installed")
    found = subjects.ask("jax", gradients_of_reformed_layers)
    assert {name: reformed for name, (reformed, _, _) in found.items()} == {
        "valid": "1 DepthwiseConv2D",
        "same": "1 DepthwiseConv2D",
        "same strided": "1 DepthwiseConv2D",
        "valid strided": "1 DepthwiseConv2D",
        "dilated": "none",
        "multiplied": "none",
        "one pixel": "1 Conv2D",
        "one pixel, strided": "1 Conv2D",
        "strided": "1 Conv2D",
        "strided, oblong": "1 Conv2D",
        "strided, apart": "1 Conv2D",
        "many rows": "1 Conv2D",
        "many rows, strided": "1 Conv2D",
        "few rows": "1 Conv2D",
        "few channels": "none",
        "patches": "none",
        "many taps": "none",
        "in groups": "none",
        "convolution, dilated": "none",
        "transposed": "1 Conv2DTranspose",
        "transposed, oblong": "1 Conv2DTranspose",
        "transposed, overlapping": "none",
        "lstm": "1 LSTM",
        "states": "1 LSTM",
        "both ways": "2 LSTM",
        "gru": "1 GRU",
        "gru without bias": "1 GRU",
        "gru of the first kind": "none",
        "hard": "none",
        "masked": "1 LSTM",
    }
    for name, (_, outputs, slopes) in found.items():
        assert outputs < 1e-5, name
        assert slopes < 1e-5, name


def graphs_of_the_compiler(framework: str, workload: str, precision: str) -> list[bool | int]:
    """Runs beside: what ``tuned`` says of its graphs after two queries, and of LSTMs."""
    request = request_for(framework, workload, policy=Policy.TUNED, precision=Precision(precision))
    subject: Any = registry.framework(framework).open_subject(request)
    for buffer in (0, 1):
        subject.query(buffer)
    return [subject.info[name] for name in ("compiled", "compiled_graphs", "lstm_compiled")]


@pytest.mark.parametrize(
    ("workload", "precision", "found"),
    [
        ("lstm_lm", "bf16", [False, 0, False]),
        ("lstm_lm", "fp32", [True, 1, True]),
        ("lstm_forecast", "fp32", [True, 1, True]),
        ("gnmt", "fp32", [True, 2, False]),
        ("gemm", "fp32", [True, 1, False]),
    ],
)
def test_pytorch_says_what_its_compiler_made(
    workload: str, precision: str, found: list[bool | int]
) -> None:
    """It leaves recurrent layers alone, and says nothing, but for a single LSTM in single precision."""
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")
    assert subjects.ask("pytorch", graphs_of_the_compiler, workload, precision) == found


def answers_of_both_policies(framework: str, workload: str) -> list[float]:
    """Runs beside: how far ``tuned``'s answers are from ``base``'s, of the largest, by batch."""
    answers = []
    for policy in (Policy.BASE, Policy.TUNED):
        request = request_for(framework, workload, policy=policy)
        subject: Any = registry.framework(framework).open_subject(request)
        answers.append([subject.fetch(subject.query(i)) for i in (0, 1)])
    pairs = zip(*answers, strict=True)
    return [float(abs(tuned - base).max() / abs(base).max()) for base, tuned in pairs]


@pytest.mark.parametrize("workload", ["lstm_lm", "lstm_forecast", "gnmt", "deepspeech2"])
def test_pytorchs_recurrent_models_answer_alike_in_both_policies(workload: str) -> None:
    """Whoever lays out the weights; compiled as a whole gnmt answered wrongly (decision 75)."""
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")
    assert max(subjects.ask("pytorch", answers_of_both_policies, workload)) < 1e-5


def test_pytorch_says_when_an_earlier_process_had_compiled(tmp_path: Path) -> None:
    """Its programs stay on disk: a second trial's first step is not what a user waits for."""
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")
    program = (
        "from dlbench.core import registry\n"
        "from dlbench.core.types import Mode, Policy\n"
        "from tests.subjects import request_for\n"
        "changes = {'policy': Policy.TUNED, 'mode': Mode.TRAINING, 'scenario': None}\n"
        "request = request_for('pytorch', 'ncf', **changes)\n"
        "subject = registry.framework('pytorch').open_subject(request)\n"
        "subject.step(0)\n"
        "print(subject.info['compiled_from_cache'])\n"
    )
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    told = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        ).stdout.split()[-1]
        for _ in range(2)
    ]
    assert told == ["False", "True"]


def threads_of_the_compiler(framework: str, threads: int) -> int:
    """Runs beside: the number of threads by which compiled programs are looked for on disk."""
    import torch

    request = request_for(framework, "ncf", policy=Policy.TUNED, mode=Mode.TRAINING, scenario=None)
    registry.framework(framework).open_subject(replace(request, threads=threads))
    kept: dict[str, int] = torch._inductor.config.save_config_portable()
    return kept["cpp.threads"]


def test_pytorch_takes_no_program_that_was_compiled_for_other_threads() -> None:
    """Releases before 2.13 found those of a run with one thread, and ran them on one."""
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")
    told = [subjects.ask("pytorch", threads_of_the_compiler, threads) for threads in (2, 1)]
    assert told == [2, 1]


def frozen_and_answers(framework: str, mode: str) -> tuple[bool, list[float], list[float]]:
    """Runs beside: whether weights are frozen, and outputs before and after they change."""
    import torch

    request = request_for(framework, "resnet50", policy=Policy.TUNED, mode=Mode(mode))
    subject: Any = registry.framework(framework).open_subject(request)
    if request.case.mode is Mode.TRAINING:
        subject.step(0)
        return subject.info["frozen_weights"], [], []
    answers = []
    for _ in range(2):
        answers.append(subject.fetch(subject.query(0)).ravel()[:8].tolist())
        with torch.no_grad():
            for parameter in subject.model.parameters():
                parameter.zero_()
    return subject.info["frozen_weights"], answers[0], answers[1]


def test_pytorch_freezes_weights_in_inference_on_a_cpu() -> None:
    """The program no longer looks at the model's own; and answers like ``base`` (parity)."""
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")
    frozen, before, after = subjects.ask("pytorch", frozen_and_answers, "inference")
    assert frozen
    assert any(before)
    assert after == before


def test_pytorch_freezes_nothing_in_training() -> None:
    """Even after a model was frozen in the same process."""
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")
    frozen, *_ = subjects.ask("pytorch", frozen_and_answers, "training")
    assert not frozen


def losses(framework: str, workload: str) -> tuple[list[float], list[float]]:
    """Runs beside: of six training steps, ``base`` and ``tuned``."""
    found = []
    for policy in (Policy.BASE, Policy.TUNED):
        request = request_for(framework, workload, policy=policy, mode=Mode.TRAINING)
        subject: Any = registry.framework(framework).open_subject(request)
        answers = [subject.fetch(subject.step(i % subject.n_buffers)) for i in range(6)]
        found.append([float(answer) for answer in answers])
    return found[0], found[1]


@pytest.mark.parametrize("workload", ["ncf", "lstm_lm", "dlrm_small", "resnet50"])
def test_pytorch_learns_alike_with_the_fused_optimiser(workload: str) -> None:
    """Adam, SGD with a clipped norm, with sparse gradients, and with momentum: the same losses."""
    if "pytorch" not in subjects.installed():
        pytest.skip("pytorch is not installed")
    base, tuned = subjects.ask("pytorch", losses, workload)
    assert len(set(base)) == len(base)
    assert tuned == pytest.approx(base, rel=1e-3)


def narrow(_: str) -> dict[str, Any]:
    """By workload: dtype of the weights, and how far outputs are with weights held in 16 bits.

    Without the compiler, which does not change what is computed; runs in PyTorch's process.
    """
    import torch

    from dlbench import workloads

    adapter = registry.framework("pytorch")
    compiled, found = torch.compile, {}
    torch.compile = lambda model, **_: model
    try:
        for name, folder in workloads.folders().items():
            workload = workloads.read(folder)
            request = request_for(
                "pytorch", name, policy=Policy.TUNED, precision=Precision.BF16, batch_size=4
            )
            wanted = workload.reference(request.case)
            if name == "fake" or isinstance(wanted, Absent):
                continue
            subject = adapter.open_subject(request)
            outputs = [subject.fetch(subject.query(i))[0].ravel() for i in range(4)]
            apart = max(
                abs(float(output[at]) - value)
                for output, row in zip(outputs, wanted.values, strict=True)
                for at, value in zip(wanted.positions, row, strict=True)
            )
            found[name] = {
                "dtype": subject.info["parameter_dtype"],
                "apart": apart / wanted.spread,
                "allowed": wanted.tolerance,
                "inputs": [str(x.dtype) for x in subject.read_inputs(0)],
            }
    finally:
        torch.compile = compiled
    return found


def test_pytorch_holds_weights_in_16_bits_where_inference_computes_so() -> None:
    """Every workload stays within its tolerance; recurrent layers keep float32."""
    found = subjects.ask("pytorch", narrow)
    assert len(found) > 15
    assert {name: x for name, x in found.items() if not x["apart"] <= x["allowed"]} == {}
    assert {found[name]["dtype"] for name in ("gemm", "resnet50", "bert_base")} == {"bfloat16"}
    assert found["lstm_forecast"]["dtype"] == "float32"
    assert found["resnet50"]["inputs"] == ["float32"]


def test_pytorch_rounds_once_only_the_weights_of_products_and_tables() -> None:
    """Norms of any shape, cells and bilinear forms keep theirs: autocast does not round them all."""
    torch = pytest.importorskip("torch")
    from dlbench.frameworks import pytorch

    nn = torch.nn
    model = nn.ModuleDict(
        {
            "linear": nn.Linear(4, 4),
            "convolution": nn.Conv1d(4, 4, 3),
            "transposed": nn.ConvTranspose2d(4, 4, 3),
            "table": nn.Embedding(5, 4),
            "layer_norm": nn.LayerNorm([4, 16]),
            "rms_norm": nn.RMSNorm([4, 16]),
            "batch_norm": nn.BatchNorm1d(4),
            "lstm": nn.LSTM(4, 4),
            "lstm_cell": nn.LSTMCell(4, 4),
            "gru_cell": nn.GRUCell(4, 4),
            "bilinear": nn.Bilinear(4, 4, 4),
        }
    )
    pytorch.narrow(torch, model, torch.bfloat16)
    held = {name for name, p in model.named_parameters() if p.dtype is torch.bfloat16}
    assert held == {f"{x}.weight" for x in ("linear", "convolution", "transposed", "table")}
    assert {p.dtype for n, p in model.named_parameters() if n not in held} == {torch.float32}


def held_by_keras(framework: str, workload: str, mode: str) -> dict[str, Any]:
    """Runs beside: by policy, in bf16, the weights' format and what the first two batches give."""
    found: dict[str, Any] = {}
    for policy in Policy:
        request = request_for(
            framework, workload, policy=policy, mode=Mode(mode), precision=Precision.BF16
        )
        subject: Any = registry.framework(framework).open_subject(request)
        infers = request.case.mode is Mode.INFERENCE
        given = [subject.fetch(subject.query(i) if infers else subject.step(i)) for i in range(2)]
        found[policy] = {
            "dtype": subject.info["parameter_dtype"],
            "compute": subject.info["compute_dtype"],
            "answers": [float(x) for answer in given for x in answer.ravel()[:50]],
        }
    return found


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
@pytest.mark.parametrize(
    ("workload", "mode", "dtype"),
    [
        ("dlrm_small", "inference", "bfloat16"),
        ("lstm_forecast", "inference", "bfloat16"),
        ("dlrm_small", "training", "float32"),
    ],
)
def test_keras_models_hold_weights_in_16_bits_where_they_are_not_trained(
    framework: str, workload: str, mode: str, dtype: str
) -> None:
    """The same rounding as in every query of ``base``, once: recurrent layers too."""
    if framework not in subjects.installed():
        pytest.skip(f"{framework} is not installed")
    found = subjects.ask(framework, held_by_keras, workload, mode)
    base, tuned = found["base"], found["tuned"]
    assert (base["dtype"], tuned["dtype"]) == ("float32", dtype)
    assert base["compute"] == tuned["compute"] == "bfloat16"
    # XLA orders sums otherwise, and rounds to 16 bits elsewhere.
    near = 3e-2 * max(map(abs, base["answers"]))
    assert tuned["answers"] == pytest.approx(base["answers"], abs=near)


def formats_of_variables(framework: str) -> dict[str, str]:
    """Runs beside: what becomes of a mixed model's variables, by layer and name."""
    import os

    os.environ["KERAS_BACKEND"] = framework
    import keras

    from dlbench.frameworks import _keras

    layers, given = keras.layers, keras.Input((3, 4))
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    x = layers.LSTM(3, return_sequences=True, name="lstm")(given)
    x = layers.LayerNormalization(name="layer_norm")(x)
    x = layers.BatchNormalization(name="batch_norm")(layers.Dense(2, name="dense")(x))
    model = keras.Model(given, layers.Dense(2, dtype="float32", name="logits")(x))
    before = model.get_weights()
    _keras.narrow(keras, model)
    keras.mixed_precision.set_dtype_policy("float32")
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        assert abs(ours.astype("float32") - theirs).max() <= 2**-8 * abs(theirs).max()
    return {v.path: str(v.dtype) for v in model.variables if "float" in str(v.dtype)}


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
def test_norms_and_layers_in_float32_are_not_narrowed(framework: str) -> None:
    """Only what Keras itself would round."""
    if framework not in subjects.installed():
        pytest.skip(f"{framework} is not installed")
    found = subjects.ask(framework, formats_of_variables)
    narrow = {path for path, dtype in found.items() if dtype == "bfloat16"}
    assert narrow == {
        *(f"lstm/lstm_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")),
        "dense/kernel",
        "dense/bias",
    }
    assert {found[path] for path in set(found) - narrow} == {"float32"}
    assert len(found) - len(narrow) == 2 + 4 + 2


def losses_by_row(framework: str, workload: str, precision: str) -> dict[str, Any]:
    """Runs beside: by policy, a dozen losses over all buffers, and how many tables go row by row."""
    found: dict[str, Any] = {}
    for policy in Policy:
        request = request_for(
            framework,
            workload,
            policy=policy,
            precision=Precision(precision),
            mode=Mode.TRAINING,
            scenario=None,
            batch_size=96,
        )
        subject: Any = registry.framework(framework).open_subject(request)
        losses = [float(subject.fetch(subject.step(i % 4))) for i in range(12)]
        found[policy] = {"losses": losses, "tables": subject.info["tables_by_row"]}
    return found


@pytest.mark.parametrize(
    ("workload", "precision", "tables"),
    [
        ("dlrm_small", "fp32", 5),
        ("dlrm_small", "bf16", 5),
        ("dlrm_small", "fp16", 0),  # its losses are scaled
        ("ncf", "fp32", 0),  # Adam moves every row in every step
        ("lstm_lm", "fp32", 0),  # gradients are clipped by the norm of all
    ],
)
def test_jax_trains_tables_row_by_row_where_the_optimiser_allows_it(
    workload: str, precision: str, tables: int
) -> None:
    """Batches look rows up more than once, and the losses are those of whole tables' gradients."""
    if "jax" not in subjects.installed():
        pytest.skip("jax is not installed")
    found = subjects.ask("jax", losses_by_row, workload, precision)
    assert (found["base"]["tables"], found["tuned"]["tables"]) == (0, tables)
    near = 1e-5 if precision == "fp32" else 1e-2
    assert found["tuned"]["losses"] == pytest.approx(found["base"]["losses"], rel=near)


def a_table_looked_up_twice(framework: str) -> list[float]:
    """Runs beside: how far a table and a layer behind it are from plain SGD on whole gradients."""
    import os

    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras
    import numpy as np

    from dlbench.frameworks import _jax_rows

    tokens, table = keras.Input((6,), dtype="int32"), keras.layers.Embedding(9, 4)
    both = keras.layers.Concatenate()([table(tokens), table(tokens[:, ::-1])])
    model = keras.Model(tokens, keras.layers.Dense(2)(both))
    batch = np.random.default_rng(0).integers(0, 5, (3, 6))
    trained = [v.value for v in model.trainable_variables]

    def loss_of(weights: Any) -> Any:
        outputs, _ = model.stateless_call(weights, [], batch)
        return (outputs**2).sum(), outputs

    whole = jax.grad(loss_of, has_aux=True)(trained)[0]
    tables = _jax_rows.Tables(keras, model)

    def moved(weights: Any) -> Any:
        _, of_dense, by_table = tables.value_and_gradients(loss_of, weights)
        after = [_jax_rows.descended(x, by_table.get(i, []), 0.5) for i, x in enumerate(weights)]
        dense = [x - 0.5 * g for x, g in zip(tables.dense(weights), of_dense, strict=True)]
        return tables.merged(dense, after)

    found = jax.jit(moved)(trained)
    wanted = [x - 0.5 * g for x, g in zip(trained, whole, strict=True)]
    apart = [
        float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, wanted, strict=True)
    ]
    still = float(np.abs(found[0][5:] - trained[0][5:]).max())
    return [*apart, still]


def test_a_table_that_is_looked_up_twice_moves_by_both() -> None:
    """As plain SGD on the gradient of the whole table would move it; rows nobody asked for stay."""
    if "jax" not in subjects.installed():
        pytest.skip("jax is not installed")
    *apart, still = subjects.ask("jax", a_table_looked_up_twice)
    assert len(apart) == 3
    assert max(apart) < 1e-6
    assert still == 0
