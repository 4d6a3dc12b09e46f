"""What a document of ``dlbench ab`` says: one contest for each case that ran in pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dlbench import paired
from dlbench.core.types import Absent, Case, Interval, Pairing, Policy, Run, Trial, Value
from dlbench.core.units import bracketed, counted, significant
from dlbench.core.units import ratio as as_ratio
from dlbench.paired import Judgement
from dlbench.paired.standing import standings

PROPER_NAMES = {
    "pytorch": "PyTorch",
    "tensorflow": "TensorFlow",
    "jax": "JAX",
    "keras": "Keras",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One case in pairs. ``refusal`` says why there is no verdict, and is empty where there is one."""

    a: Case
    b: Case
    pairing: Pairing
    n_begun: int
    n_lost: int
    judgement: Judgement
    refusal: str
    flags: tuple[str, ...]

    @property
    def names(self) -> tuple[str, str]:
        """What A and B are called."""
        a, b = self.pairing.a_name, self.pairing.b_name
        return PROPER_NAMES.get(a, a), PROPER_NAMES.get(b, b)

    @property
    def verdict(self) -> str:
        """The verdict on B, or ``no verdict``."""
        return "no verdict" if self.refusal else self.judgement.verdict


def contests(run: Run) -> tuple[Contest, ...]:
    """Every pairing of a document, judged anew from its trials."""
    results = {r.case.case_id: r for r in run.results}
    trials = sorted((t for r in run.results for t in r.trials), key=lambda t: t.position)
    found = []
    for standing in standings(run.plan, trials, ended=True):
        a, b = results[standing.pairing.a], results[standing.pairing.b]
        own = [t for t in trials if t.case_id in (standing.pairing.a, standing.pairing.b)]
        found.append(
            Contest(
                a=a.case,
                b=b.case,
                pairing=standing.pairing,
                n_begun=standing.n_begun,
                n_lost=standing.n_lost,
                judgement=standing.judgement,
                refusal=_refusal(standing.n_begun, standing.n_lost, own)
                if standing.unreliable
                else "",
                flags=tuple(sorted({*a.flags, *b.flags, *run.flags})),
            )
        )
    return tuple(found)


def _refusal(n_begun: int, n_lost: int, trials: Sequence[Trial]) -> str:
    first = next(t.outcome for t in trials if not t.outcome.ok)
    return f"{n_lost} of {n_begun} pairs failed ({first.message or first})"


# --- in words -------------------------------------------------------------------------------


def task(contest: Contest) -> str:
    """What both sides did: ``resnet50 inference, cpu, fp32, batch 4``."""
    return in_common(contest.a, contest.b)


def in_common(a: Case, b: Case) -> str:
    """What two cases have in common, in the same words."""
    same = [
        (PROPER_NAMES.get(a.framework, a.framework), a.framework == b.framework),
        (a.device, a.device == b.device),
        (str(a.precision), a.precision == b.precision),
        (f"batch {a.batch_size}", a.batch_size == b.batch_size),
        (str(a.policy), a.policy == b.policy and a.policy is not Policy.BASE),
        (f"{a.data_mode} data", a.data_mode == b.data_mode and a.data_mode != "synthetic"),
        (a.variant, a.variant != "full"),
    ]
    workload = a.workload if a.workload == b.workload else f"{a.workload} and {b.workload},"
    words = [f"{workload} {a.mode}", _arrivals(a, b), *(word for word, both in same if both)]
    return ", ".join(filter(None, words))


def _arrivals(a: Case, b: Case) -> str:
    """How queries arrive on both sides, without a limit or a driver that only one of them has."""
    if a.arrivals == b.arrivals:
        return a.arrivals
    return str(a.scenario).replace("_", " ") if a.scenario == b.scenario else ""


def sentence(contest: Contest) -> str:
    """The verdict in words, as it may be quoted."""
    said = contest.judgement
    first, second = contest.names[1], contest.names[0]
    if contest.refusal:
        return f"{task(contest)}: no verdict on {second} and {first}: {contest.refusal}"
    if not said.n:
        return (
            f"{task(contest)}: cannot tell whether {second} or {first} is faster: {paired.NO_PAIR}"
        )
    lost = f", {contest.n_lost} more lost" if contest.n_lost else ""
    how = f"({counted(said.n, 'pair')}{lost}, p = {significant(said.p, 2)})"
    ratio, bounds = said.ratio, said.interval
    if said.verdict == "slower":
        ratio, first, second = 1 / ratio, second, first
        if isinstance(bounds, Interval):
            bounds = Interval(low=1 / bounds.high, high=1 / bounds.low, level=bounds.level)
    shown, interval = as_ratio(ratio, 3), bracketed(bounds, 3)
    if said.verdict in ("faster", "slower"):
        return f"{task(contest)}: {first} has {shown}x{interval} the throughput of {second} {how}"
    if said.verdict == "equivalent":
        zone = f"+-{100 * contest.pairing.zone:g} %"
        return (
            f"{task(contest)}: {second} and {first} are equally fast within {zone}: "
            f"ratio {shown}{interval} {how}"
        )
    return (
        f"{task(contest)}: cannot tell whether {second} or {first} is faster: "
        f"ratio {shown}{interval} {how}"
    )


def resolution_sentence(contest: Contest) -> str:
    """What this machine resolves with these pairs, and what would be needed for more."""
    if contest.refusal:
        return ""
    return paired.resolution_in_words(contest.judgement, contest.pairing.zone, paired.LOOKS[-1])


def plain(contest: Contest) -> dict[str, Any]:
    """A contest as ``--json`` prints it."""
    said = contest.judgement
    return {
        "task": task(contest),
        "a": contest.pairing.a_name,
        "b": contest.pairing.b_name,
        "a_case": asdict(contest.a),
        "b_case": asdict(contest.b),
        "a_versions": {k: _known(v) for k, v in contest.pairing.a_versions.items()},
        "b_versions": {k: _known(v) for k, v in contest.pairing.b_versions.items()},
        "verdict": contest.verdict,
        "refusal": contest.refusal or None,
        "ratio": None if contest.refusal or not said.n else said.ratio,
        "interval": None
        if contest.refusal or isinstance(said.interval, Absent)
        else asdict(said.interval),
        "p": None if contest.refusal else said.p,
        "pairs": said.n,
        "pairs_begun": contest.n_begun,
        "pairs_lost": contest.n_lost,
        "resolves": None if isinstance(said.resolves, Absent) else said.resolves,
        "zone": contest.pairing.zone,
        "flags": list(contest.flags),
        "sentence": sentence(contest),
        "resolution": resolution_sentence(contest),
    }


def _known(version: str | Absent) -> str | None:
    return None if isinstance(version, Absent) else version


# --- as a trace -----------------------------------------------------------------------------


def trace(run: Run) -> list[str]:
    """Every pair that counts as two JSON lines, in the form that benchmarks/aa_replay.py reads.

    Values are milliseconds a sample, under the workload and its mode; under all that both sides have in
    common where several contests are of those.
    """
    trials = {(t.case_id, t.round): t for r in run.results for t in r.trials if t.outcome.ok}
    found = contests(run)
    names = [f"{c.a.workload}_{c.a.mode}" for c in found]
    if len(set(names)) < len(names):
        names = [task(c) for c in found]
    names = [re.sub(r"\W+", "_", name) for name in names]
    origin_s = min((t.values[0].start_s for t in trials.values() if t.values), default=0.0)
    lines = []
    for contest, name in zip(found, names, strict=True):
        sides = {"A": contest.pairing.a, "B": contest.pairing.b}
        rounds = sorted({r for case_id, r in trials if case_id in sides.values()})
        for round_ in rounds:
            for label, case_id in sides.items():
                trial = trials.get((case_id, round_))
                if trial is None:
                    continue
                row = {
                    "pair": round_,
                    "label": label,
                    "t_s": trial.values[0].start_s - origin_s,
                    f"{name}_ms": {"warm": _ms(trial.warm_up), "values": _ms(trial.values)},
                }
                lines.append(json.dumps(row))
    return lines


def _ms(values: Sequence[Value]) -> list[float]:
    return [1e3 * v.duration_s / v.n_samples for v in values]
