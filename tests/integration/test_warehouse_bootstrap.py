"""An administrator's part: roles and databases are made, again and again, and an older server is taken over. X-22."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text

from include.errors import ConfigurationError
from include.project.loader import load_project
from include.project.sync import sync_in_turn
from include.warehouse import bootstrap, embedded, rights
from include.warehouse.bootstrap import BootstrapError, in_database, prepare_server
from include.warehouse.embedded import EmbeddedServer
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate
from include.warehouse.rights import actual_grants, declared_grants
from include.warehouse.roles import LOGINS, Login, Role
from tests.conftest import Warehouse, engines_of
from tests.embedded_servers import free_port, start_on_a_free_port
from tests.imports import make_site
from tests.integration.upgrades import restore

pytestmark = pytest.mark.integration

BEFORE_ROLES = """
CREATE UNLOGGED TABLE staging.job_999_chunk_0 (line bigint);
INSERT INTO staging.job_999_chunk_0 VALUES (2);
INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('old', 'Old');
"""
OF_AIRFLOW = """
CREATE TYPE kind AS ENUM ('a', 'b');
CREATE TABLE dag_run (id serial PRIMARY KEY, kind kind);
CREATE SEQUENCE alone;
CREATE VIEW shown AS SELECT * FROM dag_run;
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql RETURN i * 2;
INSERT INTO dag_run (kind) VALUES ('a');
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the server's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="bootstrap-"))
    folder.chmod(0o711)
    yield folder
    EmbeddedServer(folder / "data", 1).stop("immediate")
    shutil.rmtree(folder)


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement in autocommit mode; return its rows."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def old_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedServer:
    """A stopped server as versions before the roles left it: `importer` is the superuser and owns everything."""
    server = EmbeddedServer(home / "data", free_port(), settings={"fsync": "off"})
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "SUPERUSER", "importer")
        server._initialise()
        server._launch()
        for name in ("airflow", "warehouse"):
            run(server.admin_url(), f"CREATE DATABASE {name}")
        run(server.admin_url("airflow"), OF_AIRFLOW)
        restore(server.admin_url("warehouse"), "revision_0007", has_rows=False)
        run(server.admin_url("warehouse"), BEFORE_ROLES)
        owners = "SELECT DISTINCT rolsuper, rolname FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner"
        assert run(server.admin_url("warehouse"), owners) == [(True, "importer")]
        server.stop()
    return server


OWNERS = """
    SELECT DISTINCT nspname, pg_get_userbyid(owner) FROM (
        SELECT relnamespace AS namespace, relowner AS owner FROM pg_class
        UNION ALL SELECT pronamespace, proowner FROM pg_proc
        UNION ALL SELECT typnamespace, typowner FROM pg_type
        UNION ALL SELECT oid, nspowner FROM pg_namespace WHERE nspname <> 'public'
    ) AS owned JOIN pg_namespace ON pg_namespace.oid = namespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
    ORDER BY 1, 2
"""


def test_x22_a_start_takes_an_older_server_over(old_server: EmbeddedServer, tmp_path: Path) -> None:
    """The importer was a superuser and owned Airflow's tables as well; imports go on, with the least rights."""
    assert old_server.start() is True
    admin = old_server.admin_url("warehouse")
    superusers = "SELECT rolname, oid = 10 FROM pg_roles WHERE rolsuper"
    assert run(admin, superusers) == [("postgres", True)]
    owned = [
        ("ledger", "warehouse_owner"),
        ("loyalty", "warehouse_owner"),
        ("public", "warehouse_owner"),
        ("staging", "importer"),
        ("staging", "warehouse_owner"),
    ]
    assert run(admin, OWNERS) == owned
    assert run(old_server.admin_url("airflow"), OWNERS) == [("public", "airflow")]
    assert run(old_server.url("airflow"), "INSERT INTO dag_run (kind) VALUES ('b') RETURNING id, twice(id)") == [(2, 4)]

    with engines_of(old_server, "warehouse") as warehouse:
        migrate(warehouse.owner)
        sync_in_turn(warehouse.owner, load_project())
        site = make_site(tmp_path / "site", warehouse)
        assert site.sample_pools().state == "completed"
        with warehouse.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE staging.job_999_chunk_0")
        with warehouse.pages.connect() as connection:
            assert actual_grants(connection) == declared_grants(connection)
            assert connection.scalar(text("SELECT pg_sequence_last_value('loyalty.promo_code_take_1')")) is None
            assert connection.scalar(text("SELECT available FROM loyalty.promo_code_stock")) == 0
    left = {("staging", "importer"), ("public", "warehouse_owner")}  # the chunk, and the table of the revision
    assert run(admin, OWNERS) == [entry for entry in owned if entry not in left]
    assert (old_server.stop(), old_server.start()) == (True, True)
    assert run(admin, superusers) == [("postgres", True)]


def test_x22_an_older_server_with_a_wrong_password_stays_as_it_is(old_server: EmbeddedServer) -> None:
    old_server._launch()
    wrong = old_server.admin_url().replace(old_server.password_file.read_text().strip(), "guess")
    with pytest.raises(psycopg2.OperationalError, match='password authentication failed for user "postgres"'):
        prepare_server(wrong, {Role.OWNER: Login("warehouse_owner", "a")}, {})


@pytest.fixture
def server(home: Path) -> EmbeddedServer:
    return start_on_a_free_port(home / "data")


def logins(**passwords: str) -> dict[Role, Login]:
    """Return a login of another name for each role."""
    return {role: Login(f"our_{role}", passwords.get(role, f"password of {role}")) for role in Role}


def url_of(server: EmbeddedServer, login: Login, database: str) -> str:
    return f"postgresql://{login.name}:{login.password.replace(' ', '%20')}@127.0.0.1:{server.port}/{database}"


def test_x22_logins_have_the_names_and_the_newest_passwords_that_they_are_given(server: EmbeddedServer) -> None:
    databases = {"ours": Role.OWNER, "metadata": Role.AIRFLOW}
    prepare_server(server.admin_url(), logins(), databases)
    changed = logins(importer="another's")
    prepare_server(server.admin_url(), changed, databases)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url_of(server, logins()[Role.IMPORTER], "ours"))
    engine = create_warehouse_engine(url_of(server, changed[Role.OWNER], "ours"))
    migrate(engine)
    engine.dispose()
    assert run(url_of(server, changed[Role.IMPORTER], "ours"), "SELECT count(*) FROM loyalty.gift_card") == [(0,)]
    assert run(url_of(server, changed[Role.AIRFLOW], "metadata"), "CREATE TABLE dag (id int)") == []


def test_x22_repeating_it_strips_what_a_login_has_got_meanwhile(server: EmbeddedServer) -> None:
    prepare_server(server.admin_url(), logins(), {"ours": Role.OWNER})
    run(server.admin_url(), "ALTER ROLE our_pages SUPERUSER CREATEROLE CREATEDB REPLICATION BYPASSRLS")
    run(server.admin_url(), "GRANT loyalty_importer TO our_pages")
    run(server.admin_url(), "GRANT ALL ON DATABASE ours TO PUBLIC")
    prepare_server(server.admin_url(), logins(), {"ours": Role.OWNER})
    attributes = "rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
    rows = run(server.admin_url(), f"SELECT {attributes} FROM pg_roles WHERE rolname = 'our_pages'")
    assert rows == [(False,) * 5]
    groups = "SELECT pg_get_userbyid(roleid) FROM pg_auth_members WHERE pg_get_userbyid(member) = 'our_pages'"
    assert run(server.admin_url(), groups) == [("loyalty_pages",)]
    public = "SELECT count(*) FROM pg_database, aclexplode(datacl) AS acl WHERE datname = 'ours' AND acl.grantee = 0"
    assert run(server.admin_url(), public) == [(0,)]


def test_x22_an_administrator_who_is_no_superuser_is_enough(server: EmbeddedServer) -> None:
    """As with a PostgreSQL that another person runs."""
    run(server.admin_url(), "CREATE ROLE boss LOGIN CREATEROLE CREATEDB PASSWORD 'of boss'")
    run(server.admin_url(), "REASSIGN OWNED BY warehouse_owner TO boss")
    for group in rights.GROUPS.values():  # roles that he has not made himself he could not give away
        run(server.admin_url(), f"GRANT {group} TO boss WITH ADMIN OPTION")
    boss = url_of(server, Login("boss", "of boss"), "postgres")
    for _ in range(2):
        prepare_server(boss, logins(), {"ours": Role.OWNER, "metadata": Role.AIRFLOW})
    engine = create_warehouse_engine(url_of(server, logins()[Role.OWNER], "ours"))
    migrate(engine)
    engine.dispose()
    assert run(url_of(server, logins()[Role.PAGES], "ours"), "SELECT count(*) FROM ledger.import_job") == [(0,)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("our_importer", "the login of the importer"),
        ("postgres", "the administrator"),
        ("loyalty_shop", "a group role"),
        ("staging", "a schema"),
    ],
)
def test_x22_a_role_is_nobody_else(server: EmbeddedServer, name: str, reason: str) -> None:
    wanted = logins() | {Role.PAGES: Login(name, "a")}
    with pytest.raises(BootstrapError, match=f"{name} can't be the login of the pages: it is {reason}"):
        prepare_server(server.admin_url(), wanted, {})


def test_x22_a_login_without_a_password_is_refused(server: EmbeddedServer) -> None:
    with pytest.raises(BootstrapError, match="our_shop of the shop has no password"):
        prepare_server(server.admin_url(), logins(shop=""), {})


def test_x22_the_command_wants_its_passwords_and_says_what_comes_next(
    server: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {variable: f"of-{role}" for role, variable in bootstrap.PASSWORDS.items()}
    arguments = [server.admin_url(), "--warehouse", "third"]
    assert bootstrap.main(arguments, {**environ, "PAGES_DATABASE_PASSWORD": ""}) == 2
    assert "set PAGES_DATABASE_PASSWORD" in capsys.readouterr().err
    assert bootstrap.main(arguments, environ) == 0
    assert "include.cli migrate" in capsys.readouterr().out
    url = url_of(server, Login(LOGINS[Role.OWNER], "of-owner"), "third")
    assert run(url, "SELECT current_user") == [("warehouse_owner",)]
    assert bootstrap.main([in_database(server.admin_url(), "none")], environ) == 1
    assert 'database "none" does not exist' in capsys.readouterr().err


def test_x22_a_migration_without_the_roles_says_who_makes_them(
    empty_database: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "GROUPS", {Role.PAGES: "loyalty_readers"})
    with pytest.raises(ConfigurationError, match=r"no role loyalty_readers.*include\.warehouse\.bootstrap"):
        migrate(empty_database.owner)
