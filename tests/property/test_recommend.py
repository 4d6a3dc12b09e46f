"""What must hold of every answer, whatever the need and the catalog."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dlbench.analysis.recommend import job, memory
from dlbench.core.catalog import Offer
from dlbench.core.recommendation import Recommendation
from dlbench.core.types import Absent, Policy, Run
from tests import recommending as r

PRICES = st.one_of(st.none(), st.floats(0.01, 50.0))

HARDWARE: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"accelerator": "L4", "accelerator_count": 1.0},
        {"accelerator": "A100-SXM4-80GB", "accelerator_count": 1.0},
        {"accelerator": "A100-SXM4-80GB", "accelerator_count": 8.0},
        {"accelerator": "RTX-3060-12GB", "accelerator_count": 2.0},
        {"accelerator": "K80", "accelerator_count": 1.0},
        {"accelerator": "Inferentia2", "accelerator_count": 1.0},
        {"accelerator": "A10", "accelerator_count": 0.5},
        {"accelerator": None, "accelerator_count": 0.0},
        {"accelerator": None, "accelerator_count": 0.0, "vcpus": 64.0, "memory_gib": 256.0},
    ]
)
PLACES = st.sampled_from(
    [("aws", "us-east-1"), ("aws", "eu-central-1"), ("gcp", "europe-west9"), ("runpod", "any")]
)


@st.composite
def offers(draw: st.DrawFn) -> tuple[Offer, ...]:
    """Up to eight offers of any hardware, place and price; some without a price."""
    found = []
    for i in range(draw(st.integers(1, 8))):
        price, spot = draw(PRICES), draw(PRICES)
        provider, region = draw(PLACES)
        found.append(
            r.offer(
                **draw(HARDWARE),
                instance_type=f"type-{i}",
                provider=provider,
                region=region,
                ondemand_usd_per_h=r.NONE if price is None else price,
                spot_usd_per_h=r.NONE if spot is None or price is None else min(spot, price / 2),
                spot_as_of="2026-11-20",
            )
        )
    return tuple(found)


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a need: limits that bind now and then."""
    return {
        "deadline_h": draw(st.one_of(st.none(), st.floats(0.3, 200.0))),
        "budget_usd": draw(st.one_of(st.none(), st.floats(0.5, 500.0))),
        "carbon_limit_kg": draw(st.one_of(st.none(), st.floats(0.1, 50.0))),
        "regions": draw(st.sampled_from([None, ["EU"], ["US"], ["eu-central-1"]])),
        "spot": draw(st.booleans()),
        "max_devices": draw(st.sampled_from([1, 8])),
        "batch_size": draw(st.sampled_from([None, 8, 512])),
        "objective": draw(st.sampled_from(["cost", "time", "energy", "carbon"])),
        "samples": draw(st.floats(1e4, 1e8)),
        "exclude_providers": draw(st.sampled_from([None, ["runpod"]])),
    }


@st.composite
def answerable(draw: st.DrawFn) -> tuple[tuple[Offer, ...], dict[str, Any]]:
    """Offers, one of them ordinary, and limits that leave an answer more often than not."""
    fields = {
        "deadline_h": draw(st.floats(2.0, 300.0)),
        "budget_usd": draw(st.one_of(st.none(), st.floats(20.0, 500.0))),
        "spot": draw(st.booleans()),
        "samples": draw(st.floats(1e4, 3e6)),
        "data_gb": draw(st.sampled_from([0.0, 20.0])),
    }
    return (*draw(offers()), r.offer(instance_type="ordinary")), fields


GPUS = ("NVIDIA L4", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 3060")
CPU = replace(r.GPU, id="cpu", kind="cpu", name="AMD EPYC", facts={"physical_cores": 8})


@st.composite
def documents(draw: st.DrawFn) -> tuple[Run, ...]:
    """Up to four documents of ``mine``: any device, policy, batches, peaks and rates."""
    found = []
    for i in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from([*GPUS, ""]))
        batches = draw(st.lists(st.sampled_from([1, 8, 32, 512]), min_size=1, unique=True))
        fixed, each = draw(st.floats(200, 9000)), draw(st.floats(0.5, 60))
        run = r.measured(
            draw(st.floats(1.0, 5000.0)),
            batches=tuple(batches),
            peaks_mib=tuple((fixed + each * b) * draw(st.floats(0.8, 1.2)) for b in batches),
            device=replace(r.GPU, name=name) if name else CPU,
            policy=draw(st.sampled_from(list(Policy))),
        )
        found.append(replace(run, run_id=f"2026010{i + 1}T000000Z-test-2c-abcdef"))
    return tuple(found)


def chosen(answer: Recommendation) -> tuple[Any, ...]:
    """Everything that an answer puts forward."""
    pick = () if answer.pick is None else (answer.pick,)
    return (*pick, *answer.alternatives, *answer.front)


@settings(max_examples=40, deadline=None)
@given(offered=offers(), fields=limits(), runs=documents(), own=st.booleans())
def test_nothing_infeasible_is_ever_put_forward(
    offered: tuple[Offer, ...], fields: dict[str, Any], runs: tuple[Run, ...], own: bool
) -> None:
    """Pick, alternatives and front keep every limit with the need's confidence, after any documents."""
    assume(fields["exclude_providers"] is None or any(o.provider == "runpod" for o in offered))
    if own and runs:
        fields = {**fields, "workload": "mine", "parameters": None, "flops_per_sample": None}
    asked = r.need(**fields)
    answer = r.ask(asked, r.of(*offered), *runs)
    for candidate in chosen(answer):
        assert not isinstance(candidate.price_usd_per_h, Absent)
        assert candidate.price_usd_per_h > 0
        assert candidate.offer.provider not in asked.exclude_providers
        assert candidate.offer.accelerator_count <= asked.max_devices
        for metric in (candidate.memory_mib, candidate.throughput_samples_per_s):
            ends = metric.interval
            assert 0 < ends.low <= metric.value <= ends.high
        assert candidate.memory_mib.interval.high <= candidate.usable_memory_mib
        assert candidate.p_deadline is None or candidate.p_deadline >= asked.confidence - 1e-3
        assert candidate.p_budget is None or candidate.p_budget >= asked.confidence - 1e-3
        assert not candidate.spot or asked.spot
        if asked.regions == ("EU",):
            assert candidate.offer.region in {"eu-central-1", "europe-west9"}
        if asked.carbon_limit_kg is not None:
            assert candidate.carbon_g.value / 1e3 <= asked.carbon_limit_kg
        if asked.batch_size is not None:
            assert candidate.batch_size == asked.batch_size
    assert (answer.pick is None) == bool(answer.binding)


@settings(max_examples=60, deadline=None)
@given(runs=documents(), policy=st.sampled_from(list(Policy)), kind=st.sampled_from(["cpu", "gpu"]))
def test_a_peak_lies_within_its_ends_and_grows_with_the_batch(
    runs: tuple[Run, ...], policy: Policy, kind: str
) -> None:
    """Below, at, between and beyond the batches that were measured; never less than is held."""
    asked = r.need()
    work = replace(job.read(asked, ()), workload="mine")
    model = memory.peak_models(work, asked, runs, kind)[policy]
    before = (0.0, 0.0, 0.0)
    for batch in (1, 2, 7, 8, 9, 20, 32, 33, 500, 512, 2000):
        at = model.at(batch)
        ends = (at.interval.low, at.value, at.interval.high)
        assert model.least <= ends[0] <= ends[1] <= ends[2]
        assert all(now >= then - 1e-6 for now, then in zip(ends, before, strict=True))
        before = ends


@settings(max_examples=30, deadline=None)
@given(case=answerable(), cheaper=st.floats(0.5, 0.99))
def test_a_cheaper_duplicate_of_the_pick_wins(
    case: tuple[tuple[Offer, ...], dict[str, Any]], cheaper: float
) -> None:
    """Under objective cost, nothing but the price differs."""
    offered, fields = case
    asked = r.need(**fields)
    pick = r.ask(asked, r.of(*offered)).pick
    assume(pick is not None)
    assert pick is not None
    field = "spot_usd_per_h" if pick.spot else "ondemand_usd_per_h"
    price = getattr(pick.offer, field)
    twin = replace(pick.offer, instance_type="twin", **{field: price * cheaper})
    again = r.ask(asked, r.of(*offered, twin)).pick
    assert again is not None
    assert again.offer.instance_type == "twin"


@settings(max_examples=30, deadline=None)
@given(case=answerable(), looser=st.floats(1.0, 20.0))
def test_loosening_a_deadline_never_raises_the_cost_of_the_pick(
    case: tuple[tuple[Offer, ...], dict[str, Any]], looser: float
) -> None:
    """More time can only add ways."""
    offered, fields = case
    loose = {**fields, "deadline_h": fields["deadline_h"] * looser}
    first = r.ask(r.need(**fields), r.of(*offered)).pick
    second = r.ask(r.need(**loose), r.of(*offered)).pick
    assume(first is not None)
    assert first is not None
    assert second is not None
    assert not isinstance(first.cost_usd, Absent)
    assert not isinstance(second.cost_usd, Absent)
    assert second.cost_usd.value <= first.cost_usd.value


@settings(max_examples=30, deadline=None)
@given(offered=offers(), fields=limits())
def test_an_unknown_price_never_ranks_as_nothing(
    offered: tuple[Offer, ...], fields: dict[str, Any]
) -> None:
    """An offer without a price is rejected with that reason, and changes no answer."""
    asked = r.need(**{**fields, "exclude_providers": None})
    unpriced = r.offer(instance_type="unpriced", ondemand_usd_per_h=r.NONE)
    without = r.ask(asked, r.of(*offered))
    answer = r.ask(asked, r.of(*offered, unpriced))
    assert answer.pick == without.pick
    reasons = [x for x in answer.rejected if x.name.startswith("aws unpriced")]
    assert [str(x.constraint) for x in reasons] == ["price unknown"]


@settings(max_examples=20, deadline=None)
@given(offered=offers(), fields=limits(), order=st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_the_catalog(
    offered: tuple[Offer, ...], fields: dict[str, Any], order: Any
) -> None:
    """The same pick, from the same seed, on every machine."""
    asked = r.need(**{**fields, "exclude_providers": None})
    shuffled = list(offered)
    order.shuffle(shuffled)
    assert r.ask(asked, r.of(*shuffled)).pick == r.ask(asked, r.of(*offered)).pick
