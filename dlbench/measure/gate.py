"""The correctness gate: a trial whose results are wrong has no speed.

Each rule has a name; a rule that fails makes the trial ``invalid(<rule>)``, one that cannot be
applied says why. The outputs that are checked come from the run that was timed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlbench.core.protocols import Subject
from dlbench.core.types import Absent, Case, Check, DataMode, DeviceInfo, Mode, Value, WorkloadInfo
from dlbench.measure.sampler import Samples

if TYPE_CHECKING:
    import numpy as np

CLOCKS_AGREE = 0.02
"""Host and device clock must agree on the same steps within 2 %; the wall clock is the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the fp32 reference gave, and how far this precision may be from it.

    ``values`` has one row a buffer in inference (sample 0's outputs at ``positions``), and one row
    of one loss in training. ``tolerance`` is relative to ``spread``, the reference's own scale.
    """

    values: tuple[tuple[float, ...], ...]
    positions: tuple[int, ...]
    tolerance: float
    spread: float


def examine(
    subject: Subject, case: Case, samples: Samples, expected: Expected | Absent
) -> tuple[tuple[float, ...], tuple[Check, ...]]:
    """The digest of a trial's results and the checks made on them."""
    if case.mode is Mode.TRAINING:
        return _examine_training(subject, case, samples, expected)
    return _examine_inference(subject, samples, expected)


def parameters_check(n_parameters: object, info: WorkloadInfo) -> Check:
    """The model that was built has as many trainable parameters as the workload states."""
    return Check(
        rule="parameters_as_stated",
        passed=n_parameters == info.parameters,
        detail=f"{n_parameters:,} built, {info.parameters:,} stated"
        if isinstance(n_parameters, int)
        else f"{n_parameters} built, {info.parameters:,} stated",
    )


def flops_check(case: Case, values: Sequence[Value], flops: float, device: DeviceInfo) -> Check:
    """No result may imply more operations a second than the device can do (``implausible``)."""
    rule, peak = "flops_possible", device.peak_flops.get(case.precision)
    if peak is None:
        return Check(rule=rule, passed=None, detail=f"no peak is known for {device.name}")
    per_s = flops / statistics.median(v.duration_s / v.n_samples for v in values)
    detail = f"{per_s:.3g} FLOP/s implied, at most {peak:.3g} possible"
    return Check(rule=rule, passed=per_s <= peak, detail=detail)


def clocks_check(values: Sequence[Value]) -> Check:
    """The device's own clock must tell the same story as the host's."""
    pairs = [(v.device_s, v.duration_s) for v in values if v.device_s is not None]
    if not pairs:
        return Check(rule="clocks_agree", passed=None, detail="the device has no clock of its own")
    ratio = statistics.median(device_s / host_s for device_s, host_s in pairs)
    return Check(
        rule="clocks_agree",
        passed=abs(ratio - 1) <= CLOCKS_AGREE,
        detail=f"device clock over host clock {ratio:.4f}",
    )


# --- inference ------------------------------------------------------------------------------


def _examine_inference(
    subject: Subject, samples: Samples, expected: Expected | Absent
) -> tuple[tuple[float, ...], tuple[Check, ...]]:
    outputs, buffers = [], []
    # What a loader brought has no reference; the seeded buffers beside it have.
    if samples.last_buffer < subject.n_buffers:
        outputs.append(subject.fetch(samples.last_output))
        buffers.append(samples.last_buffer)
    for buffer in range(subject.n_buffers):
        if buffer not in buffers:
            outputs.append(subject.fetch(subject.query(buffer)))
            buffers.append(buffer)
    finite = Check(
        rule="outputs_finite",
        passed=all(_all_finite(x) for x in outputs),
        detail=f"{sum(x.size for x in outputs):,} numbers looked at",
    )
    if isinstance(expected, Absent):
        return (), (
            finite,
            Check(rule="outputs_match_reference", passed=None, detail=expected.reason),
        )
    rows = {
        buffer: _at(output, expected.positions)
        for buffer, output in zip(buffers, outputs, strict=True)
    }
    ordered = [rows[buffer] for buffer in sorted(rows)]
    digest = tuple(x for row in ordered for x in row)
    return _finite_only(digest), (
        finite,
        _match(ordered, expected, "outputs_match_reference"),
        _differ(ordered, expected),
    )


def _at(output: np.ndarray[Any, Any], positions: tuple[int, ...]) -> tuple[float, ...]:
    """Sample 0's outputs at the flat positions; NaN where there is no such position."""
    flat = output[0].ravel()
    return tuple(float(flat[p]) if p < flat.size else math.nan for p in positions)


def _differ(rows: Sequence[tuple[float, ...]], expected: Expected) -> Check:
    """Different inputs must give different outputs: a cached answer is caught here."""
    distances = [
        max(abs(a - b) for a, b in zip(rows[i], rows[j], strict=True))
        for i in range(len(rows))
        for j in range(i)
    ]
    return Check(
        rule="outputs_differ_between_inputs",
        passed=min(distances, default=math.inf) > expected.tolerance * expected.spread,
        detail=f"smallest difference {min(distances, default=math.inf):.3g}",
    )


def _match(rows: Sequence[tuple[float, ...]], expected: Expected, rule: str) -> Check:
    deviations = [
        abs(got - wanted) / expected.spread
        for row, wanted_row in zip(rows, expected.values, strict=True)
        for got, wanted in zip(row, wanted_row, strict=True)
    ]
    # max() may skip a NaN, so that one is looked for by name.
    worst = math.nan if any(math.isnan(d) for d in deviations) else max(deviations)
    return Check(
        rule=rule,
        passed=worst <= expected.tolerance,
        detail=f"largest deviation {worst:.2e} of the reference's spread, {expected.tolerance:.0e} "
        "allowed",
    )


# --- training -------------------------------------------------------------------------------


def _examine_training(
    subject: Subject, case: Case, samples: Samples, expected: Expected | Absent
) -> tuple[tuple[float, ...], tuple[Check, ...]]:
    losses = [float(_mean(subject.fetch(x))) for x in (samples.first_loss, samples.last_loss)]
    first, last = losses
    finite = Check(
        rule="loss_finite",
        passed=all(math.isfinite(x) for x in losses),
        detail=f"first {first:.5g}, last {last:.5g}",
    )
    falls = Check(
        rule="loss_falls",
        passed=None if case.data_mode is DataMode.PIPELINE else last < first,
        detail="a loader's batches are never the same"
        if case.data_mode is DataMode.PIPELINE
        else f"on the same batch {first:.5g} at the first step, {last:.5g} at the last",
    )
    if isinstance(expected, Absent):
        match = Check(rule="first_loss_matches_reference", passed=None, detail=expected.reason)
    else:
        match = _match([(first,)], expected, "first_loss_matches_reference")
    return _finite_only(tuple(losses)), (finite, falls, match)


def _finite_only(digest: tuple[float, ...]) -> tuple[float, ...]:
    """A document holds no NaN: a digest with one is left out, and ``outputs_finite`` says why."""
    return digest if all(math.isfinite(x) for x in digest) else ()


def _all_finite(output: np.ndarray[Any, Any]) -> bool:
    import numpy as np

    return bool(np.isfinite(output).all())


def _mean(output: np.ndarray[Any, Any]) -> float:
    return float(output.mean())
