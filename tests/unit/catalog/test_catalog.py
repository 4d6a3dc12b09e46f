"""The catalog: shipped rows, files of users, what was fetched, and the order among them."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dlbench import catalog
from dlbench.analysis.recommend import needs
from dlbench.catalog import ages, lint, query, stored
from dlbench.core import catalog_rows
from dlbench.core.catalog import Catalog, Offer, country_in, oldest_date
from dlbench.core.errors import StoreError, UsageError
from dlbench.core.types import Absent
from dlbench.providers import skypilot

TODAY = date(2026, 11, 25)
HEADER = "provider,instance_type,region,accelerator,accelerator_count,ondemand_usd_h,as_of\n"


def prices(tmp_path: Path, rows: str, name: str = "prices.csv", header: str = HEADER) -> Path:
    """A user's price file."""
    path = tmp_path / name
    path.write_text(header + rows)
    return path


def find(loaded: Catalog, provider: str, kind: str) -> Offer:
    """The one offer of that type."""
    (offer,) = [o for o in loaded.offers if (o.provider, o.instance_type) == (provider, kind)]
    return offer


# --- what is shipped ------------------------------------------------------------------------


def _known(amount: object) -> bool:
    return not isinstance(amount, Absent)


def test_every_shipped_row_has_a_source_and_a_date_that_can_be_read() -> None:
    """No fact without its origin."""
    shipped = catalog.shipped()
    assert len(shipped.accelerators) == 77
    assert len(shipped.offers) == 631
    origins = [(a.source, a.as_of) for a in shipped.accelerators]
    origins += [(o.source, o.as_of) for o in shipped.offers]
    origins += [(r.source, r.as_of) for r in shipped.regions]
    # What is another source's says so: a spot price, and what a building needs beside its machines.
    origins += [(o.spot_source, o.spot_as_of) for o in shipped.offers if _known(o.spot_usd_per_h)]
    origins += [(r.pue_source, r.as_of) for r in shipped.regions if _known(r.pue)]
    for source, as_of in origins:
        assert source
        day = oldest_date(as_of)
        assert day is not None
        assert day <= TODAY


def test_the_linter_finds_no_error_in_the_shipped_rows() -> None:
    """What it found in the tables they came from was corrected; docs/catalog.md has the list."""
    found = lint.check(catalog.shipped(), TODAY)
    assert [f for f in found if f.severity == "error"] == []
    far = {f.offer for f in found if f.rule.startswith("far-")}
    assert "aws g4dn.16xlarge (us-east-1)" in far
    assert len(far) < 8


def test_exoscales_pascal_types_have_the_gpus_that_its_own_page_lists() -> None:
    """A community table had those of the A40 types: eight for what four cost."""
    found = {
        o.instance_type: (o.accelerator_count, o.vcpus, o.memory_gib)
        for o in catalog.shipped().offers
        if o.provider == "exoscale" and o.accelerator == "P100-PCIE-16GB"
    }
    assert found == {
        "GPU SMALL": (1, 12, 56),
        "GPU MEDIUM": (2, 16, 90),
        "GPU LARGE": (3, 24, 120),
        "GPU HUGE": (4, 48, 225),
    }


def test_no_shipped_price_is_zero_and_no_spot_price_reaches_the_full_one() -> None:
    """The two commonest placeholders."""
    for offer in catalog.shipped().offers:
        full, spot = offer.ondemand_usd_per_h, offer.spot_usd_per_h
        assert isinstance(full, Absent) or full > 0
        assert isinstance(spot, Absent) or isinstance(full, Absent) or 0 < spot < full


def test_one_table_knows_the_names_of_drivers_and_of_clouds() -> None:
    """All of them lead to one canonical name, however they are spelled."""
    shipped = catalog.shipped()
    names = {
        "A100-80GB": "A100-SXM4-80GB",
        "A100-80G-PCIe": "A100-PCIE-80GB",
        "A100-80GB-SXM": "A100-SXM4-80GB",
        "NVIDIA A100-SXM4-80GB": "A100-SXM4-80GB",
        "NVIDIA H100 80GB HBM3": "H100-SXM5-80GB",
        "RTXA6000": "RTX-A6000",
        "RTX-A6000": "RTX-A6000",
        "rtx a6000": "RTX-A6000",
        "A6000": "RTX-A6000",
    }
    for name, canonical in names.items():
        device = shipped.accelerator(name)
        assert device is not None
        assert device.name == canonical


def test_no_name_means_two_accelerators() -> None:
    """An alias that two rows claim would make the answer depend on their order."""
    from dlbench.core.catalog import spelled

    owners: dict[str, str] = {}
    for device in catalog.shipped().accelerators:
        for name in (device.name, *device.aliases):
            assert owners.setdefault(spelled(name), device.name) == device.name


def test_maxcloudon_is_listed_with_its_price_unknown_until_the_user_adds_one(
    tmp_path: Path,
) -> None:
    """It rents GPU servers and publishes no price; a price of one's own takes the row's place."""
    row = find(catalog.load(), "maxcloudon", "gpu-server")
    assert isinstance(row.ondemand_usd_per_h, Absent)
    mine = prices(tmp_path, "maxcloudon,GPU-1080Ti,bulgaria,RTX-3090,1,0.5,2026-11-20\n")
    loaded = catalog.load([mine])
    types = [o.instance_type for o in loaded.offers if o.provider == "maxcloudon"]
    assert types == ["GPU-1080Ti"]


# --- files of users -------------------------------------------------------------------------


def test_a_users_row_wins_over_the_shipped_one_and_leaves_the_others(tmp_path: Path) -> None:
    """Row by row, by provider, type, region and accelerator; aliases are resolved first."""
    path = prices(tmp_path, "aws,g6.xlarge,us-east-1,NVIDIA L4,1,0.123,2026-11-24\n")
    loaded = catalog.load([path])
    offer = find(loaded, "aws", "g6.xlarge")
    assert offer.ondemand_usd_per_h == 0.123
    assert offer.origin == "user: prices.csv"
    assert len(loaded.offers) == len(catalog.shipped().offers)


def test_a_seller_and_a_type_in_capitals_are_the_same(tmp_path: Path) -> None:
    """Else AWS would be a small cloud of unknown places, beside the aws whose price is renewed."""
    loaded = catalog.load([prices(tmp_path, "AWS,G6.xlarge,us-east-1,L4,1,0.123,2026-11-24\n")])
    (offer,) = [o for o in loaded.offers if o.origin == "user: prices.csv"]
    assert offer.provider == "aws"
    assert len(loaded.offers) == len(catalog.shipped().offers)


@pytest.mark.parametrize(
    ("scope", "count", "known"),
    [
        ("instance", 8, True),
        ("accelerator", 8, True),
        ("per GPU", 8, False),
        ('"per GPU, host included"', 8, False),
        ('"per GPU, host included"', 1, True),
    ],
)
def test_a_price_is_of_the_machine_or_says_of_what_it_is(
    tmp_path: Path, scope: str, count: int, known: bool
) -> None:
    """One GPU's price would be taken for that of eight."""
    row = f"me,box,us-east-1,L4,{count},0.5,2026-11-24,{scope}\n"
    path = prices(tmp_path, row, header=HEADER.strip() + ",price_scope\n")
    if known:
        assert find(catalog.load([path]), "me", "box").price_scope == scope.strip('"')
    else:
        with pytest.raises(UsageError, match=r"row 2: price_scope is 'per GPU"):
            catalog.load([path])


def test_two_files_that_contradict_each_other_are_refused_with_field_and_remedy(
    tmp_path: Path,
) -> None:
    """Nobody can say which of two prices is right; the sentence names both."""
    a = prices(tmp_path, "aws,g6.xlarge,us-east-1,L4,1,0.5,2026-11-24\n", "a.csv")
    b = prices(tmp_path, "aws,g6.xlarge,us-east-1,NVIDIA L4,1,0.6,2026-11-24\n", "b.csv")
    with pytest.raises(UsageError) as caught:
        catalog.load([a, b])
    assert "a.csv and" in caught.value.message
    assert "ondemand_usd_h is 0.5 in the one and 0.6 in the other" in caught.value.message
    assert "Correct one of them" in caught.value.advice


def test_two_files_that_count_accelerators_differently_contradict_each_other(
    tmp_path: Path,
) -> None:
    """At one price four times the speed: the answer would hang on the order of the files."""
    a = prices(tmp_path, "aws,g6.xlarge,us-east-1,L4,1,0.5,2026-11-24\n", "a.csv")
    b = prices(tmp_path, "aws,g6.xlarge,us-east-1,L4,4,0.5,2026-11-24\n", "b.csv")
    with pytest.raises(UsageError, match="accelerator_count is 1 in the one and 4 in the other"):
        catalog.load([a, b])


def test_two_files_that_name_different_accelerators_contradict_each_other(tmp_path: Path) -> None:
    """One box is not both; two rows of one file may be, and the other file may know one of them."""
    row = "me,box,us-east-1,{},1,0.5,2026-11-24\n"
    a = prices(tmp_path, row.format("RTX-3090"), "a.csv")
    b = prices(tmp_path, row.format("RTX-4090"), "b.csv")
    with pytest.raises(UsageError, match="accelerator is RTX-3090 in the one and RTX-4090 in the"):
        catalog.load([a, b])
    both = prices(tmp_path, row.format("RTX-3090") + row.format("RTX-4090"), "both.csv")
    loaded = catalog.load([both, b])
    assert len([o for o in loaded.offers if o.provider == "me"]) == 2


def test_a_price_without_its_accelerator_is_not_the_machines(tmp_path: Path) -> None:
    """It would be a machine without one, at the price of one with."""
    path = prices(tmp_path, "aws,g6.xlarge,us-east-1,,,0.5,2026-11-24\n")
    with pytest.raises(UsageError, match=r"accelerator of aws g6\.xlarge .* the catalog has L4"):
        catalog.load([path])


def test_a_new_region_makes_no_processor_of_a_type_with_accelerators(tmp_path: Path) -> None:
    """A p4d.24xlarge of eight A100 was one of 96 vCPU in a region of which the catalog had no row."""
    header = HEADER.replace("accelerator_count", "accelerator_count,vcpus")
    row = "aws,p4d.24xlarge,af-south-1,,,96,24.1,2026-11-24\n"
    with pytest.raises(UsageError, match="the catalog has A100-SXM4-40GB in that type elsewhere"):
        catalog.load([prices(tmp_path, row, header=header)])
    row = row.replace(",,,96", ",A100,8,96")
    assert catalog.load([prices(tmp_path, row, header=header)])


def test_whoever_renews_a_price_says_nothing_of_the_machine(tmp_path: Path) -> None:
    """Two cores of a Graviton 3 stay that, of a user's row and of a fetched one, in any region."""
    shipped = catalog.shipped()
    (before,) = [o for o in shipped.offers if o.name == "aws c7g.large (us-east-1)"]
    rows = "aws,c7g.large,us-east-1,,,0.05,2026-11-27\naws,c7g.large,eu-west-1,,,0.06,2026-11-27\n"
    renewed = catalog.load([prices(tmp_path, rows)])
    here, there = [o for o in renewed.offers if o.key[:2] == before.key[:2]]
    for offer in (here, there):
        machine = (offer.vcpus, offer.memory_gib, offer.cpu_model, offer.accelerator_count)
        assert machine == (2.0, 4.0, "Graviton3", 0.0)
        assert isinstance(offer.spot_usd_per_h, Absent)
    assert (here.ondemand_usd_per_h, there.ondemand_usd_per_h) == (0.05, 0.06)
    fetched = replace(before, cpu_model="", memory_gib=8.0, origin="fetched: gpuhunt")
    (after,) = [
        o for o in catalog.merged(shipped, [fetched], "x").offers if o.sold_as == before.sold_as
    ]
    assert (after.cpu_model, after.memory_gib, after.vcpus) == ("Graviton3", 8.0, 2.0)


def test_a_fetched_type_is_one_machine_whatever_its_table_takes_its_accelerator_for() -> None:
    """Lambda's gpu_1x_a100 is shipped as a PCIe card, and SkyPilot's table does not say."""
    shipped = catalog.shipped()
    theirs = find(shipped, "lambda", "gpu_1x_a100")
    fetched = replace(theirs, accelerator="A100-SXM4-40GB", origin="fetched: skypilot-lambda")
    assert theirs.accelerator == "A100-PCIE-40GB"
    assert find(catalog.merged(shipped, [fetched], "x"), "lambda", "gpu_1x_a100") == fetched


def test_two_files_that_agree_are_fine(tmp_path: Path) -> None:
    """The same price twice contradicts nothing."""
    row = "aws,g6.xlarge,us-east-1,L4,1,0.5,2026-11-24\n"
    loaded = catalog.load([prices(tmp_path, row, "a.csv"), prices(tmp_path, row, "b.csv")])
    assert find(loaded, "aws", "g6.xlarge").ondemand_usd_per_h == 0.5


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("aws,x,us-east-1,L4,1,0.00,2026-11-24", "row 2: ondemand_usd_h is 0.00"),
        ("aws,x,us-east-1,L4,1,-3,2026-11-24", "ondemand_usd_h is -3"),
        ("aws,x,us-east-1,L4,1,1e308,2026-11-24", "ondemand_usd_h is 1e+308"),
        ("aws,x,us-east-1,L4,1e300,3,2026-11-24", "accelerator_count is 1e+300"),
        ("aws,x,us-east-1,,2,3,2026-11-24", "accelerator is empty, and accelerator_count is 2"),
        ("aws,x,us-east-1,L4,1,nan,2026-11-24", "ondemand_usd_h is nan"),
        ("aws,x,us-east-1,L4,1,1e999,2026-11-24", "ondemand_usd_h is 1e999"),
        ("aws,x,us-east-1,L4,1,cheap,2026-11-24", "ondemand_usd_h is no number"),
        ("aws,x,us-east-1,L4,,1,2026-11-24", "accelerator_count is missing for L4"),
        ("aws,x,us-east-1,L4000,1,1,2026-11-24", "accelerator 'L4000' of aws x (us-east-1)"),
        ("aws,x,us-east-1,L4,1,1,yesterday", "as_of is no date: 'yesterday'"),
        ("aws,x,us-east-1,L4,1,1,99999999999", "as_of is no date: '99999999999'"),
        ("aws,x,us-east-1,L4,1,1,", "as_of is empty"),
        (",x,us-east-1,L4,1,1,2026-11-24", "provider is empty"),
        ("aws,x\x1b[2J,us-east-1,L4,1,1,2026-11-24", "control characters"),
        ("aws,x,us-east-1,L4,1,1", "has 6 cells where the header has 7"),
    ],
)
def test_a_bad_row_is_refused_in_a_sentence_that_names_row_and_field(
    tmp_path: Path, row: str, words: str
) -> None:
    """Files come from strangers, and typing errors from everybody."""
    with pytest.raises(UsageError) as caught:
        catalog.load([prices(tmp_path, row + "\n")])
    assert words in caught.value.message
    assert "prices.csv" in caught.value.message
    assert caught.value.advice


def test_a_row_without_a_price_is_unknown_not_free(tmp_path: Path) -> None:
    """An empty price is allowed: it is listed, and the linter says what is missing."""
    path = prices(tmp_path, "me,box,here,L4,1,,2026-11-24\n")
    loaded = catalog.load([path])
    assert isinstance(find(loaded, "me", "box").ondemand_usd_per_h, Absent)
    found = [f for f in lint.check(loaded, TODAY) if f.offer == "me box (here)"]
    assert {f.rule for f in found} == {"no-price", "unknown-region"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER.replace("region", "regoin"), "has no column 'region'"),
        (HEADER.strip() + ",color\n", "unknown column 'color'"),
        (HEADER.strip() + ",as_of\n", "has the column 'as_of' twice"),
        (HEADER + 'aws,"x', "is no CSV table"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Columns are checked before the first row."""
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        catalog.load([path])
    assert words in caught.value.message


def test_a_huge_file_and_a_folder_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """Sizes are capped, and only plain files are opened."""
    path = tmp_path / "big.csv"
    with path.open("wb") as file:
        file.truncate(catalog_rows.MAX_BYTES + 1)
    with pytest.raises(StoreError, match="larger than 16 MiB"):
        catalog.load([path])
    with pytest.raises(StoreError, match="is no file"):
        catalog.load([tmp_path])


def test_a_repeated_row_is_refused(tmp_path: Path) -> None:
    """One file that contradicts itself."""
    row = "aws,g6.xlarge,us-east-1,L4,1,0.5,2026-11-24\n"
    with pytest.raises(UsageError, match=r"row 3: instance_type repeats"):
        catalog.load([prices(tmp_path, row + row)])


def test_a_row_that_repeats_another_under_another_name_of_its_accelerator_is_refused(
    tmp_path: Path,
) -> None:
    """Both stood in the list; fetched, they made a file that could not be read again."""
    row = "aws,p9.large,us-east-1,A100-80GB,1,1.5,2026-11-24\n"
    both = row + row.replace("A100-80GB", "NVIDIA A100-SXM4-80GB")
    with pytest.raises(UsageError, match="is A100-SXM4-80GB, which has a row there already"):
        catalog.load([prices(tmp_path, both)])


@pytest.mark.parametrize("day", ["26-11-24", "24-11-26", "2026-11-24-07"])
def test_a_date_that_can_be_read_two_ways_is_none(tmp_path: Path, day: str) -> None:
    """The year 26 made a price 730,000 days old."""
    assert oldest_date(day) is None
    with pytest.raises(UsageError, match="as_of is no date"):
        catalog.load([prices(tmp_path, f"me,box,cellar,L4,1,0.2,{day}\n")])


@pytest.mark.parametrize("apart", [";", "\t", "|"])
def test_a_table_with_other_marks_between_its_cells_says_so(tmp_path: Path, apart: str) -> None:
    """Spreadsheets in half of Europe save semicolons: "no column 'provider'" was in front of one."""
    path = prices(tmp_path, "", header=HEADER.replace(",", apart))
    with pytest.raises(UsageError) as caught:
        catalog.load([path])
    assert f"has {apart!r} between its cells" in caught.value.message
    assert "commas" in caught.value.advice


def test_a_day_of_a_spot_price_that_is_none_is_refused(tmp_path: Path) -> None:
    """As that of the other price: its age could never be told."""
    header = HEADER.strip() + ",spot_usd_h,spot_as_of\n"
    row = "aws,x9,us-east-1,L4,1,1.5,2026-11-24,0.5,25.11.2026\n"
    with pytest.raises(UsageError, match=r"row 2: spot_as_of is no date: '25\.11\.2026'"):
        catalog.load([prices(tmp_path, row, header=header)])


@pytest.mark.parametrize("field", ["vcpus", "memory_gib"])
def test_a_machine_without_cores_or_memory_is_a_slip(tmp_path: Path, field: str) -> None:
    """No cores divided by nothing where a processor's speed was reckoned; SkyPilot's 0 is not known."""
    header = f"provider,instance_type,region,cpu_model,{field},ondemand_usd_h,as_of\n"
    row = "aws,x,us-east-1,Graviton3,0,0.1,2026-11-24\n"
    with pytest.raises(UsageError, match=f"row 2: {field} is 0, and no machine is without") as told:
        catalog.load([prices(tmp_path, row, header=header)])
    assert f"leave {field} empty" in told.value.advice
    table = (
        "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Price,SpotPrice,Region\n"
        "m9.huge,8,32,,,,0.2,0.1,us-east-1\n"
    ).replace("8,32", "0,32" if field == "vcpus" else "8,0")
    (offer,) = skypilot.read(
        table.encode(), "aws/vms.csv", catalog.shipped(), as_of="2026-11-24", seller="aws"
    ).offers
    assert isinstance(getattr(offer, field), Absent)


def test_a_users_own_place_gets_its_countrys_carbon(tmp_path: Path) -> None:
    """A column ``country`` is enough to place a region that nobody else knows."""
    header = HEADER.strip() + ",country\n"
    path = prices(tmp_path, "me,box,cellar,L4,1,0.2,2026-11-24,de\n", header=header)
    place = catalog.load([path]).region("me", "cellar")
    assert place is not None
    assert (place.country, place.low_g_per_kwh) == ("DE", 380.9)


# --- what was fetched -----------------------------------------------------------------------


def test_a_fetched_file_that_was_changed_or_broken_loses_nothing_else(tmp_path: Path) -> None:
    """Its hash is in its receipt; the others and the shipped rows stay."""
    path = prices(tmp_path, "aws,g6.xlarge,us-east-1,L4,1,0.5,2026-11-24\n")
    offers = catalog.read_user_file(path, catalog.shipped())
    receipt = stored.receipt_of(offers, source="x", fetched_on="2026-11-25", raw=b"raw")
    good = stored.write_fetched("good", offers, receipt)
    bad = stored.write_fetched("bad", offers, receipt)
    assert find(catalog.load(), "aws", "g6.xlarge").ondemand_usd_per_h == 0.5
    bad.write_text(bad.read_text().replace("0.5", "0.1"))
    loaded = catalog.load()
    assert find(loaded, "aws", "g6.xlarge").ondemand_usd_per_h == 0.5
    assert len(loaded.problems) == 1
    assert "was changed after it was fetched" in loaded.problems[0]
    good.with_suffix(".json").write_text("{" * 100_000)
    assert len(catalog.load().problems) == 2
    assert len(catalog.load().offers) == len(catalog.shipped().offers)


def keep(tmp_path: Path, name: str, rows: str) -> Path:
    """Rows, stored as fetched under a name."""
    offers = catalog.read_user_file(prices(tmp_path, rows), catalog.shipped())
    receipt = stored.receipt_of(offers, source="x", fetched_on="2026-11-25", raw=b"raw")
    return stored.write_fetched(name, offers, receipt)


def test_of_two_fetched_prices_of_one_thing_the_newer_counts(tmp_path: Path) -> None:
    """SkyPilot's of March stood over gpuhunt's of today, as its file's name comes after."""
    keep(tmp_path, "gpuhunt-aws", "aws,g6.xlarge,us-east-1,L4,1,0.9,2026-11-24\n")
    old = "aws,g6.xlarge,us-east-1,L4,1,0.5,2026-03\naws,p9.large,us-east-1,L4,1,0.7,2026-03\n"
    keep(tmp_path, "skypilot-aws", old)
    loaded = catalog.load()
    assert find(loaded, "aws", "g6.xlarge").ondemand_usd_per_h == 0.9
    assert find(loaded, "aws", "p9.large").ondemand_usd_per_h == 0.7


def test_a_table_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    """The receipt was of the new table and the table the old one: neither was believed."""
    there = keep(tmp_path, "aws", "aws,p9.large,us-east-1,L4,1,0.7,2026-11-20\n")
    there.with_name(f".aws.csv.{os.getpid()}.tmp").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        keep(tmp_path, "aws", "aws,p9.large,us-east-1,L4,1,0.8,2026-11-21\n")
    loaded = catalog.load()
    assert find(loaded, "aws", "p9.large").ondemand_usd_per_h == 0.7
    assert loaded.problems == ()
    assert {p.name for p in there.parent.iterdir() if p.is_file()} == {"aws.csv", "aws.json"}


def fetched(rows: str, seller: str) -> Catalog:
    """The shipped catalog with a table of SkyPilot's over it."""
    head = "InstanceType,AcceleratorName,AcceleratorCount,Price,SpotPrice,Region,GpuInfo\n"
    name = f"{seller}_v8_vms.csv"
    read = skypilot.read(
        (head + rows).encode(), name, catalog.shipped(), as_of="2026-11-24", seller=seller
    )
    assert read.problems == ()
    return catalog.merged(catalog.shipped(), read.offers, "fetched")


def test_a_fetched_region_in_other_letters_takes_the_place_of_the_shipped_one() -> None:
    """CANADA-1 and canada-1 are one: two rows of it would be two prices of one machine."""
    row = "n3-H100x1,H100-80G-PCIe,1,1.90,,CANADA-1,\n"
    offer = find(fetched(row, "hyperstack"), "hyperstack", "n3-H100x1")
    assert (offer.ondemand_usd_per_h, offer.region) == (1.9, "CANADA-1")
    assert offer.accelerator == "H100-PCIE-80GB"


def test_runpods_types_have_one_name_and_a_fetched_price_takes_that_of_all_regions() -> None:
    """SkyPilot calls the PCIe card A100-80GB; RunPod's shipped rows are of no region in particular."""
    rows = "1x_A100-80GB_SECURE,A100-80GB,1,1.55,,{0},\n"
    rows += "1x_A100-80GB-SXM_SECURE,A100-80GB-SXM,1,1.7,,{0},\n"
    loaded = fetched(rows.format("US") + rows.format("SE"), "runpod")
    for kind, accelerator, price in (
        ("1x_A100-PCIE-80GB_SECURE", "A100-PCIE-80GB", 1.55),
        ("1x_A100-SXM4-80GB_SECURE", "A100-SXM4-80GB", 1.7),
    ):
        found = [o for o in loaded.offers if o.instance_type == kind]
        assert {o.region: o.ondemand_usd_per_h for o in found} == {"US": price, "SE": price}
        assert {o.accelerator for o in found} == {accelerator}
    other = find(loaded, "runpod", "1x_A100-PCIE-80GB_COMMUNITY")
    assert other.region == "any"


def test_offers_survive_the_way_to_a_file_and_back() -> None:
    """What is written is what was fetched."""
    offers = catalog.shipped().offers
    text = catalog_rows.offers_csv(offers).encode()
    assert catalog_rows.offers(text, "x.csv", origin="shipped") == offers


# --- questions ------------------------------------------------------------------------------


def test_unknown_price_sorts_last_and_never_as_nothing() -> None:
    """The cheapest offer is never one without a price."""
    found = query.offers(catalog.load(), query.Filter())
    assert not isinstance(found[0].ondemand_usd_per_h, Absent)
    assert isinstance(found[-1].ondemand_usd_per_h, Absent)
    cheap = query.offers(catalog.load(), query.Filter(max_usd_per_h=0.2))
    assert all(
        not isinstance(o.ondemand_usd_per_h, Absent) and o.ondemand_usd_per_h <= 0.2 for o in cheap
    )


def test_filters_by_country_alias_and_processor() -> None:
    """A country finds the regions in it; an alias finds the canonical name."""
    loaded = catalog.load()
    german = query.offers(loaded, query.Filter(region="de"))
    assert german
    for offer in german:
        place = loaded.region(offer.provider, offer.region)
        assert place is not None
        assert place.country == "DE"
    assert {o.accelerator for o in query.offers(loaded, query.Filter(accelerator="A6000"))} == {
        "RTX-A6000"
    }
    without = query.offers(loaded, query.Filter(cpu_only=True))
    assert without
    assert all(o.accelerator is None for o in without)
    # It rents machines with GPUs, and nobody says which.
    assert "maxcloudon" not in {o.provider for o in without}
    sold = query.offers(loaded, query.Filter(provider="lambda"))
    assert {o.provider for o in sold} == {"lambda"}


def test_a_price_that_is_the_most_is_within_it() -> None:
    """Whoever says 0.80 USD gets what costs 0.80."""
    loaded = catalog.load()
    dear = find(loaded, "aws", "g6.xlarge")
    assert isinstance(dear.ondemand_usd_per_h, float)
    for most, there in ((dear.ondemand_usd_per_h, True), (dear.ondemand_usd_per_h - 1e-6, False)):
        assert (dear in query.offers(loaded, query.Filter(max_usd_per_h=most))) is there


def test_unknown_names_are_refused_with_the_nearest() -> None:
    """A typing error is one sentence away from its correction."""
    with pytest.raises(UsageError) as caught:
        query.offers(catalog.load(), query.Filter(accelerator="RTX-4900"))
    assert "RTX-4090" in caught.value.advice
    with pytest.raises(UsageError, match="no provider 'amazon'"):
        query.offers(catalog.load(), query.Filter(provider="amazon"))


def test_diff_tells_new_gone_and_repriced_rows(tmp_path: Path) -> None:
    """With the ratio of prices."""
    shipped = catalog.shipped()
    before = find(shipped, "aws", "g6.xlarge").ondemand_usd_per_h
    assert isinstance(before, float)
    path = prices(
        tmp_path,
        f"aws,g6.xlarge,us-east-1,L4,1,{2 * before},2026-11-24\nme,box,here,L4,1,0.2,2026-11-24\n",
    )
    changes = query.changes(shipped.offers, catalog.load([path]).offers)
    assert [(c.kind, c.offer) for c in changes] == [
        ("new", "me box (here)"),
        ("price", "aws g6.xlarge (us-east-1)"),
    ]
    assert changes[1].ratio == pytest.approx(2.0)
    # The largest change of price comes first, be it a rise or a fall.
    kinds = ("g6.xlarge", "p5.48xlarge")
    rows = [replace(find(shipped, "aws", kind), ondemand_usd_per_h=10.0) for kind in kinds]
    renewed = [
        replace(o, ondemand_usd_per_h=price) for o, price in zip(rows, (11.0, 5.0), strict=True)
    ]
    assert [c.ratio for c in query.changes(rows, renewed)] == pytest.approx([0.5, 1.1])


def test_diff_tells_of_machines_dates_and_rows_without_a_price(tmp_path: Path) -> None:
    """Prices alone were compared: half the cards for the same price was no change."""
    shipped = catalog.shipped()
    before = find(shipped, "aws", "p5.48xlarge")

    def told(**changes: Any) -> list[tuple[str, str, object, object]]:
        after = replace(before, **changes)
        return [
            (c.kind, c.field, c.before, c.after)
            for c in query.changes(shipped.offers, [after, *rest])
        ]

    rest = [o for o in shipped.offers if o is not before]
    assert told() == []
    assert told(accelerator_count=4.0, as_of="2026-11-24") == [
        ("machine", "accelerator_count", 8.0, 4.0)
    ]
    assert told(accelerator="H200-SXM-141GB") == [
        ("machine", "accelerator", "H100-SXM5-80GB", "H200-SXM-141GB")
    ]
    assert told(memory_gib=1024.0, vcpus=96.0, price_scope="host") == [
        ("machine", "vcpus", 192.0, 96.0),
        ("machine", "memory_gib", 2048.0, 1024.0),
        ("machine", "price_scope", "instance", "host"),
    ]
    assert told(as_of="2026-11-24") == [("date", "as_of", before.as_of, "2026-11-24")]
    assert [x[0] for x in told(region="us-east-9")] == ["gone", "new"]
    path = prices(tmp_path, "me,box,here,L4,1,,2026-11-24\n")
    (new,) = query.changes(shipped.offers, catalog.load([path]).offers)
    assert (new.kind, new.offer, new.ratio) == ("new", "me box (here)", None)


# --- ages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "as_of", "old"),
    [
        ("vast", "2026-11-18", False),
        ("vast", "2026-11-17", True),
        ("lambda", "2026-10-26", False),
        ("lambda", "2026-10-25", True),
        ("aws", "2026-08-27", False),
        ("aws", "2026-08-26", True),
        ("aws", "2026", True),
    ],
)
def test_prices_age_by_the_kind_of_seller(provider: str, as_of: str, old: bool) -> None:
    """7, 30 and 90 days; a bare year counts from its first day."""
    offer = replace(catalog.shipped().offers[0], provider=provider, as_of=as_of)
    assert bool(ages.stale(offer, TODAY)) is old


def test_a_given_limit_replaces_the_kinds_and_makes_it_an_error() -> None:
    """``--max-price-age``."""
    offer = find(catalog.shipped(), "aws", "g6.xlarge")
    assert "limit 10, --max-price-age" in ages.stale(offer, TODAY, limit=10)
    assert ages.stale(offer, TODAY, limit=1000) == ""
    found = lint.check(catalog.shipped(), TODAY, max_price_age=30)
    assert {f.severity for f in found if f.rule == "old-price"} == {"error"}


def test_a_country_that_is_no_code_is_refused(tmp_path: Path) -> None:
    """Else it would keep the row out of every need with regions, in silence."""
    header = HEADER.strip() + ",country\n"
    path = prices(tmp_path, "me,box,cellar,L4,1,0.2,2026-11-24,Bulgaria\n", header=header)
    with pytest.raises(UsageError, match="row 2: country is 'BULGARIA'"):
        catalog.load([path])


PLACED = HEADER.strip() + ",country\n"
IN_DC1 = "acme,{kind},{region},L4,1,0.2,2026-11-24,{country}\n"


def test_two_countries_of_one_place_are_refused_in_a_file_and_over_files(tmp_path: Path) -> None:
    """Else the last one read would decide where data may go; a region is one however it is spelled."""
    german = IN_DC1.format(kind="a", region="dc1", country="DE")
    american = IN_DC1.format(kind="b", region="DC1", country="US")
    one = prices(tmp_path, german + american, header=PLACED)
    two = [prices(tmp_path, row, f"v{i}.csv", PLACED) for i, row in enumerate((german, american))]
    for files, said in (
        ([one], "acme DC1 is US, and DE"),
        (two, "acme DC1 is US, and DE"),
        (two[::-1], "acme dc1 is DE, and US"),
    ):
        with pytest.raises(UsageError) as caught:
            catalog.load(files)
        assert f"country of {said} in the catalog or in a row of yours" in caught.value.message
    agreed = german + american.replace("US", "DE")
    place = catalog.load([prices(tmp_path, agreed, header=PLACED)]).region("acme", "Dc1")
    assert place is not None
    assert place.country == "DE"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("aws,myp5,us-east-1", "country of aws us-east-1 is DE, and US in the catalog"),
        ("runpod,1x,any", "country of runpod any is DE, and not stated in the catalog"),
        ("verda,1x,eu", "country of verda eu is DE, and EU in the catalog"),
    ],
)
def test_another_country_than_the_catalogs_is_refused(
    tmp_path: Path, place: str, said: str
) -> None:
    """It was ignored without a word; believed, it would move every shipped row of that place."""
    path = prices(tmp_path, f"{place},L4,1,0.2,2026-11-24,DE\n", header=PLACED)
    with pytest.raises(UsageError) as caught:
        catalog.load([path])
    assert said in caught.value.message
    assert "give the region a name of its own" in caught.value.advice


def test_a_zone_of_countries_lists_what_recommend_lets_in() -> None:
    """EU and EEA are groups of countries, and not places that call themselves so."""
    loaded = catalog.shipped()
    for zone in ("EU", "eea"):
        need = needs.build({"regions": [zone]})[0]
        let_in = {
            o.key
            for o in loaded.offers
            if (place := loaded.region(o.provider, o.region))
            and needs.allows(need, o.region, place.country)
        }
        listed = {o.key for o in query.offers(loaded, query.Filter(region=zone))}
        assert listed == let_in
        assert len(listed) > 100
    assert len(query.offers(loaded, query.Filter(region="EU"))) == 145


def test_a_price_of_a_day_to_come_is_not_fresh() -> None:
    """A slip of the year must not make a price the newest of all."""
    offer = replace(catalog.shipped().offers[0], as_of="2027-11-25")
    assert "is of 2027-11-25, a day that is yet to come" in ages.stale(offer, TODAY)


def test_regions_name_their_country_where_they_can() -> None:
    """Two capitals, alone or before a continent; a cloud's region is no country, nor is a state one."""
    for state in ("San Jose, CA, US", "Wilmington, DE, US", "CA, US", "Toronto, CA"):
        assert country_in(state) == ""
    assert country_in("US") == "US"
    assert country_in("Bavaria, DE, EU") == "DE"
    assert country_in("US, NA") == "US"
    assert country_in("us-east-1") == ""
    assert country_in("any") == ""
