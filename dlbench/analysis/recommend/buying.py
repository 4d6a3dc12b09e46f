"""Buy or rent: from how many hours of work a month a machine of one's own is cheaper.

    fixed costs of a month / (rent - energy of an hour of its work)

in each simulated outcome: speeds and watts that are told within a factor make hours that are. The rent
is of what the machine does in that hour, set-up and all: these are the numbers by which the pick is
made, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dlbench.analysis.recommend import estimate, simulate, solve, words
from dlbench.analysis.recommend.estimate import HOURS_A_MONTH, Simulated
from dlbench.analysis.recommend.simulate import Floats
from dlbench.analysis.recommend.solve import Judged
from dlbench.core.recommendation import BuyOrRent, Need, OwnedMachine, Refusal
from dlbench.core.types import Absent, Estimated
from dlbench.core.units import compact, percent

RAREST_TOLD = 0.005
"""Of outcomes; less would be told as 0 %."""

METHOD = "fixed costs of a month / what an hour of work saves"


def buy_or_rent(judged: Sequence[Judged], need: Need) -> tuple[BuyOrRent, ...]:
    """From how many hours of work a month each machine of one's own is cheaper than the best rent."""
    rented = best_rent(judged, need)
    if rented is None:
        return ()
    return tuple(
        _but_out(_against(j.simulated, machine, rented.simulated), solve.broken(j, need))
        for j in judged
        if (machine := j.simulated.choice.owned) is not None
    )


def _but_out(found: BuyOrRent, limit: Refusal | None) -> BuyOrRent:
    """With the limit that a machine breaks: that it pays does not make it a way."""
    if limit is None:
        return found
    return replace(found, sentence=f"{found.sentence} It is out for this need: {limit.reason}.")


def best_rent(judged: Sequence[Judged], need: Need) -> Judged | None:
    """The best that is for rent: of those that keep every limit, where there are any."""
    kept = (j for j in solve.feasible(judged, need) if not j.simulated.choice.owned)
    every = (j for j in judged if not j.simulated.choice.owned)
    return next(kept, None) or min(every, key=solve.order, default=None)


def _against(own: Simulated, machine: OwnedMachine, rented: Simulated) -> BuyOrRent:
    n, hours = own.candidate.n_instances, own.time_s / 3600
    work_usd = estimate.work_usd(machine, own.joules, hours, n)
    return _told(
        f"{n} x {machine.name}" if n > 1 else machine.name,
        rented.candidate.name,
        n * estimate.fixed_usd_per_month(machine),
        (rented.cost_usd - work_usd) / hours,
    )


def _told(machine: str, rented: str, fixed_usd: float, saved_usd_per_h: Floats) -> BuyOrRent:
    """The hours with their range; of one that mostly never pays why, and how often it does."""
    never = np.full(simulate.N_DRAWS, np.inf)
    pays_h = np.divide(fixed_usd, saved_usd_per_h, out=never, where=saved_usd_per_h > 0)
    hours, p_pays = simulate.summary(pays_h, METHOD), float(np.mean(pays_h <= HOURS_A_MONTH))
    fixed = f"{words.usd(fixed_usd)} a month are fixed (its price, idling)"
    found: Estimated | Absent = hours
    if hours.value <= HOURS_A_MONTH:
        an_hour = words.money(simulate.summary(saved_usd_per_h, "rent - energy"))
        pays = (
            f"pays from about {_hours(hours, p_pays)} of its work a month: {fixed}, and each"
            if fixed_usd > 0
            else "is paid, and pays at once: each"
        )
        sentence = f"{machine} {pays} hour saves {an_hour} against {rented}."
    else:
        why = (
            f"{fixed}, which {hours.value:,.0f} hours of work would save, and a month has "
            f"{HOURS_A_MONTH:.0f}"
            if np.isfinite(hours.value)
            else f"its energy alone costs more than {rented}"
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
        return f"{mid} hours ({low} or more, and never in {percent(1 - p_pays)} of outcomes)"
    return f"{mid} hours" if low == high else f"{mid} hours ({low} to {high})"
