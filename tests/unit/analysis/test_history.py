"""Steps in the course of a case: found where they are, and not where they are not."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dlbench.analysis import history, sessions
from dlbench.cli.history import history as command
from dlbench.core import stats
from dlbench.core.errors import GateError
from dlbench.core.types import Environment, Run
from dlbench.store.runs import load_runs, seal
from tests import builders

CASE = builders.case(framework="pytorch")


def _run(i: int, median_s: float, torch: str = "2.8.0", machine: str = "test-2c") -> Run:
    versions = {**builders.ENVIRONMENT.versions, "torch": torch}
    return builders.run(
        [builders.result(CASE, [median_s * x for x in (1, 1.001, 0.999)])],
        run_id=f"run-{i:02}",
        created_utc=f"2026-01-{i + 1:02}T00:00:00Z",
        environment=replace(builders.ENVIRONMENT, versions=versions, machine=machine),
    )


def test_a_step_is_named_with_what_changed_at_it() -> None:
    """A new PyTorch from the seventh document on, and 20 % less: both are said."""
    noise = [1.0, 1.004, 0.997, 1.002, 0.999, 1.003, 1.001, 0.998, 1.002, 1.0]
    runs = [
        _run(i, 0.01 * x * (1.25 if i >= 6 else 1), "2.9.0" if i >= 6 else "2.8.0")
        for i, x in enumerate(noise)
    ]
    (course,) = history.courses(runs[::-1])
    assert [p.run_id for p in course.points] == [f"run-{i:02}" for i in range(10)]
    (step,) = course.steps
    assert step.point == 6
    assert step.ratio == pytest.approx(0.8, rel=0.01)
    assert step.changed == (("torch", "2.8.0", "2.9.0"),)
    assert "10 sessions" in course.scatter_source
    plain = history.plain(course)
    assert plain["steps"][0]["run_id"] == "run-06"
    assert len(plain["points"]) == 10


def _edited(run: Run, digit: str) -> Run:
    """That document of a workload whose files are others, though its version is the same."""
    workloads = (replace(builders.WORKLOAD, content_hash=digit * 64),)
    return replace(run, plan=replace(run.plan, workloads=workloads))


def test_a_case_whose_workload_was_edited_is_no_course_and_is_named() -> None:
    """With both contents; where documents agree there is their course, and the sentence too."""
    runs = [_run(0, 0.01), _edited(_run(1, 0.01), "1")]
    sentence = (
        f"{CASE.label} is in 2 documents of test-2c, but its workload's files differ "
        "(content 000000000000, 111111111111)"
    )
    assert history.courses(runs) == ()
    assert history.divided(runs) == (sentence,)
    assert history.divided(runs, "no_such_word") == ()
    assert history.divided([runs[0], _run(1, 0.01)]) == ()
    other = _edited(_run(2, 0.01, machine="other-4c"), "1")
    assert history.divided([runs[0], other]) == ()
    assert len(history.courses([*runs, _run(2, 0.01)])) == 1
    assert "in 3 documents" in history.divided([*runs, _run(2, 0.01)])[0]


def test_the_command_does_not_say_that_a_case_stands_in_one_document_only(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names what keeps the two apart; where there is a course it is shown first."""
    seal(_run(0, 0.01), results)
    seal(_edited(_run(1, 0.01), "1"), results)
    with pytest.raises(GateError) as caught:
        command([results])
    words = "is in 2 documents of test-2c, but its workload's files differ"
    assert caught.value.message == f"{history.divided(load_runs([results]))[0]}"
    assert words in caught.value.message
    seal(_run(2, 0.01), results)
    command([results])
    shown = capsys.readouterr().out
    assert "no step" in shown
    assert "is in 3 documents of test-2c, but its workload's files differ" in shown


def test_two_machines_of_one_name_have_a_course_each() -> None:
    """Another processor, or another card of the same model: their difference is no step of either."""
    cards = ("sha256:" + "a" * 16, "sha256:" + "b" * 16)
    environments = [
        replace(builders.ENVIRONMENT, facts={"cpu": f"Test CPU {n}", "logical_cores": 2})
        for n in range(2)
    ]
    for pair, told in (
        (environments, "Test CPU 1, 2 cores"),
        ([_with_card(uuid) for uuid in cards], f"Test CPU, 2 cores, H100, {cards[1]}"),
    ):
        case = CASE if pair is environments else replace(CASE, device="nvidia:0")
        runs = [
            builders.run(
                [builders.result(case, [0.01 * (1 + i % 2) * x for x in (1, 1.001, 0.999)])],
                run_id=f"run-{i:02}",
                created_utc=f"2026-01-{i + 1:02}T00:00:00Z",
                environment=pair[i % 2],
            )
            for i in range(16)
        ]
        found = history.courses(runs)
        assert [len(course.points) for course in found] == [8, 8]
        assert all(course.scatter < 0.01 for course in found)
        assert found[1].machine.startswith(f"test-2c ({told}")
        assert history.courses(runs[::2])[0].machine == "test-2c"
        assert sessions.spread(runs[0], runs).n_sessions == 8


def _with_card(uuid: str) -> Environment:
    card = replace(builders.CPU, id="nvidia:0", kind="nvidia", name="H100", uuid=uuid)
    return replace(builders.ENVIRONMENT, devices=(card,))


def test_few_documents_use_the_prior_and_take_no_small_step() -> None:
    """With six documents 8 % may be the weather; twice as fast is not."""
    small = [_run(i, 0.01 * (1.08 if i > 2 else 1)) for i in range(6)]
    (course,) = history.courses(small)
    assert course.steps == ()
    assert "prior" in course.scatter_source
    large = [_run(i, 0.02 if i > 2 else 0.01) for i in range(6)]
    assert [s.point for s in history.courses(large)[0].steps] == [3]
    assert history.courses(large[1:])[0].steps == ()


def test_one_session_that_stands_out_is_no_step() -> None:
    """It has no company."""
    runs = [_run(i, 0.01 * (2 if i == 9 else 1 + i % 3 / 500)) for i in range(10)]
    assert history.courses(runs)[0].steps == ()


def test_two_steps_are_both_found() -> None:
    """Down and up again."""
    runs = [_run(i, 0.01 * (1.3 if 6 <= i < 12 else 1) * (1 + i % 3 / 500)) for i in range(18)]
    assert [s.point for s in history.courses(runs)[0].steps] == [6, 12]


@pytest.mark.parametrize("n", [6, 8, 12, 20])
def test_courses_without_a_step_seldom_show_one(n: int) -> None:
    """At most 5 % of seeded courses of noise, whatever the number of documents."""
    rng = random.Random(n)
    sd = 0.02 if n >= history.LEAST_FOR_SCATTER else stats.BETWEEN_SESSION_SD_LN
    shown = sum(bool(_steps([rng.gauss(0, sd) for _ in range(n)])) for _ in range(300))
    assert shown / 300 <= 0.05


def test_a_step_of_ten_scatters_is_found_at_its_place() -> None:
    """Within one document of it, in at least 95 % of seeded courses."""
    rng = random.Random(7)
    right = 0
    for _ in range(200):
        ys = [rng.gauss(0.2 * (i >= 7), 0.02) for i in range(14)]
        found = _steps(ys)
        right += bool(found) and min(abs(k - 7) for k, _ in found) <= 1
    assert right / 200 >= 0.95


def _steps(ys: Sequence[float]) -> list[tuple[int, float]]:
    return history.steps_of(ys, history.scatter_of(ys)[0])


def test_machines_and_versions_of_a_workload_do_not_mix() -> None:
    """Each has a course of its own; a case that stands in one document has none."""
    runs = [_run(0, 0.01), _run(1, 0.01), _run(2, 0.01, machine="b"), _run(3, 0.01, machine="b")]
    assert [c.machine for c in history.courses(runs)] == ["b", "test-2c"]
    changed = replace(builders.WORKLOAD, content_hash="1" * 64)
    other = replace(runs[1], plan=replace(runs[1].plan, workloads=(changed,)))
    assert history.courses([runs[0], other]) == ()


def test_cases_are_chosen_by_words() -> None:
    """All words must be in the label, or the word is the case's id."""
    runs = [_run(0, 0.01), _run(1, 0.01)]
    assert len(history.courses(runs, "fake pytorch")) == 1
    assert len(history.courses(runs, CASE.case_id)) == 1
    assert history.courses(runs, "fake jax") == ()


def test_a_document_given_twice_counts_once() -> None:
    """A folder and a file in it are the usual way."""
    runs = [_run(0, 0.01), _run(1, 0.01)]
    assert len(history.courses([*runs, runs[0]])[0].points) == 2
    assert math.isclose(history.courses(runs)[0].points[0].throughput.value, 100.0, rel_tol=0.01)
