"""Cron expressions of the setting `release`: one that never comes is refused, any other always comes. Source: X-11."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.errors import ConfigurationError, SettingsError
from include.settings.files import read_settings
from include.values.cron import LAST_RELEASE, check_cron, next_release
from tests.settings import load_defaults, resolve

pytestmark = pytest.mark.unit

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
IMPOSSIBLE = (
    "0 0 30 2 *",
    "0 0 31 4,6,9,11 *",
    "0 0 31 2 *",
    "5-10 */2 30,31 2-2 *",
    "0 0 31 11,9/2 *",
    "* * 30/1 2 *",
    "0 0 30-31 02 *",
)


def pieces(low: int, high: int) -> st.SearchStrategy[str]:
    """One piece of a field, without ranges of one number: croniter takes `5-5` for `*`."""
    ends = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    ranges = ends.filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}")
    starts = st.one_of(st.just("*"), ranges, st.integers(low, high).map(str))
    return st.one_of(starts, st.tuples(starts, st.integers(1, 40)).map(lambda parts: f"{parts[0]}/{parts[1]}"))


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), st.lists(pieces(low, high), min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(*(fields(*bounds) for bounds in FIELDS)).map(" ".join)
RARE = st.tuples(
    st.integers(0, 59).map(str), st.integers(0, 23).map(str), st.sampled_from(["29", "30", "31", "29-31", "29,30"]),
    st.sampled_from(["2", "2,4", "4,6,9,11", "*/2", "2/12"]), st.sampled_from(["*", "*/2", "1-7", "0"]),
).map(" ".join)  # fmt: skip
MOMENTS = st.datetimes(timezones=st.just(UTC))


def is_possible(expression: str) -> bool:
    try:
        check_cron(expression)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("expression", IMPOSSIBLE)
def test_x11_an_expression_that_never_comes_is_a_mistake_with_key_and_line(expression: str, tmp_path) -> None:
    sidecar = read_settings(f"review: true\nrelease: '{expression}'\n", "cards.csv.settings.yaml")
    with pytest.raises(SettingsError) as caught:
        resolve("gift_cards", sidecar=sidecar)
    assert caught.value.message == (
        f"cards.csv.settings.yaml: line 2, release: '{expression}' never comes: none of its months has such a day."
    )
    defaults = tmp_path / "imports.yaml"
    defaults.write_text(f"gift_cards:\n  defaults:\n    release: '{expression}'\n")
    with pytest.raises(ConfigurationError, match=r"line 3, gift_cards\.defaults\.release: .* never comes"):
        load_defaults(defaults)


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 0 31 2,3 *", "0 0 30 2 1", "0 0 31 4 */2", "0 0 30 2,12 *"])
def test_x11_an_expression_that_comes_seldom_is_none(expression: str) -> None:
    assert check_cron(expression) == expression


@hypothesis_settings(max_examples=500, deadline=None)
@given(st.one_of(EXPRESSIONS, RARE), MOMENTS)
@example("59 23 29 2 *", datetime(1, 1, 1, tzinfo=UTC))
@example("59 23 29 2 *", datetime(1896, 2, 29, 23, 59, tzinfo=UTC))
@example("0 0 29 2 *", datetime(9996, 2, 29, 0, 0, tzinfo=UTC))
@example("* * * * *", datetime.max.replace(tzinfo=UTC))
@example("* * * * *", LAST_RELEASE - timedelta(microseconds=1))
def test_x11_every_accepted_expression_has_a_next_time_from_any_moment(expression: str, after: datetime) -> None:
    if not is_possible(expression):
        return
    moment = next_release(check_cron(expression), after)
    assert moment.tzinfo is UTC
    assert moment > after or moment == LAST_RELEASE
    assert moment + timedelta(minutes=24 * 60) > moment, "the minutes of `after` are added to it"
    assert next_release(expression, moment - timedelta(minutes=1)) == moment, "it is itself a time of the expression"


@hypothesis_settings(max_examples=500, deadline=None)
@given(st.one_of(EXPRESSIONS, RARE), st.datetimes(datetime(1971, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC)))
def test_x11_the_next_time_is_that_of_airflows_own_reader_of_cron(expression: str, after: datetime) -> None:
    try:
        expected = croniter(expression, after).get_next(datetime)
    except Exception as error:
        expected = type(error).__name__
    if is_possible(expression):
        assert next_release(check_cron(expression), after) == expected
    else:
        assert expected == "CroniterBadDateError"


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "59 23 29 2 */3", "59 23 31 12 *", "* * * * *"])
@pytest.mark.parametrize("year", [1, 1896, 2026, 2097, 9996])
def test_x11_a_next_time_is_found_within_ten_milliseconds(expression: str, year: int) -> None:
    next_release(expression, datetime(2026, 1, 1, tzinfo=UTC))
    rounds = 20
    started = time.process_time()
    for _ in range(rounds):
        next_release(expression, datetime(year, 3, 1, tzinfo=UTC))
    assert (time.process_time() - started) / rounds < 0.01
