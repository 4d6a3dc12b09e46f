"""How much one machine differs from itself between sessions: from its own documents, or a prior."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from dlbench.core import stats
from dlbench.core.metrics import seconds_per_sample
from dlbench.core.stats import SessionSpread
from dlbench.core.types import Case, Environment, Run

LEAST_SESSIONS = 3
"""Two sessions of a case say nothing about how far a third may lie."""

PRIOR = SessionSpread(sd_ln=stats.BETWEEN_SESSION_SD_LN, df=None, n_sessions=1)


def spread(of: Run, runs: Sequence[Run]) -> SessionSpread:
    """The spread between sessions of a run's machine, from all documents of it that are given.

    The variance is pooled over cases that ran in ``LEAST_SESSIONS`` sessions or more. All cases of a
    session share its weather, so that more cases do not mean more degrees of freedom.
    """
    sessions: dict[tuple[str, str], list[float]] = {}
    for run in {r.run_id: r for r in (of, *runs)}.values():
        if not _same_machine(of, run):
            continue
        for result in run.results:
            if result.measured:
                key = (result.case.case_id, content_of(run, result.case))
                centre = stats.case_centre(list(seconds_per_sample(result).values()))
                sessions.setdefault(key, []).append(math.log(centre))
    known = [centres for centres in sessions.values() if len(centres) >= LEAST_SESSIONS]
    if not known:
        return PRIOR
    squares = sum(statistics.variance(c) * (len(c) - 1) for c in known)
    n = max(len(c) for c in known)
    variance = squares / sum(len(c) - 1 for c in known)
    return SessionSpread(sd_ln=math.sqrt(variance), df=n - 1, n_sessions=n)


SHOWN_DIGITS = 12
"""Of a content hash, for people: as many as of a case_id."""


def content_of(run: Run, case: Case) -> str:
    """The content hash of a case's workload; empty in a document that does not describe it."""
    found = (w for w in run.plan.workloads if (w.name, w.variant) == (case.workload, case.variant))
    return next((w.content_hash for w in found), "")


def _same_machine(a: Run, b: Run) -> bool:
    """Same machine, devices, software and threads: what still differs between them is the session."""
    one, other = a.environment, b.environment
    same_devices = [hardware(one, d.id) for d in one.devices] == [
        hardware(other, d.id) for d in other.devices
    ]
    same_software = (one.versions, a.plan.threads) == (other.versions, b.plan.threads)
    return one.machine == other.machine and same_devices and same_software


def hardware(environment: Environment, device: str) -> str:
    """What tells a machine from another of its name, for one of its devices, in words.

    The processor, its cores, and the device with its own number as far as it has one. Not memory, nor
    kernel or driver: those are changed without it becoming another machine.
    """
    info = next((d for d in environment.devices if d.id == device), None)
    cores = environment.facts.get("logical_cores")
    words = [
        environment.facts.get("cpu"),
        f"{cores} cores" if isinstance(cores, int) else None,
        info.name if info else device,
        info.uuid if info else None,
    ]
    return ", ".join(dict.fromkeys(word for word in words if isinstance(word, str)))
