"""Closed forms of a device's power, read from the trace files that ``replay.c`` reads too.

idle 60000                    milliwatts while there is no load
load constant 250000          and under load, by the time since it began; one of
     ramp FROM TO MS               held at TO after MS
     sine MEAN AMPLITUDE PERIOD_MS
     square LOW HIGH PERIOD_MS     half a period low, half a period high
     bursts LOW HIGH PERIOD_MS ON_MS
     walk SEED LOW HIGH STEP_MS    a random walk, reflected by nobody: it stays at its bounds
period 100                    the counter's, in milliseconds; 0 moves at each read
phase 30                      milliseconds by which its ticks are early
refresh 100                   the power sensor's, in milliseconds
average 1000                  milliseconds that a power reading is the mean of; 0 is now
on FROM TO                    seconds: under load; without it a test says when
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "traces"


@dataclass(slots=True, kw_only=True)
class Trace:
    """Power as a function of time, its exact integral, and what the device's sensors show of it."""

    idle_w: float
    load: tuple[str, ...]
    period_s: float = 0.0
    phase_s: float = 0.0
    refresh_s: float = 0.0
    average_s: float = 0.0
    spans: list[list[float]] = field(default_factory=list)
    _steps_w: list[float] = field(default_factory=list)
    _sums_j: list[float] = field(default_factory=list)
    _walk_state: int = 0

    def set_load(self, on: bool, t_s: float) -> None:
        """Load begins or ends now."""
        if on:
            self.spans.append([t_s, math.inf])
        else:
            self.spans[-1][1] = t_s

    def energy_j(self, t_s: float) -> float:
        """Joules since time 0, exactly."""
        busy_s = loaded_j = 0.0
        for start_s, end_s in self.spans:
            if t_s > start_s:
                inside_s = min(t_s, end_s) - start_s
                busy_s += inside_s
                loaded_j += self.load_j(inside_s)
        return self.idle_w * (t_s - busy_s) + loaded_j

    def power_w(self, t_s: float) -> float:
        """Watts at a moment."""
        for start_s, end_s in self.spans:
            if start_s <= t_s < end_s:
                return self.load_w(t_s - start_s)
        return self.idle_w

    def counter_j(self, t_s: float) -> float:
        """What an energy counter shows: the energy at its last tick, in whole millijoules."""
        seen_s = t_s
        if self.period_s:
            seen_s = math.floor((t_s + self.phase_s) / self.period_s + 1e-9) * self.period_s
            seen_s = max(0.0, seen_s - self.phase_s)
        return math.floor(self.energy_j(seen_s) * 1000 + 0.5) / 1000

    def sensor_w(self, t_s: float) -> float:
        """What a power sensor shows: power at its last refresh, or the mean before it."""
        seen_s = t_s
        if self.refresh_s:
            seen_s = math.floor(t_s / self.refresh_s + 1e-9) * self.refresh_s
        if not self.average_s:
            return self.power_w(seen_s)
        since_s = max(0.0, seen_s - self.average_s)
        if seen_s == since_s:
            return self.idle_w
        return (self.energy_j(seen_s) - self.energy_j(since_s)) / (seen_s - since_s)

    def load_w(self, tau_s: float) -> float:
        """Watts under load, ``tau_s`` after it began."""
        kind, *rest = self.load
        n = [float(x) for x in rest]
        if kind == "constant":
            return n[0] / 1e3
        if kind == "ramp":
            return (n[0] + (n[1] - n[0]) * min(1.0, tau_s * 1e3 / n[2])) / 1e3
        if kind == "sine":
            return (n[0] + n[1] * math.sin(2 * math.pi * tau_s * 1e3 / n[2])) / 1e3
        if kind == "square":
            return (n[0] if math.fmod(tau_s * 1e3, n[2]) < n[2] / 2 else n[1]) / 1e3
        if kind == "bursts":
            return (n[1] if math.fmod(tau_s * 1e3, n[2]) < n[3] else n[0]) / 1e3
        return self._walk_w(int(tau_s * 1e3 / n[3] + 1e-9))

    def load_j(self, tau_s: float) -> float:
        """Joules under load, from its beginning."""
        kind, *rest = self.load
        n = [float(x) for x in rest]
        if kind == "constant":
            return n[0] / 1e3 * tau_s
        if kind == "ramp":
            rising_s = min(tau_s, n[2] / 1e3)
            slope = (n[1] - n[0]) / n[2]
            return n[0] / 1e3 * rising_s + slope * rising_s**2 / 2 + n[1] / 1e3 * (tau_s - rising_s)
        if kind == "sine":
            omega = 2 * math.pi / (n[2] / 1e3)
            return n[0] / 1e3 * tau_s + n[1] / 1e3 * (1 - math.cos(omega * tau_s)) / omega
        if kind in ("square", "bursts"):
            period_s = n[2] / 1e3
            first_s = n[3] / 1e3 if kind == "bursts" else period_s / 2
            first_w, then_w = (n[1], n[0]) if kind == "bursts" else (n[0], n[1])
            whole = math.floor(tau_s / period_s)
            rest_s = tau_s - whole * period_s
            first_total_s = whole * first_s + min(rest_s, first_s)
            return first_w / 1e3 * first_total_s + then_w / 1e3 * (tau_s - first_total_s)
        step_s = n[3] / 1e3
        whole = int(tau_s / step_s + 1e-9)
        before_j = self._walk_sum_j(whole, step_s)
        return before_j + self._walk_w(whole) * (tau_s - whole * step_s)

    def _walk_w(self, step: int) -> float:
        """The level of a random walk's step; the generator is that of the C standard's example."""
        seed, low, high = (float(x) for x in self.load[1:4])
        if not self._steps_w:
            self._walk_state = int(seed)
            self._steps_w.append((low + high) / 2 / 1e3)
        while len(self._steps_w) <= step:
            self._walk_state = (self._walk_state * 1103515245 + 12345) % 2**31
            move = ((self._walk_state >> 16) % 2001 - 1000) / 1000 * (high - low) / 10 / 1e3
            self._steps_w.append(min(high / 1e3, max(low / 1e3, self._steps_w[-1] + move)))
        return self._steps_w[step]

    def _walk_sum_j(self, n_steps: int, step_s: float) -> float:
        if not self._sums_j:
            self._sums_j.append(0.0)
        while len(self._sums_j) <= n_steps:
            self._sums_j.append(self._sums_j[-1] + self._walk_w(len(self._sums_j) - 1) * step_s)
        return self._sums_j[n_steps]


def read(path: Path) -> Trace:
    """A trace file."""
    words = [line.partition("#")[0].split() for line in path.read_text().splitlines()]
    return parse([w for w in words if w])


def parse(statements: list[list[str]]) -> Trace:
    """A trace from its statements, each a list of words."""
    trace = Trace(idle_w=0.0, load=("constant", "0"))
    for name, *values in statements:
        if name == "load":
            trace.load = tuple(values)
        elif name == "idle":
            trace.idle_w = float(values[0]) / 1e3
        elif name == "on":
            trace.spans.append([float(values[0]), float(values[1])])
        else:
            setattr(trace, f"{name}_s", float(values[0]) / 1e3)
    return trace
