"""Names that a shell completes: each function gives those that begin so."""

from __future__ import annotations


def workloads(incomplete: str) -> list[str]:
    """Workloads and suites."""
    from dlbench import workloads as known

    names = [*known.folders(), *known.suites()]
    return [name for name in names if name.startswith(incomplete)]


def one_workload(incomplete: str) -> list[str]:
    """Workloads alone."""
    from dlbench import workloads as known

    return [name for name in known.folders() if name.startswith(incomplete)]


def frameworks(incomplete: str) -> list[str]:
    """Frameworks."""
    from dlbench.core import registry

    return [name for name in registry.names("frameworks") if name.startswith(incomplete)]


def devices(incomplete: str) -> list[str]:
    """Kinds of device."""
    from dlbench.core import registry

    return [name for name in registry.names("devices") if name.startswith(incomplete)]


def profiles(incomplete: str) -> list[str]:
    """Profiles."""
    from dlbench.plan import PROFILES

    return [name for name in PROFILES if name.startswith(incomplete)]
