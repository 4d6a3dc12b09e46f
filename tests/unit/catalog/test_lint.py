"""Each rule of the linter finds what it is for, and nothing in a clean row."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from dlbench import catalog
from dlbench.catalog import lint
from dlbench.core.catalog import Offer
from dlbench.core.types import Absent

TODAY = date(2026, 11, 25)


def found(instance_type: str, **changes: Any) -> list[lint.Finding]:
    """What is said of a good row of a type after ``changes``."""
    shipped = catalog.shipped()
    good = next(o for o in shipped.offers if o.instance_type == instance_type)
    changed = replace(good, as_of="2026-11-24", **changes)
    others = tuple(o for o in shipped.offers if o is not good)
    everything = lint.check(replace(shipped, offers=(*others, changed)), TODAY)
    return [f for f in everything if f.offer == changed.name]


def rules(**changes: Any) -> set[str]:
    """The rules that a good row breaks after ``changes``."""
    return {f.rule for f in found("g6.xlarge", **changes)}


def test_a_good_row_breaks_no_rule() -> None:
    """Or the others would prove nothing."""
    assert rules() == set()


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("placeholder-price", {"ondemand_usd_per_h": 700.0}),
        ("placeholder-price", {"ondemand_usd_per_h": 101.0}),
        ("spot-equals-on-demand", {"ondemand_usd_per_h": 0.8, "spot_usd_per_h": 0.8}),
        ("far-below-family", {"ondemand_usd_per_h": 0.1}),
        ("far-above-family", {"ondemand_usd_per_h": 9.0}),
        ("host-apart", {"price_scope": "accelerator"}),
        ("memory-unit", {"memory_gib": 65536.0}),
        ("memory-unit", {"memory_gib": 0.016}),
        ("unknown-accelerator", {"accelerator": "L4000"}),
        ("accelerator-without-name", {"accelerator": None}),
        ("unknown-region", {"region": "mars-north-1"}),
        ("no-price", {"ondemand_usd_per_h": Absent(reason="")}),
        ("no-source", {"source": ""}),
        ("old-price", {"spot_usd_per_h": 0.3, "spot_as_of": "2026-01-01"}),
    ],
)
def test_each_rule_finds_what_it_is_for(rule: str, changes: dict[str, Any]) -> None:
    """One fault a row, by name."""
    assert rule in rules(**changes)


def test_a_dear_machine_without_accelerators_is_no_placeholder() -> None:
    """A u-24tb1.112xlarge costs 218 USD an hour; what says 700 is one whatever it is."""
    huge = {"accelerator": None, "accelerator_count": 0.0, "vcpus": 448.0, "cpu_model": "Xeon"}
    assert rules(**huge, ondemand_usd_per_h=218.4) == {"far-above-family"}
    assert "placeholder-price" in rules(**huge, ondemand_usd_per_h=700.0)


def p5(**changes: Any) -> list[str]:
    """What is absurdly low of AWS's machine of eight H100, for 55 USD an hour, after ``changes``."""
    return [f.sentence for f in found("p5.48xlarge", **changes) if f.rule == "absurdly-low"]


def test_a_price_that_nobody_can_sell_at_is_an_error() -> None:
    """A p5.48xlarge for 0.30 USD an hour of spot was in order; a discount of 90 % is."""
    (spot,) = p5(spot_usd_per_h=0.3)
    assert spot.startswith("spot_usd_h is 0.3, 0.037 USD/h per H100-SXM5-80GB: 0.")
    assert "the median on demand of 12 sellers" in spot
    assert p5(spot_usd_per_h=5.5) == []
    assert p5(spot_usd_per_h=2.0) == ["spot_usd_h is 2, 3.6% of the 55.04 on demand"]
    (full,) = p5(ondemand_usd_per_h=0.55)
    assert full.startswith("ondemand_usd_h is 0.55, ")
    assert p5(ondemand_usd_per_h=700.0, spot_usd_per_h=5.5) == []


def test_what_is_shipped_is_far_from_absurd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margins rest on it: at least 0.085 of a family's median, and 0.157 of one's own price."""
    monkeypatch.setattr(lint, "LEAST_OF_FAMILY", dict.fromkeys(lint.LEAST_OF_FAMILY, 0.084))
    monkeypatch.setattr(lint, "LEAST_OF_OWN", 0.157)
    assert lint.absurdly_low(catalog.shipped()) == {}
    monkeypatch.setattr(lint, "LEAST_OF_FAMILY", dict.fromkeys(lint.LEAST_OF_FAMILY, 0.086))
    ((name, field),) = lint.absurdly_low(catalog.shipped())
    assert (name, field) == ("verda 1x V100-SXM2-16GB (eu)", "ondemand_usd_per_h")


def test_a_seller_with_many_rows_has_one_voice_in_its_family() -> None:
    """Four sizes of one dear seller do not make two cheap ones look wrong."""
    shipped = catalog.shipped()
    good = next(o for o in shipped.offers if o.instance_type == "g6.xlarge")

    def offered(provider: str, price: float, n: int) -> tuple[Offer, ...]:
        rows = [(provider, f"{provider}.{i}") for i in range(n)]
        return tuple(
            replace(good, provider=p, instance_type=name, ondemand_usd_per_h=price, vcpus=8.0)
            for p, name in rows
        )

    def found(*offers: Offer) -> dict[str, str]:
        checked = lint.check(replace(shipped, offers=offers), TODAY)
        return {f.offer: f.sentence for f in checked if "family" in f.rule}

    three = (*offered("exoscale", 2.0, 4), *offered("runpod", 0.44, 1), *offered("vast", 0.6, 1))
    assert found(*three) == {}
    (odd,) = found(*three, *offered("verda", 0.1, 1)).values()
    assert odd == "0.1 USD/h per L4 is 0.19 times 0.52, the median of 4 other sellers"


def test_a_fetched_price_of_an_unplaced_region_can_be_believed() -> None:
    """It has no carbon and no residency; only a shipped row without its place is an error."""
    shipped = catalog.shipped()
    severities = {}
    for origin in ("shipped", "fetched: skypilot-lambda"):
        row = replace(shipped.offers[0], region="mars-north-1", origin=origin)
        found = lint.check(replace(shipped, offers=(row,)), TODAY)
        severities[origin] = next(f.severity for f in found if f.rule == "unknown-region")
    assert severities == {"shipped": "error", "fetched: skypilot-lambda": "warning"}


def test_a_date_in_the_future_is_an_error() -> None:
    """A clock that is wrong, or a row that is; today's price is the best there is."""
    shipped = catalog.shipped()
    for as_of, wrong in (("2026-11-25", False), ("2026-11-26", True)):
        row = replace(shipped.offers[0], as_of=as_of)
        found = lint.check(replace(shipped, offers=(row,)), TODAY)
        assert ("bad-date" in {f.rule for f in found}) is wrong


def test_a_place_is_known_as_the_recommender_knows_it() -> None:
    """In any case of letters, and by a country in its name."""
    assert "unknown-region" not in rules(region="US-EAST-1")
    assert "unknown-region" not in rules(provider="vast", region="Bavaria, DE, EU")
