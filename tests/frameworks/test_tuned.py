"""What ``tuned`` turns on gives the answers of ``base``, and is what the machine runs faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dlbench.core import registry
from dlbench.core.types import Absent, Mode, Policy, Precision
from dlbench.frameworks import _openvino_program
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
        ("resnet50", "training", True),
        ("bert_base", "training", True),
        *(
            (name, "training", False)
            for name in ("lstm_lm", "lstm_forecast", "deepspeech2", "gnmt")
        ),
        ("lstm_lm", "inference", True),
        ("deepspeech2", "inference", True),
        ("mobilenet_v3_large", "training", False),
        ("mobilenet_v3_large", "inference", False),
    ],
)
def test_tensorflow_leaves_to_its_graphs_what_xla_slows_down(
    workload: str, mode: str, compiled: bool
) -> None:
    """Grouped convolutions, and recurrent layers in training; the answers are the same."""
    if "tensorflow" not in subjects.installed():
        pytest.skip("tensorflow is not installed")
    found, tuned, base = subjects.ask("tensorflow", compiled_and_answers, workload, mode)
    assert found is compiled
    assert tuned == pytest.approx(base, rel=1e-3, abs=1e-4)


def kinds_of_layers(framework: str) -> list[tuple[bool, bool]]:
    """Runs beside: recurrent and grouped, of small models of one's own."""
    import keras

    from dlbench.frameworks import _keras

    layers = keras.layers
    sequence, image = keras.Input((5, 4)), keras.Input((8, 8, 4))
    models = (
        keras.Model(sequence, layers.Bidirectional(layers.GRU(3))(sequence)),
        keras.Model(sequence, layers.TimeDistributed(layers.Dense(3))(sequence)),
        keras.Sequential([image, keras.Sequential([layers.DepthwiseConv2D(3)])]),
        keras.Model(image, layers.Conv2D(4, 3, groups=2)(image)),
        keras.Model(image, layers.GroupNormalization(2)(layers.Conv2D(4, 3)(image))),
    )
    return [(k.recurrent, k.grouped) for k in (_keras.kinds(keras, m) for m in models)]


def test_layers_are_seen_inside_of_others() -> None:
    """A wrapped layer, a model in a model; groups of a normalisation are none of a convolution."""
    if "tensorflow" not in subjects.installed():
        pytest.skip("tensorflow is not installed")
    assert subjects.ask("tensorflow", kinds_of_layers) == [
        [True, False],
        [False, False],
        [False, True],
        [False, True],
        [False, False],
    ]
