"""The correctness gate: a trial whose results are wrong, or were come by otherwise, has no speed.

Each rule has a name; a rule that fails makes the trial ``invalid(<rule>)``, one that cannot be
applied says why. Rules see what ``measure/evidence.py`` found and nothing else, and none leans on
another: each has its own cheat in ``tests/cheats``, which passes when that rule is off.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlbench.core import stats
from dlbench.core.types import (
    FROZEN_PRODUCTS,
    Absent,
    Check,
    DataMode,
    DeviceInfo,
    Fact,
    Mode,
    Precision,
    WorkloadInfo,
)
from dlbench.measure.evidence import LATE_SHARE, Evidence
from dlbench.workloads import Reference

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CLOCKS_AGREE = 0.02
"""Host and device clock must agree on the same steps within 2 %; the wall clock is the truth."""

TRUE_SHARE, TRUE_S = 0.01, 0.005
"""The clock of the values may differ from the boot clock by 1 %, and by 5 ms between two reads."""

WIDE_DEVIATION = 1e-4
"""Largest root mean square deviation of fp32 results from the fp32 reference, over its spread.

Measured over all tiny workloads and six frameworks: fp32 up to 8e-7, fp16 from 3.6e-4 on."""

NARROW_DEVIATION = 2e-5
"""Least deviation of results in 16 bits: fp16 rounds to 2^-11, ten times more than this."""

LEAST_TRAINING_FACTOR = 2
"""A training step does at least twice its forward's operations: a bound, so less than the usual 3."""

DTYPES = {
    Precision.FP32: "float32",
    Precision.TF32: "float32",
    Precision.BF16: "bfloat16",
    Precision.FP16: "float16",
    Precision.INT8: "int8",
}
"""What a subject says it computes in, for each precision."""

Answer = tuple[bool | None, str]
"""Passed, failed or (None) not applied, and the numbers behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``holds`` when it passes; ``blind`` to what it cannot see. ``mode`` is where it applies."""

    judge: Callable[[Evidence], Answer]
    holds: str
    blind: str
    mode: Mode | None


RULES: dict[str, Rule] = {}
"""By name, in the order in which they are applied: the first that fails names the outcome."""


def rule(
    holds: str, blind: str, mode: Mode | None = None
) -> Callable[[Callable[[Evidence], Answer]], Callable[[Evidence], Answer]]:
    """Register a rule under its function's name."""

    def register(judge: Callable[[Evidence], Answer]) -> Callable[[Evidence], Answer]:
        RULES[judge.__name__] = Rule(judge=judge, holds=holds, blind=blind, mode=mode)
        return judge

    return register


def judge(evidence: Evidence) -> tuple[Check, ...]:
    """Every rule that applies to the case's mode."""
    mode = evidence.stated.case.mode
    return tuple(
        Check(rule=name, passed=passed, detail=detail)
        for name, found in RULES.items()
        if found.mode in (None, mode)
        for passed, detail in (found.judge(evidence),)
    )


def digest(evidence: Evidence) -> tuple[float, ...]:
    """Outputs at the reference's positions, or first and last loss; nothing if one is no number.

    Without a reference the positions are spread evenly.
    """
    expected = evidence.stated.expected
    if evidence.stated.case.mode is Mode.TRAINING:
        found = evidence.losses
    elif isinstance(expected, Absent):
        found = tuple(x for output in evidence.outputs.values() for x in _spread_evenly(output))
    else:
        found = tuple(x for row in _rows(evidence, expected) for x in row)
    return found if all(math.isfinite(x) for x in found) else ()


# --- results --------------------------------------------------------------------------------


@rule(
    "there is no NaN or infinity in any output",
    "numbers that are finite and wrong",
    Mode.INFERENCE,
)
def outputs_finite(evidence: Evidence) -> Answer:
    """Every number of every buffer's outputs is looked at."""
    import numpy as np

    outputs = evidence.outputs.values()
    n = sum(x.size for x in outputs)
    n_bad = n - sum(int(np.isfinite(x).sum()) for x in outputs)
    if n_bad:
        return False, f"{n_bad:,} of {n:,} numbers are NaN or infinite"
    return True, f"{n:,} numbers looked at"


@rule(
    "sample 0 of each buffer equals the fp32 reference within the precision's tolerance: a layer "
    "that is missing or other weights show",
    "changes smaller than the tolerance, and samples beyond the first",
    Mode.INFERENCE,
)
def outputs_match_reference(evidence: Evidence) -> Answer:
    """At up to 16 random positions; those beyond the outputs' end are ``outputs_complete``'s."""
    expected = evidence.stated.expected
    if isinstance(expected, Absent):
        return None, expected.reason
    return _matches(_rows(evidence, expected), expected)


@rule(
    "different inputs gave different outputs",
    "outputs that were remembered for each buffer apart",
    Mode.INFERENCE,
)
def outputs_differ_between_inputs(evidence: Evidence) -> Answer:
    """Of any two buffers; a reference of one number may itself differ by less than the tolerance."""
    expected = evidence.stated.expected
    if isinstance(expected, Absent):
        return None, expected.reason
    rows, values = _rows(evidence, expected), expected.values
    pairs = [(i, j) for i in range(len(rows)) for j in range(i) if values[i] != values[j]]
    shares = [_distance(rows[i], rows[j]) / _distance(values[i], values[j]) for i, j in pairs]
    smallest = min(shares, default=math.inf)
    return smallest > DIFFERENT, f"by {smallest:.3g} of what the reference differs by, at the least"


DIFFERENT = 0.1
"""Of the reference's own difference: what is remembered differs by nothing at all."""


@rule(
    "a sample's outputs reach to the last of the reference's random positions",
    "an end cut off behind that position: on average a seventeenth of the outputs",
    Mode.INFERENCE,
)
def outputs_complete(evidence: Evidence) -> Answer:
    """Truncated outputs are cheap ones."""
    expected = evidence.stated.expected
    if isinstance(expected, Absent):
        return None, expected.reason
    least = max(expected.positions) + 1
    sizes = {x[0].size if len(x) else 0 for x in evidence.outputs.values()}
    return min(sizes) >= least, f"{min(sizes):,} numbers a sample, at least {least:,} expected"


@rule(
    "where there is no reference: the same input, computed again, gives what the timed run gave",
    "outputs that are wrong each time",
    Mode.INFERENCE,
)
def outputs_repeat(evidence: Evidence) -> Answer:
    """A model that draws random numbers in inference does not pass."""
    if not isinstance(evidence.stated.expected, Absent):
        return None, "the reference says more"
    first, again = evidence.outputs[evidence.timed], evidence.again
    if again is None or again.shape != first.shape:
        return False, "the same input again gave outputs of another shape, or none"
    spread = float(first.std()) or 1.0
    worst = float(abs(again - first).max(initial=0.0)) / spread
    tolerance = REPEATS[evidence.stated.case.precision]
    return worst <= tolerance, (
        f"the same input again differs by {worst:.2e} of the outputs' spread, {tolerance:.0e} allowed"
    )


REPEATS = {
    Precision.FP32: 1e-4,
    Precision.TF32: 1e-2,
    Precision.BF16: 5e-2,
    Precision.FP16: 1e-2,
    Precision.INT8: 5e-2,
}
"""How far two answers to one input may lie apart: rounding in another order of summing."""


@rule(
    "another buffer's inputs, put in place of those timed last, give that buffer's outputs: they "
    "are computed from what lies there",
    "a subject that remembers outputs by the content of its inputs",
    Mode.INFERENCE,
)
def outputs_follow_inputs(evidence: Evidence) -> Answer:
    """Compared with the subject's own outputs, so that it needs no reference."""
    found = evidence.exchanged
    own, wanted = evidence.outputs[evidence.target], evidence.outputs[evidence.source]
    if found is None or found.shape != wanted.shape or not found.size:
        return False, "other inputs gave outputs of another shape, or none"
    distance, before = float(abs(found - wanted).max()), float(abs(own - wanted).max())
    alike = ALIKE * float(wanted.std())
    if evidence.stated.workload.own and max(distance, before) <= alike:
        return None, "the user's own model answers alike to different inputs, or a cache does"
    return (
        distance < FOLLOWED * before,
        f"{distance:.3g} from the other buffer's outputs, {before:.3g} before",
    )


ALIKE = 1e-2
"""Of the outputs' own spread: a model that hardly looks at its inputs cannot be asked."""

FOLLOWED = 0.5
"""Of the way to the other buffer's outputs: the same kernels give the same numbers again, or nearly."""


@rule(
    "there are as many outputs as the batch has samples, and samples that differ have outputs that "
    "differ",
    "up to half of a batch that is filled with copies; more of them where a sample's output is one "
    "number that is too coarse to tell so many samples apart",
    Mode.INFERENCE,
)
def batch_as_stated(evidence: Evidence) -> Answer:
    """Copies of a computed half would be half of the distinct rows.

    On an H200 in bf16, 4,096 samples of ncf had 1,084 outputs, and 842 of dlrm_small's.
    """
    size = evidence.stated.case.batch_size
    counts = sorted({len(x) for x in evidence.outputs.values()})
    if counts != [size]:
        return False, f"outputs of {counts} samples, {size} in the batch"
    differing = min(size, evidence.stated.distinct_samples)
    rows = {row.tobytes() for row in evidence.outputs[evidence.timed][:differing]}
    passed = len(rows) > differing / 2
    if not passed and evidence.stated.workload.own:
        return None, "the user's own model answers alike to different samples, or copies do"
    said = f"{len(rows)} of {differing} samples have outputs of their own"
    values = SIGNIFICANDS.get(evidence.stated.case.precision)
    if not passed and values and evidence.outputs[evidence.timed][0].size == 1:
        told = min(differing, values)
        return (
            (None, f"{said}, more cannot be told apart") if len(rows) > told / 2 else (False, said)
        )
    return passed, said


SIGNIFICANDS = {Precision.BF16: 2**8, Precision.FP16: 2**11, Precision.INT8: 2**8}
"""How many numbers of about one size a narrow format has, and so how many outputs it tells apart."""


@rule("first and last loss are numbers", "losses that are finite and wrong", Mode.TRAINING)
def loss_finite(evidence: Evidence) -> Answer:
    """No NaN, no infinity."""
    first, last = evidence.losses
    return math.isfinite(first) and math.isfinite(last), f"first {first:.5g}, last {last:.5g}"


@rule(
    "the loss on the same batch is lower at the last step than at the first, or falls in further "
    "steps on that batch alone: weights are updated",
    "updates of a part of the weights",
    Mode.TRAINING,
)
def loss_falls(evidence: Evidence) -> Answer:
    """A loader's batches never repeat: there it cannot be asked."""
    first, last = evidence.losses
    if evidence.stated.case.data_mode is DataMode.PIPELINE:
        return None, "a loader's batches are never the same"
    said = f"on the same batch {first:.5g} at the first step, {last:.5g} at the last"
    if not evidence.alone:
        return last < first, said
    begin, *_, end = evidence.alone
    return end < begin, f"{said}; then on it alone from {begin:.5g} to {end:.5g}"


@rule(
    "the very first training loss is the reference's, within a tolerance of losses: far less than "
    "an output's, so that a model that skips its layers shows",
    "what happens after the first forward; what moves an untrained loss by less than the tolerance",
    Mode.TRAINING,
)
def first_loss_matches_reference(evidence: Evidence) -> Answer:
    """Before any update the loss is a function of seed, model and batch."""
    expected = evidence.stated.expected
    if isinstance(expected, Absent):
        return None, expected.reason
    return _matches([(evidence.losses[0],)], expected)


# --- how they were come by ------------------------------------------------------------------


@rule(
    "once it has synchronised, a result can be fetched as fast the first time as the second: no "
    "work is left over, so a known amount of work cannot read as less",
    "less than a quarter of the work left over; a subject that computes when asked, each time",
)
def synchronises(evidence: Evidence) -> Answer:
    """On a burst of steps after the timed ones."""
    share = evidence.late_share
    return share <= LATE_SHARE, f"{share:.1%} of a burst's time passed after its synchronisation"


@rule(
    "what the subject's buffer holds on the device is what the seed makes, in a batch as large as "
    "stated",
    "samples beyond the first; a subject that computes on other memory than it shows",
)
def inputs_as_seeded(evidence: Evidence) -> Answer:
    """Zeros run faster than numbers; read back from the device, after timing."""
    size = evidence.stated.case.batch_size
    wanted = evidence.stated.seeded(evidence.timed)
    if not wanted:
        return None, "the user's own file states its inputs, and nothing else does"
    if len(evidence.inputs) != len(wanted):
        return False, f"{len(evidence.inputs)} tensors, {len(wanted)} stated"
    for found, one in zip(evidence.inputs, wanted, strict=True):
        if found.shape != (size, *one.shape[1:]):
            return False, f"a tensor of {found.shape}, {(size, *one.shape[1:])} stated"
        limit = INPUT_TOLERANCE * float(abs(one).max())
        if not float(abs(found[0].astype("float64") - one[0]).max()) <= limit:
            return False, "sample 0 is not what the seed makes, or the model wrote over it"
    return True, f"sample 0 of buffer {evidence.timed} read back, {size} samples in the batch"


INPUT_TOLERANCE = 0.01
"""Inputs may be kept in 16 bits: bf16 rounds by 0.4 %."""


@rule(
    "the subject says it computes in what was asked for, and its results deviate from fp32 as that "
    "precision does: fp32 by far less, 16 bits by no less than their rounding",
    "in training only what the subject says; which of the 16-bit formats; TF32 on top of fp32",
)
def precision_as_asked(evidence: Evidence) -> Answer:
    """Each precision leaves its fingerprint; outputs that are plainly wrong have none."""
    precision, expected = evidence.stated.case.precision, evidence.stated.expected
    wanted = DTYPES[precision]
    said = evidence.facts.get("compute_dtype", "nothing")
    tf32 = evidence.facts.get("tf32", False)
    if said != wanted or tf32 is not (precision is Precision.TF32):
        return False, f"{precision} asked, the subject says {said}, TF32: {tf32}"
    if evidence.stated.case.mode is Mode.TRAINING or isinstance(expected, Absent):
        return True, f"the subject says {said}; a loss has no fingerprint of its precision"
    rows = _rows(evidence, expected)
    if not _matches(rows, expected)[0]:
        return None, "outputs that do not match have no fingerprint"
    deviation = math.sqrt(statistics.fmean(d * d for d in _deviations(rows, expected)))
    detail = f"the subject says {said}; root mean square deviation {deviation:.1e}"
    if precision is Precision.FP32:
        return deviation <= WIDE_DEVIATION, f"{detail}, at most {WIDE_DEVIATION:.0e} in fp32"
    if precision in (Precision.BF16, Precision.FP16):
        return (
            deviation >= NARROW_DEVIATION,
            f"{detail}, at least {NARROW_DEVIATION:.0e} in 16 bits",
        )
    return True, detail


@rule(
    "weights, inputs and results lie on the device that was asked for, and nowhere else",
    "work that is done elsewhere and copied back within a step",
)
def device_as_asked(evidence: Evidence) -> Answer:
    """By what each tensor says of itself."""
    places, kind = sorted(evidence.places), evidence.stated.device.kind
    return places == [kind], f"tensors lie on {', '.join(places)}; {kind} was asked for"


@rule(
    "the steady window is as long by the kernel's boot clock as by the clock that values are read "
    "from",
    "a subject that replaces every clock of its process",
)
def clock_true(evidence: Evidence) -> Answer:
    """A clock that runs slow makes everything fast."""
    if evidence.steady_clocks_s is None:
        return None, "this system has no boot clock"
    ours, boot = evidence.steady_clocks_s
    passed = abs(ours - boot) <= TRUE_SHARE * boot + TRUE_S
    return passed, f"{ours:.4f} s steady by the clock of the values, {boot:.4f} s by the boot clock"


@rule(
    "the model has exactly as many trainable parameters as its workload says",
    "an adapter that states a number it did not count",
)
def parameters_as_stated(evidence: Evidence) -> Answer:
    """A model with a layer missing has another number of them."""
    built, stated = evidence.facts.get("parameters"), evidence.stated.workload.parameters
    if isinstance(stated, Absent):
        return None, "nobody stated how many there must be"
    number = f"{built:,}" if isinstance(built, int) else f"{built}"
    return built == stated, f"{number} built, {stated:,} stated"


def most_flops_per_s(device: DeviceInfo, precision: Precision) -> float | None:
    """Operations a second that a speed may imply on a device, in FLOP/s; None where no peak is known.

    In fp32 four times the peak: a convolution is counted as its definition has it, and libraries that
    make it by Winograd's algorithm multiply up to four times less (Lavin and Gray 2016, 4x4 outputs of
    a 3x3 kernel). Single layers were seen above the peaks of cards so (pytorch#13821).
    """
    peak = device.peak_flops.get(precision)
    if peak is None or precision is not Precision.FP32:
        return peak
    return peak * FAST_CONVOLUTIONS


FAST_CONVOLUTIONS = 4.0


def least_forwards(workload: WorkloadInfo, mode: Mode, facts: Mapping[str, Fact]) -> int:
    """How many forwards a step's work is at the least.

    Training makes one product more for each of the forward's, unless its weights are frozen: that only
    models of the user's own have.
    """
    frozen = workload.own is not None and facts.get(FROZEN_PRODUCTS) is True
    return LEAST_TRAINING_FACTOR if mode is Mode.TRAINING and not frozen else 1


@rule(
    "the speed does not imply more operations a second than the device can do; in fp32 four times as "
    "many, since convolutions may be made by an algorithm that multiplies less",
    "anything slower than that",
)
def flops_possible(evidence: Evidence) -> Answer:
    """Training does at least twice the forward's work: a bound, so the smaller factor is right."""
    case, device, workload = evidence.stated.case, evidence.stated.device, evidence.stated.workload
    most = most_flops_per_s(device, case.precision)
    if most is None:
        return None, f"no peak is known for {device.name}"
    forward: object = workload.forward_flops(case.mode)
    if isinstance(forward, Absent):
        forward = evidence.facts.get("flops_per_sample", forward)
    if not isinstance(forward, (int, float)):
        return None, forward.reason if isinstance(forward, Absent) else "FLOPs were not counted"
    flops = forward * least_forwards(workload, case.mode, evidence.facts)
    per_s = flops / stats.median_seconds_per_sample(evidence.values)
    return per_s <= most, f"{per_s:.3g} FLOP/s implied, at most {most:.3g} possible"


@rule(
    "host and device clock tell the same (a flag, not a refusal)",
    "devices without a clock of their own",
)
def clocks_agree(evidence: Evidence) -> Answer:
    """The device's own clock must tell the same story as the host's."""
    pairs = [(v.device_s, v.duration_s) for v in evidence.values if v.device_s is not None]
    if not pairs:
        return None, "the device has no clock of its own"
    ratio = statistics.median(device_s / host_s for device_s, host_s in pairs)
    return abs(ratio - 1) <= CLOCKS_AGREE, f"device clock over host clock {ratio:.4f}"


# --- arithmetic -----------------------------------------------------------------------------


def _rows(evidence: Evidence, expected: Reference) -> list[tuple[float, ...]]:
    """Sample 0's outputs of each buffer, at those of the reference's positions that there are."""
    samples = [x[0].ravel() for x in evidence.outputs.values() if len(x)]
    return [tuple(float(x[p]) for p in expected.positions if p < x.size) for x in samples]


N_POSITIONS = 16


def _spread_evenly(output: Array) -> tuple[float, ...]:
    """Up to ``N_POSITIONS`` of sample 0's outputs."""
    flat = output[0].ravel() if len(output) else output.ravel()
    step = max(1, flat.size // N_POSITIONS)
    return tuple(float(x) for x in flat[::step][:N_POSITIONS])


def _deviations(rows: Sequence[tuple[float, ...]], expected: Reference) -> list[float]:
    """From the reference, over its spread."""
    return [
        abs(got - wanted) / expected.spread
        for row, wanted_row in zip(rows, expected.values, strict=False)
        for got, wanted in zip(row, wanted_row, strict=False)
    ]


def _matches(rows: Sequence[tuple[float, ...]], expected: Reference) -> Answer:
    deviations = _deviations(rows, expected)
    if not deviations:
        return None, "no output lies at a position of the reference"
    # max() may skip a NaN, so that one is looked for by name.
    worst = math.nan if any(math.isnan(d) for d in deviations) else max(deviations)
    return worst <= expected.tolerance, (
        f"largest deviation {worst:.2e} of the reference's spread, {expected.tolerance:.0e} allowed"
    )


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    return max((abs(x - y) for x, y in zip(a, b, strict=False)), default=math.inf)
