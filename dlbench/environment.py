"""The machine and its software, as far as they can change a result.

Everything is read from the kernel's files below an injectable ``root``, so that limits, batteries and
governors can be tested without having them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import dlbench
from dlbench import cloud
from dlbench.cloud import text_of
from dlbench.core import pip, registry
from dlbench.core.types import Absent, DeviceInfo, Environment, Fact
from dlbench.core.units import MIB, in_utf8
from dlbench.devices import cpu
from dlbench.measure import sampler

SLUG_WORDS = {
    "amd",
    "intel",
    "xeon",
    "epyc",
    "core",
    "ryzen",
    "apple",
    "arm",
    "neoverse",
    "cortex",
    "ampere",
}

FINGERPRINT_FACTS = ("cpu", "logical_cores", "memory_mib", "cpu_quota", "kernel")
"""What a machine is: with versions and devices it makes the fingerprint."""

LIMITS = ("affinity_cores", "memory_limit_mib", "governor", "turbo", "smt", "power_source")
"""How a machine is used, which may change from one session to the next, and not within one."""

UUID_DIGITS = 16

HYPERVISORS = ("virtual", "kvm", "vmware", "qemu", "xen", "vserver", "openstack")
"""Words by which a virtual machine's firmware names itself."""

CLOCKED_BY_LOAD = ("intel_pstate", "amd-pstate-epp")
"""Drivers that call their default ``powersave``: the processor clocks itself, up to its highest. All
others hold the lowest clock under that name, the same two in their passive mode, ``intel_cpufreq`` and
``amd-pstate``, too."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
"""Each worker's are set to the threads of its plan."""

OVERRIDES = frozenset(
    {
        "NVIDIA_TF32_OVERRIDE",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "DNNL_DEFAULT_FPMATH_MODE",
        "TF_SET_ONEDNN_FPMATH_MODE",
    }
)
"""Variables that change arithmetic below every framework, unseen by it: no worker gets them."""

RECORDED = re.compile(r"(TF|XLA|JAX|ONEDNN|DNNL|TORCH\w*|NVIDIA|CUDA|OMP|KMP|MKL)_")
"""The beginnings of names of variables that frameworks and their libraries read."""

PRIVATE = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|VISIBLE_DEVICES|^TF_(VAR|CLI)_")
"""In names of variables: what may be a secret (Terraform's begin with TF too), or whose a GPU is."""

VARIABLE_LENGTH = 200
"""Characters of a variable's value that a document keeps."""

NO_LIMIT_BYTES = 2**60
"""Version 1 of cgroups writes "no limit" as the largest multiple of a page."""


def find_devices() -> tuple[tuple[DeviceInfo, ...], dict[str, Absent]]:
    """Every device of this machine, and for each kind without one the reason; never the fake one."""
    found: list[DeviceInfo] = []
    absent: dict[str, Absent] = {}
    for kind in registry.names("devices"):
        if kind == registry.FAKE:
            continue
        devices = registry.device_kind(kind).find()
        if isinstance(devices, Absent):
            absent[kind] = devices
        else:
            found += devices
    known = registry.names("devices")
    absent |= {kind: why for kind, why in unmeasurable_gpus().items() if kind not in known}
    return tuple(found), absent


DISPLAY, ACCELERATOR = "0x03", "0x1200"
"""Beginnings of PCI classes: what draws, and what computes only."""

UNMEASURED = {"0x1002": ("amd", "an AMD GPU"), "0x8086": ("intel", "an Intel GPU")}
"""By PCI's number of the maker: no device kind of ours, and a word for it."""


def unmeasurable_gpus(root: Path = Path("/")) -> dict[str, Absent]:
    """GPUs of this machine for which there is no device kind, each maker once."""
    found = {}
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        maker = UNMEASURED.get(text_of(device / "vendor").strip())
        if maker and text_of(device / "class").startswith((DISPLAY, ACCELERATOR)):
            kind, what = maker
            found[kind] = Absent(
                reason=f"{what} is here, and dlbench has no way to measure on it yet",
                remedy="docs/extend/add-a-device.md says how to add one.",
            )
    return found


def gather(
    devices: Sequence[DeviceInfo],
    frameworks: Sequence[str],
    root: Path = Path("/"),
    rented: cloud.Cloud | None = None,
    inherited: Mapping[str, str] | None = None,
) -> Environment:
    """Describe this machine and the software that will be measured on it.

    ``inherited`` are the variables of what is measured; None are those that a worker gets of ours.
    """
    facts = machine_facts(root, rented)
    facts |= variables(handed_on() if inherited is None else inherited)
    versions = software_versions(frameworks)
    published = tuple(_without_identity(device) for device in devices)
    return Environment(
        machine=machine_name(facts, devices),
        fingerprint=_fingerprint(facts, versions, published),
        facts=facts,
        versions=versions,
        devices=published,
    )


def changed(then: Environment, now: Environment) -> list[str]:
    """What forbids to go on now with what was begun then, each in words; empty if nothing does."""
    pairs: list[tuple[str, object, object]] = [
        (name, then.facts.get(name), now.facts.get(name)) for name in (*FINGERPRINT_FACTS, *LIMITS)
    ]
    set_ = [n for n in dict.fromkeys([*then.facts, *now.facts]) if n.startswith(VARIABLE)]
    pairs += [(n, then.facts.get(n, UNSET), now.facts.get(n, UNSET)) for n in set_]
    names = dict.fromkeys([*then.versions, *now.versions])
    pairs += [(name, then.versions.get(name), now.versions.get(name)) for name in names]
    return [f"{name} was {_worded(x)} and is {_worded(y)}" for name, x, y in pairs if x != y]


VARIABLE, UNSET = "variable ", "not set"
"""What the facts that are environment variables begin with, and the value of one that there is not."""


def handed_on() -> dict[str, str]:
    """Our environment as a worker gets it, but for what its device and its threads set."""
    return {n: x for n, x in os.environ.items() if n not in OVERRIDES and n not in THREAD_VARIABLES}


def variables(inherited: Mapping[str, str]) -> dict[str, Fact]:
    """Those that frameworks read, as facts; a home folder's name is none of them.

    Each as a document has it, so that a resumed run finds the same: they may be any bytes.
    """
    home = os.path.expanduser("~").rstrip("/") or "~"  # noqa: PTH111 - Path.home() may raise
    return {
        f"{VARIABLE}{name}": in_utf8(value.replace(home, "~"))[:VARIABLE_LENGTH]
        for name, value in sorted(inherited.items())
        if RECORDED.match(name) and not PRIVATE.search(name)
    }


def commit(facts: Mapping[str, Fact]) -> str:
    """The commit of dlbench's own checkout by an environment's facts, in words."""
    return _worded(facts.get("git_commit", UNSET))


def _worded(value: object) -> str:
    return f"absent ({value.reason})" if isinstance(value, Absent) else str(value)


def flags(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """What holds this machine's clocks down: ``on_battery``, ``cpu_limited`` by its governor."""
    driver = facts.get("scaling_driver")
    found = {
        "on_battery": facts.get("power_source") == "battery",
        "cpu_limited": facts.get("governor") == "powersave"
        and isinstance(driver, str)
        and driver not in CLOCKED_BY_LOAD,
    }
    return tuple(name for name, true in found.items() if true)


def usable_threads(requested: int | None, root: Path = Path("/")) -> int:
    """The smallest of CPU affinity, cgroup quota and what was asked for (1 or more); at least 1.

    A quota of 1.5 CPUs is one thread: two would be stopped for a quarter of each period, at another
    moment each, and every step would wait for the one that stands still.
    """
    limits = [len(os.sched_getaffinity(0))]
    quota = cpu_quota(root)
    if not isinstance(quota, Absent):
        limits.append(max(1, int(quota)))
    if requested is not None:
        limits.append(requested)
    return min(limits)


# --- facts ----------------------------------------------------------------------------------


def machine_facts(root: Path = Path("/"), rented: cloud.Cloud | None = None) -> dict[str, Fact]:
    """What the kernel says of the machine and of the limits that we run under.

    ``rented`` is what is known of its cloud; None reads what the disk says.
    """
    cpuinfo = text_of(root / "proc/cpuinfo")
    return {
        "cpu": cpu.processor_name(cpuinfo)
        or Absent(reason="/proc/cpuinfo does not name the processor"),
        "logical_cores": os.cpu_count() or Absent(reason="the kernel does not say"),
        "affinity_cores": len(os.sched_getaffinity(0)),
        "cpu_quota": cpu_quota(root),
        "memory_mib": _meminfo_mib(root, "MemTotal"),
        "memory_available_mib": _meminfo_mib(root, "MemAvailable"),
        "swap_mib": _meminfo_mib(root, "SwapTotal"),
        "memory_limit_mib": memory_limit_mib(root),
        "os": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "virtual_machine": virtualisation(root, cpuinfo),
        "container": container(root),
        **(rented or cloud.on_disk(root)).facts(),
        "governor": _first_line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "scaling_driver": _first_line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"),
        "turbo": turbo(root),
        "smt": _first_line(root / "sys/devices/system/cpu/smt/active"),
        "power_source": power_source(root),
        "transparent_hugepages": _chosen(root / "sys/kernel/mm/transparent_hugepage/enabled"),
        "clock_source": _first_line(
            root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        "clock_resolution_s": sampler.clock_resolution_s(),
        "load_1min": load(root),
        "git_commit": git_commit(),
    }


def cpu_quota(root: Path = Path("/")) -> float | Absent:
    """CPUs' worth of time that this process may use: the least of its cgroup and all above it."""
    found = [_quota(folder) for folder in _cgroup_folders(root, "cpu")]
    quotas = [quota for quota in found if quota is not None]
    return min(quotas) if quotas else Absent(reason="no CPU quota is set")


def memory_limit_mib(root: Path = Path("/")) -> float | Absent:
    """Memory that this process may use: the least of its cgroup and all above it."""
    found = [_limit_mib(folder) for folder in _cgroup_folders(root, "memory")]
    limits = [limit for limit in found if limit is not None]
    return min(limits) if limits else Absent(reason="no memory limit is set")


def virtualisation(root: Path, cpuinfo: str) -> bool | Absent:
    """Whether a hypervisor is underneath."""
    if not cpuinfo:
        return Absent(reason="/proc/cpuinfo cannot be read")
    firmware = root / "sys/class/dmi/id"
    product = f"{text_of(firmware / 'sys_vendor')} {text_of(firmware / 'product_name')}".lower()
    if "hypervisor" in cpuinfo or any(word in product for word in HYPERVISORS):
        return True
    # x86 processors say it by a flag; others have none to miss.
    if "flags" in cpuinfo:
        return False
    if "amazon ec2" in product:
        return ".metal" not in product
    if product.strip() and "google compute engine" not in product:
        return False
    return Absent(reason="neither the processor nor the firmware says")


def container(root: Path) -> str | Absent:
    """The kind of container that we are in."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".singularity.d").exists():
        return "apptainer"
    pod = root / "var/run/secrets/kubernetes.io"
    if pod.exists() or "kubepods" in text_of(root / "proc/1/cgroup"):
        return "kubernetes"
    return Absent(reason="no sign of a container")


def turbo(root: Path) -> bool | Absent:
    """Whether clocks may rise above the base clock."""
    no_turbo = text_of(root / "sys/devices/system/cpu/intel_pstate/no_turbo").strip()
    boost = text_of(root / "sys/devices/system/cpu/cpufreq/boost").strip()
    if no_turbo in {"0", "1"}:
        return no_turbo == "0"
    if boost in {"0", "1"}:
        return boost == "1"
    return Absent(reason="the kernel shows no turbo switch")


def power_source(root: Path) -> str | Absent:
    """``mains`` or ``battery``."""
    found = sorted((root / "sys/class/power_supply").glob("*"))
    # Of a mouse or a headset it is the device's own, and says nothing of the machine.
    supplies = [s for s in found if text_of(s / "scope").strip() != "Device"]
    online = [text_of(s / "online").strip() for s in supplies if (s / "online").exists()]
    batteries = [s for s in supplies if text_of(s / "type").strip() == "Battery"]
    if not batteries:
        return Absent(reason="no battery: a desktop, a server or a virtual machine")
    return "mains" if "1" in online else "battery"


def load(root: Path = Path("/")) -> float | Absent:
    """Mean number of runnable processes over the last minute."""
    words = text_of(root / "proc/loadavg").split()
    return float(words[0]) if words else Absent(reason="/proc/loadavg cannot be read")


def git_commit() -> str | Absent:
    """The commit of dlbench's own checkout, with + if it was changed since."""
    checkout = Path(dlbench.__file__).parent.parent
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return Absent(reason="dlbench does not run from a git checkout")
    commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    found = []
    for command in commands:
        done = subprocess.run(
            [git, "-C", str(checkout), *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return Absent(reason="git does not answer for dlbench's checkout")
        found.append(done.stdout.strip())
    return found[0] + ("+" if found[1] else "")


# --- versions and identity ------------------------------------------------------------------


def software_versions(frameworks: Sequence[str]) -> dict[str, str | Absent]:
    """Versions of dlbench, Python, numpy and whatever the frameworks are made of."""
    names = ["numpy", *(d for f in frameworks for d in registry.distributions(f))]
    versions: dict[str, str | Absent] = {
        "dlbench": dlbench.__version__,
        "python": platform.python_version(),
    }
    for name in dict.fromkeys(names):
        versions[name] = pip.version(name) or Absent(reason=f"{name} is not installed")
    return versions


def machine_name(facts: Mapping[str, Fact], devices: Sequence[DeviceInfo]) -> str:
    """A readable name without a host name in it: ``amd-epyc-2c``, ``h200-16c``."""
    cores = f"{facts['affinity_cores']}c"
    gpus = Counter(_gpu_slug(device.name) for device in devices if device.kind == "nvidia")
    if gpus:
        kinds = [f"{n}x-{slug}" if n > 1 else slug for slug, n in gpus.items()]
        return f"{'-'.join(kinds)}-{cores}"
    name = str(facts["cpu"]).lower() if isinstance(facts["cpu"], str) else "cpu"
    words = name.replace("(r)", "").replace("(tm)", "").split()
    known = [w for w in dict.fromkeys(words) if w.partition("-")[0] in SLUG_WORDS]
    return f"{'-'.join(known[:3]) or 'cpu'}-{cores}"


def _gpu_slug(name: str) -> str:
    words = [w for w in name.lower().split() if w not in {"nvidia", "geforce", "tesla"}]
    return "-".join(words[:2])


def _without_identity(device: DeviceInfo) -> DeviceInfo:
    """A published document can tell two GPUs apart, but not whose they are."""
    if isinstance(device.uuid, Absent):
        return device
    hashed = hashlib.sha256(device.uuid.encode()).hexdigest()[:UUID_DIGITS]
    return replace(device, uuid=f"sha256:{hashed}")


def _fingerprint(
    facts: Mapping[str, Fact],
    versions: Mapping[str, str | Absent],
    devices: Sequence[DeviceInfo],
) -> str:
    parts = {
        "facts": {name: _plain(facts[name]) for name in FINGERPRINT_FACTS},
        "versions": {name: _plain(version) for name, version in versions.items()},
        "devices": [(d.id, d.name, _plain(d.uuid), _plain(d.facts.get("driver"))) for d in devices],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:UUID_DIGITS]


def _plain(value: object) -> object:
    return asdict(value) if isinstance(value, Absent) else value


# --- the kernel's files ---------------------------------------------------------------------


def _first_line(path: Path) -> str | Absent:
    text = text_of(path).strip()
    return text or Absent(reason=f"{path.name} is not shown by this kernel")


def _chosen(path: Path) -> str | Absent:
    """The word in brackets of a kernel switch such as ``always [madvise] never``."""
    text = text_of(path)
    if "[" not in text:
        return Absent(reason=f"{path.parent.name} is not shown by this kernel")
    return text[text.index("[") + 1 : text.index("]")]


def _meminfo_mib(root: Path, field: str) -> float | Absent:
    for line in text_of(root / "proc/meminfo").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return Absent(reason=f"/proc/meminfo has no {field}")


# --- cgroups --------------------------------------------------------------------------------


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Folders whose limits bind this process, of both versions; some may not exist.

    A container often sees its own group as the root, while its path is still the host's.
    """
    top = root / "sys/fs/cgroup"
    folders = [top, top / controller]
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            folders += [*_lineage(top, path), *_lineage(top / "unified", path)]
        elif controller in controllers.split(","):
            folders += [*_lineage(top / controller, path), *_lineage(top / controllers, path)]
    return folders


def _lineage(top: Path, path: str) -> list[Path]:
    """A group's folder and those of the groups that hold it."""
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    return [top.joinpath(*parts[:n]) for n in range(len(parts) + 1)]


def _quota(folder: Path) -> float | None:
    """The quota of one group in CPUs, None where it sets none."""
    words = text_of(folder / "cpu.max").split()
    if not words:
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [text_of(folder / file).strip() for file in files]
    # "max" (version 2) and -1 (version 1) are no quota.
    if len(words) != 2 or not all(w.isdigit() and int(w) for w in words):  # noqa: PLR2004
        return None
    return int(words[0]) / int(words[1])


def _limit_mib(folder: Path) -> float | None:
    """The memory limit of one group, None where it sets none."""
    for file in ("memory.max", "memory.limit_in_bytes"):
        text = text_of(folder / file).strip()
        if text.isdigit() and int(text) < NO_LIMIT_BYTES:
            return int(text) / MIB
    return None
