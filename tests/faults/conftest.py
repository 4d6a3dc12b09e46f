"""What the tests of a replayed card share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nvml import replaying
from tests.nvml.replaying import Answer


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The replay library, built once."""
    return replaying.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def ask(library: Path, tmp_path: Path) -> Callable[..., Answer]:
    """Ask the adapter under a scenario and environment variables."""

    def asking(scenario: str, *, n_reads: int = 1, **variables: str | Path) -> Answer:
        settings = {"DLBENCH_NVML_LIBRARY": library, **variables}
        return replaying.ask("nvidia", scenario, tmp_path, n_reads=n_reads, **settings)

    return asking
