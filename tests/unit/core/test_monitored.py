"""Energy of a monitored program: how far its bounds reach."""

from __future__ import annotations

import pytest

from dlbench.core import monitored, sensors
from dlbench.core.energy import WindowEnergy
from dlbench.core.trial_energy import TrialEnergy
from dlbench.core.types import Absent, Column, Measured, Monitored, Track, Window


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


@pytest.mark.parametrize(
    ("times_s", "mib", "peak_mib"),
    [
        ((1.0, 2.1, 2.9), (9.0, 1.0, 2.0), 2.0),
        ((1.0, 3.5), (9.0, 2.0), "it had ended before it was read"),
    ],
)
def test_memory_is_the_programs_and_not_what_waited_before_it(
    times_s: tuple[float, ...], mib: tuple[float, ...], peak_mib: float | str
) -> None:
    """While devices idle a Python waits to become it: a small program's peak had been that one's."""
    column = Column(quantity="rss_mib", values=mib)
    t_us = tuple(round(t_s * 1e6) for t_s in times_s)
    program = Monitored(
        name="sleep",
        command=("sleep", "1"),
        started_utc="2026-01-01T00:00:00Z",
        exit_code=0,
        cpu_s=0.001,
        windows=(Window(name="energy", start_s=2.0, end_s=3.0),),
        host=(Track(source="host", start_s=0.0, t_us=t_us, columns=(column,)),),
        devices=(),
    )
    found = {figure.name: figure.value for figure in monitored.of_host(program)}["peak_rss_mib"]
    assert (found.reason if isinstance(found, Absent) else found.value) == peak_mib
