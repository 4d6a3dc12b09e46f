"""Time two whole commands in interleaved pairs: process start to process end, nothing in between.

No shell is involved, output is thrown away, and each command runs in its own process group, which is
ended with it. A command that fails (it does not start, is too slow, or has an exit code other than 0)
makes its pair lost.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from dlbench import paired
from dlbench.core import units
from dlbench.core.errors import UsageError
from dlbench.core.types import Absent, Interval
from dlbench.measure import family
from dlbench.paired import Judgement
from dlbench.paired.standing import too_many_lost
from dlbench.session.outcomes import signal_name
from dlbench.session.signals import StopSignal, stop_on_signals

GRACE_S = 2.0
"""Between TERM and KILL for a command that is too slow or must stop."""

Label = Literal["A", "B"]
LABELS: tuple[Label, Label] = ("A", "B")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """Two commands as argument lists, and the rules of their comparison."""

    commands: tuple[tuple[str, ...], tuple[str, ...]]
    looks: tuple[int, ...]
    zone: float
    budget_s: float | None
    timeout_s: float | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One execution: when it began, how long it took, and why it failed, if it did."""

    pair: int
    label: Label
    start_s: float
    duration_s: float
    failure: str = ""


@dataclass(slots=True, kw_only=True)
class CommandContest:
    """All executions so far, and what they say."""

    request: CommandRequest
    timed: list[Timed] = field(default_factory=list)
    interrupted: bool = False
    ended: bool = False

    @property
    def pairs(self) -> dict[int, dict[Label, Timed]]:
        """Executions by pair."""
        found: dict[int, dict[Label, Timed]] = {}
        for one in self.timed:
            found.setdefault(one.pair, {})[one.label] = one
        return found

    @property
    def n_lost(self) -> int:
        """Pairs in which a command failed."""
        return sum(any(t.failure for t in pair.values()) for pair in self.pairs.values())

    @property
    def differences(self) -> list[float]:
        """ln(seconds of A / seconds of B) of each whole pair."""
        return [
            math.log(pair["A"].duration_s / pair["B"].duration_s)
            for pair in self.pairs.values()
            if len(pair) == len(LABELS) and not any(t.failure for t in pair.values())
        ]

    @property
    def judgement(self) -> Judgement:
        """What may be said so far."""
        request = self.request
        d = {"commands": self.differences}
        return paired.judge(d, request.looks, zone=request.zone, ended=self.ended)["commands"]

    def refusal(self) -> str:
        """Why there can be no verdict; empty where there can."""
        begun, lost = len(self.pairs), self.n_lost
        if not too_many_lost(lost, begun):
            return ""
        first = next(t for t in self.timed if t.failure)
        return f"{lost} of {begun} pairs failed ({first.label} {first.failure})"

    def last_pair_in_words(self, left_s: float) -> str:
        """Both times of the pair just ended, and the ratio so far."""
        number, pair = max(self.pairs.items())
        words = [f"{number + 1:>4}"]
        for label in LABELS:
            if label in pair:
                one = pair[label]
                words.append(f"{label} {one.failure or units.duration(one.duration_s)}")
        if self.differences:
            words.append(paired.so_far_in_words(self.differences, len(self.request.looks)))
        if left_s:
            words.append(f"· {units.duration(left_s)} to the next look")
        return " ".join(words)

    def sentence(self) -> str:
        """The verdict in words."""
        refusal, said = self.refusal(), self.judgement
        if refusal:
            return f"no verdict on the two commands: {refusal}"
        ratio = f"{units.ratio(said.ratio, 3)}{units.bracketed(said.interval, 3)}"
        pairs = units.counted(said.n, "pair")
        how = f"ratio of speeds {ratio} ({pairs}, p = {said.p:.2g})" if said.n else paired.NO_PAIR
        words = {
            "faster": "B is faster than A",
            "slower": "B is slower than A",
            "equivalent": f"A and B are equally fast within {100 * self.request.zone:g} %",
            "cannot tell": "whether A or B is faster cannot be told",
        }
        return f"{words[said.verdict]}: {how}"

    def resolution_sentence(self) -> str:
        """What this machine resolves with such commands."""
        return paired.resolution_in_words(self.judgement, self.request.zone)


def request(
    texts: tuple[str, str],
    *,
    most_pairs: int,
    zone: float,
    budget_s: float | None,
    timeout_s: float | None,
    seed: int,
) -> CommandRequest:
    """Two command lines, split as a shell would and checked.

    Raises:
        UsageError: a command is empty, badly quoted or not there, or there are too few pairs.
    """
    looks = paired.looks_until(most_pairs)
    if not looks:
        raise UsageError(f"{most_pairs} pairs cannot show a difference", "Give --pairs 8 or more.")
    a, b = (_split(text) for text in texts)
    return CommandRequest(
        commands=(a, b), looks=looks, zone=zone, budget_s=budget_s, timeout_s=timeout_s, seed=seed
    )


def _split(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(
            f"{text!r} cannot be split into words: {error}", "Check the quotes."
        ) from None
    if not words:
        raise UsageError("a command is empty", 'dlbench ab --command "python a.py" "python b.py"')
    if shutil.which(words[0]) is None:
        raise UsageError(f"there is no program {words[0]!r}", "No shell is used: give a program.")
    return words


def run(
    asked: CommandRequest,
    tell: Callable[[CommandContest, float], None] = lambda _found, _left: None,
    keep: Callable[[list[str]], None] = lambda _lines: None,
) -> CommandContest:
    """Run pairs until it can be told, time is up, or a stop was asked for.

    Args:
        asked: what to run.
        tell: hears of each pair and of the seconds until the next look.
        keep: gets the trace of each whole pair as soon as that has ended.
    """
    found = CommandContest(request=asked)
    began_s = time.monotonic()
    with stop_on_signals() as stop:
        number = 0
        while not stop.asked and _goes_on(found, time.monotonic() - began_s):
            _pair(found, number, stop)
            keep(trace(found, number))
            number += 1
            if not stop.asked:
                tell(found, _left_s(found, time.monotonic() - began_s))
        found.interrupted, found.ended = stop.asked, True
    return found


def _goes_on(found: CommandContest, elapsed_s: float) -> bool:
    asked, n = found.request, len(found.differences)
    if found.refusal() or n >= asked.looks[-1] or found.judgement.verdict != "cannot tell":
        return False
    begun = len(found.pairs)
    pair_s = elapsed_s / begun if begun else 0.0
    return asked.budget_s is None or not begun or elapsed_s + pair_s <= asked.budget_s


def _left_s(found: CommandContest, elapsed_s: float) -> float:
    """Until the next look, at the pace so far."""
    n = len(found.differences)
    if not _goes_on(found, elapsed_s):
        return 0.0
    look = next((x for x in found.request.looks if x > n), n)
    return (look - n) * elapsed_s / len(found.pairs)


def _pair(found: CommandContest, number: int, stop: StopSignal) -> None:
    """Both commands once, in an order drawn for this pair; the second not if the first failed."""
    lot = random.Random(f"{found.request.seed}:{number}").random()  # noqa: S311 - a lot, no secret
    order = LABELS if lot < 0.5 else LABELS[::-1]  # noqa: PLR2004 - a fair coin
    for label in order:
        words = found.request.commands[LABELS.index(label)]
        one = execute(words, found.request.timeout_s, stop, pair=number, label=label)
        if stop.asked:
            return
        found.timed.append(one)
        if one.failure:
            return


def execute(
    words: tuple[str, ...], timeout_s: float | None, stop: StopSignal, *, pair: int, label: Label
) -> Timed:
    """One execution, timed from before its start to its end."""
    start_s = time.monotonic()
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        duration_s = time.monotonic() - start_s
        failure = f"could not be started: {error.strerror}"
    else:
        why = _wait(process, timeout_s, stop)
        duration_s = time.monotonic() - start_s
        _end_group(process)
        failure = _failure(process.returncode, timeout_s if why == "timeout" else None)
    return Timed(pair=pair, label=label, start_s=start_s, duration_s=duration_s, failure=failure)


def _failure(code: int | None, timed_out_s: float | None) -> str:
    """Why an execution does not count; empty where it does."""
    if timed_out_s is not None:
        return f"took longer than {timed_out_s:g} s"
    if code is None:
        return "could not be ended: it hangs in the kernel or the driver"
    if code < 0:
        return f"was ended by {signal_name(-code)}"
    return f"ended with exit code {code}" if code else ""


def _wait(process: subprocess.Popen[bytes], timeout_s: float | None, stop: StopSignal) -> str:
    """Sleep until it has ended (``ended``), is too slow (``timeout``) or must ``stop``."""
    death_fd = family.death_fd(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(death_fd, selectors.EVENT_READ, "ended")
            selector.register(stop, selectors.EVENT_READ, "stop")
            ready = {key.data for key, _ in selector.select(timeout_s)}
    finally:
        os.close(death_fd)
    if "ended" in ready:
        process.wait()
        return "ended"
    return "stop" if ready else "timeout"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the command's process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if process.returncode is not None:
            continue
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)


# --- as data --------------------------------------------------------------------------------


def plain(found: CommandContest) -> dict[str, Any]:
    """The comparison as ``--json`` prints it."""
    refusal, said = found.refusal(), found.judgement
    bounds = said.interval
    return {
        "a": list(found.request.commands[0]),
        "b": list(found.request.commands[1]),
        "verdict": "no verdict" if refusal else said.verdict,
        "refusal": refusal or None,
        "ratio": None if refusal or not said.n else said.ratio,
        "interval": asdict(bounds) if isinstance(bounds, Interval) and not refusal else None,
        "p": None if refusal else said.p,
        "pairs": said.n,
        "pairs_begun": len(found.pairs),
        "pairs_lost": found.n_lost,
        "resolves": None if isinstance(said.resolves, Absent) else said.resolves,
        "zone": found.request.zone,
        "interrupted": found.interrupted,
        "sentence": found.sentence(),
        "seconds": [asdict(one) for one in found.timed],
    }


def trace(found: CommandContest, number: int) -> list[str]:
    """A whole pair as two JSON lines, as benchmarks/aa_replay.py reads them; none of a lost one."""
    pair = found.pairs.get(number, {})
    if len(pair) < len(LABELS) or any(t.failure for t in pair.values()):
        return []
    lines = []
    for one in pair.values():
        values = {"warm": [], "values": [1e3 * one.duration_s]}
        row = {"pair": one.pair, "label": one.label, "t_s": one.start_s - found.timed[0].start_s}
        lines.append(json.dumps({**row, "command_ms": values}))
    return lines
