"""The environment that a worker is given, and what is taken from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dlbench import environment
from dlbench.core.requests import WorkerExit
from dlbench.core.types import OutcomeKind, Reading, Trial
from dlbench.session import workers
from dlbench.session.schedule import Next
from dlbench.store import codec
from tests import builders


def test_a_worker_gets_no_variable_that_overrides_its_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No framework would see them; all else is the caller's, but for threads and devices."""
    for name in (*environment.OVERRIDES, "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("XLA_FLAGS", "--a")
    found = workers.child_environment(builders.CPU, 3)
    assert environment.OVERRIDES & found.keys() == set()
    assert {
        "NVIDIA_TF32_OVERRIDE",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "DNNL_DEFAULT_FPMATH_MODE",
        "TF_SET_ONEDNN_FPMATH_MODE",
    } < environment.OVERRIDES
    assert found["XLA_FLAGS"] == "--a"
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert {found[name] for name in environment.THREAD_VARIABLES} == {"3"}


FIRST = builders.sealed_run().results[0]
SENT = FIRST.trials[0]


def _received(sent: Trial) -> Trial:
    upcoming = Next(case=FIRST.case, round=0, role="measure", position=0)
    plain: dict[str, Any] = codec.to_plain(sent)
    ended = WorkerExit(returncode=0, phase="gate", trial=plain, log="said")
    case = replace(FIRST.case, framework="fake")
    return workers._received(replace(upcoming, case=case), ended)


def test_a_sound_trial_is_taken_as_it_was_sent() -> None:
    """Nothing is added to one that counts."""
    assert _received(SENT) == SENT


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"values": (replace(SENT.values[0], duration_s=0.0),)},
            "values[0] is of 2 samples in 0.0",
        ),
        ({"values": ()}, "it counts and has no values"),
        ({"queries_s": (0.01, 0.0)}, "a query took 0.0 s"),
        ({"first_step_s": -1.0}, "the first step took -1.0 s"),
        ({"subject": {"int8_drift": 1e-40}}, "subject.int8_drift is 1e-40"),
        (
            {
                "readings": tuple(
                    Reading(t_s=t, source="x", quantity="y", value=0.0) for t in (1, 0)
                )
            },
            "the reads of its counters are not in order",
        ),
    ],
)
def test_a_trial_that_could_not_be_read_again_is_no_result(
    changes: dict[str, Any], says: str
) -> None:
    """Sealed, it would take the whole document with it: the session says so, and has the rest."""
    trial = _received(replace(SENT, **changes))
    assert (trial.outcome.kind, trial.outcome.detail) == (OutcomeKind.ERROR, "bad_result")
    assert says in trial.outcome.message
    assert trial.log == "said"
    assert trial.values == ()
