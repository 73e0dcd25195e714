"""The references of gift cards, enforced by triggers, beside twin tables with real foreign keys.

`twin` holds the same tables as `loyalty`, with foreign keys that PostgreSQL enforces row by row. One session alone must
see the same outcomes in both, step by step, but for what `loyalty` always refuses. Two sessions at once, at any mix of
isolation levels, must never leave a card whose pool or point of contact doesn't exist.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from psycopg2 import errors
from psycopg2.extensions import (
    ISOLATION_LEVEL_READ_COMMITTED,
    ISOLATION_LEVEL_REPEATABLE_READ,
    ISOLATION_LEVEL_SERIALIZABLE,
)

pytestmark = pytest.mark.integration

LEVELS = (ISOLATION_LEVEL_READ_COMMITTED, ISOLATION_LEVEL_REPEATABLE_READ, ISOLATION_LEVEL_SERIALIZABLE)

TWIN = """
CREATE SCHEMA twin;
CREATE TABLE twin.point_of_contact (LIKE loyalty.point_of_contact INCLUDING ALL);
CREATE TABLE twin.gift_card_pool (LIKE loyalty.gift_card_pool INCLUDING ALL);
CREATE TABLE twin.gift_card (
    LIKE loyalty.gift_card INCLUDING ALL,
    FOREIGN KEY (pool_system_name) REFERENCES twin.gift_card_pool,
    FOREIGN KEY (point_of_contact) REFERENCES twin.point_of_contact
);
"""

ORPHANS = """
SELECT count(*)
FROM {schema}.gift_card AS card
WHERE NOT EXISTS (SELECT FROM {schema}.gift_card_pool AS pool WHERE pool.system_name = card.pool_system_name)
   OR card.point_of_contact IS NOT NULL
  AND NOT EXISTS (SELECT FROM {schema}.point_of_contact AS point WHERE point.external_id = card.point_of_contact)
"""

WITHOUT_PRODUCT = """
SELECT count(*)
FROM loyalty.gift_card_pool AS pool
WHERE (SELECT count(*) FROM loyalty.technical_product WHERE pool_system_name = pool.system_name) <> 1
"""

_examples = itertools.count()


@dataclass(frozen=True)
class Statement:
    """SQL with places for the schema and for the keys of this example."""

    sql: str
    always_refused: bool = False

    def text(self, schema: str, example: int) -> str:
        return self.sql.replace("SCHEMA", schema).replace("@", f"{example}-")


def insert_pool(pool: str) -> Statement:
    return Statement(
        "INSERT INTO SCHEMA.gift_card_pool (system_name, name, supports_arbitrary_value, supports_partial_redemption,"
        " product_external_id, product_external_system, brand, cvv_required)"
        f" VALUES ('@{pool}', 'n', true, true, '@{pool}', 'website', 'Acme', false)"
    )


def insert_point(point: str) -> Statement:
    return Statement(f"INSERT INTO SCHEMA.point_of_contact VALUES ('@{point}', 'Acme')")


def insert_cards(cards: list[tuple[str, str, str | None]], ending: str) -> Statement:
    values = ", ".join(
        f"('@{card}', '@{pool}', 1, 'Inactive', " + ("NULL)" if point is None else f"'@{point}')")
        for card, pool, point in cards
    )
    columns = "card_number, pool_system_name, balance, status, point_of_contact"
    return Statement(f"INSERT INTO SCHEMA.gift_card ({columns}) VALUES {values}{ending}")


pools = st.sampled_from(["p1", "p1", "p2"])  # p2 only exists once an example has inserted it; so do b and c
points = st.sampled_from(["a", "a", "b", "c"])
card_numbers = st.sampled_from(["1", "2", "3", "4", "5", "6"])

BLOCK = " ON CONFLICT (card_number) DO UPDATE SET status = 'Blocked' WHERE gift_card.status <> 'Blocked'"
insertions_of_cards = st.builds(
    insert_cards,
    st.lists(st.tuples(card_numbers, pools, st.none() | points), min_size=1, max_size=3, unique_by=lambda row: row[0]),
    st.sampled_from(["", " ON CONFLICT DO NOTHING", BLOCK]),
)
insertions = insertions_of_cards | insertions_of_cards | st.builds(insert_pool, pools) | st.builds(insert_point, points)
deletions_of_points = st.builds(
    lambda names: Statement(f"DELETE FROM SCHEMA.point_of_contact WHERE external_id IN ({names})"),
    st.sampled_from(["'@a'", "'@b'", "'@a', '@b', '@c'", "'@nowhere'"]),
)
harmless = st.sampled_from(
    [
        Statement("UPDATE SCHEMA.point_of_contact SET brand = 'Demo' WHERE external_id = '@a'"),
        Statement("SELECT count(*) FROM SCHEMA.gift_card"),
        Statement("SELECT FROM SCHEMA.point_of_contact WHERE external_id = '@a' FOR UPDATE"),
    ]
)
always_refused = st.sampled_from(
    [
        Statement("DELETE FROM SCHEMA.gift_card_pool WHERE system_name = '@p0'", True),
        Statement("UPDATE SCHEMA.gift_card_pool SET system_name = '@p9' WHERE system_name = '@p0'", True),
        Statement("UPDATE SCHEMA.point_of_contact SET external_id = '@z' WHERE external_id = '@kept'", True),
        Statement("UPDATE SCHEMA.gift_card SET pool_system_name = '@nowhere' WHERE card_number = '@0'", True),
        Statement("UPDATE SCHEMA.gift_card SET point_of_contact = '@nowhere' WHERE card_number = '@0'", True),
        Statement("DELETE FROM SCHEMA.gift_card WHERE card_number = '@0'", True),
        Statement("TRUNCATE SCHEMA.gift_card_pool CASCADE", True),
        Statement("TRUNCATE SCHEMA.point_of_contact CASCADE", True),
        Statement("TRUNCATE SCHEMA.gift_card CASCADE", True),
    ]
)


def sell(card: str, point: str) -> Statement:
    return Statement(f"SELECT loyalty.sell_gift_card('@{card}', '2024-05-05Z', '@{point}')")


def sell_by_raw_update(card: str, point: str) -> Statement:
    return Statement(
        "SELECT set_config('loyalty.gift_card_action', 'sale', true);"
        " UPDATE loyalty.gift_card SET status = 'CanBeUsed',"
        f" purchased_at = '2024-05-05Z', point_of_contact = '@{point}' WHERE card_number = '@{card}'"
    )


sales = st.builds(sell, card_numbers, points) | st.builds(sell_by_raw_update, card_numbers, points)

# What races most: they are more often in the schedules of two sessions.
SNAPSHOT = Statement("SELECT count(*) FROM SCHEMA.gift_card")
DELETE = Statement("DELETE FROM SCHEMA.point_of_contact WHERE external_id = '@a'")
racers = st.sampled_from([SNAPSHOT, DELETE]) | st.builds(
    lambda card: insert_cards([(card, "p1", "a")], ""), card_numbers
)


@pytest.fixture
def database(warehouse):
    """A warehouse with the twin tables beside it, and one connection in autocommit."""
    connection = psycopg2.connect(warehouse.owner_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(TWIN)
    yield connection
    connection.close()


def prepare(connection, example: int) -> None:
    """Commit what the statements of an example count on: pool p0 with card 0, pool p1, points a and kept."""
    with connection.cursor() as cursor:
        for schema in ("loyalty", "twin"):
            for statement in (
                insert_pool("p0"),
                insert_pool("p1"),
                insert_point("a"),
                insert_point("kept"),
                insert_cards([("0", "p0", None)], ""),
            ):
                cursor.execute(statement.text(schema, example))


def outcome(connection, sql: str) -> Any:
    """Run a statement; return its row count, or the error's class."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.rowcount
    except psycopg2.Error as error:
        return type(error)


def count(connection, statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def contents(connection, schema: str, example: int) -> list[Any]:
    with connection.cursor() as cursor:
        tables = []
        for table in ("gift_card_pool", "point_of_contact", "gift_card"):
            cursor.execute(f"SELECT * FROM {schema}.{table} AS t WHERE t::text LIKE '%({example}-%' ORDER BY 1")
            tables.append([[value for value in row if not hasattr(value, "tzinfo")] for row in cursor])
        return tables


slow = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


@slow
@given(
    statements=st.lists(insertions | deletions_of_points | harmless | always_refused, max_size=25),
    level=st.sampled_from(LEVELS),
)
def test_one_session_sees_the_outcomes_of_a_real_foreign_key(database, statements, level):
    example = next(_examples)
    prepare(database, example)
    with contextlib.closing(psycopg2.connect(database.dsn, password=database.info.password)) as session:
        session.set_session(isolation_level=level, autocommit=True)
        compare_step_by_step(session, statements, level, example)
    assert contents(database, "loyalty", example) == contents(database, "twin", example)
    assert count(database, ORPHANS.format(schema="loyalty")) == 0
    assert count(database, WITHOUT_PRODUCT) == 0


def compare_step_by_step(session, statements: list[Statement], level: int, example: int) -> None:
    for statement in statements:
        in_loyalty = outcome(session, statement.text("loyalty", example))
        if statement.always_refused:
            assert in_loyalty is errors.RestrictViolation, statement
            continue
        in_twin = None
        if in_loyalty is errors.RestrictViolation:
            # Stricter than a foreign key: deleting a point of contact wants READ COMMITTED.
            assert level != ISOLATION_LEVEL_READ_COMMITTED
            assert statement.sql.startswith("DELETE FROM SCHEMA.point_of_contact")
        else:
            in_twin = outcome(session, statement.text("twin", example))
            assert in_loyalty == in_twin, statement
        event(f"{statement.sql.split(' VALUES')[0][:40]}: {in_twin if isinstance(in_twin, type) else 'done'}")


class Session:
    """One of several sessions, each with a thread, so that one may wait for the other's lock."""

    def __init__(self, database, level: int) -> None:
        self.connection = psycopg2.connect(database.dsn, password=database.info.password)
        self.connection.set_session(isolation_level=level)
        outcome(self.connection, "SET deadlock_timeout = '10ms'")
        self.connection.commit()
        self.backend = self.connection.info.backend_pid
        self.thread = ThreadPoolExecutor(1)
        self.outcomes: list[Future[Any]] = []

    def submit(self, step: Any, *arguments: Any) -> None:
        self.outcomes.append(self.thread.submit(step, *arguments))

    def is_idle(self) -> bool:
        return all(future.done() for future in self.outcomes)

    def finish(self) -> list[Any]:
        results = [future.result(60) for future in self.outcomes]
        self.connection.close()
        self.thread.shutdown()
        return results


def settle(database, sessions: list[Session]) -> None:
    """Wait until each session is idle or waits for a lock of another."""
    deadline = time.monotonic() + 60
    while not all(
        session.is_idle() or count(database, f"SELECT cardinality(pg_blocking_pids({session.backend}))") > 0
        for session in sessions
    ):
        assert time.monotonic() < deadline, "a session neither ended nor waited"


def in_savepoint(connection, sql: str, fate: str) -> Any:
    """Run a statement in a savepoint that is kept or rolled back; an error leaves the transaction usable."""
    if (begun := outcome(connection, "SAVEPOINT one")) is errors.InFailedSqlTransaction:
        return begun
    result = outcome(connection, sql)
    outcome(connection, f"{'ROLLBACK TO' if fate == 'rolled back' or isinstance(result, type) else 'RELEASE'} one")
    return result


def end(connection, how: str) -> Any:
    try:
        connection.commit() if how == "commit" else connection.rollback()
    except psycopg2.Error as error:
        connection.rollback()
        return type(error)
    return how


def run_schedule(database, schema: str, example: int, levels, schedule) -> list[list[Any]]:
    """Run (session, what, fate) in this order, going on with the other session while one waits; commit what is open."""
    sessions = [Session(database, level) for level in levels]
    for number, what, fate in [*schedule, (0, "commit", ""), (1, "commit", "")]:
        session = sessions[number]
        if isinstance(what, Statement):
            session.submit(in_savepoint, session.connection, what.text(schema, example), fate)
        else:
            session.submit(end, session.connection, what)
        settle(database, sessions)
    return [session.finish() for session in sessions]


def schedules(statements):
    step = st.tuples(
        st.integers(0, 1),
        st.one_of(statements, racers, racers, st.sampled_from(["commit", "commit", "rollback"])),
        st.sampled_from(["kept", "kept", "rolled back"]),
    )
    return st.lists(step, min_size=2, max_size=12)


@slow
@given(
    schedule=schedules(insertions | deletions_of_points | harmless | always_refused | sales),
    levels=st.tuples(st.sampled_from(LEVELS), st.sampled_from(LEVELS)),
)
def test_two_sessions_at_once_never_leave_a_dangling_reference(database, schedule, levels):
    example = next(_examples)
    prepare(database, example)
    for result in itertools.chain(*run_schedule(database, "loyalty", example, levels, schedule)):
        event(f"{result if isinstance(result, type | str) else 'done'}")
    assert count(database, ORPHANS.format(schema="loyalty")) == 0
    assert count(database, WITHOUT_PRODUCT) == 0


@slow
@given(schedule=schedules(insertions | deletions_of_points | harmless))
def test_two_sessions_at_read_committed_see_the_outcomes_of_a_real_foreign_key(database, schedule):
    example = next(_examples)
    prepare(database, example)
    levels = (ISOLATION_LEVEL_READ_COMMITTED, ISOLATION_LEVEL_READ_COMMITTED)
    in_loyalty = run_schedule(database, "loyalty", example, levels, schedule)
    in_twin = run_schedule(database, "twin", example, levels, schedule)
    # Which of two deadlocked sessions gives way is chance.
    assume(not any(errors.DeadlockDetected in outcomes for outcomes in (*in_loyalty, *in_twin)))
    assert in_loyalty == in_twin
    assert contents(database, "loyalty", example) == contents(database, "twin", example)


USES = {
    "insert": insert_cards([("1", "p1", "a")], ""),
    "sale": sell("0", "a"),
    "raw sale": sell_by_raw_update("0", "a"),
}


@pytest.mark.parametrize("using", USES.values(), ids=USES)
@pytest.mark.parametrize("deleter", LEVELS, ids=["deletes at rc", "deletes at rr", "deletes at ser"])
@pytest.mark.parametrize("user", LEVELS, ids=["uses at rc", "uses at rr", "uses at ser"])
@pytest.mark.parametrize(
    "order",
    [
        "use delete commit-use commit-delete",
        "delete use commit-delete commit-use",
        "snapshots use commit-use delete commit-delete",
        "snapshots delete commit-delete use commit-use",
        "snapshots use delete commit-use commit-delete",
        "snapshots delete use commit-delete commit-use",
    ],
)
def test_using_and_deleting_a_point_of_contact_at_once_leaves_no_orphan(
    database_of_module, using, deleter, user, order
):
    example = next(_examples)
    prepare(database_of_module, example)
    steps = {
        "snapshots": [(0, SNAPSHOT, "kept"), (1, SNAPSHOT, "kept")],
        "use": [(0, using, "kept")],
        "delete": [(1, DELETE, "kept")],
        "commit-use": [(0, "commit", "")],
        "commit-delete": [(1, "commit", "")],
    }
    schedule = [step for name in order.split() for step in steps[name]]
    outcomes = run_schedule(database_of_module, "loyalty", example, (user, deleter), schedule)
    assert count(database_of_module, ORPHANS.format(schema="loyalty")) == 0
    deletes = outcomes[1][1 if order.startswith("snapshots") else 0]
    if deleter != ISOLATION_LEVEL_READ_COMMITTED:
        assert deletes in (errors.RestrictViolation, errors.SerializationFailure)
    elif order.replace("snapshots ", "").startswith("use"):
        assert deletes is errors.ForeignKeyViolation
    else:
        assert deletes == 1


@pytest.fixture(scope="module")
def database_of_module(warehouse_of_module):
    """One warehouse for the fixed schedules, which keep apart by their keys."""
    connection = psycopg2.connect(warehouse_of_module.owner_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(TWIN)
    yield connection
    connection.close()


def test_an_insert_of_many_cards_names_no_key_and_counts_the_unknown_ones(database):
    prepare(database, example := next(_examples))
    statement = (
        "INSERT INTO loyalty.gift_card (card_number, pool_system_name, balance)"
        f" SELECT 'x' || i, (ARRAY['{example}-p0', 'secret1', 'secret2'])[i % 3 + 1], 1"
        " FROM generate_series(1, 1000) AS i"
    )
    refusal = r"gift cards refer to 2 unknown pool value\(s\)"
    with database.cursor() as cursor, pytest.raises(errors.ForeignKeyViolation, match=refusal) as caught:
        cursor.execute(statement)
    assert "secret" not in str(caught.value)
    assert caught.value.diag.constraint_name == "gift_card_pool_system_name_fkey"


def test_the_references_are_declared_for_people_and_tools(database):
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'loyalty.gift_card'::regclass AND contype = 'f' ORDER BY conname"
        )
        assert cursor.fetchall() == [
            (
                "gift_card_point_of_contact_fkey",
                "FOREIGN KEY (point_of_contact) REFERENCES loyalty.point_of_contact(external_id) NOT ENFORCED",
            ),
            (
                "gift_card_pool_system_name_fkey",
                "FOREIGN KEY (pool_system_name) REFERENCES loyalty.gift_card_pool(system_name) NOT ENFORCED",
            ),
        ]
