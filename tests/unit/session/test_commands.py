"""Whole commands in pairs: timed from outside, ended with all they started, judged or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dlbench.core.errors import UsageError
from dlbench.session import commands
from dlbench.session.signals import StopSignal
from tests import waiting

QUICK = f"{sys.executable} -S -c pass"


def _contest(a: str, b: str, **options: object) -> commands.CommandContest:
    rules = {"most_pairs": 8, "zone": 0.02, "budget_s": None, "timeout_s": None, "seed": 1}
    return commands.run(commands.request((a, b), **{**rules, **options}))  # type: ignore[arg-type]


def test_a_slower_command_is_found() -> None:
    """Twenty milliseconds against ten times as many; a pair that the machine turns round is no harm."""
    found = _contest("sleep 0.02", "sleep 0.2", most_pairs=32)
    assert found.refusal() == ""
    assert found.judgement.verdict == "slower"
    assert found.judgement.ratio < 0.4
    assert "B is slower than A" in found.sentence()
    assert len(found.timed) == 2 * found.judgement.n >= 16
    assert {t.label for t in found.timed[::2]} == {"A", "B"}


def test_a_command_that_fails_half_of_its_pairs_gets_no_verdict(tmp_path: Path) -> None:
    """It fails every other time it is run; the sentence says how."""
    counter = tmp_path / "n"
    counter.write_text("0")
    program = tmp_path / "flaky.py"
    program.write_text(
        f"import pathlib, sys\np = pathlib.Path({str(counter)!r})\n"
        "n = int(p.read_text()) + 1\np.write_text(str(n))\nsys.exit(3 * (n % 2))\n"
    )
    found = _contest("true", f"{sys.executable} -S {program}")
    assert "pairs failed (B ended with exit code 3)" in found.refusal()
    assert found.n_lost == 3
    plain = commands.plain(found)
    assert plain["verdict"] == "no verdict"
    assert plain["ratio"] is plain["p"] is plain["interval"] is None


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """Its grandchildren are gone too, long before they would end, and the pair is lost."""
    pids = tmp_path / "pids"
    hangs = f"sh -c 'sleep 600 & echo $! >> {pids}; sleep 600'"
    found = _contest(hangs, "true", timeout_s=0.3)
    assert "took longer than 0.3 s" in found.refusal()
    grandchildren = [int(line) for line in pids.read_text().split()]
    assert grandchildren
    waiting.until(lambda: not any(waiting.lives(pid) for pid in grandchildren))


def test_a_time_budget_ends_it_with_what_is_there() -> None:
    """One pair is always run, and nothing is claimed from it."""
    found = _contest("sleep 0.1", "sleep 0.1", budget_s=0.1)
    assert len(found.pairs) == 1
    assert found.judgement.verdict == "cannot tell"
    assert "1 pair cannot show" in found.resolution_sentence()


def test_without_a_whole_pair_no_ratio_is_told() -> None:
    """A single pair, of which one half hung, was said to have a ratio of 1.000."""
    found = _contest("true", "sleep 600", timeout_s=0.1, budget_s=0.1)
    assert found.judgement.n == 0
    assert found.sentence().endswith("cannot be told: no pair was measured to its end")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("python 'x", "cannot be split"), ("no-such-program-here", "no program")],
)
def test_commands_that_make_no_sense(text: str, message: str) -> None:
    """A sentence before anything is run."""
    with pytest.raises(UsageError, match=message):
        commands.request(
            (text, "true"), most_pairs=8, zone=0.02, budget_s=None, timeout_s=None, seed=0
        )


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (40, "signal 40")])
def test_a_signal_is_told_by_its_name(number: int, name: str) -> None:
    """What ended a command stands in its sentence; not every signal has a name."""
    found = _contest("true", f"{sys.executable} -S -c 'import os; os.kill(os.getpid(), {number})'")
    assert f"was ended by {name})" in found.refusal()


def test_a_command_that_does_not_start_is_a_failure(tmp_path: Path) -> None:
    """A program without the line that names its interpreter; the kernel's reason is told."""
    program = tmp_path / "program"
    program.write_text("no interpreter is named")
    program.chmod(0o755)
    found = _contest("true", str(program))
    assert "pairs failed (B could not be started: Exec format error)" in found.refusal()
    assert found.n_lost == 3


def test_the_trace_grows_by_each_whole_pair_as_it_ends(tmp_path: Path) -> None:
    """Whatever ends the comparison later, those are kept; a lost pair leaves none."""
    kept: list[str] = []
    seen: list[int] = []
    flaky = tmp_path / "flaky.py"
    flaky.write_text(
        "import pathlib, sys\np = pathlib.Path(sys.argv[1])\nsys.exit(p.exists() or p.touch() or 0)\n"
    )
    asked = commands.request(
        (QUICK, f"{sys.executable} -S {flaky} {tmp_path / 'ran'}"),
        most_pairs=8,
        zone=0.02,
        budget_s=None,
        timeout_s=None,
        seed=1,
    )
    found = commands.run(asked, lambda *_: seen.append(len(kept)), kept.extend)
    assert seen == [2, 2, 2, 2]
    rows = [json.loads(line) for line in kept]
    assert set(rows[0]) == {"pair", "label", "t_s", "command_ms"}
    assert {(row["pair"], row["label"]) for row in rows} == {(0, "A"), (0, "B")}
    assert found.n_lost == 3


def test_a_command_that_cannot_be_ended_takes_no_verdict_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hangs in a driver when Ctrl-C comes: that was a traceback, and no journal holds the pairs."""
    left: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(commands, "_end_group", left.append)
    stop = StopSignal()
    stop.ask()
    try:
        found = commands.execute(("sleep", "60"), None, stop, pair=0, label="A")
    finally:
        stop.close()
        for process in left:
            process.kill()
            process.wait()
    assert found.failure == "could not be ended: it hangs in the kernel or the driver"
