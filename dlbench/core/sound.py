"""What must be true of a document before anything can be computed from it; a sentence where it is not.

Each function yields the violations of one rule. ``dlbench check`` shows all of them by name; whoever
reads a document for any other purpose is refused it at the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from dlbench.core.types import Run, Track, Trial

LEAST_DURATION_S = 1e-9
"""No host clock tells two moments apart that are closer."""

LEAST_SIZE, MOST_SIZE = 1e-30, 1e18
"""Whatever is measured, counted or looked up is far inside, and what is computed from it is finite."""

OUTPUTS = "digest"
"""A model's own numbers: nothing is computed from them, and they may be of any size."""


def problems(run: Run) -> Iterator[str]:
    """All violations of all rules."""
    for found in (
        workloads_described,
        batches_positive,
        looks_stated,
        programs_timed,
        durations_positive,
        columns_fit,
        sizes_possible,
    ):
        yield from found(run)


def workloads_described(run: Run) -> Iterator[str]:
    """The facts of every case's workload are there."""
    known = {(w.name, w.variant) for w in run.plan.workloads}
    for result in run.results:
        if (result.case.workload, result.case.variant) not in known:
            yield f"workload {result.case.workload} ({result.case.variant}) is not described"


def batches_positive(run: Run) -> Iterator[str]:
    """A step of every case, planned or reported, is of one sample or more."""
    for case in (*run.plan.cases, *(result.case for result in run.results)):
        if case.batch_size < 1:
            yield f"{case.label} has batches of {case.batch_size} samples"


def looks_stated(run: Run) -> Iterator[str]:
    """At how many trials a case might stop: an interval is wider for each time one looked."""
    looks = run.plan.profile.looks
    if run.results and (not looks or min(looks) < 1):
        yield f"the profile {run.plan.profile.name} stops at {list(looks) or 'no'} trials"


def programs_timed(run: Run) -> Iterator[str]:
    """When each monitored program ran is known: its window, which ends after it starts."""
    for program in run.monitored:
        found = [w for w in program.windows if w.name == "energy"]
        if len(found) != 1 or found[0].end_s < found[0].start_s:
            yield f"{program.name} was monitored, and not in one window that ends after it starts"


def durations_positive(run: Run) -> Iterator[str]:
    """Warm-up, steady and energy values took some time for some samples; no window ends early."""
    for label, trial in _trials(run):
        parts = ("warm_up", trial.warm_up), ("values", trial.values), ("energy", trial.energy)
        for part, values in parts:
            for i, value in enumerate(values):
                if value.duration_s < LEAST_DURATION_S or value.n_samples <= 0:
                    yield (
                        f"{label}, trial {trial.position}: {part}[{i}] is of {value.n_samples} samples "
                        f"in {value.duration_s} s"
                    )
        for window in trial.windows:
            if window.end_s < window.start_s:
                yield f"{label}, trial {trial.position}: window {window.name} ends before it starts"


def columns_fit(run: Run) -> Iterator[str]:
    """A quantity has readings, but no more than its track has times, and times go forward."""
    for where, track in _tracks(run):
        for column in track.columns:
            if not min(1, len(track.t_us)) <= len(column.values) <= len(track.t_us):
                yield (
                    f"{where}: {column.quantity} of {track.source} has {len(column.values)} readings "
                    f"at {len(track.t_us)} times"
                )
        if any(b < a for a, b in zip(track.t_us, track.t_us[1:], strict=False)):
            yield f"{where}: the times of {track.source} are not in order"


def sizes_possible(run: Run) -> Iterator[str]:
    """Every number is 0 or of a size that something can have."""
    for path, number in _numbers(run, ""):
        if number and not LEAST_SIZE <= abs(number) <= MOST_SIZE:
            yield f"{path} is {number:.3g}, which nothing can be"


def _trials(run: Run) -> Iterator[tuple[str, Trial]]:
    for result in run.results:
        for trial in result.trials:
            yield result.case.label, trial


def _tracks(run: Run) -> Iterator[tuple[str, Track]]:
    for label, trial in _trials(run):
        for track in trial.tracks:
            yield f"{label}, trial {trial.position}", track
    for monitored in run.monitored:
        for tracks in (monitored.host, *(d.tracks for d in monitored.devices)):
            for track in tracks:
                yield monitored.name, track


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:  # noqa: ANN401 - any core value
    """Every number with where it stands; of a series the largest and the smallest that is not 0."""
    if isinstance(value, (int, float)):
        yield path, value
    elif isinstance(value, tuple):
        if SERIES.issuperset(map(type, value)):
            sizes = [abs(x) for x in value if x]
            yield from ((path, size) for size in (sizes and (min(sizes), max(sizes))))
        else:
            for i, item in enumerate(value):
                yield from _numbers(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}")
    elif dataclasses.is_dataclass(value):
        for name in value.__dataclass_fields__:
            if name != OUTPUTS:
                yield from _numbers(getattr(value, name), f"{path}.{name}".lstrip("."))


SERIES = {int, float, type(None)}
