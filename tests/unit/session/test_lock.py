"""One session a device."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench import session
from dlbench.core.errors import StoreError, UsageError
from dlbench.core.types import Absent
from dlbench.devices import fake
from dlbench.session import lock
from dlbench.session.lock import device_lock
from tests import builders


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


def test_a_machine_without_a_folder_for_locks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that is read-only has no /tmp to write in: that was a traceback."""

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("DLBENCH_LOCK_DIR")
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(StoreError, match="no folder for locks") as caught, device_lock("fake"):
        pass
    assert "DLBENCH_LOCK_DIR" in caught.value.advice


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


def _taken(device_id: str, uuid: str, folder: Path) -> contextlib.ExitStack:
    """The locks of a session that measures one GPU, which it calls by that id."""
    device = replace(builders.CPU, id=device_id, uuid=uuid)
    plan = builders.plan([builders.case(device=device_id)])
    return session._locks(plan, [device], session.Settings(folder=folder))


def test_a_gpu_has_one_lock_whatever_a_session_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA_VISIBLE_DEVICES=1 makes nvidia:0 of the second GPU, which another session calls nvidia:1."""
    monkeypatch.setenv("DLBENCH_LOCK_DIR", str(tmp_path))
    with _taken("nvidia:1", "GPU-bbbb", tmp_path):
        with pytest.raises(UsageError, match="nvidia:0 is being measured by another dlbench"):
            _taken("nvidia:0", "GPU-bbbb", tmp_path)
        with _taken("nvidia:1", "MIG-GPU-aaaa/1/0", tmp_path):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {
        "dlbench-GPU-bbbb.lock",
        "dlbench-MIG-GPU-aaaa-1-0.lock",
    }


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that all users may write to, as /tmp is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DLBENCH_LOCK_DIR", name)
            yield folder


@contextmanager
def _another_user() -> Iterator[None]:
    """As one whom the owner's rights do not help; root takes another user's id for it."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


NOBODY = 65534


def test_the_lock_file_is_for_all_users_whatever_the_umask(shared: Path) -> None:
    """Else the first user would have the device for ever; afterwards it names nobody."""
    before = os.umask(0o077)
    try:
        with device_lock("fake"):
            pass
    finally:
        os.umask(before)
    path = shared / "dlbench-fake.lock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert path.read_text() == ""


def test_a_lock_that_may_only_be_read_is_held_all_the_same(shared: Path) -> None:
    """Another user's file, of an older dlbench: flock needs no right to write."""
    (shared / "dlbench-fake.lock").touch(0o444)
    refused = pytest.raises(UsageError, match=r"by another dlbench$")
    with _another_user(), device_lock("fake"), refused, device_lock("fake"):
        pass


def test_what_is_no_file_of_its_own_is_no_lock(shared: Path) -> None:
    """A planted pipe is not waited for, and through a hard link nothing is written."""
    os.mkfifo(shared / "dlbench-pipe.lock")
    victim = shared / "victim"
    victim.write_text("precious")
    os.link(victim, shared / "dlbench-link.lock")
    for name in ("pipe", "link"):
        with pytest.raises(StoreError, match="no file of its own"), device_lock(name):
            pass
    assert victim.read_text() == "precious"


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
