"""Recommendations as the recommender would give them, for tests of what shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dlbench.core.catalog import Offer
from dlbench.core.recommendation import (
    BuyOrRent,
    Candidate,
    Constraint,
    Evidence,
    Flip,
    Launch,
    Need,
    Recommendation,
    Rejection,
    Step,
)
from dlbench.core.types import Absent, Estimated, Interval, Metric, Policy, Task

H = 3600.0

UNKNOWN = Absent(reason="no carbon figure of this place was found")

OFFER = Offer(
    provider="aws",
    instance_type="g6.xlarge",
    region="us-east-1",
    accelerator="L4",
    accelerator_count=1.0,
    vcpus=4.0,
    memory_gib=16.0,
    ondemand_usd_per_h=0.8048,
    spot_usd_per_h=Absent(reason="no price is given"),
    cpu_model="",
    price_scope="instance",
    source="a test",
    as_of="2026-11-20",
    spot_source="",
    spot_as_of="",
    note="",
)

STEPS = (
    Step(
        name="throughput",
        value="825 samples/s",
        formula="measured over trials",
        source="run 20260101T000000Z-test-2c-abcdef",
        as_of="2026-01-01",
    ),
)


def estimate(value: float, spread: float = 1.4) -> Estimated:
    """A number with an interval of a factor either way."""
    interval = Interval(low=value / spread, high=value * spread, level=0.9)
    return Estimated(value=value, interval=interval, method="simulated outcomes")


def candidate(name: str, hours: float, usd: float, carbon_g: Metric, **changes: Any) -> Candidate:
    """One way, by its offer's type."""
    base: dict[str, Any] = {
        "offer": replace(OFFER, instance_type=name, accelerator=name.upper()),
        "spot": False,
        "owned": False,
        "n_instances": 1,
        "batch_size": 32,
        "policy": Policy.BASE,
        "evidence": Evidence.ROOFLINE,
        "throughput_samples_per_s": estimate(825.0),
        "memory_mib": estimate(4000.0),
        "usable_memory_mib": 22000.0,
        "price_usd_per_h": usd / hours,
        "price_as_of": "2026-11-20",
        "latency_p99_s": Absent(reason="training has no latency"),
        "time_s": estimate(hours * H),
        "cost_usd": estimate(usd),
        "energy_j": estimate(2.7e7),
        "carbon_g": carbon_g,
        "p_deadline": 0.93,
        "p_budget": 0.999,
        "trail": STEPS,
    }
    return Candidate(**{**base, **changes})


WAYS = (
    candidate("l4", 20.0, 16.0, estimate(3000.0), evidence=Evidence.INSTANCE),
    candidate("a10g", 10.0, 20.0, UNKNOWN, warnings=("the price is 300 days old",)),
    candidate("a100", 4.0, 30.0, estimate(1500.0)),
    candidate("h100", 2.0, 40.0, estimate(900.0), evidence=Evidence.PREDICTED),
)


def recommendation(**changes: Any) -> Recommendation:
    """A pick of four ways on a front, within 30 hours and 50 USD."""
    base: dict[str, Any] = {
        "need": Need(
            workload="resnet50", samples=1e6, epochs=20.0, deadline_h=30.0, budget_usd=50.0
        ),
        "defaults": (("framework", "pytorch"), ("confidence", "0.9")),
        "pick": WAYS[0],
        "reasons": ("It costs least of 4 ways that keep every limit: 16.00 USD.",),
        "alternatives": WAYS[1:3],
        "front": WAYS,
        "rejected": (
            Rejection(
                name="aws t4",
                hardware="1 x T4",
                constraint=Constraint.MEMORY,
                reason="22 GiB needed",
            ),
        ),
        "binding": (),
        "flips": (
            Flip(
                change="deadline",
                value=12.0,
                new_pick="a10g",
                sentence="With 12 h: 1 x A10G instead.",
            ),
        ),
        "buy_or_rent": (
            BuyOrRent(
                machine="desk",
                rented="l4",
                break_even_h_per_month=estimate(120.0),
                p_pays=1.0,
                sentence="From 120 h a month the own machine is cheaper.",
            ),
        ),
        "cpu_verdict": "A CPU is not enough: none keeps every limit.",
        "launch": Launch(  # noqa: S604 - text that is shown
            skypilot_yaml="resources:\n  infra: aws\n", shell="dlbench run resnet50\n"
        ),
        "notes": ("630 offers looked at.",),
        "assumptions": STEPS,
        "made_on": "2026-11-25",
        "seed": 0,
    }
    return Recommendation(**{**base, **changes})


def nothing_feasible() -> Recommendation:
    """Every way breaks a limit."""
    return recommendation(
        pick=None,
        reasons=(),
        alternatives=(),
        front=(),
        binding=("The budget: 5 USD more would allow 1 x L4.",),
        flips=(),
        buy_or_rent=(),
        launch=None,
    )


def serving() -> Recommendation:
    """Inference: latency takes the place of time."""
    ways = tuple(
        replace(way, latency_p99_s=estimate(0.02 * (i + 1)), n_instances=i + 1)
        for i, way in enumerate(WAYS)
    )
    need = Need(
        task=Task.INFERENCE,
        workload="resnet50",
        requests_per_s=50.0,
        p99_ms=100.0,
        budget_usd_per_month=1000.0,
    )
    return recommendation(need=need, pick=ways[0], alternatives=ways[1:3], front=ways)


def strange(text: str) -> Recommendation:
    """An answer from catalogs and needs whose every string is ``text``."""
    offer = replace(OFFER, provider=text, instance_type=text, region=text, accelerator=text)
    way = replace(WAYS[0], offer=offer, price_as_of=text, warnings=(text,))
    step = Step(name=text, value=text, formula=text, source=text, as_of=text)
    way = replace(way, trail=(step,), carbon_g=Absent(reason=text, remedy=text))
    return recommendation(
        need=Need(name=text, workload=text, regions=(text,)),
        defaults=((text, text),),
        pick=way,
        reasons=(text,),
        alternatives=(),
        front=(way,),
        rejected=(Rejection(name=text, hardware=text, constraint=Constraint.BUDGET, reason=text),),
        binding=(text,),
        flips=(Flip(change=text, value=1.0, new_pick=text, sentence=text),),
        buy_or_rent=(
            BuyOrRent(
                machine=text,
                rented=text,
                break_even_h_per_month=Absent(reason=text),
                p_pays=0.0,
                sentence=text,
            ),
        ),
        cpu_verdict=text,
        launch=Launch(skypilot_yaml=text, shell=text),
        notes=(text,),
        assumptions=(step,),
        made_on=text,
    )
