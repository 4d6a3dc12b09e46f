"""workload.toml is data from a stranger: every field checked, nothing outside the folder read."""

from __future__ import annotations

import copy
import functools
import math
import operator
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlbench import workloads
from dlbench.core.errors import UsageError
from dlbench.core.types import Absent, Mode, Precision
from tests import builders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the fake workload, to be spoiled."""
    target = tmp_path / "fake"
    shutil.copytree(workloads.folders()["fake"], target)
    return target


def _edit(folder: Path, old: str, new: str) -> None:
    path = folder / "workload.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


SIZED = 'name = "x"\nepochs = 3\n'


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('name = "fake"', 'name = "other"', "name must be the folder's"),
        ("version = 1", "version = 0", "version must be 1 or more"),
        ("version = 1", 'version = "1"', "version has the wrong type"),
        ("version = 1", "version = true", "version has the wrong type"),
        ("version = 1", "version = 1\nsurprise = 2", "surprise is not a known field"),
        ('task = "trying dlbench"', "", "task is missing"),
        ('"inference"]', '"serving"]', "modes has 'serving'"),
        ("fp32 = 1e-6", "fp32 = 2.0", "tolerance.fp32 must be a number between 0 and 1"),
        ("fp32 = 1e-6", "fp33 = 1e-6", "tolerance.fp33 known are"),
        (
            "[dataset]",
            "[loss_tolerance]\nbf16 = 2\n[dataset]",
            "loss_tolerance.bf16 must be a number",
        ),
        ("[dataset]", "[loss_tolerance]\nint8 = 0.1\n[dataset]", "loss_tolerance.int8 known are"),
        ("learning_rate = 0.1", "learning_rate = nan", "optimizer.learning_rate"),
        ("learning_rate = 0.1", "learning_rate = -1.0", "optimizer.learning_rate must be positive"),
        ('kind = "constant"', 'kind = "exec"', r"weights\[0\]\.kind must be one of"),
        ("parameters = 10", "parameters = -1", "variants.full.parameters must be positive"),
        ("shape = [8]", "shape = [999999999999]", "at most 268,435,456 elements"),
        ("shape = [8]", "shape = [0]", "positive whole numbers"),
        ('dtype = "float32"', 'dtype = "object"', "must be float32 or int64"),
        ("std = 1.0", "below = 3", "of float32 needs std"),
        ("cpu = 1 }", "cpu = 0 }", "must be 1 to 65536"),
        ("cpu = 1 }", "gpu = 1 }", "must have a size for cpu"),
        ("cpu = 1 }", "cpu = true }", "must be 1 to 65536"),
        ("std = 1.0", "std = 0", r"inputs\.\w+\.std must be positive"),
        ("[variants.full]", "[variants.fuller]", "variants"),
        ("version = 1", 'version = 1\nlatency_is = "ttft"', "latency_is has 'ttft', known are"),
        ("version = 1", "version = 1\nin_place = 1", "in_place has the wrong type"),
        ("version = 1", "version = 1\nin_place = true", "in_place is for inference on synthetic"),
        ('name = "none"', "", "dataset.name is missing"),
        ('name = "none"', "name = 3", "dataset.name has the wrong type"),
        ('name = "none"', 'name = " "', "dataset.name must not be empty"),
        ('name = "none"', 'name = "x"\nsize = 5', "dataset.size is not a known field"),
        ('name = "none"', 'name = "x"\nsource = 5', "dataset.source has the wrong type"),
        (
            'name = "none"',
            'name = "x"\nsamples = 5',
            "dataset needs samples and epochs, or neither",
        ),
        ('name = "none"', f"{SIZED}samples = 5.5", "dataset.samples has the wrong type"),
        ('name = "none"', f"{SIZED}samples = 0", "dataset.samples must be 1 to"),
        ('name = "none"', f"{SIZED}samples = 9{'0' * 15}", "dataset.samples must be 1 to"),
        (
            'name = "none"',
            'name = "x"\nsamples = 5\nepochs = "3"',
            "dataset.epochs has the wrong type",
        ),
        (
            'name = "none"',
            'name = "x"\nsamples = 5\nepochs = nan',
            "dataset.epochs has the wrong type",
        ),
        ('name = "none"', 'name = "x"\nsamples = 5\nepochs = 0', "dataset.epochs must be above 0"),
        ("version = 1", "version = = 1", "not valid TOML"),
        ("version = 1", f"version = 1{'0' * 5000}", "not valid TOML"),
        ("flops = 1e6", f"flops = 1{'0' * 400}", "variants.full.flops must be at most"),
        ("seed = 1", f"seed = -1{'0' * 20}", "seed must be at most"),
        ("seed = 1", 'seed = 1\nfiles = "jpeg"', "shape that jpeg files have"),
        ("seed = 1", 'seed = 1\ndata_modes = ["pipeline"]', "data_modes has pipeline, and there"),
    ],
)
def test_each_wrong_field_is_named(folder: Path, old: str, new: str, word: str) -> None:
    """File, field and problem in one sentence."""
    _edit(folder, old, new)
    with pytest.raises(UsageError, match=word) as caught:
        workloads.read(folder)
    assert str(folder / "workload.toml") in caught.value.message


def test_a_model_file_may_have_dataclasses(tmp_path: Path) -> None:
    """With annotations that are not evaluated, of which their module is asked."""
    (tmp_path / "model_fake.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Settings:\n"
        "    width: int = 3\n"
    )
    assert workloads.load_model(tmp_path, "model_fake").Settings().width == 3


@pytest.mark.parametrize(
    ("kind", "shape", "fits"),
    [
        ("jpeg", "[3, 224, 224]", True),
        ("jpeg", "[1, 224, 224]", False),
        ("jpeg", "[224, 224]", False),
        ("wav", "[1, 161, 1000]", True),
        ("wav", "[1, 161, 1010]", False),
        ("wav", "[1, 1, 1000]", False),
        ("wav", "[2, 161, 1000]", False),
    ],
)
def test_what_files_cannot_be_decoded_into_is_refused(
    folder: Path, kind: str, shape: str, fits: bool
) -> None:
    """A sound is as long as it is: samples came out shorter than the workload says, and faster."""
    _edit(folder, "seed = 1", f'seed = 1\nfiles = "{kind}"')
    for _ in range(2):
        _edit(folder, "inputs.input = { shape = [8]", f"inputs.input = {{ shape = {shape}")
    if fits:
        assert workloads.read(folder).files == kind
    else:
        with pytest.raises(UsageError, match=f"variants.full.inputs .* {kind} files have"):
            workloads.read(folder)


STRANGE: tuple[Any, ...] = (True, 0, -1, 1.5, math.nan, "x", [], [[]], {}, {"a": 1})
"""What a stranger may write where something else belongs."""


@pytest.mark.parametrize("name", ["bert_base", "gpt2_decode", "memory_bandwidth", "resnet50"])
def test_whatever_stands_in_a_field_it_is_refused_or_planned(name: str, tmp_path: Path) -> None:
    """Each value of the file in turn, taken out or replaced: never a traceback, no impossible size."""
    table = tomllib.loads((workloads.folders()[name] / "workload.toml").read_text(encoding="utf-8"))
    n_refused = 0
    for keys in _paths(table):
        for strange in (None, *STRANGE):
            changed = copy.deepcopy(table)
            inner = functools.reduce(operator.getitem, keys[:-1], changed)
            if strange is None:
                del inner[keys[-1]]
            else:
                inner[keys[-1]] = strange
            try:
                workloads._validate(changed, tmp_path / name)
            except UsageError as error:
                assert str(tmp_path / name / "workload.toml") in error.message
                n_refused += 1
                continue
            for variant in changed["variants"].values():
                sizes = [variant["batch"][mode]["cpu"] for mode in changed["modes"]]
                assert all(type(size) is int and size > 0 for size in sizes)
                inputs = variant["inputs"].values()
                assert all(x["below" if x["dtype"] == "int64" else "std"] > 0 for x in inputs)
    assert n_refused > 100


def _paths(table: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value; what a model's own settings mean is its model file's affair."""
    for key in table if isinstance(table, dict) else range(len(table)):
        if key != "model":
            yield (*keys, key)
            if isinstance(table[key], dict | list):
                yield from _paths(table[key], (*keys, key))


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """Neither the TOML nor a model may be a link."""
    secret = tmp_path / "secret.py"
    secret.write_text("x = 1")
    (folder / "model_pytorch.py").symlink_to(secret)
    with pytest.raises(UsageError, match="is not a plain file"):
        workloads.read(folder)
    with pytest.raises(UsageError, match="is not a plain file"):
        workloads.load_model(folder, "../secret")


def test_a_giant_file_is_refused_before_reading(folder: Path) -> None:
    """By its size."""
    with (folder / "workload.toml").open("ab") as file:
        file.truncate(10**9)
    with pytest.raises(UsageError, match="larger than"):
        workloads.read(folder)


def test_reading_imports_nothing(folder: Path) -> None:
    """A model file that would do harm when imported is only looked at."""
    (folder / "model_fake.py").write_text("raise SystemExit('imported')")
    assert "model_fake" in workloads.read(folder).model_files
    with pytest.raises(SystemExit):
        workloads.load_model(folder, "model_fake")


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "model_fake.py").write_text("# other"),
        lambda f: _edit(f, "seed = 1", "seed = 2"),
        lambda f: (f / "reference.json").write_text("{}"),
        lambda f: (f / "model_new.py").write_text(""),
    ],
)
def test_the_content_hash_covers_whatever_alters_results(
    folder: Path, change: Callable[[Path], object]
) -> None:
    """TOML, models and references; equal files give equal hashes wherever they lie."""
    before = workloads.read(folder).content_hash
    assert before == workloads.read(workloads.folders()["fake"]).content_hash
    change(folder)
    assert workloads.read(folder).content_hash != before


def test_a_batch_without_a_reference_says_so() -> None:
    """Absent with the batch in the reason."""
    workload = workloads.read(workloads.folders()["fake"])
    case = builders.case(mode=Mode.TRAINING, scenario=None, batch_size=3)
    assert workload.reference(case) == Absent(reason="no reference loss for batches of 3")


@pytest.mark.parametrize(
    ("precision", "allowed"),
    [
        (Precision.FP32, 1e-4),
        (Precision.TF32, 2e-3),
        (Precision.BF16, 5e-3),
        (Precision.FP16, 2e-3),
    ],
)
def test_a_loss_has_a_tolerance_of_its_own(precision: Precision, allowed: float) -> None:
    """The tiny GPT-2 without its layers moves the first loss by 1.2e-2, and outputs may by 0.1."""
    case = builders.case(
        workload="gpt2_small",
        variant="tiny",
        mode=Mode.TRAINING,
        scenario=None,
        batch_size=4,
        precision=precision,
    )
    found = workloads.read(workloads.folders()["gpt2_small"]).reference(case)
    assert not isinstance(found, Absent)
    assert found.tolerance == allowed
    assert found.spread == abs(found.values[0][0])


def test_a_workload_may_state_how_far_a_loss_may_be(folder: Path) -> None:
    """In the precisions that it names; the mean of one number may be four times farther away."""
    _edit(folder, "[dataset]", "[loss_tolerance]\nfp32 = 0.02\n[dataset]")
    for batch_size, allowed in ((1, 0.08), (4, 0.04)):
        case = builders.case(mode=Mode.TRAINING, scenario=None, batch_size=batch_size)
        found = workloads.read(folder).reference(case)
        assert not isinstance(found, Absent)
        assert found.tolerance == pytest.approx(allowed)


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    """The option wants a folder of workloads."""
    with pytest.raises(UsageError, match="there is no folder"):
        workloads.folders(tmp_path / "nothing")


def test_a_folder_without_a_workload_is_said(tmp_path: Path) -> None:
    """Our own were measured in its place; a workload's own folder is named as the command has it."""
    with pytest.raises(UsageError, match="holds no workload"):
        workloads.folders(tmp_path)
    (tmp_path / "workload.toml").touch()
    with pytest.raises(UsageError, match="is a workload itself") as caught:
        workloads.folders(tmp_path)
    assert caught.value.advice == f"dlbench run {tmp_path}"


def test_text_generation_says_what_its_latency_is() -> None:
    """Reading a prompt ends with the first token, a cached step with one more."""
    named = {
        name: found.info("full").latency_is
        for name, folder in workloads.folders().items()
        if (found := workloads.read(folder)).info("full").latency_is
    }
    assert named == {
        "gpt2_decode": "time_per_output_token",
        "gpt2_small": "time_to_first_token",
    }
