"""Rows that are asked: answered in their own unit, without a look at their values."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dlbench import catalog
from dlbench.analysis.predict import asked
from dlbench.analysis.predict.catalog_specs import device_table, spec_of
from dlbench.core import catalog as types
from tests import predict_tables as synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic tables."""
    return synthetic.write(tmp_path_factory.mktemp("tables"))


def _asked(**changes: str) -> dict[str, str]:
    return synthetic.rows()[0] | {"value": "", "per_device_value": ""} | changes


def test_rows_are_answered_in_their_order_and_unit(folder: Path) -> None:
    """Totals for several devices, times for time units, reasons for what cannot be told."""
    rows = [
        _asked(device="Mid-M"),
        _asked(device="Abacus 9000"),
        _asked(device="Mid-M", num_devices="2"),
        _asked(device="Mid-M", unit="ms/step"),
        _asked(device="Mid-M", unit="ms/step", batch=""),
        _asked(device="Mid-M", model="never_seen_net"),
    ]
    one, unknown, two, step, no_batch, unseen = asked.answer(rows, folder)
    truth = synthetic.true_rate(synthetic.devices()[4], "resnet50")
    assert float(one["pred"]) == pytest.approx(truth, rel=0.1)
    assert float(one["lo90"]) < truth < float(one["hi90"])
    assert unknown["pred"] == ""
    assert "neither in the data sheets nor in the catalog" in unknown["reason"]
    assert float(one["pred"]) < float(two["pred"]) < 2 * float(one["pred"])
    assert float(two["pred_per_device"]) == pytest.approx(float(two["pred"]) / 2, rel=1e-4)
    assert float(step["pred"]) == pytest.approx(64 / truth * 1e3, rel=0.1)
    assert float(step["lo90"]) < float(step["pred"]) < float(step["hi90"])
    assert "batch" in no_batch["reason"]
    assert unseen["pred"] == "" or float(unseen["hi90"]) > 10 * float(unseen["lo90"])


def test_values_of_asked_rows_are_not_looked_at(folder: Path) -> None:
    """A row answers the same with its value, with another, and without."""
    rows = [_asked(), _asked(value="1e9", per_device_value="1e9"), _asked(value="x")]
    answers = asked.answer(rows, folder)
    assert len({row["pred"] for row in answers}) == 1


def test_devices_of_the_catalog_are_known_without_a_data_sheet(folder: Path) -> None:
    """A catalog accelerator within the learnt range is answered, by an alias too."""
    (found,) = asked.answer([_asked(device="NVIDIA L4")], folder)
    assert found["pred"], found["reason"]
    assert "by data sheet" in found["evidence"]


def test_a_device_is_the_same_by_every_name(tmp_path: Path) -> None:
    """The folder's data sheet holds, and one of the catalog's alone has no peak that no row met."""
    folder = synthetic.write(tmp_path / "tables")
    with (folder / "own.csv").open("a", newline="") as file:
        rows = [row for row in synthetic.rows() if row["model"] == "resnet50"]
        csv.DictWriter(file, synthetic.COLUMNS).writerows(
            row | {"precision": "fp8"} for row in rows
        )
    with (folder / "device-specs.csv").open("a", newline="") as file:
        file.write("A100-SXM4-40GB,19.5,156,312,800,40,400,108,,2,2020,Mid\n")
        file.write("A card,66.9,494.7,989.4,4800,141,700,,,,2024,Hopper\n")
    named, known, fp8, twin = asked.answer(
        [
            _asked(device="A100-SXM4-40GB"),
            _asked(device="A100"),
            _asked(device="H200", precision="fp8"),
            _asked(device="A card", precision="fp8"),
        ],
        folder,
    )
    assert float(named["pred"]) > 0
    assert known["pred"] == named["pred"]
    assert float(fp8["pred"]) == pytest.approx(float(twin["pred"]))


def test_a_word_that_is_not_known_is_a_reason(folder: Path) -> None:
    """It would pass for what is usual: a time for a rate, fp64 for half."""
    time, double, usual = asked.answer(
        [_asked(unit="ms"), _asked(precision="fp64"), _asked()], folder
    )
    assert (time["pred"], double["pred"]) == ("", "")
    assert "the unit 'ms'" in time["reason"]
    assert "the precision 'fp64'" in double["reason"]
    assert float(usual["pred"]) > 0


def test_the_catalog_is_a_device_table() -> None:
    """Every accelerator with a bandwidth is found by name; architectures follow the capability."""
    table = device_table(catalog.shipped())
    h100 = table.find("H100-SXM5-80GB")
    assert h100 is not None
    assert (h100.arch, h100.kind, h100.fp16_tflops) == ("Hopper", "gpu", 989.4)
    p100 = table.find("Tesla P100-PCIE-16GB")
    assert p100 is not None
    assert (p100.arch, p100.fp16_tflops) == ("Pascal", None)
    for accelerator in catalog.shipped().accelerators:
        assert table.find(accelerator.name) == spec_of(accelerator)
    assert isinstance(catalog.shipped().accelerators[0], types.Accelerator)


def test_prices_are_of_one_accelerator_and_above_zero() -> None:
    """The lowest price of an accelerator, never a whole instance's, never 0."""
    prices = asked.prices_usd_per_h()
    assert 0.5 < prices["H100-SXM5-80GB"] < 10
    # Four in each machine that is sold: for 42 USD an hour, or for 64.
    assert prices["GB200"] == 10.5
    assert min(prices.values()) > 0
