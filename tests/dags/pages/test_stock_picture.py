"""Where the picture of a pool's stock puts its lines and labels."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.promo_codes.stock.course import Day
from loyalty_airflow.pages.stock_picture import HEIGHT, LABEL_HEIGHT, LEFT, WIDTH, Picture, draw

pytestmark = pytest.mark.dags

TODAY = date(2024, 6, 30)


def days(*stock: int) -> list[Day]:
    return [Day(TODAY - timedelta(days=len(stock) - 1 - number), value) for number, value in enumerate(stock)]


def points(text: str) -> list[tuple[float, float]]:
    pairs = [point.split(",") for point in text.split()]
    return [(float(x), float(y)) for x, y in pairs]


def at(days_ahead: float) -> datetime:
    return datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC) + timedelta(days=1 + days_ahead)


@given(
    stock=st.lists(st.integers(0, 10**12), min_size=1, max_size=90),
    threshold=st.none() | st.integers(0, 2**63 - 1),
    notify=st.none() | st.integers(0, 2**63 - 1),
    ahead=st.none() | st.floats(-5, 40_000),
)
def test_everything_is_within_the_picture(
    stock: list[int], threshold: int | None, notify: int | None, ahead: float | None
) -> None:
    picture = draw(
        days(*stock), {"top-up threshold": threshold, "notify below": notify}, None if ahead is None else at(ahead)
    )
    places = points(picture.line) + points(picture.area) + points(picture.forecast)
    places += [(label.x, label.y) for label in picture.values + picture.days + picture.additions]
    places += [(level.label.x, level.y) for level in picture.levels]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert all(len(label.text) <= 11 for label in picture.values)
    assert len(picture.levels) == (threshold is not None) + (notify is not None)


def test_labels_of_levels_that_are_close_keep_clear_of_one_another() -> None:
    for pair in ((100, 100), (100, 99), (100, 50)):
        upper, lower = draw(days(5, 100), {"top-up threshold": pair[0], "notify below": pair[1]}, None).levels
        assert lower.label.y - upper.label.y >= LABEL_HEIGHT
        assert (upper.y == lower.y) == (pair[0] == pair[1])


def test_the_line_ends_today_and_the_forecast_at_the_run_out() -> None:
    near, far, none = (draw(days(30, 20, 10), {}, None if ahead is None else at(ahead)) for ahead in (2, 31, None))
    assert points(near.line)[0][0] == LEFT
    assert points(near.forecast)[0] == points(near.line)[-1]
    assert points(near.forecast)[1] == (last_x(far), near.zero)
    assert (far.forecast, none.forecast) == ("", "")


def test_a_pool_of_one_day_has_a_line() -> None:
    first, last = points(draw(days(7), {}, None).line)
    assert (first[0], last[0]) == (LEFT, last_x(draw(days(7, 7), {}, None)))
    assert first[1] == last[1]


def last_x(picture: Picture) -> float:
    return points(picture.line)[-1][0]
