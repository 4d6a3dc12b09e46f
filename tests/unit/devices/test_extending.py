"""The adapter printed in docs/extend/add-a-device.md works as it stands there."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from dlbench.core.protocols import Device
from dlbench.core.types import Absent

PAGE = Path(__file__).parents[3] / "docs/extend/add-a-device.md"


@pytest.fixture
def adapter(tmp_path: Path) -> Device:
    """The printed module, looking below a folder of the test's."""
    code = PAGE.read_text(encoding="utf-8").split("```python\n", 1)[1].split("```", 1)[0]
    module = ModuleType("npu")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)  # noqa: S102 - our own page
    module.__dict__["ROOT"] = tmp_path
    return cast("Device", module)


def test_the_printed_adapter_finds_nothing_with_a_reason(adapter: Device) -> None:
    """As the page asks of all."""
    found = adapter.find()
    assert isinstance(found, Absent)
    assert found.reason
    assert found.remedy


def test_the_printed_adapter_reads_its_sensor(adapter: Device, tmp_path: Path) -> None:
    """Microwatts in the kernel's file, watts in the reading; without the file a reason."""
    sensor = tmp_path / "accel0/device/hwmon/power1_average"
    sensor.parent.mkdir(parents=True)
    sensor.write_text("75000000\n")
    found = adapter.find()
    assert not isinstance(found, Absent)
    (device,) = found
    assert device.id == "npu:0"
    assert adapter.child_environment(device)["NPU_VISIBLE_DEVICES"] == "0"
    (meter,) = adapter.meters(device)
    (reading,) = meter.read()
    assert (reading.quantity, reading.value, reading.source) == ("power_w", 75.0, "accel:npu:0")
    sensor.unlink()
    (gone,) = meter.read()
    assert isinstance(gone.value, Absent)
