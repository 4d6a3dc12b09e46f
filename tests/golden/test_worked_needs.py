"""docs/worked-needs.md and README.md say what the recommender answers, and how halving changes it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from dlbench import catalog
from dlbench.analysis.recommend import needs, recommend
from dlbench.cli import show_recommend
from dlbench.core.recommendation import Evidence, Recommendation
from dlbench.core.types import Absent
from scripts import docs_tables

DOCS = Path(__file__).parent.parent.parent / "docs"

ANSWERS = {
    "hobbyist": ("hyperstack n3-RTX-A4000x1 (canada-1)", 0.21),
    "clinic": ("verda 1x A100-SXM4-40GB (eu)", 3.60),
    "startup": ("vast 1x-RTX_6000Ada-32-65536 (Japan, JP, AS)", 1.53),
    "bert-service": ("vast 1x-RTX_4090-32-65536 (Germany, DE, EU)", 292.00),
    "nightly-forecasts": ("aws c7g.large (us-east-1)", 0.02),
}

HALVED = {
    "hobbyist": (
        "azure Standard_NC4as_T4_v3 (eastus) spot",
        "hyperstack n3-RTX-A4000x1 (canada-1)",
    ),
    "clinic": ("verda 1x RTX-A6000 (eu)", "verda 1x A100-SXM4-40GB (eu)"),
    "startup": (
        "vast 1x-L40S-32-65536 (Taichung City, TW, AS)",
        "vast 1x-H100_SXM-32-65536 (Texas, US, NA)",
    ),
    "bert-service": ("verda 1x RTX-A6000 (eu)", None),
    "nightly-forecasts": ("hyperstack n3-RTX-A4000x1 (canada-1)", "aws c7g.large (us-east-1)"),
}
"""The pick when the nearest rival's price is halved, and when the deadline is."""


@cache
def answer(name: str) -> Recommendation:
    """By rooflines alone, from the shipped catalog, on the page's day."""
    need = needs.build(needs.read(DOCS / "needs" / f"{name}.toml"))[0]
    return recommend(need, (), catalog.shipped(), today=date(2026, 11, 25))


@pytest.mark.parametrize("name", ANSWERS)
def test_the_page_has_each_answer(name: str) -> None:
    """The pick, its cost to the cent, and that all of it is a roofline."""
    pick = answer(name).pick
    assert pick is not None
    assert not isinstance(pick.cost_usd, Absent)
    assert (pick.name, round(pick.cost_usd.value, 2)) == ANSWERS[name]
    assert pick.evidence is Evidence.ROOFLINE
    page = " ".join((DOCS / "worked-needs.md").read_text(encoding="utf-8").split())
    assert f"**Answer:** {pick.name}" in page
    assert f"{ANSWERS[name][1]:.2f} USD" in page


@pytest.mark.parametrize("name", HALVED)
def test_halving_a_price_or_the_deadline_does_what_the_page_says(name: str) -> None:
    """Solved again, not reasoned."""
    found = {flip.change: flip.new_pick for flip in answer(name).flips}
    price, deadline = HALVED[name]
    assert found["half the price of the nearest rival"] == price
    assert found.get("half the deadline") == deadline


SAID = {
    "hobbyist": {
        "Above 0.1724 USD/h (+15 %)": "Azure's T4 on spot (0.1492 USD/h) is 15 % dearer",
        "With a deadline under 2.91 h": "a deadline under 2.9 h takes a faster card",
    },
    "clinic": {
        "Above 0.7861 USD/h (+9.2 %)": "the RTX A6000 of the same seller is 9 % dearer",
        "With a deadline under 12.7 h: verda 1x RTX-6000-Ada": "under 12.7 h an RTX 6000 Ada is",
    },
    "startup": {
        "With a deadline under 11.2 h": "nine of ten outcomes take up to 11.2 h",
        "1 x H100-SXM5-80GB, for 3.48 USD": "1x-H100_SXM-32-65536 (Texas, US, NA) for 3.48 USD",
        "is 68 % worse in cost": "The L40S at 0.60 USD/h is 68 % dearer",
    },
    "bert-service": {
        "Above 0.49 USD/h": "above 0.49 USD/h the RTX A6000 at verda wins",
    },
    "nightly-forecasts": {
        "Below 0.1108 USD/h (-26 %) for hyperstack n3-RTX-A4000x1": "as below 0.11 it does",
        "is 35 % worse in cost": "the best accelerator is 35 % dearer",
    },
}
"""What an answer says, and the same on the page."""


@pytest.mark.parametrize("name", SAID)
def test_every_other_number_of_the_sensitivity_is_the_answers(name: str) -> None:
    """Where a price, a deadline or another size of the need turns the answer."""
    found = answer(name)
    told = " ".join((*(flip.sentence for flip in found.flips), *found.reasons))
    page = " ".join((DOCS / "worked-needs.md").read_text(encoding="utf-8").split())
    for ours, theirs in SAID[name].items():
        assert ours in told
        assert theirs.lower() in page.lower()


def test_ten_times_the_requests_are_answered_as_the_page_says() -> None:
    """Five of the pick."""
    need = needs.build(needs.read(DOCS / "needs" / "bert-service.toml"))[0]
    more = replace(need, requests_per_s=500.0)
    found = recommend(more, (), catalog.shipped(), today=date(2026, 11, 25)).pick
    assert found is not None
    assert found.name == "5 x vast 1x-RTX_4090-32-65536 (Germany, DE, EU)"
    assert not isinstance(found.cost_usd, Absent)
    assert found.cost_usd.value == pytest.approx(5 * 292)
    page = (DOCS / "worked-needs.md").read_text(encoding="utf-8")
    assert "need 5 of the pick (500 / 120, rounded up), for 1,460 USD." in page


def test_every_need_on_the_page_is_a_file_and_the_reverse() -> None:
    """No need without its answer."""
    files = {path.stem for path in (DOCS / "needs").glob("*.toml")}
    page = (DOCS / "worked-needs.md").read_text(encoding="utf-8")
    assert files == set(ANSWERS)
    assert all(f"(needs/{name}.toml)" in page for name in files)


RENEW = "if the change is meant: python scripts/docs_tables.py docs/worked-needs.md, and read it"
ROUNDING = 0.03
"""Of the last digit shown; a library of linear algebra may round the fit another way."""


NUMBER = re.compile(r"\d[\d,.]*(?<=\d)")


def assert_alike(told: str, found: str) -> None:
    """The same words, and the same numbers to the rounding."""
    assert NUMBER.sub("#", told) == NUMBER.sub("#", found), RENEW
    numbers = [[float(n.replace(",", "")) for n in NUMBER.findall(s)] for s in (told, found)]
    assert numbers[0] == pytest.approx(numbers[1], rel=ROUNDING), RENEW


def rows(page: str) -> list[list[str]]:
    """The table with predictions, by cell."""
    marked = next(m for m in docs_tables.MARKED.finditer(page) if m[2] == "needs")
    lines = [line for line in marked[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_with_predictions_is_what_is_answered() -> None:
    """Names and evidence to the letter; cost and hours with their ranges to the rounding."""
    page = (DOCS / "worked-needs.md").read_text(encoding="utf-8")
    written, made = rows(page), rows(docs_tables.filled(page))
    assert len(written) == len(ANSWERS) + 2
    for is_, should in zip(written, made, strict=True):
        assert [*is_[:2], *is_[4:]] == [*should[:2], *should[4:]], RENEW
        for told, found in ((is_[2], should[2]), (is_[3], should[3])):
            assert_alike(told, found)


def test_the_answer_in_the_readme_is_what_is_answered() -> None:
    """Each of its sentences is one of the answer's, its numbers to the rounding."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        r"^\$ dlbench recommend docs/needs/(\w+)\.toml .*\n((?:.+\n)+?)```", readme, re.MULTILINE
    )
    name, text = block
    need = needs.build(needs.read(DOCS / "needs" / f"{name}.toml"))[0]
    found = next(a for a in docs_tables.answers() if a.need == need)
    assert found.pick is not None
    pick, *lines = text.splitlines()
    assert pick == found.pick.name
    flips = [flip.sentence for flip in found.flips]
    said = {NUMBER.sub("#", s): s for s in (*found.reasons, *show_recommend.careful(found), *flips)}
    told = [line.strip() for line in lines if line.startswith(" ")]
    assert len(told) == 6
    for line in told:
        assert_alike(line, said[NUMBER.sub("#", line)])


RATES = {
    "hobbyist's CNN": "706 pictures/s",
    "clinic's U-Net": "36.6 slices/s",
    "start-up's GPT-2": "121 sequences/s",
    "BERT service": "4,223 requests/s",
    "nightly forecasts": "748 windows/s",
}


def test_what_is_worked_out_by_hand_begins_with_the_rates_of_the_answers() -> None:
    """A new fit changes them, and all that follows by hand."""
    page = (DOCS / "worked-needs.md").read_text(encoding="utf-8")
    for found in docs_tables.answers():
        assert found.pick is not None
        rate = found.pick.throughput_samples_per_s
        assert not isinstance(rate, Absent)
        told = RATES[found.need.name]
        assert told in page
        assert_alike(told.split()[0].replace(",", ""), f"{rate.value:.6g}")
