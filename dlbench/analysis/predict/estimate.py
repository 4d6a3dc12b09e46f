"""From a forecast to an answer: an estimate with its 90 % interval and its reasons, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from dlbench.analysis.predict import calibration, host, leave_out, predictor
from dlbench.analysis.predict.calibration import Calibration
from dlbench.analysis.predict.cells import NEUTRAL_TDP_W, Encoder, Floats, usable
from dlbench.analysis.predict.devices import DeviceTable, is_slice, peak_tflops
from dlbench.analysis.predict.kernel import Scales
from dlbench.analysis.predict.models import unit_of
from dlbench.analysis.predict.predictor import Predictor
from dlbench.analysis.predict.types import (
    OWN_PANEL,
    Arithmetic,
    DeviceSpec,
    Observation,
    Task,
    Workload,
)
from dlbench.core.stats import NORMAL_90
from dlbench.core.types import TRAINING_FLOPS_FACTOR, Absent, Estimated, Interval, Policy
from dlbench.core.units import counted, percent

WIDEST_RATIO = 100.0
"""Above a factor of 10 to either side an interval says nothing that helps anybody choose."""
FARTHEST_OCTAVES = 4.0
"""A data sheet 16 times beyond all that were learnt from is refused."""
SD_PER_OCTAVE = 0.25
"""Widening for each factor of two beyond the fastest or below the slowest device learnt from."""
SD_OF_POLICY = 0.2
"""Of ln of what an expert's settings gain where nobody tried them on the architecture.

Twice the 0.10 by which the compiler's gains of 1,159 models of timm's differ between Ada and Blackwell.
"""
GAIN_EXPONENT = 0.25
"""Of the ratio of peaks, to which power ln of a policy's gain carries from the card that was tried.

Experts' settings save traffic and launches; the slower a card's units, the less of its time these are.
By ResNet-50's training in half precision: docs/decisions/0069.
"""
LARGE_PANEL = 3000
"""Panels above this give the calibration a part of their models only."""
MEASURE = "dlbench run, on that device or on one of its architecture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The span of data-sheet rates that a fit has seen, as log2."""

    low: float
    high: float

    def octaves_outside(self, value: float) -> float:
        """How many factors of two a rate lies outside; 0 within."""
        at = math.log2(value)
        return max(self.low - at, at - self.high, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """The predictor with its calibration: the one thing that callers hold."""

    predictor: Predictor
    calibration: Calibration
    ranges: dict[str, Range]
    provenance: str
    widest_ratio: float = WIDEST_RATIO
    tried: tuple[tuple[DeviceSpec, Workload], ...] | None = None
    """Devices and their work in which policies are known; None where policies say nothing."""

    def estimate(self, device: DeviceSpec, workload: Workload) -> Estimated | Absent:
        """The rate of all of ``workload.n_devices`` devices together, in ``workload.unit``."""
        return self.estimate_many([(device, workload)])[0]

    def estimate_many(
        self, pairs: Sequence[tuple[DeviceSpec, Workload]]
    ) -> list[Estimated | Absent]:
        """As ``estimate``, many at once: a thousand pairs take well under a second."""
        refusals = [self._refusal(device, workload) for device, workload in pairs]
        fit_for = [i for i, refusal in enumerate(refusals) if refusal is None]
        answers: list[Estimated | Absent] = [
            refusal or Absent(reason="not predicted") for refusal in refusals
        ]
        if not fit_for:
            return answers
        kept = [pairs[i] for i in fit_for]
        said, asked = self.predictor.forecast(kept), self.predictor.encoded(kept)
        ln_rate = self._ln_rate(kept, said.ln_rate)
        tiers = calibration.tiers(said, asked)
        floors = self._floors(kept, tiers)
        spent = self.predictor.learnt.roofline.in_words(asked)
        widths = self.calibration.half_width(asked, tiers)
        for k, i in enumerate(fit_for):
            device, workload = pairs[i]
            octaves = self._octaves(device, workload)
            strange = self._is_strange(device, workload)
            sd = math.hypot(float(said.sd[k]), SD_PER_OCTAVE * octaves, SD_OF_POLICY * strange)
            half = float(widths[k]) * sd
            heard = (int(said.n_same_device[k]), int(said.n_corrections[k]))
            if 2 * half > math.log(self.widest_ratio):
                answers[i] = Absent(
                    reason=f"{workload.model} on {device.name} cannot be told within a factor of "
                    f"{math.sqrt(self.widest_ratio):.0f}: {tiers[k]}",
                    remedy="say its multiply-accumulates and parameters, or measure it anywhere",
                )
                continue
            evidence = (tiers[k], _of_device(device, *heard), octaves)
            corrected = float(ln_rate[k] - said.ln_mean[k])
            answers[i] = _answer(
                workload,
                device,
                (float(ln_rate[k]), corrected, spent[k]),
                (half, float(floors[k])),
                evidence,
                self._paces(workload),
            )
        return answers

    def _paces(self, workload: Workload) -> tuple[float, float, float] | None:
        """Rates that the host allows at a batch smaller than all that were tried of this model.

        Of one's own harness only: how others drive their devices is in their tables.
        """
        if self.tried is None or workload.panel != OWN_PANEL or workload.unit.startswith("J/"):
            return None
        return host.paces(workload, (w for _, w in self.tried))

    def _floors(self, pairs: Sequence[tuple[DeviceSpec, Workload]], tiers: Sequence[str]) -> Floats:
        """Ln of what is told of training, for inference known of it alone: a step contains it."""
        other = (calibration.OTHER_MODE_SIZED, calibration.OTHER_MODE)
        found = np.full(len(pairs), -math.inf)
        which = [
            k
            for k, ((_, w), tier) in enumerate(zip(pairs, tiers, strict=True))
            if tier in other and w.task is Task.INFER and not w.unit.startswith("J/")
        ]
        if which:
            trained = [(pairs[k][0], replace(pairs[k][1], task=Task.TRAIN)) for k in which]
            found[which] = self.predictor.forecast(trained).ln_rate
        return found

    def _ln_rate(self, pairs: Sequence[tuple[DeviceSpec, Workload]], said: Floats) -> Floats:
        """What is said, less the part of a policy's gain that other cards do not vouch for here."""
        told = [i for i, (device, w) in enumerate(pairs) if self._carried(device, w) < 1.0]
        if not told:
            return said
        plain = self.predictor.forecast(
            [(pairs[i][0], replace(pairs[i][1], policy=Policy.BASE)) for i in told]
        )
        found = said.copy()
        for i, base in zip(told, plain.ln_rate, strict=True):
            found[i] = base + self._carried(*pairs[i]) * (said[i] - base)
        return found

    def _carried(self, device: DeviceSpec, workload: Workload) -> float:
        """The share of ln of a policy's gain that is believed here: 1 on cards as fast as one tried."""
        here = peak_tflops(device, workload.arithmetic) or 0.0
        peaks = [peak_tflops(d, w.arithmetic) or 0.0 for d, w in self._trials(workload)]
        ratios = [min(here, there) / max(here, there) for there in peaks if here and there]
        return float(max(ratios, default=1.0) ** GAIN_EXPONENT)

    def _is_strange(self, device: DeviceSpec, workload: Workload) -> bool:
        """Whether what an expert turns on was tried on other architectures only."""
        if self.tried is None or workload.policy == Policy.BASE:
            return False
        return device.arch not in {d.arch for d, _ in self._trials(workload)}

    def _trials(self, workload: Workload) -> list[tuple[DeviceSpec, Workload]]:
        """Where the model ran in the workload's policy, which is not the plain one."""
        if workload.policy == Policy.BASE:
            return []
        asked = (workload.model, workload.task, workload.policy)
        return [(d, w) for d, w in self.tried or () if (w.model, w.task, w.policy) == asked]

    def _octaves(self, device: DeviceSpec, workload: Workload) -> float:
        rates = _rates(device, workload).items()
        outside = (self.ranges[n].octaves_outside(x) for n, x in rates if n in self.ranges)
        return max(outside, default=0.0)

    def _refusal(self, device: DeviceSpec, workload: Workload) -> Absent | None:
        if is_slice(device.name):
            return Absent(reason=f"{device.name} is a slice of a device", remedy=MEASURE)
        if not usable(device, workload):
            lacks = "memory bandwidth" if device.mem_bw_gb_s is None else "peak"
            return Absent(
                reason=f"the data sheet of {device.name} lacks its {lacks}",
                remedy="add it to the catalog",
            )
        if workload.unit.startswith("J/") and device.tdp_w is None:
            return Absent(reason=f"the watts of {device.name} are not known", remedy=MEASURE)
        return self._never_learnt(device, workload)

    def _never_learnt(self, device: DeviceSpec, workload: Workload) -> Absent | None:
        """Why nothing that was learnt bears on it, if that is so."""
        if f"{device.kind} bandwidth" not in self.ranges:
            return Absent(reason=f"no {device.kind} was ever learnt from", remedy=MEASURE)
        octaves = self._octaves(device, workload)
        if octaves > FARTHEST_OCTAVES:
            return Absent(
                reason=f"{device.name} is {2**octaves:.0f} times outside of the devices learnt from",
                remedy=MEASURE,
            )
        if ("all", workload.task, workload.unit) not in self.predictor.learnt.level.coefficients:
            return Absent(
                reason=f"no rate was learnt of {workload.unit} where the task is {workload.task}",
                remedy="another unit or task, or a table that has it",
            )
        return None


MOST_OF_PEAK, MOST_OF_PEAK_IN_FP32 = 0.85, 1.2
"""Of 27,670 public rates with known FLOPs 99 of 100 reach less than 0.83 of the dense peak; in fp32,
where convolutions may take fewer products than are counted, up to 1.16."""
LEAST_POSSIBLE, NEARLY_ALL = 0.05, 0.99
"""A rate of which the peak allows less than this share contradicts the data sheet; above the second
nobody need be told."""


def most_possible(device: DeviceSpec, workload: Workload) -> float:
    """The rate of one device that its peak allows; infinite where FLOPs of a unit are not known."""
    peak = peak_tflops(device, workload.arithmetic)
    unknown = workload.arithmetic is Arithmetic.UNKNOWN or workload.unit != unit_of(workload.model)
    if unknown or not workload.gmacs or not peak:
        return math.inf
    passes = TRAINING_FLOPS_FACTOR if workload.task is Task.TRAIN else 1
    vector = workload.arithmetic in (Arithmetic.FP32, Arithmetic.SINGLE)
    most = MOST_OF_PEAK_IN_FP32 if vector else MOST_OF_PEAK
    return most * peak * 1e12 / (workload.gmacs * 2e9 * passes)


def _answer(
    workload: Workload,
    device: DeviceSpec,
    said: tuple[float, float, str],
    width: tuple[float, float],
    evidence: tuple[calibration.Tier, str, float],
    paces: tuple[float, float, float] | None,
) -> Estimated | Absent:
    """The rate and its ends; ``said`` is its ln, what of that kriging adds, and the roofline's time.

    ``width`` is the half-width in ln, and ln of a rate which it is not below. What lies below that, or
    above what the data sheet's peak allows, is cut off, and the rest is told; where next to nothing is
    left, the rate is refused. ``paces`` are rates of one device that its host may not go beyond.
    """
    (ln_rate, corrected, spent), (tier, of_device, octaves) = said, evidence
    half, floor = width
    bell = NormalDist(ln_rate, half / NORMAL_90)
    below, above = bell.cdf(floor), 1 - bell.cdf(math.log(most_possible(device, workload)))
    possible = 1 - below - above
    if possible < LEAST_POSSIBLE:
        what = "above the peak of its data sheet" if above > below else "slower than its training"
        return Absent(
            reason=f"what is told of {workload.model} on {device.name} is {what}", remedy=MEASURE
        )
    tails = (1 - calibration.LEVEL) / 2
    told = [math.exp(bell.inv_cdf(below + share * possible)) for share in (tails, 0.5, 1 - tails)]
    held = told if paces is None else list(map(min, told, paces))
    low, value, high = (rate * workload.n_devices for rate in held)
    from_ = [tier, of_device, f"of the roofline's time {spent}"]
    if device.tdp_w is None:
        from_.append(f"its watts are not known, and taken as the reference's {NEUTRAL_TDP_W:g} W")
    if above > 1 - NEARLY_ALL:
        from_.append(f"cut off where its peak ends ({percent(above)} of what was told)")
    if below > 1 - NEARLY_ALL:
        from_.append(f"not below what its training is told ({percent(below)} of what was told)")
    if held != told:
        from_.append("held to what the host can launch at this batch, smaller than all measured")
    if octaves:
        from_.append(f"extrapolated {octaves:.1f} octaves beyond the devices learnt from")
    if workload.unit.startswith("J/"):
        # The rate is watts over joules; more of it is fewer joules.
        watts = (device.tdp_w or 0.0) * workload.n_devices
        low, value, high, corrected = watts / high, watts / value, watts / low, -corrected
    beyond = ", extrapolated" if octaves else ""
    paced = "" if held == told else ", held to the pace of a host"
    return Estimated(
        value=value,
        interval=Interval(low=low, high=high, level=calibration.LEVEL),
        method=f"roofline and level x {math.exp(corrected):.3g} by kriging{beyond}, within a factor of "
        f"{math.exp(half):.3g}{paced}",
        from_=tuple(from_),
    )


def _of_device(device: DeviceSpec, n_measured: int, n_corrections: int) -> str:
    """What is known of a device beside its data sheet, in words."""
    if n_measured:
        return f"{counted(n_measured, 'measurement')} on {device.name}"
    corrected = ", corrected by what public tables measured on it" if n_corrections else ""
    return f"{device.name} by data sheet{corrected}"


def fit(
    observations: Iterable[Observation],
    devices: DeviceTable,
    scales: Scales | None = None,
    provenance: str = "",
) -> Estimator:
    """Learn from observations, and calibrate by leaving whole architectures out.

    The calibration's folds have half as many anchors of the kriging.

    Args:
        observations: measured rates.
        devices: data sheets of the devices they name.
        scales: of the kernel; the shipped ones by default.
        provenance: where the observations are from, for the record.
    """
    encoder = Encoder()
    cells, batched = predictor.gather(observations, devices, encoder)
    scales = scales or Scales()
    learner = leave_out.Learner(
        encoder=encoder, batched=batched, scales=scales, most_anchors=predictor.MOST_ANCHORS // 2
    )
    calibrated, _ = calibration.calibrate(leave_out.thin(cells, LARGE_PANEL), learner)
    fitted = predictor.learn(cells, encoder, batched, scales)
    return Estimator(
        predictor=fitted,
        calibration=calibrated,
        ranges=ranges_of((cells.devices, cells.workloads)),
        provenance=provenance,
    )


def ranges_of(
    seen: tuple[Sequence[DeviceSpec], Sequence[Workload]],
) -> dict[str, Range]:
    """The span of each data-sheet rate, by kind of device."""
    found: dict[str, list[float]] = {}
    for device, workload in zip(*seen, strict=True):
        for name, x in _rates(device, workload).items():
            found.setdefault(name, []).append(math.log2(x))
    return {name: Range(low=min(xs), high=max(xs)) for name, xs in found.items()}


def _rates(device: DeviceSpec, workload: Workload) -> dict[str, float]:
    """What the data sheet says of the device for this work, by kind of device and of rate."""
    peak = peak_tflops(device, workload.arithmetic)
    return {
        f"{device.kind} {name}": x
        for name, x in (("peak", peak), ("bandwidth", device.mem_bw_gb_s))
        if x is not None
    }
