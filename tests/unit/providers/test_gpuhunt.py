"""gpuhunt's items become offers; a seller that fails loses no other."""

from __future__ import annotations

import logging
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlbench import catalog
from dlbench.core.errors import MissingError, UsageError
from dlbench.core.types import Absent
from dlbench.providers import gpuhunt


@dataclass
class Item:
    """The fields of gpuhunt's CatalogItem that are read."""

    provider: str = "aws"
    instance_name: str = "g6.xlarge"
    location: str = "us-east-1"
    price: float = 0.8
    cpu: int = 4
    memory: float = 16.0
    gpu_count: int = 1
    gpu_name: str | None = "L4"
    gpu_memory: float | None = 24.0
    spot: bool = False
    flags: list[str] = field(default_factory=list)


class Hunt:
    """A catalog of gpuhunt's in which one seller is broken."""

    def query(self, *, provider: str) -> list[Item]:
        """Items of one seller, or its failure."""
        if provider == "azure":
            raise ValueError("schema changed")
        return [Item(provider=provider)] if provider == "aws" else []


def test_on_demand_and_spot_items_of_a_type_are_one_offer() -> None:
    """There is an item for each."""
    fetched = gpuhunt.read(
        [Item(), Item(spot=True, price=0.3)], catalog.shipped(), as_of="2026-11-25", seller="aws"
    )
    (offer,) = fetched.offers
    assert (offer.ondemand_usd_per_h, offer.spot_usd_per_h) == (0.8, 0.3)
    assert (offer.accelerator, offer.vcpus) == ("L4", 4)


def test_a_host_of_googles_is_as_many_types_as_accelerators_can_be_attached() -> None:
    """A price on demand and one of spot are of one number of cards; the names are the shipped ones."""
    host: dict[str, Any] = {
        "provider": "gcp",
        "instance_name": "n1-standard-8",
        "gpu_name": "T4",
        "gpu_memory": 16.0,
    }
    items = [
        Item(**host, price=0.73),
        Item(**host, price=1.5, gpu_count=4, spot=True),
        Item(**{**host, "gpu_count": 0, "gpu_name": None}, price=0.38),
    ]
    fetched = gpuhunt.read(items, catalog.shipped(), as_of="2026-11-25", seller="gcp")
    one, four, none = fetched.offers
    assert [o.instance_type for o in fetched.offers] == [
        "n1-standard-8+t4x1",
        "n1-standard-8+t4x4",
        "n1-standard-8",
    ]
    assert (one.ondemand_usd_per_h, four.spot_usd_per_h, none.accelerator) == (0.73, 1.5, None)
    assert isinstance(one.spot_usd_per_h, Absent)


def test_a_card_of_runpods_is_as_many_types_as_it_is_sold_in_numbers() -> None:
    """Of 1 and 8 under one name the first was kept; the names are the shipped ones, and SkyPilot's."""
    card: dict[str, Any] = {"instance_name": "NVIDIA A100 80GB PCIe", "gpu_name": "A100"}
    items = [
        Item(**card, location="US-KS-2", gpu_memory=80.0, gpu_count=n, price=n * each, spot=spot)
        for spot, each in ((True, 0.6), (False, 1.2))
        for n in (1, 8)
    ]
    items += [
        Item(**card, location="US", gpu_memory=80.0, price=1.1),
        Item(instance_name="NVIDIA L4", location="US", gpu_count=2, price=0.8),
    ]
    fetched = gpuhunt.read(items, catalog.shipped(), as_of="2026-11-25", seller="runpod")
    assert [
        (o.instance_type, o.ondemand_usd_per_h, o.spot_usd_per_h) for o in fetched.offers[:2]
    ] == [
        ("1x_A100-PCIE-80GB_SECURE", 1.2, 0.6),
        ("8x_A100-PCIE-80GB_SECURE", 9.6, 4.8),
    ]
    assert [o.instance_type for o in fetched.offers[2:]] == [
        "1x_A100-PCIE-80GB_COMMUNITY",
        "2x NVIDIA L4",
    ]
    after = catalog.merged(catalog.shipped(), fetched.offers, "x").offers
    assert [o.region for o in after if o.instance_type == "1x_A100-PCIE-80GB_SECURE"] == ["US-KS-2"]


def test_machines_of_several_sizes_under_one_name_are_told_apart() -> None:
    """Nebius's are called by their platform: of all sizes the first was kept, and no other told."""
    item: dict[str, Any] = {"instance_name": "standard-v2", "gpu_name": None, "gpu_memory": None}
    items = [Item(**item, gpu_count=0, cpu=n, memory=4.0 * n, price=0.01 * n) for n in (2, 16)]
    fetched = gpuhunt.read(items, catalog.shipped(), as_of="2026-11-25", seller="nebius")
    assert [(o.instance_type, o.ondemand_usd_per_h) for o in fetched.offers] == [
        ("standard-v2 2vcpu-8gib", 0.02),
        ("standard-v2 16vcpu-64gib", 0.16),
    ]


def test_googles_zones_are_one_region() -> None:
    """us-central1-a is in no table of places: no country, no carbon, beside the shipped price."""
    items = [
        Item(instance_name="g2-standard-4", location=f"us-central1-{zone}", price=price)
        for zone, price in (("a", 0.71), ("b", 0.70))
    ]
    (offer,) = gpuhunt.read(items, catalog.shipped(), as_of="2026-11-25", seller="gcp").offers
    assert (offer.region, offer.ondemand_usd_per_h) == ("us-central1", 0.70)
    here = [
        o.ondemand_usd_per_h
        for o in catalog.merged(catalog.shipped(), [offer], "x").offers
        if o.sold_as == offer.sold_as
    ]
    assert here == [0.70]


def test_a_price_of_a_reservation_is_none_on_demand() -> None:
    """Google's calendar is cheaper than what whoever comes pays: the lower of the two was taken."""
    items = [
        Item(instance_name="g2-standard-4", price=0.7),
        Item(instance_name="g2-standard-4", price=0.4, flags=["gcp-dws-calendar-mode"]),
        Item(instance_name="g2-standard-8", price=0.8, flags=["gcp-g4"]),
    ]
    fetched = gpuhunt.read(items, catalog.shipped(), as_of="2026-11-25", seller="gcp")
    assert [o.ondemand_usd_per_h for o in fetched.offers] == [0.7, 0.8]
    assert fetched.problems == (("price of a reservation in Google's calendar: left out", 1),)


def test_a_type_that_the_catalog_knows_has_its_accelerator() -> None:
    """All forms are called A100 there: AWS's p4de, of SXM4, became a machine of PCIe cards."""
    card: dict[str, Any] = {"gpu_name": "A100", "gpu_memory": 80.0, "gpu_count": 8}
    items = [
        Item(instance_name="p4de.24xlarge", **card, price=27.4),
        Item(instance_name="p5.48xlarge", gpu_count=0, gpu_name=None, gpu_memory=None),
    ]
    fetched = gpuhunt.read(items, catalog.shipped(), as_of="2026-11-25", seller="aws")
    (offer,) = fetched.offers
    assert (offer.accelerator, offer.note) == (
        "A100-SXM4-80GB",
        "form factor as the catalog has it",
    )
    assert fetched.problems[0][0].startswith("no accelerator is named, and the catalog has H100")


def test_prices_that_are_not_dollars_are_refused() -> None:
    """What Seeweb says is passed on as it is, and is euros."""
    with pytest.raises(UsageError, match="in EUR"):
        gpuhunt.fetch("", catalog.shipped(), "2026-11-25", "seeweb")


def test_a_price_of_zero_and_an_unknown_card_are_left_out_and_told() -> None:
    """Neither becomes an offer."""
    items = [Item(price=0.0), Item(gpu_name="L4000"), Item(gpu_memory=48.0)]
    fetched = gpuhunt.read(items, catalog.shipped(), as_of="2026-11-25", seller="aws")
    assert fetched.offers == ()
    assert sum(count for _, count in fetched.problems) == 3


def test_a_machine_without_accelerator_and_unknown_sizes() -> None:
    """Zero vCPUs is gpuhunt's way to say that it does not know."""
    item = Item(instance_name="x9", gpu_count=0, gpu_name=None, gpu_memory=None, cpu=0)
    (offer,) = gpuhunt.read([item], catalog.shipped(), as_of="2026-11-25", seller="aws").offers
    assert offer.accelerator is None
    assert isinstance(offer.vcpus, Absent)


def test_one_broken_seller_loses_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is asked on its own; the failure is told beside what came."""
    fake = SimpleNamespace(default_catalog=Hunt, GPUHuntError=RuntimeError)
    monkeypatch.setitem(sys.modules, "gpuhunt", fake)
    fetched = gpuhunt.fetch("", catalog.shipped(), "2026-11-25", "")
    assert fetched[0].name == "gpuhunt-aws"
    assert len(fetched[0].offers) == 1
    assert ("azure: ValueError: schema changed", 1) in fetched[0].problems


def test_what_gpuhunt_logs_is_told_and_never_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A seller without prices has its reason; a row that is left out costs its seller no other."""
    log = logging.getLogger("gpuhunt._internal.catalog")

    def loaded() -> Hunt:
        for line in (3, 8):
            log.warning("Skipping malformed row in %s catalog at line %s: %s", "aws", line, "x")
        failure = OSError("503 of its server")
        log.error("Failed to load %s catalog. Keeping it.", "gcp", exc_info=failure)
        log.warning("Skipping provider %s: %s", "VastAIProvider", ValueError("Set VAST_KEY"))
        return Hunt()

    fake = SimpleNamespace(default_catalog=loaded, GPUHuntError=RuntimeError)
    monkeypatch.setitem(sys.modules, "gpuhunt", fake)
    fetched = gpuhunt.fetch("", catalog.shipped(), "2026-11-25", "")
    assert [len(table.offers) for table in fetched if table.name == "gpuhunt-aws"] == [1]
    assert not {"gpuhunt-gcp", "gpuhunt-vast"} & {table.name for table in fetched}
    told = dict(fetched[0].problems)
    assert told["gcp: 503 of its server"] == 1
    assert told["vastai: Skipping provider VastAIProvider: Set VAST_KEY"] == 1
    assert told["gpuhunt: Skipping malformed row in aws catalog at line 3: x"] == 2
    assert capfd.readouterr() == ("", "")
    assert log.parent is not None
    assert log.parent.propagate
    assert not log.parent.handlers


def test_without_gpuhunt_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional."""
    missing: Any = None
    monkeypatch.setitem(sys.modules, "gpuhunt", missing)
    with pytest.raises(MissingError) as caught:
        gpuhunt.fetch("", catalog.shipped(), "2026-11-25", "")
    assert "dlbench[prices]" in caught.value.advice


def test_a_place_that_gpuhunt_does_not_read_is_not_passed_over() -> None:
    """``--source gpuhunt --from table.csv`` asked the sellers, and named them twice for two tables."""
    with pytest.raises(UsageError, match=r"reads no table\.csv"):
        gpuhunt.fetch("table.csv", catalog.shipped(), "", "")


# --- with gpuhunt itself ----------------------------------------------------------------------


NOT_AMONG_DEV = "pip install gpuhunt (its wheel has a package `tests`, which would hide this one)"


def _published(tmp_path: Path, tables: Mapping[str, list[dict[str, Any]]]) -> str:
    """The address of a collection as dstack publishes it, in a folder, written by gpuhunt."""
    from gpuhunt._internal import models, storage

    for seller, rows in tables.items():
        folder = tmp_path / seller / "20261126"
        folder.mkdir(parents=True)
        (tmp_path / seller / "version").write_text("20261126\n")
        table = folder / f"{seller}.csv"
        unsaid = {"disk_size": None, "gpu_vendor": models.AcceleratorVendor.NVIDIA}
        storage.dump(
            [models.CatalogItem(provider=seller, **unsaid, **row) for row in rows], str(table)
        )
        with zipfile.ZipFile(folder / "catalog.zip", "w") as archive:
            archive.write(table, table.name)
    return tmp_path.as_uri()


H100S = {"instance_name": "p5.48xlarge", "location": "us-east-1", "cpu": 192, "memory": 2048.0}
H100S |= {"gpu_count": 8, "gpu_name": "H100", "gpu_memory": 80.0}


@pytest.fixture
def _collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A collection that has AWS alone, in place of dstack's; gpuhunt keeps what it has loaded."""
    hunt = pytest.importorskip("gpuhunt", reason=NOT_AMONG_DEV)
    rows = [{**H100S, "price": 55.04, "spot": False}, {**H100S, "price": 22.5, "spot": True}]
    monkeypatch.setenv("GPUHUNT_CATALOG_URL", _published(tmp_path, {"aws": rows}))
    for key in ("JL_API_KEY", "SEEWEB_API_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    hunt.default_catalog.cache_clear()
    yield
    hunt.default_catalog.cache_clear()


@pytest.mark.usefixtures("_collection")
def test_gpuhunt_itself_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    """Its own classes, from a collection that it wrote and loads itself."""
    (fetched,) = gpuhunt.fetch("", catalog.shipped(), "2026-11-26", "aws")
    (offer,) = fetched.offers
    assert (offer.instance_type, offer.region) == ("p5.48xlarge", "us-east-1")
    assert (offer.accelerator, offer.accelerator_count) == ("H100-SXM5-80GB", 8)
    assert (offer.ondemand_usd_per_h, offer.spot_usd_per_h) == (55.04, 22.5)
    assert (offer.vcpus, offer.memory_gib) == (192, 2048)
    assert capfd.readouterr() == ("", ""), (
        "gpuhunt logs tracebacks of the sellers that are not there"
    )


@pytest.mark.usefixtures("_collection")
@pytest.mark.parametrize(
    ("seller", "reason"), [("azure", "No such file"), ("jarvislabs", "JL_API_KEY")]
)
def test_why_gpuhunt_has_nothing_of_a_seller_is_told(seller: str, reason: str) -> None:
    """It said that the table was empty, and of a seller that wants a key not which."""
    with pytest.raises(MissingError, match=f"{seller}: .*{reason}"):
        gpuhunt.fetch("", catalog.shipped(), "2026-11-26", seller)
    assert logging.getLogger("gpuhunt").propagate
