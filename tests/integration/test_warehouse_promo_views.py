"""What the views show of pools: stock, consumption, predicted run-out, history of uploads and generations."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.integration.code_pools import FUTURE, PAST, activate, add_codes, add_pool, issue, number_codes, stock

pytestmark = pytest.mark.integration


@pytest.fixture
def connection(warehouse_of_module):
    """One transaction, rolled back at the end."""
    with warehouse_of_module.owner.connect() as connection:
        yield connection


def run(connection, statement, **values):
    return connection.execute(text(statement), values)


COUNTS = ("available", "scheduled", "issued", "used", "expired")


def test_tu01_the_stock_of_a_pool(connection):
    add_pool(connection, name="Summer sale", format="summer", quantity=9, auto_generate=True, lead_hours=5)
    add_pool(connection, "empty", state="draft")
    add_codes(connection, "now", "now too")
    add_codes(connection, "open", issue_start=PAST, issue_end=FUTURE)
    add_codes(connection, "scheduled", issue_start=FUTURE)
    add_codes(connection, "over", "over too", "over three", issue_end=PAST)
    add_codes(connection, "issued", "issued and over", issued_at=PAST, issue_end=PAST.replace(year=2021))
    add_codes(connection, "issued and used", issued_at=PAST, used_at=PAST)
    add_codes(connection, "used", "used too", used_at=PAST)
    row = stock(connection)
    assert tuple(row[name] for name in COUNTS) == (4, 1, 3, 3, 3)
    assert {name: row[name] for name in ("pool_name", "state", "fill_method", "format", "quantity", "auto_generate",
                                         "multi_use", "lead_hours")} == {
        "pool_name": "Summer sale", "state": "active", "fill_method": "upload", "format": "summer", "quantity": 9,
        "auto_generate": True, "multi_use": False, "lead_hours": 5,
    }  # fmt: skip
    empty = stock(connection, "empty")
    assert tuple(empty[name] for name in COUNTS) == (0, 0, 0, 0, 0)
    assert (empty["daily_consumption"], empty["runs_out_at"], empty["fill_method"]) == (None, None, None)
    assert run(connection, "SELECT count(*) FROM loyalty.promo_code_stock").scalar_one() == 2


def test_codes_for_multiple_use_stay_in_stock(connection):
    add_pool(connection, multi_use=True)
    add_codes(connection, "A", "B")
    add_codes(connection, "over", issue_end=PAST)
    add_codes(connection, "scheduled", issue_start=FUTURE)
    code = issue(connection)[1]
    for _ in range(3):
        assert activate(connection, code) == "activated"
    row = stock(connection)
    assert tuple(row[name] for name in COUNTS) == (3, 1, 1, 1, 1)
    assert row["runs_out_at"] is None


@pytest.mark.parametrize(
    ("levels", "threshold"), [((None, None), None), ((5, None), 5), ((None, 3), 3), ((5, 9), 5), ((0, 9), 0)]
)
def test_tu01_the_threshold_of_a_pool(connection, levels, threshold):
    add_pool(connection, top_up_threshold=levels[0], notify_below=levels[1])
    assert stock(connection)["threshold"] == threshold


def take_over_days(connection, days):
    """Let so many codes have been taken so many days ago; half of them were activated without having been issued."""
    now = run(connection, "SELECT now()").scalar_one()
    for ago, count in days:
        names = [f"{ago} days ago {number}" for number in range(count)]
        at = now - timedelta(days=ago)
        add_codes(connection, *names[::2], issued_at=at, used_at=at + timedelta(hours=1))
        if names[1::2]:
            add_codes(connection, *names[1::2], used_at=at)
    return now


@pytest.mark.parametrize(
    ("days", "daily"),
    [
        ([], None),
        ([(1, 5), (2.9, 5)], None),
        ([(3, 6)], 2.0),
        ([(1, 4), (5, 6)], 2.0),
        ([(0.5, 3), (10, 7)], 1.0),
        ([(1, 7), (13, 7), (30, 100)], 1.0),
        ([(14.5, 100)], 0.0),
    ],
)
def test_tu05_daily_consumption_is_the_mean_of_the_last_14_days_once_there_are_3(connection, days, daily):
    add_pool(connection)
    number_codes(connection, 4)
    now = take_over_days(connection, days)
    row = stock(connection)
    if daily is None:
        assert row["daily_consumption"] is None
    else:
        assert float(row["daily_consumption"]) == pytest.approx(daily)
    if not daily:
        assert row["runs_out_at"] is None
    else:
        assert abs(row["runs_out_at"] - (now + timedelta(days=4 / daily))) < timedelta(seconds=1)


def test_tu05_a_pool_without_codes_has_run_out_now_and_one_for_centuries_has_no_date(connection):
    add_pool(connection)
    now = take_over_days(connection, [(5, 10)])
    assert stock(connection)["runs_out_at"] == now
    run(
        connection,
        "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id)"
        " SELECT 'n' || number, 'summer', 99 FROM generate_series(1, 73001) AS number",
    )
    assert stock(connection)["runs_out_at"] is None


JOB = """
    INSERT INTO ledger.import_job
        (run_key, import_type, state, launched_by, source_url, source_version, file_name, arrived_at, settings,
         refusal_message)
    VALUES (:key, :type, :state, 'Ann', 'u', :key, :key, now(), CAST(:settings AS jsonb), :refusal)
    RETURNING id
"""


def job(connection, key, state="completed", import_type="promo_codes", settings="{}", refusal=None):
    values = {"key": key, "type": import_type, "state": state, "settings": settings, "refusal": refusal}
    return run(connection, JOB, **values).scalar_one()


def test_pc06_the_history_of_a_pool_shows_uploads_and_generations_with_number_state_and_counts(connection):
    both = job(connection, "both.csv")
    refused = job(connection, "refused.csv", "refused", settings='{"pool": "summer"}', refusal="because")
    job(connection, "nowhere.csv", "refused")
    job(connection, "cards.csv", import_type="gift_cards", settings='{"pool": "summer"}')
    upload = "INSERT INTO ledger.promo_code_upload VALUES (:job, :pool, 5, 4, 3, 2)"
    run(connection, upload, job=both, pool="summer")
    run(connection, upload, job=both, pool="winter")
    generation = (
        "INSERT INTO ledger.promo_code_generation"
        " (run_key, pool_system_id, requested, reason, state, generated, added, launched_by, finished_at)"
        " VALUES ('r', 'summer', 10, 'form', 'completed', 12, 10, 'Bob', :at) RETURNING id"
    )
    at = datetime(2024, 5, 5, tzinfo=UTC)
    number = run(connection, generation, at=at).scalar_one()
    shown = run(
        connection,
        "SELECT pool_system_id, kind, number, state, launched_by, requested, added, updated, unchanged, rejected,"
        " reason, refusal_message, finished_at FROM loyalty.promo_code_pool_history"
        " ORDER BY pool_system_id, kind, number",
    )
    assert [tuple(row) for row in shown] == [
        ("summer", "generation", number, "completed", "Bob", 10, 10, None, None, None, "form", None, at),
        ("summer", "upload", both, "completed", "Ann", None, 5, 4, 3, 2, "both.csv", None, None),
        ("summer", "upload", refused, "refused", "Ann", None, None, None, None, None, "refused.csv", "because", None),
        ("winter", "upload", both, "completed", "Ann", None, 5, 4, 3, 2, "both.csv", None, None),
    ]


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("(run_key, pool_system_id, requested, reason, launched_by) VALUES ('r', 'p', 1, 'x', 'y')", None),
        (
            "(run_key, pool_system_id, requested, reason, launched_by, state) VALUES ('r', 'p', 1, 'x', 'y', 'lost')",
            "promo_code_generation_state_check",
        ),
        (
            "(run_key, pool_system_id, requested, reason, launched_by, state)"
            " VALUES ('r', 'p', 1, 'x', 'y', 'completed')",
            "promo_code_generation_counts_check",
        ),
        (
            "(run_key, pool_system_id, requested, reason, launched_by)"
            " VALUES ('r', 'p', 1, 'x', 'y'), ('r', 'q', 1, 'x', 'y')",
            "promo_code_generation_run_key_key",
        ),
    ],
)
def test_pg04_the_history_of_generations_is_checked(connection, statement, constraint):
    insert = f"INSERT INTO ledger.promo_code_generation {statement}"
    if constraint is None:
        run(connection, insert)
        assert run(connection, "SELECT state FROM ledger.promo_code_generation").scalar_one() == "awaiting_execution"
    else:
        with pytest.raises(Exception, match=constraint):
            run(connection, insert)


def test_tu03_a_pool_has_one_open_alert_of_a_kind(connection):
    insert = "INSERT INTO ledger.promo_code_alert (pool_system_id, kind, available) VALUES ('p', 'low_stock', 1)"
    run(connection, insert)
    with pytest.raises(Exception, match="promo_code_alert_open_key"), connection.begin_nested():
        run(connection, insert)
    run(connection, insert.replace("low_stock", "runs_out_soon"))
    run(connection, "UPDATE ledger.promo_code_alert SET recovered_at = now()")
    run(connection, insert)
