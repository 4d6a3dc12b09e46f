"""From what was asked for to what will run: every cell of the matrix becomes a case or a skip."""

from __future__ import annotations

import importlib.util
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dlbench import own_models, workloads
from dlbench.core import registry
from dlbench.core.errors import DlbenchError, MissingError, NothingToRunError, UsageError
from dlbench.core.protocols import Capability
from dlbench.core.types import (
    DRIVER_OPTION,
    LATENCY_LIMIT_OPTION,
    LOADGEN,
    Absent,
    BatchRule,
    BatchSearch,
    Case,
    DataMode,
    DeviceInfo,
    Mode,
    Outcome,
    OutcomeKind,
    Plan,
    Policy,
    Precision,
    Profile,
    Scenario,
    Selection,
    Skip,
    TelemetryLevel,
)
from dlbench.measure import energy

ALL_LOOKS = (3, 5, 8, 16, 32, 64)

PROFILES = {
    p.name: p
    for p in (
        # Three looks cost less confidence than six, and quick never gets beyond the third.
        Profile(
            name="quick",
            target_half_width=0.05,
            looks=ALL_LOOKS[:3],
            min_values=5,
            max_values=20,
            max_steady_s=8.0,
            max_warm_up_s=8.0,
            time_budget_s=720.0,
            energy_window_s=2.0,
            energy_windows=1,
            energy_idle_s=0.5,
        ),
        Profile(
            name="standard",
            target_half_width=0.02,
            looks=ALL_LOOKS,
            min_values=20,
            max_values=30,
            max_steady_s=30.0,
            max_warm_up_s=30.0,
            time_budget_s=3600.0,
            energy_window_s=5.0,
            energy_windows=3,
            energy_idle_s=1.0,
        ),
        Profile(
            name="strict",
            target_half_width=0.01,
            looks=ALL_LOOKS,
            min_values=50,
            max_values=50,
            max_steady_s=120.0,
            max_warm_up_s=60.0,
            time_budget_s=None,
            energy_window_s=10.0,
            energy_windows=3,
            energy_idle_s=2.0,
        ),
    )
}

DEFAULT_SUITE = "quick"

DEFAULT_LATENCY_LIMIT_MS = "100"
"""Of the server scenario: what people still take for immediate (Nielsen 1993)."""

SINGLE_QUERIES = (Scenario.SINGLE_STREAM, Scenario.SERVER)
"""Scenarios whose queries come one at a time: a batch of one unless another is asked for."""

DEVICE_ALIASES = {"cuda": "nvidia", "gpu": "nvidia"}

ASSUMED_SHARE_OF_PEAK = (0.05, 0.6)
"""Models reach between 5 % and 60 % of a device's peak; only for the estimate before a run."""

MOST_SEED = 2**32 - 1
"""So much every generator takes, with what is added to it; none takes less than 0."""

ASSUMED_LOAD_S = (1.0, 15.0)
"""Importing a framework and building a model: between a warm and a cold disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """How long a plan may take, as an honest range in seconds."""

    low_s: float
    high_s: float
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a plan needs to know of the machine.

    ``absent_devices`` are kinds that were looked for in vain, with the reason; ``threads`` those of
    each worker; ``workload_folder`` holds the user's own workloads, searched first.
    """

    devices: Sequence[DeviceInfo]
    absent_devices: Mapping[str, Absent]
    threads: int
    workload_folder: Path | None = None


def make_plan(selection: Selection, machine: Machine) -> Plan:
    """Decide what of a selection runs on a machine.

    Raises:
        UsageError: an unknown name or an impossible number.
        MissingError: nothing can run because a framework or device is not here.
        NothingToRunError: nothing can run for other reasons.
    """
    profile = _profile(selection)
    found = _workloads(selection, machine.workload_folder)
    matrix = _Matrix(selection=selection, machine=machine)
    _check_options(selection, {name for w in found for name in matrix.frameworks(w)})
    cells = [cell for workload in found for cell in matrix.cells(workload)]
    cases = list(dict.fromkeys(cell for cell in cells if isinstance(cell, Case)))
    skips = tuple(cell for cell in cells if isinstance(cell, Skip))
    if not cases:
        raise _nothing(skips, selection)
    random.Random(selection.seed).shuffle(cases)  # noqa: S311 - an order, not a secret
    return Plan(
        cases=tuple(cases),
        skips=skips,
        workloads=tuple(w.info(selection.variant) for w in found),
        profile=profile,
        seed=selection.seed,
        time_budget_s=selection.time_budget_s or profile.time_budget_s,
        least_rounds=0 if selection.time_budget_s else profile.looks[0],
        sentinel=_sentinel(cases, found),
        threads=machine.threads,
        tags=selection.tags,
        telemetry=selection.telemetry,
    )


def _profile(selection: Selection) -> Profile:
    if selection.profile not in PROFILES:
        known = ", ".join(PROFILES)
        raise UsageError(f"there is no profile named {selection.profile!r}", f"Known: {known}.")
    for batch_size in selection.batch_sizes:
        if batch_size < 1:
            raise UsageError(
                f"a batch of {batch_size} samples cannot be run", "Give --batch-size 1 or more."
            )
    if selection.scenarios and Mode.INFERENCE not in (selection.modes or Mode):
        raise UsageError("a scenario is of inference, not of training", "--mode inference")
    if selection.time_budget_s is not None and not 0 < selection.time_budget_s < math.inf:
        raise UsageError("the time budget is not positive", "Give --time-budget 5m, for example.")
    if not 0 <= selection.seed <= MOST_SEED:
        raise UsageError(f"a seed of {selection.seed} is none", f"Give --seed 0 to {MOST_SEED}.")
    return PROFILES[selection.profile]


def _check_options(selection: Selection, frameworks: Iterable[str]) -> None:
    """An option that nobody reads would be measured under a name that it did not earn."""
    for name, value in selection.options:
        _check_own_option(name, value)
    found = [registry.framework(name).probe() for name in frameworks]
    present = [c for c in found if isinstance(c, Capability)]
    if not present:
        return  # nothing can run, and that has a reason of its own
    read = {option for capability in present for option in capability.options}
    base = {o for c in present for o in c.options if o not in c.tuned_options}
    only_tuned = read - base if Policy.TUNED not in selection.policies else set()
    for name, _ in selection.options:
        if name not in (*read, LATENCY_LIMIT_OPTION, DRIVER_OPTION):
            known = f"Known: {', '.join(sorted(read))}." if read else "There is none."
            raise UsageError(f"no framework of this run has an option {name!r}", known)
        if name in only_tuned:
            raise UsageError(
                f"policy base does not read the option {name!r}",
                f"--policy tuned; for one side of ab: policy=tuned,option.{name}=VALUE",
            )


def _check_own_option(name: str, value: str) -> None:
    """The two that dlbench itself reads, and makes other cases by."""
    if name == DRIVER_OPTION and value != LOADGEN:
        raise UsageError(f"there is no driver {value!r} of queries", "--loadgen")
    if name == LATENCY_LIMIT_OPTION:
        try:
            limit_ms = float(value)
        except ValueError:
            limit_ms = math.nan
        if not 0 < limit_ms < math.inf:
            raise UsageError(f"a latency limit of {value!r} ms is none", "--latency-limit 50ms")


def _workloads(selection: Selection, extra: Path | None) -> list[workloads.Workload]:
    folders, suites = workloads.folders(extra), workloads.suites(extra)
    own = selection.model
    names: list[str] = [own.name] if own else []
    for asked in selection.workloads or (() if own else (DEFAULT_SUITE,)):
        if asked not in folders and asked not in suites:
            raise UsageError(
                f"there is no workload or suite named {asked!r}",
                f"Workloads: {', '.join(sorted(folders))}. Suites: {', '.join(sorted(suites))}.",
            )
        members = (asked,) if asked in folders else suites[asked]
        lost = [name for name in members if name not in folders]
        if lost:
            raise UsageError(
                f"the suite {asked} names {', '.join(lost)}, and there is no such workload",
                f"Workloads: {', '.join(sorted(folders))}.",
            )
        names += members
    found = [w for name in dict.fromkeys(names) if (w := own_models.find(name, extra, own))]
    for workload in found:
        if selection.variant not in workload.variants:
            raise UsageError(
                f"workload {workload.name} has no variant {selection.variant!r}",
                f"Known: {', '.join(workload.variants)}.",
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matrix:
    """The cells of one workload: the product of all that was asked for, each a case or a skip."""

    selection: Selection
    machine: Machine

    def cells(self, workload: workloads.Workload) -> Iterator[Case | Skip]:
        for framework in self.frameworks(workload):
            capability = registry.framework(framework).probe()
            for (mode, scenario), device, precision, policy, data_mode in itertools.product(
                self.uses(workload, capability),
                self.device_ids(framework),
                self.selection.precisions or (Precision.FP32,),
                self.selection.policies or (Policy.BASE,),
                self.selection.data_modes or workload.data_modes[:1],
            ):
                case = Case(
                    workload=workload.name,
                    framework=framework,
                    device=device,
                    precision=precision,
                    mode=mode,
                    scenario=scenario,
                    policy=policy,
                    data_mode=data_mode,
                    variant=self.selection.variant,
                    batch_size=1,
                    options=self.options(scenario),
                )
                yield from self.batches(workload, case, self.obstacle(workload, case, capability))

    def batches(
        self, workload: workloads.Workload, case: Case, outcome: Outcome | None
    ) -> Iterator[Case | Skip]:
        sizes = self.selection.batch_sizes or (self.default_batch(workload, case),)
        if self.selection.batch_rule is BatchRule.SWEEP:
            sizes = sweep(sizes[-1])
        for batch_size in sizes:
            sized = replace(case, batch_size=batch_size)
            yield sized if outcome is None else Skip(case=sized, outcome=outcome)

    def frameworks(self, workload: workloads.Workload) -> Sequence[str]:
        """Those asked for, else all that have a model file (an empty cell is no skip)."""
        known = registry.names("frameworks")
        for name in self.selection.frameworks:
            registry.framework(name)
        return self.selection.frameworks or [
            name
            for name in known
            if name != registry.FAKE and registry.model_stem(name, workload.model_files)
        ]

    def device_ids(self, framework: str) -> Sequence[str]:
        here = self.machine.devices
        if not self.selection.devices:
            if framework == registry.FAKE:
                return [registry.FAKE]
            return [d.id for d in here if d.kind != registry.FAKE]
        ids: list[str] = []
        for asked in self.selection.devices:
            kind, _, index = asked.partition(":")
            kind = DEVICE_ALIASES.get(kind, kind)
            if kind not in {*registry.names("devices"), *self.machine.absent_devices}:
                known = ", ".join(registry.names("devices"))
                raise UsageError(f"there is no device kind named {asked!r}", f"Known: {known}.")
            name = f"{kind}:{index}" if index else kind
            ids += [d.id for d in here if name in (d.id, d.kind)] or [name]
        return list(dict.fromkeys(ids))

    def uses(
        self, workload: workloads.Workload, capability: Capability | Absent
    ) -> Iterator[tuple[Mode, Scenario | None]]:
        """What was asked for, else all that workload and framework have (the rest is no skip).

        Who asks for a scenario asks for inference.
        """
        able = tuple(Mode) if isinstance(capability, Absent) else capability.modes
        if self.selection.scenarios:
            able = (Mode.INFERENCE,)
        for mode in self.selection.modes or [m for m in workload.modes if m in able]:
            if mode is Mode.TRAINING:
                yield mode, None
                continue
            for scenario in self.selection.scenarios or (Scenario.OFFLINE,):
                yield mode, scenario

    def options(self, scenario: Scenario | None) -> tuple[tuple[str, str], ...]:
        """Those given, in one order and spelling; the latency limit is a server's, and always there."""
        given = dict(self.selection.options)
        limit = given.pop(LATENCY_LIMIT_OPTION, DEFAULT_LATENCY_LIMIT_MS)
        if scenario is Scenario.SERVER:
            given[LATENCY_LIMIT_OPTION] = f"{float(limit):g}"
        if scenario in (None, Scenario.SERVER):
            # Training has no queries; a server's are always LoadGen's.
            given.pop(DRIVER_OPTION, None)
        return tuple(sorted(given.items()))

    def default_batch(self, workload: workloads.Workload, case: Case) -> int:
        if case.scenario in SINGLE_QUERIES:
            return 1
        kind = case.device.partition(":")[0]
        return workload.default_batch(case.variant, case.mode, kind)

    def obstacle(
        self, workload: workloads.Workload, case: Case, capability: Capability | Absent
    ) -> Outcome | None:
        """Why this cell cannot run here, or None."""
        if registry.model_stem(case.framework, workload.model_files) is None:
            return _no_model(workload, case.framework, capability)
        if case.mode not in workload.modes:
            return _unsupported(f"{workload.name} has no {case.mode}", "dlbench list")
        outcome = _no_scenario(workload, case) or _no_data(workload, case)
        if outcome is not None:
            return outcome
        if isinstance(capability, Absent):
            return _missing(capability)
        device = next((d for d in self.machine.devices if d.id == case.device), None)
        if device is None:
            kind = case.device.partition(":")[0]
            absent = self.machine.absent_devices.get(
                kind,
                Absent(reason=f"there is no device {case.device} here", remedy="dlbench devices"),
            )
            return _unsupported(absent.reason, absent.remedy, detail="device_absent")
        return _cannot(case, device, capability)


def _missing(framework: Absent) -> Outcome:
    return Outcome(
        kind=OutcomeKind.MISSING_DEPENDENCY, message=framework.reason, advice=framework.remedy
    )


def _no_model(
    workload: workloads.Workload, framework: str, capability: Capability | Absent
) -> Outcome:
    """What the workload lacks for that framework, unless the adapter itself is broken."""
    files = registry.framework(framework).MODEL_FILES
    if isinstance(capability, Absent) and not files:
        return _missing(capability)
    if "own" in workload.table:
        able = [
            n for n in registry.names("frameworks") if registry.model_stem(n, workload.model_files)
        ]
        advice = f"--framework {','.join(able)}"
        return _unsupported(f"{framework} does not run {workload.table['own']['label']}", advice)
    return _unsupported(f"{workload.name} has no {files[-1]}.py", "dlbench list")


def _no_scenario(workload: workloads.Workload, case: Case) -> Outcome | None:
    """Why the workload has no queries of that kind here, or None; a server's are single ones."""
    wanted = Scenario.SINGLE_STREAM if case.scenario in SINGLE_QUERIES else case.scenario
    if wanted is not None and wanted not in workload.scenarios:
        return _unsupported(f"{workload.name} has no scenario {case.scenario}", "dlbench list")
    if _by_loadgen(case) and importlib.util.find_spec("mlperf_loadgen") is None:
        return Outcome(
            kind=OutcomeKind.MISSING_DEPENDENCY,
            message="MLCommons LoadGen, which makes the queries, is not installed",
            advice="pip install 'dlbench[loadgen]'",
        )
    return None


def _by_loadgen(case: Case) -> bool:
    return case.scenario is Scenario.SERVER or DRIVER_OPTION in dict(case.options)


def _no_data(workload: workloads.Workload, case: Case) -> Outcome | None:
    """Why its inputs cannot come from where the data mode says, or None."""
    if _by_loadgen(case) and case.data_mode is not DataMode.SYNTHETIC:
        return _unsupported("LoadGen's queries are resident: they have data mode synthetic only")
    if case.data_mode not in workload.data_modes:
        lacks = "files to decode" if case.data_mode is DataMode.PIPELINE else case.data_mode
        known = ",".join(workload.data_modes)
        return _unsupported(f"{workload.name} has no {lacks}", f"--data {known}")
    if DataMode.SYNTHETIC not in workload.data_modes and case.device == "cpu":
        return _unsupported("the CPU's memory is the host's: there is nothing to copy")
    if case.data_mode is DataMode.PIPELINE and importlib.util.find_spec("PIL") is None:
        return Outcome(
            kind=OutcomeKind.MISSING_DEPENDENCY,
            message="Pillow, which makes and decodes the files of a pipeline, is not installed",
            advice="pip install 'dlbench[data]'",
        )
    return None


def _cannot(case: Case, device: DeviceInfo, capability: Capability) -> Outcome | None:
    able = capability.precisions.get(device.kind)
    if able is None:
        reason = capability.reasons.get(
            device.kind, f"the {case.framework} adapter does not run on {device.kind}"
        )
        return _unsupported(reason)
    if case.precision not in able:
        return _unsupported(
            capability.reasons.get(
                case.precision,
                f"the {case.framework} adapter does not run {case.precision} on {device.kind}:"
                f" {', '.join(able)} only",
            )
        )
    if case.precision not in device.precisions:
        return _unsupported(f"{device.name} has no native {case.precision} arithmetic")
    if case.mode not in capability.modes:
        return _unsupported(f"the {case.framework} adapter has no {case.mode}")
    if case.policy not in capability.policies:
        words = f"the {case.framework} adapter has no policy {case.policy}"
        why = capability.reasons.get(case.policy)
        return _unsupported(f"{words}: {why}" if why else words)
    return None


def _unsupported(message: str, advice: str = "", detail: str = "") -> Outcome:
    return Outcome(kind=OutcomeKind.UNSUPPORTED, message=message, advice=advice, detail=detail)


def _nothing(skips: Sequence[Skip], selection: Selection) -> DlbenchError:
    """The error of a plan without cases: what is missing first, else what is impossible."""
    if not skips:
        return NothingToRunError(
            "no installed framework has a model for what was asked", "dlbench list"
        )
    missing = [s for s in skips if s.outcome.kind is OutcomeKind.MISSING_DEPENDENCY]
    absent = [s for s in skips if s.outcome.detail == "device_absent"]
    first = (missing or absent or list(skips))[0].outcome
    named = bool(selection.frameworks if missing else selection.devices)
    kind = MissingError if missing or (absent and named) else NothingToRunError
    return kind(f"nothing can run: {first.message}", first.advice)


SWEEP_BEYOND = 8
"""A sweep ends at this many times the default batch."""


def sweep(default: int) -> tuple[int, ...]:
    """Powers of two from 1 to well beyond the default; those that do not fit end as out of memory."""
    return tuple(2**i for i in range((default * SWEEP_BEYOND).bit_length()))


def with_batches(plan: Plan, searches: Sequence[BatchSearch]) -> Plan:
    """The plan with its cases at the batch sizes that were found."""
    sizes = {search.case_id: search.batch_size for search in searches}
    cases = {
        c.case_id: replace(c, batch_size=sizes.get(c.case_id, c.batch_size)) for c in plan.cases
    }
    sentinel = cases[plan.sentinel].case_id if plan.sentinel else None
    return replace(plan, cases=tuple(cases.values()), sentinel=sentinel, searches=tuple(searches))


def _sentinel(cases: Sequence[Case], found: Sequence[workloads.Workload]) -> str | None:
    """The cheapest case by its arithmetic; an only case watches itself."""
    if len(cases) < 2:  # noqa: PLR2004 - a pair
        return None
    return min(cases, key=lambda c: (_flops_per_step(c, found), c.case_id)).case_id


def _flops_per_step(case: Case, found: Sequence[workloads.Workload]) -> float:
    """Of a model that nobody has counted yet: infinite, so that it is the last choice."""
    workload = next(w for w in found if w.name == case.workload)
    flops = workload.info(case.variant).flops_of(case.mode)
    return math.inf if isinstance(flops, Absent) else flops * case.batch_size


# --- how long it will take ------------------------------------------------------------------


def estimate_time(plan: Plan, devices: Sequence[DeviceInfo]) -> TimeEstimate:
    """A range for the whole plan, from arithmetic and peaks; nothing has been measured yet."""
    by_id = {d.id: d for d in devices}
    infos = {(w.name, w.variant): w for w in plan.workloads}
    energy_s = _energy_s(plan, by_id)
    low_s = high_s = 0.0
    for case in plan.cases:
        flops = infos[case.workload, case.variant].flops_of(case.mode)
        peak = by_id[case.device].peak_flops.get(case.precision)
        if isinstance(flops, Absent):
            # Nobody has counted it yet: no lower bound, and the profile's own limit above.
            flops, peak = 0.0, None
        flops *= case.batch_size
        fast, slow = ASSUMED_SHARE_OF_PEAK[1], ASSUMED_SHARE_OF_PEAK[0]
        step_low_s = flops / (peak * fast) if peak else 0.0
        step_high_s = flops / (peak * slow) if peak else plan.profile.max_steady_s
        low_trial_s = _trial_s(plan.profile, step_low_s, ASSUMED_LOAD_S[0])
        high_trial_s = _trial_s(plan.profile, step_high_s, ASSUMED_LOAD_S[1])
        low_s += plan.profile.looks[0] * (low_trial_s + energy_s[case.device])
        high_s += plan.profile.looks[-1] * (high_trial_s + energy_s[case.device])
    if plan.time_budget_s is not None:
        share = plan.least_rounds / plan.profile.looks[0]
        low_s = min(low_s, max(plan.time_budget_s, low_s * share))
        share = plan.least_rounds / plan.profile.looks[-1]
        high_s = min(high_s, max(plan.time_budget_s, high_s * share))
    basis = (
        f"{plan.profile.looks[0]} to {plan.profile.looks[-1]} trials a case at "
        f"{ASSUMED_SHARE_OF_PEAK[0]:.0%}-{ASSUMED_SHARE_OF_PEAK[1]:.0%} of the device's peak"
    )
    if any(energy_s.values()):
        basis += f", {max(energy_s.values()):.0f} s of each for energy"
    if plan.time_budget_s is not None:
        ends = f" after {plan.least_rounds} of each" if plan.least_rounds else ""
        basis += f", ended by the time budget{ends}"
    return TimeEstimate(low_s=low_s, high_s=high_s, basis=basis)


def _energy_s(plan: Plan, devices: Mapping[str, DeviceInfo]) -> dict[str, float]:
    """Seconds of each trial for energy windows, by device, whose sensors are looked for."""
    used = {case.device for case in plan.cases}
    if plan.telemetry in (None, TelemetryLevel.OFF):
        return dict.fromkeys(used, 0.0)
    return {name: energy.phase_s(plan.profile, devices[name]) for name in used}


def _trial_s(profile: Profile, step_s: float, load_s: float) -> float:
    """One trial: load, three steps and the warm-up window, then values until a limit."""
    warm_up_s = min(max(profile.min_warm_up_s, 10 * step_s), profile.max_warm_up_s)
    steady_s = min(
        max(profile.max_values * step_s, profile.max_values * 1e-3),
        max(profile.max_steady_s, profile.min_values * step_s),
    )
    return load_s + 3 * step_s + warm_up_s + steady_s
