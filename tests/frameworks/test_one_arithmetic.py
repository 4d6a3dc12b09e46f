"""In 16 bits no Keras model multiplies in float32: not the logits either, tied to a table or not.

PyTorch's own models are under autocast, which takes every linear layer and convolution.
"""

from __future__ import annotations

from typing import Any

import pytest

from dlbench import workloads
from dlbench.core import registry
from dlbench.core.types import Mode, Precision
from tests import subjects
from tests.subjects import request_for

pytestmark = pytest.mark.frameworks

PRODUCTS = {
    "keras": {"mm", "addmm", "bmm", "baddbmm", "mv", "convolution"},
    "jax": {"dot_general", "conv_general_dilated"},
    "tensorflow": {"MatMul", "BatchMatMulV2", "Einsum", "Conv2D", "DepthwiseConv2dNative"},
}

CELLS = [
    (framework, name, variant)
    for framework in PRODUCTS
    if framework in subjects.installed()
    for name, folder in workloads.folders().items()
    for found in [workloads.read(folder)]
    if registry.model_stem(framework, found.model_files)
    for variant in found.variants
    if variant.startswith("tiny") and "bf16" in found.table["tolerance"] and name != "fake"
]


def operands(framework: str, name: str, variant: str, mode: str) -> list[list[str]]:
    """Runs beside: the formats of what each product of a step or a query in bf16 multiplies."""
    training = mode == Mode.TRAINING
    changes: dict[str, Any] = {"mode": Mode(mode), "variant": variant, "precision": Precision.BF16}
    if training:
        changes["scenario"] = None
    subject = registry.framework(framework).open_subject(request_for(framework, name, **changes))
    found = {"keras": _by_pytorch, "jax": _by_jax, "tensorflow": _by_tensorflow}[framework]
    return sorted(map(list, found(subject, training)))


def _by_pytorch(subject: Any, training: bool) -> set[tuple[str, ...]]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = set()

    class Watch(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
            if function.__name__.partition(".")[0] in PRODUCTS["keras"]:
                tensors = (x for x in args if isinstance(x, torch.Tensor))
                seen.add(tuple(str(x.dtype).removeprefix("torch.") for x in tensors))
            return function(*args, **(kwargs or {}))

    with Watch():
        subject.step(0) if training else subject.query(0)
    return seen


def _by_jax(subject: Any, training: bool) -> set[tuple[str, ...]]:
    import jax

    weights, inputs = [subject._trained, subject._untrained], subject.inputs[0]
    if training:
        given = [*weights, subject._optimizer_state, inputs, subject.targets[0]]
        return set(_of_jaxpr(jax.make_jaxpr(subject._train)(*given).jaxpr))
    return set(_of_jaxpr(jax.make_jaxpr(subject._infer)(*weights, inputs).jaxpr))


def _of_jaxpr(program: Any) -> Any:
    for equation in program.eqns:
        if equation.primitive.name in PRODUCTS["jax"]:
            yield tuple(str(x.aval.dtype) for x in equation.invars)
        for given in equation.params.values():
            for one in given if isinstance(given, list | tuple) else [given]:
                inner = getattr(one, "jaxpr", one)
                if hasattr(inner, "eqns"):
                    yield from _of_jaxpr(inner)


def _by_tensorflow(subject: Any, training: bool) -> set[tuple[str, ...]]:
    import tensorflow as tf

    given = [subject.inputs[0], subject.targets[0]] if training else [subject.inputs[0]]
    called = subject._train if training else subject._infer
    graph = tf.function(called, autograph=False).get_concrete_function(*given).graph
    return set(_of_graph(graph))


def _of_graph(graph: Any) -> Any:
    for operation in graph.get_operations():
        if operation.type in PRODUCTS["tensorflow"]:
            yield tuple(x.dtype.name for x in operation.inputs)
    for inner in graph._functions.values():
        if getattr(inner, "graph", None) is not None:
            yield from _of_graph(inner.graph)


LOSSES_OF_PRODUCTS = {"deepspeech2"}
"""CTC, whose sums JAX writes as products; a loss is in float32."""


@pytest.mark.parametrize(("framework", "name", "variant"), CELLS)
def test_no_product_in_16_bits_is_of_float32(framework: str, name: str, variant: str) -> None:
    """In inference and training; gradients of JAX's own attention mix both, which is its affair."""
    for mode in workloads.read(workloads.folders()[name]).modes:
        if mode is Mode.TRAINING and name in LOSSES_OF_PRODUCTS:
            continue
        found = subjects.ask(framework, operands, name, variant, mode)
        assert found or name == "memory_bandwidth"
        assert [x for x in found if set(x) == {"float32"}] == [], mode
