"""Intervals that hold: how far architectures that were left out really fell from their forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dlbench.analysis.predict.cells import Cells, Floats, precision_group
from dlbench.analysis.predict.leave_out import (
    COUNTS,
    Learner,
    LeftOut,
    as_stranger,
    by_column,
    by_family,
    by_mode,
    by_source,
    folds,
)
from dlbench.analysis.predict.predictor import Forecast
from dlbench.analysis.predict.types import Workload
from dlbench.core.stats import NORMAL_90

LEVEL = 0.90
SHRINKAGE = 30.0
NARROWEST, WIDEST = 0.25, 3.0
MODEL_FOLDS, SOURCE_FOLDS, FAMILY_FOLDS = 6, 5, 4

Tier = str
MEASURED_ELSEWHERE, MODEL_KNOWN, SOURCE_UNKNOWN, OTHER_MODE_SIZED, OTHER_MODE = (
    "same work measured on other devices",
    "model measured in other set-ups",
    "model measured by other sources only",
    "model measured in its other mode only, sizes known",
    "model measured in its other mode only",
)
MODEL_SIZED, MODEL_UNKNOWN, ALONE_SIZED, ALONE_UNKNOWN, FOREIGN_SIZED, FOREIGN = (
    "model never measured, sizes known",
    "model never measured",
    "no model of its family measured, sizes known",
    "no model of its family measured",
    "model never measured, few others of this harness, sizes known",
    "model never measured, few others of this harness",
)
LEAST_OF_PANEL = 100
"""Rows of one harness before it is believed to tell models that it did not measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Half-width of the 90 % interval in standard deviations, by task, evidence and panel."""

    half_widths: Mapping[str, float]

    def half_width(self, cells: Cells, tiers: list[Tier]) -> Floats:
        """One for each cell."""
        return np.array(
            [self._found(w, tier) for w, tier in zip(cells.workloads, tiers, strict=True)]
        )

    def _found(self, workload: Workload, tier: Tier) -> float:
        names = (panel_name(workload, tier), _name(workload.task, tier), _name("", tier))
        known = (self.half_widths[name] for name in names if name in self.half_widths)
        return next(known, _uncalibrated(tier))


def _uncalibrated(tier: Tier) -> float:
    """Where nothing was left out to learn a width from: a foreign model gets the widest."""
    return (WIDEST if tier in (FOREIGN_SIZED, FOREIGN) else 1.0) * NORMAL_90


def tiers(said: Forecast | LeftOut, cells: Cells) -> list[Tier]:
    """The evidence that stands behind each forecast."""
    counts = zip(*(getattr(said, name) for name in COUNTS), strict=True)
    sized = np.isfinite(cells.size[:, 0])
    found = []
    for (work, model, mode, panel, family), size in zip(counts, sized, strict=True):
        unknown = MODEL_SIZED if size else MODEL_UNKNOWN
        if not family:
            unknown = ALONE_SIZED if size else ALONE_UNKNOWN
        if panel < LEAST_OF_PANEL:
            unknown = FOREIGN_SIZED if size else FOREIGN
        if mode:
            unknown = OTHER_MODE_SIZED if size else OTHER_MODE
        elsewhere = MODEL_KNOWN if panel else SOURCE_UNKNOWN
        found.append(MEASURED_ELSEWHERE if work else elsewhere if model else unknown)
    return found


def calibrate(cells: Cells, learner: Learner) -> tuple[Calibration, LeftOut]:
    """Leave whole architectures out in turn, and take the 90 % quantile of what was missed.

    What is told of models that were never measured is calibrated by leaving models out, of those whose
    family was not either by leaving families out, and what is told to a source that nobody knows by
    leaving sources out.
    """
    everything = np.ones(len(cells), dtype=bool)
    left_out = folds(cells, learner, by_column(cells, "arch", everything))
    hidden = cells.codes["model"] % MODEL_FOLDS == 0
    models = folds(cells, learner, [(hidden, hidden)])
    sources = folds(cells, learner, by_source(cells, everything, SOURCE_FOLDS), put=as_stranger)
    families = folds(cells, learner, by_family(cells, FAMILY_FOLDS))
    modes = folds(cells, learner, by_mode(cells, MODEL_FOLDS))
    widths = {
        **of(left_out).half_widths,
        **of_models(models),
        **of_families(families),
        **of_modes(modes),
        **of_sources(sources),
    }
    return Calibration(half_widths=widths), left_out


def of_models(left_out: LeftOut) -> dict[str, float]:
    """Widths where the model was left out on all devices: only of the evidence that this gives."""
    return _only(left_out, MODEL_SIZED, MODEL_UNKNOWN)


def of_families(left_out: LeftOut) -> dict[str, float]:
    """Widths where all models of the family were left out: only of the evidence that this gives."""
    return _only(left_out, ALONE_SIZED, ALONE_UNKNOWN)


def of_modes(left_out: LeftOut) -> dict[str, float]:
    """Widths where one mode of the models was left out: only of the evidence that this gives."""
    return _only(left_out, OTHER_MODE_SIZED, OTHER_MODE)


def _only(left_out: LeftOut, *evidence: Tier) -> dict[str, float]:
    widths = of(left_out).half_widths
    return {name: x for name, x in widths.items() if name.split("|")[1] in evidence}


def of_sources(left_out: LeftOut) -> dict[str, float]:
    """Widths where the source was left out: by task, since its panel is that of nobody."""
    said = left_out.take(left_out.asked & (left_out.n_same_model > 0))
    widths = of(said).half_widths
    return {name: x for name, x in widths.items() if name.split("|")[1:] == [SOURCE_UNKNOWN]}


def of(left_out: LeftOut) -> Calibration:
    """The calibration that held-out forecasts call for; a device counts as the root of its rows."""
    said = left_out.take(left_out.asked)
    if not len(said.cells):
        return Calibration(half_widths={})
    missed = np.abs(said.cells.y - said.ln_rate) / said.sd
    _, device = np.unique(said.cells.codes["device"], return_inverse=True)
    weight = 1 / np.sqrt(np.bincount(device)[device])
    tier = np.array(tiers(said, said.cells))
    task = np.array([w.task for w in said.cells.workloads])
    panel = np.array(list(map(panel_name, said.cells.workloads, tier.tolist())))
    widths = {}
    for name in np.unique(tier):
        pooled = _quantile(missed[tier == name], weight[tier == name], NORMAL_90)
        widths[_name("", str(name))] = pooled
        for one in np.unique(task[tier == name]):
            which = (tier == name) & (task == one)
            usual = _quantile(missed[which], weight[which], pooled)
            widths[_name(str(one), str(name))] = usual
            for kind in np.unique(panel[which]):
                part = which & (panel == kind)
                # A panel may ask for wider intervals; its few devices are no proof of narrower ones.
                own = max(usual, _quantile(missed[part], weight[part], usual))
                if own > usual:
                    widths[str(kind)] = own
    return Calibration(half_widths=widths)


def _quantile(missed: Floats, weight: Floats, prior: float) -> float:
    """Weighted 90 % quantile, drawn to a prior where rows are few."""
    order = np.argsort(missed)
    share = np.cumsum(weight[order]) / weight.sum()
    found = float(missed[order][min(int(np.searchsorted(share, LEVEL)), len(missed) - 1)])
    n = len(missed)
    shrunk = (n * found + SHRINKAGE * prior) / (n + SHRINKAGE)
    return float(np.clip(shrunk, NARROWEST * NORMAL_90, WIDEST * NORMAL_90))


def panel_name(workload: Workload, tier: Tier) -> str:
    """The name of a width that a panel has for itself."""
    return f"{_name(workload.task, tier)}|{workload.panel}|{precision_group(workload.arithmetic)}"


def _name(task: str, tier: Tier) -> str:
    return f"{task}|{tier}"
