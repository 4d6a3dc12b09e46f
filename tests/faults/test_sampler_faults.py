"""The sampler killed, hanging, late or impossible: work goes on, and the reason is named."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from dlbench.core import metrics, tracks
from dlbench.core.reasons import Reason
from dlbench.core.requests import WorkerExit
from dlbench.core.types import (
    LATENCY_LIMIT_OPTION,
    Absent,
    CaseResult,
    Estimated,
    Plan,
    Scenario,
    TelemetryLevel,
    Track,
)
from dlbench.launchers import local
from dlbench.measure.schedule import SAMPLE_EVERY_S
from dlbench.session import Finished
from dlbench.session.workers import Settings
from dlbench.telemetry import sampler
from dlbench.telemetry.sampler import Recording, Sampler, parse
from tests import builders, controls, sessions, waiting

ENERGY = replace(sessions.PROFILE, energy_windows=1, energy_window_s=1.0, energy_idle_s=0.3)


def _plan(level: TelemetryLevel = TelemetryLevel.BASIC, **case: str) -> Plan:
    planned = sessions.plan([sessions.fake_case(**case)], telemetry=level)
    return replace(planned, profile=ENERGY)


def _run(planned: Plan, folder: Path) -> CaseResult:
    (result,) = sessions.run(planned, folder).run.results
    assert result.outcome.ok
    return result


def _program(process: psutil.Process) -> str:
    """The module that a child of ours runs."""
    with contextlib.suppress(psutil.Error, ValueError):
        command = process.cmdline()
        return command[command.index("-m") + 1]
    return ""


def _columns(found: tuple[Track, ...]) -> set[tuple[str, str]]:
    return {(t.source, c.quantity) for t in found for c in t.columns}


@contextlib.contextmanager
def _meanwhile(number: signal.Signals, after_s: float) -> Iterator[list[int]]:
    """A signal to the sampler that runs beside a worker, some time after it was started.

    The one of the null pair, before the first worker, is left alone.
    """
    hit: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            children = {_program(child): child for child in psutil.Process().children()}
            beside = children.get("dlbench.telemetry.process")
            if beside is not None and "dlbench.worker" in children:
                done.wait(after_s)
                hit.append(beside.pid)
                beside.send_signal(number)
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield hit
    finally:
        done.set()
        thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthy:
    """A run in which nothing goes wrong, and a control that slept beside it."""

    finished: Finished
    control: controls.Metronome


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Healthy:
    """Made once."""
    with pytest.MonkeyPatch.context() as patch, controls.Metronome() as control:
        patch.setenv("DLBENCH_LOCK_DIR", str(tmp_path_factory.mktemp("locks")))
        finished = sessions.run(_plan(), tmp_path_factory.mktemp("results"))
    return Healthy(finished=finished, control=control)


@pytest.fixture(scope="module")
def finished(healthy: Healthy) -> Finished:
    """That run."""
    return healthy.finished


def test_a_run_keeps_the_readings_and_measures_energy(finished: Finished) -> None:
    """Raw readings of device, process and cgroup, and 50 W that the fake device is said to draw."""
    (result,) = finished.run.results
    (trial,) = result.trials
    assert result.outcome.ok
    assert "telemetry_lost" not in trial.flags
    assert {("fake:fake", "energy_counter_j"), ("host", "cpu_s"), ("host", "rss_mib")} <= _columns(
        trial.tracks
    )
    assert [w.name for w in trial.windows][-2:] == ["idle", "energy"]
    value = metrics.compute("energy_j_per_sample", result, finished.run)
    assert isinstance(value, Estimated)
    per_sample_s = trial.energy[0].duration_s / trial.energy[0].n_samples
    assert value.value == pytest.approx(50.0 * per_sample_s, rel=0.02)
    rss = tracks.points(trial.tracks, "rss_mib")
    assert not isinstance(rss, Absent)
    assert max(v for _, v in rss) > 5


def test_a_servers_energy_is_of_queries_at_the_rate_that_it_holds(tmp_path: Path) -> None:
    """50 W for ever: joules a query are 50 over the rate, and not over what it could do in a row."""
    pytest.importorskip("mlperf_loadgen")
    options = (("step_ms", "2"), (LATENCY_LIMIT_OPTION, "100"))
    case = builders.case(scenario=Scenario.SERVER, options=options)
    planned = sessions.plan([case], telemetry=TelemetryLevel.BASIC)
    planned = replace(planned, profile=replace(ENERGY, max_steady_s=1.0))
    with controls.Metronome() as beside:
        finished = sessions.run(planned, tmp_path)
    (result,) = finished.run.results
    (trial,) = result.trials
    if not result.outcome.ok:
        # Whatever the machine does meanwhile: without a rate there is no energy, and none is made up.
        assert trial.energy == ()
        assert isinstance(metrics.compute("energy_j_per_sample", result, finished.run), Absent)
        waiting.skip_without_a_rate(result.outcome.message, 0.100, beside)
    assert result.outcome.ok, result.outcome.message
    (window,) = trial.energy
    rate_per_s = float(str(trial.subject["offered_queries_per_s"]))
    assert window.duration_s >= ENERGY.energy_window_s
    # Poisson arrivals, for as long as was asked; the last is answered late on a busy machine.
    least, most = rate_per_s * ENERGY.energy_window_s, rate_per_s * window.duration_s
    assert least - 5 * least**0.5 - 1 < window.n_samples < most + 5 * most**0.5 + 1
    assert trial.subject["energy_windows_in_time"] in {"1 of 1", "0 of 1"}
    value = metrics.compute("energy_j_per_sample", result, finished.run)
    assert isinstance(value, Estimated)
    assert value.value == pytest.approx(50.0 * window.duration_s / window.n_samples, rel=0.02)


def test_readings_come_ten_times_a_second(healthy: Healthy) -> None:
    """On the clock of the windows; as often as a thread beside it that only sleeps, and none twice."""
    (trial,) = healthy.finished.run.results[0].trials
    track = next(t for t in trial.tracks if t.source == "fake:fake")
    times_s = [track.start_s + t_us / 1e6 for t_us in track.t_us]
    slept_s = controls.gap_s(healthy.control.woke_s(times_s[0], times_s[-1]))
    gap_s = controls.gap_s(times_s)
    assert 0.7 * SAMPLE_EVERY_S < gap_s < 1.3 * max(SAMPLE_EVERY_S, slept_s)
    assert len(times_s) <= 1.1 * (times_s[-1] - times_s[0]) / SAMPLE_EVERY_S + 2
    assert times_s[0] < trial.energy[0].start_s
    assert times_s[-1] <= time.monotonic()


@pytest.mark.parametrize("after_s", [0.1, 0.6])
def test_a_sampler_that_is_killed_leaves_the_run_and_names_itself(
    tmp_path: Path, after_s: float
) -> None:
    """The trial is ok; what only the sampler could know is absent; nothing is 0."""
    with _meanwhile(signal.SIGKILL, after_s) as hit:
        finished = sessions.run(_plan(), tmp_path)
    assert hit
    (result,) = finished.run.results
    assert result.outcome.ok
    assert "telemetry_lost" in result.flags
    fact = result.trials[0].subject["sampler"]
    assert isinstance(fact, Absent)
    assert fact.code == Reason.SAMPLER_KILLED
    value = metrics.compute("p95_power_w", result, finished.run)
    assert isinstance(value, Absent)
    assert value.code == Reason.SAMPLER_KILLED


def test_a_sampler_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished
) -> None:
    """Stopped by a signal as a driver's call would stop it: some time after the end it is killed.

    Until then nothing waits for it: the worker has done all that it does beside a healthy one.
    """
    ended: dict[int, tuple[float, float, int | None]] = {}
    end = sampler._end

    def timed(process: subprocess.Popen[bytes]) -> None:
        start_s = time.monotonic()
        end(process)
        ended[process.pid] = start_s, time.monotonic(), process.returncode

    monkeypatch.setattr(sampler, "_end", timed)
    monkeypatch.setattr(sampler, "STOP_S", 2.0)
    with controls.Metronome() as control, _meanwhile(signal.SIGSTOP, 0.3) as hit:
        result = sessions.run(_plan(), tmp_path).run.results[0]
    assert result.outcome.ok
    assert "telemetry_lost" in result.flags
    names = [w.name for w in result.trials[0].windows]
    assert names == [w.name for w in finished.run.results[0].trials[0].windows]
    (pid,) = hit
    from_s, to_s, code = ended[pid]
    assert code == -signal.SIGKILL
    controls.assert_took(sampler.STOP_S, from_s, to_s, control)
    assert not psutil.pid_exists(pid)


def test_a_sampler_that_cannot_be_started_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more processes: the run goes on without."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    beside = Sampler(sessions.devices()[0], TelemetryLevel.BASIC)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    beside.start(os.getpid())
    recording = beside.stop()
    assert recording.lost is not None
    assert recording.lost.code == Reason.SAMPLER_NOT_STARTED
    assert "temporarily unavailable" in recording.lost.reason


def test_telemetry_off_starts_nothing(tmp_path: Path) -> None:
    """No sampler, no energy window, no readings."""
    with _meanwhile(signal.SIGKILL, 0.0) as hit:
        (trial,) = _run(_plan(TelemetryLevel.OFF), tmp_path).trials
    assert not hit
    assert trial.tracks == ()
    assert trial.readings == ()
    assert trial.energy == ()
    assert "telemetry_lost" not in trial.flags


def test_a_subject_that_crashes_leaves_its_readings(tmp_path: Path) -> None:
    """Up to the crash, and no orphan."""
    finished = sessions.run(_plan(fault="segv@running"), tmp_path)
    (trial,) = finished.run.results[0].trials
    assert trial.outcome.kind == "crashed"
    assert "telemetry_lost" not in trial.flags
    orphans = [
        child
        for child in psutil.Process().children()
        if "dlbench.telemetry.process" in " ".join(child.cmdline())
    ]
    assert orphans == []


def test_the_sampler_dies_with_its_parent(tmp_path: Path) -> None:
    """SIGKILL to the runner leaves no sampler behind."""
    program = (
        "import os, sys, time\n"
        "from dlbench.core.types import TelemetryLevel\n"
        "from dlbench.telemetry.sampler import Sampler\n"
        "from tests import sessions\n"
        "s = Sampler(sessions.devices()[0], TelemetryLevel.BASIC)\n"
        "s.start(os.getpid())\n"
        "while not s.has_read: time.sleep(0.01)\n"
        "print(s.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert waiting.lives(pid)
        parent.send_signal(signal.SIGKILL)
    waiting.until(lambda: not waiting.lives(pid))


# --- a driver that hangs or crashes in the energy windows ---------------------------------------


@pytest.mark.parametrize("fault", ["hang", "kill"])
def test_a_driver_that_takes_the_worker_along_takes_only_the_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """What was measured before is a whole trial: ok, flagged, its energy absent with the reason."""
    monkeypatch.setenv("DLBENCH_FAKE_METER_FAILS_FROM", "20")
    monkeypatch.setenv("DLBENCH_FAKE_METER_FAILS_BY", fault)
    monkeypatch.setattr(sampler, "STOP_S", 2.0)  # the one beside meets the same driver
    deadlines = local.Deadlines(heartbeat_s=2.0, heartbeat_first_steps=0.0)

    def launch(*arguments: Any, **options: Any) -> WorkerExit:
        return local.launch(*arguments, **{**options, "deadlines": deadlines})

    finished = sessions.run(_plan(), tmp_path, launch=launch)
    (result,) = finished.run.results
    assert result.outcome.ok
    assert len(result.trials[0].values) >= ENERGY.min_values
    assert "telemetry_lost" in result.flags
    value = metrics.compute("energy_j_per_sample", result, finished.run)
    assert isinstance(value, Absent)
    assert value.code == Reason.LOST_IN_WINDOW


# --- what it wrote ----------------------------------------------------------------------------

HEAD = {"source": "s", "quantities": ["power_w", "temperature_c"], "methods": {}, "averaging_s": {}}


def _lines(*records: object) -> list[str]:
    return [json.dumps(record) for record in records]


def test_a_recording_keeps_every_reading_in_columns() -> None:
    """Times in microseconds; what does not change is written once."""
    rows = [["s", 5.0 + i / 10, [100.0 + i, 40.0]] for i in range(4)]
    end = {"end": {"cpu_s": 0.1, "n_reads": 4, "ready_s": 5.0}}
    recording = parse(_lines(HEAD, *rows, end))
    (track,) = recording.tracks
    assert recording.lost is None
    assert track.t_us == (0, 100000, 200000, 300000)
    assert [c.values for c in track.columns] == [(100.0, 101.0, 102.0, 103.0), (40.0,)]


def test_a_torn_last_line_is_left_out() -> None:
    """And says that the sampler did not end in order."""
    lines = _lines(HEAD, ["s", 5.0, [1.0, 2.0]])
    recording = parse([*lines, '["s", 5.1, [1.'])
    assert len(recording.tracks[0].t_us) == 1
    assert recording.lost is not None
    assert recording.lost.code == Reason.SAMPLER_KILLED


def test_a_lost_quantity_keeps_its_first_reason() -> None:
    """In its column, beside the readings that there were."""
    lost = {"lost": ["s", "power_w", "GPU is lost", "reboot", "device_lost"]}
    recording = parse(_lines(HEAD, ["s", 5.0, [1.0, 2.0]], lost, ["s", 5.1, [None, 2.0]]))
    column = recording.tracks[0].columns[0]
    assert column.values == (1.0, None)
    assert column.absent == Absent(reason="GPU is lost", remedy="reboot", code="device_lost")


def test_nothing_written_is_no_track() -> None:
    """A sampler that was killed at once."""
    assert parse([]).tracks == ()
    assert isinstance(parse([]), Recording)


def test_settings_know_nothing_of_telemetry() -> None:
    """It is part of the plan, which a resumed run takes up again."""
    assert "telemetry" not in {f.name for f in fields(Settings)}
