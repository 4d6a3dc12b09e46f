"""Models of the user's own in every real framework: measured, counted, and refused in a sentence."""

from __future__ import annotations

import contextlib
import operator
import resource
import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlbench import environment, own_models, plan, session
from dlbench.cli import run as command
from dlbench.core import registry
from dlbench.core.errors import (
    HostOutOfMemoryError,
    MissingDependencyError,
    ModelError,
    SubjectError,
    UnsupportedError,
)
from dlbench.core.protocols import Subject, SubjectRequest
from dlbench.core.types import (
    Absent,
    Case,
    CaseResult,
    Mode,
    OwnModel,
    Policy,
    Precision,
    Run,
    Scenario,
    Selection,
    TelemetryLevel,
)
from dlbench.frameworks import _own_torch, _seeded, onnxruntime
from scripts import make_references
from tests import sessions, subjects
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks

TORCH = """
import torch
from torch import nn

def image():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 10),
    )

def frozen():
    return image().requires_grad_(False)

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.head = nn.Linear(8, 50)

    def forward(self, tokens, mask):
        hidden, state = self.lstm(self.embedding(tokens) * mask.unsqueeze(-1))
        return {"logits": self.head(hidden), "state": state[0]}

def bare():
    return nn.ReLU()

class Sum(nn.Module):
    def forward(self, x):
        return x.sum()

class Words(nn.Module):
    def forward(self, x):
        return "seven"

class Leaving(nn.Module):
    def forward(self, x):
        raise SystemExit(0)

class Best(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, x):
        return super().forward(x).argmax(-1)

def one():
    return nn.Linear(1, 1)

def number():
    return 3

def lazy():
    return nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(4))

class Auxiliary(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, x):
        y = super().forward(x)
        return (y, y) if self.training else y

class Forked(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, x):
        return super().forward(x if x[0, 0] > 0 else -x)

class Untraceable(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, x):
        if torch.jit.is_tracing():
            raise TypeError("not to be traced")
        return super().forward(x)

class State(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.state = nn.LSTM(4, 4, batch_first=True), torch.zeros(1, 8, 4)

    def forward(self, x):
        return self.lstm(x, (self.state, self.state))[0]

class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.tail = nn.Linear(5, 3), nn.Linear(5, 2)

    def forward(self, x):
        return {"logits": self.head(x), "beside": [self.tail(x)]}

class Cast(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(50, 5), nn.Linear(5, 3).bfloat16()

    def forward(self, x):
        return self.head((x + self.table.weight[0]).bfloat16())

class Autocast(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)

def quantised():
    model = nn.Sequential(nn.Linear(5, 3))
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)

def undefined():
    model = nn.Linear(5, 3)
    nn.init.constant_(model.weight, float("nan"))
    return model
"""

KERAS = """
import keras
from keras import layers

def image():
    x = keras.Input((16, 16, 3))
    h = layers.Conv2D(8, 3, groups=1)(x)
    h = layers.GlobalAveragePooling2D()(layers.ReLU()(h))
    return keras.Model(x, layers.Dense(10)(h))

def text():
    return keras.Sequential(
        [layers.Embedding(50, 8), layers.Bidirectional(layers.LSTM(16)), layers.Dense(1)]
    )

def attention():
    x = keras.Input((5, 8))
    h = layers.MultiHeadAttention(2, 4)(x, x)
    h = layers.LayerNormalization()(layers.Add()([h, x]))
    h = layers.Reshape((5, 4, 2))(h)
    h = layers.MultiHeadAttention(2, 4)(h, h)
    h = layers.MultiHeadAttention(3, 2, attention_axes=(2,))(h, h)
    h = layers.Reshape((5, 8, 1))(h)
    h = layers.Conv2DTranspose(3, 2, strides=2)(layers.DepthwiseConv2D(3, padding="same")(h))
    return keras.Model(x, h)

def masked():
    x = keras.Input((6,), dtype="int32")
    h = layers.LSTM(16, return_sequences=True)(layers.Embedding(50, 8, mask_zero=True)(x))
    h = keras.ops.cast(keras.ops.tanh(h) * 2 + 1, "float32")
    return keras.Model(x, keras.ops.matmul(h, keras.ops.transpose(h, (0, 2, 1))))

def augmented():
    x = keras.Input((8, 8, 3))
    h = layers.RandomFlip()(layers.Resizing(8, 8)(x))
    return keras.Model(x, layers.Dense(4)(layers.Flatten()(h)))

def convolved():
    x = keras.Input((8, 8, 3))
    return keras.Model(x, keras.ops.conv(x, keras.ops.ones((3, 3, 3, 2))))

def heads():
    x = keras.Input((8,))
    return keras.Model(x, {"logits": layers.Dense(3)(x), "beside": layers.Dense(2)(x)})

def saved():
    import tempfile
    built = keras.Sequential([keras.Input((8,)), layers.Dense(16, dtype="float32"),
                              layers.Dense(4, dtype="float32")])
    with tempfile.TemporaryDirectory() as folder:
        built.save(folder + "/net.keras")
        return keras.models.load_model(folder + "/net.keras")

def normalised():
    return keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(),
                             layers.GlobalAveragePooling2D(), layers.Dense(5)])

def frozen():
    model = normalised()
    model.trainable = False
    return model

def turned():
    return keras.Sequential([keras.Input((8, 8, 3)), layers.RandomRotation(0.1), layers.Flatten(),
                             layers.Dense(4)])

def total():
    x = keras.Input((8,))
    return keras.Model(x, keras.ops.sum(layers.Dense(3)(x)))

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = layers.Dense(4)

    def call(self, x):
        return self.layer(x)

def number():
    return 3
"""

KERAS_FRAMEWORKS = ("tensorflow", "jax", "keras")

IMAGE_FLOPS = 2 * 8 * 27 * 14 * 14 + 2 * 8 * 10
"""A 3x3 convolution of 3 to 8 channels at 14x14, and a dense layer of 8 to 10."""

TOKENS_FLOPS = 7 * (2 * 2 * 8 * 4 * 8 + 2 * 8 * 50)
"""Seven steps of an LSTM's two products, and of the head."""


def _need(*frameworks: str) -> None:
    for name in frameworks:
        found = registry.framework(name).probe()
        if isinstance(found, Absent):
            pytest.skip(found.reason)


def _own(tmp_path: Path, source: str, function: str, *inputs: str, loss: str = "auto") -> OwnModel:
    path = tmp_path / "net.py"
    path.write_text(source)
    return own_models.parse(f"{path}:{function}", inputs, None, loss, frameworks_given=True)


def _open(framework: str, model: OwnModel, threads: int = 1, **changes: Any) -> Subject:
    """A subject in this process, as the worker would open it."""
    _need(framework)
    base: dict[str, Any] = {
        "workload": model.name,
        "framework": framework,
        "device": "cpu",
        "precision": Precision.FP32,
        "mode": Mode.INFERENCE,
        "scenario": Scenario.OFFLINE,
        "batch_size": 4,
    }
    device = registry.device_kind("cpu").find()
    assert not isinstance(device, Absent)
    # As the worker does it: an ONNX file is no Python, and nothing of it is loaded.
    load: Any = (lambda: own_models.load(model)) if model.function else (lambda: None)
    request = SubjectRequest(
        case=Case(**{**base, **changes}),
        device=device[0],
        spec=own_models.read(model).spec("full"),
        load_model=load,
        threads=threads,
        seed=0,
        scratch=Path(tempfile.gettempdir()),
        model_path=None if model.function else Path(model.path),
    )
    return registry.framework(framework).open_subject(request)


def _train(model: OwnModel, **changes: Any) -> Subject:
    return _open("pytorch", model, mode=Mode.TRAINING, scenario=None, **changes)


def _measure(model: OwnModel, results: Path, **asked: Any) -> Run:
    """A real session of one trial a case, in worker processes."""
    selection = Selection(model=model, devices=("cpu",), **asked)
    return _session(selection, session.Settings(folder=results, model=model))


def _session(selection: Selection, settings: session.Settings) -> Run:
    devices, absent = environment.find_devices()
    machine = plan.Machine(
        devices=devices,
        absent_devices=absent,
        threads=1,
        workload_folder=settings.workload_folder,
    )
    planned = plan.make_plan(selection, machine)
    # Nothing here asks for telemetry, which costs each session seconds and each worker a process.
    off = TelemetryLevel.OFF
    planned = replace(planned, profile=sessions.PROFILE, sentinel=None, telemetry=off)
    here = environment.gather(devices, selection.frameworks)
    return session.run_plan(planned, here, devices, settings).run


def _by_framework(run: Run, mode: Mode = Mode.INFERENCE) -> dict[str, CaseResult]:
    return {r.case.framework: r for r in run.results if r.case.mode is mode}


# --- PyTorch --------------------------------------------------------------------------------


def test_a_torch_model_is_measured_and_counted(tmp_path: Path, results: Path) -> None:
    """Training and inference; parameters and FLOPs come into the document; the loss is recorded."""
    _need("pytorch")
    model = _own(tmp_path, TORCH, "image", "3x16x16")
    run = _measure(model, results, frameworks=("pytorch",))
    assert [str(r.outcome) for r in run.results] == ["ok", "ok"]
    (info,) = run.plan.workloads
    assert info.parameters == 8 * 27 + 8 + 16 + 8 * 10 + 10
    assert info.flops == IMAGE_FLOPS
    training = _by_framework(run, Mode.TRAINING)["pytorch"].trials[0]
    assert training.subject["loss"] == "cross_entropy"
    assert {c.rule for c in training.checks if c.passed} >= {"loss_finite", "loss_falls"}


def test_the_same_model_in_each_process(tmp_path: Path) -> None:
    """Weights of its own generators are seeded: outputs agree to the last bit."""
    model = _own(tmp_path, TORCH, "image", "3x16x16")
    first, second = (_open("pytorch", model) for _ in range(2))
    a, b = (s.fetch(s.query(1)) for s in (first, second))
    assert (a == b).all()
    assert a.std() > 0


def test_fused_attention_is_counted(tmp_path: Path) -> None:
    """PyTorch's counter takes its own fused operations for free, unless they are switched off."""
    source = (
        "from torch import nn\n"
        "def build():\n"
        "    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)\n"
    )
    subject = _open("pytorch", _own(tmp_path, source, "build", "5x8"))
    projections, attention, dense = 4 * 5 * 8 * 8, 2 * 5 * 5 * 8, 2 * 5 * 8 * 16
    assert subject.info["flops_per_sample"] == 2 * (projections + attention + dense)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    """Tokens and a mask go in by position; the first of two outputs is meant, and that is said."""
    model = _own(tmp_path, TORCH, "Tokens", "7:int64:50", "7:float32", loss="cross_entropy")
    subject = _train(model)
    assert subject.info["several_outputs"] is True
    assert subject.info["flops_per_sample"] == TOKENS_FLOPS
    assert subject.info["loss"] == "cross_entropy"
    losses = [float(subject.fetch(subject.step(0))) for _ in range(5)]
    assert losses[0] == pytest.approx(
        3.9, abs=0.3
    )  # ln(50): no token is expected more than another
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("framework", ["pytorch", "onnxruntime", "openvino"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_all_outputs_of_a_model_are_computed(framework: str, tmp_path: Path) -> None:
    """Of the first alone what compiles or exports it leaves out what only the others need."""
    subject: Any = _open(framework, _own(tmp_path, TORCH, "Heads", "5"))
    assert subject.fetch(subject.query(0)).shape == (4, 3)
    shapes = {
        "pytorch": lambda: [tuple(x.shape) for x in subject.model(*subject.inputs[0])],
        "onnxruntime": lambda: [tuple(x.shape) for x in subject._session.get_outputs()],
        "openvino": lambda: [tuple(x.shape) for x in subject._program.compiled.outputs],
    }
    assert shapes[framework]() == [(4, 3), (4, 2)]


@pytest.mark.parametrize(
    ("function", "found"), [("Cast", "bfloat16"), ("Autocast", "bfloat16"), ("quantised", "int8")]
)
@pytest.mark.filterwarnings("ignore")
def test_products_in_another_format_are_never_called_fp32(
    function: str, found: str, tmp_path: Path
) -> None:
    """Whatever the largest weight is held in: the gate is told what is multiplied."""
    subject = _open("pytorch", _own(tmp_path, TORCH, function, "5"))
    assert subject.info["parameter_dtype"] == "float32"
    assert subject.info["compute_dtype"] == found


def test_outputs_that_are_no_classes_are_trained_by_their_squares(tmp_path: Path) -> None:
    """Three dimensions: unless the user says cross_entropy."""
    model = _own(tmp_path, TORCH, "Tokens", "7:int64:50", "7:float32")
    assert _train(model).info["loss"] == "mse"


def test_a_model_without_parameters_runs(tmp_path: Path) -> None:
    """Inference has nothing to ask of them."""
    subject = _open("pytorch", _own(tmp_path, TORCH, "bare", "5"))
    assert subject.info["parameters"] == 0
    assert (subject.fetch(subject.query(0)) >= 0).all()


def test_frozen_parameters_count(tmp_path: Path) -> None:
    """They take their room on any device, and an optimiser has nothing for them."""
    subject = _open("pytorch", _own(tmp_path, TORCH, "frozen", "3x16x16"))
    assert subject.info["parameters"] == 8 * 27 + 8 + 16 + 8 * 10 + 10


FROZEN = {
    "pytorch": """
from torch import nn

def build(body=True, table=True):
    model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(40, 16), nn.Linear(16, 4))
    model[0].requires_grad_(table)
    model[2].requires_grad_(body)
    return model
""",
    "keras": """
import keras
from keras import layers

def build(body=True, table=True):
    model = keras.Sequential([keras.Input((5,), dtype="int32"), layers.Embedding(50, 8),
                              layers.Flatten(), layers.Dense(16), layers.Dense(4)])
    model.layers[0].trainable = table
    model.layers[2].trainable = body
    return model
""",
}
"""Each with ``head``, of which the last layer alone is trained, ``rows``, of which all but a table is,
and ``build``, which is trained as a whole."""

HEAD_AND_ROWS = """
def head():
    return build(body=False)

def rows():
    return build(table=False)
"""


@pytest.mark.parametrize("framework", ["pytorch", "keras"])
def test_a_step_of_a_model_that_is_frozen_in_part_is_not_three_forwards(
    framework: str, tmp_path: Path
) -> None:
    """Products with frozen weights are left out of the backward pass; looking up rows is none."""
    _need(framework)
    functions = ("head", "rows", "build")
    found = [subjects.ask(framework, _frozen, str(_folder(tmp_path, x)), x) for x in functions]
    assert found == [True, False, False]


def _frozen(framework: str, folder: str, function: str) -> bool:
    """Runs beside: whether it says that weights of products are frozen."""
    model = _own(Path(folder), FROZEN[framework] + HEAD_AND_ROWS, function, "5:int64:50")
    found = _open(framework, model, mode=Mode.TRAINING, scenario=None).info["frozen_products"]
    assert isinstance(found, bool)
    return found


def test_a_row_that_a_table_lacks_is_not_looked_up_on_a_gpu(tmp_path: Path) -> None:
    """There it ends CUDA for the process, at some later call that tells nothing of it."""
    _need("pytorch")
    import torch

    asked: list[object] = []
    model = torch.nn.Embedding(50, 8)
    model.to = asked.append  # a GPU that nobody has here
    spec = own_models.read(_own(tmp_path, TORCH, "Tokens", "7:int64:900")).spec("full")
    request: Any = SimpleNamespace(spec=spec)
    arrays = _seeded.batch(spec, "inputs", 0, 2)
    with pytest.raises(ModelError, match=r"does not take 7 int64 a sample: it raised IndexError"):
        _own_torch._look(torch, request, model, arrays, SimpleNamespace(type="cuda"))
    assert not asked


@pytest.mark.parametrize("framework", ["keras", "tensorflow", "jax"])
def test_frozen_layers_of_keras_count(framework: str, tmp_path: Path) -> None:
    """Their normalisation's means are no parameters, frozen or not."""
    _need(framework)
    counted = [
        subjects.ask(framework, _keras_parameters, str(_folder(tmp_path, name)), name)
        for name in ("normalised", "frozen")
    ]
    assert counted == [3 * 4 * 9 + 4 + 2 * 4 + 4 * 5 + 5] * 2


@pytest.mark.parametrize(("framework", "source"), [("pytorch", TORCH), ("keras", KERAS)])
def test_what_is_frozen_as_a_whole_is_not_trained(
    framework: str, source: str, tmp_path: Path
) -> None:
    """It has parameters, and none of them moves."""
    shape = {"pytorch": "3x16x16", "keras": "16x16x3"}[framework]
    _need(framework)
    said = subjects.ask(framework, _refusal_to_train, str(tmp_path), source, shape)
    assert "frozen has no trainable parameter" in said


def _refusal_to_train(framework: str, folder: str, source: str, shape: str) -> str:
    """Runs beside: why a frozen model is not trained."""
    try:
        _open(
            framework,
            _own(Path(folder), source, "frozen", shape),
            mode=Mode.TRAINING,
            scenario=None,
        )
    except ModelError as error:
        return str(error)
    return "it was trained"


def _keras_parameters(framework: str, folder: str, function: str) -> int:
    """Runs beside: a backend of Keras's is chosen once in a process."""
    subject = _open(framework, _own(Path(folder), KERAS, function, "16x16x3"))
    found = subject.info["parameters"]
    assert isinstance(found, int)
    return found


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("function", "inputs", "sentence"),
    [
        ("image", ["4x16x16"], "does not take 4x16x16 float32 a sample: it raised RuntimeError"),
        ("image", ["3x16x16", "3"], "does not take 3x16x16 float32 a sample, 3 float32 a sample"),
        ("Tokens", ["7:int64:900", "7"], "it raised IndexError"),
        ("Sum", ["5"], r"gave an output of shape \(\) for 2 samples"),
        ("Words", ["5"], "answers with an object of type str"),
        ("Leaving", ["5"], "does not take 5 float32 a sample: it raised SystemExit"),
        ("number", ["5"], r"type int, which is not a torch\.nn\.Module"),
        ("nosuch", ["5"], r"net\.py has no nosuch"),
    ],
)
@pytest.mark.parametrize("framework", ["pytorch", "onnxruntime", "openvino"])
def test_a_wrong_torch_model_is_a_sentence(
    framework: str, function: str, inputs: list[str], sentence: str, tmp_path: Path
) -> None:
    """The same in the frameworks that derive theirs from it."""
    with pytest.raises(ModelError, match=sentence):
        _open(framework, _own(tmp_path, TORCH, function, *inputs))


def test_whole_numbers_are_not_trained(tmp_path: Path) -> None:
    """And a single output has no classes."""
    with pytest.raises(ModelError, match="gives int64 numbers, which no loss trains"):
        _train(_own(tmp_path, TORCH, "Best", "5"))
    with pytest.raises(ModelError, match="no classes for a cross entropy"):
        _train(_own(tmp_path, TORCH, "one", "1", loss="cross_entropy"))
    with pytest.raises(ModelError, match=r"net\.py:bare has no trainable parameter") as caught:
        _train(_own(tmp_path, TORCH, "bare", "5"))
    assert caught.value.advice == "--mode inference"


def test_a_model_of_one_batch_alone_runs_at_it(tmp_path: Path) -> None:
    """Its state is of eight samples: it was looked at with two, and refused."""
    model = _own(tmp_path, TORCH, "State", "5x4")
    subject = _open("pytorch", model, batch_size=8)
    assert subject.info["flops_per_sample"] == 5 * 2 * (2 * 4 * 16)
    assert subject.fetch(subject.query(0)).shape == (8, 5, 4)
    with pytest.raises(ModelError, match="does not take 5x4 float32 a sample: it raised Runtime"):
        _open("pytorch", model, batch_size=4)


@pytest.mark.parametrize(("function", "shape"), [("lazy", "5"), ("Auxiliary", "5")])
def test_what_differs_in_training_is_trained(function: str, shape: str, tmp_path: Path) -> None:
    """Weights that the first call makes, and more outputs than in inference."""
    subject = _train(_own(tmp_path, TORCH, function, shape))
    losses = [float(subject.fetch(subject.step(0))) for _ in range(3)]
    assert losses[2] < losses[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("framework", "how"),
    [("onnxruntime", "exported to ONNX"), ("openvino", "converted by OpenVINO")],
)
def test_what_cannot_be_derived_is_the_models_fault(
    framework: str, how: str, tmp_path: Path
) -> None:
    """A sentence that begins with the model; what its first call makes can be traced."""
    said = rf"net\.py:Untraceable cannot be {how}: it raised \w+: not to be traced$"
    with pytest.raises(ModelError, match=said):
        _open(framework, _own(tmp_path, TORCH, "Untraceable", "5"))
    subject = _open(framework, _own(tmp_path, TORCH, "lazy", "5"))
    assert subject.info["parameters"] == 5 * 6 + 6 + 6 * 4 + 4


HUNGRY = """
import torch

class Hungry(torch.nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, x):
        if x.shape[0] > 2:
            torch.empty(10**15)
        return super().forward(x)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", ["pytorch", "onnxruntime", "openvino"])
def test_a_batch_that_does_not_fit_while_it_is_derived_is_out_of_memory(
    framework: str, tmp_path: Path
) -> None:
    """It was the model's error, and a search for the largest batch ended there."""
    model = _own(tmp_path, HUNGRY, "Hungry", "5")
    with pytest.raises(HostOutOfMemoryError, match="can't allocate memory"):
        _open(framework, model).query(0)
    _open(framework, model, batch_size=2)


SCALED = """
import torch

class Scaled(torch.nn.Linear):
    def __init__(self):
        super().__init__(5, 3)

    def forward(self, x):
        return super().forward(x.mul_(3).add_(1))
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", ["onnxruntime", "openvino"])
def test_what_is_derived_is_asked_about_inputs_that_nothing_wrote_over(
    framework: str, tmp_path: Path
) -> None:
    """PyTorch scales them in place; the library was given those, and said to answer otherwise."""
    subject = _open(framework, _own(tmp_path, SCALED, "Scaled", "5"))
    assert subject.fetch(subject.query(0)).shape == (4, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", ["onnxruntime", "openvino"])
def test_what_is_derived_answers_as_pytorch_does(framework: str, tmp_path: Path) -> None:
    """A condition on the inputs is traced into the one branch that the first buffer takes."""
    with pytest.raises(
        ModelError, match=f"Forked answers otherwise in {framework} than in PyTorch"
    ):
        _open(framework, _own(tmp_path, TORCH, "Forked", "5"))
    model = _own(tmp_path, TORCH, "image", "3x16x16")
    derived, original = _open(framework, model), _open("pytorch", model)
    difference = derived.fetch(derived.query(2)) - original.fetch(original.query(2))
    assert abs(difference).max() < 1e-4


def test_int8_is_refused_where_nothing_is_quantised(tmp_path: Path) -> None:
    """A model without products would be float32 under the name of int8; NaN has no range."""
    with pytest.raises(UnsupportedError, match="no product that static quantisation takes"):
        _open("onnxruntime", _own(tmp_path, TORCH, "bare", "5"), precision=Precision.INT8)
    with pytest.raises(ModelError, match=r"net\.py:undefined cannot be quantised: it raised"):
        _open("onnxruntime", _own(tmp_path, TORCH, "undefined", "5"), precision=Precision.INT8)


def test_a_compiler_that_is_missing_is_a_dependency() -> None:
    """The slim images that most containers start from have none."""
    torch = pytest.importorskip("torch")
    from dlbench.frameworks import pytorch

    told = "InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx"
    with pytest.raises(MissingDependencyError) as caught, pytorch.translated(torch):
        raise RuntimeError(told)
    assert caught.value.advice == "apt install g++, or --policy base"


def test_bf16_is_autocast_for_own_models_too(tmp_path: Path) -> None:
    """Close to fp32, and not equal."""
    model = _own(tmp_path, TORCH, "image", "3x16x16")
    exact, rounded = (
        (s := _open("pytorch", model, precision=p)).fetch(s.query(0))
        for p in (Precision.FP32, Precision.BF16)
    )
    assert 1e-6 < abs(rounded - exact).max() / exact.std() < 0.1


def test_tuned_leaves_the_weights_of_an_own_model_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autocast does not round what goes into a bilinear form, so that rounded weights would not fit."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    source = (
        "import torch\n"
        "class Pairs(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.linear = torch.nn.Linear(4, 4)\n"
        "        self.form = torch.nn.Bilinear(4, 4, 2)\n"
        "    def forward(self, x):\n"
        "        return self.form(x, self.linear(x).float())\n"
    )
    model = _own(tmp_path, source, "Pairs", "4")
    subject = _open("pytorch", model, precision=Precision.BF16, policy=Policy.TUNED)
    assert subject.fetch(subject.query(0)).shape == (4, 2)
    assert subject.info["parameter_dtype"] == "float32"
    assert subject.info["compute_dtype"] == "bfloat16"


def test_tuned_leaves_images_as_they_are_where_a_model_flattens_them_by_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many do before their first dense layer: with channels innermost that raised."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    source = (
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 2)\n"
        "    def forward(self, x):\n"
        "        x = self.convolution(x)\n"
        "        return self.head(x.view(len(x), -1))\n"
    )
    changes: dict[str, Any] = {"precision": Precision.BF16, "policy": Policy.TUNED}
    subject: Any = _open("pytorch", _own(tmp_path, source, "Net", "3x8x8"), **changes)
    assert subject.fetch(subject.query(0)).shape == (4, 2)
    assert subject.inputs[0][0].is_contiguous()
    assert subject.info["channels_last"] is False
    subject = _open("pytorch", _own(tmp_path, TORCH, "image", "3x16x16"), **changes)
    assert subject.inputs[0][0].is_contiguous(memory_format=torch.channels_last)
    assert subject.info["channels_last"] is True


SWITCHES = (
    "torch.backends",
    "torch.backends.cuda.matmul",
    "torch.backends.cudnn",
    "torch.backends.cudnn.conv",
    "torch.backends.cudnn.rnn",
    "torch.backends.mkldnn.matmul",
    "torch.backends.mkldnn.conv",
    "torch.backends.mkldnn.rnn",
)
"""Whatever in PyTorch has an ``fp32_precision`` of its own."""


@pytest.mark.parametrize(
    "setting",
    [
        "torch.set_float32_matmul_precision('high'); torch.backends.cudnn.allow_tf32 = True",
        "torch.set_float32_matmul_precision('medium')",
        *(f"{switch}.fp32_precision = 'tf32'" for switch in SWITCHES),
        "torch.backends.mkldnn.set_flags(_fp32_precision='bf16')",
        "torch.backends.cuda.matmul.allow_fp16_accumulation = True",
    ],
)
def test_settings_of_the_file_do_not_change_what_was_asked_for(
    tmp_path: Path, setting: str
) -> None:
    """TF32, bf16 in float32's place, more threads, a search for algorithms: measured as asked."""
    torch = pytest.importorskip("torch")
    source = (
        "import torch\n"
        f"{setting}\n"
        "torch.set_num_threads(7)\n"
        "torch.backends.cudnn.benchmark = True\n"
        "def build():\n    return torch.nn.Linear(4, 2)\n"
    )
    subject = _open("pytorch", _own(tmp_path, source, "build", "4"))
    found = {s: operator.attrgetter(s)(SimpleNamespace(torch=torch)) for s in SWITCHES}
    assert {s: x.fp32_precision for s, x in found.items()} == dict.fromkeys(SWITCHES, "ieee")
    assert torch.backends.cuda.matmul.allow_tf32 is False
    assert torch.backends.cuda.matmul.allow_fp16_accumulation is False
    assert torch.backends.cudnn.allow_tf32 is False
    assert torch.backends.cudnn.benchmark is False
    assert subject.info["tf32"] is False
    assert subject.info["threads"] == torch.get_num_threads() == 1


SEARCHING = """
import torch

torch.set_grad_enabled(False)
torch.autograd.set_detect_anomaly(True)
torch.use_deterministic_algorithms(True)
torch.backends.cudnn.deterministic = True
compiled = []

def backend(graph, _):
    compiled.append(graph)
    return graph.forward

def build():
    return torch.compile(torch.nn.Linear(5, 3), backend=backend)
"""


@pytest.mark.filterwarnings("ignore")
def test_what_a_file_turned_on_to_find_its_faults_is_not_measured(tmp_path: Path) -> None:
    """Nor what it compiles itself, in base; what it turned off is on again to train."""
    torch = pytest.importorskip("torch")
    try:
        subject = _train(_own(tmp_path, SEARCHING, "build", "5"))
        losses = [float(subject.fetch(subject.step(0))) for _ in range(3)]
        turned_on = (
            torch.is_anomaly_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
        )
    finally:
        torch.compiler.set_stance("default")
        torch.set_grad_enabled(mode=True)
    assert losses[2] < losses[0]
    assert not any(turned_on)
    assert sys.modules["dlbench_own_net"].compiled == []
    assert subject.info["compiled"] is False
    assert subject.info["flops_per_sample"] == 2 * 5 * 3


def test_what_pytorch_computes_in_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what was asked for: a switch that was turned, TF32 that is on, an autocast that is not."""
    torch = pytest.importorskip("torch")
    from dlbench.frameworks import pytorch

    model = _own(tmp_path, TORCH, "image", "3x16x16")
    subject = _open("pytorch", model)
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    told = [subject.info["tf32"]]
    case = replace(request_for("pytorch", "gemm").case, precision=Precision.TF32)
    pytorch.set_numerics(torch, case, 1)
    assert [*told, subject.info["tf32"]] == ["ieee and tf32", True]
    assert _open("pytorch", model, precision=Precision.BF16).info["compute_dtype"] == "bfloat16"
    monkeypatch.setattr(pytorch.TorchSubject, "_autocast", lambda _: contextlib.nullcontext())
    assert _open("pytorch", model, precision=Precision.BF16).info["compute_dtype"] == "float32"


BIG = """
import torch

def build():
    return torch.nn.Linear(1_000_000, 1)
"""


def test_a_batch_of_40_gb_is_out_of_memory_and_the_run_continues(tmp_path: Path) -> None:
    """Under a limit of address space, so that this machine does not really run out."""
    _need("pytorch")
    (tmp_path / "net.py").write_text(BIG)
    limit = 16 * 2**30
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dlbench", "run", "--model", "net.py:build"),
            *("--input", "1000000", "-b", "10000,2", "-f", "pytorch", "-d", "cpu"),
            *("--mode", "inference", "--time-budget", "1s", "--threads", "1"),
            *("--telemetry", "off"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode in {3, 4}, done.stderr
    (path,) = (tmp_path / "results").glob("*.json")
    from dlbench.store import runs

    outcomes = {r.case.batch_size: r for r in runs.read_run(path).results}
    ended = {size: [t.outcome for t in r.trials] for size, r in outcomes.items()}
    (too_large,) = ended[10000]
    assert str(too_large) == "oom_host"
    assert "Use a smaller --batch-size" in too_large.advice
    assert all(o.ok for o in ended[2])


# --- Keras ----------------------------------------------------------------------------------


def test_a_keras_model_is_measured_by_each_of_its_frameworks(tmp_path: Path, results: Path) -> None:
    """Images in Keras's own layout; the count of its layers equals PyTorch's of the same network."""
    _need(*KERAS_FRAMEWORKS)
    model = _own(tmp_path, KERAS, "image", "16x16x3")
    run = _measure(
        model, results, frameworks=KERAS_FRAMEWORKS, modes=(Mode.TRAINING, Mode.INFERENCE)
    )
    assert {str(r.outcome) for r in run.results} == {"ok"}
    assert len(run.results) == 6
    for result in run.results:
        assert result.trials[0].subject["flops_per_sample"] == IMAGE_FLOPS, result.case.label
    (info,) = run.plan.workloads
    assert (info.parameters, info.flops) == (8 * 27 + 8 + 8 * 10 + 10, IMAGE_FLOPS)


def test_the_table_of_keras_layers_counts_as_pytorch_does(tmp_path: Path) -> None:
    """Of recurrent, attention, depthwise and transposed layers: the two counts are the same."""
    _need("keras")
    (tmp_path / "net.py").write_text(KERAS)
    program = (
        "import os, sys; os.environ['KERAS_BACKEND'] = 'torch'\n"
        f"sys.path.append({str(tmp_path)!r})\n"
        "import keras, net, numpy, torch\n"
        "from dlbench.frameworks import _keras_flops, _own_torch\n"
        "for build, given in ((net.text, numpy.zeros((2, 6), 'int32')),\n"
        "                     (net.attention, numpy.ones((2, 5, 8), 'float32')),\n"
        "                     (net.masked, numpy.zeros((2, 6), 'int32')),\n"
        "                     (net.augmented, numpy.ones((2, 8, 8, 3), 'float32'))):\n"
        "    model = build()\n"
        "    given = keras.ops.convert_to_tensor(given)\n"
        "    model(given)\n"
        "    with torch.inference_mode(), _own_torch.counting(torch) as counter:\n"
        "        model(given, training=False)\n"
        "    print(_keras_flops.counted(keras, model, given)[1], counter.get_total_flops())\n"
        "given = keras.ops.ones((2, 8, 8, 3))\n"
        "print(_keras_flops.counted(keras, net.convolved(), given)[1].reason, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [[float(x) for x in line.split()] for line in done.stdout.splitlines()]
    lstm = 2 * 2 * 6 * 2 * (8 * 64 + 16 * 64) + 2 * 2 * 32
    assert rows[0] == [lstm, lstm]
    assert rows[1][0] == rows[1][1] > 0
    one_way = 2 * 2 * 6 * (8 * 64 + 16 * 64)
    # On PyTorch a masked layer's cell runs once more, to see what it gives.
    assert rows[2] == [one_way + 2 * 2 * 6 * 6 * 16, one_way * 7 / 6 + 2 * 2 * 6 * 6 * 16]
    assert rows[3] == [2 * 2 * 4 * 8 * 8 * 3] * 2
    assert "the products of Keras's Conv are not counted" in done.stderr


def test_a_subclassed_keras_model_runs_and_its_flops_may_be_absent(
    tmp_path: Path, results: Path
) -> None:
    """TensorFlow's and JAX's trials cannot see into its call; PyTorch's counter can."""
    _need("jax", "keras")
    run = _measure(
        _own(tmp_path, KERAS, "Own", "3"),
        results,
        frameworks=("jax", "keras"),
        modes=(Mode.INFERENCE,),
    )
    found = {n: r.trials[0].subject["flops_per_sample"] for n, r in _by_framework(run).items()}
    assert found["keras"] == 2 * 3 * 4
    assert isinstance(found["jax"], Absent)
    assert "a layer of your own" in found["jax"].reason
    assert run.plan.workloads[0].flops == 2 * 3 * 4


def test_the_first_of_several_keras_outputs_is_meant(tmp_path: Path, results: Path) -> None:
    """As of PyTorch's; what the loss does not reach has no gradient, in each framework."""
    _need(*KERAS_FRAMEWORKS)
    model = _own(tmp_path, KERAS, "heads", "8")
    run = _measure(model, results, frameworks=KERAS_FRAMEWORKS, modes=(Mode.TRAINING,))
    assert {
        n: str(r.outcome) for n, r in _by_framework(run, Mode.TRAINING).items()
    } == dict.fromkeys(KERAS_FRAMEWORKS, "ok")
    for result in run.results:
        assert result.trials[0].subject["several_outputs"] is True
        assert result.trials[0].subject["loss"] == "cross_entropy"


def _keras_outputs(framework: str, folder: str) -> list[list[int]]:
    """Shapes of the meant output and of all that a query computes, of a model with several."""
    subject: Any = _open(framework, _own(Path(folder), KERAS, "heads", "8"))
    meant = subject.fetch(subject.query(0))
    given: dict[str, Any] = {
        "tensorflow": lambda: (subject.inputs[0],),
        "jax": lambda: (subject._trained, subject._untrained, subject.inputs[0]),
    }
    every = subject._run_query(*given[framework]())
    return [list(x.shape) for x in (meant, *every)]


@pytest.mark.parametrize("framework", ["tensorflow", "jax"])
def test_all_outputs_of_a_keras_model_are_computed(framework: str, tmp_path: Path) -> None:
    """The first in the model's own order is meant, and a compiler may leave out none."""
    _need(framework)
    found = subjects.ask(framework, _keras_outputs, str(tmp_path))
    assert found == [[4, 3], [4, 3], [4, 2]]


COUNTED = """
import keras

runs = []

class Counted(keras.layers.Dense):
    def call(self, x):
        runs.append(1)
        return super().call(x)

def build():
    return keras.Sequential([keras.Input((5,)), Counted(3)])
"""

KERAS_SWITCHES = {
    "tensorflow": """
import tensorflow as tf

tf.config.run_functions_eagerly(True)
tf.debugging.enable_check_numerics()
tf.config.optimizer.set_jit(True)
""",
    "jax": """
import jax

jax.config.update("jax_disable_jit", True)
jax.config.update("jax_debug_nans", True)
""",
    "keras": """
import torch

torch.autograd.set_detect_anomaly(True)
""",
}


def _turned_on(framework: str, folder: str) -> list[bool]:
    """Whether queries run the model's Python again, or anything still looks for faults."""
    source = KERAS_SWITCHES[framework] + COUNTED
    subject = _open(framework, _own(Path(folder), source, "build", "5"))
    runs = []
    for buffer in (0, 1):
        subject.fetch(subject.query(buffer))
        runs.append(len(sys.modules["dlbench_own_net"].runs))
    if framework == "keras":
        return [sys.modules["torch"].is_anomaly_enabled()]
    found = [runs[1] > runs[0]]
    if framework == "tensorflow":
        found.append(bool(sys.modules["tensorflow"].config.optimizer.get_jit()))
    if framework == "jax":
        config = sys.modules["jax"].config
        found += [config.jax_disable_jit, config.jax_debug_nans]
    return found


@pytest.mark.parametrize("framework", KERAS_FRAMEWORKS)
def test_what_a_keras_file_turned_on_to_find_its_faults_is_not_measured(
    framework: str, tmp_path: Path
) -> None:
    """As of PyTorch's: TensorFlow and JAX ran each step uncompiled, and said that it was compiled."""
    _need(framework)
    assert not any(subjects.ask(framework, _turned_on, str(tmp_path)))


def test_a_saved_keras_model_is_never_called_bf16(tmp_path: Path, results: Path) -> None:
    """Its layers bring their own dtype, whatever the global policy says."""
    _need("keras")
    model = _own(tmp_path, KERAS, "saved", "8")
    run = _measure(
        model,
        results,
        frameworks=("keras",),
        modes=(Mode.INFERENCE,),
        precisions=(Precision.FP32, Precision.BF16),
    )
    found = {r.case.precision: r.outcome for r in run.results} | {
        s.case.precision: s.outcome for s in run.plan.skips
    }
    assert str(found[Precision.FP32]) == "ok"
    assert str(found[Precision.BF16]).startswith("unsupported")
    if not run.plan.skips:  # a CPU without bf16 says so before
        assert "it computes in float32, whatever bf16 asks for" in found[Precision.BF16].message


def test_what_xla_lacks_is_unsupported(tmp_path: Path, results: Path) -> None:
    """By the operation's name, where TensorFlow prints its graph."""
    _need("tensorflow")
    model = _own(tmp_path, KERAS, "turned", "8x8x3")
    run = _measure(
        model,
        results,
        frameworks=("tensorflow",),
        modes=(Mode.TRAINING,),
        policies=(Policy.TUNED,),
    )
    (result,) = run.results
    assert result.outcome.message == "XLA has no ImageProjectiveTransformV3 for this device"
    assert result.outcome.advice == "--policy base"


def test_wrong_keras_models_are_sentences(tmp_path: Path, results: Path) -> None:
    """A number, a wrong shape; each in a worker of its own."""
    _need("keras")
    for function, shape, sentence in (
        ("number", "3", "type int, which is not a keras.Model"),
        ("image", "16x16x4", "does not take 16x16x4 float32 a sample: it raised"),
    ):
        model = _own(tmp_path, KERAS, function, shape)
        run = _measure(model, results, frameworks=("keras",), modes=(Mode.INFERENCE,))
        (result,) = run.results
        assert str(result.outcome) == "error(model)"
        assert sentence in result.outcome.message
        assert "Traceback" in result.trials[0].log


@pytest.mark.parametrize("framework", KERAS_FRAMEWORKS)
def test_an_output_without_a_batch_is_a_sentence(framework: str, tmp_path: Path) -> None:
    """TensorFlow's shape of no dimensions is true: it was an index out of range."""
    _need(framework)
    said = subjects.ask(framework, _refusal_of_a_total, str(tmp_path))
    assert said.startswith("net.py:total gave an output of shape () for 2 samples")


def _refusal_of_a_total(framework: str, folder: str) -> str:
    """Runs beside: why a model that gives one number a batch is not measured."""
    with pytest.raises(ModelError) as caught:
        _open(framework, _own(Path(folder), KERAS, "total", "8"))
    return caught.value.message


# --- ONNX -----------------------------------------------------------------------------------

RUNTIMES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX files of two networks: of any batch, of a fixed one, of any length."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("onnx")
    (folder / "net.py").write_text(TORCH)
    made = own_models.load(
        own_models.parse(f"{folder}/net.py:image", ["3"], None, "auto", frameworks_given=True)
    )
    image = made.build({}).eval()

    class Tokens(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(50, 8)
            self.lstm = torch.nn.LSTM(8, 8, batch_first=True)
            self.head = torch.nn.Linear(8, 50)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.lstm(self.embedding(tokens))[0])

    def export(model: Any, given: Any, name: str, axes: dict[int, str]) -> None:
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(
                model,
                (given,),
                str(folder / name),
                dynamo=False,
                opset_version=18,
                input_names=["x"],
                dynamic_axes={"x": axes} if axes else None,
            )

    export(image, torch.randn(2, 3, 16, 16), "any.onnx", {0: "n"})
    export(image, torch.randn(3, 3, 16, 16), "three.onnx", {})
    export(image.half(), torch.randn(2, 3, 16, 16).half(), "half.onnx", {0: "n"})
    tokens = torch.zeros(2, 7, dtype=torch.long)
    export(Tokens().eval(), tokens, "tokens.onnx", {0: "n", 1: "t"})
    (folder / "text.onnx").write_text("this is no model")
    (folder / "empty.onnx").touch()
    return folder


@pytest.fixture(scope="module")
def odd_files(files: Path) -> Path:
    """The image network's file as others write it: weights beside it, as inputs, or as constants."""
    onnx = pytest.importorskip("onnx")
    numpy = pytest.importorskip("numpy")
    helper, float_ = onnx.helper, onnx.TensorProto.FLOAT

    def image() -> Any:
        return onnx.load(files / "any.onnx")

    beside = {"save_as_external_data": True, "size_threshold": 0}
    onnx.save_model(image(), files / "beside.onnx", location="weights.bin", **beside)
    onnx.save_model(image(), files / "lost.onnx", location="lost.bin", **beside)
    (files / "lost.bin").unlink()
    old = image()
    old.ir_version = 3
    for held in old.graph.initializer:
        shape = list(held.dims)
        old.graph.input.append(helper.make_tensor_value_info(held.name, held.data_type, shape))
    onnx.save(old, files / "old.onnx")
    for name, kind in (("constant", float_), ("halved", onnx.TensorProto.FLOAT16)):
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        weight = onnx.numpy_helper.from_array(numpy.eye(8, 4).astype(dtype), "w")
        nodes = [
            helper.make_node("Constant", [], ["w"], value=weight),
            helper.make_node("Cast", ["x"], ["given"], to=kind),
            helper.make_node("MatMul", ["given", "w"], ["product"]),
            helper.make_node("Cast", ["product"], ["y"], to=float_),
        ]
        ends = [
            [helper.make_tensor_value_info(end, float_, ["n", size])]
            for end, size in (("x", 8), ("y", 4))
        ]
        graph = helper.make_graph(nodes, "g", *ends)
        opset = [helper.make_opsetid("", 18)]
        onnx.save(
            helper.make_model(graph, opset_imports=opset, ir_version=8), files / f"{name}.onnx"
        )
    return files


def _file(files: Path, name: str, *inputs: str) -> OwnModel:
    return own_models.parse(str(files / name), inputs, None, "auto", frameworks_given=False)


@pytest.mark.parametrize("framework", RUNTIMES)
def test_an_onnx_file_of_any_batch(framework: str, files: Path) -> None:
    """Its shapes are read from it; it is counted; both libraries give PyTorch's answers."""
    subject = _open(framework, _file(files, "any.onnx"), batch_size=5)
    assert subject.info["input_shape"] == "5x3x16x16"
    # Constants are folded by the exporter: batch normalisation into the convolution.
    assert subject.info["parameters"] == 8 * 27 + 8 + 8 * 10 + 10
    assert subject.info["flops_per_sample"] == IMAGE_FLOPS
    outputs = subject.fetch(subject.query(0))
    assert outputs.shape == (5, 10)
    other = _open("pytorch", _own(files, TORCH, "image", "3x16x16"), batch_size=5)
    assert outputs.shape == other.fetch(other.query(0)).shape


@pytest.mark.parametrize("framework", RUNTIMES)
def test_an_onnx_file_of_a_fixed_batch_runs_at_it_alone(framework: str, files: Path) -> None:
    """Another batch is no error of the file's: unsupported, with the option that helps."""
    model = _file(files, "three.onnx")
    assert _open(framework, model, batch_size=3).info["flops_per_sample"] == IMAGE_FLOPS
    with pytest.raises(UnsupportedError, match="fixed batch of 3, not 4") as caught:
        _open(framework, model, batch_size=4)
    assert caught.value.advice.startswith("--batch-size 3")


@pytest.mark.parametrize("framework", RUNTIMES)
def test_what_an_onnx_file_does_not_say_must_be_stated(framework: str, files: Path) -> None:
    """The length of a sequence and the range of its tokens."""
    with pytest.raises(ModelError, match="its input x is \\? a sample"):
        _open(framework, _file(files, "tokens.onnx"))
    subject = _open(framework, _file(files, "tokens.onnx", "7:int64:50"))
    assert subject.info["flops_per_sample"] == TOKENS_FLOPS
    assert subject.fetch(subject.query(2)).shape == (4, 7, 50)


@pytest.mark.parametrize(
    ("name", "inputs", "kind", "sentence"),
    [
        ("text.onnx", [], ModelError, r"text\.onnx is no model that"),
        ("empty.onnx", [], SubjectError, r"empty\.onnx"),
        ("any.onnx", ["3x8x8"], ModelError, "is 3x16x16 float32 a sample, not 3x8x8 float32"),
        ("any.onnx", ["3x16x16", "5"], ModelError, r"takes 1 inputs \(x\), and 2 were stated"),
        ("tokens.onnx", ["7"], ModelError, "int64 a sample, not 7 float32 a sample"),
        ("tokens.onnx", ["7:int64:99999"], SubjectError, r"tokens\.onnx does not take"),
    ],
)
@pytest.mark.parametrize("framework", RUNTIMES)
def test_a_wrong_onnx_file_is_a_sentence(
    framework: str, name: str, inputs: list[str], kind: type, sentence: str, files: Path
) -> None:
    """Not a model, or not one that takes what was stated."""
    if (framework, "99999" in "".join(inputs)) == ("openvino", True):
        pytest.skip("OpenVINO gathers beyond the end of a table without a word")
    with pytest.raises(kind, match=sentence):
        _open(framework, _file(files, name, *inputs))


def test_weights_of_16_bits_are_never_called_fp32(files: Path) -> None:
    """A file computes in what it holds."""
    with pytest.raises(UnsupportedError, match="holds weights in float16"):
        _open("onnxruntime", _file(files, "half.onnx"))


@pytest.mark.parametrize("framework", RUNTIMES)
def test_a_file_is_quantised_when_int8_is_asked_for(framework: str, files: Path) -> None:
    """From its own seeded inputs, with the drift stated, and of how many of its operations it is."""
    subject = _open(framework, _file(files, "any.onnx"), precision=Precision.INT8)
    assert subject.info["compute_dtype"] == "int8"
    assert subject.info["int8_share"] == 1.0
    drift = subject.info["int8_drift"]
    assert isinstance(drift, float)
    assert 0 < drift < 0.5


@pytest.mark.parametrize("framework", RUNTIMES)
def test_a_file_that_int8_would_leave_mostly_in_float32_is_refused(
    framework: str, files: Path
) -> None:
    """An LSTM of any length: 800 operations a token of its head's, 1,024 of its own."""
    model = _file(files, "tokens.onnx", "7:int64:50")
    with pytest.raises(UnsupportedError, match=r"takes 44 % of the model's operations to int8"):
        _open(framework, model, precision=Precision.INT8)


@pytest.mark.parametrize("name", ["any.onnx", "beside.onnx", "old.onnx"])
@pytest.mark.parametrize("framework", RUNTIMES)
def test_wherever_a_files_weights_lie_it_is_quantised_alike(
    framework: str, name: str, odd_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file of their own, or among the inputs as before the format's fourth version."""

    def timed(spec: Any, batch_size: int) -> list[tuple[Any, ...]]:
        """Instead of others, so that the drift is of what is asked below."""
        return [_seeded.batch(spec, "inputs", 0, batch_size)]

    monkeypatch.setattr(onnxruntime, "unseen", timed)
    model = _file(odd_files, name)
    exact = _open(framework, model)
    subject = _open(framework, model, precision=Precision.INT8)
    assert subject.info["compute_dtype"] == "int8"
    assert subject.info["parameters"] == exact.info["parameters"] == 8 * 27 + 8 + 8 * 10 + 10
    wanted = exact.fetch(exact.query(0))
    drift = subject.info["int8_drift"]
    assert isinstance(drift, float)
    found = subject.fetch(subject.query(0))
    assert ((found - wanted) ** 2).mean() ** 0.5 / wanted.std() == pytest.approx(drift, rel=1e-3)


@pytest.mark.parametrize("framework", RUNTIMES)
def test_weights_that_are_constants_are_weights(framework: str, odd_files: Path) -> None:
    """They are counted, and in 16 bits refused, like those that are initializers."""
    assert _open(framework, _file(odd_files, "constant.onnx")).info["parameters"] == 8 * 4
    with pytest.raises(UnsupportedError, match=r"halved\.onnx holds weights in float16"):
        _open(framework, _file(odd_files, "halved.onnx"))


def _cast_file(folder: Path, name: str, kind: str, where: str) -> OwnModel:
    """A float32 file whose product is of cast tensors: in the graph, a branch or a function."""
    onnx = pytest.importorskip("onnx")
    numpy = pytest.importorskip("numpy")
    helper, float_ = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=getattr(onnx.TensorProto, kind)),
        helper.make_node("CastLike", ["w", "a"], ["b"]),
        helper.make_node("MatMul", ["a", "b"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=float_),
    ]
    if where == "beside":
        nodes[1:3] = [
            helper.make_node("Cast", ["a"], ["rounded"], to=float_),
            helper.make_node("MatMul", ["rounded", "w"], ["c"]),
        ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    functions = []
    ends = [
        helper.make_tensor_value_info(end, float_, ["n", size])
        for end, size in (("x", 8), ("y", 4))
    ]
    held = {
        "w": onnx.numpy_helper.from_array(numpy.eye(8, 4).astype("float32"), "w"),
        "yes": onnx.numpy_helper.from_array(numpy.array(True), "yes"),
    }
    if where == "branch":
        branch = helper.make_graph(nodes, "b", [], [ends[1]])
        nodes = [helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)]
    elif where == "function":
        functions = [
            helper.make_function("mine", "Head", ["x", "w"], ["y"], nodes, opsets[:1]),
        ]
        nodes = [helper.make_node("Head", ["x", "w"], ["y"], domain="mine")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], list(held.values()))
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    onnx.save(model, folder / name)
    return _file(folder, name)


@pytest.mark.parametrize(
    ("framework", "kind", "where"),
    [
        *(("onnxruntime", "FLOAT16", where) for where in ("graph", "branch", "function")),
        *(("openvino", kind, "graph") for kind in ("FLOAT16", "BFLOAT16")),
        ("openvino", "BFLOAT16", "branch"),
    ],
)
def test_products_of_casts_are_never_called_fp32(
    framework: str, kind: str, where: str, tmp_path: Path
) -> None:
    """Its weights are float32, and so are its inputs and outputs: the products are not."""
    told = kind.lower()
    model = _cast_file(tmp_path, "cast.onnx", kind, where)
    with pytest.raises(UnsupportedError) as caught:
        _open(framework, model)
    assert caught.value.message == (
        f"cast.onnx casts tensors to {told} for its products (MatMul): it does not compute in fp32"
    )
    with pytest.raises(UnsupportedError, match="it does not compute in int8"):
        _open(framework, model, precision=Precision.INT8)


@pytest.mark.parametrize("framework", RUNTIMES)
def test_casts_that_no_product_follows_are_no_products(framework: str, tmp_path: Path) -> None:
    """A tensor that is rounded and made float32 again is multiplied in float32."""
    subject = _open(framework, _cast_file(tmp_path, "beside.onnx", "FLOAT16", "beside"))
    assert subject.info["compute_dtype"] == "float32"
    assert subject.info["flops_per_sample"] == 2 * 8 * 4


@pytest.mark.parametrize("framework", RUNTIMES)
def test_weights_that_are_lost_are_named(framework: str, odd_files: Path) -> None:
    """OpenVINO begins with where in its own source it was: that is left out."""
    with pytest.raises(ModelError, match=r"lost\.bin") as caught:
        _open(framework, _file(odd_files, "lost.onnx"))
    assert "frontend.cpp" not in caught.value.message


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_a_file_of_a_fixed_batch_is_not_split_by_tuned(precision: Precision, files: Path) -> None:
    """OpenVINO's streams would each want a part of it."""
    tuned: dict[str, Any] = {
        "policy": Policy.TUNED,
        "threads": 3,
        "batch_size": 3,
        "precision": precision,
    }
    subject = _open("openvino", _file(files, "three.onnx"), **tuned)
    assert subject.info["streams"] == 1
    assert subject.fetch(subject.query(0)).shape == (3, 10)


def test_an_onnx_file_is_measured_in_both_libraries(files: Path, results: Path) -> None:
    """In real sessions; no file of the user's is changed by it."""
    _need(*RUNTIMES)
    before = {p.name: p.stat().st_mtime_ns for p in files.iterdir()}
    run = _measure(_file(files, "any.onnx"), results, frameworks=RUNTIMES)
    assert {n: str(r.outcome) for n, r in _by_framework(run).items()} == dict.fromkeys(
        RUNTIMES, "ok"
    )
    assert run.plan.workloads[0].flops == IMAGE_FLOPS
    after = {p.name: p.stat().st_mtime_ns for p in files.iterdir() if p.suffix == ".onnx"}
    assert after.items() <= before.items()


# --- folders --------------------------------------------------------------------------------

FOLDER = """
name = "mine"
version = 1
task = "my digits"
sample = "a picture of 256 points"
reference = "ours"
licence = "MIT"
modes = ["training", "inference"]
scenarios = ["offline", "single_stream"]
seed = 3

[optimizer]
name = "sgd"
learning_rate = 0.01
momentum = 0.9

[tolerance]
fp32 = 1e-3

[dataset]
name = "mine"

[[weights]]
match = "*.bias"
kind = "constant"
value = 0.1

[[weights]]
match = "*"
kind = "fan_in_uniform"
gain = 1.4

[variants.full]
parameters = 13360
flops = 26600
model = { hidden = 50 }
inputs.x = { shape = [256], dtype = "float32", std = 1.0 }
targets.y = { shape = [], dtype = "int64", below = 10 }

[variants.full.batch]
training = { cpu = 8 }
inference = { cpu = 8 }
"""

FOLDER_TORCH = """
from torch import nn

def build(spec):
    hidden = spec["model"]["hidden"]
    return nn.Sequential(nn.Linear(256, hidden), nn.ReLU(), nn.Linear(hidden, 10))

def loss(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets)
"""

FOLDER_KERAS = """
import keras
from keras import layers

def build(spec):
    x = keras.Input((256,))
    hidden = layers.Dense(spec["model"]["hidden"], activation="relu", name="0")(x)
    return keras.Model(x, layers.Dense(10, name="2")(hidden))

def loss(outputs, targets):
    return keras.ops.mean(
        keras.losses.sparse_categorical_crossentropy(targets, outputs, from_logits=True)
    )
"""


def _measure_folder(folder: Path, results: Path, *frameworks: str) -> Run:
    """As ``dlbench run ./mine`` would, one short trial a case."""
    (names, root) = command.own_folder((str(folder),), None)
    selection = Selection(workloads=names, devices=("cpu",), frameworks=frameworks)
    return _session(selection, session.Settings(folder=results, workload_folder=root))


def _passed(run: Run, rule: str) -> dict[str, bool | None]:
    return {
        f"{r.case.framework} {r.case.mode}": next(
            (c.passed for c in r.trials[0].checks if c.rule == rule), None
        )
        for r in run.results
    }


def test_a_folder_of_the_users_own_is_measured_and_checked_like_ours(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a reference first; then with the one that the script makes, for every framework."""
    _need("pytorch", "jax", "onnxruntime")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "workload.toml").write_text(FOLDER)
    (folder / "model_pytorch.py").write_text(FOLDER_TORCH)
    (folder / "model_keras.py").write_text(FOLDER_KERAS)
    run = _measure_folder(folder, results, "pytorch")
    assert {str(r.outcome) for r in run.results} == {"ok"}
    assert run.workload(run.results[0].case).parameters == 13360
    assert _passed(run, "outputs_match_reference")["pytorch inference"] is None
    monkeypatch.setattr(sys, "argv", ["make_references.py", str(folder)])
    make_references.main()
    again = _measure_folder(folder, results, "jax", "onnxruntime")
    assert {str(r.outcome) for r in again.results} == {"ok"}
    matched = _passed(again, "outputs_match_reference")
    assert matched["jax inference"] is matched["onnxruntime inference"] is True
    assert _passed(again, "first_loss_matches_reference")["jax training"] is True
