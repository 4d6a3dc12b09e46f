"""What a sampler's file says, however much there is of it."""

from __future__ import annotations

import io
import json

from dlbench.core.types import Absent
from dlbench.store import codec
from dlbench.telemetry import sampler

HEAD = {"source": "x", "quantities": ["power_w"], "methods": {}, "averaging_s": {}}


def _file(n_reads: int) -> io.BytesIO:
    end = {"end": {"cpu_s": 1.0, "n_reads": n_reads, "ready_s": 0.0}}
    records = [HEAD, *(["x", float(t), [250.0]] for t in range(n_reads)), end]
    return io.BytesIO("".join(json.dumps(record) + "\n" for record in records).encode())


def test_a_night_of_a_cards_readings_is_kept() -> None:
    """Ten hours, at three kilobytes a second, were taken for a sampler that the kernel had killed."""
    assert sampler.MOST_BYTES > 10 * 3600 * 3000
    found = sampler._recorded(_file(3), sampler.MOST_BYTES)
    assert found.lost is None
    assert found.tracks[0].t_us == (0, 1_000_000, 2_000_000)


def test_more_readings_than_are_kept_say_so() -> None:
    """What lies within the limit is there; the sampler was not ended by anybody."""
    found = sampler._recorded(_file(3), 110)
    assert found.tracks[0].t_us == (0,)
    assert isinstance(found.lost, Absent)
    assert "later ones are not kept" in found.lost.reason
    assert found.cpu_s == found.ready_s == found.lost


def test_all_that_is_kept_has_room_in_a_document() -> None:
    """What is larger is refused when it is sealed, and was lost as a whole: four cards of a night."""
    lines = _file(1000)
    n_bytes = len(lines.getvalue())
    kept = len(codec.encode_line(codec.to_plain(sampler._recorded(lines, n_bytes).tracks[0])))
    assert kept < n_bytes
    assert sampler.MOST_BYTES < 0.8 * codec.MAX_DOCUMENT_BYTES
