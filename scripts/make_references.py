"""Compute workloads/<name>/reference.json with PyTorch in fp32 on the CPU.

    python scripts/make_references.py [WORKLOAD or ./FOLDER ...]

Run it after any change of a model, its weights or its inputs, and raise the workload's version: these
numbers are what every framework's outputs and first losses are compared with.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dlbench import environment, workloads
from dlbench.core import registry
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Absent, Case, Mode, Precision, Scenario
from dlbench.frameworks import _seeded, pytorch
from dlbench.frameworks.pytorch import TorchSubject

N_POSITIONS = 16
POSITION_SEED = 16

USUAL = (1, 2, 4, 8, 16, 32)
MOST_FLOPS = 1e12
"""Batches that have a reference loss: the usual ones that cost no more than this, and every default."""


def main() -> None:
    """Write the reference of each workload named, or of all that have a PyTorch model."""
    folders = workloads.folders()
    for name in sys.argv[1:] or list(folders):
        workload = workloads.read(Path(name).resolve() if "/" in name else folders[name])
        if "model_pytorch" not in workload.model_files:
            continue
        found = {variant: _variant(workload, variant) for variant in workload.variants}
        path = workload.folder / "reference.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(path)


def made_from(workload: workloads.Workload, variant: str) -> str:
    """The hash of what decides a reference: a stored one that differs is out of date."""
    model = (workload.folder / "model_pytorch.py").read_bytes()
    said = {key: x for key, x in workload.spec(variant).items() if x is not None}
    spec = json.dumps(said, sort_keys=True)
    return hashlib.sha256(spec.encode() + model).hexdigest()[:16]


def _variant(workload: workloads.Workload, variant: str) -> dict[str, Any]:
    found: dict[str, Any] = {"made_from": made_from(workload, variant)}
    if Mode.INFERENCE in workload.modes:
        found["inference"] = _inference(workload, variant)
    if Mode.TRAINING in workload.modes:
        flops = workload.info(variant).flops
        if isinstance(flops, Absent):
            raise SystemExit(f"{workload.name}: {flops.reason}")
        sizes = {n for n in USUAL if n * flops <= MOST_FLOPS}
        defaults = set(workload.table["variants"][variant]["batch"]["training"].values())
        losses = {}
        for n in sorted(sizes | defaults):
            try:
                losses[str(n)] = _first_loss(workload, variant, n)
            except ValueError as error:
                # A normalisation of vectors cannot train on one sample.
                if n != 1 or n in defaults:
                    raise
                print(f"{workload.name} {variant} has no loss of one sample: {error}")
        found["training"] = {"first_loss": losses}
    return found


def _inference(workload: workloads.Workload, variant: str) -> dict[str, Any]:
    subject = _subject(workload, variant, Mode.INFERENCE, 1)
    outputs = [subject.fetch(subject.query(i))[0].ravel() for i in range(subject.n_buffers)]
    positions = sorted(
        random.Random(POSITION_SEED).sample(
            range(outputs[0].size), min(N_POSITIONS, outputs[0].size)
        )
    )
    values = [[float(row[p]) for p in positions] for row in outputs]
    spread = float(np.concatenate(outputs).std(dtype=np.float64))
    return {"positions": positions, "spread": spread, "values": values}


def _first_loss(workload: workloads.Workload, variant: str, batch_size: int) -> float:
    """The loss before any update. A larger batch repeats its samples, and so has the same loss."""
    distinct = min(batch_size, _seeded.distinct_samples(workload.spec(variant)))
    if batch_size % distinct:
        raise SystemExit(f"{workload.name}: {batch_size} is no multiple of {distinct} samples")
    return float(_subject(workload, variant, Mode.TRAINING, distinct).loss(0))


def _subject(
    workload: workloads.Workload, variant: str, mode: Mode, batch_size: int
) -> TorchSubject:
    devices = registry.device_kind("cpu").find()
    if isinstance(devices, Absent):
        raise SystemExit(devices.reason)
    (device,) = devices
    case = Case(
        workload=workload.name,
        framework="pytorch",
        device="cpu",
        precision=Precision.FP32,
        mode=mode,
        scenario=Scenario.OFFLINE if mode is Mode.INFERENCE else None,
        batch_size=batch_size,
        variant=variant,
    )
    return pytorch.open_subject(
        SubjectRequest(
            case=case,
            device=device,
            spec=workload.spec(variant),
            load_model=lambda: workloads.load_model(workload.folder, "model_pytorch"),
            threads=environment.usable_threads(None),
            seed=0,
            scratch=Path(tempfile.gettempdir()),
        )
    )


if __name__ == "__main__":
    main()
