"""The additive roofline: a sample's time as a sum of what each part of a device takes.

    time = (compute / matrix peak  +  vector / fp32 rate  +  memory / bandwidth  +  energy / power
            +  host)
         + (host a step  +  memory a step / bandwidth  +  exchange between devices) / batch

All shares are above 0, so a faster part never makes a prediction slower. They are learnt on a tree:
each task and precision has shares, a family departs from these, a model from its family, each as far
as its rows pay for it. Only ratios of devices bear on them; the level is somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from dlbench.analysis.predict.cells import (
    NEUTRAL_L2_MIB,
    NEUTRAL_TDP_W,
    Cells,
    Codes,
    Floats,
    precision_group,
)
from dlbench.core.units import percent

PARTS = ("compute", "vector", "memory", "host", "host_step", "memory_step", "exchange", "power")
NAMES = {
    "compute": "matrix arithmetic",
    "vector": "other arithmetic",
    "memory": "memory traffic",
    "host": "host",
    "exchange": "exchange between devices",
    "power": "power",
}
"""Of parts, for people; what is once a sample and once a step is told together."""
LEAST_TOLD = 0.01
START = np.log(np.array([0.30, 0.10, 0.50, 0.05, 0.05, 0.05, 0.05, 0.10]))
"""Shares at the reference device before any row was seen: half memory, a third compute."""
REFERENCE_TFLOPS, REFERENCE_VECTOR, REFERENCE_GB_S = 100.0, 20.0, 900.0
CACHE_EXPONENT = 0.07
"""Larger last caches save traffic: best of 0 to 0.3 by devices and architectures left out."""
BATCH_RANGE = 2.5
"""Octaves from the usual batch within which time a step is divided by it."""
NODE_SD = (1.0, 0.7, 0.8)
"""How far, in ln of a share, a task, a family and a model depart from the one above."""
INTENSITY_SD = 0.5
HUBER = 0.15
ROW_SD = 0.1
ITERATIONS = 60

NodeName = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Learnt departures of each node's ln shares, and the usual batch of a model in a panel."""

    nodes: Mapping[NodeName, tuple[float, ...]]
    usual: Mapping[tuple[str, str, str], tuple[float | None, float]] = field(default_factory=dict)

    def ln_relative_rate(self, cells: Cells) -> Floats:
        """Give ln of each cell's rate relative to the same work at the reference device's rates."""
        shares = np.exp(self._ln_shares(cells))
        return np.asarray(-np.log((shares * _costs(cells, self.relative_batch(cells))).sum(axis=1)))

    def shares(self, cells: Cells) -> Floats:
        """What share of a cell's time each of ``PARTS`` takes; rows sum to 1."""
        times = np.exp(self._ln_shares(cells)) * _costs(cells, self.relative_batch(cells))
        return np.asarray(times / times.sum(axis=1, keepdims=True))

    def in_words(self, cells: Cells) -> list[str]:
        """What each cell's time goes into, the largest first: ``memory traffic 51 %, host 8 %``."""
        told = []
        for row in self.shares(cells):
            together = dict.fromkeys(NAMES, 0.0)
            for part, share in zip(PARTS, row, strict=True):
                together[part.removesuffix("_step")] += float(share)
            largest_first = sorted(together.items(), key=lambda item: -item[1])
            words = [f"{NAMES[p]} {percent(x)}" for p, x in largest_first if x >= LEAST_TOLD]
            told.append(", ".join(words))
        return told

    def with_usual(self, cells: Cells) -> Roofline:
        """The same shares, and the usual batches of other cells' panels too."""
        return replace(self, usual={**self.usual, **usual_batches(cells)})

    def relative_batch(self, cells: Cells) -> Floats:
        """Octaves from the usual batch; an unknown one follows the device's memory."""
        octaves = np.zeros(len(cells))
        for i, workload in enumerate(cells.workloads):
            usual = self.usual.get((workload.panel, workload.model, workload.task))
            if usual is None:
                continue
            if not np.isfinite(cells.batch[i]):
                octaves[i] = cells.memory[i] - usual[1]
            elif usual[0] is not None:
                octaves[i] = cells.batch[i] - usual[0]
        return np.clip(octaves, -BATCH_RANGE, BATCH_RANGE)

    def _ln_shares(self, cells: Cells) -> Floats:
        zero = np.zeros(len(PARTS))
        ln_shares = np.tile(START, (len(cells), 1))
        intensity = _intensity(cells)
        cache: dict[tuple[NodeName, ...], Floats] = {}
        for i, workload in enumerate(cells.workloads):
            names = node_names(
                workload.task, precision_group(workload.arithmetic), workload.family, workload.model
            )
            if names not in cache:
                cache[names] = np.sum([np.asarray(self.nodes.get(n, zero)) for n in names], axis=0)
            ln_shares[i] += cache[names]
            slope = self.nodes.get(("intensity", workload.task))
            if slope is not None:
                ln_shares[i] += intensity[i] * np.asarray(slope)
        return ln_shares


def node_names(task: str, precision: str, family: str, model: str) -> tuple[NodeName, ...]:
    """The way from the root to a model's shares."""
    return (
        ("task", task, precision),
        ("family", task, precision, family),
        ("model", task, precision, model),
    )


def usual_batches(cells: Cells) -> dict[tuple[str, str, str], tuple[float | None, float]]:
    """Mean log2 batch of each model in a panel and task, and mean log2 memory of its devices."""
    grouped: dict[tuple[str, str, str], list[int]] = {}
    for i, w in enumerate(cells.workloads):
        grouped.setdefault((w.panel, w.model, w.task), []).append(i)
    usual: dict[tuple[str, str, str], tuple[float | None, float]] = {}
    for name, index in grouped.items():
        known = np.isfinite(cells.batch[index])
        memory = cells.memory[index]
        if known.any():
            usual[name] = (float(cells.batch[index][known].mean()), float(memory[known].mean()))
        else:
            usual[name] = (None, float(memory.mean()))
    return usual


def _intensity(cells: Cells) -> Floats:
    """Give ln of MACs an activation against the usual; 0 where a model's sizes are unknown."""
    usual_ln_intensity = float(np.log(0.2))
    intensity = cells.size[:, 0] - cells.size[:, 1] - usual_ln_intensity
    return np.where(np.isfinite(intensity), np.clip(intensity, -2.0, 2.0), 0.0)


def _costs(cells: Cells, octaves: Floats) -> Floats:
    """Time of each part at this device over the reference device's, one column each of PARTS."""
    cached = (cells.l2 / NEUTRAL_L2_MIB) ** -CACHE_EXPONENT
    memory = REFERENCE_GB_S / cells.bandwidth * cached
    one, per_sample = np.ones(len(cells)), 2.0**-octaves
    return np.stack(
        [
            REFERENCE_TFLOPS / cells.compute,
            REFERENCE_VECTOR / cells.vector,
            memory,
            one,
            per_sample,
            memory * per_sample,
            _exchange(cells) * per_sample,
            NEUTRAL_TDP_W / cells.power,
        ],
        axis=1,
    )


NVLINK_COST = ((2019.0, 0.10), (2021.5, 0.05), (2023.5, 0.035), (9999.0, 0.018))
"""An exchange over NVLink against PCIe's 32 GB/s, by the year until which a device came: 300, 600,
900 and 1800 GB/s."""


def _exchange(cells: Cells) -> Floats:
    """Traffic of a ring all-reduce, 2 (n - 1) / n of the gradients, over the link; 0 of one device."""
    traffic = 2 * (1 - 2.0**-cells.spread)
    last_years = np.array([year for year, _ in NVLINK_COST])
    costs = np.array([cost for _, cost in NVLINK_COST])
    nvlink = costs[np.searchsorted(last_years, cells.year)]
    return np.asarray(traffic * np.where(cells.nvlink > 0, nvlink, 1.0))


def fit(cells: Cells) -> Roofline:
    """Shares under which devices that ran the same work differ least from what was measured.

    The level of each workload is profiled out, so that a row counts only against the same work on
    other devices. Huber's loss; every node is drawn towards the one above it. Where no work was run
    by several devices there is nothing to learn shares from, and they are those to start with.
    """
    from scipy.optimize import minimize

    start = Roofline(nodes={}, usual=usual_batches(cells))
    if not len(cells):
        return start
    tree = _Tree(cells, start.relative_batch(cells))
    found = minimize(
        tree.loss,
        np.zeros(tree.n_parameters),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": ITERATIONS},
    )
    return Roofline(nodes=tree.nodes(found.x), usual=start.usual)


class _Tree:
    """The loss over all nodes at once, with its gradient."""

    def __init__(self, cells: Cells, octaves: Floats) -> None:
        self.cells = cells
        self.costs = _costs(cells, octaves)
        self.names: list[list[NodeName]] = []
        self.index: list[Codes] = []
        names = [
            node_names(w.task, precision_group(w.arithmetic), w.family, w.model)
            for w in cells.workloads
        ]
        for depth in range(len(NODE_SD)):
            known: dict[NodeName, int] = {}
            index = [known.setdefault(row[depth], len(known)) for row in names]
            self.names.append(list(known))
            self.index.append(np.array(index, dtype=np.int64))
        tasks: dict[str, int] = {}
        self.task = np.array([tasks.setdefault(w.task, len(tasks)) for w in cells.workloads])
        self.tasks = list(tasks)
        self.intensity = _intensity(cells)
        _, self.work = np.unique(cells.codes["setup"], return_inverse=True)
        self.work_size = np.bincount(self.work)
        n_nodes = sum(len(n) for n in self.names) + len(self.tasks)
        self.n_parameters = n_nodes * len(PARTS)

    def _split(self, flat: Floats) -> list[Floats]:
        sizes = [*(len(n) for n in self.names), len(self.tasks)]
        table = flat.reshape(-1, len(PARTS))
        return np.split(table, np.cumsum(sizes)[:-1])

    def loss(self, flat: Floats) -> tuple[float, Floats]:
        """Penalised loss and its gradient."""
        *nodes, slopes = self._split(flat)
        ln_shares = START + sum(
            (values[index] for values, index in zip(nodes, self.index, strict=True)),
            start=self.intensity[:, None] * slopes[self.task],
        )
        times = np.exp(ln_shares) * self.costs
        total = times.sum(axis=1)
        residual = self._centred(self.cells.y + np.log(total))
        inside = np.abs(residual) < HUBER
        value = np.where(inside, residual**2 / 2, HUBER * (np.abs(residual) - HUBER / 2)).sum()
        slope = self._centred(np.where(inside, residual, HUBER * np.sign(residual))) / ROW_SD**2
        by_part = slope[:, None] * times / total[:, None]
        loss = value / ROW_SD**2
        gradients = []
        for values, index, sd in zip(nodes, self.index, NODE_SD, strict=True):
            loss += (values**2).sum() / (2 * sd**2)
            gradients.append(_sum_by(by_part, index, len(values)) + values / sd**2)
        loss += (slopes**2).sum() / (2 * INTENSITY_SD**2)
        gradients.append(
            _sum_by(by_part * self.intensity[:, None], self.task, len(slopes))
            + slopes / INTENSITY_SD**2
        )
        return float(loss), np.concatenate(gradients).ravel()

    def _centred(self, values: Floats) -> Floats:
        means = np.bincount(self.work, values) / self.work_size
        return np.asarray(values - means[self.work])

    def nodes(self, flat: Floats) -> dict[NodeName, tuple[float, ...]]:
        """The parameters under their names."""
        *nodes, slopes = self._split(flat)
        named = {
            name: tuple(float(x) for x in row)
            for names, values in zip(self.names, nodes, strict=True)
            for name, row in zip(names, values, strict=True)
        }
        named |= {
            ("intensity", task): tuple(float(x) for x in row)
            for task, row in zip(self.tasks, slopes, strict=True)
        }
        return named


def _sum_by(values: Floats, index: Codes, n: int) -> Floats:
    return np.stack([np.bincount(index, column, n) for column in values.T], axis=1)
