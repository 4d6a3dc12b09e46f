"""Every test starts from the same state: its own locks, no settings of the caller's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# An example takes as long as a busy machine lets it: how long says nothing of what is tested.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks in a folder of the test's own; no variable of ours or CUDA's from outside."""
    monkeypatch.setenv("DLBENCH_LOCK_DIR", str(tmp_path_factory.mktemp("locks")))
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
