"""Buy or rent: from how many hours of work a month a machine of one's own is cheaper.

    fixed costs of a month / (rent of an hour's work - energy of an hour's work)

in each simulated outcome: speeds and watts that are told within a factor make hours that are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlbench.analysis.recommend import simulate, solve, words
from dlbench.analysis.recommend.estimate import HOURS_A_MONTH, Simulated
from dlbench.analysis.recommend.simulate import Floats
from dlbench.analysis.recommend.solve import Judged
from dlbench.core.recommendation import BuyOrRent, Need, OwnedMachine
from dlbench.core.types import Absent, Estimated
from dlbench.core.units import compact

RAREST_TOLD = 0.005
"""Of outcomes; less would be told as 0 %."""

METHOD = "fixed costs of a month / what an hour of work saves"


def buy_or_rent(judged: Sequence[Judged], need: Need) -> tuple[BuyOrRent, ...]:
    """From how many hours of work a month each machine of one's own is cheaper than the best rent."""
    rented = next(
        (j for j in solve.feasible(judged, need) if not j.simulated.choice.owned), None
    ) or min((j for j in judged if not j.simulated.choice.owned), key=solve.order, default=None)
    if rented is None:
        return ()
    return tuple(
        _against(j.simulated, machine, rented.simulated)
        for j in judged
        if (machine := j.simulated.choice.owned) is not None
    )


def _against(own: Simulated, machine: OwnedMachine, rented: Simulated) -> BuyOrRent:
    n, price = own.candidate.n_instances, rented.candidate.price_usd_per_h
    name = f"{n} x {machine.name}" if n > 1 else machine.name
    if isinstance(price, Absent):
        return BuyOrRent(
            machine=name,
            rented=rented.candidate.name,
            break_even_h_per_month=price,
            p_pays=None,
            sentence=f"{name}: the price of {rented.candidate.name} is not known.",
        )
    idle_usd_per_h = n * machine.idle_w / 1e3 * machine.tariff_usd_per_kwh
    fixed_usd = (
        n * machine.purchase_usd / (machine.life_years * 12) + idle_usd_per_h * HOURS_A_MONTH
    )
    work_usd_per_h = np.maximum(0.0, _energy_usd_per_h(own, machine) - idle_usd_per_h)
    speed = own.samples_per_s / rented.samples_per_s
    saved_usd_per_h = price * rented.candidate.n_instances * speed - work_usd_per_h
    what = "if it idles for this alone" if machine.purchase_usd == 0 else "(its price, idling)"
    fixed = f"{words.usd(fixed_usd)} a month are fixed {what}"
    return _told(name, rented.candidate.name, fixed, fixed_usd, saved_usd_per_h)


def _energy_usd_per_h(own: Simulated, machine: OwnedMachine) -> Floats:
    """Of an hour of work; unknown energy that somebody pays for is refused before."""
    if own.joules is None:
        return np.zeros(simulate.N_DRAWS)
    return own.joules / own.time_s / 1e3 * machine.tariff_usd_per_kwh


def _told(machine: str, rented: str, fixed: str, fixed_usd: float, saved: Floats) -> BuyOrRent:
    """The hours with their range; of one that mostly never pays why, and how often it does."""
    never = np.full(simulate.N_DRAWS, np.inf)
    hours = simulate.summary(np.divide(fixed_usd, saved, out=never, where=saved > 0), METHOD)
    p_pays = float(np.mean(never <= HOURS_A_MONTH))
    found: Estimated | Absent = hours
    if hours.value <= HOURS_A_MONTH:
        an_hour = words.money(simulate.summary(saved, "rent - energy"))
        sentence = (
            f"{machine} pays from about {_hours(hours, p_pays)} of its work a month: {fixed}, and each "
            f"hour saves {an_hour} against {rented}."
        )
    else:
        why = (
            f"{fixed}, which {hours.value:,.0f} hours of work would save, and a month has "
            f"{HOURS_A_MONTH:.0f}"
            if np.isfinite(hours.value)
            else f"its energy alone costs more an hour than {rented}"
        )
        found = Absent(reason=why)
        sentence = (
            f"Rent: {machine} pays against {rented} in {words.share(p_pays)} of outcomes only; in the "
            f"middle of them {why}."
            if p_pays >= RAREST_TOLD
            else f"Rent: {machine} never pays against {rented}; {why}."
        )
    return BuyOrRent(
        machine=machine,
        rented=rented,
        break_even_h_per_month=found,
        p_pays=p_pays,
        sentence=sentence,
    )


def _hours(hours: Estimated, p_pays: float) -> str:
    """So many, with their ends; beyond the hours that a month has there is none."""
    low, mid, high = map(compact, (hours.interval.low, hours.value, hours.interval.high))
    if hours.interval.high > HOURS_A_MONTH:
        return f"{mid} hours ({low} or more, and never in {1 - p_pays:.0%} of outcomes)"
    return f"{mid} hours" if low == high else f"{mid} hours ({low} to {high})"
