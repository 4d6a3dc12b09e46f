"""Nobody else on a device: two programs that share one measure each other."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dlbench.core import registry
from dlbench.core.errors import StoreError, UsageError
from dlbench.core.types import Absent, DeviceInfo


def lock_folder() -> Path:
    """Where locks lie: shared by all users of the machine, since they share its devices.

    Raises:
        StoreError: no folder for temporary files can be written, as in a read-only container.
    """
    try:
        return Path(os.environ.get("DLBENCH_LOCK_DIR") or tempfile.gettempdir())
    except OSError as error:
        raise StoreError(f"there is no folder for locks: {error.strerror}", LOCK_DIR) from error


LOCK_DIR = "Set DLBENCH_LOCK_DIR to a folder that can be written."


def lock_name(device: DeviceInfo) -> str:
    """What a device is called in every session, by letters, digits and dashes.

    Its id is not that: CUDA_VISIBLE_DEVICES numbers GPUs anew, and one session's second is another's
    first.
    """
    name = device.id if isinstance(device.uuid, Absent) else device.uuid
    return re.sub("[^A-Za-z0-9]", "-", name)


@contextlib.contextmanager
def device_lock(device_id: str, name: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of one device.

    Args:
        device_id: what it is called in a refusal.
        name: its ``lock_name``, if that is not the id.
        wait: for whoever holds it.

    Raises:
        UsageError: another session holds it, and ``wait`` was not asked for.
        StoreError: there is no folder for it, or the lock file cannot be opened.
    """
    path = lock_folder() / f"dlbench-{name or device_id.replace(':', '-')}.lock"
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise StoreError(
            f"the lock file {path} cannot be opened: {error.strerror}",
            LOCK_DIR,
        ) from error
    try:
        _acquire(descriptor, device_id, wait=wait)
        with _named(descriptor):
            yield
    finally:
        os.close(descriptor)


FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""The folder is world-writable: a planted link is not followed, and a planted pipe not waited for."""


def _opened(path: Path) -> int:
    """The lock file, made for all users where there is none; one that only its owner may write is read.

    Never with O_CREAT where it exists: in a sticky folder the kernel refuses that to other users
    (fs.protected_regular).
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o666)
    except FileExistsError:
        return _existing(path)
    # Of the mode above the umask has taken away what other users need.
    os.fchmod(descriptor, 0o666)
    return descriptor


def _existing(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | FLAGS)
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY | FLAGS)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        # A hard link would have the process id written over whatever file it names too.
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file of its own")
    return descriptor


@contextlib.contextmanager
def _named(descriptor: int) -> Iterator[None]:
    """Our process id in the file while we hold it, where we may write it."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        yield
        return
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    try:
        yield
    finally:
        os.ftruncate(descriptor, 0)


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


POLL_S = 0.5

GRACE_S = 2.0
"""A program that has just ended may still be listed."""


def await_free(device: DeviceInfo, *, wait: bool = False) -> None:
    """Return once no other program holds a device, as far as its driver tells.

    Raises:
        UsageError: one does, and ``wait`` was not asked for.
    """
    begun_s = time.monotonic()
    while others := _occupants(device):
        if not wait and time.monotonic() - begun_s >= GRACE_S:
            count = "another program" if len(others) == 1 else f"{len(others)} other programs"
            listed = ", ".join(str(pid) for pid in others[:MOST_LISTED])
            raise UsageError(
                f"device {device.id} is in use by {count} (process {listed})",
                "End what uses it, or give --wait; dlbench doctor says what disturbs.",
            )
        time.sleep(POLL_S)


MOST_LISTED = 5


def _occupants(device: DeviceInfo) -> tuple[int, ...]:
    """Who is there, this process left out; nobody where the driver does not tell."""
    found = registry.device_kind(device.kind).occupants(device)
    return () if isinstance(found, Absent) else tuple(pid for pid in found if pid != os.getpid())
