"""What adapters share for a model of the user's own: whose fault it is, which loss trains it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dlbench.core.errors import ModelError, SubjectError
from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Fact

Seen = TypeVar("Seen")

LOG = "The traceback is in the trial's log."

CHECKED_SAMPLES = 2
"""The forward pass that looks at shapes before anything is timed; two tell a batch from a one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A model that is ready to be placed and timed.

    ``model`` answers with one tensor or, if it is the user's, with several: the first is meant, and all
    are to be computed. ``loss`` takes outputs and targets; ``spec`` holds the targets that go with it,
    and ``facts`` what was counted and chosen.
    """

    model: Any
    loss: Any
    spec: Mapping[str, Any]
    facts: Mapping[str, Fact] = field(default_factory=dict)


def made(request: SubjectRequest) -> Any:  # noqa: ANN401 - whatever the user's function makes
    """What the user's function returns.

    Raises:
        ModelError: the file does not import, has no such function, or the function raises.
    """
    model_file = request.load_model()
    with blamed(f"{label(request)}() raised"):
        return model_file.build(request.spec)


def label(request: SubjectRequest) -> str:
    """How the user named the model: ``net.py:build``."""
    return str(request.spec["own"]["label"])


@contextlib.contextmanager
def blamed(what: str, advice: str = LOG) -> Iterator[None]:
    """Whatever the user's code raises becomes a ModelError that begins with ``what``.

    Our own errors pass, and so does a lack of memory.
    """
    try:
        yield
    except (SubjectError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{what} {type(error).__name__}: {_sentence(error)}", advice) from error


def _sentence(error: BaseException) -> str:
    """The first line, or what Keras and OpenVINO say among lines of where it was, and with what."""
    lines = [x for line in _MARKS.sub("", str(error)).split("\n") if (x := line.strip())]
    told = [line for line in lines if not _WHERE.match(line)]
    if len(told) == len(lines):
        return next(iter(lines), "no message")
    return " ".join(told)[:SENTENCE_CHARACTERS]


SENTENCE_CHARACTERS = 200


_WHERE = re.compile(
    r"Exception from |Check '.*' failed at \S+$|FrontEnd API failed with \w+:$"
    r"|Exception encountered when calling |Arguments received by |• "
    r"|Couldn't get TorchScript module by tracing\.$|Exception:$"
    r"|Please check correctness of provided |You can also provide TorchScript "
)

_MARKS = re.compile(r"\x1b\[[\d;]*m|\{\{function_node \S+\}\} ")
"""Keras's bold letters, and TensorFlow's name of what it ran an operation in."""


def derived(request: SubjectRequest, how: str) -> contextlib.AbstractContextManager[None]:
    """What a library cannot make of a model is the model's fault, if it is the user's."""
    if not request.spec.get("own"):
        return contextlib.nullcontext()
    return blamed(f"{label(request)} cannot be {how}: it raised")


def no_model(request: SubjectRequest, found: object, wanted: str) -> ModelError:
    """The error of a function that returns something else."""
    kind = f"{type(found).__module__}.{type(found).__qualname__}"
    return ModelError(
        f"{label(request)}() returned an object of type {kind.removeprefix('builtins.')}, which is not"
        f" {wanted}",
        "Return the model itself, or choose its framework by --framework.",
    )


def tensors(output: Any, is_tensor: Callable[[Any], bool]) -> list[Any]:  # noqa: ANN401
    """All tensors of a model's output in its own order: itself, or those of dicts, tuples, lists."""
    if is_tensor(output):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    if not isinstance(output, (tuple, list)):
        return []
    return [x for part in output for x in tensors(part, is_tensor)]


def no_tensor(request: SubjectRequest, found: object) -> ModelError:
    """The error of a model whose output is something else."""
    return ModelError(
        f"{label(request)} answers with an object of type {type(found).__name__}, not with a tensor",
        "Return one tensor, or several of which the first is meant.",
    )


def refused(request: SubjectRequest) -> str:
    """How a model that raises on its input is told of."""
    given = ", ".join(describe(table) for table in request.spec["inputs"].values())
    return f"{label(request)} does not take {given}: it raised"


def describe(table: Mapping[str, Any]) -> str:
    """An input for people: ``3x224x224 float32``."""
    size = "x".join(map(str, table["shape"])) or "scalar"
    return f"{size} {table['dtype']} a sample"


def looked(request: SubjectRequest, look: Callable[[int], Seen]) -> tuple[int, Seen]:
    """At how many samples the model was looked at, and what was seen: at a few, or at the whole batch.

    A model may take one size of batch alone, that of its recurrent state or of its export.

    Raises:
        ModelError: ``look`` raises it for both.
    """
    whole = request.case.batch_size
    few = min(CHECKED_SAMPLES, whole)
    try:
        return few, look(few)
    except ModelError:
        if few == whole:
            raise
    return whole, look(whole)


def check_output(request: SubjectRequest, shape: Sequence[int], n_samples: int) -> None:
    """Outputs come batch first.

    Raises:
        ModelError: they have another first dimension.
    """
    if not shape or shape[0] != n_samples:
        raise ModelError(
            f"{label(request)} gave an output of shape {tuple(shape)} for {n_samples} samples:"
            " its first dimension is not the batch",
            "Return outputs batch first.",
        )


def choose_loss(
    request: SubjectRequest, shape: Sequence[int], dtype: str, n_parameters: int
) -> tuple[str, dict[str, Any]]:
    """The loss that trains outputs of this shape (of one sample), and the targets that it wants.

    Args:
        request: with ``spec["own"]``.
        shape: of one sample's output.
        dtype: of the output.
        n_parameters: trainable ones.

    Raises:
        ModelError: there is nothing to train, or not with the loss that was asked for.
    """
    asked = request.spec["own"]["loss"]
    if not n_parameters:
        raise ModelError(f"{label(request)} has no trainable parameter", "--mode inference")
    if "float" not in dtype:
        raise ModelError(
            f"{label(request)} gives {dtype} numbers, which no loss trains", "--mode inference"
        )
    classes = shape[-1] if shape else 0
    if asked == "auto":
        asked = "cross_entropy" if len(shape) == 1 and classes > 1 else "mse"
    if asked == "mse":
        return "mse", {"shape": list(shape), "dtype": "float32", "std": 1.0}
    if classes < 2:  # noqa: PLR2004 - cross entropy of one class is always zero
        raise ModelError(
            f"{label(request)} gives {tuple(shape)} a sample: no classes for a cross entropy",
            "--loss mse",
        )
    return "cross_entropy", {"shape": list(shape[:-1]), "dtype": "int64", "below": classes}


def with_targets(spec: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """The spec, with the targets of the chosen loss."""
    return {**spec, "targets": {"target": table}}
