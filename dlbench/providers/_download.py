"""Bytes from a path or an https address, with a cap. The only place that opens a connection."""

from __future__ import annotations

import http.client
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
        MissingError: it cannot be reached, or breaks off.
        StoreError: it is too large, or a path that cannot be read.
    """
    if "://" not in where:
        return catalog_rows.read_bytes(Path(where), limit)
    try:
        if urlsplit(where).scheme != "https":
            raise UsageError(f"{where} is not an https address", "Use https, or download it first.")
        with urllib.request.urlopen(where, timeout=TIMEOUT_S) as answer:  # noqa: S310 - https only
            if urlsplit(answer.url).scheme != "https":
                raise UsageError(f"{where} leads away from https", "Download it first.")
            data: bytes = answer.read(limit + 1)
            promised = answer.headers.get("Content-Length", "")
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
        raise MissingError(
            f"{where} cannot be fetched: {error}", "Download it and give the path: --from FILE"
        ) from error
    if len(data) > limit:
        raise StoreError(f"{where} is larger than {limit >> 20} MiB", "Is it the right address?")
    # http.client takes a connection that breaks off for the end, unless it reads without a cap.
    if promised.isdigit() and len(data) < int(promised):
        raise MissingError(
            f"{where} broke off after {len(data):,} of {int(promised):,} bytes",
            "Try again, or download it and give the path: --from FILE",
        )
    return data
