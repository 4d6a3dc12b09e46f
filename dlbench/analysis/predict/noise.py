"""How badly rows repeat: by model, and of rows far outside of their work's spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from dlbench.analysis.predict.cells import Cells, Codes, Floats
from dlbench.analysis.predict.kernel import Scales
from dlbench.analysis.predict.types import Workload

OUTLIER = 4.0
SURPRISING = 2.0
"""Standard deviations from what all other rows tell; farther rows are believed less, not dropped."""
IN_COMMON = 0.3
"""Of a row's variance, with all rows of its cell."""
LEAST_COMPARED = 3
SHRINKAGE = 12.0
LEAST, MOST = 0.5, 4.0
UNPROVEN = 2.0
"""Of work that fewer than ``LEAST_COMPARED`` devices ran: the shares of its roofline followed those
rows, so what is left of them looks smaller than it is. By the likelihood of devices left out."""


def noise_of(noise: Mapping[str, float], cells: Cells, scales: Scales) -> Floats:
    """Variance of each cell, the mean of its rows: some models repeat worse than others.

    What rows of one cell have in common does not average out.
    """
    usual = noise.get("", 1.0)
    one = np.array([scales.row**2 * noise.get(_key(w), usual) for w in cells.workloads])
    return np.asarray(one * (IN_COMMON + (1 - IN_COMMON) / cells.n))


def _key(workload: Workload) -> str:
    return f"{workload.panel}|{workload.model}|{workload.task}"


def row_noise(cells: Cells, residual: Floats) -> tuple[dict[str, float], Floats]:
    """How much worse than usual each model repeats (a factor on the variance), and outliers' variance.

    What is left after the medians of each work and device is noise; its spread by model is drawn to
    the spread of all. A row far outside of its model's spread is not believed: it gets its own
    distance as standard deviation. Of a model that few devices ran alike, noise is ``UNPROVEN``.
    """
    left = residual.copy()
    for name in ("setup", "device"):
        left = left - _medians(left, cells.codes[name])
    sizes = np.bincount(cells.codes["setup"])[cells.codes["setup"]]
    compared = sizes >= LEAST_COMPARED
    if not compared.any():
        return {"": 1.0}, np.zeros(len(cells))
    overall = max(_spread(left[compared]), 0.01)
    groups: dict[str, list[int]] = defaultdict(list)
    for i in np.flatnonzero(compared):
        groups[_key(cells.workloads[i])].append(int(i))
    proven = {_key(cells.workloads[i]) for i in np.flatnonzero(_n_devices(cells) >= LEAST_COMPARED)}
    noise = {"": 1.0} | {_key(w): UNPROVEN for w in cells.workloads}
    outlier = np.zeros(len(cells))
    for name, index in groups.items():
        spread = _spread(left[index])
        ratio = (len(index) * spread**2 + SHRINKAGE * overall**2) / (
            (len(index) + SHRINKAGE) * overall**2
        )
        found = float(np.clip(ratio, LEAST, MOST))
        noise[name] = found if name in proven else UNPROVEN
        limit = OUTLIER * overall * np.sqrt(found)
        far = np.abs(left[index]) > limit
        outlier[np.array(index)[far]] = left[index][far] ** 2
    return noise, outlier


def surprise(covariance: Floats, residual: Floats) -> Floats:
    """Variance to add to rows that all the others contradict: as much as makes them ``SURPRISING``.

    One step of a heavy-tailed likelihood. Each row is told from all others by the kriging itself.

    Args:
        covariance: of the rows, their own noise on the diagonal.
        residual: what the mean leaves of each row.
    """
    inverse = np.linalg.inv(covariance)
    variance = 1 / np.diag(inverse)
    missed = (inverse @ residual) * variance
    return np.asarray(np.maximum(missed**2 / SURPRISING**2 - variance, 0.0))


def _n_devices(cells: Cells) -> Codes:
    """On how many devices each cell's work was measured."""
    setup, device = cells.codes["setup"], cells.codes["device"]
    pairs = np.unique(np.stack([setup, device]), axis=1)
    return np.asarray(np.bincount(pairs[0], minlength=int(setup.max(initial=-1)) + 1)[setup])


def _medians(values: Floats, codes: Codes) -> Floats:
    order = np.argsort(codes, kind="stable")
    _, starts = np.unique(codes[order], return_index=True)
    medians = np.empty(len(values))
    for part in np.split(order, starts[1:]):
        medians[part] = np.median(values[part])
    return medians


def _spread(values: Floats) -> float:
    """Standard deviation by the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
