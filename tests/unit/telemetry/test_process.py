"""What the sampler writes of what its meters say."""

from __future__ import annotations

import io
import math

import pytest

from dlbench.core.reasons import Reason
from dlbench.core.types import Reading
from dlbench.devices.fake import FakeMeter
from dlbench.telemetry.process import Book
from dlbench.telemetry.sampler import parse


@pytest.mark.parametrize("said", [2.0**64, -(2.0**64), math.inf, math.nan])
def test_a_number_that_nothing_can_be_is_a_read_that_failed(said: float) -> None:
    """A driver's all-ones or NaN ends neither the sampler nor the document, and says what it was."""
    out = io.StringIO()
    book = Book(out)
    for t_s, value in ((1.0, 4.0), (1.1, said), (1.2, 5.0)):
        read = Reading(t_s=t_s, source="x", quantity="throttle_reasons_bits", value=value)
        book.write(FakeMeter("fake"), (read,))
    book.end()
    found = parse(out.getvalue().splitlines())
    assert found.lost is None
    (column,) = found.tracks[0].columns
    assert column.values == (4.0, None, 5.0)
    assert column.absent is not None
    assert column.absent.code == Reason.FIELD_ERROR
    assert "throttle_reasons_bits was said to be" in column.absent.reason
