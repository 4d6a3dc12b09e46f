"""One session a device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlbench.core.errors import StoreError, UsageError
from dlbench.core.types import Absent
from dlbench.devices import fake
from dlbench.session import lock
from dlbench.session.lock import device_lock


def test_a_second_session_is_refused_with_the_first_ones_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names who holds the device."""
    monkeypatch.setenv("DLBENCH_LOCK_DIR", str(tmp_path))
    program = (
        "import sys\nfrom dlbench.session.lock import device_lock\n"
        "with device_lock('fake'):\n print('held', flush=True)\n sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=f"process {holder.pid}"), device_lock("fake"):
            pass
        with device_lock("other"):
            pass
    with device_lock("fake"):
        pass


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock folder may be world-writable; nobody's file is truncated through it."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "dlbench-fake.lock").symlink_to(victim)
    monkeypatch.setenv("DLBENCH_LOCK_DIR", str(tmp_path))
    with pytest.raises(StoreError, match="cannot be opened"), device_lock("fake"):
        pass
    assert victim.read_text() == "precious"


def test_the_lock_holds_our_own_process_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says who it is."""
    monkeypatch.setenv("DLBENCH_LOCK_DIR", str(tmp_path))
    with device_lock("nvidia:0"):
        assert (tmp_path / "dlbench-nvidia-0.lock").read_text() == f"{os.getpid()}\n"


def test_a_device_that_others_use_is_refused_by_their_ids_or_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process does not count; with wait it goes on as soon as they have gone."""
    told = tmp_path / "pids"
    told.write_text(f"4711 {os.getpid()} 4712")
    monkeypatch.setenv(fake.OCCUPANTS_FILE, str(told))
    monkeypatch.setattr(lock, "GRACE_S", 0.0)
    found = fake.find()
    assert not isinstance(found, Absent)
    with pytest.raises(UsageError, match=r"in use by 2 other programs \(process 4711, 4712\)"):
        lock.await_free(found[0])
    pauses = []

    def leave(seconds: float) -> None:
        pauses.append(seconds)
        told.write_text("4712" if len(pauses) == 1 else "")

    monkeypatch.setattr("dlbench.session.lock.time.sleep", leave)
    lock.await_free(found[0], wait=True)
    assert pauses == [lock.POLL_S] * 2
