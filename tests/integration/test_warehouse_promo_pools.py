"""Promo code pools and formats in the database: what fits together, and what the launch and the first code freeze."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg2.errors import ForeignKeyViolation
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.integration.code_pools import POOL, Client, add_codes, add_pool, wait_until_blocked
from tests.integration.gift_cards import insert

pytestmark = pytest.mark.integration


@pytest.fixture
def connection(warehouse_of_module):
    """One transaction, rolled back at the end."""
    with warehouse_of_module.owner.connect() as connection:
        yield connection


def run(connection, statement, **values):
    return connection.execute(text(statement), values)


def refused(connection, statement, match, kind=IntegrityError):
    """Check that a statement is refused; the transaction goes on."""
    with pytest.raises(kind, match=match), connection.begin_nested():
        run(connection, statement)


def pool(connection, system_id="summer"):
    return run(connection, "SELECT * FROM loyalty.promo_code_pool WHERE system_id = :id", id=system_id).mappings().one()


# -- what a pool may be


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({}, None),
        ({"state": "draft", "description": None}, None),
        ({"state": "active", "description": None}, "promo_code_pool_launch_check"),
        ({"state": "active", "description": ""}, "promo_code_pool_description_check"),
        ({"state": "draft", "launched_at": "2024-05-05Z"}, "promo_code_pool_launch_check"),
        ({"state": "closed"}, "promo_code_pool_(state|launch)_check"),
        ({"issue_check": True, "assigned_validity_days": 30}, None),
        ({"issue_check": True}, "promo_code_pool_issue_check_validity_check"),
        ({"issue_check": True, "assigned_validity_days": 30, "multi_use": True}, "issue_check_or_multi_use_check"),
        ({"assigned_validity_days": 0}, "promo_code_pool_assigned_validity_days_check"),
        ({"multi_use": True}, None),
        ({"auto_generate": True, "quantity": 5}, None),
        ({"auto_generate": True}, "promo_code_pool_auto_generate_quantity_check"),
        ({"quantity": 0}, "promo_code_pool_quantity_check"),
        ({"top_up_threshold": 0, "notify_below": 0}, None),
        ({"top_up_threshold": -1}, "promo_code_pool_top_up_threshold_check"),
        ({"notify_below": -1}, "promo_code_pool_notify_below_check"),
        ({"lead_hours": 0}, "promo_code_pool_lead_hours_check"),
        ({"fill_method": "upload"}, None),
        ({"fill_method": "magic"}, "promo_code_pool_fill_method_check"),
        ({"processing": "external"}, None),
        ({"processing": "elsewhere"}, "promo_code_pool_processing_check"),
        ({"format": "summer"}, None),
        ({"format": "unknown"}, "promo_code_pool_format_fkey"),
        ({"name": ""}, "promo_code_pool_name_check"),
        ({"system_id": ""}, "promo_code_pool_system_id_check"),
        ({"import_job_id": 1}, "promo_code_pool_import_job_id_fkey"),
    ],
)
def test_pp01_pp02_the_settings_of_a_pool_fit_together(connection, changes, constraint):
    row = {**POOL, **changes}
    if constraint is None:
        insert(connection, "loyalty.promo_code_pool", row)
    else:
        with pytest.raises(IntegrityError, match=constraint):
            insert(connection, "loyalty.promo_code_pool", row)


@pytest.mark.parametrize("multi_use", [True, False])
def test_pp02_issue_check_and_multi_use_exclude_each_other_in_edits_too(connection, multi_use):
    add_pool(connection, multi_use=multi_use, issue_check=not multi_use, assigned_validity_days=5, state="draft")
    change = "issue_check" if multi_use else "multi_use"
    refused(connection, f"UPDATE loyalty.promo_code_pool SET {change} = true", "issue_check_or_multi_use_check")


# -- launch


def test_pp01_a_launch_needs_a_description_and_notes_its_time(connection):
    add_pool(connection, state="draft", description=None)
    launch = "UPDATE loyalty.promo_code_pool SET state = 'active'"
    refused(connection, launch, "promo_code_pool_launch_check")
    run(connection, launch + ", description = 'For the summer'")
    assert pool(connection)["launched_at"] == connection.scalar(text("SELECT now()"))
    refused(connection, "UPDATE loyalty.promo_code_pool SET description = NULL", "promo_code_pool_launch_check")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("state = 'draft', launched_at = NULL", "a launched pool stays launched"),
        ("launched_at = '2020-01-01Z'", "the time of the launch never changes"),
        ("multi_use = true", "multi_use is frozen by the launch"),
        ("system_id = 'winter'", "system_id is frozen by the launch"),
        ("number = DEFAULT", "the number of a pool never changes"),
    ],
)
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_pp02_the_launch_freezes(warehouse_of_module, change, reason, isolation):
    with warehouse_of_module.owner.execution_options(isolation_level=isolation).connect() as connection:
        add_pool(connection)
        refused(connection, f"UPDATE loyalty.promo_code_pool SET {change}", f"promo_code_pool refused: {reason}")


def test_pp02_a_draft_may_change_and_so_may_the_other_settings_of_an_active_pool(connection):
    add_pool(connection, state="draft")
    run(connection, "UPDATE loyalty.promo_code_pool SET multi_use = true, system_id = 'winter', fill_method = 'upload'")
    run(connection, "UPDATE loyalty.promo_code_pool SET multi_use = false, fill_method = NULL, state = 'active'")
    run(
        connection,
        "UPDATE loyalty.promo_code_pool SET name = 'n', description = 'd', campaign = 'c', parameter_name = 'p',"
        " fill_method = 'generate', format = 'summer', quantity = 7, auto_generate = true, top_up_threshold = 1,"
        " notify_below = 2, lead_hours = 3, issue_check = true, assigned_validity_days = 4, processing = 'external'",
    )
    assert pool(connection, "winter")["quantity"] == 7


def test_a_change_is_dated_and_no_change_is_not(connection):
    add_pool(connection, updated_at="2020-01-01Z")
    run(connection, "UPDATE loyalty.promo_code_pool SET name = name")
    assert pool(connection)["updated_at"].year == 2020
    run(connection, "UPDATE loyalty.promo_code_pool SET name = 'Other'")
    assert pool(connection)["updated_at"] == connection.scalar(text("SELECT now()"))


# -- the first code


@pytest.mark.parametrize(
    ("origin", "fill_method", "other"),
    [({"import_job_id": 1}, "upload", "generate"), ({"generation_id": 1}, "generate", "upload")],
)
@pytest.mark.parametrize("before", ["blank", "set"])
@pytest.mark.parametrize("state", ["draft", "active"])
def test_pp02_the_first_code_sets_and_freezes_fill_method(connection, origin, fill_method, other, before, state):
    add_pool(connection, state=state, fill_method=fill_method if before == "set" else None)
    add_codes(connection, "A", "B", **origin)
    first_code_at = pool(connection)["first_code_at"]
    assert (pool(connection)["fill_method"], first_code_at is None) == (fill_method, False)
    for value in (f"'{other}'", "NULL"):
        refused(
            connection,
            f"UPDATE loyalty.promo_code_pool SET fill_method = {value}",
            "promo_code_pool refused: fill_method is frozen by the first code",
        )
    refused(connection, "UPDATE loyalty.promo_code_pool SET first_code_at = NULL", "time of the first code never")
    refused(
        connection, "UPDATE loyalty.promo_code_pool SET system_id = 'x'", "system_id is frozen by the (launch|first)"
    )
    refused(
        connection, "DELETE FROM loyalty.promo_code_pool", "DELETE of loyalty.promo_code_pool refused: it has codes"
    )
    add_codes(connection, "C", **origin)
    assert pool(connection)["first_code_at"] == first_code_at


@pytest.mark.parametrize(
    ("origin", "other"), [({"import_job_id": 1}, {"generation_id": 1}), ({"generation_id": 1}, {"import_job_id": 1})]
)
@pytest.mark.parametrize("frozen", [False, True])
def test_pc05_codes_of_the_other_origin_are_refused(connection, origin, other, frozen):
    fill_method = "upload" if "import_job_id" in origin else "generate"
    add_pool(connection, fill_method=fill_method)
    add_pool(connection, "blank")
    if frozen:
        add_codes(connection, "A", **origin)
    with pytest.raises(IntegrityError, match=r"1 pool\(s\) are filled the other way"), connection.begin_nested():
        add_codes(connection, "B", **other)
    with pytest.raises(IntegrityError, match="filled the other way"), connection.begin_nested():
        run(
            connection,
            "INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id, import_job_id)"
            " VALUES ('C', 'blank', 1, NULL), ('D', 'blank', NULL, 1)",
        )
    assert pool(connection, "blank")["fill_method"] is None


def test_a_pool_without_codes_can_be_deleted_with_its_sequence_and_a_stock_row(connection):
    number = run(connection, "INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('x', 'X') RETURNING number")
    sequence = f"loyalty.promo_code_take_{number.scalar_one()}"
    assert connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": sequence})
    run(connection, "SELECT loyalty.count_promo_code_pool('x')")
    run(connection, "DELETE FROM loyalty.promo_code_pool")
    assert connection.scalar(text("SELECT to_regclass(:name) IS NULL"), {"name": sequence})
    assert connection.scalar(text("SELECT count(*) FROM loyalty.promo_code_pool_stock")) == 0


@pytest.mark.parametrize("table", ["promo_code_pool", "promo_code", "promo_code_use", "promo_code_format"])
def test_nothing_is_truncated(connection, table):
    refused(connection, f"TRUNCATE loyalty.{table} CASCADE", f"TRUNCATE of loyalty.{table} refused")


def test_pp02_two_first_codes_at_once_of_both_origins_one_is_refused(warehouse):
    """The second waits for the first one's commit, and then sees the fill_method that it has set."""
    with Client(warehouse.owner_url) as setup, Client(warehouse.owner_url, autocommit=False) as upload:
        setup.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('summer', 'Summer')")
        upload.add_codes(["A"], import_job_id=1)
        with Client(warehouse.owner_url) as generation:
            generation.run("SET lock_timeout = '300ms'")
            with pytest.raises(Exception, match="lock timeout"):
                generation.add_codes(["B"])
            upload.connection.commit()
            with pytest.raises(Exception, match="filled the other way"):
                generation.add_codes(["B"])
        assert setup.run("SELECT code FROM loyalty.promo_code") == [("A",)]


def test_pp02_fill_method_cannot_slip_past_a_first_code_that_is_not_committed_yet(warehouse):
    with Client(warehouse.owner_url) as setup, Client(warehouse.owner_url, autocommit=False) as upload:
        setup.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('summer', 'Summer')")
        upload.add_codes(["A"], import_job_id=1)
        setup.run("SET lock_timeout = '300ms'")
        for statement in ("UPDATE loyalty.promo_code_pool SET fill_method = 'generate'",
                          "UPDATE loyalty.promo_code_pool SET system_id = 'other'",
                          "DELETE FROM loyalty.promo_code_pool"):  # fmt: skip
            with pytest.raises(Exception, match="lock timeout"):
                setup.run(statement)
        upload.connection.commit()
        for statement in ("UPDATE loyalty.promo_code_pool SET fill_method = 'generate'",
                          "UPDATE loyalty.promo_code_pool SET system_id = 'other'",
                          "DELETE FROM loyalty.promo_code_pool"):  # fmt: skip
            with pytest.raises(Exception, match="refused"):
                setup.run(statement)


def test_codes_of_a_pool_that_is_just_being_deleted_wait_and_are_refused(warehouse):
    with Client(warehouse.owner_url) as setup, Client(warehouse.owner_url, autocommit=False) as deletion:
        setup.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('summer', 'Summer')")
        deletion.run("DELETE FROM loyalty.promo_code_pool")
        with Client(warehouse.owner_url) as upload, ThreadPoolExecutor() as threads:
            waiting = threads.submit(upload.add_codes, ["A"])
            wait_until_blocked(setup)
            deletion.connection.commit()
            with pytest.raises(ForeignKeyViolation):
                waiting.result(30)
        assert setup.run("SELECT count(*) FROM loyalty.promo_code") == [(0,)]


def test_first_codes_of_several_pools_lock_them_in_one_order(warehouse):
    """Otherwise two files for the same new pools could wait for each other."""
    names = [f"p{number}" for number in range(8)]
    row = "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES "
    with Client(warehouse.owner_url) as setup, Client(warehouse.owner_url, autocommit=False) as first:
        for name in reversed(names):
            setup.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES (%s, 'n')", name)
        first.run(row + "('first p0', 'p0', 1)")
        with Client(warehouse.owner_url) as second, ThreadPoolExecutor() as threads:
            values = ", ".join(f"('second {name}', '{name}', 2)" for name in reversed(names))
            waiting = threads.submit(second.run, row + values)
            wait_until_blocked(setup)
            for name in names[1:]:
                first.run(row + f"('first {name}', '{name}', 1)")
            first.connection.commit()
            waiting.result(30)
        assert setup.run("SELECT count(*) FROM loyalty.promo_code") == [(16,)]


def test_later_codes_of_a_pool_wait_neither_for_each_other_nor_for_edits_of_it(warehouse):
    with Client(warehouse.owner_url) as setup:
        setup.run("INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('summer', 'Summer')")
        setup.add_codes(["A"])
        setup.run("SET lock_timeout = '300ms'")
        with Client(warehouse.owner_url, autocommit=False) as first:
            first.add_codes(["B"])
            setup.add_codes(["C"])
            setup.run("UPDATE loyalty.promo_code_pool SET name = 'Other'")
            first.add_codes(["D"])
            first.connection.commit()
        assert setup.run("SELECT count(*) FROM loyalty.promo_code") == [(4,)]


# -- formats


@pytest.mark.parametrize(
    "change",
    ["name = 'other'", "alphabet = 'AB'", "length = 11", "prefix = 'T-'", "suffix = 'X'", "max_codes = 5"],
)
def test_pp03_a_format_that_has_produced_codes_cannot_change(connection, change):
    statement = f"UPDATE loyalty.promo_code_format SET {change}"
    with connection.begin_nested() as savepoint:
        run(connection, statement)
        savepoint.rollback()
    run(connection, "UPDATE loyalty.promo_code_format SET generated = 1, next_index = 2, key_fingerprint = 'abc'")
    refused(connection, statement, "promo_code_format refused: a format that has produced codes cannot change")


def test_pp03_a_used_format_is_not_deleted_and_its_counters_go_on(connection):
    run(connection, "UPDATE loyalty.promo_code_format SET generated = 10, next_index = 10, key_fingerprint = 'abc'")
    refused(connection, "DELETE FROM loyalty.promo_code_format", "a format that has produced codes cannot change")
    refused(connection, "UPDATE loyalty.promo_code_format SET generated = 9", "stay generated")
    run(connection, "UPDATE loyalty.promo_code_format SET generated = 11, next_index = 0, key_fingerprint = 'xyz'")
    refused(connection, "UPDATE loyalty.promo_code_format SET next_index = -1", "promo_code_format_next_index_check")


def test_a_format_of_a_pool_is_not_deleted(connection):
    add_pool(connection, format="summer")
    refused(connection, "DELETE FROM loyalty.promo_code_format", "promo_code_pool_format_fkey")


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_pg02_formats_and_codes_are_added_at_read_committed_only(warehouse_of_module, isolation):
    with warehouse_of_module.owner.execution_options(isolation_level=isolation).connect() as connection:
        add_pool(connection)
        with pytest.raises(DBAPIError, match="at READ COMMITTED only"), connection.begin_nested():
            add_codes(connection, "A")
        refused(
            connection,
            "INSERT INTO loyalty.promo_code_format (name, alphabet, length) VALUES ('new', 'AB', 4)",
            "at READ COMMITTED only",
        )
