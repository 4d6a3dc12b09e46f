"""One session a device at a time: two that share a device measure each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dlbench.core.errors import StoreError, UsageError


def lock_folder() -> Path:
    """Where locks lie: shared by all users of the machine, since they share its devices."""
    return Path(os.environ.get("DLBENCH_LOCK_DIR") or tempfile.gettempdir())


@contextlib.contextmanager
def device_lock(device_id: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of one device.

    Raises:
        UsageError: another session holds it, and ``wait`` was not asked for.
        StoreError: the lock file cannot be opened.
    """
    path = lock_folder() / f"dlbench-{device_id.replace(':', '-')}.lock"
    try:
        # O_NOFOLLOW: the folder is world-writable, and a planted link must not be followed.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(
            f"the lock file {path} cannot be opened: {error.strerror}",
            "Set DLBENCH_LOCK_DIR to a folder that can be written.",
        ) from error
    try:
        _acquire(descriptor, device_id, wait=wait)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, device_id: str, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise UsageError(
            f"device {device_id} is being measured by another dlbench"
            + (f" (process {holder})" if holder.isdigit() else ""),
            "Wait for it, or give --wait.",
        ) from None
