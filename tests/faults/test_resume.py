"""Whatever ends a session, no finished trial is lost, and resuming completes the same plan."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kill_resume import LATEST_S, MOST_KILLS, N_TRIALS, kill_and_resume, resume
from dlbench import environment, session
from dlbench.analysis import check
from dlbench.cli.run import exit_code
from dlbench.core.errors import DocumentError, GateError
from dlbench.core.metrics import seconds_per_sample
from dlbench.core.types import Outcome, OutcomeKind, Plan, Run, Skip, Trial
from dlbench.measure import energy
from dlbench.store import journal, runs
from tests import builders, sessions, waiting


def _barely_begun(results: Path, plan: Plan, trials: Sequence[Trial] = (), **changes: Any) -> None:
    """A journal as a session leaves it that is killed before its next trial ends."""
    here = sessions.surroundings()
    header = journal.JournalHeader(
        run_id="x",
        created_utc="2026-01-01T00:00:00Z",
        dlbench_version="0.1.0",
        plan=plan,
        environment=replace(here, **changes),
    )
    with journal.Journal.create(results, header) as book:
        for trial in trials:
            book.append_trial(trial)


def test_sigkill_at_random_moments_loses_nothing(results: Path) -> None:
    """Of a session that is killed a dozen times: every trial that its journal held is there.

    Each kill finds a worker under way, after one trial more than the kill before it.
    """
    generator = random.Random(17)
    delays_s = [generator.uniform(0, LATEST_S) for _ in range(MOST_KILLS)]
    assert MOST_KILLS - 1 <= kill_and_resume(results, delays_s) < N_TRIALS


class _Listener(session.Observer):
    """Keeps what a session says at its start."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def begin(
        self, plan: Plan, run_id: str, trials: Sequence[Trial], problems: Sequence[str]
    ) -> None:
        """What is lost."""
        self.problems += problems


def test_a_damaged_line_is_said_and_its_trial_measured_anew(results: Path) -> None:
    """By the session and its document; no position and no round of a case is there twice."""
    cases = [sessions.fake_case(n=str(n)) for n in range(2)]
    profile = replace(sessions.PROFILE, looks=(3,), target_half_width=1e-9)
    whole = sessions.run(sessions.plan(cases, profile=profile), results).run
    trials = sorted((t for r in whole.results for t in r.trials), key=lambda t: t.position)
    _barely_begun(results, whole.plan, trials=trials[:5])
    path = results / "x.journal"
    lines = path.read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b"0.0", b"0.1", 1)
    path.write_bytes(b"\n".join(lines) + b"deadbeef {half")
    listener = _Listener()
    run = resume(path, listener).run
    lost = ["line 4 does not match its checksum; the line was left out"]
    lost += ["the last line was torn (14 bytes) and was dropped"]
    assert listener.problems == lost
    assert run.notes["journal_damage"] == "; ".join(lost)
    assert str(run.notes["resumed_utc"]).endswith("Z")
    assert sorted(t.position for r in run.results for t in r.trials) == [0, 1, 3, 4, 5, 6]
    rounds = [sorted(t.round for t in r.trials) for r in run.results]
    assert sorted(rounds) == [[0, 1, 2], [0, 2, 3]]
    assert [len(seconds_per_sample(r)) for r in run.results] == [3, 3]
    broken = [c.rule for c in check.check_run(run) if c.passed is False]
    assert not {"positions_unique", "interleaved"} & {*broken}


def test_what_was_lost_is_still_said_after_another_interruption(results: Path) -> None:
    """A torn line is gone by then, and a damaged one is told once."""
    _barely_begun(results, sessions.plan([sessions.fake_case()]))
    path = results / "x.journal"
    for torn in (b"0badcafe {}\ndeadbeef {half", b"cut"):
        with path.open("ab") as file:
            file.write(torn)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "_conduct", lambda _header, book, *_: book.close())
            resume(path)
    assert resume(path).run.notes["journal_damage"] == (
        "line 2 does not match its checksum; the line was left out; the last line was torn (14 bytes) "
        "and was dropped; the last line was torn (3 bytes) and was dropped"
    )


def test_a_run_of_two_commits_of_dlbench_says_so(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials from before a ``git pull`` and after it stood in one document as of the first commit.

    What is of one commit says nothing; what goes back to the first is of two all the same.
    """
    said: list[tuple[str, ...]] = []

    def stopped(_header: object, book: journal.Journal, before: Any, *_: object) -> None:
        said.append(before.problems)
        book.close()

    monkeypatch.setattr(session, "_conduct", stopped)
    monkeypatch.setattr(environment, "git_commit", lambda: "aaa")
    case = sessions.fake_case()
    _barely_begun(results, sessions.plan([case]), [builders.trial(case, 0)])
    path = results / "x.journal"
    resume(path)
    assert [name for name, _ in journal.read_journal(path).notes] == ["resumed_utc"]
    for commit in ("bbb", "aaa"):
        monkeypatch.setattr(environment, "git_commit", lambda commit=commit: commit)
        resume(path)
    noted = str(session.seal(path).run.notes["commits"])
    since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(f"aaa when it was begun, bbb since {since}; aaa since {since}", noted)
    words = f"the run is not of one commit of dlbench: {noted}"
    assert said == [(), (words.partition("; ")[0],), (words,)]


@pytest.mark.parametrize(("asked", "code"), [(("fake", "jax"), 4), ((), 0)])
def test_what_was_asked_for_is_still_missed_when_a_run_is_resumed(
    asked: tuple[str, ...], code: int, results: Path
) -> None:
    """A framework that is not here: the exit code forgot that it was asked for by name."""
    case = sessions.fake_case()
    missing = Outcome(kind=OutcomeKind.MISSING_DEPENDENCY, message="jax is not installed")
    skip = Skip(case=replace(case, framework="jax"), outcome=missing)
    plan = sessions.plan([case], skips=(skip,))
    here, settings = sessions.surroundings(), session.Settings(folder=results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_conduct", lambda _header, book, *_: book.close())
        session.run_plan(plan, here, sessions.devices(), settings, asked=asked)
    (path,) = results.glob("*.journal")
    assert exit_code(resume(path).run, interrupted=False) == code


def test_a_trial_that_was_stopped_in_its_energy_windows_is_measured_again(
    results: Path, tmp_path: Path
) -> None:
    """The energy of its case was absent for good; a document of what there is keeps its values."""
    (tmp_path / "before").mkdir()
    profile = replace(sessions.PROFILE, looks=(2,), target_half_width=1e-9)
    plan = sessions.plan([sessions.fake_case()], profile=profile)
    first, last = sessions.run(plan, tmp_path / "before").run.results[0].trials
    cut = replace(last, readings=(energy.unended("it was stopped"),))
    for trials, kept in (((first, cut), cut), ((first, cut, last), last)):
        _barely_begun(results, plan, trials)
        document = session.seal(results / "x.journal").path
        assert runs.read_run(document).results[0].trials == (first, kept)
        document.unlink()
    _barely_begun(results, plan, (first, cut))
    again = resume(results / "x.journal").run.results[0].trials
    assert again[0] == first
    assert [(t.position, t.round, t.readings) for t in again[1:]] == [(1, 1, ())]


class _Later(datetime):
    """A clock that is an hour ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = UTC) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(hours=1)


def test_a_kill_between_document_and_journal_is_sealed_already(results: Path) -> None:
    """The document is there and the journal still too: resuming keeps the one, removes the other.

    Even an hour later: a second document would have another time of its end.
    """
    _barely_begun(results, sessions.plan([sessions.fake_case()]))
    path = results / "x.journal"
    original = runs.seal
    kept: list[bytes] = []

    def keep_journal(run: Run, folder: Path, journal: Path | None = None) -> Path:
        document = original(run, folder)
        kept.append(document.read_bytes())
        assert journal == path
        return document

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "seal", keep_journal)
        resume(path)
    assert path.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "datetime", _Later)
        finished = resume(path)
    assert not path.exists()
    assert (results / "x.json").read_bytes() == kept[0]
    assert finished.path == results / "x.json"


def _command(results: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "dlbench", "run", "--out", str(results)),
        *("--resume", "last", "--json"),
    ]


def _interrupted(results: Path, number: signal.Signals) -> None:
    """A run that got a signal after its first trial has recorded the one under way as interrupted."""
    profile = replace(sessions.PROFILE, looks=(3,), min_values=5, max_values=5)
    _barely_begun(results, sessions.plan([sessions.fake_case(step_ms="100")], profile=profile))
    with subprocess.Popen(_command(results), stdout=subprocess.PIPE, text=True) as runner:
        waiting.until(lambda: journal.read_journal(results / "x.journal").trials != ())
        waiting.child(runner.pid, "dlbench.worker")
        runner.send_signal(number)
        output = runner.communicate(timeout=waiting.LIMIT_S)[0]
    assert runner.returncode == 130
    summary = json.loads(output)
    assert summary["interrupted"] is True
    assert summary["path"] == str(results / "x.journal")
    # The second trial, or the third and last if this process was held up on its way.
    kinds = [t.outcome.kind for t in journal.read_journal(results / "x.journal").trials]
    assert kinds in ([OutcomeKind.OK] * n + [OutcomeKind.INTERRUPTED] for n in (1, 2))


def test_sigterm_finishes_the_record(results: Path) -> None:
    """As a batch system ends a job."""
    _interrupted(results, signal.SIGTERM)


def test_sigint_finishes_the_record_and_can_be_resumed(results: Path) -> None:
    """Resuming measures the interrupted trial again."""
    _interrupted(results, signal.SIGINT)
    resumed = subprocess.run(_command(results), capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    document = runs.read_run(Path(json.loads(resumed.stdout)["path"]))
    trials = [t for r in document.results for t in r.trials]
    assert all(t.outcome.ok for t in trials)
    assert sorted(t.position for t in trials) == list(range(len(trials)))


def test_an_interrupted_run_can_be_ended_as_it_is(results: Path, tmp_path: Path) -> None:
    """On another machine too: the trials that there are, why there are no more, and no journal left."""
    (tmp_path / "before").mkdir()
    cases = [sessions.fake_case(), sessions.fake_case(factor="2")]
    whole = sessions.run(sessions.plan(cases), tmp_path / "before").run
    first, second = sorted(whole.results, key=lambda r: r.trials[0].position)
    _barely_begun(results, whole.plan, first.trials, fingerprint="another")
    (book,) = results.iterdir()
    document = runs.read_run(session.seal(book).path)
    ended = {r.case.case_id: r for r in document.results}
    assert ended[first.case.case_id].trials == first.trials
    assert ended[second.case.case_id].trials == ()
    assert ended[second.case.case_id].stop_reason == "interrupted"
    assert str(document.notes["sealed_utc"]).endswith("Z")
    assert [c for c in check.check_run(document) if c.passed is False] == []
    assert [path.suffix for path in results.iterdir()] == [".json"]


def test_a_run_without_a_finished_trial_makes_no_document(results: Path) -> None:
    """The journal stays, and does not say that it was ended."""
    _barely_begun(results, sessions.plan([sessions.fake_case()]))
    (book,) = results.iterdir()
    with pytest.raises(DocumentError, match="has no finished trial"):
        session.seal(book)
    assert journal.read_journal(book).notes == ()


def test_a_changed_machine_is_refused(results: Path) -> None:
    """Trials of two machines do not get into one document."""
    _barely_begun(results, sessions.plan([sessions.fake_case()]), fingerprint="another")
    with pytest.raises(GateError, match="is not that machine any more"):
        resume(results / "x.journal")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("affinity_cores", 16),
        ("memory_limit_mib", 512.0),
        ("governor", "powersave"),
        ("power_source", "battery"),
    ],
)
def test_other_limits_are_refused_by_name(results: Path, name: str, value: str | float) -> None:
    """Sixteen threads on one core would be another measurement, in the same document."""
    here = sessions.surroundings()
    facts = {**here.facts, name: value}
    _barely_begun(results, sessions.plan([sessions.fake_case()]), facts=facts)
    with pytest.raises(GateError, match=f"{name} was {value} and is "):
        resume(results / "x.journal")


def test_a_second_sigint_leaves_at_once(results: Path) -> None:
    """Even while the worker refuses to end."""
    command = [sys.executable, "-m", "dlbench", "run", "fake", "-f", "fake"]
    command += ["--out", str(results), "-o", "fault=hang@running", "--mode", "inference"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as runner:
        worker = waiting.child(runner.pid, "dlbench.worker")
        waiting.until(lambda: _ignores(worker.pid, signal.SIGTERM))
        while runner.poll() is None:
            runner.send_signal(signal.SIGINT)
            time.sleep(0.5)
    assert runner.returncode == 130
    # Had it waited for the worker's end, the trial would be in the journal as interrupted.
    (path,) = results.glob("*.journal")
    assert journal.read_journal(path).trials == ()


def _ignores(pid: int, number: signal.Signals) -> bool:
    """Whether a process has been told to ignore a signal, by the kernel's word."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask, 16) >> (number - 1) & 1)
