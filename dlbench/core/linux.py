"""Measuring reads the kernel's accounts of processes, cores and limits, as Linux keeps them."""

from __future__ import annotations

import platform
import sys

from dlbench.core.errors import MissingError


def require_linux(what: str) -> None:
    """Return on Linux.

    Raises:
        MissingError: this is another system, on which ``what`` would know too little.
    """
    if sys.platform != "linux":
        raise MissingError(
            f"{what} needs Linux, and this is {platform.system() or sys.platform}",
            "On Windows, use WSL 2. What reads documents needs none: recommend, report, compare.",
        )
