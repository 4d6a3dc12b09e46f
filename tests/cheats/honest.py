"""An honest framework adapter for the workload ``small``, working asynchronously as a GPU does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from dlbench.core.protocols import SubjectRequest
from dlbench.core.types import Absent, PeakMemory, Precision
from dlbench.frameworks import _seeded

MODEL_FILES = ("model_small",)

Array = np.ndarray[Any, Any]

UNCOUNTED = Absent(reason="NumPy does not count memory")


def _bf16(array: Array) -> Array:
    """Rounded to eight bits, half up."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)


class Stream:
    """Runs what it is given in order, in a thread of its own; ``place`` is the device it is on."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[Array] | None = None

    def start(self, work: Callable[[], Array]) -> Future[Array]:
        """Begin it when all before is done; return at once."""
        self._last = self._pool.submit(work)
        return self._last

    def wait(self) -> None:
        """Until all that was started is done."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """End the thread when all is done."""
        self._pool.shutdown()


class Subject:
    """The three layers, their inputs and targets."""

    n_buffers = _seeded.N_BUFFERS

    def __init__(self, request: SubjectRequest) -> None:
        spec, size = request.spec, request.case.batch_size
        self.request = request
        self.in_bf16 = request.case.precision is Precision.BF16
        self.model: Any = request.load_model()
        self.weights = [
            _seeded.weight(spec, f"{name}.weight", shape)
            for name, shape in self.model.SHAPES.items()
        ]
        self.inputs = [_seeded.batch(spec, "inputs", i, size)[0] for i in range(self.n_buffers)]
        self.targets = [_seeded.batch(spec, "targets", i, size)[0] for i in range(self.n_buffers)]
        self.rate = spec["optimizer"]["learning_rate"]
        self.stream = Stream(self.place)
        self.info: dict[str, Any] = {
            "parameters": sum(w.size for w in self.weights),
            "compute_dtype": "bfloat16" if self.in_bf16 else "float32",
        }

    @property
    def place(self) -> str:
        """The device that was asked for."""
        return self.request.device.kind

    def refill(self, buffer: int) -> None:
        """The inputs are there."""

    def step(self, buffer: int) -> object:
        """A training step; the loss before its update."""
        return self.stream.start(lambda: self.train(self.inputs[buffer], self.targets[buffer]))

    def query(self, buffer: int) -> object:
        """An inference."""
        return self.stream.start(lambda: self.infer(self.inputs[buffer]))

    def train(self, inputs: Array, targets: Array) -> Array:
        """Loss, gradients, update."""
        weights = [_bf16(w) for w in self.weights] if self.in_bf16 else self.weights
        x = _bf16(inputs) if self.in_bf16 else inputs
        loss, gradients = self.model.loss_and_gradients(weights, x, targets)
        self.update(gradients)
        return np.asarray(loss)

    def update(self, gradients: list[Array]) -> None:
        """Plain SGD."""
        pairs = zip(self.weights, gradients, strict=True)
        self.weights = [weight - np.float32(self.rate) * gradient for weight, gradient in pairs]

    def infer(self, inputs: Array) -> Array:
        """Outputs of a batch."""
        return self.model.forward(self.weights, inputs)[-1]  # type: ignore[no-any-return]

    def fetch(self, handle: object) -> Array:
        """The numbers, when they are there."""
        assert isinstance(handle, Future)
        return np.asarray(handle.result(), dtype=np.float32)

    def read_inputs(self, buffer: int) -> tuple[Array, ...]:
        """A copy of what lies there."""
        return (self.inputs[buffer].copy(),)

    def copy_inputs(self, source: int, target: int) -> None:
        """Into the same memory."""
        self.inputs[target][:] = self.inputs[source]

    def places(self, handle: object) -> frozenset[str]:
        """Where the stream works."""
        return frozenset({self.stream.place})

    def synchronize(self) -> None:
        """Wait for the stream."""
        self.stream.wait()

    def mark(self) -> object | None:
        """It has no clock."""
        return None

    def elapsed_s(self, start: object, end: object) -> float:
        """Never asked."""
        raise NotImplementedError

    def peak_memory(self) -> PeakMemory:
        """Not counted; the host's is the worker's to tell."""
        return PeakMemory(
            framework_allocated_mib=UNCOUNTED,
            framework_reserved_mib=UNCOUNTED,
            device_used_mib=UNCOUNTED,
            host_rss_mib=UNCOUNTED,
        )

    def close(self) -> None:
        """End the stream."""
        self.stream.close()
