"""Numbers of an answer against their sums on paper, where one that is off would look right."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from dlbench.analysis.recommend import job, memory, needs, roofline
from dlbench.core.catalog import Offer
from dlbench.core.recommendation import Constraint, Evidence, Need
from dlbench.core.types import (
    Estimated,
    Interval,
    Metric,
    Mode,
    Policy,
    Precision,
    Run,
    Scenario,
)
from tests import recommending as r
from tests.recommending import MINE, picked, step, value

J_PER_KWH = 3.6e6


def interval(metric: Metric) -> Interval:
    """Its range."""
    assert isinstance(metric, Estimated)
    return metric.interval


def first(text: str) -> float:
    """The number that a text begins with."""
    return float(text.partition(" ")[0].replace(",", ""))


def numbered(*runs: Run) -> list[Run]:
    """The same documents, each of a name of its own."""
    return [
        replace(run, run_id=f"2026010{i}T000000Z-test-2c-abcdef") for i, run in enumerate(runs, 1)
    ]


def server_case() -> Run:
    """A document of a server case of ``mine``: 200 requests a second within 50 ms."""
    return r.measured(
        200.0,
        mode=Mode.INFERENCE,
        scenario=Scenario.SERVER,
        batches=(1,),
        peaks_mib=(2000.0,),
        options=(("latency_limit_ms", "50"),),
    )


def serve_mine(**fields: Any) -> Need:
    """A need of a service of ``mine``."""
    table = {"task": "inference", "workload": "mine", "requests_per_s": 50.0, "p99_ms": 50.0}
    return needs.build({**table, **fields})[0]


# --- time and money -------------------------------------------------------------------------


def test_a_month_of_storage_is_a_months_price_of_it() -> None:
    """500 samples a second for 730.5 h: 584.40 USD of rent, and 100 GB of 0.08 USD a month."""
    data = {"data_gb": 100, "upload_mbit_per_s": 1e5}
    asked = r.need(**MINE, **data, samples=500 * 730.5 * 3600, set_up_min=[0, 0])
    pick = picked(r.ask(asked, r.of(r.offer()), r.measured(500.0, instance="l4.small")))
    assert first(step(pick, "storage")) == pytest.approx(8, rel=0.03)
    assert value(pick.cost_usd) == pytest.approx(584.4 + 8, rel=0.01)


def test_a_price_that_would_flip_the_pick_multiplies_its_rent_alone() -> None:
    """With 5,000 GB, whose storage costs as much whatever the machine does: solved again, it flips."""
    asked, rivals = r.need(data_gb=5000, upload_mbit_per_s=1e6), (r.offer(), r.offer(**r.A10G))
    answer = r.ask(asked, r.of(*rivals))
    (rise,) = [f for f in answer.flips if f.change == "price of the pick"]
    pick = picked(answer).offer
    (rival,) = [o for o in rivals if o != pick]
    for times, kept in ((0.999, True), (1.001, False)):
        changed = replace(pick, ondemand_usd_per_h=times * rise.value)
        found = picked(r.ask(asked, r.of(changed, rival))).offer
        assert found == (changed if kept else rival)


def test_a_spot_price_is_as_old_as_itself() -> None:
    """One of 116 days ago beside a fresh price on demand: its own day, source, age and limit."""
    spot = {"spot_usd_per_h": 0.1, "spot_as_of": "2026-08-01", "spot_source": "elsewhere"}
    offered = r.of(r.offer(as_of="2026-11-24", **spot))
    pick = picked(r.ask(r.need(spot=True), offered))
    assert (pick.spot, pick.price_as_of) == (True, "2026-08-01")
    (price,) = [s for s in pick.trail if s.name == "price"]
    assert (price.source, price.as_of) == ("elsewhere", "2026-08-01")
    assert any("the spot price is of 2026-08-01, 116 days ago" in w for w in pick.warnings)
    fresh = r.ask(r.need(spot=True, max_price_age_days=29), offered)
    assert not picked(fresh).spot
    (out,) = [x for x in fresh.rejected if x.name.endswith(" spot")]
    assert (out.constraint, out.times) == (Constraint.PRICE_AGE, 4.0)


def test_interruptions_between_two_ends_lie_around_their_geometric_middle() -> None:
    """0.01 to 0.2 an hour: log-normal around 0.0447, of 0.911 in ln, whose mean is 0.0677."""
    offered = r.of(r.offer(spot_usd_per_h=0.1, spot_as_of="2026-11-20"))
    asked = r.need(**MINE, samples=500 * 3600 * 1000.0, spot=True, checkpoint_min=1.0)
    pick = picked(r.ask(asked, offered, r.measured(500.0, instance="l4.small")))
    assert first(step(pick, "interruptions")) == pytest.approx(67.7, rel=0.03)


def test_what_is_sure_is_what_the_confidence_says() -> None:
    """At 95 % it is the end above which one outcome in twenty lies: of hours, money and carbon."""
    offered, asked = r.of(r.offer()), {"samples": 2e6, "confidence": 0.95}
    pick = picked(r.ask(r.need(**asked), offered))
    for limit, metric, unit in (
        ({"deadline_h": 0.01}, pick.time_s, 3600),
        ({"budget_usd": 0.01}, pick.cost_usd, 1),
        ({"carbon_limit_kg": 1e-4}, pick.carbon_g, 1000),
    ):
        (out,) = r.ask(r.need(**asked, **limit), offered).rejected
        told = re.search(r"^95 % of outcomes .* up to ([0-9.,]+) ", out.reason)
        assert told is not None
        assert first(told[1]) == pytest.approx(interval(metric).high / unit, rel=0.01)


# --- energy and carbon ----------------------------------------------------------------------


def test_an_accelerator_draws_its_power_while_it_works_and_the_host_all_the_time() -> None:
    """54 W (three quarters of an L4's 72) for 2,000 s, 20 W of 8 vCPU for an hour of set-up more."""
    asked = r.need(**MINE, set_up_min=[60, 60])
    pick = picked(r.ask(asked, r.of(r.offer()), r.measured(500.0, instance="l4.small")))
    assert value(pick.energy_j) == pytest.approx(54 * 2000 + 20 * 5600, rel=0.05)


@pytest.mark.parametrize(
    ("requests_per_s", "instances", "busy"), [(1.0, 1, 1 / 200), (900.0, 7, 900 / 1400)]
)
def test_a_fleet_draws_a_quarter_of_its_power_where_it_waits(
    requests_per_s: float, instances: int, busy: float
) -> None:
    """730 h of 54 W x (1/4 + 3/4 of the share in which it works) and of a host's 20 W, each."""
    run, offered = server_case(), r.of(r.offer())
    asked = serve_mine(requests_per_s=requests_per_s, max_instances=instances)
    pick = picked(r.ask(asked, offered, run))
    assert pick.n_instances == instances
    kwh = instances * 0.73 * (54 * (0.25 + 0.75 * busy) + 20)
    assert value(pick.energy_j) / J_PER_KWH == pytest.approx(kwh, rel=0.05)
    if instances > 1:
        fewer = serve_mine(requests_per_s=requests_per_s, max_instances=instances - 1)
        assert r.ask(fewer, offered, run).rejected[0].constraint is Constraint.DEVICES


def hosts(**hungry: Any) -> tuple[Offer, Offer]:
    """Two machines with an L4, one of which has a host of many more watts."""
    return r.offer(instance_type="lean"), r.offer(instance_type="hungry", **hungry)


def test_a_price_of_carbon_is_of_a_kilogram() -> None:
    """400 vCPU draw a kW more: a kg an hour at 1,000 g/kWh, for 0.10 USD less of rent."""
    offered = r.of(*hosts(vcpus=408.0, ondemand_usd_per_h=0.7))
    for usd_per_kg, kind in ((0.05, "hungry"), (0.2, "lean")):
        asked = r.need(intensity_g_per_kwh=1000.0, pue=1.0, carbon_usd_per_kg=usd_per_kg)
        assert picked(r.ask(asked, offered)).offer.instance_type == kind


def test_least_energy_is_not_least_carbon() -> None:
    """154 W in Sweden against 74 W in Ohio, where a kWh emits ten times as much and more."""
    lean, hungry = hosts(vcpus=40.0, region="eu-north-1")
    offered = r.of(replace(lean, region="us-east-2"), hungry)
    for objective, kind in (("energy", "lean"), ("carbon", "hungry")):
        assert picked(r.ask(r.need(objective=objective), offered)).offer.instance_type == kind


def test_a_desktop_has_no_building_that_cools_it() -> None:
    """Its carbon is its energy times Germany's 380.9 g/kWh: a site's average PUE is not its."""
    desk = {"name": "desk", "accelerator": "L4", "vcpus": 8.0, "country": "DE"}
    pick = picked(r.ask(r.need(owned=[desk]), r.of()))
    assert value(pick.carbon_g) / value(pick.energy_j) * J_PER_KWH == pytest.approx(380.9, rel=0.04)


# --- evidence -------------------------------------------------------------------------------


def test_of_two_documents_the_slower_counts() -> None:
    """400 and 500 a second, each give or take a tenth for another machine."""
    runs = numbered(r.measured(500.0), r.measured(400.0))
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), *runs))
    assert value(pick.throughput_samples_per_s) == pytest.approx(400, rel=0.02)
    assert interval(pick.throughput_samples_per_s).high == pytest.approx(550, rel=0.02)


@pytest.mark.parametrize(
    ("rates", "found"), [({8: 100.0, 64: 300.0}, 64), ({256: 700.0, 512: 900.0}, 256)]
)
def test_the_measured_batch_nearest_to_the_usual_one_counts(
    rates: dict[int, float], found: int
) -> None:
    """ResNet-50's is 128 on a card: the largest up to it, else the smallest above."""
    runs = []
    for batch, rate in rates.items():
        run = r.measured(
            rate, workload="resnet50", batches=(batch,), peaks_mib=(1000.0 + 16 * batch,)
        )
        (info,) = run.plan.workloads
        plan = replace(run.plan, workloads=(replace(info, name="resnet50"),))
        runs.append(replace(run, plan=plan))
    asked = r.need(**{**MINE, "workload": "resnet50"})
    pick = picked(r.ask(asked, r.of(r.offer()), *numbered(*runs)))
    assert (pick.evidence, pick.batch_size) == (Evidence.ACCELERATOR, found)
    assert value(pick.throughput_samples_per_s) == pytest.approx(rates[found], rel=0.02)


@pytest.mark.parametrize(
    "other",
    [
        {"precision": Precision.FP16},
        {"framework": "jax"},
        {"variant": "small"},
        {"mode": Mode.INFERENCE, "scenario": Scenario.OFFLINE},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_document_of_other_work_is_evidence_of_neither_rate_nor_memory(
    other: dict[str, Any],
) -> None:
    """Half precision, another framework, a smaller variant or no backward pass would flatter a card."""
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), r.measured(500.0, **other)))
    assert pick.evidence is Evidence.ROOFLINE
    (way,) = [s for s in pick.trail if s.name == "memory"]
    assert way.formula.startswith("analytical bound")


def test_ones_own_model_is_wanted_at_the_largest_batch_that_was_measured() -> None:
    """Whoever measured 16 and 64 means to work with 64."""
    run = r.measured(500.0, batches=(16, 64), peaks_mib=(2000.0, 4000.0))
    assert job.read(r.need(**MINE), (run,)).batch_sizes == {"cpu": 64, "nvidia": 64}


def test_the_measured_accelerator_of_the_nearest_bandwidth_is_scaled() -> None:
    """An L4's 300 GB/s are half of an A10G's: 250 of its 500, whatever an H100 does."""
    names = {"NVIDIA A10G": 500.0, "NVIDIA H100 80GB HBM3": 9000.0}
    runs = numbered(
        *(r.measured(rate, device=replace(r.GPU, name=name)) for name, rate in names.items())
    )
    pick = picked(r.ask(r.need(**MINE), r.of(r.offer()), *runs))
    assert value(pick.throughput_samples_per_s) == pytest.approx(250, rel=0.03)


def test_the_ends_of_a_roofline_are_the_worst_and_the_best_of_each_part() -> None:
    """An L4 at 5 % of 30.3 TFLOPS, 40 % of 300 GB/s and 60 ms a step; at 65 %, 95 % and 3 ms."""
    device = r.of().accelerator("L4")
    assert device is not None
    asked = r.need()
    found = roofline.accelerator(device, job.read(asked, ()), asked, 32)
    assert isinstance(found, roofline.Bound)
    for end, macs, share, reached, host_s in (
        (found.low, 59, 0.05, 0.4, 0.06),
        (found.high, 1070, 0.65, 0.95, 0.003),
    ):
        sample_s = 24e9 / (30.3e12 * share) + 4e9 / macs * 4 * 6 / (300e9 * reached)
        step_s = 25e6 * (8 + 4 + 28) / (300e9 * reached) + host_s
        assert end == pytest.approx(32 / (32 * sample_s + step_s))


def test_a_sheet_that_nobody_checked_is_twice_as_wide_to_either_side() -> None:
    """Of 8 cores that nobody measured, around the same middle."""
    asked, offer = r.need(), r.cpu()
    sheet = roofline.processor(offer, 8.0, job.read(asked, ()), asked, 8, r.of())
    assert isinstance(sheet, roofline.Bound)
    way = step(picked(r.ask(asked, r.of(offer))), "throughput")
    found = [float(x) for x in re.findall(r"[0-9.]+", way)]
    assert found == pytest.approx([sheet.value, sheet.low / 2, sheet.high * 2], rel=1e-3)


@pytest.mark.parametrize(
    ("accelerator", "task", "scaling"),
    [
        # Pairs that a bridge joins are no switch of all four: 4 x 0.85^2, as over PCIe.
        ("RTX-3090", "training", 2.89),
        ("A100-PCIE-40GB", "training", 2.89),
        ("A100-SXM4-40GB", "training", 3.61),
        # Replicas that infer say nothing to each other: 4 x 0.97^2.
        ("L4", "inference", 3.76),
    ],
)
def test_four_devices_keep_of_two_doublings_what_joins_them(
    accelerator: str, task: str, scaling: float
) -> None:
    """Of NVLink 0.95 each, of PCIe 0.85, of replicas 0.97."""
    epochs = None if task == "inference" else 1.0
    offered = r.of(r.offer(accelerator=accelerator, accelerator_count=4.0))
    pick = picked(r.ask(r.need(task=task, epochs=epochs), offered))
    assert first(step(pick, "scaling")) == scaling


@pytest.mark.parametrize(("accelerator", "left_out"), [("T4", False), ("V100-SXM2-16GB", True)])
def test_cards_that_newest_builds_leave_out_are_told(accelerator: str, left_out: bool) -> None:
    """Below a compute capability of 7.5, which is a T4's."""
    pick = picked(r.ask(r.need(), r.of(r.offer(accelerator=accelerator))))
    assert any("newest builds of frameworks leave it out" in w for w in pick.warnings) is left_out


# --- memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "mib"),
    [
        (r.offer(), 24 * 1024 * 0.94),
        (r.offer(accelerator_count=8.0), 24 * 1024 * 0.94),
        (r.offer(accelerator_count=0.5), 12 * 1024 * 0.94),
        (r.cpu(), 64 * 1024 * 0.9 - 1024),
    ],
)
def test_usable_memory_is_of_one_device_less_what_others_keep(offer: Offer, mib: float) -> None:
    """94 % of a card's GiB, or of the part of it that is rented; 90 % of a host's less one."""
    assert memory.usable_mib(offer, r.of()) == pytest.approx(mib)


@pytest.mark.parametrize(
    ("work", "weight_bytes", "kept"),
    [({"task": "training"}, 8 + 4 + 2, 2.1), ({"task": "inference", "samples": 1e6}, 2, 0.45)],
)
def test_the_memory_of_half_precision_is_that_of_two_bytes_a_number(
    work: dict[str, Any], weight_bytes: float, kept: float
) -> None:
    """ResNet-50 at 128 in bf16: 25.6 M parameters and 11.1 M activations, which were counted.

    Training with momentum has 12 bytes a parameter in fp32, and a copy of 2 to compute with.
    """
    asked = needs.build({"workload": "resnet50", "precision": "bf16", **work})[0]
    pick = picked(r.ask(asked, r.of(r.offer())))
    assert pick.batch_size == 128
    by_hand = 1.1 * weight_bytes * 25_557_032 + 128 * kept * 2 * 11_114_984
    assert value(pick.memory_mib) == pytest.approx(700 + by_hand / 2**20)


def test_a_decoders_cache_is_held_twice_and_copied_to_half_of_its_size() -> None:
    """42.5 MB of each of 16: the batch at work, the next, and a half in bf16."""
    asked = {"task": "inference", "workload": "gpt2_decode", "precision": "bf16", "samples": 1e6}
    pick = picked(r.ask(needs.build(asked)[0], r.of(r.offer())))
    assert pick.batch_size == 16
    cache = 24 * 12 * 576 * 64 * 4
    by_hand = 1.1 * 2 * 124_439_808 + 16 * (2.5 * cache + 0.45 * 2 * 225_361)
    assert value(pick.memory_mib) == pytest.approx(700 + by_hand / 2**20, rel=1e-4)


def test_of_two_peaks_of_one_batch_the_larger_is_to_fit() -> None:
    """What was seen once may come again."""
    runs = numbered(r.measured(500.0, peaks_mib=(4400.0,)), r.measured(500.0, peaks_mib=(4000.0,)))
    asked = r.need(**MINE)
    models = memory.peak_models(job.read(asked, runs), asked, runs, "gpu")
    assert models[Policy.BASE].at(32).value == pytest.approx(4400)


# --- serving --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "batch", "host_ms"),
    [
        (r.offer(), 32, 4.444),
        (r.offer(accelerator_count=0.5), 32, 4.889),
        (r.cpu(vcpus=64.0), 8, 1.368),
    ],
)
def test_a_service_in_full_batches_is_as_fast_as_a_run(
    offer: Offer, batch: int, host_ms: float
) -> None:
    """The host's time is in the offline rate: it is not counted twice.

    A step costs a card 4 ms and a processor 0.5, and 100 MB of parameters are read: at three quarters
    of 300 GB/s, of half of them, and of 32 cores' 4.8 GB/s each.
    """
    asked = r.serve(p99_ms=1e6, requests_per_s=1.0)
    pick = picked(r.ask(asked, r.of(offer)))
    assert pick.batch_size == batch
    (way,) = [s for s in pick.trail if s.name == "rate within the limit"]
    assert first(way.value) == pytest.approx(first(step(pick, "throughput")), rel=0.03)
    told = re.search(r"/ \(host (\S+) ms ", way.formula)
    assert told is not None
    assert float(told[1]) == pytest.approx(host_ms, rel=0.01)


def test_a_measured_rate_has_the_hosts_time_in_it() -> None:
    """100,000 a second in batches of 32 are 0.32 ms each, where launching mostly takes 4."""
    run = r.measured(1e5, mode=Mode.INFERENCE, scenario=Scenario.OFFLINE)
    pick = picked(r.ask(serve_mine(p99_ms=2.0), r.of(r.offer()), run))
    assert value(pick.latency_p99_s) == pytest.approx(2 * 32 / 1e5, rel=0.03)


def test_a_fleet_of_machines_with_four_cards_serves_four_times_less_what_is_lost() -> None:
    """One answers 200 a second within the limit, four 200 x 4 x 0.97^2: two of them for 900."""
    offered = r.of(r.offer(accelerator_count=4.0))
    pick = picked(r.ask(serve_mine(requests_per_s=900.0), offered, server_case()))
    assert pick.n_instances == 2
    assert value(pick.throughput_samples_per_s) == pytest.approx(2 * 200 * 4 * 0.97**2, rel=0.02)


def test_a_p99_is_kept_with_the_confidence() -> None:
    """At 95 % the upper end of its range lies within the limit: the middle alone would not do."""
    pick = picked(r.ask(r.serve(confidence=0.95, p99_ms=200.0), r.of(r.offer())))
    assert interval(pick.latency_p99_s).high <= 0.2
