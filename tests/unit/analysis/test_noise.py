"""The noise gate: what a run says that it could have told apart, and whether that is so."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from dlbench.analysis import noise
from dlbench.core import stats
from dlbench.core.types import Absent, Estimated, Run
from tests import builders

A = builders.case(framework="pytorch")
B = builders.case(framework="tensorflow")


def _run(a_s: list[float], b_s: list[float]) -> Run:
    results = [builders.result(c, s) for c, s in ((A, a_s), (B, b_s)) if s]
    return builders.run(results)


def _noisy(sd: float, n: int, seed: int, mean_s: float = 0.01) -> list[float]:
    rng = random.Random(seed)
    return [mean_s * math.exp(rng.gauss(0, sd)) for _ in range(n)]


def test_a_noisier_run_resolves_less_and_says_so() -> None:
    """In proportion to the spread of its trials."""
    quiet = noise.noise(_run(_noisy(0.002, 8, 1), _noisy(0.002, 8, 2)))
    loud = noise.noise(_run(_noisy(0.02, 8, 1), _noisy(0.02, 8, 2)))
    assert isinstance(quiet, noise.Noise)
    assert isinstance(loud, noise.Noise)
    assert math.log1p(loud.resolves) == pytest.approx(10 * math.log1p(quiet.resolves), rel=1e-6)
    assert loud.ab_resolves < loud.resolves
    words = noise.sentence(loud)
    assert words.startswith("this run resolves differences of ")
    assert "8 trials each" in words
    assert "dlbench ab would resolve" in words


def test_what_it_resolves_is_found() -> None:
    """Differences as large as stated lead to an interval without 1 in at least 95 of 100 runs."""
    found = 0
    for seed in range(200):
        said = noise.noise(_run(_noisy(0.02, 8, 2 * seed), _noisy(0.02, 8, 2 * seed + 1)))
        assert isinstance(said, noise.Noise)
        slower_s = 0.01 * (1 + said.resolves)
        level = stats.paid_level(3)
        estimate = stats.paired_ratio(
            _noisy(0.02, 8, 9000 + seed), _noisy(0.02, 8, 5000 + seed, slower_s), level
        )
        found += estimate.interval is not None and estimate.interval.high < 1
    assert found / 200 >= 0.95


def test_one_trial_resolves_nothing_that_is_known() -> None:
    """Absent with a reason; never zero."""
    found = noise.noise(_run([0.01], [0.02]))
    assert isinstance(found, Absent)
    assert "no case has two trials" in noise.sentence(found)
    assert noise.plain(found)["kind"] == "absent"


def test_the_sentinels_movement_is_told() -> None:
    """From all trials of its case, with its interval."""
    watched = builders.result(A, [0.01, 0.0102, 0.0101, 0.0103])
    found = noise.noise(builders.run([watched, builders.result(B, [0.01] * 3)]))
    assert isinstance(found, noise.Noise)
    assert isinstance(found.sentinel_moved, Absent)
    trials = tuple(replace(t, role="sentinel") for t in watched.trials[::2])
    mixed = replace(watched, trials=trials + watched.trials[1::2])
    found = noise.noise(builders.run([mixed, builders.result(B, [0.01] * 3)]))
    assert isinstance(found, noise.Noise)
    assert isinstance(found.sentinel_moved, Estimated)
    assert found.sentinel_moved.value == pytest.approx(0.0239, abs=1e-4)
    assert "the sentinel's time moved by +2.4 % [-3.0 %, +8.1 %]" in noise.sentence(found)


@pytest.mark.parametrize(("df", "factor"), [(2, 4.415), (4, 2.372), (10, 1.593)])
def test_the_spreads_upper_bound_is_that_of_chi_squared(df: int, factor: float) -> None:
    """sqrt(df / chi2(5 %, df)), as tables have it."""
    assert noise._upper_factor(df) == pytest.approx(factor, rel=0.001)


@pytest.mark.parametrize("slower", [3.0, 10.0])
def test_two_trials_far_apart_resolve_nothing_and_are_told(slower: float) -> None:
    """A session whose budget ended after two rounds on a busy machine: a sentence, no overflow."""
    profile = replace(builders.PROFILE, looks=(3, 5, 8, 16, 32, 64))
    run = _run([0.01, 0.01 * slower], [])
    said = noise.noise(replace(run, plan=replace(run.plan, profile=profile)))
    assert noise.sentence(said).startswith("this run resolves no difference (2 trials each")
    assert math.isfinite(noise.plain(said)["resolves"])
