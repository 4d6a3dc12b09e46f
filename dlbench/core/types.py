"""The values that flow through dlbench, from what was asked for to one result document.

Every class is frozen, slotted and keyword-only: a stage receives a value and returns a new one.
Quantities end in their unit. A number that is not known is an ``Absent`` with its reason; it is
never 0, never NaN and never a guess.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TypeVar

SCHEMA_VERSION = 1
"""Version of the result document; raised by any change that an older reader would misread."""


# --- numbers, and what is known about them --------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided confidence interval; ``level`` is its confidence, 0.95 for 95 %."""

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A number that was measured; ``n`` independent observations stand behind it.

    ``coverage`` is the share of the time it speaks of that was really observed.
    """

    value: float
    n: int
    source: str
    interval: Interval | None = None
    coverage: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """A number derived through a model or a bound; ``method`` says which, ``from_`` from what."""

    value: float
    interval: Interval
    method: str
    from_: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A number that is not known: why, and what would make it known.

    ``code`` is a word of ``core.reasons`` where telemetry is absent, for programs; else empty.
    """

    reason: str
    remedy: str = ""
    code: str = ""


Metric = Measured | Estimated | Absent

Fact = str | int | float | bool | Absent
"""What is told of a machine, a model or a run; fields spell it out, for docs/schema.md to read."""

Known = TypeVar("Known")


def all_known(found: Iterable[Known | Absent]) -> list[Known] | Absent:
    """All of them, or why the first that is not known is not."""
    known: list[Known] = []
    for one in found:
        if isinstance(one, Absent):
            return one
        known.append(one)
    return known


# --- what is asked for ----------------------------------------------------------------------


class Mode(StrEnum):
    """What the subject does with the model."""

    TRAINING = "training"
    INFERENCE = "inference"


class Scenario(StrEnum):
    """How queries arrive at inference, in MLPerf LoadGen's words."""

    OFFLINE = "offline"
    SINGLE_STREAM = "single_stream"
    SERVER = "server"


class Precision(StrEnum):
    """Number format of the arithmetic, always set explicitly."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class Policy(StrEnum):
    """How far the framework is tuned: the same plain settings for all, or what an expert uses."""

    BASE = "base"
    TUNED = "tuned"


class Task(StrEnum):
    """What is to be done with the model."""

    TRAINING = "training"
    FINE_TUNING = "fine-tuning"
    INFERENCE = "inference"


class Objective(StrEnum):
    """What the pick is best in, among all that meet the limits."""

    COST = "cost"
    TIME = "time"
    ENERGY = "energy"
    CARBON = "carbon"


class BatchRule(StrEnum):
    """How batch sizes are chosen when they are not given as numbers."""

    AUTO = "auto"
    SWEEP = "sweep"


class DataMode(StrEnum):
    """Where a step's input comes from.

    ``synthetic`` is resident on the device; ``host`` is copied from host memory for each step;
    ``pipeline`` is read from files, decoded and augmented by the framework's own loader.
    """

    SYNTHETIC = "synthetic"
    HOST = "host"
    PIPELINE = "pipeline"


class TelemetryLevel(StrEnum):
    """How much is read beside the measured process.

    ``off`` reads nothing and measures no energy; ``basic`` reads ten times a second in a process of
    its own and measures energy; ``full`` adds what is slow to answer (traffic over PCIe).
    """

    OFF = "off"
    BASIC = "basic"
    FULL = "full"


LATENCY_LIMIT_OPTION = "latency_limit_ms"
"""The option of a case that says within how many milliseconds 99 of 100 queries are answered."""
PROMISED_SHARE = 0.99
"""Of a server's queries, that are answered within its limit."""

DRIVER_OPTION = "driver"
LOADGEN = "loadgen"
"""The option of an offline or single_stream case whose queries LoadGen makes, and its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One cell of the matrix: everything that makes two measurements comparable, and no more.

    ``device`` is a device id such as ``cpu`` or ``nvidia:0``; ``batch_size`` is in samples.
    ``scenario`` is None in training. ``options`` are adapter options as
    (name, value) pairs; the latency limit of ``server`` is among them.
    """

    workload: str
    framework: str
    device: str
    precision: Precision
    mode: Mode
    batch_size: int
    scenario: Scenario | None = None
    policy: Policy = Policy.BASE
    data_mode: DataMode = DataMode.SYNTHETIC
    variant: str = "full"
    n_devices: int = 1
    options: tuple[tuple[str, str], ...] = ()

    @property
    def case_id(self) -> str:
        """Twelve hexadecimal digits that name this case: the hash of its canonical form."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def arrivals(self) -> str:
        """How queries arrive, for people: the limit too; nothing where they are just there."""
        if self.scenario is Scenario.SERVER:
            return f"server {dict(self.options).get(LATENCY_LIMIT_OPTION, '?')} ms"
        plain = "single stream" if self.scenario is Scenario.SINGLE_STREAM else ""
        if dict(self.options).get(DRIVER_OPTION) == LOADGEN:
            return f"{plain or 'offline'} by LoadGen"
        return plain

    @property
    def adapter_options(self) -> str:
        """What an adapter was told, for people: ``compile_mode=default``."""
        return ", ".join(self._told)

    @property
    def _told(self) -> list[str]:
        own = (LATENCY_LIMIT_OPTION, DRIVER_OPTION)
        return [f"{name}={value}" for name, value in self.options if name not in own]

    @property
    def label(self) -> str:
        """A short name for people: two cases of one run never have the same."""
        parts = [self.workload, self.framework, self.device, self.precision, self.mode]
        if self.arrivals:
            parts.append(self.arrivals)
        parts.append(f"b{self.batch_size}")
        if self.policy is Policy.TUNED:
            parts.append(self.policy)
        if self.data_mode is not DataMode.SYNTHETIC:
            parts.append(f"{self.data_mode} data")
        if self.variant != "full":
            parts.append(self.variant)
        if self.n_devices > 1:
            parts.append(f"{self.n_devices} devices")
        return " ".join([*parts, *self._told])


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnInput:
    """One input of the user's own model: the shape of one sample, its number format, its range.

    ``below`` bounds whole numbers (0 to ``below`` - 1), and is None for floating point.
    """

    shape: tuple[int, ...]
    dtype: str
    below: int | None = None

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape)) or "scalar"
        dtype = "" if self.dtype == "float32" else f":{self.dtype}"
        below = "" if self.below is None or self.dtype == "bool" else f":{self.below}"
        return size + dtype + below


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnModel:
    """A model of the user's own, as the command line names it; nothing of it has been read.

    ``path`` is its file, ``function`` what makes the model there (empty for an ONNX file); ``stems``
    say which kinds of model it may be, in the words of ``Framework.MODEL_FILES``.
    """

    name: str
    path: str
    function: str
    inputs: tuple[OwnInput, ...]
    loss: str
    stems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the user asked for. An empty tuple means "all that make sense here"."""

    workloads: tuple[str, ...] = ()
    model: OwnModel | None = None
    frameworks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()
    modes: tuple[Mode, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    batch_rule: BatchRule | None = None
    policies: tuple[Policy, ...] = ()
    data_modes: tuple[DataMode, ...] = ()
    variant: str = "full"
    profile: str = "quick"
    time_budget_s: float | None = None
    seed: int = 0
    threads: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    telemetry: TelemetryLevel = TelemetryLevel.BASIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How long and how precisely to measure; the three shipped ones are in ``dlbench.plan``.

    ``target_half_width`` is relative (0.02 is 2 %); ``looks`` are the numbers of trials at which a
    case may stop; ``max_values`` and ``max_steady_s`` bound one trial's steady part, which always
    has at least ``min_values`` values (a server's are of a hundred queries). Warm-up lasts
    ``min_warm_up_s`` at least, and a value is made long enough that ``max_values`` of them last
    ``min_steady_s``: twenty values of a millisecond would be over before a neighbour's time slice is.
    Where the device's energy can be read, it is measured in ``energy_windows`` of ``energy_window_s``
    after ``energy_idle_s`` of idling; 0 windows: never.
    """

    name: str
    target_half_width: float
    looks: tuple[int, ...]
    min_values: int
    max_values: int
    max_steady_s: float
    max_warm_up_s: float
    time_budget_s: float | None
    min_warm_up_s: float = 1.0
    min_steady_s: float = 1.0
    energy_window_s: float = 0.0
    energy_windows: int = 0
    energy_idle_s: float = 0.0


TRAINING_FLOPS_FACTOR = 3
"""A training step costs about three forwards: the backward pass computes two products for each
product of the forward pass (gradient by input and by weight)."""

FROZEN_PRODUCTS = "frozen_products"
"""The fact of a subject that trains a model of the user's own: whether weights of products are frozen,
so that a step is less than three forwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadInfo:
    """The facts of a workload that a reader of results needs, copied into each document.

    ``flops`` is forward floating-point operations a sample (multiply and add are two);
    ``content_hash`` covers every file of the workload's folder that decides results. A model of the
    user's own (``own`` holds the options that name it) is counted when it has been built.
    ``latency_is`` is the name under which a query's latency is known in this task, where it has one.
    ``training_flops`` is the forward in training, where a model then computes more than in inference.
    ``bytes_per_sample`` are those of fp32; a workload that is ``in_place`` holds its numbers in the
    precision under test, and moves fewer in 16 bits.
    """

    name: str
    variant: str
    version: int
    task: str
    sample: str
    parameters: int | Absent
    flops: float | Absent
    tokens_per_sample: int | None
    bytes_per_sample: int | None = None
    content_hash: str
    own: str | None = None
    latency_is: str | None = None
    training_flops: float | None = None
    in_place: bool = False

    def forward_flops(self, mode: Mode) -> float | Absent:
        """Operations of one sample's forward in a mode, in FLOP."""
        if mode is Mode.TRAINING and self.training_flops is not None:
            return self.training_flops
        return self.flops

    def flops_of(self, mode: Mode) -> float | Absent:
        """Operations of one sample in a mode, the backward pass of training with them, in FLOP."""
        forward = self.forward_flops(mode)
        if isinstance(forward, Absent) or mode is Mode.INFERENCE:
            return forward
        return forward * TRAINING_FLOPS_FACTOR

    def moved_bytes(self, precision: Precision) -> float | None:
        """Bytes that a sample must move in a precision, if the workload says so."""
        if self.bytes_per_sample is None:
            return None
        narrow = self.in_place and precision in (Precision.BF16, Precision.FP16)
        return self.bytes_per_sample / 2 if narrow else float(self.bytes_per_sample)


class OutcomeKind(StrEnum):
    """The closed list of ways in which a planned trial or case can end."""

    OK = "ok"
    OOM_DEVICE = "oom_device"
    OOM_HOST = "oom_host"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    ERROR = "error"
    UNSUPPORTED = "unsupported"
    MISSING_DEPENDENCY = "missing_dependency"
    DEVICE_LOST = "device_lost"
    INVALID = "invalid"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended: the kind, its detail (signal, phase, rule), one sentence, and what to do."""

    kind: OutcomeKind
    detail: str = ""
    message: str = ""
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether the trial's values count."""
        return self.kind is OutcomeKind.OK

    def __str__(self) -> str:
        return f"{self.kind}({self.detail})" if self.detail else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A cell that was asked for and will not run, with the outcome it gets instead."""

    case: Case
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProbe:
    """One batch size that was tried, in one short trial: its throughput, or why there is none."""

    batch_size: int
    samples_per_s: float | Absent
    outcome: OutcomeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSearch:
    """How the batch size of a case was found: ``case_id`` is the case's before it was resized.

    ``capped``: throughput was not seen to stop growing at the largest size that was tried, and memory
    was not full.
    """

    case_id: str
    batch_size: int
    probes: tuple[BatchProbe, ...]
    capped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Two cases that run in interleaved pairs, the question of ``dlbench ab``.

    ``a`` and ``b`` are case_ids; ``zone`` is the relative difference below which it makes none.
    ``a_versions`` and ``b_versions`` are there where each has a Python environment of its own.
    """

    a: str
    b: str
    a_name: str
    b_name: str
    zone: float
    a_versions: dict[str, str | Absent] = field(default_factory=dict)
    b_versions: dict[str, str | Absent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will run, in which order, under which rules. Decided before the first measurement.

    ``cases`` are in seeded random order; ``sentinel`` is the case_id of the case that is run again
    between and last to see whether the machine itself changed. ``searches`` say how batch sizes were
    found where they were asked for as ``auto``, and ``time_budget_s`` is what they left. Where there
    are ``pairings``, cases run in pairs, and the profile's looks are numbers of pairs. ``least_rounds``
    run whatever the budget, which is the profile's then and not the user's: with fewer trials there is
    no interval. ``telemetry`` is None in documents from before it.
    """

    cases: tuple[Case, ...]
    skips: tuple[Skip, ...]
    workloads: tuple[WorkloadInfo, ...]
    profile: Profile
    seed: int
    time_budget_s: float | None
    sentinel: str | None
    threads: int
    tags: tuple[str, ...] = ()
    searches: tuple[BatchSearch, ...] = ()
    pairings: tuple[Pairing, ...] = ()
    telemetry: TelemetryLevel | None = None
    least_rounds: int = 0

    @property
    def has_environments(self) -> bool:
        """Whether pairs are of two Python environments; where these lie is recorded nowhere."""
        return any(pairing.a_versions or pairing.b_versions for pairing in self.pairings)


# --- the machine ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """One device as its adapter found it.

    ``precisions`` are those its hardware runs natively; ``peak_flops`` maps a precision to an upper
    bound of floating-point operations a second that no honest result can exceed.
    """

    id: str
    kind: str
    name: str
    uuid: str | Absent
    memory_mib: float | Absent
    precisions: tuple[Precision, ...]
    peak_flops: dict[str, float]
    facts: dict[str, str | int | float | bool | Absent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine and the software of one session, as far as they can change a result.

    ``machine`` is a readable name without a host name in it; ``fingerprint`` is equal for two
    sessions of the same hardware, devices and software. Limits such as affinity or the governor are
    among the facts alone: resuming asks for those too.
    """

    machine: str
    fingerprint: str
    facts: dict[str, str | int | float | bool | Absent]
    versions: dict[str, str | Absent]
    devices: tuple[DeviceInfo, ...]


# --- what was measured ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One timed measurement: ``n_samples`` samples in ``duration_s``, both ends synchronised.

    ``start_s`` is on the host's monotonic clock. ``device_s`` is the same span on the device's own
    clock, or None where the device has none.
    """

    start_s: float
    duration_s: float
    n_samples: int
    device_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A named span of a trial on the host's monotonic clock.

    Phases of the worker: ``load``, ``first_step``, ``warm_up``, ``steady``, ``gate``, ``idle`` and
    ``energy``.
    """

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One telemetry point: what ``source`` said of ``quantity`` (unit in its name) at ``t_s``."""

    t_s: float
    source: str
    quantity: str
    value: float | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One quantity (unit in its name) of a track, read by read.

    A column that is shorter than its track goes on with its last value. None is a read that failed;
    ``absent`` is the first one's reason. ``method`` says how it was asked for where there are several
    ways; ``averaging_s`` over how long each value is a mean.
    """

    quantity: str
    values: tuple[float | None, ...]
    method: str = ""
    averaging_s: float = 0.0
    absent: Absent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """All that one source said while a process ran, in columns: the raw readings of the sampler.

    ``t_us`` are microseconds since ``start_s``, on the host's monotonic clock: when the first quantity
    of each read was asked for; the others follow within the same read.
    """

    source: str
    start_s: float
    t_us: tuple[int, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """Four different peaks that are all called "memory" elsewhere, in MiB."""

    framework_allocated_mib: float | Absent
    framework_reserved_mib: float | Absent
    device_used_mib: float | Absent
    host_rss_mib: float | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of the correctness gate: ``passed`` is None when it could not be applied."""

    rule: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One worker process of one case.

    ``round`` counts the passes over all cases; ``role`` is ``measure`` or ``sentinel``. ``values``
    are the steady ones; ``warm_up`` is kept so that a reader can judge where steady began.
    ``digest`` holds outputs at fixed positions (inference) or first and last loss (training).
    ``energy`` are the energy windows; ``readings`` the reads of energy counters around them;
    ``tracks`` all that the sampler read meanwhile. ``queries_s`` are the seconds of each query, where
    they were timed one by one; ``subject`` is what the model and its process said of themselves,
    ``log`` what they wrote last where something failed.
    """

    case_id: str
    round: int
    role: str
    position: int
    started_utc: str
    outcome: Outcome
    values: tuple[Value, ...] = ()
    warm_up: tuple[Value, ...] = ()
    windows: tuple[Window, ...] = ()
    readings: tuple[Reading, ...] = ()
    first_step_s: float | Absent = Absent(reason="the trial ended before its first step")
    queries_s: tuple[float, ...] = ()
    memory: PeakMemory | None = None
    digest: tuple[float, ...] = ()
    checks: tuple[Check, ...] = ()
    flags: tuple[str, ...] = ()
    subject: dict[str, str | int | float | bool | Absent] = field(default_factory=dict)
    log: str = ""
    energy: tuple[Value, ...] = ()
    tracks: tuple[Track, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """A case with its trials, the reason it stopped, and flags on the whole."""

    case: Case
    trials: tuple[Trial, ...]
    stop_reason: str
    flags: tuple[str, ...] = ()

    @property
    def measured(self) -> tuple[Trial, ...]:
        """Trials whose values count: ok, and not run as the sentinel."""
        return tuple(t for t in self.trials if t.outcome.ok and t.role == "measure")

    @property
    def outcome(self) -> Outcome:
        """The one outcome of the case: its first failure, ok, or skipped when it never ran.

        A run of it as the sentinel decides only where there is no other: its failure costs the case
        none of its values.
        """
        for trial in [t for t in self.trials if t.role == "measure"] or self.trials:
            if not trial.outcome.ok:
                return trial.outcome
        if self.measured:
            return Outcome(kind=OutcomeKind.OK)
        return Outcome(kind=OutcomeKind.SKIPPED, detail=self.stop_reason, message=self.stop_reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoredDevice:
    """What was read of one device while a program ran; ``lost`` says why its sampler did not end."""

    device: str
    readings: tuple[Reading, ...] = ()
    tracks: tuple[Track, ...] = ()
    lost: Absent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """Any program, or a part of one, that ran with telemetry around it (``dlbench monitor``).

    ``command`` is empty for a block of ``dlbench.measure``. Of the ``windows``, ``idle`` is before it
    and ``energy`` it itself. ``cpu_s`` are the processor seconds of all its processes, as the kernel
    counted them; ``host`` the tracks of these.
    """

    name: str
    command: tuple[str, ...]
    started_utc: str
    exit_code: int
    cpu_s: float
    windows: tuple[Window, ...]
    host: tuple[Track, ...]
    devices: tuple[MonitoredDevice, ...]


DAMAGE = "journal_damage"
"""The note of a run whose journal had lines that could not be read when it was resumed."""

COMMITS = "commits"
"""The note of a run that was resumed under another commit of dlbench than it was begun with: which, and
since when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One session of measuring on one machine: one document.

    A document of ``dlbench monitor`` has no cases, and one ``monitored``.
    """

    run_id: str
    created_utc: str
    finished_utc: str
    dlbench_version: str
    plan: Plan
    environment: Environment
    results: tuple[CaseResult, ...]
    flags: tuple[str, ...] = ()
    notes: dict[str, str | int | float | bool | Absent] = field(default_factory=dict)
    monitored: tuple[Monitored, ...] = ()

    def workload(self, case: Case) -> WorkloadInfo:
        """The facts of the workload that ``case`` runs."""
        for info in self.plan.workloads:
            if (info.name, info.variant) == (case.workload, case.variant):
                return info
        raise KeyError(f"{case.workload} ({case.variant}) is not among the plan's workloads")
