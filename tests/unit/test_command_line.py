"""The root of the command line: each command is imported when it is asked for."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand

from dlbench import environment, workloads
from dlbench.cli import ab, catalog, completing, devices, main, pack, parsing, report
from dlbench.cli import replicate as replicate_command
from dlbench.cli import run as run_command
from dlbench.core.errors import DocumentError, MissingError, StoreError, UsageError
from dlbench.core.types import Absent
from dlbench.session import Finished
from dlbench.store import journal, runs
from tests import builders


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_list_of_commands_says_what_each_command_says(name: str) -> None:
    """The first paragraph of its own help."""
    command = main.load(name)
    assert " ".join(command.help.split("\n\n")[0].split()) == main.COMMANDS[name]


ROOT = Path(__file__).parents[2]
HELP = ROOT / "dlbench/cli"


def _shown(page: Path) -> list[list[str]]:
    """The command lines in a page's blocks, or after ``Example:`` in a command's help, as words."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    examples = re.findall(r"Example: (dlbench .+)", text)
    lines = examples if page.parent == HELP else "\n".join(blocks).splitlines()
    parts = [part.strip() for line in lines for part in line.split(" && ")]
    words = [shlex.split(part, comments=True) for part in parts if part.startswith("dlbench ")]
    return [line[1:] for line in words if line[1] in main.COMMANDS]


PAGES = {
    str(page.relative_to(ROOT)): shown
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *HELP.glob("*.py")]
    if (shown := _shown(page))
}


@pytest.mark.parametrize("page", PAGES)
def test_each_command_that_is_shown_can_be_given(page: str) -> None:
    """No option was renamed or left out since; what it would do is not asked."""
    for name, *given in PAGES[page]:
        found = main.load(name)
        command, arguments = (
            (found.commands[given[0]], given[1:]) if name == "catalog" else (found, given)
        )
        command.make_context(name, arguments)


def test_commands_are_shown() -> None:
    """The test above has something to ask."""
    assert sum(map(len, PAGES.values())) > 80


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("run", ["--model", "a.py:f", "--model", "b.py:f"], "--model is given 2 times"),
        ("report", ["a.json", "-o", "x", "--out", "y"], "--out is given 2 times"),
        ("catalog", ["list", "--limit", "1", "--limit", "1"], "--limit is given 2 times"),
    ],
)
def test_an_option_of_one_value_is_given_once(name: str, given: list[str], said: str) -> None:
    """The last won, and what came before was passed over without a word."""
    command = main.load(name)
    if name == "catalog":
        command, given = command.commands[given[0]], given[1:]
    with pytest.raises(UsageError, match=said):
        command.make_context(name, given)


def test_a_list_and_a_flag_may_be_given_twice() -> None:
    """The one has two members then, and the other says the same again."""
    given = ["fake", "-f", "pytorch", "-f", "jax", "--json", "--json", "--seed", "1"]
    context = main.load("run").make_context("run", given)
    assert list(context.params["framework"]) == ["pytorch", "jax"]
    assert context.params["json"] is True


def test_help_imports_no_command_and_a_command_no_other() -> None:
    """What makes a command line slow is what it imports."""
    program = (
        "import sys\nfrom dlbench.cli import main\n"
        "for arguments in (['--help'], ['check', '--help']):\n"
        "    sys.argv = ['dlbench', *arguments]\n"
        "    try: main.main()\n    except SystemExit: pass\n"
        f"    names = [n for n in {list(main.COMMANDS)!r} if 'dlbench.cli.' + n in sys.modules]\n"
        "    print('loaded:', names)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    assert loaded == ["loaded: []", "loaded: ['check']"]


def test_a_recommendation_imports_no_scipy_and_starts_no_thread(tmp_path: Path) -> None:
    """It would take longer than the answer: simulation and predictor have what they need in numpy."""
    program = (
        "import os, sys\nfrom dlbench.__main__ import main\n"
        "sys.argv = ['dlbench', 'recommend', '--workload', 'resnet50']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('loaded:', sorted({'scipy', 'pandas', 'torch', 'numpy'} & set(sys.modules)))\n"
        "print(len(os.listdir('/proc/self/task')), os.environ.get('OPENBLAS_NUM_THREADS'))"
    )
    bare = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=bare
    )
    assert done.stdout.splitlines()[-2:] == ["loaded: ['numpy']", "1 None"], done.stderr


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        (2048.0, "2.0 of 64.0 GiB usable"),
        (65536.0, " 64.0 GiB "),
        (Absent(reason="no memory limit is set"), " 64.0 GiB "),
    ],
)
def test_the_hosts_memory_is_shown_with_the_containers_limit(
    limit: float | Absent,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Within a container of 2 GiB all of the host's 64 were listed."""
    cpu = replace(builders.CPU, id="cpu", kind="cpu", memory_mib=65536.0)
    gpu = replace(builders.CPU, id="nvidia:0", kind="nvidia", memory_mib=81920.0)
    monkeypatch.setattr(environment, "find_devices", lambda: ((cpu, gpu), {}))
    monkeypatch.setattr(environment, "memory_limit_mib", lambda: limit)
    devices.devices()
    table = capsys.readouterr().out
    assert shown in table
    assert " 80.0 GiB " in table
    devices.devices(json=True)
    said = json.loads(capsys.readouterr().out)["memory_limit_mib"]
    assert said == (limit if isinstance(limit, float) else asdict(limit))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_report_that_cannot_be_written_takes_nothing_else_away(
    as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table and document's path are shown; the advice makes the report from that document."""
    (tmp_path / "file").touch()
    finished = Finished(run=builders.sealed_run(), path=Path("r/x.json"), interrupted=False)
    with pytest.raises(StoreError, match="cannot be written") as refused:
        run_command._close(finished, tmp_path / "file", as_json=as_json)
    assert refused.value.advice == "dlbench report r/x.json --out FILE"
    shown = capsys.readouterr().out
    if as_json:
        answer = json.loads(shown)
        assert (answer["path"], answer["report"]) == ("r/x.json", None)
    else:
        assert "samples/s" in shown
        assert "document  r/x.json" in shown
        assert "report " not in shown


@pytest.mark.parametrize(
    ("text", "span_s"), [("90s", 90.0), ("10m", 600.0), ("2h", 7200.0), ("1.5", 1.5)]
)
def test_a_span_of_time_in_seconds(text: str, span_s: float) -> None:
    """By its unit; without one in seconds."""
    assert parsing.seconds(text) == span_s


@pytest.mark.parametrize("text", ["nan", "inf", "infs", "nanm", "1e308h", "0", "-5m", "m", ""])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    """A budget that is no number would be found in the document, after all was measured."""
    with pytest.raises(UsageError, match="is not a time"):
        parsing.seconds(text)


def test_a_price_that_is_no_number_is_refused() -> None:
    """No offer is below it, and none was shown."""
    with pytest.raises(UsageError, match="nan is no price"):
        catalog.list_catalog(max_usd_per_h=math.nan)


def _measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes as far as to look at the machine has gone too far."""

    def measured(**_: object) -> None:
        raise AssertionError("it would have been measured")

    monkeypatch.setattr(parsing, "this_machine", measured)


@pytest.mark.parametrize("given_s", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_what_nobody_can_wait_for_is_refused(given_s: float) -> None:
    """A command that took longer than -1 s lost its pair; the kernel's wait knows no NaN."""
    with pytest.raises(UsageError, match=r"--timeout .* is out of range"):
        parsing.timeout(given_s, "--timeout")
    assert parsing.timeout(0.5, "--timeout") == 0.5
    assert parsing.timeout(None, "--timeout") is None


def test_a_report_does_not_take_the_place_of_its_document(tmp_path: Path) -> None:
    """``report a.json -o a.json`` left a report and no measurement."""
    path = runs.seal(builders.sealed_run(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="would be lost"):
        report.report([path], out=path)
    assert path.read_bytes() == before


def test_a_packed_collection_has_its_ending(tmp_path: Path) -> None:
    """``pack a.json -o a.json`` wrote over the document, and no report opens another ending."""
    path = runs.seal(builders.sealed_run(), tmp_path)
    with pytest.raises(UsageError, match=r"does not end in \.parquet") as caught:
        pack.pack([path], out=path)
    assert caught.value.advice == f"--out {path.with_suffix('.parquet')}"
    assert path.read_bytes().startswith(b"{")


def test_a_copy_of_a_document_is_packed_once_and_one_that_differs_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was there twice counted twice; of two that differ a report chose one unsaid."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra parquet)")
    run = builders.sealed_run()
    for name, sealed in (("a", run), ("b", run), ("c", replace(run, flags=("drift",)))):
        (tmp_path / name).mkdir()
        runs.seal(sealed, tmp_path / name)
    out = tmp_path / "all.parquet"
    pack.pack([tmp_path / "a", tmp_path / "b"], out=out, json=True)
    told = json.loads(capsys.readouterr().out)
    n_results = len(run.results) + len(run.plan.skips)
    assert told == {"path": str(out), "documents": 1, "results": n_results}
    with pytest.raises(DocumentError, match=f"are both of run {run.run_id}, and differ"):
        pack.pack([tmp_path / "a", tmp_path / "c"], out=out)


def test_names_are_completed() -> None:
    """Suites where a command takes them, and nowhere else."""
    assert completing.workloads("res") == completing.one_workload("res") == ["resnet50"]
    assert completing.workloads("qui") == ["quick"]
    assert completing.one_workload("qui") == []
    assert completing.frameworks("py") == ["pytorch"]
    assert completing.devices("nv") == ["nvidia"]
    assert completing.profiles("st") == ["standard", "strict"]


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("run --mode tr", ["training"]),
        ("run --precision f", ["fp32", "fp16"]),
        ("run --policy tu", ["tuned"]),
        ("ab a b --data pi", ["pipeline"]),
        ("energy --region aws/eu-central-", ["aws/eu-central-1", "aws/eu-central-2"]),
        ("recommend --region eu-central-2", ["eu-central-2"]),
        ("catalog list --region eu-central-2", ["eu-central-2"]),
        ("catalog show p5.", ["p5.48xlarge", "p5.4xlarge"]),
        ("catalog show H200-N", ["H200-NVL-141GB"]),
    ],
)
def test_words_of_a_list_are_completed(
    line: str,
    completed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As bash asks for them: modes, precisions, regions and what is shown had none."""
    monkeypatch.setenv("_DLBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"dlbench {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split())))
    with pytest.raises(SystemExit):
        main.app(prog_name="dlbench")
    assert capsys.readouterr().out.split() == completed


def test_a_trace_that_cannot_be_written_is_said_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs were measured first, and no command makes a trace of a document."""
    _measures_nothing(monkeypatch)
    with pytest.raises(StoreError, match="cannot be written: No such file"):
        ab.ab("name=a", "name=b", out=tmp_path, trace=tmp_path / "none" / "x.jsonl")


def test_commands_are_not_run_where_a_plan_was_asked_for() -> None:
    """--dry-run was passed over, and both commands ran."""
    with pytest.raises(UsageError, match="commands have no plan to show"):
        ab.ab("true", "true", command=True, dry_run=True)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"device": ["cpu"], "threads": 1}, "--device and --threads have"),
        ({"workload": ["resnet50"]}, "--workload has"),
        ({"profile": "standard"}, "--profile has"),
        ({"out": Path("elsewhere")}, "--out has"),
    ],
)
def test_what_is_of_a_run_is_refused_for_commands(given: dict[str, Any], named: str) -> None:
    """It was passed over: two threads were asked for, and all were used."""
    with pytest.raises(UsageError, match=f"^{named} no meaning for commands"):
        ab.ab("true", "true", command=True, **given)


def test_what_is_resumed_needs_no_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in the journal; without one they are missed."""
    with pytest.raises(StoreError, match="no unfinished run in"):
        ab.ab(resume="last", out=tmp_path)
    _measures_nothing(monkeypatch)
    with pytest.raises(UsageError, match="a side of the comparison is empty"):
        ab.ab()


def test_what_is_resumed_may_be_two_models(tmp_path: Path) -> None:
    """No journal names code: both are named again, as they were for the comparison."""
    net = tmp_path / "net.py"
    net.write_text("import torch\n")
    named = (f"model={net}:small", f"model={net}:wide")
    sides, own = ab._sides(named, None, ["8"], "auto", frameworks_given=True, resumed=True)
    assert own is None
    assert [arm.own and arm.own.name for arm in sides or ()] == ["net.small.A", "net.wide.B"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"time_budget": "2h", "dry_run": True}, "--time-budget and --dry-run have"),
        ({"threads": 2}, "--threads has"),
        ({"seed": 1}, "--seed has"),
    ],
)
def test_what_stands_in_a_journal_is_refused_with_it(
    given: dict[str, Any], named: str, results: Path
) -> None:
    """It was passed over: a plan was asked for, and what was left of hours was measured."""
    for command in (run_command.run, ab.ab):
        with pytest.raises(UsageError, match=f"^{named} no meaning with --resume"):
            command(resume="last", out=results, **given)
    with pytest.raises(UsageError, match=r"^a workload's name and --policy have no meaning"):
        run_command.run(names=["resnet50"], policy=["tuned"], resume="last", out=results)
    with pytest.raises(UsageError, match=r"^A and B have no meaning with --resume"):
        ab.ab("name=a", "name=b", resume="last", out=results)
    # What no journal holds is named again.
    folder = str(workloads.folders()["fake"])
    with pytest.raises(StoreError, match="no unfinished run in"):
        run_command.run(names=[folder], phase_timeout=60, resume="last", out=results)


def test_a_runs_journal_is_no_comparison(results: Path) -> None:
    """The last one may be a run's: all of it was measured before that was said."""
    header = journal.JournalHeader(
        run_id="x",
        created_utc="2026-01-01T00:00:00Z",
        dlbench_version="0.1.0",
        plan=builders.plan([builders.case()]),
        environment=builders.ENVIRONMENT,
    )
    journal.Journal.create(results, header).close()
    with pytest.raises(UsageError, match="is no comparison of pairs") as caught:
        ab.ab(resume="last", out=results)
    assert caught.value.advice == f"dlbench run --resume {results / 'x.journal'}"


def test_documents_that_replicate_is_to_learn_from_are_read_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found missing after hours had taken the agreement with it."""
    _measures_nothing(monkeypatch)
    document = runs.seal(builders.sealed_run(), tmp_path)
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        replicate_command.replicate(document, sessions=tmp_path / "none", out=tmp_path)


def test_a_full_disk_behind_the_output_is_a_sentence() -> None:
    """A redirection to a full disk had a traceback."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dlbench", "--version"], stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        7,
        "error: the output cannot be written: No space left on device\n",
    )


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("report", LONG),
        ("list", "--workloads", LONG),
        ("run", "--model", f"{LONG}.py:build", "--input", "8"),
        ("run", f"./{LONG}"),
    ],
)
def test_a_path_that_cannot_be_asked_about_is_a_sentence(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is too long, as what lies in a folder that is closed to the user, had a traceback."""
    monkeypatch.setattr(sys, "argv", ["dlbench", *words])
    assert main._exit_code() == StoreError.exit_code
    assert "File name too long" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(main.ON_LINUX))
@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_what_looks_at_the_machine_needs_linux(
    monkeypatch: pytest.MonkeyPatch, name: str, system: str
) -> None:
    """A sentence, where there was a traceback; their help is shown anywhere."""
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(MissingError, match=f"dlbench {name} needs Linux") as caught:
        main.app([name], standalone_mode=False)
    assert "WSL 2" in caught.value.advice
    monkeypatch.setattr(main, "load", lambda _: TyperCommand(name, callback=lambda: None))
    main.app([name, "--help"], standalone_mode=False)


NOT_OF_WINDOWS = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "pipe2", "killpg", "getuid", "sysconf", "O_DIRECTORY", "O_NOFOLLOW"):
    delattr(os, name)
from dlbench.__main__ import main
main()
"""


def test_documents_are_read_where_there_is_no_linux() -> None:
    """Without all that Python lacks on Windows."""
    document = ROOT / "tests/golden/documents/v1-two-frameworks.json"
    done = subprocess.run(
        [sys.executable, "-c", NOT_OF_WINDOWS, "compare", str(document), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
