"""What doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "limited", "missing", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about this machine: what it is, and what to do if it is not as it should be."""

    topic: str
    status: Status
    message: str
    remedy: str = ""
