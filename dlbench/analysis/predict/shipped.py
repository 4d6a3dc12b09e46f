"""Coefficients that come with the package: what public tables taught, without the tables.

The file holds the roofline's shares, the levels' regression, scaling efficiencies, noise, interval
widths, and two kinds of corrections with their variance: of a device (by task, precision and family)
and of a model (by task and precision). Corrections enter the kriging beside the user's own
measurements, so that a fresh clone has predictions, and every measurement improves them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from dlbench.analysis.predict import kernel, predictor
from dlbench.analysis.predict.calibration import Calibration
from dlbench.analysis.predict.cells import (
    Cells,
    Encoder,
    Floats,
    encode,
    join,
    precision_group,
    sizes_of,
    usable,
)
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.estimate import Estimator, Range
from dlbench.analysis.predict.kernel import Scales, setup_variance
from dlbench.analysis.predict.leave_out import as_stranger
from dlbench.analysis.predict.level import Level
from dlbench.analysis.predict.models import SIZES, unit_of
from dlbench.analysis.predict.noise import noise_of
from dlbench.analysis.predict.predictor import Learnt
from dlbench.analysis.predict.roofline import (
    REFERENCE_GB_S,
    REFERENCE_TFLOPS,
    REFERENCE_VECTOR,
    Roofline,
)
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Observation, Task, Workload
from dlbench.core.errors import UsageError

FORMAT = 3
LARGEST_BYTES = 4_000_000
LEAST_DEVICES = 5
"""A model's shares and level are shipped where so many devices ran it: coefficients, not rows."""
LEAST_SD = 0.02
LARGEST_SD_OF_DEVICE = 0.95
"""A correction that leaves more than this share of its prior's sd says nothing, and is left out."""
LARGEST_SHARE_OF_PRIOR = 0.9
"""A model known less surely than this counts as known so far; what it says is next to nothing."""
BATCH_SD = 0.5
"""Of models without sizes too: corrections of theirs are shipped without the batches they ran at."""
PANEL = "public tables"
DIGITS = 4
ARITHMETIC = {"half": Arithmetic.HALF, "single": Arithmetic.SINGLE, "low": Arithmetic.FP8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """All that is shipped; plain values only, so that the file is readable and checkable."""

    provenance: Mapping[str, str]
    scales: Mapping[str, float]
    nodes: Sequence[tuple[tuple[str, ...], tuple[float, ...]]]
    usual: Sequence[tuple[tuple[str, str, str], tuple[float | None, float]]]
    level: Sequence[tuple[tuple[str, ...], float]]
    sizes: Mapping[str, tuple[float | None, ...]]
    efficiency: Mapping[str, float]
    noise: Mapping[str, float]
    half_widths: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    device_effects: Sequence[Mapping[str, Any]]
    model_effects: Sequence[Mapping[str, Any]]


def scales() -> Scales:
    """The kernel's scales as they are shipped: those of the tables but for the batch's."""
    return Scales(batch=BATCH_SD)


def extract(estimator: Estimator, provenance: Mapping[str, str]) -> Coefficients:
    """What may be shipped of a fit on tables that may not."""
    learnt = estimator.predictor.learnt
    common = _common_models(estimator.predictor.cells)
    nodes = [
        (name, tuple(round(x, DIGITS) for x in row))
        for name, row in sorted(learnt.roofline.nodes.items())
        if name[0] != "model" or name[-1] in common
    ]
    usual = [(n, b) for n, b in sorted(learnt.roofline.usual.items()) if n[1] in common]
    return Coefficients(
        provenance=provenance,
        scales=asdict(learnt.scales),
        nodes=nodes,
        usual=usual,
        level=[(n, round(x, DIGITS)) for n, x in sorted(learnt.level.coefficients.items())],
        sizes={m: x for m, x in sorted(learnt.sizes.items()) if m in common},
        efficiency={n: round(x, DIGITS) for n, x in sorted(learnt.efficiency.items())},
        noise={n: round(x, DIGITS) for n, x in learnt.noise.items() if n == ""},
        half_widths=estimator.calibration.half_widths,
        ranges={name: (r.low, r.high) for name, r in estimator.ranges.items()},
        device_effects=_device_effects(estimator),
        model_effects=_model_effects(estimator, common),
    )


def _common_models(cells: Cells) -> frozenset[str]:
    ran: dict[str, set[str]] = {}
    for device, workload in zip(cells.devices, cells.workloads, strict=True):
        ran.setdefault(workload.model, set()).add(device.name)
    return frozenset(m for m, devices in ran.items() if len(devices) >= LEAST_DEVICES)


def _device_effects(estimator: Estimator) -> list[dict[str, Any]]:
    """How far each device departs from its data sheet, by task, precision and family."""
    cells = estimator.predictor.cells
    keys: dict[tuple[str, ...], tuple[DeviceSpec, Workload]] = {}
    for device, w in zip(cells.devices, cells.workloads, strict=True):
        precision = precision_group(w.arithmetic)
        if w.task is not Task.UNKNOWN:
            keys[device.name, w.task, precision, w.family] = (device, w)
    corrections = _corrections(estimator, list(keys.values()), (0.0, 1.0))
    return [
        {
            "device": _plain(device),
            "task": task,
            "precision": precision,
            "family": family,
            "ln_correction": round(value, DIGITS),
            "sd": round(max(sd, LEAST_SD), DIGITS),
        }
        for ((_, task, precision, family), (device, _w)), (value, sd, prior_sd) in zip(
            keys.items(), corrections, strict=True
        )
        if sd < LARGEST_SD_OF_DEVICE * prior_sd
    ]


def _model_effects(estimator: Estimator, common: frozenset[str]) -> list[dict[str, Any]]:
    """How far each common model departs from what its size tells, by task and precision.

    It is what the fit tells a source that nobody knows; the spread is without that of set-ups.
    """
    cells, scatter = estimator.predictor.cells, setup_variance(estimator.predictor.learnt.scales)
    keys: dict[tuple[str, ...], tuple[DeviceSpec, Workload]] = {}
    for device, w in zip(cells.devices, cells.workloads, strict=True):
        if w.model in common and w.task is not Task.UNKNOWN and w.unit == unit_of(w.model):
            precision = precision_group(w.arithmetic)
            neutral = Workload(
                model=w.model,
                task=w.task,
                arithmetic=ARITHMETIC[precision],
                family=w.family,
                framework=w.framework,
                panel=PANEL,
                unit=w.unit,
                gmacs=w.gmacs,
                macts_m=w.macts_m,
                params_m=w.params_m,
            )
            if usable(device, neutral):
                keys.setdefault((w.model, w.task, precision), (device, neutral))
    corrections = _corrections(estimator, list(keys.values()), (1.0, 0.0))
    return [
        {
            "workload": {k: v for k, v in _plain(w).items() if v not in ("", None)},
            "ln_correction": round(value, DIGITS),
            "sd": round(math.sqrt(max(sd**2 - scatter, LEAST_SD**2)), DIGITS),
        }
        for (_, w), (value, sd, _prior) in zip(keys.values(), corrections, strict=True)
    ]


def _corrections(
    estimator: Estimator,
    pairs: list[tuple[DeviceSpec, Workload]],
    parts: tuple[float, float],
) -> list[tuple[float, float, float]]:
    """Kriged correction of one part, its sd, and the prior's."""
    if not pairs:
        return []
    fitted = estimator.predictor
    learnt = fitted.learnt
    asked = encode(pairs, None, learnt.encoder, learnt.batched, parts)
    values, variances = fitted.correction(asked)
    prior = fitted.prior_variance(asked)
    return [
        (float(v), float(np.sqrt(max(x, 0.0))), float(np.sqrt(p)))
        for v, x, p in zip(values, variances, prior, strict=True)
    ]


def _plain(value: DeviceSpec | Workload | Observation) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value)}


def write(coefficients: Coefficients, path: Path) -> None:
    """One JSON file, a coefficient a line, so that changes can be read."""
    plain = {"format": FORMAT} | {
        f.name: getattr(coefficients, f.name) for f in fields(Coefficients)
    }
    parts = []
    for name, value in plain.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f' "{name}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value)}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def parse(text: str, name: str) -> Coefficients:
    """Coefficients of a file's text.

    Raises:
        UsageError: it is not such a file, or of another format.
    """
    advice = "make it anew: python scripts/fit_predictor.py"
    if len(text) > LARGEST_BYTES:
        raise UsageError(f"{name} is larger than {LARGEST_BYTES} bytes", advice)
    try:
        plain = json.loads(text)
        if plain["format"] != FORMAT:
            raise UsageError(f"{name} has format {plain['format']}, not {FORMAT}", advice)
        return Coefficients(
            **{f.name: plain[f.name] for f in fields(Coefficients)}
            | {
                "nodes": [(tuple(n), tuple(map(float, row))) for n, row in plain["nodes"]],
                "usual": [(tuple(n), tuple(row)) for n, row in plain["usual"]],
                "level": [(tuple(n), float(x)) for n, x in plain["level"]],
            }
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{name} is no file of coefficients: {error!r}", advice) from error


@lru_cache(maxsize=1)
def read_shipped() -> Coefficients:
    """The coefficients of the package."""
    file = resources.files("dlbench.analysis.predict") / "coefficients.json"
    return parse(file.read_text(encoding="utf-8"), "coefficients.json")


def write_measured(
    observations: Sequence[Observation], half_widths: Mapping[str, float], path: Path
) -> None:
    """Rates of dlbench's own documents, one a line, and the widths that ``harness`` learnt of them."""
    rows = ",\n  ".join(json.dumps(_plain_rate(o)) for o in observations)
    widths = json.dumps(dict(half_widths))
    path.write_text(
        f'{{\n "half_widths": {widths},\n "rates": [\n  {rows}\n ]\n}}\n', encoding="utf-8"
    )


def _plain_rate(o: Observation) -> dict[str, Any]:
    workload = {k: v for k, v in _plain(o.workload).items() if v not in ("", None)}
    return {**_plain(o), "rate": float(f"{o.rate:.6g}"), "workload": workload}


@lru_cache(maxsize=1)
def measured() -> tuple[Observation, ...]:
    """Rates that dlbench's own runs measured on cards: from each a whole family of devices is told."""
    return tuple(
        Observation(**row | {"workload": _workload(row["workload"])})
        for row in _read_measured()["rates"]
    )


@lru_cache(maxsize=1)
def _read_measured() -> Mapping[str, Any]:
    file = resources.files("dlbench.analysis.predict") / "measured.json"
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def estimator(
    observations: Sequence[Observation] = (),
    devices: DeviceTable | None = None,
    coefficients: Coefficients | None = None,
) -> Estimator:
    """The shipped coefficients, corrected by one's own measurements.

    Args:
        observations: one's own rates, as from ``documents.observations``.
        devices: data sheets of the devices they name.
        coefficients: others than the shipped ones.
    """
    known = coefficients or read_shipped()
    encoder = Encoder()
    learnt = _learnt(known, encoder)
    pseudo, residual, variance = _effects(known, learnt)
    # The kernel knows how far batches lie apart: a rate at one batch tells of the others too.
    own, _ = predictor.gather(
        observations, devices or DeviceTable([]), encoder, learnt.sizes, batched=frozenset()
    )
    # What is asked must have the sizes that it was learnt with.
    sizes = {**sizes_of(own.workloads), **learnt.sizes, **SIZES}
    learnt = replace(learnt, sizes=sizes, roofline=learnt.roofline.with_usual(own))
    own_residual = own.y - learnt.mean(own) if len(own) else np.zeros(0)
    cells = join(pseudo, own) if len(own) else pseudo
    room = max(predictor.MOST_ANCHORS - len(pseudo), 0)
    anchors = np.arange(len(pseudo) + min(len(own), room))
    fitted = predictor.assemble(
        learnt,
        cells,
        anchors,
        np.concatenate([residual, own_residual]),
        np.concatenate([variance, noise_of(learnt.noise, own, learnt.scales)]),
    )
    return Estimator(
        predictor=fitted,
        calibration=Calibration(
            half_widths={**known.half_widths, **_read_measured()["half_widths"]}
        ),
        ranges={name: Range(low=low, high=high) for name, (low, high) in known.ranges.items()},
        provenance=f"shipped coefficients of {known.provenance.get('date', 'unknown date')}",
        tried=tuple(zip(own.devices, own.workloads, strict=True)),
    )


def _learnt(known: Coefficients, encoder: Encoder) -> Learnt:
    return Learnt(
        scales=Scales(**known.scales),
        encoder=encoder,
        batched=frozenset(),
        roofline=Roofline(nodes=dict(known.nodes), usual=dict(known.usual)),
        level=Level(coefficients=dict(known.level)),
        efficiency=known.efficiency,
        noise=known.noise,
        sizes={model: tuple(x) for model, x in known.sizes.items()},
    )


def _workload(plain: Mapping[str, Any]) -> Workload:
    kinds = {"task": Task(plain["task"]), "arithmetic": Arithmetic(plain["arithmetic"])}
    return Workload(**{**plain, **kinds})


def _effects(known: Coefficients, learnt: Learnt) -> tuple[Cells, Floats, Floats]:
    """Shipped corrections as cells of one part each, with their values and variances."""
    devices = [
        (
            DeviceSpec(**e["device"]),
            Workload(
                model=f"any {e['family']}",
                task=Task(e["task"]),
                arithmetic=ARITHMETIC[e["precision"]],
                family=e["family"],
                panel=PANEL,
            ),
        )
        for e in known.device_effects
    ]
    reference = DeviceSpec(
        name="reference",
        fp32_tflops=REFERENCE_VECTOR,
        fp16_tflops=REFERENCE_TFLOPS,
        mem_bw_gb_s=REFERENCE_GB_S,
    )
    models = [
        (
            reference,
            # No two corrections are of one set-up.
            replace(_workload(e["workload"]), panel=f"{PANEL} {i}"),
        )
        for i, e in enumerate(known.model_effects)
    ]
    cells = join(
        encode(devices, None, learnt.encoder, learnt.batched, (0.0, 1.0)),
        encode(models, None, learnt.encoder, learnt.batched, (1.0, 0.0)),
    )
    effects = [*known.device_effects, *known.model_effects]
    values = np.array([e["ln_correction"] for e in effects], dtype=float)
    variances = np.array([e["sd"] for e in effects], dtype=float) ** 2
    of_model = slice(len(devices), None)
    values[of_model], variances[of_model] = _as_measured(
        cells.take(np.arange(len(cells))[of_model]), values[of_model], variances[of_model], learnt
    )
    return cells, values, variances


def _as_measured(
    cells: Cells, values: Floats, variances: Floats, learnt: Learnt
) -> tuple[Floats, Floats]:
    """What had to be measured of models, and how surely, for kriging to tell these corrections.

    Kriging draws a measurement to the mean, and gives it the scatter of its set-up; a correction has
    been drawn already, and has none. So of prior variance P and spread v the row's variance is
    P v / (P - v) without that scatter, and the values solve K (K + R)^-1 measured = corrections.
    """
    if not len(cells):
        return values, variances
    scales = learnt.scales
    elsewhere = encode(
        [(d, as_stranger(w)) for d, w in zip(cells.devices, cells.workloads, strict=True)],
        None,
        learnt.encoder,
        learnt.batched,
        (1.0, 0.0),
    )
    shared = kernel.covariance(
        kernel.sample(cells, scales), kernel.sample(elsewhere, scales), scales
    )
    prior = np.diag(shared)
    spread = np.minimum(variances, LARGEST_SHARE_OF_PRIOR * prior)
    row = prior * spread / (prior - spread)
    measured = values + row * np.linalg.solve(shared, values)
    return measured, row - setup_variance(scales)
