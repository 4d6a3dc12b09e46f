"""Which is faster, by how much, and whether that can be said at all.

Inside one document two cases ran interleaved, so they are compared round by round. Across documents
lie other days and other machines: the interval then holds a spread between sessions, no p-value is
given, and no verdict for less than 10 %.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlbench.analysis import sessions
from dlbench.analysis.contests import PROPER_NAMES, contests, in_common
from dlbench.analysis.surroundings import differences
from dlbench.core import drift, stats
from dlbench.core.errors import GateError
from dlbench.core.metrics import seconds_per_sample
from dlbench.core.stats import RatioEstimate, SessionSpread, Verdict
from dlbench.core.types import Case, CaseResult, Interval, Run, WorkloadInfo
from dlbench.core.units import bracketed, counted, percent

VARIED = ("framework", "policy", "precision", "device", "data_mode")
"""What two cases of one run may differ in, one at a time, to be worth a comparison."""

NAMES = {
    **PROPER_NAMES,
    "cpu": "CPU",
    "synthetic": "resident inputs",
    "host": "inputs copied from the host",
    "pipeline": "inputs decoded from files",
}
"""How frameworks and devices write their own names; data modes in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How many times the throughput of A case B has; A and B differ in ``varied`` alone.

    It is empty of two that somebody chose to compare and that differ in more, or in something else.
    ``basis`` says how it was compared; ``verdict`` is on B. ``allowed`` are differences that forbid a
    comparison and were let pass because it was asked for.
    """

    a: Case
    b: Case
    a_name: str
    b_name: str
    varied: str
    estimate: RatioEstimate
    verdict: Verdict
    basis: str
    flags: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The task that both did: ``resnet50 training, cpu, fp32, batch 4``."""
        return in_common(self.a, self.b)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Two results that look alike and must not be compared, and why."""

    a: Case
    b: Case
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """The comparison of two documents."""

    a_run: Run
    b_run: Run
    differences: tuple[tuple[str, str, str], ...]
    comparisons: tuple[Comparison, ...]
    refusals: tuple[Refusal, ...]


def sentence(comparison: Comparison) -> str:
    """A comparison in words, with its interval, as it may be quoted."""
    although = f"; allowed although {'; '.join(comparison.allowed)}" if comparison.allowed else ""
    return _sentence(comparison) + although


MOST_TOLD_ALONE = 8
"""Of more comparisons that have no interval, one sentence says all that each of them would."""


def worth_telling(found: Sequence[Comparison]) -> tuple[Sequence[Comparison], int]:
    """Comparisons to be told one by one, and how many more have too few trials for an interval."""
    told = [c for c in found if c.estimate.interval]
    n_more = len(found) - len(told)
    return (told, n_more) if n_more > MOST_TOLD_ALONE else (found, 0)


def too_few_trials(n: int) -> str:
    """What is said of so many comparisons together."""
    return f"{n} comparisons have too few trials for an interval: none says what is faster"


def _sentence(comparison: Comparison) -> str:
    ratio, bounds = comparison.estimate.ratio, comparison.estimate.interval
    first, second = comparison.b_name, comparison.a_name
    if ratio < 1:
        ratio, first, second = 1 / ratio, second, first
        bounds = replace(bounds, low=1 / bounds.high, high=1 / bounds.low) if bounds else None
    interval = bracketed(bounds, 2)
    what, trials = comparison.what, f"{counted(comparison.estimate.n, 'trial')} each"
    if comparison.verdict == "equivalent":
        return (
            f"{what}: {first} and {second} are equally fast (ratio {ratio:.2f}{interval}, {trials})"
        )
    if comparison.verdict == "cannot tell":
        why = "" if bounds else ", too few trials for an interval"
        return (
            f"{what}: cannot tell whether {first} or {second} is faster "
            f"(ratio {ratio:.2f}{interval}, {trials}{why})"
        )
    return f"{what}: {first} has {ratio:.2f}x{interval} the throughput of {second} ({trials})"


# --- inside one document --------------------------------------------------------------------


def within(run: Run) -> tuple[Comparison, ...]:
    """All pairs of cases of a run that differ in exactly one of ``VARIED``, paired by round."""
    if run.plan.pairings:
        return _of_pairs(run)
    flags = drift.flags(run)
    results = sorted((r for r in run.results if r.measured), key=lambda r: r.case.label)
    return tuple(
        _paired(results[i], results[k], varied, run, flags)
        for i, k, varied in _differing_in_one([r.case for r in results])
    )


def _differing_in_one(cases: Sequence[Case]) -> list[tuple[int, int, str]]:
    """Places of two cases that differ in one of ``VARIED`` alone, in order, and in which.

    Those that are equal without it are found by a look at each case, not at each pair.
    """
    found = []
    for name in VARIED:
        without: dict[str, Any] = {name: None}
        alike: dict[Case, list[int]] = {}
        for place, case in enumerate(cases):
            alike.setdefault(replace(case, **without), []).append(place)
        for places in alike.values():
            found += [
                (i, k, name)
                for i, k in itertools.combinations(places, 2)
                if cases[i] != cases[k]  # a damaged document may have one twice
            ]
    return sorted(found)


def _of_pairs(run: Run) -> tuple[Comparison, ...]:
    """The contests of a document of ``dlbench ab`` that have a verdict."""
    return tuple(
        Comparison(
            a=c.a,
            b=c.b,
            a_name=c.names[0],
            b_name=c.names[1],
            varied=_only_difference(c.a, c.b) or "",
            estimate=RatioEstimate(
                ratio=c.judgement.ratio,
                interval=c.judgement.interval
                if isinstance(c.judgement.interval, Interval)
                else None,
                n=c.judgement.n,
            ),
            verdict=c.judgement.verdict,
            basis=PAIRED_BASIS,
            flags=c.flags,
        )
        for c in contests(run)
        if not c.refusal and c.judgement.n
    )


PAIRED_BASIS = "pairs in random order, exact signed-rank test at looks of 8, 16, 32 and 64"


def _only_difference(a: Case, b: Case) -> str | None:
    differing = [name for name in VARIED if getattr(a, name) != getattr(b, name)]
    if len(differing) != 1:
        return None
    name = differing[0]
    same = replace(a, **{name: getattr(b, name)})
    return name if same == b else None


def _paired(
    a: CaseResult, b: CaseResult, varied: str, run: Run, flags: Sequence[str]
) -> Comparison:
    a_s, b_s = seconds_per_sample(a), seconds_per_sample(b)
    rounds = sorted(set(a_s) & set(b_s))
    # Both cases stop at looks, so what stands at the end pays for the looks here too.
    level = stats.paid_level(len(run.plan.profile.looks))
    if rounds:
        estimate = stats.paired_ratio([a_s[r] for r in rounds], [b_s[r] for r in rounds], level)
        basis = "one session, interleaved, paired by round"
    else:
        estimate = stats.between_session_ratio(list(a_s.values()), list(b_s.values()), level)
        basis = (
            "one session, no round in common: spread as between sessions, "
            f"{percent(stats.BETWEEN_SESSION_SD_LN)} from a published prior"
        )
    return Comparison(
        a=a.case,
        b=b.case,
        a_name=_name(getattr(a.case, varied)),
        b_name=_name(getattr(b.case, varied)),
        varied=varied,
        estimate=estimate,
        verdict=stats.verdict(estimate),
        basis=basis,
        flags=tuple(sorted({*a.flags, *b.flags, *flags})),
    )


def _name(word: object) -> str:
    return NAMES.get(str(word), str(word))


# --- across documents -----------------------------------------------------------------------

REFUSED_FOR = ("variant", "precision", "policy", "data_mode", "n_devices", "options")
"""Fields of a case whose difference makes two results answers to different questions."""

ALLOWABLE = {
    "variant": "variant",
    "precision": "precision",
    "policy": "policy",
    "data": "data_mode",
    "devices": "n_devices",
    "options": "options",
    "version": "version",
    "length": "length",
}
"""Words of ``--allow`` and what each lets pass."""


def across(
    a: Run, b: Run, allow: frozenset[str] = frozenset(), known: Sequence[Run] = ()
) -> Across:
    """Compare what two documents have in common.

    Cases are matched when they are equal, device included; of a task that no device of one document's
    shares with the other's, the devices that it has are compared, and named.

    Args:
        a: the document that is compared against.
        b: the document that the verdicts are on.
        allow: what may differ although it makes results incomparable (values of ``ALLOWABLE``).
        known: documents from which the spread between sessions is learnt.

    Raises:
        GateError: there is nothing that may be compared; the first reason is named.
    """
    found = _pair(a, b, allow, known)
    if not found.comparisons:
        raise _nothing_shared(found)
    return found


def _nothing_shared(pair: Across) -> GateError:
    why = f": {pair.refusals[0].reason}" if pair.refusals else ""
    return GateError(
        f"{pair.a_run.run_id} and {pair.b_run.run_id} share no case that can be compared{why}",
        "Measure the same workload, mode, precision, policy and batch on both, or --allow the "
        "difference.",
    )


def _pair(a: Run, b: Run, allow: frozenset[str], known: Sequence[Run]) -> Across:
    """As ``across``, which has the words; it may hold no comparison."""
    spreads = sessions.spread(a, known), sessions.spread(b, known)
    flags = {*drift.flags(a), *drift.flags(b)}
    comparisons: list[Comparison] = []
    refusals: list[Refusal] = []
    found = [(*both, _incomparable(a, b, *both)) for both in _matches(a, b)]
    ours = {left.case.case_id for left, _, reasons in found if not reasons}
    theirs = {right.case.case_id for _, right, reasons in found if not reasons}
    for left, right, reasons in found:
        if reasons and left.case.case_id in ours and right.case.case_id in theirs:
            continue  # base and tuned of both: each has met its like
        barred = [words for name, words in reasons.items() if name not in allow]
        # What was allowed stands in only where the same case is not there.
        if barred or (reasons and left.case.case_id in ours):
            words = barred[0] if barred else next(iter(reasons.values()))
            refusals.append(Refusal(a=left.case, b=right.case, reason=words))
        else:
            comparison = _unpaired(a, b, left, right, spreads, flags)
            comparisons.append(replace(comparison, allowed=tuple(reasons.values())))
    return Across(
        a_run=a,
        b_run=b,
        differences=differences(a, b),
        comparisons=tuple(comparisons),
        refusals=tuple(refusals),
    )


def _matches(a: Run, b: Run) -> Iterator[tuple[CaseResult, CaseResult]]:
    """Results of the same work: equal cases, or equal but for one thing that forbids comparing.

    A device meets the equal one; only those that have none on either side meet each other.
    """
    ours, theirs = _by_task(a), _by_task(b)
    devices = [
        {task: {r.case.device for r in results} for task, results in found.items()}
        for found in (ours, theirs)
    ]
    for left in a.results:
        task = _task(left.case)
        for right in theirs.get(task, []) if left.measured else []:
            one, other = left.case.device, right.case.device
            if one == other or (one not in devices[1][task] and other not in devices[0][task]):
                yield left, right


def _by_task(run: Run) -> dict[tuple[object, ...], list[CaseResult]]:
    """What was measured of each task."""
    found: dict[tuple[object, ...], list[CaseResult]] = {}
    for result in run.results:
        if result.measured:
            found.setdefault(_task(result.case), []).append(result)
    return found


def _task(case: Case) -> tuple[object, ...]:
    """What is asked of the machine; settings that forbid a comparison are checked apart."""
    return (case.workload, case.framework, case.mode, case.scenario, case.batch_size)


def _incomparable(a: Run, b: Run, left: CaseResult, right: CaseResult) -> dict[str, str]:
    """Why two results must not be compared, by the name that would allow it; empty if they may."""
    first, second = left.case, right.case
    found = {}
    for name in REFUSED_FOR:
        x, y = (_plainly(getattr(case, name)) for case in (first, second))
        if x != y:
            found[name] = f"{name.replace('_', ' ')} differs: {x} and {y}"
    if "variant" in found:
        return found
    if not (sessions.content_of(a, first) and sessions.content_of(b, second)):
        found["version"] = f"workload {first.workload} is not described in both documents"
        return found
    one, other = a.workload(first), b.workload(second)
    if one.tokens_per_sample != other.tokens_per_sample:
        found["length"] = (
            f"length differs: {one.tokens_per_sample} and {other.tokens_per_sample} tokens a sample"
        )
    if one.content_hash != other.content_hash and one.own and other.own:
        found["version"] = (
            f"{first.workload} was made from another file or other options: {one.own}; {other.own}"
        )
    elif one.content_hash != other.content_hash:
        found["version"] = f"workload {first.workload} is not the same: {_told_apart(one, other)}"
    return found


def _told_apart(one: WorkloadInfo, other: WorkloadInfo) -> str:
    """By the version that each says it is, or by what its files hold where that says nothing."""
    if one.version != other.version:
        return f"versions {one.version} and {other.version}"
    digits = (w.content_hash[: sessions.SHOWN_DIGITS] for w in (one, other))
    return f"its files differ (content {', '.join(digits)}) although both say version {one.version}"


def _plainly(value: object) -> str:
    """A field as people read it: options as ``name=value``, whose order says nothing."""
    if isinstance(value, tuple):
        return ", ".join(f"{name}={x}" for name, x in sorted(value)) or "none"
    return str(value)


def _unpaired(
    a: Run,
    b: Run,
    left: CaseResult,
    right: CaseResult,
    spreads: tuple[SessionSpread, SessionSpread],
    flags: set[str],
) -> Comparison:
    estimate = stats.between_session_ratio(
        list(seconds_per_sample(left).values()),
        list(seconds_per_sample(right).values()),
        spreads=spreads,
    )
    return Comparison(
        a=left.case,
        b=right.case,
        a_name=_machine(a, b) + _where(left.case, right.case),
        b_name=_machine(b, a) + _where(right.case, left.case),
        varied="device",
        estimate=estimate,
        verdict=stats.verdict(estimate, stats.BETWEEN_SESSION_ZONE),
        basis=f"other sessions, no verdict under 10 %; {_basis(*spreads)}",
        flags=tuple(sorted({*left.flags, *right.flags, *flags})),
    )


def _basis(a: SessionSpread, b: SessionSpread) -> str:
    """Where the spread between sessions comes from."""
    if a.df is None and b.df is None:
        return f"single session each; spread between sessions {percent(a.sd_ln)} from a published prior"
    words = [
        f"{percent(s.sd_ln)} from {s.n_sessions} sessions"
        if s.df is not None
        else f"{percent(s.sd_ln)} from a published prior (single session)"
        for s in dict.fromkeys((a, b))
    ]
    return f"spread between sessions {' and '.join(words)}"


def _machine(run: Run, other: Run) -> str:
    """A run's machine; its time too when both are of one machine."""
    same = run.environment.machine == other.environment.machine
    return f"{run.environment.machine} {run.created_utc}" if same else run.environment.machine


def _where(case: Case, other: Case) -> str:
    """A case's device, where the other one ran on another."""
    return "" if case.device == other.device else f" ({_name(case.device)})"


def all_pairs(
    runs: Sequence[Run], allow: frozenset[str] = frozenset(), known: Sequence[Run] = ()
) -> tuple[Across, ...]:
    """Every later run against the first; of a pair of which nothing can be compared, why not.

    Raises:
        GateError: nothing of any pair can be compared.
    """
    first, *others = runs
    found = tuple(_pair(first, other, allow, [*runs, *known]) for other in others)
    if found and not any(pair.comparisons for pair in found):
        raise _nothing_shared(found[-1])
    return found
