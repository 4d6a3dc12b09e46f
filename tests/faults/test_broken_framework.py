"""A framework that is installed and broken is an outcome with its install line; the run goes on."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench import session, workloads
from dlbench.core import registry
from dlbench.core.types import Absent, Outcome
from tests import builders, sessions

REAL = [name for name in registry.names("frameworks") if name != "fake"]
PACKAGES = {"pytorch": "torch"}

BREAKS = {
    "raises": ("raise RuntimeError('built for another CPU')", "missing_dependency"),
    "lacks a library": ("raise ImportError('libcudnn.so.9: no such file')", "missing_dependency"),
    "segv": ("import ctypes; ctypes.string_at(0)", "crashed(11)"),
    "illegal": ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "crashed(4)"),
    "leaves": ("import os; os._exit(1)", "error(no_result)"),
}


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a framework whose package breaks when it is imported, in workers."""
    framework, source = request.param
    if framework == "tensorflow" and importlib.util.find_spec("keras") is None:
        pytest.skip("keras, which comes with TensorFlow, is not installed")
    package = tmp_path / "site" / PACKAGES.get(framework, framework)
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    path = os.pathsep.join(filter(None, (str(package.parent), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    return str(framework)


def _run(framework: str, results: Path) -> tuple[Outcome, Outcome]:
    """A case of the framework, and one of the fake one behind it."""
    cpu = registry.device_kind("cpu").find()
    assert not isinstance(cpu, Absent)
    case = builders.case(workload="ncf", framework=framework, device="cpu", variant="tiny")
    planned = sessions.plan([case, sessions.fake_case()])
    info = workloads.read(workloads.folders()["ncf"]).info("tiny")
    planned = replace(planned, workloads=(info, *planned.workloads))
    finished = session.run_plan(
        planned,
        sessions.surroundings(),
        (*cpu, *sessions.devices()),
        session.Settings(folder=results),
    )
    first, second = (r.outcome for r in finished.run.results)
    return first, second


@pytest.mark.parametrize(
    ("broken", "expected"),
    [((name, source), kind) for name in REAL for source, kind in BREAKS.values()],
    ids=[f"{name} {how}" for name in REAL for how in BREAKS],
    indirect=["broken"],
)
def test_the_outcome_has_the_install_line_and_the_run_goes_on(
    broken: str, expected: str, results: Path
) -> None:
    """Whether it raises, crashes or leaves; told is which framework, and what installs it."""
    outcome, healthy = _run(broken, results)
    assert str(outcome) == expected
    assert registry.framework(broken).INSTALL in outcome.advice
    # pip takes what has its metadata for satisfied; dlbench may be on no index.
    _, _, packages = outcome.advice.partition("pip install --force-reinstall ")
    assert PACKAGES.get(broken, broken) in packages.split()
    assert "dlbench" not in packages
    assert outcome.message
    if expected != "missing_dependency":
        assert f"while {broken} was imported" in outcome.message
    assert healthy.ok


@pytest.mark.parametrize("name", REAL)
def test_an_install_line_is_an_extra_that_exists(name: str) -> None:
    """What is told can be typed: the extra is in pyproject.toml."""
    import tomllib

    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    install = registry.framework(name).INSTALL
    assert install.startswith("pip install 'dlbench[")
    extra = install.partition("[")[2].partition("]")[0]
    assert set(extra.split(",")) <= set(extras["project"]["optional-dependencies"])
