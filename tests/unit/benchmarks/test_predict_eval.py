"""Rows that strangers ask: what is wrong with a file is one sentence, before anything is learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import predict_eval
from dlbench.analysis.predict import asked


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
