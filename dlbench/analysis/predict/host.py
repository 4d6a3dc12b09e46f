"""What a batch costs the host however small it is, which rates at large batches do not tell.

A framework launches a model's kernels one after the other while the device computes; of the two the
slower sets the pace. At the batches that tables list it is the device, at a batch of one mostly the
host: an H100 answers 8,440 images/s of ResNet-50 at 128 a batch, and some hundreds one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from dlbench.analysis.predict.types import Task, Workload

STEP_S: Mapping[Task, tuple[float, float, float]] = {
    Task.TRAIN: (0.003, 0.015, 0.06),
    Task.INFER: (0.0004, 0.004, 0.02),
}
"""Seconds of a batch that nine of ten models' kernels take to launch: low, middle, high.

On an H100 the shortest steps of dlbench's models, which contain it, took 0.5 ms (ncf) and 3.5 ms
(its training); of those that left the device idle most of the time the longest 5.9 ms (gpt2_decode).
"""
NEARBY = 1.5
"""A batch so many times smaller than one that was measured has the same pace still."""


def paces(workload: Workload, known: Iterable[Workload]) -> tuple[float, float, float] | None:
    """Rates that the host allows at the workload's batch (low, middle, high), in its units a second.

    None where a rate of the same model and phase, in either mode, was ``known`` at that batch or a
    smaller one, since the host is in that rate, and where the batch or the task says nothing. Another
    variant is another phase: what a tiny one reached does not show how the full one fares.
    """
    step_s = STEP_S.get(workload.task)
    if step_s is None or workload.batch is None:
        return None
    work = (workload.model, workload.panel, workload.phase)
    batches = [w.batch for w in known if (w.model, w.panel, w.phase) == work and w.batch]
    if min(batches, default=math.inf) <= NEARBY * workload.batch:
        return None
    low, middle, high = (workload.batch / s for s in reversed(step_s))
    return low, middle, high
