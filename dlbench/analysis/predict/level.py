"""The level of a workload that was never measured: from its size, by ridge regression.

Predicts ln of the rate at the reference device from ln of multiply-accumulates, activations and
parameters. Sizes that are not known are left out, and the family speaks instead. What a batch does is
the roofline's: tables name the largest batch that fits, so here it would speak for the model's size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dlbench.analysis.predict.cells import Cells, Floats, precision_group
from dlbench.analysis.predict.types import Workload

SIZES = ("gmacs", "activations", "parameters")
USUAL = (4.0, 11.0, 25.0)
"""About ResNet-50: slopes turn around it, so that a panel's slope is not its level."""
INTERCEPT_SD = 100.0
GROUP_SD = 1.0
SETUP_SD = 0.3
"""Of a panel and a stack: a model runs about as fast elsewhere, so sizes and families explain first."""
SLOPE_SD = 1.0
GROUP_SLOPE_SD = 0.3
ROW_SD = 0.3
USUAL_INTENSITY = 0.35
"""Thousand multiply-accumulates an activation, of ResNet-50: stands in where only these are known."""
MOST_ROWS = 6000
"""Enough for some hundred coefficients; of more rows an even part is taken."""

Name = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Coefficients by name; a name that is not there counts as 0, its group's mean."""

    coefficients: Mapping[Name, float]

    def ln_rate(self, cells: Cells) -> Floats:
        """Expected ln of the rate at the reference device, without any measurement of the model."""
        return np.array(
            [
                sum(self.coefficients.get(name, 0.0) * x for name, x in terms.items())
                for terms in _terms(cells)
            ]
        )

    def of_setup(self, workload: Workload) -> float:
        """What a workload's panel and stack add, which another set-up would not have of its own."""
        terms = _terms_of(workload)
        return sum(self.coefficients.get(n, 0.0) for n in terms if n[0] in ("panel", "stack"))


def fit(cells: Cells, ln_relative: Floats) -> Level:
    """Ridge regression of what the roofline leaves, on the sizes of the models.

    Args:
        cells: measured cells.
        ln_relative: the roofline's ln of relative rate of each.
    """
    step = -(-len(cells) // MOST_ROWS)
    index = np.arange(0, len(cells), max(step, 1))
    part = cells.take(index)
    terms = _terms(part)
    names = sorted({name for row in terms for name in row})
    column = {name: j for j, name in enumerate(names)}
    design = np.zeros((len(part), len(names)))
    for i, row in enumerate(terms):
        for name, x in row.items():
            design[i, column[name]] = x
    _, model = np.unique(part.codes["model"], return_inverse=True)
    # A model that was measured a thousand times says no more of other models than one measured once.
    weight = 1 / np.bincount(model)[model] / ROW_SD**2
    prior = np.diag([1 / _sd(name) ** 2 for name in names])
    target = part.y - ln_relative[index]
    gram = design.T @ (design * weight[:, None]) + prior
    solution = np.linalg.solve(gram, design.T @ (weight * target))
    return Level(coefficients=dict(zip(names, (float(x) for x in solution), strict=True)))


def _sd(name: Name) -> float:
    match name[0]:
        case "all":
            return INTERCEPT_SD
        case "slope":
            return SLOPE_SD
        case "group slope":
            return GROUP_SLOPE_SD
        case "panel" | "stack":
            return SETUP_SD
        case _:
            return GROUP_SD


def _terms(cells: Cells) -> list[dict[Name, float]]:
    return [_terms_of(w) for w in cells.workloads]


@lru_cache(maxsize=200_000)
def _terms_of(w: Workload) -> dict[Name, float]:
    """The regressors of a workload that are not 0; kept, since every fold asks for them again."""
    terms: dict[Name, float] = {
        ("all", w.task, w.unit): 1.0,
        ("panel", w.panel, w.task, w.unit): 1.0,
        ("precision", w.task, precision_group(w.arithmetic)): 1.0,
        ("stack", w.panel, w.task, w.framework, w.policy): 1.0,
        ("family", w.task, w.unit, w.family): 1.0,
    }
    activations = w.macts_m or (w.gmacs and w.gmacs / USUAL_INTENSITY)
    own = (w.gmacs, activations, w.params_m)
    for size, x, usual in zip(SIZES, own, USUAL, strict=True):
        if x:
            terms["slope", w.task, size] = math.log(x / usual)
            terms["group slope", w.panel, w.task, w.unit, size] = math.log(x / usual)
        else:
            terms["missing", w.task, size] = 1.0
    return terms
