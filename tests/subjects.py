"""Subjects as the worker would open them, and one process a framework in which tests ask about them.

Importing a framework takes seconds, and two in one process fight over threads. So every test of real
subjects names a function of its own module, and the framework's process calls it::

    def losses(framework: str, workload: str) -> list[float]: ...  # runs beside

    found = subjects.ask("tensorflow", losses, "resnet50")         # in the test
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, Case, Mode, Policy, Precision, Scenario


def request_for(framework: str, workload: str, **changes: Any) -> SubjectRequest:
    """What the worker would hand to the adapter for a tiny inference case."""
    base: dict[str, Any] = {
        "workload": workload,
        "framework": framework,
        "device": "cpu",
        "precision": Precision.FP32,
        "mode": Mode.INFERENCE,
        "scenario": Scenario.OFFLINE,
        "policy": Policy.BASE,
        "batch_size": 4,
        "variant": "tiny",
    }
    case = Case(**{**base, **changes})
    found = workloads.read(workloads.folders()[workload])
    device = registry.device_kind("fake" if framework == "fake" else "cpu").find()
    assert not isinstance(device, Absent)
    return SubjectRequest(
        case=case,
        device=device[0],
        spec=found.spec(case.variant),
        load_model=lambda: workloads.load_model(
            found.folder, str(registry.model_stem(framework, found.model_files))
        ),
        threads=1,
        seed=0,
        scratch=Path(tempfile.gettempdir()),
    )


def installed() -> dict[str, Capability]:
    """Every real framework that is here, with what it can do."""
    probes = {n: registry.framework(n).probe() for n in registry.names("frameworks") if n != "fake"}
    return {name: found for name, found in probes.items() if not isinstance(found, Absent)}


def ask(framework: str, question: Callable[..., Any], *arguments: Any) -> Any:
    """What a module's function answers in the framework's process; arguments and answer are JSON.

    Raises:
        AssertionError: with the traceback, if it raised there, or the process died.
    """
    process = _process(framework)
    assert process.stdin
    assert process.stdout
    asked = [question.__module__, question.__name__, framework, *arguments]
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{json.dumps(asked)}\n")
        process.stdin.flush()
    for line in process.stdout:
        if line.startswith(ANSWER):
            answer = json.loads(line.removeprefix(ANSWER))
            assert "failed" not in answer, answer["failed"]
            return answer["found"]
    code = process.wait()
    end_processes()
    raise AssertionError(f"the {framework} process died with code {code} in {asked}")


ANSWER = "ANSWER "

QUICKLY_COMPILED = {"jax": {"XLA_FLAGS": "--xla_backend_optimization_level=0"}}
"""What is computed is asked here, not how fast: XLA's programs are then compiled in half the time."""

_running: dict[str, subprocess.Popen[str]] = {}


def _process(framework: str) -> subprocess.Popen[str]:
    if framework not in _running:
        _running[framework] = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.subjects"],
            env={**os.environ, **QUICKLY_COMPILED.get(framework, {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    return _running[framework]


def end_processes() -> None:
    """All that were started."""
    for process in _running.values():
        process.kill()
        process.communicate()
    _running.clear()


def _answer() -> None:
    """Call what is named line by line on stdin."""
    for line in sys.stdin:
        module, function, *arguments = json.loads(line)
        if keras := sys.modules.get("keras"):  # a test that was asked before may have left its own
            keras.mixed_precision.set_dtype_policy("float32")
        try:
            answer = {"found": getattr(importlib.import_module(module), function)(*arguments)}
        except Exception:  # noqa: BLE001 - the test that asked fails with it
            answer = {"failed": traceback.format_exc()}
        print(ANSWER + json.dumps(answer), flush=True)
        gc.collect()  # models hold themselves in cycles, and there are many


if __name__ == "__main__":
    _answer()
