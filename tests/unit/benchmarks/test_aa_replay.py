"""The replays keep their promises on the recorded trace, and the docs say what they give."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dlbench import paired
from dlbench.core.types import Interval

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "aa_replay.py"
TRACE = ROOT / "tests" / "data" / "aa-trace.jsonl"
REPLAYS = 4000


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("aa_replay", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["aa_replay"] = module
    spec.loader.exec_module(module)
    return module


aa_replay = _load()


@pytest.fixture(scope="module")
def replayed() -> list[object]:
    """All figures of the recorded trace, as the docs have them."""
    return aa_replay.replay_trace(TRACE, REPLAYS, 0)  # type: ignore[no-any-return]


def test_the_fast_replay_is_the_rule_itself() -> None:
    """On random replays verdict, pairs and interval are those that ``paired.judge`` gives."""
    recorded = aa_replay.read(TRACE)[1]
    order, signs = aa_replay.draw(len(recorded.a_ms), 25, np.random.default_rng(4))
    d = recorded.differences[order] * signs
    bounds = aa_replay.bounds_at_looks(d)
    for ratio in (1.0, 1.03):
        verdicts, pairs, covered = aa_replay.decide(bounds, ratio)
        for row, verdict, n, holds in zip(d + np.log(ratio), verdicts, pairs, covered, strict=True):
            for look in paired.LOOKS:
                found = paired.judge({"x": list(row[:look])})["x"]
                if found.verdict != "cannot tell":
                    break
            assert (found.verdict, found.n) == (verdict, n)
            assert isinstance(found.interval, Interval)
            assert (found.interval.low <= ratio <= found.interval.high) == holds
    resolves = paired.resolution(list(d[0]))
    assert resolves == pytest.approx(bounds[-1].resolves[0])


def test_no_promise_is_broken_on_the_recorded_trace(replayed: list[object]) -> None:
    """False alarms, coverage and power hold for both workloads of the trace."""
    assert {r.workload for r in replayed} == {"cnn", "lstm"}  # type: ignore[attr-defined]
    for found in replayed:
        assert list(found.broken()) == []  # type: ignore[attr-defined]
        assert found.false_alarms.n == REPLAYS  # type: ignore[attr-defined]
        assert found.false_alarms.upper <= 0.065  # type: ignore[attr-defined]


def test_the_usual_rules_cry_wolf_on_it(replayed: list[object]) -> None:
    """The trace is hard: pooled tests call identical code different more often than not."""
    for found in replayed:
        pooled = [s for name, s in found.others.items() if "pooled" in name]  # type: ignore[attr-defined]
        assert len(pooled) == 3
        assert all(share.value > 0.3 for share in pooled)


def test_the_page_says_what_the_script_gives(replayed: list[object]) -> None:
    """docs/statistics.md is made by ``aa_replay.py --write`` and has not drifted."""
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    table = aa_replay.markdown(replayed, REPLAYS, 0, TRACE.name)
    assert aa_replay.written_into(page, table) == page


def test_a_broken_promise_is_named(replayed: list[object]) -> None:
    """A rule that errs too often is named: here one whose false alarms are made up."""
    share = aa_replay.Share
    good = replayed[0]
    bad = aa_replay.Replayed(
        **{
            **{name: getattr(good, name) for name in good.__slots__},  # type: ignore[attr-defined]
            "false_alarms": share(k=150, n=2000),
            "coverage": {1.0: share(k=930, n=1000)},
            "resolvable": share(k=500, n=500),
            "found_if_resolvable": share(k=460, n=500),
        }
    )
    assert len(list(bad.broken())) == 3


def test_any_trace_of_the_form_is_read(tmp_path: Path) -> None:
    """Other names, one workload, a pair that lost its half: what is whole is replayed."""
    rows = [
        {"pair": p, "label": label, "t_s": 2 * p + (label == "B"), "load1": 0.1,
         "net_ms": {"warm": [], "values": [10 + p % 3, 10.1, 10.2 + (label == "A") / 10]}}
        for p in range(12)
        for label in "BA"
    ]  # fmt: skip
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows[:-1]) + "\n", encoding="utf-8")
    (recorded,) = aa_replay.read(path)
    assert (recorded.name, len(recorded.a_ms)) == ("net", 11)
    found = aa_replay.replay_trace(path, 300, 0)[0]
    assert found.n_pairs == 11
    assert found.false_alarms.n == 300


def test_a_trace_without_pairs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of something else ends with a sentence, which is an exit code of 1."""
    path = tmp_path / "other.jsonl"
    path.write_text('{"pair": 0, "label": "A", "t_s": 0}\n', encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(path)])
    with pytest.raises(SystemExit, match="holds no pair") as ended:
        aa_replay.main()
    assert isinstance(ended.value.code, str)
