"""What the predictor says of devices that it did not see: for calibration and for the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dlbench.analysis.predict import predictor
from dlbench.analysis.predict.anchors import by_panel, spread_out
from dlbench.analysis.predict.cells import Cells, Codes, Encoder, Floats, precision_group
from dlbench.analysis.predict.kernel import Scales
from dlbench.analysis.predict.types import Task, Workload

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Predictions of cells by a fit that did not see them; NaN where a cell was not asked for."""

    cells: Cells
    ln_rate: Floats
    sd: Floats
    n_same_work: npt.NDArray[np.int64]
    n_same_model: npt.NDArray[np.int64]
    n_other_mode: npt.NDArray[np.int64]
    n_same_panel: npt.NDArray[np.int64]
    n_same_family: npt.NDArray[np.int64]

    @property
    def asked(self) -> Flags:
        """Which cells were predicted."""
        return np.isfinite(self.ln_rate)

    def take(self, index: Flags | Codes) -> LeftOut:
        """Some of the cells."""
        where = np.flatnonzero(index) if index.dtype == np.bool_ else index
        return LeftOut(
            cells=self.cells.take(where),
            ln_rate=self.ln_rate[where],
            sd=self.sd[where],
            n_same_work=self.n_same_work[where],
            n_same_model=self.n_same_model[where],
            n_other_mode=self.n_other_mode[where],
            n_same_panel=self.n_same_panel[where],
            n_same_family=self.n_same_family[where],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """All that a fit on cells takes beside the cells themselves."""

    encoder: Encoder
    batched: frozenset[str]
    scales: Scales
    most_anchors: int = predictor.MOST_ANCHORS

    def fit(self, cells: Cells) -> predictor.Predictor:
        """A predictor of these cells."""
        return predictor.learn(cells, self.encoder, self.batched, self.scales, self.most_anchors)


def folds(
    cells: Cells,
    learner: Learner,
    parts: Iterable[tuple[Flags, Flags]],
    put: Callable[[Workload], Workload] = lambda workload: workload,
) -> LeftOut:
    """Predict each part's asked cells from all cells that are not hidden.

    Args:
        cells: measured cells.
        learner: how to fit.
        parts: (hidden, asked) flags of each fold; what is asked must be hidden.
        put: how a cell's workload is asked for, as ``as_stranger``.
    """
    ln_rate, sd = np.full(len(cells), np.nan), np.full(len(cells), np.nan)
    counts = {name: np.zeros(len(cells), dtype=np.int64) for name in COUNTS}
    for hidden, asked in parts:
        index = np.flatnonzero(asked)
        if not len(index) or hidden.all():
            continue
        fitted = learner.fit(cells.take(~hidden))
        index = index[_learnt_units(fitted, cells, index)]
        if not len(index):
            continue
        said = fitted.forecast([(cells.devices[i], put(cells.workloads[i])) for i in index])
        ln_rate[index], sd[index] = said.ln_rate, said.sd
        for name, found in counts.items():
            found[index] = getattr(said, name)
    return LeftOut(cells=cells, ln_rate=ln_rate, sd=sd, **counts)


def _learnt_units(fitted: predictor.Predictor, cells: Cells, index: Codes) -> Flags:
    """Which cells are in a unit that was learnt in their task; of others nothing is ever told."""
    known = fitted.learnt.level.coefficients
    asked = [cells.workloads[i] for i in index]
    return np.array([("all", w.task, w.unit) in known for w in asked], dtype=bool)


COUNTS = ("n_same_work", "n_same_model", "n_other_mode", "n_same_panel", "n_same_family")
"""Rows that bear on a forecast, by kind."""


def by_column(cells: Cells, column: str, asked: Flags) -> list[tuple[Flags, Flags]]:
    """One fold for each value of a column (device, arch, model ...), hidden as a whole."""
    codes = cells.codes[column]
    return [(codes == c, (codes == c) & asked) for c in np.unique(codes[asked])]


def by_family(cells: Cells, most: int) -> list[tuple[Flags, Flags]]:
    """At most so many folds, each of whole families of models, hidden and asked."""
    fold = cells.codes["family"] % most
    return [(fold == k, fold == k) for k in range(most)]


def by_mode(cells: Cells, most: int) -> list[tuple[Flags, Flags]]:
    """Of one of ``most`` parts of the models: their training hidden and asked, then their inference."""
    part = cells.codes["counted"] % most == 0
    task = np.array([w.task for w in cells.workloads])

    def told_by(other: Task) -> Flags:
        known = np.isin(cells.codes["counted"], cells.codes["counted"][task == other])
        return np.asarray(part & known)

    trained = told_by(Task.INFER) & (task == Task.TRAIN)
    answered = told_by(Task.TRAIN) & (task == Task.INFER)
    return [(trained, trained), (answered, answered)]


MOST_SOURCES = 1000
STRANGER = "a source of none of the tables"


def as_stranger(workload: Workload) -> Workload:
    """The same work as somebody asks for it whose way to measure is not known."""
    return replace(workload, panel=STRANGER)


def by_source(cells: Cells, asked: Flags, most: int = MOST_SOURCES) -> list[tuple[Flags, Flags]]:
    """One fold for each source: an era of Lambda's, a round of MLPerf's, a framework of NVIDIA's.

    Args:
        cells: measured cells.
        asked: which may be asked; of these, models that no other source measured are left out.
        most: folds; where there are more sources, several are hidden together.
    """
    names: dict[tuple[str, str], int] = {}
    source = np.array(
        [
            names.setdefault((w.panel, w.setup.split("|", 1)[0]), len(names)) % most
            for w in cells.workloads
        ],
        dtype=np.int64,
    )
    work = np.stack([cells.codes["counted"], cells.codes["task"]])
    _, work = np.unique(work, axis=1, return_inverse=True)
    pairs = np.unique(np.stack([work, source]), axis=1)
    several = np.bincount(pairs[0], minlength=1)[work] > 1
    return [(source == k, (source == k) & asked & several) for k in range(min(len(names), most))]


def thin(cells: Cells, large: int) -> Cells:
    """Panels of more than so many cells cut to half of that, by whole models: folds need no more."""
    kept: list[int] = []
    for models in by_panel(cells, np.arange(len(cells))):
        size = sum(map(len, models.values()))
        kept += spread_out(models, large // 2 if size > large else size)
    return cells.take(np.array(sorted(kept), dtype=np.int64))


MIXED_SLOWDOWN = 4.0
"""Mixed precision may cost a little on old devices; no device makes it four times slower."""


def implausible(cells: Cells) -> Flags:
    """Cells in half precision at under a quarter of the same work's rate in single precision."""
    single: dict[tuple[object, ...], float] = {}
    for i in range(len(cells)):
        precision, key = _without_precision(cells, i)
        if precision == "single":
            single[key] = max(single.get(key, 0.0), float(np.exp(cells.y[i])))
    flags = np.zeros(len(cells), dtype=bool)
    for i in range(len(cells)):
        precision, key = _without_precision(cells, i)
        flags[i] = precision == "half" and np.exp(cells.y[i]) * MIXED_SLOWDOWN < single.get(key, 0)
    return flags


def _without_precision(cells: Cells, i: int) -> tuple[str, tuple[object, ...]]:
    w, spread = cells.workloads[i], float(cells.spread[i])
    work = (w.panel, w.model, w.task, w.phase, w.unit, w.framework, w.setup)
    return precision_group(w.arithmetic), (*work, cells.devices[i].name, spread)
