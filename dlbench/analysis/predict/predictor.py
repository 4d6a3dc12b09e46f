"""Fit on observations, then predict: roofline and level, corrected by kriging on ln of the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dlbench.analysis.predict import kernel, level, models, roofline
from dlbench.analysis.predict.anchors import choose_anchors, comparable
from dlbench.analysis.predict.cells import (
    Cells,
    Codes,
    Encoder,
    Floats,
    Sizes,
    batched_panels,
    encode,
    merge,
    sizes_of,
    usable,
    with_sizes,
)
from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.kernel import Scales
from dlbench.analysis.predict.noise import noise_of, row_noise, surprise
from dlbench.analysis.predict.types import OTHER, DeviceSpec, Observation, Workload

MOST_ANCHORS = 2400
"""Cells in the dense part: solving grows with the cube (2400 take a second on one core)."""
MOST_COMPARED = 6000
"""Cells that the roofline is fitted on; its cost grows in proportion."""
MOST_NEIGHBOURS = 48
MOST_ASKED_AT_ONCE = 64
JITTER = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """ln of the expected rate of one device, its standard deviation, and how many rows bear on it.

    ``ln_mean`` is the part of it that roofline and level say, before any neighbour is heard. Rows of
    the same device are measurements on it; ``n_corrections`` are the shipped coefficients of it.
    """

    ln_rate: Floats
    ln_mean: Floats
    sd: Floats
    n_same_work: npt.NDArray[np.int64]
    n_same_model: npt.NDArray[np.int64]
    n_other_mode: npt.NDArray[np.int64]
    n_same_device: npt.NDArray[np.int64]
    n_corrections: npt.NDArray[np.int64]
    n_same_panel: npt.NDArray[np.int64]
    n_same_family: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What does not need the rows any more: shares, levels, scaling, noise, and how to compare."""

    scales: Scales
    encoder: Encoder
    batched: frozenset[str]
    roofline: roofline.Roofline
    level: level.Level
    efficiency: Mapping[str, float]
    noise: Mapping[str, float]
    sizes: Sizes

    def mean(self, cells: Cells) -> Floats:
        """Ln of the rate as roofline, level and scaling efficiency have it."""
        return mean_of(cells, self.roofline, self.level, self.efficiency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """What was learnt, and the rows that correct it: call ``forecast``."""

    learnt: Learnt
    cells: Cells
    anchors: Codes
    neighbours: Mapping[int, Codes]
    rest: Codes
    factor: Floats
    weighted: Floats
    residual: Floats
    row_variance: Floats

    def forecast(self, pairs: Sequence[tuple[DeviceSpec, Workload]]) -> Forecast:
        """Expected ln rate of each pair; all must be ``usable``."""
        asked = self.encoded(pairs)
        mean = self.learnt.mean(asked)
        correction, variance = self.correction(asked)
        variance = variance + noise_of(self.learnt.noise, asked, self.learnt.scales)
        known = self.cells.codes
        measured = (self.cells.of_work > 0) & (self.cells.of_device > 0)
        corrections = (self.cells.of_work == 0) & (self.cells.of_device > 0)
        return Forecast(
            ln_rate=mean + correction,
            ln_mean=mean,
            sd=np.sqrt(np.maximum(variance, JITTER)),
            n_same_work=_count(known["setup"], asked.codes["setup"]),
            n_same_model=_count(known["mode"], asked.codes["mode"]),
            n_other_mode=_count(known["counted"], asked.codes["counted"]),
            n_same_device=_count(known["device"][measured], asked.codes["device"]),
            n_corrections=_count(known["device"][corrections], asked.codes["device"]),
            n_same_panel=_count(known["panel"], asked.codes["panel"]),
            n_same_family=self._relatives(asked),
        )

    def _relatives(self, asked: Cells) -> npt.NDArray[np.int64]:
        """Rows of each cell's family; what has no family has no relatives."""
        known = _count(self.cells.codes["family"], asked.codes["family"])
        named = np.array([w.family != OTHER for w in asked.workloads], dtype=bool)
        return np.where(named, known, 0)

    def encoded(self, pairs: Sequence[tuple[DeviceSpec, Workload]]) -> Cells:
        """The pairs as cells that compare with what was learnt from."""
        learnt = self.learnt
        sized = [(device, with_sizes(w, learnt.sizes)) for device, w in pairs]
        return encode(sized, None, learnt.encoder, learnt.batched)

    def correction(self, asked: Cells) -> tuple[Floats, Floats]:
        """What kriging adds to the mean, and its variance without a row's own noise."""
        correction, variance = np.zeros(len(asked)), np.zeros(len(asked))
        anchors = kernel.sample(self.cells.take(self.anchors), self.learnt.scales)
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i in range(len(asked)):
            groups[int(asked.codes["model"][i]), int(asked.codes["stack"][i])].append(i)
        for (model, _), members in groups.items():
            near = self._neighbours(model, asked, np.array(members))
            for start in range(0, len(members), MOST_ASKED_AT_ONCE):
                index = np.array(members[start : start + MOST_ASKED_AT_ONCE])
                self._krige_group(anchors, asked, (index, near), (correction, variance))
        return correction, variance

    def _neighbours(self, model: int, asked: Cells, index: Codes) -> Codes:
        """Rows outside of the anchors that bear on a model: its own, else the nearest in size."""
        own = self.neighbours.get(model)
        if own is None:
            own = np.zeros(0, dtype=np.int64)
            if model not in set(self.cells.codes["model"][self.anchors].tolist()):
                own = self._nearest(asked, int(index[0]))
        if len(own) <= MOST_NEIGHBOURS:
            return own
        codes = self.cells.codes
        score = np.zeros(len(own))
        for name, weight in (("task", 8.0), ("setup", 6.0), ("level", 3.0), ("panel", 2.0),
                             ("device", 2.0), ("arch", 1.0), ("precision", 1.0)):  # fmt: skip
            score += weight * np.isin(codes[name][own], asked.codes[name][index])
        score += 1.0 * np.isin(self.cells.spread[own], asked.spread[index])
        return own[np.argsort(-score, kind="stable")[:MOST_NEIGHBOURS]]

    def _nearest(self, asked: Cells, i: int) -> Codes:
        if not len(self.rest):
            return self.rest
        codes = self.cells.codes
        gap = np.nan_to_num(np.abs(self.cells.size[self.rest] - asked.size[i]), nan=3.0).sum(axis=1)
        for name, cost in (("task", 6.0), ("panel", 2.0), ("family", 1.0), ("stack", 0.3),
                           ("device", 0.5), ("precision", 1.0)):  # fmt: skip
            gap = gap + cost * (codes[name][self.rest] != asked.codes[name][i])
        return self.rest[np.argsort(gap, kind="stable")[:MOST_NEIGHBOURS]]

    def prior_variance(self, asked: Cells) -> Floats:
        """Variance of each asked cell before any neighbour is heard."""
        singles = (
            kernel.sample(asked.take(np.array([i])), self.learnt.scales) for i in range(len(asked))
        )
        return np.array([kernel.covariance(x, x, self.learnt.scales)[0, 0] for x in singles])

    def _krige_group(
        self,
        anchors: kernel.Sample,
        asked: Cells,
        group: tuple[Codes, Codes],
        found: tuple[Floats, Floats],
    ) -> None:
        """Condition a few asked cells on the anchors, and then on their neighbours."""
        (index, near), (correction, variance), scales = group, found, self.learnt.scales
        target = kernel.sample(asked.take(index), scales)
        known = kernel.sample(self.cells.take(near), scales)
        cross = np.hstack([kernel.covariance(anchors, x, scales) for x in (target, known)])
        solved = forward_solve(self.factor, cross)
        v_t, v_n = solved[:, : len(index)], solved[:, len(index) :]
        mean_t, mean_n = v_t.T @ self.weighted, v_n.T @ self.weighted
        cov_tn = kernel.covariance(target, known, scales) - v_t.T @ v_n
        cov_nn = kernel.covariance(known, known, scales) - v_n.T @ v_n
        cov_nn[np.diag_indices(len(near))] += self.row_variance[near] + JITTER
        own = np.diag(kernel.covariance(target, target, scales)) - (v_t**2).sum(axis=0)
        gain = np.linalg.solve(cov_nn, cov_tn.T) if len(near) else np.zeros((0, len(index)))
        correction[index] = mean_t + gain.T @ (self.residual[near] - mean_n)
        variance[index] = own - (cov_tn * gain.T).sum(axis=1)


def mean_of(
    cells: Cells, shape: roofline.Roofline, size: level.Level, efficiency: Mapping[str, float]
) -> Floats:
    """What roofline, level and scaling efficiency say before any neighbour is heard."""
    scaling = np.array(
        [
            -efficiency.get(_link(w.panel, nvlink), efficiency.get(_link("", nvlink), 0.0))
            for w, nvlink in zip(cells.workloads, cells.nvlink, strict=True)
        ]
    )
    return np.asarray(shape.ln_relative_rate(cells) + size.ln_rate(cells) + scaling * cells.spread)


def _link(panel: str, nvlink: float) -> str:
    return f"{panel}|{'nvlink' if nvlink else 'pcie'}"


def gather(
    observations: Iterable[Observation],
    devices: DeviceTable,
    encoder: Encoder,
    sizes: Sizes | None = None,
    batched: frozenset[str] | None = None,
) -> tuple[Cells, frozenset[str]]:
    """The cells of all observations whose device has a usable data sheet.

    Args:
        observations: what was measured.
        devices: data sheets.
        encoder: shared with all that will be compared.
        sizes: of what is known already; they win over the observations' own, ``models.SIZES`` over all.
        batched: panels in which a batch is a key; by default those that list several of one device.
    """
    seen, pairs = [], []
    rows = list(observations)
    known = {**sizes_of(o.workload for o in rows), **(sizes or {}), **models.SIZES}
    for row in merge(rows):
        one = replace(row, workload=with_sizes(row.workload, known))
        spec = devices.find(one.device)
        if spec is not None and usable(spec, one.workload):
            seen.append(one)
            pairs.append((spec, one.workload))
    batched = batched_panels(seen) if batched is None else batched
    return encode(pairs, [(o.rate, o.n) for o in seen], encoder, batched), batched


def learn(
    cells: Cells,
    encoder: Encoder,
    batched: frozenset[str],
    scales: Scales,
    most_anchors: int = MOST_ANCHORS,
) -> Predictor:
    """Fit roofline, level, scaling and noise on cells, and prepare the kriging on what is left."""
    anchors = choose_anchors(cells, most_anchors)
    shape = roofline.fit(cells.take(comparable(cells, MOST_COMPARED)))
    ln_relative = shape.ln_relative_rate(cells)
    efficiency = fit_efficiency(cells, cells.y - ln_relative)
    size = level.fit(cells, ln_relative, scales)
    residual = cells.y - mean_of(cells, shape, size, efficiency)
    noise, outlier = row_noise(cells, residual)
    row_variance = noise_of(noise, cells, scales) + outlier
    covariance = _covariance(cells.take(anchors), scales, row_variance[anchors])
    row_variance[anchors] += surprise(covariance, residual[anchors])
    learnt = Learnt(
        scales=scales,
        encoder=encoder,
        batched=batched,
        roofline=shape,
        level=size,
        efficiency=efficiency,
        noise=noise,
        sizes=sizes_of(cells.workloads),
    )
    return assemble(learnt, cells, anchors, residual, row_variance)


def assemble(
    learnt: Learnt, cells: Cells, anchors: Codes, residual: Floats, row_variance: Floats
) -> Predictor:
    """Prepare the kriging on what roofline and level leave of some cells.

    Args:
        learnt: everything that is not kriging.
        cells: what was measured, or is known of a device or of a model.
        anchors: which of them tell of devices: these are solved for at once.
        residual: ln of what the mean leaves of each cell.
        row_variance: of each cell by itself.
    """
    covariance = _covariance(cells.take(anchors), learnt.scales, row_variance[anchors])
    factor: Floats = np.linalg.cholesky(covariance).astype(float)
    weighted: Floats = forward_solve(factor, residual[anchors])
    rest = np.setdiff1d(np.arange(len(cells)), anchors)
    by_model: dict[int, list[int]] = defaultdict(list)
    for i in rest:
        by_model[int(cells.codes["model"][i])].append(int(i))
    return Predictor(
        learnt=learnt,
        cells=cells,
        anchors=anchors,
        neighbours={model: np.array(index) for model, index in by_model.items()},
        rest=rest,
        factor=factor,
        weighted=weighted,
        residual=residual,
        row_variance=row_variance,
    )


def forward_solve(factor: Floats, right: Floats) -> Floats:
    """``right`` divided by a lower triangular ``factor``, block by block from the top.

    numpy has no call for it, and scipy's takes a hundred times as long to import as to solve one.

    Args:
        factor: lower triangular, (n, n).
        right: one column or several, (n,) or (n, m).
    """
    solved = np.empty_like(right)
    for start in range(0, len(factor), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        known = factor[rows, :start] @ solved[:start]
        solved[rows] = np.linalg.solve(factor[rows, rows], right[rows] - known)
    return solved


BLOCK_ROWS = 64
"""Of a solved block, whose upper half is wasted; smaller ones lose as much to calls."""


def _covariance(cells: Cells, scales: Scales, row_variance: Floats) -> Floats:
    """Covariance of measured cells, with the variance of each by itself on the diagonal."""
    known = kernel.sample(cells, scales)
    covariance = kernel.covariance(known, known, scales)
    covariance[np.diag_indices(len(cells))] += row_variance + JITTER
    return covariance


def fit_efficiency(cells: Cells, y: Floats) -> dict[str, float]:
    """Loss in ln of a device's rate for each doubling of the devices joined, by link and panel.

    From rows of the same work and device at several numbers of devices; medians, drawn to 0.02.

    Args:
        cells: measured cells.
        y: ln of their rates beyond what the roofline says.
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (s, d) in enumerate(zip(cells.codes["setup"], cells.codes["device"], strict=True)):
        groups[int(s), int(d)].append(i)
    slopes: dict[str, list[float]] = defaultdict(list)
    for index in groups.values():
        spread, rate = cells.spread[index], y[index]
        low = int(np.argmin(spread))
        for j in range(len(index)):
            if spread[j] > spread[low]:
                slope = (rate[low] - rate[j]) / (spread[j] - spread[low])
                w = cells.workloads[index[j]]
                for panel in (w.panel, ""):
                    slopes[_link(panel, cells.nvlink[index[j]])].append(slope)
    prior, weight = 0.02, 5
    return {
        name: float((np.median(found) * len(found) + prior * weight) / (len(found) + weight))
        for name, found in slopes.items()
    }


def _count(known: Codes, asked: Codes) -> npt.NDArray[np.int64]:
    values, counts = np.unique(known, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return np.array([found.get(int(code), 0) for code in asked], dtype=np.int64)
