"""issue_promo_code, mark_promo_code_issued, activate_promo_code: every result, and what it leaves behind."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.integration.code_pools import (
    FUTURE,
    PAST,
    activate,
    add_codes,
    add_pool,
    code,
    from_now,
    issue,
    mark,
)

pytestmark = pytest.mark.integration

OPEN = [
    {}, {"issue_start": PAST}, {"issue_end": FUTURE}, {"issue_start": PAST, "issue_end": FUTURE},
    {"issue_start": "-infinity", "issue_end": "infinity"},
]  # fmt: skip
SHUT = [{"issue_start": FUTURE}, {"issue_end": PAST}, {"issue_start": FUTURE, "issue_end": from_now(days=400_000)}]


@pytest.fixture
def connection(warehouse_of_module):
    """One transaction in a warehouse with a pool `summer`, rolled back at the end."""
    with warehouse_of_module.owner.connect() as connection:
        add_pool(connection)
        yield connection


def left(connection, promo_code):
    """Return what is set of issue and use."""
    row = code(connection, promo_code)
    return {name for name in ("issued_at", "issued_to", "used_at", "used_by") if row[name] is not None}


def uses(connection):
    statement = text("SELECT code, customer FROM loyalty.promo_code_use ORDER BY number")
    return [tuple(row) for row in connection.execute(statement)]


# -- issue_promo_code


def test_pg05_a_code_is_issued_once(connection):
    add_codes(connection, "A", "B")
    before = from_now()
    results = [issue(connection, customer=customer) for customer in ("Ann", None, "Cid")]
    assert sorted(result[:2] for result in results[:2]) == [("issued", "A"), ("issued", "B")]
    assert results[2] == ("no_available_codes", None, None, None)
    first = code(connection, results[0][1])
    assert (first["issued_to"], first["used_at"]) == ("Ann", None)
    assert before - timedelta(seconds=5) < first["issued_at"] < from_now(seconds=5)
    assert left(connection, results[1][1]) == {"issued_at"}


def test_pg05_a_code_that_can_no_longer_be_activated_is_neither_issued_nor_in_stock(connection):
    add_codes(connection, "past", "past too", available_till=PAST)
    add_codes(connection, "late", available_till=from_now(days=9))
    add_codes(connection, "soon", issue_end=from_now(days=10), available_till=from_now(days=5))
    counted = connection.execute(text("SELECT counted_available FROM loyalty.count_promo_code_pool('summer')"))
    assert counted.scalar_one() == 2
    stock = connection.execute(text("SELECT available, expired FROM loyalty.promo_code_stock"))
    assert tuple(stock.one()) == (2, 2)
    assert [issue(connection)[:2] for _ in range(2)] == [("issued", "soon"), ("issued", "late")]
    assert issue(connection)[0] == "outside_issue_window"


@pytest.mark.parametrize(
    ("pool", "result"),
    [
        ("unknown", "pool_not_found"),
        (None, "pool_not_found"),
        ("draft", "not_active"),
        ("summer", "no_available_codes"),
    ],
)
def test_pg05_nothing_is_issued_from(connection, pool, result):
    add_pool(connection, "draft", state="draft")
    add_codes(connection, "A", pool="draft")
    assert issue(connection, pool) == (result, None, None, None)
    assert left(connection, "A") == set()


@pytest.mark.parametrize("multi_use", [False, True])
@pytest.mark.parametrize("window", OPEN)
def test_pg05_a_code_is_issued_inside_its_issue_window(connection, window, multi_use):
    add_pool(connection, "tried", multi_use=multi_use)
    add_codes(connection, "A", pool="tried", **window)
    assert issue(connection, "tried")[:2] == ("issued", "A")


@pytest.mark.parametrize("multi_use", [False, True])
@pytest.mark.parametrize("window", SHUT)
def test_pg05_a_code_is_not_issued_outside_its_issue_window(connection, window, multi_use):
    add_pool(connection, "tried", multi_use=multi_use)
    assert issue(connection, "tried")[0] == "no_available_codes"
    add_codes(connection, "A", pool="tried", **window)
    assert issue(connection, "tried") == ("outside_issue_window", None, None, None)
    assert left(connection, "A") == set()


def test_pc03_issue_windows_are_half_open(connection):
    """From their start on, and not at their end any more."""
    edge = from_now(seconds=0.4)
    add_codes(connection, "begins", issue_start=edge)
    add_codes(connection, "ends", issue_end=edge)
    assert issue(connection)[1] == "ends"
    assert issue(connection)[0] == "outside_issue_window"
    connection.execute(text("SELECT pg_sleep(0.5)"))
    add_codes(connection, "has ended", issue_end=edge)
    assert issue(connection)[1] == "begins"
    assert issue(connection)[0] == "outside_issue_window"


def test_codes_whose_window_closes_first_go_out_first_then_those_of_older_batches(connection):
    for batch, (name, end) in enumerate(
        [("later", from_now(days=2)), ("open", None), ("open too", None), ("sooner", from_now(days=1)),
         ("never", "infinity"), ("soonest", from_now(hours=1))], start=10,
    ):  # fmt: skip
        add_codes(connection, name, issue_end=end, import_job_id=batch)
    add_codes(connection, "gone", issue_end=from_now(days=-1), import_job_id=1)
    add_codes(connection, "not yet", issue_start=from_now(minutes=5), issue_end=from_now(minutes=9), import_job_id=2)
    issued = [issue(connection)[1] for _ in range(7)]
    assert issued == ["soonest", "sooner", "later", "open", "open too", "never", None]


def add_windows(connection, windows):
    """Insert codes by (code, issue_start, issue_end, available_till), all in one statement."""
    statement = text(
        """
        INSERT INTO loyalty.promo_code (code, pool_system_id, issue_start, issue_end, available_till, import_job_id)
        SELECT code, 'summer', issue_start, issue_end, available_till, 1
        FROM unnest(
            CAST(:codes AS text[]), CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]),
            CAST(:tills AS timestamptz[])
        ) AS of_file (code, issue_start, issue_end, available_till)
        """
    )
    columns = [[None if value is None else str(value) for value in column] for column in zip(*windows, strict=True)]
    connection.execute(statement, dict(zip(("codes", "starts", "ends", "tills"), columns, strict=True)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_codes_go_out_by_the_end_of_their_window_whatever_is_scheduled_before_them(connection, seed, zone):
    """Windows that close days or years apart, on the same day, at midnight and never; open, over, and yet to open."""
    dice = random.Random(seed)
    connection.execute(text("SELECT set_config('timezone', :zone, true)"), {"zone": zone})
    now = from_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)

    def some_time(*choices):
        return dice.choice([None, *choices, midnight + timedelta(days=dice.randrange(-3, 4)),
                            now + timedelta(minutes=dice.choice([-2000, -30, 30, 2000]) * dice.random())])  # fmt: skip

    windows = []
    for number in range(150):
        start, end, till = some_time(PAST), some_time(FUTURE, "infinity"), some_time(FUTURE)
        if start is None or end in (None, "infinity") or start < end:
            windows.append((f"C{number}", start, end, till))
    for part in (windows[::2], windows[1::2]):
        add_windows(connection, part)
    never = FUTURE + timedelta(days=1)
    ends = {
        code: min((moment for moment in (end, till) if moment not in (None, "infinity")), default=never)
        for code, start, end, till in windows
        if start is None or start <= now
    }
    expected = sorted(end for end in ends.values() if end > now)
    issued = []
    while (result := issue(connection))[0] == "issued":
        issued.append(result[1])
    assert [ends[code] for code in issued] == expected
    assert len(set(issued)) == len(expected) > 20
    assert result[0] == "outside_issue_window"


def test_a_code_without_a_start_goes_out_though_others_that_close_with_it_are_scheduled(connection):
    end = from_now(days=5)
    add_windows(connection, [("scheduled", from_now(days=1), end, None), ("open", None, end, None)])
    assert [issue(connection)[:2] for _ in range(2)] == [("issued", "open"), ("outside_issue_window", None)]


def test_a_scheduled_code_goes_out_from_its_start_on_and_then_before_those_that_close_later(connection):
    soon = from_now(seconds=0.4)
    add_windows(connection, [("later", None, from_now(days=9), None), ("soon", soon, from_now(days=5), None)])
    add_windows(connection, [("scheduled", from_now(days=1), from_now(days=2), None), ("open", None, None, None)])
    connection.execute(text("SELECT pg_sleep(0.5)"))
    assert [issue(connection)[1] for _ in range(4)] == ["soon", "later", "open", None]


def test_a_code_whose_window_is_changed_goes_out_by_the_new_one(connection):
    add_windows(connection, [(f"C{day}", from_now(days=day), from_now(days=day + 1), None) for day in range(1, 5)])
    assert issue(connection)[0] == "outside_issue_window"
    for change, promo_code in (("issue_start = NULL", "C3"), ("issue_start = NULL, issue_end = NULL", "C4"),
                               ("issue_start = now(), issue_end = now() + interval '400 days'", "C1")):  # fmt: skip
        connection.execute(text(f"UPDATE loyalty.promo_code SET {change} WHERE code = :code"), {"code": promo_code})
        assert issue(connection)[:2] == ("issued", promo_code)
        assert issue(connection)[0] == "outside_issue_window"


def test_pg05_scheduled_codes_of_many_windows_before_an_open_one_cost_an_issue_nothing(warehouse):
    """Of 50,000 entries before it in the index an issue reads next to none; 600 pages of the index without a bound."""
    with warehouse.owner.begin() as connection:
        add_pool(connection)
        add_codes(connection, *(f"open {number}" for number in range(20)))
        connection.execute(
            text(
                """
                INSERT INTO loyalty.promo_code (code, pool_system_id, issue_start, issue_end, import_job_id)
                SELECT 'scheduled ' || n, 'summer', now() + (1440 + n) * interval '1 minute',
                    now() + (2880 + n) * interval '1 minute', 7
                FROM generate_series(1, 50000) AS n
                """
            )
        )
    pages = text(
        """
        SELECT pg_stat_force_next_flush()::text, idx_blks_hit + idx_blks_read
        FROM pg_statio_user_indexes
        WHERE indexrelname = 'promo_code_stock_idx'
        """
    )

    def pages_read():
        with warehouse.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
            return connection.execute(pages).one()[1]

    def issue_ten():
        with warehouse.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            results = [issue(connection)[0] for _ in range(10)]
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
        return results

    assert issue_ten() == ["issued"] * 10  # the first ones mark what is dead in the index
    before = pages_read()
    assert issue_ten() == ["issued"] * 10
    assert pages_read() - before < 10 * 30


def test_codes_that_others_have_marked_or_used_are_not_issued(connection):
    add_codes(connection, "A", "B", "C")
    assert mark(connection, "A") == "issued"
    assert activate(connection, "B") == "activated"
    assert issue(connection)[:2] == ("issued", "C")
    assert issue(connection)[0] == "no_available_codes"


@pytest.mark.parametrize("days", [None, 10])
@pytest.mark.parametrize("available_till", [None, FUTURE, from_now(days=5)])
def test_pg05_issue_says_when_the_code_can_be_activated(connection, days, available_till):
    add_pool(connection, "dated", assigned_validity_days=days)
    add_codes(connection, "A", pool="dated", available_from=PAST, available_till=available_till)
    result, issued, start, end = issue(connection, "dated")
    validity_end = code(connection, "A")["issued_at"] + timedelta(days=days) if days else None
    expected = min(filter(None, (available_till, validity_end)), default=None)
    assert (result, issued, start, end) == ("issued", "A", PAST, expected)


def test_a_validity_of_days_is_that_many_times_24_hours_in_any_time_zone(connection):
    connection.execute(text("SELECT set_config('timezone', 'America/New_York', true)"))
    add_pool(connection, "dated", assigned_validity_days=365)
    add_codes(connection, "A", pool="dated")
    end = issue(connection, "dated")[3]
    assert end - code(connection, "A")["issued_at"] == timedelta(days=365)


# -- mark_promo_code_issued


@pytest.mark.parametrize(
    ("before", "promo_code", "result"),
    [
        ({}, "A", "issued"),
        ({"issue_start": PAST, "issue_end": FUTURE}, "A", "issued"),
        ({}, "unknown", "code_not_found"),
        ({}, "a", "code_not_found"),
        ({}, None, "code_not_found"),
        ({"pool": "draft"}, "A", "not_active"),
        ({"issued_at": PAST}, "A", "already_issued"),
        ({"used_at": PAST}, "A", "already_used"),
        ({"issued_at": PAST, "used_at": PAST}, "A", "already_used"),
        ({"issue_start": FUTURE}, "A", "outside_issue_window"),
        ({"issue_end": PAST}, "A", "outside_issue_window"),
    ],
)
def test_pg05_marking_a_code(connection, before, promo_code, result):
    add_pool(connection, "draft", state="draft")
    add_codes(connection, "A", **before)
    unchanged = code(connection, "A")
    assert mark(connection, promo_code, "Bob") == result
    if result == "issued":
        assert code(connection, "A")["issued_to"] == "Bob"
        assert mark(connection, promo_code, "Cid") == "already_issued"
        assert code(connection, "A")["issued_to"] == "Bob"
    else:
        assert code(connection, "A") == unchanged


# -- activate_promo_code


@pytest.mark.parametrize(
    ("settings", "before", "result"),
    [
        ({}, {}, "activated"),
        ({}, {"issued_at": PAST}, "activated"),
        ({}, {"issue_end": PAST}, "activated"),
        ({}, {"available_from": PAST, "available_till": FUTURE}, "activated"),
        ({}, {"available_from": FUTURE}, "not_yet_available"),
        ({}, {"available_till": PAST}, "expired"),
        ({}, {"used_at": PAST}, "already_used"),
        ({}, {"used_at": PAST, "available_till": PAST}, "already_used"),
        ({"state": "draft"}, {}, "not_active"),
        ({"processing": "external"}, {}, "external_processing"),
        ({"issue_check": True, "assigned_validity_days": 10}, {}, "not_issued"),
        ({"issue_check": True, "assigned_validity_days": 10}, {"available_from": FUTURE}, "not_issued"),
        ({"issue_check": True, "assigned_validity_days": 10}, {"issued_at": from_now(days=-9)}, "activated"),
        ({"issue_check": True, "assigned_validity_days": 10}, {"issued_at": from_now(days=-11)}, "expired"),
        ({"assigned_validity_days": 10}, {"issued_at": from_now(days=-11)}, "expired"),
        ({"assigned_validity_days": 10}, {}, "activated"),
        (
            {"assigned_validity_days": 10},
            {"issued_at": from_now(days=-9), "available_till": from_now(days=-1)},
            "expired",
        ),
    ],
)
def test_pg05_activating_a_code_of_one_use(connection, settings, before, result):
    add_pool(connection, "tried", **settings)
    add_codes(connection, "A", pool="tried", **before)
    unchanged = code(connection, "A")
    assert activate(connection, "A", "Bob") == result
    if result == "activated":
        assert code(connection, "A")["used_by"] == "Bob"
        assert activate(connection, "A", "Cid") == "already_used"
        assert code(connection, "A")["used_by"] == "Bob"
    else:
        assert code(connection, "A") == unchanged
    assert uses(connection) == []


@pytest.mark.parametrize("promo_code", ["unknown", "a", None])
def test_pg05_an_unknown_code_is_not_activated(connection, promo_code):
    add_codes(connection, "A")
    assert activate(connection, promo_code) == "code_not_found"


def test_pc03_availability_windows_are_half_open(connection):
    edge = from_now(seconds=0.4)
    add_codes(connection, "begins", available_from=edge)
    add_codes(connection, "ends", "ends too", available_till=edge)
    assert activate(connection, "begins") == "not_yet_available"
    assert activate(connection, "ends") == "activated"
    connection.execute(text("SELECT pg_sleep(0.5)"))
    assert activate(connection, "ends too") == "expired"
    assert activate(connection, "begins") == "activated"


def test_pg05_a_code_goes_from_issue_to_use(connection):
    add_pool(connection, "checked", issue_check=True, assigned_validity_days=3)
    add_codes(connection, "A", pool="checked")
    assert activate(connection, "A") == "not_issued"
    assert issue(connection, "checked")[:2] == ("issued", "A")
    assert activate(connection, "A") == "activated"
    assert left(connection, "A") == {"issued_at", "issued_to", "used_at", "used_by"}
    assert (activate(connection, "A"), mark(connection, "A")) == ("already_used", "already_used")


# -- multiple use


@pytest.fixture
def welcome(connection):
    """A connection, with a pool of codes for multiple use."""
    add_pool(connection, "welcome", multi_use=True, assigned_validity_days=1)
    return connection


def test_pg05_a_code_for_multiple_use_is_issued_and_activated_again_and_again(welcome):
    add_codes(welcome, "HELLO", pool="welcome", available_from=PAST, available_till=FUTURE)
    assert {issue(welcome, "welcome", customer) for customer in ("Ann", "Bob", "Cid")} == {
        ("issued", "HELLO", PAST, FUTURE)
    }
    assert [activate(welcome, "HELLO", customer) for customer in ("Ann", "Bob", "Ann")] == ["activated"] * 3
    assert uses(welcome) == [("HELLO", "Ann"), ("HELLO", "Bob"), ("HELLO", "Ann")]
    row = code(welcome, "HELLO")
    assert (row["issued_to"], row["used_at"]) == ("Ann", None)
    assert issue(welcome, "welcome")[0] == "issued"


def test_pg05_a_code_for_multiple_use_is_marked_any_number_of_times(welcome):
    add_codes(welcome, "HELLO", pool="welcome")
    add_codes(welcome, "OVER", pool="welcome", issue_end=PAST)
    assert [mark(welcome, "HELLO", customer) for customer in ("Ann", "Bob")] == ["issued", "issued"]
    assert code(welcome, "HELLO")["issued_to"] == "Ann"
    assert mark(welcome, "OVER") == "outside_issue_window"


@pytest.mark.parametrize(
    ("columns", "result"),
    [
        ({"available_from": FUTURE}, "not_yet_available"),
        ({"available_till": PAST}, "expired"),
        ({"issued_at": PAST}, "activated"),
    ],
)
def test_pg05_codes_for_multiple_use_honour_their_window_and_no_validity_of_an_issue(welcome, columns, result):
    add_codes(welcome, "HELLO", pool="welcome", **columns)
    assert activate(welcome, "HELLO") == result
    assert len(uses(welcome)) == (result == "activated")


def test_of_several_codes_for_multiple_use_the_one_whose_window_closes_first_is_issued(welcome):
    add_codes(welcome, "HELLO", "HI", pool="welcome")
    first = issue(welcome, "welcome")[1]
    assert [issue(welcome, "welcome")[1] for _ in range(3)] == [first] * 3
    add_codes(welcome, "TODAY", pool="welcome", issue_end=from_now(days=1))
    add_codes(welcome, "GONE", pool="welcome", issue_end=PAST)
    assert [issue(welcome, "welcome")[1] for _ in range(3)] == ["TODAY"] * 3
