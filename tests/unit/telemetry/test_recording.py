"""What a sampler's file says, however much there is of it."""

from __future__ import annotations

import io
import json

import pytest

from dlbench.core.types import Absent
from dlbench.telemetry import sampler

HEAD = {"source": "x", "quantities": ["power_w"], "methods": {}, "averaging_s": {}}


def _file(n_reads: int) -> io.BytesIO:
    end = {"end": {"cpu_s": 1.0, "n_reads": n_reads, "ready_s": 0.0}}
    records = [HEAD, *(["x", float(t), [250.0]] for t in range(n_reads)), end]
    return io.BytesIO("".join(json.dumps(record) + "\n" for record in records).encode())


def test_a_night_of_a_cards_readings_is_kept() -> None:
    """Ten hours, at three kilobytes a second, were taken for a sampler that the kernel had killed."""
    assert sampler.MOST_BYTES > 10 * 3600 * 3000
    found = sampler._recorded(_file(3))
    assert found.lost is None
    assert found.tracks[0].t_us == (0, 1_000_000, 2_000_000)


def test_more_readings_than_are_kept_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies within the limit is there; the sampler was not ended by anybody."""
    monkeypatch.setattr(sampler, "MOST_BYTES", 110)
    found = sampler._recorded(_file(3))
    assert found.tracks[0].t_us == (0,)
    assert isinstance(found.lost, Absent)
    assert "later ones are not kept" in found.lost.reason
    assert found.cpu_s == found.ready_s == found.lost
