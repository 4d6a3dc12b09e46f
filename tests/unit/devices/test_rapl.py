"""RAPL from a fake powercap tree: packages only, exact wraps, reasons for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent
from dlbench.devices import _rapl, cpu

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
    readings = _rapl.RaplMeter(tmp_path).read()
    assert [(r.source, r.value) for r in readings] == [
        ("rapl:package-0", 5.0),
        ("rapl:package-1", 7.0),
    ]


@pytest.mark.parametrize("before_uj", [RANGE_UJ - 1, RANGE_UJ - 500_000, RANGE_UJ // 2 + 7])
def test_a_wrap_is_exact_to_a_microjoule_and_never_negative(tmp_path: Path, before_uj: int) -> None:
    """The counter starts again at zero; the difference is modular."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", before_uj)
    times_s = iter((0.0, 130.0))
    meter = _rapl.RaplMeter(tmp_path, clock=lambda: next(times_s))
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
    (nothing,) = _rapl.RaplMeter(tmp_path / "none").read()
    assert isinstance(nothing.value, Absent)
    assert "virtual machine" in nothing.value.reason
    (empty,) = _rapl.RaplMeter(tmp_path).read()
    assert isinstance(empty.value, Absent)
    assert empty.value.remedy


@pytest.mark.parametrize("text", ["", "lots\n", "1.5\n"])
def test_a_malformed_counter_is_absent(tmp_path: Path, text: str) -> None:
    """Not zero, and not an exception."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").write_text(text)
    (reading,) = _rapl.RaplMeter(tmp_path).read()
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
    (reading,) = _rapl.RaplMeter(tmp_path).read()
    assert isinstance(reading.value, Absent)
    assert reading.value.remedy == f"sudo chmod a+r {zone}/energy_uj"


@given(
    start_uj=st.integers(0, RANGE_UJ - 1),
    steps_uj=st.lists(st.integers(0, RANGE_UJ - 1), min_size=1, max_size=30),
)
def test_every_chain_of_wraps_adds_up(start_uj: int, steps_uj: list[int]) -> None:
    """At most one wrap between two reads: the sum of differences is the energy that was used."""
    total_j, raw_uj = 0.0, start_uj
    for step_uj in steps_uj:
        after_uj = (raw_uj + step_uj) % RANGE_UJ
        step_j = _rapl.unwrap_j(raw_uj / 1e6, after_uj / 1e6, RANGE_UJ / 1e6)
        assert step_j >= 0
        total_j, raw_uj = total_j + step_j, after_uj
    assert total_j == pytest.approx(sum(steps_uj) / 1e6, abs=1e-3)


def test_two_wraps_of_one_meter_add_up_exactly(tmp_path: Path) -> None:
    """What was wrapped before is kept."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 10)
    times_s = iter((0.0, 131.0, 262.0, 393.0))
    meter = _rapl.RaplMeter(tmp_path, clock=lambda: next(times_s))
    (first,) = meter.read()
    for raw_uj in (20, RANGE_UJ - 5, 40):
        (zone / "energy_uj").write_text(f"{raw_uj}\n")
        (last,) = meter.read()
    assert isinstance(first.value, float)
    assert isinstance(last.value, float)
    assert last.value - first.value == pytest.approx((RANGE_UJ + 50) / 1e6, abs=1e-6)


def test_a_reset_is_told_from_a_wrap_and_stays_absent(tmp_path: Path) -> None:
    """A quarter of a megajoule in one second is no wrap; a difference across it would be wrong."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000)
    times_s = iter((0.0, 1.0, 2.0))
    meter = _rapl.RaplMeter(tmp_path, clock=lambda: next(times_s))
    meter.read()
    values = []
    for raw_uj in (5, 1_000_000):
        (zone / "energy_uj").write_text(f"{raw_uj}\n")
        values += [reading.value for reading in meter.read()]
    reset = Absent(reason="the RAPL counter was reset while it was read", code=Reason.COUNTER_RESET)
    assert values == [reset, reset]


def test_a_counter_that_may_have_wrapped_twice_says_so(tmp_path: Path) -> None:
    """The energy of a program of an hour, read at its ends alone, had been short by whole ranges."""
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000)
    times_s = iter((0.0, 600.0, 601.0))
    meter = _rapl.RaplMeter(tmp_path, clock=lambda: next(times_s))
    meter.read()
    values = []
    for raw_uj in (70_000_000, 80_000_000):
        (zone / "energy_uj").write_text(f"{raw_uj}\n")
        values += [reading.value for reading in meter.read()]
    for value in values:
        assert isinstance(value, Absent)
        assert "not read for 600 s" in value.reason
        assert value.code == Reason.COUNTER_RESET


def test_the_root_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whole runs can be tested on a machine without RAPL."""
    _zone(tmp_path, "intel-rapl:0", "package-0", 3_000_000)
    monkeypatch.setenv("DLBENCH_POWERCAP_ROOT", str(tmp_path))
    meter, _ = cpu.meters(cpu.describe())
    assert [(r.source, r.quantity, r.value) for r in meter.read()] == [
        ("rapl:package-0", "energy_counter_j", 3.0)
    ]


@pytest.mark.parametrize("folder", ["none", "."])
def test_no_remedy_is_told_where_there_is_no_rapl_to_enable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """On Arm no driver brings it, powercap or not."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    (nothing,) = _rapl.RaplMeter(tmp_path / folder).read()
    assert isinstance(nothing.value, Absent)
    assert nothing.value.code == Reason.NO_RAPL
    assert nothing.value.reason.endswith("this is one of aarch64")
    assert not nothing.value.remedy
