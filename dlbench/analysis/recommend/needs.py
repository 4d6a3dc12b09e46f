"""A need from a TOML file or from flags: strict, and every setting left open is echoed."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from dlbench import workloads
from dlbench.core import catalog_rows
from dlbench.core.catalog import ZONES, Accelerator, Catalog, lies_in
from dlbench.core.errors import UsageError
from dlbench.core.recommendation import Need, OwnedMachine
from dlbench.core.types import Mode, Objective, Precision, Task

MAX_BYTES = 64 * 1024
MOST_OWNED = 20
MOST_NAMES = 100

Values = Mapping[str, Any]

ENUMS = {"task": Task, "objective": Objective, "precision": Precision}
TEXTS = ("name", "workload", "variant", "framework")
LISTS = ("regions", "exclude_providers")
PAIRS = ("spot_interruptions_per_h", "set_up_min")
WHOLE = (
    "batch_size",
    "max_devices",
    "max_instances",
    "max_price_age_days",
    "seed",
    "accelerator_count",
    "count",
)
MAY_BE_ZERO = frozenset(
    {
        "seed",
        "max_devices",
        "data_gb",
        "carbon_usd_per_kg",
        "checkpoint_min",
        "max_price_age_days",
        "purchase_usd",
        "idle_w",
        "tariff_usd_per_kwh",
        "intensity_g_per_kwh",
        "spot_interruptions_per_h",
        "set_up_min",
    }
)
"""Every other number must be above 0: a budget or a deadline of nothing asks for nothing."""

INFERENCE_ONLY = frozenset({"onnxruntime", "openvino"})
"""Frameworks that only run models; they alone quantise them to int8 here."""

EXTRAS = {
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "keras": "keras",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "fake": "all",
}
"""The frameworks that a need may name, and which of dlbench's extras installs each."""


def read(path: Path) -> dict[str, Any]:
    """The table of a need's file.

    Raises:
        UsageError: it is no TOML.
        StoreError: it cannot be read, or is too large.
    """
    try:
        data = catalog_rows.read_bytes(path, MAX_BYTES, what="a need's TOML file")
        # As price files: Windows' editors begin a file with a mark that TOML does not know.
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # a whole number of 5,000 digits is no TOML error
        raise UsageError(
            f"{path} is no TOML: {error}", "docs/recommend.md has examples."
        ) from error


def build(table: Values) -> tuple[Need, tuple[tuple[str, str], ...]]:
    """The need of a table, and what it left open as (field, value).

    Raises:
        UsageError: a field is unknown, of the wrong type, or impossible; the message names it.
    """
    known = {f.name for f in fields(Need)}
    for name in table:
        _refuse_unknown(name, known)
    values = {name: _value(name, given) for name, given in table.items()}
    need = Need(**values)
    _refuse_contradictions(need, values)
    _refuse_unsupported(need)
    return need, (*_defaults(values, need), *_owned_defaults(table.get("owned", ()), need.owned))


def _refuse_unknown(name: str, known: set[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"{name} is no field of a need",
            f"Did you mean {near[0]}?" if near else f"Fields: {', '.join(sorted(known))}.",
        )


def _value(name: str, given: Any) -> Any:  # noqa: ANN401 - a cell of a TOML table
    for names, read_ in READERS:
        if name in names:
            return read_(name, given)
    return _number(name, given)


def _flag(name: str, given: Any) -> bool:  # noqa: ANN401
    if not isinstance(given, bool):
        raise UsageError(f"{name} is {given!r:.100}", "true or false.")
    return given


def _choice(name: str, given: Any) -> Any:  # noqa: ANN401
    kind = ENUMS[name]
    try:
        return kind(given)
    except ValueError:
        raise UsageError(
            f"{name} is {given!r}", f"One of: {', '.join(str(member) for member in kind)}."
        ) from None


def _text(name: str, given: Any) -> str:  # noqa: ANN401
    if not isinstance(given, str) or len(given) > MOST_NAMES or not given.isprintable():
        raise UsageError(f"{name} is {given!r:.100}", "A short text in quotes is needed.")
    return given


def _texts(name: str, given: Any) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(given, list | tuple) or len(given) > MOST_NAMES:
        raise UsageError(f"{name} is {given!r:.100}", f'A list is needed: {name} = ["DE", "FR"].')
    return tuple(_text(name, item) for item in given)


def _number(name: str, given: Any) -> float | int:  # noqa: ANN401
    said = f"{name} is {given!r:.100}"
    if isinstance(given, bool) or not isinstance(given, int | float) or not _finite(given):
        raise UsageError(said, f"A finite number{_unit(name)} is needed.")
    if given < 0 or (given == 0 and name not in MAY_BE_ZERO):
        what = "at least 0" if name in MAY_BE_ZERO else "above 0"
        raise UsageError(said, f"Give a number {what}, or leave {name} out.")
    if 0 < given < SMALLEST:
        raise UsageError(said, f"Give a number of at least {SMALLEST:g}, or leave {name} out.")
    if given > LARGEST:
        raise UsageError(said, f"Give a number of at most {LARGEST:g}.")
    if name in WHOLE:
        if given != int(given):
            raise UsageError(said, "A whole number is needed.")
        return int(given)
    if name in {"confidence", "utilisation"} and given > 1:
        raise UsageError(said, "A share is needed, such as 0.9.")
    if name in BETWEEN and not BETWEEN[name][0] <= given <= BETWEEN[name][1]:
        low, high, why = BETWEEN[name]
        raise UsageError(said, f"Between {low:g} and {high:g} is needed: {why}.")
    if name == "confidence" and not MIN_CONFIDENCE <= given <= MAX_CONFIDENCE:
        raise UsageError(said, f"Between {MIN_CONFIDENCE} and {MAX_CONFIDENCE} is needed.")
    return float(given)


def _finite(number: float) -> bool:
    """Of whole numbers of any length too, which ``math.isfinite`` cannot tell."""
    return -math.inf < number < math.inf


def _unit(name: str) -> str:
    """What a field counts, for whoever wrote "10 min"."""
    return next((f" of {unit}" for end, unit in UNITS.items() if name.endswith(end)), "")


UNITS = {
    "_min": "minutes",
    "_ms": "milliseconds",
    "_gb": "gigabytes",
    "_mib": "MiB",
    "usd": "USD",
    "usd_per_month": "USD",
    "_limit_kg": "kilograms",
    "_years": "years",
    "deadline_h": "hours",
    "_days": "days",
}

BETWEEN = {
    "pue": (1.0, 5.0, "a site's power over its machines'"),
    "hours_per_month": (0.0, 744.0, "a month has no more hours"),
}
"""Fields that a mistaken unit would make absurd: the least, the most, and why."""

SMALLEST, LARGEST = 1e-9, 1e18
"""Less and more samples, bytes, hours or dollars than anybody means; beyond, products overflow."""

MIN_CONFIDENCE, MAX_CONFIDENCE = 0.5, 0.99
"""1,000 draws say nothing beyond; below a half is a wish."""


def _pair(name: str, given: Any) -> tuple[float, float]:  # noqa: ANN401
    if not isinstance(given, list | tuple) or len(given) != len(("low", "high")):
        example = list(getattr(Need(), name))
        raise UsageError(f"{name} is {given!r:.100}", f"Low and high are needed: {example}.")
    low, high = (_number(name, x) for x in given)
    if low > high:
        raise UsageError(f"{name} is {given}", "The low end comes first.")
    return float(low), float(high)


def _machines(_: str, given: Any) -> tuple[OwnedMachine, ...]:  # noqa: ANN401
    if not isinstance(given, list) or len(given) > MOST_OWNED:
        raise UsageError("owned is no list of tables", "Write each as [[owned]].")
    machines = tuple(_machine(table) for table in given)
    names = [machine.name for machine in machines]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"owned: two machines have the name {twice!r}",
            "Give each its own, or say how many are alike: count.",
        )
    return machines


def _machine(table: Any) -> OwnedMachine:  # noqa: ANN401
    if not isinstance(table, dict):
        raise UsageError("owned is no list of tables", "Write each as [[owned]].")
    if "name" not in table:
        raise UsageError("owned: name is missing", "Give each machine a name.")
    known = {f.name for f in fields(OwnedMachine)}
    try:
        for name in table:
            _refuse_unknown(name, known)
        return OwnedMachine(**{name: _part(name, given) for name, given in table.items()})
    except UsageError as error:
        raise UsageError(f"owned: {error.message}", error.advice) from None


def _part(name: str, given: Any) -> Any:  # noqa: ANN401
    if name == "country":
        return _country(_text(name, given))
    texts = {"name", "accelerator", "cpu_model"}
    return _text(name, given) if name in texts else _number(name, given)


def _country(given: str) -> str:
    code = given.upper()
    if len(code) != len("DE") or not code.isalpha() or not code.isascii():
        raise UsageError(f"country is {given!r}", "A code of two letters is needed: DE.")
    return code


READERS: tuple[tuple[Collection[str], Callable[[str, Any], Any]], ...] = (
    (ENUMS, _choice),
    (TEXTS, _text),
    (LISTS, _texts),
    (PAIRS, _pair),
    (("owned",), _machines),
    (("spot",), _flag),
)
"""How each field is read; all others are numbers."""


def _refuse_contradictions(need: Need, values: Values) -> None:
    ends: tuple[str, ...] = ("deadline_h", "budget_usd", "samples", "epochs", "steps")
    if need.serving:
        out_of_place, what = ends, "a service (requests_per_s)"
    elif need.task is Task.INFERENCE:
        out_of_place, what = ("steps", "p99_ms"), "inference that ends (samples)"
    else:
        out_of_place, what = ("p99_ms",), f"task {need.task}"
    if need.serving and need.task is not Task.INFERENCE:
        raise UsageError(
            f"requests_per_s makes no sense for task {need.task}", 'Set task = "inference".'
        )
    out_of_place += tuple(OF_RUNS if need.serving else OF_SERVICES)
    for name in sorted(out_of_place):
        if name in values:
            remedy = (
                "A service runs for months: use budget_usd_per_month."
                if name == "budget_usd"
                else f"Leave {name} out."
            )
            raise UsageError(f"{name} makes no sense for {what}", remedy)
    for name in ("samples", "epochs"):
        if need.steps is not None and getattr(need, name) is not None:
            raise UsageError(f"steps and {name} both say how much work it is", "Give one of them.")


def _refuse_unsupported(need: Need) -> None:
    """What no framework of ours does, so that nobody could measure it on what is recommended."""
    if need.framework not in EXTRAS:
        raise UsageError(f"framework {need.framework!r} is unknown", f"Known: {', '.join(EXTRAS)}.")
    if need.mode is Mode.TRAINING and need.framework in INFERENCE_ONLY:
        raise UsageError(
            f"framework {need.framework} does not train", "Another framework, or task inference."
        )
    if need.precision is Precision.INT8 and need.framework not in INFERENCE_ONLY:
        raise UsageError(
            f"precision int8 is not there for {need.task} with {need.framework}",
            f"Of inference with {' or '.join(sorted(INFERENCE_ONLY))}; or another precision.",
        )
    if need.precision is Precision.INT8 and need.workload in workloads.suites()[RECURRENT]:
        raise UsageError(
            f"precision int8 is not there for {need.workload}: static quantisation knows no recurrent"
            " layers, and most of it would be float32",
            "Another precision.",
        )


RECURRENT = "recurrent"
"""The suite of these."""


LEFT_OPEN = {
    "batch_size": "the largest usual one that fits",
    "deadline_h": "none",
    "budget_usd": "none",
    "budget_usd_per_month": "none",
    "carbon_limit_kg": "none",
    "regions": "any",
    "exclude_providers": "none",
    "max_price_age_days": "any",
    "activation_mib_per_sample": "as measured or counted, else estimated from the FLOPs",
    "intensity_g_per_kwh": "the catalog's",
    "pue": "the catalog's",
    "owned": "none",
}
"""What is taken where a field has no value, which is a default too."""

OF_RUNS = frozenset({"deadline_h", "budget_usd", "runs_per_month"})
OF_SERVICES = frozenset({"hours_per_month", "max_instances"})


def _defaults(values: Values, need: Need) -> tuple[tuple[str, str], ...]:
    """Every field with a default that the need left open and that counts for it, as people read it."""
    meaningless = OF_RUNS if need.serving else OF_SERVICES
    elsewhere = {"name", "workload", *(["batch_size"] if need.steps is not None else [])}
    found = []
    for field in fields(Need):
        default = field.default
        if field.name in values or default is MISSING or field.name in elsewhere:
            continue
        text = "" if field.name in meaningless else LEFT_OPEN.get(field.name) or _plain(default)
        if text:
            found.append((field.name, text))
    return tuple(found)


OWNED_LEFT_OPEN = {
    "cpu_model": "not stated",
    "utilisation": "this need alone",
    "country": "not stated",
}


def _owned_defaults(
    tables: Sequence[Values], machines: Sequence[OwnedMachine]
) -> tuple[tuple[str, str], ...]:
    """Of each machine of one's own what was taken, by its name."""
    found = []
    for table, machine in zip(tables, machines, strict=True):
        taken = ", ".join(
            f"{field.name} {OWNED_LEFT_OPEN.get(field.name) or _plain(field.default)}"
            for field in fields(OwnedMachine)
            if field.name not in table
            and field.name != "accelerator"
            and (machine.accelerator or field.name != "accelerator_count")
        )
        found += [(f"owned {machine.name}:", taken)] if taken else []
    return tuple(found)


def _plain(default: Any) -> str:  # noqa: ANN401
    if default in (None, "", ()):
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return " to ".join(f"{x:g}" for x in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


# --- against the catalog --------------------------------------------------------------------


def check(need: Need, catalog: Catalog) -> None:
    """Names in a need must be the catalog's.

    Raises:
        UsageError: an unknown region, provider or accelerator; the nearest are told.
    """
    places = {r.region.lower() for r in catalog.regions} | {
        o.region.lower() for o in catalog.offers
    }
    places -= NOWHERE
    countries = {r.country for r in catalog.regions if r.country} | set(ZONES)
    for region in need.regions:
        if region.lower() in NOWHERE:
            raise UsageError(
                f"regions: {region!r} is nowhere that could be checked",
                "Leave regions out for any.",
            )
        if region.upper() not in countries and region.lower() not in places:
            raise UsageError(
                f"regions: {region!r} is no region or country of the catalog",
                _nearest_place(region, catalog, places),
            )
    providers = {o.provider for o in catalog.offers}
    for name in need.exclude_providers:
        if name not in providers:
            raise UsageError(
                f"exclude_providers: {name!r} is no provider of the catalog",
                f"Known: {', '.join(sorted(providers))}.",
            )
    for machine in need.owned:
        if machine.accelerator:
            _check_accelerator(machine.accelerator, catalog.accelerator(machine.accelerator))


def _check_accelerator(name: str, found: Accelerator | None) -> None:
    if found is None:
        raise UsageError(
            f"owned: accelerator {name!r} is in no table", "dlbench catalog list accelerators"
        )
    if found.kind == "cpu":
        raise UsageError(
            f"owned: accelerator {name!r} is a processor",
            f'Leave accelerator out, and write cpu_model = "{name}".',
        )


NOWHERE = frozenset({"any", "unknown"})
"""What rows of the catalog have for a place that their source does not state."""


def _nearest_place(given: str, catalog: Catalog, places: Collection[str]) -> str:
    """The code of a country that was written out, else the regions that are spelled nearly so."""
    codes = COUNTRY_WORDS | {
        r.location.lower(): r.country for r in catalog.regions if r.provider == "country"
    }
    code = codes.get(given.lower())
    if code is not None:
        return f"Countries are codes of two letters: {code}."
    near = difflib.get_close_matches(given.lower(), places, n=3)
    return f"Try {', '.join(map(repr, near))}." if near else "dlbench catalog list regions"


COUNTRY_WORDS = {"uk": "GB", "england": "GB", "usa": "US", "europe": "EU"}
"""What people write for codes; "Germany" is in the catalog's table."""


def allows(need: Need, region: str, country: str) -> bool:
    """Whether a place is in the need's regions: by its name, its country, or a zone of countries."""
    return not need.regions or any(lies_in(wanted, region, country) for wanted in need.regions)
