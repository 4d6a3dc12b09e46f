"""From what was asked for to cases and skips, each with its reason."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlbench import plan, workloads
from dlbench.core import registry
from dlbench.core.errors import DlbenchError, MissingError, NothingToRunError, UsageError
from dlbench.core.protocols import Capability
from dlbench.core.types import (
    Absent,
    DataMode,
    DeviceInfo,
    Mode,
    OutcomeKind,
    Plan,
    Policy,
    Precision,
    Scenario,
    Selection,
    TelemetryLevel,
)
from dlbench.measure.energy import phase_s

CPU = DeviceInfo(
    id="cpu",
    kind="cpu",
    name="Some CPU",
    uuid=Absent(reason="none"),
    memory_mib=8192.0,
    precisions=(Precision.FP32,),
    peak_flops={"fp32": 1e12},
)
GPU = replace(CPU, id="nvidia:0", kind="nvidia", name="Some GPU", precisions=tuple(Precision))
NO_GPU = {"nvidia": Absent(reason="NVIDIA driver: not found", remedy="install it")}

BOTH = Capability(
    version="1",
    precisions={
        "cpu": (Precision.FP32, Precision.BF16),
        "nvidia": (Precision.FP32, Precision.BF16),
    },
    policies={Policy.BASE: "plain", Policy.TUNED: "all"},
    reasons={},
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch and TensorFlow as if they alone were known and installed, whatever is."""
    real = registry.names
    known = ("fake", "pytorch", "tensorflow")
    monkeypatch.setattr(
        registry, "names", lambda kind: known if kind == "frameworks" else real(kind)
    )
    for name in ("pytorch", "tensorflow"):
        monkeypatch.setattr(registry.load("frameworks", name), "probe", lambda: BOTH)


def _plan(here: tuple[DeviceInfo, ...] = (CPU,), /, **asked: Any) -> Plan:
    return plan.make_plan(Selection(**asked), _machine(here))


def _machine(here: tuple[DeviceInfo, ...], folder: Path | None = None) -> plan.Machine:
    return plan.Machine(devices=here, absent_devices=NO_GPU, threads=2, workload_folder=folder)


def test_nothing_asked_for_is_the_quick_suite_everywhere() -> None:
    """Three models in two frameworks and two modes, and products, on the CPU, in fp32."""
    planned = _plan()
    assert len(planned.cases) == 14
    assert planned.skips == ()
    assert {c.precision for c in planned.cases} == {Precision.FP32}
    assert {c.policy for c in planned.cases} == {Policy.BASE}
    assert {c.device for c in planned.cases} == {"cpu"}
    by_workload = {(c.workload, c.mode): c.batch_size for c in planned.cases}
    assert by_workload["resnet50", Mode.INFERENCE] == 8
    assert {w.name for w in planned.workloads} == {"resnet50", "lstm_lm", "bert_base", "gemm"}


def test_every_device_that_is_found_is_measured() -> None:
    """With the batch of its kind."""
    planned = _plan((CPU, GPU), workloads=("resnet50",), modes=(Mode.TRAINING,))
    sizes = {(c.device, c.batch_size) for c in planned.cases}
    assert sizes == {("cpu", 4), ("nvidia:0", 128)}


def test_lists_multiply() -> None:
    """Two batches and two policies are four cases each."""
    planned = _plan(
        workloads=("lstm_lm",),
        frameworks=("pytorch",),
        modes=(Mode.INFERENCE,),
        batch_sizes=(1, 2),
        policies=(Policy.BASE, Policy.TUNED),
    )
    assert len(planned.cases) == 4
    assert len({c.case_id for c in planned.cases}) == 4


def test_a_policy_that_is_not_offered_is_a_skip_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The adapter's own, as the docs have it."""
    able = replace(BOTH, policies={Policy.BASE: "plain"}, reasons={"tuned": "it is slower"})
    monkeypatch.setattr(registry.framework("pytorch"), "probe", lambda: able)
    planned = _plan(
        workloads=("lstm_lm",), frameworks=("pytorch",), policies=(Policy.BASE, Policy.TUNED)
    )
    assert {c.policy for c in planned.cases} == {Policy.BASE}
    assert {s.outcome.message for s in planned.skips} == {
        "the pytorch adapter has no policy tuned: it is slower"
    }


def test_single_stream_is_one_sample_a_query() -> None:
    """As in MLPerf; training has no scenario."""
    planned = _plan(
        workloads=("resnet50",),
        frameworks=("pytorch",),
        modes=tuple(Mode),
        scenarios=(Scenario.SINGLE_STREAM,),
    )
    found = {c.mode: (c.scenario, c.batch_size) for c in planned.cases}
    assert found[Mode.INFERENCE] == (Scenario.SINGLE_STREAM, 1)
    assert found[Mode.TRAINING][0] is None


def test_who_asks_for_a_scenario_asks_for_inference() -> None:
    """Training, which has none, is not run beside it unasked; asked for alone, it is a mistake."""
    asked = {"workloads": ("resnet50",), "frameworks": ("pytorch",)}
    planned = _plan(**asked, scenarios=(Scenario.SERVER,))
    assert [(c.mode, c.scenario) for c in planned.cases] == [(Mode.INFERENCE, Scenario.SERVER)]
    with pytest.raises(UsageError, match="a scenario is of inference, not of training"):
        _plan(**asked, scenarios=(Scenario.SERVER,), modes=(Mode.TRAINING,))


def test_an_option_that_no_framework_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt one would be measured as if it had been obeyed; one of another framework may stand."""
    able = replace(BOTH, options=("compile_mode", "pinned"))
    monkeypatch.setattr(registry.framework("pytorch"), "probe", lambda: able)
    asked = {"workloads": ("resnet50",), "modes": (Mode.INFERENCE,)}
    with pytest.raises(
        UsageError, match="no framework of this run has an option 'compilemode'"
    ) as e:
        _plan(**asked, frameworks=("pytorch",), options=(("compilemode", "default"),))
    assert e.value.advice == "Known: compile_mode, pinned."
    given = (("compile_mode", "default"),)
    planned = _plan(**asked, frameworks=("pytorch", "tensorflow"), options=given)
    assert {c.framework for c in planned.cases} == {"pytorch", "tensorflow"}
    with pytest.raises(UsageError, match="'compile_mode'"):
        _plan(**asked, frameworks=("tensorflow",), options=given)


def test_an_option_that_only_tuned_reads_is_refused_for_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be measured under a name that it did not earn; beside tuned it is read by that."""
    able = replace(BOTH, options=("compile_mode", "pinned"), tuned_options=("compile_mode",))
    monkeypatch.setattr(registry.framework("pytorch"), "probe", lambda: able)
    asked: dict[str, Any] = {"workloads": ("resnet50",), "frameworks": ("pytorch",)}
    options = (("compile_mode", "max-autotune"),)
    for policies in ((), (Policy.BASE,)):
        with pytest.raises(UsageError, match="policy base does not read the option 'compile_mode'"):
            _plan(**asked, options=options, policies=policies)
    for obeyed in ((Policy.TUNED,), (Policy.BASE, Policy.TUNED)):
        assert _plan(**asked, options=options, policies=obeyed).cases
    assert _plan(**asked, options=(("pinned", "false"),)).cases


def test_a_framework_that_is_not_here_lets_no_option_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default all are asked, and one of them is always missing; where all are, that is told."""
    able = replace(BOTH, options=("compile_mode",))
    absent = Absent(reason="TensorFlow is not installed", remedy="install it")
    monkeypatch.setattr(registry.framework("pytorch"), "probe", lambda: able)
    monkeypatch.setattr(registry.framework("tensorflow"), "probe", lambda: absent)
    asked = {"workloads": ("resnet50",), "options": (("compil_mode", "x"),)}
    with pytest.raises(UsageError, match="no framework of this run has an option 'compil_mode'"):
        _plan(**asked)
    with pytest.raises(MissingError, match="TensorFlow is not installed"):
        _plan(**asked, frameworks=("tensorflow",))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("driver", "nonsense"), "no driver 'nonsense'"),
        (("latency_limit_ms", "soon"), "limit of 'soon' ms"),
        (("latency_limit_ms", "0"), "limit of '0' ms"),
        (("latency_limit_ms", "inf"), "limit of 'inf' ms"),
    ],
)
def test_an_option_of_dlbenchs_own_must_mean_something(
    option: tuple[str, str], message: str
) -> None:
    """Else the plain loop would be measured as a driver that is none."""
    with pytest.raises(UsageError, match=message):
        _plan(workloads=("resnet50",), frameworks=("pytorch",), options=(option,))


def test_options_in_another_order_or_spelling_are_the_same_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its hash is of all that makes results comparable, and nothing else."""
    able = replace(BOTH, options=("a", "b"))
    monkeypatch.setattr(registry.framework("pytorch"), "probe", lambda: able)
    found = [
        _plan(
            workloads=("resnet50",),
            frameworks=("pytorch",),
            scenarios=(Scenario.SERVER,),
            options=options,
        ).cases[0]
        for options in (
            (("a", "1"), ("b", "2"), ("latency_limit_ms", "50")),
            (("latency_limit_ms", "50.0"), ("b", "2"), ("a", "1")),
        )
    ]
    assert found[0].options == (("a", "1"), ("b", "2"), ("latency_limit_ms", "50"))
    assert found[0].case_id == found[1].case_id


def test_a_precision_that_is_not_there_is_told_with_those_that_are() -> None:
    """Rather than that it is not there alone."""
    with pytest.raises(NothingToRunError, match="does not run fp16 on cpu: fp32, bf16 only"):
        _plan(workloads=("resnet50",), frameworks=("pytorch",), precisions=(Precision.FP16,))


def test_a_servers_case_states_its_limit_and_no_other_does() -> None:
    """100 ms unless told; its queries are single ones."""
    both = (Scenario.OFFLINE, Scenario.SERVER)
    wanted = {"workloads": ("resnet50",), "frameworks": ("pytorch",), "scenarios": both}
    for options, limit in (((), "100"), ((("latency_limit_ms", "7.5"),), "7.5")):
        found = {c.scenario: c for c in _plan(**wanted, options=options).cases}
        assert found[Scenario.SERVER].options == (("latency_limit_ms", limit),)
        assert found[Scenario.SERVER].batch_size == 1
        assert found[Scenario.OFFLINE].options == ()
        assert f"server {limit} ms" in found[Scenario.SERVER].label


def test_loadgen_drives_the_scenarios_that_are_not_its_own() -> None:
    """The option stays on offline and single_stream; a server has it anyway, training never."""
    planned = _plan(
        workloads=("resnet50",),
        frameworks=("pytorch",),
        modes=tuple(Mode),
        scenarios=tuple(Scenario),
        options=(("driver", "loadgen"),),
    )
    found = {c.scenario: dict(c.options) for c in planned.cases}
    assert found[Scenario.OFFLINE] == found[Scenario.SINGLE_STREAM] == {"driver": "loadgen"}
    assert "driver" not in found[Scenario.SERVER]
    assert found[None] == {}
    labels = " ".join(c.label for c in planned.cases)
    assert "offline by LoadGen" in labels
    assert "single stream by LoadGen" in labels


def test_a_server_without_loadgen_is_skipped_with_the_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What else was asked for runs."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "mlperf_loadgen" else real(name, *a),
    )
    planned = _plan(
        workloads=("resnet50",),
        frameworks=("pytorch",),
        modes=(Mode.INFERENCE,),
        scenarios=(Scenario.OFFLINE, Scenario.SERVER),
    )
    assert [c.scenario for c in planned.cases] == [Scenario.OFFLINE]
    (skip,) = planned.skips
    assert skip.outcome.kind is OutcomeKind.MISSING_DEPENDENCY
    assert skip.outcome.advice == "pip install 'dlbench[loadgen]'"


def test_data_modes_are_cases_of_their_own_where_the_workload_has_them() -> None:
    """lstm_lm has no files; resident inputs are the default, and a server's only ones."""
    every = tuple(DataMode)
    common = {"frameworks": ("pytorch",), "modes": (Mode.INFERENCE,)}
    planned = _plan(workloads=("resnet50", "lstm_lm"), data_modes=every, **common)
    found = {(c.workload, c.data_mode) for c in planned.cases}
    assert found == {("resnet50", mode) for mode in every} | {
        ("lstm_lm", DataMode.SYNTHETIC),
        ("lstm_lm", DataMode.HOST),
    }
    (skip,) = planned.skips
    assert skip.outcome.message == "lstm_lm has no files to decode"
    plain = _plan(workloads=("resnet50",), **common)
    assert [c.data_mode for c in plain.cases] == [DataMode.SYNTHETIC]
    served = _plan(
        workloads=("resnet50",), data_modes=every, scenarios=(Scenario.SERVER,), **common
    )
    assert [c.data_mode for c in served.cases] == [DataMode.SYNTHETIC]
    assert {s.outcome.message for s in served.skips} == {
        "LoadGen's queries are resident: they have data mode synthetic only"
    }


def test_copies_to_the_device_are_measured_where_there_are_any() -> None:
    """From the host by default; on the CPU there is nothing to copy."""
    found = _error(workloads=("host_to_device",), frameworks=("pytorch",))
    assert isinstance(found, NothingToRunError)
    assert "the CPU's memory is the host's" in found.message


def test_the_seed_decides_the_order_and_nothing_else() -> None:
    """Other order, same cases."""
    first, second = _plan(seed=1), _plan(seed=2)
    assert first.cases != second.cases
    assert set(first.cases) == set(second.cases)
    assert first.cases == _plan(seed=1).cases


def test_the_sentinel_is_the_cheapest_case() -> None:
    """By arithmetic: batch 4 of the LSTM's forward costs less than anything of ResNet-50's."""
    planned = _plan(workloads=("resnet50", "lstm_lm"), batch_sizes=(4,))
    sentinel = next(c for c in planned.cases if c.case_id == planned.sentinel)
    assert (sentinel.workload, sentinel.mode) == ("lstm_lm", Mode.INFERENCE)


def test_an_only_case_has_no_sentinel() -> None:
    """It watches itself."""
    planned = _plan(workloads=("resnet50",), frameworks=("pytorch",), modes=(Mode.TRAINING,))
    assert planned.sentinel is None


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"workloads": ("resnet5",)}, "no workload or suite named 'resnet5'"),
        ({"frameworks": ("torch",)}, "no framework named 'torch'"),
        ({"devices": ("tpu",)}, "no device kind named 'tpu'"),
        ({"batch_sizes": (-1,)}, "a batch of -1"),
        ({"batch_sizes": (0,)}, "a batch of 0"),
        ({"profile": "fast"}, "no profile named 'fast'"),
        ({"variant": "huge"}, "no variant 'huge'"),
        ({"time_budget_s": 0.0}, "not positive"),
        ({"time_budget_s": math.nan}, "not positive"),
        ({"seed": -1}, "a seed of -1 is none"),
        ({"seed": 2**32}, "a seed of 4294967296 is none"),
    ],
)
def test_what_makes_no_sense_is_said(asked: dict[str, Any], word: str) -> None:
    """One sentence, with what is known instead, exit code 2."""
    with pytest.raises(UsageError, match=word) as caught:
        _plan(**asked)
    assert caught.value.exit_code == 2
    assert caught.value.advice


def test_a_missing_framework_is_a_skip_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other one runs."""
    absent = Absent(reason="TensorFlow is not installed", remedy="pip install it")
    monkeypatch.setattr(registry.load("frameworks", "tensorflow"), "probe", lambda: absent)
    planned = _plan(workloads=("resnet50",))
    assert {c.framework for c in planned.cases} == {"pytorch"}
    assert {s.case.framework for s in planned.skips} == {"tensorflow"}
    outcome = planned.skips[0].outcome
    assert outcome.kind is OutcomeKind.MISSING_DEPENDENCY
    assert outcome.advice == "pip install it"
    with pytest.raises(MissingError, match="TensorFlow is not installed") as caught:
        _plan(frameworks=("tensorflow",))
    assert caught.value.exit_code == 6


def _error(**asked: Any) -> DlbenchError:
    with pytest.raises(DlbenchError) as caught:
        _plan(**asked)
    return caught.value


def test_an_absent_device_is_missing_if_it_was_asked_for_alone() -> None:
    """With the driver's own words; beside another device it is a skip."""
    error = _error(devices=("cuda",))
    assert (type(error), error.exit_code) == (MissingError, 6)
    assert "NVIDIA driver: not found" in error.message
    planned = _plan(devices=("cpu", "nvidia"))
    assert {s.case.device for s in planned.skips} == {"nvidia"}
    assert {c.device for c in planned.cases} == {"cpu"}


def test_a_precision_that_the_device_lacks_is_never_run_as_another() -> None:
    """A CPU without bf16: a skip with that reason, or nothing to run."""
    error = _error(precisions=(Precision.BF16,))
    assert isinstance(error, NothingToRunError)
    assert "no native bf16" in error.message
    planned = _plan(precisions=(Precision.FP32, Precision.BF16))
    assert {c.precision for c in planned.cases} == {Precision.FP32}
    assert {s.outcome.kind for s in planned.skips} == {OutcomeKind.UNSUPPORTED}


def test_a_cell_without_a_model_file_is_a_skip_when_asked_for() -> None:
    """And silently empty when it was not."""
    error = _error(workloads=("fake",), frameworks=("pytorch",))
    assert "fake has no model_pytorch.py" in error.message
    assert isinstance(_error(workloads=("fake",)), NothingToRunError)


def test_fake_is_used_only_by_name() -> None:
    """Its device comes with it."""
    fakes = registry.device_kind("fake").find()
    assert not isinstance(fakes, Absent)
    planned = plan.make_plan(
        Selection(workloads=("fake",), frameworks=("fake",)), _machine((CPU, *fakes))
    )
    assert {c.device for c in planned.cases} == {"fake"}


def test_the_users_own_workloads_come_first(tmp_path: Path) -> None:
    """A folder beside ours; a suite of theirs may use both."""
    own = tmp_path / "mine"
    own.mkdir()
    source = Path(workloads.folders()["fake"])
    for file in source.iterdir():
        if file.is_file():
            text = file.read_text(encoding="utf-8").replace('name = "fake"', 'name = "mine"')
            (own / file.name).write_text(text, encoding="utf-8")
    (tmp_path / "suites.toml").write_text('quick = ["mine"]')
    fakes = registry.device_kind("fake").find()
    assert not isinstance(fakes, Absent)
    planned = plan.make_plan(Selection(frameworks=("fake",)), _machine(fakes, tmp_path))
    assert {c.workload for c in planned.cases} == {"mine"}


def test_a_suite_of_a_workload_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """What it names wrongly would go unmeasured without a word."""
    (tmp_path / "suites.toml").write_text('mine = ["null", "nul"]')
    with pytest.raises(UsageError, match="suite mine names nul, and there is no such workload"):
        plan.make_plan(Selection(workloads=("mine",)), _machine((), tmp_path))


@pytest.mark.parametrize("profile", sorted(plan.PROFILES))
def test_the_estimate_is_a_range_that_a_budget_caps(profile: str) -> None:
    """Low below high, neither above the budget, and it says what it rests on."""
    planned = _plan(profile=profile)
    estimate = plan.estimate_time(planned, [CPU])
    assert 0 < estimate.low_s <= estimate.high_s
    if planned.time_budget_s is not None:
        mine = plan.estimate_time(replace(planned, least_rounds=0), [CPU])
        assert mine.high_s <= planned.time_budget_s
        assert mine.basis.endswith("ended by the time budget")


def test_the_profiles_own_budget_ends_no_run_without_an_interval() -> None:
    """Three trials of each are planned and estimated beyond it; a user's own budget is kept."""
    planned = _plan()
    assert planned.least_rounds == planned.profile.looks[0] == 3
    assert _plan(time_budget_s=60.0).least_rounds == 0
    tight = plan.estimate_time(replace(planned, time_budget_s=1.0), [CPU])
    free = plan.estimate_time(replace(planned, time_budget_s=None), [CPU])
    assert tight.low_s == pytest.approx(free.low_s)
    assert tight.high_s == pytest.approx(free.high_s * 3 / planned.profile.looks[-1])
    assert "ended by the time budget after 3 of each" in tight.basis


@pytest.mark.parametrize(
    ("profile", "of_each_s"),
    # Spare time, idling, and each window with its spare time after it.
    [
        ("quick", 0.2 + 0.5 + 2.2),
        ("standard", 0.2 + 1.0 + 3 * 5.2),
        ("strict", 0.2 + 2.0 + 3 * 10.2),
    ],
)
def test_the_estimate_holds_the_time_of_energy_windows(
    profile: str, of_each_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many seconds as the worker will idle and work for energy; none where telemetry is off."""
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "1"), ("max_energy_range_uj", "9")):
        (zone / name).write_text(text)
    monkeypatch.setenv("DLBENCH_POWERCAP_ROOT", str(tmp_path))
    planned = replace(_plan(profile=profile), time_budget_s=None)
    without = plan.estimate_time(replace(planned, telemetry=TelemetryLevel.OFF), [CPU])
    metered = replace(planned, telemetry=TelemetryLevel.BASIC)
    estimate = plan.estimate_time(metered, [CPU])
    looks = planned.profile.looks
    n_cases = len(planned.cases)
    assert estimate.low_s - without.low_s == pytest.approx(looks[0] * n_cases * of_each_s)
    assert estimate.high_s - without.high_s == pytest.approx(looks[-1] * n_cases * of_each_s)
    assert f"{of_each_s:.0f} s of each for energy" in estimate.basis
    assert "energy" not in without.basis


def test_a_device_without_a_sensor_takes_no_time_for_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual machine's processor: the worker skips the windows, and so does the estimate."""
    monkeypatch.setenv("DLBENCH_POWERCAP_ROOT", str(tmp_path / "none"))
    assert phase_s(plan.PROFILES["strict"], CPU) == 0.0


def test_a_gpu_that_is_here_and_cannot_be_measured_says_so() -> None:
    """Asked for by its maker, it is absent with its reason; what is not here is no kind of device."""
    why = Absent(reason="an AMD GPU is here, and dlbench has no way to measure on it yet")
    machine = replace(_machine((CPU,)), absent_devices={**NO_GPU, "amd": why})
    with pytest.raises(MissingError, match="an AMD GPU is here"):
        plan.make_plan(Selection(devices=("amd",)), machine)
    with pytest.raises(UsageError, match="no device kind named 'amd'"):
        _plan(devices=("amd",))
