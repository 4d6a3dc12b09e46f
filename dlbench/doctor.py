"""What is here, what can be measured, what will disturb, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dlbench.core import registry
from dlbench.core.protocols import Capability
from dlbench.core.types import Absent, DeviceInfo, Environment, Reading

Status = Literal["ok", "limited", "missing", "problem"]

BUSY_LOAD_SHARE = 0.2
"""A load of a fifth of the cores before anything was started shows in every interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about this machine: what it is, and what to do if it is not as it should be."""

    topic: str
    status: Status
    message: str
    remedy: str = ""


def examine(
    environment: Environment,
    devices: Sequence[DeviceInfo],
    absent_devices: Mapping[str, Absent],
    frameworks: Mapping[str, Capability | Absent],
    readings: Mapping[str, Sequence[Reading]],
) -> tuple[Finding, ...]:
    """Everything worth saying, by topic.

    Args:
        environment: the machine as recorded.
        devices: devices that were found.
        absent_devices: device kinds without a device, with the reason.
        frameworks: what each adapter's probe answered.
        readings: one read of every meter, by device id.
    """
    return (
        *_devices(devices, absent_devices),
        *_frameworks(frameworks),
        *_measurable(readings),
        *_limits(environment),
        *_noise(environment),
    )


def examine_here() -> tuple[Finding, ...]:
    """Examine this machine."""
    from dlbench import environment

    devices, absent = environment.find_devices()
    names = [n for n in registry.names("frameworks") if n != "fake"]
    frameworks = {name: registry.framework(name).probe() for name in names}
    readings = {
        device.id: [
            reading
            for meter in registry.device_kind(device.kind).meters(device)
            for reading in meter.read()
        ]
        for device in devices
    }
    here = environment.gather(devices, names)
    return examine(here, devices, absent, frameworks, readings)


def _devices(devices: Sequence[DeviceInfo], absent: Mapping[str, Absent]) -> Iterator[Finding]:
    for device in devices:
        memory = "" if isinstance(device.memory_mib, Absent) else f", {device.memory_mib:,.0f} MiB"
        precisions = ", ".join(device.precisions)
        yield Finding(
            topic="Devices",
            status="ok",
            message=f"{device.id}: {device.name}{memory}; native {precisions}",
        )
        if device.kind == "cpu":
            flags = device.facts.get("flags")
            yield Finding(topic="Devices", status="ok", message=f"cpu features: {flags}")
        if device.kind == "nvidia":
            yield Finding(
                topic="Devices",
                status="ok",
                message=f"{device.id}: driver {_words(device.facts.get('driver'))}, compute "
                f"capability {_words(device.facts.get('compute_capability'))}",
            )
    for kind, reason in absent.items():
        yield Finding(
            topic="Devices",
            status="missing",
            message=f"{kind}: {reason.reason}",
            remedy=reason.remedy,
        )


def _frameworks(frameworks: Mapping[str, Capability | Absent]) -> Iterator[Finding]:
    for name, capability in frameworks.items():
        if isinstance(capability, Absent):
            yield Finding(
                topic="Frameworks",
                status="missing",
                message=f"{name}: {capability.reason}",
                remedy=capability.remedy,
            )
            continue
        kinds = "; ".join(
            f"{kind}: {', '.join(precisions)}" for kind, precisions in capability.precisions.items()
        )
        yield Finding(
            topic="Frameworks", status="ok", message=f"{name} {capability.version} ({kinds})"
        )
        for reason in capability.reasons.values():
            yield Finding(topic="Frameworks", status="limited", message=f"{name}: {reason}")


def _measurable(readings: Mapping[str, Sequence[Reading]]) -> Iterator[Finding]:
    topic = "What can be measured"
    yield Finding(
        topic=topic, status="ok", message="time, throughput, latency, host memory: always"
    )
    for device_id, found in readings.items():
        for reading in found:
            quantity = QUANTITY_WORDS.get(reading.quantity, reading.quantity)
            if isinstance(reading.value, Absent):
                yield Finding(
                    topic=topic,
                    status="missing",
                    message=f"{device_id} {quantity}: {reading.value.reason}",
                    remedy=reading.value.remedy,
                )
            else:
                yield Finding(
                    topic=topic, status="ok", message=f"{device_id} {quantity} ({reading.source})"
                )


QUANTITY_WORDS = {
    "energy_counter_j": "energy",
    "power_w": "power",
    "temperature_c": "temperature",
    "sm_clock_mhz": "clock",
    "memory_used_mib": "memory in use",
}


def _limits(environment: Environment) -> Iterator[Finding]:
    topic, facts = "Limits", environment.facts
    quota, limit = facts["cpu_quota"], facts["memory_limit_mib"]
    cores, affinity = facts["logical_cores"], facts["affinity_cores"]
    if isinstance(quota, float):
        yield Finding(
            topic=topic,
            status="limited",
            message=f"this container may use {quota:g} CPUs' worth of time",
            remedy="Raise the quota, or accept it: threads are set to it.",
        )
    if affinity != cores:
        yield Finding(
            topic=topic, status="limited", message=f"only {affinity} of {cores} cores may be used"
        )
    if isinstance(limit, float):
        yield Finding(
            topic=topic, status="limited", message=f"this container may use {limit:,.0f} MiB"
        )
    memory = facts["memory_mib"]
    if isinstance(memory, float):
        yield Finding(
            topic=topic, status="ok", message=f"{affinity} cores, {memory:,.0f} MiB of memory"
        )


def _noise(environment: Environment) -> Iterator[Finding]:
    """What disturbs measuring, the worst first."""
    facts = environment.facts
    yield from _load(facts)
    yield from _power(facts)
    if facts["virtual_machine"] is True:
        yield _noisy(
            "limited",
            "a virtual machine: neighbours and the hypervisor take time that cannot be seen",
            "Use more trials (--profile standard); compare only cases of one run.",
        )
    if facts["governor"] == "powersave":
        yield _noisy(
            "problem",
            "the CPU governor is powersave: clocks follow the load",
            "sudo cpupower frequency-set -g performance",
        )
    if isinstance(facts["governor"], Absent):
        yield _noisy("limited", "clock frequencies are not shown here and are not recorded", "")
    if facts["turbo"] is True:
        yield _noisy(
            "limited",
            "turbo is on: clocks depend on temperature and on neighbours",
            "For the narrowest intervals switch it off in the firmware or the kernel.",
        )
    if facts["smt"] == "1":
        yield _noisy(
            "limited",
            "simultaneous multithreading is on: two threads share a core",
            "--threads with the number of physical cores is often faster and steadier.",
        )
    if facts["transparent_hugepages"] == "always":
        yield _noisy("limited", "transparent huge pages are always on; recorded", "")


def _load(facts: Mapping[str, str | int | float | bool | Absent]) -> Iterator[Finding]:
    load, cores = facts["load_1min"], facts["affinity_cores"]
    if isinstance(load, Absent) or not isinstance(load, float) or not isinstance(cores, int):
        return
    if load > BUSY_LOAD_SHARE * cores:
        yield _noisy(
            "problem",
            f"other programs are running: load {load:.2f} on {cores} cores",
            "Find them with top and stop them, or wait.",
        )
    else:
        yield _noisy("ok", f"quiet: load {load:.2f} on {cores} cores", "")


def _power(facts: Mapping[str, str | int | float | bool | Absent]) -> Iterator[Finding]:
    if facts["power_source"] == "battery":
        yield _noisy("problem", "running on battery: clocks are held down", "Plug it in.")


def _noisy(status: Status, message: str, remedy: str) -> Finding:
    return Finding(topic="Noise", status=status, message=message, remedy=remedy)


def _words(value: object) -> str:
    return f"unknown ({value.reason})" if isinstance(value, Absent) else str(value)
