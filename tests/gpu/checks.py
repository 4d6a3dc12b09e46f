"""What readings of a real card must satisfy: each check a function of readings, testable without one.

``passed`` is None where a check could not be applied; such an acceptance is not complete.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlbench.core import energy, telemetry, tracks
from dlbench.core.energy import Point
from dlbench.core.trial_energy import COUNTER, TrialEnergy
from dlbench.core.types import Absent, BatchSearch, Case, Check, OutcomeKind, Reading, Run, Trial

MOST_PERIOD_S = 1.0
"""NVML's counters tick every 20 to 100 ms; one slower than a second cannot bound a window."""

MOST_READ_S = 0.05
"""Half the sampler's interval of 100 ms: a longer read makes it late."""

MOST_DISAGREEMENT = 0.03
LEAST_COUNTED_S = 30.0
MOST_SPREAD = 0.02
"""The goals for a real GPU: counter against integral within 3 % over 30 s, joules a step within 2 %."""

TAIL_SHARE = 0.1
"""Power has left the work behind when it is within this share of the step from load to idle."""

MEMORY_SLACK = 0.02
MEMORY_SLACK_MIB = 4.0
"""Allocators round up to whole pages of 2 MiB."""

MOST_GROWTH_MIB = 32.0
MOST_LATE_SHARE = 0.01


def counter_period(points: Sequence[Point]) -> Check:
    """The energy counter of an idle device ticks, and how often."""
    found = energy.ticks(points)
    period_s = energy.period_s(found)
    at_rest = energy.idle(points)
    if isinstance(at_rest, Absent):
        return Check(rule="counter_period", passed=False, detail=at_rest.reason)
    detail = f"{period_s * 1e3:.1f} ms over {len(found)} ticks, idle {at_rest.power_w:.1f} W"
    return Check(rule="counter_period", passed=period_s <= MOST_PERIOD_S, detail=detail)


def call_latencies_s(
    reads: Sequence[Sequence[Reading]], starts_s: Sequence[float]
) -> dict[str, list[float]]:
    """Seconds that each quantity took to answer, over reads of one meter.

    Args:
        reads: each read's readings, in the order in which they were asked for.
        starts_s: when each read began, on the same clock.
    """
    found: dict[str, list[float]] = {}
    for start_s, readings in zip(starts_s, reads, strict=True):
        times_s = [start_s, *(r.t_s for r in readings)]
        for reading, (before_s, after_s) in zip(readings, itertools.pairwise(times_s), strict=True):
            found.setdefault(reading.quantity, []).append(after_s - before_s)
    return found


def call_latency(latencies_s: Mapping[str, Sequence[float]]) -> Check:
    """All quantities of a read together are answered well within the sampler's interval."""
    if not latencies_s:
        return Check(rule="nvml_latency", passed=False, detail="nothing was read")
    medians_s = {name: statistics.median(times) for name, times in latencies_s.items()}
    whole_s = sum(medians_s.values())
    slowest = max(medians_s, key=lambda name: medians_s[name])
    detail = (
        f"{whole_s * 1e3:.2f} ms a read of {len(medians_s)} quantities, slowest {slowest} "
        f"{medians_s[slowest] * 1e3:.2f} ms (medians)"
    )
    return Check(rule="nvml_latency", passed=whole_s <= MOST_READ_S, detail=detail)


def power_tail_s(power: Sequence[Point], work: tuple[float, float]) -> float | Absent:
    """Seconds after the device was synchronised for which power still shows the work.

    Args:
        power: readings from before the work until well after it.
        work: when it began and when it was synchronised.
    """
    start_s, end_s = work
    before = [w for t, w in power if t < start_s]
    during = [w for t, w in power if (start_s + end_s) / 2 <= t <= end_s]
    after = [(t, w) for t, w in power if t > end_s]
    if not before or not during or not after:
        return Absent(reason="power was not read before, during and after the work")
    idle_w, load_w = statistics.median(before), statistics.median(during)
    if load_w <= idle_w * (1 + TAIL_SHARE):
        return Absent(reason=f"the work moved power from {idle_w:.0f} to {load_w:.0f} W only")
    # Idle clocks fall for seconds after work: the level it comes to rest at counts, not that before.
    rest_w = statistics.median(w for _, w in after[-max(1, len(after) // 5) :])
    limit_w = rest_w + TAIL_SHARE * (load_w - rest_w)
    above = [t for t, w in after if w > limit_w]
    return max(above) - end_s if above else 0.0


def power_tail(power: Sequence[Point], work: tuple[float, float], settle_s: float) -> Check:
    """Power has come to rest within the time that energy windows wait for it."""
    tail_s = power_tail_s(power, work)
    if isinstance(tail_s, Absent):
        return Check(rule="power_tail", passed=None, detail=tail_s.reason)
    detail = f"{tail_s:.2f} s after the synchronisation; windows wait {settle_s:.2f} s"
    return Check(rule="power_tail", passed=tail_s <= settle_s, detail=detail)


def counter_against_integral(trials: Sequence[Trial]) -> Check:
    """Counter and integral of power agree within 3 % over at least 30 s of windows."""
    rule, counted_j, integral_j, seconds = "counter_against_integral", 0.0, 0.0, 0.0
    for trial in trials:
        found = telemetry.of_trial(trial)
        if isinstance(found, Absent):
            return Check(rule=rule, passed=None, detail=found.reason)
        if found.method != "counter":
            return Check(rule=rule, passed=None, detail="this card has no energy counter")
        for window, integral in zip(found.windows, found.integrals, strict=True):
            if isinstance(integral, Absent):
                return Check(rule=rule, passed=None, detail=integral.reason)
            counted_j += window.gross_j
            integral_j += integral.gross_j
            seconds += window.duration_s
    if seconds < LEAST_COUNTED_S:
        detail = f"only {seconds:.0f} s of energy windows; it wants {LEAST_COUNTED_S:.0f}"
        return Check(rule=rule, passed=None, detail=detail)
    apart = energy.disagreement(counted_j, integral_j)
    detail = f"{counted_j:.0f} J against {integral_j:.0f} J over {seconds:.0f} s: {apart:.2%}"
    return Check(rule=rule, passed=apart <= MOST_DISAGREEMENT, detail=detail)


def energy_repeats(trials: Sequence[Trial]) -> Check:
    """Joules a sample of every window lie within 2 % of their median."""
    rule, per_sample_j = "energy_repeats", []
    for trial in trials:
        found = telemetry.of_trial(trial)
        if isinstance(found, Absent):
            return Check(rule=rule, passed=None, detail=found.reason)
        per_sample_j += _each_window_j(found)
    if len(per_sample_j) < 3:
        return Check(rule=rule, passed=None, detail=f"only {len(per_sample_j)} windows")
    middle_j = statistics.median(per_sample_j)
    spread = max(abs(j - middle_j) for j in per_sample_j) / middle_j
    detail = f"{len(per_sample_j)} windows within {spread:.2%} of {middle_j:.4g} J a sample"
    return Check(rule=rule, passed=spread <= MOST_SPREAD, detail=detail)


def _each_window_j(found: TrialEnergy) -> list[float]:
    return [w.gross_j / n for w, n in zip(found.windows, found.n_samples, strict=True)]


def memory(known_mib: float, seen_mib: Mapping[str, float | Absent]) -> Check:
    """Every number that speaks of memory rose by what was allocated, and none is a silent zero."""
    rule, words, passed = "memory", [], True
    for name, seen in seen_mib.items():
        if isinstance(seen, Absent):
            words.append(f"{name} absent ({seen.reason})")
            continue
        passed &= abs(seen - known_mib) <= MEMORY_SLACK_MIB + MEMORY_SLACK * known_mib
        words.append(f"{name} {seen:.0f} MiB")
    measured = any(not isinstance(seen, Absent) for seen in seen_mib.values())
    detail = f"of {known_mib:.0f} MiB: {', '.join(words)}"
    return Check(rule=rule, passed=passed if measured else None, detail=detail)


def same_device(nvml_uuid: str | Absent, cuda_uuid: str | Absent) -> Check:
    """The framework computes on the card whose sensors are read."""
    if isinstance(nvml_uuid, Absent) or isinstance(cuda_uuid, Absent):
        why = nvml_uuid if isinstance(nvml_uuid, Absent) else cuda_uuid
        reason = why.reason if isinstance(why, Absent) else ""
        return Check(rule="uuid", passed=None, detail=reason)
    same = _bare(nvml_uuid) == _bare(cuda_uuid)
    detail = "NVML and CUDA name the same card" if same else "NVML and CUDA name different cards"
    return Check(rule="uuid", passed=same, detail=detail)


def _bare(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-").replace("-", "")


def out_of_memory(run: Run) -> Check:
    """A batch that cannot fit ends as ``oom_device``, and as nothing else."""
    kinds = [str(result.outcome.kind) for result in run.results]
    passed = bool(kinds) and all(k == OutcomeKind.OOM_DEVICE for k in kinds)
    return Check(
        rule="out_of_memory", passed=passed, detail=f"outcomes: {', '.join(kinds) or 'none'}"
    )


def batch_search(searches: Sequence[BatchSearch]) -> Check:
    """The search ends at a size that ran, and any size that did not fit is larger."""
    passed, words = bool(searches), []
    for search in searches:
        ran = {p.batch_size for p in search.probes if p.outcome == OutcomeKind.OK}
        full = [p.batch_size for p in search.probes if p.outcome == OutcomeKind.OOM_DEVICE]
        others = {p.outcome for p in search.probes} - {OutcomeKind.OK, OutcomeKind.OOM_DEVICE}
        fits = not full or search.batch_size < min(full)
        passed &= search.batch_size in ran and fits and not others
        words.append(
            f"{search.batch_size} of {len(search.probes)} sizes, {len(full)} out of memory"
        )
    return Check(rule="batch_search", passed=passed, detail="; ".join(words) or "no search")


def throttle_counters(trials: Sequence[Trial]) -> Check:
    """The cumulative counters of throttling are there and never run backwards."""
    present, backwards = set(), set()
    for trial in trials:
        for name in telemetry.THROTTLE_COUNTERS:
            found = tracks.points(telemetry.device_tracks(trial), name)
            if isinstance(found, Absent):
                continue
            present.add(name)
            if any(b < a for (_, a), (_, b) in itertools.pairwise(found)):
                backwards.add(name)
    if not present:
        return Check(rule="throttle_counters", passed=None, detail="this card counts none")
    detail = f"{len(present)} of {len(telemetry.THROTTLE_COUNTERS)} counted" + "".join(
        f", {name} ran backwards" for name in sorted(backwards)
    )
    return Check(rule="throttle_counters", passed=not backwards, detail=detail)


def soak(
    reads: Sequence[Sequence[Reading]],
    interval_s: float,
    rss_mib: Sequence[float],
    open_files: Sequence[int],
) -> Check:
    """Long reading loses nothing: no gap, no counter that falls, no growing memory, no leaked file.

    Args:
        reads: what each read of the meter said.
        interval_s: how far apart they were meant to be.
        rss_mib: resident memory of the reading process, at equal distances.
        open_files: its open file descriptors, likewise.
    """
    if len(reads) < 2 or not rss_mib or not open_files:
        return Check(rule="soak", passed=None, detail="it was not long enough to say anything")
    starts_s = [readings[0].t_s for readings in reads]
    gaps_s = [b - a for a, b in itertools.pairwise(starts_s)]
    late = sum(gap > 2 * interval_s for gap in gaps_s) / len(gaps_s)
    counter = [
        r.value
        for readings in reads
        for r in readings
        if r.quantity == COUNTER and not isinstance(r.value, Absent)
    ]
    fell = any(b < a for a, b in itertools.pairwise(counter))
    lost = tracks.telemetry_lost([r for readings in reads for r in readings])
    # The first fifth is warming up: allocators and the driver settle.
    settled = rss_mib[len(rss_mib) // 5]
    growth_mib = rss_mib[-1] - settled
    files = open_files[-1] - open_files[len(open_files) // 5]
    passed = late <= MOST_LATE_SHARE and not fell and not lost
    passed &= growth_mib <= MOST_GROWTH_MIB and files <= 0
    detail = (
        f"{starts_s[-1] - starts_s[0]:.0f} s, {late:.1%} of reads late, {growth_mib:+.1f} MiB, "
        f"{files:+d} files" + ", a counter fell" * fell + ", a sensor was lost" * lost
    )
    return Check(rule="soak", passed=passed, detail=detail)


def protocol(run: Run, wanted: Sequence[tuple[str, str]]) -> tuple[Check, ...]:
    """Each precision and policy: the gate passed and the two clocks agree, in every trial.

    Args:
        run: of the adapter on the card.
        wanted: pairs of precision and policy; one that the plan skipped is not applied.
    """
    return tuple(_one(run, precision, policy) for precision, policy in wanted)


def _one(run: Run, precision: str, policy: str) -> Check:
    rule = f"protocol_{precision}_{policy}"

    def of(case: Case) -> bool:
        return (case.precision, case.policy) == (precision, policy)

    results = [r for r in run.results if of(r.case)]
    if not results:
        skipped = [s.outcome.message for s in run.plan.skips if of(s.case)]
        detail = skipped[0] if skipped else "it is not in the document"
        return Check(rule=rule, passed=None if skipped else False, detail=detail)
    bad = [
        f"{r.case.label}: {t.outcome.kind} {t.outcome.message}".strip()
        for r in results
        for t in r.trials
        if not t.outcome.ok
    ]
    apart = [r.case.label for r in results if any("clock_disagree" in t.flags for t in r.trials)]
    unrun = [f"{r.case.label}: no trial, {r.stop_reason}" for r in results if not r.trials]
    words = [*bad, *(f"{x}: clocks disagree" for x in apart), *unrun]
    n = sum(len(r.measured) for r in results)
    detail = "; ".join(dict.fromkeys(words)) or f"{n} trials of {len(results)} cases, gate passed"
    return Check(rule=rule, passed=not words, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far one answer is from its reference, relative, and how far it may be."""

    found: float
    tolerance: float

    @property
    def near(self) -> bool:
        """Within the tolerance; a NaN is not."""
        return self.found <= self.tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """One workload beside its reference; a workload that is not trained has no loss.

    ``outputs`` deviates by its largest difference over the spread of the reference's outputs,
    ``first_loss`` by its relative difference; ``falls`` says whether updates lowered the loss.
    """

    outputs: Deviation
    first_loss: Deviation | None = None
    falls: bool = True

    @property
    def faults(self) -> list[str]:
        """What is wrong, each in a few words."""
        named = {"outputs": self.outputs, "first loss": self.first_loss}
        words = [
            f"{name} {d.found:.1e} apart, {d.tolerance:.1e} allowed"
            for name, d in named.items()
            if d is not None and not d.near
        ]
        return words if self.falls else [*words, "its loss does not fall"]

    @property
    def largest(self) -> float:
        """The larger deviation."""
        return max(d.found for d in (self.outputs, self.first_loss) if d is not None)


def parity(rule: str, found: Mapping[str, Parity | str]) -> Check:
    """Every workload is within its tolerances and learns; a sentence in a place of one failed.

    Args:
        rule: the check's name.
        found: by workload, what was compared or why it could not be.
    """
    compared = {name: p for name, p in found.items() if isinstance(p, Parity)}
    words = [f"{name}: {p}" for name, p in found.items() if isinstance(p, str)]
    words += [f"{name}: {', '.join(p.faults)}" for name, p in compared.items() if p.faults]
    passed = bool(compared) and not words
    if compared:
        name = max(compared, key=lambda n: compared[n].largest)
        words.append(f"{len(compared)} workloads, largest {compared[name].largest:.1e} ({name})")
    return Check(rule=rule, passed=passed, detail="; ".join(words) or "no workload")
