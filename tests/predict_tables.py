"""Synthetic tables of a known law, in the public tables' format, for tests of the predictor."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

from dlbench.analysis.predict import tables
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.models import unit_of
from dlbench.analysis.predict.types import DeviceSpec, Observation, Task, Workload

ARCHS = (("Old", 2018, 60.0, 600.0), ("Mid", 2020, 150.0, 1000.0), ("New", 2022, 400.0, 2000.0))
MODELS = (
    ("resnet50", 0.30, 0.60, 800.0),
    ("bert_base", 0.70, 0.25, 300.0),
    ("gnmt", 0.45, 0.50, 90000.0),
    ("ssd", 0.35, 0.60, 250.0),
    ("unet_medical", 0.40, 0.55, 40.0),
    ("tacotron2", 0.20, 0.50, 20000.0),
)
"""Name, share of compute and of memory at 100 TFLOP/s and 900 GB/s, rate there; the rest is host."""
COLUMNS = (
    "source", "device", "num_devices", "framework", "model", "task", "precision", "batch",
    "resolution_seq", "value", "unit", "as_of", "source_path", "device_raw", "variant", "gmacs",
    "macts_m", "params_m", "per_device_value", "note",
)  # fmt: skip


def devices() -> tuple[DeviceSpec, ...]:
    """Nine devices: three architectures, three sizes of each."""
    return tuple(
        DeviceSpec(
            name=f"{arch}-{size}",
            arch=arch,
            year=year,
            fp32_tflops=peak * scale / 8,
            fp16_tflops=peak * scale,
            mem_bw_gb_s=bandwidth * (0.6 + 0.4 * scale),
            memory_gib=16.0 * scale,
            l2_mib=20.0,
            sm=40 * scale,
            tdp_w=250.0,
        )
        for arch, year, peak, bandwidth in ARCHS
        for size, scale in (("S", 0.7), ("M", 1.0), ("L", 1.6))
    )


def true_rate(spec: DeviceSpec, model: str) -> float:
    """The law: an additive roofline, without noise."""
    _, compute, memory, rate = next(m for m in MODELS if m[0] == model)
    assert spec.fp16_tflops is not None
    assert spec.mem_bw_gb_s is not None
    time = compute * 100 / spec.fp16_tflops + memory * 900 / spec.mem_bw_gb_s
    return rate / (time + 1 - compute - memory)


def workload(model: str = "resnet50", task: Task = Task.TRAIN, **changes: object) -> Workload:
    """The workload as the synthetic tables have it."""
    row = _row(devices()[0], model, 1.0) | {k: str(v) for k, v in changes.items()}
    row["task"] = task
    return tables.workload_of(row)


def rows(noise: float = 0.03, seed: int = 0) -> list[dict[str, str]]:
    """Every model on every device, with noise in ln of the rate."""
    rng = random.Random(seed)
    return [
        _row(spec, model, true_rate(spec, model) * math.exp(rng.gauss(0, noise)))
        for spec in devices()
        for model, *_ in MODELS
    ]


def observations(noise: float = 0.03, seed: int = 0) -> list[Observation]:
    """The same as observations."""
    table = DeviceTable(devices())
    found = [tables.observation(row, table) for row in rows(noise, seed)]
    assert all(isinstance(o, Observation) for o in found)
    return [o for o in found if isinstance(o, Observation)]


def write(folder: Path, noise: float = 0.03) -> Path:
    """The tables and the data sheets in a folder, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "own.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows(noise))
    with (folder / "device-specs.csv").open("w", newline="") as file:
        names = (
            "device", "fp32_tflops", "tf32_dense_tflops", "fp16_tensor_dense_tflops",
            "mem_bw_gb_s", "mem_gb", "tdp_w", "sm", "boost_mhz", "l2_mb", "year", "arch",
        )  # fmt: skip
        sheet = csv.writer(file)
        sheet.writerow(names)
        for d in devices():
            sheet.writerow(
                [d.name, d.fp32_tflops, "", d.fp16_tflops, d.mem_bw_gb_s, d.memory_gib, d.tdp_w,
                 d.sm, "", d.l2_mib, d.year, d.arch]
            )  # fmt: skip
    return folder


def _row(spec: DeviceSpec, model: str, rate: float) -> dict[str, str]:
    known = {
        "source": "own-1",
        "device": spec.name,
        "num_devices": "1",
        "framework": "pytorch 2",
        "model": model,
        "task": "train",
        "precision": "amp",
        "batch": "64",
        "value": repr(rate),
        "unit": unit_of(model),
        "source_path": "synthetic",
        "per_device_value": repr(rate),
    }
    return dict.fromkeys(COLUMNS, "") | known
