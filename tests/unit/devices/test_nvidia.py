"""The parts of the NVIDIA adapter that need no driver."""

from __future__ import annotations

import sys

import pytest

from dlbench.core.types import Absent
from dlbench.devices import nvidia
from tests import builders


def test_a_device_that_cannot_be_named_is_not_shown_to_a_worker() -> None:
    """Otherwise CUDA would hand it whichever GPU comes first."""
    nameless = builders.CPU
    assert isinstance(nameless.uuid, Absent)
    assert nvidia.child_environment(nameless)["CUDA_VISIBLE_DEVICES"] == ""
    (reading,) = nvidia.meters(nameless)[0].read()
    assert reading.value == nameless.uuid


def test_without_the_binding_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the line that installs it."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = nvidia.find()
    assert isinstance(found, Absent)
    assert found.remedy == "pip install nvidia-ml-py"
