"""The work of a need: which model, how much of it, and where its facts are from."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dlbench import own_models, workloads
from dlbench.analysis.predict import models
from dlbench.analysis.recommend import assumptions
from dlbench.core.errors import UsageError
from dlbench.core.recommendation import Constraint, Need, Refusal, Step
from dlbench.core.types import TRAINING_FLOPS_FACTOR, Absent, Mode, Run, Task, WorkloadInfo
from dlbench.core.units import MIB, compact

OPTIMIZER_BYTES = {"sgd": 4.0, "adam": 8.0}
"""State a parameter: a momentum, or two moments, in fp32."""

FP32_BYTES = 4.0

MACS_PER_ACTIVATION = (59.0, 377.0, 1070.0)
"""Multiply-accumulates for each number a forward pass writes: 5th, 50th, 95th percentile over the
models of timm's public tables (0.93, 2.65 and 17 million activations a GMAC)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A model and its work. ``samples`` is the work of one run of training; None at inference.

    ``activations`` are the low, middle and high number of values that a forward pass of one sample
    writes, all the same where they were ``counted``; ``kept`` how many training keeps of it, where the
    need says so. ``input_bytes`` are of one sample's inputs, 0 where they are next to nothing beside
    that, or nobody says them. ``batch_sizes`` are the usual ones by kind of device, ``cpu`` or
    ``nvidia``. ``defaults`` are the fields that the need left open, and what was taken.
    """

    workload: str
    variant: str
    task: str
    mode: Mode
    parameters: float
    flops_per_sample: float
    activations: tuple[float, float, float]
    counted: bool
    kept: float | None
    input_bytes: float
    optimizer: str
    batch_sizes: dict[str, int]
    samples: float | None
    steps: tuple[Step, ...]
    defaults: tuple[tuple[str, str], ...] = ()

    def wanted_batch(self, need: Need, kind: str, devices: float) -> int | Refusal:
        """The largest batch that one of ``devices`` should take: what was given, else the usual one.

        Of a need in optimiser steps, its share of the step's: what does not fit is accumulated.
        """
        usual = self.batch_sizes[kind]
        if need.steps is None:
            return need.batch_size or usual
        together = need.batch_size or self.batch_sizes["nvidia"]
        if together < devices:
            return Refusal(
                Constraint.DEVICES,
                f"a step of batch {together} leaves some of {devices:g} devices without a sample",
                devices / together,
            )
        share = math.ceil(together / devices)
        return share if need.batch_size is not None else min(share, usual)

    def busy(self, need: Need, devices: float) -> float:
        """How many of ``devices`` a step keeps busy: its samples over the whole ones that each takes.

        9 over 8 devices are two at a time, as long as 16 would take.
        """
        if need.steps is None or devices <= 1:
            return devices
        together = need.batch_size or self.batch_sizes["nvidia"]
        return together / math.ceil(together / devices)

    @property
    def flops(self) -> float:
        """Of one sample in this mode: a training step is three forwards."""
        factor = TRAINING_FLOPS_FACTOR if self.mode is Mode.TRAINING else 1
        return self.flops_per_sample * factor


def read(need: Need, runs: Sequence[Run]) -> Job:
    """The need's job, from the workload's folder, a document that measured it, or its own numbers.

    Raises:
        UsageError: the model or the amount of work is missing; the message names the field.
    """
    info, optimizer, sizes, dataset, source = facts(need, runs)
    parameters, flops = info
    if not parameters or not flops:
        missing = "parameters" if not parameters else "flops_per_sample"
        raise UsageError(
            f"{missing} is missing: {source} does not say it",
            "Give workload, or parameters and flops_per_sample (forward, one sample).",
        )
    mib = need.activation_mib_per_sample
    kept = None if mib is None else mib * MIB / FP32_BYTES
    training = need.mode is Mode.TRAINING
    known = models.ACTIVATIONS_TRAINED_M if training else models.ACTIVATIONS_M
    counted = known.get((need.workload, need.variant)) if kept is None else None
    activations, step = _activations(flops, counted, kept)
    samples, work = _work(need, dataset, sizes)
    return Job(
        workload=need.workload,
        variant=need.variant,
        task=_task(need, runs),
        mode=need.mode,
        parameters=parameters,
        flops_per_sample=flops,
        activations=activations,
        counted=counted is not None,
        kept=kept,
        input_bytes=_input_bytes(need, activations[1]),
        optimizer=optimizer,
        batch_sizes=sizes,
        samples=samples,
        steps=(
            Step(
                name="model",
                value=f"{compact(parameters / 1e6)} M parameters, "
                f"{compact(flops / 1e9, 4)} GFLOP a forward",
                formula="stated",
                source=source,
            ),
            step,
            *work,
        ),
        defaults=_left_open(need, dataset, sizes),
    )


def _activations(
    flops: float, counted_m: float | None, kept: float | None
) -> tuple[tuple[float, float, float], Step]:
    """Numbers that a forward pass of one sample writes, and where they are from."""
    if counted_m is not None:
        found = counted_m * 1e6
        return (found, found, found), Step(
            name="activations",
            value=f"{compact(found)} a sample",
            formula="counted",
            source="outputs of convolutions and products of the built model",
        )
    if kept is not None:
        # Training keeps more numbers than a forward pass writes: of normalisations, for the way back.
        over = assumptions.KEPT["training"]
        mib = kept * FP32_BYTES / MIB
        return (kept / over.high, kept / over.mid, kept / over.low), Step(
            name="activations",
            value=f"{compact(kept / over.mid)} a sample",
            formula=f"{mib:g} MiB that training keeps / {FP32_BYTES:g} bytes / {over.mid:g}",
            source=f"the need; {over.source}",
            as_of=assumptions.READ,
        )
    low, mid, high = (flops / 2 / macs for macs in reversed(MACS_PER_ACTIVATION))
    return (low, mid, high), Step(
        name="activations",
        value=f"{compact(mid)} a sample",
        formula=f"{compact(flops / 2e9, 4)} GMAC / {MACS_PER_ACTIVATION[1]:g} "
        f"({MACS_PER_ACTIVATION[0]:g} to {MACS_PER_ACTIVATION[-1]:,g})",
        source="outputs of convolutions and products in timm's tables",
        as_of=assumptions.READ,
    )


LEAST_INPUTS = 0.1
"""Of the bytes that a forward pass writes, from which on inputs count: less is within their error."""


def _input_bytes(need: Need, activations: float) -> float:
    """Of one sample: a decoder's cache of keys and values is an input, and most of what there is."""
    folder = workloads.folders().get(need.workload) if need.workload else None
    if folder is None:
        return 0.0
    total = 0.0
    for tensor in workloads.read(folder).spec(need.variant)["inputs"].values():
        total += math.prod(tensor["shape"]) * (8 if tensor["dtype"] == "int64" else FP32_BYTES)
    return total if total >= LEAST_INPUTS * activations * FP32_BYTES else 0.0


def _left_open(
    need: Need, dataset: tuple[float, float] | None, sizes: dict[str, int]
) -> tuple[tuple[str, str], ...]:
    """How much work was taken where nobody said it: as ``_work`` takes it."""
    if need.steps is not None and need.batch_size is None:
        return (("batch_size", f"{sizes['nvidia']} of all devices together (the usual one)"),)
    if need.serving or need.steps is not None:
        return ()
    found = []
    if need.samples is None and dataset is not None:
        found.append(("samples", f"{dataset[0]:,.0f} (the workload's data set)"))
    if need.epochs is None and need.task is not Task.INFERENCE:
        own = dataset if need.samples is None else None
        found.append(("epochs", f"{own[1]:g} (the workload's)" if own else "1"))
    return tuple(found)


Facts = tuple[
    tuple[float | None, float | None], str, dict[str, int], tuple[float, float] | None, str
]


def facts(need: Need, runs: Sequence[Run]) -> Facts:
    """Size, optimizer, usual batches and data set of the need's model, and who says so.

    Raises:
        UsageError: nobody knows the model, or it is not there for the task.
    """
    own = (need.parameters, need.flops_per_sample)
    if not need.workload:
        return own, "adam", own_models.BATCH, None, "the need"
    folder = workloads.folders().get(need.workload)
    if folder is not None:
        return _of_folder(need, workloads.read(folder))
    info = _measured_info(need, runs)
    if info is None:
        raise _unknown(need, infos_of(runs))
    source = f"your own model, as its documents have it (workload {info.name})"
    batch = _measured_batches(need, runs)
    size = (
        need.parameters or _known(info.parameters),
        need.flops_per_sample or _known(info.forward_flops(need.mode)),
    )
    return size, "adam", batch, None, source


NO_JOBS = ("floor", "ceiling")
"""What the tasks of workloads begin with that measure a machine, and that nobody needs done."""


def _is_a_job(folder: Path) -> bool:
    return workloads.read(folder).task.partition(":")[0] not in NO_JOBS


def _unknown(need: Need, measured: Sequence[WorkloadInfo]) -> UsageError:
    """That nobody knows the model, or not in this variant; with the nearest name that there is."""
    variants = sorted({info.variant for info in measured if info.name == need.workload})
    if variants:
        return UsageError(
            f"variant {need.variant!r} is not one of {need.workload}'s, as documents have it",
            f"Known: {', '.join(variants)}.",
        )
    shipped = [n for n, path in workloads.folders().items() if n != "fake" and _is_a_job(path)]
    names = [*shipped, *(info.name for info in measured)]
    near = difflib.get_close_matches(need.workload, names, n=1)
    return UsageError(
        f"workload {need.workload!r} is unknown, and no result document measured it",
        f"{f'Did you mean {near[0]}? ' if near else ''}Known: {', '.join(shipped)}; your own model: "
        "dlbench run --model, or give parameters.",
    )


def _known(number: float | Absent) -> float | None:
    return None if isinstance(number, Absent) else float(number)


def _of_folder(need: Need, workload: workloads.Workload) -> Facts:
    if need.variant not in workload.variants:
        raise UsageError(
            f"variant {need.variant!r} is not one of {workload.name}'s",
            f"Known: {', '.join(workload.variants)}.",
        )
    info = workload.info(need.variant)
    optimizer = str(workload.table.get("optimizer", {}).get("name", "adam"))
    for name in ("parameters", "flops_per_sample"):
        if getattr(need, name) is not None:
            raise UsageError(
                f"{name} and workload {workload.name} both say how large the model is",
                "Give one of them.",
            )
    modes = workload.table["variants"][need.variant]["batch"]
    if need.mode not in modes:
        raise UsageError(
            f"task {need.task}: workload {workload.name} has no {need.mode}",
            f"It has: {', '.join(workload.modes)}.",
        )
    sizes = {
        kind: workload.default_batch(need.variant, need.mode, kind) for kind in ("cpu", "nvidia")
    }
    data = workload.table.get("dataset", {})
    size = (data["samples"], data["epochs"]) if {"samples", "epochs"} <= set(data) else None
    source = f"workloads/{workload.name}/workload.toml, version {workload.version}"
    return (
        (_known(info.parameters), _known(info.forward_flops(need.mode))),
        optimizer,
        sizes,
        size,
        source,
    )


def _measured_info(need: Need, runs: Sequence[Run]) -> WorkloadInfo | None:
    return newest_info((need.workload, need.variant), infos_of(runs))


def infos_of(runs: Sequence[Run]) -> tuple[WorkloadInfo, ...]:
    """The facts of all models that documents describe, the newest document's first."""
    in_order = sorted(runs, key=lambda r: r.created_utc, reverse=True)
    return tuple(info for run in in_order for info in run.plan.workloads)


def newest_info(
    model: tuple[str, str], newest_first: Sequence[WorkloadInfo]
) -> WorkloadInfo | None:
    """Of a model (name, variant) as its file was last: facts with a count before ones without."""
    found = [info for info in newest_first if (info.name, info.variant) == model]
    last = [info for info in found if info.content_hash == found[0].content_hash]
    return min(last, key=lambda i: isinstance(i.flops, Absent), default=None)


def current(need: Need, runs: Sequence[Run]) -> tuple[Run, ...]:
    """The documents, without what they measured of the need's workload as it no longer is.

    Another version of a workload is other work, and so is a model of one's own from another file or
    with other inputs: the newest document says which it is.
    """
    model, folder = (need.workload, need.variant), workloads.folders().get(need.workload)
    last = newest_info(model, infos_of(runs))
    if last is None:
        return tuple(runs)
    version = last.version if folder is None else workloads.read(folder).version

    def is_past(run: Run) -> bool:
        return any(
            info.version != version or (folder is None and info.content_hash != last.content_hash)
            for info in run.plan.workloads
            if (info.name, info.variant) == model
        )

    def without(run: Run) -> Run:
        kept = (r for r in run.results if (r.case.workload, r.case.variant) != model)
        return replace(run, results=tuple(kept))

    return tuple(without(run) if is_past(run) else run for run in runs)


def _measured_batches(need: Need, runs: Sequence[Run]) -> dict[str, int]:
    sizes = [
        result.case.batch_size
        for run in runs
        for result in run.results
        if (result.case.workload, result.case.mode) == (need.workload, need.mode)
    ]
    return {kind: max(sizes) for kind in own_models.BATCH} if sizes else own_models.BATCH


def _task(need: Need, runs: Sequence[Run]) -> str:
    folder = workloads.folders().get(need.workload) if need.workload else None
    if folder is not None:
        return workloads.read(folder).task
    info = _measured_info(need, runs)
    return info.task if info else ""


def _work(
    need: Need, dataset: tuple[float, float] | None, sizes: dict[str, int]
) -> tuple[float | None, tuple[Step, ...]]:
    """Samples to work through, and how that came about."""
    if need.task is Task.INFERENCE and not need.serving and need.samples is None:
        raise UsageError(
            "requests_per_s is missing, and so is samples",
            "A service: requests_per_s and p99_ms. A run that ends: samples.",
        )
    if need.serving:
        if need.p99_ms is None:
            raise UsageError("p99_ms is missing", "Say within how many ms 99 of 100 are answered.")
        value = f"{need.requests_per_s:g} requests/s within {need.p99_ms:g} ms at p99"
        return None, (Step(name="work", value=value, formula="stated", source="the need"),)
    if need.steps is not None:
        batch = need.batch_size or sizes["nvidia"]
        total = need.steps * batch
        formula = f"{need.steps:,.0f} optimiser steps x batch {batch} of all devices together"
        return total, (_amount(total, formula, "the need"),)
    samples, epochs, source = need.samples, need.epochs, "the need"
    if samples is None and dataset is not None:
        samples, source = dataset[0], "the workload's data set"
    if epochs is None and dataset is not None and need.samples is None:
        epochs = dataset[1]
    if samples is None:
        raise UsageError(
            "samples is missing: nobody says how much work it is",
            "Give samples and epochs, or steps.",
        )
    total = samples * (epochs if epochs is not None else 1.0)
    formula = f"{samples:,.0f} samples x {epochs if epochs is not None else 1:g} epochs"
    return total, (_amount(total, formula, source),)


def _amount(total: float, formula: str, source: str) -> Step:
    return Step(name="work", value=f"{total:,.0f} samples", formula=formula, source=source)
