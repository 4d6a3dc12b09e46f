"""Drawing: scales that hold what they are given, round ticks, escaped words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from dlbench.report import svg

numbers = st.floats(min_value=1e-9, max_value=1e15)


@given(st.lists(numbers, min_size=1, max_size=20), st.booleans())
def test_a_scale_holds_all_its_values_in_order(values: list[float], log: bool) -> None:
    """Every value is between 0 and 100 per cent, and a larger one never lies before a smaller."""
    scale = svg.around(values, log=log)
    places = [scale.at(v) for v in sorted(values)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 100


@given(numbers)
def test_bars_begin_at_zero(value: float) -> None:
    """Half the number is half the bar."""
    scale = svg.from_zero([value])
    assert scale.at(0) == 0
    assert scale.at(value / 2) == pytest.approx(scale.at(value) / 2, abs=0.01)


@given(numbers, st.floats(min_value=1.01, max_value=1e6), st.booleans())
def test_ticks_are_inside_and_few(low: float, factor: float, log: bool) -> None:
    """Between two and a dozen, in rising order."""
    scale = svg.Scale(low=low, high=low * factor, log=log)
    ticks = scale.ticks()
    assert ticks == sorted(ticks)
    assert len(ticks) <= 14
    assert all(low * 0.999 <= t <= low * factor * 1.001 for t in ticks)


def test_ticks_are_round() -> None:
    """In decimal units, in decades, and in binary units where the scale says so."""
    assert svg.Scale(low=0, high=47).ticks() == [0, 10, 20, 30, 40]
    assert svg.Scale(low=1, high=1000, log=True).ticks() == [1, 10, 100, 1000]
    assert svg.Scale(low=0, high=3000, unit=1024).ticks(3) == [0, 1024, 2048]


def test_one_value_has_a_scale_too() -> None:
    """No division by a span of zero."""
    assert svg.around([5.0]).at(5.0) == 50
    assert svg.Scale(low=1, high=1).at(1) == 50


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "50 ms"), (2.5, "2.5 s"), (1e-5, "10 us"), (0.001, "1 ms")],
)
def test_ticks_of_time(value: float, text: str) -> None:
    """In the unit that suits them, without trailing zeros."""
    assert svg.seconds(value) == text


def test_words_are_escaped_and_numbers_are_numbers() -> None:
    """A title cannot leave its element, an alternative cannot leave its attribute."""
    bad = "\"><script>'</script>"
    drawn = svg.point(10, 20, colour=1, title=bad, rows="3") + svg.plot(
        svg.path([(0, 0), (50, 100)], colour=0),
        svg.Axis(scale=svg.Scale(low=0, high=1), title=bad),
        svg.Axis(scale=svg.Scale(low=0, high=1), title=bad),
        bad,
        figure=Markup(),
    )
    assert "<script" not in drawn
    assert 'd="M0 1000L500 0"' in drawn


def test_a_step_goes_right_before_it_goes_up() -> None:
    """So does a distribution of queries: nothing is answered before it is."""
    assert 'd="M0 1000H500V500H1000V0"' in svg.path(
        [(0, 0), (50, 50), (100, 100)], colour=0, steps=True
    )


def test_a_missing_number_has_no_bar() -> None:
    """Nothing that could be read as zero."""
    assert "fill" not in svg.no_bar()
    assert "absent" in svg.no_bar()


@pytest.mark.parametrize(
    ("value", "text"), [(0.03, "30 ms"), (600.0, "10 min"), (10800.0, "3 h"), (3 * 86400.0, "3 d")]
)
def test_long_times_are_those_that_people_name(value: float, text: str) -> None:
    """Ten minutes rather than 1,000 seconds."""
    assert svg.time(value) == text


def test_ticks_of_time_are_few_and_inside() -> None:
    """Over any span from microseconds to a year."""
    for low, high in ((1e-3, 0.2), (1.0, 1e5), (1e-6, 3e7), (5000.0, 6000.0)):
        axis = svg.Axis(scale=svg.Scale(low=low, high=high, log=True), title="t", times=True)
        ticks = axis.ticks()
        assert 1 <= len(ticks) <= 8
        assert all(low <= t <= high for t in ticks)
