"""Numbers as people read them. Used at the edge only: inside, everything is SI and unrounded."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

from dlbench.core.types import Absent, Interval

MIB = 1024 * 1024
"""Bytes in a mebibyte, the unit of every quantity that ends in ``_mib``."""

UNLIMITED = "unlimited"
"""What is said of an end of a range that there is none of."""

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float, digits: int = 3) -> str:
    """A number with that many significant digits and no exponent: 31.2, 1,280, 0.00421."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")  # 9.9996 with four digits is 10.00, not 10.000
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{decimals}f}"


def few_zeros(value: float, digits: int = 3) -> str:
    """As ``significant``, but below a ten-thousandth with an exponent: 0.00421, 1.34e-5."""
    if value == 0 or abs(value) >= COUNTED:
        return significant(value, digits)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


COUNTED = 1e-4
"""Four zeros are seen at a glance, more have to be counted."""


def compact(value: float, digits: int = 3) -> str:
    """As ``few_zeros``, without zeros behind the point: 31.2, 13,200, 1, 0.5; for sentences."""
    if not math.isfinite(value):
        return UNLIMITED
    number, e, exponent = few_zeros(value, digits).partition("e")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + e + exponent


def at_least(value: float, digits: int = 3) -> str:
    """As ``compact``, rounded up: whoever is told that so much is needed, and gives it, has enough."""
    if value == 0 or not math.isfinite(value):
        return compact(value, digits)
    exact = Decimal(f"{value:.12g}")  # a product of 2,400.0000000000005 is no cent more
    last = Decimal(1).scaleb(min(0, exact.adjusted() + 1 - digits))
    return compact(float(exact.quantize(last, rounding=ROUND_CEILING)), digits)


def dollars(value: float) -> str:
    """An amount without its currency: cents where they matter; less than one is not nothing."""
    if 0 < abs(value) < CENT:
        return few_zeros(value, 2)
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - cents no longer matter


CENT = 0.01


def duration(seconds: float) -> str:
    """A span of time in the unit that suits it: 850 us, 12.3 ms, 4.56 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 1e-3:  # noqa: PLR2004 - the names of the units say it
        return f"{significant(seconds * 1e6)} us"
    if seconds < 1:
        return f"{significant(seconds * 1e3)} ms"
    if seconds < 60:  # noqa: PLR2004
        return f"{significant(seconds)} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest_s:02d} s"
    hours, rest_min = divmod(minutes, 60)
    return f"{hours} h {rest_min:02d} min"


def in_utf8(text: str) -> str:
    r"""Text that UTF-8 can hold: of bytes that are none, a lone surrogate in Python, ``\udce9``."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def counted(n: int, word: str) -> str:
    """A number of things: 1 case, 1,280 cases."""
    return f"{n:,} {word}{'s' * (n != 1)}"


def percent(share: float) -> str:
    """A share with two significant digits: 0.66 %, 3.1 %, 120 %."""
    return f"{significant(100 * share, 2)} %"


def ratio(value: float, decimals: int) -> str:
    """A ratio with so many decimals; one that had a single digit left or none has two: 1.02, 0.0033."""
    if abs(value) < 10 ** (1 - decimals):
        return few_zeros(value, 2)
    return f"{value:.{decimals}f}"


def bracketed(interval: Interval | Absent | None, decimals: int) -> str:
    """An interval behind its number, `` [0.98, 1.02]``; nothing where there is none."""
    if not isinstance(interval, Interval):
        return ""
    return f" [{ratio(interval.low, decimals)}, {ratio(interval.high, decimals)}]"


def scaled(value: float, unit: str) -> str:
    """A large number with a decimal prefix: 8.18 GFLOP, 25.6 M."""
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor:
            return f"{significant(value / factor)} {prefix}{unit}"
    return f"{significant(value)} {unit}".rstrip()
