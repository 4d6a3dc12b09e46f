"""Every framework with every precision: run as asked, or a skip with its reason; never another one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dlbench import plan
from dlbench.core import registry
from dlbench.core.errors import DlbenchError
from dlbench.core.types import Absent, DeviceInfo, Mode, OutcomeKind, Plan, Precision, Selection

REAL = [name for name in registry.names("frameworks") if name != "fake"]

CELLS = [(framework, precision) for framework in REAL for precision in Precision]


def _device(kind: str, *precisions: Precision) -> DeviceInfo:
    return DeviceInfo(
        id=kind,
        kind=kind,
        name=f"Some {kind}",
        uuid=Absent(reason="none"),
        memory_mib=8192.0,
        precisions=precisions,
        peak_flops={},
    )


def _machine(device: DeviceInfo) -> plan.Machine:
    return plan.Machine(devices=(device,), absent_devices={}, threads=1)


def _plan(framework: str, precision: Precision, device: DeviceInfo) -> Plan | DlbenchError:
    asked = Selection(
        workloads=("resnet50",),
        frameworks=(framework,),
        devices=(device.kind,),
        precisions=(precision,),
        modes=(Mode.INFERENCE,),
    )
    try:
        return plan.make_plan(asked, _machine(device))
    except DlbenchError as error:
        return error


def _able(framework: str, kind: str) -> tuple[Precision, ...]:
    found = registry.framework(framework).probe()
    if isinstance(found, Absent):
        pytest.skip(found.reason)
    return tuple(found.precisions.get(kind, ()))


@pytest.mark.parametrize("kind", ["cpu", "nvidia"])
@pytest.mark.parametrize(("framework", "precision"), CELLS)
def test_a_cell_runs_in_the_precision_asked_for_or_says_why_not(
    framework: str, precision: Precision, kind: str
) -> None:
    """On a device that has them all, the adapter decides; nothing else is planned in its stead."""
    able = _able(framework, kind)
    found = _plan(framework, precision, _device(kind, *Precision))
    if isinstance(found, DlbenchError):
        assert precision not in able
        capability = registry.framework(framework).probe()
        assert not isinstance(capability, Absent)
        known = capability.reasons.get(kind, f"the {framework} adapter does not run")
        assert known in found.message
        return
    assert precision in able
    assert {c.precision for c in found.cases} == {precision}
    assert not found.skips


@pytest.mark.parametrize(("framework", "precision"), CELLS)
def test_what_the_device_lacks_is_a_skip_by_the_devices_own_word(
    framework: str, precision: Precision
) -> None:
    """A CPU of fp32 alone: the adapter could emulate the rest, slowly, under a fast one's name."""
    able = _able(framework, "cpu")
    here = _device("cpu", Precision.FP32)
    found = _plan(framework, precision, here)
    if precision is Precision.FP32:
        assert isinstance(found, Plan)
        return
    assert isinstance(found, DlbenchError)
    if precision in able:
        assert f"Some cpu has no native {precision} arithmetic" in found.message


def test_a_mixed_request_runs_what_can_run_and_skips_the_rest() -> None:
    """Each precision that was asked for has exactly one place: a case, or a skip with a sentence."""
    able = _able("pytorch", "cpu")
    asked = Selection(
        workloads=("resnet50",),
        frameworks=("pytorch",),
        devices=("cpu",),
        precisions=tuple(Precision),
        modes=(Mode.INFERENCE,),
    )
    planned = plan.make_plan(asked, _machine(_device("cpu", Precision.FP32)))
    assert [c.precision for c in planned.cases] == [Precision.FP32]
    assert {s.case.precision for s in planned.skips} == set(Precision) - {Precision.FP32}
    assert {s.outcome.kind for s in planned.skips} == {OutcomeKind.UNSUPPORTED}
    assert all(s.outcome.message for s in planned.skips)
    assert Precision.BF16 in able


def test_jax_is_told_the_arithmetic_of_products_in_every_precision() -> None:
    """Never what a file or an environment left: TF32 only where it is asked for, or in 16 bits."""
    from dlbench.frameworks import jax as adapter

    told: list[tuple[str, str]] = []
    config = SimpleNamespace(update=lambda key, value: told.append((key, value)))
    for precision in adapter.CUDA_PRECISIONS:
        adapter.set_numerics(SimpleNamespace(config=config), precision)
    assert told == [
        ("jax_default_matmul_precision", name)
        for name in ("highest", "tensorfloat32", "default", "default")
    ]
