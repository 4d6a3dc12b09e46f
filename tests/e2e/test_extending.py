"""The adapter printed in docs/extend/add-a-framework.md works, as a stranger would offer it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dlbench import load_runs, workloads
from dlbench.core.errors import EXIT_SOME_FAILED

PAGE = Path(__file__).parents[2] / "docs/extend/add-a-framework.md"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A package that offers the printed adapter, and a workload with the printed model."""
    pytest.importorskip("numpy")
    text = PAGE.read_text(encoding="utf-8")
    blocks = [block.split("```", 1)[0] for block in text.split("```python\n")[1:]]
    package = tmp_path / "site/my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "numpy_plain.py").write_text(blocks[-2])
    offered = text.split("```toml\n", 1)[1].split("```", 1)[0]
    header, line = offered.splitlines()
    assert header == '[project.entry-points."dlbench.frameworks"]'
    metadata = tmp_path / "site/my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    # As a build writes the table of pyproject.toml.
    entries = "[dlbench.frameworks]\n" + line.replace('"', "")
    (metadata / "entry_points.txt").write_text(entries)
    shutil.copytree(workloads.folders()["gemm"], tmp_path / "gemm")
    (tmp_path / "gemm/model_numpy.py").write_text(blocks[-1])
    return tmp_path


def _dlbench(home: Path, *arguments: str, code: int = 0) -> Any:
    path = os.pathsep.join(filter(None, (str(home / "site"), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "dlbench", *arguments, "--json"],
        capture_output=True, text=True, cwd=home, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_the_printed_adapter_is_listed(home: Path) -> None:
    """With its version, and without an option, which it need not name."""
    import numpy as np

    found = _dlbench(home, "list")["frameworks"]["numpy_plain"]
    assert found["version"] == np.__version__


def test_the_printed_adapter_measures_and_passes_the_gate(home: Path) -> None:
    """Its answers are those of the workload's reference, by the same rules as of our own."""
    asked = ("./gemm", "-f", "numpy_plain", "-d", "cpu", "--variant", "tiny")
    summary = _dlbench(home, "run", *asked, "--profile", "quick", "--time-budget", "5s")
    (case,) = summary["cases"]
    assert case["outcome"]["kind"] == "ok", case["outcome"]
    (path,) = (home / "results").glob("*.json")
    (result,) = load_runs([path])[0].results
    passed = {check.rule: check.passed for trial in result.trials for check in trial.checks}
    assert passed["outputs_match_reference"] is passed["device_as_asked"] is True
    assert False not in passed.values()


def test_an_adapter_that_does_not_import_stops_no_command(home: Path) -> None:
    """It is absent with a reason; all others are listed, and asked for by name it is told."""
    (home / "site/my_package/numpy_plain.py").write_text("raise RuntimeError('an older dlbench')")
    found = _dlbench(home, "list")["frameworks"]
    assert found["numpy_plain"]["installed"] is False
    assert "RuntimeError: an older dlbench" in found["numpy_plain"]["reason"]
    assert found["fake"]["installed"] is True
    asked = ("fake", "-f", "fake,numpy_plain", "--mode", "inference", "--time-budget", "1s")
    summary = _dlbench(home, "run", *asked, code=EXIT_SOME_FAILED)
    assert [c["outcome"]["kind"] for c in summary["cases"]] == ["ok"]
    skipped = {s["outcome"]["kind"] for s in summary["skips"]}
    assert skipped == {"missing_dependency"}


def test_an_adapter_that_two_packages_offer_is_told_with_both(home: Path) -> None:
    """Which of them would run is not for the order of a folder to decide."""
    other = shutil.copytree(
        home / "site/my_package-1.0.dist-info", home / "site/other-2.0.dist-info"
    )
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    found = _dlbench(home, "list")["frameworks"]["numpy_plain"]
    assert found["installed"] is False
    assert "several packages offer it: my-package, other" in found["reason"]
