"""Every way in which a model of the user's own is wrong has its sentence, and the run goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dlbench import own_models, session, workloads
from dlbench.core.errors import DocumentError
from dlbench.core.types import Absent, Mode, OutcomeKind, OwnModel
from dlbench.store import journal, runs
from tests import builders, sessions

SOURCE = """
import math

class Model:
    PARAMETERS = 10

    def outputs(self, buffer):
        return [math.sin(10.0 * buffer + i) for i in range(8)]

    def loss(self, n_updates):
        return 2.0 * math.exp(-0.05 * n_updates)

class Nan(Model):
    def outputs(self, buffer):
        return [math.nan] * 8

class Flat(Model):
    def loss(self, n_updates):
        return 2.0

class Moody(Model):
    n = 0

    def outputs(self, buffer):
        self.n += 1
        return [math.sin(self.n + i) for i in range(8)]

def raises():
    return 1 / 0

def leaves():
    raise SystemExit(3)

def greedy():
    raise MemoryError("40.0 GiB were asked for")

def number():
    return 3

instance = Model()
instance.forward = instance.outputs

class Layer(Model):
    def call(self, x):
        return x

    __call__ = call

layer = Layer()
"""

EXPECTED = {
    "Model": ("ok", ""),
    "Nan": ("invalid(outputs_finite)", "NaN or infinite"),
    "Moody": ("invalid(outputs_repeat)", "the same input again differs"),
    "raises": ("error(model)", "net.py:raises() raised ZeroDivisionError: division by zero"),
    "leaves": ("error(model)", "net.py:leaves() raised SystemExit: 3"),
    "greedy": ("oom_host", "40.0 GiB were asked for"),
    "number": ("error(model)", "returned an object of type int, which is not a fake model"),
    "nosuch": ("error(model)", "net.py has no nosuch"),
    "instance": ("error(model)", "instance of net.py is a Model"),
    "layer": ("error(model)", "layer of net.py is a Layer"),
}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A file of fake models, good and bad."""
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    return path


def _own(path: Path, function: str) -> OwnModel:
    return own_models.parse(f"{path}:{function}", ["8"], None, "auto", frameworks_given=True)


def _run(model: OwnModel, results: Path, mode: Mode = Mode.INFERENCE) -> session.Finished:
    """One case of the model, and a healthy one of the fake workload behind it."""
    scenario = {} if mode is Mode.INFERENCE else {"scenario": None}
    case = builders.case(
        workload=model.name, mode=mode, options=(("step_ms", "1"),), batch_size=1, **scenario
    )
    planned = sessions.plan([case, sessions.fake_case()])
    infos = (own_models.read(model).info("full"), *planned.workloads)
    return sessions.run(replace(planned, workloads=infos), results, model=model)


@pytest.mark.parametrize("function", EXPECTED)
def test_each_model_has_its_outcome_and_the_next_case_runs(
    function: str, net: Path, results: Path
) -> None:
    """In the user's words: file, function and what it did."""
    finished = _run(_own(net, function), results)
    own, healthy = (r.outcome for r in finished.run.results)
    outcome, sentence = EXPECTED[function]
    assert str(own) == outcome
    assert sentence in own.message
    assert own.ok or own.advice
    assert healthy.ok


def test_a_file_that_raises_when_imported_keeps_its_traceback(net: Path, results: Path) -> None:
    """The sentence says what, the log where."""
    net.write_text(SOURCE + "\nimport nothing_of_that_name\n")
    trial = _run(_own(net, "Model"), results).run.results[0].trials[0]
    assert str(trial.outcome) == "error(model)"
    assert "net.py raised ModuleNotFoundError when it was imported" in trial.outcome.message
    assert "import nothing_of_that_name" in trial.log
    # Not the way to it through dlbench, whose frames would stand behind the user's.
    assert trial.log.endswith("No module named 'nothing_of_that_name'\n")


def test_a_loss_that_does_not_fall_is_refused_in_training(net: Path, results: Path) -> None:
    """The rule that needs no reference still holds."""
    outcome = _run(_own(net, "Flat"), results, Mode.TRAINING).run.results[0].outcome
    assert str(outcome) == "invalid(loss_falls)"


def test_the_document_says_which_rules_could_not_be_applied(net: Path, results: Path) -> None:
    """No reference, no stated parameters; the rest passed, and the parameters were counted."""
    finished = _run(_own(net, "Model"), results)
    checks = {c.rule: c for c in finished.run.results[0].trials[0].checks}
    passed = {rule for rule, check in checks.items() if check.passed}
    assert {
        "outputs_finite",
        "outputs_repeat",
        "outputs_follow_inputs",
        "batch_as_stated",
        "inputs_as_seeded",
        "synchronises",
        "precision_as_asked",
        "device_as_asked",
    } <= passed
    assert checks["outputs_match_reference"].passed is None
    assert "nobody else" in checks["outputs_match_reference"].detail
    assert checks["parameters_as_stated"].passed is None
    info = runs.read_run(finished.path).plan.workloads[0]
    assert info.parameters == 10
    assert isinstance(info.flops, Absent)
    assert info.own == "--model net.py:Model --input 8 --name net.Model"


FORKS = """
import os
import pathlib

os.fork()

class Twin(Model):
    def outputs(self, buffer):
        pathlib.Path(__file__).with_name(f"asked-by-{os.getpid()}").touch()
        return super().outputs(buffer)
"""


def test_a_copy_that_a_fork_leaves_behind_is_not_measured_too(net: Path, results: Path) -> None:
    """It comes back from the import as the worker did, and would share the machine with it."""
    net.write_text(SOURCE + FORKS)
    own, healthy = (r.outcome for r in _run(_own(net, "Twin"), results).run.results)
    assert own.ok, own
    assert healthy.ok
    assert len(list(net.parent.glob("asked-by-*"))) == 1


LEAVES = """
import pathlib
import subprocess

left = subprocess.Popen(["sleep", "600"], start_new_session=True)
pathlib.Path(__file__).with_name("left").write_text(str(left.pid))
"""


def test_what_a_model_starts_ends_with_its_trial(net: Path, results: Path) -> None:
    """Also in a session of its own, as loggers' services are: it would share with later trials."""
    net.write_text(SOURCE + LEAVES)
    assert _run(_own(net, "Model"), results).run.results[0].outcome.ok
    left = int(net.with_name("left").read_text())
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def _unfinished(net: Path, results: Path) -> Path:
    """A journal of a run of the model, stopped before its first trial."""
    model = _own(net, "Model")
    case = builders.case(workload=model.name, options=(("step_ms", "1"),))
    planned = sessions.plan([case], workloads=(own_models.read(model).info("full"),))
    header = journal.JournalHeader(
        run_id="own",
        created_utc="2026-01-01T00:00:00Z",
        dlbench_version="0.1.0",
        plan=planned,
        environment=sessions.surroundings(),
    )
    with journal.Journal.create(results, header):
        return results / "own.journal"


def _resume(
    path: Path, model: OwnModel | None, others: tuple[OwnModel, ...] = ()
) -> session.Finished:
    return session.resume(
        path,
        sessions.surroundings(),
        sessions.devices(),
        session.Settings(folder=path.parent, model=model, other_models=others),
    )


def test_a_journal_names_no_code_to_run(net: Path, results: Path) -> None:
    """Whoever resumes names the model again; the journal says with which options."""
    path = _unfinished(net, results)
    with pytest.raises(DocumentError, match="no journal may name code to run") as caught:
        _resume(path, None)
    assert "--model net.py:Model --input 8" in caught.value.advice
    assert _resume(path, _own(net, "Model")).run.results[0].outcome.kind is OutcomeKind.OK


def test_models_of_a_comparisons_sides_are_named_again_too(net: Path, results: Path) -> None:
    """It was refused with an advice that has room for one model."""
    path = _unfinished(net, results)
    model = _own(net, "Model")
    others = (replace(model, name="another"), model)
    assert _resume(path, None, others).run.results[0].outcome.kind is OutcomeKind.OK


def test_a_file_that_changes_during_a_run_is_measured_no_more(net: Path, results: Path) -> None:
    """An editor is open beside it: trials of two models would stand under the hash of the first."""
    net.write_text(SOURCE + "\nopen(__file__, 'a').write('# edited\\n')\n")
    model = _own(net, "Model")
    cases = [builders.case(workload=model.name, options=(("step_ms", ms),)) for ms in "12"]
    planned = sessions.plan(cases, workloads=(own_models.read(model).info("full"),))
    run = sessions.run(planned, results, model=model).run
    ended = sorted((str(r.outcome), r.outcome.message) for r in run.results)
    assert [kind for kind, _ in ended] == ["error(model)", "ok"]
    assert ended[0][1] == "the files of net.Model were changed after the run was begun"


def test_a_folder_that_goes_away_during_a_run_ends_its_own_cases_alone(
    tmp_path: Path, results: Path
) -> None:
    """Another branch is checked out beside it: the run ended with the first trial that was due."""
    folder = tmp_path / "mine"
    shutil.copytree(workloads.folders()["fake"], folder)
    stated = folder / "workload.toml"
    stated.write_text(stated.read_text().replace('name = "fake"', 'name = "mine"'))
    with (folder / "model_fake.py").open("a") as file:
        file.write("\nimport pathlib\npathlib.Path(__file__).with_name('workload.toml').unlink()\n")
    cases = [builders.case(workload="mine", options=(("step_ms", ms),)) for ms in "12"]
    planned = sessions.plan([*cases, sessions.fake_case()])
    infos = (workloads.read(folder).info("full"), *planned.workloads)
    planned = replace(planned, workloads=infos)
    run = sessions.run(planned, results, workload_folder=tmp_path).run
    ended = {str(r.outcome): r.outcome.message for r in run.results if r.case.workload == "mine"}
    assert set(ended) == {"ok", "error(UsageError)"}
    assert "workload.toml is not a plain file" in ended["error(UsageError)"]
    assert run.results[2].outcome.ok


def test_a_file_that_reads_its_arguments_has_none(net: Path, results: Path) -> None:
    """Those of the worker are not its: it left with argparse's exit code."""
    net.write_text(SOURCE + "\nimport argparse\nargparse.ArgumentParser().parse_args()\n")
    assert _run(_own(net, "Model"), results).run.results[0].outcome.ok


def test_a_changed_file_is_not_resumed(net: Path, results: Path) -> None:
    """By its content's hash: trials of two models cannot stand in one document."""
    path = _unfinished(net, results)
    net.write_text(SOURCE + "# faster now\n")
    with pytest.raises(DocumentError, match="not the one that the run was begun with"):
        _resume(path, _own(net, "Model"))
