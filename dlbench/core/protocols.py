"""What each kind of plug-in must offer. A module or an object may satisfy them; no base class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from dlbench.core.types import (
    Absent,
    Case,
    DeviceInfo,
    Fact,
    Mode,
    PeakMemory,
    Policy,
    Precision,
    Reading,
)

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What an installed framework can do here, found without importing it.

    ``precisions`` maps a device kind (``cpu``, ``nvidia``) to what the adapter runs on it; a kind
    that is missing cannot be used, and ``reasons`` says why, of it or of a precision or policy by its
    name. ``policies`` maps each policy that the adapter offers to what it turns on; ``options`` are the
    names that it reads of the case's options (``-o NAME=VALUE``), ``tuned_options`` those among them
    that only policy ``tuned`` reads.
    """

    version: str
    precisions: Mapping[str, tuple[Precision, ...]]
    policies: Mapping[Policy, str]
    reasons: Mapping[str, str]
    modes: tuple[Mode, ...] = (Mode.TRAINING, Mode.INFERENCE)
    options: tuple[str, ...] = ()
    tuned_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRequest:
    """Everything an adapter needs to build its subject.

    ``spec`` is the chosen variant of workload.toml as plain data; ``load_model`` imports the model
    file, to be called once the framework itself is imported and set; ``threads`` is the number of
    CPU threads to use. ``model_path`` is the file itself where a model is no Python (an ONNX file);
    calling ``load_model`` then only says that importing is over.
    """

    case: Case
    device: DeviceInfo
    spec: Mapping[str, Any]
    load_model: Callable[[], ModuleType]
    threads: int
    seed: int
    scratch: Path
    model_path: Path | None = None


class Subject(Protocol):
    """Model, framework and device as built: the thing that is timed.

    Inputs are made beforehand: ``n_buffers`` batches of random data, resident on the device.
    """

    @property
    def n_buffers(self) -> int:
        """Number of input batches in rotation."""
        ...

    @property
    def info(self) -> Mapping[str, Fact]:
        """Facts of the subject as built: ``parameters`` (trainable), ``threads``, dtypes, ...

        In ``pipeline``: how many batches the loader decodes before they are asked for,
        ``batches_ahead``, and, where processes decode a batch each, how many, ``loader_processes``.
        """
        ...

    def refill(self, buffer: int) -> None:
        """Start to bring inputs from the host; called before each step where the data mode wants it.

        In ``host`` they are the buffer's own, again. In ``pipeline`` they are the loader's next batch,
        and go to one buffer beyond the ``n_buffers`` seeded ones, with the targets of buffer 0.
        """
        ...

    def step(self, buffer: int) -> object:
        """Start one training step on that buffer; return a handle to its loss (before update)."""
        ...

    def query(self, buffer: int) -> object:
        """Start one inference on that buffer; return a handle to its outputs."""
        ...

    def fetch(self, handle: object) -> np.ndarray[Any, Any]:
        """Copy a handle's contents to the host as float32, batch first, canonical layout."""
        ...

    def read_inputs(self, buffer: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Copy what a buffer holds on the device now to the host, in canonical layout."""
        ...

    def copy_inputs(self, source: int, target: int) -> None:
        """Put a copy of one buffer's inputs in another's place; the gate asks for it, after timing."""
        ...

    def places(self, handle: object) -> frozenset[str]:
        """Kinds of device (``cpu``, ``nvidia``) where weights, inputs and a result really lie.

        Asked of the tensors themselves, never of the request.
        """
        ...

    def synchronize(self) -> None:
        """Return when everything started so far has finished on the device."""
        ...

    def mark(self) -> object | None:
        """Record a point on the device's own clock, or None where it has none."""
        ...

    def elapsed_s(self, start: object, end: object) -> float:
        """Seconds between two marks, after ``synchronize``."""
        ...

    def peak_memory(self) -> PeakMemory:
        """Allocator peaks since the subject was built; the worker knows the host's and device's."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...


class Framework(Protocol):
    """A module ``dlbench/frameworks/<name>.py``."""

    @property
    def MODEL_FILES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Stems of the workload files it runs, the first that is there: ``model_pytorch``, ..."""
        ...

    @property
    def DISTRIBUTIONS(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Packages whose versions decide what it does, those that make its model included."""
        ...

    @property
    def INSTALL(self) -> str:  # noqa: N802 - a module's constant
        """The command that installs it."""
        ...

    def probe(self) -> Capability | Absent:
        """Say what it can do, cheaply and without importing the framework."""
        ...

    def open_subject(self, request: SubjectRequest) -> Subject:
        """Import the framework and build the subject; raise only ``SubjectError``."""
        ...


class Meter(Protocol):
    """One source of readings on one device."""

    def read(self) -> Sequence[Reading]:
        """Read now; a quantity that fails becomes a Reading whose value is Absent."""
        ...


class Device(Protocol):
    """A module ``dlbench/devices/<name>.py``."""

    def find(self) -> tuple[DeviceInfo, ...] | Absent:
        """List the devices of this kind, or say why there are none."""
        ...

    def meters(self, device: DeviceInfo) -> tuple[Meter, ...]:
        """Open what can be read of this device."""
        ...

    def memory_held_mib(self, device: DeviceInfo, pid: int) -> float | Absent:
        """Memory of this device that a process holds now, by what its driver says."""
        ...

    def occupants(self, device: DeviceInfo) -> tuple[int, ...] | Absent:
        """Ids of the processes that hold this device now; Absent where they cannot be known."""
        ...

    def child_environment(self, device: DeviceInfo) -> Mapping[str, str]:
        """Environment variables that make a worker see this device and no other."""
        ...
