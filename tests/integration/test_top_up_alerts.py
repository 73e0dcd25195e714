"""Alerts to the staff that pools of promo codes run low. Source: TU-02, TU-03, TU-05."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from include.promo_codes.alerts import send_alerts
from include.promo_codes.shortage import Pool, due_alerts
from include.promo_codes.top_up import review_pools, top_up_pool
from tests.integration.top_ups import UPLOAD, add_codes, add_pool, alerts, issue, issued_in_the_past, stock_of

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(minutes=5)


@pytest.fixture
def runtime(site):
    return site.runtime


@pytest.fixture
def engine(warehouse):
    """The owner's, for what tests arrange and look at."""
    return warehouse.owner


def needs(engine, later=timedelta(0)):
    return {need.pool: need.reason for need in review_pools(engine, datetime.now(UTC) + later)}


def clock():
    return NOW


def send_all(engine, pool):
    """Send the unsent alerts; return them and how many stayed unsent."""
    sent = []
    unsent = send_alerts(engine, pool, lambda alert: sent.append(alert) or True, clock)
    return sent, unsent


@pytest.fixture
def uploads(engine):
    """An upload pool with ten codes of which staff want to hear below five."""
    with engine.begin() as connection:
        name = add_pool(connection, "uploads", **UPLOAD | {"name": "Uploads", "notify_below": 5})
        add_codes(connection, name, 10)
    return name


def test_tu03_a_crossing_is_reported_once_and_again_only_after_recovery(engine, runtime, uploads):
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        issue(connection, uploads, 5)
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        issue(connection, uploads)
    assert needs(runtime.engine) == {uploads: "low_stock is to be reported"}
    assert top_up_pool(runtime, uploads).raised == ("low_stock",)
    ((alert,), unsent) = send_all(runtime.engine, uploads)
    assert (alert.pool, alert.pool_name, alert.kind, alert.available, alert.level, unsent) == (
        "uploads", "Uploads", "low_stock", 4, 5, 0,
    )  # fmt: skip
    for _ in range(3):  # still below: nothing more is said
        with engine.begin() as connection:
            issue(connection, uploads)
        assert needs(runtime.engine) == {}
        assert top_up_pool(runtime, uploads).raised == ()
        assert send_all(runtime.engine, uploads) == ([], 0)
    with engine.begin() as connection:
        add_codes(connection, uploads, 4, prefix="MORE")
    assert needs(runtime.engine) == {uploads: "low_stock is over"}
    assert top_up_pool(runtime, uploads).recovered == ("low_stock",)
    assert needs(runtime.engine) == {}
    with engine.begin() as connection:
        issue(connection, uploads)
    assert top_up_pool(runtime, uploads).raised == ("low_stock",)
    assert len(send_all(runtime.engine, uploads)[0]) == 1
    with engine.connect() as connection:
        assert alerts(connection, uploads) == [("low_stock", True, True), ("low_stock", True, False)]


def test_tu03_uploaded_codes_are_never_generated(engine, runtime, uploads):
    with engine.begin() as connection:
        issue(connection, uploads, 10)
    done = top_up_pool(runtime, uploads)
    assert (done.reason, done.added, done.available) == (None, 0, 0)


@pytest.mark.parametrize("changes", [{"notify_below": None}, {"state": "draft"}, {"notify_below": 0}])
def test_tu03_without_a_level_or_a_launch_nothing_is_reported(engine, runtime, changes):
    with engine.begin() as connection:
        name = add_pool(connection, "quiet", **UPLOAD | {"notify_below": 5} | changes)
        add_codes(connection, name, 1)
        connection.execute(text("UPDATE loyalty.promo_code SET issued_at = now()"))
    assert needs(runtime.engine) == {}
    assert top_up_pool(runtime, name).raised == ()
    with engine.connect() as connection:
        assert alerts(connection, name) == []


@pytest.mark.parametrize("changes", [UPLOAD, {"auto_generate": False}], ids=["by upload", "by the form"])
def test_tu03_a_pool_that_is_being_set_up_has_crossed_no_level(engine, runtime, changes):
    """Empty, or with its first few codes, it was never above its level; the first code that goes out is a crossing."""
    with engine.begin() as connection:
        name = add_pool(connection, **changes | {"notify_below": 5})
    for codes in ((), ("A", "B"), ("C",)):
        with engine.begin() as connection:
            origin = "import_job_id" if changes == UPLOAD else "generation_id"
            insert = f"INSERT INTO loyalty.promo_code (code, pool_system_id, {origin}) VALUES (:code, :pool, 1)"
            for code in codes:
                connection.execute(text(insert), {"code": code, "pool": name})
        assert needs(runtime.engine, TICK * 3) == {}
        assert top_up_pool(runtime, name).raised == ()
        assert send_all(runtime.engine, name) == ([], 0)
    with engine.begin() as connection:
        issue(connection, name)
    assert needs(runtime.engine) == {name: "low_stock is to be reported"}
    assert top_up_pool(runtime, name).raised == ("low_stock",)
    ((alert,), _) = send_all(runtime.engine, name)
    assert (alert.kind, alert.available, alert.level) == ("low_stock", 2, 5)


@pytest.mark.parametrize(
    "loss",
    [
        "UPDATE loyalty.promo_code SET used_at = now() WHERE code = 'UPset_up-1'",
        "UPDATE loyalty.promo_code SET issue_end = now() WHERE code = 'UPset_up-1'",
        "UPDATE loyalty.promo_code SET available_till = now() WHERE code = 'UPset_up-1'",
    ],
)
def test_tu03_a_code_that_is_used_or_whose_time_is_over_has_left_the_stock(engine, runtime, loss):
    with engine.begin() as connection:
        name = add_pool(connection, "set_up", **UPLOAD | {"notify_below": 5})
        add_codes(connection, name, 5)
    assert top_up_pool(runtime, name).raised == ()
    with engine.begin() as connection:
        connection.execute(text(loss))
    assert top_up_pool(runtime, name).raised == ("low_stock",)


def test_tu03_the_level_is_judged_after_the_top_up(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, notify_below=8, quantity=10)
        few = add_pool(connection, "few", notify_below=8, top_up_threshold=2, quantity=2)
    assert needs(runtime.engine) == {name: "no code is available", few: "no code is available"}
    assert top_up_pool(runtime, name).raised == ()
    done = top_up_pool(runtime, few)
    assert (done.available, done.raised) == (2, ("low_stock",))


def test_tu03_a_level_that_is_taken_away_ends_the_alert(engine, runtime, uploads):
    with engine.begin() as connection:
        issue(connection, uploads, 6)
    top_up_pool(runtime, uploads)
    with engine.begin() as connection:
        connection.execute(text("UPDATE loyalty.promo_code_pool SET notify_below = NULL"))
    assert needs(runtime.engine) == {uploads: "low_stock is over"}
    assert top_up_pool(runtime, uploads).recovered == ("low_stock",)


def test_tu03_codes_that_are_scheduled_count_and_those_past_their_window_do_not(engine, runtime):
    now = datetime.now(UTC)
    with engine.begin() as connection:
        name = add_pool(connection, "windows", **UPLOAD | {"notify_below": 5})
        add_codes(connection, name, 5, prefix="LATER", issue_start=now + timedelta(days=9))
        add_codes(connection, name, 5, prefix="PAST", issue_end=now - timedelta(days=1))
    assert top_up_pool(runtime, name).raised == ()
    with engine.begin() as connection:
        connection.execute(text("UPDATE loyalty.promo_code SET issued_at = now() WHERE code = 'LATERwindows-1'"))
    assert top_up_pool(runtime, name).raised == ("low_stock",)


# -- mails


def test_tu03_a_mail_that_could_not_be_sent_is_sent_the_next_time(engine, runtime, uploads):
    with engine.begin() as connection:
        issue(connection, uploads, 6)
    top_up_pool(runtime, uploads)
    assert send_alerts(runtime.engine, uploads, lambda alert: False, clock) == 1
    assert needs(runtime.engine) == {uploads: "low_stock is to be reported"}
    assert top_up_pool(runtime, uploads).raised == ()
    sent, unsent = send_all(runtime.engine, uploads)
    assert ([alert.kind for alert in sent], unsent) == (["low_stock"], 0)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT sent_at FROM ledger.promo_code_alert")).scalars().all() == [NOW]


def test_what_is_over_before_it_was_reported_is_reported_no_more(engine, runtime, uploads):
    with engine.begin() as connection:
        issue(connection, uploads, 6)
    top_up_pool(runtime, uploads)
    with engine.begin() as connection:
        add_codes(connection, uploads, 4, prefix="MORE")
    top_up_pool(runtime, uploads)
    assert send_all(runtime.engine, uploads) == ([], 0)


def test_tu03_two_who_send_at_once_send_one_mail(engine, runtime, uploads):
    with engine.begin() as connection:
        issue(connection, uploads, 6)
    top_up_pool(runtime, uploads)
    is_sending, may_go_on = threading.Event(), threading.Event()
    sent = []

    def send_slowly(alert):
        is_sending.set()
        assert may_go_on.wait(20)
        sent.append(alert.id)
        return True

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(send_alerts, engine, uploads, send_slowly, clock)
        assert is_sending.wait(10)
        assert send_all(runtime.engine, uploads) == ([], 0)
        may_go_on.set()
        assert first.result(20) == 0
    assert len(sent) == 1


def test_tu03_a_crossing_that_many_see_at_once_is_one_alert(engine, runtime, uploads):
    with engine.begin() as connection:
        issue(connection, uploads, 6)
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: top_up_pool(runtime, uploads), range(4)))
    assert sorted(result.raised for result in done) == [(), (), (), ("low_stock",)]


# -- forecast


def test_tu05_a_pool_that_can_not_be_topped_up_is_announced_before_it_runs_out(engine, runtime):
    with engine.begin() as connection:
        name = add_pool(connection, "uploads", **UPLOAD | {"lead_hours": 72})
        add_codes(connection, name, 60)
        issued_in_the_past(connection, name, days=4, daily=10)  # 20 are left: two days
    assert needs(runtime.engine) == {name: "runs_out_soon is to be reported"}
    assert top_up_pool(runtime, name).raised == ("runs_out_soon",)
    ((alert,), _) = send_all(runtime.engine, name)
    assert alert.available == 20
    expected = datetime.now(UTC) + timedelta(days=2)
    assert abs(alert.runs_out_at - expected) < timedelta(minutes=1)
    with engine.connect() as connection:
        shown = connection.execute(text("SELECT runs_out_at FROM loyalty.promo_code_stock")).scalar_one()
    assert abs(shown - expected) < timedelta(minutes=1)
    assert needs(runtime.engine, TICK) == {}
    with engine.begin() as connection:
        add_codes(connection, name, 20, prefix="MORE")
    assert needs(runtime.engine, TICK) == {name: "runs_out_soon is over"}
    assert top_up_pool(runtime, name).recovered == ("runs_out_soon",)


@pytest.mark.parametrize(("there", "kinds"), [(100, []), (30, ["runs_out_soon"]), (4, ["low_stock", "runs_out_soon"])])
def test_level_and_forecast_are_distinguished(engine, there, kinds):
    """Source: TU-03, TU-05."""
    pool = Pool("p", "P", "active", False, "upload", None, None, False, 5, 72, level=5)
    stock = stock_of(engine, there, 10, NOW)
    assert sorted(due_alerts(pool, stock, NOW)) == kinds
    assert due_alerts(replace(pool, multi_use=True), stock, NOW) == {}
    assert due_alerts(replace(pool, state="draft"), stock, NOW) == {}
