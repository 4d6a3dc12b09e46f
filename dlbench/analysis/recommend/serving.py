"""Requests a second within a limit: how many of which instance.

server scenario measured        the rate at the limit, as LoadGen found it, x planned utilisation
only offline throughput         batches small enough that a request which just missed one waits for
                                it and for its own within the limit: 2 x (host + batch / rate)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlbench.analysis.recommend import assumptions, estimate, simulate
from dlbench.analysis.recommend.estimate import Choice, Fitted, Pace, Simulated
from dlbench.analysis.recommend.evidence import REPEAT_ON_ACCELERATOR
from dlbench.analysis.recommend.measured import Seen, agreed, rented_as
from dlbench.analysis.recommend.simulate import Floats, summary
from dlbench.core import metrics
from dlbench.core.recommendation import Constraint, Evidence, Refusal, Step
from dlbench.core.types import LATENCY_LIMIT_OPTION, Absent, Metric, Policy, Scenario
from dlbench.core.units import at_least, compact, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Requests a second of one instance within the limit, and the latency at that."""

    per_s: Floats
    latency: Metric
    batch: int
    policy: Policy
    utilisation: float
    steps: tuple[Step, ...]


def serving(choice: Choice, fitted: Fitted) -> Simulated | Refusal:
    """A fleet that serves the need for a month, or the constraint that it breaks."""
    need, draws, room = fitted.need, fitted.draws, fitted.room
    capacity = _measured(choice, fitted) or _derived(choice, fitted)
    if isinstance(capacity, Refusal):
        return capacity
    memory = room.models[capacity.policy].at(capacity.batch)
    wanted = need.requests_per_s or 0.0
    sure = simulate.quantiles(capacity.per_s, (1 - need.confidence,))[0]
    instances = int(np.ceil(wanted / (sure * capacity.utilisation)))
    # One of a spot fleet is taken away sooner or later; the others must not answer too late then.
    spare = 1 if choice.spot else 0
    instances += spare
    if choice.owned is not None and instances > (there := choice.owned.count):
        are = "is one" if there == 1 else f"are {there:,}"
        reason = f"{instances:,} of it would be needed, and there {are}"
        return Refusal(Constraint.DEVICES, reason, instances / there)
    if instances > need.max_instances:
        return Refusal(
            Constraint.DEVICES,
            f"{instances:,} instances would be needed, max_instances is {need.max_instances}",
            instances / need.max_instances,
        )
    time_s = np.full(simulate.N_DRAWS, need.hours_per_month * 3600)
    busy = np.minimum(1.0, wanted / (capacity.per_s * instances))
    device_w, host_w = estimate.device_power_w(choice, draws), estimate.host_power_w(choice, draws)
    joules: Floats | Absent
    if isinstance(device_w, Absent) or isinstance(host_w, Absent):
        joules = device_w if isinstance(device_w, Absent) else host_w
    else:
        drawn = assumptions.IDLE_SHARE + (1 - assumptions.IDLE_SHARE) * busy
        joules = instances * time_s * (device_w * drawn + host_w)
    money = estimate.priced(
        choice,
        need,
        draws,
        time_s,
        joules,
        instances,
        energy_words=lambda: (
            f"{instances} x ({estimate.power_words(choice, draws, NOT_METERED)}); "
            f"{percent(assumptions.IDLE_SHARE)} of an accelerator's power while it waits"
        ),
    )

    def trail() -> tuple[Step, ...]:
        return (
            *fitted.job.steps,
            estimate.memory_step(memory, capacity.batch, room.usable_mib),
            *fitted.rate.steps,
            *capacity.steps,
            Step(
                name="instances",
                value=str(instances),
                formula=(
                    f"{wanted:g} requests/s / ({compact(sure, 4)}, which "
                    f"{percent(need.confidence)} of outcomes reach, x "
                    f"{percent(capacity.utilisation)} planned utilisation), rounded up"
                    + (", and a spare for a spot instance that is taken away" if spare else "")
                ),
                source="above",
            ),
            *money.steps(),
        )

    pace = Pace(
        throughput=summary(capacity.per_s * instances, "requests/s of the fleet within the limit"),
        latency=capacity.latency,
        instances=instances,
        batch=capacity.batch,
        policy=capacity.policy,
    )
    return estimate.finished(choice, fitted, pace, money, trail)


NOT_METERED = Absent(reason="a month of waiting for requests was not metered")


def _measured(choice: Choice, fitted: Fitted) -> Capacity | None:
    """From a server case on that accelerator, or that machine, at a limit at most the need's."""
    need, draws, scale = fitted.need, fitted.draws, fitted.scale
    limit_ms = need.p99_ms or 0.0
    # As documents spell it, in six digits: 16.6667 ms is what was measured for 16.6666667.
    limit_ms = max(limit_ms, float(f"{limit_ms:g}"))
    cases = [s for s in fitted.found if s.case.scenario is Scenario.SERVER and _on(choice, s)]
    cases = [s for s in cases if _limit_ms(s) <= limit_ms]
    cases = [s for s in cases if need.batch_size in {None, s.case.batch_size}]
    if not cases:
        return None
    alike: dict[tuple[object, ...], list[Seen]] = {}
    for case in cases:
        key = (case.case.policy, case.case.batch_size, _limit_ms(case))
        alike.setdefault(key, []).append(case)
    repeats = [agreed(group, REPEAT_ON_ACCELERATOR) for group in alike.values()]
    likely = max(repeats, key=lambda group: group.middle.each_per_s)
    best = likely.middle
    per_s = draws.spread("rate", likely.low, best.each_per_s, likely.high)
    return Capacity(
        per_s=per_s * draws.of("scaling", scale[0]),
        latency=metrics.compute("latency_p99_s", best.result, best.run),
        batch=best.case.batch_size,
        policy=best.case.policy,
        utilisation=assumptions.UTILISATION_SERVED,
        steps=(
            Step(
                name="rate within the limit",
                value=f"{compact(best.rate.value, 4)} requests/s within {_limit_ms(best):g} ms",
                formula=f"measured, server scenario, MLCommons LoadGen{likely.of_several}",
                source=f"document {best.run.run_id}",
                as_of=best.run.created_utc[:10],
            ),
            scale[1],
        ),
    )


def _on(choice: Choice, found: Seen) -> bool:
    if choice.offer.accelerator is None:
        return found.device.kind == "cpu" and rented_as(found, choice.offer)
    device = found.accelerator
    # A slice of one does not serve what all of it did.
    return device is not None and device.name == choice.offer.accelerator and choice.devices >= 1


def _limit_ms(found: Seen) -> float:
    try:
        return float(dict(found.case.options).get(LATENCY_LIMIT_OPTION, "inf"))
    except ValueError:
        return float("inf")


def _derived(choice: Choice, fitted: Fitted) -> Capacity | Refusal:
    need, draws, rate, scale = fitted.need, fitted.draws, fitted.rate, fitted.scale
    limit_s = (need.p99_ms or 0.0) / 1e3
    speed = draws.spread("rate", rate.low, rate.value, rate.high)
    host = (
        assumptions.CPU_HOST_S
        if choice.offer.accelerator is None
        else assumptions.HOST_STEP_S["inference"]
    )
    # A measured or a predicted rate has the host's time in it already, at its own batch.
    host_s = draws.of("latency", host) + rate.step_s
    if rate.tier is not Evidence.ROOFLINE:
        host_s = np.minimum(host_s, 0.5 * rate.batch / speed)
    per_sample_s = np.maximum(1 / speed - host_s / rate.batch, 0.1 / speed)
    batch = rate.batch
    while True:
        service_s = host_s + batch * per_sample_s
        latency_s = assumptions.SERVICES_A_LATENCY * service_s
        sure_s = simulate.quantiles(latency_s, (need.confidence,))[0]
        if sure_s <= limit_s or batch == 1 or need.batch_size is not None:
            break
        batch = max(1, batch // 2)
    if sure_s > limit_s:
        what = "one request at a time" if batch == 1 else f"batches of {batch}"
        return Refusal(
            Constraint.LATENCY,
            f"p99 of {what} may reach {at_least(sure_s * 1e3)} ms, p99_ms is {need.p99_ms:g} "
            f"(median {compact(float(np.median(latency_s)) * 1e3)} ms)",
            sure_s / limit_s,
        )
    host_ms, each_ms = (compact(float(np.median(s)) * 1e3) for s in (host_s, per_sample_s))
    latency = summary(latency_s, f"{assumptions.SERVICES_A_LATENCY:g} x (host + {batch} / rate)")
    return Capacity(
        per_s=batch / service_s * draws.of("scaling", scale[0]),
        latency=latency,
        batch=batch,
        policy=rate.policy,
        utilisation=assumptions.UTILISATION_DERIVED,
        steps=(
            Step(
                name="rate within the limit",
                value=f"{compact(float(np.median(batch / service_s)), 4)} requests/s in batches up to "
                f"{batch}",
                formula=(
                    f"{assumptions.ESTIMATED}: {batch} / (host {host_ms} ms + {batch} x {each_ms} ms, "
                    f"of a sample in batches of {rate.batch} without the host), "
                    f"{assumptions.SERVICES_A_LATENCY:g} of which are {compact(latency.value * 1e3)} ms"
                ),
                source=host.source,
                as_of=assumptions.READ,
            ),
            scale[1],
        ),
    )
