"""Documents for tests of whoever reads them: one with something for every section, and bad ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from dlbench import paired
from dlbench.core.types import (
    Absent,
    Case,
    CaseResult,
    Column,
    DataMode,
    Mode,
    OutcomeKind,
    Pairing,
    Policy,
    Run,
    Scenario,
    Track,
    Trial,
)
from dlbench.measure.energy import EnergyRecord
from tests import builders
from tests.energy.scripted import World
from tests.energy.traces import parse

RUN = builders.sealed_run()

HOSTILE = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "</script><script>document.title='pwned'</script>",
    "</style><style>*{display:none}</style>",
    "<a href='javascript:document.title=1'>x</a>",
    "<svg/onload=document.title='pwned'>",
    "' onmouseover='document.title=1",
    "{{ 7 * 7 }}{% raw %}",
    '=HYPERLINK("https://example.invalid","x")',
    "<link rel=stylesheet href=https://example.invalid/x.css>",
    "<meta http-equiv=refresh content='0;url=https://example.invalid'>",
    "--><!--]]>",
    "\u2028\u2029\u202e\x00\x1b[2J",
)

SCRIPTS = (
    "模型 Модель מודל نموذج मॉडल โมเดล 모델 モデル 👩🏽‍🔬🏳️‍🌈 e\u0301\u0301\u0301 \u202eabc\u202c "
    + "x" * 300
)
"""Many scripts, joined emoji, stacked accents, a change of direction, and no place to break."""


def rich_run() -> Run:
    """Frameworks, batches, a ceiling, data modes, tuned settings, energy, a crash and a skip."""
    base = builders.case(workload="resnet50", device="cpu", batch_size=8)
    cases: list[tuple[Case, float]] = [
        (replace(base, framework="pytorch"), 0.030),
        (replace(base, framework="tensorflow"), 0.020),
        (replace(base, framework="pytorch", policy=Policy.TUNED), 0.0296),
        (replace(base, framework="pytorch", data_mode=DataMode.HOST), 0.031),
        (replace(base, framework="pytorch", data_mode=DataMode.PIPELINE), 0.050),
        (replace(base, framework="pytorch", scenario=Scenario.SINGLE_STREAM, batch_size=1), 0.040),
        (replace(base, workload="gemm", framework="pytorch", batch_size=1), 0.010),
        (replace(base, workload="memory_bandwidth", framework="pytorch", batch_size=1), 0.008),
        (replace(base, framework="pytorch", mode=Mode.TRAINING, scenario=None), 0.110),
        (replace(base, framework="tensorflow", mode=Mode.TRAINING, scenario=None), 0.090),
    ]
    cases += [
        (replace(base, framework="pytorch", batch_size=b), 0.03 + 0.05 / b) for b in (1, 2, 4)
    ]
    results = [_result(case, seconds, seed) for seed, (case, seconds) in enumerate(cases)]
    results[1] = replace(results[1], flags=("not_steady",))
    broken = replace(base, framework="jax")
    results.append(
        CaseResult(case=broken, trials=(builders.failed(broken, 0),), stop_reason="trial 1 crashed")
    )
    workloads = tuple(
        replace(builders.WORKLOAD, name=name, flops=flops, bytes_per_sample=moved)
        for name, flops, moved in (
            ("resnet50", 8.2e9, None),
            ("gemm", 6e9, None),
            ("memory_bandwidth", 0.0, 160_000_000),
            ("fake", 1e6, None),
        )
    )
    plan = builders.plan(
        [r.case for r in results], workloads=workloads, skips=RUN.plan.skips, sentinel=None
    )
    return builders.run(results, plan=plan)


def one_case_a_task() -> Run:
    """Four tasks of the rich document with one case each, the first of them flagged; and the skip."""
    run = rich_run()
    results = tuple(run.results[n] for n in (1, 6, 7, 8))
    plan = replace(run.plan, cases=tuple(r.case for r in results))
    return replace(run, results=results, plan=plan)


def _result(case: Case, seconds: float, seed: int, n: int = 3) -> CaseResult:
    noise = random.Random(seed)
    trials = tuple(_trial(case, i, seconds * (1 + 0.01 * noise.random()), noise) for i in range(n))
    return CaseResult(case=case, trials=trials, stop_reason="precise")


@cache
def _energy() -> EnergyRecord:
    """Two windows of 5 s at 250 W, over 60 W at rest, after all steady values."""
    world = World(trace=parse([["idle", "60000"], ["load", "constant", "250000"]]), now_s=6.0)
    return world.measure(5.0, 2)


def _trial(case: Case, round_: int, seconds: float, noise: random.Random) -> Trial:
    trial = builders.sealed_trial(case, round_, seconds, position=round_)
    values = tuple(
        replace(v, start_s=i * 0.5 + 1.5, duration_s=v.duration_s * (1 + 0.02 * noise.random()))
        for i, v in enumerate(trial.values)
    )
    warm_up = tuple(
        replace(v, start_s=i * 0.5, duration_s=v.duration_s * 1.4) for i, v in enumerate(values[:3])
    )
    record = _energy()
    metered = case.framework == "pytorch" and case.data_mode is DataMode.SYNTHETIC
    energy = tuple(replace(v, n_samples=round(v.duration_s / seconds)) for v in record.values)
    queries = tuple(seconds * case.batch_size * (1 + 0.1 * noise.random()) for _ in range(40))
    n_reads = 20
    track = Track(
        source="fake",
        start_s=0.0,
        t_us=tuple(i * 250_000 for i in range(n_reads)),
        columns=(
            Column(quantity="power_w", values=tuple(90.0 + i for i in range(n_reads))),
            Column(quantity="temperature_c", values=(60.0,)),
            Column(quantity="cpu_s", values=tuple(0.5 * i for i in range(n_reads))),
            Column(
                quantity="sm_clock_mhz",
                values=(None,) * n_reads,
                absent=Absent(reason="this device does not tell its clock"),
            ),
        ),
    )
    return replace(
        trial,
        tracks=(track,) if case.framework == "pytorch" else (),
        values=values,
        warm_up=warm_up,
        windows=(*trial.windows, *record.windows) if metered else trial.windows,
        energy=energy if metered else (),
        readings=record.readings if metered else (),
        queries_s=queries if case.mode is Mode.INFERENCE else (),
    )


def other_machine() -> Run:
    """The same cases, half as fast, on another machine and day."""
    run = rich_run()
    results = tuple(
        replace(
            r,
            trials=tuple(
                replace(t, values=tuple(replace(v, duration_s=2 * v.duration_s) for v in t.values))
                for t in r.trials
            ),
        )
        for r in run.results
    )
    return replace(
        run,
        run_id="20260202T000000Z-other-4c-fedcba",
        created_utc="2026-02-02T00:00:00Z",
        results=results,
        environment=replace(run.environment, machine="other-4c"),
    )


def strange_run(text: str) -> Run:
    """A document whose every free string is ``text``, and some of its names too."""
    run = rich_run()
    renamed = {r.case: _renamed(r.case, text) for r in run.results}
    results = tuple(
        replace(
            r,
            case=renamed[r.case],
            stop_reason=text,
            flags=(text,),
            trials=tuple(
                replace(
                    t,
                    case_id=renamed[r.case].case_id,
                    log=text,
                    flags=(text,),
                    subject={text: text},
                    outcome=replace(t.outcome, message=text, advice=text),
                )
                for t in r.trials
            ),
        )
        for r in run.results
    )
    workloads = tuple(
        replace(w, name=text if w.name == "resnet50" else w.name, task=text, sample=text)
        for w in run.plan.workloads
    )
    outcome = replace(run.plan.skips[0].outcome, message=text, advice=text, detail=text)
    plan = replace(
        run.plan,
        cases=tuple(r.case for r in results),
        workloads=workloads,
        skips=(replace(run.plan.skips[0], outcome=outcome),),
        tags=(text,),
        profile=replace(run.plan.profile, name=text),
    )
    device = replace(run.environment.devices[0], id="cpu", name=text, facts={text: text})
    environment = replace(
        run.environment,
        machine=text,
        facts={text: text},
        versions={text: Absent(reason=text, remedy=text)},
        devices=(device,),
    )
    return replace(
        run,
        run_id=text,
        results=results,
        plan=plan,
        environment=environment,
        flags=(text,),
        dlbench_version=text,
    )


def _renamed(case: Case, text: str) -> Case:
    return replace(
        case,
        workload=text if case.workload == "resnet50" else case.workload,
        framework=text if case.framework == "pytorch" else case.framework,
    )


def hostile_run() -> Run:
    """A document whose every string was written by an enemy."""
    return strange_run("".join(HOSTILE))


def empty_run() -> Run:
    """A session that was ended before its first case."""
    return builders.run([])


PAIR = (
    builders.case(framework="pytorch", batch_size=4),
    builders.case(framework="tensorflow", batch_size=4),
)
"""The two cases of ``paired_run``."""


def paired_run(
    a_s: Sequence[float], b_s: Sequence[float], failed: Sequence[int] = (), zone: float = 0.02
) -> Run:
    """A document of one pairing with these seconds a sample; B failed in some rounds."""
    a, b = PAIR
    pairing = Pairing(a=a.case_id, b=b.case_id, a_name="pytorch", b_name="tensorflow", zone=zone)
    trials = [
        [builders.trial(a, r, s, position=2 * r) for r, s in enumerate(a_s)],
        [
            replace(builders.failed(b, r, OutcomeKind.CRASHED), position=2 * r + 1)
            if r in failed
            else builders.trial(b, r, s, position=2 * r + 1)
            for r, s in enumerate(b_s)
        ],
    ]
    plan = builders.plan(PAIR, sentinel=None, pairings=(pairing,))
    plan = replace(plan, profile=replace(plan.profile, looks=paired.LOOKS))
    results = [
        CaseResult(case=c, trials=tuple(t), stop_reason="enough")
        for c, t in zip(PAIR, trials, strict=True)
    ]
    return builders.run(results, plan=plan)
