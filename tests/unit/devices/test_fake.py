"""The fake device: closed-form energy, and failure on demand."""

from __future__ import annotations

import pytest

from dlbench.core.types import Absent
from dlbench.devices import fake


def test_energy_is_power_times_time() -> None:
    """50 W for 3.5 s are 175 J."""
    times_s = iter((100.0, 103.5))
    meter = fake.FakeMeter("fake", clock=lambda: next(times_s))
    (before,), (after,) = meter.read(), meter.read()
    assert (before.t_s, before.value) == (100.0, 5000.0)
    assert (after.t_s, after.value) == (103.5, 5175.0)
    assert (after.source, after.quantity) == ("fake:fake", "energy_counter_j")


@pytest.mark.parametrize("fails_from", [1, 2, 3])
def test_the_meter_fails_from_the_read_it_was_told(
    monkeypatch: pytest.MonkeyPatch, fails_from: int
) -> None:
    """And never before; what fails is Absent, not zero."""
    monkeypatch.setenv(fake.FAIL_VARIABLE, str(fails_from))
    meter = fake.FakeMeter("fake")
    values = [meter.read()[0].value for _ in range(3)]
    failed = [isinstance(value, Absent) for value in values]
    assert failed == [n >= fails_from for n in (1, 2, 3)]
