"""What must be true of a document before anything can be computed from it; a sentence where it is not.

Each function yields the violations of one rule. ``dlbench check`` shows all of them by name; whoever
reads a document for any other purpose is refused it at the first.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dlbench.core.types import Absent, Reading, Run, Track, Trial

LEAST_DURATION_S = 1e-9
"""No host clock tells two moments apart that are closer."""

LEAST_SIZE, MOST_SIZE = 1e-30, 1e18
"""Whatever is measured, counted or looked up is far inside, and what is computed from it is finite."""

MOST_TRIALS = 256
"""Of a case: four times what any profile measures. All pairs of them are averaged, and the exact test
counts sign patterns in whole numbers of as many bits."""

OUTPUTS = "digest"
"""A model's own numbers: nothing is computed from them, and they may be of any size."""


def problems(run: Run) -> Iterator[str]:
    """All violations of all rules."""
    for found in (
        workloads_described,
        batches_positive,
        looks_stated,
        trials_countable,
        rounds_distinct,
        pairings_stand,
        programs_timed,
        durations_positive,
        columns_fit,
        sizes_possible,
    ):
        yield from found(run)


def of_trial(trial: Trial) -> Iterator[str]:
    """Violations within one trial, as a worker sent it."""
    yield from _durations(trial)
    yield from _reads(trial.readings)
    for track in trial.tracks:
        yield from _columns(track)
    yield from _sizes(trial)


def workloads_described(run: Run) -> Iterator[str]:
    """The facts of every case's workload are there, and count nothing that is less than nothing."""
    known = {(w.name, w.variant) for w in run.plan.workloads}
    for result in run.results:
        if (result.case.workload, result.case.variant) not in known:
            yield f"workload {result.case.workload} ({result.case.variant}) is not described"
    for w in run.plan.workloads:
        counts = (w.parameters, w.flops, w.training_flops, w.tokens_per_sample, w.bytes_per_sample)
        if any(isinstance(n, (int, float)) and n < 0 for n in counts):
            yield f"workload {w.name} ({w.variant}) has less than no parameters, work or traffic"


def batches_positive(run: Run) -> Iterator[str]:
    """A step of every case, planned or reported, is of one sample or more."""
    for case in (*run.plan.cases, *(result.case for result in run.results)):
        if case.batch_size < 1:
            yield f"{case.label} has batches of {case.batch_size} samples"


def looks_stated(run: Run) -> Iterator[str]:
    """At how many trials a case might stop: an interval is wider for each time one looked."""
    looks = run.plan.profile.looks
    stated = bool(looks) and min(looks) >= 1 and list(looks) == sorted(set(looks))
    if run.results and not stated:
        few = f"{list(looks[:SHOWN])}{'...' * (len(looks) > SHOWN)}" if looks else "no"
        yield f"the profile {run.plan.profile.name} stops at {few} trials"


SHOWN = 10


def trials_countable(run: Run) -> Iterator[str]:
    """A case has no more trials than can be judged exactly."""
    for result in run.results:
        if len(result.trials) > MOST_TRIALS:
            yield f"{result.case.label} has {len(result.trials):,} trials, over {MOST_TRIALS}"


def rounds_distinct(run: Run) -> Iterator[str]:
    """A case has one trial a round that counts; another would be left out of what is paired by it."""
    for result in run.results:
        rounds = Counter(trial.round for trial in result.measured)
        twice = [n for n, count in rounds.items() if count > 1]
        if twice:
            yield f"{result.case.label} has {rounds[twice[0]]} trials of round {twice[0]}"


def pairings_stand(run: Run) -> Iterator[str]:
    """Both sides of each pair are cases of the run, and the zone of no difference is a share."""
    cases = {result.case.case_id for result in run.results}
    for pairing in run.plan.pairings:
        if pairing.a == pairing.b or not {pairing.a, pairing.b} <= cases:
            yield f"{pairing.a_name} and {pairing.b_name} are no two cases of this run"
        if not 0 < pairing.zone < 1:
            yield f"{pairing.a_name} and {pairing.b_name} are alike within {pairing.zone:.3g}"


def programs_timed(run: Run) -> Iterator[str]:
    """When each monitored program ran is known: its window, which ends after it starts."""
    for program in run.monitored:
        found = [w for w in program.windows if w.name == "energy"]
        if len(found) != 1 or found[0].end_s - found[0].start_s < LEAST_DURATION_S:
            yield f"{program.name} was monitored, and not in one window that ends after it starts"


def durations_positive(run: Run) -> Iterator[str]:
    """Values, steps and queries took some time for some samples, and whatever counts has values."""
    for label, trial in _trials(run):
        for problem in _durations(trial):
            yield f"{label}, trial {trial.position}: {problem}"


def _durations(trial: Trial) -> Iterator[str]:
    parts = ("warm_up", trial.warm_up), ("values", trial.values), ("energy", trial.energy)
    for part, values in parts:
        for i, value in enumerate(values):
            if value.duration_s < LEAST_DURATION_S or value.n_samples <= 0:
                yield f"{part}[{i}] is of {value.n_samples} samples in {value.duration_s} s"
    if trial.outcome.ok and not trial.values:
        yield "it counts and has no values"
    if trial.queries_s and min(trial.queries_s) < LEAST_DURATION_S:
        yield f"a query took {min(trial.queries_s)} s"
    if not isinstance(trial.first_step_s, Absent) and trial.first_step_s < LEAST_DURATION_S:
        yield f"the first step took {trial.first_step_s} s"
    for window in trial.windows:
        if window.end_s < window.start_s:
            yield f"window {window.name} ends before it starts"


def columns_fit(run: Run) -> Iterator[str]:
    """A quantity has readings, but no more than its track has times, and times go forward."""
    for where, track in _tracks(run):
        for problem in _columns(track):
            yield f"{where}: {problem}"
    for where, readings in _readings(run):
        for problem in _reads(readings):
            yield f"{where}: {problem}"


def _columns(track: Track) -> Iterator[str]:
    for column in track.columns:
        if not min(1, len(track.t_us)) <= len(column.values) <= len(track.t_us):
            yield (
                f"{column.quantity} of {track.source} has {len(column.values)} readings "
                f"at {len(track.t_us)} times"
            )
    if track.t_us != tuple(sorted(track.t_us)):
        yield f"the times of {track.source} are not in order"


def _reads(readings: Sequence[Reading]) -> Iterator[str]:
    if any(b.t_s < a.t_s for a, b in itertools.pairwise(readings)):
        yield "the reads of its counters are not in order"


def sizes_possible(run: Run) -> Iterator[str]:
    """Every number is 0 or of a size that something can have."""
    yield from _sizes(run)


def _sizes(value: Run | Trial) -> Iterator[str]:
    for place, number in _impossible(value, ()):
        where = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in place)
        yield f"{where.lstrip('.')} is {number:.3g}, which nothing can be"


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


def _readings(run: Run) -> Iterator[tuple[str, Sequence[Reading]]]:
    for label, trial in _trials(run):
        yield f"{label}, trial {trial.position}", trial.readings
    for monitored in run.monitored:
        for part in monitored.devices:
            yield monitored.name, part.readings


Place = tuple[str | int, ...]
"""Names of fields and keys, and positions in tuples: put into words where something is wrong there."""


def _impossible(value: Any, place: Place) -> Iterator[tuple[Place, float]]:  # noqa: ANN401 - any core value
    """Every number that nothing can be, with its place; of a series the largest and the smallest."""
    if isinstance(value, tuple) and SERIES.issuperset(map(type, value)):
        sizes = list(map(abs, filter(None, value)))
        ends = (min(sizes), max(sizes)) if sizes else ()
        yield from ((place, size) for size in ends if not LEAST_SIZE <= size <= MOST_SIZE)
        return
    for at, item in _parts(value):
        if item is None or isinstance(item, str):
            continue
        if not isinstance(item, (int, float)):
            yield from _impossible(item, (*place, at))
        elif item and not LEAST_SIZE <= abs(item) <= MOST_SIZE:
            yield (*place, at), item


def _parts(value: Any) -> Iterable[tuple[str | int, Any]]:  # noqa: ANN401 - any core value
    if isinstance(value, tuple):
        return enumerate(value)
    if isinstance(value, dict):
        return value.items()
    return [(name, getattr(value, name)) for name in value.__dataclass_fields__ if name != OUTPUTS]


SERIES = {int, float, type(None)}
