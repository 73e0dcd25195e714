"""What runs here is what docker-compose.yaml says: every service, every setting, every command. Source: X-14."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.end_to_end.composition.containers import PORT_SETTINGS, is_airflow, read_image
from tests.end_to_end.composition.stack import WORKERS, Composition

pytestmark = pytest.mark.e2e

COMPONENTS = ["api-server", "scheduler", "dag-processor", "triggerer"]
OTHERWISE = {
    "AIRFLOW__API__PORT",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW_CONN_ALERTS_SMTP",
    "AIRFLOW_CONN_DATABASE_ADMIN",
    "AIRFLOW_CONN_LANDING_STORAGE",
    "AIRFLOW_CONN_WAREHOUSE_OWNER",
    "AIRFLOW_CONN_WAREHOUSE_PAGES",
    "AIRFLOW_CONN_WAREHOUSE_POSTGRES",
    "AIRFLOW_CONN_WAREHOUSE_SHOP",
}
"""Settings that name a host, a port or a folder, which are others on this machine."""
PLACES = {"host", "port", "endpoint_url"}


def test_every_service_was_started_as_the_file_says(composition: Composition) -> None:
    workers = [f"worker-{number}" for number in range(1, WORKERS + 1)]
    assert [name for name, service in composition.services.items() if is_airflow(service)] == sorted(
        [*COMPONENTS, "worker"]
    )
    assert set(composition.containers) == {"redis", "mail", "init", *COMPONENTS, *workers}
    assert composition.services.keys() - {one.service.name for one in composition.containers.values()} == {
        "postgres", "storage",
    }  # fmt: skip
    image = read_image()
    assert image.entrypoint == ["python", "-m"]
    for name, container in composition.containers.items():
        if is_airflow(container.service):
            own = ["--celery-hostname", f"{name}@%h"] if name in workers else []
            assert container.command == [*image.entrypoint, *container.service.command, *own]
    assert composition.containers["init"].command == [*image.entrypoint, "include.deployment.containers"]
    assert composition.containers["redis"].command == [
        part.replace("redis-server ", f"redis-server --bind 127.0.0.1 --port {composition.machine.redis_port} ")
        for part in composition.services["redis"].command
    ]


def test_nothing_but_hosts_ports_and_folders_is_set_otherwise(composition: Composition) -> None:
    image = read_image()
    for container in composition.containers.values():
        if container.name == "mail":
            continue
        declared, actual = container.service.environment, container.environment
        if container.name == "redis":
            assert actual == {**declared, "PATH": actual["PATH"]}
            continue
        assert actual.keys() - declared.keys() == {*image.environment, "AIRFLOW__API__HOST", *PORT_SETTINGS}
        here = OTHERWISE & declared.keys()  # each container has the secrets that it works with
        assert {name for name in declared if actual[name] != declared[name]} == here
        for name in here - {"AIRFLOW__API__PORT"}:
            assert without_places(actual[name]) == without_places(declared[name]), name


def without_places(value: str) -> Any:
    """Return a setting without its hosts, ports and folders."""
    if value.startswith("{"):
        return json.loads(value, object_hook=lambda setting: {key: setting[key] for key in setting.keys() - PLACES})
    scheme, _, rest = value.rstrip("/").rpartition("://")
    credentials, _, address = rest.rpartition("@")
    return scheme, credentials, address.rpartition("/")[2]


def test_the_servers_behind_have_the_settings_of_their_containers(composition: Composition) -> None:
    command = composition.services["postgres"].command
    declared = dict(part.split("=", 1) for option, part in itertools.pairwise(command) if option == "-c")
    assert len(declared) >= 4
    assert declared.items() <= composition.server.settings.items()


def test_health_checks_of_the_file_are_content(composition: Composition) -> None:
    for name in ("redis", "api-server", "scheduler"):
        assert composition.is_healthy(name), name
