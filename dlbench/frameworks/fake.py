"""A framework that pretends: deterministic, no hardware, and able to go wrong on request.

Options (``--option NAME=VALUE``): ``step_ms`` (default 2), ``noise`` (relative spread of a process's
speed and of its steps, default 0), ``factor`` (everything slower by this factor), ``memory_samples``
(a larger batch is out of memory), ``ms_per_sample`` (added to a step for each), and ``fault``:
``<kind>@<phase>``, where phase is load, first_step, warm_up or running (the default: some steps later)
and kind one of ``FAULTS``.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from dlbench.core.errors import (
    DeviceLostError,
    DeviceOutOfMemoryError,
    MissingDependencyError,
    UnsupportedError,
)
from dlbench.core.protocols import Capability, SubjectRequest
from dlbench.core.types import Absent, Mode, PeakMemory, Policy, Precision

if TYPE_CHECKING:
    import numpy as np

MODEL_FILES = ("model_fake",)
DISTRIBUTIONS = ()

INSTALL = "pip install dlbench"

FAULTS = (
    "oom_device",
    "oom_host",
    "segv",
    "abort",
    "kill9",
    "exit0",
    "exit3",
    "hang",
    "hang_grandchild",
    "flood",
    "junk",
    "error",
    "device_lost",
    "no_dependency",
    "nan",
    "constant_loss",
    "wrong_outputs",
    "cached_outputs",
    "fewer_parameters",
    "stutter",
)

FLOOD_BYTES = 50 * 1024 * 1024

PHASE_OF_STEP = {0: "first_step", 1: "warm_up", 4: "running"}
"""A fault of a phase strikes at this step; a trial of three values comes to all of them."""

PHASES = ("load", *PHASE_OF_STEP.values())

NOT_REAL = Absent(reason="the fake device has no memory")

POLICIES = {Policy.BASE: "nothing", Policy.TUNED: "nothing"}
"""What each policy turns on, for `dlbench list` and the docs."""


def probe() -> Capability | Absent:
    """It is always there. On a GPU it only pretends to work: to try telemetry, and nothing else."""
    return Capability(
        version="1",
        precisions={"fake": (Precision.FP32,), "nvidia": (Precision.FP32,)},
        policies=POLICIES,
        reasons={"cpu": "the fake framework does not run on the CPU"},
        options=("fault", "noise", "memory_samples", "step_ms", "factor", "ms_per_sample"),
    )


def open_subject(request: SubjectRequest) -> FakeSubject:
    """Build the pretence."""
    return FakeSubject(request)


def _own(request: SubjectRequest) -> Any:  # noqa: ANN401 - whatever the user's function makes
    """A model of the user's own: an object like the fake workload's model file."""
    from dlbench.frameworks import _own

    model = _own.made(request)
    lacking = [name for name in ("PARAMETERS", "outputs", "loss") if not hasattr(model, name)]
    if lacking:
        raise _own.no_model(request, model, "a fake model")
    return model


class FakeSubject:
    """Sleeps for a step's time and answers what the model file says."""

    n_buffers = 4

    def __init__(self, request: SubjectRequest) -> None:
        options = dict(request.case.options)
        self._model = _own(request) if request.spec.get("own") else request.load_model()
        self._training = request.case.mode is Mode.TRAINING
        kind, _, phase = options.get("fault", "").partition("@")
        self._fault, self._phase = kind, phase or "running"
        if kind and (kind not in FAULTS or self._phase not in PHASES):
            # Passed over, it would make a test of nothing.
            raise UnsupportedError(f"there is no fault {options['fault']}", "-o fault=error@load")
        noise = float(options.get("noise", "0"))
        self._random = random.Random(time.monotonic_ns() if noise else 0)  # noqa: S311
        self._noise = noise
        # Half of the noise belongs to the process, as it does on real machines.
        process_factor = 1 + noise * self._random.gauss(0, 1)
        batch_size = request.case.batch_size
        if batch_size > int(options.get("memory_samples", batch_size)):
            raise DeviceOutOfMemoryError(f"{batch_size} samples do not fit", "A smaller batch.")
        step_ms = float(options.get("step_ms", "2")) * float(options.get("factor", "1"))
        step_ms += batch_size * float(options.get("ms_per_sample", "0"))
        self._step_s = max(0.0, step_ms * 1e-3 * process_factor)
        self._spec, self._batch_size = request.spec, batch_size
        self._contents = list(range(self.n_buffers))
        self._due_s = 0.0
        self._n_steps = 0
        parameters = self._model.PARAMETERS - (kind == "fewer_parameters")
        # It pretends that there are tensors, and so where they are.
        self._kind = request.device.kind
        self.info: dict[str, Any] = {"parameters": parameters, "threads": request.threads}
        self.info["compute_dtype"] = "float32"
        if not request.spec.get("own"):
            self._model.build(request.spec)
        self._strike("load")

    def refill(self, buffer: int) -> None:
        """There is nothing to bring."""

    def step(self, buffer: int) -> object:
        """A training step: the loss before its update."""
        return self._run(("loss", self._model.loss(self._n_steps), buffer))

    def query(self, buffer: int) -> object:
        """An inference: a handle to its outputs."""
        return self._run(("outputs", 0.0, buffer))

    def _run(self, handle: tuple[str, float, int]) -> object:
        self._strike(PHASE_OF_STEP.get(self._n_steps, ""))
        self._n_steps += 1
        step_s = self._step_s * (1 + self._noise * self._random.gauss(0, 1))
        if self._fault == "stutter":
            step_s *= 1.1**self._n_steps
        self._due_s = max(self._due_s, time.monotonic()) + max(0.0, step_s)
        return handle

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """The numbers behind a handle, spoiled if that is the fault."""
        import numpy as np

        self.synchronize()
        kind, loss, buffer = cast("tuple[str, float, int]", handle)
        if kind == "loss":
            if self._fault == "nan":
                loss = float("nan")
            return np.array([2.0 if self._fault == "constant_loss" else loss], dtype=np.float32)
        source = 0 if self._fault == "cached_outputs" else self._contents[buffer]
        outputs = self._model.outputs(source)
        if self._fault == "wrong_outputs":
            outputs = [x + 0.01 for x in outputs]
        if self._fault == "nan":
            outputs[-1] = float("nan")
        # Sample 0 is the model file's; the others of a batch are as different as samples are.
        return np.array(
            [[x + j for x in outputs] for j in range(self._batch_size)], dtype=np.float32
        )

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """What the buffer pretends to hold."""
        from dlbench.frameworks import _seeded

        return _seeded.batch(self._spec, "inputs", self._contents[buffer], self._batch_size)

    def copy_inputs(self, source: int, target: int) -> None:
        """Remember whose inputs lie there."""
        self._contents[target] = self._contents[source]

    def places(self, handle: object) -> frozenset[str]:  # noqa: ARG002
        """On the device that does not exist."""
        return frozenset({self._kind})

    def synchronize(self) -> None:
        """Wait until the pretended device is done; sleeps coarsely, then spins to the moment."""
        while (left_s := self._due_s - time.monotonic()) > 0:
            if left_s > 1e-3:  # noqa: PLR2004 - sleeping is precise to a fraction of this
                time.sleep(left_s - 5e-4)

    def mark(self) -> object | None:
        """It has no clock of its own."""
        return None

    def elapsed_s(self, start: object, end: object) -> float:  # noqa: ARG002
        """Never called, since ``mark`` returns None."""
        raise RuntimeError("the fake device has no clock of its own")

    def peak_memory(self) -> PeakMemory:
        """It has no memory, which is not the same as having used none."""
        return PeakMemory(
            framework_allocated_mib=NOT_REAL,
            framework_reserved_mib=NOT_REAL,
            device_used_mib=NOT_REAL,
            host_rss_mib=NOT_REAL,
        )

    def close(self) -> None:
        """Nothing is held."""

    def _strike(self, phase: str) -> None:
        if self._fault and phase == self._phase:
            strike(self._fault)


def strike(fault: str) -> None:  # noqa: C901, PLR0912 - a table of ways to go wrong
    """Go wrong, in this process, now."""
    if fault == "oom_device":
        raise DeviceOutOfMemoryError(
            "CUDA out of memory: 20.00 GiB were asked for and 3.21 GiB were free",
            "Use a smaller --batch-size.",
        )
    if fault == "oom_host":
        raise MemoryError("40.0 GiB were asked for")
    if fault == "device_lost":
        raise DeviceLostError("the device has fallen off the bus", "Reboot.")
    if fault == "no_dependency":
        raise MissingDependencyError("fakelib does not import", "pip install fakelib")
    if fault == "error":
        raise ValueError("the model file raised this")
    if fault == "segv":
        ctypes.string_at(0)
    if fault == "abort":
        os.abort()
    if fault == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault in {"exit0", "exit3"}:
        os._exit(int(fault[-1]))
    if fault == "hang_grandchild":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if fault in {"hang", "hang_grandchild"}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if fault == "flood":
        chunk = b"x" * (1 << 20)
        for _ in range(FLOOD_BYTES >> 20):
            os.write(1, chunk)
    if fault == "junk":
        print('{"event": "trial", "trial": {"not": "ours"}}', flush=True)  # noqa: T201
