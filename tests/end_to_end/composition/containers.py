"""What docker-compose.yaml and the Dockerfile say of a container, and how a process of this machine replaces it.

Everything is read from the two files. Only what a container has to itself is changed: hosts and ports, folders, and the
name of a worker. `Machine` lists these changes one by one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.compose_file import compose
from tools.stack.settings import PROJECT

ENTRY_PROGRAM = "airflow"
INIT = "init"


@dataclass(frozen=True)
class Image:
    """What the Dockerfile gives to every container."""

    environment: Mapping[str, str]
    entrypoint: Sequence[str]


@dataclass(frozen=True)
class Service:
    """A service of docker-compose.yaml."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    volumes: Mapping[str, str]
    healthcheck: Sequence[str] | None


@dataclass(frozen=True)
class Machine:
    """The one place that says what differs between the containers and their processes on this machine."""

    home: Path
    postgres_port: int
    redis_port: int
    storage_port: int
    mail_port: int
    api_port: int

    def replacements(self, container: str) -> dict[str, str]:
        """Return text of the files → text on this machine."""
        return {
            "@postgres:5432/": f"@127.0.0.1:{self.postgres_port}/",
            '"host": "postgres", "port": 5432': f'"host": "127.0.0.1", "port": {self.postgres_port}',
            "@redis:6379/": f"@127.0.0.1:{self.redis_port}/",
            "exec redis-server ": f"exec redis-server --bind 127.0.0.1 --port {self.redis_port} ",
            "http://storage:8333": f"http://127.0.0.1:{self.storage_port}",
            '"host": "mail", "port": 1025': f'"host": "127.0.0.1", "port": {self.mail_port}',
            "http://api-server:8080/": f"http://127.0.0.1:{self.api_port}/",
            "/opt/importer": str(PROJECT),
            "/opt/venv": sys.prefix,
            "/opt/airflow": str(self.home / "containers" / container / "airflow"),
            "/data": str(self.home / "containers" / container / "data"),
        }

    def own_settings(self, ports: Mapping[str, int]) -> dict[str, str]:
        """Return settings that the files leave at the default, as each container has the ports of its own host."""
        return {
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.api_port),
            **{name: str(port) for name, port in ports.items()},
        }

    def own_arguments(self, container: str) -> list[str]:
        """Return arguments besides the service's: a worker is named for its host, which all share here."""
        return ["--celery-hostname", f"{container}@%h"] if container.startswith("worker") else []

    def volume(self, name: str) -> Path:
        """Return the folder that replaces a named volume."""
        return self.home / "volumes" / name


PORT_SETTINGS = (
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT",
)
"""Servers beside a component's own work; two workers on one machine would want the same port."""


def read_image(path: Path = PROJECT / "Dockerfile") -> Image:
    """Read what the image sets for every container."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    environment = {}
    for line in lines:
        if line.startswith("ENV "):
            environment |= dict(pair.split("=", 1) for pair in line.removeprefix("ENV ").split())
    (entrypoint,) = (json.loads(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT "))
    return Image(environment, entrypoint)


def read_services(env_file: Path) -> dict[str, Service]:
    """Read docker-compose.yaml with the values of an .env file."""
    completed = compose(env_file)
    assert completed.returncode == 0, completed.stderr
    return {name: _service(name, declared) for name, declared in yaml.safe_load(completed.stdout)["services"].items()}


def is_airflow(service: Service) -> bool:
    """Return whether a service runs one of Airflow's components."""
    return list(service.command[:1]) == [ENTRY_PROGRAM]


def localised(text: str, replacements: Mapping[str, str]) -> str:
    """Return a text of the files as it is on this machine."""
    there = re.compile("|".join(map(re.escape, replacements)))
    return there.sub(lambda match: replacements[match[0]], text)


def environment_of(service: Service, image: Image, machine: Machine, container: str, path: str) -> dict[str, str]:
    """Return the environment that a container's process gets.

    Args:
        path: the folders with the system's programs, for $PATH.
    """
    declared = {name: re.sub(r"\$PATH\b", path, value) for name, value in image.environment.items()}
    declared |= service.environment
    return {name: localised(value, machine.replacements(container)) for name, value in declared.items()}


def _service(name: str, declared: Mapping[str, Any]) -> Service:
    volumes = (entry.split(":")[:2] for entry in declared.get("volumes", []) if ":" in entry)
    check = declared.get("healthcheck", {}).get("test")
    return Service(
        name,
        [_plain(part) for part in declared.get("command") or []],
        {key: _plain(str(value)) for key, value in declared.get("environment", {}).items()},
        {folder: volume for volume, folder in volumes},
        [_plain(part) for part in check[1:]] if check else None,
    )


def _plain(text: str) -> str:
    """Take back what docker-compose writes for a dollar sign."""
    return text.replace("$$", "$")
