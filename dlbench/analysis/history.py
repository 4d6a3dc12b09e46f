"""One case over many documents of one machine: its course, and where it took a step.

A step is where the median of what came after differs from the median of what came before by more than
the scatter explains. The scatter is read from neighbours (the median absolute difference of successive
sessions), so that a step does not hide itself by widening it; with fewer than ``LEAST_FOR_SCATTER``
documents the published spread between sessions stands in. ``THRESHOLD`` is such that a course without a
step shows one in at most 5 % of the cases (tests/unit/analysis/test_history.py).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlbench.analysis.sessions import SHOWN_DIGITS, content_of, hardware
from dlbench.analysis.surroundings import differences
from dlbench.core import metrics, stats
from dlbench.core.types import Case, Measured, Run

LEAST_EACH_SIDE = 3
"""A single session that stands out must not move a median: it is no step."""

LEAST_FOR_SCATTER = 8
"""Fewer successive differences than seven say little of the scatter."""

THRESHOLD = 3.5
"""Standard errors of a difference of medians, for the largest over all places of a step."""

LEAST_SCATTER_LN = 0.005
"""Sessions that agree to the last digit are luck; half a percent is the least that is believed."""

DIFFERENCE_MAD_TO_SD = 1.4826 / math.sqrt(2)
"""Normal noise: median absolute successive difference times this is the standard deviation."""

MEDIAN_OVER_MEAN = math.sqrt(math.pi / 2)
"""A median's standard error over a mean's, for normal noise and large n."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One document's figure for the case."""

    run_id: str
    created_utc: str
    dlbench_version: str
    throughput: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From ``point`` (its index) on the throughput is ``ratio`` times what it was."""

    point: int
    ratio: float
    changed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A case on a machine over time, and its steps, the first one first.

    ``machine`` is its name, and what tells it from others of that name where the case ran on those too.
    """

    case: Case
    machine: str
    points: tuple[Point, ...]
    steps: tuple[Step, ...]
    scatter: float
    scatter_source: str


def courses(runs: Sequence[Run], wanted: str = "") -> tuple[Course, ...]:
    """Every case that stands in two documents of one machine or more.

    Args:
        runs: documents, in any order.
        wanted: only cases whose label holds all of these words.
    """
    found = [
        _course(machine, rows)
        for (machine, _), of_case in _by_content(runs, wanted).items()
        for rows in of_case.values()
        if len(rows) > 1
    ]
    return tuple(sorted(found, key=lambda c: (c.machine, c.case.label)))


def divided(runs: Sequence[Run], wanted: str = "") -> tuple[str, ...]:
    """Cases that look the same and are not, a sentence each: their workloads' files differ."""
    found = []
    for (machine, _), of_case in _by_content(runs, wanted).items():
        rows = [row for same in of_case.values() for row in same]
        if len(of_case) > 1:
            contents = ", ".join(content[:SHOWN_DIGITS] or "not stated" for content in of_case)
            found.append(
                f"{rows[0][1].label} is in {len(rows)} documents of {machine}, but its workload's "
                f"files differ (content {contents})"
            )
    return tuple(sorted(found))


Row = tuple[Run, Case, Measured]


def _by_content(runs: Sequence[Run], wanted: str) -> dict[tuple[str, str], dict[str, list[Row]]]:
    """By machine and case_id, then by the content of the workload, in order of time."""
    ordered = sorted({r.run_id: r for r in runs}.values(), key=lambda r: (r.created_utc, r.run_id))
    rows: list[Row] = []
    alike: dict[tuple[str, str], set[str]] = {}
    for run in ordered:
        for result in run.results:
            value = metrics.compute("throughput_samples_per_s", result, run)
            if isinstance(value, Measured) and _matches(result.case, wanted):
                rows.append((run, result.case, value))
                of_name = alike.setdefault((run.environment.machine, result.case.case_id), set())
                of_name.add(hardware(run.environment, result.case.device))
    found: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for run, case, value in rows:
        machine = run.environment.machine
        if len(alike[machine, case.case_id]) > 1:
            machine = f"{machine} ({hardware(run.environment, case.device)})"
        of_case = found.setdefault((machine, case.case_id), {})
        of_case.setdefault(content_of(run, case), []).append((run, case, value))
    return found


def _matches(case: Case, wanted: str) -> bool:
    return all(word in case.label.split() or word == case.case_id for word in wanted.split())


def _course(machine: str, rows: Sequence[Row]) -> Course:
    ys = [math.log(value.value) for _, _, value in rows]
    scatter, source = scatter_of(ys)
    steps = tuple(
        Step(
            point=i,
            ratio=math.exp(jump),
            changed=differences(rows[i - 1][0], rows[i][0]),
        )
        for i, jump in steps_of(ys, scatter)
    )
    return Course(
        case=rows[0][1],
        machine=machine,
        points=tuple(
            Point(
                run_id=run.run_id,
                created_utc=run.created_utc,
                dlbench_version=run.dlbench_version,
                throughput=value,
            )
            for run, _, value in rows
        ),
        steps=steps,
        scatter=scatter,
        scatter_source=source,
    )


def scatter_of(ys: Sequence[float]) -> tuple[float, str]:
    """Standard deviation of ln(throughput) between sessions, and where it is from."""
    if len(ys) < LEAST_FOR_SCATTER:
        return stats.BETWEEN_SESSION_SD_LN, "a published prior"
    successive = [abs(b - a) for a, b in itertools.pairwise(ys)]
    sd = DIFFERENCE_MAD_TO_SD * statistics.median(successive)
    return max(sd, LEAST_SCATTER_LN), f"{len(ys)} sessions"


def steps_of(ys: Sequence[float], scatter: float, start: int = 0) -> list[tuple[int, float]]:
    """Index of the first point after each step, and the step; both sides are searched again.

    Whether there is a step is asked of medians, which one odd session does not move; where it is, of
    the sum of distances from them, which it does not move much.
    """
    places = range(LEAST_EACH_SIDE, len(ys) - LEAST_EACH_SIDE + 1)
    clear = [k for k in places if _standard_errors(ys, k, scatter) >= THRESHOLD]
    if not clear:
        return []
    k = min(clear, key=lambda k: _distance(ys[:k]) + _distance(ys[k:]))
    left = steps_of(ys[:k], scatter, start)
    right = steps_of(ys[k:], scatter, start + k)
    return [*left, (start + k, statistics.median(ys[k:]) - statistics.median(ys[:k])), *right]


def _standard_errors(ys: Sequence[float], k: int, scatter: float) -> float:
    """By how many standard errors the medians before and after ``k`` differ."""
    jump = statistics.median(ys[k:]) - statistics.median(ys[:k])
    return abs(jump) / (MEDIAN_OVER_MEAN * scatter * math.sqrt(1 / k + 1 / (len(ys) - k)))


def _distance(ys: Sequence[float]) -> float:
    """Sum of absolute deviations from the median."""
    middle = statistics.median(ys)
    return sum(abs(y - middle) for y in ys)


def plain(course: Course) -> dict[str, Any]:
    """A course as ``--json`` prints it."""
    return {
        "case": course.case.label,
        "case_id": course.case.case_id,
        "machine": course.machine,
        "scatter": course.scatter,
        "scatter_source": course.scatter_source,
        "points": [
            {
                "run_id": point.run_id,
                "created_utc": point.created_utc,
                "dlbench_version": point.dlbench_version,
                "samples_per_s": point.throughput.value,
                "low": point.throughput.interval.low if point.throughput.interval else None,
                "high": point.throughput.interval.high if point.throughput.interval else None,
            }
            for point in course.points
        ],
        "steps": [
            {
                "run_id": course.points[step.point].run_id,
                "created_utc": course.points[step.point].created_utc,
                "ratio": step.ratio,
                "changed": [list(change) for change in step.changed],
            }
            for step in course.steps
        ],
    }
