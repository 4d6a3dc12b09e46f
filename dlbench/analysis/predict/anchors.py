"""Which cells a fit takes where it cannot take all: whole models, small panels before large."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from dlbench.analysis.predict.cells import Cells, Codes


def choose_anchors(cells: Cells, most: int) -> Codes:
    """Cells that tell of devices: work that several devices ran, whole models, panels alike.

    Of each work and device only the rows of fewest devices joined; the large panels give way first.
    """
    setup, device = cells.codes["setup"], cells.codes["device"]
    fewest: dict[tuple[int, int], float] = {}
    for s, d, spread in zip(setup, device, cells.spread, strict=True):
        fewest[s, d] = min(fewest.get((s, d), np.inf), spread)
    n_devices = np.zeros(int(setup.max(initial=-1)) + 1)
    for s, _ in fewest:
        n_devices[s] += 1
    fits = np.array(
        [
            n_devices[s] > 1 and fewest[s, d] == spread
            for s, d, spread in zip(setup, device, cells.spread, strict=True)
        ],
        dtype=bool,
    )
    return share_out(cells, np.flatnonzero(fits), most)


def comparable(cells: Cells, most: int) -> Codes:
    """Cells that bear on the roofline: the same work on several devices, or on several numbers."""
    place = cells.codes["device"] * 64 + cells.spread.astype(np.int64)
    _, setup = np.unique(cells.codes["setup"], return_inverse=True)
    places = np.unique(np.stack([setup, place]), axis=1)
    several = np.bincount(places[0], minlength=int(setup.max(initial=-1)) + 1) > 1
    return share_out(cells, np.flatnonzero(several[setup]), most)


def by_panel(cells: Cells, index: Codes) -> list[dict[int, list[int]]]:
    """Some of the cells by panel, of each by model, in the order in which they are met."""
    panels: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in index:
        panels[int(cells.codes["panel"][i])][int(cells.codes["model"][i])].append(int(i))
    return list(panels.values())


def share_out(cells: Cells, index: Codes, most: int) -> Codes:
    """Cells of whole models from every panel, at most so many: small panels are kept whole."""
    ordered = sorted(by_panel(cells, index), key=lambda models: sum(map(len, models.values())))
    room = most
    chosen: list[int] = []
    for k, models in enumerate(ordered):
        taken = spread_out(models, room // (len(ordered) - k))
        room -= len(taken)
        chosen += taken
    return np.array(sorted(chosen), dtype=np.int64)


def spread_out(models: Mapping[int, list[int]], budget: int) -> list[int]:
    """Whole models until the budget is used: all, or evenly spaced ones."""
    groups = list(models.values())
    total = sum(map(len, groups))
    if total > budget:
        step = total / max(budget, 1)
        groups = [groups[int(j * step)] for j in range(int(len(groups) / step))]
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) > budget:
            break
        taken += group
    return taken
