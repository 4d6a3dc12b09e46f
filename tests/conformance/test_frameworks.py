"""Every framework adapter that discovery finds: honest about what is missing, and synchronising."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlbench.core import registry
from dlbench.core.protocols import Capability, Subject
from dlbench.core.types import Absent
from tests.subjects import request_for

NAMES = registry.names("frameworks")
REAL = [name for name in NAMES if name != "fake"]
PACKAGES = {name: {"pytorch": "torch"}.get(name, name) for name in REAL}
"""Framework and package have the same name, but for PyTorch."""

HEAVY = {*PACKAGES.values(), "onnx", "pandas", "numpy"}


@pytest.mark.parametrize("name", NAMES)
def test_probing_imports_nothing_heavy(name: str) -> None:
    """A probe runs in the command line's process, which must stay light."""
    program = (
        f"import sys; from dlbench.core import registry; registry.framework({name!r}).probe()\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", REAL)
def test_without_its_package_it_is_absent_with_the_install_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exact command that would make it present."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda package, *a: None if package == PACKAGES[name] else real(package, *a),
    )
    found = registry.framework(name).probe()
    assert isinstance(found, Absent)
    assert found.remedy.startswith("pip install 'dlbench[")


@pytest.mark.parametrize("name", REAL)
def test_a_broken_package_is_a_missing_dependency(name: str, tmp_path: Path, results: Path) -> None:
    """One that raises at import becomes an outcome in the child, with the install line."""
    package = tmp_path / "broken" / PACKAGES[name]
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('built for another CPU')")
    metadata = package.parent / f"{package.name}-9.9.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package.name}\nVersion: 9.9\n")
    program = (
        "import sys; from pathlib import Path; from dlbench.core import registry\n"
        "from tests.subjects import request_for\n"
        "from dlbench.core.errors import MissingDependencyError\n"
        f"try: registry.framework({name!r}).open_subject(request_for({name!r}, 'resnet50'))\n"
        "except MissingDependencyError as error: print(error.message, '|', error.advice)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{package.parent}:{Path.cwd()}", "PATH": "/usr/bin:/bin"},
    )
    assert "built for another CPU | pip install 'dlbench[" in done.stdout, done.stderr


@pytest.mark.frameworks
def test_openvinos_converter_tells_nobody() -> None:
    """It would send an event of each conversion over the network."""
    pytest.importorskip("openvino")
    program = (
        "from openvino_telemetry import main\n"
        "from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult as Consent\n"
        "real, found = main.Telemetry.init, []\n"
        "def init(self, *a, **k):\n"
        "    real(self, *a, **k)\n"
        "    found.append(self.consent)\n"
        "main.Telemetry.init = init\n"
        "from dlbench.core import registry\n"
        "from tests.subjects import request_for\n"
        "registry.framework('openvino').open_subject(request_for('openvino', 'ncf'))\n"
        "print('CONSENT', found)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True
    )
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("CONSENT")] or [done.stderr]
    assert "False" in line
    assert "True" not in line


def test_a_cpu_build_of_pytorch_says_why_it_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version ends in +cpu; one without that may run on nvidia."""
    adapter = registry.framework("pytorch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: object())
    for version, kinds in (("2.13.0+cpu", {"cpu"}), ("2.13.0", {"cpu", "nvidia"})):
        monkeypatch.setattr(importlib.metadata, "version", lambda _, v=version: v)
        found = adapter.probe()
        assert isinstance(found, Capability)
        assert set(found.precisions) == kinds
        assert ("nvidia" in found.reasons) is (kinds == {"cpu"})


def test_half_a_second_of_work_cannot_read_as_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subject returns at once and works on; only synchronising shows it.

    On a clock that moves by being read, and by sleeping: no load of the machine is in it.
    """
    now_s = [1000.0]

    def pass_s(seconds: float) -> float:
        now_s[0] += seconds
        return now_s[0]

    clock = SimpleNamespace(monotonic=lambda: pass_s(1e-6), sleep=pass_s)
    monkeypatch.setattr(registry.framework("fake"), "time", clock)
    subject = _fake_subject(step_ms="500")
    start_s = now_s[0]
    subject.query(0)
    assert now_s[0] - start_s < 1e-3
    subject.synchronize()
    assert now_s[0] - start_s == pytest.approx(0.5, abs=1e-3)


def _fake_subject(**options: str) -> Subject:
    return registry.framework("fake").open_subject(
        request_for("fake", "fake", options=tuple(options.items()))
    )


def test_a_weight_without_a_rule_is_refused() -> None:
    """A model with a parameter that the TOML does not know is not filled at random."""
    pytest.importorskip("numpy")
    from dlbench.core.errors import UnsupportedError
    from dlbench.frameworks import _seeded

    with pytest.raises(UnsupportedError, match="no weight rule for surprise"):
        _seeded.weight({"name": "w", "seed": 0, "weights": []}, "surprise", (1,))


def test_seeded_numbers_depend_on_name_and_seed_alone() -> None:
    """Not on order, and sample j of a buffer not on the batch size."""
    from dlbench.frameworks import _seeded

    spec = {
        "name": "w",
        "seed": 5,
        "weights": [{"match": "*", "kind": "fan_in_uniform", "gain": 1.0}],
        "inputs": {"input": {"shape": [3], "dtype": "float32", "std": 1.0}},
    }
    first = _seeded.weight(spec, "a", (4, 3))
    _seeded.weight(spec, "b", (4, 3))
    assert (_seeded.weight(spec, "a", (4, 3)) == first).all()
    assert not (_seeded.weight(spec, "b", (4, 3)) == first).any()
    assert abs(first).max() <= 1.0
    small, large = (_seeded.batch(spec, "inputs", 2, n)[0] for n in (2, 5))
    assert (small == large[:2]).all()
    assert (_seeded.batch(spec, "inputs", 1, 2)[0] != small).all()
