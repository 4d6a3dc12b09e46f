"""The importer of SkyPilot's tables survives what those hold: one small excerpt a trap."""

from __future__ import annotations

import http.client
import io
import socket
from pathlib import Path
from typing import cast

import pytest

from dlbench import catalog
from dlbench.core.catalog import Offer
from dlbench.core.errors import MissingError, StoreError, UsageError
from dlbench.core.fetching import Fetched
from dlbench.core.types import Absent
from dlbench.providers import _download, skypilot


def read(text: str, seller: str) -> Fetched:
    """The offers of a table."""
    return skypilot.read(
        text.encode(), f"{seller}_v8_vms.csv", catalog.shipped(), as_of="2026-11-25", seller=seller
    )


def gpus(name: str, count: int, size: float, total: float, maker: str = "'NVIDIA'") -> str:
    """A GpuInfo cell, quoted."""
    return (
        f"\"{{'Gpus': [{{'Name': '{name}', 'Manufacturer': {maker}, 'Count': {count}, 'MemoryInfo': "
        f"{{'SizeInMiB': {size}}}}}], 'TotalGpuMemoryInMiB': {total}}}\""
    )


def only(fetched: Fetched) -> Offer:
    """The one offer."""
    (offer,) = fetched.offers
    return offer


def test_1_columns_in_any_order_and_more_of_them() -> None:
    """Clouds and versions differ; a column of theirs that we do not know is no error."""
    offer = only(
        read(
            "Region,SpotPrice,Price,Arch,vCPUs,MemoryGiB,InstanceType,LocalDiskSize\n"
            "us-east-1,0.1,0.2,arm64,8.0,16.0,a1.2xlarge,350\n",
            "aws",
        )
    )
    assert (offer.instance_type, offer.vcpus, offer.memory_gib) == ("a1.2xlarge", 8, 16)
    assert (offer.ondemand_usd_per_h, offer.spot_usd_per_h) == (0.2, 0.1)
    assert offer.accelerator is None


def test_2_line_endings_of_either_kind() -> None:
    """CRLF in some files, LF in others."""
    text = "InstanceType,Price,SpotPrice,Region\nc1,0.5,,x\nc2,0.6,,x\n"
    assert read(text, "lambda").offers == read(text.replace("\n", "\r\n"), "lambda").offers


GCP = (
    "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,Price,SpotPrice\n"
)


def test_3_host_and_accelerator_are_summed() -> None:
    """GCP prices them apart: 0.74 a host and 2.93 an A100 are one machine for 3.67."""
    offer = only(
        read(
            GCP
            + "a2-highgpu-1g,12,85,,,,us-central1,0.74,0.37\n"
            + ",,,A100,1,A100,us-central1,2.93,1.17\n",
            "gcp",
        )
    )
    assert offer.accelerator == "A100-SXM4-40GB"
    assert offer.ondemand_usd_per_h == pytest.approx(3.67)
    assert offer.spot_usd_per_h == pytest.approx(1.54)
    assert offer.memory_gib == 85


def test_3_a_host_whose_accelerator_has_no_price_is_no_cheap_machine() -> None:
    """It must not appear as a processor for 0.74 USD an hour."""
    fetched = read(GCP + "a2-highgpu-1g,12,85,,,,us-central1,0.74,0.37\n", "gcp")
    assert fetched.offers == ()
    assert fetched.problems[0][0].startswith("a2-highgpu-1g's host has a price, its A100 has none")


def test_3_a_host_of_a_family_that_nobody_knows_is_no_cheap_machine_either() -> None:
    """An a4x-highgpu-4g was a processor for 9 USD an hour; g1-small and c4a are processors."""
    fetched = read(
        GCP
        + "a4x-highgpu-4g,140,884,,,,us-central1,9.0,3.0\n"
        + "ct6e-standard-4t,180,720,,,,us-central1,2.0,1.0\n"
        + "g1-small,0.5,1.7,,,,us-central1,0.026,\nc4a-standard-4,4,16,,,,us-central1,0.18,\n",
        "gcp",
    )
    assert [o.instance_type for o in fetched.offers] == ["g1-small", "c4a-standard-4"]
    assert dict(fetched.problems) == {
        "a4x-highgpu comes with accelerators that nobody told us of: left out": 1,
        "ct6e-standard comes with accelerators that nobody told us of: left out": 1,
    }


def test_3_a_g4_has_as_many_cards_as_its_cores_tell() -> None:
    """It took the place of the shipped machine with a card, as a processor at the host's price."""
    offer = only(
        read(
            GCP
            + "g4-standard-96,96,360,,,,us-central1,3.0,1.0\n"
            + ",,,RTXPRO6000,2,RTXPRO6000,us-central1,6.0,2.4\n",
            "gcp",
        )
    )
    assert (offer.accelerator, offer.accelerator_count) == ("RTX-PRO-6000-Blackwell", 2)
    assert offer.ondemand_usd_per_h == 9.0


def test_3_an_accelerator_without_a_fixed_host_is_left_out_and_told() -> None:
    """A T4 is sold with any n1 host: there is no one price to sum."""
    fetched = read(GCP + ",,,T4,1,T4,us-central1,0.35,0.1\n", "gcp")
    assert fetched.offers == ()
    assert "T4 is sold without a fixed host" in fetched.problems[0][0]


def test_4_placeholders_are_unknown_and_duplicates_one() -> None:
    """700 USD says "not sold here", as on-demand and as spot price."""
    fetched = read(
        GCP
        + ",,,tpu-v6e-1,1,tpu-v6e-1,asia-east1,700.0,700.0\n"
        + ",,,tpu-v6e-1,1,tpu-v6e-1,us-west1,2.7,700.0\n"
        + ",,,tpu-v6e-8,1,tpu-v6e-8,us-west1,21.6,4.35\n" * 2,
        "gcp",
    )
    one, eight = fetched.offers
    assert isinstance(one.spot_usd_per_h, Absent)
    assert (one.accelerator, one.accelerator_count) == ("TPU-v6e", 1)
    assert (eight.accelerator_count, eight.spot_usd_per_h) == (8, 4.35)
    assert dict(fetched.problems)["placeholder price of 700, taken as unknown"] == 3


def test_4_a_placeholder_of_an_accelerator_is_no_price_of_the_whole_machine() -> None:
    """700 and its host's 10.1 were 710.1 USD an hour: believed, since that is no 700."""
    host = "a3-ultragpu-8g,224,2952,,,,us-central1,10.1,3.0\n"
    fetched = read(GCP + host + ",,,H200,8,H200,us-central1,700.0,700.0\n", "gcp")
    assert fetched.offers == ()
    assert dict(fetched.problems) == {"no usable price: left out": 1}
    offer = only(read(GCP + host + ",,,H200,8,H200,us-central1,74.7,700.0\n", "gcp"))
    assert offer.ondemand_usd_per_h == pytest.approx(84.8)
    assert isinstance(offer.spot_usd_per_h, Absent)


def test_4_tpus_are_counted_in_chips() -> None:
    """v5p is named by cores, of which a chip has two."""
    fetched = read(GCP + ",,,tpu-v5p-16,1,tpu-v5p-16,us-east5,33.6,13.4\n", "gcp")
    assert only(fetched).accelerator_count == 8
    absurd = f"tpu-v5p-{'9' * 4000}"
    fetched = read(GCP + f",,,{absurd},1,{absurd},us-east5,33.6,13.4\n", "gcp")
    assert fetched.offers == ()
    assert len(fetched.problems) == 1


RUNPOD = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Region,SpotPrice,Price,"
    "AvailabilityZone,GpuInfo\n"
)


def test_5_a_spot_price_equal_to_the_full_one_is_none_and_gb_are_no_mib() -> None:
    """RunPod writes 80 where MiB are due; the card's form is in its GPU's name."""
    row = "1x_A100-80GB_SECURE,A100-80GB,1.0,8,117,US,1.39,1.39,US-KS-1,"
    offer = only(read(RUNPOD + row + gpus("A100 PCIe", 1, 80, 80) + "\n", "runpod"))
    assert isinstance(offer.spot_usd_per_h, Absent)
    assert offer.accelerator == "A100-PCIE-80GB"
    assert offer.memory_gib == 117
    assert "available or not" in offer.note


def test_5_an_older_file_has_the_accelerators_memory_in_the_hosts_column() -> None:
    """80 GiB of an A100 are not the host's; the host's are unknown."""
    row = "2x_A100-80GB-SXM_SECURE,A100-80GB-SXM,2.0,16,160,US,2.38,3.24,US-KS-1,A100-80GB-SXM\n"
    offer = only(read(RUNPOD + row, "runpod"))
    assert isinstance(offer.memory_gib, Absent)
    assert offer.accelerator == "A100-SXM4-80GB"


def test_5_a_zone_in_another_country_than_its_region_is_left_out() -> None:
    """EU-SE-1 under NO: data residency could not be kept by it."""
    row = "1x_A100-80GB_SECURE,A100-80GB,1.0,8,80,{},1.19,1.64,EU-SE-1,A100-80GB\n"
    fetched = read(RUNPOD + row.format("NO") + row.format("SE"), "runpod")
    assert only(fetched).region == "SE"
    assert ("zone and region are in different countries: left out", 1) in fetched.problems


VAST = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,"
    "Region\r\n"
)


@pytest.mark.parametrize(
    ("kind", "name", "count", "total", "expected"),
    [
        ("2x-H200-32-65536", "H200", 2, 287542, "H200-SXM-141GB"),
        ("1x-H100_NVL-32-65536", "H100", 1, 95830, "H100-NVL-94GB"),
        ("8x-H100_SXM-32-65536", "H100", 8, 652472, "H100-SXM5-80GB"),
        ("4x-A100_SXM4-32-65536", "A100", 4, 163840, "A100-SXM4-40GB"),
        ("2x-A100_SXM4-32-65536", "A100", 2, 163840, "A100-SXM4-80GB"),
        ("8x-Tesla_V100-32-65536", "V100", 8, 131072, "V100-SXM2-16GB"),
        ("1x-RTX_3060-32-65536", "RTX3060", 1, 12288, "RTX-3060-12GB"),
    ],
)
def test_6_vast_sums_memory_and_collapses_names(
    kind: str, name: str, count: int, total: int, expected: str
) -> None:
    """The type still says which card it was, and the memory of one is the total over the count."""
    info = gpus(name, count, total, total)
    row = f'{kind},{name},{count},32,64.0,{info},2.65,0.00,"Bács-Kiskun, HU, EU"\r\n'
    offer = only(read(VAST + row, "vast"))
    assert offer.accelerator == expected
    assert offer.accelerator_count == count
    assert isinstance(offer.spot_usd_per_h, Absent)
    assert offer.region == "Bács-Kiskun, HU, EU"


@pytest.mark.parametrize(
    ("kind", "name", "size", "words"),
    [
        ("1x-RTX_4090-32-65536", "RTX4090", 49140, "'RTX_4090' with 48 GiB is not the RTX-4090"),
        ("1x-RTX_4060_Ti-32-65536", "RTX4060", 16380, "'RTX_4060_Ti' is in no table"),
        ("2x-RTX_3060_Ti-32-65536", "RTX3060", 16384, "'RTX_3060_Ti' is in no table"),
    ],
)
def test_6_a_card_that_is_not_what_it_is_called_is_left_out(
    kind: str, name: str, size: int, words: str
) -> None:
    """A 48 GB RTX 4090 is no RTX 4090, and a 3060 Ti is no 3060."""
    row = f'{kind},{name},1,32,64.0,{gpus(name, 1, size, size)},0.4,0.00,"Hong Kong, HK, AS"\r\n'
    fetched = read(VAST + row, "vast")
    assert fetched.offers == ()
    assert words in fetched.problems[0][0]


def test_6_an_empty_city_leaves_the_country() -> None:
    """A region ", US, NA" is in the US."""
    info = gpus("B200", 1, 183359, 183359)
    row = f'1x-B200-32-65536,B200,1,32,64,{info},4.7,0.00,", US, NA"\r\n'
    offer = only(read(VAST + row, "vast"))
    assert offer.region == "US, NA"


LAMBDA = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,"
    "SpotPrice\r\n"
)


@pytest.mark.parametrize(
    ("kind", "name", "count", "size", "expected"),
    [
        ("gpu_8x_v100", "V100", 8, 16384, "V100-SXM2-16GB"),
        ("gpu_1x_a100_sxm4", "A100", 1, 40960, "A100-SXM4-40GB"),
        ("gpu_1x_h100_pcie", "H100", 1, 81920, "H100-PCIE-80GB"),
        ("gpu_8x_a100_80gb_sxm4", "A100-80GB", 8, 81920, "A100-SXM4-80GB"),
    ],
)
def test_7_lambda_repeats_one_cards_memory_as_the_total(
    kind: str, name: str, count: int, size: int, expected: str
) -> None:
    """Eight V100 of 16 GiB each are not eight of 2; PCIe and SXM are told apart by the type."""
    row = f"{kind},{name},{count}.0,30,200,1.99,us-east-3,{gpus(name, count, size, size)},\r\n"
    assert only(read(LAMBDA + row, "lambda")).accelerator == expected


def test_7_where_neither_name_nor_type_says_the_form_it_is_told() -> None:
    """Two devices share the name; the one of the alias is taken, with a remark."""
    row = f"gpu_3x_a100,A100,3.0,30,200,1.99,us-east-3,{gpus('A100', 3, 40960, 40960)},\r\n"
    assert "form factor not stated" in only(read(LAMBDA + row, "lambda")).note


BARE = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region\n"
)

THERE = "form factor as the catalog has it"


@pytest.mark.parametrize(
    ("kind", "name", "expected", "note"),
    [
        ("Standard_NC40ads_H100_v5", "H100", "H100-NVL-94GB", THERE),
        ("Standard_NC24ads_A100_v4", "A100-80GB", "A100-PCIE-80GB", THERE),
        ("Standard_ND96isr_H100_v5", "H100", "H100-SXM5-80GB", THERE),
        # What the name says of memory, or of the model, is not overruled.
        ("Standard_ND96asr_v4", "A100-80GB", "A100-SXM4-80GB", "form factor not stated"),
        ("Standard_NC24ads_A100_v4", "T4", "T4", ""),
        ("Standard_NC99ads_H100_v9", "H100", "H100-SXM5-80GB", "form factor not stated"),
    ],
)
def test_7_a_type_that_the_catalog_knows_has_its_accelerator_where_the_name_is_of_several(
    kind: str, name: str, expected: str, note: str
) -> None:
    """Azure's H100 NVL became the SXM5 that is called the same, and with it the machine was another."""
    offer = only(read(f"{BARE}{kind},{name},1,40,320,{name},6.98,1.3,eastus\n", "azure"))
    assert (offer.accelerator, offer.note) == (expected, note)


@pytest.mark.parametrize(
    ("upstream", "name", "size", "expected"),
    [
        ("A100_PCIE_80GB", "A100-80GB", 81920, "A100-PCIE-80GB"),
        ("gpu_8x_a100_80gb_sxm4", "A100-80GB", 81920, "A100-SXM4-80GB"),
        # A link between cards is no card of that name.
        ("n3-H100x8-NVLink", "H100", 0, "H100-SXM5-80GB"),
        ("n3-H100x8-NVL", "H100", 0, "H100-NVL-94GB"),
    ],
)
def test_7_the_form_may_stand_in_the_sellers_own_name(
    upstream: str, name: str, size: int, expected: str
) -> None:
    """Prime Intellect's types do not say it, and its other column does: a PCIe card was an SXM4 one."""
    head = BARE.replace("vCPUs,MemoryGiB", "UpstreamCloudId")
    row = f"oblivus__1x,{name},1,{upstream},{gpus(name, 1, size, size)},1.4,,CA\n"
    assert only(read(head + row, "primeintellect")).accelerator == expected


def test_the_least_bid_of_an_auction_is_no_price() -> None:
    """Eight H200 for 8 USD an hour on demand: Mithril's table has what its auction begins at."""
    row = "ccs-h200.sxm.8x,H200,8,168,1600,H200,8.0,8.0,us-central2-b\n"
    fetched = read(BARE + row, "mithril")
    assert fetched.offers == ()
    assert fetched.problems == (("its price is the least bid of an auction: left out", 1),)


def test_7_an_accelerator_that_is_not_counted_or_not_named_is_left_out_and_told() -> None:
    """A row without a count was one card; one without a name took the place of a machine with cards."""
    fetched = read(
        BARE
        + "p5.new,H100,,192,2048,,55,,us-east-1\np5.48xlarge,,,192,2048,,55,,us-east-1\n"
        + "c7i.large,,,2,4,,0.09,,us-east-1\n",
        "aws",
    )
    assert only(fetched).instance_type == "c7i.large"
    assert dict(fetched.problems) == {
        "how many H100-SXM5-80GB one has is not said: left out": 1,
        "no accelerator is named, and the catalog has H100-SXM5-80GB there: left out": 1,
    }


def test_8_zones_of_a_region_become_one_offer_with_the_lowest_prices() -> None:
    """A zone whose spot price equals the full one has none; another zone's counts."""
    text = (
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,"
        "AvailabilityZone\n"
        "c1.medium,,,2,1.7,0.13,0.130,us-east-1,use1-az4\n"
        "c1.medium,,,2,1.7,0.13,0.0381,us-east-1,use1-az1\n"
        "c1.medium,,,2,1.7,0.13,0.0500,us-east-1,use1-az2\n"
    )
    offer = only(read(text, "aws"))
    assert offer.spot_usd_per_h == 0.0381
    assert "lowest of its zones" in offer.note


@pytest.mark.parametrize("name", ["A100-80GB", "A100-80G-PCIe", "A100-80GB-SXM"])
def test_9_every_spelling_is_one_accelerator(name: str) -> None:
    """Through the one table of aliases."""
    row = f"x,{name},1.0,30,200,1.99,us-east-3,{gpus(name, 1, 81920, 81920)},\r\n"
    accelerator = only(read(LAMBDA + row, "lambda")).accelerator
    assert accelerator in {"A100-SXM4-80GB", "A100-PCIE-80GB"}
    assert ("PCIE" in str(accelerator)) == ("PCIe" in name)


def test_10_json_null_inside_a_python_repr_is_read_without_any_parser() -> None:
    """Neither JSON nor a literal; nothing of it is evaluated."""
    info = gpus("A100-80G-PCIe-NVLink", 8, 81920, 655360, maker="null")
    row = f"n3-A100x8-NVLink,A100-80G-PCIe-NVLink,8,252,1920,11.2,CANADA-1,{info},\r\n"
    offer = only(read(LAMBDA + row, "hyperstack"))
    assert (offer.accelerator, offer.accelerator_count) == ("A100-PCIE-80GB", 8)


@pytest.mark.parametrize(
    ("seller", "count", "size", "device"),
    [
        ("verda", 1, 81920, "A100-PCIE-80GB"),
        ("verda", 8, 40960, "A100-SXM4-40GB"),
        # There the size for one is that of all, and the total that many times it.
        ("primeintellect", 8, 655360, "A100-PCIE-80GB"),
        ("seeweb", 2, 0, "A100-SXM4-40GB"),
    ],
)
def test_10_json_is_read_as_well(seller: str, count: int, size: int, device: str) -> None:
    """Its quotes are double: an A100 of 80 GiB was one of 40, since nobody looked at its memory."""
    info = gpus("A100", count, size, size * count).strip('"').replace("'", '""')
    row = f'x,A100,{count},"{info}",1.3,,FIN-01\n'
    head = "InstanceType,AcceleratorName,AcceleratorCount,GpuInfo,Price,SpotPrice,Region\n"
    assert only(read(head + row, seller)).accelerator == device


def test_a_row_that_is_cut_off_loses_no_other() -> None:
    """As the last line of an unfinished download."""
    fetched = read("InstanceType,Price,SpotPrice,Region\nc1,0.5,,x\nc2,0.6", "aws")
    assert only(fetched).instance_type == "c1"
    assert ("a row is cut off or has cells too many: left out", 1) in fetched.problems


def test_a_number_that_is_none_loses_its_row_only() -> None:
    """NaN, text and negative prices."""
    fetched = read(
        "InstanceType,Price,SpotPrice,Region\na,nan,,x\nb,lots,,x\nc,-1,,x\nd,0.5,,x\n", "aws"
    )
    assert only(fetched).instance_type == "d"
    assert len(fetched.problems) == 3


def test_a_table_without_prices_is_refused() -> None:
    """Something else was given."""
    with pytest.raises(UsageError, match="no column 'Price'") as caught:
        read("InstanceType,SpotPrice,Region\n", "aws")
    assert caught.value.advice == "Columns: InstanceType, Price, SpotPrice, Region; first line."


@pytest.mark.parametrize(
    ("where", "seller"),
    [
        ("catalogs/v8/gcp/vms.csv", "gcp"),
        ("https://host/x/v8/aws/vms.csv", "aws"),
        ("raw/runpod_v7_vms.excerpt.csv", "runpod"),
    ],
)
def test_the_seller_is_the_folders_or_the_files_name(where: str, seller: str) -> None:
    """As SkyPilot lays them out, or as people save them."""
    assert skypilot.seller_of(where) == seller


def test_a_name_that_says_no_seller_is_refused_with_the_option() -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError) as caught:
        skypilot.seller_of("vms.csv")
    assert "--seller" in caught.value.advice


def test_a_seller_that_is_said_is_checked_too(tmp_path: Path) -> None:
    """It names the stored file, and the rows: in small letters, as the catalog has all."""
    path = tmp_path / "vms.csv"
    path.write_text("InstanceType,Price,SpotPrice,Region\nc1,0.5,,us-east-1\n")
    (fetched,) = skypilot.fetch(str(path), catalog.shipped(), "2026-11-25", "AWS")
    assert (fetched.name, only(fetched).provider) == ("skypilot-aws", "aws")
    with pytest.raises(UsageError, match=r"'\.\./aws' is no seller"):
        skypilot.fetch(str(path), catalog.shipped(), "2026-11-25", "../aws")


@pytest.mark.parametrize("where", ["seeweb/vms.csv", "seeweb_v8_vms.csv", ""])
def test_prices_that_are_not_dollars_are_refused(where: str) -> None:
    """Seeweb's list is in euros, and the tables name no currency: they were taken for dollars."""
    with pytest.raises(UsageError, match="seeweb's price list is in EUR") as caught:
        skypilot.fetch(where, catalog.shipped(), "2026-11-25", "" if where else "Seeweb")
    assert "dlbench catalog add" in caught.value.advice


def test_prices_of_a_seller_that_nobody_here_knows_are_said_to_be_taken_as_dollars() -> None:
    """The tables have no column for it; of the catalog's sellers, and of two more, it is known."""
    text = "InstanceType,vCPUs,Price,SpotPrice,Region\nbox,4,0.2,,here\n"
    told = "the table names no currency: taken as USD"
    fetched = read(text, "ppio")
    assert only(fetched).note == told
    assert fetched.problems == ((told, 1),)
    for seller in ("aws", "shadeform"):
        assert only(read(text, seller)).note == ""


def test_only_https_is_fetched_and_files_are_capped(tmp_path: Path) -> None:
    """No other scheme, local ones included; no file without an end."""
    for address in ("http://host/aws/vms.csv", "file:///etc/passwd", "ftp://host/x"):
        with pytest.raises(UsageError, match="is not an https address"):
            _download.read(address, 10)
    path = tmp_path / "x"
    path.write_bytes(b"x" * 11)
    with pytest.raises(StoreError, match="larger"):
        _download.read(str(path), 10)


@pytest.mark.parametrize("address", ["https://host/a b/aws/vms.csv", "https://[host/aws/vms.csv"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    """Both were tracebacks of the standard library's."""
    with pytest.raises(MissingError, match="cannot be fetched"):
        _download.read(address, 10)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"Content-Length: 100\r\n\r\nInstanceType", "broke off after 12 of 100 bytes"),
        (b"Transfer-Encoding: chunked\r\n\r\n64\r\nInstanceType", "IncompleteRead"),
    ],
)
def test_a_table_that_breaks_off_on_its_way_is_not_taken_for_the_whole(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, words: str
) -> None:
    """What came was stored in place of the whole one that was there; or it was a traceback."""

    class Wire:
        """A connection that ends after so many bytes."""

        def makefile(self, _: str) -> io.BytesIO:
            """What a response is read from."""
            return io.BytesIO(b"HTTP/1.1 200 OK\r\n" + answer)

    def respond(where: str, **_: object) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(cast("socket.socket", Wire()))
        response.begin()
        response.url = where
        return response

    monkeypatch.setattr("urllib.request.urlopen", respond)
    with pytest.raises(MissingError, match=words) as caught:
        _download.read("https://host/aws/vms.csv", 1000)
    assert "--from FILE" in caught.value.advice


def test_fetch_reads_a_path(tmp_path: Path) -> None:
    """The whole way, by the file's name."""
    path = tmp_path / "aws_v9_vms.csv"
    path.write_text("InstanceType,Price,SpotPrice,Region\nc1,0.5,,us-east-1\n")
    (fetched,) = skypilot.fetch(str(path), catalog.shipped(), "2026-11-25", "")
    assert fetched.name == "skypilot-aws"
    assert only(fetched).as_of == "2026-11-25"
