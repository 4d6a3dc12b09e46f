"""Public tables of measurements as observations: reads a folder of CSV files, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dlbench.analysis.predict.devices import CPU_NAME, DeviceTable
from dlbench.analysis.predict.models import canonical, family, unit_as_counted
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Observation, Task, Workload
from dlbench.core.errors import UsageError

SPECS_FILE = "device-specs.csv"
LARGEST_TABLE_BYTES = 400_000_000

Row = Mapping[str, str]

_ARITHMETIC = {
    "fp16": Arithmetic.HALF,
    "amp": Arithmetic.HALF,
    "amp_bf16": Arithmetic.HALF,
    "bf16": Arithmetic.HALF,
    "bfloat16": Arithmetic.HALF,
    "float16": Arithmetic.HALF,
    "mixed": Arithmetic.HALF,
    "half": Arithmetic.HALF,
    "fp32": Arithmetic.FP32,
    "float32": Arithmetic.FP32,
    "tf32": Arithmetic.TF32,
    "fp8": Arithmetic.FP8,
    "mxfp4": Arithmetic.FP8,
    "int8": Arithmetic.INT8,
}
_NOT_STATED = frozenset({"", "default", "unknown", "none", "n/a", "-", "?"})
# A container of NVIDIA's runs float32 as TF32 where it can, and Lambda's tables do not say.
_SINGLE_PANELS = frozenset({"lambda"})

# Where Lambda's later eras say half, these ran in single precision: the two differ by 1 % on the median
# of era B's devices, Turing and Volta among them, on which era A's half is twice as fast.
_HALF_IS_SINGLE = frozenset(
    (source, model)
    for source in ("lambda-eraB-v1", "lambda-eraC-v2")
    for model in ("tacotron2", "waveglow")
)

# Lambda's batch is that of all devices together (8 devices: 8 times the batch of one).
_TOTAL_BATCH_PANELS = frozenset({"lambda"})

_HARDWARE_WORDS = re.compile(
    r"\(.*?\)|\b(nvii?dia|dgx-?\w*|a100|v100\w*|t4|a30|h100|tesla|\d+ ?gb?|\d+x\w*|-?2h|-1|sxm\d?|"
    r"pcie?|gpus?|with|on|80g\w*)\b",
    re.IGNORECASE,
)
# A card may need a newer CUDA than the card it is compared with.
_CUDA = re.compile(r"-?cu\d+")
_A_SECOND = re.compile(r"\s*(/|\bper\b)\s*s(ec|ecs|econd|econds)?$")
_NO_SAMPLES = re.compile(
    r"(its?|iter(ation)?s?|steps?|batch(es)?|epochs?|[kmgtp]?i?(b|bytes?)|[kmgtp]?flops?)\s*(/|per\b)"
)
# In a rate that is none of _UNITS: output tokens are no samples, nor are thousands of images one.
_OTHERWISE_COUNTED = re.compile(
    r"tok|frame|word|char|thousand|million|\b[kmg] ?(im|sample|seq|sent|item|quer|request|video)"
)
_UNITS = {
    "tok/s": "tokens/s",
    "token/s": "tokens/s",
    "tokens/s": "tokens/s",
    "mel-frames/s": "frames/s",
    "frames/s": "frames/s",
    "m": "millions/s",
    # DeepLearningExamples counts whatever the model's page does, millions among them.
    "?": "unstated/s",
    "millions/s": "millions/s",
}
CONSTANT_TIME_UNITS = {"ms/step": 1e3, "s/step": 1.0, "ms/batch": 1e3}
"""How many of them a second has."""
_TASKS = {
    "train": Task.TRAIN,
    "training": Task.TRAIN,
    "infer": Task.INFER,
    "inference": Task.INFER,
    "unknown": Task.UNKNOWN,
    "": Task.UNKNOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """A folder's observations and data sheets, and how many of its rows cannot be used, by why."""

    observations: tuple[Observation, ...]
    devices: DeviceTable
    unusable: Mapping[str, int]


def read(folder: Path, also: Iterable[DeviceSpec] = ()) -> Tables:
    """All tables of a folder.

    Args:
        folder: ``*.csv`` and ``*.csv.gz``, among them ``device-specs.csv``.
        also: data sheets of devices which that file lacks.

    Raises:
        UsageError: the folder has no table, one that cannot be read, or no row that can be used.
    """
    files = table_files(folder)
    specs_file = folder / SPECS_FILE
    specs = [spec_of(row) for row in read_rows(specs_file)] if specs_file.exists() else []
    devices = DeviceTable([*specs, *also])
    observations: list[Observation] = []
    unusable: dict[str, int] = {}
    for file in files:
        for row in read_rows(file):
            found = observation(row, devices)
            if isinstance(found, Observation):
                observations.append(found)
            else:
                unusable[found] = unusable.get(found, 0) + 1
    if not observations:
        reason = max(unusable, key=lambda why: unusable[why], default="they are empty")
        raise UsageError(
            f"no row of the tables in {folder} can be used: {reason}",
            "see docs/prediction.md, The tables",
        )
    return Tables(observations=tuple(observations), devices=devices, unusable=unusable)


def table_files(folder: Path) -> tuple[Path, ...]:
    """The tables of measurements in a folder, in the order of their names."""
    files = (
        sorted(f for f in folder.glob("*.csv*") if f.name.endswith((".csv", ".csv.gz")))
        if folder.is_dir()
        else []
    )
    files = [f for f in files if f.name != SPECS_FILE]
    if not files:
        raise UsageError(
            f"there is no table (*.csv, *.csv.gz) in {folder}",
            "name a folder with tables of measurements",
        )
    return tuple(files)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of one table, as text."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        # Spreadsheets begin a file with a mark that would be part of the first column's name.
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            text = file.read(LARGEST_TABLE_BYTES + 1)
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read: {error}", "check the file") from error
    if len(text) > LARGEST_TABLE_BYTES:
        raise UsageError(f"{path} is larger than {LARGEST_TABLE_BYTES} bytes", "split the table")
    try:
        # Not by lines: a cell in quotes may have several, and not all that ends a line ends a row.
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise UsageError(f"{path} is no CSV table: {error}", "save it as CSV in UTF-8") from error
    if rows and "device" not in rows[0]:
        raise UsageError(f"{path} has no column 'device'", "see docs/prediction.md, The tables")
    return [{k: v or "" for k, v in row.items() if isinstance(k, str)} for row in rows]


def number(text: str | None) -> float | None:
    """A finite number, or None: an empty cell, a word."""
    try:
        value = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def positive(text: str | None) -> float | None:
    """A number above 0, or None."""
    value = number(text)
    return value if value is not None and value > 0 else None


def spec_of(row: Row) -> DeviceSpec:
    """One row of ``device-specs.csv``. A blank architecture is the kind's: all CPUs are siblings."""
    name = row["device"]
    kind = "cpu" if CPU_NAME.search(name) or name.lower().startswith("core-i") else "gpu"
    return DeviceSpec(
        name=name,
        kind=kind,
        arch=row.get("arch") or (kind if kind == "cpu" else None),
        year=positive(row.get("year")),
        fp32_tflops=positive(row.get("fp32_tflops")),
        tf32_tflops=positive(row.get("tf32_dense_tflops")),
        fp16_tflops=positive(row.get("fp16_tensor_dense_tflops")),
        mem_bw_gb_s=positive(row.get("mem_bw_gb_s")),
        memory_gib=positive(row.get("mem_gb")),
        l2_mib=positive(row.get("l2_mb")),
        sm=positive(row.get("sm")),
        boost_mhz=positive(row.get("boost_mhz")),
        tdp_w=positive(row.get("tdp_w")),
    )


def observation(row: Row, devices: DeviceTable) -> Observation | str:
    """A row as an observation, or why it cannot be used."""
    spec = devices.find(row["device"])
    if spec is None:
        return "no data sheet for the device"
    workload = workload_of(row)
    rate = positive(row.get("per_device_value")) or positive(row.get("value"))
    if rate is None:
        return "no value above 0"
    if "invalid" in row.get("note", "").lower():
        return "marked INVALID"
    if fault := known_fault(row, workload):
        return fault
    if workload.unit.startswith("J/"):
        joules = positive(row.get("value"))
        if spec.tdp_w is None or joules is None:
            return "energy without the device's watts"
        rate = spec.tdp_w / joules
    source = row.get("source_path") or row.get("source") or "table"
    return Observation(device=spec.name, workload=workload, rate=rate, source=source)


def known_fault(row: Row, workload: Workload) -> str:
    """The faults that are known of the public tables; empty for a sound row."""
    if workload.panel == "lambda" and workload.model == "ncf" and workload.n_devices > 1:
        return "Lambda's ncf on several GPUs is impossible"
    if number(row.get("batch")) == 0:
        return "a batch of 0: nothing ran"
    if "multi node" in workload.phase or "multi-node" in row.get("device_raw", "").lower():
        return "several machines, their number not stated"
    return ""


def unread(row: Row) -> str:
    """What a row says in words that are not known here; empty where there is nothing.

    Read as a measurement such a word passes for what is usual; of what is asked it would make the
    answer one to another question.
    """
    unit, task = row.get("unit", "").strip(), row.get("task", "").strip()
    if not _is_unit(unit):
        return f"the unit {unit!r} is none that is known of a rate, joules a sample or time a step"
    if task.lower() not in _TASKS:
        return f"the task {task!r} is neither train nor infer"
    precision = row.get("precision", "").strip()
    if _precision(precision) is None and precision.lower() not in _NOT_STATED:
        return f"the precision {precision!r} is not known"
    n_devices = row.get("num_devices", "").strip()
    n = positive(n_devices)
    if n_devices and (n is None or n != int(n)):
        return f"num_devices is {n_devices!r}, and no whole number above 0"
    return ""


def workload_of(row: Row) -> Workload:
    """The workload of a row: all of it but the device and the value."""
    panel = re.split(r"[-.]", row.get("source", "") or "own", maxsplit=1)[0].lower()
    if row.get("source", "").startswith(("ml.", "mlperf", "nvidia")):
        panel = row["source"].split("-inf")[0].lower()
    model = row.get("model", "")
    n_devices = max(1, int(positive(row.get("num_devices")) or 1))
    batch = _batch(row.get("batch", ""))
    if batch is not None and panel in _TOTAL_BATCH_PANELS:
        batch /= n_devices
    phase, setup, policy = _setup(row, panel)
    return Workload(
        model=canonical(model),
        task=_task(row.get("task", "")),
        arithmetic=_arithmetic(row, panel),
        family=family(f"{model} {row.get('variant', '') if panel == 'ml.energy' else ''}"),
        framework=_framework(row.get("framework", "")),
        policy=policy,
        panel=panel,
        phase=phase,
        setup=setup,
        unit=unit_as_counted(canonical(model), _unit(row.get("unit", ""))),
        batch=batch,
        n_devices=n_devices,
        params_m=positive(row.get("params_m")),
        gmacs=positive(row.get("gmacs")),
        macts_m=positive(row.get("macts_m")),
    )


def _task(text: str) -> Task:
    return _TASKS.get(text.strip().lower(), Task.UNKNOWN)


def _precision(text: str) -> Arithmetic | None:
    """By the first word that names one: ``bf16 (weights)``, ``16-mixed``, ``mixed_float16``."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return next((_ARITHMETIC[word] for word in words if word in _ARITHMETIC), None)


def _arithmetic(row: Row, panel: str) -> Arithmetic:
    found = _precision(row.get("precision", ""))
    mislabelled = (row.get("source", ""), row.get("model", "")) in _HALF_IS_SINGLE
    if mislabelled or (found is Arithmetic.FP32 and panel in _SINGLE_PANELS):
        return Arithmetic.SINGLE
    if found is not None:
        return found
    variant = row.get("variant", "").lower()
    if re.search(r"fp16|mixed|amp|bf16", variant):
        return Arithmetic.HALF
    if "tf32" in variant:
        return Arithmetic.TF32
    if "fp32" in variant:
        return Arithmetic.FP32
    return Arithmetic.UNKNOWN


def _framework(text: str) -> str:
    name = text.lower()
    known = (
        "tensorrt",
        "pytorch",
        "tensorflow",
        "jax",
        "mxnet",
        "paddle",
        "openvino",
        "vllm",
        "onnx",
    )
    return next((k for k in known if k in name), "other" if name else "unknown")


def _unit(text: str) -> str:
    name = text.strip()
    if name.startswith("J/"):
        return name
    return _UNITS.get(_A_SECOND.sub("/s", name.lower()), "samples/s")


def _is_unit(name: str) -> bool:
    """Whether it is a rate, joules of something or time a step; one that is empty is samples/s."""
    if name.startswith("J/") or name in CONSTANT_TIME_UNITS:
        return True
    small = name.lower()
    if small in ("", "fps", "qps", *_UNITS):
        return True
    if _A_SECOND.search(small) is None or _NO_SAMPLES.match(small):
        return False
    return _A_SECOND.sub("/s", small) in _UNITS or _OTHERWISE_COUNTED.search(small) is None


def _batch(text: str) -> float | None:
    """A batch size; tables of several phases name several, of which the first counts."""
    cleaned = text.strip().lower()
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)k", cleaned):
        return float(match[1]) * 1024
    if re.fullmatch(r"\d{1,3}(,\d{3})+", cleaned):
        return float(cleaned.replace(",", ""))
    match = re.match(r"\d+(\.\d+)?", cleaned)
    return (float(match[0]) or None) if match else None


def _setup(row: Row, panel: str) -> tuple[str, str, str]:
    """What is counted, what else makes rows of one panel comparable, and the policy."""
    framework, variant = row.get("framework", ""), row.get("variant", "").lower()
    tuned = re.search(r"compile|dynamo|xla|inductor|trt", f"{framework} {variant}".lower())
    size, source = row.get("resolution_seq", ""), row.get("source", "")
    match panel:
        case "lambda":
            phase, parts = "", [source]
        case "nvidia-dle":
            phase, parts = f"{size} {_phase(row)}".strip(), [framework]
        case "mlperf":
            phase, parts = row.get("batch", ""), [source, row.get("model", "")]
        case "timm":
            phase, parts = "", [_minor(framework), _CUDA.sub("", variant), size]
        case _:
            phase, parts = variant, [source, framework, size]
    return phase, "|".join(parts), "tuned" if tuned else "base"


def _minor(framework: str) -> str:
    """A framework and its version without the patch: 2.4.0 and 2.4.1 are one set-up."""
    return re.sub(r"(\d+\.\d+)\.\d+", r"\1", framework)


def _phase(row: Row) -> str:
    """The phase that a table's headings name (pre-training, v1-B0), without the hardware.

    Headings are cut off at their left, so of the second last only its last word is sure.
    """
    *above, last = row.get("device_raw", "").split(">")
    words = re.sub(r"\W+", " ", _HARDWARE_WORDS.sub(" ", last)).split()
    over = _HARDWARE_WORDS.sub(" ", above[-1]).split() if above else []
    return " ".join((*over[-1:], *words)).lower().strip()
