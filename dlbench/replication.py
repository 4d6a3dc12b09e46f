"""From a document to a plan that measures the same here, and what of it cannot be measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlbench import plan as planning
from dlbench.arms import ARM
from dlbench.core import units
from dlbench.core.errors import DlbenchError, NothingToRunError, UsageError
from dlbench.core.types import Case, Plan, Run, Selection, WorkloadInfo
from dlbench.plan import Machine

TAG = "replicates"

NO_PARTNER = "the other side of its pair cannot be measured here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impossible:
    """A case of the document that cannot be replicated here, and why."""

    case: Case
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """What will run, and what will not; ``changed`` names rules that had to differ."""

    plan: Plan
    impossible: tuple[Impossible, ...]
    changed: tuple[str, ...]


def replication(
    run: Run, machine: Machine, time_budget_s: float | None = None, threads: int | None = None
) -> Replication:
    """The plan that replicates a document on this machine.

    Cases, order, trials and rules are the document's; the sentinel is chosen anew among the cases that
    are left. A case is left out if it was not measured there, if its workload is not the same here, or
    if framework, device, precision or policy are not to be had here; of a pair both are.

    Args:
        run: the document.
        machine: what is here.
        time_budget_s: to be kept instead of the document's.
        threads: those that were asked for, else the document's; as far as there are.

    Raises:
        NothingToRunError: no case of it can be measured here; the first reason is named.
        UsageError: it compares two Python environments.
    """
    if run.plan.has_environments:
        raise UsageError(
            f"{run.run_id} compares two Python environments, and where they lie is not recorded",
            "Compare them anew with dlbench ab python=... python=...",
        )
    plans: list[Plan] = []
    impossible: list[Impossible] = []
    for result in run.results:
        if not result.measured:
            reason = f"it was not measured there: {result.outcome.message or result.outcome}"
            impossible.append(Impossible(case=result.case, reason=reason))
            continue
        found = _plan_of(result.case, run, machine)
        if isinstance(found, Plan):
            plans.append(found)
        else:
            impossible.append(Impossible(case=result.case, reason=found))
    n_threads = min(threads or run.plan.threads, machine.threads)
    plan = _together(plans, run, n_threads, time_budget_s)
    if not plan.cases:
        first = impossible[0].reason if impossible else "it has no cases"
        raise NothingToRunError(
            f"no case of {run.run_id} can be measured here: {first}", "dlbench list"
        )
    alone = [c for one in plans for c in one.cases if c not in plan.cases]
    impossible += [Impossible(case=c, reason=NO_PARTNER) for c in alone]
    why = "asked for" if n_threads == threads else "no more are here"
    return Replication(plan=plan, impossible=tuple(impossible), changed=_changed(run, plan, why))


def _plan_of(case: Case, run: Run, machine: Machine) -> Plan | str:
    """A plan of this one case, or why there is none."""
    described = _described(run.plan.workloads, case)
    if described is not None and described.own is not None:
        return (
            f"it is a model of someone's own, and no document may name code to run: {described.own}"
        )
    selection = Selection(
        workloads=(case.workload,),
        frameworks=(case.framework,),
        devices=(case.device,),
        precisions=(case.precision,),
        modes=(case.mode,),
        scenarios=(case.scenario,) if case.scenario is not None else (),
        batch_sizes=(case.batch_size,),
        policies=(case.policy,),
        data_modes=(case.data_mode,),
        variant=case.variant,
        options=tuple(option for option in case.options if option[0] != ARM),
    )
    try:
        plan = planning.make_plan(selection, machine)
    except DlbenchError as error:
        return error.message.removeprefix("nothing can run: ")
    # Options of an older document, or of a plan made by hand, may stand in any order.
    if replace(case, options=tuple(sorted(selection.options))) not in plan.cases:
        return f"this version of dlbench makes another case of it: {plan.cases[0].label}"
    here = _described(plan.workloads, case)
    if described is None or here is None:
        return f"workload {case.workload} is not described"
    if here.content_hash != described.content_hash:
        versions = (
            f"version {here.version}, there {described.version}"
            if here.version != described.version
            else "its files have changed"
        )
        return f"workload {case.workload} is another one here ({versions})"
    return replace(plan, cases=(case,))


def _described(infos: Sequence[WorkloadInfo], case: Case) -> WorkloadInfo | None:
    found = (w for w in infos if (w.name, w.variant) == (case.workload, case.variant))
    return next(found, None)


def _together(plans: Sequence[Plan], run: Run, threads: int, time_budget_s: float | None) -> Plan:
    """One plan of all cases, under the document's rules; of pairs those that are whole."""
    there = run.plan
    possible = {c for plan in plans for c in plan.cases}
    ids = {c.case_id for c in possible}
    pairings = tuple(p for p in there.pairings if p.a in ids and p.b in ids)
    # A case without its partner has nothing to be paired with.
    if there.pairings:
        ids = {case_id for p in pairings for case_id in (p.a, p.b)}
    cases = tuple(c for c in there.cases if c in possible and c.case_id in ids)
    infos = tuple(w for plan in plans for w in plan.workloads)
    sentinel = there.sentinel if there.sentinel in ids else None
    return replace(
        there,
        cases=cases,
        skips=(),
        workloads=tuple(dict.fromkeys(infos)),
        time_budget_s=time_budget_s or there.time_budget_s,
        least_rounds=0 if time_budget_s else there.least_rounds,
        sentinel=sentinel or (cases[0].case_id if len(cases) > 1 and not pairings else None),
        threads=threads,
        tags=(*there.tags, f"{TAG} {run.run_id}"),
        pairings=pairings,
        # Speeds of a search are of the machine that it was made on.
        searches=(),
    )


def _changed(run: Run, plan: Plan, why: str) -> tuple[str, ...]:
    if plan.threads != run.plan.threads:
        here = units.counted(plan.threads, "CPU thread")
        return (f"{here} instead of {run.plan.threads}: {why}",)
    return ()
