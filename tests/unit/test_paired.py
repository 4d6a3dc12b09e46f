"""The rule of paired comparisons: exactness, its promises, and what it refuses to say."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import aa_replay
from dlbench import paired
from dlbench.core import stats
from dlbench.core.types import Absent

QUIET = [0.001 * (-1) ** i * (1 + i / 100) for i in range(64)]
"""Pairs of identical things on a quiet machine: a tenth of a percent, signs in turn."""


def _one(d: list[float], **options: object) -> paired.Judgement:
    return paired.judge({"case": d}, **options)["case"]  # type: ignore[arg-type]


def test_the_test_is_the_one_that_the_interval_inverts() -> None:
    """P <= level exactly where the Walsh interval of that level leaves zero out."""
    rng = random.Random(1)
    for n in paired.LOOKS:
        level = stats.paid_level(len(paired.LOOKS))
        for shift in (0.0, 0.3, 0.6, 1.2):
            d = [rng.gauss(shift, 1) for _ in range(n)]
            interval = stats.walsh_interval(d, level)
            assert interval is not None
            excludes = interval.low > 0 or interval.high < 0
            assert (paired.signed_rank_p(d) <= 1 - level) == excludes


def test_eight_pairs_all_one_way_are_enough() -> None:
    """The smallest exact p-value of eight pairs, 2/256, paid four times, is under 5 %."""
    d = [0.05 + 0.001 * i for i in range(8)]
    found = _one(d)
    assert found.p == pytest.approx(4 * 2 / 256)
    assert found.verdict == "faster"
    assert found.ratio == pytest.approx(math.exp(0.0535), rel=1e-3)
    assert _one([-x for x in d]).verdict == "slower"


def test_nothing_is_said_between_looks() -> None:
    """Pairs after a look wait for the next one: looking at each pair would be peeking."""
    wild = [0.3, -0.2, 0.1, -0.4, 0.25, -0.15, 0.05, -0.3]
    telling = [0.2 + 0.01 * i for i in range(7)]
    assert _one(wild + telling).n == 8
    assert _one(telling).verdict == "cannot tell"
    assert _one(telling).p == 1.0


def test_a_comparison_that_ended_early_may_look_once_more() -> None:
    """When time ends it, what is there counts as the next look."""
    d = [0.2, -0.3] + [0.1 + 0.01 * i for i in range(10)]
    assert _one(d).n == 8
    ended = _one(d, ended=True)
    assert ended.n == 12
    assert ended.p <= 4 * paired.signed_rank_p(d) + 1e-12


def test_identical_things_on_a_quiet_machine_are_equivalent() -> None:
    """Not merely "cannot tell": the interval lies inside of the zone."""
    found = _one(QUIET[:8])
    assert found.verdict == "equivalent"
    assert isinstance(found.resolves, float)
    assert found.resolves < 0.005
    assert _one(QUIET[:8], zone=0.0005).verdict == "cannot tell"


def test_equivalent_goes_before_a_tiny_difference() -> None:
    """Half a percent, surely there and surely irrelevant, is equivalent."""
    d = [0.005 + x / 10 for x in QUIET[:8]]
    assert _one(d).verdict == "equivalent"
    assert _one(d, zone=0.001).verdict == "faster"


def test_holm_over_cases() -> None:
    """The smallest p-value is held to alpha / m, the next to alpha / (m - 1); after a miss, none."""
    ps = {"a": 0.012, "b": 0.04, "c": 0.02, "d": 0.03}
    assert paired.holm(ps, 0.05) == {"a": True, "b": False, "c": False, "d": False}
    assert paired.holm({"a": 0.01, "b": 0.04}, 0.05) == {"a": True, "b": True}
    assert paired.holm({}, 0.05) == {}


def test_many_cases_pay_for_each_other() -> None:
    """Eight pairs that are enough for one case alone are not enough for one of two."""
    clear = [0.05 + 0.001 * i for i in range(8)]
    unclear = [x * 30 for x in QUIET[:8]]
    alone = paired.judge({"a": clear})
    both = paired.judge({"a": clear, "b": unclear})
    assert alone["a"].verdict == "faster"
    assert both["a"].verdict == "cannot tell"


def test_three_identical_cases_raise_no_more_alarms_than_one() -> None:
    """Over whole comparisons with looks, any false alarm among three cases counts once: 5 % nominal."""
    rng = random.Random(9)
    alarms, n = 0, 120
    for _ in range(n):
        d = {name: [rng.gauss(0, 0.1) for _ in range(64)] for name in "abc"}
        final = paired.judge(d)
        alarms += any(found.verdict in ("faster", "slower") for found in final.values())
    # With a rate of 5 % more than 12 of 120 come up once in a hundred times.
    assert alarms <= 12


def test_too_few_pairs_are_absent_not_zero() -> None:
    """Without eight pairs there is neither an interval nor a resolution, and it is said."""
    found = _one([0.1] * 3)
    assert found.verdict == "cannot tell"
    assert isinstance(found.interval, Absent)
    assert isinstance(found.resolves, Absent)
    assert "3 pairs cannot show" in found.resolves.reason


def test_resolution_shrinks_as_the_root_of_pairs() -> None:
    """Four times the pairs resolve half of the difference, and the sum goes both ways."""
    assert paired.resolution_at(0.04, 16, 64) == pytest.approx(math.expm1(math.log(1.04) / 2))
    needed = paired.pairs_needed(0.04, 16, paired.resolution_at(0.04, 16, 64))
    assert needed in (64, 65)


def test_resolution_is_what_a_test_finds() -> None:
    """Differences as large as the stated resolution are found at least 95 times in 100."""
    rng = random.Random(3)
    found = n = 0
    for _ in range(300):
        noise = [rng.gauss(0, 0.03) for _ in range(32)]
        resolves = paired.resolution(noise)
        assert isinstance(resolves, float)
        moved = [x + math.log1p(resolves) for x in noise[::-1]]
        n += 1
        found += paired.signed_rank_p(moved) <= paired.ALPHA / 4
    assert found / n >= 0.95


@given(st.lists(st.floats(-0.5, 0.5, allow_subnormal=False), min_size=8, max_size=20))
def test_swapping_a_and_b_mirrors_the_verdict(d: list[float]) -> None:
    """Nothing in the rule prefers A or B."""
    one, other = _one(d, ended=True), _one([-x for x in d], ended=True)
    mirror = {"faster": "slower", "slower": "faster"}
    assert other.verdict == mirror.get(one.verdict, one.verdict)
    assert other.ratio == pytest.approx(1 / one.ratio)
    assert other.p == pytest.approx(one.p)


@pytest.mark.parametrize("noise", ["normal", "heavy"])
@pytest.mark.parametrize("difference", [0.0, 0.03])
def test_reported_intervals_cover_after_stopping(noise: str, difference: float) -> None:
    """Over whole comparisons, stopping included, 94 to 98 % of the intervals hold the truth.

    By the replay, which its own test holds to ``paired.judge``: two thousand comparisons at once.
    """
    rng = np.random.default_rng(7)
    shape = (2000, paired.LOOKS[-1])
    # Heavy: Student's t with two degrees of freedom.
    drawn = rng.standard_normal(shape) if noise == "normal" else rng.standard_t(2, shape)
    bounds = aa_replay.bounds_at_looks(0.04 * drawn)
    _, pairs, covered = aa_replay.decide(bounds, math.exp(difference))
    assert set(pairs) <= set(paired.LOOKS)
    # Two standard errors of two thousand comparisons are 1 %.
    assert 0.93 <= np.mean(covered) <= 0.99
