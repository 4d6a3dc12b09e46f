"""Everything that dlbench raises on purpose.

    DlbenchError                 message: what happened and why; advice: the next command
    |- UsageError          2     the request itself makes no sense (unknown name, negative batch)
    |- NothingToRunError   3     every cell of the request was skipped
    |- GateError           5     a document or a result was refused by a quality rule
    |  `- DocumentError    5     a result document or journal cannot be trusted or read
    |- MissingError        6     a framework, driver or device is not on this machine
    |- StoreError          7     results cannot be written or found
    |- InterruptedSearchError 130  stopped by a signal before anything was measured
    `- SubjectError              raised by adapters inside the worker; becomes an outcome
       |- DeviceOutOfMemoryError     oom_device
       |- HostOutOfMemoryError       oom_host
       |- DeviceLostError            device_lost
       |- UnsupportedError           unsupported
       |- ModelError                 error(model)
       `- MissingDependencyError     missing_dependency

Adapters translate foreign exceptions into these at their border. ``exit_code`` is what the
command line ends with when the error reaches it.
"""

from __future__ import annotations

from dlbench.core.types import OutcomeKind

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_NOTHING_RAN = 3
EXIT_SOME_FAILED = 4
EXIT_REFUSED = 5
EXIT_MISSING = 6
EXIT_STORE = 7
EXIT_INTERRUPTED = 130


class DlbenchError(Exception):
    """Base of all: ``message`` says what happened and why, ``advice`` what to do next."""

    exit_code = 1

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


class UsageError(DlbenchError):
    """The request makes no sense as written."""

    exit_code = EXIT_USAGE


class NothingToRunError(DlbenchError):
    """Every cell that was asked for was skipped."""

    exit_code = EXIT_NOTHING_RAN


class GateError(DlbenchError):
    """A quality rule refuses."""

    exit_code = EXIT_REFUSED


class DocumentError(GateError):
    """A result document or journal that cannot be read or trusted."""


class MissingError(DlbenchError):
    """Something this machine does not have was asked for by name."""

    exit_code = EXIT_MISSING


class StoreError(DlbenchError):
    """Results cannot be written, or are not where they were said to be."""

    exit_code = EXIT_STORE


class InterruptedSearchError(DlbenchError):
    """A signal came while batch sizes were searched for; there is nothing to resume yet."""

    exit_code = EXIT_INTERRUPTED


class SubjectError(DlbenchError):
    """Raised inside the worker by adapters; ``outcome`` is what the trial is recorded as."""

    outcome = OutcomeKind.ERROR
    detail = ""


class DeviceOutOfMemoryError(SubjectError):
    """The accelerator's memory was exhausted."""

    outcome = OutcomeKind.OOM_DEVICE


class HostOutOfMemoryError(SubjectError):
    """The host's memory was exhausted."""

    outcome = OutcomeKind.OOM_HOST


class DeviceLostError(SubjectError):
    """The device stopped answering."""

    outcome = OutcomeKind.DEVICE_LOST


class UnsupportedError(SubjectError):
    """This combination cannot run here, and nothing is broken."""

    outcome = OutcomeKind.UNSUPPORTED


class ModelError(SubjectError):
    """A model file of the user's own does not do what it must; its traceback goes to the log."""

    detail = "model"


class MissingDependencyError(SubjectError):
    """A package is not installed or does not import."""

    outcome = OutcomeKind.MISSING_DEPENDENCY
