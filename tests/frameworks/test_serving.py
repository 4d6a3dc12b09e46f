"""Every framework that is installed answers LoadGen's queries, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dlbench.core import registry
from dlbench.core.types import Absent

pytestmark = pytest.mark.frameworks

INSTALLED = [
    name
    for name in registry.names("frameworks")
    if name != "fake" and not isinstance(registry.framework(name).probe(), Absent)
]

LIMIT_MS = 50

PROGRAM = f"""
import json, sys
from dataclasses import replace
from tests.conformance.test_frameworks import request_for
from tests.unit.measure.test_server import QUICK
from dlbench.core import registry
from dlbench.core.types import Scenario
from dlbench.measure import server
framework = sys.argv[1]
request = request_for(
    framework,
    "bert_base",
    scenario=Scenario.SERVER,
    batch_size=1,
    options=(("latency_limit_ms", "{LIMIT_MS}"),),
)
subject = registry.framework(framework).open_subject(request)
samples = server.serve(subject, request.case, QUICK, lambda *_: None, seed=1)
answer = subject.fetch(samples.last_output)
wanted = subject.fetch(subject.query(samples.last_buffer))
print("ANSWER", json.dumps({{
    "rate": samples.facts["offered_queries_per_s"],
    "answered": sum(v.n_samples for v in samples.values) / sum(v.duration_s for v in samples.values),
    "late": sum(q > {LIMIT_MS} / 1e3 for q in samples.queries_s),
    "n": len(samples.queries_s),
    "same": bool((answer == wanted).all()),
}}), flush=True)
"""


@pytest.mark.parametrize("framework", INSTALLED)
def test_it_holds_the_limit_at_the_rate_that_it_states(framework: str) -> None:
    """Answers are those of the model, 99 of 100 in time, and it keeps up."""
    pytest.importorskip("mlperf_loadgen")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, framework],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [x for x in done.stdout.splitlines() if x.startswith("ANSWER ")]
    assert lines, done.stderr[-2000:]
    found = json.loads(lines[0].removeprefix("ANSWER "))
    assert found["same"]
    assert found["late"] <= 0.01 * found["n"]
    assert found["answered"] == pytest.approx(found["rate"], rel=0.2)


DRIVEN = """
import json, statistics, sys
from dataclasses import replace
from tests.conformance.test_frameworks import request_for
from tests.unit.measure.test_server import QUICK
from dlbench.core import registry
from dlbench.core.types import Scenario
from dlbench.measure import loadgen
framework = sys.argv[1]
request = request_for(framework, "bert_base", options=(("driver", "loadgen"),))
subject = registry.framework(framework).open_subject(request)
found = {}
for scenario, size in ((Scenario.OFFLINE, 4), (Scenario.SINGLE_STREAM, 1)):
    case = replace(request.case, scenario=scenario)
    samples = loadgen.drive(subject, replace(case, batch_size=size), QUICK, lambda *_: None, seed=1)
    answer = subject.fetch(samples.last_output).copy()
    wanted = subject.fetch(subject.query(samples.last_buffer))
    found[scenario] = {
        "same": bool((answer == wanted).all()),
        "n": sum(v.n_samples for v in samples.values),
        "queries": len(samples.queries_s),
    }
print("ANSWER", json.dumps(found), flush=True)
"""


@pytest.mark.parametrize("framework", INSTALLED)
def test_offline_and_single_stream_run_under_loadgen(framework: str) -> None:
    """The last answer is the model's, and queries are counted one by one in a single stream."""
    pytest.importorskip("mlperf_loadgen")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVEN, framework],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [x for x in done.stdout.splitlines() if x.startswith("ANSWER ")]
    assert lines, done.stderr[-2000:]
    found = json.loads(lines[0].removeprefix("ANSWER "))
    assert all(x["same"] for x in found.values())
    assert found["offline"]["n"] % 4 == 0
    assert found["offline"]["queries"] == 0
    assert found["single_stream"]["queries"] == found["single_stream"]["n"] > 100
