"""Find a Chromium on this machine: what prints a report to PDF, and what tests it."""

from __future__ import annotations

import shutil

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "chrome",
)

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
)
"""Nothing of the browser's own may fetch anything, ask anything or stay behind."""


def find() -> str | None:
    """The path of the first browser that is here."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
