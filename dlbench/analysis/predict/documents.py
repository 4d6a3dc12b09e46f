"""The user's own result documents as observations, and dlbench's cases as workloads."""

from __future__ import annotations

from collections.abc import Sequence

from dlbench.analysis.predict.devices import DeviceTable
from dlbench.analysis.predict.models import (
    ACTIVATIONS_M,
    ACTIVATIONS_TRAINED_M,
    UNITS,
    canonical,
    family,
    unit_of,
)
from dlbench.analysis.predict.types import OWN_PANEL, Arithmetic, Observation, Task, Workload
from dlbench.analysis.sessions import SHOWN_DIGITS
from dlbench.core import metrics
from dlbench.core.types import (
    Absent,
    Case,
    CaseResult,
    DataMode,
    DeviceInfo,
    Measured,
    Mode,
    Precision,
    Run,
    Scenario,
    WorkloadInfo,
)

_ARITHMETIC = {
    Precision.FP32: Arithmetic.FP32,
    Precision.TF32: Arithmetic.TF32,
    Precision.BF16: Arithmetic.HALF,
    Precision.FP16: Arithmetic.HALF,
    Precision.INT8: Arithmetic.INT8,
}
REPEAT_OF_NOISY = 0.30
"""A case whose trials were flagged: a neighbour took part of the machine, or it never was steady."""
ROWS_OF_NOISY = 0.16
"""What such a rate counts for: the variance of so much of a row is that of nine in ten within 30 %."""
_NOISE_FLAGS = frozenset({"contended", "not_steady"})

FLOPS_PER_GMAC = 2e9
PARAMETERS_PER_M = 1e6


def observations(runs: Sequence[Run], devices: DeviceTable) -> tuple[Observation, ...]:
    """Every throughput that was measured on an accelerator with a data sheet.

    Server and single-stream results are left out: their rate is set by arrivals, not by the device. So
    are inputs decoded from files: the host's processors may set their rate. So are processors: a data
    sheet is of a socket, of which a machine mostly has a few cores, and whatever that is slower would
    be taken for the work, on all accelerators. Rates whose trials were flagged are believed less.
    """
    found = [_observation(run, result, devices) for run in runs for result in run.results]
    return tuple(o for o in found if o is not None)


def workload_of_case(case: Case, info: WorkloadInfo) -> Workload:
    """What the predictor is asked for a case: its rate in its model's units a second."""
    phase = [case.variant] if case.variant != "full" else []
    if case.scenario not in (None, Scenario.OFFLINE):
        phase.append(str(case.scenario))
    if case.data_mode is not DataMode.SYNTHETIC:
        phase.append(f"{case.data_mode} data")
    model, per_sample = canonical(case.workload), units_per_sample(case, info)
    gmacs = _scaled(info.flops, FLOPS_PER_GMAC)
    known = ACTIVATIONS_TRAINED_M if case.mode is Mode.TRAINING else ACTIVATIONS_M
    macts_m = None if info.own else known.get((case.workload, case.variant))
    return Workload(
        # A file of the user's own that was changed is another model, whatever it is called.
        model=f"{model} {info.content_hash[:SHOWN_DIGITS]}" if info.own else model,
        task=Task.TRAIN if case.mode is Mode.TRAINING else Task.INFER,
        arithmetic=_ARITHMETIC[case.precision],
        family=family(case.workload),
        framework=case.framework,
        policy=str(case.policy),
        panel=OWN_PANEL,
        phase=" ".join(phase),
        setup=f"v{info.version}",
        unit=unit_of(model),
        batch=case.batch_size * per_sample,
        n_devices=case.n_devices,
        params_m=_scaled(info.parameters, PARAMETERS_PER_M),
        gmacs=gmacs and gmacs / per_sample,
        macts_m=macts_m and macts_m / per_sample,
    )


def units_per_sample(case: Case, info: WorkloadInfo) -> float:
    """How many units of what the predictor counts are one sample of the case; mostly 1."""
    unit = UNITS.get(canonical(case.workload))
    return 1.0 if unit is None or isinstance(info.flops, Absent) else info.flops / unit.flops


def _scaled(size: float | Absent, unit: float) -> float | None:
    """A size in the predictor's unit; what is absent or 0 is not known."""
    return None if isinstance(size, Absent) else size / unit or None


def _observation(run: Run, result: CaseResult, devices: DeviceTable) -> Observation | None:
    case = result.case
    if not result.outcome.ok or case.scenario not in (None, Scenario.OFFLINE):
        return None
    if case.data_mode is DataMode.PIPELINE:
        return None
    rate = metrics.compute("throughput_samples_per_s", result, run)
    name = _device_name(case.device, run.environment.devices)
    spec = devices.find(name) if name else None
    if not isinstance(rate, Measured) or spec is None or spec.kind == "cpu":
        return None
    info = run.workload(case)
    return Observation(
        device=spec.name,
        workload=workload_of_case(case, info),
        rate=rate.value * units_per_sample(case, info) / case.n_devices,
        source=run.run_id,
        n=ROWS_OF_NOISY if noisy(result) else rate.n,
    )


def noisy(result: CaseResult) -> bool:
    """Whether its trials were flagged."""
    flags = {flag for trial in result.measured for flag in trial.flags}
    return bool(_NOISE_FLAGS & (flags | set(result.flags)))


def _device_name(device_id: str, devices: Sequence[DeviceInfo]) -> str:
    return next((d.name for d in devices if d.id == device_id), "")
