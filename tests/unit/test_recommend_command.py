"""``dlbench recommend`` as a user calls it."""

from __future__ import annotations

import inspect
import io
import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from dlbench.__main__ import main
from dlbench.cli import markdown_recommend, show_recommend
from dlbench.cli import recommend as recommend_command
from dlbench.core.recommendation import Need
from tests import answers

FLAGS = ("--workload", "resnet50", "--samples", "50000", "--epochs", "20")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of one call."""
    monkeypatch.setattr("sys.argv", ["dlbench", "recommend", "--no-predictions", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_flags_are_enough_and_the_answer_is_complete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pick with reasons, two alternatives, what would flip it, what was rejected, the defaults."""
    assert call(monkeypatch, *FLAGS, "--budget-usd", "10") == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in (
        "It costs least of",
        "Its speed is roofline from the data sheet",
        "alternative 2",
        "What would flip it",
        "SkyPilot task",
        "Rejected",
        "for price unknown",
        "Defaults taken task training",
        "631 offers looked at",
    ):
        assert words in out


def test_json_is_strict_and_holds_the_whole_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No NaN, no infinity; the same answer as on the screen."""
    assert call(monkeypatch, *FLAGS, "--json") == 0

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    answer = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert answer["pick"]["trail"][0]["name"] == "model"
    assert len(answer["alternatives"]) == 2
    assert ["framework", "pytorch"] in answer["defaults"]
    assert any("maxcloudon" in r["name"] for r in answer["rejected"])


def test_markdown_is_a_narrow_table_with_the_rest_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows are as wide as its head; names, dates and evidence are a list; numbers are JSON's."""
    assert call(monkeypatch, *FLAGS, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert call(monkeypatch, *FLAGS, "--markdown") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len({len(row) for row in rows}) == 1
    assert len(rows[0]) <= WIDEST_TABLE
    cells = {row.split("|")[1].strip(): [x.strip() for x in row.split("|")[2:-1]] for row in rows}
    assert cells[""] == ["pick", "alternative 1", "alternative 2"]
    shown = [answer["pick"], *answer["alternatives"]]
    costs = [float(cell.split(" ")[0]) for cell in cells["cost, USD"]]
    assert costs == pytest.approx([c["cost_usd"]["value"] for c in shown], rel=0.005)
    minutes = [float(cell.split(" ")[0]) for cell in cells["time, min"]]
    assert minutes == pytest.approx([c["time_s"]["value"] / 60 for c in shown], rel=0.005)
    for label, candidate in zip(cells[""], shown, strict=True):
        (line,) = [x for x in lines if x.startswith(f"- **{label}**: ")]
        assert candidate["offer"]["instance_type"] in line
        assert line.endswith(f"price of {candidate['price_as_of']}, {candidate['evidence']}")


WIDEST_TABLE = 105
"""Letters of a row: with three of the longest names of accelerators."""


def test_markdown_says_below_its_table_why_a_number_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seller that states no vCPUs has no energy."""
    need = Path(__file__).parents[2] / "docs" / "needs" / "clinic.toml"
    assert call(monkeypatch, str(need), "--markdown") == 0
    out = capsys.readouterr().out
    assert re.search(r"\| kWh +\| unknown +\|", out)
    why = "the source does not say how many vCPUs the machine has"
    assert f"  - energy and carbon unknown: {why}" in out


def test_markdown_of_a_strangers_names_is_text() -> None:
    """Pasted into an issue, a type from a price file is no element, no link and no picture."""
    answer = answers.recommendation()
    assert answer.pick is not None
    hostile = "![x](https://example.org/seen.png)<img src=x>"
    offer = replace(answer.pick.offer, instance_type=hostile)
    told = markdown_recommend.lines(
        replace(answer, pick=replace(answer.pick, offer=offer), reasons=(f"It is {hostile}.",)),
        explain=True,
    )
    shown = [line for line in told if "seen.png" in line]
    assert len(shown) >= 3
    assert not any("](https" in line or "<img" in line.replace("\\<img", "") for line in shown)


def test_explain_shows_the_way_of_all_that_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Markdown as in the terminal: alternatives too, then what is assumed for all."""
    assert call(monkeypatch, *FLAGS, "--markdown", "--explain") == 0
    out = capsys.readouterr().out
    for label in ("pick", "alternative 1", "alternative 2"):
        way = out.split(f"### How the numbers of {label} came about")[1].split("###")[0]
        assert "- **throughput**: " in way
        assert "GFLOP" in way
    assert "### Assumptions, for all" in out
    assert call(monkeypatch, *FLAGS, "--explain", "--rejected") == 0
    out = capsys.readouterr().out
    assert "Assumptions, for all" in out
    assert "maxcloudon gpu-server (bulgaria)" in out


def test_what_a_moment_of_ones_own_machine_costs_is_not_a_row_of_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thousand pictures: some millionths of a dollar and of a kilowatt-hour, wherever they stand."""
    need = tmp_path / "need.toml"
    need.write_text(
        'task = "inference"\nworkload = "resnet50"\nsamples = 1000\n'
        '[[owned]]\nname = "desk"\naccelerator = "RTX-4090"\ncountry = "DE"\n'
    )
    assert call(monkeypatch, str(need), "--json") == 0
    cost = json.loads(capsys.readouterr().out)["pick"]["cost_usd"]["value"]
    assert 1e-6 < cost < 1e-4
    exponent = f"e{math.floor(math.log10(cost))}"
    assert call(monkeypatch, str(need), "--markdown") == 0
    assert re.search(rf"\| cost, USD +\| \d\.\d\d{exponent} \(", capsys.readouterr().out)
    monkeypatch.setenv("COLUMNS", "160")
    assert call(monkeypatch, str(need), "--explain") == 0
    out = capsys.readouterr().out
    assert re.search(rf"costs least of .*: \d\.\d{exponent} USD \(", " ".join(out.split()))
    assert re.search(rf" cost +\d\.\d\d{exponent} \(", out)
    assert "0.0000" not in out


@pytest.mark.parametrize("width", [60, 100])
def test_sentences_keep_to_the_terminal_and_their_next_lines_stand_further_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    """Of everything but what is copied; each sentence is found whole again."""
    assert call(monkeypatch, *FLAGS, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    monkeypatch.setenv("COLUMNS", str(width))
    assert call(monkeypatch, *FLAGS) == 0
    out = capsys.readouterr().out
    reasons = out.split("\n\n", 1)[0].split("\n", 1)[1].splitlines()
    rests = out.split("What it rests on\n")[1].splitlines()[:-1]
    assert all(len(line) <= width for line in [*reasons, *rests])
    begun = [line for line in rests if line.startswith("  ") and line[2] != " "]
    assert len(begun) == len(answer["notes"])
    assert all(line.startswith("    ") for line in rests if line not in begun)
    assert " ".join(" ".join(rests).split()) == " ".join(answer["notes"])


def test_launch_lines_are_not_broken_where_the_terminal_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is copied from it must run."""
    monkeypatch.setenv("COLUMNS", "60")
    assert call(monkeypatch, *FLAGS) == 0
    command = next(x for x in capsys.readouterr().out.splitlines() if "dlbench run resnet50" in x)
    assert "--batch-size" in command


def test_markdown_warns_of_alternatives_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever takes the second best must know how old its price is."""
    assert call(monkeypatch, *FLAGS, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert call(monkeypatch, *FLAGS, "--markdown") == 0
    careful = capsys.readouterr().out.split("### Careful")[1].split("###")[0]
    labels = ("pick", "alternative 1", "alternative 2")
    shown = dict(zip(labels, [answer["pick"], *answer["alternatives"]], strict=True))
    lines = [line[2:].split(": ", 1) for line in careful.splitlines() if line.startswith("- ")]
    assert len({warning for _, warning in lines}) == len(lines)
    for label, candidate in shown.items():
        told = [warning for labels, warning in lines if label in labels.split(", ")]
        assert sorted(told) == sorted(candidate["warnings"])


def test_a_file_with_flags_over_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Flags win, field by field."""
    path = tmp_path / "need.toml"
    path.write_text('name = "mine"\nworkload = "resnet50"\nsamples = 1000\nepochs = 2\n')
    assert call(monkeypatch, str(path), "--epochs", "3", "--json") == 0
    need = json.loads(capsys.readouterr().out)["need"]
    assert (need["name"], need["samples"], need["epochs"]) == ("mine", 1000, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nobody is at the terminal"),
        ((*FLAGS, "--budget-usd", "-5"), "budget_usd is -5"),
        ((*FLAGS, "--region", "mars"), "regions: 'mars'"),
        (("--workload", "resnet51"), "workload 'resnet51' is unknown"),
        (("--workload", "resnet51"), "Did you mean resnet50?"),
        (("--parameters", "1e6"), "flops_per_sample"),
    ],
)
def test_bad_input_is_one_sentence_with_the_field_and_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    """Exit code 2, nothing on stdout."""
    assert call(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert not captured.out.strip()
    assert words in " ".join(captured.err.split())
    assert "try:" in captured.err


def test_an_impossible_need_says_what_binds_and_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A month of work in six minutes."""
    month = (*FLAGS[:-1], "20000")
    assert call(monkeypatch, *month, "--deadline-h", "0.1") == 3
    captured = capsys.readouterr()
    assert "deadline_h binds: it is 0.1 h" in " ".join(captured.out.split())
    assert "nothing in the catalog keeps every limit" in captured.err


def test_two_contradicting_files_of_the_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Named with the field, before anything is computed."""
    header = "provider,instance_type,region,accelerator,accelerator_count,ondemand_usd_h,as_of\n"
    for name, price in (("a", "0.5"), ("b", "0.6")):
        row = f"aws,g6.xlarge,us-east-1,L4,1,{price},2026-11-24\n"
        (tmp_path / f"{name}.csv").write_text(header + row)
    assert call(monkeypatch, *FLAGS, "--catalog", "a.csv", "--catalog", "b.csv") == 2
    assert "ondemand_usd_h is 0.5" in " ".join(capsys.readouterr().err.split())


def test_launch_files_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A task for SkyPilot, and the steps."""
    folder = tmp_path / "go"
    assert call(monkeypatch, *FLAGS, "--exclude-provider", "vast", "--launch", str(folder)) == 0
    assert "# 6 run" in (folder / "steps.sh").read_text()


def test_a_task_of_an_earlier_answer_does_not_stay_beside_this_ones_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever launched it would rent what this answer did not recommend."""
    folder = tmp_path / "go"
    assert call(monkeypatch, *FLAGS, "--launch", str(folder)) == 0
    assert (folder / "task.yaml").is_file()
    owned = tmp_path / "need.toml"
    owned.write_text(
        'workload = "resnet50"\nsamples = 1000000\n[[owned]]\nname = "desk"\naccelerator = "L4"\n'
        "tariff_usd_per_kwh = 0.01\n"
    )
    assert call(monkeypatch, str(owned), "--launch", str(folder)) == 0
    assert not (folder / "task.yaml").exists()
    assert "your own machine desk" in (folder / "steps.sh").read_text()


def test_launch_files_of_an_earlier_answer_go_where_nothing_is_picked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both, and nothing else that lies there."""
    folder = tmp_path / "go"
    assert call(monkeypatch, *FLAGS, "--launch", str(folder)) == 0
    (folder / "train.sh").write_text("mine")
    assert {p.name for p in folder.iterdir()} == {"task.yaml", "steps.sh", "train.sh"}
    assert call(monkeypatch, *FLAGS, "--budget-usd", "0.001", "--launch", str(folder)) == 3
    assert [p.name for p in folder.iterdir()] == ["train.sh"]


def test_a_file_that_is_no_toml_or_huge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Needs come from strangers too."""
    path = tmp_path / "need.toml"
    path.write_text("workload = ")
    assert call(monkeypatch, str(path)) == 2
    assert "is no TOML" in capsys.readouterr().err
    path.write_bytes(b"#" * 70_000)
    assert call(monkeypatch, str(path)) == 7
    assert call(monkeypatch, "no.toml") == 7
    assert "Name a need's TOML file" in capsys.readouterr().err


def test_a_file_of_windows_editors_is_a_need(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its mark of the byte order was an invalid statement at line 1, column 1."""
    path = tmp_path / "need.toml"
    path.write_bytes('name = "été"\r\nworkload = "resnet50"\r\nsamples = 5\r\n'.encode("utf-8-sig"))
    assert call(monkeypatch, str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["need"]["name"] == "été"


def anything(_: dict[str, Any]) -> None:
    """A check that every table passes."""


def test_the_guided_way_asks_five_questions() -> None:
    """And makes the same table as a file would."""
    asked = []

    def ask(question: str, **_: Any) -> str:
        asked.append(question)
        return ["train", "unet", "2000 40", "24 30", "DE, FR"][len(asked) - 1]

    assert show_recommend.questions(ask, anything) == {
        "task": "training",
        "workload": "unet",
        "samples": 2000,
        "epochs": 40,
        "deadline_h": 24,
        "budget_usd": 30,
        "regions": ["DE", "FR"],
    }
    assert len(asked) == 5
    budget_alone = iter(["training", "unet", "2000 40", "- 30", ""])
    found = show_recommend.questions(lambda *_, **__: next(budget_alone), anything)
    assert found["budget_usd"] == 30
    assert "deadline_h" not in found
    answers = iter(["inference", "bert_base", "50 50", "", ""])
    table = show_recommend.questions(lambda *_, **__: next(answers), anything)
    assert table == {
        "task": "inference",
        "workload": "bert_base",
        "requests_per_s": 50,
        "p99_ms": 50,
    }


class Typed(io.StringIO):
    """A terminal at which somebody types these lines, and then whatever ``end`` is."""

    def __init__(self, *lines: str, end: type[BaseException] = EOFError) -> None:
        super().__init__("".join(f"{line}\n" for line in lines))
        self.end = end

    def isatty(self) -> bool:
        return True

    def readline(self, *_: Any) -> str:  # type: ignore[override]
        line = super().readline()
        if not line:
            raise self.end
        return line


def test_a_wrong_answer_is_told_as_a_flags_is_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of five, with the remedy; what was right is not asked twice."""
    wrong = (
        "cook",
        "resnet5",
        "many 10",
        "50000",
        "-5 10",
        "24 30 7",
        "soon",
        "0",
        "Germany",
        "mars",
    )
    right = ("train", "resnet50", "50000 20", "- 10", "US")
    lines: tuple[str, ...] = (*wrong[:1], right[0], wrong[1], right[1], *wrong[2:5], right[2])
    lines += (*wrong[5:8], right[3], *wrong[8:], right[4])
    monkeypatch.setattr("sys.stdin", Typed(*lines))
    assert call(monkeypatch, "--json") == 0
    captured = capsys.readouterr()
    need = json.loads(captured.out)["need"]
    assert (need["samples"], need["epochs"], need["budget_usd"]) == (50000, 20, 10)
    assert need["regions"] == ["US"]
    told = captured.err
    assert told.count("error:") == len(wrong)
    for question, times in (("1/5", 2), ("2/5", 2), ("3/5", 4), ("4/5", 4), ("5/5", 3)):
        assert told.count(question) == times
    for flags, said in (
        (("--workload", "resnet5"), "Did you mean resnet50?"),
        ((*FLAGS[:2], "--samples", "-5"), "Give a number above 0"),
        ((*FLAGS, "--deadline-h", "0"), "deadline_h is 0.0"),
        ((*FLAGS, "--region", "Germany"), "Countries are codes of two letters: DE."),
    ):
        assert call(monkeypatch, *flags) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error in told


def test_a_comma_within_a_number_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    """1,500 dollars were taken for an hour and 500 dollars; a comma between two numbers is none."""
    typed = iter(["training", "unet", "1,500 2", "1500, 2", "1,500", "- 1500", ""])
    table = show_recommend.questions(lambda *_, **__: next(typed), anything)
    assert (table["samples"], table["epochs"], table["budget_usd"]) == (1500, 2, 1500)
    assert "deadline_h" not in table
    told = capsys.readouterr().err
    assert told.count("has a comma within a number") == 2


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_the_guided_way_ends_where_nobody_answers_any_more(
    end: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-D and Ctrl-C: the code of an interruption, and nothing on the answer's stream."""
    monkeypatch.setattr("sys.stdin", Typed("train", end=end))
    assert call(monkeypatch) == 130
    captured = capsys.readouterr()
    assert not captured.out.strip()
    assert "Traceback" not in captured.err
    assert captured.err.endswith("\n")


SHORTER = {
    "regions": "region",
    "exclude_providers": "exclude_provider",
    "activation_mib_per_sample": "activation_mib",
    "intensity_g_per_kwh": "intensity",
    "max_price_age_days": "max_price_age",
}
"""Fields whose flags have other names; all others have their own."""


def test_every_field_of_a_need_has_a_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But machines of one's own, which are tables; pairs are two numbers."""
    flags = set(inspect.signature(recommend_command.recommend).parameters)
    assert {SHORTER.get(f.name, f.name) for f in fields(Need)} - flags == {"owned"}
    more = ("--set-up-min", "1", "2", "--spot-interruptions-per-h", "0", "0.1", "--json")
    assert call(monkeypatch, *FLAGS, *more, "--name", "mine", "--carbon-usd-per-kg", "1") == 0
    need = json.loads(capsys.readouterr().out)["need"]
    assert (need["set_up_min"], need["spot_interruptions_per_h"]) == ([1.0, 2.0], [0.0, 0.1])
    assert (need["name"], need["carbon_usd_per_kg"]) == ("mine", 1.0)
    assert call(monkeypatch, *FLAGS, "--set-up-min", "9", "2") == 2
    assert "The low end comes first" in capsys.readouterr().err
