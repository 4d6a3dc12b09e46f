"""Price tables and needs come from strangers: whatever they hold ends in values or in one sentence."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench import catalog
from dlbench.analysis.recommend import needs
from dlbench.core import catalog_rows
from dlbench.core.errors import DlbenchError
from dlbench.core.types import Absent
from dlbench.providers import skypilot

CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            "0",
            "0.00",
            "-1",
            "nan",
            "inf",
            "1e400",
            "700",
            "1_0",
            "A100-80GB",
            "L4",
            "US",
            ", US, NA",
        ]
    ),
    st.floats().map(str),
)


def quoted(cells: list[str]) -> str:
    """A line of CSV."""
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


@settings(max_examples=150, deadline=None)
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_are_a_table_or_a_sentence(data: bytes) -> None:
    """No other exception leaves the reader."""
    with contextlib.suppress(DlbenchError):
        catalog_rows.offers(data, "x.csv", origin="test")


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=7, max_size=7), max_size=4))
def test_a_price_that_is_read_is_above_zero_and_finite(rows: list[list[str]]) -> None:
    """Or it is unknown, or the row is refused."""
    header = "provider,instance_type,region,accelerator,accelerator_count,ondemand_usd_h,as_of"
    text = "\n".join([header, *(quoted(row) for row in rows)])
    try:
        offers = catalog_rows.offers(text.encode("utf-8", "replace"), "x.csv", origin="test")
    except DlbenchError as error:
        assert error.advice
        return
    for offer in offers:
        price = offer.ondemand_usd_per_h
        assert isinstance(price, Absent) or (price > 0 and math.isfinite(price))


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=8, max_size=8), max_size=4),
    seller=st.sampled_from(["aws", "gcp", "vast", "runpod", "lambda"]),
)
def test_the_importer_survives_any_row(rows: list[list[str]], seller: str) -> None:
    """A bad row is left out; what remains has a price above 0, and an accelerator of the catalog."""
    header = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,GpuInfo,Region,Price,SpotPrice"
    text = "\n".join([header, *(quoted(row) for row in rows)])
    known = {device.name for device in catalog.shipped().accelerators}
    try:
        fetched = skypilot.read(
            text.encode("utf-8", "replace"),
            "x.csv",
            catalog.shipped(),
            as_of="2026-11-25",
            seller=seller,
        )
    except DlbenchError:
        return
    for offer in fetched.offers:
        assert offer.accelerator is None or offer.accelerator in known
        for price in (offer.ondemand_usd_per_h, offer.spot_usd_per_h):
            assert isinstance(price, Absent) or (0 < price < math.inf and price != 700)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["task", "name", "samples", "deadline_h", "regions", "owned", "spot", "set_up_min", "seed", "x"]
)


@settings(max_examples=200, deadline=None)
@given(table=st.dictionaries(FIELDS, VALUES, max_size=4))
def test_any_table_is_a_need_or_a_sentence(table: dict[str, Any]) -> None:
    """With a field and a remedy, for whatever a TOML file can hold."""
    try:
        needs.build(table)
    except DlbenchError as error:
        assert error.message
        assert error.advice
