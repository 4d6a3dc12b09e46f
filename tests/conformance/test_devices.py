"""What every device adapter owes, for whichever adapters discovery finds.

Each is asked in a process of its own, with a stand-in below it (a powercap tree, a replayed driver), so
that no test needs the hardware.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlbench.core import registry
from dlbench.core.types import Precision
from tests.nvml import replaying
from tests.nvml.replaying import Answer

KINDS = registry.names("devices")

UNITS = ("_j", "_w", "_c", "_mhz", "_percent", "_bits", "_mib", "_s", "_count", "_generation")
"""How a quantity's name may end; a new unit is added here on purpose."""

N_READS = 5


@pytest.fixture(scope="module", params=KINDS)
def answer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """What an adapter says where its hardware works."""
    folder = tmp_path_factory.mktemp("device")
    return replaying.ask(
        request.param,
        f"{replaying.A100}\n{replaying.H100}",
        folder,
        n_reads=N_READS,
        DLBENCH_POWERCAP_ROOT=_powercap(folder),
        **_driver(request.param, folder),
    )


@pytest.fixture(scope="module", params=KINDS)
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """What it says where nothing of it is there: no driver, no powercap."""
    folder = tmp_path_factory.mktemp("bare")
    return replaying.ask(
        request.param,
        "fail nvmlInitWithFlags * 1 9",
        folder,
        DLBENCH_POWERCAP_ROOT=folder / "none",
        **_driver(request.param, folder),
    )


def _powercap(folder: Path) -> Path:
    zone = folder / "intel-rapl:0"
    zone.mkdir()
    for name, text in {
        "name": "package-0",
        "energy_uj": "7000000",
        "max_energy_range_uj": "262143328850",
    }.items():
        (zone / name).write_text(f"{text}\n")
    return folder


def _driver(kind: str, folder: Path) -> dict[str, Any]:
    return {"DLBENCH_NVML_LIBRARY": replaying.build(folder)} if kind == "nvidia" else {}


def test_devices_are_named_by_their_kind(answer: Answer) -> None:
    """``kind`` or ``kind:n``, each once, with a name for people and fp32 at the least."""
    assert answer.devices
    ids = [device["id"] for device in answer.devices]
    assert len(set(ids)) == len(ids)
    for device in answer.devices:
        assert device["kind"] in KINDS
        assert device["id"].split(":")[0] == device["kind"]
        assert device["name"].strip() == device["name"] != ""
        assert "fp32" in device["precisions"]
        assert set(device["precisions"]) <= set(Precision)


def test_what_is_not_known_has_a_reason_and_is_no_zero(answer: Answer) -> None:
    """Every field is a value or an Absent with a reason; no peak and no memory is 0."""
    for device in answer.devices:
        for value in (device["uuid"], device["memory_mib"], *device["facts"].values()):
            assert value is not None
            assert _known(value) or value["reason"]
        assert not _known(device["memory_mib"]) or device["memory_mib"] > 0
        assert all(peak > 0 for peak in device["peak_flops"].values())
        assert set(device["peak_flops"]) <= set(Precision)


def test_readings_say_unit_source_and_moment(answer: Answer) -> None:
    """The quantity ends in its unit, the clock is the host's monotonic one and does not run back."""
    for reads in answer.reads.values():
        readings = [reading for read in reads for reading in read]
        assert readings
        assert all(reading["quantity"].endswith(UNITS) for reading in readings)
        assert all(reading["source"] for reading in readings)
        times_s = [reading["t_s"] for reading in readings]
        assert times_s == sorted(times_s)


def test_a_meters_quantities_are_the_same_at_each_read(answer: Answer) -> None:
    """A quantity that fails stays in its place as Absent; a series has no holes."""
    for reads in answer.reads.values():
        names = [[(r["source"], r["quantity"]) for r in read] for read in reads]
        assert names == [names[0]] * N_READS
        assert len(set(names[0])) == len(names[0])


def test_energy_counters_never_run_backwards(answer: Answer) -> None:
    """In joules, whatever the hardware counts in; here every kind has one."""
    for device_id in answer.reads:
        values = answer.values(device_id, "energy_counter_j")
        assert all(isinstance(value, float) for value in values)
        assert values == sorted(values)


def test_a_worker_is_told_which_accelerator_it_may_see(answer: Answer) -> None:
    """One device or none: never all, which an unset variable would mean."""
    for device in answer.devices:
        seen = answer.environments[device["id"]]["CUDA_VISIBLE_DEVICES"]
        assert seen == (device["uuid"] if device["kind"] == "nvidia" else "")


def test_memory_held_by_nobody_is_absent_and_no_zero(answer: Answer) -> None:
    """No process of that number holds any, and the reason is said."""
    for held in answer.held_mib.values():
        assert held["reason"]


def test_without_its_hardware_a_kind_gives_reasons(bare: Answer) -> None:
    """No exception, no zero: no device with a reason, or meters that say what is missing."""
    if bare.absent is not None:
        assert bare.absent["reason"]
        assert bare.absent["remedy"]
        return
    for device in bare.devices:
        for value in bare.values(device["id"], "energy_counter_j"):
            assert device["kind"] == "fake" or value["reason"]


def _known(value: Any) -> bool:
    return not isinstance(value, dict)
