"""Every workload that discovery finds: valid, as large as it says, with a reference for its cases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dlbench import workloads
from dlbench.analysis.predict import models
from dlbench.core import registry
from dlbench.core.types import Absent, Case, DataMode, Mode, Precision, Scenario, WorkloadInfo
from dlbench.frameworks import _own_torch, _seeded
from dlbench.store import codec
from scripts import make_references
from tests.subjects import request_for

NAMES = sorted(workloads.folders())
LOOKED_UP = [
    name
    for name in NAMES
    if _seeded.distinct_samples(workloads.read(workloads.folders()[name]).table)
    > _seeded.SAMPLES_BEFORE_REPEAT
]
MODELS = [
    (name, variant)
    for name in NAMES
    for variant in workloads.read(workloads.folders()[name]).variants
    if "model_pytorch" in workloads.read(workloads.folders()[name]).model_files
]


def _read(name: str) -> workloads.Workload:
    return workloads.read(workloads.folders()[name])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_and_has_a_tiny_variant(name: str) -> None:
    """Read strictly, and small enough for tests."""
    workload = _read(name)
    assert {"full", "tiny"} <= set(workload.variants)
    assert workload.model_files
    assert len(workload.content_hash) == 64


@pytest.mark.parametrize("name", NAMES)
def test_its_facts_are_written_as_they_are_read(name: str) -> None:
    """A document that is decoded and encoded again keeps its hash: no number changes its kind."""
    for variant in _read(name).variants:
        info = _read(name).info(variant)
        again = codec.convert(WorkloadInfo, json.loads(codec.encode_line(info)))
        assert codec.encode_line(again) == codec.encode_line(info)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_file_belongs_to_a_framework(name: str) -> None:
    """A file that no adapter runs would be dead."""
    known = {s for f in registry.names("frameworks") for s in registry.framework(f).MODEL_FILES}
    assert _read(name).model_files <= known


@pytest.mark.parametrize("name", NAMES)
def test_every_default_case_has_a_reference(name: str) -> None:
    """In each mode, at the default batch of each device kind, in fp32."""
    workload = _read(name)
    for variant in workload.variants:
        for mode in workload.modes:
            for kind, size in workload.table["variants"][variant]["batch"][mode].items():
                case = Case(
                    workload=name,
                    framework="any",
                    device=kind,
                    precision=Precision.FP32,
                    mode=mode,
                    scenario=Scenario.OFFLINE if mode is Mode.INFERENCE else None,
                    batch_size=size,
                    variant=variant,
                )
                reference = workload.reference(case)
                assert not isinstance(reference, Absent), (variant, mode, kind)
                assert reference.spread > 0
                assert len(reference.values) == (1 if mode is Mode.TRAINING else 4)


@pytest.mark.parametrize("name", LOOKED_UP)
def test_no_sample_of_a_default_batch_repeats_where_rows_are_looked_up(name: str) -> None:
    """A workload that asks for more different samples than usual wants no row from a cache."""
    batches = [x["batch"] for x in _read(name).table["variants"].values()]
    largest = max(size for batch in batches for sizes in batch.values() for size in sizes.values())
    assert _seeded.distinct_samples(_read(name).table) >= largest


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_tells_inputs_apart(name: str) -> None:
    """Outputs of the four buffers differ by far more than any tolerance."""
    workload = _read(name)
    case = Case(
        workload=name,
        framework="any",
        device="cpu",
        precision=Precision.FP32,
        mode=Mode.INFERENCE,
        scenario=Scenario.OFFLINE,
        batch_size=1,
    )
    reference = workload.reference(case)
    assert not isinstance(reference, Absent)
    rows = reference.values
    for i in range(len(rows)):
        for j in range(i):
            largest = max(abs(a - b) for a, b in zip(rows[i], rows[j], strict=True))
            assert largest > 100 * reference.tolerance * reference.spread


@pytest.mark.parametrize(("name", "variant"), MODELS)
def test_the_reference_is_of_this_model(name: str, variant: str) -> None:
    """Made from the weights, inputs and model file that stand beside it."""
    workload = _read(name)
    stored = json.loads((workload.folder / "reference.json").read_text(encoding="utf-8"))
    wanted = make_references.made_from(workload, variant)
    assert stored[variant]["made_from"] == wanted, "run scripts/make_references.py"


@pytest.mark.frameworks
@pytest.mark.parametrize("name", sorted({name for name, _ in MODELS}))
def test_pytorch_computes_the_reference(name: str) -> None:
    """The outputs of the tiny variant, sample 0 of each buffer."""
    pytest.importorskip("torch")
    workload = _read(name)
    request = request_for("pytorch", name)
    reference = workload.reference(request.case)
    assert not isinstance(reference, Absent)
    subject = registry.framework("pytorch").open_subject(request)
    limit = EXACT * reference.spread
    for buffer, row in enumerate(reference.values):
        output = subject.fetch(subject.query(buffer))[0].ravel()
        got = [float(output[p]) for p in reference.positions]
        assert got == pytest.approx(row, abs=limit)


EXACT = 1e-5
"""Of the outputs' spread: rounding, as libraries order their sums."""


SUITES = {
    "quick",
    "vision",
    "recurrent",
    "language",
    "recommendation",
    "inference",
    "micro",
    "full",
}


def test_suites_name_workloads_that_exist() -> None:
    """Those that the docs and people's scripts call by name, and no member that is not found."""
    assert set(workloads.suites()) >= SUITES
    for members in workloads.suites().values():
        assert members
        assert set(members) <= set(NAMES)


@pytest.mark.frameworks
def test_the_full_suite_has_every_workload() -> None:
    """All but the fake one and the null one, which measure no model, each once."""
    full = workloads.suites()["full"]
    assert sorted(full) == sorted(set(workloads.folders()) - {"fake", "null"})


@pytest.mark.parametrize(("name", "variant"), MODELS)
def test_parameters_and_flops_are_as_stated(name: str, variant: str) -> None:
    """Counted on the built PyTorch model: parameters, and FLOPs of a forward in each mode, exactly."""
    torch = pytest.importorskip("torch")
    workload = _read(name)
    info = workload.info(variant)
    model, inputs = _without_memory(torch, name, variant)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == info.parameters
    for mode in workload.modes:
        model.train(mode is Mode.TRAINING)
        with torch.inference_mode(), _own_torch.counting(torch) as counter:
            model(*inputs)
        forward = info.forward_flops(mode)
        assert not isinstance(forward, Absent)
        assert counter.get_total_flops() == 2 * forward


CEILINGS_AND_TOYS = {"conv2d", "fake", "gemm", "host_to_device", "memory_bandwidth", "null"}


@pytest.mark.frameworks
def test_the_predictor_knows_the_sizes_of_every_model() -> None:
    """Of all that discovery finds, but for ceilings."""
    assert models.SIZES.keys() == set(NAMES) - CEILINGS_AND_TOYS


@pytest.mark.parametrize("name", sorted(models.SIZES))
def test_sizes_that_the_predictor_knows_are_as_stated(name: str) -> None:
    """Of one unit, forward: FLOPs and parameters of workload.toml, and the counted activations."""
    # Of base BERT a unit has 384 tokens, of gnmt a sentence has 50 units.
    variant, units = {"bert_base": ("seq384", 1), "gnmt": ("full", 50)}.get(name, ("full", 1))
    info = _read(name).info(variant)
    assert not isinstance(info.flops, Absent)
    assert not isinstance(info.parameters, Absent)
    written = models.ACTIVATIONS_M[name, variant]
    stated = (info.flops / 2e9 / units, written / units, info.parameters / 1e6)
    assert models.SIZES[name] == pytest.approx(stated, rel=1e-6)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("name", "variant"),
    [(n, v) for n, v in MODELS if n in models.SIZES and not v.startswith("tiny")],
)
def test_activations_that_are_known_are_counted(name: str, variant: str) -> None:
    """What products and convolutions of the built PyTorch model write in each mode, a sample."""
    torch = pytest.importorskip("torch")
    model, inputs = _without_memory(torch, name, variant)
    for training, known in (
        (True, models.ACTIVATIONS_TRAINED_M),
        (False, models.ACTIVATIONS_M),
    ):
        model.train(training)
        with torch.inference_mode(), _own_torch.counting(torch) as counter:
            model(*inputs)
        assert counter.written / 2e6 == pytest.approx(known[name, variant], rel=1e-9)


BESIDE_TOKENS = {"segments", "masked", "cache", "history"}
"""Inputs that say something of tokens, or stand for some that another input has too."""


@pytest.mark.parametrize("name", NAMES)
def test_tokens_of_a_sample_are_those_of_its_inputs(name: str) -> None:
    """Every token of each sequence, of both where there is a pair."""
    workload = _read(name)
    for variant in workload.variants:
        if (stated := workload.info(variant).tokens_per_sample) is not None:
            inputs = workload.spec(variant)["inputs"]
            counted = [x["shape"][0] for key, x in inputs.items() if key not in BESIDE_TOKENS]
            assert stated == sum(counted), variant


MOVING = [(n, v) for n, v in MODELS if _read(n).info(v).bytes_per_sample is not None]


@pytest.mark.parametrize(("name", "variant"), MOVING)
def test_bytes_of_a_sample_are_those_that_are_moved(name: str, variant: str) -> None:
    """What is read and written where it lies; of what only comes from the host what is copied."""
    torch = pytest.importorskip("torch")
    workload = _read(name)
    model, inputs = _without_memory(torch, name, variant)
    moved = inputs if DataMode.SYNTHETIC not in workload.data_modes else [*inputs, model(*inputs)]
    assert workload.info(variant).bytes_per_sample == sum(x.nbytes for x in moved) / 2


def _without_memory(torch: Any, name: str, variant: str) -> tuple[Any, list[Any]]:
    """The PyTorch model and two samples: everything is counted and nothing computed."""
    workload = _read(name)
    spec = workload.spec(variant)
    with torch.device("meta"):
        model = workloads.load_model(workload.folder, "model_pytorch").build(spec)
        return model, [_two_samples(torch, table) for table in spec["inputs"].values()]


def _two_samples(torch: Any, table: Any) -> Any:
    """A normalisation over the batch does not train on one."""
    dtype = torch.long if table["dtype"] == "int64" else torch.float
    return torch.empty((2, *table["shape"]), dtype=dtype)
