"""Every test starts from the same state: nobody else's locks, no prices or settings of the caller's."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# An example takes as long as a busy machine lets it: how long says nothing of what is tested.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


ALONE = ("cheats", "e2e", "faults", "frameworks/test_serving.py")
"""Folders and files whose tests start sessions and measure."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who measures is ``alone``; others stay with those of their file, and of its frameworks."""
    for item in items:
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        if place.startswith(ALONE):
            item.add_marker("alone")
        asked: dict[str, object] = getattr(getattr(item, "callspec", None), "params", {})
        item.add_marker(pytest.mark.xdist_group(f"{place} {asked.get('framework', '')}"))


@pytest.fixture(scope="module")
def _locks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for locks, one a module: to make one takes longer than most tests."""
    return str(tmp_path_factory.mktemp("locks"))


@pytest.fixture(autouse=True)
def _own_state(_locks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of the module's own, prices of the test's own; no variable of the caller's, nor CUDA's."""
    monkeypatch.setenv("DLBENCH_LOCK_DIR", _locks)
    monkeypatch.setenv("DLBENCH_CATALOG_DIR", f"{_locks}/{uuid.uuid4()}")
    for name in (
        "DLBENCH_POWERCAP_ROOT",
        "DLBENCH_CPUS_ROOT",
        "DLBENCH_NVML_LIBRARY",
        "DLBENCH_FAKE_METER_FAILS_FROM",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "COLUMNS",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder for result documents."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder
