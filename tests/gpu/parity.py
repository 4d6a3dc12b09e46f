"""Every workload's tiny variant on the card: are its outputs and its first loss the reference's?

Each cell (framework, workload, precision, policy) is opened in one of several processes of its
framework, since compiling takes longer than computing. Correctness alone: nothing here is timed.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Absent, Check, DataMode, DeviceInfo, Mode, Policy, Precision
from dlbench.measure import gate
from tests.gpu import checks
from tests.subjects import installed, request_for

MOST_STEPS = 16
"""Within which the loss on one batch has fallen: in fp16 the first are lost to the search for a scale
that does not overflow."""

REPEATING = ("32", "16", "8", "4", "2")
"""Sizes of a training batch, the first that has a reference loss."""

KINDS = ("resnet50", "lstm_lm", "bert_base", "dlrm_small")
"""Convolutions, recurrence, attention and tables: what ``tuned`` is tried on in each precision, by
every framework that has it. A cell compiles for up to a minute: all of them would take an hour."""

WHOLE = {"pytorch": (Precision.FP32, Precision.BF16)}
"""What is tried in ``tuned`` on every workload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One subject to be opened."""

    framework: str
    workload: str
    precision: Precision
    policy: Policy = Policy.BASE


def cells(frameworks: Sequence[str], device: DeviceInfo) -> tuple[Cell, ...]:
    """Whatever discovery finds and the card can compute, the plain cells of every framework first."""
    found = []
    for framework in frameworks:
        capability = installed()[framework]
        able = set(capability.precisions.get(device.kind, ()))
        for name, folder in workloads.folders().items():
            workload = workloads.read(folder)
            if name == "fake" or not registry.model_stem(framework, workload.model_files):
                continue
            for precision in device.precisions:
                if precision in able and precision in workload.table["tolerance"]:
                    cell = Cell(framework=framework, workload=name, precision=precision)
                    found.append(cell)
                    asked = name in KINDS or precision in WHOLE.get(framework, ())
                    if asked and Policy.TUNED in capability.policies:
                        found.append(replace(cell, policy=Policy.TUNED))
    return tuple(sorted(found, key=lambda c: (c.policy, c.precision != "fp32", c.workload)))


def answer(cell: Cell, device: DeviceInfo) -> checks.Parity:
    """What the cell computes beside what it should; runs in a process of its framework."""
    adapter = registry.framework(cell.framework)
    workload = workloads.read(workloads.folders()[cell.workload])
    request = replace(
        request_for(
            cell.framework,
            cell.workload,
            device=device.id,
            precision=cell.precision,
            policy=cell.policy,
            data_mode=workload.data_modes[0],
        ),
        device=device,
    )
    wanted = workload.reference(request.case)
    assert not isinstance(wanted, Absent), wanted
    subject = adapter.open_subject(request)
    computes, due = subject.info["compute_dtype"], gate.DTYPES[cell.precision]
    if computes != due:
        raise ValueError(f"it computes in {computes}")
    if (tf32 := subject.info.get("tf32", False)) is not (cell.precision is Precision.TF32):
        raise ValueError(f"it says of TF32: {tf32}")
    rows = []
    for buffer in range(len(wanted.values)):
        if request.case.data_mode is not DataMode.SYNTHETIC:
            subject.refill(buffer)
        handle = subject.query(buffer)
        if (places := subject.places(handle)) != {device.kind}:
            raise ValueError(f"it computes on {', '.join(sorted(places))}")
        output = subject.fetch(handle)[0].ravel()
        rows.append([float(output[i]) for i in wanted.positions])
    subject.close()
    pairs = [
        (got, due)
        for row, values in zip(rows, wanted.values, strict=True)
        for got, due in zip(row, values, strict=True)
    ]
    found = checks.Parity(
        outputs=checks.Deviation(
            found=max(abs(a - b) for a, b in pairs) / wanted.spread, tolerance=wanted.tolerance
        )
    )
    if (
        Mode.TRAINING not in workload.modes
        or Mode.TRAINING not in installed()[cell.framework].modes
    ):
        return found
    training = replace(request.case, mode=Mode.TRAINING, scenario=None)
    sized = (replace(training, batch_size=int(n)) for n in REPEATING)
    case, known = next(
        (c, r) for c in sized for r in [workload.reference(c)] if not isinstance(r, Absent)
    )
    subject = adapter.open_subject(replace(request, case=case))
    first = float(subject.fetch(subject.step(0)))
    falls = any(float(subject.fetch(subject.step(0))) < first for _ in range(MOST_STEPS))
    subject.close()
    loss = checks.Deviation(found=abs(first / known.values[0][0] - 1), tolerance=known.tolerance)
    return replace(found, first_loss=loss, falls=falls)


def compare(
    device: DeviceInfo, frameworks: Sequence[str], n_processes: int, most_s: float
) -> Iterator[Check]:
    """One check for each framework, precision and policy.

    Args:
        device: the card.
        frameworks: their names; each has its own processes.
        n_processes: of all frameworks together.
        most_s: cells that are not done by then count as failed.
    """
    asked = cells(frameworks, device)
    context = multiprocessing.get_context("spawn")
    until_s = time.monotonic() + most_s
    each = max(1, n_processes // max(1, len(frameworks)))
    pools = {name: ProcessPoolExecutor(each, mp_context=context) for name in frameworks}
    futures: dict[Cell, Future[checks.Parity]] = {
        cell: pools[cell.framework].submit(answer, cell, device) for cell in asked
    }
    found = {cell: _outcome(future, until_s) for cell, future in futures.items()}
    for pool in pools.values():
        # A process that hangs has no other end.
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
    groups = dict.fromkeys((c.framework, c.precision, c.policy) for c in asked)
    for framework, precision, policy in groups:
        of_group = {
            c.workload: answered
            for c, answered in found.items()
            if (c.framework, c.precision, c.policy) == (framework, precision, policy)
        }
        yield checks.parity(f"parity_{framework}_{precision}_{policy}", of_group)


def _outcome(future: Future[checks.Parity], until_s: float) -> checks.Parity | str:
    """What a cell answered, or in a line why it did not."""
    try:
        return future.result(timeout=max(0.0, until_s - time.monotonic()))
    except TimeoutError:
        return "not done in time"
    except Exception as error:  # noqa: BLE001 - whatever a framework raises is this cell's verdict
        return f"{type(error).__name__}: {error}".split("\n", 1)[0][:200]
