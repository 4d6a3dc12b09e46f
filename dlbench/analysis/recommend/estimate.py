"""One candidate: its time, cost, energy and carbon, each a distribution with its way written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dlbench.analysis.recommend import assumptions, billing, simulate
from dlbench.analysis.recommend.assumptions import Range
from dlbench.analysis.recommend.evidence import Rate
from dlbench.analysis.recommend.job import Job
from dlbench.analysis.recommend.measured import Seen
from dlbench.analysis.recommend.memory import Room
from dlbench.analysis.recommend.simulate import Draws, Floats, summary
from dlbench.core.catalog import Accelerator, Amount, Offer, Region
from dlbench.core.footprint import J_PER_KWH, operational_g
from dlbench.core.recommendation import Candidate, Need, OwnedMachine, Step
from dlbench.core.types import Absent, Estimated, Metric, Objective, Policy
from dlbench.core.units import compact

HOURS_A_MONTH = 730.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is tried: an offer for rent on demand or spot, or a machine of one's own."""

    offer: Offer
    spot: bool
    device: Accelerator | None
    place: Region | None
    owned: OwnedMachine | None = None

    @property
    def price(self) -> Amount:
        """USD an hour of one instance, without what is not billed by the hour."""
        return self.offer.spot_usd_per_h if self.spot else self.offer.ondemand_usd_per_h

    @property
    def price_as_of(self) -> str:
        """The date of that price."""
        return self.offer.spot_as_of if self.spot else self.offer.as_of

    @property
    def country(self) -> str:
        """Where it stands, a code of two letters; "" where nobody says."""
        if self.owned is not None:
            return self.owned.country
        return self.place.country if self.place else ""

    @property
    def devices(self) -> float:
        """Accelerators of one instance; 0 of a machine with processors only."""
        count = self.offer.accelerator_count
        return 0.0 if self.offer.accelerator is None or isinstance(count, Absent) else count


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A candidate with its simulated outcomes. ``rent_usd`` is the part that its price multiplies.

    ``trail`` writes its way down; only of those that are shown, since most are not.
    """

    candidate: Candidate
    choice: Choice
    time_s: Floats
    rent_usd: Floats
    other_usd: Floats
    joules: Floats | Absent
    carbon_g: Floats | None
    trail: Callable[[], tuple[Step, ...]]

    @property
    def cost_usd(self) -> Floats:
        """All of it."""
        return self.rent_usd + self.other_usd

    def at_price(self, factor: float) -> Simulated:
        """The same at a price of so many times its own."""
        return replace(self, rent_usd=self.rent_usd * factor)

    def value(self, objective: Objective, carbon_usd_per_kg: float) -> float:
        """What the objective minimises; unknown is worst, never nothing."""
        metric: Metric
        if objective is Objective.COST:
            carbon = 0.0
            if carbon_usd_per_kg > 0:
                if self.carbon_g is None:
                    return float("inf")
                carbon = simulate.quantiles(self.carbon_g, (0.5,))[0] / 1e3 * carbon_usd_per_kg
            return simulate.quantiles(self.cost_usd, (0.5,))[0] + carbon
        if objective is Objective.TIME:
            metric = (
                self.candidate.latency_p99_s if self.choice_is_serving else self.candidate.time_s
            )
        else:
            metric = (
                self.candidate.energy_j
                if objective is Objective.ENERGY
                else self.candidate.carbon_g
            )
        return float("inf") if isinstance(metric, Absent) else metric.value

    @property
    def choice_is_serving(self) -> bool:
        """Whether its time is a month, and latency is what counts, known or not."""
        return self.candidate.latency_p99_s != NOT_SERVING


NOT_SERVING = Absent(reason="training has no latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What one candidate is simulated from, beside its choice.

    ``need``, ``job``, ``draws`` and ``found``, the job's measured cases, are the same for all of an
    answer. ``room``, ``rate`` and ``scale`` are what documents, predictor and data sheets say of this
    one: which batches a device holds, how fast it is, and what all devices of an instance do.
    """

    need: Need
    job: Job
    draws: Draws
    found: tuple[Seen, ...]
    room: Room
    rate: Rate
    scale: tuple[Range, Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a candidate does its work: what all instances do together, and in which batches each."""

    throughput: Estimated
    latency: Metric
    instances: int
    batch: int
    policy: Policy


def training(choice: Choice, fitted: Fitted) -> Simulated:
    """One run of training: upload, set-up, work, interruptions; then what that costs and emits."""
    need, job, draws, rate, scale = fitted.need, fitted.job, fitted.draws, fitted.rate, fitted.scale
    memory, usable = fitted.room.models[rate.policy].at(rate.batch), fitted.room.usable_mib
    total = job.samples or 0.0
    speed = draws.spread("rate", rate.low, rate.value, rate.high) * draws.of("scaling", scale[0])
    work_s = total / speed
    upload_s, set_up_s = _before(choice, need, draws)
    lost = _lost(choice, need, draws, work_s, set_up_s)
    lost_s = lost.time_s
    time_s = upload_s + set_up_s + work_s + lost_s
    joules = _training_energy(choice, fitted, work_s, lost, time_s)
    metered = rate.energy_j_per_sample
    money = priced(
        choice,
        need,
        draws,
        time_s,
        joules,
        instances=1,
        energy_words=lambda: power_words(choice, draws, metered, scale[0].mid),
    )
    throughput = summary(speed, "rate of one device x scaling", (rate.steps[0].source,))

    def trail() -> tuple[Step, ...]:
        parts = (upload_s, set_up_s, work_s, lost_s, time_s)
        return (
            *job.steps,
            memory_step(memory, rate.batch, usable),
            *rate.steps,
            scale[1],
            *_time_steps(choice, need, job, parts, lost),
            *money.steps(),
        )

    pace = Pace(
        throughput=throughput,
        latency=NOT_SERVING,
        instances=1,
        batch=rate.batch,
        policy=rate.policy,
    )
    return finished(choice, fitted, pace, money, trail)


def _before(choice: Choice, need: Need, draws: Draws) -> tuple[Floats, Floats]:
    """Seconds of upload and set-up; a machine of one's own has the data, and is set up."""
    zero = np.zeros(simulate.N_DRAWS)
    if choice.owned is not None:
        return zero, zero
    nominal_s = need.data_gb * 8000 / need.upload_mbit_per_s
    upload_s = nominal_s * draws.of("upload", assumptions.UPLOAD_SLOWDOWN)
    low, high = need.set_up_min
    return upload_s, draws.uniform("set_up", low, high) * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Interruptions of each draw, what of each is done again and waited for, and the seconds of all."""

    n: Floats
    rework_s: Floats
    restart_s: Floats
    time_s: Floats


def _lost(choice: Choice, need: Need, draws: Draws, work_s: Floats, set_up_s: Floats) -> Lost:
    """What interruptions cost: the work since the last checkpoint, and a restart with set-up each.

    Half a checkpoint's period while interruptions are rare beside it. Where they are not, work that is
    done again is interrupted again: a period T takes (exp(rate T) - 1) / rate on average (Daly 2006),
    and a day without checkpoints may never end. Uploads and set-ups are taken as not interrupted: a
    restart alone would be lost, by default less than the range of an upload's own time.
    """
    zero = np.zeros(simulate.N_DRAWS)
    if not choice.spot:
        return Lost(n=zero, rework_s=zero, restart_s=zero, time_s=zero)
    low, high = need.spot_interruptions_per_h
    per_h = (
        draws.spread("spot", low, float(np.sqrt(low * high)), high)
        if low > 0
        else draws.uniform("spot", low, high)
    )
    period_s = np.minimum(need.checkpoint_min * 60, work_s)
    in_a_period = np.clip(per_h / 3600 * period_s, RAREST, MOST_IN_A_PERIOD)
    again = np.expm1(in_a_period) / in_a_period
    n = draws.poisson(per_h / 3600 * work_s * again)
    rework_s = period_s * (1 / in_a_period - 1 / np.expm1(in_a_period))
    restart_s = draws.of("restart", assumptions.RESTART_MIN) * 60 + set_up_s
    time_s = n * (rework_s + restart_s)
    return Lost(n=n, rework_s=rework_s, restart_s=restart_s, time_s=time_s)


RAREST, MOST_IN_A_PERIOD = 1e-6, 50.0
"""Interruptions in a period: below, the rework is half of it to six digits; above, nothing ends."""


def _training_energy(
    choice: Choice, fitted: Fitted, work_s: Floats, lost: Lost, time_s: Floats
) -> Floats | Absent:
    measured, draws = fitted.rate.energy_j_per_sample, fitted.draws
    host_w = host_power_w(choice, draws)
    if isinstance(host_w, Absent):
        return host_w
    if not isinstance(measured, Absent):
        share = max(choice.devices, 1.0) / fitted.scale[0].mid
        # What an interruption took is done again, sample by sample.
        busy_s = work_s + lost.n * lost.rework_s
        samples = (fitted.job.samples or 0.0) * busy_s / work_s
        # A processor's meter counts most of its host's power: that is for the rest of the time.
        beside_s = time_s if choice.offer.accelerator is not None else time_s - busy_s
        each_j = measured.value * draws.of("load", assumptions.METER)
        return each_j * samples * share + host_w * beside_s
    device_w = device_power_w(choice, draws)
    if isinstance(device_w, Absent):
        return device_w
    return device_w * (work_s + lost.time_s) + host_w * time_s


def device_power_w(choice: Choice, draws: Draws) -> Floats | Absent:
    """Watts of an instance's accelerators at work; processors are in the host's."""
    if choice.offer.accelerator is None:
        return np.zeros(simulate.N_DRAWS)
    if choice.device is None or isinstance(choice.device.tdp_w, Absent):
        return Absent(reason=f"the data sheet of {choice.offer.accelerator} has no power")
    return choice.devices * choice.device.tdp_w * draws.of("load", assumptions.ACCELERATOR_LOAD)


def host_power_w(choice: Choice, draws: Draws) -> Floats | Absent:
    """Watts of the rest of an instance."""
    vcpus = choice.offer.vcpus
    if isinstance(vcpus, Absent):
        return Absent(reason="the source does not say how many vCPUs the machine has")
    return vcpus * draws.of("host", assumptions.HOST_W_PER_VCPU)


# --- money and carbon -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Outcomes of a span of time on a number of instances, and the steps that led there."""

    time_s: Floats
    rent_usd: Floats
    other_usd: Floats
    energy: Metric
    joules: Floats | Absent
    carbon: Metric
    carbon_g: Floats | None
    steps: Callable[[], tuple[Step, ...]]


def priced(
    choice: Choice,
    need: Need,
    draws: Draws,
    time_s: Floats,
    joules: Floats | Absent,
    instances: int,
    energy_words: Callable[[], str],
) -> Priced:
    """What a span of time on so many instances costs and emits."""
    rent_usd, rent = _rent(choice, need, time_s, joules, instances)
    storage_usd = (
        need.data_gb
        * draws.of("storage", assumptions.STORAGE_USD_PER_GB_MONTH)
        * time_s
        / 3600
        / HOURS_A_MONTH
        * (0 if choice.owned else 1)
    )
    idle_j = _idle_j(choice, need, time_s, instances)
    carbon = _carbon(choice, need, draws, joules if isinstance(joules, Absent) else joules + idle_j)
    return Priced(
        time_s=time_s,
        rent_usd=rent_usd,
        other_usd=storage_usd,
        energy=joules
        if isinstance(joules, Absent)
        else summary(joules, "power x time, or joules a sample"),
        joules=joules,
        carbon=carbon
        if isinstance(carbon, Absent)
        else summary(
            carbon, "kWh, a bought machine's idling too, x PUE x intensity, operational only"
        ),
        carbon_g=None if isinstance(carbon, Absent) else carbon,
        steps=lambda: (
            *rent(),
            *_sum(choice, need, rent_usd, storage_usd),
            *_footprint(choice, need, draws, joules, idle_j, carbon, energy_words),
        ),
    )


def _sum(choice: Choice, need: Need, rent_usd: Floats, storage_usd: Floats) -> tuple[Step, ...]:
    """Storage where there is any, and the cost, which is rent and storage."""
    if choice.owned is not None or need.data_gb == 0:
        return (Step(name="cost", value=_money(rent_usd), formula="all of it", source="above"),)
    spread = assumptions.STORAGE_USD_PER_GB_MONTH
    return (
        Step(
            name="storage",
            value=_money(storage_usd),
            formula=f"{need.data_gb:g} GB x {spread.mid:g} USD a month x time / {HOURS_A_MONTH:g} h",
            source=spread.source,
            as_of=assumptions.READ,
        ),
        Step(
            name="cost",
            value=_money(rent_usd + storage_usd),
            formula="rent + storage",
            source="above",
        ),
    )


def _rent(
    choice: Choice, need: Need, time_s: Floats, joules: Floats | Absent, instances: int
) -> tuple[Floats, Callable[[], tuple[Step, ...]]]:
    if choice.owned is not None:
        return _owned_cost(choice.owned, need, time_s, joules, instances)
    price = choice.price
    if isinstance(price, Absent):
        # Nothing is free: whoever gets here without a price must never win.
        return np.full(simulate.N_DRAWS, np.inf), tuple
    habit = billing.of(choice.offer)
    hours = simulate.billed_h(time_s, habit.unit_s, habit.least_s)
    usd = price * hours * instances
    return usd, lambda: (
        Step(
            name="price",
            value=f"{price:.4g} USD/h{' spot' if choice.spot else ''}",
            formula="as listed",
            source=choice.offer.spot_source if choice.spot else choice.offer.source,
            as_of=choice.price_as_of,
        ),
        Step(
            name="billing",
            value=habit.words,
            formula="time rounded up",
            source=habit.source,
            as_of=habit.as_of,
        ),
        Step(
            name="rent",
            value=_money(usd),
            formula=f"{instances} x {price:.4g} USD/h x {compact(float(np.median(hours)), 4)} h",
            source="price, time and billing above",
        ),
    )


def _owned_cost(
    machine: OwnedMachine, need: Need, time_s: Floats, joules: Floats | Absent, instances: int
) -> tuple[Floats, Callable[[], tuple[Step, ...]]]:
    hours = time_s / 3600
    works_h = _works_h(machine, need, hours)
    fixed_usd = instances * fixed_usd_per_month(machine)
    usd = fixed_usd * hours / works_h + work_usd(machine, joules, hours, instances)
    many = f"{instances} x " if instances > 1 else ""
    energy = f"energy x {machine.tariff_usd_per_kwh:g} USD/kWh"
    bought = (
        f"{many}{fixed_usd_per_month(machine):.4g} USD a month ({machine.purchase_usd:,.0f} USD / "
        f"{machine.life_years:g} years, idling) x {_spread(hours)} of the {_spread(works_h)} h that it "
        f"works a month + {energy} beyond idling"
    )
    formula = bought if machine.purchase_usd > 0 else f"it is paid: {energy}"
    return usd, lambda: (
        Step(name="own machine", value=_money(usd), formula=formula, source="the need"),
    )


def _works_h(machine: OwnedMachine, need: Need, hours: Floats) -> Floats:
    """Hours a month that a machine works: for this need alone, or as many as its owner says."""
    for_this = hours * (1.0 if need.serving else need.runs_per_month)
    stated = (machine.utilisation or 0.0) * HOURS_A_MONTH
    return np.minimum(np.maximum(for_this, stated), HOURS_A_MONTH)


def fixed_usd_per_month(machine: OwnedMachine) -> float:
    """What a machine costs that is bought, before it works: its price over its life, and idling.

    Nothing of one that is paid: it is there whatever is decided.
    """
    if machine.purchase_usd == 0:
        return 0.0
    return machine.purchase_usd / (machine.life_years * 12) + HOURS_A_MONTH * _idle_usd_per_h(
        machine
    )


def _idle_usd_per_h(machine: OwnedMachine) -> float:
    return machine.idle_w / 1e3 * machine.tariff_usd_per_kwh


def _idle_j(choice: Choice, need: Need, time_s: Floats, instances: int) -> Floats:
    """What bought machines idle for this need while they do not work, as it is in their cost."""
    machine = choice.owned
    if machine is None or machine.purchase_usd == 0:
        return np.zeros(simulate.N_DRAWS)
    idle_share = HOURS_A_MONTH / _works_h(machine, need, time_s / 3600) - 1
    return instances * machine.idle_w * time_s * idle_share


def work_usd(machine: OwnedMachine, joules: Floats | Absent, hours: Floats, n: int) -> Floats:
    """Energy of so many hours of work on ``n`` of a machine, but for idling where that is fixed."""
    if machine.tariff_usd_per_kwh == 0:
        return np.zeros(simulate.N_DRAWS)
    if isinstance(joules, Absent):
        return np.full(simulate.N_DRAWS, np.inf)  # as without a price: it must never win
    usd = joules / J_PER_KWH * machine.tariff_usd_per_kwh
    idle_usd = n * hours * _idle_usd_per_h(machine) if machine.purchase_usd > 0 else 0.0
    return np.maximum(0.0, usd - idle_usd)


def _carbon(choice: Choice, need: Need, draws: Draws, joules: Floats | Absent) -> Floats | Absent:
    if isinstance(joules, Absent):
        return joules
    intensity, pue = _intensity(choice, need, draws), _pue(choice, need, draws)
    if isinstance(intensity, Absent):
        return intensity
    return pue if isinstance(pue, Absent) else operational_g(joules, pue, intensity)


def _nowhere(choice: Choice) -> str:
    """Why a place has no figure: of one's own machine it is for its owner to say."""
    if choice.owned is None:
        return f"nobody knows where {choice.offer.region!r} is"
    country = choice.owned.country
    if country:
        return f"no carbon figure of {country} is in the catalog"
    return "the machine's country is not stated"


def _intensity(choice: Choice, need: Need, draws: Draws) -> Floats | Absent:
    if need.intensity_g_per_kwh is not None:
        return np.full(simulate.N_DRAWS, need.intensity_g_per_kwh)
    place = choice.place
    if place is None:
        return Absent(reason=_nowhere(choice), remedy="--intensity")
    low, high = place.low_g_per_kwh, place.high_g_per_kwh
    if isinstance(low, Absent):
        return low
    if isinstance(high, Absent):
        return high
    if high > low:
        return draws.uniform("intensity", low, high)
    return low * draws.of("intensity", assumptions.INTENSITY_SPREAD)


def _pue(choice: Choice, need: Need, draws: Draws) -> Floats | Absent:
    if need.pue is not None:
        return np.full(simulate.N_DRAWS, need.pue)
    if choice.owned is not None:
        return np.ones(simulate.N_DRAWS)
    if choice.place is None or isinstance(choice.place.pue, Absent):
        return Absent(reason="the provider's PUE is not known", remedy="--pue")
    return np.maximum(1.0, choice.place.pue * draws.of("pue", assumptions.PUE_SPREAD))


def _footprint(
    choice: Choice,
    need: Need,
    draws: Draws,
    joules: Floats | Absent,
    idle_j: Floats,
    carbon: Floats | Absent,
    energy_words: Callable[[], str],
) -> tuple[Step, ...]:
    if isinstance(joules, Absent):
        return (Step(name="energy", value="unknown", formula=joules.reason, source=""),)
    device = choice.device
    energy = Step(
        name="energy",
        value=_span(joules / J_PER_KWH, "kWh"),
        formula=energy_words(),
        source=device.source if device else "power a vCPU",
        as_of=device.as_of if device else assumptions.READ,
    )
    if isinstance(carbon, Absent):
        return energy, Step(name="carbon", value="unknown", formula=carbon.reason, source="")
    idling = _spread(idle_j / J_PER_KWH)
    kwh = f"(kWh + {idling} of idling)" if idle_j.any() else "kWh"
    place = choice.place
    source = "the need" if need.intensity_g_per_kwh is not None or place is None else place.source
    if need.pue is not None and need.intensity_g_per_kwh is None:
        source = f"{source}; PUE: the need"
    elif need.pue is None and place is not None and place.pue_source and choice.owned is None:
        source = f"{source}; PUE: {place.pue_source}"
    step = Step(
        name="carbon",
        value=_span(carbon / 1e3, "kg CO2e"),
        formula=f"{kwh} x PUE {_spread(_pue(choice, need, draws))} x "
        f"{_spread(_intensity(choice, need, draws))} g/kWh, operational only",
        source=source,
        as_of=place.as_of if place else "",
    )
    return energy, step


def power_words(choice: Choice, draws: Draws, metered: Metric, scale: float = 1.0) -> str:
    """Joules a sample where a meter counted them, else watts of the accelerators; and the host's.

    ``scale`` is what all devices do, over one of them.
    """
    host = f"host {_spread(host_power_w(choice, draws))} W x time, without cooling"
    on_cpu = choice.offer.accelerator is None
    if not isinstance(metered, Absent):
        beside = f"{host}; while it works the meter's alone" if on_cpu else host
        n = choice.devices
        several = f" x {n:g} / {scale:.3g} (devices / scaling)" if n > 1 else ""
        again = ", of what is done again too" if choice.spot else ""
        return f"{compact(metered.value, 4)} J a sample{several}, metered{again}, + {beside}"
    if on_cpu:
        return host
    return f"accelerators {_spread(device_power_w(choice, draws))} W x time at work + {host}"


def _spread(values: Floats | Absent) -> str:
    """A middle and its ends, or one number where they are the same."""
    if isinstance(values, Absent):
        return "unknown"
    low, mid, high = (compact(x) for x in simulate.quantiles(values, (0.05, 0.5, 0.95)))
    return mid if low == high else f"{mid} ({low} to {high})"


# --- putting it together --------------------------------------------------------------------


def finished(
    choice: Choice,
    fitted: Fitted,
    pace: Pace,
    money: Priced,
    trail: Callable[[], tuple[Step, ...]],
) -> Simulated:
    """A candidate of its parts; the shares within the limits are added when it is judged."""
    cost = money.rent_usd + money.other_usd
    time = summary(money.time_s, "upload + set-up + work / throughput + interruptions")
    candidate = Candidate(
        offer=choice.offer,
        spot=choice.spot,
        owned=choice.owned is not None,
        n_instances=pace.instances,
        batch_size=pace.batch,
        policy=pace.policy,
        evidence=fitted.rate.tier,
        throughput_samples_per_s=pace.throughput,
        memory_mib=fitted.room.models[pace.policy].at(pace.batch),
        usable_memory_mib=fitted.room.usable_mib,
        price_usd_per_h=choice.price,
        price_as_of=choice.price_as_of,
        latency_p99_s=pace.latency,
        time_s=time,
        cost_usd=summary(cost, "billed time x price + storage")
        if np.isfinite(cost).all()
        else Absent(reason="price unknown"),
        energy_j=money.energy,
        carbon_g=money.carbon,
        p_deadline=None,
        p_budget=None,
        trail=(),
    )
    return Simulated(
        trail=trail,
        candidate=candidate,
        choice=choice,
        time_s=money.time_s,
        rent_usd=money.rent_usd,
        other_usd=money.other_usd,
        joules=money.joules,
        carbon_g=money.carbon_g,
    )


def memory_step(memory: Estimated, batch: int, usable: Amount) -> Step:
    """The memory gate's line of the explanation."""
    room = "unknown" if isinstance(usable, Absent) else f"{usable / 1024:.1f} GiB usable"
    return Step(
        name="memory",
        value=f"{memory.value / 1024:.2f} ({memory.interval.low / 1024:.2f} to "
        f"{memory.interval.high / 1024:.2f}) GiB at batch {batch}, of {room}",
        formula=memory.method,
        source="; ".join(memory.from_),
    )


def _time_steps(
    choice: Choice, need: Need, job: Job, parts: tuple[Floats, ...], lost: Lost
) -> tuple[Step, ...]:
    upload_s, set_up_s, work_s, lost_s, time_s = parts
    own = choice.owned is not None
    steps = [
        Step(
            name="upload",
            value=_span(upload_s / 3600, "h"),
            formula="it has the data"
            if own
            else f"{need.data_gb:g} GB / {need.upload_mbit_per_s:g} Mbit/s x slowdown",
            source="assumed" if own else _stated(job, "data_gb", "upload_mbit_per_s"),
        ),
        Step(
            name="set-up",
            value=_span(set_up_s / 3600, "h"),
            formula="it is set up"
            if own
            else f"{need.set_up_min[0]:g} to {need.set_up_min[1]:g} min",
            source="assumed" if own else _stated(job, "set_up_min"),
        ),
        Step(
            name="computing",
            value=_span(work_s / 3600, "h"),
            formula="samples / (throughput x scaling)",
            source="above",
        ),
    ]
    if choice.spot:
        low, high = need.spot_interruptions_per_h
        rework_min, restart_min = (
            compact(float(np.median(part_s)) / 60) for part_s in (lost.rework_s, lost.restart_s)
        )
        steps.append(
            Step(
                name="interruptions",
                value=f"{float(np.mean(lost.n)):,.2g} on average, {_span(lost_s / 3600, 'h')}",
                formula=f"Poisson, {low:g} to {high:g} an hour; {rework_min} min of rework "
                f"(checkpoints each {need.checkpoint_min:g} min) and {restart_min} min of restart and "
                "set-up each",
                source=_stated(job, "spot_interruptions_per_h", "checkpoint_min", "set_up_min"),
            )
        )
    steps.append(Step(name="time", value=_span(time_s / 3600, "h"), formula="sum", source="above"))
    return tuple(steps)


def _stated(job: Job, *names: str) -> str:
    """Whether the need says these settings, be it with the default's value, or left them open."""
    left_open = dict(job.defaults)
    open_ = [name for name in names if name in left_open]
    said = ["the need"] if len(open_) < len(names) else []
    return "; ".join([*said, *([f"by default: {', '.join(open_)}"] if open_ else [])])


def _span(values: Floats, unit: str) -> str:
    return f"{_spread(values)} {unit}"


def _money(values: Floats) -> str:
    return _span(values, "USD")
