"""SIGKILL a running session at a random moment, resume it, and see that nothing was lost.

    python -m benchmarks.kill_resume [N]

Each session has twelve short trials on the fake framework. After the kill every trial that the journal
holds must be in the resumed session's document, unchanged, and the plan must be complete.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dlbench import session
from dlbench.core import registry
from dlbench.core.types import Absent
from dlbench.store import journal
from tests import sessions

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from tests import sessions
cases = [sessions.fake_case(n=str(i)) for i in range(3)]
profile = replace(sessions.PROFILE, looks=(4,), target_half_width=1e-9)
sessions.run(sessions.plan(cases, profile=profile), Path(sys.argv[1]))
"""

N_TRIALS = 12
LATEST_S = 1.8
"""After the journal's first line; a whole session takes about two seconds."""


def resume(path: Path) -> session.Finished:
    """Go on with a journal on the fake device."""
    devices = registry.device_kind("fake").find()
    if isinstance(devices, Absent):
        raise TypeError(devices.reason)
    return session.resume(
        path, sessions.surroundings(), devices, session.Settings(folder=path.parent)
    )


def _begun(folder: Path) -> bool:
    """Whether there is a journal with its first line: before it there is nothing to lose."""
    return any(b"\n" in path.read_bytes() for path in folder.glob("*.journal"))


def kill_and_resume(folder: Path, after_s: float) -> int | None:
    """Number of trials that the killed session had finished; None if it was done.

    Raises:
        AssertionError: a finished trial is missing or changed, or the plan is not complete.
    """
    runner = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)])
    while runner.poll() is None and not _begun(folder):
        time.sleep(0.01)
    time.sleep(after_s)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    journals = sorted(folder.glob("*.journal"))
    if not journals:
        return None
    before = journal.read_journal(journals[0])
    finished = resume(journals[0])
    trials = [t for r in finished.run.results for t in r.trials]
    if len(trials) != N_TRIALS or not all(t.outcome.ok for t in trials):
        raise AssertionError(f"{len(trials)} trials after resuming, not {N_TRIALS} good ones")
    lost = [t for t in before.trials if t not in trials]
    if lost:
        raise AssertionError(f"{len(lost)} finished trials were lost or changed")
    if journals[0].exists():
        raise AssertionError("the journal was not removed")
    return len(before.trials)


def main() -> None:
    """Kill as often as asked, and print what was found."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    generator = random.Random(2026)
    kept = []
    with tempfile.TemporaryDirectory() as root:
        for i in range(n):
            folder = Path(root) / str(i)
            folder.mkdir()
            kept.append(kill_and_resume(folder, generator.uniform(0, LATEST_S)))
    resumed = [k for k in kept if k is not None]
    print(
        f"{n} kills: {len(resumed)} hit a session in progress, with {sum(resumed)} finished trials "
        "before the kills; all were in the documents after resuming, unchanged"
    )


if __name__ == "__main__":
    main()
