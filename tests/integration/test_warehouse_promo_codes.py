"""Promo codes in the database: what never changes, their pools, and the count of each format's space."""

import io
import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import (
    ISOLATION_LEVEL_READ_COMMITTED,
    ISOLATION_LEVEL_REPEATABLE_READ,
    ISOLATION_LEVEL_SERIALIZABLE,
)
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.integration.code_pools import Client, add_codes, add_pool, code, wait_until_blocked

pytestmark = pytest.mark.integration

LEVELS = (ISOLATION_LEVEL_READ_COMMITTED, ISOLATION_LEVEL_REPEATABLE_READ, ISOLATION_LEVEL_SERIALIZABLE)


@pytest.fixture
def connection(warehouse_of_module):
    """One transaction in a warehouse with a pool `summer`, rolled back at the end."""
    with warehouse_of_module.owner.connect() as connection:
        add_pool(connection)
        yield connection


def run(connection, statement, **values):
    return connection.execute(text(statement), values)


# -- what a code may be


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"issue_start": "2024-01-01Z", "issue_end": "2024-01-02Z"}, None),
        ({"issue_start": "2024-01-01Z", "issue_end": "2024-01-01Z"}, "promo_code_issue_window_check"),
        ({"issue_start": "2024-01-02Z", "issue_end": "2024-01-01Z"}, "promo_code_issue_window_check"),
        ({"issue_start": "2024-01-01Z"}, None),
        ({"issue_end": "2024-01-01Z"}, None),
        ({"available_from": "2024-01-01Z", "available_till": "2024-01-01Z"}, "promo_code_available_window_check"),
        ({"available_from": "2024-01-01Z", "available_till": "2024-01-02Z"}, None),
        ({"generation_id": 1, "import_job_id": 1}, "promo_code_origin_check"),
        ({"import_job_id": None}, "promo_code_origin_check"),
        ({"pool": "nowhere"}, "promo_code_pool_system_id_fkey"),
    ],
)
def test_pc03_the_values_of_a_code_are_checked(connection, columns, constraint):
    if constraint is None:
        add_codes(connection, "A", **columns)
    else:
        with pytest.raises(IntegrityError, match=constraint):
            add_codes(connection, "A", **columns)


def test_pc04_a_code_exists_once_over_all_pools_and_is_compared_as_written(connection):
    add_pool(connection, "winter")
    add_codes(connection, "Abc")
    add_codes(connection, "ABC", pool="winter")
    with pytest.raises(IntegrityError, match="promo_code_pkey"):
        add_codes(connection, "Abc", pool="winter")


@pytest.mark.parametrize(
    "change",
    [
        "code = 'B'", "pool_system_id = 'winter'", "import_job_id = 2", "import_line = 9",
        "import_job_id = NULL, generation_id = 1", "issued_at = NULL", "issued_at = now()", "used_at = NULL",
        "used_at = now()",
    ],
)  # fmt: skip
def test_code_pool_origin_issue_and_use_never_change(connection, change):
    add_pool(connection, "winter")
    add_codes(connection, "A", import_job_id=1, import_line=1)
    run(connection, "UPDATE loyalty.promo_code SET issued_at = '2024-01-01Z', used_at = '2024-01-02Z'")
    with pytest.raises(IntegrityError, match=r"UPDATE of loyalty\.promo_code refused: code, pool and origin") as caught:
        run(connection, f"UPDATE loyalty.promo_code SET {change}")
    assert "'A'" not in str(caught.value).split("[SQL:")[0]


def test_every_column_is_locked_or_said_to_change(connection):
    """The trigger names what it locks: to compare whole rows would cost an upload of dates 8 % of its UPDATE."""
    may_change = {"issue_start", "issue_end", "available_from", "available_till", "issued_to", "used_by"}
    definition = (
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger "
        "WHERE tgname = 'refuse_change' AND tgrelid = 'loyalty.promo_code'::regclass"
    )
    locked = set(re.findall(r"old\.(\w+)", run(connection, definition).scalar_one()))
    columns = run(
        connection,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'loyalty.promo_code'::regclass AND attnum > 0 "
        "AND NOT attisdropped",
    ).scalars()
    assert set(columns) == locked | may_change
    assert not locked & may_change


@pytest.mark.parametrize("table", ["promo_code", "promo_code_use"])
def test_codes_and_uses_are_never_deleted(connection, table):
    add_codes(connection, "A")
    run(connection, "INSERT INTO loyalty.promo_code_use (code) VALUES ('A')")
    with pytest.raises(IntegrityError, match=f"DELETE of loyalty.{table} refused"):
        run(connection, f"DELETE FROM loyalty.{table}")


def test_the_history_of_uses_never_changes(connection):
    add_codes(connection, "A")
    run(connection, "INSERT INTO loyalty.promo_code_use (code) VALUES ('A')")
    with pytest.raises(IntegrityError, match=r"UPDATE of loyalty\.promo_code_use refused"):
        run(connection, "UPDATE loyalty.promo_code_use SET customer = 'x'")


def test_pg05_the_moment_at_which_a_code_closes_is_the_expression_of_the_index_of_the_stock(connection):
    """With a call in its place every issue would sort the whole pool."""
    run(connection, "SET LOCAL enable_seqscan = off")
    statement = (
        "SELECT FROM loyalty.promo_code WHERE pool_system_id = 'summer' AND issued_at IS NULL AND used_at IS NULL "
        "AND loyalty.promo_code_closes_at(issue_end, available_till) > now()"
    )
    plan = "\n".join(run(connection, f"EXPLAIN {statement}").scalars())
    assert "promo_code_stock_idx" in plan
    assert re.search(r"Index Cond: .* AND \(COALESCE\(LEAST\(issue_end, available_till\), .*\) > now\(\)\)", plan)
    assert "promo_code_closes_at" not in plan


# -- references


def test_x20_an_unknown_pool_is_refused_for_copy_too_and_not_named(connection):
    """In a file whose columns are mixed up a code is where the pool is expected."""
    cursor = connection.connection.cursor()
    with pytest.raises(psycopg2.errors.ForeignKeyViolation, match=r"refer to 1 unknown pool value\(s\)") as caught:
        cursor.copy_expert(
            "COPY loyalty.promo_code (code, pool_system_id, generation_id) FROM STDIN WITH (FORMAT csv)",
            io.StringIO("A,summer,1\nB,SECRET7,1\nC,SECRET7,1\n"),
        )
    assert "SECRET7" not in str(caught.value)


def test_a_statement_that_adds_nothing_needs_no_pool(connection):
    add_codes(connection, "A")
    run(connection, "INSERT INTO loyalty.promo_code SELECT * FROM loyalty.promo_code ON CONFLICT DO NOTHING")
    run(connection, "INSERT INTO loyalty.promo_code (code, pool_system_id) SELECT 'x', 'nowhere' WHERE false")
    assert code(connection, "A")["pool_system_id"] == "summer"


_examples = itertools.count(1)
INSERT = "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) "
STEPS = {
    "insert": INSERT + "VALUES ('{own}', '{pool}', 1)",
    "insert more": INSERT + "VALUES ('{own} more', '{pool}', 1)",
    "delete": "DELETE FROM loyalty.promo_code_pool WHERE system_id = '{pool}'",
    "rename": "UPDATE loyalty.promo_code_pool SET system_id = '{pool}-{own}' WHERE system_id = '{pool}'",
    "edit": "UPDATE loyalty.promo_code_pool SET name = 'x' WHERE system_id = '{pool}'",
    "fill": "UPDATE loyalty.promo_code_pool SET fill_method = 'generate' WHERE system_id = '{pool}'",
    "look": "SELECT count(*) FROM loyalty.promo_code",
    "count": "SELECT loyalty.count_promo_code_pool('{pool}')",
}
steps = st.lists(st.sampled_from([*STEPS]), min_size=1, max_size=3)


@pytest.mark.parametrize("has_codes", [False, True])
def test_no_interleaving_of_two_sessions_leaves_a_code_without_its_pool(warehouse, has_codes):
    """At any mix of isolation levels; nor with a fill_method that isn't that of the codes."""
    committed_deletes = 0

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        first=steps, second=steps, levels=st.tuples(st.sampled_from(LEVELS), st.sampled_from(LEVELS)),
        order=st.lists(st.booleans(), max_size=6), ends=st.tuples(st.booleans(), st.booleans()),
    )  # fmt: skip
    def check(first, second, levels, order, ends):
        nonlocal committed_deletes
        pool = f"pool {next(_examples)}"
        with Client(warehouse.owner_url) as watcher:
            watcher.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES (%s, 'n')", pool)
            if has_codes:
                watcher.add_codes([f"{pool} there"], pool, import_job_id=1)
            race(warehouse.owner_url, pool, (first, second), levels, order, ends)
            assert watcher.run(
                "SELECT count(*) FROM loyalty.promo_code AS code LEFT JOIN loyalty.promo_code_pool AS pool"
                " ON pool.system_id = code.pool_system_id WHERE pool.system_id IS NULL"
                " OR pool.fill_method <> 'upload' OR pool.first_code_at IS NULL"
            ) == [(0,)]
            gone = watcher.run("SELECT count(*) = 0 FROM loyalty.promo_code_pool WHERE system_id = %s", pool)
            committed_deletes += gone[0][0]

    check()
    assert (committed_deletes > 0) is not has_codes


def race(url, pool, sessions, levels, order, ends):
    """Run the steps of two sessions side by side, in the order given where they don't block; commit or roll back."""
    clients = [Client(url, autocommit=False) for _ in sessions]
    with ThreadPoolExecutor(2) as threads:
        try:
            queues = []
            for number, (client, level) in enumerate(zip(clients, levels, strict=True)):
                client.connection.set_isolation_level(level)
                client.run("SET lock_timeout = '2s'")
                client.connection.commit()
                queues.append([STEPS[step].format(pool=pool, own=f"{pool} {number}") for step in sessions[number]])
            pending = [None, None]
            for turn in [*order, *[0, 1] * 3]:
                number = int(turn)
                if pending[number] is not None and not pending[number].done():
                    time.sleep(0.02)
                if queues[number] and (pending[number] is None or pending[number].done()):
                    pending[number] = threads.submit(attempt, clients[number], queues[number].pop(0))
                    time.sleep(0.005)
                elif not queues[number] and pending[number] is not None and pending[number].done():
                    end(clients[number], ends[number])
        finally:
            for client, is_commit in zip(clients, ends, strict=True):
                threads.submit(end, client, is_commit)
    for client in clients:
        client.connection.close()


def attempt(client, statement):
    try:
        client.run("SAVEPOINT before")
        client.run(statement)
    except psycopg2.Error:
        client.connection.rollback()


def end(client, is_commit):
    try:
        client.connection.commit() if is_commit else client.connection.rollback()
    except psycopg2.Error:
        client.connection.rollback()


# -- the space of a format (PG-02)


def space(connection, name="summer"):
    statement = "SELECT present, available FROM loyalty.promo_code_format_stock WHERE name = :name"
    row = run(connection, statement, name=name).one()
    return int(row.present), int(row.available)


def add_format(connection, name="tiny", alphabet="AB", length=4, prefix="", suffix="", max_codes=None):
    run(
        connection,
        "INSERT INTO loyalty.promo_code_format VALUES (:name, :alphabet, :length, :prefix, :suffix, :max_codes)",
        name=name, alphabet=alphabet, length=length, prefix=prefix, suffix=suffix, max_codes=max_codes,
    )  # fmt: skip


SHAPES = [
    ("AB", 4, "", "", ["ABAB", "BBBB"], ["ABA", "ABABA", "ABAC", "abab", "ABA\n"]),
    ("AB", 6, "X-", ".", ["X-AAA.", "X-ABA."], ["X-AAAA", "XXAAA.", "X-AAC.", "x-AAA.", "X-AA."]),
    ("^-]\\[a", 4, "", "", ["^-]\\", "[[[[", "a^a-"], ["b^a-", "aaa_", "a.aa"]),
    ("éß日", 5, "ü", "*", ["üéß日*", "üééé*"], ["uéß日*", "üéß日x", "üéßé日*"]),
    (".+", 5, "(", ")", ["(.+.)", "(+++)"], ["(a+.)", "(.+.]"]),
    ("_%", 4, "%", "", ["%___", "%%_%"], ["____", "%_x_"]),
    ("'\"", 5, "'\\", "", ["'\\'\"'", "'\\'''"], ["'/'\"'", "'\\'\"x"]),
]


@pytest.mark.parametrize("is_format_first", [True, False])
@pytest.mark.parametrize(("alphabet", "length", "prefix", "suffix", "inside", "outside"), SHAPES)
def test_pg02_codes_of_any_origin_in_a_formats_space_are_counted(
    connection, is_format_first, alphabet, length, prefix, suffix, inside, outside
):
    if is_format_first:
        add_format(connection, "tiny", alphabet, length, prefix, suffix)
    add_pool(connection, "winter")
    add_codes(connection, *inside[:1], *outside, pool="summer")
    add_codes(connection, *inside[1:], pool="winter", generation_id=1)
    if not is_format_first:
        add_format(connection, "tiny", alphabet, length, prefix, suffix)
    capacity = len(alphabet) ** (length - len(prefix) - len(suffix))
    assert space(connection, "tiny") == (len(inside), capacity - len(inside))


def test_pg02_a_code_counts_in_every_format_whose_space_it_is_in_once(connection):
    add_format(connection, "all", "AB", 4)
    add_format(connection, "some", "AB", 4, prefix="A")
    add_codes(connection, "AABB", "BBBB")
    run(connection, "INSERT INTO loyalty.promo_code SELECT * FROM loyalty.promo_code ON CONFLICT DO NOTHING")
    assert (space(connection, "all"), space(connection, "some")) == ((2, 14), (1, 7))


def test_pg02_max_codes_bounds_what_is_generated_and_the_space_what_is_present(connection):
    add_format(connection, "tiny", "AB", 4, max_codes=5)
    assert space(connection, "tiny") == (0, 5)
    add_codes(connection, *(f"AA{a}{b}" for a in "AB" for b in "AB"))
    assert space(connection, "tiny") == (4, 5)
    run(connection, "UPDATE loyalty.promo_code_format SET generated = 3, next_index = 3 WHERE name = 'tiny'")
    assert space(connection, "tiny") == (4, 2)
    add_codes(connection, *(f"{x}{a}{b}{c}" for x in "B" for a in "AB" for b in "AB" for c in "AB"))
    assert space(connection, "tiny") == (12, 2)
    add_codes(connection, "ABAA", "ABAB", "ABBA")
    assert space(connection, "tiny") == (15, 1)


def test_pg02_a_format_that_changes_or_goes_is_counted_again(connection):
    add_format(connection, "tiny", "AB", 4)
    add_codes(connection, "ABAB", "XXXX", "XXXXX")
    run(connection, "UPDATE loyalty.promo_code_format SET alphabet = 'XY' WHERE name = 'tiny'")
    assert space(connection, "tiny") == (1, 15)
    run(connection, "UPDATE loyalty.promo_code_format SET max_codes = 3 WHERE name = 'tiny'")
    assert space(connection, "tiny") == (1, 3)
    run(connection, "UPDATE loyalty.promo_code_format SET name = 'other' WHERE name = 'tiny'")
    assert space(connection, "other") == (1, 3)
    run(connection, "DELETE FROM loyalty.promo_code_format WHERE name = 'other'")
    assert run(connection, "SELECT count(*) FROM loyalty.promo_code_format_use WHERE format = 'other'").scalar() == 0


@pytest.mark.parametrize("is_committed", [True, False])
def test_pg02_a_new_format_counts_codes_that_were_being_loaded_when_it_came(warehouse, is_committed):
    """It waits for the load, which could not know it; and the other way round."""
    with (
        Client(warehouse.owner_url) as setup,
        Client(warehouse.owner_url, autocommit=False) as load,
        ThreadPoolExecutor() as pool,
    ):
        setup.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('summer', 'Summer')")
        load.add_codes(["ABAB", "BBBB", "CCCC"])
        with Client(warehouse.owner_url) as sync:
            waiting = pool.submit(
                sync.run, "INSERT INTO loyalty.promo_code_format (name, alphabet, length) VALUES ('tiny', 'AB', 4)"
            )
            wait_until_blocked(setup)
            load.connection.commit() if is_committed else load.connection.rollback()
            waiting.result(30)
        expected = [(2 if is_committed else 0,)]
        present = "SELECT present::integer FROM loyalty.promo_code_format_stock WHERE name = 'tiny'"
        assert setup.run(present) == expected

    with (
        Client(warehouse.owner_url) as setup,
        Client(warehouse.owner_url, autocommit=False) as sync,
        ThreadPoolExecutor() as pool,
    ):
        sync.run("INSERT INTO loyalty.promo_code_format (name, alphabet, length) VALUES ('late', 'XY', 4)")
        with Client(warehouse.owner_url) as load:
            waiting = pool.submit(load.add_codes, ["XYXY", "XXXX"])
            wait_until_blocked(setup)
            sync.connection.commit() if is_committed else sync.connection.rollback()
            waiting.result(30)
        present = "SELECT present::integer FROM loyalty.promo_code_format_stock WHERE name = 'late'"
        assert setup.run(present) == ([(2,)] if is_committed else [])


def test_loads_do_not_wait_for_each_other_nor_for_a_generation_of_the_same_format(warehouse):
    with Client(warehouse.owner_url) as upload, Client(warehouse.owner_url, autocommit=False) as generation:
        upload.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('summer', 'S'), ('winter', 'W')")
        upload.run("SET lock_timeout = '300ms'")
        generation.run("SELECT FROM loyalty.promo_code_format WHERE name = 'summer' FOR UPDATE")
        generation.add_codes(["S-AAAAAAAA"])
        upload.add_codes(["S-BBBBBBBB", "S-CCCCCCCC"], "winter", import_job_id=1)
        present = "SELECT present::integer FROM loyalty.promo_code_format_stock WHERE name = 'summer'"
        assert upload.run(present) == [(2,)]
        generation.connection.commit()
        assert upload.run(present) == [(3,)]


def test_pg02_the_figures_of_a_format_are_exact_beyond_what_a_float_holds(connection):
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    add_format(connection, "huge", alphabet, 64)
    add_codes(connection, "A" * 64)
    row = run(connection, "SELECT * FROM loyalty.promo_code_format_stock WHERE name = 'huge'").one()
    assert int(row.capacity) == 36**64
    assert int(row.available) == 36**64 - 1


def test_the_guess_probability_and_what_a_guess_could_still_be_issued(connection):
    add_format(connection, "tiny", "AB", 4)
    add_codes(connection, "AAAA", "AAAB", "AABB", "BBBB", "other")
    run(connection, "UPDATE loyalty.promo_code SET used_at = now() WHERE code = 'AAAA'")
    run(connection, "UPDATE loyalty.promo_code SET issued_at = now() WHERE code = 'AAAB'")
    row = run(connection, "SELECT * FROM loyalty.promo_code_format_stock WHERE name = 'tiny'").one()
    assert (row.present, row.codes_issuable, float(row.guess_probability)) == (4, 2, 0.25)
