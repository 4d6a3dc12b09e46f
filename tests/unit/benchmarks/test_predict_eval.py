"""Rows and tables of strangers: a wrong file is one sentence, and a report of few rows is whole."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import predict_eval
from dlbench.analysis.predict import asked, tables
from tests import predict_tables


@pytest.mark.parametrize(
    ("rows", "out", "words"),
    [
        ("", "pred.csv", "rows.csv has no row"),
        ("device,model\n", "pred.csv", "rows.csv has no row"),
        ("model\nresnet50\n", "pred.csv", "has no column 'device'"),
        ("device\nL4\n", "pred.csv", "has no column 'model' and none 'task'"),
        ("device,model,task\nL4,a,train\n", "nowhere/pred.csv", "nowhere is no folder"),
        ("device,model,task\nL4,a,train\n", ".", "cannot be written: Is a directory"),
    ],
)
def test_a_wrong_file_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    rows: str,
    out: str,
    words: str,
) -> None:
    """No traceback, and an exit code that says so."""
    monkeypatch.setattr(asked, "answer", lambda rows, _: rows)
    path = tmp_path / "rows.csv"
    path.write_text(rows)
    arguments = ["--fit", str(tmp_path), "--ask", str(path), "--out", str(tmp_path / out)]
    monkeypatch.setattr("sys.argv", ["predict_eval.py", *arguments])
    assert predict_eval.main() > 0
    assert words in capsys.readouterr().err


def test_a_table_is_written_as_its_name_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``--out pred.csv.gz`` was plain text, which no reader of that name takes."""
    monkeypatch.setattr(asked, "answer", lambda rows, _: [row | {"pred": "1"} for row in rows])
    (tmp_path / "rows.csv").write_text("device,model,task\nL4,a,train\n")
    for name in ("pred.csv", "pred.csv.gz"):
        given = ["--fit", "x", "--ask", str(tmp_path / "rows.csv"), "--out", str(tmp_path / name)]
        monkeypatch.setattr("sys.argv", ["predict_eval.py", *given])
        assert predict_eval.main() == 0
        (row,) = tables.read_rows(tmp_path / name)
        assert (row["device"], row["pred"]) == ("L4", "1")


RESNETS = [row for row in predict_tables.rows() if row["model"] == "resnet50"]
EQUAL = {"value": "7", "per_device_value": "7"}


def test_a_page_without_a_place_for_the_table_is_told_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It was a traceback, after minutes, and the page is left as it was."""
    page = tmp_path / "page.md"
    page.write_text("# My page\n")
    given = ["predict_eval.py", "--fit", str(tmp_path / "none"), "--doc", str(page)]
    monkeypatch.setattr("sys.argv", given)
    assert predict_eval.main() == 2
    assert f"{page} has no place for the table" in capsys.readouterr().err
    assert page.read_text() == "# My page\n"


@pytest.fixture
def report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[list[dict[str, str]]], list[str]]:
    """What is reported of a table of these rows, less the date and the time."""

    def made(rows: list[dict[str, str]]) -> list[str]:
        folder = predict_tables.write(tmp_path / "tables")
        with (folder / "own.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, predict_tables.COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        monkeypatch.setattr("sys.argv", ["predict_eval.py", "--fit", str(folder)])
        assert predict_eval.main() == 0
        _, *lines, _ = capsys.readouterr().out.splitlines()
        return [line.rstrip() for line in lines if line]

    return made


def test_every_line_of_a_report_of_nothing_says_so(
    report: Callable[[list[dict[str, str]]], list[str]],
) -> None:
    """A row of neither training nor inference gives no cell; only headings say something else."""
    lines = report([RESNETS[0] | {"task": ""}])
    assert sum("none" in line for line in lines) > 40
    assert [line.strip()[:50] for line in lines if "none" not in line] == [
        "1 rows; cells (device x work, medians of repeats):",
        "cells  median    mean     p90 in 90%  asked for",
        "a device that was left out, placed among the other",
        "Kendall's tau of one ranking of devices over all t",
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row | {"task": "infer"} for row in RESNETS[:2]], "  all, 0 devices: none"),
        (RESNETS[:1], "  all, 0 devices: none"),
        # Two devices without work in common: there is nothing to learn a roofline from.
        (
            [RESNETS[0], predict_tables.rows()[-1], predict_tables.rows()[-2]],
            "training, whole architecture left out                           0  none",
        ),
        # Two eras of four devices that all run at one speed: no two are told apart.
        (
            [row | EQUAL | {"source": f"lambda-{k}"} for k in "ab" for row in RESNETS[3:7]],
            "    Kendall's tau of the two eras' rankings, mean of 0: none",
        ),
    ],
    ids=["inference only", "one row", "no work in common", "one speed"],
)
def test_a_report_of_few_rows_is_whole(
    report: Callable[[list[dict[str, str]]], list[str]], rows: list[dict[str, str]], said: str
) -> None:
    """No traceback and no warning, which is an error here: down to the last line, and no nan."""
    lines = report(rows)
    assert said in lines
    assert lines[-1].startswith("regret per dollar, mean of 0 pieces of work: none")
    assert not [line for line in lines if "nan" in line]


def test_intervals_that_all_miss_are_0_per_cent() -> None:
    """A dash says that there are no intervals."""
    missed = predict_eval.Errors(name="missed", relative=np.array([0.5]), inside=np.array([False]))
    assert missed.line().split() == ["missed", "1", "50.0", "50.0", "50.0", "0.0"]
