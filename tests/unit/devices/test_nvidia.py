"""The parts of the NVIDIA adapter that need no driver."""

from __future__ import annotations

import sys

import pytest

from dlbench.core.types import Absent
from dlbench.devices import _nvml_meters, nvidia
from tests import builders


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x0, ()),
        (0x1 | 0x2 | 0x100, ()),
        (0x4, ("power cap",)),
        (0x8 | 0x40, ("hardware slowdown", "thermal (hardware)")),
        (0x20 | 0x80, ("thermal (software)", "power brake")),
    ],
)
def test_throttling_is_told_from_choices(bits: int, words: tuple[str, ...]) -> None:
    """Idle clocks and clocks that somebody set are no throttling."""
    assert _nvml_meters.throttle_words(bits) == words


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
