"""RAPL from a fake powercap tree: packages only, exact wraps, reasons for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlbench.core.types import Absent
from dlbench.devices import cpu

RANGE_UJ = 262_143_328_850


def _zone(root: Path, folder: str, name: str, energy_uj: int) -> Path:
    zone = root / folder
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{energy_uj}\n")
    (zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return zone


def test_only_packages_are_read(tmp_path: Path) -> None:
    """Cores are part of their package, the mmio twin shows it twice, psys holds all."""
    _zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    _zone(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    _zone(tmp_path, "intel-rapl:0:0", "core", 1)
    _zone(tmp_path, "intel-rapl:2", "psys", 1)
    _zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_000)
    readings = cpu.RaplMeter(tmp_path).read()
    assert [(r.source, r.value) for r in readings] == [
        ("rapl:package-0", 5.0),
        ("rapl:package-1", 7.0),
    ]


@pytest.mark.parametrize("before_uj", [RANGE_UJ - 1, RANGE_UJ - 500_000, RANGE_UJ // 2 + 7])
def test_a_wrap_is_exact_to_a_microjoule_and_never_negative(tmp_path: Path, before_uj: int) -> None:
    """The counter starts again at zero; the difference is modular."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", before_uj)
    meter = cpu.RaplMeter(tmp_path)
    (before,) = meter.read()
    (zone / "energy_uj").write_text("1000\n")
    (after,) = meter.read()
    assert isinstance(before.value, float)
    assert isinstance(after.value, float)
    assert after.value - before.value == pytest.approx(
        (RANGE_UJ - before_uj + 1000) / 1e6, abs=1e-6
    )


def test_no_interface_is_a_reason_with_a_remedy(tmp_path: Path) -> None:
    """A virtual machine has no such folder; an empty one has no package."""
    (nothing,) = cpu.RaplMeter(tmp_path / "none").read()
    assert isinstance(nothing.value, Absent)
    assert "virtual machine" in nothing.value.reason
    (empty,) = cpu.RaplMeter(tmp_path).read()
    assert isinstance(empty.value, Absent)
    assert empty.value.remedy


@pytest.mark.parametrize("text", ["", "lots\n", "1.5\n"])
def test_a_malformed_counter_is_absent(tmp_path: Path, text: str) -> None:
    """Not zero, and not an exception."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").write_text(text)
    (reading,) = cpu.RaplMeter(tmp_path).read()
    assert isinstance(reading.value, Absent)


def test_a_counter_for_root_only_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since Linux 5.10; the remedy is the command."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 1)
    real = Path.read_text

    def refuse(path: Path, *arguments: str, **options: str) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    (reading,) = cpu.RaplMeter(tmp_path).read()
    assert isinstance(reading.value, Absent)
    assert reading.value.remedy == f"sudo chmod a+r {zone}/energy_uj"
