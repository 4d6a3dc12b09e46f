"""OpenVINO: inference of a model converted from the workload's PyTorch model, on the CPU.

``base`` is the library as it comes, with the arithmetic set by name: on processors with bf16 OpenVINO
would otherwise use it without being asked. ``tuned`` splits a batch over streams, each with threads of
its own, where that is faster here. ``int8`` is ONNX Runtime's static quantisation of the
exported model, whose pairs of quantising operations OpenVINO turns into int8 kernels of its own.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlbench.core import pip
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, DataMode, Fact, Mode, Policy, Precision
from dlbench.frameworks import _openvino_program, _subject

if TYPE_CHECKING:
    import numpy as np


MODEL_FILES = ("model_onnx", "model_pytorch")
DISTRIBUTIONS = ("openvino", "onnx", "onnxruntime", "torch")

INSTALL = "pip install 'dlbench[openvino]'"

INT8_NEEDS = ("onnx", "onnxruntime")
INSTALL_INT8 = "pip install 'dlbench[openvino,onnx]'"

OUT_OF_MEMORY = ("bad allocation", "bad_alloc", "Cannot allocate memory", "could not allocate")

POLICIES = {
    Policy.BASE: "converted from the PyTorch model, one stream, arithmetic set by name",
    Policy.TUNED: "a batch is split into as many equal parts as have a thread each, a stream for each "
    "(`PERFORMANCE_HINT` `THROUGHPUT`), if that is faster than one stream: both are tried at loading",
}
"""What each policy turns on, for `dlbench list` and the docs."""


def probe() -> Capability | Absent:
    """Version of the installed package, without importing it."""
    for package in ("openvino", "torch"):
        if importlib.util.find_spec(package) is None:
            return Absent(reason=f"{package} is not installed", remedy=INSTALL)
    version = pip.version("openvino")
    if version is None:
        return Absent(reason="an openvino without its metadata is on the path", remedy=INSTALL)
    precisions = tuple(_openvino_program.HINTS)
    reasons = {"nvidia": "OpenVINO does not run on NVIDIA GPUs"}
    missing = [package for package in INT8_NEEDS if importlib.util.find_spec(package) is None]
    if missing:
        precisions = tuple(p for p in precisions if p is not Precision.INT8)
        reasons["int8"] = f"OpenVINO's int8 needs {' and '.join(missing)} ({INSTALL_INT8})"
    return Capability(
        version=version,
        precisions={"cpu": precisions},
        policies=POLICIES,
        reasons=reasons,
        modes=(Mode.INFERENCE,),
    )


def open_subject(request: SubjectRequest) -> OpenVinoSubject:
    """Convert the PyTorch model and compile it.

    Raises:
        SubjectError: of the kind that says what failed.
    """
    # A benchmark tells nobody but its user; the converter tells its makers, except where it believes
    # itself in continuous integration (openvino_telemetry/utils/opt_in_checker.py).
    os.environ["CI"] = "true"
    with pip.importing("OpenVINO or PyTorch", INSTALL, DISTRIBUTIONS):
        import openvino
        import torch
    with translated():
        return OpenVinoSubject(openvino, torch, request)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """OpenVINO's ways of saying that memory is gone, as ours."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise _subject.out_of_memory(error, cuda=False) from error


class OpenVinoSubject(_subject.Runtime):
    """A compiled model with its inference requests, and inputs that they read in place."""

    def __init__(self, ov: Any, torch: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _files, _seeded

        case = request.case
        self.n_buffers = _seeded.N_BUFFERS
        torch.set_num_threads(request.threads)
        self._ov = ov
        self._program = program = (
            _openvino_program.tuned(ov, torch, request)
            if case.policy is Policy.TUNED
            else _openvino_program.compiled_for(ov, torch, request, 1)
        )
        request = replace(request, spec=program.spec)
        # Tensors share these arrays' memory, so that they must live as long.
        self._kept = [
            program.held(_seeded.batch(program.spec, "inputs", i, case.batch_size))
            for i in range(self.n_buffers)
        ]
        self.inputs = [program.parts(ov, held) for held in self._kept]
        self._feed = _files.Feed(request)
        if case.data_mode is DataMode.PIPELINE:
            self.inputs.append(self.inputs[0])
            self._kept.append(self._kept[0])
        self.info: dict[str, Fact] = {
            "threads": program.compiled.get_property("INFERENCE_NUM_THREADS"),
            "framework_version": importlib.metadata.version("openvino"),
            "parameter_dtype": "int8" if case.precision is Precision.INT8 else "float32",
            "compute_dtype": _openvino_program.compute_dtype(program.compiled),
            "compiled": True,
            "streams": len(program.requests),
            "input_shape": _subject.shapes(self._kept[0]),
            "device": "cpu",
            "int8_drift": program.drift,
            "int8_share": program.share,
            **self._feed.facts,
            **program.facts,
        }

    def refill(self, buffer: int) -> None:
        """The device is the host: the request is pointed at the batch."""
        self._fill(buffer, self._feed.batch(buffer))

    def _fill(self, buffer: int, arrays: Any) -> None:  # noqa: ANN401
        self._kept[buffer] = self._program.held(arrays)
        self.inputs[buffer] = self._program.parts(self._ov, self._kept[buffer])

    def query(self, buffer: int) -> object:
        """One inference, finished when this returns; a handle to its outputs."""
        with translated():
            return self._program.run(self.inputs[buffer])

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs of the latest query, batch first, as float32: a copy, since the next overwrites."""
        import numpy as np

        tensors: Any = handle
        return np.concatenate([np.array(self._program.numbers(x), np.float32) for x in tensors])

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """A buffer's inputs: copies of what the request reads in place."""
        import numpy as np

        by_input = zip(*self.inputs[buffer], strict=True)
        return tuple(
            np.concatenate([self._program.numbers(x) for x in parts]) for parts in by_input
        )

    def copy_inputs(self, source: int, target: int) -> None:
        """As new arrays, which the request is pointed at."""
        self._fill(target, self.read_inputs(source))

    def places(self, handle: object) -> frozenset[str]:  # noqa: ARG002
        """Of the compiled model: its tensors are the host's."""
        return frozenset(
            x.lower() for x in self._program.compiled.get_property("EXECUTION_DEVICES")
        )

    def close(self) -> None:
        """The process ends next."""
        self.inputs, self._kept = [], []
