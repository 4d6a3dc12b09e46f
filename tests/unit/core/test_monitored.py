"""Energy of a monitored program: how far its bounds reach."""

from __future__ import annotations

import pytest

from dlbench.core import monitored, sensors
from dlbench.core.energy import WindowEnergy
from dlbench.core.trial_energy import TrialEnergy
from dlbench.core.types import Absent, Measured


def test_net_energy_that_may_be_negative_has_the_sensors_error_at_both_ends() -> None:
    """Of -20 J a sensor that says 8 % too little means -21.7; 22 J may be 20 to 24."""
    window = WindowEnergy(
        gross_j=301.0,
        net_j=1.0,
        uncertainty_j=21.0,
        net_uncertainty_j=21.0,
        duration_s=5.0,
        method="counter",
    )
    energy = TrialEnergy(
        windows=(window,),
        n_samples=(1,),
        integrals=(Absent(reason="no power sensor"),),
        idle_w=60.0,
        source="nvml",
        method="counter",
        reportable=True,
    )
    found = monitored._energy(energy, sensors.PART_TIME, net=True, suspect=False)
    assert isinstance(found, Measured)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((-20 / 0.92, 22 / 0.92))
