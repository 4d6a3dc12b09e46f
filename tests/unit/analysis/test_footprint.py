"""Where a document's machine stands: the user's word, the recorded region, or unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlbench import catalog
from dlbench.analysis import footprint
from dlbench.analysis.footprint import Given
from dlbench.core.errors import UsageError
from dlbench.core.footprint import Bounds, Factor
from dlbench.core.types import Absent, Environment
from tests import builders

HERE = builders.ENVIRONMENT
SHIPPED = catalog.shipped()


def _in(provider: str, region: str) -> Environment:
    facts = {**HERE.facts, "cloud_provider": provider, "cloud_region": region}
    return replace(HERE, facts=facts)


def _known(factor: Factor) -> Bounds:
    assert isinstance(factor, Bounds)
    return factor


def test_an_unknown_place_stays_unknown() -> None:
    """No flag, no recorded region: absent with the flag that helps, and no average of anything."""
    site = footprint.site(HERE, Given(), SHIPPED)
    assert isinstance(site.intensity_g_per_kwh, Absent)
    assert "--region" in site.intensity_g_per_kwh.remedy
    assert isinstance(site.pue, Absent)
    assert "--pue" in site.pue.remedy
    assert isinstance(site.tariff_usd_per_kwh, Absent)
    assert isinstance(site.embodied_g_per_h, Absent)


def test_a_recorded_cloud_region_is_the_default() -> None:
    """A document that knows its region needs no flag; a flag overrides it."""
    recorded = footprint.site(_in("aws", "eu-central-1"), Given(), SHIPPED)
    place = SHIPPED.region("aws", "eu-central-1")
    assert place is not None
    assert _known(recorded.intensity_g_per_kwh).low == place.low_g_per_kwh
    assert _known(recorded.intensity_g_per_kwh).high == place.high_g_per_kwh
    assert place.intensity_year in _known(recorded.intensity_g_per_kwh).source
    told = footprint.site(_in("aws", "eu-central-1"), Given(region="FR"), SHIPPED)
    assert "France" in told.name


def test_all_sources_of_a_range_are_named() -> None:
    """Frankfurt's lower end is Google's figure of its own region on that grid."""
    source = _known(
        footprint.site(_in("aws", "eu-central-1"), Given(), SHIPPED).intensity_g_per_kwh
    )
    for name in ("codecarbon", ", 2023;", "CCF", "gcp/europe-west3"):
        assert name in source.source


def test_given_factors_beat_the_regions() -> None:
    """--intensity and --pue override, each alone."""
    mine = Bounds(low=20.0, high=30.0, source="--intensity 20-30")
    site = footprint.site(_in("aws", "eu-central-1"), Given(intensity_g_per_kwh=mine), SHIPPED)
    assert site.intensity_g_per_kwh is mine
    assert _known(site.pue).low >= 1.0


def test_one_source_alone_is_widened() -> None:
    """Where only one source speaks, the range is that of the disagreement between sources."""
    site = footprint.site(HERE, Given(region="DE"), SHIPPED)
    found = _known(site.intensity_g_per_kwh)
    assert found.low < found.high
    assert found.high / found.low == pytest.approx(1.5, abs=0.1)


def test_the_world_only_when_asked() -> None:
    """The world's average has its source, and no PUE comes with it."""
    site = footprint.site(HERE, Given(region="world"), SHIPPED)
    assert "Ember" in _known(site.intensity_g_per_kwh).source
    assert isinstance(site.pue, Absent)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere", "not in the catalog"),
        ("aws/nowhere", "not in the catalog"),
        ("us-east-1", "several providers"),
        ("", "not in the catalog"),
    ],
)
def test_a_region_that_names_no_one_place_is_refused(text: str, words: str) -> None:
    """The sentence says why, the advice what to write."""
    with pytest.raises(UsageError, match=words) as error:
        footprint.named(text, SHIPPED)
    assert error.value.advice


def test_a_place_without_figures_names_the_flag() -> None:
    """A region that no source measured gives an absent intensity, not its neighbour's."""
    unmeasured = next(r for r in SHIPPED.regions if isinstance(r.low_g_per_kwh, Absent))
    site = footprint.site(HERE, Given(region=f"{unmeasured.provider}/{unmeasured.region}"), SHIPPED)
    assert isinstance(site.intensity_g_per_kwh, Absent)
    assert "--intensity" in site.intensity_g_per_kwh.remedy
