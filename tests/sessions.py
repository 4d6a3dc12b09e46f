"""Short real sessions on the fake framework: real worker processes, milliseconds of measuring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlbench import environment, session, workloads
from dlbench.core import registry
from dlbench.core.types import Absent, Case, DeviceInfo, Environment, Plan, Profile
from tests import builders

PROFILE = Profile(
    name="test",
    target_half_width=0.5,
    looks=(1,),
    min_values=3,
    max_values=5,
    max_steady_s=0.2,
    max_warm_up_s=0.2,
    min_warm_up_s=0.0,
    min_steady_s=0.0,
    time_budget_s=None,
)


def fake_case(**options: str) -> Case:
    """An inference case with adapter options, such as ``fault="segv@running"``."""
    return builders.case(options=(("step_ms", "1"), *options.items()))


def plan(cases: Sequence[Case], **changes: Any) -> Plan:
    """A plan of real cases of the fake workload."""
    info = workloads.read(workloads.folders()["fake"]).info("full")
    base: dict[str, Any] = {"workloads": (info,), "profile": PROFILE, "sentinel": None}
    return builders.plan(cases, **{**base, **changes})


def surroundings() -> Environment:
    """This machine, as the fake framework sees it."""
    return environment.gather(devices(), ["fake"])


def devices() -> tuple[DeviceInfo, ...]:
    """The fake device."""
    found = registry.device_kind("fake").find()
    assert not isinstance(found, Absent)
    return found


def run(planned: Plan, folder: Path, **settings: Any) -> session.Finished:
    """Run a plan to its end."""
    return session.run_plan(
        planned, surroundings(), devices(), session.Settings(folder=folder, **settings)
    )
