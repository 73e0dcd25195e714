"""What a pool of promo codes lacks and which alerts are due, judged without a database. Source: TU-01, TU-03, TU-05."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.promo_codes.shortage import (
    LOW_STOCK,
    RUNS_OUT_SOON,
    Due,
    Pool,
    Shortage,
    Stock,
    batches,
    due_alerts,
    find_shortage,
    part_of,
)

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POOL = Pool(
    system_id="summer",
    name="Summer",
    state="active",
    multi_use=False,
    fill_method="generate",
    format="tiny",
    quantity=10,
    auto_generate=True,
    notify_below=3,
    lead_hours=48,
    level=5,
)
TOMORROW = NOW + timedelta(hours=24)


def test_tu01_a_stock_at_its_level_lacks_nothing_and_one_below_is_filled_to_it():
    assert find_shortage(POOL, Stock(5), NOW) is None
    assert find_shortage(POOL, Stock(4), NOW) == Shortage(5, "4 available, below 5")
    assert find_shortage(POOL, Stock(0), NOW) == Shortage(5, "no code is available")


def test_tu05_a_run_out_within_the_lead_is_a_shortage_that_reaches_beyond_it():
    near = Stock(20, daily=20.0, runs_out_at=TOMORROW)
    assert find_shortage(POOL, near, NOW) == Shortage(
        41, "predicted to run out at 2026-03-02 12:00 UTC, within 48 hours"
    )
    assert find_shortage(replace(POOL, lead_hours=23), near, NOW) is None
    assert find_shortage(replace(POOL, lead_hours=None), near, NOW) is None
    assert find_shortage(POOL, replace(near, runs_out_at=None), NOW) is None


def test_the_predicted_run_out_is_written_in_utc_whatever_the_zone_of_the_session():
    elsewhere = TOMORROW.astimezone(tz=None)
    shortage = find_shortage(POOL, Stock(20, daily=20.0, runs_out_at=elsewhere), NOW)
    assert shortage is not None
    assert "2026-03-02 12:00 UTC" in shortage.reason


@pytest.mark.parametrize(("available", "target", "codes"), [(4, 5, 10), (0, 10, 10), (0, 11, 20)])
def test_tu01_whole_batches_are_generated(available, target, codes):
    assert batches(POOL, Stock(available), Shortage(target, "")) == codes


@pytest.mark.parametrize(("wanted", "most", "part"), [(40, 100, 40), (40, 25, 20), (40, 7, 7)])
def test_pp02_one_transaction_generates_whole_batches_up_to_the_limit(wanted, most, part):
    assert part_of(wanted, POOL, most) == part


def test_tu03_alerts_are_due_below_the_level_of_notice_and_before_the_run_out():
    low = Stock(2, daily=2.0, runs_out_at=TOMORROW)
    assert due_alerts(POOL, low, NOW) == {LOW_STOCK: Due(level=3), RUNS_OUT_SOON: Due(runs_out_at=TOMORROW)}
    assert due_alerts(POOL, Stock(3), NOW) == {}
    assert due_alerts(replace(POOL, state="draft"), low, NOW) == {}
    assert due_alerts(replace(POOL, multi_use=True), low, NOW) == {}


def test_tu03_a_pool_that_is_only_being_filled_has_fallen_below_nothing():
    uploads = replace(POOL, fill_method="upload", auto_generate=False, lead_hours=None)
    assert due_alerts(uploads, Stock(2, has_shrunk=False), NOW) == {}
    assert due_alerts(uploads, Stock(2, has_shrunk=True), NOW) == {LOW_STOCK: Due(level=3)}
