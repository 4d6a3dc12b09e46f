"""The values of the catalog: what an accelerator is, what is for rent, and where it stands.

They are facts with a source and a date. What a source does not say is an ``Absent`` with its reason; a
price that nobody published is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cache

from dlbench.core.types import Absent

Amount = float | Absent
"""A quantity, or why it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One device as its data sheet has it; ``kind`` is gpu, tpu, asic, soc or cpu.

    ``peak_tflops`` maps a precision to dense peak figures in 10^12 operations a second (int8:
    TOPS), fp16 and bf16 with fp32 accumulation. Figures of processors are computed, a socket.
    ``cores`` is physical cores a socket, of processors only.
    """

    name: str
    vendor: str
    kind: str
    memory_gib: Amount
    memory_bandwidth_gb_per_s: Amount
    peak_tflops: dict[str, float]
    tdp_w: Amount
    release_year: int | Absent
    interconnect: str
    interconnect_gb_per_s: Amount
    compute_capability: str
    aliases: tuple[str, ...]
    cores: int | Absent
    note: str
    disagreement: str
    not_confirmed: str
    source: str
    as_of: str


OWNED = "owned"
"""The provider of a machine that is not rented."""

PLACEHOLDER_USD_PER_H = 700.0
"""What GCP's table says of accelerators that it does not sell in a region."""

ANYWHERE = "any"
"""The region of a price that its source has for all regions at once, without saying which."""

SKYPILOT_RUNPOD = {
    "A100-PCIE-80GB": "A100-80GB",
    "A100-SXM4-80GB": "A100-80GB-SXM",
    "H100-PCIE-80GB": "H100",
    "H100-SXM5-80GB": "H100-SXM",
    "H100-NVL-94GB": "H100-NVL",
    "H200-SXM-141GB": "H200-SXM",
    "B200-SXM-180GB": "B200",
    "B300-SXM-288GB": "B300",
}
"""Accelerators in the types of RunPod's price list, and SkyPilot's names for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One instance type in one region of one provider, with its prices in USD an hour.

    ``accelerator`` is a canonical name of the catalog, or None for a machine with processors only.
    ``accelerator_count`` below one is a slice of one. ``as_of`` is the date of the on-demand price
    as its source gives it: a day, or only a year. ``origin`` says which file the row is from.
    """

    provider: str
    instance_type: str
    region: str
    accelerator: str | None
    accelerator_count: Amount
    vcpus: Amount
    memory_gib: Amount
    ondemand_usd_per_h: Amount
    spot_usd_per_h: Amount
    cpu_model: str
    price_scope: str
    source: str
    as_of: str
    spot_source: str
    spot_as_of: str
    note: str
    origin: str = "shipped"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What no two rows of one file have in common: what is sold, and the accelerator."""
        return (*self.sold_as, self.accelerator or "")

    @property
    def sold_as(self) -> tuple[str, str, str]:
        """What a file's rows replace of the files before it: provider, type and region."""
        return (self.provider, self.instance_type.lower(), self.region.lower())

    @property
    def name(self) -> str:
        """A name for people: provider, type and region; of one's own machine what its owner says."""
        if self.provider == OWNED:
            return f"{self.instance_type} ({self.region})"
        return f"{self.provider} {self.instance_type} ({self.region})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where a provider's machines stand, and what a kilowatt-hour emits there.

    ``country`` is an ISO 3166 code of two letters, ``EU`` where only that is known, or empty. The
    intensities are the lowest and highest over the sources read, in grams of CO2e a kWh.
    """

    provider: str
    region: str
    location: str
    country: str
    low_g_per_kwh: Amount
    high_g_per_kwh: Amount
    intensity_year: str
    pue: Amount
    source: str
    pue_source: str
    as_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All that is known of what could be used: accelerators, offers and regions.

    ``sources`` are the files that were read, in rising order of authority; ``problems`` are
    sentences on files that could not be read, none of which lost the others.
    """

    accelerators: tuple[Accelerator, ...]
    offers: tuple[Offer, ...]
    regions: tuple[Region, ...]
    sources: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def accelerator(self, name: str) -> Accelerator | None:
        """The accelerator of that name or alias, however it is spelled."""
        for device in self.accelerators:
            if device.name == name:
                return device
        wanted = spelled(name)
        for device in self.accelerators:
            if any(spelled(known) == wanted for known in (device.name, *device.aliases)):
                return device
        return None

    def region(self, provider: str, region: str) -> Region | None:
        """The place of that name at that provider; else the average of a country that it names."""
        for place in self.regions:
            if place.provider == provider and place.region.lower() == region.lower():
                return place
        named = country_in(region)
        for place in self.regions:
            if named and place.provider == "country" and place.country == named:
                return replace(place, provider=provider, region=region)
        return None


CONTINENTS = frozenset({"AF", "AN", "AS", "EU", "NA", "OC", "SA"})


@cache
def spelled(name: str) -> str:
    """A name without case, spaces and punctuation: RTX-A6000, RTXA6000 and RTX A6000 are one."""
    return "".join(c for c in name.lower() if c.isalnum())


def country_in(region: str) -> str:
    """The country that a region's name gives away: "US", or "Bavaria, DE, EU"; else "".

    Before a continent alone: in "San Jose, CA, US" stands a state that has a country's letters.
    """
    parts = [part.strip() for part in region.split(",")]
    if len(parts) > 1 and parts.pop() not in CONTINENTS:
        return ""
    code = parts[-1]
    return code if len(code) == len("DE") and code.isalpha() and code.isupper() else ""


# fmt: off
EU = frozenset(
    (
        "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR",
        "HU", "IE", "IT", "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK",
        "SI", "ES", "SE", "EU",
    )
)
# fmt: on
ZONES = {"EU": EU, "EEA": EU | {"IS", "LI", "NO"}}
"""Groups of countries that data may be bound to; a place of which only "EU" is known is in both."""


def lies_in(wanted: str, region: str, country: str) -> bool:
    """Whether a place is the one wanted: by its name, its country, or a zone of countries.

    A place whose country is "" is in none.
    """
    zone = ZONES.get(wanted.upper(), {wanted.upper()})
    return wanted.lower() == region.lower() or country in zone


def oldest_date(as_of: str) -> date | None:
    """The earliest day that a date, a month or a year can mean; None where it cannot be read.

    A year of two digits is none: nobody knows which end of 26-11-24 it is.
    """
    parts = as_of.strip().split("-")
    if len(parts) > len(("year", "month", "day")) or len(parts[0]) < len("2026"):
        return None
    try:
        numbers = [int(part) for part in parts]
        year, month, day = (*numbers, 1, 1)[:3]
        return date(year, month, day)
    except (ValueError, OverflowError):
        return None
