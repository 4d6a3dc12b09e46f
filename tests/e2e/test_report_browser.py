"""The report in a real browser: charts drawn, nothing hostile run, nothing requested."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dlbench.core.types import Run
from dlbench.report import build
from tests import builders
from tests.unit.report.test_build import hostile_run

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt install chromium)"),
]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
)


def _open(tmp_path: Path, run: Run, *flags: str) -> tuple[str, str]:
    """The page's DOM once its scripts have run, and what the browser logged."""
    page = tmp_path / "report.html"
    page.write_text(build.build([run]), encoding="utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            *flags,
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout, done.stderr


def _console_errors(log: str) -> list[str]:
    return [line for line in log.splitlines() if "CONSOLE" in line]


def test_the_chart_is_drawn_without_a_console_message(tmp_path: Path) -> None:
    """Bars with whiskers in an SVG, and the theme button is there."""
    dom, log = _open(tmp_path, builders.sealed_run())
    assert "main-svg" in dom
    assert len(re.findall(r'class="point"', dom)) >= 2
    assert 'class="errorbar"' in dom
    assert _console_errors(log) == []
    assert re.search(r'<button[^>]*id="theme"[^>]*hidden', dom) is None


def test_hostile_documents_run_nothing(tmp_path: Path) -> None:
    """The title is the canary; the policy has nothing to refuse because nothing tried."""
    dom, log = _open(tmp_path, hostile_run())
    title = re.search(r"<title>(.*?)</title>", dom, flags=re.DOTALL)
    assert title is not None
    assert title[1].startswith("dlbench: ")
    assert "main-svg" in dom
    assert _console_errors(log) == []


def test_dark_mode_changes_the_charts_ink(tmp_path: Path) -> None:
    """Text in the chart follows the page's colours."""
    light, _ = _open(tmp_path, builders.sealed_run(), "--blink-settings=preferredColorScheme=1")
    dark, _ = _open(tmp_path, builders.sealed_run(), "--blink-settings=preferredColorScheme=0")
    ink = {
        name: set(re.findall(r"fill: (rgb\([^)]*\))", dom))
        for name, dom in (("light", light), ("dark", dark))
    }
    assert "rgb(27, 31, 36)" in ink["light"]
    assert "rgb(233, 236, 239)" in ink["dark"]
