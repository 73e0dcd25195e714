"""The signals of a pool's stock: repeated perhaps, never lost, however many take codes side by side. PG-05, TU-01."""

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ, ISOLATION_LEVEL_SERIALIZABLE

from include.promo_codes.top_up import review_pools
from tests.integration.code_pools import Client, Listener, wait_until_blocked

pytestmark = pytest.mark.integration

DRAINS = {"plain": 200, "held": 200, "counted": 100, "refilled": 100}
CLIENTS = 16
MOST_PAGES = 200


@pytest.fixture
def client(warehouse):
    with Client(warehouse.owner_url) as client:
        client.run("SET lock_timeout = '20s'")
        yield client


@pytest.fixture
def listener(warehouse):
    with Listener(warehouse.owner_url) as listener:
        yield listener


@pytest.fixture
def other(warehouse):
    """Another connection, that commits on request."""
    with Client(warehouse.owner_url, autocommit=False) as other:
        yield other


_codes = itertools.count(1)


def refill(client, count, pool="summer", **columns):
    client.add_codes([f"{pool}-{next(_codes):07}" for _ in range(count)], pool, **columns)


def set_up(client, codes, pool="summer", **settings):
    """Add a pool with so many codes and count it."""
    row = {"system_id": pool, "name": pool, "description": "d", "state": "active", **settings}
    client.run(
        f"INSERT INTO loyalty.promo_code_pool ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values()
    )
    if codes:
        refill(client, codes, pool)
    assert client.count(pool) == codes


def one_code(client):
    return client.run("SELECT min(code) FROM loyalty.promo_code WHERE issued_at IS NULL AND used_at IS NULL")[0][0]


TAKES = {
    "issue": lambda client: client.issue(),
    "mark": lambda client: client.run("SELECT loyalty.mark_promo_code_issued(%s, 'x')", one_code(client)),
    "activate": lambda client: client.run("SELECT loyalty.activate_promo_code(%s, 'x')", one_code(client)),
    "update": lambda client: client.run(
        "UPDATE loyalty.promo_code SET issued_at = now() WHERE code = %s", one_code(client)
    ),
}


# -- one session


@pytest.mark.parametrize("take", TAKES)
def test_pg05_each_level_is_signalled_when_the_stock_falls_below_it(client, listener, take):
    set_up(client, 7, top_up_threshold=5, notify_below=3)
    listener.signals()
    signalled_counts = {}
    for left in range(6, -1, -1):
        TAKES[take](client)
        if signals := listener.signals():
            assert signals == ["summer"]
            signalled_counts[left] = client.count()
    assert signalled_counts == {4: 4, 2: 2, 0: 0}


def test_pg05_without_a_recount_every_take_below_a_level_signals_again(client, listener):
    set_up(client, 5, top_up_threshold=4)
    listener.signals()
    heard = []
    for _ in range(5):
        client.issue()
        heard.append(listener.signals())
    assert heard == [[], ["summer"], ["summer"], ["summer"], ["summer"]]


def test_pg05_a_statement_that_takes_many_codes_signals(client, listener):
    set_up(client, 10, top_up_threshold=4)
    listener.signals()
    client.run(
        "UPDATE loyalty.promo_code SET issued_at = now() WHERE code IN (SELECT code FROM loyalty.promo_code LIMIT 6)"
    )
    assert listener.signals() == []
    client.run("UPDATE loyalty.promo_code SET used_at = now() WHERE issued_at IS NULL")
    assert listener.signals() == ["summer"]
    assert client.count() == 0


def test_pg05_no_level_but_the_last_code_without_settings(client, listener):
    set_up(client, 3)
    listener.signals()
    heard = [(client.issue()[0], listener.signals()) for _ in range(3)]
    assert heard == [("issued", []), ("issued", []), ("issued", ["summer"])]


def test_a_use_of_an_issued_code_takes_nothing_from_the_stock(client, listener):
    set_up(client, 2, top_up_threshold=1)
    code = client.issue()[1]
    listener.signals()
    for _ in range(3):
        client.run("SELECT loyalty.activate_promo_code(%s, 'x')", code)
    assert listener.signals() == []
    assert client.count_row()["counted_at_take"] == 1


def test_pg05_codes_for_multiple_use_never_signal(client, listener):
    client.run(
        "INSERT INTO loyalty.promo_code_pool (system_id, name, description, state, multi_use, top_up_threshold)"
        " VALUES ('welcome', 'W', 'd', 'active', true, 5)"
    )
    refill(client, 2, "welcome")
    for _ in range(5):
        assert client.issue("welcome")[0] == "issued"
    client.run("SELECT loyalty.activate_promo_code(code, 'x') FROM loyalty.promo_code")
    client.run("UPDATE loyalty.promo_code SET used_at = now(), issue_end = '2999-01-01Z'")
    client.run("UPDATE loyalty.promo_code_pool SET top_up_threshold = 6, quantity = 7")
    assert client.issue("welcome")[0] == "issued"
    assert listener.signals() == []
    assert client.run("SELECT loyalty.count_promo_code_pool('welcome') IS NULL") == [(True,)]
    assert client.run("SELECT count(*) FROM loyalty.promo_code_pool_stock") == [(0,)]


def test_a_count_of_no_pool_is_null(client):
    assert client.run("SELECT loyalty.count_promo_code_pool('unknown') IS NULL") == [(True,)]


@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM loyalty.promo_code_pool_stock",
        "UPDATE loyalty.promo_code_pool_stock SET valid_until = clock_timestamp()",
    ],
)
def test_pg05_without_a_valid_count_every_take_and_every_failure_signals(client, listener, loss):
    set_up(client, 3)
    client.run(loss)
    listener.signals()
    heard = [(client.issue()[0], listener.signals()) for _ in range(4)]
    assert heard == [*[("issued", ["summer"])] * 3, ("no_available_codes", ["summer"])]
    client.count()
    assert (client.issue()[0], listener.signals()) == ("no_available_codes", [])


AROUND = [
    "SET LOCAL session_replication_role = replica; UPDATE loyalty.promo_code SET issued_at = now()",
    "UPDATE loyalty.promo_code SET issued_at = now(); UPDATE loyalty.promo_code_pool_stock SET counted_available = 9",
]


@pytest.mark.parametrize("change", AROUND)
def test_pg05_an_issue_that_finds_no_code_against_the_count_signals_once_and_the_pool_is_counted(
    warehouse, client, listener, change
):
    """A user has changed the codes, or the count, around the triggers."""
    set_up(client, 5, top_up_threshold=3)
    with warehouse.admin.begin() as connection:
        connection.exec_driver_sql(change)
    client.run("UPDATE loyalty.promo_code_pool_stock SET counted_at = counted_at - interval '2 minutes'")
    listener.signals()
    heard = [(client.issue()[0], listener.signals()) for _ in range(4)]
    assert heard == [("no_available_codes", ["summer"]), *[("no_available_codes", [])] * 3]
    review_pools(warehouse.engine, datetime.now(UTC))
    counted = (
        "SELECT counted_available FROM loyalty.promo_code_pool_stock WHERE counted_at > now() - interval '1 minute'"
    )
    assert client.run(counted) == [(0,)]
    assert (client.issue()[0], listener.signals()) == ("no_available_codes", [])
    refill(client, 4, generation_id=2)
    assert client.count() == 4
    listener.signals()
    assert [(client.issue()[0], listener.signals()) for _ in range(2)] == [("issued", []), ("issued", ["summer"])]


def test_pg05_a_count_that_stays_wrong_is_not_repeated_at_each_issue(warehouse, client, listener):
    """Here codes whose batch is missing: at most one signal a minute."""
    set_up(client, 0)
    with warehouse.admin.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(
            "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES ('lost', 'summer', 1)"
        )
    assert client.count() == 1
    listener.signals()
    assert [(client.issue()[0], listener.signals()) for _ in range(3)] == [("no_available_codes", [])] * 3
    client.run("UPDATE loyalty.promo_code_pool_stock SET counted_at = counted_at - interval '2 minutes'")
    heard = [(client.issue()[0], listener.signals()) for _ in range(3)]
    assert heard == [("no_available_codes", ["summer"]), *[("no_available_codes", [])] * 2]


def test_pg05_codes_that_others_just_hand_out_are_no_contradiction(client, other, listener):
    set_up(client, 2)
    client.run("UPDATE loyalty.promo_code_pool_stock SET counted_at = counted_at - interval '2 minutes'")
    assert [other.issue()[0] for _ in range(2)] == ["issued"] * 2
    listener.signals()
    assert (client.issue()[0], listener.signals()) == ("no_available_codes", [])


def test_pg05_an_issue_against_the_count_waits_for_nobody_who_counts(warehouse, client, other):
    set_up(client, 3)
    with warehouse.admin.begin() as connection:
        connection.exec_driver_sql(AROUND[0])
    client.run("UPDATE loyalty.promo_code_pool_stock SET counted_at = counted_at - interval '2 minutes'")
    other.count()
    client.run("SET lock_timeout = '300ms'")
    assert client.issue()[0] == "no_available_codes"


def test_pg05_a_pool_that_never_had_codes_signals_when_a_user_asks_for_one(client, listener):
    client.run("INSERT INTO loyalty.promo_code_pool (system_id, name, description) VALUES ('empty', 'E', 'd')")
    assert (client.issue("empty"), listener.signals()) == (("not_active", None), [])
    client.run("UPDATE loyalty.promo_code_pool SET state = 'active'")
    assert listener.signals() == ["empty"]
    assert (client.issue("empty"), listener.signals()) == (("no_available_codes", None), ["empty"])


def test_pools_signal_when_they_are_launched_filled_or_set_otherwise(client, listener):
    client.run("INSERT INTO loyalty.promo_code_pool (system_id, name, description) VALUES ('p', 'P', 'd')")
    assert listener.signals() == []
    for change in ("state = 'active'", "quantity = 5", "auto_generate = true", "fill_method = 'generate'",
                   "format = 'summer'", "top_up_threshold = 3", "notify_below = 2", "lead_hours = 4"):  # fmt: skip
        client.run(f"UPDATE loyalty.promo_code_pool SET {change}")
        assert listener.signals() == ["p"], change
        client.run(f"UPDATE loyalty.promo_code_pool SET {change}, name = name || 'x'")
        assert listener.signals() == [], change
    client.run(
        "INSERT INTO loyalty.promo_code_pool (system_id, name, description, state) VALUES ('q', 'Q', 'd', 'active')"
    )
    assert listener.signals() == ["q"]
    client.run(
        "INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id)"
        " VALUES ('1', 'p', 1), ('2', 'p', 1), ('3', 'q', 1)"
    )
    assert listener.signals() == ["p", "q"]


# -- what a count counts


def test_tu01_available_is_issuable_now_and_scheduled(client):
    set_up(client, 2)
    refill(client, 3, generation_id=2, issue_start="2999-01-01Z")
    refill(client, 5, generation_id=2, issue_end="2020-01-01Z")
    refill(client, 7, generation_id=2, issue_start="2020-01-01Z", issue_end="2999-01-01Z")
    assert client.count() == 12
    assert client.issue()[0] == "issued"
    client.run("SELECT loyalty.activate_promo_code(%s, 'x')", one_code(client))
    assert client.count() == 10


@pytest.mark.parametrize(
    ("levels", "counted", "below"),
    [((5, 3), 7, 5), ((5, 3), 5, 5), ((5, 3), 4, 3), ((5, 3), 3, 3), ((5, 3), 2, 1), ((5, 3), 0, 0), ((3, 5), 4, 3),
     ((None, None), 9, 1), ((None, 4), 9, 4), ((0, 0), 9, 1), ((10, None), 9, 1)],
)  # fmt: skip
def test_tu01_the_next_level_is_the_highest_not_above_the_count(client, levels, counted, below):
    set_up(client, counted, top_up_threshold=levels[0], notify_below=levels[1])
    assert client.count_row()["signal_below"] == below


def test_codes_that_end_soon_are_available_but_not_counted_on(client, listener):
    """They vanish without a take: the lower bound of the next quarter of an hour does without them."""
    set_up(client, 4, top_up_threshold=3)
    refill(client, 5, generation_id=2, issue_end="2020-01-01Z")
    client.run("UPDATE loyalty.promo_code SET issue_end = now() + interval '10 minutes' WHERE issue_end IS NOT NULL")
    client.run("UPDATE loyalty.promo_code SET issue_end = now() + interval '20 minutes' WHERE issue_end IS NULL")
    row = client.count_row()
    assert (row["counted_available"], row["counted_ending"], row["signal_below"]) == (9, 5, 3)
    listener.signals()
    assert [(client.issue()[0], listener.signals()) for _ in range(2)] == [("issued", []), ("issued", ["summer"])]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE loyalty.promo_code SET issue_end = '2020-01-01Z'"
        " WHERE code NOT IN (SELECT code FROM loyalty.promo_code ORDER BY code LIMIT 4)",
        "UPDATE loyalty.promo_code_pool SET notify_below = 9",
    ],
)
def test_pg05_new_windows_and_levels_outdate_the_count(client, other, listener, change):
    """Not only is the pool signalled: the bound, which holds no more, is not relied on until the next count."""
    set_up(client, 8, top_up_threshold=2)
    client.issue()
    listener.signals()
    other.run(change)
    client.run("SET lock_timeout = '300ms'")
    with pytest.raises(Exception, match="lock timeout"):
        client.count()
    other.connection.commit()
    assert listener.signals() == ["summer"]
    assert client.issue()[0] == "issued"
    assert listener.signals() == ["summer"], "without the count that follows, every take tells"
    client.count()
    assert listener.signals() in ([], ["summer"])


@pytest.mark.parametrize("is_counted_before", [True, False])
def test_codes_whose_windows_are_just_being_changed_are_not_taken_for_taken(
    client, other, warehouse, is_counted_before
):
    set_up(client, 8)
    if not is_counted_before:
        client.run("DELETE FROM loyalty.promo_code_pool_stock")
    other.run("UPDATE loyalty.promo_code SET issue_end = '2999-01-01Z'")
    with Client(warehouse.owner_url) as counting, ThreadPoolExecutor() as threads:
        waiting = threads.submit(counting.count)
        wait_until_blocked(client)
        other.connection.commit()
        assert waiting.result(30) == 8


def test_a_count_that_goes_on_ends_before_windows_and_levels_change(client, other):
    set_up(client, 8, top_up_threshold=2)
    other.run("SELECT loyalty.count_promo_code_pool('summer')")
    client.run("SET lock_timeout = '300ms'")
    for change in ("UPDATE loyalty.promo_code SET issue_end = '2999-01-01Z'",
                   "UPDATE loyalty.promo_code_pool SET top_up_threshold = 9"):  # fmt: skip
        with pytest.raises(Exception, match="lock timeout"):
            client.run(change)
    other.connection.commit()
    client.run("UPDATE loyalty.promo_code_pool SET top_up_threshold = 9")


# -- side by side


def test_pg05_the_last_two_codes_go_out_side_by_side_and_the_later_take_commits_first(client, other, listener):
    set_up(client, 2)
    listener.signals()
    assert other.issue()[0] == "issued"
    assert client.issue()[0] == "issued"
    assert listener.signals() == ["summer"]
    assert client.count() == 0, "the first taker, who will not signal any more, must count as gone"
    other.connection.commit()
    assert client.count() == 0


def test_pg05_the_last_two_codes_go_out_side_by_side_and_the_earlier_take_commits_first(client, other, listener):
    set_up(client, 2)
    listener.signals()
    assert client.issue()[0] == "issued"
    assert other.issue()[0] == "issued"
    assert listener.signals() == []
    assert client.count() == 0
    assert listener.signals() == ["summer"], "the other may look at the stock only now"
    other.connection.commit()
    assert listener.signals() == ["summer"]


def test_pg05_a_count_between_the_lock_of_a_take_and_its_look_signals_in_its_place(client, other, listener):
    set_up(client, 4, notify_below=4)
    listener.signals()
    other.run("SELECT FROM loyalty.promo_code WHERE pool_system_id = 'summer' LIMIT 1 FOR UPDATE")
    assert client.count() == 3
    assert listener.signals() == ["summer"]
    other.run("UPDATE loyalty.promo_code SET issued_at = now() WHERE xmax <> 0")
    other.connection.commit()
    assert listener.signals() == [], "the take found a stock that had been below its level before"


@pytest.mark.parametrize("savepoints", [0, 1, 80])
@pytest.mark.parametrize("take", TAKES)
def test_pg05_an_open_take_counts_as_gone_in_savepoints_too(client, other, take, savepoints):
    """More than 64 savepoints, and a transaction's are no longer all in shared memory."""
    set_up(client, 3)
    for number in range(savepoints):
        other.run(f"SAVEPOINT s{number}")
        other.run("CREATE TEMP TABLE IF NOT EXISTS scratch (a int)")
        other.run("INSERT INTO scratch VALUES (1)")
    TAKES[take](other)
    if savepoints:
        other.run("RELEASE SAVEPOINT s0")
    client.run("SELECT pg_current_xact_id()")  # a later transaction that has ended already
    assert client.count() == 2
    other.connection.rollback()
    assert client.count() == 3


@pytest.mark.parametrize("take", TAKES)
def test_pg05_an_open_take_counts_as_gone_beside_other_locks_of_its_row(warehouse, client, other, take):
    """Several lockers, or a lock before a savepoint and a change after it, share one number in the row's xmax."""
    set_up(client, 3)
    shop = Client(warehouse.owner_url, autocommit=False)  # as a foreign key of a user's own table locks
    shop.run("SELECT FROM loyalty.promo_code FOR KEY SHARE")
    TAKES[take](other)
    assert client.count() == 0  # a lone lock could be a take: it errs towards codes that are gone
    shop.connection.commit()
    assert client.count() == 2
    other.connection.rollback()
    assert client.count() == 3
    other.run("SELECT FROM loyalty.promo_code FOR UPDATE")
    other.run("SAVEPOINT s")
    TAKES[take](other)
    assert client.count() == 0
    other.connection.rollback()
    assert client.count() == 3
    shop.connection.close()


def test_pg05_a_take_that_is_rolled_back_signals_nothing_and_puts_the_code_back(client, other, listener):
    set_up(client, 2, top_up_threshold=2)
    listener.signals()
    code = other.issue()[1]
    other.connection.rollback()
    assert listener.signals() == []
    assert client.count() == 2
    listener.signals()
    assert client.issue() == ("issued", code)
    assert listener.signals() == ["summer"]


def test_pg05_a_take_rolled_back_to_a_savepoint_puts_the_code_back_in_an_open_transaction(client, other):
    set_up(client, 2)
    other.run("SAVEPOINT before")
    other.issue()
    other.run("ROLLBACK TO SAVEPOINT before")
    client.run("SELECT pg_current_xact_id()")
    assert client.count() == 2
    other.issue()
    assert client.count() == 1


@pytest.mark.parametrize("lock", ["FOR UPDATE", "FOR NO KEY UPDATE"])
def test_a_lock_counts_as_gone_while_it_is_held_and_not_afterwards(client, other, lock):
    set_up(client, 3)
    other.run(f"SELECT FROM loyalty.promo_code {lock}")
    assert client.count() == 0
    assert client.issue() == ("no_available_codes", None)
    other.connection.commit()
    assert client.count() == 3


def test_what_cannot_be_marked_or_activated_is_not_even_locked(client, other):
    """A client that tries out codes must not make the stock look smaller."""
    set_up(client, 1, issue_check=True, assigned_validity_days=3)
    client.run("UPDATE loyalty.promo_code SET issue_start = '2999-01-01Z'")
    other.run(
        "SELECT loyalty.activate_promo_code(code, 'x'), loyalty.mark_promo_code_issued(code, 'x')"
        " FROM loyalty.promo_code"
    )
    assert client.count() == 1


def test_a_count_with_an_old_snapshot_sees_what_was_taken_since_as_gone(client, other):
    set_up(client, 4)
    other.connection.set_isolation_level(ISOLATION_LEVEL_REPEATABLE_READ)
    other.run("SELECT count(*) FROM loyalty.promo_code")
    client.run("BEGIN; SAVEPOINT a; SELECT loyalty.issue_promo_code('summer', 'x'); RELEASE SAVEPOINT a; COMMIT")
    client.issue()
    row = other.count_row()
    assert (row["counted_available"], row["counted_at_take"]) == (2, 2)


@pytest.mark.parametrize("level", [ISOLATION_LEVEL_REPEATABLE_READ, ISOLATION_LEVEL_SERIALIZABLE])
def test_pg05_takers_with_old_snapshots_always_signal(client, other, listener, level):
    """They can't see a count, and a level, newer than their snapshot."""
    set_up(client, 2, top_up_threshold=5)
    other.connection.set_isolation_level(level)
    other.run("SELECT count(*) FROM loyalty.promo_code")
    refill(client, 4, generation_id=2)
    client.count()
    listener.signals()
    assert other.issue()[0] == "issued"
    other.connection.commit()
    assert listener.signals() == ["summer"]


def test_pg05_a_count_that_raises_the_level_is_followed_by_another(client, other, listener):
    """Takers that looked at the older, lower level may have drawn between its look at the sequence and its commit."""
    set_up(client, 4, top_up_threshold=5)
    refill(client, 2, generation_id=2)
    assert other.count() == 6
    listener.signals()
    assert [(client.issue()[0], listener.signals()) for _ in range(2)] == [("issued", [])] * 2, "the old level is 1"
    other.connection.commit()
    assert listener.signals() == ["summer"]
    assert client.count() == 4
    assert listener.signals() == [], "a count that raises nothing comes to an end"


def test_pg05_a_take_looks_at_the_stock_after_it_has_drawn_its_number(client, other, listener, warehouse):
    """With an older look it could miss the level of a count that misses its number."""
    set_up(client, 4, top_up_threshold=5)
    refill(client, 2, generation_id=2)
    (number,) = client.run("SELECT number FROM loyalty.promo_code_pool")[0]
    other.run(f"ALTER SEQUENCE loyalty.promo_code_take_{number} NO CYCLE")  # holds nextval up
    with Client(warehouse.owner_url) as taker, ThreadPoolExecutor() as threads:
        waiting = threads.submit(taker.issue)
        wait_until_blocked(client)
        assert client.count_row()["signal_below"] == 5
        listener.signals()
        other.connection.commit()
        assert waiting.result(30)[0] == "issued"
    assert listener.signals() == ["summer"]


def test_pg05_counts_of_a_pool_go_one_after_the_other(client, other, warehouse):
    set_up(client, 3)
    other.count()
    with Client(warehouse.owner_url) as second, ThreadPoolExecutor() as threads:
        waiting = threads.submit(second.count)
        wait_until_blocked(client)
        client.issue()
        other.connection.commit()
        assert waiting.result(30) == 2


def test_pg05_takers_and_counts_wait_neither_for_each_other_nor_for_loads_and_edits(client, other, warehouse):
    set_up(client, 6, top_up_threshold=5)
    other.issue()
    other.run("SELECT loyalty.activate_promo_code(min(code), 'x') FROM loyalty.promo_code WHERE issued_at IS NULL")
    with (
        Client(warehouse.owner_url, autocommit=False) as load,
        Client(warehouse.owner_url, autocommit=False) as counting,
    ):
        client.run("SET lock_timeout = '300ms'")
        load.run("UPDATE loyalty.promo_code_pool SET quantity = 5")
        refill(load, 5, generation_id=2)
        load.run("SELECT FROM loyalty.promo_code_pool FOR UPDATE")
        counting.run("SET lock_timeout = '300ms'")
        assert counting.count() == 4
        assert [client.issue()[0] for _ in range(5)] == ["issued"] * 4 + ["no_available_codes"]
        load.connection.commit()
        assert client.issue()[0] == "issued"


def test_pg05_several_callers_for_one_code_one_gets_it_and_the_others_wait(client, other, warehouse):
    set_up(client, 2)
    code = one_code(client)
    for function, results in (("mark_promo_code_issued", ("issued", "already_issued")),
                              ("activate_promo_code", ("activated", "already_used"))):  # fmt: skip
        call = f"SELECT loyalty.{function}(%s, 'x')"
        for ends, expected in ((other.connection.rollback, results[0]), (other.connection.commit, results[1])):
            assert other.run(call, code) == [(results[0],)]
            with Client(warehouse.owner_url, autocommit=False) as second, ThreadPoolExecutor() as threads:
                waiting = threads.submit(second.run, call, code)
                wait_until_blocked(client)
                ends()
                assert waiting.result(30) == [(expected,)]


def test_pg05_a_code_for_multiple_use_is_issued_while_another_transaction_notes_its_first_issue(client, other):
    set_up_multi = "INSERT INTO loyalty.promo_code_pool (system_id, name, description, state, multi_use) "
    client.run(set_up_multi + "VALUES ('welcome', 'W', 'd', 'active', true)")
    refill(client, 1, "welcome")
    client.run("SET lock_timeout = '300ms'")
    code = other.issue("welcome")[1]
    assert client.issue("welcome") == ("issued", code)
    assert client.run("SELECT loyalty.activate_promo_code(%s, 'x')", code) == [("activated",)]
    other.connection.rollback()
    assert client.run("SELECT issued_at FROM loyalty.promo_code") == [(None,)]


@pytest.mark.parametrize(
    ("row_xmax", "snapshot", "over"),
    [
        (0, "100:100:", True),
        (99, "100:105:102", True),
        (105, "100:105:102", False),
        (2**32 - 6, f"{2 * 2**32 - 2}:{2 * 2**32 + 9}:", True),  # before the ids went round
        (9, f"{2 * 2**32 - 2}:{2 * 2**32 + 9}:", False),
        (3, f"{2**33 - 7}:{2**33 - 6}:", False),  # after, as the snapshot does not know yet
        (2**32 - 8, f"{2**33 - 7}:{2**33 - 6}:", True),
    ],
)
def test_ids_of_transactions_that_go_round_are_distinguished(client, row_xmax, snapshot, over):
    statement = "SELECT loyalty.is_transaction_over(%s::text::xid, %s::pg_snapshot)"
    assert client.run(statement, str(row_xmax), snapshot) == [(over,)]


# -- many at once


def together(count, task):
    """Run a task so many times at once; return what they return."""
    barrier = threading.Barrier(count)

    def begin(number):
        barrier.wait(30)
        return task(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def test_pg05_sixteen_clients_get_ten_thousand_codes_once_each(warehouse, client):
    set_up(client, 10_000)

    def drain(number):
        mine, dice = [], random.Random(number)
        with Client(warehouse.owner_url, autocommit=False) as taker:
            while True:
                result, code = taker.issue()
                if result != "issued" and dice.random() < 0.5:
                    taker.connection.rollback()
                    if taker.run("SELECT count(*) FROM loyalty.promo_code WHERE issued_at IS NULL") == [(0,)]:
                        return mine
                elif dice.random() < 0.03:
                    taker.connection.rollback()
                else:
                    taker.connection.commit()
                    mine += [code] if code else []

    issued = [code for mine in together(CLIENTS, drain) for code in mine]
    assert len(issued) == 10_000
    assert sorted(issued) == [row[0] for row in client.run("SELECT code FROM loyalty.promo_code ORDER BY code")]


class Reviewer(threading.Thread):
    """Counts the pool whenever it is signalled, as the top-up does, and remembers what it saw."""

    def __init__(self, url, pool):
        super().__init__(daemon=True)
        self.url, self.pool = url, pool
        self.seen = []
        self.is_idle = threading.Event()
        self.is_ready = threading.Event()
        self.is_over = threading.Event()
        self.failure = None

    def run(self):
        try:
            with Listener(self.url) as listener:
                self.is_ready.set()
                while not self.is_over.is_set():
                    if self.pool in listener.signals():
                        self.is_idle.clear()
                        self.seen.append(listener.count(self.pool))
                    else:
                        self.is_idle.set()
                        time.sleep(0.001)
        except Exception as error:
            self.failure = error

    def settle(self):
        """Return once two looks after now have found no signal."""
        for _ in range(2):
            self.is_idle.clear()
            assert self.is_idle.wait(30), self.failure


@pytest.mark.parametrize("kind", DRAINS)
def test_pg05_every_crossing_of_a_level_is_signalled_and_seen(warehouse, client, kind):
    """Each drain ends with the very take that crosses a level: no later one could make up for a lost signal.

    held: some transactions stay open for a while, use savepoints, or are rolled back.
    counted: others count the pool meanwhile, as a schedule does.
    refilled: codes are added meanwhile, which lifts the stock above levels that it had fallen below.
    """
    stock, levels = 24, (9, 4, 1)
    set_up(client, stock, top_up_threshold=levels[0], notify_below=levels[1])
    reviewer = Reviewer(warehouse.owner_url, "summer")
    reviewer.start()
    assert reviewer.is_ready.wait(30)
    takers = [Client(warehouse.owner_url, autocommit=False) for _ in range(CLIENTS)]
    left, missed = stock, []
    try:
        for drain in range(DRAINS[kind]):
            level = levels[drain % 3]
            if left < stock:
                refill(client, stock - left, generation_id=2)
            client.count()
            reviewer.settle()
            reviewer.seen.clear()
            added = 8 if kind == "refilled" else 0
            run_drain(warehouse.owner_url, takers, stock + added - level + 1, kind, added, random.Random(drain))
            reviewer.settle()
            left = client.run("SELECT count(*) FROM loyalty.promo_code WHERE issued_at IS NULL")[0][0]
            assert left == level - 1
            if min(reviewer.seen, default=stock) >= level:
                missed.append((drain, level, reviewer.seen))
        assert reviewer.failure is None
        assert missed == []
    finally:
        reviewer.is_over.set()
        reviewer.join(30)
        for taker in takers:
            taker.connection.close()


def run_drain(url, takers, codes, kind, added, dice):
    """Let the takers commit exactly so many takes between them."""
    tickets = iter(range(codes))
    lock = threading.Lock()
    seeds = [dice.random() for _ in takers]
    is_drained = threading.Event()

    def refill_and_count():
        with Client(url) as helper:
            if added:
                refill(helper, added, generation_id=2)
            while kind == "counted" and not is_drained.is_set():
                helper.count()

    def take(number):
        taker, own_dice = takers[number], random.Random(seeds[number])
        while True:
            with lock:
                ticket = next(tickets, None)
            if ticket is None:
                return
            while not take_once(taker, kind, own_dice):
                time.sleep(0.001)

    helper = threading.Thread(target=refill_and_count)
    helper.start()
    together(len(takers), take)
    is_drained.set()
    helper.join(30)


def take_once(taker, kind, dice):
    """Take and commit one code, perhaps after taking others that are put back; False when there was none."""
    if kind == "held":
        for _ in range(dice.choice([0, 0, 1, 2])):
            taker.run("SAVEPOINT before")
            taker.issue()
            taker.run("ROLLBACK TO SAVEPOINT before")
        if dice.random() < 0.2:
            taker.issue()
            time.sleep(dice.random() * 0.005)
            taker.connection.rollback()
    result = taker.issue()[0]
    if kind == "held":
        time.sleep(dice.choice([0, 0, 0.002, 0.01]))
    taker.connection.commit()
    return result == "issued"


# -- beside a generation


def test_issues_never_read_the_whole_table(client):
    """A pool that has run dry looks to the planner as if a scan of the table would soon find a code of it."""
    set_up(client, 1000, "full")
    client.run("ANALYZE loyalty.promo_code")
    set_up(client, 0)
    client.add_codes([f"dry {number}" for number in range(100)], generation_id=1, issued_at="2024-01-01Z")
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'promo_code'"
    client.run("SELECT pg_stat_force_next_flush()")
    before = client.run(scans)
    assert {client.issue()[0] for _ in range(10)} == {"no_available_codes"}
    assert client.issue("full")[0] == "issued"
    client.run("SELECT pg_stat_force_next_flush()")
    client.run("SELECT pg_stat_clear_snapshot()")
    assert client.run(scans) == before


@pytest.mark.parametrize("stock", [20_000, 0])
def test_pg05_an_issue_reads_a_few_pages_beside_a_generation_that_has_not_committed(client, other, stock):
    """Also from a pool that has run dry, whose only codes are many that are not committed yet."""
    set_up(client, 0)
    make = (
        "INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id)"
        " SELECT %s || lpad(number::text, 9, '0'), 'summer', %s FROM generate_series(1, %s) AS number"
    )
    client.run(make, "old", 1, 20_000)
    if not stock:
        client.run("UPDATE loyalty.promo_code SET issued_at = now()")
        client.run("VACUUM loyalty.promo_code")  # room for new codes where the old versions were, before all others
    client.count()
    other.run(make, "new", 2, 300_000)
    pages, results = [], set()
    for _ in range(20):
        results.add(client.issue()[0])
        pages.append(pages_of(client, "SELECT loyalty.issue_promo_code('summer', 'Ann')"))
    other.connection.commit()
    assert results == {"issued" if stock else "no_available_codes"}
    assert max(pages) <= MOST_PAGES


def pages_of(client, statement):
    """Run a statement; return how many pages of the database it looked at, the functions it calls included."""
    ((plan,),) = client.run(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
    return plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
