"""A device that does not exist: 50 W for ever, counted in closed form. For tests and for trying."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dlbench.core.trial_energy import COUNTER
from dlbench.core.types import Absent, DeviceInfo, Precision, Reading

POWER_W = 50.0

FAIL_VARIABLE = "DLBENCH_FAKE_METER_FAILS_FROM"
"""Number of the read from which the meter answers no more, for tests of lost telemetry."""


HOW_VARIABLE = "DLBENCH_FAKE_METER_FAILS_BY"
"""What it does instead: ``hang`` for a minute, or ``kill`` its process as a faulty driver would."""

HANG_S = 60.0


def find() -> tuple[DeviceInfo, ...] | Absent:
    """One fake device."""
    return (
        DeviceInfo(
            id="fake",
            kind="fake",
            name="Fake device",
            uuid=Absent(reason="it does not exist"),
            memory_mib=Absent(reason="it has no memory"),
            precisions=(Precision.FP32,),
            peak_flops={Precision.FP32.value: 1e12},
        ),
    )


def meters(device: DeviceInfo) -> tuple[FakeMeter, ...]:
    """One meter of a constant power."""
    return (FakeMeter(device.id),)


def memory_held_mib(device: DeviceInfo, pid: int) -> float | Absent:  # noqa: ARG001
    """None, since it has no memory."""
    return Absent(reason="the fake device has no memory")


OCCUPANTS_FILE = "DLBENCH_FAKE_OCCUPANTS"
"""A file with the ids of processes that are said to hold the device, for tests of a device in use."""


def occupants(device: DeviceInfo) -> tuple[int, ...] | Absent:  # noqa: ARG001
    """Nobody, unless a test says so."""
    told = os.environ.get(OCCUPANTS_FILE)
    return tuple(int(word) for word in Path(told).read_text().split()) if told else ()


def child_environment(device: DeviceInfo) -> Mapping[str, str]:  # noqa: ARG001
    """No accelerator is visible to a worker of the fake device."""
    return {"CUDA_VISIBLE_DEVICES": ""}


class FakeMeter:
    """Energy since the clock's zero at ``POWER_W``: between two reads, power times time exactly."""

    def __init__(self, device_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = f"fake:{device_id}"
        self._clock = clock
        self._n_reads = 0
        self._fails_from = int(os.environ.get(FAIL_VARIABLE, "0"))

    def read(self) -> Sequence[Reading]:
        """Read the counter."""
        self._n_reads += 1
        now_s = self._clock()
        value: float | Absent = POWER_W * now_s
        if self._fails_from and self._n_reads >= self._fails_from:
            _misbehave(os.environ.get(HOW_VARIABLE, ""))
            value = Absent(reason="the fake meter was told to fail")
        return (Reading(t_s=now_s, source=self._source, quantity=COUNTER, value=value),)


def _misbehave(how: str) -> None:
    if how == "hang":
        time.sleep(HANG_S)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
