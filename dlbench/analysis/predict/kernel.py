"""How alike two cells are: the covariance of what roofline and level leave unexplained.

Two parts. Of the work: the same model, panel, stack or set-up errs alike on all devices, which is how
a measurement elsewhere sets the level; so does the same work in another precision on the same kind of
units, matrix or vector. Of the device: the same device or architecture errs alike on
all work, more so on the same precision, family or model, which is how siblings and a user's own
measurements correct the data sheet. Of bandwidth and peaks only the kind of die and of units are
compared, so that within these the correction cannot turn the order of the roofline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dlbench.analysis.predict.cells import Cells, Codes, Floats

Matrix = Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """Standard deviations in ln of a rate, each of one way in which cells err alike.

    Chosen by the likelihood of devices, and of whole architectures, that were left out of the public
    tables (docs/prediction.md); they are few against the rows, and hold for all devices alike.
    """

    model_known: float = 0.8
    model_sized: float = 0.8
    model_unknown: float = 6.0
    model_mode: float = 0.35
    model_precision: float = 0.3
    panel: float = 0.3
    level: float = 0.4
    stack: float = 0.3
    setup: float = 0.1
    units: float = 0.3
    size: float = 0.25
    family_size: float = 0.2
    batch: float = 2.0
    batch_sized: float = 0.5
    device: float = 0.05
    device_task: float = 0.03
    device_precision: float = 0.03
    device_family: float = 0.055
    device_model: float = 0.017
    device_panel: float = 0.014
    chip: float = 0.035
    chip_precision: float = 0.017
    chip_model: float = 0.035
    arch: float = 0.14
    arch_task: float = 0.017
    arch_precision: float = 0.028
    arch_family: float = 0.028
    arch_model: float = 0.056
    die: float = 0.2
    die_precision: float = 0.07
    die_family: float = 0.07
    kind: float = 0.15
    year: float = 0.021
    scaling_model: float = 0.017
    scaling_link: float = 0.017
    scaling_device: float = 0.028
    cell: float = 0.03
    row: float = 0.084


YEARS = 4.0
SIZE_LENGTH = 0.7
BATCH_LENGTH = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A cell's features as the kernel reads them."""

    cells: Cells
    amplitude: Floats
    size: Floats
    has_size: Floats
    of_batch: Floats
    batch: Floats


def model_variance(cells: Cells, scales: Scales) -> Floats:
    """How far each cell's model departs from what its size and set-up tell, on all devices."""
    one = sample(cells, scales)
    of_size = (scales.size**2 + scales.family_size**2) * (one.has_size > 0)
    return np.asarray(one.amplitude**2 + of_size)


def setup_variance(scales: Scales) -> float:
    """How far one model departs from itself in a set-up that nobody saw."""
    return scales.panel**2 + scales.level**2 + scales.stack**2 + scales.setup**2 + scales.units**2


def sample(cells: Cells, scales: Scales) -> Sample:
    """The features of cells: sizes in ln, where known, and how uncertain a model's level is."""
    has_gmacs = np.isfinite(cells.size[:, 0])
    has_params = np.isfinite(cells.size[:, 2])
    amplitude = np.where(
        has_gmacs,
        scales.model_known,
        np.where(has_params, scales.model_sized, scales.model_unknown),
    )
    return Sample(
        cells=cells,
        amplitude=amplitude,
        size=np.nan_to_num(cells.size, nan=0.0),
        has_size=has_params.astype(float) + 2 * has_gmacs,
        # A batch of a model whose size is not known tells of the size: the largest that fits is listed.
        of_batch=np.isfinite(cells.batch) * np.where(has_gmacs, scales.batch_sized, scales.batch),
        batch=np.nan_to_num(cells.batch, nan=0.0),
    )


def covariance(a: Sample, b: Sample, scales: Scales) -> Matrix:
    """Covariance of every cell of ``a`` with every one of ``b``, without the rows' own noise."""
    same = _Same(a.cells.codes, b.cells.codes)
    work = np.outer(a.cells.of_work, b.cells.of_work)
    device = np.outer(a.cells.of_device, b.cells.of_device)
    return np.asarray(work * _of_work(a, b, scales, same) + device * _of_device(a, b, scales, same))


class _Same:
    """Whether two cells agree in a column, as numbers, each computed once."""

    def __init__(self, a: Mapping[str, Codes], b: Mapping[str, Codes]) -> None:
        self._a, self._b = a, b
        self._known: dict[str, Matrix] = {}

    def __call__(self, name: str) -> Matrix:
        if name not in self._known:
            self._known[name] = (self._a[name][:, None] == self._b[name][None, :]).astype(float)
        return self._known[name]


def _of_work(a: Sample, b: Sample, s: Scales, same: _Same) -> Matrix:
    model, level, task = same("counted"), same("level"), same("task")
    # A model that trains faster than its size tells answers faster too, but for what one mode does.
    total: Matrix = (np.outer(a.amplitude, b.amplitude) - s.model_mode**2 * (1 - task)) * model
    total += s.model_precision**2 * model * task * same("precision")
    total += s.panel**2 * same("panel") * task
    total += level * s.level**2 + same("stack") * s.stack**2 + same("setup") * s.setup**2
    total += same("units") * s.units**2
    both_sized = (a.has_size[:, None] == b.has_size[None, :]) & (a.has_size[:, None] > 0)
    distance = sum((a.size[:, None, k] - b.size[None, :, k]) ** 2 for k in range(a.size.shape[1]))
    near = np.exp(-distance / (2 * SIZE_LENGTH**2)) * both_sized * task
    total += near * (s.size**2 + s.family_size**2 * same("family"))
    near_batch = np.exp(-((a.batch[:, None] - b.batch[None, :]) ** 2) / (2 * BATCH_LENGTH**2))
    total += near_batch * np.outer(a.of_batch, b.of_batch) * level
    return total


def _of_device(a: Sample, b: Sample, s: Scales, same: _Same) -> Matrix:
    task, precision, family = same("task"), same("precision"), same("family")
    model = same("model") * task
    device = (
        s.device**2
        + s.device_task**2 * task
        + s.device_precision**2 * precision * task
        + s.device_family**2 * family * task
        + s.device_model**2 * model
        + s.device_panel**2 * same("panel") * task
    )
    chip = s.chip**2 + s.chip_precision**2 * precision * task + s.chip_model**2 * model
    die = s.die**2 + s.die_precision**2 * precision * task + s.die_family**2 * family * task
    arch = (
        s.arch**2
        + s.arch_task**2 * task
        + s.arch_precision**2 * precision * task
        + s.arch_family**2 * family * task
        + s.arch_model**2 * model
    )
    years = a.cells.year[:, None] - b.cells.year[None, :]
    near_year = np.exp(-(years**2) / (2 * YEARS**2))
    kind = same("kind") * (s.kind**2 + s.year**2 * near_year)
    octaves = np.outer(a.cells.spread, b.cells.spread)
    same_link = a.cells.nvlink[:, None] == b.cells.nvlink[None, :]
    scaling = octaves * (
        (s.scaling_model**2 + s.scaling_link**2 * same_link) * same("level")
        + s.scaling_device**2 * same("device")
    )
    total: Matrix = same("device") * device + same("chip") * chip + same("arch") * arch
    total += same("die") * die + kind + scaling
    total += same("cell") * s.cell**2
    return total
