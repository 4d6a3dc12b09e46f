"""RAPL: the energy counters of the processor's packages, as the kernel's powercap shows them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dlbench.core.reasons import Reason
from dlbench.core.trial_energy import COUNTER
from dlbench.core.types import Absent, Reading

POWERCAP_VARIABLE = "DLBENCH_POWERCAP_ROOT"
"""Another folder than /sys/class/powercap, for tests."""

MOST_PACKAGE_W = 2000.0
"""No package draws more: a counter that would have needed more did not wrap, it was reset."""


X86 = ("x86_64", "amd64", "i386", "i586", "i686")
"""What machines with RAPL are called by their kernels."""


def powercap_root() -> Path:
    """Where the kernel shows RAPL."""
    return Path(os.environ.get(POWERCAP_VARIABLE, "/sys/class/powercap"))


def unwrap_j(before_j: float, after_j: float, range_j: float) -> float:
    """Joules between two reads of a counter that starts again at 0 beyond ``range_j``.

    Exact if it wrapped at most once in between, which at ``MOST_PACKAGE_W`` holds for half a minute
    on the smallest range that processors have (65 kJ); ``RaplMeter`` vouches for no longer gap.
    """
    return after_j - before_j + (range_j if after_j < before_j else 0.0)


def package_zones(root: Path) -> list[Path] | Absent:
    """The folders of RAPL's packages, or why there are none.

    Sub-zones (core, uncore) are parts of their package, ``intel-rapl-mmio`` shows the same packages
    a second time, and ``psys`` holds them all: only packages are read.
    """
    zones = [
        zone for zone in sorted(root.glob("intel-rapl:*")) if zone_name(zone).startswith("package")
    ]
    if zones:
        return zones
    if platform.machine().lower() not in X86:
        return Absent(
            reason=f"RAPL is of Intel's and AMD's processors, and this is one of {platform.machine()}",
            code=Reason.NO_RAPL,
        )
    return Absent(
        reason="no RAPL package in the powercap interface (a virtual machine, or no driver)"
        if root.is_dir()
        else "no RAPL interface (a virtual machine, or no powercap driver)",
        remedy="On real hardware: sudo modprobe intel_rapl_msr.",
        code=Reason.NO_RAPL,
    )


def zone_name(zone: Path) -> str:
    """``package-0``; the folder's own name where the zone does not say."""
    try:
        return (zone / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return zone.name


class RaplMeter:
    """The energy counter of each package, continued through its wraps: it never runs backwards.

    It must be read while work lasts, and not at its ends alone: at 100 W a range of 65 kJ is over in
    eleven minutes, and how often nobody can tell afterwards.
    """

    wraps = True

    def __init__(
        self, root: Path, clock: Callable[[], float] = time.monotonic, prefix: str = "rapl"
    ) -> None:
        self._root = root
        self._clock = clock
        self._prefix = prefix
        self._packages: dict[Path, _Package] = {}

    def read(self) -> Sequence[Reading]:
        """One reading a package, or one that says what is missing."""
        zones = package_zones(self._root)
        if isinstance(zones, Absent):
            return (_reading(self._prefix, self._clock(), zones),)
        return tuple(self._read_package(zone) for zone in zones)

    def _read_package(self, zone: Path) -> Reading:
        package = self._packages.setdefault(zone, _Package(zone))
        now_s = self._clock()
        return _reading(f"{self._prefix}:{zone_name(zone)}", now_s, package.counter_j(now_s))


class _Package:
    """One counter, followed through its wraps; whole microjoules, so that sums stay exact."""

    def __init__(self, zone: Path) -> None:
        self._zone = zone
        self._wrapped_uj = 0
        self._last: tuple[float, int] | None = None
        self._reset: Absent | None = None

    def counter_j(self, now_s: float) -> float | Absent:
        raw = _raw_uj(self._zone)
        if isinstance(raw, Absent):
            return raw
        counter_uj, range_uj = raw
        last_s, last_uj = self._last or (now_s, counter_uj)
        if range_uj / 1e6 < MOST_PACKAGE_W * (now_s - last_s):
            self._reset = Absent(
                reason=f"the RAPL counter was not read for {now_s - last_s:.0f} s, in which it may "
                "have started again at 0 more than once",
                code=Reason.COUNTER_RESET,
            )
        elif counter_uj < last_uj:
            step_j = unwrap_j(last_uj / 1e6, counter_uj / 1e6, range_uj / 1e6)
            if step_j > MOST_PACKAGE_W * (now_s - last_s):
                self._reset = Absent(
                    reason="the RAPL counter was reset while it was read", code=Reason.COUNTER_RESET
                )
            self._wrapped_uj += range_uj
        self._last = (now_s, counter_uj)
        return self._reset or (self._wrapped_uj + counter_uj) / 1e6


def _raw_uj(zone: Path) -> tuple[int, int] | Absent:
    """A counter and its range in microjoules, as the kernel states them."""
    try:
        counter_uj = int((zone / "energy_uj").read_text(encoding="utf-8"))
        range_uj = int((zone / "max_energy_range_uj").read_text(encoding="utf-8"))
    except PermissionError:
        return Absent(
            reason="RAPL may be read by root only (Linux 5.10 and later)",
            remedy=f"sudo chmod a+r {zone}/energy_uj",
            code=Reason.RAPL_PERMISSION,
        )
    except (OSError, ValueError) as error:
        return Absent(reason=f"RAPL cannot be read: {error}", code=Reason.RAPL_MALFORMED)
    if not 0 <= counter_uj <= range_uj or range_uj == 0:
        return Absent(
            reason=f"RAPL states {counter_uj} of a range of {range_uj} uJ, which cannot be",
            code=Reason.RAPL_MALFORMED,
        )
    return counter_uj, range_uj


def _reading(source: str, t_s: float, value: float | Absent) -> Reading:
    return Reading(t_s=t_s, source=source, quantity=COUNTER, value=value)
