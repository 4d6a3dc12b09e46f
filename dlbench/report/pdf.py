"""A page on paper, printed by a Chromium that is on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from dlbench.core.errors import MissingError, StoreError
from dlbench.report import browser

MOST_S = 180.0


def printed(page: str) -> bytes:
    """An HTML page as a PDF.

    The browser has a profile of its own that is thrown away, and may open nothing but this page.

    Raises:
        MissingError: there is no browser here.
        StoreError: it did not print.
    """
    found = browser.find()
    if found is None:
        raise MissingError(
            "a PDF is printed by Chromium or Chrome, and neither is on this machine",
            "Install one (Debian: sudo apt install chromium), or write HTML and print it elsewhere.",
        )
    with tempfile.TemporaryDirectory(prefix="dlbench-pdf-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        _run(_command(found, source, target))
        if not target.is_file():
            raise StoreError(f"{found} printed nothing", "dlbench report --format html")
        return target.read_bytes()


def _command(found: str, source: Path, target: Path) -> list[str]:
    # Root has no sandbox to enter; the page itself can do nothing by its own policy.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return [
        found,
        *browser.FLAGS,
        *sandbox,
        f"--user-data-dir={source.parent / 'profile'}",
        "--no-pdf-header-footer",
        f"--print-to-pdf={target}",
        source.as_uri(),
    ]


def _run(command: list[str]) -> None:
    """Run it in a process group of its own, which ends with it."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(timeout=MOST_S)
    except subprocess.TimeoutExpired as error:
        raise StoreError(
            f"{command[0]} did not print within {MOST_S:.0f} s", "dlbench report --format html"
        ) from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
