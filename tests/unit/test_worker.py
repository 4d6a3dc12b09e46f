"""The worker's own rules; its process is tested through real sessions in tests/faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dlbench import worker, workloads
from dlbench.core import tracks
from dlbench.core.requests import TrialRequest
from dlbench.core.types import Absent, Case, OutcomeKind, Policy, Reading, TelemetryLevel, Trial
from dlbench.frameworks import fake
from dlbench.measure import conditions, energy, server
from tests import builders, queries, sessions

GONE = Absent(reason="GPU is lost")


def _readings(*values: float | Absent, quantity: str = "power_w") -> list[Reading]:
    return [
        Reading(t_s=float(i), source="meter", quantity=quantity, value=v)
        for i, v in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("readings", "lost"),
    [
        (_readings(1.0, 2.0), False),
        (_readings(1.0, GONE), True),
        (_readings(GONE, GONE), False),
        (_readings(GONE, 1.0), False),
        (_readings(1.0, 2.0) + _readings(GONE, GONE, quantity="energy_counter_j"), False),
        ([], False),
    ],
)
def test_telemetry_is_lost_when_it_was_there_before(readings: list[Reading], lost: bool) -> None:
    """A card without a sensor has not lost it."""
    assert tracks.telemetry_lost(readings) is lost


def test_where_a_compiler_may_have_failed_the_way_without_it_is_told() -> None:
    """Its errors are of every kind; in base there is none to turn off."""
    assert worker._without_compiler(builders.case()) == ""
    told = worker._without_compiler(builders.case(policy=Policy.TUNED))
    assert told == " --policy base compiles nothing."


# --- one trial of the fake framework, in this process ---------------------------------------------


def _request(case: Case, **changes: Any) -> TrialRequest:
    base: dict[str, Any] = {
        "case": case,
        "device": sessions.devices()[0],
        "profile": sessions.PROFILE,
        "workload_folder": str(workloads.folders()["fake"]),
        "threads": 1,
        "seed": 0,
        "round": 0,
        "role": "measure",
        "position": 0,
        "parent_pid": 0,
        "content_hash": workloads.read(workloads.folders()["fake"]).content_hash,
    }
    return TrialRequest(**{**base, **changes})


def _tried(request: TrialRequest) -> tuple[Trial, list[dict[str, Any]]]:
    """A trial, and those that were sent, each as a line that JSON can hold."""
    sent: list[dict[str, Any]] = []

    def emit(event: dict[str, Any]) -> None:
        whole = json.loads(json.dumps(event, allow_nan=False))
        if whole["event"] == "trial":
            sent.append(whole["trial"])

    return worker.run_trial(request, emit), sent


@pytest.mark.parametrize(("step_ms", "flagged"), [("0.01", True), ("20", False)])
def test_a_loop_that_shows_in_the_result_is_flagged(step_ms: str, flagged: bool) -> None:
    """Beside 10 us the harness is some per cent; beside 20 ms it is nothing.

    A step that does nothing is faster, on a fast machine, than the gate believes of the fake's FLOPs.
    """
    trial, _ = _tried(_request(sessions.fake_case(step_ms=step_ms)))
    assert trial.outcome.ok, trial.outcome
    assert ("harness_cost" in trial.flags) is flagged


@pytest.fixture
def stating(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Makes the fake framework state further facts."""

    def state(facts: dict[str, Any]) -> None:
        def opened(request: Any) -> fake.FakeSubject:
            subject = fake.FakeSubject(request)
            subject.info |= facts
            return subject

        monkeypatch.setattr(fake, "open_subject", opened)

    return state


def test_a_fact_that_is_no_number_is_absent_and_the_verdict_stands(
    stating: Callable[[dict[str, Any]], None],
) -> None:
    """NaN and infinity have no word in JSON: the gate's refusal is told all the same."""
    stating({"int8_drift": float("nan"), "scale": float("-inf"), "bits": 8})
    trial, sent = _tried(_request(sessions.fake_case(fault="nan")))
    assert str(trial.outcome) == "invalid(outputs_finite)"
    assert trial.subject["int8_drift"] == Absent(reason="it was found to be nan")
    assert trial.subject["scale"] == Absent(reason="it was found to be -inf")
    assert trial.subject["bits"] == 8
    assert [t["outcome"]["kind"] for t in sent] == ["invalid"]


@pytest.mark.parametrize("fault", ["segv@steady", "sigsegv"])
def test_a_fault_that_does_not_exist_is_refused(fault: str) -> None:
    """A test that misspells one would find nothing wrong and hold nothing."""
    trial, _ = _tried(_request(sessions.fake_case(fault=fault)))
    assert str(trial.outcome) == "unsupported"
    assert fault in trial.outcome.message


def test_a_trial_that_cannot_be_sent_is_an_error_that_can(
    stating: Callable[[dict[str, Any]], None],
) -> None:
    """NumPy's numbers are not JSON's."""
    stating({"scale": np.float32(1.0)})
    trial, sent = _tried(_request(sessions.fake_case()))
    assert (trial.outcome.kind, trial.outcome.detail) == (OutcomeKind.ERROR, "TypeError")
    assert "float32" in trial.log
    assert [t["outcome"]["detail"] for t in sent] == ["TypeError"]


def _hung_up(_: object) -> None:
    raise OSError("the driver hung up")


def _measured_nan(*_: object, **__: object) -> energy.EnergyRecord:
    return replace(energy.NOTHING, readings=tuple(_readings(float("nan"))))


@pytest.mark.parametrize(
    ("name", "broken", "reason"),
    [
        ("find_meters", _hung_up, "OSError: the driver hung up"),
        ("measure", _measured_nan, "ValueError: Out of range float values"),
    ],
)
def test_an_error_in_the_energy_phase_takes_the_energy_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[..., Any], reason: str
) -> None:
    """Values, checks and the outcome stay; the reason is where the energy would be."""
    monkeypatch.setattr(energy, name, broken)
    profile = replace(sessions.PROFILE, energy_windows=1, energy_window_s=0.1)
    request = _request(sessions.fake_case(), profile=profile, telemetry=TelemetryLevel.BASIC)
    trial, sent = _tried(request)
    assert trial.outcome.ok
    assert len(trial.values) >= 3
    assert "telemetry_lost" in trial.flags
    (reading,) = trial.readings
    assert isinstance(reading.value, Absent)
    assert reading.value.reason.startswith(f"its energy windows raised {reason}")
    assert reason in trial.log
    assert [t["outcome"]["kind"] for t in sent] == ["ok", "ok"]
    assert [len(t["values"]) for t in sent] == [len(trial.values)] * 2


def test_a_machine_that_slept_in_its_energy_windows_has_no_energy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A counter goes on through a night of which the windows' clock knows nothing."""
    slept = iter((False, True))
    monkeypatch.setattr(conditions, "suspended", lambda *_: next(slept))
    profile = replace(sessions.PROFILE, energy_windows=1, energy_window_s=0.1)
    request = _request(sessions.fake_case(), profile=profile, telemetry=TelemetryLevel.BASIC)
    trial, sent = _tried(request)
    assert trial.outcome.ok
    assert trial.energy == ()
    (reading,) = trial.readings
    assert isinstance(reading.value, Absent)
    assert reading.value.reason == "the machine was suspended while its energy was measured"
    assert "telemetry_lost" in trial.flags
    assert [t["energy"] for t in sent] == [[], []]


def test_energy_windows_of_each_trial_of_a_server_have_arrivals_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same few arrivals in every trial would agree for the wrong reason, as would its search's."""
    seeds: list[int] = []

    def shift(*arguments: Any) -> Any:
        seeds.append(arguments[-1])
        return SimpleNamespace(work=None, held=[])

    monkeypatch.setattr(server, "shift", shift)
    monkeypatch.setattr(energy, "measure", lambda *_: energy.NOTHING)
    found = energy.Found(meters=(), counted=True, averaging_s=None, first=())
    monkeypatch.setattr(energy, "find_meters", lambda _: found)
    profile = replace(sessions.PROFILE, energy_windows=1, energy_window_s=5.0)
    subject: Any = SimpleNamespace(synchronize=lambda: None)
    samples: Any = None
    for position in (0, 1, 2):
        request = _request(queries.case(), profile=profile, position=position)
        worker._energy(subject, request, samples, lambda *_: None)
    assert len(set(seeds)) == 3


def test_a_subject_that_does_not_close_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its trial is out before, and the error is in what the worker prints."""
    sent: list[dict[str, Any]] = []
    n_sent: list[int] = []

    def close(_: fake.FakeSubject) -> None:
        n_sent.append(len(sent))
        raise RuntimeError("the context is destroyed already")

    monkeypatch.setattr(fake.FakeSubject, "close", close)
    trial = worker.run_trial(
        _request(sessions.fake_case()), lambda e: sent.append(e) if e["event"] == "trial" else None
    )
    assert trial.outcome.ok
    assert n_sent == [1]
    assert sent[0]["trial"]["values"]
    assert "the context is destroyed already" in capfd.readouterr().err
