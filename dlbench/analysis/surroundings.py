"""In what two environments differ, and how much it matters to a result: what matters comes first."""

from __future__ import annotations

from dlbench.core import registry
from dlbench.core.types import Absent, Run

IGNORED_FACTS = {"load_1min", "memory_available_mib", "clock_resolution_s", "git_commit"}
"""What differs between any two moments, or says nothing of the machine."""

MATTERS = (
    "device",
    "cpu",
    "threads",
    "affinity_cores",
    "cpu_quota",
    "logical_cores",
    "cloud_instance",
    "governor",
    "scaling_driver",
    "turbo",
    "power_source",
    "virtual_machine",
    "smt",
    "memory_limit_mib",
    "memory_mib",
    "variable",
    "dlbench",
)
"""Facts that move results, the heaviest first; versions of frameworks that ran come after devices."""

Difference = tuple[str, str, str]
"""Name, A's value, B's value."""


def differences(a: Run, b: Run) -> tuple[Difference, ...]:
    """Everything in which two environments differ, what matters most first."""
    pairs: list[tuple[str, object, object]] = []
    for left, right in (
        (_devices(a), _devices(b)),
        (a.environment.versions, b.environment.versions),
        (a.environment.facts, b.environment.facts),
    ):
        names = [*left, *(n for n in right if n not in left)]
        pairs += [(n, left.get(n), right.get(n)) for n in names if n not in IGNORED_FACTS]
    pairs += [("threads", a.plan.threads, b.plan.threads)]
    ran = {r.case.framework for run in (a, b) for r in run.results}
    shown = [(name, _shown(name, x), _shown(name, y)) for name, x, y in pairs]
    found = [(name, x, y) for name, x, y in shown if x != y]
    return tuple(sorted(found, key=lambda d: weight(d[0], ran)))


def weight(name: str, frameworks: set[str]) -> int:
    """The place of a difference in a list: what matters has one below ``len(MATTERS) + 1``."""
    first = name.partition(" ")[0]
    if any(first in registry.distributions(f) for f in frameworks):
        return 1
    if first in MATTERS:
        return MATTERS.index(first) + (first != "device")
    return len(MATTERS) + 1


def matter(found: tuple[Difference, ...], a: Run, b: Run) -> int:
    """How many of the differences, from the first on, move results."""
    ran = {r.case.framework for run in (a, b) for r in run.results}
    return sum(weight(name, ran) <= len(MATTERS) for name, _, _ in found)


def _devices(run: Run) -> dict[str, object]:
    return {f"device {d.id}": d.name for d in run.environment.devices}


def _shown(name: str, value: object) -> str:
    if value is None:
        return "not set, or not recorded" if name.startswith("variable ") else "not recorded"
    return f"absent ({value.reason})" if isinstance(value, Absent) else str(value)
