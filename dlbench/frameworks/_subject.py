"""What subjects share, above all those whose framework tells Python less than PyTorch does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from dlbench.core.errors import (
    DeviceOutOfMemoryError,
    HostOutOfMemoryError,
    SubjectError,
    UnsupportedError,
)
from dlbench.core.types import Absent, PeakMemory


def counted(allocated_mib: float | Absent, reserved_mib: float | Absent) -> PeakMemory:
    """The peaks that a framework counts; the worker asks the kernel and the driver for the others."""
    asked = Absent(reason="the worker asks for it")
    return PeakMemory(
        framework_allocated_mib=allocated_mib,
        framework_reserved_mib=reserved_mib,
        device_used_mib=asked,
        host_rss_mib=asked,
    )


def out_of_memory(said: object, *, cuda: bool) -> SubjectError:
    """Memory that is gone, the device's or the host's, as the framework said it."""
    kind = DeviceOutOfMemoryError if cuda else HostOutOfMemoryError
    return kind(first_line(said), "Use a smaller --batch-size.")


def first_line(said: object) -> str:
    """The sentence with the sizes, without the C++ stack behind it."""
    return str(said).strip().split("\n", 1)[0][:300]


def shapes(tensors: Sequence[Any]) -> str:
    """The shapes of a batch, for people: ``8x224x224x3``."""
    return " ".join("x".join(str(n) for n in tensor.shape) for tensor in tensors)


def first(outputs: Any) -> Any:  # noqa: ANN401
    """The only output, or the first of several: to be chosen where all of them were computed."""
    return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


LEAST_TRIED, MOST_TRIED, TRIED_S = 2, 5, 5.0
"""Queries of a program that is tried, and after how long no more are asked than the least."""


def fastest_s(query: Callable[[], object]) -> float:
    """Seconds of the fastest of a few queries, the first not among them.

    The fastest counts, since others may take the processor meanwhile.
    """
    query()
    spans: list[float] = []
    while len(spans) < LEAST_TRIED or (len(spans) < MOST_TRIED and sum(spans) < TRIED_S):
        start_s = time.perf_counter()
        query()
        spans.append(time.perf_counter() - start_s)
    return min(spans)


class Clockless:
    """The framework gives Python no clock of the device's."""

    def mark(self) -> object | None:
        """There is none."""
        return None

    def elapsed_s(self, start: object, end: object) -> float:  # noqa: ARG002
        """Never called, since ``mark`` returns None."""
        raise RuntimeError("there is no device clock")


class Runtime(Clockless):
    """A library that runs finished graphs, at once; what it holds it does not count."""

    def step(self, buffer: int) -> object:  # noqa: ARG002
        """It does not train."""
        raise UnsupportedError("the library runs inference only", "--mode inference")

    def synchronize(self) -> None:
        """A query has finished when its call returns, on a GPU too."""

    def peak_memory(self) -> PeakMemory:
        """It counts nothing that Python can read."""
        uncounted = Absent(reason="the library does not say what it holds")
        return counted(uncounted, uncounted)
