"""A recommendation on the page: the pick first, every number of its kind, nothing worked out anew."""

from __future__ import annotations

import functools
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest

from dlbench.core import recommendation
from dlbench.core.recommendation import Need, OwnedMachine, Recommendation
from dlbench.core.types import Interval, Task
from dlbench.report import build, candidates, content, formats
from tests import answers, documents


def _page(answer: Recommendation) -> str:
    return build.page(replace(content.of([documents.rich_run()]), recommendation=answer))


@functools.cache
def _rented() -> str:
    """Of an answer that has all there is, built once for all tests that read it."""
    return _page(answers.recommendation())


def test_the_pick_is_the_headline_and_the_verdict() -> None:
    """What, where, how much, how long; the reasons, the evidence, the date of the price."""
    page = _rented()
    assert "<h1>Rent 1 x L4 (aws, us-east-1): about $16.00, about 20 h 00 min</h1>" in page
    verdict = page[page.index('id="verdict"') : page.index('id="asked"')]
    assert "It costs least of 4 ways" in verdict
    assert "measured on that instance" in verdict
    assert "2026-11-20" in verdict
    assert "keep the deadline and over 99 % keep the budget" in verdict


def test_the_headline_says_of_how_many_machines_it_is() -> None:
    """The cost beside it is all of theirs."""
    pick = answers.recommendation().pick
    assert pick is not None
    for owned, verb in ((False, "Rent"), (True, "Use")):
        fleet = answers.recommendation(pick=replace(pick, n_instances=3, owned=owned))
        found = build.headline(replace(content.of([]), recommendation=fleet))
        assert found.startswith(f"{verb} 3 machines of 1 x L4 (")


def test_less_than_a_cent_is_not_nothing() -> None:
    """And less than a hundredth of one has no row of zeros."""
    assert [candidates.usd(x) for x in (0.0, 0.0042, 0.0000042, 0.05, 1234.5)] == [
        "$0.00",
        "$0.0042",
        "$4.2e-6",
        "$0.05",
        "$1,234",
    ]
    assert candidates.kg(0.0123) == "1.23e-5 kg"


def test_a_limit_that_nobody_set_has_no_share() -> None:
    """Without deadline and budget there is nothing to keep."""
    answer = answers.recommendation()
    assert answer.pick is not None
    free = replace(answer.pick, p_deadline=None, p_budget=None)
    page = _page(replace(answer, pick=free))
    verdict = page[page.index('id="verdict"') : page.index('id="asked"')]
    assert "simulated outcomes" not in verdict
    assert "no limit" not in verdict


def test_each_way_is_a_row_once_with_intervals_evidence_and_price_date() -> None:
    """Pick, alternatives and front without doubles; unknown carbon is absent."""
    ways = candidates.of(answers.recommendation())
    assert [w.candidate for w in ways] == list(answers.WAYS)
    assert [w.role for w in ways] == ["pick", "alternative", "alternative", ""]
    page = _rented()
    rows = re.findall(r'<tr data-way="\d+".*?</tr>', page, flags=re.DOTALL)
    assert len(rows) == 4
    assert all('class="estimated"' in row and "of 2026-11-20" in row for row in rows)
    assert "no carbon figure of this place was found" in rows[1]
    assert len(re.findall(r'data-dot="\d', page)) == 4


def test_ways_beyond_the_limits_are_for_other_limits_only() -> None:
    """They come last, say so, and are not doubled when they are among the kept ones too."""
    far = answers.candidate("v100", 60.0, 90.0, answers.UNKNOWN)
    again = replace(answers.WAYS[0], p_deadline=None)
    found = replace(content.of([]), recommendation=answers.recommendation(), others=(again, far))
    ways = candidates.of(answers.recommendation(), found.others)
    assert [(w.candidate.offer.instance_type, w.kept) for w in ways][-2:] == [
        ("h100", True),
        ("v100", False),
    ]
    assert len(ways) == 5
    page = build.page(found)
    assert "breaks a limit</span>" in page
    assert "are here for other limits only" in page


def test_the_need_is_echoed_with_what_nobody_chose() -> None:
    """Own settings in view, defaults folded."""
    page = _rented()
    asked = page[page.index('id="asked"') : page.index('id="recommendation"')]
    assert re.search(r"<dt>deadline h</dt><dd>30</dd>", asked)
    assert "2 settings that nobody chose" in asked


def test_nothing_feasible_says_what_stands_in_the_way() -> None:
    """No table, no slider, no chart; the constraint and by how much."""
    page = build.page(replace(content.of([]), recommendation=answers.nothing_feasible()))
    assert "<h1>Nothing that is known keeps every limit</h1>" in page
    assert "5 USD more would allow 1 x L4" in page
    assert 'id="limits"' not in page
    assert not re.search(r'data-dot="\d', page)


def test_serving_has_latency_in_place_of_time() -> None:
    """And cost a month."""
    page = build.page(replace(content.of([]), recommendation=answers.serving()))
    assert "about $16.00 a month, p99 of about 20.0 ms" in page
    assert ">p99</th>" in page


def test_inference_that_ends_is_a_run() -> None:
    """A nightly batch has a time, a deadline and a cost of one run; no month and no p99."""
    need = Need(
        task=Task.INFERENCE, workload="resnet50", samples=1e6, deadline_h=30.0, budget_usd=50.0
    )
    answer = answers.recommendation(need=need)
    page = build.page(replace(content.of([]), recommendation=answer))
    assert "<h1>Rent 1 x L4 (aws, us-east-1): about $16.00, about 20 h 00 min</h1>" in page
    assert ">p99</th>" not in page
    assert candidates.limits(answer) == (30.0 * 3600, 50.0)


def test_a_hostile_catalog_is_text() -> None:
    """Names of offers and reasons are strangers' words too."""
    page = _page(answers.strange("".join(documents.HOSTILE)))
    assert "<script>document" not in page
    assert "<img" not in page
    assert page.count("<script") == _page(answers.strange("x")).count("<script")


def test_the_sliders_know_every_way_and_the_limits() -> None:
    """Medians and upper ends in seconds and dollars, inside the scales."""
    page = _rented()
    found = re.search(r'id="data-ways">(.*?)</script>', page)
    assert found is not None
    data = json.loads(found[1])
    assert data["limits"] == {"time": 30 * 3600, "cost": 50}
    for way in data["ways"]:
        for name in ("time", "cost"):
            low, high = data["scales"][name]
            assert low < way[name] < way[f"{name}_high"] < high
    assert data["ways"][1]["carbon"] is None


def _of_sliders(answer: Recommendation) -> dict[str, Any]:
    """What the page's script knows of the ways and the limits."""
    found = re.search(r'id="data-ways">(.*?)</script>', _page(answer), flags=re.DOTALL)
    assert found is not None
    read: dict[str, Any] = json.loads(found[1])
    return read


def test_the_sliders_ask_for_the_share_that_the_need_asks_for() -> None:
    """Nine in ten are 1.2816 of the 1.6449 deviates to the upper end, 99 in 100 lie beyond it."""
    answer = answers.recommendation()
    read = _of_sliders(answer)
    assert read["sure"] == pytest.approx(0.779, abs=1e-3)
    assert all(way["kept"] for way in read["ways"])
    surer = replace(answer, need=replace(answer.need, confidence=0.99))
    assert _of_sliders(surer)["sure"] == pytest.approx(1.414, abs=1e-3)


def test_a_machine_that_is_to_be_bought_must_fit_the_sliders_budget() -> None:
    """Its hours cost little: 3,000 USD once, or 62.50 a month of four years, a quarter a run of 4."""
    answer = answers.recommendation()
    assert answer.pick is not None
    own = replace(answer.pick, owned=True, offer=replace(answer.pick.offer, instance_type="desk"))
    desk = OwnedMachine(name="desk", purchase_usd=3000.0, life_years=4.0)
    for fields, bought, limit in (
        ({"budget_usd": 50.0}, 3000.0, 50.0),
        ({"budget_usd": None}, 3000.0, None),
        (
            {"budget_usd": None, "budget_usd_per_month": 80.0, "runs_per_month": 4.0},
            62.5 / 4,
            20.0,
        ),
    ):
        need = replace(answer.need, owned=(desk,), **fields)
        read = _of_sliders(replace(answer, need=need, pick=own))
        assert read["limits"]["cost"] == limit
        assert [way["bought"] for way in read["ways"]] == [pytest.approx(bought), 0, 0, 0, 0]


def test_an_end_that_there_is_none_of_is_told_as_the_command_tells_it() -> None:
    """JSON has no infinity; null is what is not known, and this is."""
    (bought,) = answers.recommendation().buy_or_rent
    ends = Interval(low=100.0, high=math.inf, level=0.9)
    endless = replace(answers.estimate(120.0), interval=ends)
    answer = answers.recommendation(buy_or_rent=(replace(bought, break_even_h_per_month=endless),))
    plain = formats.plain(replace(content.of([]), recommendation=answer))["recommendation"]
    assert plain == recommendation.plain(answer)
    assert plain["buy_or_rent"][0]["break_even_h_per_month"]["interval"]["high"] == "unlimited"
    assert '"high":"unlimited"' in _page(answer)


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, "no limit"), (0.93, "93 %"), (0.999, "over 99 %"), (0.0, "under 1 %")],
)
def test_shares_are_not_overstated(share: float | None, words: str) -> None:
    """No simulation shows certainty."""
    assert candidates.share(share) == words


def test_markdown_and_json_have_the_recommendation() -> None:
    """The headline, and the whole answer for programs."""
    found = replace(content.of([]), recommendation=answers.recommendation())
    assert "# Rent 1 x L4" in formats.markdown(found)
    assert "It costs least of 4 ways" in formats.markdown(found)
    assert formats.plain(found)["recommendation"]["pick"]["batch_size"] == 32
