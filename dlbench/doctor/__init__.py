"""What is here, what can be measured, what will disturb, and what to do about each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence

from dlbench.core import registry
from dlbench.core.protocols import Capability
from dlbench.core.types import Absent, DeviceInfo, Environment, Reading
from dlbench.devices import nvidia
from dlbench.doctor import energy, jitter, noise
from dlbench.doctor.finding import Finding
from dlbench.measure import conditions

WATCH_S = 1.0
"""How long the machine is watched for others at work: CPU times advance in ticks of 10 ms."""


__all__ = ["Finding", "examine", "examine_here"]


def examine(  # noqa: PLR0913, PLR0917 - all that was found
    environment: Environment,
    devices: Sequence[DeviceInfo],
    absent_devices: Mapping[str, Absent],
    frameworks: Mapping[str, Capability | Absent],
    readings: Mapping[str, Sequence[Reading]],
    processes: Mapping[str, noise.GpuProcesses],
    watched: tuple[conditions.Snapshot, conditions.Snapshot],
    spans_s: Sequence[float] = (),
    examined: Mapping[str, energy.Energy] | None = None,
) -> tuple[Finding, ...]:
    """Everything worth saying, by topic; what disturbs in order of its weight.

    Args:
        environment: the machine as recorded.
        devices: devices that were found.
        absent_devices: device kinds without a device, with the reason.
        frameworks: what each adapter's probe answered.
        readings: one read of every meter, by device id.
        processes: what computes on each GPU, by device id.
        watched: the machine's CPU times at both ends of a short wait.
        spans_s: seconds of the same work, again and again.
        examined: what was found of each device's energy meters, by device id.
    """
    return (
        *_devices(devices, absent_devices),
        *_frameworks(frameworks),
        *_measurable(readings),
        *energy.findings(devices, examined or {}),
        *_limits(environment),
        *jitter.finding(spans_s),
        *noise.ranked(
            [
                *noise.contention(environment.facts, watched),
                *noise.of_gpus(devices, processes),
                *noise.settings(environment.facts),
            ]
        ),
    )


def examine_here() -> tuple[Finding, ...]:
    """Examine this machine."""
    from dlbench import environment

    devices, absent = environment.find_devices()
    names = [n for n in registry.names("frameworks") if n != registry.FAKE]
    frameworks = {name: registry.framework(name).probe() for name in names}
    readings = {
        device.id: [
            reading
            for meter in registry.device_kind(device.kind).meters(device)
            for reading in meter.read()
        ]
        for device in devices
    }
    processes = {d.id: nvidia.processes(d) for d in devices if d.kind == "nvidia"}
    here = environment.gather(devices, names)
    examined = {device.id: energy.examine(device) for device in devices}
    return examine(
        here,
        devices,
        absent,
        frameworks,
        readings,
        processes,
        _watch(),
        jitter.measure(),
        examined,
    )


def _watch() -> tuple[conditions.Snapshot, conditions.Snapshot]:
    cpus = os.sched_getaffinity(0)
    before = conditions.snapshot(cpus)
    time.sleep(WATCH_S)
    return before, conditions.snapshot(cpus)


def _devices(devices: Sequence[DeviceInfo], absent: Mapping[str, Absent]) -> Iterator[Finding]:
    topic = "Devices"
    for device in devices:
        memory = "" if isinstance(device.memory_mib, Absent) else f", {device.memory_mib:,.0f} MiB"
        precisions = ", ".join(device.precisions)
        yield Finding(
            topic=topic,
            status="ok",
            message=f"{device.id}: {device.name}{memory}; native {precisions}",
        )
        details = {"cpu": _cpu_details, "nvidia": _gpu_details}.get(device.kind)
        if details is not None:
            yield Finding(topic=topic, status="ok", message=details(device))
    for silent in dict.fromkeys(str(d.facts["silent_gpus"]) for d in devices if _silent(d)):
        yield Finding(
            topic=topic,
            status="problem",
            message=f"a GPU does not answer: {silent}",
            remedy="dmesg | grep NVRM says why; a reboot usually brings it back.",
        )
    for kind, reason in absent.items():
        message = f"{kind}: {reason.reason}"
        yield Finding(topic=topic, status="missing", message=message, remedy=reason.remedy)


def _cpu_details(device: DeviceInfo) -> str:
    facts = device.facts
    return (
        f"cpu features: {facts.get('flags') or 'none that matter'}; physical cores "
        f"{_words(facts.get('physical_cores'))}, memory nodes {_words(facts.get('numa_nodes'))}"
    )


def _gpu_details(device: DeviceInfo) -> str:
    facts = device.facts
    return (
        f"{device.id}: driver {_words(facts.get('driver'))} (CUDA "
        f"{_words(facts.get('cuda_driver'))}), compute capability "
        f"{_words(facts.get('compute_capability'))}"
    )


def _silent(device: DeviceInfo) -> bool:
    return "silent_gpus" in device.facts


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
        answered = [r for r in found if not isinstance(r.value, Absent)]
        if answered:
            what = ", ".join(dict.fromkeys(_quantity(r) for r in answered))
            sources = ", ".join(dict.fromkeys(r.source for r in answered))
            yield Finding(topic=topic, status="ok", message=f"{device_id} {what} ({sources})")
        for reading in found:
            if isinstance(reading.value, Absent):
                yield Finding(
                    topic=topic,
                    status="missing",
                    message=f"{device_id} {_quantity(reading)}: {reading.value.reason}",
                    remedy=reading.value.remedy,
                )


def _quantity(reading: Reading) -> str:
    return QUANTITY_WORDS.get(reading.quantity, reading.quantity)


QUANTITY_WORDS = {
    "energy_counter_j": "energy",
    "power_w": "power",
    "temperature_c": "temperature",
    "sm_clock_mhz": "clock",
    "memory_clock_mhz": "memory clock",
    "power_limit_w": "power limit",
    "throttled_power_cap_s": "time held by the power cap",
    "throttled_software_thermal_s": "time held by heat (software)",
    "throttled_hardware_thermal_s": "time held by heat (hardware)",
    "throttled_power_brake_s": "time held by the power brake",
    "throttled_cores_s": "time held by heat (cores)",
    "core_clock_mhz": "clock",
    "pcie_generation": "PCIe generation",
    "pcie_lanes_count": "PCIe lanes",
    "memory_used_mib": "memory in use",
    "utilisation_percent": "utilisation",
    "throttle_reasons_bits": "throttling",
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


def _words(value: object) -> str:
    return f"unknown ({value.reason})" if isinstance(value, Absent) else str(value)
