"""Start a local stack and leave it running on its own; stop it again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.deployment.errors import StackError
from include.deployment.names import ADMIN
from include.deployment.preparation import prepare_databases
from include.deployment.private_files import write_private
from include.import_types import IMPORT_TYPES
from include.storage import LOCATIONS
from include.warehouse.bootstrap import AIRFLOW, WAREHOUSE
from include.warehouse.embedded import EmbeddedServer, EmbeddedServerError, PortBusyError
from include.warehouse.roles import Role
from tools.stack.airflow_api import AirflowApi
from tools.stack.environment import catches_mails, make_environment
from tools.stack.keys import Keys, load_keys
from tools.stack.processes import created_at, end_session
from tools.stack.settings import PROJECT, StackSettings
from tools.stack.supervisor import COMPONENTS, FAILURE, STATE, tail, take_lock

Say = Callable[[str], None]


class Stack:
    """One local stack, running or not.

    Args:
        settings: where it lives and which ports it takes.
        say: receives one line for each step that takes a while.
    """

    def __init__(self, settings: StackSettings, say: Say = print) -> None:
        self.settings = settings
        self._say = say
        self.server = EmbeddedServer(settings.postgres_data, settings.pg_port)

    @property
    def keys(self) -> Keys:
        """The stack's secrets; made at the first call."""
        return load_keys(self.settings.home / "keys.json")

    @property
    def warehouse_url(self) -> str:
        """Address of the database that is imported into, for the importer."""
        return self.url_for(Role.IMPORTER)

    def url_for(self, role: Role) -> str:
        """Return the address of a role's database."""
        return self.server.url(AIRFLOW if role is Role.AIRFLOW else WAREHOUSE, role)

    def api(self) -> AirflowApi:
        """Airflow's REST API as the administrator."""
        return AirflowApi(self.settings.url, ADMIN, self.keys.admin_password)

    def environment(self) -> dict[str, str]:
        """The environment of Airflow's processes; also for commands of one's own beside them."""
        return make_environment(
            self.settings,
            self.keys,
            airflow_url=self.url_for(Role.AIRFLOW),
            warehouse_url=self.warehouse_url,
            pages_url=self.url_for(Role.PAGES),
        )

    def is_running(self) -> bool:
        """Return whether a supervisor looks after this stack."""
        if not self.settings.run.is_dir():
            return False
        lock = take_lock(self.settings.run)
        if lock is None:
            return True
        lock.close()
        return False

    def start(self, timeout_seconds: float = 240) -> None:
        """Start what isn't running and wait until Airflow has read every DAG.

        Raises:
            StackError: a port is taken, a component can't be kept alive, a DAG can't be read, or it takes too long.
        """
        self._make_folders()
        with self._start_lock():
            if self.is_running():
                self._take_running_ports()
                return
            self._clear_leftovers()
            self._check_port_is_free("PORT", self.settings.port)
            if catches_mails(self.settings):
                self._check_port_is_free("SMTP_PORT", self.settings.smtp_port)
            started_at = datetime.now(UTC)
            self._start_database()
            try:
                self._prepare()
                supervisor = self._launch_supervisor()
                self._wait_until_ready(supervisor, started_at, timeout_seconds)
            except BaseException:
                self.stop()
                raise

    def stop(self) -> bool:
        """End Airflow and PostgreSQL and wait for their end; running tasks get half a minute.

        Returns:
            False when nothing was running.
        """
        state = self._state()
        was_running = self.is_running()
        if was_running:
            self._end_supervisor(state)
        self._clear_leftovers()
        try:
            return self.server.stop() or was_running
        except EmbeddedServerError as error:
            raise StackError(str(error)) from None

    # -- start

    def _make_folders(self) -> None:
        settings = self.settings
        settings.home.mkdir(parents=True, exist_ok=True)
        if settings.home.stat().st_uid != os.geteuid():
            raise StackError(f"{settings.home} belongs to another user: start as that user, or delete the folder.")
        # When root starts PostgreSQL, it runs as another user, who has to pass through, whatever the umask.
        settings.home.chmod(0o711)
        for folder in (settings.airflow_home, settings.logs, settings.run, *self._storage()):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for import_type in IMPORT_TYPES:
            (settings.landing / import_type).mkdir(exist_ok=True)
        settings.postgres_data.parent.mkdir(parents=True, exist_ok=True)
        settings.postgres_data.parent.chmod(0o711)

    def _storage(self) -> list[Path]:
        return [self.settings.home / name for name in LOCATIONS]

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Let a second start wait for the first."""
        with (self.settings.run / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _take_running_ports(self) -> None:
        """Go on with the ports of the running stack, whatever was asked for."""
        ports = self._state().get("ports", {})
        running = replace(
            self.settings,
            port=ports.get("PORT", self.settings.port),
            pg_port=ports.get("PG_PORT", self.settings.pg_port),
            smtp_port=ports.get("SMTP_PORT", self.settings.smtp_port),
        )
        if running != self.settings:
            self._say(
                f"Already running with PORT={running.port} PG_PORT={running.pg_port} SMTP_PORT={running.smtp_port}; "
                "other ports need a stop first."
            )
        self.settings = running
        self.server = EmbeddedServer(running.postgres_data, running.pg_port)

    def _check_port_is_free(self, name: str, port: int) -> None:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise StackError(_port_message(name, port, error.strerror or str(error))) from None

    def _start_database(self) -> None:
        self._say("Starting PostgreSQL …")
        try:
            self.server.start()
        except PortBusyError:
            raise StackError(
                _port_message("PG_PORT", self.settings.pg_port, "it is taken by another program")
            ) from None
        except EmbeddedServerError as error:
            raise StackError(str(error)) from None

    def _prepare(self) -> None:
        self._say("Bringing the databases up to date …")
        passwords = json.dumps({ADMIN: self.keys.admin_password}) + "\n"
        write_private(self.settings.airflow_home / "passwords.json", passwords)
        prepare_databases(self.url_for(Role.OWNER), self.environment(), self.settings.logs / "migration.log")

    def _launch_supervisor(self) -> subprocess.Popen[bytes]:
        settings = self.settings
        (settings.run / FAILURE).unlink(missing_ok=True)
        for log in settings.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))  # one earlier run is kept
        command = [sys.executable, "-m", "tools.stack.supervisor"]
        command += ["--logs", str(settings.logs), "--run", str(settings.run)]
        command += ["--postgres-data", str(settings.postgres_data), "--postgres-port", str(settings.pg_port)]
        command += ["--airflow-port", str(settings.port), "--smtp-port", str(settings.smtp_port)]
        if catches_mails(settings):
            command += ["--mail", str(settings.mail)]
        self._say("Starting Airflow …")
        with (settings.logs / "supervisor.log").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self.environment(),
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # survives this command and its terminal
            )

    def _wait_until_ready(self, supervisor: subprocess.Popen[bytes], since: datetime, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        waiting_for = ["api-server"]
        while time.monotonic() < deadline:
            if supervisor.poll() is not None:
                raise StackError(self._failure())
            with contextlib.suppress(OSError):  # nobody answers yet
                if waiting_for == ["api-server"]:
                    self.api().warm_up()
                waiting_for = self.api().silent_components(since) or self._unread_dags()
            if not waiting_for:
                return
            time.sleep(0.5)
        raise StackError(
            f"Airflow was not ready within {timeout_seconds:.0f} s; still waiting for {', '.join(waiting_for)}. "
            f"See the logs in {self.settings.logs}."
        )

    def _unread_dags(self) -> list[str]:
        """Name the DAG files that Airflow hasn't read yet; a file is named for the DAG in it."""
        api = self.api()
        errors = api.import_errors()
        if errors:
            name, trace = next(iter(errors.items()))
            raise StackError(f"Airflow can't read {name}:\n{trace.strip()}")
        parsed = api.dags()
        return [path.stem for path in sorted(self.settings.dags.glob("*.py")) if path.stem not in parsed]

    def _failure(self) -> str:
        try:
            return (self.settings.run / FAILURE).read_text().strip()
        except FileNotFoundError:
            log = self.settings.logs / "supervisor.log"
            return f"The supervisor ended unexpectedly. The end of {log}:\n{tail(log)}"

    # -- stop

    def _state(self) -> Mapping[str, Any]:
        try:
            state: Mapping[str, Any] = json.loads((self.settings.run / STATE).read_text())
        except FileNotFoundError:
            return {}
        return state

    def _end_supervisor(self, state: Mapping[str, Any]) -> None:
        """Ask the supervisor to end everything; kill it when it can't."""
        supervisor = state.get("supervisor")
        if supervisor is None or created_at(supervisor["pid"]) != supervisor["created"]:
            raise StackError(f"A supervisor holds {self.settings.run}, but its state file doesn't say which.")
        os.kill(supervisor["pid"], signal.SIGTERM)
        deadline = time.monotonic() + sum(program.stop_seconds for program in COMPONENTS.values()) + 30
        while self.is_running():
            if time.monotonic() > deadline:
                os.kill(supervisor["pid"], signal.SIGKILL)
            time.sleep(0.1)

    def _clear_leftovers(self) -> None:
        """End what a killed supervisor left running."""
        for component in self._state().get("components", {}).values():
            end_session(component["pid"], component["created"], patience_seconds=3)
        (self.settings.run / STATE).unlink(missing_ok=True)


def _port_message(name: str, port: int, reason: str) -> str:
    return f"{name}={port} can't be used: {reason}. Choose another: make demo {name}={port + 1}, or set {name} in .env."
