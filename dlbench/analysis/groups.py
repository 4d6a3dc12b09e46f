"""Too many results to show one by one: alike ones together, with their spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlbench.analysis import frame
from dlbench.analysis.rows import Row
from dlbench.core import metrics
from dlbench.core.stats import LEVEL
from dlbench.core.types import (
    Absent,
    Estimated,
    Interval,
    Measured,
    Metric,
    Outcome,
    OutcomeKind,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_GROUPS = 1000

MOST_FAILURES = 100

ALIKE = (
    "workload", "variant", "mode", "scenario", "options", "framework", "device_name", "precision",
    "policy", "data_mode", "n_devices", "batch_size", "version", "content_hash",
    "threads",
)  # fmt: skip
"""What results of a group have in common; which machine and which day they may differ in."""

LOW, HIGH = 0.05, 0.95
"""The quantiles that bound a spread."""

SPREAD = "throughput_samples_per_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Results of the same work on the same device model.

    ``row`` holds the medians over them, and how many trials they have together. ``low`` and ``high``
    are the 5 % and 95 % quantiles of their throughputs: a spread between machines and days, not a
    confidence interval.
    """

    row: Row
    n_results: int
    n_measured: int
    n_machines: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How often something was not measured for the same reason."""

    outcome: str
    message: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A frame in so many groups as can be read; ``n_left_out`` groups are not among them."""

    groups: tuple[Group, ...]
    failures: tuple[Failure, ...]
    n_left_out: int
    n_results: int
    n_measured: int
    n_documents: int
    n_machines: int
    first_utc: str
    last_utc: str


def of(table: pd.DataFrame) -> Collection:
    """Group a frame of ``analysis.frame``: the largest groups first in line for the page."""
    keys = list(ALIKE)
    grouped = table.groupby(keys, sort=False, observed=True)
    sizes = grouped.size().sort_values(ascending=False, kind="stable")
    kept = sizes.index[:MOST_GROUPS]
    measured = table[table["n_trials"] > 0]
    return Collection(
        groups=_groups(table, measured, keys, kept),
        failures=_failures(table[table["outcome"] != str(OutcomeKind.OK)]),
        n_left_out=max(0, len(sizes) - MOST_GROUPS),
        n_results=len(table),
        n_measured=len(measured),
        n_documents=int(table["run_id"].nunique()),
        n_machines=int(table["machine"].nunique()),
        first_utc=str(table["created_utc"].min()),
        last_utc=str(table["created_utc"].max()),
    )


def _groups(
    table: pd.DataFrame,
    measured: pd.DataFrame,
    keys: list[str],
    kept: Any,  # noqa: ANN401 - an Index
) -> tuple[Group, ...]:
    everything = table.groupby(keys, observed=True)
    alike = measured.groupby(keys, observed=True)
    first = everything[["device", "case_id", "message", "advice", "outcome"]].first().loc[kept]
    counts = everything["machine"].agg(["size", "nunique"]).loc[kept]
    names = list(metrics.REGISTRY)
    medians = alike[names].median().reindex(kept)
    known = alike[names].count().reindex(kept).fillna(0)
    reasons = everything[[f"{n}_reason" for n in names]].first().loc[kept]
    n_measured = alike.size().reindex(kept).fillna(0)
    n_trials = alike["n_trials"].sum().reindex(kept).fillna(0)
    kinds = measured[[f"{n}_kind" for n in names]] == "estimated"
    doubts = kinds.groupby([measured[key] for key in keys], observed=True).sum()
    doubted = doubts.reindex(kept).fillna(0).to_numpy(dtype=int)
    least = alike[[f"{n}_low" for n in names]].min().reindex(kept).to_numpy(dtype=float)
    most = alike[[f"{n}_high" for n in names]].max().reindex(kept).to_numpy(dtype=float)
    low = alike[SPREAD].quantile(LOW).reindex(kept)
    high = alike[SPREAD].quantile(HIGH).reindex(kept)
    found = []
    values, counted = medians.to_numpy(dtype=float), known.to_numpy(dtype=int)
    n_speeds = counted[:, names.index(SPREAD)]
    for i, key in enumerate(kept):
        cell = dict(zip(keys, key, strict=True)) | first.iloc[i].to_dict()
        n = int(n_measured.iloc[i])
        why = [str(x) for x in reasons.iloc[i]]
        median = {
            name: _median(
                float(values[i, j]),
                int(counted[i, j]),
                why[j],
                (float(least[i, j]), float(most[i, j])) if doubted[i, j] else None,
            )
            for j, name in enumerate(names)
        }
        found.append(
            Group(
                row=_row(cell, median, int(n_trials.iloc[i])),
                n_results=int(counts.iloc[i, 0]),
                n_measured=n,
                n_machines=int(counts.iloc[i, 1]),
                low=float(low.iloc[i]) if n_speeds[i] else None,
                high=float(high.iloc[i]) if n_speeds[i] else None,
            )
        )
    return tuple(sorted(found, key=lambda g: (g.row.case.label, g.row.version, g.row.threads)))


def _median(value: float, n: int, reason: str, bounds: tuple[float, float] | None) -> Metric:
    """Of results of which any is an estimate it is one, from the lowest bound to the highest."""
    if not n:
        return Absent(reason=reason or "not known of any result in this group")
    if bounds:
        low, high = bounds
        return Estimated(
            value=value,
            interval=Interval(low=low, high=high, level=LEVEL),
            method="median over results of which some are estimates",
        )
    return Measured(value=value, n=n, source="median over results")


def _row(cell: dict[str, Any], values: dict[str, Metric], n_trials: int) -> Row:
    kind = OutcomeKind.OK if n_trials else OutcomeKind(cell["outcome"])
    return Row(
        run_id="",
        machine="",
        created_utc="",
        device_name=cell["device_name"],
        case=frame.case_of(cell),
        outcome=Outcome(
            kind=kind,
            message="" if n_trials else cell["message"],
            advice="" if n_trials else cell["advice"],
        ),
        n_trials=n_trials,
        flags=(),
        metrics=values,
        version=cell["version"],
        content_hash=cell["content_hash"],
        threads=cell["threads"],
    )


def _failures(failed: pd.DataFrame) -> tuple[Failure, ...]:
    counts = Counter(zip(failed["outcome"].tolist(), failed["message"].tolist(), strict=True))
    return tuple(
        Failure(outcome=outcome, message=message, count=count)
        for (outcome, message), count in counts.most_common(MOST_FAILURES)
    )


def rows(groups: Sequence[Group]) -> tuple[Row, ...]:
    """The medians of the groups as rows, which a report shows like any others."""
    return tuple(group.row for group in groups)
