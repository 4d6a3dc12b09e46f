"""``dlbench catalog`` as a user calls it: values on stdout, sentences on stderr, exit codes."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dlbench.__main__ import main
from dlbench.catalog import stored
from dlbench.core.errors import EXIT_STORE

HEADER = "provider,instance_type,region,accelerator,accelerator_count,ondemand_usd_h,as_of\n"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of one command."""
    monkeypatch.setattr("sys.argv", ["dlbench", "catalog", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_list_prints_the_cheapest_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON, all of them; as a table, as many as asked for."""
    assert call(monkeypatch, "list", "--accelerator", "A100-80GB", "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    prices = [o["ondemand_usd_per_h"] for o in found]
    assert prices == sorted(prices)
    assert {o["accelerator"] for o in found} == {"A100-SXM4-80GB"}
    assert call(monkeypatch, "list", "--limit", "3") == 0
    assert "more: --limit" in capsys.readouterr().out
    assert call(monkeypatch, "list", "accelerators", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 77
    assert call(monkeypatch, "list", "regions", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) > 118


def test_a_narrow_terminal_breaks_no_name_and_hides_no_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 80 columns a name is one word to copy, and ``show`` is where sizes are looked up."""
    monkeypatch.setenv("COLUMNS", "80")
    for arguments, words in (
        (("list", "accelerators"), ("P100-PCIE-16GB", "RTX-PRO-6000-Blackwell")),
        (("list", "regions"), ("northamerica-northeast1", "439.3 to 541", "656.9 ")),
        (("show", "g6.xlarge"), ("vCPU", "GiB")),
    ):
        assert call(monkeypatch, *arguments) == 0
        out = capsys.readouterr().out
        assert all(word in out for word in words)


def test_a_spot_price_is_marked_by_its_own_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """AWS's of May 2025 stood unmarked under the date of the other price, of July 2026."""
    path = tmp_path / "mine.csv"
    rows = "aws,n.large,us-east-1,L4,1,1.5,2026-11-20,0.5,2025-05-28\n"
    rows += "aws,o.large,us-east-1,L4,1,1.6,2025-05-28,0.6,2026-11-20\n"
    path.write_text(HEADER.strip() + ",spot_usd_h,spot_as_of\n" + rows)
    monkeypatch.setattr("dlbench.cli.catalog.today", lambda: date(2026, 11, 25))
    monkeypatch.setenv("COLUMNS", "160")
    assert call(monkeypatch, "list", "--accelerator", "L4", "--catalog", str(path)) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    ends = {line[1]: line[-3:] for line in lines if line[1:2] in (["n.large"], ["o.large"])}
    assert ends == {
        "n.large": ["1.500", "0.5000*", "2026-11-20"],
        "o.large": ["1.600", "0.6000", "2025-05-28*"],
    }


def test_list_refuses_a_place_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a provider: "no offer matches" would read as if there were none to rent."""
    assert call(monkeypatch, "list", "--region", "XX") == 2
    assert "no region or country 'XX'" in capsys.readouterr().err
    assert call(monkeypatch, "list", "--region", "de") == 0
    assert call(monkeypatch, "list", "--max-usd-per-h", "-5") == 2
    assert "--max-usd-per-h" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("accelerators", "--provider", "aws"), "--provider chooses offers, and accelerators are"),
        (
            ("regions", "--region", "DE", "--cpu"),
            "--region and --cpu choose offers, and regions are",
        ),
        (("regions", "--max-usd-per-h", "0"), "--max-usd-per-h chooses"),
        (("accelerators", "--limit", "3"), "--limit chooses"),
    ],
)
def test_what_chooses_offers_is_refused_for_other_lists(
    given: tuple[str, ...],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All regions were listed as if they were those of a provider."""
    assert call(monkeypatch, "list", *given) == 2
    assert named in capsys.readouterr().err


def test_a_fetched_table_has_the_catalogs_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By an alias nothing would be known of its watts; a table without its receipt is left out."""
    table = tmp_path / "mine.csv"
    table.write_text(HEADER + "me,box,cellar,RTX 3090,1,0.2,2026-11-24\n")
    assert call(monkeypatch, "update", "--source", "file", "--from", str(table)) == 0
    assert "mine: 1 offer stored" in capsys.readouterr().out
    assert call(monkeypatch, "list", "--provider", "me", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["accelerator"] == "RTX-3090"
    (stored.folder() / "fetched" / "mine.json").unlink()
    assert call(monkeypatch, "list") == 0
    assert "has no receipt, and is left out" in " ".join(capsys.readouterr().out.split())


def test_a_country_that_fetched_rows_would_lose_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Residency hangs on it; one that the catalog knows already loses nothing."""
    table = tmp_path / "mine.csv"
    update = ("update", "--source", "file", "--from", str(table))
    head = HEADER.replace("\n", ",country\n")
    table.write_text(f"{head}me,box,cellar,RTX 3090,1,0.2,2026-11-24,DE\n")
    assert call(monkeypatch, *update) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "that me cellar is in DE would be lost" in told
    assert "dlbench catalog add" in told
    assert not stored.fetched_files()
    table.write_text(f"{head}aws,box,us-east-1,RTX 3090,1,0.2,2026-11-24,US\n")
    assert call(monkeypatch, *update) == 0
    assert [path.name for path in stored.fetched_files()] == ["mine.csv"]


def test_show_of_an_accelerator_has_all_its_offers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One seller calls an instance "H100", which hides no other seller's."""
    assert call(monkeypatch, "show", "H100", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"aws", "gcp", "lambda", "paperspace"} <= {o["provider"] for o in found["offers"]}
    names = [(o["provider"], o["instance_type"], o["region"]) for o in found["offers"]]
    assert len(names) == len(set(names))


def test_show_has_sources_and_finds_by_any_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An accelerator by its driver's name; an instance type by its own; neither is refused."""
    assert call(monkeypatch, "show", "NVIDIA A100-SXM4-80GB", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["accelerator"]["name"] == "A100-SXM4-80GB"
    assert answer["accelerator"]["memory_gib"] == 80
    assert call(monkeypatch, "show", "g6.xlarge") == 0
    assert "karpenter" in capsys.readouterr().out
    assert call(monkeypatch, "show", "RTX-4900") == 2
    assert "RTX-4090" in capsys.readouterr().err


def test_check_ends_with_a_code_of_its_own_when_a_row_must_not_be_believed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The shipped rows pass; a placeholder does not."""
    assert call(monkeypatch, "check") == 0
    assert "warning: old-price" in capsys.readouterr().out
    path = tmp_path / "prices.csv"
    path.write_text(HEADER + "aws,g6.xlarge,us-east-1,L4,1,700,2026-11-24\n")
    assert call(monkeypatch, "check", "--catalog", str(path), "--json") == 5
    captured = capsys.readouterr()
    rules = {f["rule"] for f in json.loads(captured.out)["findings"] if f["severity"] == "error"}
    assert rules == {"placeholder-price"}
    assert "1 of 631 offers must not be believed" in captured.err
    assert call(monkeypatch, "check", "--max-price-age", "30") == 5
    said = " ".join(capsys.readouterr().err.split())
    (old,) = re.findall(r"(\d+) of 631 offers have a price older than --max-price-age", said)
    assert 500 < int(old) <= 631
    assert "believed" not in said
    both = ("check", "--catalog", str(path), "--max-price-age", "30")
    assert call(monkeypatch, *both) == 5
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 631 offers must not be believed, and " in said


def test_add_keeps_a_file_and_remove_takes_it_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """From then on its rows win, in every command."""
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + "maxcloudon,GPU-3090,bulgaria,RTX-3090,1,0.45,2026-11-24\n")
    assert call(monkeypatch, "add", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1
    assert call(monkeypatch, "add", str(path)) == 0
    assert "in place of what was added under that name" in " ".join(capsys.readouterr().out.split())
    assert call(monkeypatch, "list", "--provider", "maxcloudon", "--json") == 0
    (offer,) = json.loads(capsys.readouterr().out)
    assert offer["ondemand_usd_per_h"] == 0.45
    assert call(monkeypatch, "diff", "--json") == 0
    changes = [(c["kind"], c["field"]) for c in json.loads(capsys.readouterr().out)]
    assert changes == [("gone", "ondemand_usd_per_h"), ("new", "ondemand_usd_per_h")]
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace("0.45", "0.55"))
    assert call(monkeypatch, "add", str(other)) == 2
    assert "contradict" in " ".join(capsys.readouterr().err.split())
    placed = tmp_path / "placed.csv"
    row = "maxcloudon,other,bulgaria,RTX-3090,1,0.45,2026-11-24,DE\n"
    placed.write_text(HEADER.strip() + ",country\n" + row)
    assert call(monkeypatch, "add", str(placed)) == 2
    assert "country of maxcloudon bulgaria is DE, and BG" in " ".join(
        capsys.readouterr().err.split()
    )
    placed.write_text(placed.read_text().replace("DE", "BG"))
    assert call(monkeypatch, "add", str(placed)) == 0
    assert call(monkeypatch, "add", "--remove", "placed") == 0
    assert call(monkeypatch, "add", "--remove", "mine") == 0
    assert call(monkeypatch, "add", str(other)) == 0
    assert call(monkeypatch, "add", "--remove", "mine") == 2
    assert "Added so far: other" in capsys.readouterr().err


def test_a_file_without_a_row_takes_nothing_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A header alone was added as 0 rows, in place of the prices of that name."""
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + "me,box,cellar,L4,1,0.2,2026-11-24\n")
    assert call(monkeypatch, "add", str(path)) == 0
    (kept,) = stored.user_files()
    before = kept.read_text()
    path.write_text(HEADER)
    assert call(monkeypatch, "add", str(path)) == 2
    assert "mine.csv has no row" in capsys.readouterr().err
    assert kept.read_text() == before


def test_a_file_is_taken_away_by_the_name_that_it_is_told_under(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A name with a date in it too, and not the file of another name that it begins with."""
    for name in ("prices.2026-11.csv", "prices.csv"):
        path = tmp_path / name
        path.write_text(HEADER + "maxcloudon,GPU-3090,bulgaria,RTX-3090,1,0.45,2026-11-24\n")
        assert call(monkeypatch, "add", str(path)) == 0
    assert call(monkeypatch, "add", "--remove", "prices.2026-11") == 0
    assert call(monkeypatch, "add", "--remove", "prices.csv") == 0
    capsys.readouterr()
    assert call(monkeypatch, "add", "--remove", "prices") == 2
    assert "Added so far: none" in capsys.readouterr().err


def test_a_file_that_denies_what_was_fetched_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It was refused only after it had been added, and every command from then on with it."""
    table = tmp_path / "aws_v9_vms.csv"
    table.write_text(
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,Price,SpotPrice,Region\n"
        "x9.large,L4,1,2,0.5,,us-east-1\n"
    )
    assert call(monkeypatch, "update", "--from", str(table), "--as-of", "2026-11-20") == 0
    mine = tmp_path / "mine.csv"
    mine.write_text(HEADER + "aws,x9.large,us-east-1,,,0.4,2026-11-24\n")
    assert call(monkeypatch, "add", str(mine)) == 2
    assert "the catalog has L4 there" in " ".join(capsys.readouterr().err.split())
    assert call(monkeypatch, "show", "x9.large", "--json") == 0
    (offer,) = json.loads(capsys.readouterr().out)["offers"]
    assert offer["ondemand_usd_per_h"] == 0.5


def test_a_fetched_row_that_could_not_be_read_again_loses_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is left out and told when it comes; stored, all its file would be left out ever after."""
    table = tmp_path / "aws_v9_vms.csv"
    table.write_text(
        "InstanceType,vCPUs,Price,SpotPrice,Region\nx9.large,2,0.05,,us-east-1\n"
        ",2,0.05,,us-east-1\nx9.huge,2,200000,,us-east-1\n"
    )
    assert call(monkeypatch, "update", "--from", str(table), "--as-of", "2026-11-20", "--json") == 0
    (stored_,) = json.loads(capsys.readouterr().out)["stored"]
    assert stored_["rows"] == 1
    assert stored_["problems"] == {
        "instance_type is empty: left out": 1,
        "ondemand_usd_h is 200000: left out": 1,
    }
    assert call(monkeypatch, "show", "x9.large", "--json") == 0


def test_update_stores_what_it_got_and_tells_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One broken table loses nothing of the other; nothing at all is an error."""
    good = tmp_path / "aws_v9_vms.csv"
    good.write_text("InstanceType,vCPUs,Price,SpotPrice,Region\nx9.large,2,0.05,,us-east-1\n")
    bad = tmp_path / "gcp_v8_vms.csv"
    bad.write_bytes(b"\xff\xfe\x00")
    arguments = ["--from", str(bad), "--from", str(good), "--as-of", "2026-11-20", "--json"]
    assert call(monkeypatch, "update", *arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [s["name"] for s in answer["stored"]] == ["skypilot-aws"]
    assert answer["stored"][0]["fetched_on"]
    assert len(answer["stored"][0]["sha256"]) == 64
    assert "is not UTF-8" in answer["failed"][0]["error"]
    assert call(monkeypatch, "show", "x9.large", "--json") == 0
    (offer,) = json.loads(capsys.readouterr().out)["offers"]
    assert offer["as_of"] == "2026-11-20"
    assert call(monkeypatch, "update", "--from", str(bad), "--as-of", "2026-11-20") == 2
    assert call(monkeypatch, "update", "--from", str(tmp_path / "aws_nothing.csv")) == 7
    assert call(monkeypatch, "update", "--source", "nobody") == 2
    assert call(monkeypatch, "update", "--from", str(good), "--as-of", "soon") == 2


SKYPILOT = "InstanceType,vCPUs,Price,SpotPrice,Region\n"


def test_a_table_without_a_usable_row_takes_nothing_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A header alone was "0 offers stored", in place of all that was there."""
    table = tmp_path / "aws_v9_vms.csv"
    table.write_text(SKYPILOT + "x9.large,2,0.05,,us-east-1\n")
    arguments = ("update", "--from", str(table), "--as-of", "2026-11-20")
    assert call(monkeypatch, *arguments) == 0
    for rows, why in (("", "it has none"), ("x9.large,2,0.0,,us-east-1\n", "no usable price")):
        table.write_text(SKYPILOT + rows)
        capsys.readouterr()
        assert call(monkeypatch, *arguments) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"no row of {table} can be used" in said
        assert why in said
    assert call(monkeypatch, "show", "x9.large", "--json") == 0
    (offer,) = json.loads(capsys.readouterr().out)["offers"]
    assert offer["ondemand_usd_per_h"] == 0.05


def test_a_second_table_of_a_seller_does_not_take_the_firsts_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both were told as stored, and of the first nothing was left."""
    arguments = ["update", "--as-of", "2026-11-20", "--json"]
    for n, region in enumerate(("us-east-1", "eu-west-1")):
        table = tmp_path / f"aws_{n}.csv"
        table.write_text(SKYPILOT + f"x9.large,2,0.05,,{region}\n")
        arguments += ["--from", str(table)]
    assert call(monkeypatch, *arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [s["source"] for s in answer["stored"]] == [str(tmp_path / "aws_0.csv")]
    (failed,) = answer["failed"]
    assert "is a second table of skypilot-aws" in failed["error"]
    assert failed["advice"].startswith("Make one table of them")
    assert call(monkeypatch, "show", "x9.large", "--json") == 0
    (offer,) = json.loads(capsys.readouterr().out)["offers"]
    assert offer["region"] == "us-east-1"


def test_one_of_adding_and_taking_away_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The file to be added was not, without a word."""
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    for file in (old, new):
        file.write_text(HEADER + f"aws,{file.stem}9.large,us-east-1,L4,1,0.4,2026-11-24\n")
    assert call(monkeypatch, "add", str(old)) == 0
    assert call(monkeypatch, "add", str(new), "--remove", "old") == 2
    assert "one of them at a time" in " ".join(capsys.readouterr().err.split())
    assert [path.stem for path in stored.user_files()] == ["old"]


def test_what_cannot_be_removed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was a traceback."""
    (stored.folder() / "user" / "old.csv").mkdir(parents=True)
    assert call(monkeypatch, "add", "--remove", "old") == EXIT_STORE
    assert "old.csv cannot be removed" in " ".join(capsys.readouterr().err.split())


def test_diff_and_show_name_the_files_that_they_lack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A fetched file that was changed since is left out: "nothing differs" was all of it."""
    table = tmp_path / "aws_v9_vms.csv"
    table.write_text(SKYPILOT + "x9.large,2,0.05,,us-east-1\n")
    assert call(monkeypatch, "update", "--from", str(table), "--as-of", "2026-11-20") == 0
    (kept,) = stored.fetched_files()
    kept.write_text(kept.read_text() + "\n")
    for arguments in (("diff",), ("show", "L4")):
        capsys.readouterr()
        assert call(monkeypatch, *arguments) == 0
        assert "left out: " in capsys.readouterr().out


def test_each_command_of_prices_says_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without prices of one's own: how to get some; with: what changed. A failure is told once."""
    assert call(monkeypatch, "diff") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("nothing differs from the shipped rows: dlbench catalog update")
    table = tmp_path / "aws_v9_vms.csv"
    table.write_text("InstanceType,vCPUs,Price,SpotPrice,Region\nx9.large,2,0.05,,us-east-1\n")
    assert call(monkeypatch, "update", "--from", str(table), "--as-of", "2026-11-20") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.endswith("what changed: dlbench catalog diff")
    assert call(monkeypatch, "update", "--from", str(tmp_path / "aws_nothing.csv")) == 7
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("aws_nothing.csv is no file") == 1


def test_a_file_of_prices_needs_its_day_and_its_own_date_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A copy made today of a table of last year would make its prices the newest of all."""
    table = tmp_path / "vast_v8_vms.csv"
    table.write_text("InstanceType,vCPUs,Price,SpotPrice,Region\n1x-cpu,2,0.05,,France\n")
    os.utime(table, (1.7e9, 1.7e9))
    assert call(monkeypatch, "update", "--from", str(table)) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "nobody says of which day the prices of" in said
    assert "--as-of 2026-11-25" in said
    assert call(monkeypatch, "list", "--provider", "vast", "--cpu", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert call(monkeypatch, "update", "--from", str(table), "--as-of", "2026") == 0
    capsys.readouterr()
    assert call(monkeypatch, "list", "--provider", "vast", "--cpu", "--json") == 0
    (offer,) = json.loads(capsys.readouterr().out)
    assert offer["as_of"] == "2026"


def test_without_a_home_there_is_the_shipped_catalog_and_no_room_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A container may run as a number that has no name, no home and no HOME."""
    for name in (stored.FOLDER_VARIABLE, "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", _nobody)
    assert call(monkeypatch, "list", "--accelerator", "A100-80GB", "--json") == 0
    assert json.loads(capsys.readouterr().out)
    file = tmp_path / "mine.csv"
    file.write_text(HEADER + "aws,own.large,us-east-1,L4,1,0.8,2026-11-01\n")
    assert call(monkeypatch, "add", str(file)) == EXIT_STORE
    said = capsys.readouterr().err
    assert "there is no home folder" in said
    assert stored.FOLDER_VARIABLE in said


def _nobody(number: int) -> object:
    raise KeyError(f"getpwuid(): uid not found: {number}")
