"""Small catalogs, needs and documents for tests of the recommender."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from dlbench import catalog
from dlbench.analysis.recommend import needs, recommend
from dlbench.core.catalog import Catalog, Offer
from dlbench.core.recommendation import Candidate, Need, Predictor, Recommendation
from dlbench.core.types import Absent, DeviceInfo, Metric, Mode, PeakMemory, Precision, Run
from tests import builders

TODAY = date(2026, 11, 25)
NONE = Absent(reason="not known")

JOB = {"parameters": 25e6, "flops_per_sample": 8e9, "samples": 1e6, "epochs": 1.0}
"""A model like resnet50, given by its size, and a million samples."""


def offer(**changes: Any) -> Offer:
    """An L4 at AWS, in an us-east-1 of 0.80 USD an hour."""
    base: dict[str, Any] = {
        "provider": "aws",
        "instance_type": "l4.small",
        "region": "us-east-1",
        "accelerator": "L4",
        "accelerator_count": 1.0,
        "vcpus": 8.0,
        "memory_gib": 32.0,
        "ondemand_usd_per_h": 0.8,
        "spot_usd_per_h": NONE,
        "cpu_model": "",
        "price_scope": "instance",
        "source": "a test",
        "as_of": "2026-11-20",
        "spot_source": "",
        "spot_as_of": "",
        "note": "",
    }
    return Offer(**{**base, **changes})


def cpu(**changes: Any) -> Offer:
    """A machine of 16 vCPU without accelerator."""
    base: dict[str, Any] = {
        "instance_type": "cpu.16",
        "accelerator": None,
        "accelerator_count": 0.0,
        "vcpus": 16.0,
        "memory_gib": 64.0,
        "ondemand_usd_per_h": 0.7,
    }
    return offer(**{**base, **changes})


A100 = {"instance_type": "a100", "accelerator": "A100-SXM4-80GB", "ondemand_usd_per_h": 3.5}
A10G = {"instance_type": "a10g", "accelerator": "A10G", "ondemand_usd_per_h": 1.0}


def of(*offers: Offer) -> Catalog:
    """A catalog of these offers, with all accelerators and places."""
    return replace(catalog.shipped(), offers=offers)


def need(**changes: Any) -> Need:
    """A need of training, with ``changes`` (None takes a field away)."""
    table = {**JOB, **changes}
    return needs.build({k: v for k, v in table.items() if v is not None})[0]


def serve(**changes: Any) -> Need:
    """A need of inference: 50 requests a second within 100 ms."""
    table: dict[str, Any] = {
        "task": "inference",
        "parameters": 25e6,
        "flops_per_sample": 8e9,
        "requests_per_s": 50.0,
        "p99_ms": 100.0,
    }
    return needs.build({**table, **changes})[0]


def ask(
    asked: Need,
    offered: Catalog,
    *runs: Run,
    predictor: Predictor | None = None,
    defaults: tuple[tuple[str, str], ...] = (),
) -> Recommendation:
    """The answer on a fixed day."""
    return recommend(asked, runs, offered, predictor, today=TODAY, defaults=defaults)


GPU = DeviceInfo(
    id="nvidia:0",
    kind="nvidia",
    name="NVIDIA L4",
    uuid=Absent(reason="pretended"),
    memory_mib=23034.0,
    precisions=(Precision.FP32,),
    peak_flops={},
)


def measured(
    samples_per_s: float,
    *,
    batches: tuple[int, ...] = (32,),
    peaks_mib: tuple[float, ...] = (4000.0,),
    device: DeviceInfo = GPU,
    instance: str = "",
    flags: tuple[str, ...] = (),
    threads: int | None = None,
    **case: Any,
) -> Run:
    """A document that measured the workload ``mine`` in training at these batches.

    On a processor with as many threads as it has cores, unless others are given.
    """
    info = replace(builders.WORKLOAD, name="mine", parameters=25_000_000, flops=8e9)
    results = []
    for batch, peak in zip(batches, peaks_mib, strict=True):
        fields: dict[str, Any] = {
            "workload": "mine",
            "framework": "pytorch",
            "device": device.id,
            "mode": Mode.TRAINING,
            "scenario": None,
            "batch_size": batch,
            **case,
        }
        of_ = builders.case(**fields)
        result = builders.result(of_, (1 / samples_per_s,) * 3)
        on_host = device.kind == "cpu"
        memory = PeakMemory(
            framework_allocated_mib=NONE,
            framework_reserved_mib=NONE,
            device_used_mib=NONE if on_host else peak,
            host_rss_mib=peak,
        )
        trials = tuple(replace(t, memory=memory, flags=flags) for t in result.trials)
        results.append(replace(result, trials=trials))
    facts = {**builders.ENVIRONMENT.facts, **({"cloud_instance": instance} if instance else {})}
    environment = replace(builders.ENVIRONMENT, devices=(device,), facts=facts)
    n_threads = threads or device.facts.get("physical_cores", 1)
    plan = builders.plan([r.case for r in results], workloads=(info,), threads=n_threads)
    return builders.run(results, environment=environment, plan=plan)


def picked(answer: Recommendation) -> Candidate:
    """The pick, which must be there."""
    assert answer.pick is not None, answer.binding
    return answer.pick


def value(metric: Metric) -> float:
    """A number that must be known."""
    assert not isinstance(metric, Absent)
    return metric.value


def step(candidate: Candidate, name: str) -> str:
    """The value of one step of a candidate's way."""
    (found,) = [s.value for s in candidate.trail if s.name == name]
    return found


MINE: dict[str, Any] = {"parameters": None, "flops_per_sample": None, "workload": "mine"}
