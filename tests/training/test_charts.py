from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.training.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    SMALLEST,
    TOP,
    Axis,
    Chart,
    Line,
    Mark,
    log_ticks,
    round_ticks,
    spanning,
    svg,
)

SVG = "{http://www.w3.org/2000/svg}"


def chart(*points: tuple[float, float], across: Axis | None = None, marks: tuple[Mark, ...] = ()) -> Chart:
    return Chart(
        "one", "<Loss>", "falls", across or Axis("epoch", 0, 10), Axis("loss", 0, 1), (Line("a&b", "valid", points),), marks
    )


def drawn_points(text: str) -> list[tuple[float, float]]:
    line = ElementTree.fromstring(text).find(f".//{SVG}polyline")
    assert line is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def test_counts_have_no_halves() -> None:
    assert [text for _, text in Axis("epoch", 0.5, 2.5, is_whole=True).ticks] == ["1", "2"]
    assert [text for _, text in Axis("epoch", 0.5, 2.5).ticks] == ["0.5", "1", "1.5", "2", "2.5"]


def test_points_lie_where_their_values_are() -> None:
    assert drawn_points(svg(chart((0, 0), (5, 0.5), (10, 1)))) == [
        (LEFT, BOTTOM), ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP)
    ]  # fmt: skip


def test_a_log_axis_puts_equal_factors_at_equal_distances() -> None:
    points = drawn_points(svg(chart((1e-6, 0), (1e-3, 0), (1, 0), across=Axis("rate", 1e-6, 1, is_log=True))))
    assert [x for x, _ in points] == pytest.approx([LEFT, (LEFT + RIGHT) / 2, RIGHT])


def test_what_is_not_finite_or_not_above_zero_on_a_log_axis_is_left_out() -> None:
    assert len(drawn_points(svg(chart((1, 0.5), (2, math.nan), (3, math.inf), (4, 0.5))))) == 2
    rates = Axis("rate", 0.1, 1, is_log=True)
    assert len(drawn_points(svg(chart((0, 0.5), (-1, 0.5), (1, 0.5), across=rates)))) == 1


def test_names_are_escaped_and_marks_are_named() -> None:
    root = ElementTree.fromstring(svg(chart((1, 0.5), marks=(Mark("best: epoch 3", (3, 0.2)), Mark("lost", (3, math.nan))))))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"<Loss>", "a&b", "best: epoch 3", "epoch", "0.6"} <= set(texts)
    assert "lost" not in texts
    assert root.attrib["role"] == "img"
    assert root.find(f"{SVG}desc").text == "falls"


@pytest.mark.parametrize(
    ("lo", "hi", "wanted"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0.5, 10.5, (2, 4, 6, 8, 10)),
        (0.912, 0.948, (0.92, 0.93, 0.94)),
        (-3, 3, (-2, 0, 2)),
        (0.5, 1.5, (0.6, 0.8, 1, 1.2, 1.4)),
    ],
)
def test_ticks_are_round(lo: float, hi: float, wanted: tuple[float, ...]) -> None:
    assert round_ticks(lo, hi) == wanted


def test_ticks_of_a_log_axis_are_powers_of_ten() -> None:
    assert log_ticks(1e-6, 10) == pytest.approx((1e-6, 1e-4, 1e-2, 1))
    assert log_ticks(1e-3, 0.1) == pytest.approx((1e-3, 1e-2, 1e-1))
    assert log_ticks(0.015, 0.06) == pytest.approx((0.02, 0.05))


def test_an_axis_of_one_value_or_none_still_has_a_length() -> None:
    for values in ([], [0.0], [3.0, 3.0], [math.nan]):
        axis = spanning(values, name="loss")
        assert axis.lo < axis.hi
        assert axis.ticks
    assert spanning([0.01], name="rate", is_log=True).ticks


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30), st.booleans())
def test_any_values_can_be_drawn(values: list[float], is_log: bool) -> None:
    axis = spanning(values, name="x", is_log=is_log)
    drawn = drawn_points(svg(chart(*((value, 0.5) for value in values), across=axis)))
    assert len(drawn) == sum(value >= SMALLEST or not is_log for value in values)
    assert all(LEFT <= x <= RIGHT for x, _ in drawn)
    assert len(axis.ticks) <= 16
