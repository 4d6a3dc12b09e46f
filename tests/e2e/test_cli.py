"""The command line as a user meets it: exit codes, sentences, JSON, and a light start."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dlbench.core import registry
from dlbench.store import runs
from tests import builders, waiting


def dlbench(
    *arguments: str, program: str = "dlbench", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line; 100 columns, no colour."""
    variables = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        capture_output=True,
        text=True,
        env=variables,
        timeout=waiting.LIMIT_S,
    )


def briefly(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``dlbench run`` of the fake framework with one brief trial a case."""
    asked = ("run", "fake", "-f", "fake", "--profile", "once", *arguments)
    return dlbench(*asked, program="tests.brief")


@pytest.fixture
def document(results: Path) -> Path:
    """A sealed document of two frameworks, a crash and a skip."""
    return runs.seal(builders.sealed_run(), results)


HEAVY = "torch tensorflow keras jax onnxruntime pandas pyarrow pynvml numpy msgspec scipy pydantic"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_starting_imports_nothing_heavy(arguments: list[str]) -> None:
    """What makes a command line slow is what it imports."""
    program = (
        "import sys\nfrom dlbench.cli import main\n"
        f"sys.argv = ['dlbench', *{arguments!r}]\n"
        "try: main.main()\nexcept SystemExit: pass\n"
        f"print('heavy:', sorted(set({HEAVY!r}.split()) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr


def test_list_imports_no_framework() -> None:
    """It only looks whether they are installed."""
    program = (
        "import sys\nfrom dlbench.cli import main\nsys.argv = ['dlbench', 'list']\n"
        "try: main.main()\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr


COMMANDS = ("run", "ab", "compare", "history", "replicate", "report")


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, "pack", "check", "list", "devices", "doctor"],
)
def test_every_command_explains_itself_and_has_json(command: str) -> None:
    """Help at 80 columns, with the option that machines need."""
    done = dlbench(command, "--help", COLUMNS="80")
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


DOCUMENT = str(Path(__file__).parents[1] / "golden" / "documents" / "v1-two-frameworks.json")

BAD = {
    "an unknown workload": (["run", "resnet5", "-n"], 2, "no workload or suite named 'resnet5'"),
    "an unknown framework": (["run", "-f", "torchh", "-n"], 2, "no framework named 'torchh'"),
    "an unknown device": (["run", "-d", "tpu", "-n"], 2, "no device kind named 'tpu'"),
    "an unknown precision": (["run", "--precision", "fp64"], 2, "--precision 'fp64' is not known"),
    "a negative batch": (["run", "-b", "-3", "-n"], 2, "a batch of -3 samples cannot be run"),
    "a batch of words": (["run", "-b", "many"], 2, "'many' is not a whole number"),
    "a budget of words": (["run", "--time-budget", "soon"], 2, "'soon' is not a time"),
    "no thread": (["run", "--threads", "0", "-n"], 2, "0 is not in the range x>=1"),
    "no thread of a pair": (["ab", "a", "b", "--threads", "-1"], 2, "-1 is not in the range x>=1"),
    "no thread again": (["replicate", "x", "--threads", "0"], 2, "0 is not in the range x>=1"),
    "an unknown data mode": (["run", "--data", "disk"], 2, "--data 'disk' is not known"),
    "a limit of words": (["run", "--latency-limit", "soon"], 2, "'soon' is not a time"),
    "a limit without a unit": (["run", "--latency-limit", "50"], 2, "'50' has no unit"),
    "a negative limit": (["run", "--latency-limit", "-5ms"], 2, "'-5ms' is not a time"),
    "an option without value": (["run", "-o", "x"], 2, "'x' has no value"),
    "a model that is not there": (["run", "--model", "n.py:f", "--input", "3"], 2, "no file n.py"),
    "an ONNX file that is not there": (["run", "--model", "m.onnx"], 2, "there is no file m.onnx"),
    "a model of another kind": (["run", "--model", "m.pt"], 2, "m.pt is neither Python nor ONNX"),
    "an input without a model": (["run", "--input", "3x224x224"], 2, "go with --model"),
    "a folder that is not there": (["run", "./mine"], 2, "no folder with a workload.toml"),
    "a missing option value": (["run", "--profile"], 2, "requires an argument"),
    "checking nothing": (["check", "."], 7, "no result document in ."),
    "checking what is not there": (["check", "none.json"], 7, "none.json cannot be read"),
    "a report of nothing": (["report", "."], 7, "no result document in ."),
    "a report without files": (["report"], 2, "Missing argument"),
    "a report in colour": (["report", "x.json", "--format", "docx"], 2, "'docx' is not one of"),
    "a report into a folder": (["report", DOCUMENT, "-o", "."], 7, "error: . is a folder"),
    "a report into the root": (["report", DOCUMENT, "-o", "/"], 7, "error: / is a folder"),
    "a report into no name": (["report", DOCUMENT, "-o", ""], 7, "error: . is a folder"),
    "packing into a folder": (["pack", DOCUMENT, "-o", "."], 7, "error: . is a folder"),
    "packing nothing": (["pack", "."], 7, "no result document in ."),
    "comparing nothing": (["compare", "nothing.json"], 7, "nothing.json cannot be read"),
    "resuming nothing": (["run", "--resume", "last", "--out", "."], 7, "no unfinished run in ."),
    "no such command": (["runn"], 2, "No such command 'runn'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_a_sentence_and_its_exit_code(name: str, tmp_path: Path) -> None:
    """No traceback, nothing on stdout, and what to do."""
    arguments, code, sentence = BAD[name]
    variables = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dlbench", *arguments],
        capture_output=True,
        text=True,
        env=variables,
        cwd=tmp_path,
        timeout=waiting.LIMIT_S,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_errors_are_json_when_json_was_asked_for(tmp_path: Path) -> None:
    """A program reads the same three things as a person."""
    done = dlbench("run", "resnet5", "--json", "--out", str(tmp_path))
    error = json.loads(done.stderr)
    assert error["exit_code"] == done.returncode == 2
    assert "resnet5" in error["error"]
    assert "Workloads:" in error["advice"]


def test_a_framework_that_is_not_here_ends_with_6(tmp_path: Path) -> None:
    """With the install line; PyTorch is hidden from the path of a bare interpreter."""
    program = (
        "import importlib.util, sys\nreal = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
        "from dlbench.cli import main\n"
        "sys.argv = ['dlbench', 'run', 'resnet50', '-f', 'pytorch']\nmain.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 6
    assert "PyTorch is not installed" in done.stderr
    assert "pip install 'dlbench[torch]'" in done.stderr


def test_a_gpu_that_is_not_here_ends_with_6(tmp_path: Path) -> None:
    """With the driver's words. The library named here is none, so this holds on any machine."""
    done = dlbench("run", "resnet50", "-d", "nvidia", DLBENCH_NVML_LIBRARY=str(tmp_path / "no.so"))
    assert done.returncode == 6
    assert "nothing can run:" in done.stderr
    assert "no.so" in done.stderr


def test_an_unwritable_folder_ends_with_7_before_measuring(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("x")
    done = dlbench("run", "fake", "-f", "fake", "--out", str(tmp_path / "file" / "results"))
    assert done.returncode == 7
    assert "cannot be written" in done.stderr
    assert "samples/s" not in done.stdout


def test_an_unwritable_folder_of_reports_ends_with_7_before_measuring(
    results: Path, tmp_path: Path
) -> None:
    """It is known beforehand, and costs no measurement."""
    (tmp_path / "file").write_text("x")
    where = ("--out", str(results), "--report", str(tmp_path / "file"))
    done = dlbench("run", "fake", "-f", "fake", *where)
    assert done.returncode == 7
    assert "Choose another folder with --report." in done.stderr
    assert not list(results.iterdir())


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"schema": "dlbench/run", "schema_version": 99}', b"\x00\xff"]
)
def test_a_corrupt_document_ends_with_5_everywhere(data: bytes, tmp_path: Path) -> None:
    """Check, compare and report refuse it in a sentence that names the file."""
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    for command in ("check", "compare", "report"):
        done = dlbench(command, str(path), COLUMNS="200")
        assert done.returncode == 5, command
        assert "bad.json" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_check_names_every_rule(document: Path) -> None:
    """All hold; after an edit exactly the content rule fails."""
    done = dlbench("check", str(document))
    assert done.returncode == 0
    assert "all rules hold" in done.stdout
    assert "passed values_in_window" in done.stdout
    document.write_bytes(
        document.read_bytes().replace(b'"duration_s": 0.02,', b'"duration_s": 0.019,', 1)
    )
    done = dlbench("check", str(document), "--json")
    assert done.returncode == 5
    (rules,) = json.loads(done.stdout).values()
    assert [r["rule"] for r in rules if r["passed"] is False] == ["content_unchanged"]


def test_check_of_many_says_of_each_what_holds(document: Path) -> None:
    """A folder is its documents; one that is not there fails by itself and hides no other."""
    missing = document.with_name("missing.json")
    done = dlbench("check", str(document.parent), str(missing), "--json")
    assert done.returncode == 7
    rules = json.loads(done.stdout)
    assert list(rules) == [str(document), str(missing)]
    assert {r["passed"] for r in rules[str(document)]} == {True}
    (only,) = rules[str(missing)]
    assert (only["rule"], only["passed"]) == ("readable", False)
    assert "missing.json cannot be read: No such file" in only["detail"]


def test_compare_says_who_is_faster(document: Path) -> None:
    """In words, in JSON, in Markdown."""
    assert "PyTorch has 2.00x" in dlbench("compare", str(document)).stdout
    (comparison,) = json.loads(dlbench("compare", str(document), "--json").stdout)["comparisons"]
    assert comparison["verdict"] == "slower"
    assert comparison["estimate"]["ratio"] == pytest.approx(0.5)
    table = dlbench("compare", str(document), "--markdown").stdout
    assert "| fake inference, fake, fp32, batch 2 | PyTorch | TensorFlow | 0.500 |" in table


def test_comparing_what_has_nothing_in_common_ends_with_5(document: Path, tmp_path: Path) -> None:
    """And says what would be comparable."""
    only = builders.run([builders.result(builders.case(batch_size=64), [0.01] * 3)], run_id="other")
    other = runs.seal(only, tmp_path)
    done = dlbench("compare", str(document), str(other))
    assert done.returncode == 5
    assert "share no case" in done.stderr
    alone = dlbench("compare", str(other))
    assert alone.returncode == 5
    assert "no two measured cases" in alone.stderr


def test_report_writes_a_page(document: Path, tmp_path: Path) -> None:
    """To the path it prints; a folder of documents does as well as a file."""
    out = tmp_path / "x" / "page.html"
    done = dlbench("report", str(document.parent), "-o", str(out))
    assert done.returncode == 0
    assert str(out) in done.stdout
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_report_formats(document: Path, tmp_path: Path) -> None:
    """By option or by the file's name; Markdown and JSON say what the page says."""
    page, markdown, data = (tmp_path / f"r.{x}" for x in ("html", "md", "json"))
    for out in (page, markdown, data):
        assert dlbench("report", str(document), "-o", str(out)).returncode == 0
    headline = json.loads(data.read_text(encoding="utf-8"))["headline"]
    assert f"<h1>{headline}</h1>" in page.read_text(encoding="utf-8")
    assert markdown.read_text(encoding="utf-8").startswith("# fake inference, fake, fp32")
    odd = tmp_path / "odd.txt"
    assert dlbench("report", str(document), "-o", str(odd), "--format", "md").returncode == 0
    assert odd.read_bytes() == markdown.read_bytes()
    odd.unlink()
    refused = dlbench("report", str(document), "-o", str(odd))
    assert refused.returncode == 2
    assert ".txt is no form of a report" in refused.stderr
    assert not odd.exists()


def test_report_of_a_need_opens_with_what_to_use(document: Path, tmp_path: Path) -> None:
    """The pick is the headline, the documents its evidence; a bad need is refused in a sentence."""
    need, page = tmp_path / "need.toml", tmp_path / "page.html"
    need.write_text('workload = "resnet50"\nsamples = 1e6\nepochs = 1\ndeadline_h = 48\n')
    done = dlbench("report", str(document), "--need", str(need), "-o", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert re.search(r"<h1>(Rent|Use) .*: about \$", text)
    assert 'id="recommendation"' in text
    assert 'id="throughput"' in text
    need.write_text("budget_usd = 'much'\n")
    refused = dlbench("report", str(document), "--need", str(need))
    assert refused.returncode == 2
    assert "budget_usd" in refused.stderr


def test_comparing_one_document_with_itself_is_refused(document: Path) -> None:
    """Columns need two."""
    done = dlbench("report", str(document), "--compare")
    assert done.returncode == 2
    assert "needs two documents" in done.stderr


def test_pack_and_report(document: Path, tmp_path: Path) -> None:
    """A folder becomes one file, and the file a page with the same numbers."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra parquet)")
    packed, page = tmp_path / "all.parquet", tmp_path / "page.html"
    done = dlbench("pack", str(document.parent), "-o", str(packed), "--json")
    assert json.loads(done.stdout) == {"path": str(packed), "documents": 1, "results": 4}
    assert dlbench("report", str(packed), "-o", str(page)).returncode == 0
    assert "JAX is not installed" in page.read_text(encoding="utf-8")


def test_a_run_ends_in_a_table_a_document_and_a_report(results: Path, tmp_path: Path) -> None:
    """The whole way on the fake framework, with plain lines since there is no terminal."""
    done = briefly(
        "--mode", "inference", "--out", str(results),
        "--report", str(tmp_path), "--tag", "a,b", "--seed", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fake fake fake fp32 inference b1:" in done.stdout
    assert "samples/s" in done.stdout
    (path,) = results.glob("*.json")
    run = runs.read_run(path)
    assert run.plan.tags == ("a", "b")
    assert run.plan.seed == 3
    (page,) = tmp_path.glob("*.html")
    assert page.stem == run.run_id


def test_some_failures_end_with_4_and_all_with_3(results: Path) -> None:
    """What succeeded is saved either way."""
    where = ("--out", str(results), "--json")
    all_failed = briefly(*where, "-o", "fault=error@load")
    assert all_failed.returncode == 3
    some = briefly(*where, "-o", "fault=constant_loss")
    assert some.returncode == 4
    kinds = {c["case"]["mode"]: c["outcome"]["kind"] for c in json.loads(some.stdout)["cases"]}
    assert kinds == {"training": "invalid", "inference": "ok"}


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """It shows cases, skips with reasons, and a range of time."""
    out = tmp_path / "results"
    done = dlbench("run", "fake", "-f", "fake", "-n", "--precision", "fp32,bf16", "--out", str(out))
    assert done.returncode == 0
    assert "Plan: 2 cases" in done.stdout
    assert "the fake adapter does not run bf16 on fake" in done.stdout
    assert "estimated" in done.stdout
    assert "until each interval is within +-5.0 %" in " ".join(done.stdout.split())
    assert not out.exists()
    plan = json.loads(dlbench("run", "fake", "-f", "fake", "-n", "--json").stdout)
    assert len(plan["cases"]) == 2
    assert plan["estimate"]["low_s"] > 0


def test_list_shows_the_matrix_with_its_empty_cells() -> None:
    """In words and in JSON."""
    listed: Any = json.loads(dlbench("list", "--json").stdout)
    by_name = {w["name"]: w for w in listed["workloads"]}
    assert by_name["resnet50"]["parameters"] == 25_557_032
    assert by_name["lstm_lm"]["parameters"] == 66_022_000
    real = [name for name in registry.names("frameworks") if name != "fake"]
    assert by_name["resnet50"]["frameworks"] == real
    assert by_name["fake"]["frameworks"] == ["fake"]
    assert by_name["bert_base"]["variants"]["seq384"]["tokens_per_sample"] == 384
    fake = listed["frameworks"]["fake"]
    assert fake["installed"]
    assert fake["precisions"]["fake"] == ["fp32"]
    assert set(fake["policies"]) == {"base", "tuned"}
    done = dlbench("list", COLUMNS="80")
    assert "resnet50" in done.stdout
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80


def test_devices_and_doctor_say_what_is_missing(tmp_path: Path) -> None:
    """Each absence with its reason, in words and in JSON."""
    hidden = {"DLBENCH_NVML_LIBRARY": str(tmp_path / "no.so")}
    found = json.loads(dlbench("devices", "--json", **hidden).stdout)
    assert [d["id"] for d in found["devices"]] == ["cpu"]
    assert "no.so" in found["absent"]["nvidia"]["reason"]
    findings = json.loads(dlbench("doctor", "--json", **hidden).stdout)
    topics = {f["topic"] for f in findings}
    assert {"Devices", "Frameworks", "What can be measured", "Limits", "Noise"} <= topics
    missing = [f for f in findings if f["status"] == "missing" and "nvidia" in f["message"]]
    assert missing


@pytest.mark.parametrize("arguments", [["list", "--json"], ["catalog", "list"], ["--help"]])
def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    """``dlbench list | head`` ends quietly and well, whoever printed: we, Rich or Typer."""
    read_fd, write_fd = os.pipe()
    os.close(read_fd)  # before a word is written: how soon a real reader leaves is chance
    done = subprocess.run(
        [sys.executable, "-m", "dlbench", *arguments], stdout=write_fd, stderr=subprocess.PIPE
    )
    os.close(write_fd)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_run_whose_reader_leaves_can_be_resumed(results: Path) -> None:
    """Not all that was asked for was measured, so it is not all well."""
    run = shlex.join([sys.executable, "-m", "dlbench", "run", "fake", "-f", "fake"])
    command = f"{run} --out {shlex.quote(str(results))} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 130
    (journal,) = results.iterdir()
    assert journal.suffix == ".journal"


def test_what_the_terminals_encoding_lacks_is_replaced() -> None:
    """In tables by a question mark; JSON loses nothing."""
    asked = ("catalog", "list", "regions")
    table = dlbench(*asked, PYTHONIOENCODING="ascii", COLUMNS="200")
    assert (table.returncode, table.stderr) == (0, "")
    assert "Montr?al" in table.stdout
    assert "Montr\\u00e9al" in dlbench(*asked, "--json", PYTHONIOENCODING="ascii").stdout


def test_control_characters_of_a_document_do_not_reach_the_terminal(results: Path) -> None:
    """An escape sequence in a flag could rewrite the screen."""
    run = builders.sealed_run()
    from dataclasses import replace

    bad = replace(run.results[0], flags=("\x1b[2J\x07evil",))
    path = runs.seal(replace(run, results=(bad, *run.results[1:])), results)
    for command in ("compare", "check"):
        done = dlbench(command, str(path))
        assert "\x1b" not in done.stdout
        assert "\x07" not in done.stdout
    assert "evil" in dlbench("compare", str(path)).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(shell: str) -> None:
    """The script for the shell names our command."""
    # Which shell started the tests is found from its parents, of which some runs have none.
    done = dlbench("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "dlbench" in done.stdout
