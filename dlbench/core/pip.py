"""What is installed, and what to type where a framework is installed and broken."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterator, Sequence

from dlbench.core.errors import MissingDependencyError


@contextlib.contextmanager
def importing(what: str, install: str, distributions: Sequence[str] = ()) -> Iterator[None]:
    """Around the import of a package: whatever it raises becomes one error, with what to type.

    Args:
        what: what does not import, for people.
        install: the line that installs it.
        distributions: what of it a broken install replaces; none where ``install`` is all there is.

    Raises:
        MissingDependencyError: it does not import.
    """
    try:
        yield
    except Exception as error:
        # A broken package raises whatever its code comes to: OSError, AttributeError, one of its own.
        raise MissingDependencyError(
            f"{what} does not import: {type(error).__name__}: {error}",
            anew(install, distributions) if distributions else install,
        ) from error


def anew(install: str, distributions: Sequence[str]) -> str:
    """The line that installs a framework, and the one that replaces what is there of it.

    pip leaves alone what has its metadata: the first repairs nothing but what is missing. The second
    does not name dlbench, which installed from a checkout is on no index.
    """
    here = [name for name in distributions if version(name)]
    return f"{install}, then pip install --force-reinstall {' '.join(here or distributions)}"


def version(distribution: str) -> str | None:
    """By its metadata; None where there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
