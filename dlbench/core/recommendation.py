"""From a need to one answer: the values of the recommender.

A report renders a ``Recommendation`` without computing anything; each number in it is ``Measured``,
``Estimated`` (with its interval and method) or ``Absent``, and each has its way in ``trail``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from dlbench.core import units
from dlbench.core.catalog import Accelerator, Amount, Offer
from dlbench.core.types import (
    Absent,
    Estimated,
    Metric,
    Mode,
    Objective,
    Policy,
    Precision,
    Task,
)


class Evidence(StrEnum):
    """Where a throughput comes from, the best first; each next one has a wider interval."""

    INSTANCE = "measured on that instance"
    ACCELERATOR = "measured on that accelerator"
    PREDICTED = "predicted from measurements elsewhere"
    ROOFLINE = "roofline from the data sheet"


class Constraint(StrEnum):
    """The closed list of reasons why something is not recommended."""

    PROVIDER = "provider left out"
    REGION = "region"
    PRICE = "price unknown"
    PRICE_AGE = "price too old"
    DEVICES = "number of devices"
    THROUGHPUT = "throughput unknown"
    PRECISION = "precision"
    MEMORY = "memory"
    MEMORY_UNKNOWN = "memory unknown"
    LATENCY = "latency"
    DEADLINE = "deadline"
    BUDGET = "budget"
    CARBON = "carbon limit"
    OBJECTIVE = "objective unknown"
    DOMINATED = "another is better"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedMachine:
    """A machine that one owns, or thinks of buying; or ``count`` of them, each like the other.

    A service may use them all, a run that ends works on one. ``purchase_usd`` (of each) is spread over
    ``life_years``, and idling with it; 0 says that it is sunk. The need bears all of that, or its
    part of ``utilisation``, the share of the time in which the machine works, for others too.
    ``tariff_usd_per_kwh`` is what its owner pays for energy.
    """

    name: str
    count: int = 1
    accelerator: str = ""
    accelerator_count: int = 1
    cpu_model: str = ""
    vcpus: float = 8.0
    memory_gib: float = 32.0
    purchase_usd: float = 0.0
    life_years: float = 4.0
    utilisation: float | None = None
    tariff_usd_per_kwh: float = 0.30
    idle_w: float = 50.0
    country: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What somebody wants to get done, and within which limits. None is "no such limit".

    A model is a workload's name, or ``parameters`` and ``flops_per_sample`` (forward). Work of training
    is ``samples`` x ``epochs``, or ``steps`` of ``batch_size`` over all devices; work of inference is
    ``samples``, or ``requests_per_s`` within ``p99_ms``. ``spot_interruptions_per_h`` is a low and a
    high rate.
    """

    name: str = "need"
    task: Task = Task.TRAINING
    workload: str = ""
    variant: str = "full"
    parameters: float | None = None
    flops_per_sample: float | None = None
    activation_mib_per_sample: float | None = None
    framework: str = "pytorch"
    precision: Precision = Precision.FP32
    batch_size: int | None = None
    samples: float | None = None
    epochs: float | None = None
    steps: float | None = None
    requests_per_s: float | None = None
    p99_ms: float | None = None
    hours_per_month: float = 730.0
    runs_per_month: float = 1.0
    data_gb: float = 0.0
    upload_mbit_per_s: float = 100.0
    deadline_h: float | None = None
    budget_usd: float | None = None
    budget_usd_per_month: float | None = None
    carbon_limit_kg: float | None = None
    carbon_usd_per_kg: float = 0.0
    confidence: float = 0.9
    regions: tuple[str, ...] = ()
    exclude_providers: tuple[str, ...] = ()
    max_devices: int = 8
    max_instances: int = 64
    spot: bool = False
    checkpoint_min: float = 30.0
    spot_interruptions_per_h: tuple[float, float] = (0.01, 0.2)
    set_up_min: tuple[float, float] = (5.0, 20.0)
    max_price_age_days: int | None = None
    intensity_g_per_kwh: float | None = None
    pue: float | None = None
    objective: Objective = Objective.COST
    owned: tuple[OwnedMachine, ...] = ()
    seed: int = 0

    @property
    def mode(self) -> Mode:
        """What a case must have measured to count for this need."""
        return Mode.INFERENCE if self.task is Task.INFERENCE else Mode.TRAINING

    @property
    def serving(self) -> bool:
        """Whether it is a service that waits for requests, and not a run that ends."""
        return self.requests_per_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a number's way: what, how much, by which formula, from which source and date."""

    name: str
    value: str
    formula: str
    source: str
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that could do the work, with all that is expected of it.

    ``time_s``, ``cost_usd``, ``energy_j`` and ``carbon_g`` are of one run of training, or of one
    month of serving; intervals hold nine of ten simulated outcomes. ``n_instances`` serve
    inference together. ``p_deadline`` and ``p_budget`` are the shares of simulated outcomes within
    the limit; None without one. ``owned`` machines have an ``offer`` of provider "owned".
    ``policy`` is what the measurement behind the throughput ran with.
    """

    offer: Offer
    spot: bool
    owned: bool
    n_instances: int
    batch_size: int
    policy: Policy
    evidence: Evidence
    throughput_samples_per_s: Metric
    memory_mib: Metric
    usable_memory_mib: Amount
    price_usd_per_h: Amount
    price_as_of: str
    latency_p99_s: Metric
    time_s: Metric
    cost_usd: Metric
    energy_j: Metric
    carbon_g: Metric
    p_deadline: float | None
    p_budget: float | None
    trail: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A name for people."""
        count = f"{self.n_instances} x " if self.n_instances > 1 else ""
        return f"{count}{self.offer.name}{' spot' if self.spot else ''}"

    @property
    def hardware(self) -> str:
        """The accelerators, or the processors, of one instance."""
        count = self.offer.accelerator_count
        if self.offer.accelerator is None or isinstance(count, Absent):
            vcpus = self.offer.vcpus
            return "CPU" if isinstance(vcpus, Absent) else f"CPU, {vcpus:g} vCPU"
        return f"{count:g} x {self.offer.accelerator}"


class Refusal(NamedTuple):
    """Why one candidate is out; ``times`` is how many times its limit it would need, if it has one."""

    constraint: Constraint
    reason: str
    times: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Something that is not recommended: why, in words, and by which of the closed list of reasons.

    ``times`` is how many times the limit it would need, where the reason is a limit.
    """

    name: str
    hardware: str
    constraint: Constraint
    reason: str
    times: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """What would change the answer: found by solving again, not guessed."""

    change: str
    value: float
    new_pick: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyOrRent:
    """From how many hours a month an owned machine is cheaper than the pick for rent.

    Absent where most simulated outcomes have none within a month's hours; the high end of an interval
    is infinite where it never pays. ``p_pays`` is the share of outcomes in which it does within a
    month; None where the rent is not known.
    """

    machine: str
    rented: str
    break_even_h_per_month: Metric
    p_pays: float
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to run it there: a SkyPilot task where SkyPilot knows the seller, and shell steps."""

    skypilot_yaml: str | Absent
    shell: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The answer, ready to be shown.

    ``pick`` is None when nothing meets the limits; ``binding`` then says which and by how much.
    ``front`` are the candidates that no other beats in time and cost both, the pick among them;
    ``compared`` are those that sentences set beside the pick and that are no alternatives: the best
    processor or accelerator, machines of one's own, and the rent that they are held against.
    ``defaults`` are the settings that the need left open, as (field, value). ``assumptions`` hold
    for all candidates.
    """

    need: Need
    defaults: tuple[tuple[str, str], ...]
    pick: Candidate | None
    reasons: tuple[str, ...]
    alternatives: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    rejected: tuple[Rejection, ...]
    binding: tuple[str, ...]
    flips: tuple[Flip, ...]
    buy_or_rent: tuple[BuyOrRent, ...]
    cpu_verdict: str
    launch: Launch | None
    notes: tuple[str, ...]
    assumptions: tuple[Step, ...]
    made_on: str
    seed: int
    compared: tuple[Candidate, ...] = ()


def plain(answer: Recommendation) -> dict[str, Any]:
    """An answer for JSON, which has no infinity: where there is one, the word stands."""
    return {name: _plain(value) for name, value in asdict(answer).items()}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a recommendation
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    if isinstance(value, float) and math.isinf(value):
        return units.UNLIMITED
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a predictor is asked: the speed of one accelerator at one piece of work.

    ``activations`` are numbers a forward pass of one sample writes, where that is known.
    """

    workload: str
    variant: str
    task: str
    parameters: float
    flops_per_sample: float
    activations: float | None
    accelerator: Accelerator
    framework: str
    precision: Precision
    mode: Mode
    batch_size: int
    policy: Policy = Policy.BASE


class Predictor(Protocol):
    """Whoever can say how fast an accelerator is that nobody measured at this."""

    def policies(self, question: Question) -> frozenset[Policy]:
        """Those in which this work is known on any accelerator, whatever the question's own."""
        ...

    def throughputs(self, questions: Sequence[Question]) -> Sequence[Estimated | Absent]:
        """Samples a second of one accelerator each, with an interval, or why there is no answer."""
        ...
