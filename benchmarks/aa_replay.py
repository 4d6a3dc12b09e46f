"""Does the rule of ``dlbench ab`` keep its promises? Replays it on recorded runs of identical code.

    python benchmarks/aa_replay.py TRACE.jsonl [--replays 4000] [--seed 0] [--json] [--write PAGE.md]

A trace has one process a line: ``pair``, ``label`` (A or B), ``t_s``, ``load1`` and, for each workload,
``<name>_ms: {"warm": [...], "values": [...]}``. A and B are the same code.

One replay walks through the trace from a random pair on, forwards or backwards and around its end, so
that whatever the machine did stays in its order: bursts, drifts, quiet and noisy hours. Which process
of a pair is called A is drawn anew for each pair, as ``dlbench ab`` itself draws which one runs first.
A true ratio is made by multiplying B's times. All pairs of a replay are then judged by the rule of
``dlbench.paired`` at its looks, until it decides.

Ends with exit code 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from dlbench import paired
from dlbench.core import stats

Floats = NDArray[np.float64]
Words = NDArray[np.str_]

RATIOS = (1.00, 1.03, 1.10)
"""True speed ratios for coverage."""

SMALL = 1.03
"""The slowdown that must be found wherever the gate says that it can be."""

MOST_FALSE_ALARMS = 0.065
"""Upper 95 % bound that the rate of false alarms must keep; nominal is 5 %."""

COVERAGE = (0.94, 0.98)
LEAST_POWER = 0.95

LEAST_JUDGED = 200
"""A share of fewer replays than this is shown and not judged."""

POOLED_PAIRS = 16
PYPERF_PROCESSES, PYPERF_VALUES = 20, 3
"""pyperf's defaults: 20 worker processes with 3 values each; all of A, then all of B."""
GBENCH_REPETITIONS = 9
"""google/benchmark, tools/gbench/report.py: repetitions that it calls enough, in one process."""

BEGIN, END = "<!-- aa_replay: begin -->", "<!-- aa_replay: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One workload of a trace: values in milliseconds of each pair's A and B, in time order."""

    name: str
    a_ms: tuple[tuple[float, ...], ...]
    b_ms: tuple[tuple[float, ...], ...]
    in_time_ms: tuple[tuple[float, ...], ...]

    @property
    def differences(self) -> Floats:
        """Ln of the ratio of medians, one a pair."""
        pairs = zip(self.a_ms, self.b_ms, strict=True)
        return np.array([math.log(statistics.median(a) / statistics.median(b)) for a, b in pairs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many."""

    k: int
    n: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.k / self.n if self.n else math.nan

    @property
    def upper(self) -> float:
        """Its upper 95 % bound (Clopper-Pearson, one-sided)."""
        if self.k == self.n:
            return 1.0
        return float(scipy_stats.beta.ppf(0.95, self.k + 1, self.n - self.k))

    def __str__(self) -> str:
        return f"{self.value:.1%}" if self.n else "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the rule did on one workload of a trace."""

    workload: str
    n_pairs: int
    false_alarms: Share
    one_look: Share
    unpaid_looks: Share
    equivalent: Share
    coverage: dict[float, Share]
    fixed_coverage: Share
    resolvable: Share
    found_if_resolvable: Share
    found: Share
    usual_pairs: dict[float, float]
    others: dict[str, Share]

    def broken(self) -> Iterator[str]:
        """Promises that did not hold."""
        if self.false_alarms.upper > MOST_FALSE_ALARMS:
            yield f"false alarms {self.false_alarms}, upper bound {self.false_alarms.upper:.1%}"
        for ratio, share in self.coverage.items():
            if not COVERAGE[0] <= share.value <= COVERAGE[1]:
                yield f"coverage {share} at a true ratio of {ratio:.2f}"
        found = self.found_if_resolvable
        if found.n >= LEAST_JUDGED and found.value < LEAST_POWER:
            yield f"+3 % found in {found} of the replays whose gate says it is resolvable"


# --- reading --------------------------------------------------------------------------------


def read(path: Path) -> list[Recorded]:
    """Every workload of a trace; pairs of which a half is missing are left out."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    keys = sorted({key for row in rows for key in row if key.endswith("_ms")})
    found = [_recorded(key, rows) for key in keys]
    if not any(r.a_ms for r in found):
        sys.exit(f"{path} holds no pair of processes with <workload>_ms values")
    return [r for r in found if r.a_ms]


def _recorded(key: str, rows: Sequence[Mapping[str, Any]]) -> Recorded:
    usable = [row for row in rows if row.get(key, {}).get("values")]
    by_pair: dict[Any, dict[str, tuple[float, ...]]] = {}
    for row in usable:
        by_pair.setdefault(row["pair"], {})[row["label"]] = tuple(row[key]["values"])
    whole = [by_pair[p] for p in sorted(by_pair) if {"A", "B"} <= by_pair[p].keys()]
    in_time = sorted(usable, key=lambda row: float(row["t_s"]))
    return Recorded(
        name=key.removesuffix("_ms"),
        a_ms=tuple(pair["A"] for pair in whole),
        b_ms=tuple(pair["B"] for pair in whole),
        in_time_ms=tuple(tuple(row[key]["values"]) for row in in_time),
    )


# --- the rule, many replays at once ---------------------------------------------------------


def draw(n_pairs: int, n_replays: int, rng: np.random.Generator) -> tuple[Any, Floats]:
    """Which pairs each replay meets, in order, and the signs that the lot gives them."""
    start = rng.integers(0, n_pairs, (n_replays, 1))
    step = rng.choice([-1, 1], (n_replays, 1))
    order = (start + step * np.arange(paired.LOOKS[-1])) % n_pairs
    return order, rng.choice([-1.0, 1.0], order.shape)


def walsh_bounds(d: Floats, level: float) -> tuple[Floats, Floats, float]:
    """``stats.walsh_interval`` of every row, and its exact level."""
    n = d.shape[1]
    i, j = np.triu_indices(n)
    averages = np.sort((d[:, i] + d[:, j]) / 2, axis=1)
    cumulative = np.cumsum([count / 2**n for count in stats.signed_rank_counts(n)])
    k = int(np.sum(cumulative <= (1 - level) / 2))
    return averages[:, k - 1], averages[:, -k], 1 - 2 * float(cumulative[k - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Intervals of all replays at one look, before any true ratio is put in."""

    n: int
    strict: tuple[Floats, Floats]
    reported: tuple[Floats, Floats]
    resolves: Floats


def bounds_at_looks(d: Floats) -> list[Bounds]:
    """The intervals that the rule looks at; a true ratio moves them as a whole."""
    found = []
    for n in paired.LOOKS:
        low, high, level = walsh_bounds(d[:, :n], stats.paid_level(len(paired.LOOKS)))
        reported = walsh_bounds(d[:, :n], paired.reported_level(n, len(paired.LOOKS)))[:2]
        z = statistics.NormalDist().inv_cdf((1 + level) / 2)
        resolves = np.expm1((high - low) / 2 * paired.resolution_factor(n, z))
        found.append(Bounds(n=n, strict=(low, high), reported=reported, resolves=resolves))
    return found


def decide(bounds: Sequence[Bounds], ratio: float) -> tuple[Words, Floats, NDArray[np.bool_]]:
    """Verdict, pairs used, and whether the reported interval holds the truth, of every replay."""
    shift, zone = math.log(ratio), math.log1p(stats.EQUIVALENCE_ZONE)
    size = len(bounds[0].resolves)
    verdicts = np.full(size, "cannot tell")
    pairs, covered, going = np.zeros(size), np.zeros(size, bool), np.ones(size, bool)
    for look in bounds:
        low, high = (edge + shift for edge in look.strict)
        now = np.full(size, "cannot tell")
        now[low > 0], now[high < 0] = "faster", "slower"
        now[(low > -zone) & (high < zone)] = "equivalent"
        ends = going & ((now != "cannot tell") | (look is bounds[-1]))
        verdicts[ends], pairs[ends] = now[ends], look.n
        left, right = look.reported
        covered[ends] = ((left <= 0) & (right >= 0))[ends]
        going &= ~ends
    return verdicts, pairs, covered


def replay(recorded: Recorded, n_replays: int, rng: np.random.Generator) -> Replayed:
    """All figures of one workload."""
    order, signs = draw(len(recorded.a_ms), n_replays, rng)
    d = recorded.differences[order] * signs
    bounds = bounds_at_looks(d)
    same, _, _ = decide(bounds, 1.0)
    small, _, _ = decide(bounds, SMALL)
    resolvable = bounds[-1].resolves <= SMALL - 1
    at_ratios = {ratio: decide(bounds, ratio) for ratio in RATIOS}
    unpaid = [walsh_bounds(d[:, :n], stats.LEVEL)[:2] for n in paired.LOOKS]
    alarms = np.array([(low > 0) | (high < 0) for low, high in unpaid])
    return Replayed(
        workload=recorded.name,
        n_pairs=len(recorded.a_ms),
        false_alarms=_share(np.isin(same, ("faster", "slower"))),
        one_look=_share(alarms[-1]),
        unpaid_looks=_share(alarms.any(axis=0)),
        equivalent=_share(same == "equivalent"),
        coverage={ratio: _share(covered) for ratio, (_, _, covered) in at_ratios.items()},
        fixed_coverage=_share(~alarms[-1]),
        resolvable=_share(resolvable),
        found_if_resolvable=_share((small == "faster")[resolvable]),
        found=_share(small == "faster"),
        usual_pairs={ratio: float(np.median(used)) for ratio, (_, used, _) in at_ratios.items()},
        others=other_rules(recorded, order[:, :POOLED_PAIRS], signs[:, :POOLED_PAIRS] < 0),
    )


def _share(hits: Any) -> Share:
    return Share(k=int(hits.sum()), n=int(hits.size))


# --- what others do -------------------------------------------------------------------------

MOST_POOLED = 1000
"""Replays of the pooled tests: each ranks 1600 values."""


def other_rules(recorded: Recorded, order: Any, swapped: NDArray[np.bool_]) -> dict[str, Share]:
    """False alarms of the usual rules on the same processes."""
    n = min(len(values) for values in (*recorded.a_ms, *recorded.b_ms))
    a, b = (np.array([v[:n] for v in side]) for side in (recorded.a_ms, recorded.b_ms))
    order, swapped = order[:MOST_POOLED], swapped[:MOST_POOLED, :, None]
    left = np.where(swapped, b[order], a[order]).reshape(len(order), -1)
    right = np.where(swapped, a[order], b[order]).reshape(len(order), -1)
    t_p = scipy_stats.ttest_ind(left, right, axis=1).pvalue
    u_p = scipy_stats.mannwhitneyu(left, right, axis=1).pvalue
    found = {
        f"t-test, values of {POOLED_PAIRS} interleaved pairs pooled": _share(t_p < paired.ALPHA),
        f"Mann-Whitney, values of {POOLED_PAIRS} interleaved pairs pooled": _share(
            u_p < paired.ALPHA
        ),
    }
    pyperf = list(_pyperf(recorded.in_time_ms))
    gbench = list(_google_benchmark(recorded.in_time_ms))
    if pyperf:
        name = f"pyperf: {PYPERF_PROCESSES} processes of A, then of B, {PYPERF_VALUES} values each"
        found[f"{name}, pooled t-test"] = _share(np.array(pyperf))
    if gbench:
        name = f"google/benchmark: {GBENCH_REPETITIONS} repetitions in one process each"
        found[f"{name}, Mann-Whitney"] = _share(np.array(gbench))
    return found


def _pyperf(processes: Sequence[Sequence[float]]) -> Iterator[bool]:
    """Every stretch of so many processes in a row, the first half called A (pyperf/_utils.py)."""
    size = PYPERF_PROCESSES
    for start in range(len(processes) - 2 * size + 1):
        values = [process[:PYPERF_VALUES] for process in processes[start : start + 2 * size]]
        a, b = (np.concatenate(half) for half in (values[:size], values[size:]))
        yield bool(scipy_stats.ttest_ind(a, b).pvalue <= paired.ALPHA)


def _google_benchmark(processes: Sequence[Sequence[float]]) -> Iterator[bool]:
    """Every two processes in a row (tools/gbench/report.py, calc_utest)."""
    for a, b in itertools.pairwise(processes):
        p = scipy_stats.mannwhitneyu(a[:GBENCH_REPETITIONS], b[:GBENCH_REPETITIONS]).pvalue
        yield bool(p < paired.ALPHA)


# --- showing --------------------------------------------------------------------------------


def markdown(found: Sequence[Replayed], n_replays: int, seed: int, trace: str) -> str:
    """All figures as one Markdown table, a column for each workload."""
    others = list(dict.fromkeys(name for r in found for name in r.others))
    pairs = ", ".join(f"{r.workload} {r.n_pairs}" for r in found)
    rows = [
        ("**false alarms of `dlbench ab`** (upper 95 % bound)", _alarms),
        *(
            (f"coverage at a true ratio of {x:.2f}", lambda r, x=x: str(r.coverage[x]))
            for x in RATIOS
        ),
        ("gate: 64 pairs resolve 3 %", lambda r: str(r.resolvable)),
        ("+3 % found where the gate says so", lambda r: str(r.found_if_resolvable)),
        ("+3 % found, over all", lambda r: str(r.found)),
        ("identical code called equivalent", lambda r: str(r.equivalent)),
        *(
            (f"pairs used (median) at {x:.2f}", lambda r, x=x: f"{r.usual_pairs[x]:.0f}")
            for x in RATIOS
        ),
        ("false alarms with one look, at 64 pairs and 5 %", lambda r: str(r.one_look)),
        ("false alarms with four looks at 5 % each, unpaid", lambda r: str(r.unpaid_looks)),
        *((f"false alarms of {x}", lambda r, x=x: str(r.others.get(x, "-"))) for x in others),
    ]
    lines = [
        f"{n_replays:,} replays of `{trace}` (pairs: {pairs}), seed {seed}:",
        "",
        "| | " + " | ".join(r.workload for r in found) + " |",
        "| --- |" + " ---: |" * len(found),
        *(f"| {name} | " + " | ".join(cell(r) for r in found) + " |" for name, cell in rows),
    ]
    return "\n".join(lines)


def _alarms(r: Replayed) -> str:
    return f"**{r.false_alarms}** ({r.false_alarms.upper:.1%})"


def plain(found: Sequence[Replayed]) -> list[dict[str, Any]]:
    """All figures as plain data."""
    return [{**asdict(r), "broken": list(r.broken())} for r in found]


def written_into(page: str, table: str) -> str:
    """The page with what stands between its two marks replaced."""
    between = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not between.search(page):
        sys.exit(f"the page has no marks {BEGIN} and {END}")
    return between.sub(lambda _: f"{BEGIN}\n{table}\n{END}", page)


def replay_trace(path: Path, n_replays: int, seed: int) -> list[Replayed]:
    """Every workload of a trace, each with the same seed."""
    return [replay(r, n_replays, np.random.default_rng(seed)) for r in read(path)]


def main() -> None:
    """Replay, show, and say which promises broke."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--replays", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, metavar="PAGE.md")
    options = parser.parse_args()
    found = replay_trace(options.trace, options.replays, options.seed)
    table = markdown(found, options.replays, options.seed, options.trace.name)
    if options.json:
        print(json.dumps(plain(found), indent=1))
    else:
        print(table)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(written_into(page, table), encoding="utf-8")
    broken = [f"{r.workload}: {sentence}" for r in found for sentence in r.broken()]
    for sentence in broken:
        print(f"broken: {sentence}", file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
