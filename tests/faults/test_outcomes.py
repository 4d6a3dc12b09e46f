"""Every way in which a worker goes wrong becomes its recorded outcome, and the run goes on."""

from __future__ import annotations

import importlib.metadata
import itertools
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from dlbench import arms, session
from dlbench.core.requests import WorkerExit
from dlbench.core.types import Absent, Mode, OutcomeKind, TelemetryLevel
from dlbench.launchers import local
from dlbench.session.schedule import next_trial
from tests import builders, controls, sessions, waiting

EXPECTED = {
    "oom_device@load": "oom_device",
    "oom_device@running": "oom_device",
    "oom_host@first_step": "oom_host",
    "segv@load": "crashed(11)",
    "segv@running": "crashed(11)",
    "abort@warm_up": "crashed(6)",
    "kill9@running": "crashed(9)",
    "exit0@load": "error(no_result)",
    "exit3@first_step": "error(no_result)",
    "error@load": "error(ValueError)",
    "device_lost@load": "device_lost",
    "no_dependency@load": "missing_dependency",
    "nan": "invalid(outputs_finite)",
    "wrong_outputs": "invalid(outputs_match_reference)",
    "cached_outputs": "invalid(outputs_match_reference)",
    "fewer_parameters": "invalid(parameters_as_stated)",
    "flood@running": "ok",
    "junk@running": "ok",
}


@pytest.mark.parametrize("fault", EXPECTED)
def test_each_fault_has_its_outcome_and_the_next_case_runs(fault: str, results: Path) -> None:
    """The faulty case is recorded with a sentence; a healthy one beside it is measured."""
    healthy, faulty = sessions.fake_case(), sessions.fake_case(fault=fault)
    finished = sessions.run(sessions.plan([faulty, healthy]), results)
    outcomes = {r.case: r.outcome for r in finished.run.results}
    assert str(outcomes[faulty]) == EXPECTED[fault]
    assert outcomes[faulty].ok or outcomes[faulty].message
    if EXPECTED[fault] != "device_lost":
        assert outcomes[healthy].ok
    assert finished.path.suffix == ".json"


def test_after_a_lost_device_its_other_cases_are_not_tried(results: Path) -> None:
    """They are recorded as skipped, with the reason."""
    loses, healthy = sessions.fake_case(fault="device_lost@load"), sessions.fake_case(n="2")
    # A seed whose lot is on the one that loses the device: the other could be measured before it.
    plans = (sessions.plan([loses, healthy], seed=seed) for seed in itertools.count())
    planned = next(p for p in plans if (first := next_trial(p, [])) and first.case == loses)
    finished = sessions.run(planned, results)
    lost, skipped = sorted(finished.run.results, key=lambda r: r.case != loses)
    assert [t.outcome.kind for t in lost.trials] == [OutcomeKind.DEVICE_LOST]
    assert skipped.trials == ()
    assert str(skipped.outcome) == "skipped(device fake was lost)"


@pytest.mark.parametrize("fault", ["constant_loss", "nan"])
def test_training_that_does_not_learn_is_refused(fault: str, results: Path) -> None:
    """By the rule that says so."""
    case = builders.case(
        mode=Mode.TRAINING, scenario=None, options=(("step_ms", "1"), ("fault", fault))
    )
    outcome = sessions.run(sessions.plan([case]), results).run.results[0].outcome
    assert (
        str(outcome)
        == {"constant_loss": "invalid(loss_falls)", "nan": "invalid(loss_finite)"}[fault]
    )


@pytest.mark.parametrize("fault", ["hang", "hang_grandchild"])
def test_a_hanging_worker_ends_at_its_deadline_with_its_children(
    fault: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ignores SIGTERM; the group is killed, nobody survives, and the phase is named.

    From its last sign of life on it gets the deadline and the grace, and no more.
    """
    # Only of what comes after the start, which takes as long as a busy machine needs.
    deadlines = local.Deadlines(heartbeat_s=2.0, heartbeat_first_steps=0.0)
    grace_s = 0.5
    monkeypatch.setattr(local, "TERM_GRACE_S", grace_s)
    before = {p.pid for p in psutil.process_iter()}
    heard_s: list[float] = []
    exits: list[tuple[float, WorkerExit]] = []

    def launch(*arguments: Any, on_event: local.OnEvent, **options: Any) -> WorkerExit:
        def hear(event: dict[str, Any]) -> None:
            heard_s.append(time.monotonic())
            on_event(event)

        ended = local.launch(*arguments, on_event=hear, **{**options, "deadlines": deadlines})
        exits.append((time.monotonic(), ended))
        return ended

    with controls.Metronome() as control:
        finished = sessions.run(
            sessions.plan([sessions.fake_case(fault=f"{fault}@running")]),
            results,
            launch=launch,
        )
    outcome = finished.run.results[0].outcome
    assert (outcome.kind, outcome.detail in {"warm_up", "steady"}) == ("timeout", True)
    ((gone_s, ended),) = exits
    assert (ended.timed_out, ended.returncode) == (True, -signal.SIGKILL)
    controls.assert_took(deadlines.heartbeat_s + grace_s, heard_s[-1], gone_s, control)
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if p.pid not in before and "time.sleep(600)" in " ".join(p.info["cmdline"] or [])
    ]
    assert left == []


def test_a_cap_holds_for_every_phase(results: Path) -> None:
    """Each phase's own deadline where that is shorter; a long first step gives no longer one."""
    asked: list[local.Deadlines] = []

    def launch(*arguments: Any, **options: Any) -> WorkerExit:
        asked.append(options["deadlines"])
        return local.launch(*arguments, **options)

    sessions.run(
        sessions.plan([sessions.fake_case()]), results, phase_timeout_s=100.0, launch=launch
    )
    phases = ("start", "load", "build", "first_step", "warm_up", "steady", "energy")
    assert [asked[0].of(p, first_step_s=50.0) for p in phases] == [60.0, *[100.0] * 6]


def test_a_flood_is_drained_and_capped(results: Path) -> None:
    """50 MB on stdout harm neither the protocol nor the document."""
    finished = sessions.run(sessions.plan([sessions.fake_case(fault="flood@running")]), results)
    assert finished.run.results[0].outcome.ok
    assert finished.path.stat().st_size < 200_000


def test_a_crash_keeps_the_tail_of_its_output(results: Path) -> None:
    """Faulthandler's stack of the segmentation fault is in the trial's log."""
    finished = sessions.run(sessions.plan([sessions.fake_case(fault="segv@running")]), results)
    assert "Segmentation fault" in finished.run.results[0].trials[0].log


def test_a_subject_that_never_settles_is_flagged(results: Path) -> None:
    """Measured, and marked as not steady."""
    case = sessions.fake_case(fault="stutter")
    finished = sessions.run(sessions.plan([case]), results)
    assert "not_steady" in finished.run.results[0].flags


def test_lost_telemetry_leaves_the_timing(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter dies in mid-run: the outcome is ok, the flag is set, the reading has its reason."""
    monkeypatch.setenv("DLBENCH_FAKE_METER_FAILS_FROM", "20")
    profile = replace(sessions.PROFILE, energy_windows=1, energy_window_s=0.5, energy_idle_s=0.5)
    planned = sessions.plan([sessions.fake_case()], profile=profile, telemetry=TelemetryLevel.BASIC)
    finished = sessions.run(planned, results)
    (result,) = finished.run.results
    assert result.outcome.ok
    assert "telemetry_lost" in result.flags
    values = [r.value for r in result.trials[0].readings]
    assert isinstance(values[0], float)
    assert values[-1] == Absent(reason="the fake meter was told to fail")


def test_the_worker_dies_with_its_parent(results: Path) -> None:
    """SIGKILL to the runner leaves no orphan behind."""
    program = (
        "import sys; from pathlib import Path; from tests import sessions\n"
        "sessions.run(sessions.plan([sessions.fake_case(fault='hang@running')]), Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(results)]) as runner:
        try:
            worker = waiting.child(runner.pid, "dlbench.worker")
        finally:
            runner.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs([worker], timeout=waiting.LIMIT_S)
    assert (len(gone), len(alive)) == (1, 0)


def test_a_strangers_folder_runs_no_code_of_its_own(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither worker nor sampler nor the look at another Python import from where we are called."""
    folder = results.parent / "strangers"
    folder.mkdir()
    for name in ("statistics", "json", "platform", "dlbench"):
        (folder / f"{name}.py").write_text(
            "import os, sys\nopen(os.path.join(os.path.dirname(__file__), 'ran'), 'w')\n"
            "raise ImportError('a stranger')\n"
        )
    monkeypatch.chdir(folder)
    case = sessions.fake_case()
    planned = sessions.plan([case], telemetry=TelemetryLevel.BASIC)
    (result,) = sessions.run(planned, results).run.results
    assert result.outcome.ok, result.outcome
    assert result.trials[0].tracks
    assert arms._versions(sys.executable)["numpy"] == importlib.metadata.version("numpy")
    assert not (folder / "ran").exists()


def test_a_machine_whose_clocks_are_held_down_flags_its_run(results: Path) -> None:
    """On battery, with a governor that saves power: by the environment, whatever the trials say."""
    here = sessions.surroundings()
    held = {"power_source": "battery", "governor": "powersave", "scaling_driver": "acpi-cpufreq"}
    facts = {**here.facts, **held}
    finished = session.run_plan(
        sessions.plan([sessions.fake_case()]),
        replace(here, facts=facts),
        sessions.devices(),
        session.Settings(folder=results),
    )
    assert finished.run.flags == ("on_battery", "cpu_limited")
