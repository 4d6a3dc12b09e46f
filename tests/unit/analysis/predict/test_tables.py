"""Reading tables: names, units, batches and known faults, each as its source means it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dlbench.analysis.predict import models, tables
from dlbench.analysis.predict.devices import DeviceTable, interconnect, is_slice, peak_tflops
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Observation, Task
from dlbench.core.errors import UsageError
from tests import predict_tables as synthetic

A100 = DeviceSpec(
    name="A100-SXM4-40GB",
    arch="Ampere",
    fp32_tflops=19.5,
    tf32_tflops=156.0,
    fp16_tflops=312.0,
    mem_bw_gb_s=1555.0,
    tdp_w=400.0,
)
TABLE = DeviceTable([A100, DeviceSpec(name="T4"), DeviceSpec(name="RTX-A6000")])


def _row(**changes: str) -> dict[str, str]:
    row = {
        "source": "lambda-eraB-v1",
        "device": "A100-SXM4-40GB",
        "num_devices": "1",
        "framework": "pytorch NGC 22.09",
        "model": "resnet50",
        "task": "train",
        "precision": "fp16",
        "batch": "256",
        "value": "1000",
        "unit": "img/s",
        "variant": "AMP",
        "per_device_value": "1000",
    }
    return row | changes


def _observed(**changes: str) -> Observation:
    found = tables.observation(_row(**changes), TABLE)
    assert isinstance(found, Observation), found
    return found


def test_a_row_becomes_an_observation_of_one_device() -> None:
    """Rate, batch and precision are one device's, whatever the number of devices."""
    one = _observed()
    assert (one.rate, one.workload.batch, one.workload.n_devices) == (1000.0, 256.0, 1)
    assert one.workload.task is Task.TRAIN
    assert one.workload.arithmetic is Arithmetic.HALF
    eight = _observed(num_devices="8", value="7200", per_device_value="900", batch="2048")
    assert (eight.rate, eight.workload.batch, eight.workload.n_devices) == (900.0, 256.0, 8)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "ncf", "num_devices": "2"}, "impossible"),
        ({"batch": "0"}, "batch of 0"),
        ({"note": "INVALID: run too short"}, "INVALID"),
        ({"per_device_value": "", "value": ""}, "no value"),
        ({"per_device_value": "-3", "value": "0"}, "no value"),
        ({"device": "Abacus"}, "no data sheet"),
        (
            {"source": "nvidia-dle", "device_raw": "Results > Multi-node on DGX A100"},
            "several machines",
        ),
    ],
)
def test_known_faults_are_told_and_left_out(changes: dict[str, str], reason: str) -> None:
    """Each fault that the tables are known to have is refused by name."""
    found = tables.observation(_row(**changes), TABLE)
    assert isinstance(found, str)
    assert reason in found


def test_lambdas_fp32_is_whatever_the_container_runs() -> None:
    """On Ampere that may be TF32; elsewhere fp32 is fp32, and TF32 says so."""
    assert _observed(precision="fp32").workload.arithmetic is Arithmetic.SINGLE
    dle = {"source": "nvidia-dle", "variant": "Throughput - TF32"}
    assert _observed(precision="fp32", **dle).workload.arithmetic is Arithmetic.FP32
    assert _observed(precision="", **dle).workload.arithmetic is Arithmetic.TF32
    assert peak_tflops(A100, Arithmetic.SINGLE) == 156.0
    assert peak_tflops(A100, Arithmetic.FP32) == 19.5
    assert peak_tflops(A100, Arithmetic.HALF) == 312.0


@pytest.mark.parametrize(
    ("source", "model", "arithmetic"),
    [
        ("lambda-eraA", "waveglow", Arithmetic.HALF),
        ("lambda-eraB-v1", "waveglow", Arithmetic.SINGLE),
        ("lambda-eraC-v2", "tacotron2", Arithmetic.SINGLE),
        ("lambda-eraB-v1", "resnet50", Arithmetic.HALF),
    ],
)
def test_half_that_ran_in_single_precision_is_single(
    source: str, model: str, arithmetic: Arithmetic
) -> None:
    """Two models of Lambda's later eras: there both rows of a device are the same work."""
    half = _observed(source=source, model=model)
    assert half.workload.arithmetic is arithmetic
    single = _observed(source=source, model=model, precision="fp32", variant="")
    assert (half.workload == single.workload) is (arithmetic is Arithmetic.SINGLE)


def test_energy_is_kept_as_the_rate_at_full_power() -> None:
    """400 W over 2 J a token is 200 tokens a second and device."""
    found = _observed(source="ml.energy", value="2", per_device_value="2", unit="J/token")
    assert found.rate == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("text", "batch"),
    [("64", 64.0), ("64k", 65536.0), ("1,048,576", 1048576.0), ("64 , 8", 64.0),
     ("88 and 176", 88.0), ("offline", None), ("", None)],
)  # fmt: skip
def test_batches_are_read_as_people_write_them(text: str, batch: float | None) -> None:
    """Thousands, several phases and words."""
    assert _observed(source="nvidia-dle", batch=text).workload.batch == batch


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA RTX A6000", "RTX-A6000"),
        ("NVIDIA A100-SXM4-40GB (1x1g.5gb MIG)", None),
        ("A100-SXM4-80GB", None),
    ],
)
def test_sellers_names_lead_to_one_device(name: str, found: str | None) -> None:
    """Decorations fall away, memory sizes and slices do not."""
    spec = TABLE.find(name)
    assert (spec.name if spec else None) == found


def test_slices_and_links_are_read_from_names() -> None:
    """A vGPU profile is a slice; SXM boards are joined by NVLink."""
    assert is_slice("NVIDIA A10-24Q")
    assert not is_slice("RTX-A6000")
    assert interconnect("H100-SXM5-80GB") == "nvlink"
    assert interconnect("GB200") == "nvlink"
    assert interconnect("RTX-4090") == "pcie"


@pytest.mark.parametrize(
    ("name", "canonical", "family"),
    [
        ("Classification/ConvNets/resnet50v1.5", "resnet50", "cnn"),
        ("resnet50", "resnet50", "cnn"),
        ("bert_large_squad", "bert_large", "encoder"),
        ("3d-unet-99.9", "3d-unet", "segmentation3d"),
        ("mobilenetv3_small_050", "mobilenetv3_small_050", "cnn_depthwise"),
        ("mobilenetv3_large_100", "mobilenet_v3_large", "cnn_depthwise"),
        ("vit_base_patch16_224", "vit_b16", "vit"),
        ("vit_base_patch32_224", "vit_base_patch32_224", "vit"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/llama-3.1-8b-instruct", "llm"),
        ("something", "something", "other"),
    ],
)
def test_models_of_several_sources_have_one_name_and_a_family(
    name: str, canonical: str, family: str
) -> None:
    """The same model is one model; a family is read from the name."""
    assert models.canonical(name) == canonical
    assert models.family(name) == family


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unit": "ms"}, "the unit 'ms'"),
        ({"unit": "images"}, "the unit 'images'"),
        ({"unit": "img/s/gpu"}, "the unit 'img/s/gpu'"),
        ({"unit": "it/s"}, "the unit 'it/s'"),
        ({"unit": "GB/s"}, "the unit 'GB/s'"),
        ({"unit": "output tokens/s"}, "the unit 'output tokens/s'"),
        ({"unit": "ktok/sec"}, "the unit 'ktok/sec'"),
        ({"unit": "kimg/s"}, "the unit 'kimg/s'"),
        ({"unit": "words/s"}, "the unit 'words/s'"),
        ({"task": "fine-tuning"}, "the task 'fine-tuning'"),
        ({"precision": "fp64"}, "the precision 'fp64'"),
        ({"precision": "int4"}, "the precision 'int4'"),
        ({"num_devices": "8x"}, "num_devices is '8x'"),
        ({"num_devices": "0.5"}, "num_devices is '0.5'"),
        ({"num_devices": "0"}, "num_devices is '0'"),
    ],
)
def test_words_that_are_not_known_are_told(changes: dict[str, str], words: str) -> None:
    """Each of them would pass for another: a time for a rate, half a device for one."""
    assert words in tables.unread(_row(**changes))


@pytest.mark.parametrize(
    ("changes", "field", "meaning"),
    [
        ({"unit": "tokens/sec"}, "unit", "tokens/s"),
        ({"unit": "tok/second"}, "unit", "tokens/s"),
        ({"unit": "frames/s"}, "unit", "frames/s"),
        ({"unit": "images per second"}, "unit", "samples/s"),
        ({"unit": "item/s"}, "unit", "samples/s"),
        ({"unit": "Mel-frames / sec"}, "unit", "frames/s"),
        ({"unit": "training samples/s"}, "unit", "samples/s"),
        ({"unit": "M"}, "unit", "millions/s"),
        ({"unit": "J/token"}, "unit", "J/token"),
        ({"unit": "ms/step"}, "unit", "samples/s"),
        ({"task": " Training "}, "task", Task.TRAIN),
        ({"precision": " FP16"}, "arithmetic", Arithmetic.HALF),
        ({"precision": "mixed_float16"}, "arithmetic", Arithmetic.HALF),
        ({"precision": "bf16-mixed"}, "arithmetic", Arithmetic.HALF),
        ({"precision": "default", "variant": ""}, "arithmetic", Arithmetic.UNKNOWN),
        ({"num_devices": "8.0"}, "n_devices", 8),
        ({"num_devices": ""}, "n_devices", 1),
    ],
)
def test_words_are_read_as_people_write_them(
    changes: dict[str, str], field: str, meaning: object
) -> None:
    """A second has several spellings, and a precision stands beside other words."""
    row = _row(**changes)
    assert tables.unread(row) == ""
    assert getattr(tables.workload_of(row), field) == meaning


def test_a_cell_in_quotes_may_have_lines(tmp_path: Path) -> None:
    """And what ends a line in Unicode does not end a row."""
    path = tmp_path / "rows.csv"
    path.write_bytes('device,note,model\r\nT4,"a\nb, c",x\r\nL4,d\u2028e\x0cf,y\r\n'.encode())
    assert tables.read_rows(path) == [
        {"device": "T4", "note": "a\nb, c", "model": "x"},
        {"device": "L4", "note": "d\u2028e\x0cf", "model": "y"},
    ]


def test_a_folder_is_read_plain_and_gzipped(tmp_path: Path) -> None:
    """A gzipped table counts as a plain one does."""
    folder = synthetic.write(tmp_path / "tables")
    plain = tables.read(folder)
    (folder / "own.csv.gz").write_bytes(gzip.compress((folder / "own.csv").read_bytes()))
    (folder / "own.csv").unlink()
    assert tables.read(folder).observations == plain.observations
    assert len(plain.observations) == len(synthetic.rows())
    assert plain.devices.names() == tuple(d.name for d in synthetic.devices())


def test_wrong_folders_are_refused_with_advice(tmp_path: Path) -> None:
    """No folder, no table, no column, no text: each says what is missing."""
    with pytest.raises(UsageError, match="there is no table"):
        tables.read(tmp_path / "nowhere")
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(UsageError, match="no column 'device'"):
        tables.read(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        tables.read(tmp_path)
    (tmp_path / "a.csv").write_text(f"device\n{'x' * 200_000}\n")
    with pytest.raises(UsageError, match="is no CSV table"):
        tables.read(tmp_path)
    (tmp_path / "a.csv").write_text("device,value\nAbacus 9000,1\n")
    with pytest.raises(UsageError, match="can be used: no data sheet for the device"):
        tables.read(tmp_path)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(UsageError, match="can be used: they are empty"):
        tables.read(tmp_path)
    packed = bytearray(gzip.compress(b"device\n" + bytes(range(256)) * 40))
    packed[20:40] = bytes(20)
    (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv.gz").write_bytes(packed)
    with pytest.raises(UsageError, match="cannot be read"):
        tables.read(tmp_path)


def test_a_spreadsheets_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    """Or whose numbers they are would be lost without a word."""
    path = tmp_path / "rows.csv"
    path.write_text("\ufeffsource,device\nlambda-eraA,V100\n", encoding="utf-8")
    assert tables.read_rows(path) == [{"source": "lambda-eraA", "device": "V100"}]
