"""The driver's management library: loaded, asked, and its refusals in its own words.

``NVMLError`` cannot be hashed, and a symbol that the library lacks is an error like any other, so
every question goes through ``Gpu.ask`` and every refusal becomes an ``Absent`` here.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from dlbench.core.reasons import Reason
from dlbench.core.types import Absent

LIBRARY_VARIABLE = "DLBENCH_NVML_LIBRARY"
"""File of another library with NVML's interface, such as one that replays a trace; a relative path is
meant from where dlbench was started."""

REMEDIES = {
    4: "Your user may not use the GPU: see the permissions of /dev/nvidia*.",
    9: "Load the driver (sudo modprobe nvidia), or install it.",
    12: "Install the NVIDIA driver; in a container, give it the GPUs (--gpus all).",
    15: "The GPU has fallen off the bus: reboot the machine.",
    16: "The GPU wants a reset: sudo nvidia-smi --gpu-reset, or reboot.",
    18: "Driver and library are of different versions: reboot the machine.",
}
"""What to do, by NVML's error code (nvmlReturn_t)."""

CODES = {
    1: Reason.UNINITIALISED,
    3: Reason.NOT_SUPPORTED,
    4: Reason.NO_PERMISSION,
    6: Reason.DEVICE_NOT_FOUND,
    9: Reason.DRIVER_NOT_LOADED,
    10: Reason.TIMEOUT,
    12: Reason.LIBRARY_MISSING,
    13: Reason.FUNCTION_MISSING,
    15: Reason.DEVICE_LOST,
    16: Reason.RESET_REQUIRED,
    18: Reason.DRIVER_MISMATCH,
}
"""Our word for an NVML error code; any other is ``nvml_error``."""

VGPU_GUEST_MODE = 2
"""NVML_GPU_VIRTUALIZATION_MODE_VGPU: this machine holds a slice of a board of another machine."""


def load() -> ModuleType | Absent:
    """The initialised binding, or why NVML cannot be used."""
    try:
        import pynvml
    except ImportError as error:
        return Absent(
            reason=f"the NVIDIA binding cannot be imported: {error}",
            remedy="pip install nvidia-ml-py",
            code=Reason.BINDING_MISSING,
        )
    replaced = _replace_library(pynvml)
    if isinstance(replaced, Absent):
        return replaced
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return refusal("NVIDIA driver", error)
    module: ModuleType = pynvml
    return module


def _replace_library(pynvml: Any) -> Absent | None:  # noqa: ANN401
    """Give the binding the library of ``LIBRARY_VARIABLE``, before it looks for the driver's."""
    path = os.environ.get(LIBRARY_VARIABLE)
    if not path or pynvml.nvmlLib is not None:
        return None
    remedy = f"Unset {LIBRARY_VARIABLE} to use the driver's own."
    # The loader would search for a bare name, and find whichever library comes first.
    file = Path(path).absolute()
    if not file.is_file():
        return Absent(
            reason=f"{LIBRARY_VARIABLE}={path}: there is no file {file}",
            remedy=f"It names a file and is not searched for: give its whole path. {remedy}",
            code=Reason.LIBRARY_UNUSABLE,
        )
    try:
        pynvml.nvmlLib = ctypes.CDLL(str(file))
    except OSError as error:
        return Absent(
            reason=f"{LIBRARY_VARIABLE}={path} cannot be loaded: {error}",
            remedy=remedy,
            code=Reason.LIBRARY_UNUSABLE,
        )
    return None


def refusal(what: str, error: Any) -> Absent:  # noqa: ANN401 - an NVMLError
    """A refusal in NVML's words, with the remedy and our word for its code."""
    number = getattr(error, "value", None)
    # An older binding lacks a function as an older library does.
    unknown = Reason.NVML_ERROR if number is not None else Reason.FUNCTION_MISSING
    return Absent(
        reason=f"{what}: {error}",
        remedy=REMEDIES.get(number or 0, ""),
        code=CODES.get(number or 0, unknown),
    )


VALUE_MEMBERS = {
    0: "dVal",
    1: "uiVal",
    2: "ulVal",
    3: "ullVal",
    4: "sllVal",
    5: "siVal",
    6: "usVal",
}
"""The member of nvmlValue_t that a valueType (nvmlValueType_t) fills."""


class Gpu:
    """One handle, and what NVML says of it; each question may go unanswered.

    ``board`` is the whole GPU where this is a MIG slice, and itself otherwise.
    """

    def __init__(self, nvml: Any, handle: Any, board: Gpu | None = None) -> None:  # noqa: ANN401
        self._nvml = nvml
        self._handle = handle
        self.is_slice = board is not None
        self.board = board or self

    def ask(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401
        """Call one NVML function on this device; Absent with NVML's words if it refuses."""
        try:
            return getattr(self._nvml, name)(self._handle, *arguments)
        except (self._nvml.NVMLError, AttributeError) as error:
            return refusal(name.removeprefix("nvmlDeviceGet"), error)

    def constant(self, name: str) -> int | Absent:
        """A constant of the binding, which older ones may lack."""
        found = getattr(self._nvml, name, None)
        if isinstance(found, int):
            return found
        return Absent(reason=f"the binding has no {name}", code=Reason.FUNCTION_MISSING)

    def uuid(self) -> str | Absent:
        """``GPU-...`` or ``MIG-...``: the name that means the same to CUDA."""
        return words(self.ask("nvmlDeviceGetUUID"))

    def name(self) -> str | Absent:
        """What NVIDIA calls it; a slice's name says its profile."""
        return words(self.ask("nvmlDeviceGetName"))

    def shares_its_board(self, what: str) -> Absent | None:
        """Why the board's energy or power (``what``) is not this device's, or None where it is."""
        if self.is_slice:
            return Absent(
                reason=f"{what}: it is counted for the whole board, of which this is a MIG slice",
                remedy="Measure energy on a whole GPU.",
                code=Reason.MIG_SLICE,
            )
        if self.board.ask("nvmlDeviceGetVirtualizationMode") == VGPU_GUEST_MODE:
            return Absent(
                reason=f"{what}: it is counted for the whole board, of which this is a virtual GPU",
                remedy="Measure energy on a whole GPU.",
                code=Reason.VIRTUAL_GPU,
            )
        return None

    def field(self, number: int, scope: int = 0) -> float | Absent:
        """One field by its own return code: a call that succeeds may hold fields that did not."""
        found = self.board.ask("nvmlDeviceGetFieldValues", [(number, scope)])
        if isinstance(found, Absent):
            return found
        (item,) = found
        if item.nvmlReturn:
            error = refusal(f"field {number}", self._nvml.NVMLError(item.nvmlReturn))
            unsupported = error.code in (Reason.NOT_SUPPORTED, Reason.DEVICE_LOST)
            return error if unsupported else replace(error, code=Reason.FIELD_ERROR)
        member = VALUE_MEMBERS.get(item.valueType)
        if member is None:
            return Absent(
                reason=f"field {number}: a value of an unknown type {item.valueType}",
                code=Reason.FIELD_ERROR,
            )
        return float(getattr(item.value, member))


def boards(nvml: Any) -> list[Gpu | Absent] | Absent:  # noqa: ANN401
    """All GPUs in the driver's (PCI bus) order; one that does not answer keeps its place."""
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        return refusal("NVIDIA driver", error)
    return [_board(nvml, i) for i in range(count)]


def _board(nvml: Any, index: int) -> Gpu | Absent:  # noqa: ANN401
    try:
        gpu = Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index))
    except nvml.NVMLError as error:
        return refusal(f"GPU {index}", error)
    uuid = gpu.uuid()
    # Without its UUID a worker could be given another GPU than the one asked for.
    return Absent(reason=f"GPU {index}: {uuid.reason}") if isinstance(uuid, Absent) else gpu


def slices(nvml: Any, board: Gpu) -> list[Gpu] | None:  # noqa: ANN401
    """The MIG slices of a board, or None where MIG is off."""
    mode = board.ask("nvmlDeviceGetMigMode")
    if isinstance(mode, Absent) or not mode[0]:
        return None
    most = board.ask("nvmlDeviceGetMaxMigDeviceCount")
    places = 0 if isinstance(most, Absent) else most
    handles = [board.ask("nvmlDeviceGetMigDeviceHandleByIndex", i) for i in range(places)]
    return [Gpu(nvml, handle, board) for handle in handles if not isinstance(handle, Absent)]


def by_uuid(nvml: Any, uuid: str) -> Gpu | Absent:  # noqa: ANN401
    """The GPU or slice of that UUID."""
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    except nvml.NVMLError as error:
        refused = refusal("GPU", error)
        # A library without that question can still be asked for each board in turn.
        listed = boards(nvml) if refused.code == Reason.FUNCTION_MISSING else refused
        named = [] if isinstance(listed, Absent) else [b for b in listed if _is(b, uuid)]
        return named[0] if named else refused
    if not uuid.startswith("MIG-"):
        return Gpu(nvml, handle)
    try:
        board = Gpu(nvml, nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
    except nvml.NVMLError as error:
        return refusal("the board of the MIG slice", error)
    return Gpu(nvml, handle, board)


def _is(board: Gpu | Absent, uuid: str) -> TypeGuard[Gpu]:
    return not isinstance(board, Absent) and board.uuid() == uuid


def system(nvml: Any, name: str) -> Any:  # noqa: ANN401
    """Ask what belongs to no device, such as the driver's version."""
    try:
        return getattr(nvml, name)()
    except (nvml.NVMLError, AttributeError) as error:
        return refusal(name.removeprefix("nvmlSystemGet"), error)


def words(found: Any) -> str | Absent:  # noqa: ANN401
    """Text; older bindings answer bytes."""
    if isinstance(found, Absent):
        return found
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)


def known(found: Any, of: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """``of(found)``, or why it is not known."""
    return found if isinstance(found, Absent) else of(found)
