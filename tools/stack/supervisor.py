"""Keep Airflow's four components, PostgreSQL and the mail catcher running; end them together.

`airflow standalone` leaves a dead component dead. Here it is started again after a pause that doubles; one that keeps
dying stops the whole stack, and `failure.txt` in the run folder says which, with the end of its log.

A process of its own, made by `tools.stack.lifecycle`: `python -m tools.stack.supervisor`.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import psycopg2

from include.deployment.private_files import write_private
from include.warehouse.embedded import EmbeddedServer, EmbeddedServerError
from tools.stack.processes import created_at, end_session, session_members, wait_for_session

log = logging.getLogger("stack")

AIRFLOW = (sys.executable, "-m", "airflow")


@dataclass(frozen=True)
class Program:
    """What a component runs, and how long it may take to end: a scheduler waits for its running tasks."""

    command: Sequence[str]
    stop_seconds: float = 5.0


# Task logs are read from the folder that all components share, so nobody needs the log servers and their fixed ports.
COMPONENTS: Mapping[str, Program] = {
    "api-server": Program((*AIRFLOW, "api-server")),
    "scheduler": Program((*AIRFLOW, "scheduler", "--skip-serve-logs"), stop_seconds=30.0),
    "dag-processor": Program((*AIRFLOW, "dag-processor")),
    "triggerer": Program((*AIRFLOW, "triggerer", "--skip-serve-logs"), stop_seconds=2.0),
}
MAIL_CATCHER = (sys.executable, "-m", "tools.stack.mail_catcher")
LOCK, STATE, FAILURE = "supervisor.lock", "state.json", "failure.txt"
DATABASE_CHECK_SECONDS = 3.0


@dataclass(frozen=True)
class Patience:
    """When to start a dead component again, and when to give up."""

    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 15.0
    most_deaths: int = 5
    window_seconds: float = 180.0
    leftovers_seconds: float = 2.0


@dataclass
class Component:
    """One supervised process and the times at which its predecessors died."""

    name: str
    program: Program
    process: subprocess.Popen[bytes] | None = None
    created: float | None = None
    deaths: list[float] = field(default_factory=list)
    start_at: float = 0.0


class GaveUpError(Exception):
    """A component can't be kept alive; the message holds the end of its log."""


class Supervisor:
    """Runs the components until it gets a signal to stop or one of them can't be kept alive.

    Args:
        components: program of each component.
        logs: folder for one log file each.
        run: folder for the state file.
        ports: what the state file says about the stack's ports.
        keep_database: called regularly; starts the database again if it has died.
        patience: pauses and limits.
    """

    def __init__(
        self,
        components: Mapping[str, Program],
        *,
        logs: Path,
        run: Path,
        ports: Mapping[str, int],
        keep_database: Callable[[], None],
        patience: Patience = Patience(),
    ) -> None:
        self._components = [Component(name, program) for name, program in components.items()]
        self._logs = logs
        self._run = run
        self._ports = dict(ports)
        self._keep_database = keep_database
        self._patience = patience
        self._is_stopping = False

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self._is_stopping = True

    def supervise(self, tick_seconds: float = 0.25) -> None:
        """Run until `request_stop`; the components have ended when this returns.

        Raises:
            GaveUpError: a component died too often.
        """
        self._write_state()
        database_check_at = 0.0
        try:
            while not self._is_stopping:
                now = time.monotonic()
                if now >= database_check_at:
                    self._keep_database()
                    database_check_at = now + DATABASE_CHECK_SECONDS
                for component in self._components:
                    self._look_after(component, now)
                time.sleep(tick_seconds)
        finally:
            self._end_all()

    def _look_after(self, component: Component, now: float) -> None:
        if component.process is None:
            if now >= component.start_at:
                self._start(component)
        elif component.process.poll() is not None:
            self._bury(component, component.process, now)

    def _start(self, component: Component) -> None:
        with self._log(component).open("ab") as output:
            component.process = subprocess.Popen(
                component.program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,  # logs and landed files hold values that only their owner may read
            )
        component.created = created_at(component.process.pid)
        log.info("%s started, pid %d", component.name, component.process.pid)
        self._write_state()

    def _bury(self, component: Component, process: subprocess.Popen[bytes], now: float) -> None:
        """Note a death and plan the next start, after what the dead process left behind has ended too."""
        # A task of a dead scheduler would go on beside its own second try.
        end_session(process.pid, component.created, patience_seconds=self._patience.leftovers_seconds)
        component.process, component.created = None, None
        component.deaths = [at for at in component.deaths if at > now - self._patience.window_seconds] + [now]
        if len(component.deaths) >= self._patience.most_deaths:
            raise GaveUpError(
                f"{component.name} died {len(component.deaths)} times within {self._patience.window_seconds:.0f} s, "
                f"so everything was stopped. Last exit status: {process.returncode}. "
                f"The end of {self._log(component)}:\n{tail(self._log(component))}"
            )
        doubled = self._patience.first_pause_seconds * 2 ** (len(component.deaths) - 1)
        pause = min(doubled, self._patience.longest_pause_seconds)
        component.start_at = now + pause
        log.warning("%s died, exit status %s; next start in %.0f s", component.name, process.returncode, pause)
        self._write_state()

    def _end_all(self) -> None:
        running = [(one, one.process) for one in self._components if one.process is not None]
        log.info("ending %s", ", ".join(one.name for one, _ in running) or "nothing")
        members = {one.name: session_members(process.pid, one.created) for one, process in running}
        for _, process in running:
            process.terminate()
        for one, process in running:
            wait_for_session(members[one.name], process.pid, one.created, patience_seconds=one.program.stop_seconds)
            process.wait()

    def _log(self, component: Component) -> Path:
        return self._logs / f"{component.name}.log"

    def _write_state(self) -> None:
        processes = {one.name: one.process.pid for one in self._components if one.process is not None}
        state = {
            "ports": self._ports,
            "supervisor": {"pid": os.getpid(), "created": created_at(os.getpid())},
            "components": {
                one.name: {"pid": processes[one.name], "created": one.created}
                for one in self._components
                if one.name in processes
            },
            "deaths": {one.name: len(one.deaths) for one in self._components},
        }
        write_private(self._run / STATE, json.dumps(state, indent=2) + "\n")


def tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a log."""
    try:
        with path.open("rb") as source:
            source.seek(max(0, path.stat().st_size - 16_384))
            return "\n".join(source.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(there is no log)"


def take_lock(run: Path, patience_seconds: float = 0.0) -> IO[str] | None:
    """Lock the run folder for as long as this process lives; None when a supervisor holds it already."""
    lock = (run / LOCK).open("a")
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                lock.close()
                return None
            time.sleep(0.05)
        else:
            return lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervise until SIGTERM; the environment of this process is the components'."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack.supervisor")
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--postgres-data", type=Path, required=True)
    parser.add_argument("--postgres-port", type=int, required=True)
    parser.add_argument("--airflow-port", type=int, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--mail", type=Path, help="folder of the mail catcher, which isn't started without one")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    lock = take_lock(options.run, patience_seconds=2)  # who asks whether a supervisor runs holds it an instant
    if lock is None:
        log.error("another supervisor looks after %s", options.run)
        return 3
    server = EmbeddedServer(options.postgres_data, options.postgres_port)

    def keep_database() -> None:
        if not server.is_running():
            log.warning("PostgreSQL is not running: starting it")
            server.start()

    components = dict(COMPONENTS)
    if options.mail is not None:
        command = (*MAIL_CATCHER, "--port", str(options.smtp_port), "--folder", str(options.mail))
        components["mail-catcher"] = Program(command, stop_seconds=2.0)
    ports = {"PORT": options.airflow_port, "PG_PORT": options.postgres_port, "SMTP_PORT": options.smtp_port}
    supervisor = Supervisor(components, logs=options.logs, run=options.run, ports=ports, keep_database=keep_database)
    signal.signal(signal.SIGTERM, supervisor.request_stop)
    signal.signal(signal.SIGINT, supervisor.request_stop)
    try:
        supervisor.supervise()
    except (GaveUpError, EmbeddedServerError, psycopg2.Error) as error:
        log.error("%s", error)
        write_private(options.run / FAILURE, f"{error}\n")
        return 1
    finally:
        server.stop()
        (options.run / STATE).unlink(missing_ok=True)
        log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
