"""Where a local stack keeps its things and which ports it listens on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from include.deployment.errors import StackError
from include.warehouse.embedded import EmbeddedServerError, default_server

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_PORT = 8080
DEFAULT_SMTP_PORT = 2525


@dataclass(frozen=True)
class StackSettings:
    """One local stack. Two stacks with different folders and ports run side by side.

    Args:
        home: folder of everything the stack writes; deleting it (after a stop) starts from nothing.
        port: TCP port of Airflow's UI and API on 127.0.0.1.
        postgres_data: PostgreSQL's data folder.
        pg_port: TCP port of PostgreSQL on 127.0.0.1.
        smtp_port: TCP port on 127.0.0.1 of the mail catcher, which keeps the alerts unless they go elsewhere.
        dags: folder that Airflow parses.
        plugins: folder that Airflow loads plugins from.
        extra_environment: wins over what the stack sets, for storage elsewhere (`AIRFLOW_VAR_LANDING_URL`) or tests.
    """

    home: Path
    port: int
    postgres_data: Path
    pg_port: int
    smtp_port: int = DEFAULT_SMTP_PORT
    dags: Path = PROJECT / "dags"
    plugins: Path = PROJECT / "plugins"
    extra_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def airflow_home(self) -> Path:
        """Airflow's own folder: task logs and the login file."""
        return self.home / "airflow"

    @property
    def logs(self) -> Path:
        """One log file a component, and the supervisor's."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """What shows a second command that the stack runs: lock and state."""
        return self.home / "run"

    @property
    def mail(self) -> Path:
        """Where the mail catcher keeps what it was sent."""
        return self.home / "mail"

    @property
    def landing(self) -> Path:
        """Where files are dropped, one folder a type."""
        return self.home / "landing"

    @property
    def url(self) -> str:
        """Airflow's UI. An address, not `localhost`: that may mean ::1 alone, where nothing listens."""
        return f"http://127.0.0.1:{self.port}"


def read_settings(environ: Mapping[str, str] = os.environ, env_file: Path = PROJECT / ".env") -> StackSettings:
    """Return the project's own stack, in `.local`; its ports come from the environment, `.env` or the defaults.

    Raises:
        StackError: a port is no number from 1 to 65535, or two are the same.
    """
    values = {**dotenv_values(env_file), **environ}
    try:
        server = default_server()  # the one that the command line uses too
    except EmbeddedServerError as error:
        raise StackError(str(error)) from None
    settings = StackSettings(
        home=PROJECT / ".local",
        port=_port("PORT", values.get("PORT"), DEFAULT_PORT),
        postgres_data=server.data,
        pg_port=_port("PG_PORT", values.get("PG_PORT"), server.port),
        smtp_port=_port("SMTP_PORT", values.get("SMTP_PORT"), DEFAULT_SMTP_PORT),
    )
    ports = {"PORT": settings.port, "PG_PORT": settings.pg_port, "SMTP_PORT": settings.smtp_port}
    for (name, port), (other, other_port) in itertools.combinations(ports.items(), 2):
        if port == other_port:
            raise StackError(f"{name} and {other} are both {port}; they must differ.")
    return settings


def shown_path(url: str) -> str:
    """Shorten a path below the current folder; leave everything else as it is."""
    path = Path(url.removeprefix("file://"))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else url


def _port(name: str, text: str | None, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise StackError(f"{name}={text} is not a port: expected a number from 1 to 65535.")
    return int(text)
