"""Which accelerator a seller means: names collapse, memory and form factor tell them apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dlbench.core.catalog import Accelerator, Catalog, spelled
from dlbench.core.types import Absent

MEMORY_TOLERANCE = 0.12
"""Sellers round: B300 is 262 GiB here and 288 GB there. A 48 GB card is never one of 24."""

FAMILY = re.compile(r"(?<![A-Z0-9])(A100|H100|H200|V100|P100)(?![0-9])", re.IGNORECASE)
"""Names that sellers use for several devices of different memory and form."""

FORMS = {"sxm": "SXM", "pcie": "PCIE", "nvl(?!ink)": "NVL"}
"""Patterns of what sellers write, and the mark in our names; an NVLink joins cards of any form."""


def of_types(catalog: Catalog, seller: str) -> dict[str, Accelerator]:
    """The accelerators of a seller's types, in small letters, that the catalog has with one alone."""
    found: dict[str, set[str | None]] = {}
    for offer in catalog.offers:
        if offer.provider == seller:
            found.setdefault(offer.instance_type.lower(), set()).add(offer.accelerator)
    one = {kind: name for kind, (name, *more) in found.items() if name and not more}
    return {kind: d for kind, name in one.items() if (d := catalog.accelerator(name))}


def resolve(
    catalog: Catalog,
    name: str,
    hints: Sequence[str],
    memory_gib: float | None,
    known: Accelerator | None = None,
) -> tuple[Accelerator | None, str]:
    """The device of a seller's name, with a remark or, if there is none, the reason why.

    ``hints`` are other strings of the row (its type, its GPU's name) in which the form factor may
    stand; where it does not, ``known``, which the catalog has for that type, is believed if name and
    memory allow it.
    """
    base = FAMILY.search(name.replace("_", " "))
    named = catalog.accelerator(name) or (catalog.accelerator(base[1]) if base else None)
    siblings = (_family(catalog, base[1]) if base else []) or ([named] if named else [])
    if not siblings:
        return None, f"accelerator {name!r} is in no table"
    fitting = [d for d in siblings if memory_gib is None or _fits(d, memory_gib)]
    if not fitting:
        return None, f"{name!r} with {memory_gib:.0f} GiB is not the {siblings[0].name} we know"
    formed = _of_form(fitting, [name, *hints])
    if formed:
        return _preferred(formed, named), ""
    bare = base is not None and spelled(base[1]) == spelled(name)
    one = len(fitting) == 1
    if known in fitting and (bare or memory_gib is not None or _alike(known, named)):
        # Some of the catalog's own are inferred: the remark stays one.
        return known, "" if one else "form factor as the catalog has it"
    remark = "" if one else "form factor not stated"
    return _preferred(fitting, named), remark


def _family(catalog: Catalog, base: str) -> list[Accelerator]:
    return [d for d in catalog.accelerators if spelled(d.name).startswith(spelled(base))]


def _fits(device: Accelerator, memory_gib: float) -> bool:
    known = device.memory_gib
    return isinstance(known, Absent) or abs(memory_gib / known - 1) <= MEMORY_TOLERANCE


def _alike(known: Accelerator, named: Accelerator | None) -> bool:
    """Whether a name that says how much memory there is says as much as is known."""
    size = known.memory_gib
    return named is not None and not isinstance(size, Absent) and _fits(named, size)


def _of_form(devices: list[Accelerator], texts: Sequence[str]) -> list[Accelerator]:
    text = " ".join(texts).lower()
    wanted = [mark for pattern, mark in FORMS.items() if re.search(pattern, text)]
    return [d for d in devices if any(mark in d.name.upper() for mark in wanted)]


def _preferred(devices: list[Accelerator], named: Accelerator | None) -> Accelerator:
    return named if named is not None and named in devices else devices[0]
