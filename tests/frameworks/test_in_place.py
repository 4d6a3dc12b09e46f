"""Workloads that are ceilings: nothing is cast in a query, and what it writes has memory already."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Policy, Precision
from tests import subjects
from tests.subjects import request_for

pytestmark = [
    pytest.mark.frameworks,
    # PyTorch's, of tracing, which OpenVINO's converter does.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

IN_PLACE = [
    name
    for name, folder in workloads.folders().items()
    if workloads.read(folder).table.get("in_place")
]

NARROW = [name for name, able in subjects.installed().items() if "bf16" in able.precisions["cpu"]]


def test_the_ceilings_of_arithmetic_and_memory_are_in_place() -> None:
    """Those that the report's roofline is made of."""
    from dlbench.analysis import ceiling

    assert set(IN_PLACE) == {*ceiling.MICRO, ceiling.TRIAD}


def casts(framework: str, workload: str) -> list[str]:
    """Runs beside: what a query in bf16 under ``base`` does, as far as it casts numbers."""
    request = request_for(framework, workload, precision=Precision.BF16)
    subject: Any = registry.framework(framework).open_subject(request)
    subject.query(0)
    done: list[str] = {
        "jax": _of_jax,
        "tensorflow": _of_tensorflow,
        "openvino": _of_openvino,
        "pytorch": _of_torch,
        "keras": _of_torch,
    }[framework](subject)
    assert done, "nothing was seen"
    return [x for x in done if CAST.search(x)]


CAST = re.compile(r"\bcast\b|convert|_to_copy|aten\.to\b", re.IGNORECASE)
"""As XLA, TensorFlow, OpenVINO and PyTorch call it."""


def _of_jax(subject: Any) -> list[str]:
    place = [] if subject._place is None else [subject._place]
    given = (subject._trained, subject._untrained, subject.inputs[0], *place)
    return subject._run_query.lower(*given).as_text().splitlines()  # type: ignore[no-any-return]


def _of_tensorflow(subject: Any) -> list[str]:
    graph = subject._run_query.get_concrete_function(subject.inputs[0]).graph
    return [operation.type for operation in graph.get_operations()]


def _of_openvino(subject: Any) -> list[str]:
    """A layer that takes one type and gives another is one more cast."""
    layers = subject._program.compiled.get_runtime_model().get_ordered_ops()
    told = [layer.get_rt_info() for layer in layers]
    ends = [
        f"cast at an end, {x['runtimePrecision'].value}"
        for x in told
        if x["layerType"].value in ("Input", "Output") and x["runtimePrecision"].value != "bf16"
    ]
    return [*(x["layerType"].value for x in told), *ends]


def _of_torch(subject: Any) -> list[str]:
    from torch.utils import _python_dispatch

    seen: list[str] = []

    class Seeing(_python_dispatch.TorchDispatchMode):  # type: ignore[misc]
        """Every operation that reaches a kernel."""

        def __torch_dispatch__(
            self, function: Any, _: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            seen.append(str(function))
            return function(*arguments, **(named or {}))

    with Seeing():
        subject.query(1)
    return seen


@pytest.mark.parametrize("workload", IN_PLACE)
@pytest.mark.parametrize("framework", NARROW)
def test_no_query_casts_a_number(framework: str, workload: str) -> None:
    """Neither weights nor inputs nor outputs: a ceiling with a cast in it is half of the truth."""
    assert subjects.ask(framework, casts, workload) == []


def test_a_cast_would_be_seen() -> None:
    """The same look at a model that is computed in mixed precision."""
    for framework in {"jax", "tensorflow", "pytorch", "keras"} & set(NARROW):
        assert subjects.ask(framework, casts_of_mixed), framework


def casts_of_mixed(framework: str) -> list[str]:
    """Runs beside: what ``base`` casts of a workload that is not in place."""
    return casts(framework, "ncf")


def places_of_outputs(framework: str, policy: str) -> dict[str, Any]:
    """Runs beside: where the triad's outputs lie in turn, and whether each was read right."""
    import numpy as np

    request = request_for(framework, "memory_bandwidth", policy=Policy(policy))
    subject: Any = registry.framework(framework).open_subject(request)
    places, outputs = set(), []
    for buffer in (0, 1, 2, 0):
        handle = subject.query(buffer)
        pointer = handle.data_ptr if framework == "pytorch" else handle.unsafe_buffer_pointer
        places.add(pointer())
        outputs.append(subject.fetch(handle))
    first, second, _, again = outputs
    return {
        "places": len(places),
        "kept": bool(np.array_equal(first, again)),
        "differ": not np.array_equal(first, second),
    }


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_the_triads_sums_are_written_where_the_last_ones_were(framework: str, policy: str) -> None:
    """On a CPU new memory comes page by page from the system; what was fetched stays as it was."""
    if framework not in subjects.installed():
        pytest.skip(f"{framework} is not installed")
    found = subjects.ask(framework, places_of_outputs, policy)
    assert found == {"places": 1, "kept": True, "differ": True}


def test_bits_of_bf16_are_rounded_to_the_nearest_and_ties_to_even() -> None:
    """NumPy has no bf16: OpenVINO is handed the upper halves of float32."""
    np = pytest.importorskip("numpy")
    from dlbench.frameworks import _openvino_program as program

    tie = 2.0**-8
    given = np.array([1, 1 + tie, 1 + 3 * tie, 1 + 1.01 * tie, -2.5, 0, 3e38], dtype=np.float32)
    bits = program._bf16_bits(given)
    assert [hex(x) for x in bits[:4]] == ["0x3f80", "0x3f80", "0x3f82", "0x3f81"]
    back = program._of_bf16_bits(bits)
    assert back[4:6].tolist() == [-2.5, 0]
    assert abs(back / np.where(given == 0, 1, given) - (given != 0)).max() <= tie
