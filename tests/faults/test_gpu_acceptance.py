"""The GPU acceptance's runs of the product, by simulation: a replayed card, the fake framework."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlbench.core.types import Check, Run
from tests.gpu import __main__ as acceptance
from tests.nvml import replaying


@pytest.fixture
def product(tmp_path: Path) -> acceptance.Product:
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
            "DLBENCH_NVML_LIBRARY": str(replaying.build(tmp_path)),
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
