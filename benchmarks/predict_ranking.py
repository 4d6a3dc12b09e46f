"""How well predicted rates rank devices: within each piece of work, and over all work at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import kendalltau

from dlbench.analysis.predict.cells import Codes, Floats
from dlbench.analysis.predict.leave_out import Flags, LeftOut

LEAST_TO_RANK = 4
MANY_TO_RANK = 5
NEAR_TIE = 0.03
"""Devices whose measured rates differ by less are not told apart by repeats of one device either."""


def pieces(left_out: LeftOut, which: Flags, least: int = LEAST_TO_RANK) -> list[Codes]:
    """The flagged cells of each piece of work that has so many of them (a device has one)."""
    setup = left_out.cells.codes["setup"]
    found = [np.flatnonzero(which & (setup == work)) for work in np.unique(setup[which])]
    return [index for index in found if len(index) >= least]


def tau(one: Floats, other: Floats) -> float | None:
    """Kendall's tau of two rankings; None where one of them tells no two apart."""
    if min(len(np.unique(one)), len(np.unique(other))) <= 1:
        return None
    return float(kendalltau(one, other).statistic)


def taus(left_out: LeftOut, ranked: Sequence[Codes]) -> list[float]:
    """Kendall's tau of predicted against measured rates, of each piece of work that has one."""
    said, measured = left_out.ln_rate, left_out.cells.y
    found = (tau(said[i], measured[i]) for i in ranked)
    return [x for x in found if x is not None]


def taus_without_ties(left_out: LeftOut, ranked: Sequence[Codes]) -> list[float]:
    """As ``taus``, over pairs whose measured ln rates differ by more than ``NEAR_TIE``."""
    found = []
    for index in ranked:
        said, measured = left_out.ln_rate[index], left_out.cells.y[index]
        first, second = np.triu_indices(len(said), 1)
        gap = measured[first] - measured[second]
        agree = np.sign(gap * (said[first] - said[second]))
        if (apart := np.abs(gap) > NEAR_TIE).any():
            found.append(float(agree[apart].mean()))
    return found


def places(left_out: LeftOut, ranked: Sequence[Codes]) -> list[float]:
    """How well a device that was left out is placed among the others as they measured, like a tau.

    Whoever asks of one new device knows the others: 1 where each is put on the right side of all of
    them, 0 where as often on the wrong one. One of each piece of work.
    """
    said, measured = left_out.ln_rate, left_out.cells.y
    return [_place(said[i], measured[i]) for i in ranked]


def _place(said: Floats, measured: Floats) -> float:
    apart = ~np.eye(len(said), dtype=bool)
    told = np.sign(said[:, None] - measured[None, :])
    true = np.sign(measured[:, None] - measured[None, :])
    return float((told * true)[apart].mean())


def overall_tau(left_out: LeftOut, which: Flags) -> tuple[float | None, int]:
    """Kendall's tau of one ranking of devices over all their work, and how many devices it ranks.

    A device's place is its effect in the least-squares fit of ln rate by device and piece of work:
    of predicted rates, and of measured ones over the same cells. Devices that no chain of shared
    work joins to the others cannot be placed among them, and are left out; of one device or none there
    is no ranking.
    """
    index = np.flatnonzero(which)
    if not len(index):
        return None, 0
    codes = left_out.cells.codes
    _, work = np.unique(codes["setup"][index], return_inverse=True)
    _, device = np.unique(codes["device"][index], return_inverse=True)
    joined = _joined(device, work)
    index, device, work = index[joined], device[joined], work[joined]
    said = device_effects(left_out.ln_rate[index], device, work)
    measured = device_effects(left_out.cells.y[index], device, work)
    return tau(said, measured), len(said)


def device_effects(ln_rate: Floats, device: Codes, work: Codes) -> Floats:
    """Each device's effect in ln rate beside that of its work, in the order of its codes."""
    _, row = np.unique(device, return_inverse=True)
    _, column = np.unique(work, return_inverse=True)
    n_devices, n = int(row.max()) + 1, len(ln_rate)
    design = np.zeros((n, n_devices + int(column.max()) + 1))
    design[np.arange(n), row] = 1.0
    design[np.arange(n), n_devices + column] = 1.0
    return np.asarray(np.linalg.lstsq(design, ln_rate, rcond=None)[0][:n_devices])


def _joined(device: Codes, work: Codes) -> Flags:
    """Cells of the largest set of devices that shared work joins."""
    n_devices = int(device.max()) + 1
    n = n_devices + int(work.max()) + 1
    edges = coo_array((np.ones(len(device)), (device, n_devices + work)), shape=(n, n))
    _, part = connected_components(edges, directed=False)
    return np.asarray(part[device] == np.bincount(part[:n_devices]).argmax())


def regrets(left_out: LeftOut, ranked: Sequence[Codes], price: dict[str, float]) -> list[float]:
    """What the pick by predicted rate per dollar loses to the best, of each piece of work.

    Args:
        left_out: predictions beside measured rates.
        ranked: the cells of each piece of work.
        price: dollars an hour by device; devices without one cannot be picked.
    """
    found = []
    for index in ranked:
        paid = np.array([price.get(left_out.cells.devices[i].name, np.nan) for i in index])
        sold, cost = index[np.isfinite(paid)], paid[np.isfinite(paid)]
        if len(sold) >= LEAST_TO_RANK:
            per_usd = np.exp(left_out.cells.y[sold]) / cost
            picked = np.argmax(np.exp(left_out.ln_rate[sold]) / cost)
            found.append(float(1 - per_usd[picked] / per_usd.max()))
    return found
