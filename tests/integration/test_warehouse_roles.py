"""Least rights: what each role may do, what it may not, and that nothing talks a guard round. Source: X-22."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg2
import pytest
from psycopg2 import errorcodes
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from include.warehouse import rights
from include.warehouse.migrations import migrate
from include.warehouse.rights import (
    FUNCTION_RIGHTS,
    TABLE_RIGHTS,
    Grant,
    actual_grants,
    declared_grants,
)
from include.warehouse.roles import GROUPS, LOGINS, SCHEMAS, Role
from tests.conftest import Warehouse
from tests.integration.code_pools import add_codes
from tests.integration.code_pools import add_pool as add_code_pool
from tests.integration.gift_cards import add_card, add_pool, card, changes

pytestmark = pytest.mark.integration

DENIED = errorcodes.INSUFFICIENT_PRIVILEGE
REFUSED = errorcodes.RESTRICT_VIOLATION
PUBLIC_FUNCTIONS = {
    "sell_gift_card", "redeem_gift_card", "block_gift_card", "issue_promo_code", "mark_promo_code_issued",
    "activate_promo_code",
}  # fmt: skip
SETTING = "SELECT set_config('loyalty.gift_card_action', '{}', true); "


@pytest.fixture(scope="module")
def stocked(warehouse_of_module: Warehouse) -> Warehouse:
    """Cards, codes and a customer, which forbidden statements would find."""
    with warehouse_of_module.owner.begin() as connection:
        add_pool(connection)
        add_card(connection, "paid", status="CanBeUsed", purchased_at="2024-05-05T10:00Z", point_of_contact="site-main")
        add_pool(connection, "whole", supports_partial_redemption=False)
        sold = {"status": "CanBeUsed", "purchased_at": "2024-05-05T10:00Z", "point_of_contact": "site-main"}
        add_card(connection, "whole", pool_system_name="whole", **sold)
        add_card(connection, "late", expires_at="2025-05-05T10:00Z", **sold)
        add_card(connection, "unsold")
        add_code_pool(connection)
        add_codes(connection, "C-1", "C-2")
        connection.execute(text("INSERT INTO loyalty.customer (email) VALUES ('ann@example.com')"))
        connection.execute(
            text(
                "INSERT INTO loyalty.customer_action (customer_id, kind, action_template, data_source, "
                "point_of_contact, acted_at) SELECT 1, 'edit', (SELECT min(system_name) FROM loyalty.action_template), "
                "(SELECT min(name) FROM loyalty.data_source), 'site-main', now()"
            )
        )
    return warehouse_of_module


def sqlstate(warehouse: Warehouse, role: Role, statement: str) -> str:
    """Return what the server says to a role's statement: `00000` when it does it; nothing of it stays."""
    with contextlib.closing(psycopg2.connect(warehouse.server.url(warehouse.name, role))) as connection:
        try:
            connection.cursor().execute(statement)
        except psycopg2.Error as error:
            return str(error.pgcode)
        finally:
            connection.rollback()
    return errorcodes.SUCCESSFUL_COMPLETION


# -- the declarations


def undeclared(connection: Connection) -> list[str]:
    """Name the tables, views and sequences that no declaration mentions; identity sequences go with their tables."""
    objects = rights._objects(connection)
    return sorted(name for kind, name, _ in objects if kind == "TABLE" and rights._table_rights(name) is None)


def test_x22_every_table_has_its_rights_declared_and_every_declaration_its_table(warehouse: Warehouse) -> None:
    """A new table without an entry in include/warehouse/rights.py is named here."""
    with warehouse.owner.begin() as connection:
        add_code_pool(connection)
        assert undeclared(connection) == []
        there = {name for (name,) in connection.execute(text(
            "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class "
            "WHERE relnamespace::regnamespace::text IN ('ledger', 'loyalty')"
        ))}  # fmt: skip
        functions = {name for (name,) in connection.execute(text(
            "SELECT pronamespace::regnamespace || '.' || proname FROM pg_proc "
            "WHERE pronamespace::regnamespace::text IN ('ledger', 'loyalty', 'staging')"
        ))}  # fmt: skip
        assert {name for name in TABLE_RIGHTS if "*" not in name} - there == set()
        assert set(FUNCTION_RIGHTS) - functions == set()
        connection.exec_driver_sql("CREATE TABLE loyalty.forgotten ()")
        assert undeclared(connection) == ["loyalty.forgotten"]


def test_x22_the_database_grants_what_is_declared_and_nothing_else(warehouse: Warehouse) -> None:
    with warehouse.owner.begin() as connection:
        add_code_pool(connection)  # whose sequence a trigger makes
        grants = actual_grants(connection)
        assert grants == declared_grants(connection)
        assert {grant.grantee for grant in grants} == set(GROUPS.values())
        assert Grant("SEQUENCE", "loyalty.promo_code_take_1", "loyalty_pages", "SELECT") in grants


def test_x22_each_migration_gives_and_takes_what_differs(warehouse: Warehouse) -> None:
    with warehouse.owner.begin() as connection:
        connection.exec_driver_sql("GRANT DELETE, UPDATE (balance) ON loyalty.gift_card TO loyalty_importer")
        connection.exec_driver_sql("GRANT SELECT ON loyalty.customer TO PUBLIC")
        connection.exec_driver_sql("GRANT EXECUTE ON FUNCTION loyalty.refuse_change TO PUBLIC")
        connection.exec_driver_sql("GRANT CREATE ON SCHEMA loyalty TO loyalty_shop")
        connection.exec_driver_sql("REVOKE SELECT ON ledger.import_job FROM loyalty_pages")
        assert len(actual_grants(connection) - declared_grants(connection)) == 5
    migrate(warehouse.owner)
    with warehouse.owner.connect() as connection:
        assert actual_grants(connection) == declared_grants(connection)


def test_x22_the_importer_cannot_migrate(warehouse: Warehouse) -> None:
    with pytest.raises(DBAPIError) as caught:
        migrate(warehouse.engine)
    assert caught.value.orig is not None
    assert caught.value.orig.pgcode == DENIED


# -- functions and owners


def functions(connection: Connection) -> list[dict[str, Any]]:
    """Return what the catalogue says of every function in the schemas."""
    statement = """
        SELECT proname AS name, prosecdef AS is_definer, prosqlbody IS NOT NULL AS is_parsed,
               prorettype = 'trigger'::regtype AS is_trigger, pg_get_userbyid(proowner) AS owner,
               coalesce(proconfig, '{}') AS settings, oid,
               EXISTS (
                   SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0
               ) AS is_public
        FROM pg_proc
        WHERE pronamespace::regnamespace::text = ANY (:schemas)
        ORDER BY 1
    """
    return [dict(row) for row in connection.execute(text(statement), {"schemas": list(SCHEMAS)}).mappings()]


def test_x22_no_function_looks_names_up_where_its_caller_says(warehouse: Warehouse) -> None:
    """Each has a search path of its own, or a body whose names were looked up when it was made."""
    with warehouse.owner.connect() as connection:
        rows = functions(connection)
    assert len(rows) > 45
    fixed = "search_path=pg_catalog, pg_temp"
    assert [row["name"] for row in rows if fixed not in row["settings"] and not row["is_parsed"]] == []
    assert [row["name"] for row in rows if row["is_definer"] and fixed not in row["settings"]] == []
    assert {row["owner"] for row in rows} == {LOGINS[Role.OWNER]}
    assert len({row["name"] for row in rows}) == len(rows), "rights are declared by the name alone"


def test_x22_public_may_call_nothing_and_shops_the_public_functions_alone(warehouse: Warehouse) -> None:
    with warehouse.owner.connect() as connection:
        rows = functions(connection)
        callable_ = text("SELECT has_function_privilege(:login, :function, 'EXECUTE')")
        shop = {
            row["name"]
            for row in rows
            if connection.scalar(callable_, {"login": LOGINS[Role.SHOP], "function": row["oid"]})
        }
    assert [row["name"] for row in rows if row["is_public"]] == []
    assert shop == PUBLIC_FUNCTIONS
    assert {row["name"] for row in rows if row["name"] in PUBLIC_FUNCTIONS and not row["is_definer"]} == set()


def test_x22_a_function_that_is_made_later_is_nobody_else_s(warehouse: Warehouse) -> None:
    with warehouse.owner.begin() as connection:
        connection.exec_driver_sql("CREATE FUNCTION loyalty.later() RETURNS int LANGUAGE sql RETURN 1")
    assert sqlstate(warehouse, Role.SHOP, "SELECT loyalty.later()") == DENIED


def test_x22_the_owner_owns_everything_and_no_role_is_more_than_it_must_be(warehouse: Warehouse) -> None:
    statement = """
        SELECT rolname FROM pg_roles
        WHERE rolname = ANY (:names)
          AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
        UNION ALL
        SELECT relname FROM pg_class
        WHERE relnamespace::regnamespace::text IN ('ledger', 'loyalty', 'staging')
          AND pg_get_userbyid(relowner) <> :owner
    """
    names = [*LOGINS.values(), *GROUPS.values()]
    members = text(
        "SELECT pg_get_userbyid(member) || ' in ' || pg_get_userbyid(roleid) FROM pg_auth_members "
        "WHERE pg_get_userbyid(member) = ANY (:names) ORDER BY 1"
    )
    with warehouse.owner.connect() as connection:
        assert connection.scalars(text(statement), {"names": names, "owner": LOGINS[Role.OWNER]}).all() == []
        assert connection.scalars(members, {"names": names}).all() == [
            "importer in loyalty_importer", "pages in loyalty_pages", "shop in loyalty_shop",
        ]  # fmt: skip


@pytest.mark.parametrize("role", Role)
def test_x22_roles_reach_their_own_database_alone(warehouse: Warehouse, role: Role) -> None:
    """Source: X-22: Airflow's account can't reach the warehouse, nor the warehouse's Airflow's tables."""
    closed = warehouse.name if role is Role.AIRFLOW else "airflow"
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(warehouse.server.url(closed, role))


# -- 25 forbidden statements for each role

SERVER = {
    "COPY (SELECT 1) TO PROGRAM 'id'": DENIED,
    "COPY (SELECT 1) TO '/tmp/copied'": DENIED,
    "SELECT pg_read_file('PG_VERSION')": DENIED,
    "SELECT pg_ls_dir('.')": DENIED,
    "SELECT lo_import('/etc/passwd')": DENIED,
    "SELECT rolpassword FROM pg_authid": DENIED,
    "SET session_replication_role = replica": DENIED,
    "ALTER SYSTEM SET log_statement = 'all'": errorcodes.ACTIVE_SQL_TRANSACTION,  # not in a transaction at all
    "CREATE ROLE mine SUPERUSER": DENIED,
    "ALTER ROLE CURRENT_USER SUPERUSER": DENIED,
    "SET ROLE postgres": DENIED,
    "SET SESSION AUTHORIZATION postgres": DENIED,
    "CREATE EXTENSION file_fdw": DENIED,
}
OBJECTS = {
    "SELECT lo_create(0)": DENIED,
    "SELECT lo_from_bytea(0, 'x')": DENIED,
}
"""What everybody may in a database as PostgreSQL makes it."""
LOCKS = {
    "SELECT pg_advisory_lock(1)": DENIED,
    "SELECT pg_try_advisory_xact_lock(7310588, 1)": DENIED,
    "SELECT pg_advisory_unlock_all()": DENIED,
}
"""What would hold loads and top-ups up."""
"""What nobody may do who is no superuser; two dozen ways round every guard begin here."""
STRUCTURE = {
    "ALTER TABLE loyalty.gift_card DISABLE TRIGGER ALL": DENIED,
    "DROP TRIGGER record_change ON loyalty.gift_card": DENIED,
    "ALTER TABLE loyalty.gift_card OWNER TO CURRENT_USER": DENIED,
    "CREATE OR REPLACE FUNCTION loyalty.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'": (
        DENIED
    ),
    "ALTER FUNCTION loyalty.redeem_gift_card SECURITY INVOKER": DENIED,
    "CREATE TABLE loyalty.mine ()": DENIED,
    "CREATE SEQUENCE loyalty.promo_code_take_99": DENIED,
    "CREATE SCHEMA mine": DENIED,
    "ALTER TABLE loyalty.gift_card DISABLE ROW LEVEL SECURITY": DENIED,
    "SET ROLE warehouse_owner": DENIED,
    "DROP SCHEMA staging CASCADE": DENIED,
    "SELECT * FROM ledger.schema_object": DENIED,
    "DELETE FROM ledger.schema_revision": DENIED,
}
"""What only the owner may do."""
MONEY = {
    "UPDATE loyalty.gift_card SET balance = 0": DENIED,
    SETTING.format("payment 0.01") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'paid'": DENIED,
    SETTING.format("payment 100") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'paid'": DENIED,
    SETTING.format("sale") + "UPDATE loyalty.gift_card SET status = 'CanBeUsed' WHERE card_number = 'unsold'": DENIED,
    "UPDATE loyalty.gift_card SET status = 'Blocked'": DENIED,
    "DELETE FROM loyalty.gift_card": DENIED,
    "TRUNCATE loyalty.gift_card CASCADE": DENIED,
    "INSERT INTO loyalty.gift_card_change (card_number, kind, balance, status) VALUES ('paid', 'sale', 1, 'x')": DENIED,
    "DELETE FROM loyalty.gift_card_change": DENIED,
    "SELECT FROM loyalty.gift_card FOR UPDATE": DENIED,
    "LOCK TABLE loyalty.gift_card IN ACCESS EXCLUSIVE MODE": DENIED,
    "UPDATE loyalty.gift_card_pool SET cvv_required = false": DENIED,
}
CODES = {
    "UPDATE loyalty.promo_code SET issued_at = now(), issued_to = 'me'": DENIED,
    "UPDATE loyalty.promo_code SET used_at = NULL": DENIED,
    "UPDATE loyalty.promo_code SET pool_system_id = 'other'": DENIED,
    "INSERT INTO loyalty.promo_code (code, pool_system_id, used_at) VALUES ('X', 'summer', now())": DENIED,
    "DELETE FROM loyalty.promo_code": DENIED,
    "INSERT INTO loyalty.promo_code_use (code) VALUES ('C-1')": DENIED,
    "UPDATE loyalty.promo_code_pool_stock SET counted_available = 0": DENIED,
    "UPDATE loyalty.promo_code_pool SET first_code_at = NULL": DENIED,
    "DELETE FROM loyalty.promo_code_pool": DENIED,
    "INSERT INTO loyalty.promo_code_format_use (format, codes) VALUES ('summer', 1)": DENIED,
    "SELECT setval('loyalty.promo_code_take_1', 1000000)": DENIED,
    "UPDATE loyalty.promo_code_format SET alphabet = 'AB'": DENIED,
}
PEOPLE = {
    "DELETE FROM loyalty.customer": DENIED,
    "DELETE FROM loyalty.customer_action": DENIED,
    "UPDATE loyalty.customer_action SET acted_at = now()": DENIED,
    "DELETE FROM ledger.customer_change": DENIED,
    "UPDATE ledger.customer_change SET fields = '{}'": DENIED,
    "DELETE FROM ledger.import_job": DENIED,
    "DELETE FROM ledger.import_review": DENIED,
    "DELETE FROM ledger.promo_code_generation": DENIED,
    "INSERT INTO loyalty.brand (name) VALUES ('Mine')": DENIED,
    "DELETE FROM loyalty.point_of_contact": DENIED,
}
READING = {
    "SELECT * FROM loyalty.customer": DENIED,
    "SELECT * FROM loyalty.customer_overview": DENIED,
    "SELECT * FROM loyalty.customer_external_id": DENIED,
    "SELECT * FROM ledger.customer_change": DENIED,
    "SELECT reasons FROM ledger.reject": DENIED,
    "SELECT value FROM ledger.dropped_value": DENIED,
    "SELECT card_number FROM loyalty.gift_card": DENIED,
    "SELECT cvv_hash FROM loyalty.gift_card": DENIED,
    "SELECT * FROM loyalty.gift_card_as_imported": DENIED,
    "SELECT * FROM loyalty.gift_card_change": DENIED,
    "SELECT code FROM loyalty.promo_code": DENIED,
    "SELECT issued_to FROM loyalty.promo_code": DENIED,
    "SELECT * FROM loyalty.promo_code_use": DENIED,
    "COPY loyalty.promo_code TO STDOUT": DENIED,
    "CREATE TEMP TABLE mine (code text)": DENIED,
    "CREATE TABLE staging.mine ()": DENIED,
    "INSERT INTO ledger.import_job (run_key) VALUES ('mine')": DENIED,
    "UPDATE ledger.import_job SET state = 'completed'": DENIED,
    "DELETE FROM ledger.reject": DENIED,
    "SELECT loyalty.count_promo_code_pool('summer')": DENIED,
    "SELECT loyalty.settle_promo_code_generations()": DENIED,
    "SELECT loyalty.note_first_issue('C-1', 'me', now())": DENIED,
}
"""What the pages and shops may not, and the importer may."""
FORBIDDEN: Mapping[Role, Mapping[str, str]] = {
    Role.IMPORTER: SERVER | OBJECTS | STRUCTURE | MONEY | CODES | PEOPLE | {
        "SELECT loyalty.sell_gift_card('unsold', now(), 'site-main')": DENIED,
        "SELECT loyalty.redeem_gift_card('paid', 1)": DENIED,
        "SELECT loyalty.block_gift_card('paid')": DENIED,
        "SELECT loyalty.issue_promo_code('summer', 'me')": DENIED,
        "SELECT loyalty.mark_promo_code_issued('C-1', 'me')": DENIED,
        "SELECT loyalty.activate_promo_code('C-1', 'me')": DENIED,
        "SELECT loyalty.note_first_issue('C-1', 'me', now())": DENIED,
        "SELECT loyalty.outdate_promo_code_stock('summer')": DENIED,
    },
    Role.PAGES: SERVER | OBJECTS | LOCKS | STRUCTURE | MONEY | CODES | PEOPLE | READING | {
        "SELECT loyalty.redeem_gift_card('paid', 1)": DENIED,
        "SELECT loyalty.issue_promo_code('summer', 'me')": DENIED,
        "INSERT INTO loyalty.gift_card (card_number, pool_system_name, balance) VALUES ('mine', 'gifts', 1)": DENIED,
    },
    Role.SHOP: SERVER | OBJECTS | LOCKS | STRUCTURE | MONEY | CODES | PEOPLE | READING | {
        "SELECT balance FROM loyalty.gift_card": DENIED,
        "SELECT * FROM loyalty.promo_code_state": DENIED,
        "SELECT * FROM loyalty.promo_code_pool": DENIED,
        "SELECT * FROM loyalty.promo_code_stock": DENIED,
        "SELECT * FROM ledger.import_job": DENIED,
        "SELECT loyalty.promo_code_generation_state(1, 'running')": DENIED,
        "SELECT nextval('loyalty.promo_code_take_1')": DENIED,
    },
    Role.OWNER: SERVER | OBJECTS | {
        "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'paid'": REFUSED,
        SETTING.format("payment 0.01") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'paid'": REFUSED,
        SETTING.format("payment 99.99") + "UPDATE loyalty.gift_card SET balance = 1 WHERE card_number = 'paid'": (
            REFUSED
        ),
        SETTING.format("payment -1") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'whole'": REFUSED,
        SETTING.format("payment 0") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'whole'": REFUSED,
        SETTING.format("payment 101") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'whole'": REFUSED,
        SETTING.format("payment NaN") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'whole'": REFUSED,
        SETTING.format("payment all") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'whole'": REFUSED,
        SETTING.format("payment 50") + "UPDATE loyalty.gift_card SET balance = 50 WHERE card_number = 'whole'": REFUSED,
        SETTING.format("payment 100") + "UPDATE loyalty.gift_card SET balance = 0 WHERE card_number = 'late'": REFUSED,
        SETTING.format("sale") + "UPDATE loyalty.gift_card SET status = 'CanBeUsed', purchased_at = 'infinity', "
        "point_of_contact = 'site-main' WHERE card_number = 'unsold'": REFUSED,
        SETTING.format("sale") + "UPDATE loyalty.gift_card SET status = 'CanBeUsed', purchased_at = '2999-01-01Z', "
        "point_of_contact = 'site-main' WHERE card_number = 'unsold'": REFUSED,
        SETTING.format("sale") + "UPDATE loyalty.gift_card SET status = 'CanBeUsed', balance = 1000 "
        "WHERE card_number = 'unsold'": REFUSED,
        "DELETE FROM loyalty.gift_card": REFUSED,
        "TRUNCATE loyalty.gift_card CASCADE": REFUSED,
        "DELETE FROM loyalty.promo_code": REFUSED,
        "UPDATE loyalty.customer_action SET acted_at = now()": REFUSED,
        "DELETE FROM loyalty.customer_action": REFUSED,
    },
}  # fmt: skip


def test_x22_there_are_25_forbidden_statements_for_each_role() -> None:
    assert {role: len(statements) >= 25 for role, statements in FORBIDDEN.items()} == dict.fromkeys(FORBIDDEN, True)


@pytest.mark.parametrize(
    ("role", "statement", "code"),
    [
        pytest.param(role, statement, code, id=f"{role}: {statement[:90]}")
        for role, statements in FORBIDDEN.items()
        for statement, code in statements.items()
    ],
)
def test_x22_a_forbidden_statement_is_refused(stocked: Warehouse, role: Role, statement: str, code: str) -> None:
    assert sqlstate(stocked, role, statement) == code


@pytest.mark.parametrize("statement", SERVER)
def test_x22_airflow_s_own_account_is_no_superuser_either(warehouse_server: Any, statement: str) -> None:
    """The rest it can't even try: it doesn't reach the warehouse."""
    with contextlib.closing(psycopg2.connect(warehouse_server.url("airflow", Role.AIRFLOW))) as connection:
        with pytest.raises(psycopg2.Error) as caught:
            connection.cursor().execute(statement)
        # Of its own database the owner may make extensions that PostgreSQL trusts, this is none of them.
        assert caught.value.pgcode == SERVER[statement]


# -- guards that no session state talks round


@pytest.mark.parametrize("role", [Role.IMPORTER, Role.OWNER])
def test_x22_tables_and_functions_of_the_session_s_own_blind_no_guard(warehouse: Warehouse, role: Role) -> None:
    """Temporary tables come first in search paths: an empty pg_constraint would be a table without references."""
    shadows = ["pg_constraint", "pg_attribute", "pg_database", "pg_class", "pg_locks", "custom_field", "gift_card_pool"]
    with warehouse.engines[role].connect() as connection:
        for name in shadows:
            connection.exec_driver_sql(f"CREATE TEMP TABLE {name} ()")
        connection.exec_driver_sql(
            "CREATE FUNCTION pg_temp.current_setting(text) RETURNS text LANGUAGE sql RETURN 'serializable'"
        )
        connection.exec_driver_sql("SET search_path = pg_temp, loyalty, pg_catalog")
        for statement, constraint in [
            ("INSERT INTO loyalty.customer_external_id VALUES ('no such system', '1', 1)",
             "customer_external_id_customer_id_fkey"),
            ("INSERT INTO loyalty.gift_card (card_number, pool_system_name, balance) VALUES ('1', 'none', 1)",
             "gift_card_pool_system_name_fkey"),
            ("INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES ('1', 'none', 1)",
             "promo_code_pool_system_id_fkey"),
            ("INSERT INTO loyalty.customer (email, custom_fields) VALUES ('a@example.com', '{\"None\": 1}')",
             "customer_custom_fields"),
        ]:  # fmt: skip
            with pytest.raises(DBAPIError) as caught, connection.begin_nested():
                connection.exec_driver_sql(statement)
            assert caught.value.orig is not None
            assert caught.value.orig.diag.constraint_name == constraint


def test_x22_a_trigger_of_the_session_s_own_gets_round_no_guard_by_its_depth(stocked: Warehouse) -> None:
    """History may be deleted within triggers, those that erase a customer: not within those of a user."""
    with stocked.engine.connect() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE lever (x int)")
        connection.exec_driver_sql(
            "CREATE FUNCTION pg_temp.pull() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN DELETE FROM loyalty.customer_action; RETURN NULL; END'"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER pull AFTER INSERT ON lever FOR EACH ROW EXECUTE FUNCTION pg_temp.pull()"
        )
        with pytest.raises(DBAPIError, match="42501"):
            connection.exec_driver_sql("INSERT INTO lever VALUES (1)")


def test_x22_a_setting_neither_makes_nor_forges_a_payment(stocked: Warehouse) -> None:
    """Whatever it says: the history has the amount by which the balance fell."""
    with stocked.owner.connect() as connection:
        connection.execute(text(SETTING.format("payment 40.00").rstrip("; ")))
        connection.exec_driver_sql("UPDATE loyalty.gift_card SET balance = 60 WHERE card_number = 'paid'")
        assert [(kind, paid, balance) for kind, paid, balance, _ in changes(connection, "paid")] == [
            ("payment", 40, 100)
        ]


# -- what each role is there for


@pytest.fixture
def shop(stocked: Warehouse) -> Iterator[Connection]:
    """A shop's connection, whose doings are taken back."""
    with stocked.shop.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ("sell_gift_card('unsold', now() - interval '1 minute', 'site-main')", "sold"),
        ("redeem_gift_card('paid', 30.00)", "redeemed"),
        ("block_gift_card('paid')", "blocked"),
        ("block_gift_card('none')", "not_found"),
        ("issue_promo_code('summer', 'Ann')", "issued"),
        ("mark_promo_code_issued('C-1', 'Ann')", "issued"),
        ("activate_promo_code('C-1', 'Ann')", "activated"),
    ],
)
def test_x22_a_shop_calls_the_public_functions(shop: Connection, call: str, result: str) -> None:
    """Without any right to a table."""
    assert shop.scalar(text(f"SELECT result FROM loyalty.{call} AS answer (result)" if "block" in call or "mark" in call
                            or "activate" in call else f"SELECT result FROM loyalty.{call}")) == result  # fmt: skip


def test_gc06_a_blocked_card_stays_blocked(stocked: Warehouse) -> None:
    with stocked.owner.connect() as connection:
        block = text("SELECT loyalty.block_gift_card('paid')")
        assert [connection.scalar(block) for _ in range(2)] == ["blocked", "already_blocked"]
        assert card(connection, "paid")["status"] == "Blocked"
        assert changes(connection, "paid") == [("block", None, 100, "CanBeUsed")]
        assert connection.scalar(text("SELECT result FROM loyalty.redeem_gift_card('paid', 1)")) == "blocked"


def test_x22_a_pool_s_sequence_is_made_for_importers_who_may_create_nothing(warehouse: Warehouse) -> None:
    with warehouse.engine.begin() as connection:
        add_code_pool(connection, "winter")
    with warehouse.owner.begin() as connection:
        add_codes(connection, "W-1", "W-2", pool="winter")
        connection.execute(text("SELECT loyalty.issue_promo_code('winter', 'Ann')"))
    for engine in (warehouse.engine, warehouse.pages):
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT pg_sequence_last_value('loyalty.promo_code_take_1')")) == 1


def test_x22_codes_of_a_space_that_a_caller_makes_up_are_not_counted(warehouse: Warehouse) -> None:
    """By counting ever smaller spaces the pages' role could find out codes that it can't read."""
    with warehouse.pages.connect() as connection:
        assert connection.scalar(text("SELECT codes_issuable FROM loyalty.promo_code_format_stock LIMIT 1")) == 0
        with pytest.raises(DBAPIError, match="UndefinedFunction"):
            connection.execute(
                text(
                    "SELECT loyalty.count_issuable_promo_codes("
                    'jsonb_populate_record(NULL::loyalty.promo_code_format, \'{"prefix": "C"}\'))'
                )
            )
