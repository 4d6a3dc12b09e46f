"""Which plug-ins exist: by file name in their room, or by entry point. Names first, import one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

from dlbench.core.errors import MissingDependencyError, UsageError
from dlbench.core.fetching import Provider
from dlbench.core.protocols import Device, Framework, Subject, SubjectRequest
from dlbench.core.types import Absent

FAKE = "fake"
"""Framework, device and workload of this name only pretend: used where they are asked for by name."""

_PACKAGE_FOLDER = Path(__file__).parent.parent


@cache
def names(kind: str) -> tuple[str, ...]:
    """Sorted names of all plug-ins of a kind (``frameworks``, ``devices``, ...); imports none."""
    # It reads the metadata of every installed package, which a sampler has no time for.
    from importlib import metadata

    own = {m.name for m in pkgutil.iter_modules([str(_PACKAGE_FOLDER / kind)])}
    outside = {e.name for e in metadata.entry_points(group=f"dlbench.{kind}")}
    return tuple(sorted(name for name in own | outside if not name.startswith("_")))


@cache
def load(kind: str, name: str) -> ModuleType:
    """Import one plug-in; a file of dlbench's own wins over an entry point of the same name.

    Raises:
        UsageError: there is none of that name.
        ImportError: several packages offer it, or it does not import.
    """
    if _is_own(kind, name):
        return importlib.import_module(f"dlbench.{kind}.{name}")
    if name not in names(kind):
        known = ", ".join(names(kind))
        raise UsageError(f"there is no {kind.removesuffix('s')} named {name!r}", f"Known: {known}.")
    from importlib import metadata

    entry, *more = metadata.entry_points(group=f"dlbench.{kind}", name=name)
    if more:
        offering = sorted(e.dist.name if e.dist else e.value for e in (entry, *more))
        raise ImportError(f"several packages offer it: {', '.join(offering)}")
    return cast("ModuleType", entry.load())


def _is_own(kind: str, name: str) -> bool:
    path = _PACKAGE_FOLDER / kind / f"{name}.py"
    return name.isidentifier() and not name.startswith("_") and path.exists()


def framework(name: str) -> Framework:
    """The framework adapter of that name.

    Every command looks at all of them: for another package's that does not import stands one that
    says so, and the others go on.
    """
    if _is_own("frameworks", name):
        return cast("Framework", load("frameworks", name))
    try:
        return cast("Framework", load("frameworks", name))
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever another package's code raises
        return _broken(name, f"{type(error).__name__}: {error}")


@cache
def _broken(name: str, what: str) -> Framework:
    return BrokenFramework(
        Absent(
            reason=f"the adapter of {name} does not import: {what}",
            remedy=f"Repair or uninstall the package that offers {name}.",
        )
    )


class BrokenFramework:
    """An adapter whose module raises: it runs no workload, and says why."""

    MODEL_FILES = ()
    DISTRIBUTIONS = ()

    def __init__(self, absent: Absent) -> None:
        self._absent, self.INSTALL = absent, absent.remedy

    def probe(self) -> Absent:
        """Why it is not there."""
        return self._absent

    def open_subject(self, request: SubjectRequest) -> Subject:  # noqa: ARG002
        """Never."""
        raise MissingDependencyError(self._absent.reason, self._absent.remedy)


def model_stem(name: str, files: Collection[str]) -> str | None:
    """Which of a workload's model files the framework of that name runs, if any."""
    return next((stem for stem in framework(name).MODEL_FILES if stem in files), None)


def distributions(name: str) -> tuple[str, ...]:
    """The packages whose versions decide what a framework does.

    Of one that does not say, or is not known here (in another's document), the package of its name.
    """
    known = framework(name) if name in names("frameworks") else None
    return getattr(known, "DISTRIBUTIONS", (name,))


def device_kind(name: str) -> Device:
    """The device adapter of that name."""
    return cast("Device", load("devices", name))


def provider(name: str) -> Provider:
    """The source of offers of that name."""
    return cast("Provider", load("providers", name))
