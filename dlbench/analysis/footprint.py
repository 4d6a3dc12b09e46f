"""Carbon and the price of energy of measured cases: where the machine stands, and what follows."""

from __future__ import annotations

from dataclasses import dataclass

from dlbench.analysis.recommend.assumptions import INTENSITY_SPREAD, PUE_SPREAD
from dlbench.analysis.rows import Row
from dlbench.core import footprint, metrics, monitored
from dlbench.core.catalog import Amount, Catalog, Region
from dlbench.core.errors import UsageError
from dlbench.core.footprint import Bounds, Factor, Footprint, Site
from dlbench.core.types import Absent, Environment, Metric, Run

WORLD = "world"
"""The region that stands for no place: only ever used when it is named."""

WORLD_G_PER_KWH = Bounds(
    low=436.0,
    high=481.0,
    source="world average: Ember, Global Electricity Review (436 for 2022, 481 for 2023)",
)

NO_REGION = Absent(
    reason="it is not known where the machine stands",
    remedy="--region aws/us-east-1, --region DE, or --intensity 380",
)
NO_PUE = Absent(
    reason="the site's PUE is not known",
    remedy="--pue 1.0 where nothing is cooled, else the site's",
)
NO_TARIFF = Absent(
    reason="no tariff was given; on a rented machine the rent holds it",
    remedy="--tariff 0.30 (USD a kWh)",
)
NO_EMBODIED = Absent(
    reason="nobody measures what making the hardware emitted",
    remedy="--embodied-kg 1500 --life-hours 35000, from the maker's data sheet",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user says of the site; None where nothing was said."""

    region: str | None = None
    intensity_g_per_kwh: Bounds | None = None
    pue: Bounds | None = None
    tariff_usd_per_kwh: Bounds | None = None
    embodied_g_per_h: Bounds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A case of a document, or a device of a monitored program (no ``case_id``), and what it takes."""

    label: str
    case_id: str
    footprint: Footprint


def of_run(run: Run, site: Site) -> tuple[Part, ...]:
    """The footprint of ``PER_SAMPLES`` samples of each case of a document."""
    return tuple(
        Part(
            label=result.case.label,
            case_id=result.case.case_id,
            footprint=_of_samples(
                metrics.compute("energy_j_per_sample", result, run),
                metrics.compute("throughput_samples_per_s", result, run),
                site,
            ),
        )
        for result in run.results
    )


def of_row(row: Row, site: Site) -> Footprint:
    """The footprint of ``PER_SAMPLES`` samples of a row."""
    found = row.metrics
    return _of_samples(found["energy_j_per_sample"], found["throughput_samples_per_s"], site)


def _of_samples(energy_j: Metric, throughput_samples_per_s: Metric, site: Site) -> Footprint:
    each_s = footprint.inverse(throughput_samples_per_s)
    return footprint.footprint(energy_j, each_s, site, footprint.PER_SAMPLES)


def of_monitored(run: Run, site: Site) -> tuple[Part, ...]:
    """The footprint of each monitored program: its devices, and what the machine's making adds."""
    found = []
    made = isinstance(site.embodied_g_per_h, Bounds)
    for program in run.monitored:
        time_s = next(f.value for f in monitored.of_host(program) if f.name == "duration_s")
        devices = {device.id: device for device in run.environment.devices}
        for part in program.devices:
            figures = monitored.of_device(program, part, devices.get(part.device))
            energy_j = next(f.value for f in figures if f.name == "energy_j")
            taken = footprint.footprint(energy_j, OF_THE_MACHINE if made else time_s, site)
            found.append(Part(label=f"{program.name}: {part.device}", case_id="", footprint=taken))
        if made:
            whole = footprint.footprint(BY_DEVICE, time_s, site)
            found.append(Part(label=f"{program.name}: machine", case_id="", footprint=whole))
    return tuple(found)


BY_DEVICE = Absent(reason="energy is told device by device")
OF_THE_MACHINE = Absent(reason="what making the hardware emitted is the machine's, once")


def site(environment: Environment | None, given: Given, catalog: Catalog) -> Site:
    """Where a machine stands: what the user says, else the region that its document recorded.

    Raises:
        UsageError: the region named is not in the catalog, or is of several providers.
    """
    asked_world = given.region is not None and given.region.lower() == WORLD
    place = None if asked_world else _place(environment, given, catalog)
    intensity: Factor = WORLD_G_PER_KWH if asked_world else _intensity(place)
    return Site(
        name=WORLD if asked_world else _name(place, given),
        intensity_g_per_kwh=given.intensity_g_per_kwh or intensity,
        pue=given.pue or _pue(place),
        tariff_usd_per_kwh=given.tariff_usd_per_kwh or NO_TARIFF,
        embodied_g_per_h=given.embodied_g_per_h or NO_EMBODIED,
    )


def _name(place: Region | None, given: Given) -> str:
    if place is not None:
        return f"{place.provider} {place.region}" + (f", {place.location}" * bool(place.location))
    return "as given" if given.intensity_g_per_kwh else "unknown"


def _place(environment: Environment | None, given: Given, catalog: Catalog) -> Region | None:
    if given.region is not None:
        return named(given.region, catalog)
    facts = environment.facts if environment else {}
    provider, region = facts.get("cloud_provider"), facts.get("cloud_region")
    if isinstance(provider, str) and isinstance(region, str):
        return catalog.region(provider, region)
    return None


def named(text: str, catalog: Catalog) -> Region:
    """The place of ``provider/region``, of a region that only one provider has, or of a country.

    Raises:
        UsageError: there is none, or more than one.
    """
    provider, slash, region = text.partition("/")
    if slash:
        found = [place] if (place := catalog.region(provider.lower(), region)) else []
    else:
        found = [r for r in catalog.regions if r.region.lower() == text.lower()]
        found = found or [r for r in catalog.regions if r.provider == "country" and _is(r, text)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{r.provider}/{r.region}" for r in found)
        raise UsageError(f"--region {text!r} is of several providers", f"Name one: {names}.")
    raise UsageError(
        f"--region {text!r} is not in the catalog",
        "dlbench catalog list regions shows those that are; a country as DE; or --intensity 380.",
    )


def _is(place: Region, country: str) -> bool:
    return country.upper() == place.country


def _intensity(place: Region | None) -> Factor:
    if place is None:
        return NO_REGION
    low, high = place.low_g_per_kwh, place.high_g_per_kwh
    if isinstance(low, Absent) or isinstance(high, Absent):
        return Absent(
            reason=f"no source gives the carbon intensity of {place.provider} {place.region}",
            remedy="--intensity 380",
        )
    if high > low:
        return Bounds(low=low, high=high, source=place.source)
    return Bounds(
        low=low * INTENSITY_SPREAD.low,
        high=low * INTENSITY_SPREAD.high,
        source=f"{place.source}; {INTENSITY_SPREAD.source}",
    )


def _pue(place: Region | None) -> Factor:
    pue: Amount = NO_PUE if place is None else place.pue
    if place is None or isinstance(pue, Absent):
        return NO_PUE
    return Bounds(
        low=max(1.0, pue * PUE_SPREAD.low),
        high=max(1.0, pue * PUE_SPREAD.high),
        source=f"{place.pue_source}; {PUE_SPREAD.source}",
    )
