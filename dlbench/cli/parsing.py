"""What commands have in common: words of the command line as values, and the devices they name."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from dlbench.core import registry
from dlbench.core.errors import UsageError
from dlbench.core.types import Absent, DeviceInfo, Plan, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dlbench.plan import Machine

Choice = TypeVar("Choice", bound=StrEnum)

TIME_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}

MOST_TIMEOUT_S = 7 * 24 * 3600
"""A week. The kernel counts the milliseconds of a wait in 32 bits: 24 days are its most."""


def listed(given: list[str] | None) -> tuple[str, ...]:
    """Repeats and commas alike, each once, in the order given."""
    words = [word.strip() for text in given or () for word in text.split(",")]
    return tuple(dict.fromkeys(word for word in words if word))


def choices(kind: type[Choice], given: list[str] | None, option: str) -> tuple[Choice, ...]:
    """The members of an enumeration that are named.

    Raises:
        UsageError: a word is none of them.
    """
    found = []
    for word in listed(given):
        try:
            found.append(kind(word))
        except ValueError:
            known = ", ".join(kind)
            raise UsageError(f"{option} {word!r} is not known", f"Known: {known}.") from None
    return tuple(found)


def whole_numbers(given: list[str] | None, option: str) -> tuple[int, ...]:
    """Whole numbers.

    Raises:
        UsageError: a word is none.
    """
    found = []
    for word in listed(given):
        try:
            found.append(int(word))
        except ValueError:
            raise UsageError(f"{option} {word!r} is not a whole number", f"{option} 8") from None
    return tuple(found)


def pairs(given: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Each ``NAME=VALUE`` as a pair.

    Raises:
        UsageError: a word has no ``=``.
    """
    found = []
    for text in given or ():
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--option {text!r} has no value", "--option NAME=VALUE")
        found.append((name.strip(), value.strip()))
    return tuple(found)


RESUMED = ("with --resume: it stands in the journal", "Leave it out, or start a new run.")


def refuse(given: Mapping[str, object], where: str, advice: str) -> None:
    """See that nothing was given that means nothing here: none would tell that it was passed over.

    Raises:
        UsageError: something was.
    """
    meant = [option for option, value in given.items() if value]
    if meant:
        verb = "have" if len(meant) > 1 else "has"
        raise UsageError(f"{' and '.join(meant)} {verb} no meaning {where}", advice)


def seconds(text: str | None) -> float | None:
    """A span such as 90s, 10m or 2h, in seconds.

    Raises:
        UsageError: it is none: no number, none above 0, or without end.
    """
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in TIME_UNITS_S else (text, "s")
    try:
        span_s = float(number) * TIME_UNITS_S[unit]
    except ValueError:
        span_s = math.nan
    if not 0 < span_s < math.inf:
        raise UsageError(f"--time-budget {text!r} is not a time", "Write 90s, 10m or 2h.")
    return span_s


def timeout(given_s: float | None, option: str) -> float | None:
    """Seconds after which something silent is ended, if any were given.

    Raises:
        UsageError: nothing can be waited for so long: none or less, no number, or over a week.
    """
    if given_s is not None and not 0 < given_s <= MOST_TIMEOUT_S:
        raise UsageError(
            f"{option} {given_s:g} is out of range",
            f"More than 0 and up to {MOST_TIMEOUT_S:,} seconds: {option} 300",
        )
    return given_s


def asks_for_fake(selection: Selection) -> bool:
    """Whether the pretended framework or device was asked for by name."""
    return registry.FAKE in (*selection.frameworks, *selection.devices)


def find_devices(*, fake: bool) -> tuple[tuple[DeviceInfo, ...], dict[str, Absent]]:
    """What is on this machine; the fake device only if it was asked for."""
    from dlbench import environment as environments

    devices, absent = environments.find_devices()
    pretended = registry.device_kind(registry.FAKE).find() if fake else ()
    if not isinstance(pretended, Absent):
        devices += pretended
    return devices, absent


def this_machine(*, fake: bool, threads: int | None, workload_folder: Path | None) -> Machine:
    """This machine as a plan sees it; ``threads`` are those asked for, if any."""
    from dlbench import environment as environments
    from dlbench.plan import Machine

    devices, absent = find_devices(fake=fake)
    return Machine(
        devices=devices,
        absent_devices=absent,
        threads=environments.usable_threads(threads),
        workload_folder=workload_folder,
    )


def used(plan: Plan, devices: Sequence[DeviceInfo]) -> tuple[list[DeviceInfo], list[str]]:
    """The devices and the frameworks that a plan measures: they make its environment."""
    ids = {case.device for case in plan.cases}
    frameworks = sorted({case.framework for case in plan.cases})
    return [device for device in devices if device.id in ids], frameworks
