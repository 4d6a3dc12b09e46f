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

from dlbench.analysis.predict import kernel
from dlbench.analysis.predict.cells import Cells, Codes, Floats, activations_of, precision_group
from dlbench.analysis.predict.kernel import Scales
from dlbench.analysis.predict.types import Workload

SIZES = ("gmacs", "activations", "parameters")
USUAL = (4.0, 11.0, 25.0)
"""About ResNet-50: slopes turn around it, so that a panel's slope is not its level."""
INTERCEPT_SD = 100.0
GROUP_SD = 1.0
SLOPE_SD = 0.3

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


def fit(cells: Cells, ln_relative: Floats, scales: Scales) -> Level:
    """Ridge regression of what the roofline leaves, beside an effect of each model.

    One observation is what a model reached in one stack, the mean over devices. What a model does
    of its own is a random effect with the kernel's spread: two precisions are compared by the models
    that ran in both, and a model whose size is not known says next to nothing of others.

    Args:
        cells: measured cells.
        ln_relative: the roofline's ln of relative rate of each.
        scales: how far models depart from their sizes, and set-ups from their model.
    """
    _, first, stack = np.unique(cells.codes["stack"], return_index=True, return_inverse=True)
    target = np.bincount(stack, cells.y - ln_relative) / np.bincount(stack)
    part = cells.take(first)
    terms = _terms(part)
    names = sorted({name for row in terms for name in row})
    column = {name: j for j, name in enumerate(names)}
    rows = np.zeros((len(part), len(names) + 1))
    rows[:, -1] = target
    for i, row in enumerate(terms):
        for name, x in row.items():
            rows[i, column[name]] = x
    work = np.stack([part.codes["counted"], part.codes["task"]])
    _, model = np.unique(work, axis=1, return_inverse=True)
    of_model, of_setup = kernel.model_variance(part, scales), kernel.setup_variance(scales)
    rows = _less_model_mean(rows, of_model / of_setup, model)
    design, target = rows[:, :-1], rows[:, -1]
    prior = np.diag([1 / _sd(name) ** 2 for name in names])
    expected = np.array([_expected(name) for name in names])
    gram = design.T @ design / of_setup + prior
    solution = np.linalg.solve(gram, design.T @ target / of_setup + prior @ expected)
    return Level(coefficients=dict(zip(names, (float(x) for x in solution), strict=True)))


def _less_model_mean(rows: Floats, ratio: Floats, model: Codes) -> Floats:
    """Rows less so much of their model's mean that what is left is independent (quasi-demeaning).

    Args:
        rows: one observation each.
        ratio: variance among models over that of one model's observations: where it is 0 nothing is
            taken, where a model's own effect is anybody's guess all of the mean.
        model: the model of each.
    """
    n = np.bincount(model)
    share = 1 - 1 / np.sqrt(1 + n[model] * ratio)
    sums = np.zeros((len(n), rows.shape[1]))
    np.add.at(sums, model, rows)
    return np.asarray(rows - share[:, None] * (sums / n[:, None])[model])


def _expected(name: Name) -> float:
    """Twice the work takes twice as long, half of which is arithmetic and half traffic."""
    return -0.5 if name[0] == "slope" and name[1] in ("gmacs", "activations") else 0.0


def _sd(name: Name) -> float:
    match name[0]:
        case "all":
            return INTERCEPT_SD
        case "slope":
            return SLOPE_SD
        case _:
            return GROUP_SD


def _terms(cells: Cells) -> list[dict[Name, float]]:
    return [_terms_of(w) for w in cells.workloads]


@lru_cache(maxsize=200_000)
def _terms_of(w: Workload) -> dict[Name, float]:
    """The regressors of a workload that are not 0; kept, since every fold asks for them again."""
    terms: dict[Name, float] = {
        ("all", w.task, w.unit): 1.0,
        ("precision", w.task, precision_group(w.arithmetic)): 1.0,
        ("family", w.task, w.unit, w.family): 1.0,
    }
    own = (w.gmacs, activations_of(w), w.params_m)
    for size, x, usual in zip(SIZES, own, USUAL, strict=True):
        if x:
            # A model twice as large is slower by as much in training as in inference.
            terms["slope", size] = math.log(x / usual)
        else:
            terms["missing", w.task, size] = 1.0
    return terms
