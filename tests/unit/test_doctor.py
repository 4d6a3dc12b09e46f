"""What doctor says of machines that this one is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dlbench import doctor
from dlbench.core import units
from dlbench.core.energy import Idle
from dlbench.core.protocols import Capability
from dlbench.core.reasons import Reason
from dlbench.core.types import Absent, DeviceInfo, Environment, Policy, Precision, Reading
from dlbench.devices.nvidia import GpuProcess
from dlbench.doctor import Finding, energy, jitter, noise
from dlbench.measure.conditions import Snapshot

QUIET_SERVER: dict[str, str | int | float | bool | Absent] = {
    "cpu": "AMD EPYC 9654",
    "logical_cores": 4,
    "affinity_cores": 4,
    "cpu_quota": Absent(reason="no CPU quota is set"),
    "memory_mib": 65536.0,
    "memory_limit_mib": Absent(reason="no memory limit is set"),
    "virtual_machine": False,
    "governor": "performance",
    "scaling_driver": "acpi-cpufreq",
    "turbo": False,
    "smt": "0",
    "power_source": Absent(reason="no battery"),
    "transparent_hugepages": "madvise",
    "clock_source": "tsc",
    "load_1min": 0.1,
}

GPU = DeviceInfo(
    id="nvidia:0",
    kind="nvidia",
    name="NVIDIA A100",
    uuid="GPU-1",
    memory_mib=81920.0,
    precisions=(Precision.FP32, Precision.BF16),
    peak_flops={},
    facts={
        "driver": "550.54.15",
        "cuda_driver": "12.4",
        "compute_capability": Absent(reason="Not Supported"),
    },
)

CPU = replace(GPU, id="cpu", kind="cpu", name="AMD EPYC 9654", facts={"flags": "avx2"})


def _snapshot(at_s: float, busy_s: float | None, steal_s: float | None = 0.0) -> Snapshot:
    return Snapshot(
        monotonic_s=at_s,
        wall_s=at_s,
        boot_s=at_s,
        n_cpus=4,
        own_cpu_s=0.0,
        busy_cpu_s=busy_s,
        steal_s=steal_s,
    )


def _examine(
    facts: Mapping[str, Any] | None = None,
    *,
    devices: Sequence[DeviceInfo] = (CPU,),
    absent: Mapping[str, Absent] | None = None,
    frameworks: Mapping[str, Capability | Absent] | None = None,
    readings: Mapping[str, Sequence[Reading]] | None = None,
    processes: Mapping[str, noise.GpuProcesses] | None = None,
    watched: tuple[Snapshot, Snapshot] = (_snapshot(0.0, 5.0), _snapshot(1.0, 5.0)),
) -> tuple[Finding, ...]:
    """Examine a quiet server with some differences."""
    environment = Environment(
        machine="amd-epyc-4c",
        fingerprint="0",
        facts={**QUIET_SERVER, **(facts or {})},
        versions={},
        devices=tuple(devices),
    )
    return doctor.examine(
        environment,
        devices,
        absent or {},
        frameworks or {},
        readings or {},
        processes or {},
        watched,
    )


def _of(found: tuple[Finding, ...], topic: str) -> list[tuple[str, str]]:
    return [(finding.status, finding.message) for finding in found if finding.topic == topic]


def test_a_quiet_server_has_nothing_to_repair() -> None:
    """All findings are ok, and the topics come in their order."""
    found = _examine()
    assert {finding.status for finding in found} == {"ok"}
    topics = list(dict.fromkeys(finding.topic for finding in found))
    assert topics == ["Devices", "What can be measured", "Limits", "Noise"]
    assert _of(found, "Noise") == [("ok", "quiet: others take 0.0% of the cores' time")]
    assert _of(found, "Limits") == [("ok", "4 cores, 65,536 MiB of memory")]


@pytest.mark.parametrize(
    ("facts", "status", "words", "remedy"),
    [
        (
            {"governor": "powersave"},
            "problem",
            "by which acpi-cpufreq holds clocks down",
            "cpupower",
        ),
        ({"governor": Absent(reason="none")}, "limited", "frequencies are not shown", "cpufreq"),
        ({"power_source": "battery"}, "problem", "on battery", "Plug it in"),
        ({"virtual_machine": True}, "limited", "a virtual machine", "--profile standard"),
        ({"turbo": True}, "limited", "turbo is on", "firmware"),
        ({"smt": "1"}, "limited", "multithreading is on", "--threads"),
        ({"transparent_hugepages": "always"}, "limited", "huge pages", "madvise"),
        ({"clock_source": "hpet"}, "limited", "clock source is hpet", "tsc"),
        ({"load_1min": 2.5}, "limited", "load 2.50 on 4 cores", "Wait a minute"),
    ],
)
def test_each_source_of_noise_is_named_with_a_remedy(
    facts: dict[str, Any], status: str, words: str, remedy: str
) -> None:
    """One finding more than on the quiet server, and the right one."""
    before, after = _examine(), _examine(facts)
    (new,) = [f for f in after if f not in before]
    assert (new.topic, new.status) == ("Noise", status)
    assert words in new.message
    assert remedy in new.remedy


@pytest.mark.parametrize(
    ("busy_s", "steal_s", "expected"),
    [
        (5.1, 0.0, [("ok", "quiet: others take 2.5% of the cores' time")]),
        (6.0, 0.0, [("problem", "others take 25% of the cores' time right now")]),
        (
            5.0,
            0.4,
            [
                ("problem", "others take 10% of the cores' time right now"),
                (
                    "problem",
                    "the hypervisor keeps 10% of the cores' time for others (steal)",
                ),
            ],
        ),
        (None, None, [("limited", "what others do is not shown here (/proc/stat)")]),
    ],
)
def test_neighbours_are_measured_not_guessed(
    busy_s: float | None, steal_s: float | None, expected: list[tuple[str, str]]
) -> None:
    """From CPU times over a second of waiting; what is not shown is not called quiet."""
    found = _examine(watched=(_snapshot(0.0, 5.0), _snapshot(1.0, busy_s, steal_s)))
    assert _of(found, "Noise") == expected


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"cpu_quota": 1.5}, "1.5 CPUs' worth"),
        ({"memory_limit_mib": 2048.0}, "2,048 MiB"),
        ({"affinity_cores": 2}, "only 2 of 4 cores"),
    ],
)
def test_limits_of_the_container_are_said(facts: dict[str, Any], words: str) -> None:
    """They decide threads and batch sizes."""
    limited = [m for status, m in _of(_examine(facts), "Limits") if status == "limited"]
    assert len(limited) == 1
    assert words in limited[0]


def test_kinds_without_a_device_keep_their_reason_and_remedy() -> None:
    """NVML's words go through unchanged."""
    absent = {"nvidia": Absent(reason="NVIDIA driver: Driver Not Loaded", remedy="Load it.")}
    finding = _examine(absent=absent)[-4]
    assert finding == Finding(
        topic="Devices",
        status="missing",
        message="nvidia: NVIDIA driver: Driver Not Loaded",
        remedy="Load it.",
    )


def test_a_gpu_is_described_and_what_it_hides_is_said() -> None:
    """An unknown fact shows its reason in the sentence."""
    silent = replace(GPU, facts={**GPU.facts, "silent_gpus": "GPU 1: GPU is lost"})
    messages = _of(_examine(devices=[silent, replace(silent, id="nvidia:1")]), "Devices")
    assert ("ok", "nvidia:0: NVIDIA A100, 81,920 MiB; native fp32, bf16") in messages
    assert (
        "ok",
        "nvidia:0: driver 550.54.15 (CUDA 12.4), compute capability unknown (Not Supported)",
    ) in messages
    assert messages.count(("problem", "a GPU does not answer: GPU 1: GPU is lost")) == 1


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ((), []),
        (
            (GpuProcess(pid=7, memory_mib=1.0), GpuProcess(pid=9, memory_mib=2.0)),
            [("problem", "nvidia:0: 2 other process(es) compute on it (PID 7, 9)")],
        ),
        (
            Absent(reason="No Permission"),
            [("limited", "nvidia:0: other processes cannot be seen: No Permission")],
        ),
    ],
)
def test_others_on_the_gpu(processes: noise.GpuProcesses, expected: list[tuple[str, str]]) -> None:
    """Named by PID; not being able to see them is not the same as none."""
    found = _examine(devices=[GPU], processes={"nvidia:0": processes})
    assert [n for n in _of(found, "Noise") if n[0] != "ok"] == expected


def test_settings_of_the_gpu_that_disturb() -> None:
    """Persistence that is off, and a slice of a shared board."""
    gpu = replace(GPU, facts={**GPU.facts, "persistence": False, "mig_slice": True})
    messages = [m for _, m in _of(_examine(devices=[gpu]), "Noise")]
    assert any("persistence mode is off" in m for m in messages)
    assert any("a MIG slice" in m for m in messages)


def test_what_can_be_measured_is_one_line_and_each_gap_its_own() -> None:
    """Energy that is absent says why; the rest is a list with its source."""
    why = Absent(reason="TotalEnergyConsumption: Not Supported", remedy="")
    readings = [
        Reading(t_s=0.0, source="nvml:nvidia:0", quantity="energy_counter_j", value=why),
        Reading(t_s=0.0, source="nvml:nvidia:0", quantity="power_w", value=70.0),
        Reading(t_s=0.0, source="nvml:nvidia:0", quantity="temperature_c", value=40.0),
    ]
    found = _of(_examine(readings={"nvidia:0": readings}), "What can be measured")
    assert found[1:] == [
        ("ok", "nvidia:0 power, temperature (nvml:nvidia:0)"),
        ("missing", "nvidia:0 energy: TotalEnergyConsumption: Not Supported"),
    ]


def test_frameworks_are_listed_with_what_they_lack() -> None:
    """Version and precisions, the reason against a device kind, the install line."""
    frameworks: dict[str, Capability | Absent] = {
        "pytorch": Capability(
            version="2.8.0+cpu",
            precisions={"cpu": (Precision.FP32, Precision.BF16)},
            policies={Policy.BASE: "plain"},
            reasons={"nvidia": "a CPU build"},
        ),
        "tensorflow": Absent(reason="not installed", remedy="pip install tensorflow"),
    }
    found = [f for f in _examine(frameworks=frameworks) if f.topic == "Frameworks"]
    assert [(f.status, f.message) for f in found] == [
        ("ok", "pytorch 2.8.0+cpu (cpu: fp32, bf16)"),
        ("limited", "pytorch: a CPU build"),
        ("missing", "tensorflow: not installed"),
    ]
    assert found[-1].remedy == "pip install tensorflow"


def test_this_machine_can_be_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every topic is there, whatever this machine is."""
    monkeypatch.setattr(doctor, "WATCH_S", 0.0)
    found = doctor.examine_here()
    topics = {finding.topic for finding in found}
    assert topics == {"Devices", "Frameworks", "What can be measured", "Energy", "Limits", "Noise"}
    assert any(f.message.startswith("cpu: ") for f in found)


def test_causes_of_noise_are_ranked() -> None:
    """What others do is worse than a setting that merely limits; what is well comes last."""
    found = [
        f
        for f in _examine(
            {"transparent_hugepages": "always", "governor": "powersave"},
            watched=(_snapshot(0.0, 5.0), _snapshot(1.0, 7.0)),
        )
        if f.topic == "Noise"
    ]
    assert [f.status for f in found] == ["problem", "problem", "limited"]
    assert "others take 50%" in found[0].message
    assert "powersave" in found[1].message
    assert "huge pages" in found[2].message
    assert all(f.remedy for f in found)


@pytest.mark.parametrize(("slow", "status"), [(1.0, "ok"), (1.05, "limited"), (1.5, "problem")])
def test_unsteady_arithmetic_is_told_with_its_figure(slow: float, status: str) -> None:
    """The slowest twentieth of tries against the median."""
    spans_s = (0.002,) * 54 + (0.002 * slow,) * 6
    (found,) = jitter.finding(spans_s)
    assert found.status == status
    assert f"{units.percent(slow - 1)} longer" in found.message
    assert bool(found.remedy) == (status != "ok")


def test_jitter_measures_something() -> None:
    """Positive spans, as many as it says, and none of an empty loop."""
    spans_s = jitter.measure()
    assert len(spans_s) == jitter.REPEATS
    assert min(spans_s) > 1e-4


# --- energy -----------------------------------------------------------------------------------


def _energy(device: DeviceInfo, **found: Any) -> list[tuple[str, str, str]]:
    base: dict[str, Any] = {"at_rest": {}, "averaging_s": None}
    examined = {device.id: energy.Energy(**{**base, **found})}
    return [(f.status, f.message, f.remedy) for f in energy.findings([device], examined)]


def test_an_energy_counter_is_said_with_its_period_and_its_sensors_error() -> None:
    """How often it moves, what the device draws now, and how far the sensor can be trusted."""
    rest = Idle(power_w=61.3, uncertainty_w=0.1, period_s=0.1)
    counter, floor = _energy(GPU, at_rest={"nvml:nvidia:0": rest}, averaging_s=1.0)
    assert counter[0] == "ok"
    assert "by the counter nvml:nvidia:0, which moves each 100 ms; now 61.3 W" in counter[1]
    assert "-8% to +13%" in floor[1]


def test_power_without_a_counter_is_limited_and_says_what_it_needs() -> None:
    """An integral wants longer windows."""
    gone = Absent(reason="Not Supported", code=Reason.NOT_SUPPORTED)
    limited, _ = _energy(GPU, at_rest={"nvml:nvidia:0": gone}, averaging_s=1.0)
    assert limited[0] == "limited"
    assert "integral of power (means of a second)" in limited[1]
    assert "--profile standard" in limited[2]


def test_no_sensor_is_missing_with_its_remedy() -> None:
    """As of RAPL in a virtual machine."""
    gone = Absent(reason="no RAPL interface", remedy="modprobe", code=Reason.NO_RAPL)
    (missing,) = _energy(GPU, at_rest={"rapl": gone})
    assert missing == ("missing", f"{GPU.id}: not measured: no RAPL interface", "modprobe")
