"""A model of the user's own becomes an ordinary workload, and nothing of it runs in the parent."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench import own_models, plan, workloads
from dlbench.cli import run as command
from dlbench.core import onnx_weights
from dlbench.core.errors import ModelError, UsageError
from dlbench.core.types import Absent, Mode, OwnInput, OwnModel, Selection, WorkloadInfo
from dlbench.frameworks import _seeded
from dlbench.session import counting
from tests import builders

TORCH = "import torch\n\ndef build():\n    return torch.nn.Linear(4, 2)\n"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A file that makes a PyTorch model."""
    path = tmp_path / "net.py"
    path.write_text(TORCH)
    return path


def _parse(model: str, *inputs: str, name: str | None = None, **changes: Any) -> OwnModel:
    base: dict[str, Any] = {"loss": "auto", "frameworks_given": False}
    return own_models.parse(model, inputs, name, **{**base, **changes})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3x224x224", OwnInput(shape=(3, 224, 224), dtype="float32")),
        ("128:int64:30522", OwnInput(shape=(128,), dtype="int64", below=30522)),
        ("scalar", OwnInput(shape=(), dtype="float32")),
        ("7:bool", OwnInput(shape=(7,), dtype="bool", below=2)),
        ("5:float16", OwnInput(shape=(5,), dtype="float16")),
    ],
)
def test_an_input_is_read_and_written_alike(net: Path, text: str, expected: OwnInput) -> None:
    """What is recorded is what the user typed."""
    (given,) = _parse(f"{net}:build", text).inputs
    assert given == expected
    assert str(given) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no shape"),
        ("3x", "has no shape"),
        ("-3", "has no shape"),
        ("0x3", "must have 1 to"),
        ("99999x99999", "must have 1 to"),
        ("3:complex64", "has no known dtype"),
        ("3:int64", "must say below what its numbers are"),
        ("3:int64:0", "must say below what its numbers are"),
        ("3:int64:9999999999", "must say below what its numbers are"),
        ("3:float32:5", "only whole numbers have a range"),
        ("3:bool:1", "only whole numbers have a range"),
    ],
)
def test_a_wrong_input_is_a_sentence(net: Path, text: str, sentence: str) -> None:
    """With the option that was wrong, and how to write it."""
    with pytest.raises(UsageError, match=sentence) as caught:
        _parse(f"{net}:build", text)
    assert repr(text) in caught.value.message
    assert caught.value.advice


def test_a_model_that_cannot_be_meant_is_a_sentence(net: Path, tmp_path: Path) -> None:
    """No file, no function, no shape, no such kind, a name that is taken, a loss that is none."""
    (tmp_path / "weights.pt").touch()
    large = tmp_path / "large.py"
    large.write_text("#" * (workloads.MAX_MODEL_BYTES + 1))
    one: dict[str, Any] = {"name": "resnet50"}
    for model, inputs, changes, sentence in (
        (f"{tmp_path}/nothing.py:build", ("4",), {}, "there is no file"),
        (f"{tmp_path}/nothing.onnx", (), {}, "there is no file"),
        (str(net), ("4",), {}, "names no function"),
        (f"{net}:", ("4",), {}, "is no name of a function"),
        (f"{net}:os.system", ("4",), {}, "is no name of a function"),
        (f"{net}:build", (), {}, "needs the shape of its input"),
        (f"{tmp_path}/weights.pt", ("4",), {}, "neither Python nor ONNX"),
        (f"{net}:build", ("4",), {"loss": "hinge"}, "--loss 'hinge' is not known"),
        (f"{net}:build", ("4",), one, "one of dlbench's own"),
        (f"{net}:build", ("4",), {"name": "../x"}, "is not a name"),
        (f"{large}:build", ("4",), {}, "is larger than"),
    ):
        with pytest.raises(UsageError, match=sentence):
            _parse(model, *inputs, **changes)


@pytest.mark.parametrize(
    ("source", "stems"),
    [
        (TORCH, ("model_pytorch",)),
        ("from torch import nn\n", ("model_pytorch",)),
        ("import keras.layers as layers\n", ("model_keras",)),
        ("def build():\n    import tensorflow as tf\n", ("model_keras",)),
        ("import keras\nimport torch\n", None),
        ("from . import torch\n", None),
        ("import os\n", None),
        ("def build(:\n", None),
        ("x = '\0'\n", None),
    ],
)
def test_whose_model_it_is_follows_from_its_imports(
    tmp_path: Path, source: str, stems: tuple[str, ...] | None
) -> None:
    """Read, not run; where that does not tell, the user must."""
    path = tmp_path / "net.py"
    path.write_text(source)
    if stems is not None:
        assert _parse(f"{path}:build", "4").stems == stems
        return
    with pytest.raises(UsageError) as caught:
        _parse(f"{path}:build", "4")
    assert caught.value.advice
    if "def build(:" not in source and "\0" not in source:
        given = _parse(f"{path}:build", "4", frameworks_given=True)
        assert {"model_pytorch", "model_keras"} <= set(given.stems)


def test_nothing_of_the_file_runs_before_the_worker(tmp_path: Path) -> None:
    """A file that would end the process is parsed, planned and hashed; loading it is the worker's."""
    path = tmp_path / "net.py"
    path.write_text("import torch\nraise SystemExit('it ran')\n")
    model = _parse(f"{path}:build", "4")
    assert own_models.read(model).content_hash
    with pytest.raises(ModelError, match=r"net\.py raised SystemExit when it was imported: it ran"):
        own_models.load(model)


def test_a_link_to_a_file_without_a_kind_keeps_its_name(tmp_path: Path) -> None:
    """As in Hugging Face's cache: the hash of a file was recorded as its name, and was no Python."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots"
    blobs.mkdir()
    snapshot.mkdir()
    files = {
        "odd_net.py": "from odd_layers import WIDTH\n\ndef build():\n    return WIDTH\n",
        "odd_layers.py": "WIDTH = 3\n",
        "model.onnx": "anything",
    }
    for i, (name, text) in enumerate(files.items()):
        (blobs / f"3f{i}").write_text(text)
        (snapshot / name).symlink_to(f"../blobs/3f{i}")
    net = _parse(f"{snapshot}/odd_net.py:build", "4", frameworks_given=True)
    assert own_models.options(net).startswith("--model odd_net.py:build ")
    assert own_models.load(net).build({}) == 3
    assert own_models.options(_parse(f"{snapshot}/model.onnx")).startswith("--model model.onnx ")


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    """Not a traceback; reading where no memory lies fails for whoever asks."""
    path = tmp_path / "net.py"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(UsageError, match=r"net\.py cannot be read: Input/output error"):
        _parse(f"{path}:build", "4")


def test_it_is_a_workload_like_any_other(net: Path) -> None:
    """Modes, scenarios, a batch, a spec to build from; its sizes are not known before it is built."""
    workload = own_models.read(_parse(f"{net}:build", "3x8x8", "5:int64:9"))
    assert workload.name == "net.build"
    assert workload.modes == (Mode.TRAINING, Mode.INFERENCE)
    assert workload.default_batch("full", Mode.TRAINING, "cpu") == own_models.BATCH["cpu"]
    spec = workload.spec("full")
    assert spec["inputs"] == {
        "input0": {"shape": [3, 8, 8], "dtype": "float32", "std": 1.0},
        "input1": {"shape": [5], "dtype": "int64", "below": 9},
    }
    assert (spec["weights"], spec["own"]["label"]) == (None, "net.py:build")
    info = workload.info("full")
    assert isinstance(info.parameters, Absent)
    assert isinstance(info.flops, Absent)
    assert info.own == "--model net.py:build --input 3x8x8 --input 5:int64:9 --name net.build"
    assert isinstance(workload.reference(builders.case()), Absent)


def test_whole_numbers_do_not_repeat_within_a_batch(net: Path) -> None:
    """Lookups of 64 samples' rows over and over lie in a cache: more than twice as fast as others."""
    spec = own_models.read(_parse(f"{net}:build", "26:int64:1000000", "4")).spec("full")
    rows, _ = _seeded.batch(spec, "inputs", 0, 500)
    assert len({row.tobytes() for row in rows}) == 500
    images = own_models.read(_parse(f"{net}:build", "3x4x4")).spec("full")
    assert _seeded.distinct_samples(images) == _seeded.SAMPLES_BEFORE_REPEAT


def test_an_onnx_file_runs_inference_at_a_batch_that_fits_any(tmp_path: Path) -> None:
    """It may be fixed at one, and only the worker may look."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"anything")
    workload = own_models.read(_parse(str(path)))
    assert workload.name == "m.onnx"
    assert workload.modes == (Mode.INFERENCE,)
    assert workload.default_batch("full", Mode.INFERENCE, "nvidia:0") == 1
    assert workload.model_files == {"model_onnx"}


def test_the_hash_is_of_what_alters_results(net: Path, tmp_path: Path) -> None:
    """File, function, inputs and loss; neither where the file lies nor which frameworks run it."""

    def of(*arguments: str, **changes: Any) -> str:
        return own_models.read(_parse(*arguments, **changes)).content_hash

    first = of(f"{net}:build", "4")
    assert of(f"{net}:build", "4", frameworks_given=True) == first
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "net.py").write_text(TORCH)
    assert of(f"{moved}/net.py:build", "4") == first
    others = {
        of(f"{net}:other", "4"),
        of(f"{net}:build", "5"),
        of(f"{net}:build", "4", "4"),
        of(f"{net}:build", "4", loss="mse"),
    }
    net.write_text(TORCH + "# changed\n")
    others.add(of(f"{net}:build", "4"))
    assert len(others - {first}) == 5


def _onnx(*locations: str) -> bytes:
    """An ONNX file with a weight in each of these files, as protobuf writes it."""

    def field(number: int, value: bytes) -> bytes:
        size, length = len(value), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + value

    def tensor(location: str) -> bytes:
        entry = field(1, b"location") + field(2, location.encode())
        return field(8, b"w") + field(13, entry) + bytes([14 << 3, 1])

    # Some in the graph, others in a graph that is an attribute of a node (If, Loop).
    first, *others = locations
    inner = b"".join(field(5, tensor(location)) for location in others)
    node = field(1, field(5, field(1, b"then_branch") + field(6, inner)))
    return bytes([1 << 3, 8]) + field(7, node + field(5, tensor(first)))


def test_weights_beside_an_onnx_file_are_hashed_wherever_they_lie(tmp_path: Path) -> None:
    """Under any name, in any sub-folder, of any graph in the graph; a stranger's name is not."""
    path = tmp_path / "m.onnx"
    path.write_bytes(_onnx("odd name", "deep/er/weights.bin", "x" * 200))
    (tmp_path / "deep/er").mkdir(parents=True)

    def now() -> str:
        return own_models.read(_parse(str(path))).content_hash

    seen = [now()]
    for name in ("odd name", "deep/er/weights.bin", "x" * 200):
        (tmp_path / name).write_bytes(b"weights")
        seen.append(now())
        (tmp_path / name).write_bytes(b"others")
        seen.append(now())
    assert len(set(seen)) == 7
    (tmp_path / "m.onnx.data").write_bytes(b"of another model")
    assert now() == seen[-1]


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("/etc/hostname", "outside its folder"),
        ("../secret", "outside its folder"),
        ("deep/../../secret", "outside its folder"),
        ("..\\secret", "outside its folder"),
        ("C:secret", "outside its folder"),
        ("out", "a link to a file outside its folder"),
        ("up/secret", "a link to a file outside its folder"),
        ("pipe", "no plain file"),
        ("", "no plain file"),
        ("x\0y", "no name of a file"),
        ("*/_ORT_MEM_ADDR_/*", "no name of a file"),
        ("*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*", "no name of a file"),
        ("*", "no name of a file"),
    ],
)
def test_an_onnx_file_may_not_name_files_elsewhere(
    tmp_path: Path, location: str, sentence: str
) -> None:
    """Absolute, upwards, by a link, or of a kind that never ends; told before anything runs.

    So is a name that libraries take for an address in memory, though there be such a file.
    """
    (tmp_path / "secret").write_bytes(b"not the model's")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "out").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")
    for tag in ("_ORT_MEM_ADDR_", "_ORT_NATIVE_ENDIAN_MEM_ADDR_"):
        (folder / "*" / tag).mkdir(parents=True)
        (folder / "*" / tag / "*").write_bytes(b"weights")
    path = folder / "m.onnx"
    for locations in ((location,), ("inside", location)):
        path.write_bytes(_onnx(*locations))
        with pytest.raises(UsageError, match=rf"m\.onnx has weights in .*{sentence}") as caught:
            own_models.read(_parse(str(path)))
        assert caught.value.advice


def test_a_link_within_the_folder_is_the_folders_own(tmp_path: Path) -> None:
    """Some stores keep one file under two names."""
    (tmp_path / "blob").write_bytes(b"weights")
    (tmp_path / "w").symlink_to("blob")
    (tmp_path / "m.onnx").write_bytes(_onnx("w"))
    assert onnx_weights.beside(tmp_path / "m.onnx") == (tmp_path.resolve() / "w",)


def test_whatever_the_bytes_are_the_weights_are_found_or_the_file_is_none(tmp_path: Path) -> None:
    """A file cut short anywhere, or with any byte changed, ends in an answer or one kind of error."""
    path, whole = tmp_path / "m.onnx", _onnx("a", "b")
    path.write_bytes(whole)
    assert [p.name for p in onnx_weights.beside(path)] == ["a", "b"]
    spoiled = [whole[:n] for n in range(len(whole))]
    spoiled += [whole[:n] + b"\xff" + whole[n + 1 :] for n in range(len(whole))]
    n_refused = 0
    for data in spoiled:
        path.write_bytes(data)
        try:
            onnx_weights.beside(path)
        except (ModelError, ValueError):
            n_refused += 1
        assert own_models.read(_parse(str(path))).content_hash
    assert n_refused > len(whole)


def test_the_messages_that_hold_tensors_are_onnx_s_own() -> None:
    """Every field by which the installed ONNX can reach a tensor is followed."""
    onnx = pytest.importorskip("onnx")
    messages = onnx.onnx_ml_pb2.DESCRIPTOR.message_types_by_name
    reaching, n_known = {"TensorProto"}, 0
    while len(reaching) > n_known:
        n_known = len(reaching)
        held = {
            name: {
                field.number: field.message_type.name
                for field in message.fields
                if field.message_type is not None and field.message_type.name in reaching
            }
            for name, message in messages.items()
        }
        reaching |= {name for name, fields in held.items() if fields}
    found = {name: fields for name, fields in held.items() if fields}
    said = messages["TensorProto"].fields_by_name["external_data"]
    assert found | {"TensorProto": {said.number: said.message_type.name}} == onnx_weights.HELD_BY


def test_it_is_found_before_folders_and_only_by_its_name(net: Path) -> None:
    """All others are found as ever."""
    model = _parse(f"{net}:build", "4", name="mine")
    found = own_models.find("mine", None, model)
    assert found is not None
    assert "own" in found.table
    fake = own_models.find("fake", None, model)
    assert fake is not None
    assert "own" not in fake.table
    assert own_models.find("mine") is None


def _plan(model: OwnModel, **asked: Any) -> Any:
    here = (replace(builders.CPU, id="cpu", kind="cpu"), builders.CPU)
    machine = plan.Machine(devices=here, absent_devices={}, threads=1)
    return plan.make_plan(Selection(model=model, **asked), machine)


def test_it_is_planned_alone_or_beside_others(net: Path) -> None:
    """Asked for by itself, it does not bring the default suite along; its cost is nobody's guess."""
    model = _parse(f"{net}:build", "4", frameworks_given=True)
    asked: dict[str, Any] = {"frameworks": ("fake",), "devices": ("fake",)}
    alone = _plan(model, **asked)
    assert {c.workload for c in alone.cases} == {"net.build"}
    both = _plan(model, workloads=("fake",), **asked)
    assert {c.workload for c in both.cases} == {"net.build", "fake"}
    sentinel = next(c for c in both.cases if c.case_id == both.sentinel)
    assert sentinel.workload == "fake"
    estimate = plan.estimate_time(alone, (builders.CPU,))
    assert 0 < estimate.low_s <= estimate.high_s < math.inf


def test_a_framework_that_cannot_run_the_file_says_so(tmp_path: Path) -> None:
    """With those that can."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"anything")
    with pytest.raises(Exception, match=r"fake does not run m\.onnx") as caught:
        _plan(_parse(str(path)), frameworks=("fake",), devices=("fake",))
    assert getattr(caught.value, "advice", "") == "--framework onnxruntime,openvino"


# --- what trials counted --------------------------------------------------------------------


def _info(**changes: Any) -> WorkloadInfo:
    base: dict[str, Any] = {
        "own": "--model net.py:build",
        "parameters": workloads.UNCOUNTED,
        "flops": workloads.UNCOUNTED,
    }
    return replace(builders.WORKLOAD, **{**base, **changes})


def test_counts_of_trials_come_into_the_document() -> None:
    """From the first that could count; a reason counts only where no number does."""
    case, no = builders.case(), Absent(reason="a layer of your own")
    trials = [
        builders.failed(case, 0),
        builders.trial(case, 1, subject={"parameters": 10, "flops_per_sample": no}),
        builders.trial(case, 2, subject={"parameters": 10, "flops_per_sample": 80.0}),
    ]
    planned = builders.plan([case], workloads=(_info(),))
    (info,) = counting.counted(planned, trials).workloads
    assert (info.parameters, info.flops) == (10, 80.0)
    (info,) = counting.counted(planned, trials[:2]).workloads
    assert (info.parameters, info.flops) == (10, no)
    (info,) = counting.counted(planned, trials[:1]).workloads
    assert info.parameters == info.flops == counting.NOTHING_RAN


def test_what_a_workload_states_is_not_touched() -> None:
    """A subject's own count never overwrites workload.toml's."""
    case = builders.case()
    planned = builders.plan([case])
    trials = [builders.trial(case, 0, subject={"parameters": 99, "flops_per_sample": 99.0})]
    assert counting.counted(planned, trials) is planned


# --- the command line -----------------------------------------------------------------------


def test_a_folder_is_a_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``./mine`` is the workload mine of the folder above, as ``.`` in it; others keep their names."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "workload.toml").touch()
    assert command.own_folder((str(folder), "gemm"), None) == (("mine", "gemm"), tmp_path)
    assert command.own_folder(("gemm",), None) == (("gemm",), None)
    monkeypatch.chdir(folder)
    assert command.own_folder((".",), None) == (("mine",), tmp_path)
    with pytest.raises(UsageError, match=r"no folder with a workload\.toml"):
        command.own_folder((f"{tmp_path}/none",), None)
    with pytest.raises(UsageError, match="does not lie in"):
        command.own_folder((str(folder),), Path("/"))


def test_companions_need_a_model() -> None:
    """``--input`` alone means nothing."""
    for given in ({"inputs": ["4"]}, {"name": "x"}, {"loss": "mse"}):
        base: dict[str, Any] = {"inputs": None, "name": None, "loss": "auto"}
        with pytest.raises(UsageError, match="go with --model"):
            command.own_model(None, **{**base, **given}, frameworks_given=False)
