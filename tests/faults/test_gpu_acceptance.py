"""The GPU acceptance's runs of the product, by simulation: a replayed card, the fake framework."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dlbench.core.types import Check, Run
from tests.gpu import __main__ as acceptance
from tests.nvml import replaying


@pytest.fixture
def product(library: Path, tmp_path: Path) -> acceptance.Product:
    """On an A100 of 250 W whose counter moves each 100 ms; more than 64 samples do not fit."""
    scenario = tmp_path / "scenario.txt"
    scenario.write_text(f"clock real\n{replaying.A100} period_ms 100\n")
    fits = ("-o", "memory_samples=64")
    return acceptance.Product(
        device="nvidia:0",
        workload="fake",
        framework="fake",
        folder=tmp_path,
        surroundings={
            **os.environ,
            "DLBENCH_NVML_LIBRARY": str(library),
            "DLBENCH_NVML_REPLAY": str(scenario),
        },
        runs={
            **{name: (*given, *fits) for name, given in acceptance.runs_of(81920.0).items()},
            "energy": ("--mode", "training", "--profile", "quick"),
        },
        program="tests.brief",
    )


def _judged(product: acceptance.Product, part: str) -> list[Check]:
    run = product.run(part)
    assert isinstance(run, Run), run
    return list(acceptance.judged(part, run))


def test_the_products_document_is_judged(product: acceptance.Product) -> None:
    """Joules a sample of a constant power repeat; two seconds have no integral to compare."""
    against, repeats, _ = _judged(product, "energy")
    assert against.passed is None
    assert "too short" in against.detail
    assert "windows within" in repeats.detail


def test_a_batch_that_cannot_fit_is_out_of_memory_and_the_search_ends_below(
    product: acceptance.Product,
) -> None:
    """As on a card: the outcome of the run, and the size that the search gives."""
    (full,) = _judged(product, "out_of_memory")
    assert full.passed is True, full.detail
    (search,) = _judged(product, "batch_search")
    assert search.passed is True, search.detail
    assert "out of memory" in search.detail


def test_the_protocol_of_a_precision_is_judged(product: acceptance.Product) -> None:
    """Both policies, training and inference; a precision that the card lacks is not applied."""
    found = _judged(product, "protocol_fp32")
    assert [c.rule for c in found] == ["protocol_fp32_base", "protocol_fp32_tuned"]
    assert all(c.passed for c in found), found
    lacking = product.run("protocol_fp16")
    assert isinstance(lacking, Check)
    assert lacking.passed is None
    assert "does not run fp16" in lacking.detail


PROGRAM = """
import ctypes, json, sys, time
from dataclasses import asdict
from dlbench.core.types import Absent
from dlbench.devices import nvidia
from tests.gpu import probes

(device,) = nvidia.find()
began_s = time.monotonic()
import pynvml
lib = pynvml.nvmlLib
lib.replay_set_load.argtypes = [ctypes.c_int, ctypes.c_double]


class Pretended:
    def work(self, seconds):
        lib.replay_set_load(1, time.monotonic() - began_s)
        time.sleep(seconds)
        lib.replay_set_load(0, time.monotonic() - began_s)

    def allocate(self, mib):
        return None

    def memory_mib(self):
        return {"framework_allocated": 0.0}

    def uuid(self):
        return "aaaa0000"


load = Pretended()
found = [
    probes.same_device(device, load),
    probes.counter_period(device, 2.0),
    probes.call_latency(device, 20),
    probes.power_tail(device, load, 1.0),
    probes.memory(device, load, 64.0),
    probes.soak(device, load, 1.5),
]
json.dump({c.rule: asdict(c) for c in found}, sys.stdout)
"""


def test_the_probes_read_a_replayed_card_through_the_real_binding(
    library: Path, tmp_path: Path
) -> None:
    """On a card of a closed form all hold but memory: this load allocates nothing, and is caught."""
    trace = tmp_path / "card.trace"
    trace.write_text("idle 60000\nload constant 250000\nperiod 100\n")
    scenario = tmp_path / "scenario.txt"
    scenario.write_text(f"clock real\n{replaying.A100}\ntrace {trace}\n")
    found = replaying.run(
        PROGRAM,
        DLBENCH_NVML_LIBRARY=library,
        DLBENCH_NVML_REPLAY=scenario,
    )
    assert found["uuid"]["passed"] is True
    assert found["counter_period"]["passed"] is True
    idle = re.search(r"idle ([\d.]+) W", found["counter_period"]["detail"])
    assert idle is not None
    # Over two seconds, between ticks that a busy machine tells to a fortieth of a second each.
    assert float(idle[1]) == pytest.approx(60, rel=0.03)
    assert found["nvml_latency"]["passed"] is True
    assert found["power_tail"]["passed"] is True
    assert found["memory"]["passed"] is False
    assert "a counter fell" not in found["soak"]["detail"]
    assert "a sensor was lost" not in found["soak"]["detail"]
