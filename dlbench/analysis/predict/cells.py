"""Observations as arrays: one cell for each device and workload, with the codes kernels compare."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from dlbench.analysis.predict.devices import interconnect, peak_tflops
from dlbench.analysis.predict.models import unit_of
from dlbench.analysis.predict.types import Arithmetic, DeviceSpec, Observation, Workload

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

NEUTRAL_L2_MIB = 20.0
"""Stands in where a data sheet does not name the last cache: between 6 (2018) and 50 (2022)."""
NEUTRAL_YEAR = 2020.0
NEUTRAL_MEMORY_GIB = 24.0
NEUTRAL_TDP_W = 300.0
YEARS_TO_HALF_A_JOULE = 3.0
"""A chip does the same work for half the energy three years later, roughly."""
FP32_SHARE_OF_PEAK = 4.0
"""Stands in where the vector rate is unknown: matrix units are 2 to 16 times as fast."""

CODES = (
    "device", "chip", "arch", "die", "kind", "task", "precision", "family", "model", "counted", "mode",
    "panel", "level", "stack", "setup", "units", "cell",
)  # fmt: skip


ARRAYS = (
    "y", "n", "compute", "vector", "bandwidth", "l2", "memory", "year", "batch", "spread", "nvlink",
    "power", "size", "of_work", "of_device",
)  # fmt: skip


@dataclass(slots=True)
class Encoder:
    """Numbers for names, the same ones for all cells that will be compared."""

    tables: dict[str, dict[object, int]] = field(default_factory=lambda: defaultdict(dict))

    def code(self, column: str, value: object) -> int:
        """The number of a value in a column, a new one at first sight."""
        table = self.tables[column]
        return table.setdefault(value, len(table))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Parallel arrays, one entry a cell; ``y`` is ln of the rate of one device, NaN where asked.

    ``codes`` hold what kernels compare for equality. ``compute``, ``vector`` and ``bandwidth`` are
    data-sheet rates, ``power`` the watts with which a chip of 2020 does the same; NaN in ``batch``
    (log2) and in the model's sizes (ln) means not known. A measurement is of its work and of its
    device (both 1); a shipped coefficient of one of them.
    """

    devices: tuple[DeviceSpec, ...]
    workloads: tuple[Workload, ...]
    y: Floats
    n: Floats
    codes: Mapping[str, Codes]
    compute: Floats
    vector: Floats
    bandwidth: Floats
    l2: Floats
    memory: Floats
    year: Floats
    batch: Floats
    spread: Floats
    nvlink: Floats
    power: Floats
    size: Floats
    of_work: Floats
    of_device: Floats

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: npt.NDArray[np.bool_] | Codes) -> Cells:
        """Some of the cells, in that order."""
        where = np.flatnonzero(index) if index.dtype == np.bool_ else index
        arrays = {name: getattr(self, name)[where] for name in ARRAYS}
        return replace(
            self,
            devices=tuple(self.devices[i] for i in where),
            workloads=tuple(self.workloads[i] for i in where),
            codes={name: codes[where] for name, codes in self.codes.items()},
            **arrays,
        )


SERVER_DIE_RATIO = 10.0
"""Matrix over vector rate: 15 and more on server dies since 2020, 8 and less on graphics dies."""


def die(spec: DeviceSpec) -> str:
    """Whether a chip was made for servers or for graphics: by its matrix rate, from the data sheet."""
    if spec.kind != "gpu" or not spec.fp16_tflops or not spec.fp32_tflops:
        return spec.kind
    return "server" if spec.fp16_tflops / spec.fp32_tflops >= SERVER_DIE_RATIO else "graphics"


def chip(spec: DeviceSpec) -> tuple[object, ...]:
    """Devices of one chip differ only in clocks, memory and cooling: same architecture and units."""
    return (spec.arch, spec.sm) if spec.arch and spec.sm else (spec.name,)


def precision_group(arithmetic: Arithmetic) -> str:
    """Arithmetic that meets the same kind of peak: matrix units, or not."""
    if arithmetic in (Arithmetic.SINGLE, Arithmetic.TF32, Arithmetic.FP32):
        return "single"
    return "low" if arithmetic in (Arithmetic.FP8, Arithmetic.INT8) else "half"


def merge(observations: Iterable[Observation]) -> list[Observation]:
    """One observation for each device and workload: the median of those alike.

    Those that are believed less than one row count where there are no others.
    """
    alike: dict[tuple[str, Workload], list[Observation]] = defaultdict(list)
    for seen in observations:
        alike[seen.device, seen.workload].append(seen)
    groups = ([o for o in group if o.n >= 1] or group for group in alike.values())
    return [
        replace(group[0], rate=float(np.median([o.rate for o in group])), n=sum(o.n for o in group))
        for group in groups
    ]


Sizes = Mapping[str, tuple[float | None, ...]]


def counted(workload: Workload) -> str:
    """What is counted: the model, where in its usual unit; sizes are of one unit."""
    usual = workload.unit == unit_of(workload.model)
    return workload.model if usual else f"{workload.model} in {workload.unit}"


def sizes_of(workloads: Iterable[Workload]) -> dict[str, tuple[float | None, ...]]:
    """Multiply-accumulates, activations and parameters of what is counted, medians over its rows."""
    found: dict[str, list[list[float]]] = defaultdict(lambda: [[], [], []])
    for w in workloads:
        for kept, x in zip(found[counted(w)], (w.gmacs, w.macts_m, w.params_m), strict=True):
            if x:
                kept.append(x)
    return {
        name: tuple(float(np.median(xs)) if xs else None for xs in sizes)
        for name, sizes in found.items()
    }


def with_sizes(workload: Workload, sizes: Sizes) -> Workload:
    """The workload with sizes as its model has them elsewhere: filled in, or left out.

    A level that was learnt without sizes says nothing of a row that has them, and the reverse. Another
    variant has activations in proportion to its multiply-accumulates.
    """
    known = sizes.get(counted(workload))
    if known is None:
        return workload
    own = (workload.gmacs, workload.macts_m, workload.params_m)
    usual, written, held = known
    if workload.gmacs and usual and written:
        written *= workload.gmacs / usual
    gmacs, macts, params = (
        (mine or other) if other else None
        for mine, other in zip(own, (usual, written, held), strict=True)
    )
    return replace(workload, gmacs=gmacs, macts_m=macts, params_m=params)


def usable(spec: DeviceSpec, workload: Workload) -> bool:
    """Whether the data sheet has the two rates without which there is no roofline."""
    return spec.mem_bw_gb_s is not None and peak_tflops(spec, workload.arithmetic) is not None


def encode(
    pairs: Sequence[tuple[DeviceSpec, Workload]],
    rates: Sequence[tuple[float, float]] | None,
    encoder: Encoder,
    batched: frozenset[str],
    parts: tuple[float, float] = (1.0, 1.0),
) -> Cells:
    """Arrays of device-workload pairs that are ``usable``.

    Args:
        pairs: what to encode.
        rates: rate and number of observations of each; None for what is asked.
        encoder: shared among cells that will be compared.
        batched: panels in which a batch size is part of what makes rows comparable.
        parts: whether a cell tells of its work and of its device.
    """
    code_rows = [_code_row(spec, workload, batched) for spec, workload in pairs]
    codes = {
        name: np.array([encoder.code(name, row[i]) for row in code_rows], dtype=np.int64)
        for i, name in enumerate(CODES)
    }
    floats = np.array([_float_row(spec, w) for spec, w in pairs], dtype=float).reshape(-1, 10)
    sizes = np.array([_sizes(w) for _, w in pairs], dtype=float).reshape(-1, 3)
    n_pairs = len(pairs)
    return Cells(
        devices=tuple(spec for spec, _ in pairs),
        workloads=tuple(workload for _, workload in pairs),
        y=np.log([r for r, _ in rates]) if rates else np.full(n_pairs, np.nan),
        n=np.array([n for _, n in rates], dtype=float) if rates else np.ones(n_pairs),
        codes=codes,
        compute=floats[:, 0],
        vector=floats[:, 1],
        bandwidth=floats[:, 2],
        l2=floats[:, 3],
        memory=floats[:, 4],
        year=floats[:, 5],
        batch=floats[:, 6],
        spread=floats[:, 7],
        nvlink=floats[:, 8],
        power=floats[:, 9],
        size=sizes,
        of_work=np.full(n_pairs, parts[0]),
        of_device=np.full(n_pairs, parts[1]),
    )


def join(first: Cells, second: Cells) -> Cells:
    """Cells of the same encoder, one after the other."""
    arrays = {
        name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in ARRAYS
    }
    return replace(
        first,
        devices=first.devices + second.devices,
        workloads=first.workloads + second.workloads,
        codes={name: np.concatenate([first.codes[name], second.codes[name]]) for name in CODES},
        **arrays,
    )


def level_key(workload: Workload) -> tuple[object, ...]:
    """What must be equal for two rates to be of the same work."""
    return (
        workload.panel,
        workload.model,
        workload.task,
        precision_group(workload.arithmetic),
        workload.unit,
        workload.phase,
    )


def setup_key(workload: Workload, batched: frozenset[str]) -> tuple[object, ...]:
    """What must be equal for two devices to be compared without a doubt."""
    batch = workload.batch if workload.panel in batched else None
    stack = (workload.framework, workload.policy, workload.setup)
    return (*level_key(workload), *stack, batch)


MATRIX_GAIN = 1.5
"""A peak this far above the vector rate is that of matrix units."""


def units_key(spec: DeviceSpec, workload: Workload, batched: frozenset[str]) -> tuple[object, ...]:
    """The work in any precision, by the kind of units that it ran on: TF32 errs as fp16 does.

    float32 without TF32 runs on the vector units, and says little of the same work on matrix units.
    """
    peak, vector = peak_tflops(spec, workload.arithmetic), spec.fp32_tflops
    matrix = peak is not None and vector is not None and peak >= MATRIX_GAIN * vector
    batch = workload.batch if workload.panel in batched else None
    work = (workload.panel, workload.model, workload.task, workload.unit, workload.phase)
    return (*work, workload.framework, workload.policy, workload.setup, batch, matrix)


def _code_row(spec: DeviceSpec, workload: Workload, batched: frozenset[str]) -> tuple[object, ...]:
    level, setup = level_key(workload), setup_key(workload, batched)
    return (
        spec.name,
        chip(spec),
        (spec.arch or spec.name, die(spec)),
        die(spec),
        spec.kind,
        workload.task,
        precision_group(workload.arithmetic),
        workload.family,
        workload.model,
        (workload.model, workload.unit),
        (workload.model, workload.unit, workload.task),
        workload.panel,
        level,
        (*level, workload.framework, workload.policy),
        setup,
        units_key(spec, workload, batched),
        (*setup, spec.name),
    )


def _float_row(spec: DeviceSpec, workload: Workload) -> tuple[float, ...]:
    peak = peak_tflops(spec, workload.arithmetic)
    if peak is None or spec.mem_bw_gb_s is None:
        raise ValueError(f"{spec.name} has no roofline for {workload.arithmetic}")
    year = spec.year or NEUTRAL_YEAR
    return (
        peak,
        spec.fp32_tflops or peak / FP32_SHARE_OF_PEAK,
        spec.mem_bw_gb_s,
        spec.l2_mib or NEUTRAL_L2_MIB,
        math.log2(spec.memory_gib or NEUTRAL_MEMORY_GIB),
        year,
        math.log2(workload.batch) if workload.batch else math.nan,
        math.log2(workload.n_devices),
        1.0 if interconnect(spec.name) == "nvlink" else 0.0,
        (spec.tdp_w or NEUTRAL_TDP_W) * 2 ** ((year - NEUTRAL_YEAR) / YEARS_TO_HALF_A_JOULE),
    )


USUAL_INTENSITY = 0.35
"""Thousand multiply-accumulates an activation, of ResNet-50: stands in where only these are known."""


def activations_of(workload: Workload) -> float | None:
    """Millions of activations, or what stands in for them."""
    return workload.macts_m or (workload.gmacs and workload.gmacs / USUAL_INTENSITY)


def _sizes(workload: Workload) -> tuple[float, float, float]:
    return tuple(
        math.log(x) if x else math.nan
        for x in (workload.gmacs, activations_of(workload), workload.params_m)
    )  # type: ignore[return-value]


def batched_panels(observations: Sequence[Observation]) -> frozenset[str]:
    """Panels that list several batches of one device under one name: there batch is a key.

    Where each device has one batch (the largest that fits), it is a covariate instead.
    """
    batches: dict[tuple[object, ...], set[float | None]] = defaultdict(set)
    for seen in observations:
        w = seen.workload
        batches[w.panel, setup_key(w, frozenset()), w.n_devices, seen.device].add(w.batch)
    several: dict[object, list[bool]] = defaultdict(list)
    for key, found in batches.items():
        several[key[0]].append(len(found) > 1)
    share = 0.1
    return frozenset(str(p) for p, flags in several.items() if sum(flags) > share * len(flags))
