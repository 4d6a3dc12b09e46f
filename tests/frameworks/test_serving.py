"""Every framework that is installed answers LoadGen's queries, in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dlbench.core import registry
from dlbench.core.errors import UnsupportedError
from dlbench.core.types import LATENCY_LIMIT_OPTION, Scenario
from dlbench.measure import loadgen, server
from tests import subjects, waiting
from tests.controls import Metronome
from tests.queries import QUICK
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks

INSTALLED = list(subjects.installed())

LIMIT_MS = 50


def served(framework: str) -> dict[str, Any]:
    """The server scenario under a limit, or the sentence that no rate holds it."""
    request = request_for(
        framework,
        "bert_base",
        scenario=Scenario.SERVER,
        batch_size=1,
        options=((LATENCY_LIMIT_OPTION, str(LIMIT_MS)),),
    )
    subject = registry.framework(framework).open_subject(request)
    try:
        samples = server.serve(subject, request.case, QUICK, lambda *_: None, seed=1)
    except UnsupportedError as error:
        return {"no_rate": error.message}
    answer = subject.fetch(samples.last_output).copy()
    wanted = subject.fetch(subject.query(samples.last_buffer))
    seconds = sum(v.duration_s for v in samples.values)
    return {
        "rate": samples.facts["offered_queries_per_s"],
        "answered": sum(v.n_samples for v in samples.values) / seconds,
        "late": sum(q > LIMIT_MS / 1e3 for q in samples.queries_s),
        "n": len(samples.queries_s),
        "same": bool((answer == wanted).all()),
    }


@pytest.mark.parametrize("framework", INSTALLED)
def test_it_holds_the_limit_at_the_rate_that_it_states(framework: str) -> None:
    """Answers are those of the model, 99 of 100 in time, and it keeps up."""
    pytest.importorskip("mlperf_loadgen")
    with Metronome() as beside:
        found = subjects.ask(framework, served)
    if "no_rate" in found:
        waiting.skip_without_a_rate(found["no_rate"], LIMIT_MS / 1e3, beside)
    assert "no_rate" not in found, found["no_rate"]
    assert found["same"]
    assert found["late"] <= 0.01 * found["n"]
    # Poisson arrivals: within five standard deviations, however few a busy machine has time for.
    arrivals = 5 / found["n"] ** 0.5
    assert found["answered"] == pytest.approx(found["rate"], rel=max(0.2, arrivals))


def driven(framework: str) -> dict[str, Any]:
    """Offline four at a time, then one by one."""
    request = request_for(framework, "bert_base", options=(("driver", "loadgen"),))
    subject = registry.framework(framework).open_subject(request)
    found = {}
    for scenario, size in ((Scenario.OFFLINE, 4), (Scenario.SINGLE_STREAM, 1)):
        case = replace(request.case, scenario=scenario, batch_size=size)
        samples = loadgen.drive(subject, case, QUICK, lambda *_: None, seed=1)
        answer = subject.fetch(samples.last_output).copy()
        wanted = subject.fetch(subject.query(samples.last_buffer))
        found[str(scenario)] = {
            "same": bool((answer == wanted).all()),
            "n": sum(v.n_samples for v in samples.values),
            "queries": len(samples.queries_s),
            "busy": sum(samples.queries_s) / sum(v.duration_s for v in samples.values),
        }
    return found


@pytest.mark.parametrize("framework", INSTALLED)
def test_offline_and_single_stream_run_under_loadgen(framework: str) -> None:
    """The last answer is the model's, and queries are counted one by one in a single stream."""
    pytest.importorskip("mlperf_loadgen")
    found = subjects.ask(framework, driven)
    assert all(x["same"] for x in found.values())
    assert found["offline"]["n"] % 4 == 0
    assert found["offline"]["queries"] == 0
    assert found["single_stream"]["queries"] == found["single_stream"]["n"] > 0
    # One after the other: they fill the time, however many a busy machine has time for.
    assert 0.5 < found["single_stream"]["busy"] < 1.1
