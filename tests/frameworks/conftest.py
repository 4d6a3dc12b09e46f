"""The frameworks' processes end with the last test that asks them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import subjects


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Other folders' tests measure time, and want the memory."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        subjects.end_processes()
