"""Names that a shell completes: each function gives those that begin so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum


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


def one_of(kind: type[StrEnum]) -> Callable[[str], list[str]]:
    """The words of an enumeration."""

    def words(incomplete: str) -> list[str]:
        return [word for word in kind if word.startswith(incomplete)]

    return words


def sites(incomplete: str) -> list[str]:
    """Where a machine may stand: ``aws/us-east-1``, or a country."""
    from dlbench import catalog

    regions = catalog.shipped().regions
    found = [f"{place.provider}/{place.region}" for place in regions]
    return _begun([*found, *(place.country for place in regions)], incomplete)


def regions(incomplete: str) -> list[str]:
    """Where something may be rented: ``us-east-1``, or a country."""
    from dlbench import catalog

    found = catalog.shipped().regions
    return _begun([name for place in found for name in (place.region, place.country)], incomplete)


def accelerators(incomplete: str) -> list[str]:
    """Accelerators."""
    from dlbench import catalog

    return _begun((device.name for device in catalog.shipped().accelerators), incomplete)


def accelerators_and_instances(incomplete: str) -> list[str]:
    """Accelerators and instance types."""
    from dlbench import catalog

    offers = catalog.shipped().offers
    return accelerators(incomplete) + _begun((o.instance_type for o in offers), incomplete)


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin so, each once."""
    return sorted({name for name in names if name and name.startswith(incomplete)})
