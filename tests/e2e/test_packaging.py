"""The wheel holds what it needs, and works from where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_workloads_and_templates(wheel: Path) -> None:
    """And neither tests nor results."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "dlbench/_workloads/resnet50/workload.toml",
        "dlbench/_workloads/resnet50/model_keras.py",
        "dlbench/_workloads/lstm_lm/reference.json",
        "dlbench/_workloads/suites.toml",
        "dlbench/report/template.html",
        "dlbench/report/report.css",
        "dlbench/report/report.js",
        "dlbench/report/charts.js",
        "dlbench/report/plotly_js/plotly-basic.min.js",
        "dlbench/report/plotly_js/LICENSE",
    ):
        assert wanted in names
    assert not any(name.startswith(("tests/", "results/", "benchmarks/")) for name in names)


def test_the_source_distribution_holds_all_of_the_wheel_and_no_test_without_its_data(
    tmp_path: Path,
) -> None:
    """Tests read the published results, which are too large for it."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--sdist",
            "--no-isolation",
            "--outdir",
            str(tmp_path),
            ".",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in (
        "dlbench/report/report.js",
        "workloads/suites.toml",
        "docs/schema.md",
        "LICENSE",
    ):
        assert wanted in names
    assert {name.partition("/")[0] for name in names}.isdisjoint(
        {"tests", "results", "reports", "benchmarks", "scripts", "Makefile"}
    )


def test_the_installed_wheel_measures(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, away from the checkout: it finds its workloads and runs."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)  # noqa: S202 - made here, a moment ago
    variables = {**os.environ, "PYTHONPATH": str(site)}

    def dlbench(*arguments: str) -> str:
        # -S and -I would hide the dependencies; the path puts the wheel before the checkout.
        done = subprocess.run(
            [sys.executable, "-m", "dlbench", *arguments],
            capture_output=True, text=True, cwd=tmp_path, env=variables, check=True,
        )  # fmt: skip
        return done.stdout

    listed = json.loads(dlbench("list", "--json"))
    assert {"resnet50", "lstm_lm"} <= {w["name"] for w in listed["workloads"]}
    code = "import dlbench; print(dlbench.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=variables
    )
    assert where.stdout.startswith(str(site))
    summary = json.loads(
        dlbench("run", "fake", "-f", "fake", "--mode", "inference", "--time-budget", "1s", "--json")
    )
    assert summary["cases"][0]["outcome"]["kind"] == "ok"
