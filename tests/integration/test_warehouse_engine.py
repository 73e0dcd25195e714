"""The engine: UTC sessions and errors that quote no values (X-20)."""

import io
import os
import socket
import traceback

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from include.warehouse.embedded import EmbeddedServerError
from include.warehouse.engine import create_warehouse_engine, warehouse_url
from include.warehouse.roles import Role

pytestmark = pytest.mark.integration

SECRET = "4000987654321"
KEEPALIVE_OPTIONS = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)


@pytest.fixture
def secrets(warehouse):
    """A table that refuses the secret in several ways."""
    with warehouse.owner.begin() as connection:
        connection.exec_driver_sql(
            """
            CREATE TABLE secrets (
                card_number text CONSTRAINT secrets_pkey PRIMARY KEY,
                amount integer CONSTRAINT amount_check CHECK (amount > 0),
                partner text CONSTRAINT partner_fkey REFERENCES secrets DEFERRABLE INITIALLY DEFERRED
            )
            """
        )
        connection.execute(text("INSERT INTO secrets VALUES (:card, 1)"), {"card": SECRET})
        connection.exec_driver_sql("GRANT ALL ON secrets TO loyalty_importer")
    return warehouse


def error_text(error):
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("INSERT INTO secrets VALUES (:card, 1)", 'duplicate key value violates unique constraint "secrets_pkey"'),
        ("INSERT INTO secrets VALUES (:card || 'x', -1)", "constraint amount_check"),
        ("SELECT CAST('x' || :card AS integer)", "InvalidTextRepresentation (SQLSTATE 22P02)"),
        ("SELECT :card FROM nowhere", 'relation "nowhere" does not exist'),
    ],
)
def test_x20_a_failed_statement_quotes_no_values(secrets, statement, kept):
    with secrets.engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement), {"card": SECRET})
    assert SECRET not in error_text(caught.value)
    assert kept in str(caught.value)


@pytest.mark.parametrize("line", [f"{SECRET},1,\n", f"9{SECRET},{SECRET}x,\n"])
def test_x20_a_failed_copy_on_the_drivers_cursor_quotes_no_values(secrets, line):
    connection = secrets.engine.raw_connection()
    with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as caught:
        cursor.copy_expert("COPY secrets FROM STDIN WITH (FORMAT csv)", io.StringIO(line))
    connection.close()
    assert SECRET not in error_text(caught.value)


def test_x20_a_failed_commit_quotes_no_values(secrets):
    with pytest.raises(IntegrityError) as caught, secrets.engine.begin() as connection:
        connection.execute(text("INSERT INTO secrets VALUES ('a', 1, :card)"), {"card": SECRET + "9"})
    assert SECRET not in error_text(caught.value)
    assert "partner_fkey" in str(caught.value)


def test_the_diagnostics_of_an_error_survive(secrets):
    with secrets.engine.connect() as connection, pytest.raises(IntegrityError) as caught:
        connection.execute(text("INSERT INTO secrets VALUES (:card, 1)"), {"card": SECRET})
    assert caught.value.orig.pgcode == "23505"
    assert caught.value.orig.diag.constraint_name == "secrets_pkey"


def test_x20_the_servers_log_quotes_no_values(secrets):
    for statement in ("INSERT INTO secrets VALUES (:card, 1)", "SELECT CAST('x' || :card AS integer)"):
        with secrets.engine.connect() as connection, pytest.raises(DBAPIError):
            connection.execute(text(statement), {"card": SECRET})
    log = (secrets.server.data / "server.log").read_text()
    assert "database system is ready" in log
    assert SECRET not in log


def test_sessions_live_in_utc_on_psycopg2_whatever_the_address_says(warehouse):
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        engine = create_warehouse_engine(warehouse.url.replace("postgresql", scheme, 1))
        with engine.connect() as connection:
            connection.exec_driver_sql("SET ROLE NONE")
            assert connection.scalar(text("SHOW timezone")) == "UTC"
            assert connection.dialect.driver == "psycopg2"
        engine.dispose()


def test_another_kind_of_database_is_refused():
    with pytest.raises(ValueError, match="PostgreSQL database, not sqlite"):
        create_warehouse_engine("sqlite://")


def test_the_address_comes_from_the_environment_or_is_the_embedded_servers(warehouse_server, monkeypatch, tmp_path):
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql://elsewhere/warehouse")
    assert warehouse_url() == "postgresql://elsewhere/warehouse"
    assert warehouse_url(Role.PAGES) == "postgresql://elsewhere/warehouse"
    monkeypatch.setenv("WAREHOUSE_PAGES_URL", "postgresql://reader@elsewhere/warehouse")
    assert warehouse_url(Role.PAGES) == "postgresql://reader@elsewhere/warehouse"
    assert warehouse_url(Role.OWNER) == "postgresql://elsewhere/warehouse"
    for name in ("WAREHOUSE_URL", "WAREHOUSE_PAGES_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("EMBEDDED_POSTGRES_DATA", str(warehouse_server.data))
    assert warehouse_url() == warehouse_server.url("warehouse")
    for role in (Role.OWNER, Role.PAGES):
        assert warehouse_url(role) == warehouse_server.url("warehouse", role)
    monkeypatch.setenv("EMBEDDED_POSTGRES_DATA", str(tmp_path / "data"))
    with pytest.raises(EmbeddedServerError, match="set WAREHOUSE_URL"):
        warehouse_url()


def test_both_ends_notice_within_a_minute_that_the_other_is_gone(warehouse):
    """A machine that vanishes sends no word of it, and would hold the locks of its chunk for two hours."""
    with warehouse.engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        }
        driver = connection.connection.dbapi_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as own:
            ours = [own.getsockopt(socket.IPPROTO_TCP, option) for option in KEEPALIVE_OPTIONS]
    assert settings == {
        "tcp_keepalives_idle": "20", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }  # fmt: skip
    assert ours == [20, 10, 3]
