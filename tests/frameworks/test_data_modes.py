"""Inputs that come from the host, and from files by each framework's own loader."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dlbench.core import registry
from dlbench.core.protocols import Subject
from dlbench.core.types import DataMode, Mode
from dlbench.frameworks import _files, _keras
from tests import subjects
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks

INSTALLED = list(subjects.installed())

WORKLOADS = ("resnet50", "deepspeech2")


def fed(framework: str, workload: str, folder: str) -> dict[str, Any]:
    """Outputs on resident inputs, on copies from the host and on files; losses of training on files."""
    os.environ["XDG_CACHE_HOME"] = folder
    adapter = registry.framework(framework)

    def rows(subject: Subject, buffers: Iterable[int]) -> list[list[float]]:
        return [subject.fetch(subject.query(b)).ravel()[:200].tolist() for b in buffers]

    plain = adapter.open_subject(request_for(framework, workload))
    n = plain.n_buffers
    found: dict[str, Any] = {"wanted": rows(plain, range(n))}
    host = adapter.open_subject(request_for(framework, workload, data_mode=DataMode.HOST))
    # Steps wait for a refill: images have been laid out before.
    with patch.object(_keras, "to_keras", side_effect=AssertionError("laid out within a step")):
        for b in range(n):
            host.refill(b)
    found["host"] = rows(host, range(n))
    piped = adapter.open_subject(request_for(framework, workload, data_mode=DataMode.PIPELINE))
    found["fed"] = []
    for _ in range(3):
        piped.refill(n)
        found["fed"] += rows(piped, [n])
    found["beside"] = rows(piped, range(n))
    found["ahead"] = piped.info["batches_ahead"]
    piped.close()
    if Mode.TRAINING in subjects.installed()[framework].modes:
        asked = {"mode": Mode.TRAINING, "scenario": None, "data_mode": DataMode.PIPELINE}
        trained = adapter.open_subject(request_for(framework, workload, **asked))
        found["losses"] = []
        for _ in range(3):
            trained.refill(n)
            found["losses"].append(float(trained.fetch(trained.step(n))))
        trained.close()
    return found


@cache
def _results(framework: str, workload: str, folder: Path) -> Any:
    return subjects.ask(framework, fed, workload, str(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of files for all frameworks."""
    return tmp_path_factory.mktemp("data")


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("framework", INSTALLED)
def test_what_comes_from_the_host_is_what_was_resident(
    framework: str, workload: str, folder: Path
) -> None:
    """Bit by bit: the copy changes nothing, so that the gate holds as it stands."""
    found = _results(framework, workload, folder)
    assert found["host"] == found["wanted"]
    assert found["beside"] == found["wanted"]


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("framework", INSTALLED)
def test_a_pipeline_brings_new_batches_of_what_is_in_the_files(
    framework: str, workload: str, folder: Path
) -> None:
    """Finite, different each time, not the seeded ones; and training runs on them."""
    found = _results(framework, workload, folder)
    assert all(math.isfinite(x) for row in found["fed"] for x in row)
    first, second, third = found["fed"]
    assert first != second != third
    assert first not in found["wanted"]
    assert found["ahead"] >= _files.BATCHES_AHEAD
    if "losses" in found:
        assert len(set(found["losses"])) == 3
        assert all(0 < x < 1000 for x in found["losses"])


@pytest.mark.parametrize("framework", [f for f in INSTALLED if f != "pytorch"])
def test_all_loaders_decode_the_same_files_to_the_same_inputs(framework: str, folder: Path) -> None:
    """Sounds to rounding; pictures, which each library scales in its own way, on average."""
    if "pytorch" not in INSTALLED:
        pytest.skip("pytorch is not installed")
    sounds, pictures = (
        [_results(name, workload, folder)["fed"] for name in (framework, "pytorch")]
        for workload in ("deepspeech2", "resnet50")
    )
    for a, b in zip(*sounds, strict=True):
        assert a == pytest.approx(b, abs=2e-3)
    for a, b in zip(*pictures, strict=True):
        spread = max(b) - min(b)
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) < 0.25 * spread


def of_one_file(framework: str, folder: str, training: str) -> bool:
    """Runs beside: whether two samples that tf.data makes of the same picture are the same."""
    import tensorflow as tf

    from dlbench.frameworks import _files, _tfdata

    os.environ["XDG_CACHE_HOME"] = folder
    with patch.dict(_files.N_FILES, jpeg=1):
        files = _files.Files("jpeg", (3, 24, 24), training=bool(training), seed=3)
    first, second = next(_tfdata.batches(tf, files, 2, 1)).numpy()
    return bool((first == second).all())


def test_tf_data_crops_and_turns_a_picture_anew_in_training_alone(tmp_path: Path) -> None:
    """As the loaders of the others do (tests/unit/frameworks/test_feed.py)."""
    if "tensorflow" not in INSTALLED:
        pytest.skip("tensorflow is not installed")
    assert subjects.ask("tensorflow", of_one_file, str(tmp_path), "")
    assert not subjects.ask("tensorflow", of_one_file, str(tmp_path), "training")
