"""The machine as the kernel's files describe it, from fake trees."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench import environment
from dlbench.analysis import surroundings
from dlbench.core.types import Absent, Fact
from tests import builders


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1.5),
        ({"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/slice/unit\n",
                "sys/fs/cgroup/slice/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/slice/unit/cpu.max": "max 100000\n",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "0::/slice/unit\n",
                "sys/fs/cgroup/slice/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/slice/unit/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/a\n4:memory:/x\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000\n",
            },
            4.0,
        ),
        ({"sys/fs/cgroup/cpu.max": "lots of it\n"}, None),
        ({"sys/fs/cgroup/cpu.max": "100000 0\n"}, None),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({}, None),
    ],
)
def test_cpu_quota_of_both_cgroup_versions(
    tmp_path: Path, files: dict[str, str], expected: float | None
) -> None:
    """A number of CPUs, or that none is set."""
    found = environment.cpu_quota(builders.tree(tmp_path, files))
    assert found == (Absent(reason="no CPU quota is set") if expected is None else expected)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sys/fs/cgroup/memory.max": "1073741824\n"}, 1024.0),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n"}, 512.0),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"sys/fs/cgroup/memory.max": "max\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/slice/unit\n",
                "sys/fs/cgroup/slice/memory.max": "1073741824\n",
                "sys/fs/cgroup/slice/unit/memory.max": "2147483648\n",
            },
            1024.0,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/jobs/a\n0::/\n",
                "sys/fs/cgroup/memory/jobs/a/memory.limit_in_bytes": "268435456\n",
            },
            256.0,
        ),
    ],
)
def test_memory_limit_of_both_cgroup_versions(
    tmp_path: Path, files: dict[str, str], expected: float | None
) -> None:
    """v1 writes "no limit" as a huge number; that is none."""
    found = environment.memory_limit_mib(builders.tree(tmp_path, files))
    assert found == (Absent(reason="no memory limit is set") if expected is None else expected)


def test_threads_are_the_smallest_of_all_limits(tmp_path: Path) -> None:
    """Affinity, quota rounded down, and what was asked for; never none."""
    affinity = len(os.sched_getaffinity(0))
    assert environment.usable_threads(None, tmp_path) == affinity
    assert environment.usable_threads(1, tmp_path) == 1
    assert environment.usable_threads(1000, tmp_path) == affinity
    half = builders.tree(tmp_path, {"sys/fs/cgroup/cpu.max": "50000 100000\n"})
    assert environment.usable_threads(None, half) == 1


def test_a_quota_of_one_and_a_half_cpus_is_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads would be throttled in turn."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    tree = builders.tree(tmp_path, {"sys/fs/cgroup/cpu.max": "150000 100000\n"})
    assert environment.usable_threads(None, tree) == 1
    builders.tree(tmp_path, {"sys/fs/cgroup/cpu.max": "600000 100000\n"})
    assert environment.usable_threads(None, tree) == 6
    assert environment.usable_threads(4, tree) == 4


def _firmware(vendor: str, product: str) -> dict[str, str]:
    folder = "sys/class/dmi/id"
    return {f"{folder}/sys_vendor": f"{vendor}\n", f"{folder}/product_name": f"{product}\n"}


@pytest.mark.parametrize(
    ("files", "flags", "expected"),
    [
        ({}, "flags\t: fpu hypervisor\n", True),
        ({"sys/class/dmi/id/product_name": "Standard PC\n"}, "flags\t: fpu\n", False),
        ({"sys/class/dmi/id/sys_vendor": "QEMU\n"}, "Features\t: asimd\n", True),
        ({}, "Features\t: asimd\n", None),
        (_firmware("Amazon EC2", "m7g.large"), "Features\t: asimd\n", True),
        (_firmware("Amazon EC2", "m7g.metal"), "Features\t: asimd\n", False),
        (_firmware("Amazon EC2", "m5.metal"), "flags\t: fpu\n", False),
        (_firmware("Hetzner", "vServer"), "Features\t: asimd\n", True),
        (_firmware("Google", "Google Compute Engine"), "Features\t: asimd\n", None),
        (_firmware("Ampere(R)", "Mt. Jade"), "Features\t: asimd\n", False),
    ],
)
def test_virtual_machines_are_told(
    tmp_path: Path, files: dict[str, str], flags: str, expected: bool | None
) -> None:
    """By the processor's flag or the firmware's name; where neither speaks it is not known."""
    found = environment.virtualisation(builders.tree(tmp_path, files), flags)
    assert isinstance(found, Absent) if expected is None else found is expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (".dockerenv", "docker"),
        ("run/.containerenv", "podman"),
        (".singularity.d/runscript", "apptainer"),
        ("var/run/secrets/kubernetes.io/x", "kubernetes"),
        ("etc/hostname", None),
    ],
)
def test_containers_are_told_by_what_they_leave(
    tmp_path: Path, file: str, expected: str | None
) -> None:
    """Each kind by its own file."""
    found = environment.container(builders.tree(tmp_path, {file: ""}))
    assert isinstance(found, Absent) if expected is None else found == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sys/class/power_supply/AC/online": "1"}, None),
        ({"sys/class/power_supply/BAT0/type": "Battery"}, "battery"),
        (
            {
                "sys/class/power_supply/BAT0/type": "Battery",
                "sys/class/power_supply/AC/online": "1",
            },
            "mains",
        ),
        (
            {
                "sys/class/power_supply/BAT0/type": "Battery",
                "sys/class/power_supply/AC/online": "0",
            },
            "battery",
        ),
        (
            {
                "sys/class/power_supply/BAT0/type": "Battery",
                "sys/class/power_supply/AC/online": "0",
                "sys/class/power_supply/hid-mouse/type": "Battery",
                "sys/class/power_supply/hid-mouse/scope": "Device",
                "sys/class/power_supply/hid-mouse/online": "1",
            },
            "battery",
        ),
        (
            {
                "sys/class/power_supply/hid-mouse/type": "Battery",
                "sys/class/power_supply/hid-mouse/scope": "Device",
            },
            None,
        ),
    ],
)
def test_power_source(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    """A machine without a battery has no power source worth a word; a mouse's is not its own."""
    found = environment.power_source(builders.tree(tmp_path, files))
    assert isinstance(found, Absent) if expected is None else found == expected


def test_a_governor_and_turbo_are_read_or_absent(tmp_path: Path) -> None:
    """This kind of machine may have neither."""
    facts = environment.machine_facts(tmp_path)
    assert isinstance(facts["governor"], Absent)
    assert isinstance(facts["turbo"], Absent)
    tree = {
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "intel_pstate\n",
        "sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "proc/loadavg": "0.50 0.4 0.3 1/2 3\n",
    }
    facts = environment.machine_facts(builders.tree(tmp_path, tree))
    assert facts["governor"] == "powersave"
    assert facts["scaling_driver"] == "intel_pstate"
    assert facts["turbo"] is True
    assert facts["transparent_hugepages"] == "madvise"
    assert facts["load_1min"] == 0.5


def test_a_machines_name_is_readable_and_no_hosts() -> None:
    """Processor or GPU, and cores."""
    facts: dict[str, Fact] = {
        "cpu": "AMD EPYC 9654 96-Core Processor",
        "affinity_cores": 8,
    }
    assert environment.machine_name(facts, []) == "amd-epyc-8c"
    intel: dict[str, Fact] = {
        "cpu": "Intel(R) Xeon(R) Platinum 8480+",
        "affinity_cores": 4,
    }
    assert environment.machine_name(intel, []) == "intel-xeon-4c"
    gpu = replace(builders.CPU, kind="nvidia", name="NVIDIA H200 SXM")
    assert environment.machine_name(facts, [gpu, gpu]) == "2x-h200-sxm-8c"
    small = replace(gpu, name="NVIDIA GeForce RTX 3060")
    assert environment.machine_name(facts, [gpu, small]) == "h200-sxm-rtx-3060-8c"
    assert environment.machine_name(facts, [gpu, gpu, small]) == "2x-h200-sxm-rtx-3060-8c"
    graviton: dict[str, Fact] = {"cpu": "Arm Neoverse-V1", "affinity_cores": 64}
    assert environment.machine_name(graviton, []) == "arm-neoverse-v1-64c"
    hybrid: dict[str, Fact] = {"cpu": "Arm Cortex-A725 + Arm Cortex-X925", "affinity_cores": 20}
    assert environment.machine_name(hybrid, []) == "arm-cortex-a725-cortex-x925-20c"
    unknown: dict[str, Fact] = {"cpu": Absent(reason="?"), "affinity_cores": 2}
    assert environment.machine_name(unknown, []) == "cpu-2c"


def test_a_gpus_identity_is_hashed_in_documents() -> None:
    """Equal for the same GPU, and not the UUID itself."""
    gpu = replace(builders.CPU, kind="nvidia", uuid="GPU-1234")
    here = environment.gather([gpu], [])
    again = environment.gather([gpu], [])
    assert here.devices[0].uuid == again.devices[0].uuid
    assert str(here.devices[0].uuid).startswith("sha256:")
    assert "1234" not in str(here.devices[0].uuid)
    assert here.fingerprint == again.fingerprint
    other = environment.gather([replace(gpu, uuid="GPU-5678")], [])
    assert other.fingerprint != here.fingerprint


def test_versions_of_what_is_not_installed_are_absent() -> None:
    """With the name in the reason."""
    versions = environment.software_versions(["no_such_framework"])
    assert versions["no_such_framework"] == Absent(reason="no_such_framework is not installed")
    assert versions["dlbench"] == "0.1.0"


@pytest.mark.parametrize(
    ("framework", "packages"),
    [
        ("pytorch", {"torch"}),
        ("tensorflow", {"tensorflow", "keras"}),
        ("jax", {"jax", "jaxlib", "keras"}),
        ("keras", {"keras", "torch"}),
        ("onnxruntime", {"onnxruntime", "onnxruntime-gpu", "onnx", "torch"}),
        ("openvino", {"openvino", "onnx", "onnxruntime", "torch"}),
        ("fake", set()),
    ],
)
def test_versions_of_all_that_decides_results_are_recorded(
    framework: str, packages: set[str]
) -> None:
    """A backend, a compiler, and what a model is derived from; the lists of differences agree."""
    versions = environment.software_versions([framework])
    assert set(versions) == {"dlbench", "python", "numpy", *packages}
    assert all(surroundings.weight(name, {framework}) == 1 for name in packages)


CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"


def _governed(governor: str, driver: str) -> dict[str, str]:
    return {
        f"{CPUFREQ}/scaling_governor": f"{governor}\n",
        f"{CPUFREQ}/scaling_driver": f"{driver}\n",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sys/class/power_supply/BAT0/type": "Battery"}, ("on_battery",)),
        (_governed("powersave", "acpi-cpufreq"), ("cpu_limited",)),
        (_governed("powersave", "intel_cpufreq"), ("cpu_limited",)),
        (_governed("powersave", "amd-pstate"), ("cpu_limited",)),
        (_governed("powersave", "intel_pstate"), ()),
        (_governed("powersave", "amd-pstate-epp"), ()),
        (_governed("performance", "acpi-cpufreq"), ()),
        ({f"{CPUFREQ}/scaling_governor": "powersave\n"}, ()),
        ({}, ()),
    ],
)
def test_what_holds_clocks_down_is_flagged(
    tmp_path: Path, files: dict[str, str], expected: tuple[str, ...]
) -> None:
    """A battery, a governor by which the driver saves power; what is not known is no flag."""
    assert environment.flags(environment.machine_facts(builders.tree(tmp_path, files))) == expected


def test_variables_that_frameworks_read_are_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and values, bounded; none that may be a secret, none that a worker does not get."""
    given = {
        "XLA_FLAGS": "--xla_gpu_autotune_level=0",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TORCHINDUCTOR_CACHE_DIR": "/home/ada/cache",
        "KMP_AFFINITY": "x" * 300,
        "NVIDIA_API_KEY": "s3cret",
        "TF_VAR_db": "s3cret",
        "TF_CLI_CONFIG_FILE": "/home/ada/.terraformrc",
        "TF_TOKEN_app_terraform_io": "s3cret",
        "NVIDIA_VISIBLE_DEVICES": "GPU-1234",
        "HOME": "/home/ada",
        "MYTF_X": "1",
        "NVIDIA_TF32_OVERRIDE": "1",
        "OMP_NUM_THREADS": "9",
    }
    monkeypatch.setattr(os, "environ", given)
    handed = environment.handed_on()
    assert set(given) - set(handed) == {"NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS"}
    assert environment.variables(handed) == {
        "variable KMP_AFFINITY": "x" * 200,
        "variable TF_ENABLE_ONEDNN_OPTS": "0",
        "variable TORCHINDUCTOR_CACHE_DIR": "~/cache",
        "variable XLA_FLAGS": "--xla_gpu_autotune_level=0",
    }


def test_a_variable_of_any_bytes_is_a_fact_as_a_document_has_it() -> None:
    """A lone surrogate could not be written, and what is written must be found again to resume."""
    value = os.fsdecode(b"/data/caf\xe9")
    assert environment.variables({"XLA_FLAGS": value}) == {"variable XLA_FLAGS": "/data/caf\\udce9"}


def test_a_variable_that_was_set_since_forbids_to_go_on() -> None:
    """And one that is gone, by name; in a comparison it is a difference that moves results."""
    then = replace(builders.ENVIRONMENT, facts={"variable XLA_FLAGS": "--a"})
    now = replace(builders.ENVIRONMENT, facts={"variable KMP_AFFINITY": "compact"})
    assert environment.changed(then, then) == []
    assert environment.changed(then, now) == [
        "variable XLA_FLAGS was --a and is not set",
        "variable KMP_AFFINITY was not set and is compact",
    ]
    a, b = (builders.run([], environment=x) for x in (then, now))
    found = surroundings.differences(a, b)
    assert found == (
        ("variable XLA_FLAGS", "--a", "not set, or not recorded"),
        ("variable KMP_AFFINITY", "not set, or not recorded", "compact"),
    )
    assert surroundings.matter(found, a, b) == 2


def test_gathered_facts_have_the_variables_of_what_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker's, or those that somebody names: of a command that runs as it is."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setenv("XLA_FLAGS", "--a")
    facts = environment.gather([], []).facts
    assert facts["variable XLA_FLAGS"] == "--a"
    assert "variable NVIDIA_TF32_OVERRIDE" not in facts
    own = environment.gather([], [], inherited={"NVIDIA_TF32_OVERRIDE": "1"}).facts
    assert own["variable NVIDIA_TF32_OVERRIDE"] == "1"
    assert "variable XLA_FLAGS" not in own


PCI = "sys/bus/pci/devices"


def _on_the_bus(n: int, vendor: str, class_: str) -> dict[str, str]:
    folder = f"{PCI}/0000:0{n}:00.0"
    return {f"{folder}/vendor": f"{vendor}\n", f"{folder}/class": f"{class_}\n"}


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ({}, []),
        (_on_the_bus(1, "0x10de", "0x030200"), []),
        (_on_the_bus(1, "0x8086", "0x020000"), []),
        (_on_the_bus(1, "0x1002", "0x120000") | _on_the_bus(2, "0x1002", "0x120000"), ["amd"]),
        (
            _on_the_bus(0, "0x8086", "0x030000") | _on_the_bus(1, "0x1002", "0x038000"),
            ["amd", "intel"],
        ),
    ],
)
def test_gpus_that_cannot_be_measured_are_told(
    tmp_path: Path, files: dict[str, str], kinds: list[str]
) -> None:
    """By what they are on the bus: drawing or computing, and whose; a network card is none."""
    found = environment.unmeasurable_gpus(builders.tree(tmp_path, files))
    assert sorted(found) == kinds
    assert all("no way to measure" in why.reason for why in found.values())


def test_machines_of_other_arm_cores_are_other_machines(tmp_path: Path) -> None:
    """Graviton 2 and 3 alike in all else: the processor is a part of what a machine is."""
    assert "cpu" in environment.FINGERPRINT_FACTS
    n1, v1 = (
        environment.machine_facts(
            builders.tree(
                tmp_path / part,
                {"proc/cpuinfo": f"CPU implementer\t: 0x41\nCPU part\t: {part}\n"},
            )
        )["cpu"]
        for part in ("0xd0c", "0xd40")
    )
    assert (n1, v1) == ("Arm Neoverse-N1", "Arm Neoverse-V1")
