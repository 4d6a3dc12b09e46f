"""Bytes from a path or an https address, with a cap. The only place that opens a connection."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from dlbench.core import catalog_rows
from dlbench.core.errors import MissingError, StoreError, UsageError

TIMEOUT_S = 30.0


def read(where: str, limit: int) -> bytes:
    """The bytes there, at most ``limit``.

    Raises:
        UsageError: an address that is not https.
        MissingError: it cannot be reached.
        StoreError: it is too large, or a path that cannot be read.
    """
    if "://" not in where:
        return catalog_rows.read_bytes(Path(where), limit)
    if urlsplit(where).scheme != "https":
        raise UsageError(f"{where} is not an https address", "Use https, or download it first.")
    try:
        with urllib.request.urlopen(where, timeout=TIMEOUT_S) as answer:  # noqa: S310 - https only
            if urlsplit(answer.url).scheme != "https":
                raise UsageError(f"{where} leads away from https", "Download it first.")
            data: bytes = answer.read(limit + 1)
    except (urllib.error.URLError, TimeoutError, OSError, ValueError) as error:
        raise MissingError(
            f"{where} cannot be fetched: {error}", "Download it and give the path: --from FILE"
        ) from error
    if len(data) > limit:
        raise StoreError(f"{where} is larger than {limit >> 20} MiB", "Is it the right address?")
    return data
