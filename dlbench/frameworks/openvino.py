"""OpenVINO: inference of a model converted from the workload's PyTorch model, on the CPU.

``base`` is the library as it comes, with the arithmetic set by name: on processors with bf16 OpenVINO
would otherwise use it without being asked.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dlbench.core.errors import HostOutOfMemoryError, MissingDependencyError, UnsupportedError
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, DataMode, Mode, PeakMemory, Policy, Precision
from dlbench.frameworks import pytorch

if TYPE_CHECKING:
    import numpy as np

MODEL_FILE = "model_pytorch"

INSTALL = "pip install 'dlbench[openvino]'"

HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16"}

OUT_OF_MEMORY = ("bad allocation", "bad_alloc", "Cannot allocate memory", "could not allocate")

POLICIES = {Policy.BASE: "converted from the PyTorch model, one stream, arithmetic set by name"}
"""What each policy turns on, for `dlbench list` and the docs."""


def probe() -> Capability | Absent:
    """Version of the installed package, without importing it."""
    for package in ("openvino", "torch"):
        if importlib.util.find_spec(package) is None:
            return Absent(reason=f"{package} is not installed", remedy=INSTALL)
    try:
        version = importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return Absent(reason="an openvino without its metadata is on the path", remedy=INSTALL)
    return Capability(
        version=version,
        precisions={"cpu": tuple(HINTS)},
        policies=POLICIES,
        reasons={"nvidia": "OpenVINO does not run on NVIDIA GPUs"},
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
    try:
        import openvino
        import torch
    except Exception as error:
        raise MissingDependencyError(
            f"OpenVINO or PyTorch does not import: {type(error).__name__}: {error}", INSTALL
        ) from error
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
        text = str(error).strip().split("\n", 1)[0][:300]
        raise HostOutOfMemoryError(text, "Use a smaller --batch-size.") from error


class OpenVinoSubject:
    """A compiled model with one inference request, and inputs that it reads in place."""

    def __init__(self, ov: Any, torch: Any, request: SubjectRequest) -> None:  # noqa: ANN401
        from dlbench.frameworks import _files, _seeded

        case = request.case
        self.n_buffers = _seeded.N_BUFFERS
        torch.set_num_threads(request.threads)
        model = pytorch.seeded_model(torch, request.load_model(), request.spec).eval()
        batches = [
            _seeded.batch(request.spec, "inputs", i, case.batch_size) for i in range(self.n_buffers)
        ]
        example = tuple(torch.from_numpy(a) for a in batches[0])
        converted = ov.convert_model(
            model, example_input=example, input=[list(a.shape) for a in batches[0]]
        )
        compiled = ov.Core().compile_model(
            converted,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": HINTS[case.precision],
                "INFERENCE_NUM_THREADS": request.threads,
                "NUM_STREAMS": 1,
            },
        )
        self._request = compiled.create_infer_request()
        self.inputs = [[ov.Tensor(a, shared_memory=True) for a in arrays] for arrays in batches]
        # Tensors share these arrays' memory, so that they must live as long.
        self._kept = list(batches)
        self._ov = ov
        self._feed = _files.Feed(request)
        if case.data_mode is DataMode.PIPELINE:
            self.inputs.append(self.inputs[0])
            self._kept.append(batches[0])
        self.info: dict[str, str | int | float | bool | Absent] = {
            "parameters": pytorch.n_parameters(model),
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "framework_version": importlib.metadata.version("openvino"),
            "derived_from": f"model_pytorch, PyTorch {torch.__version__}",
            "parameter_dtype": "float32",
            "compute_dtype": {"f32": "float32", "bf16": "bfloat16"}[
                compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
            ],
            "compiled": True,
            "input_shape": " ".join("x".join(map(str, a.shape)) for a in batches[0]),
            "device": "cpu",
            "tf32": False,
        }

    def refill(self, buffer: int) -> None:
        """The device is the host: the request is pointed at the batch."""
        arrays = self._feed.batch(buffer)
        self.inputs[buffer] = [self._ov.Tensor(a, shared_memory=True) for a in arrays]
        self._kept[buffer] = arrays

    def step(self, buffer: int) -> object:  # noqa: ARG002
        """It does not train."""
        raise UnsupportedError("OpenVINO runs inference only", "--mode inference")

    def query(self, buffer: int) -> object:
        """One inference, finished when this returns; a handle to its outputs."""
        with translated():
            for i, tensor in enumerate(self.inputs[buffer]):
                self._request.set_input_tensor(i, tensor)
            self._request.infer()
            return self._request.get_output_tensor(0)

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Outputs of the latest query, batch first, as float32: a copy, since the next overwrites."""
        import numpy as np

        tensor: Any = handle
        return np.array(tensor.data, dtype=np.float32)

    def synchronize(self) -> None:
        """A request has finished when ``infer`` returns."""

    def mark(self) -> object | None:
        """The CPU has no clock of its own."""
        return None

    def elapsed_s(self, start: object, end: object) -> float:  # noqa: ARG002
        """Never called, since ``mark`` returns None."""
        raise RuntimeError("OpenVINO has no device clock")

    def peak_memory(self) -> PeakMemory:
        """It counts nothing that Python can read."""
        uncounted = Absent(reason="OpenVINO does not say what it holds")
        elsewhere = Absent(reason="the worker asks for it")
        return PeakMemory(
            framework_allocated_mib=uncounted,
            framework_reserved_mib=uncounted,
            device_used_mib=elsewhere,
            host_rss_mib=elsewhere,
        )

    def close(self) -> None:
        """The process ends next."""
        self.inputs, self._kept = [], []
