"""The page on prediction says of its goals what its printed results say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "prediction.md").read_text()
RESULTS = PAGE.split("```")[-2]

MEDIAN, MEAN, P90, INSIDE = range(1, 5)
"""Columns of the results, after the cells."""

ALL = "training, modern, one device left out"
GOALS = {
    "median of a device left out": (ALL, MEDIAN),
    "mean,": (ALL, MEAN),
    "p90,": (ALL, P90),
    "before 2022 to the newest": ("training, before 2022 -> newest", MEDIAN),
    "three pieces of work measured": ("training, 3 pieces of work measured", MEDIAN),
    "inside the 90 % interval": (ALL, INSIDE),
}
TAUS = {
    "Kendall's tau within": ("mean of 32: ", "Lambda's panel, mean of 30: ", "mean of 24: "),
    "a device left out, placed": ("  all: ", "  Lambda's panel: ", "    without (*): "),
    "Kendall's tau of one ranking": ("all, 29 devices: ", "Lambda's panel, 27 devices: ", ""),
    "regret per dollar": ("mean of 30 pieces of work: ", "", ""),
}


def row(goal: str) -> list[str]:
    """The cells of a goal's row: the goal, all panels, Lambda's, what holds."""
    (found,) = re.findall(rf"^\| {re.escape(goal)}.*$", PAGE, re.MULTILINE)
    return [x.strip() for x in str(found).strip("|").split("|")]


def numbers(text: str) -> list[float]:
    """Every number of a text."""
    return [float(x) for x in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("goal", GOALS)
def test_a_goal_s_row_has_the_figures_of_the_results(goal: str) -> None:
    """Of all panels, and of Lambda's in the line that follows."""
    line, column = GOALS[goal]
    after = RESULTS[RESULTS.index(f"\n{line}") :].splitlines()
    everything, *below = (x for x in after if x)
    lambdas = next(x for x in below if "Lambda's panel" in x)
    _, here, there, *_ = row(goal)
    # The last three figures or four of a line are its columns; what was asked for has words.
    asked = r"\s+median \d.*$"
    figures = [numbers(re.sub(asked, "", x).split("  ", 2)[-1]) for x in (everything, lambdas)]
    assert numbers(here)[0] == figures[0][column]
    assert numbers(there)[0] == figures[1][column]


@pytest.mark.parametrize("goal", TAUS)
def test_a_ranking_s_row_has_the_figures_of_the_results(goal: str) -> None:
    """Of all panels, Lambda's, and Lambda's without two models."""
    _, here, there, *_ = row(goal)
    said = [numbers(here)[0], *numbers(there)]
    for value, label in zip(said, TAUS[goal], strict=False):
        if label:
            (found,) = re.findall(rf"{re.escape(label)}([\d.]+)", RESULTS)
            assert value == float(found.rstrip("."))
