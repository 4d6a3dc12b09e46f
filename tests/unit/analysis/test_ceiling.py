"""Shares of a measured ceiling: of the same machine, device and precision, or absent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench.analysis import ceiling, rows
from dlbench.core.types import Absent, Estimated, Measured, Precision
from tests import documents

ROWS = rows.of([documents.rich_run()])
GEMM = next(r for r in ROWS if r.case.workload == "gemm")
MODEL = next(r for r in ROWS if r.case.framework == "tensorflow" and r.case.mode == "inference")


def test_a_share_is_the_quotient_with_the_widest_bounds() -> None:
    """FLOP/s over the ceiling's."""
    share = ceiling.share(MODEL, ceiling.find(ROWS))
    mine, top = MODEL.metrics["flops_per_s"], GEMM.metrics["flops_per_s"]
    assert isinstance(share, Estimated)
    assert isinstance(mine, Measured)
    assert isinstance(top, Measured)
    assert mine.interval is not None
    assert top.interval is not None
    assert share.value == pytest.approx(mine.value / top.value)
    assert share.interval.low == pytest.approx(mine.interval.low / top.interval.high)
    assert share.interval.high == pytest.approx(mine.interval.high / top.interval.low)


def test_the_highest_micro_workload_is_the_ceiling() -> None:
    """A slower framework's matrix product is none."""
    value = GEMM.metrics["flops_per_s"]
    assert isinstance(value, Measured)
    faster = replace(
        GEMM,
        case=replace(GEMM.case, framework="jax"),
        metrics={**GEMM.metrics, "flops_per_s": replace(value, value=2 * value.value)},
    )
    (found,) = ceiling.find([faster, *ROWS]).values()
    assert found.framework == "jax"


def test_another_precision_has_another_ceiling() -> None:
    """Nothing measured in bf16 is held against fp32."""
    other = replace(MODEL, case=replace(MODEL.case, precision=Precision.BF16))
    share = ceiling.share(other, ceiling.find(ROWS))
    assert isinstance(share, Absent)
    assert "bf16" in share.reason
    assert "dlbench run gemm" in share.remedy


def test_a_roofline_needs_both_ceilings() -> None:
    """Traffic of another precision counts, bytes being bytes; of another device it does not."""
    triad = next(r for r in ROWS if r.case.workload == ceiling.TRIAD)
    bf16 = replace(GEMM, case=replace(GEMM.case, precision=Precision.BF16))
    keys = [ceiling.key(row) for row in (GEMM, bf16)]
    assert list(ceiling.rooflines([GEMM, bf16, triad])) == keys
    elsewhere = replace(triad, case=replace(triad.case, device="cuda:0"))
    assert ceiling.rooflines([GEMM, bf16, elsewhere]) == {}
    small = replace(triad, case=replace(triad.case, variant="tiny"))
    assert ceiling.rooflines([GEMM, small]) == {}


def test_no_case_is_left_of_the_slope() -> None:
    """Its least intensity is that at which it would use all of the memory's speed."""
    (roofline,) = ceiling.rooflines(ROWS).values()
    place = ceiling.place(MODEL, roofline)
    done = MODEL.metrics["flops_per_s"]
    assert isinstance(place, ceiling.Place)
    assert isinstance(done, Measured)
    assert not place.exact
    assert place.flop_per_byte * roofline.bytes_per_s == pytest.approx(done.value)
    assert place.flop_per_byte < roofline.ridge_flop_per_byte
    triad = next(r for r in ROWS if r.case.workload == ceiling.TRIAD)
    assert isinstance(ceiling.place(triad, roofline), Absent)


def test_another_variant_of_a_micro_workload_is_no_ceiling() -> None:
    """A product of one row reads as many bytes as it does operations: shares of it would be above 1."""
    skinny = replace(GEMM, case=replace(GEMM.case, variant="skinny"))
    assert ceiling.find([skinny, MODEL]) == {}
    assert isinstance(ceiling.share(MODEL, ceiling.find([skinny, MODEL])), Absent)


def test_another_device_of_a_machine_of_that_name_has_another_ceiling() -> None:
    """A laptop's GPU and a desktop's, and any two Xeons of four cores, make machines of one name."""
    value = GEMM.metrics["flops_per_s"]
    assert isinstance(value, Measured)
    faster = {**GEMM.metrics, "flops_per_s": replace(value, value=9 * value.value)}
    desktop = replace(GEMM, device_name="RTX 4090", metrics=faster)
    assert ceiling.share(MODEL, ceiling.find([desktop, *ROWS])) == ceiling.share(
        MODEL, ceiling.find(ROWS)
    )
    assert isinstance(ceiling.share(MODEL, ceiling.find([desktop])), Absent)
    keys = list(ceiling.find([desktop, *ROWS]))
    assert {ceiling.named(key, keys) for key in keys} == {
        f"{GEMM.machine} (RTX 4090)",
        f"{GEMM.machine} ({GEMM.device_name})",
    }
    assert ceiling.named(keys[0], keys[:1]) == GEMM.machine
