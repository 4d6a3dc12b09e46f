"""The GPU acceptance by simulation: its checks on closed forms, its probes on a replayed card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench.core.energy import Point
from dlbench.core.types import (
    Absent,
    BatchProbe,
    BatchSearch,
    CaseResult,
    Check,
    Column,
    Outcome,
    OutcomeKind,
    Policy,
    Precision,
    Reading,
    Run,
    Skip,
    Track,
    Trial,
)
from tests import builders
from tests.energy.scripted import World
from tests.energy.traces import parse
from tests.gpu import __main__ as acceptance
from tests.gpu import checks
from tests.gpu.torch_load import TorchLoad
from tests.nvml import replaying

ROOT = Path(__file__).parents[3]
UNKNOWN = Absent(reason="not told")


# --- the counter, its calls, its tail ----------------------------------------------------------


def test_a_counter_of_a_hundred_milliseconds_is_found() -> None:
    """60 W idle in ticks of 100 ms: the period and the power are those."""
    ticks = [(t / 1000, 6.0 * (t // 100)) for t in range(3000)]
    found = checks.counter_period(ticks)
    assert found.passed is True
    assert "100.0 ms" in found.detail
    assert "idle 60.0 W" in found.detail


def test_a_counter_that_does_not_tick_fails() -> None:
    """Frozen is a failure and not a card without a counter."""
    assert checks.counter_period([(t / 1000, 7.0) for t in range(3000)]).passed is False
    slow = [(t / 1000, 120.0 * (t // 2000)) for t in range(9000)]
    assert checks.counter_period(slow).passed is False


def _read(start_s: float, **after_ms: float) -> list[Reading]:
    found, t_s = [], start_s
    for name, ms in after_ms.items():
        t_s += ms / 1000
        found.append(Reading(t_s=t_s, source="x", quantity=name, value=1.0))
    return found


def test_the_latency_of_each_call_is_its_share_of_a_read() -> None:
    """The slowest call is named; a read of 60 ms is too slow for ten a second."""
    starts_s = [0.0, 0.1, 0.2]
    fast = [_read(s, power_w=0.5, sm_clock_mhz=2.0) for s in starts_s]
    latencies = checks.call_latencies_s(fast, starts_s)
    assert latencies["sm_clock_mhz"] == pytest.approx([0.002] * 3)
    found = checks.call_latency(latencies)
    assert found.passed is True
    assert "slowest sm_clock_mhz 2.00 ms" in found.detail
    slow = checks.call_latencies_s([_read(s, power_w=60.0) for s in starts_s], starts_s)
    assert checks.call_latency(slow).passed is False
    assert checks.call_latency({}).passed is False


def _power(tail_s: float) -> list[Point]:
    """60 W, 300 W from 2 to 6 s and for the tail after it, then 70 W."""

    def watts(t_s: float) -> float:
        return 60.0 if t_s < 2 else 300.0 if t_s <= 6 + tail_s else 70.0

    return [(t / 50, watts(t / 50)) for t in range(500)]


@pytest.mark.parametrize("tail_s", [0.1, 0.5, 1.0])
def test_the_tail_of_power_is_found(tail_s: float) -> None:
    """To within a poll; a tail longer than windows wait fails."""
    found = checks.power_tail_s(_power(tail_s), (2.0, 6.0))
    assert found == pytest.approx(tail_s, abs=0.021)
    assert checks.power_tail(_power(tail_s), (2.0, 6.0), tail_s + 0.1).passed is True
    assert checks.power_tail(_power(tail_s), (2.0, 6.0), tail_s - 0.05).passed is False


def test_work_that_power_does_not_show_has_no_tail() -> None:
    """A stuck sensor or an idle card: not applied, and never passed."""
    flat = [(t / 50, 60.0) for t in range(500)]
    assert checks.power_tail(flat, (2.0, 6.0), 1.0).passed is None
    assert checks.power_tail([], (2.0, 6.0), 1.0).passed is None


# --- energy --------------------------------------------------------------------------------------


def _trial(load_mw: int = 250_000, window_s: float = 5.0, sensor: float = 1.0) -> Trial:
    """Three windows of a constant load; ``sensor`` is what power shows of the truth."""
    text = [["idle", "60000"], ["load", "constant", str(load_mw)], ["period", "100"]]
    world = World(trace=parse(text))
    record = world.measure(window_s, 3)
    world.sleep(1.5)
    start_s = world.power[0][0]
    track = Track(
        source="nvml:nvidia:0",
        start_s=start_s,
        t_us=tuple(round((t - start_s) * 1e6) for t, _ in world.power),
        columns=(Column(quantity="power_w", values=tuple(w * sensor for _, w in world.power)),),
    )
    return builders.trial(
        builders.case(),
        0,
        windows=record.windows,
        energy=record.values,
        readings=record.readings,
        tracks=(track,),
    )


def test_counter_and_integral_agree_over_thirty_seconds() -> None:
    """Two trials of 15 s agree; a sensor that shows 5 % too much does not; 15 s are not enough."""
    assert checks.counter_against_integral([_trial(), _trial()]).passed is True
    wrong = checks.counter_against_integral([_trial(sensor=1.05), _trial(sensor=1.05)])
    assert wrong.passed is False
    assert "4.8" in wrong.detail
    short = checks.counter_against_integral([_trial()])
    assert short.passed is None
    assert "only 15 s" in short.detail


def test_joules_a_sample_repeat() -> None:
    """The same load in two trials repeats; 5 % more in the second does not."""
    assert checks.energy_repeats([_trial(), _trial()]).passed is True
    assert checks.energy_repeats([_trial(), _trial(load_mw=262_500)]).passed is False


def test_energy_that_is_absent_is_not_applied() -> None:
    """A trial without energy windows says why, and passes nothing."""
    bare = builders.trial(builders.case(), 0)
    for check in (checks.counter_against_integral, checks.energy_repeats):
        assert check([bare]).passed is None
        assert check([bare]).detail


# --- memory, names, throttling -------------------------------------------------------------------


def test_memory_rises_by_what_was_allocated() -> None:
    """Within a page; a silent zero fails; a number that is absent is named, not judged."""
    good: dict[str, float | Absent] = {
        "framework_allocated": 1024.0,
        "device": 1026.0,
        "process": UNKNOWN,
    }
    assert checks.memory(1024.0, good).passed is True
    assert "process absent" in checks.memory(1024.0, good).detail
    assert checks.memory(1024.0, {**good, "framework_allocated": 0.0}).passed is False
    assert checks.memory(1024.0, {"framework": UNKNOWN}).passed is None


def test_the_card_is_known_by_both_names() -> None:
    """NVML writes GPU- before the UUID, CUDA may not."""
    assert checks.same_device("GPU-12ab-34", "12AB-34").passed is True
    assert checks.same_device("GPU-12ab-34", "99ab-34").passed is False
    assert checks.same_device("GPU-12ab-34", UNKNOWN).passed is None


def _throttled(*values: float) -> Trial:
    track = Track(
        source="nvml:nvidia:0",
        start_s=0.0,
        t_us=tuple(range(0, 100_000 * len(values), 100_000)),
        columns=(Column(quantity="throttled_power_cap_s", values=values),),
    )
    return builders.trial(builders.case(), 0, tracks=(track,))


def test_throttle_counters_only_rise() -> None:
    """Rising or standing passes, falling fails, none at all is not applied."""
    assert checks.throttle_counters([_throttled(1.0, 1.0, 1.5)]).passed is True
    assert checks.throttle_counters([_throttled(1.0, 0.5, 1.5)]).passed is False
    assert checks.throttle_counters([builders.trial(builders.case(), 0)]).passed is None


# --- out of memory, protocol ---------------------------------------------------------------------


def _run(*results: CaseResult, skips: Sequence[Skip] = ()) -> Run:
    run = builders.run(results or [builders.result(builders.case(), [0.01])])
    return replace(run, results=results, plan=replace(run.plan, skips=tuple(skips)))


def test_out_of_memory_has_one_outcome() -> None:
    """``oom_device`` passes; a crash, a success or nothing does not."""
    case = builders.case()

    def ended(kind: OutcomeKind) -> Run:
        failed = builders.failed(case, 0, kind)
        return _run(CaseResult(case=case, trials=(failed,), stop_reason="x"))

    assert checks.out_of_memory(ended(OutcomeKind.OOM_DEVICE)).passed is True
    assert checks.out_of_memory(ended(OutcomeKind.CRASHED)).passed is False
    assert checks.out_of_memory(_run(builders.result(case, [0.01]))).passed is False
    assert checks.out_of_memory(_run()).passed is False


def _search(best: int, **outcomes: OutcomeKind) -> BatchSearch:
    probes = tuple(
        BatchProbe(
            batch_size=int(name[1:]),
            samples_per_s=100.0 if kind is OutcomeKind.OK else UNKNOWN,
            outcome=kind,
        )
        for name, kind in outcomes.items()
    )
    return BatchSearch(case_id="x", batch_size=best, probes=probes)


def test_a_batch_search_ends_below_the_edge_of_memory() -> None:
    """The best size ran, what failed was larger and failed of memory only."""
    ok, oom = OutcomeKind.OK, OutcomeKind.OOM_DEVICE
    assert checks.batch_search([_search(8, n8=ok, n16=oom)]).passed is True
    assert checks.batch_search([_search(16, n8=ok, n16=oom)]).passed is False
    assert checks.batch_search([_search(8, n8=ok, n16=OutcomeKind.CRASHED)]).passed is False
    assert checks.batch_search([]).passed is False


def test_the_protocol_wants_every_precision_and_policy() -> None:
    """Passed, gate refused, clocks apart, skipped with a reason, and forgotten are told apart."""
    good = builders.case()
    apart = builders.case(policy=Policy.TUNED)
    refused = builders.case(precision=Precision.FP16)
    skipped = builders.case(precision=Precision.BF16)
    outcome = Outcome(kind=OutcomeKind.UNSUPPORTED, message="no bf16 on this card")
    run = _run(
        builders.result(good, [0.01] * 3),
        CaseResult(
            case=apart,
            trials=(builders.trial(apart, 0, flags=("clock_disagree",)),),
            stop_reason="x",
        ),
        CaseResult(
            case=refused,
            trials=(builders.failed(refused, 0, OutcomeKind.INVALID),),
            stop_reason="x",
        ),
        skips=[Skip(case=skipped, outcome=outcome)],
    )
    wanted = [
        ("fp32", "base"),
        ("fp32", "tuned"),
        ("fp16", "base"),
        ("bf16", "base"),
        ("tf32", "base"),
    ]
    found = checks.protocol(run, wanted)
    assert [c.passed for c in found] == [True, False, False, None, False]
    assert "clocks disagree" in found[1].detail
    assert "it broke" in found[2].detail
    assert found[3].detail == "no bf16 on this card"
    cut = _run(CaseResult(case=good, trials=(), stop_reason="time budget"))
    (unrun,) = checks.protocol(cut, [("fp32", "base")])
    assert unrun.passed is False
    assert "no trial, time budget" in unrun.detail


def _product(folder: Path, *arguments: str, **variables: str) -> acceptance.Product:
    return acceptance.Product(
        device="nvidia:0",
        workload="fake",
        framework="fake",
        folder=folder,
        surroundings={**os.environ, **variables},
        runs={"energy": arguments},
    )


def test_a_run_without_a_document_fails_in_its_words(tmp_path: Path) -> None:
    """The product's own sentence is the verdict; what cannot run here at all is not applied."""
    scenario = tmp_path / "scenario.txt"
    scenario.write_text(f"clock real\n{replaying.A100}\n")
    card = {
        "DLBENCH_NVML_LIBRARY": str(replaying.build(tmp_path)),
        "DLBENCH_NVML_REPLAY": str(scenario),
    }
    wrong = _product(tmp_path, "--profile", "quicker", **card).run("energy")
    assert isinstance(wrong, Check)
    assert wrong.passed is False
    assert "quicker" in wrong.detail
    nothing = _product(tmp_path, "--precision", "bf16", **card).run("energy")
    assert isinstance(nothing, Check)
    assert nothing.passed is None
    assert nothing.detail.startswith("exit 3: ")


def test_every_run_of_the_product_is_a_part_with_its_own_judgement() -> None:
    """No part without arguments, none without a check; every precision and policy is asked for."""
    runs = acceptance.runs_of(81920.0)
    assert tuple(runs) == acceptance.RUNS
    rules = [c.rule for part in runs for c in acceptance.judged(part, _run())]
    assert len(rules) == 3 + 4 * 2 + 1 + 1
    assert {f"protocol_{p}_{q}" for p in acceptance.PRECISIONS for q in ("base", "tuned")} < set(
        rules
    )


# --- soak ------------------------------------------------------------------------------------------


def _soaked(n: int = 100, every_s: float = 0.1) -> list[list[Reading]]:
    return [
        [Reading(t_s=i * every_s, source="x", quantity="energy_counter_j", value=float(i))]
        for i in range(n)
    ]


def test_a_quiet_soak_passes() -> None:
    """Memory that grows while warming up is no leak."""
    rss = [100.0, 150.0, *[160.0] * 20]
    assert checks.soak(_soaked(), 0.1, rss, [9] * 22).passed is True


def test_what_a_soak_finds() -> None:
    """Late reads, growing memory, leaked files, a falling counter, a lost sensor, and no time."""
    flat, files = [100.0] * 20, [9] * 20
    assert checks.soak(_soaked(every_s=0.3), 0.1, flat, files).passed is False
    assert checks.soak(_soaked(), 0.1, [100.0 + 5 * i for i in range(20)], files).passed is False
    assert checks.soak(_soaked(), 0.1, flat, list(range(20))).passed is False
    fallen = [*_soaked(), [Reading(t_s=10.0, source="x", quantity="energy_counter_j", value=3.0)]]
    assert "a counter fell" in checks.soak(fallen, 0.1, flat, files).detail
    lost = [*_soaked(), [Reading(t_s=10.0, source="x", quantity="energy_counter_j", value=UNKNOWN)]]
    assert "a sensor was lost" in checks.soak(lost, 0.1, flat, files).detail
    assert checks.soak([], 0.1, [], []).passed is None


# --- parity --------------------------------------------------------------------------------------


def test_parity_is_every_workload_within_its_tolerances() -> None:
    """The farthest is named; what could not be compared, is too far, NaN, or does not learn fails."""
    near = checks.Parity(outputs=checks.Deviation(found=3e-6, tolerance=1e-1))
    loss = checks.Deviation(found=4e-6, tolerance=1e-3)
    trained = replace(near, first_loss=loss)
    found = checks.parity("parity_x", {"gemm": near, "lstm": trained})
    assert found == Check(
        rule="parity_x", passed=True, detail="2 workloads, largest 4.0e-06 (lstm)"
    )
    for bad, words in (
        ("OSError: no", "lstm: OSError: no; 1 workloads"),
        (
            replace(trained, first_loss=replace(loss, found=2e-3)),
            "lstm: first loss 2.0e-03 apart, 1.0e-03 allowed; ",
        ),
        (
            replace(trained, outputs=replace(near.outputs, found=float("nan"))),
            "lstm: outputs nan apart, 1.0e-01 allowed; ",
        ),
        (replace(trained, falls=False), "lstm: its loss does not fall"),
    ):
        told = checks.parity("parity_x", {"gemm": near, "lstm": bad})
        assert told.passed is False
        assert words in told.detail
    assert checks.parity("parity_x", {}).passed is False


# --- as a program ----------------------------------------------------------------------------------


def test_without_a_card_nothing_is_accepted(tmp_path: Path) -> None:
    """Exit code 6, a sentence, and neither document nor report."""
    out = tmp_path / "out"
    environment = {**os.environ, "DLBENCH_NVML_LIBRARY": str(tmp_path / "none.so")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu", "--out", str(out)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == acceptance.EXIT_MISSING
    assert "nothing was accepted" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(("verdict", "code"), [(True, 0), (False, 4), (None, 4)])
def test_an_acceptance_leaves_a_document_and_a_report(
    verdict: bool | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One check that failed or was not applied makes it incomplete; both files are written anyway."""
    found = [
        Check(rule="uuid", passed=True, detail="same"),
        Check(rule="soak", passed=verdict, detail="600 s"),
    ]
    monkeypatch.setattr(acceptance, "_missing", lambda: "")
    monkeypatch.setattr(acceptance, "_card", lambda: (builders.CPU, None))
    monkeypatch.setattr(acceptance, "PARTS", ("card",))
    monkeypatch.setattr(acceptance, "_of_part", lambda *_: iter(found))
    assert acceptance.main(["--out", str(tmp_path), "--only", "card"]) == code
    document = json.loads((tmp_path / "acceptance.json").read_text())
    assert [c["passed"] for c in document["checks"]] == [True, verdict]
    assert document["environment"]["devices"][0]["name"] == builders.CPU.name
    assert "| uuid | passed | same |" in (tmp_path / "acceptance.md").read_text()


def test_an_acceptance_may_be_made_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Complete once each part has passed; what ran anew counts, and another machine's does not."""
    verdicts: dict[str, bool | None] = {"card": True, "soak": False}
    monkeypatch.setattr(acceptance, "_missing", lambda: "")
    monkeypatch.setattr(acceptance, "_card", lambda: (builders.CPU, None))
    monkeypatch.setattr(acceptance, "PARTS", ("card", "soak"))
    monkeypatch.setattr(
        acceptance,
        "_of_part",
        lambda part, *_: iter([Check(rule=f"of_{part}", passed=verdicts[part], detail="x")]),
    )
    once = ["--out", str(tmp_path), "--only"]
    assert acceptance.main([*once, "card"]) == acceptance.EXIT_INCOMPLETE
    assert (
        "| soak | not applied | not run yet: --only soak |"
        in (tmp_path / "acceptance.md").read_text()
    )
    assert acceptance.main([*once, "soak"]) == acceptance.EXIT_INCOMPLETE
    verdicts["soak"] = True
    assert acceptance.main([*once, "soak"]) == 0
    path = tmp_path / "acceptance.json"
    document = json.loads(path.read_text())
    assert [(c["part"], c["rule"]) for c in document["checks"]] == [
        ("card", "of_card"),
        ("soak", "of_soak"),
    ]
    document["environment"]["fingerprint"] = "another machine"
    path.write_text(json.dumps(document))
    assert acceptance.main([*once, "soak"]) == acceptance.EXIT_INCOMPLETE
    path.write_text("{")
    assert acceptance.main([*once, "soak"]) == acceptance.EXIT_INCOMPLETE
    assert "cannot be read" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        acceptance.main([*once, "sock"])


def test_the_load_of_a_real_card_works_on_the_processor() -> None:
    """The same calls of torch with another device: it multiplies, allocates, and tells no zero."""
    torch = pytest.importorskip("torch")
    load = TorchLoad(torch, "cpu", side=64)
    start_s = time.monotonic()
    load.work(0.05)
    assert time.monotonic() - start_s >= 0.05
    assert float(load._b[0, 0]) == 64.0  # rows of ones
    held: Any = load.allocate(2.0)
    assert held.nbytes == 2 * 1024**2
    assert int(held.sum()) == 0
    assert [type(x) for x in load.memory_mib().values()] == [Absent, Absent]
    assert isinstance(load.uuid(), Absent)


def test_torch_has_what_the_load_calls_on_a_card() -> None:
    """By its own stubs, for nothing here can call them: a name that is gone is seen without a card."""
    torch = pytest.importorskip("torch")
    for name in (
        "is_available",
        "synchronize",
        "get_device_properties",
        "max_memory_allocated",
        "max_memory_reserved",
        "reset_peak_memory_stats",
        "Event",
        "OutOfMemoryError",
    ):
        assert hasattr(torch.cuda, name), name
    stubs = (Path(torch.__file__).parent / "_C" / "__init__.pyi").read_text()
    properties = stubs.split("class _CudaDeviceProperties:")[1].split("\n\n")[0]
    assert "uuid: str" in properties


def test_a_python_without_torch_accepts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing package is named, with how to name another Python."""
    monkeypatch.setattr(acceptance, "NEEDED", ("no_such_package",))
    assert acceptance.main([]) == acceptance.EXIT_MISSING


def test_the_batch_that_cannot_fit_grows_with_the_card() -> None:
    """Several times what a card can hold, and inputs that the host still can."""
    batch = int(acceptance.runs_of(81920.0)["out_of_memory"][3])
    assert batch == 2048


def test_a_report_counts_what_passed_and_what_was_not_applied() -> None:
    """A missing check is seen at the top, and a bar in a sentence does not break the table."""
    found = [
        Check(rule="a", passed=True, detail="x"),
        Check(rule="b", passed=None, detail="y | z"),
    ]
    page = acceptance.report("NVIDIA Test", "2026-01-01T00:00:00Z", found)
    assert "1 passed, 0 failed, 1 not applied" in page
    assert "| b | not applied | y / z |" in page
