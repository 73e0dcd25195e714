"""Levels and forecast of promo code pools: the functions that signals, views, top-up and pages call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.fixture
def call(warehouse_of_module):
    """Call a function and return its value."""

    def call(expression, **values):
        with warehouse_of_module.owner.connect() as connection:
            return connection.execute(text(f"SELECT loyalty.{expression}"), values).scalar_one()

    return call


@pytest.mark.parametrize(
    ("top_up_threshold", "notify_below", "threshold", "level", "levels"),
    [
        (50, 20, 50, 50, [50, 20, 1]),
        (20, 50, 20, 20, [20, 50, 1]),
        (None, 20, 20, 20, [20, 1]),
        (0, 20, 0, 0, [0, 20, 1]),
        (None, None, None, 1, [1]),
    ],
)
def test_tu01_levels(call, top_up_threshold, notify_below, threshold, level, levels):
    values = {"top_up_threshold": top_up_threshold, "notify_below": notify_below}
    assert call("promo_code_threshold(:top_up_threshold, :notify_below)", **values) == threshold
    assert call("promo_code_level(:top_up_threshold, :notify_below)", **values) == level
    assert call("promo_code_levels(:top_up_threshold, :notify_below)", **values) == levels


def test_tu05_the_forecast_looks_14_days_back(call):
    assert call("promo_code_forecast_begin(:now)", now=NOW) == NOW - timedelta(days=14)


@pytest.mark.parametrize(
    ("takes", "first_days_ago", "counted_days", "daily"),
    [
        (30, 2.99, None, None),
        (30, 3, None, 10),
        (28, 7, None, 4),
        (28, 14, None, 2),
        (28, 100, None, 2),
        (0, 100, None, 0),
        (100, 100, 5, 20),
    ],
)
def test_tu05_consumption_is_the_mean_of_14_days_or_since_the_first_take_or_of_what_was_counted(
    call, takes, first_days_ago, counted_days, daily
):
    consumption = call(
        "promo_code_daily_consumption(:takes, :first_at, :counted_since, :now)",
        takes=takes,
        first_at=NOW - timedelta(days=first_days_ago),
        counted_since=counted_days and NOW - timedelta(days=counted_days),
        now=NOW,
    )
    assert (None if consumption is None else float(consumption)) == daily


def test_tu05_a_pool_that_nobody_has_used_has_no_consumption(call):
    assert call("promo_code_daily_consumption(0, NULL, NULL, :now)", now=NOW) is None


@pytest.mark.parametrize(
    ("multi_use", "available", "daily", "days"),
    [
        (False, 20, 10, 2),
        (False, 0, 10, 0),
        (False, 20, 0, None),
        (False, 20, None, None),
        (True, 20, 10, None),
        (False, 36_500, 1, 36_500),
        (False, 36_501, 1, None),
    ],
)
def test_tu05_the_run_out_is_where_the_rate_leads_within_100_years(call, multi_use, available, daily, days):
    values = {"multi_use": multi_use, "available": available, "daily": daily, "now": NOW}
    expected = None if days is None else NOW + timedelta(days=days)
    assert call("promo_code_run_out(:multi_use, :available, :daily, :now)", **values) == expected
