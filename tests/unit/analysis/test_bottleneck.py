"""What bounds a case, from trials whose times can be said beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.analysis import bottleneck
from dlbench.cli import run as command
from dlbench.core.types import Case, CaseResult, DataMode, Mode, Policy, Precision, Run
from dlbench.session import Finished
from tests import builders

BASE = builders.case(mode=Mode.TRAINING, scenario=None)


def _run(seconds: dict[DataMode, float], jitter: float = 0.002, *others: Case) -> Run:
    """Eight trials of each data mode; their times differ by ``jitter``, the same way in each mode."""
    results = []
    cells = [(base, *cell) for base in (BASE, *others) for cell in seconds.items()]
    for k, (base, mode, median_s) in enumerate(cells):
        case = replace(base, data_mode=mode)
        trials = tuple(
            builders.trial(case, i, median_s * (1 + jitter * ((i * (k + 3)) % 5 - 2)))
            for i in range(8)
        )
        results.append(CaseResult(case=case, trials=trials, stop_reason="enough"))
    run = builders.sealed_run()
    return replace(run, results=tuple(results))


CASES = {
    "data": ({"synthetic": 0.010, "host": 0.010, "pipeline": 0.020}, "data", 0.5),
    "copy": ({"synthetic": 0.010, "host": 0.0125, "pipeline": 0.0125}, "host-to-device", 0.2),
    "both, data more": ({"synthetic": 0.010, "host": 0.0125, "pipeline": 0.025}, "data", 0.5),
    "both, copy more": (
        {"synthetic": 0.010, "host": 0.025, "pipeline": 0.0263}, "host-to-device", 0.6,
    ),
    "compute": ({"synthetic": 0.010, "host": 0.010, "pipeline": 0.010}, "compute", None),
    "no host": ({"synthetic": 0.010, "pipeline": 0.040}, "data", 0.75),
    "no pipeline": ({"synthetic": 0.010, "host": 0.020}, "host-to-device", 0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_name_and_its_share_of_each_step(name: str) -> None:
    """What costs most of the time; its share would go if it were free.

    A case was bound by the data that cost a twentieth of its step, whatever the copy cost.
    """
    seconds, expected, share = CASES[name]
    (found,) = bottleneck.find(_run({DataMode(k): v for k, v in seconds.items()}))
    assert found.name == expected
    assert found.share == (None if share is None else pytest.approx(share, abs=0.01))
    assert found.case == BASE
    assert ("50 % of each step" in found.sentence.replace("50%", "50 %")) == (share == 0.5)


def test_each_sentence_is_of_one_case_of_the_run() -> None:
    """Two precisions and two policies: told apart in words, and in what --json prints."""
    seconds = {DataMode.SYNTHETIC: 0.010, DataMode.HOST: 0.010, DataMode.PIPELINE: 0.020}
    others = (replace(BASE, policy=Policy.TUNED), replace(BASE, precision=Precision.BF16))
    run = _run(seconds, 0.002, *others)
    found = bottleneck.find(run)
    assert {b.case for b in found} == {BASE, *others}
    assert len({b.sentence for b in found}) == 3
    done = Finished(run=run, path=Path("run.json"), interrupted=False)
    told = command._summary(done, None)["bottlenecks"]
    assert [(b["name"], b["sentence"]) for b in told] == [(b.name, b.sentence) for b in found]


@pytest.mark.parametrize(
    ("modes", "told"),
    [
        (
            ("synthetic", "host"),
            "inputs copied from the host arrive in time, those decoded from files",
        ),
        (("synthetic", "host", "pipeline"), "inputs arrive in time"),
        (("synthetic", "pipeline"), "inputs arrive in time"),
    ],
)
def test_what_was_only_copied_does_not_speak_for_files(modes: tuple[str, ...], told: str) -> None:
    """The pipeline may have failed, or nobody asked for it: its inputs were said to arrive in time."""
    (found,) = bottleneck.find(_run({DataMode(mode): 0.010 for mode in modes}))
    assert found.name == "compute"
    assert f"bound by compute; {told}" in found.sentence
    assert found.files is ("pipeline" in modes)


def test_noise_is_no_bottleneck() -> None:
    """Nor is it the absence of one."""
    run = _run({DataMode.SYNTHETIC: 0.010, DataMode.HOST: 0.0105}, jitter=0.2)
    (found,) = bottleneck.find(run)
    assert found.name == "cannot tell"
    assert found.share is None


@pytest.mark.parametrize(("least", "name"), [(0.4, "cannot tell"), (0.97, "host-to-device")])
def test_the_copy_is_none_where_the_data_may_cost_more(least: float, name: str) -> None:
    """It costs a fifth for sure, and nobody knows what the data cost: up to so much."""
    run = _run({DataMode.SYNTHETIC: 0.010, DataMode.HOST: 0.0125, DataMode.PIPELINE: 0.0125})
    spread = [least, 1 / least] * 4
    files = replace(BASE, data_mode=DataMode.PIPELINE)
    noisy = builders.result(files, [0.0125 * x for x in spread])
    run = replace(run, results=tuple(noisy if r.case == files else r for r in run.results))
    (found,) = bottleneck.find(run)
    assert found.name == name


def test_without_resident_inputs_nothing_is_said() -> None:
    """Nor with them alone."""
    assert bottleneck.find(_run({DataMode.HOST: 0.01, DataMode.PIPELINE: 0.02})) == ()
    assert bottleneck.find(_run({DataMode.SYNTHETIC: 0.01})) == ()
