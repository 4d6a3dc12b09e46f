"""What the gate judges by: asked of the subject itself, right after it was timed.

Nothing here is inside a timed value. It costs one step more (the burst that looks for work left over),
one query for each buffer, one more with inputs exchanged, and the copies to the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlbench.core.protocols import Subject
from dlbench.core.types import Absent, Case, DataMode, DeviceInfo, Fact, Mode, Value, WorkloadInfo
from dlbench.measure.sampler import Progress, Samples
from dlbench.workloads import Reference

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BURSTS = (1, 2, 4, 8, 16)
"""Steps of a burst; the first is enough where nothing is left over. Short steps need longer bursts."""

LATE_SHARE = 0.25
"""A quarter of a burst's time may lie behind its synchronisation: jitter of a few microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What the trial claims to be, and what that means.

    ``seeded`` gives sample 0 of a buffer's inputs as the seed makes it; ``distinct_samples`` of a
    batch differ from each other, later ones repeat them.
    """

    case: Case
    device: DeviceInfo
    workload: WorkloadInfo
    expected: Reference | Absent
    seeded: Callable[[int], tuple[Array, ...]]
    distinct_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found.

    ``outputs`` are those of each seeded buffer (inference), ``exchanged`` the outputs of buffer
    ``target`` while the inputs of buffer ``source`` lay in it, ``again`` those of buffer ``timed``,
    computed once more. ``losses`` are the first and the last of the same batch (training), ``alone``
    those of further steps on that batch and no other, where the last was not below the first.
    ``inputs`` is what buffer ``timed`` held. ``late_share`` is the share of a burst's time that passed
    between its synchronisation and its result. ``steady_clocks_s`` is how long the steady window was by
    the clock of the values and by the kernel's boot clock, or None where there is none.
    """

    stated: Stated
    facts: Mapping[str, Fact]
    values: tuple[Value, ...]
    places: frozenset[str]
    timed: int
    inputs: tuple[Array, ...]
    late_share: float
    steady_clocks_s: tuple[float, float] | None
    losses: tuple[float, ...] = ()
    alone: tuple[float, ...] = ()
    outputs: Mapping[int, Array] = field(default_factory=dict)
    source: int = 0
    target: int = 0
    exchanged: Array | None = None
    again: Array | None = None


STEPS_ALONE = 12
"""Enough for every optimiser of ours to lower the loss of one batch that it sees again and again."""


def _alone(
    subject: Subject, losses: Sequence[float], data_mode: DataMode, tell: Callable[[], None]
) -> tuple[float, ...]:
    """Losses of further steps on the first batch alone, where the run did not lower its loss.

    After a few steps on small batches in turn, each of them may have been made worse by the others.
    """
    first, last = losses
    if data_mode is DataMode.PIPELINE or last < first:
        return ()
    found = []
    for _ in range(STEPS_ALONE):
        found.append(float(subject.fetch(subject.step(0)).mean()))
        tell()
    return tuple(found)


def gather(
    subject: Subject,
    samples: Samples,
    stated: Stated,
    steady_clocks_s: tuple[float, float] | None,
    progress: Progress,
) -> Evidence:
    """Ask the subject for its results, and for how it came by them.

    Args:
        subject: as it was timed.
        samples: what the sampler saw.
        stated: what the trial claims.
        steady_clocks_s: length of the steady window by the clock of the values and the boot clock.
        progress: is called between steps: a sign of life, where each may take minutes.
    """

    def tell() -> None:
        progress("gate", 1, None)

    training = stated.case.mode is Mode.TRAINING
    timed = samples.last_buffer if samples.last_buffer < subject.n_buffers else 0
    outputs: dict[int, Array] = {}
    losses: tuple[float, ...] = ()
    alone: tuple[float, ...] = ()
    if training:
        handles = (samples.first_loss, samples.last_loss)
        losses = tuple(float(subject.fetch(x).mean()) for x in handles)
        alone = _alone(subject, losses, stated.case.data_mode, tell)
    else:
        outputs = _outputs(subject, samples, tell)
    begin = subject.step if training else subject.query
    share, handle = late_share(subject, lambda: begin(timed), tell)
    again = None if training else subject.fetch(handle)
    places = subject.places(handle)
    # A copy of our own: what an adapter shows may be a view of what is exchanged next.
    inputs = tuple(x.copy() for x in subject.read_inputs(timed))
    source = timed if training else _most_different(outputs, timed)
    exchanged = None if training else _exchanged(subject, source, timed)
    return Evidence(
        stated=stated,
        facts=dict(subject.info),
        values=samples.values,
        places=places,
        timed=timed,
        inputs=inputs,
        late_share=share,
        steady_clocks_s=steady_clocks_s,
        losses=losses,
        alone=alone,
        outputs=outputs,
        source=source,
        target=timed,
        exchanged=exchanged,
        again=again,
    )


def _outputs(subject: Subject, samples: Samples, tell: Callable[[], None]) -> dict[int, Array]:
    """The last timed query's first; what a loader brought has no reference, so those are seeded."""
    found = {}
    if samples.last_buffer < subject.n_buffers:
        found[samples.last_buffer] = subject.fetch(samples.last_output)
    for buffer in range(subject.n_buffers):
        if buffer not in found:
            found[buffer] = subject.fetch(subject.query(buffer))
            tell()
    return dict(sorted(found.items()))


def _most_different(outputs: Mapping[int, Array], timed: int) -> int:
    """The buffer whose outputs are farthest: of one number in few bits two may be alike by chance."""
    others = [buffer for buffer in outputs if buffer != timed]
    return max(others, key=lambda b: float(abs(outputs[b] - outputs[timed]).max(initial=0.0)))


def _exchanged(subject: Subject, source: int, target: int) -> Array:
    """The outputs of a buffer that holds another's inputs; its own are lost."""
    subject.copy_inputs(source, target)
    return subject.fetch(subject.query(target))


def late_share(
    subject: Subject, begin: Callable[[], object], tell: Callable[[], None]
) -> tuple[float, object]:
    """The smallest share of a burst that came after its synchronisation, and the last handle.

    A result that is there can be fetched as fast the first time as the second. Whatever the first
    fetch takes longer was waiting for work that ``synchronize`` should have waited for.
    """
    smallest, handle = 1.0, None
    for n_steps in BURSTS:
        start = time.perf_counter()
        for _ in range(n_steps):
            handle = begin()
        subject.synchronize()
        synchronised = time.perf_counter()
        subject.fetch(handle)
        fetched = time.perf_counter()
        subject.fetch(handle)
        again = time.perf_counter()
        tell()
        late_s = (fetched - synchronised) - (again - fetched)
        smallest = min(smallest, max(0.0, late_s) / (fetched - start))
        if smallest <= LATE_SHARE:
            break
    return smallest, handle
