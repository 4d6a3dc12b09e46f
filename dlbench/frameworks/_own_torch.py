"""A model of the user's own in PyTorch: built, looked at and counted before it is timed."""

from __future__ import annotations

import contextlib
import math
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dlbench.core.errors import ModelError
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import FROZEN_PRODUCTS, Absent, Fact, Mode, Precision
from dlbench.frameworks import _own, _seeded

COUNTER = "PyTorch's FlopCounterMode: products, convolutions and attention"


def prepare(torch: Any, request: SubjectRequest, device: Any = None) -> _own.Prepared:  # noqa: ANN401
    """Build the user's model from a fixed seed and run it once on a few samples.

    Args:
        torch: the module.
        request: with ``spec["own"]``.
        device: where it will run; a model that cannot run on the CPU is looked at there.

    Raises:
        ModelError: the file, the function, the model or its outputs are not what they must be.
    """
    _seed(torch, request.spec["seed"])
    model = _own.made(request)
    if not isinstance(model, torch.nn.Module):
        raise _own.no_model(request, model, "a torch.nn.Module")
    model.eval()
    set_back(torch)
    n_samples, (output, flops, computed) = _own.looked(
        request,
        lambda n: _look(torch, request, model, _seeded.batch(request.spec, "inputs", 0, n), device),
    )
    first = _first(torch, output)
    if first is None:
        raise _own.no_tensor(request, output)
    _own.check_output(request, first.shape, n_samples)
    several = first is not output
    if several:
        model = _tensors_only(torch, model)
    per_sample = flops if isinstance(flops, Absent) else flops / n_samples
    facts: dict[str, Fact] = {"flops_per_sample": per_sample, "flops_counted_by": COUNTER}
    facts["several_outputs"] = several
    wide = request.case.precision in (Precision.FP32, Precision.TF32)
    if computed - {"float32"} and (wide or INT8 in computed):
        # Whatever its weights are held in: some may be cast, and what is quantised has none.
        facts["compute_dtype"] = min(computed - {"float32"}, key=lambda name: (name != INT8, name))
    if request.case.mode is not Mode.TRAINING:
        return _own.Prepared(model=model, loss=None, spec=request.spec, facts=facts)
    name, targets = _own.choose_loss(
        request,
        first.shape[1:],
        str(first.dtype).removeprefix("torch."),
        sum(p.numel() for p in model.parameters() if p.requires_grad),
    )

    def loss(outputs: Any, targets: Any) -> Any:  # noqa: ANN401
        # A model may have more outputs in training than in inference.
        return _LOSSES[name](_first(torch, outputs), targets)

    return _own.Prepared(
        model=model,
        loss=loss,
        spec=_own.with_targets(request.spec, targets),
        facts={**facts, "loss": name, FROZEN_PRODUCTS: _frozen(torch, model)},
    )


def _frozen(torch: Any, model: Any) -> bool:  # noqa: ANN401
    """Whether weights of products are not trained; rows of a table are no products."""
    return any(
        not weight.requires_grad and weight.ndim > 1
        for module in model.modules()
        if not isinstance(module, torch.nn.Embedding)
        for weight in module.parameters(recurse=False)
    )


INT8 = "int8"

QUANTISED = frozenset(
    f"aten.{name}"
    for name in (
        "_int_mm",
        "_weight_int4pack_mm",
        "_weight_int4pack_mm_for_cpu",
        "_weight_int8pack_mm",
    )
)
"""PyTorch's own products of whole numbers, beside its namespace of quantised operations."""


def check_derived(
    torch: Any,  # noqa: ANN401
    request: SubjectRequest,
    model: Any,  # noqa: ANN401
    opened: Callable[[], Callable[[Sequence[Any]], Any]],
) -> None:
    """Whether what a library made of the user's model answers as PyTorch does, in every buffer.

    Tracing keeps the branch that the first buffer took, and a converter drops what is random; nobody
    else would notice. Of dlbench's own models the reference tells.

    Args:
        torch: the module.
        request: of the case.
        model: on the CPU, in inference mode.
        opened: opens what was derived, and gives what runs it: a buffer's arrays to the first output.

    Raises:
        ModelError: it answers otherwise.
    """
    if not request.spec.get("own"):
        return
    from dlbench.frameworks import pytorch

    run = opened()
    for buffer in range(_seeded.N_BUFFERS):
        arrays = _seeded.batch(request.spec, "inputs", buffer, request.case.batch_size)
        # First: PyTorch's model may write over its inputs.
        found = run(arrays)
        with torch.no_grad(), pytorch.translated(torch):
            wanted = _first(torch, model(*map(torch.from_numpy, arrays))).float().numpy()
        limit = DERIVED * float(wanted.std() or 1.0)
        if found.shape != wanted.shape or ((found - wanted) ** 2).mean() ** 0.5 > limit:
            raise ModelError(
                f"{_own.label(request)} answers otherwise in {request.case.framework} than in PyTorch",
                "Conditions on its inputs are traced once, and what is random may be dropped.",
            )


DERIVED = 0.05
"""Root mean square of the difference, over the outputs' spread: rounding in fp32 is far below."""


def _seed(torch: Any, seed: int) -> None:  # noqa: ANN401
    """Every process builds the same weights, if the model draws them from the usual generators."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the user's code may draw from it
    torch.manual_seed(seed)


def set_back(torch: Any) -> None:  # noqa: ANN401
    """What the user's file may have turned on to find its faults, or off to train nothing.

    What it compiles itself runs uncompiled too, until a policy compiles; PyTorch's compiler is not
    imported for that.
    """
    torch.set_grad_enabled(mode=True)
    torch.autograd.set_detect_anomaly(mode=False)
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(mode=False)
    if "torch._dynamo" in sys.modules:
        torch.compiler.set_stance("force_eager")


def _look(
    torch: Any,  # noqa: ANN401
    request: SubjectRequest,
    model: Any,  # noqa: ANN401
    arrays: Sequence[Any],
    device: Any,  # noqa: ANN401
) -> tuple[Any, float | Absent, set[str]]:
    """Outputs of a few samples, the forward's FLOPs for all of them, and its products' formats."""
    inputs = [torch.from_numpy(a) for a in arrays]
    try:
        return _counted(torch, model, inputs)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        from dlbench.frameworks import pytorch

        with _own.blamed(_own.refused(request)), pytorch.translated(torch):
            # A row that a table lacks: on a GPU that ends the process's CUDA, at some later call.
            if device is None or device.type == "cpu" or isinstance(error, IndexError):
                raise
            model.to(device)
            with torch.no_grad():
                output = model(*(x.to(device) for x in inputs))
        uncounted = Absent(reason=f"it cannot run on the CPU, where FLOPs are counted: {error}")
        return output, uncounted, set()


@contextlib.contextmanager
def counting(torch: Any) -> Iterator[Any]:  # noqa: ANN401
    """PyTorch's counter, for a model on the CPU.

    It counts operations that it knows, or that ``_formulas`` has, and takes others for free. Fused ones
    that neither does (oneDNN's recurrent layers, the CPU's flash attention, the fast path of
    ``nn.MultiheadAttention`` and ``nn.TransformerEncoder``) are off meanwhile, and their parts are
    counted. ``formats`` are the floating-point ones of what is multiplied, and ``INT8`` if anything
    quantised is; ``written`` is how many numbers they wrote.
    """
    from torch.nn import attention
    from torch.utils import flop_counter

    class Counter(flop_counter.FlopCounterMode):  # type: ignore[misc]
        """Is told of each operation that runs."""

        def __init__(self) -> None:
            super().__init__(display=False, custom_mapping=_formulas(torch))
            self.formats: set[str] = set()
            self.written = 0

        def _count_flops(self, operation: Any, out: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
            name = str(operation)
            if name.startswith("quantized.") or name in QUANTISED:
                self.formats.add(INT8)
            elif operation in self.flop_registry:
                held = (x.dtype for x in args if isinstance(x, torch.Tensor))
                self.formats |= {str(x).removeprefix("torch.") for x in held if x.is_floating_point}
                self.written += sum(x.numel() for x in _tensors(torch, out))
            return super()._count_flops(operation, out, args, kwargs)

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.backends.mkldnn.flags(enabled=False),
            attention.sdpa_kernel(attention.SDPBackend.MATH),
            Counter() as counter,
        ):
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _formulas(torch: Any) -> dict[Any, Callable[..., int]]:  # noqa: ANN401
    """FLOPs of products that the counter lacks, from the shapes of what is multiplied.

    A distance between rows counts as their product, whichever way it is computed, and ``nn.Bilinear``
    as the larger one of its two.
    """

    def vectors(a: Sequence[int], *_: Any, **__: Any) -> int:  # noqa: ANN401
        return 2 * math.prod(a)

    def added_vector(_: Any, a: Sequence[int], *__: Any, **___: Any) -> int:  # noqa: ANN401
        return 2 * math.prod(a)

    def added_matrices(
        _: Any,  # noqa: ANN401
        a: Sequence[int],
        b: Sequence[int],
        **__: Any,  # noqa: ANN401
    ) -> int:
        return 2 * math.prod(a) * b[-1]

    def distances(a: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any) -> int:  # noqa: ANN401
        return 2 * math.prod(out_shape) * a[-1]

    def trilinear(*given: Any, **_: Any) -> int:  # noqa: ANN401
        shapes: list[list[int]] = [list(shape) for shape in given[:3]]
        for shape, axes in zip(shapes, given[3:6], strict=True):
            for axis in sorted(axes):
                shape.insert(axis, 1)
        full: list[int] = [max(sizes) for sizes in zip(*shapes, strict=True)]
        return 2 * math.prod(full)

    found: dict[str, Callable[..., int]] = {
        "mv": vectors,
        "dot": vectors,
        "vdot": vectors,
        "addmv": added_vector,
        "addbmm": added_matrices,
        "_addmm_activation": added_matrices,
        "_cdist_forward": distances,
        "_euclidean_dist": distances,
        "_pdist_forward": distances,
        "_trilinear": trilinear,
    }
    return {getattr(torch.ops.aten, name): formula for name, formula in found.items()}


def _counted(torch: Any, model: Any, inputs: Sequence[Any]) -> tuple[Any, float, set[str]]:  # noqa: ANN401
    # Not inference_mode: what a model builds in its first call could never be trained or traced.
    with torch.no_grad(), counting(torch) as counter:
        output = model(*inputs)
    return output, float(counter.get_total_flops()), counter.formats


def _first(torch: Any, output: Any) -> Any:  # noqa: ANN401
    """The output itself, or the first tensor of several; None if there is none."""
    return next(iter(_tensors(torch, output)), None)


def _tensors(torch: Any, output: Any) -> list[Any]:  # noqa: ANN401
    return _own.tensors(output, lambda x: isinstance(x, torch.Tensor))


def _tensors_only(torch: Any, model: Any) -> Any:  # noqa: ANN401
    """The model with its tensors alone, in a tuple if there are several.

    All of them: what compiles or exports the first alone leaves out what only the others need.
    """

    class Tensors(torch.nn.Module):  # type: ignore[misc]
        """Runs the model, gives its tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:  # noqa: ANN401
            found = _tensors(torch, self.model(*inputs))
            return found[0] if len(found) == 1 else tuple(found)

    return Tensors().eval()


def _cross_entropy(outputs: Any, targets: Any) -> Any:  # noqa: ANN401
    """Mean over everything but the classes, which are the last dimension."""
    from torch.nn import functional

    return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def _mse(outputs: Any, targets: Any) -> Any:  # noqa: ANN401
    from torch.nn import functional

    return functional.mse_loss(outputs.float(), targets)


_LOSSES = {"cross_entropy": _cross_entropy, "mse": _mse}
