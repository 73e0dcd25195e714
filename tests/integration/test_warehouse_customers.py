"""Customers in the database, by raw SQL: what it refuses, what goes with an erased person, what its views show.

References to customers, and custom fields, are enforced by advisory locks and statement-level triggers: no mix of
sessions and isolation levels may leave a row of nobody, or a value that has no definition.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors
from psycopg2.extensions import (
    ISOLATION_LEVEL_READ_COMMITTED,
    ISOLATION_LEVEL_REPEATABLE_READ,
    ISOLATION_LEVEL_SERIALIZABLE,
)

from tests.integration.test_warehouse_references import Session, count, end, outcome, settle

pytestmark = pytest.mark.integration

LEVELS = {
    "rc": ISOLATION_LEVEL_READ_COMMITTED,
    "rr": ISOLATION_LEVEL_REPEATABLE_READ,
    "ser": ISOLATION_LEVEL_SERIALIZABLE,
}
ACTION = (
    "INSERT INTO loyalty.customer_action (customer_id, kind, action_template, data_source, point_of_contact, acted_at)"
    " VALUES ({}, 'edit', 'ImportedFromCrm', 'Maestra Platform admin panel', 'site-main', '2024-05-05Z')"
)
CHILDREN = {
    "loyalty.customer_external_id": "INSERT INTO loyalty.customer_external_id VALUES ('website', 'w{0}', {0})",
    "loyalty.customer_subscription": (
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, channel, topic, is_subscribed, changed_at,"
        " data_source) VALUES ({}, 'Acme', 'Email', 'News', true, '2024-05-05Z', 'Maestra Platform admin panel')"
    ),
    "loyalty.segment_member": "INSERT INTO loyalty.segment_member (segment, customer_id) VALUES ('vip-2024', {})",
    "loyalty.customer_action": ACTION,
    "ledger.customer_change": "INSERT INTO ledger.customer_change VALUES ({0}, 2, {0}, '{{}}')",
}
ORPHANS = " + ".join(
    f"(SELECT count(*) FROM {table} WHERE customer_id NOT IN (SELECT id FROM loyalty.customer))" for table in CHILDREN
)
_numbers = itertools.count(1000)


@pytest.fixture(scope="module")
def database(warehouse_of_module) -> Iterator[Any]:
    """One connection in autocommit; the tests keep apart by the numbers of their customers."""
    connection = psycopg2.connect(warehouse_of_module.owner_url)
    connection.autocommit = True
    run(connection, "INSERT INTO loyalty.custom_field VALUES" + ", ".join(
        ("('Flag', 'boolean')", "('Size', 'integer')", "('Rate', 'decimal')", "('Day', 'date')", "('At', 'datetime')")
    ).replace("')", "', NULL)"))  # fmt: skip
    run(connection, "INSERT INTO loyalty.custom_field VALUES ('Mood', 'enum', '{good,bad}')")
    yield connection
    connection.close()


@pytest.fixture
def fresh(warehouse) -> Iterator[Any]:
    """One connection in autocommit to a database of the test's own."""
    connection = psycopg2.connect(warehouse.owner_url)
    connection.autocommit = True
    yield connection
    connection.close()


def run(connection, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def add_customer(connection, columns: str = "", values: str = "") -> int:
    """Commit a customer and return its number."""
    number = next(_numbers)
    run(connection, f"INSERT INTO loyalty.customer (id{columns}) VALUES ({number}{values})")
    return number


def refused(connection, statement: str) -> tuple[type[BaseException], str | None]:
    """Return an error's class and the constraint that it names."""
    with pytest.raises(psycopg2.Error) as caught:
        run(connection, statement)
    return type(caught.value), caught.value.diag.constraint_name


# -- Values


@pytest.mark.parametrize(
    ("column", "good", "bad", "constraint"),
    [
        ("email", "'a@x.com'", "''", "customer_blank_check"),
        ("mobile_phone", "'+12025550143'", "'2025550143'", "customer_mobile_phone_check"),
        ("mobile_phone", "NULL", "''", "customer_mobile_phone_check"),
        ("discount_card", "'0017'", "''", "customer_blank_check"),
        ("area", "'Leeds'", "''", "customer_blank_check"),
        ("last_name", "'Lee'", "''", "customer_blank_check"),
        ("first_name", "'Ann'", "''", "customer_blank_check"),
        ("middle_name", "'J.'", "''", "customer_blank_check"),
        ("full_name", "'Ann Lee'", "''", "customer_blank_check"),
        ("sex", "'female'", "'f'", "customer_sex_check"),
        ("custom_fields", "'{}'", "'[]'", "customer_custom_fields_check"),
    ],
)
def test_a_customer_s_values_are_checked(database, column, good, bad, constraint):
    number = add_customer(database, f", {column}", f", {good}")
    statement = f"UPDATE loyalty.customer SET {column} = {bad} WHERE id = {number}"
    assert refused(database, statement) == (errors.CheckViolation, constraint)


def test_cu03_an_email_is_one_customer_s_whatever_the_case_of_its_ascii_letters(database):
    """X-16: the case of other letters distinguishes addresses."""
    add_customer(database, ", email", ", 'Ärger@x.com'")
    statement = "INSERT INTO loyalty.customer (email) VALUES ('ÄRGER@X.COM')"
    assert refused(database, statement) == (errors.UniqueViolation, "customer_email_key")
    add_customer(database, ", email", ", 'ärger@x.com'")


def test_cu03_a_phone_is_one_customer_s(database):
    add_customer(database, ", mobile_phone", ", '+12025550199'")
    statement = "INSERT INTO loyalty.customer (mobile_phone) VALUES ('+12025550199')"
    assert refused(database, statement) == (errors.UniqueViolation, "customer_mobile_phone_key")


def test_cu02_customers_without_email_and_phone_and_with_one_discount_card_are_stored_side_by_side(database):
    for _ in range(2):
        add_customer(database, ", discount_card", ", '4711'")


def test_cu03_an_external_id_is_one_customer_s_and_a_customer_has_one_of_each_system(database):
    first, second = add_customer(database), add_customer(database)
    run(database, f"INSERT INTO loyalty.customer_external_id VALUES ('website', 'x17', {first})")
    insert = "INSERT INTO loyalty.customer_external_id VALUES "
    assert refused(database, insert + f"('website', 'x17', {second})") == (
        errors.UniqueViolation, "customer_external_id_pkey",
    )  # fmt: skip
    assert refused(database, insert + f"('website', 'x18', {first})") == (
        errors.UniqueViolation, "customer_external_id_customer_key",
    )  # fmt: skip
    assert refused(database, insert + f"('website', '', {second})") == (
        errors.CheckViolation, "customer_external_id_value_check",
    )  # fmt: skip


def test_cu06_a_customer_has_one_answer_for_a_brand_a_channel_and_a_topic(database):
    number = add_customer(database)
    insert = (
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, channel, topic, changed_at)"
        f" VALUES ({number}, 'Acme', %s, now())"
    )
    for place in ("NULL, NULL", "'Email', NULL", "'Email', 'News'", "'Sms', 'News'"):
        run(database, insert.replace("%s", place))
        assert refused(database, insert.replace("%s", place)) == (errors.UniqueViolation, "customer_subscription_key")
    assert refused(database, insert.replace("%s", "NULL, 'News'")) == (
        errors.CheckViolation, "customer_subscription_topic_check",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("FavoriteColor", ['"red"', '"1"'], ["1", "true", '""', "null", "[]", "{}"]),
        ("Flag", ["true", "false"], ['"true"', "1", "null"]),
        ("Size", ["0", "-17", "9223372036854775807", "1.0"], ['"1"', "1.5", "9223372036854775808", "true", "null"]),
        ("Rate", ["0.25", "-1", "9999999999999999.99"], ['"1"', "0.125", "10000000000000000", "null"]),
        ("Day", ['"2024-02-29"', '"1900-01-01"'],
         ['"2023-02-29"', '"29.02.2024"', '"2024-2-9"', '"2024-02-29T00:00:00Z"', "20240229", "null"]),
        ("At", ['"2024-02-29T23:59:59Z"', '"2024-02-29T00:00:00.5Z"', '"2024-02-29T00:00:00.123456Z"'],
         ['"2024-02-29T24:00:00Z"', '"2024-02-30T00:00:00Z"', '"2024-02-29T00:00:00"', '"2024-02-29"',
          '"2024-02-29T00:00:00.1234567Z"', '"2024-02-29T00:00:00+01:00"', "1", "null"]),
        ("Mood", ['"good"', '"bad"'], ['"Good"', '"ugly"', '""', "1", "null"]),
        ("Unheard", [], ['"x"', "null"]),
    ],
)  # fmt: skip
def test_custom_fields_are_of_their_type_in_inserts_and_updates(database, field, good, bad):
    for value in good:
        add_customer(database, ", custom_fields", f", '{{\"{field}\": {value}}}'")
    number = add_customer(database)
    for value in bad:
        for statement in (
            f"INSERT INTO loyalty.customer (custom_fields) VALUES ('{{}}'), ('{{\"{field}\": {value}}}')",
            f"UPDATE loyalty.customer SET custom_fields = '{{\"{field}\": {value}}}' WHERE id = {number}",
        ):
            assert refused(database, statement) == (errors.CheckViolation, "customer_custom_fields"), value


def test_x20_a_refused_custom_field_is_not_quoted(database):
    with pytest.raises(errors.CheckViolation) as caught:
        run(database, 'INSERT INTO loyalty.customer (custom_fields) VALUES (\'{"Size": "secret"}\'), (\'{"a": 1}\')')
    assert caught.value.diag.message_primary.startswith("2 customer(s) have a custom field that is not defined")
    assert "secret" not in str(caught.value)


# -- References

MISSING = {
    "customer_external_id_system_fkey": "INSERT INTO loyalty.customer_external_id VALUES ('secret', 'v', {})",
    "customer_subscription_brand_fkey": (
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, changed_at) VALUES ({}, 'secret', now())"
    ),
    "customer_subscription_channel_fkey": (
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, channel, changed_at)"
        " VALUES ({}, 'Acme', 'secret', now())"
    ),
    "customer_subscription_topic_fkey": (
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, channel, topic, changed_at)"
        " VALUES ({}, 'Acme', 'Email', 'secret', now())"
    ),
    "customer_subscription_data_source_fkey": (
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, data_source, changed_at)"
        " VALUES ({}, 'Acme', 'secret', now())"
    ),
    "segment_member_segment_fkey": "INSERT INTO loyalty.segment_member (segment, customer_id) VALUES ('secret', {})",
    "customer_action_action_template_fkey": ACTION.replace("ImportedFromCrm", "secret"),
    "customer_action_data_source_fkey": ACTION.replace("Maestra Platform admin panel", "secret"),
    "customer_action_point_of_contact_fkey": ACTION.replace("site-main", "secret"),
}


@pytest.mark.parametrize("constraint", MISSING)
def test_a_row_that_refers_to_nothing_is_refused_without_a_word_of_the_key(database, constraint):
    statement = MISSING[constraint].format(add_customer(database))
    with pytest.raises(errors.ForeignKeyViolation, match=r"refers to 1 unknown loyalty\.\w+ value") as caught:
        run(database, statement)
    assert caught.value.diag.constraint_name == constraint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("table", CHILDREN)
def test_a_row_of_a_customer_that_is_not_there_is_refused(database, table):
    existing, unknown = add_customer(database), next(_numbers)
    name = table.split(".")[1]
    assert refused(database, CHILDREN[table].format(unknown)) == (
        errors.ForeignKeyViolation, f"{name}_customer_id_fkey",
    )  # fmt: skip
    run(database, CHILDREN[table].format(existing))


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("loyalty.customer_external_id SET system = 'nowhere'", "customer_external_id_system_fkey"),
        ("loyalty.customer_subscription SET brand = 'nowhere'", "customer_subscription_brand_fkey"),
        ("loyalty.customer_subscription SET channel = 'nowhere'", "customer_subscription_channel_fkey"),
        ("loyalty.customer_subscription SET topic = 'nowhere'", "customer_subscription_topic_fkey"),
        ("loyalty.customer_subscription SET data_source = 'nowhere'", "customer_subscription_data_source_fkey"),
        ("loyalty.segment_member SET segment = 'nowhere'", "segment_member_segment_fkey"),
    ],
)
def test_an_update_can_not_lead_to_nothing_either(database, change, constraint):
    number = add_customer(database)
    run(database, CHILDREN[change.split()[0]].format(number))
    assert refused(database, f"UPDATE {change} WHERE customer_id = {number}") == (
        errors.ForeignKeyViolation, constraint,
    )  # fmt: skip


SUBSCRIPTION = CHILDREN["loyalty.customer_subscription"]
PARENTS = {
    "external_identity": ("system_name", "'{}'", CHILDREN["loyalty.customer_external_id"], "website"),
    "brand": ("name", "'{}'", SUBSCRIPTION, "Acme"),
    "subscription_channel": ("name", "'{}'", SUBSCRIPTION, "Email"),
    "subscription_topic": ("name", "'{}'", SUBSCRIPTION, "News"),
    "data_source": ("name", "'{}', 'site-main', false", SUBSCRIPTION, "Maestra Platform admin panel"),
    "segment": ("name", "'{}', false", CHILDREN["loyalty.segment_member"], "vip-2024"),
    "action_template": ("system_name", "'{}', 'Personal action'", ACTION, "ImportedFromCrm"),
    "point_of_contact": ("external_id", "'{}', 'Acme'", ACTION, "site-main"),
}
"""Table → its key, the values of a row with a key of the test's own, a row that refers to a key, and that key."""


@pytest.mark.parametrize("table", PARENTS)
@pytest.mark.parametrize("level", LEVELS)
def test_what_rows_refer_to_stays_at_every_isolation_level(database, table, level):
    column, values, child, usual = PARENTS[table]
    number = add_customer(database)
    key = f"parent {number}"
    run(database, f"INSERT INTO loyalty.{table} VALUES ({values.format(key)})")
    run(database, child.replace(f"'{usual}'", f"'{key}'").format(number))
    with contextlib.closing(psycopg2.connect(database.dsn, password=database.info.password)) as session:
        session.set_session(isolation_level=LEVELS[level], autocommit=True)
        delete = f"DELETE FROM loyalty.{table} WHERE {column} = '{key}'"
        assert refused(session, delete)[0] is (
            errors.ForeignKeyViolation if level == "rc" else errors.RestrictViolation
        )
        rename = f"UPDATE loyalty.{table} SET {column} = 'other' WHERE {column} = '{key}'"
        assert refused(session, rename)[0] is errors.RestrictViolation
        assert refused(session, f"TRUNCATE loyalty.{table} CASCADE")[0] is errors.RestrictViolation
    assert run(database, f"SELECT count(*) FROM loyalty.{table} WHERE {column} = '{key}'") == [(1,)]
    run(database, f"DELETE FROM loyalty.customer WHERE id = {number}")
    run(database, delete)
    assert run(database, f"SELECT count(*) FROM loyalty.{table} WHERE {column} = '{key}'") == [(0,)]


def test_every_unenforced_reference_has_its_triggers(database):
    """A foreign key that is NOT ENFORCED, and that no trigger enforces instead, would be a mere remark."""
    children = run(
        database,
        """
        SELECT DISTINCT child_table::text, tgname
        FROM loyalty.unenforced_references(NULL, NULL)
        LEFT JOIN pg_trigger ON tgrelid = child_table AND tgname LIKE 'check_references_of_%'
        WHERE child_table NOT IN ('loyalty.gift_card'::regclass, 'loyalty.promo_code'::regclass)
        """,
    )
    assert sorted(children) == sorted(
        (table, f"check_references_of_{of}") for table in CHILDREN for of in ("new", "changed")
    )
    parents = run(
        database,
        """
        SELECT DISTINCT parent_table::text
        FROM loyalty.unenforced_references(NULL, NULL)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = parent_table AND tgname = 'refuse_delete_in_use')
        """,
    )
    # A customer takes its rows along; pools are never deleted, or guarded by functions of their own.
    assert sorted(parents) == [("loyalty.customer",), ("loyalty.gift_card_pool",), ("loyalty.promo_code_pool",)]


# -- What never changes


@pytest.mark.parametrize(
    "change", ["id = id + 1000000", "import_job_id = 7", "import_line = 7", "import_job_id = NULL"]
)
def test_number_and_origin_of_a_customer_never_change(database, change):
    number = add_customer(database, ", import_job_id, import_line", ", 1, 2")
    statement = f"UPDATE loyalty.customer SET {change} WHERE id = {number}"
    assert refused(database, statement)[0] is errors.RestrictViolation


@pytest.mark.parametrize("table", CHILDREN)
def test_a_row_stays_its_customer_s(database, table):
    number, other = add_customer(database), add_customer(database)
    run(database, CHILDREN[table].format(number))
    statement = f"UPDATE {table} SET customer_id = {other} WHERE customer_id = {number}"
    assert refused(database, statement)[0] is errors.RestrictViolation


@pytest.mark.parametrize("table", ["loyalty.customer_action", "ledger.customer_change"])
def test_history_is_written_once_and_goes_with_the_customer_alone(database, table):
    number = add_customer(database)
    run(database, CHILDREN[table].format(number))
    column = "kind" if "action" in table else "fields"
    for statement in (
        f"UPDATE {table} SET {column} = {column} WHERE customer_id = {number}",
        f"DELETE FROM {table} WHERE customer_id = {number}",
        f"TRUNCATE {table}",
    ):
        assert refused(database, statement)[0] is errors.RestrictViolation
    run(database, f"DELETE FROM loyalty.customer WHERE id = {number}")
    assert run(database, f"SELECT count(*) FROM {table} WHERE customer_id = {number}") == [(0,)]


# -- Erasing a person


def test_erasing_a_person_takes_everything_of_the_person_and_nothing_of_others(database):
    erased, kept = add_customer(database), add_customer(database)
    for statement in CHILDREN.values():
        for number in (erased, kept):
            run(database, statement.format(number))
    run(database, f"DELETE FROM loyalty.customer WHERE id = {erased}")
    for table in ("loyalty.customer", *CHILDREN):
        column = "id" if table == "loyalty.customer" else "customer_id"
        left = run(database, f"SELECT {column} FROM {table} WHERE {column} IN ({erased}, {kept})")
        assert left == [(kept,)], table


def test_an_external_id_of_an_erased_person_is_free(database):
    first, second = add_customer(database), add_customer(database)
    run(database, f"INSERT INTO loyalty.customer_external_id VALUES ('website', 'free', {first})")
    run(database, f"DELETE FROM loyalty.customer WHERE id = {first}")
    run(database, f"INSERT INTO loyalty.customer_external_id VALUES ('website', 'free', {second})")


@pytest.mark.parametrize("level", ["rr", "ser"])
def test_a_person_is_erased_at_read_committed_only(database, level):
    number = add_customer(database)
    with contextlib.closing(psycopg2.connect(database.dsn, password=database.info.password)) as session:
        session.set_session(isolation_level=LEVELS[level], autocommit=True)
        assert refused(session, f"DELETE FROM loyalty.customer WHERE id = {number}")[0] is errors.RestrictViolation


def test_customers_are_not_truncated(database):
    assert refused(database, "TRUNCATE loyalty.customer CASCADE")[0] is errors.RestrictViolation


# -- Side by side

ORDERS = (
    "use erase commit-use commit-erase",
    "erase use commit-erase commit-use",
    "snapshots use commit-use erase commit-erase",
    "snapshots erase commit-erase use commit-use",
    "snapshots use erase commit-use commit-erase",
    "snapshots erase use commit-erase commit-use",
)


def run_schedule(database, levels: tuple[int, int], order: str, statements: dict[str, str]) -> dict[str, Any]:
    """Run steps of two sessions in this order, going on while one waits for the other; return each step's outcome."""
    sessions = [Session(database, level) for level in levels]
    owners = {"use": 0, "commit-use": 0, "erase": 1, "commit-erase": 1}
    for step in order.split():
        for number in [owners[step]] if step in owners else [0, 1]:
            session = sessions[number]
            if step.startswith("commit"):
                session.submit(end, session.connection, "commit")
            else:
                session.submit(
                    outcome, session.connection, statements.get(step, "SELECT count(*) FROM loyalty.customer")
                )
            settle(database, sessions)
    outcomes = [session.finish() for session in sessions]
    taken = [step for step in order.split() if step in owners]
    skipped = 1 if order.startswith("snapshots") else 0
    return {step: outcomes[owners[step]][skipped + [s for s in taken if owners[s] == owners[step]].index(step)]
            for step in taken}  # fmt: skip


@pytest.mark.parametrize("table", CHILDREN)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ORDERS)
def test_using_and_erasing_a_customer_at_once_leaves_no_row_of_nobody(database, table, level, order):
    number = add_customer(database)
    outcomes = run_schedule(
        database, (LEVELS[level], ISOLATION_LEVEL_READ_COMMITTED), order,
        {"use": CHILDREN[table].format(number), "erase": f"DELETE FROM loyalty.customer WHERE id = {number}"},
    )  # fmt: skip
    assert outcomes["erase"] == 1
    assert run(database, f"SELECT count(*) FROM loyalty.customer WHERE id = {number}") == [(0,)]
    assert count(database, f"SELECT {ORPHANS}") == 0
    if order.replace("snapshots ", "").startswith("use"):
        assert outcomes["use"] == 1, "the row was there before the customer was erased with it"
    else:
        assert outcomes["use"] in (errors.ForeignKeyViolation, errors.SerializationFailure)


DEFINITIONS = {
    "removed": "DELETE FROM loyalty.custom_field WHERE name = '{}'",
    "of another type": "UPDATE loyalty.custom_field SET type = 'integer', enum_values = NULL WHERE name = '{}'",
    "without a value": "UPDATE loyalty.custom_field SET enum_values = '{{bad}}' WHERE name = '{}'",
}


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ORDERS)
def test_using_and_changing_a_custom_field_at_once_leaves_no_value_that_does_not_fit(
    database, definition, level, order
):
    name = f"Mood{next(_numbers)}"
    run(database, f"INSERT INTO loyalty.custom_field VALUES ('{name}', 'enum', '{{good,bad}}')")
    outcomes = run_schedule(
        database, (LEVELS[level], ISOLATION_LEVEL_READ_COMMITTED), order,
        {
            "use": f"INSERT INTO loyalty.customer (custom_fields) VALUES ('{{\"{name}\": \"good\"}}')",
            "erase": DEFINITIONS[definition].format(name),
        },
    )  # fmt: skip
    used = run(database, f"SELECT count(*) FROM loyalty.customer WHERE custom_fields ? '{name}'")[0][0]
    values = run(database, f"SELECT enum_values FROM loyalty.custom_field WHERE name = '{name}'")
    if order.replace("snapshots ", "").startswith("use"):
        assert (outcomes["use"], outcomes["erase"], used) == (1, errors.RestrictViolation, 1)
        assert values == [(["good", "bad"],)]
    else:
        assert outcomes["use"] in (errors.CheckViolation, errors.SerializationFailure)
        assert (outcomes["erase"], used) == (1, 0)


@pytest.mark.parametrize("level", ["rr", "ser"])
def test_custom_fields_are_changed_at_read_committed_only(database, level):
    with contextlib.closing(psycopg2.connect(database.dsn, password=database.info.password)) as session:
        session.set_session(isolation_level=LEVELS[level], autocommit=True)
        for statement in DEFINITIONS.values():
            assert refused(session, statement.format("Mood"))[0] is errors.RestrictViolation


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ORDERS)
def test_using_and_deleting_a_topic_at_once_leaves_no_subscription_to_nothing(database, level, order):
    number, topic = add_customer(database), f"Topic{next(_numbers)}"
    run(database, f"INSERT INTO loyalty.subscription_topic VALUES ('{topic}')")
    outcomes = run_schedule(
        database, (LEVELS[level], ISOLATION_LEVEL_READ_COMMITTED), order,
        {
            "use": CHILDREN["loyalty.customer_subscription"].replace("'News'", f"'{topic}'").format(number),
            "erase": f"DELETE FROM loyalty.subscription_topic WHERE name = '{topic}'",
        },
    )  # fmt: skip
    topics = run(database, f"SELECT count(*) FROM loyalty.subscription_topic WHERE name = '{topic}'")
    rows = run(database, f"SELECT count(*) FROM loyalty.customer_subscription WHERE topic = '{topic}'")
    if order.replace("snapshots ", "").startswith("use"):
        assert (outcomes["use"], outcomes["erase"], topics, rows) == (1, errors.ForeignKeyViolation, [(1,)], [(1,)])
    else:
        assert outcomes["use"] in (errors.ForeignKeyViolation, errors.SerializationFailure)
        assert (outcomes["erase"], topics, rows) == (1, [(0,)], [(0,)])


# -- Custom fields in use


def test_a_custom_field_in_use_keeps_name_type_and_the_values_that_customers_have(fresh):
    run(fresh, "INSERT INTO loyalty.custom_field VALUES ('Mood', 'enum', '{good,bad}')")
    run(fresh, 'INSERT INTO loyalty.customer (custom_fields) VALUES (\'{"Mood": "good"}\')')
    for statement in (
        "DELETE FROM loyalty.custom_field WHERE name = 'Mood'",
        "UPDATE loyalty.custom_field SET name = 'Temper' WHERE name = 'Mood'",
        "UPDATE loyalty.custom_field SET type = 'string', enum_values = NULL WHERE name = 'Mood'",
        "UPDATE loyalty.custom_field SET enum_values = '{bad}' WHERE name = 'Mood'",
        "TRUNCATE loyalty.custom_field",
    ):
        assert refused(fresh, statement)[0] is errors.RestrictViolation, statement
    run(fresh, "UPDATE loyalty.custom_field SET enum_values = '{new,good}' WHERE name = 'Mood'")
    run(fresh, "UPDATE loyalty.customer SET custom_fields = '{}'")
    run(fresh, "UPDATE loyalty.custom_field SET type = 'string', enum_values = NULL WHERE name = 'Mood'")
    run(fresh, "DELETE FROM loyalty.custom_field WHERE name = 'Mood'")


# -- Views


def test_the_overview_shows_a_customer_with_all_that_belongs_to_it(fresh):
    run(
        fresh, "INSERT INTO loyalty.customer (id, first_name, last_name, full_name) VALUES (1, 'Ann', 'Lee', 'Dr. Lee')"
    )
    run(fresh, "INSERT INTO loyalty.customer (id, full_name) VALUES (2, 'Bob Stone')")
    run(fresh, "INSERT INTO loyalty.customer (id, email) VALUES (3, 'c@x.com')")
    run(fresh, "INSERT INTO loyalty.customer_external_id VALUES ('website', '17', 1)")
    run(
        fresh,
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, channel, topic, is_subscribed, changed_at)"
        " VALUES (1, 'Acme', NULL, NULL, true, now()), (1, 'Acme', 'Email', NULL, false, now()),"
        " (1, 'Demo', 'Email', 'News', NULL, now())",
    )
    run(fresh, "INSERT INTO loyalty.segment VALUES ('alpha', false)")
    run(fresh, "INSERT INTO loyalty.segment_member (segment, customer_id) VALUES ('vip-2024', 1), ('alpha', 1)")
    query = "SELECT id, display_name, external_ids, subscriptions, segments FROM loyalty.customer_overview ORDER BY id"
    assert run(fresh, query) == [
        (1, "Ann Lee", {"website": "17"}, {"Acme": True, "Acme/Email": False, "Demo/Email/News": None},
         ["alpha", "vip-2024"]),
        (2, "Bob Stone", {}, {}, []),
        (3, None, {}, {}, []),
    ]  # fmt: skip


def test_subscriptions_and_members_are_counted(fresh):
    for number in (1, 2, 3):
        run(fresh, f"INSERT INTO loyalty.customer (id) VALUES ({number})")
    run(
        fresh,
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, channel, is_subscribed, changed_at) VALUES"
        " (1, 'Acme', 'Email', true, now()), (2, 'Acme', 'Email', true, now()), (3, 'Acme', 'Email', false, now()),"
        " (3, 'Acme', NULL, NULL, now())",
    )
    run(fresh, "INSERT INTO loyalty.segment VALUES ('from-file', false)")
    run(fresh, "INSERT INTO loyalty.segment_member (segment, customer_id) VALUES ('from-file', 1), ('from-file', 3)")
    assert run(
        fresh,
        "SELECT brand, channel, topic, subscribed, unsubscribed, erased FROM loyalty.subscription_overview"
        " ORDER BY channel",
    ) == [("Acme", "Email", None, 2, 1, 0), ("Acme", None, None, 0, 0, 1)]
    assert run(fresh, "SELECT segment, is_configured, members FROM loyalty.segment_overview ORDER BY segment") == [
        ("from-file", False, 2),
        ("vip-2024", True, 0),
    ]
