"""The most arithmetic and memory traffic a machine was seen to do, and where under both a case is.

Data sheets promise peaks that no program reaches; a matrix product that ran in the same session is a
ceiling that can be reached, because it was.

    FLOP/s                   A roofline (Williams, Waterman, Patterson 2009) of measured ceilings. How
      |     ___________      high a case is was measured. How many bytes of memory it moves was not,
      |    /o------          so its place along x is not known, but for the least: left of the slope
      |   /                  it would move more than the memory can. It is somewhere on a line.
      |  /o--------
      |_/______________ FLOP/byte
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dlbench.analysis.rows import Row
from dlbench.core.stats import LEVEL
from dlbench.core.types import Absent, Estimated, Interval, Measured

MICRO = ("gemm", "conv2d")
"""The workloads whose arithmetic is a ceiling for all others, in their full variant: another one is
bound by something else."""

TRIAD = "memory_bandwidth"
"""The workload whose traffic is the ceiling of memory."""

BYTES_PER_GB = 1e9

Key = tuple[str, str, str, str]
"""Machine, device, the device's own name and precision: two machines of one name may differ in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The fastest micro workload of a machine, device and precision, in FLOP/s or GB/s."""

    machine: str
    device: str
    device_name: str
    precision: str
    workload: str
    framework: str
    value: Measured

    @property
    def key(self) -> Key:
        """What it is the ceiling of."""
        return self.machine, self.device, self.device_name, self.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Both ceilings of a machine, device and precision."""

    arithmetic: Ceiling
    memory: Ceiling

    @property
    def flops_per_s(self) -> float:
        """The height of the flat part."""
        return self.arithmetic.value.value

    @property
    def bytes_per_s(self) -> float:
        """The steepness of the slope."""
        return self.memory.value.value * BYTES_PER_GB

    @property
    def ridge_flop_per_byte(self) -> float:
        """Where the two meet: with fewer operations a byte, memory is the lower ceiling."""
        return self.flops_per_s / self.bytes_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A case under a roofline. ``exact``: its bytes are known; else ``flop_per_byte`` is the least."""

    flops_per_s: float
    flop_per_byte: float
    exact: bool


def key(row: Row) -> Key:
    """What a ceiling is of."""
    return row.machine, row.case.device, row.device_name, str(row.case.precision)


def named(of: Key, among: Iterable[Key]) -> str:
    """The machine of a key; with its device's own name where one of its name has another device."""
    machine, device, name, _ = of
    names = {key[2] for key in among if key[:2] == (machine, device)}
    return f"{machine} ({name})" if names - {name} else machine


def find(rows: Sequence[Row]) -> dict[Key, Ceiling]:
    """The most FLOP/s of each machine, device and precision."""
    micro = [r for r in rows if r.case.workload in MICRO and r.case.variant == "full"]
    return _highest(micro, "flops_per_s")


def rooflines(rows: Sequence[Row]) -> dict[Key, Roofline]:
    """The roofline of each machine, device and precision that has both ceilings.

    Bytes a second are the same in every precision, and the triad counts what each of them moves: so the
    fastest on a machine and device is the ceiling for all of its precisions.
    """
    triads = [row for row in rows if row.case.workload == TRIAD and row.case.variant == "full"]
    memory: dict[tuple[str, str, str], Ceiling] = {}
    for of, found in _highest(triads, "bandwidth_gb_per_s").items():
        best = memory.setdefault(of[:3], found)
        if found.value.value > best.value.value:
            memory[of[:3]] = found
    return {
        of: Roofline(arithmetic=top, memory=memory[of[:3]])
        for of, top in find(rows).items()
        if of[:3] in memory
    }


def _highest(rows: Sequence[Row], name: str) -> dict[Key, Ceiling]:
    found: dict[Key, Ceiling] = {}
    for row in rows:
        value = row.metrics[name]
        if not isinstance(value, Measured):
            continue
        best = found.get(key(row))
        if best is None or value.value > best.value.value:
            machine, device, device_name, precision = key(row)
            found[key(row)] = Ceiling(
                machine=machine,
                device=device,
                device_name=device_name,
                precision=precision,
                workload=row.case.workload,
                framework=row.case.framework,
                value=value,
            )
    return found


def place(row: Row, roofline: Roofline) -> Place | Absent:
    """Where a case is: as high as its FLOP/s, and no further left than all traffic there is allows."""
    done, moved = row.metrics["flops_per_s"], row.metrics["bandwidth_gb_per_s"]
    if isinstance(done, Absent):
        return done
    exact = not isinstance(moved, Absent)
    bytes_per_s = roofline.bytes_per_s if isinstance(moved, Absent) else moved.value * BYTES_PER_GB
    return Place(flops_per_s=done.value, flop_per_byte=done.value / bytes_per_s, exact=exact)


def share(row: Row, ceilings: Mapping[Key, Ceiling]) -> Estimated | Absent:
    """FLOP/s over the ceiling's, with the widest bounds that both intervals allow."""
    value = row.metrics["flops_per_s"]
    if isinstance(value, Absent):
        return value
    top = ceilings.get(key(row))
    if top is None:
        return Absent(
            reason=f"no ceiling was measured on {row.case.device} in {row.case.precision}",
            remedy=f"dlbench run {MICRO[0]} --device {row.case.device}",
        )
    low, high = _bounds(value)
    top_low, top_high = _bounds(top.value)
    return Estimated(
        value=value.value / top.value.value,
        interval=Interval(low=low / top_high, high=high / top_low, level=LEVEL),
        method="the model's FLOPs over a micro workload's, both from the host clock",
        from_=(f"{top.workload} {top.framework}",),
    )


def _bounds(value: Measured | Estimated) -> tuple[float, float]:
    if value.interval is None:
        return value.value, value.value
    return value.interval.low, value.interval.high
