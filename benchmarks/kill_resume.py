"""SIGKILL a session again and again, resume it each time, and see that nothing was ever lost.

    python -m benchmarks.kill_resume [N]

Each session has eighteen short trials on the fake framework. It is killed when its journal holds no
trial, resumed, killed when it holds one, and so on, each time a random part of a trial later.
Every trial that the journal held must be in the document, unchanged, and the plan must be complete.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dlbench import session
from dlbench.core import registry
from dlbench.core.types import Absent, Trial
from dlbench.store import journal
from tests import sessions, waiting

BEGIN = """
import sys
from dataclasses import replace
from pathlib import Path
from tests import sessions
cases = [sessions.fake_case(n=str(i)) for i in range(3)]
profile = replace(sessions.PROFILE, looks=(6,), target_half_width=1e-9)
sessions.run(sessions.plan(cases, profile=profile), Path(sys.argv[1]))
"""

GO_ON = """
import sys
from pathlib import Path
from benchmarks import kill_resume
kill_resume.resume(next(Path(sys.argv[1]).glob("*.journal")))
"""

N_TRIALS = 18
MOST_KILLS = 12
"""Of one session: the last comes after eleven trials or some more, and finds one under way."""

LATEST_S = 0.2
"""After a worker was started; a trial takes about as long."""


def resume(path: Path, observer: session.Observer | None = None) -> session.Finished:
    """Go on with a journal on the fake device."""
    devices = registry.device_kind("fake").find()
    if isinstance(devices, Absent):
        raise TypeError(devices.reason)
    settings = session.Settings(folder=path.parent)
    return session.resume(path, sessions.surroundings(), devices, settings, observer)


def _trials(folder: Path) -> tuple[Trial, ...] | None:
    """What the journal holds; None before its first line and after its last, when there is none."""
    for path in folder.glob("*.journal"):
        if b"\n" in path.read_bytes():
            return journal.read_journal(path).trials
    return None


def _kill(folder: Path, program: str, n_trials: int, after_s: float) -> tuple[Trial, ...]:
    """Run a program until there are so many trials, kill it in one, and say what the journal holds."""
    with subprocess.Popen([sys.executable, "-c", program, str(folder)]) as runner:
        try:
            waiting.until(lambda: len(_trials(folder) or ()) >= n_trials)
            waiting.child(runner.pid, "dlbench.worker")
            time.sleep(after_s)
        finally:
            runner.kill()
    kept = _trials(folder)
    if kept is None:
        raise AssertionError(f"the session ended before it was killed, at trial {n_trials}")
    return kept


def kill_and_resume(folder: Path, delays_s: Sequence[float]) -> int:
    """Kill a session at each delay, one trial further each time; how many it had finished at last.

    Raises:
        AssertionError: a finished trial is missing or changed, or the plan is not complete.
    """
    kept: list[tuple[Trial, ...]] = []
    for i, delay_s in enumerate(delays_s):
        kept.append(_kill(folder, GO_ON if i else BEGIN, i, delay_s))
    (path,) = folder.glob("*.journal")
    finished = resume(path)
    trials = [t for r in finished.run.results for t in r.trials]
    if len(trials) != N_TRIALS or not all(t.outcome.ok for t in trials):
        raise AssertionError(f"{len(trials)} trials after resuming, not {N_TRIALS} good ones")
    lost = [t for before in kept for t in before if t not in trials]
    if lost:
        raise AssertionError(f"{len(lost)} finished trials were lost or changed")
    if path.exists():
        raise AssertionError("the journal was not removed")
    return len(kept[-1])


def main() -> None:
    """Kill as often as asked, and print what was found."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    generator = random.Random(2026)
    delays_s = [generator.uniform(0, LATEST_S) for _ in range(n)]
    sessions_of = [delays_s[i : i + MOST_KILLS] for i in range(0, n, MOST_KILLS)]
    kept = []
    with tempfile.TemporaryDirectory() as root:
        for i, own in enumerate(sessions_of):
            folder = Path(root) / str(i)
            folder.mkdir()
            kept.append(kill_and_resume(folder, own))
    print(
        f"{n} kills of {len(kept)} sessions in progress, the last of each after "
        f"{min(kept)} to {max(kept)} finished trials; all that ever were in a journal were in the "
        "documents after resuming, unchanged"
    )


if __name__ == "__main__":
    main()
