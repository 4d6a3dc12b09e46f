"""Inputs that come from the host, and from files by each framework's own loader."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dlbench.core import registry
from dlbench.core.types import Absent

pytestmark = pytest.mark.frameworks

INSTALLED = [
    name
    for name in registry.names("frameworks")
    if name != "fake" and not isinstance(registry.framework(name).probe(), Absent)
]

PROGRAM = """
import json, sys
import numpy as np
from tests.conformance.test_frameworks import request_for
from dlbench.core import registry
from dlbench.core.types import DataMode, Mode

def rows(subject, buffers):
    return [subject.fetch(subject.query(b)).ravel()[:200].tolist() for b in buffers]

def main():
    framework, found = sys.argv[1], {}
    adapter = registry.framework(framework)
    for workload in ("resnet50", "deepspeech2"):
        plain = adapter.open_subject(request_for(framework, workload))
        n = plain.n_buffers
        wanted = rows(plain, range(n))
        host = adapter.open_subject(request_for(framework, workload, data_mode=DataMode.HOST))
        for b in range(n):
            host.refill(b)
        piped = adapter.open_subject(request_for(framework, workload, data_mode=DataMode.PIPELINE))
        fed = []
        for _ in range(3):
            piped.refill(n)
            fed.append(rows(piped, [n])[0])
        found[workload] = {
            "wanted": wanted,
            "host": rows(host, range(n)),
            "beside": rows(piped, range(n)),
            "fed": fed,
            "finite": bool(np.isfinite(fed).all()),
        }
        if Mode.TRAINING in adapter.probe().modes:
            trained = adapter.open_subject(
                request_for(
                    framework, workload, mode=Mode.TRAINING, scenario=None,
                    data_mode=DataMode.PIPELINE,
                )
            )
            losses = []
            for _ in range(3):
                trained.refill(n)
                losses.append(float(trained.fetch(trained.step(n))))
            found[workload]["losses"] = losses
    print("ANSWER", json.dumps(found), flush=True)

if __name__ == "__main__":
    main()
"""


@cache
def _results(framework: str, folder: Path) -> Any:
    script = folder / f"on_{framework}.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), framework],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path.cwd()), "PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(folder)},
    )
    lines = [x for x in done.stdout.splitlines() if x.startswith("ANSWER ")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0].removeprefix("ANSWER "))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of files for all frameworks."""
    return tmp_path_factory.mktemp("data")


WORKLOADS = ("resnet50", "deepspeech2")


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("framework", INSTALLED)
def test_what_comes_from_the_host_is_what_was_resident(
    framework: str, workload: str, folder: Path
) -> None:
    """Bit by bit: the copy changes nothing, so that the gate holds as it stands."""
    found = _results(framework, folder)[workload]
    assert found["host"] == found["wanted"]
    assert found["beside"] == found["wanted"]


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("framework", INSTALLED)
def test_a_pipeline_brings_new_batches_of_what_is_in_the_files(
    framework: str, workload: str, folder: Path
) -> None:
    """Finite, different each time, not the seeded ones; and training runs on them."""
    found = _results(framework, folder)[workload]
    assert found["finite"]
    first, second, third = found["fed"]
    assert first != second != third
    assert first not in found["wanted"]
    if "losses" in found:
        assert len(set(found["losses"])) == 3
        assert all(0 < x < 1000 for x in found["losses"])


@pytest.mark.parametrize("framework", [f for f in INSTALLED if f != "pytorch"])
def test_all_loaders_decode_the_same_files_to_the_same_inputs(framework: str, folder: Path) -> None:
    """Sounds to rounding; pictures, which each library scales in its own way, on average."""
    if "pytorch" not in INSTALLED:
        pytest.skip("pytorch is not installed")
    ours, theirs = _results(framework, folder), _results("pytorch", folder)
    for a, b in zip(ours["deepspeech2"]["fed"], theirs["deepspeech2"]["fed"], strict=True):
        assert a == pytest.approx(b, abs=2e-3)
    for a, b in zip(ours["resnet50"]["fed"], theirs["resnet50"]["fed"], strict=True):
        spread = max(b) - min(b)
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) < 0.25 * spread
