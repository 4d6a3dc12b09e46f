"""What adapters that take arrays are fed: laid out before the steps that are timed, never in them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlbench.core.errors import UnsupportedError
from dlbench.core.types import DataMode
from dlbench.frameworks import _files, _seeded
from tests.subjects import request_for


@pytest.mark.parametrize("for_keras", [False, True])
def test_batches_on_the_host_are_laid_out_once(*, for_keras: bool) -> None:
    """The same memory each time, in the layout asked for."""
    request = request_for("fake", "resnet50", data_mode=DataMode.HOST)
    feed = _files.Feed(request, for_keras=for_keras)
    (first,), (again,) = feed.batch(1), feed.batch(1)
    assert first is again
    assert first.flags.c_contiguous
    (canonical,) = _seeded.batch(request.spec, "inputs", 1, request.case.batch_size)
    laid_out = canonical.transpose(0, 2, 3, 1) if for_keras else canonical
    np.testing.assert_array_equal(first, laid_out)


def test_batches_are_put_together_before_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In order, and by another thread than the one that steps: the copy of a batch is not a step's."""
    stack, by = np.stack, []

    def watched(samples: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        by.append(threading.current_thread())
        return stack(samples)

    monkeypatch.setattr(np, "stack", watched)
    files: Any = [np.full(2, i) for i in range(100)]
    loader = _files.batches(files, batch_size=3, threads=2)
    assert [next(loader)[:, 0].tolist() for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert threading.main_thread() not in by


def test_small_batches_keep_every_decoding_thread_busy() -> None:
    """Eight samples are decoded side by side, though a batch has one: else many cores would idle."""
    together = threading.Barrier(8, timeout=60.0)

    class Slow:
        """No sample is done before eight are begun."""

        def __getitem__(self, i: int) -> np.ndarray[Any, Any]:
            together.wait()
            return np.full(2, i)

    files: Any = Slow()
    loader = _files.batches(files, batch_size=1, threads=8)
    try:
        assert next(loader).tolist() == [[0, 0]]
    finally:
        together.abort()


@pytest.mark.parametrize(("batch_size", "threads"), [(4, 2), (2, 8)])
def test_so_many_batches_are_made_ahead_as_is_told(batch_size: int, threads: int) -> None:
    """Those lie ready once a device has idled: what an energy window must not take for its own."""
    begun: list[int] = []

    class Counted:
        """Remembers what was decoded."""

        def __getitem__(self, i: int) -> np.ndarray[Any, Any]:
            begun.append(i)
            return np.full(2, i)

    files: Any = Counted()
    loader = _files.batches(files, batch_size, threads)
    next(loader)
    ahead = _files.n_ahead(batch_size, threads) * batch_size
    deadline_s = time.monotonic() + 60.0
    while len(begun) < batch_size + ahead and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert sorted(begun) == list(range(batch_size + ahead))


@pytest.mark.parametrize(("kind", "shape"), [("wav", (1, 9, 12)), ("jpeg", (3, 6, 10))])
def test_files_come_with_channels_last_for_those_who_need_it(
    kind: str, shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers, as decoders give them; canonical samples are those transposed."""
    if kind == "jpeg":
        pytest.importorskip("PIL")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(_files.N_FILES, kind, 2)
    canonical, last = (
        _files.Files(kind, shape, training=True, seed=3, channels_last=x)[5] for x in (False, True)
    )
    assert canonical.shape == shape
    assert canonical.flags.c_contiguous
    assert last.flags.c_contiguous
    assert canonical.dtype == last.dtype == np.float32
    assert canonical.std() > 0
    np.testing.assert_array_equal(last.transpose(2, 0, 1), canonical)


@pytest.mark.parametrize("training", [True, False])
def test_a_picture_is_cropped_and_turned_anew_each_time_in_training_alone(
    *, training: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files: sample 3 is of sample 1's. What is drawn hangs on seed and number, so runs repeat."""
    pytest.importorskip("PIL")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(_files.N_FILES, "jpeg", 2)
    files, same, other = (
        _files.Files("jpeg", (3, 24, 24), training=training, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(files[1], same[1])
    for again in (files[3], other[1]):
        assert (again != files[1]).any() == training


def test_without_room_for_files_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is none, as of a read-only container; and no home at all."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UnsupportedError, match="cannot be written") as caught:
        _files.paths("wav")
    assert "XDG_CACHE_HOME" in caught.value.advice
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with pytest.raises(UnsupportedError, match="no home folder") as caught:
        _files.paths("wav")
    assert "XDG_CACHE_HOME" in caught.value.advice
