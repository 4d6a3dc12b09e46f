"""The rules that a result document must hold, each with a name; what an auditor would ask.

Reading a document (store.codec) already refuses what is malformed. These rules ask whether what it
says can be true and was made as the method wants it.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from dlbench.core import sound, stats
from dlbench.core.types import (
    DAMAGE,
    DRIVER_OPTION,
    LATENCY_LIMIT_OPTION,
    LOADGEN,
    PROMISED_SHARE,
    Absent,
    CaseResult,
    Check,
    OutcomeKind,
    Run,
    Scenario,
    Trial,
)
from dlbench.measure import gate
from dlbench.measure.steady import is_steady

Rule = Callable[[Run], Iterator[str]]

RULES: dict[str, tuple[Rule, str]] = {}

TOUCH_S = 1e-6
"""Values may touch; clocks are recorded to less than this."""


def rule(what: str) -> Callable[[Rule], Rule]:
    """Register a rule under its function's name; ``what`` is what holds when it passes."""

    def register(function: Rule) -> Rule:
        RULES[function.__name__] = (function, what)
        return function

    return register


def check_run(run: Run) -> tuple[Check, ...]:
    """Every rule, passed or failed with the first violation."""
    return tuple(_apply(name, function, what, run) for name, (function, what) in RULES.items())


def refusals(run: Run) -> tuple[Check, ...]:
    """What the worker's gate refused in a document that says so: which case, by which rule, and why.

    ``passed`` is None: such a trial has no speed, and the document is none the worse for it.
    """
    found = {}
    for result in run.results:
        for trial in result.trials:
            if trial.outcome.kind is OutcomeKind.INVALID:
                name = trial.outcome.detail
                detail = f"{result.case.label}: {_of_check(trial, name)}. {explanation(name)}"
                found[result.case.case_id, name] = Check(rule=name, passed=None, detail=detail)
    return tuple(found.values())


def explanation(name: str) -> str:
    """What a rule of the gate holds and what it cannot see, in two sentences."""
    known = gate.RULES.get(name)
    if known is None:
        return "This version knows no rule of that name."
    return f"It holds when {known.holds}. It cannot see {known.blind}."


def _of_check(trial: Trial, name: str) -> str:
    details = (c.detail for c in trial.checks if c.rule == name)
    return next(details, trial.outcome.message).rstrip(".")


def content_check(stated: str, actual: str) -> Check:
    """Whether a document is still what was sealed; needs its bytes, so it is apart."""
    return Check(
        rule="content_unchanged",
        passed=stated == actual,
        detail="the content has the hash that was sealed"
        if stated == actual
        else f"the content has hash {actual[:12]}, sealed was {stated[:12]}: it was edited",
    )


def _apply(name: str, function: Rule, what: str, run: Run) -> Check:
    """A rule that cannot be computed of what the document says has failed; others say more."""
    try:
        violations = list(function(run))
    except (ArithmeticError, LookupError, ValueError) as error:
        return Check(rule=name, passed=False, detail=f"cannot be applied: {error}")
    if not violations:
        return Check(rule=name, passed=True, detail=what)
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return Check(rule=name, passed=False, detail=violations[0] + more)


def _measured(run: Run) -> Iterator[tuple[CaseResult, Trial]]:
    for result in run.results:
        for trial in result.trials:
            if trial.outcome.ok:
                yield result, trial


rule("every value, step and query took some time for some samples, and what counts has values")(
    sound.durations_positive
)
rule("every quantity has readings, no more than there are times, and times are in order")(
    sound.columns_fit
)
rule("every case has batches of one sample or more")(sound.batches_positive)
rule("when each monitored program ran is known")(sound.programs_timed)
rule("the profile says at how many trials a case may stop")(sound.looks_stated)
rule("no case has more trials than can be judged")(sound.trials_countable)
rule("no case has two trials of one round that count")(sound.rounds_distinct)
rule("both sides of every pair are cases of the run")(sound.pairings_stand)
rule("every number is of a size that something can have")(sound.sizes_possible)


@rule("every planned case has exactly one result")
def cases_complete(run: Run) -> Iterator[str]:
    """No case is lost, doubled or slipped in."""
    planned = Counter(case.case_id for case in run.plan.cases)
    found = Counter(result.case.case_id for result in run.results)
    for case_id in planned.keys() | found.keys():
        if planned[case_id] != 1 or found[case_id] != 1:
            yield f"case {case_id} is planned {planned[case_id]} and reported {found[case_id]} times"


@rule("every trial belongs to its case")
def trials_in_place(run: Run) -> Iterator[str]:
    """The case_id, which is the hash of the case, is the same in both."""
    for result in run.results:
        for trial in result.trials:
            if trial.case_id != result.case.case_id:
                yield f"a trial of case {trial.case_id} stands under {result.case.case_id}"


@rule("every case says why it stopped")
def stop_reasons(run: Run) -> Iterator[str]:
    """Measuring must not stop when the number looks good."""
    for result in run.results:
        if not result.stop_reason:
            yield f"{result.case.label} has no stop reason"


@rule("trials ran one after the other, each at its own position")
def positions_unique(run: Run) -> Iterator[str]:
    """The positions of all trials are 0, 1, 2, ...; only damage that is noted leaves a gap."""
    positions = sorted(t.position for r in run.results for t in r.trials)
    distinct = sorted(set(positions))
    if positions != (distinct if DAMAGE in run.notes else list(range(len(positions)))):
        yield f"positions are {positions[:10]}..."


@rule("cases were interleaved")
def interleaved(run: Run) -> Iterator[str]:
    """Round by round: no trial of a round ran before the round before it was over."""
    trials = sorted(
        (t for r in run.results for t in r.trials if t.role == "measure"),
        key=lambda t: t.position,
    )
    rounds = [t.round for t in trials]
    if rounds != sorted(rounds):
        yield "a later round began before an earlier one was over"


@rule("all values are of whole batches")
def values_plausible(run: Run) -> Iterator[str]:
    """Samples that are a multiple of the batch size; a server's batches are of what was due."""
    for result, trial in _measured(run):
        if result.case.scenario is Scenario.SERVER or result.case.batch_size < 1:
            continue
        for value in trial.values:
            if value.n_samples % result.case.batch_size:
                yield (
                    f"{result.case.label} has a value of {value.n_samples} samples in batches of "
                    f"{result.case.batch_size}"
                )


@rule("trials have as many values as the profile wants")
def enough_values(run: Run) -> Iterator[str]:
    """Neither fewer than its least, which would be picking; a server's are of a hundred queries."""
    for result, trial in _measured(run):
        if result.case.scenario is Scenario.SERVER:
            continue
        if len(trial.values) < run.plan.profile.min_values:
            yield f"{result.case.label} has a trial of {len(trial.values)} values"


@rule("values lie in their steady window and do not overlap")
def values_in_window(run: Run) -> Iterator[str]:
    """Nothing was timed twice, or outside."""
    for result, trial in _measured(run):
        steady = next((w for w in trial.windows if w.name == "steady"), None)
        if steady is None:
            yield f"{result.case.label} has a trial without a steady window"
            continue
        end_s = steady.start_s
        for value in trial.values:
            if value.start_s < end_s - TOUCH_S:
                yield f"{result.case.label} has values that overlap, or precede their window"
            end_s = value.start_s + value.duration_s
        if end_s > steady.end_s + TOUCH_S:
            yield f"{result.case.label} has values beyond their window"


@rule("warm-up ended when its rule says: it was neither cut short nor drawn out for anybody")
def warm_up_by_rule(run: Run) -> Iterator[str]:
    """Replayed on the warm-up's own values: the first moment at which it had to end was its last."""
    profile = run.plan.profile
    for result, trial in _measured(run):
        label, values = result.case.label, trial.warm_up
        window = next((w for w in trial.windows if w.name == "warm_up"), None)
        if window is None or not values:
            yield f"{label} has a trial without warm-up"
            continue
        if any(v.n_samples <= 0 for v in values):
            continue  # durations_positive says so
        seconds = [v.duration_s / v.n_samples for v in values]
        for n in range(1, len(values)):
            # What had passed for sure: the sampler looked at its clock just after this.
            passed_s = values[n - 1].start_s + values[n - 1].duration_s - values[0].start_s
            steady = passed_s >= profile.min_warm_up_s and is_steady(seconds[:n])
            if steady or passed_s >= profile.max_warm_up_s:
                yield f"{label} was warm after {n} values and went on to {len(values)}"
                break
        least_s = profile.min_warm_up_s if is_steady(seconds) else profile.max_warm_up_s
        if window.end_s - window.start_s < least_s:
            yield f"{label} ended its warm-up before its rule held"


@rule("values follow each other: none was taken and left out")
def nothing_left_out(run: Run) -> Iterator[str]:
    """Gaps in which a value would have had room; best-of-N flatters, and leaves them."""
    for result, trial in _measured(run):
        steady = next((w for w in trial.windows if w.name == "steady"), None)
        if steady is None or not trial.values:
            continue
        values = trial.values
        driven = dict(result.case.options).get(DRIVER_OPTION) == LOADGEN
        if driven or result.case.scenario is Scenario.SERVER:
            # LoadGen starts and writes its logs within the window.
            edges = [values[0].start_s, values[-1].start_s + values[-1].duration_s]
        else:
            edges = [steady.start_s, steady.end_s]
        ends = [edges[0], *(v.start_s + v.duration_s for v in values)]
        starts = [*(v.start_s for v in values), edges[1]]
        typical_s = max(statistics.median(v.duration_s for v in values), TOUCH_S)
        gaps_s = [b - a for a, b in zip(ends, starts, strict=True)]
        missing = sum(int(gap_s / typical_s) for gap_s in gaps_s if gap_s > 0)
        if missing > max(LEFT_OUT_LEAST, LEFT_OUT_SHARE * len(values)):
            yield (
                f"{result.case.label} has a trial of {len(values)} values with room for {missing} "
                "more between them"
            )


LEFT_OUT_LEAST, LEFT_OUT_SHARE = 2, 0.1
"""A machine that others use holds a process up now and then; two pauses, or a tenth, are no sign."""


@rule("every trial that counts passed its correctness gate")
def gate_passed(run: Run) -> Iterator[str]:
    """No rule failed, and there was at least one that was applied."""
    for result, trial in _measured(run):
        failed = [c.rule for c in trial.checks if c.passed is False and c.rule != "clocks_agree"]
        if failed:
            yield f"{result.case.label} counts although {failed[0]} failed. {explanation(failed[0])}"
        if not any(c.passed for c in trial.checks):
            yield f"{result.case.label} counts although no rule was applied"


@rule("no result is faster than its device can be")
def flops_possible(run: Run) -> Iterator[str]:
    """Implied operations a second stay under the device's bound."""
    devices = {d.id: d for d in run.environment.devices}
    workloads = {(w.name, w.variant): w for w in run.plan.workloads}
    for result, trial in _measured(run):
        device = devices.get(result.case.device)
        most = gate.most_flops_per_s(device, result.case.precision) if device else None
        workload = workloads.get((result.case.workload, result.case.variant))
        values = [v for v in trial.values if v.n_samples > 0]
        if most is None or workload is None or not values:
            continue  # facts_present and durations_positive say what is amiss
        forward = workload.forward_flops(result.case.mode)
        if isinstance(forward, Absent):
            continue
        factor = gate.least_forwards(workload, result.case.mode, trial.subject)
        flops = forward * factor / max(stats.median_seconds_per_sample(values), 1e-12)
        if flops > most:
            yield f"{result.case.label} implies {flops:.3g} FLOP/s of {most:.3g} possible"


@rule("a server that is said to hold its limit does, by MLPerf's early-stopping rule")
def latency_limits_hold(run: Run) -> Iterator[str]:
    """From its own queries; a trial that had too few for the claim says so by its flag."""
    for result, trial in _measured(run):
        limit = dict(result.case.options).get(LATENCY_LIMIT_OPTION)
        if result.case.scenario is not Scenario.SERVER or limit is None or not trial.queries_s:
            continue
        late = sum(query_s > float(limit) / 1e3 for query_s in trial.queries_s)
        n = len(trial.queries_s)
        if "few_queries" in trial.flags or stats.early_stopping_holds(n, late, PROMISED_SHARE):
            continue
        yield f"{result.case.label} has {late} late of {n} queries, which shows nothing of 99 in 100"


@rule("failures say what happened")
def failures_explained(run: Run) -> Iterator[str]:
    """Whatever is not ok has a sentence."""
    for result in run.results:
        for trial in result.trials:
            if not trial.outcome.ok and not trial.outcome.message:
                yield f"{result.case.label} ended as {trial.outcome} without a message"
    for skip in run.plan.skips:
        if not skip.outcome.message or skip.outcome.kind is OutcomeKind.OK:
            yield f"{skip.case.label} was skipped without a reason"


@rule("inputs rotated and outputs are finite numbers")
def digests_finite(run: Run) -> Iterator[str]:
    """Whatever digest there is consists of numbers."""
    for result, trial in _measured(run):
        if not all(math.isfinite(x) for x in trial.digest):
            yield f"{result.case.label} has a digest that is not finite"


@rule("every case's workload and device are described")
def facts_present(run: Run) -> Iterator[str]:
    """A reader needs no other file."""
    yield from sound.workloads_described(run)
    devices = {d.id for d in run.environment.devices}
    for result in run.results:
        if result.case.device not in devices:
            yield f"device {result.case.device} is not described"


@rule("times are in order")
def times_ordered(run: Run) -> Iterator[str]:
    """Created before finished, both UTC."""
    try:
        created, finished = (
            datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
            for text in (run.created_utc, run.finished_utc)
        )
    except ValueError:
        yield f"{run.created_utc!r} or {run.finished_utc!r} is not a UTC time"
        return
    if finished < created:
        yield f"finished {run.finished_utc} before it was created {run.created_utc}"
