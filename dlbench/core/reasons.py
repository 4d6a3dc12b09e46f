"""Why a telemetry number is absent: a closed list of codes, each with one meaning.

An ``Absent`` of telemetry carries one of these in its ``code``, so that programs (and tests) need not
read sentences. The sentence beside it is the driver's or ours, and may change.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One word for each way in which a telemetry number can be missing."""

    # the library and its driver
    BINDING_MISSING = "binding_missing"
    LIBRARY_MISSING = "library_missing"
    LIBRARY_UNUSABLE = "library_unusable"
    DRIVER_NOT_LOADED = "driver_not_loaded"
    DRIVER_MISMATCH = "driver_mismatch"
    NO_PERMISSION = "no_permission"
    NO_DEVICE = "no_device"
    DEVICE_HIDDEN = "device_hidden"
    DEVICE_AMBIGUOUS = "device_ambiguous"
    # one device, one question
    NOT_SUPPORTED = "not_supported"
    FUNCTION_MISSING = "function_missing"
    DEVICE_NOT_FOUND = "device_not_found"
    DEVICE_LOST = "device_lost"
    RESET_REQUIRED = "reset_required"
    TIMEOUT = "timeout"
    UNINITIALISED = "uninitialised"
    NVML_ERROR = "nvml_error"
    FIELD_ERROR = "field_error"
    MIG_SLICE = "mig_slice"
    VIRTUAL_GPU = "virtual_gpu"
    NO_SENSOR = "no_sensor"
    # the processor
    NO_RAPL = "no_rapl"
    RAPL_PERMISSION = "rapl_permission"
    RAPL_MALFORMED = "rapl_malformed"
    # what was read makes no energy
    COUNTER_RESET = "counter_reset"
    COUNTER_FROZEN = "counter_frozen"
    COUNTER_IMPLAUSIBLE = "counter_implausible"
    POWER_IMPLAUSIBLE = "power_implausible"
    LOST_IN_WINDOW = "lost_in_window"
    LOW_COVERAGE = "low_coverage"
    WINDOW_TOO_SHORT = "window_too_short"
    NO_ENERGY_WINDOW = "no_energy_window"
    # the sampler
    SAMPLER_KILLED = "sampler_killed"
    SAMPLER_LATE = "sampler_late"
    SAMPLER_NOT_STARTED = "sampler_not_started"
    TELEMETRY_OFF = "telemetry_off"
    PROCESS_GONE = "process_gone"
    PIDS_DIFFER = "pids_differ"
    NO_CGROUP = "no_cgroup"
