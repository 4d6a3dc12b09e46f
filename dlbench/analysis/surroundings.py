"""In what two environments differ, and how much it matters to a result: what matters comes first."""

from __future__ import annotations

from dlbench.core import registry
from dlbench.core.types import Absent, Run

IGNORED_FACTS = {
    "load_1min",
    "memory_available_mib",
    "clock_resolution_s",
    "git_commit",
    "pcie_generation",
}
"""What differs between any two moments (a link is slower while its card idles), or says nothing of the
machine."""

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

OF_DEVICES = {"power_limit_w", "sm_clock_max_mhz", "memory_clock_max_mhz", "max_clock_mhz", "ecc"}
"""Facts of a device that move results."""

Difference = tuple[str, str, str]
"""Name, A's value, B's value."""


def differences(a: Run, b: Run) -> tuple[Difference, ...]:
    """Everything in which two environments differ, what matters most first."""
    pairs: list[tuple[str, object, object]] = []
    for left, right in (
        (_devices(a), _devices(b)),
        (_facts_of_devices(a, b), _facts_of_devices(b, a)),
        (a.environment.versions, b.environment.versions),
        (a.environment.facts, b.environment.facts),
    ):
        names = [*left, *(n for n in right if n not in left)]
        known = [n for n in names if n.rpartition(" ")[2] not in IGNORED_FACTS]
        pairs += [(n, left.get(n), right.get(n)) for n in known]
    pairs += [("threads", a.plan.threads, b.plan.threads)]
    ran = {r.case.framework for run in (a, b) for r in run.results}
    shown = [(name, _shown(name, x), _shown(name, y)) for name, x, y in pairs]
    found = [(name, x, y) for name, x, y in shown if x != y]
    return tuple(sorted(found, key=lambda d: weight(d[0], ran)))


def weight(name: str, frameworks: set[str]) -> int:
    """The place of a difference in a list: what matters has one below ``len(MATTERS) + 1``."""
    first, _, last = name.partition(" ")
    if last in OF_DEVICES or any(first in registry.distributions(f) for f in frameworks):
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


def _facts_of_devices(run: Run, other: Run) -> dict[str, object]:
    """Of the devices that both have; what the machine's own facts say too is said there."""
    both = {d.id for d in other.environment.devices}
    said = {*run.environment.facts, *other.environment.facts}
    return {
        f"{d.id} {name}": value
        for d in run.environment.devices
        if d.id in both
        for name, value in d.facts.items()
        if name not in said
    }


def _shown(name: str, value: object) -> str:
    if value is None:
        return "not set, or not recorded" if name.startswith("variable ") else "not recorded"
    if isinstance(value, float) and name.endswith("_mib"):
        # Two boots of one machine differ by some KiB.
        return f"{value / 1024:.1f} GiB"
    return f"absent ({value.reason})" if isinstance(value, Absent) else str(value)
