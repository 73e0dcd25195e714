"""The values for Airflow's Helm chart: what the chart takes, what docker-compose.yaml says too, and no secret."""

from __future__ import annotations

import copy
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml

from include.deployment import containers
from include.deployment.errors import StackError
from include.warehouse.roles import Login, Role
from tests.compose_file import airflow_environment, compose, filled
from tests.unit.test_environment import locked_versions
from tools.stack.settings import PROJECT

pytestmark = pytest.mark.unit

VALUES = PROJECT / "deploy" / "kubernetes" / "values.yaml"
CHART = Path(__file__).with_name("helm_chart.yaml")
COMPONENTS = {"apiServer": "api-server", "scheduler": "scheduler", "dagProcessor": "dag-processor",
              "triggerer": "triggerer"}  # fmt: skip
FROM_THE_CHART = {
    "AIRFLOW__CORE__EXECUTOR": "executor",
    "AIRFLOW__CORE__FERNET_KEY": "fernetKeySecretName",
    "AIRFLOW__API__SECRET_KEY": "apiSecretKeySecretName",
    "AIRFLOW__API_AUTH__JWT_SECRET": "jwtSecretName",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "data",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "config",
    "AIRFLOW__API__BASE_URL": "config",
    "AIRFLOW__CORE__PARALLELISM": "config",
}
"""Settings of docker-compose.yaml that the chart makes of values of its own."""
OF_COMPOSE_ALONE = {
    "AIRFLOW__API__PORT",  # the chart's default is Airflow's
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY",
}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return yaml.safe_load(VALUES.read_text())


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    completed = compose(filled(tmp_path_factory.mktemp("env")))
    assert completed.returncode == 0, completed.stderr
    return yaml.safe_load(completed.stdout)["services"]


@pytest.fixture(scope="module")
def chart() -> jsonschema.Draft7Validator:
    schema = yaml.safe_load(CHART.read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def faults(chart: jsonschema.Draft7Validator, values: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in chart.iter_errors(values)]


def test_the_chart_takes_the_values(chart: jsonschema.Draft7Validator, values: dict[str, Any]) -> None:
    assert faults(chart, values) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schedulers"], {}),
        (["scheduler", "argument"], ["airflow"]),
        (["apiServer", "startupProbe", "command"], ["true"]),
        (["workers", "kubernetes", "resources", "requests", "memory"], 700),
        (["airflowVersion"], 3.3),
        (["env", 0, "valueFrom"], {}),
        (["secret"], []),
        (["scheduler", "env", 0, "valueFrom"], {"secretRef": {}}),
        (["securityContexts", "container"], {}),
        (["statsd", "securityContexts", "containers"], {}),
        (["apiServer", "networkPolicy", "from"], []),
        (["triggerer", "persistence"], False),
    ],
)
def test_a_slip_in_the_values_is_found(
    chart: jsonschema.Draft7Validator, values: dict[str, Any], path: list[Any], value: object
) -> None:
    changed = copy.deepcopy(values)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(faults(chart, changed)) == 1


def test_every_key_that_the_chart_is_said_to_know_is_used_or_belongs_to_a_probe(values: dict[str, Any]) -> None:
    schema = yaml.safe_load(CHART.read_text())
    assert schema["properties"].keys() == values.keys()
    for name in ("workers", "apiServer", "scheduler", "dagProcessor", "triggerer", "migrateDatabaseJob"):
        assert schema["properties"][name]["properties"].keys() == values[name].keys()


def test_settings_are_those_of_docker_compose(values: dict[str, Any], services: dict[str, Any]) -> None:
    environment = airflow_environment(services)
    stated = {variable["name"]: variable["value"] for variable in values["env"]}
    assert stated == {name: environment[name] for name in stated}
    secrets = {variable["name"] for pod in ("workers", "apiServer") for variable in connections_of(values[pod])}
    assert environment.keys() == stated.keys() | secrets | FROM_THE_CHART.keys() | OF_COMPOSE_ALONE
    assert set(FROM_THE_CHART.values()) <= values.keys()
    assert values["config"]["api"]["base_url"] == environment["AIRFLOW__API__BASE_URL"]


def test_the_chart_s_variables_of_services_that_are_not_there_are_off(values: dict[str, Any]) -> None:
    built_in = {"AIRFLOW__CELERY__RESULT_BACKEND", "AIRFLOW__CELERY__CELERY_RESULT_BACKEND",
                "AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__WEBSERVER__SECRET_KEY"}  # fmt: skip
    assert values["enableBuiltInSecretEnvVars"] == dict.fromkeys(built_in, False)
    assert (values["executor"], values["postgresql"]["enabled"], values["redis"]["enabled"]) == (
        "KubernetesExecutor", False, False,
    )  # fmt: skip


def connections_of(component: dict[str, Any]) -> list[dict[str, Any]]:
    return [variable for variable in component.get("env", ()) if variable["name"].startswith("AIRFLOW_CONN_")]


def test_a_pod_has_the_connections_of_its_container_in_docker_compose_and_no_others(
    values: dict[str, Any], services: dict[str, Any]
) -> None:
    """X-22. Each comes from a secret, under its own name."""
    pods = COMPONENTS | {"workers": "worker"}
    for pod, service in pods.items():
        connections = {name for name in services[service]["environment"] if name.startswith("AIRFLOW_CONN_")}
        assert {variable["name"] for variable in connections_of(values[pod])} == connections, pod
        for variable in connections_of(values[pod]):
            key = variable["name"].removeprefix("AIRFLOW_CONN_").lower()
            assert variable["valueFrom"] == {"secretKeyRef": {"name": "importer-connections", "key": key}}
    # Only the owner changes the schema; roles and databases an administrator has made.
    job = {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]["name"]
        for variable in connections_of(values["migrateDatabaseJob"])
    }
    assert job == {
        "AIRFLOW_CONN_WAREHOUSE_OWNER": "importer-owner", "AIRFLOW_CONN_LANDING_STORAGE": "importer-connections",
    }  # fmt: skip
    assert [variable["name"] for variable in values["env"] if variable["name"].startswith("AIRFLOW_CONN_")] == []


def test_no_pod_runs_as_root_gains_rights_or_changes_its_own_files(values: dict[str, Any]) -> None:
    """X-22: as in docker-compose.yaml, whose image has the same user."""
    ((user, group, home),) = re.findall(
        r"useradd --uid (\d+) --gid (\d+) .* --home-dir (\S+) ", (PROJECT / "Dockerfile").read_text()
    )
    pod, containers = values["securityContexts"]["pod"], values["securityContexts"]["containers"]
    assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (int(user), int(group), int(group))
    (login,) = values["apiServer"]["extraInitContainers"]
    for rights in (containers, login["securityContext"], values["statsd"]["securityContexts"]["container"]):
        assert rights == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for of_pod in (pod, values["statsd"]["securityContexts"]["pod"]):
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["runAsUser"] > 0
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {mount["mountPath"] for mount in values["volumeMounts"]} == {home, "/tmp"}
    assert {mount["name"] for mount in values["volumeMounts"]} == {volume["name"] for volume in values["volumes"]}


def test_only_who_asks_kubernetes_has_a_token_for_it(values: dict[str, Any]) -> None:
    """X-22: the scheduler starts pods, and the API server reads the logs of those that run."""
    without = {
        name for name, component in values.items()
        if isinstance(component, dict)
        and component.get("serviceAccount", {}).get("automountServiceAccountToken") is False
    }  # fmt: skip
    assert without == {"workers", "dagProcessor", "triggerer", "migrateDatabaseJob", "statsd"}


def test_pods_are_reached_by_the_pods_of_their_namespace_alone(values: dict[str, Any]) -> None:
    """X-22. Without a peer the chart's policy would let nobody reach the API server, tasks included."""
    assert values["networkPolicies"] == {"enabled": True}
    assert values["apiServer"]["networkPolicy"]["ingress"]["from"] == [{"podSelector": {}}]


def test_the_documentation_makes_every_secret_that_the_values_name(values: dict[str, Any]) -> None:
    page = (PROJECT / "docs" / "operate" / "deploy-kubernetes.md").read_text()
    documented = {
        (secret, key)
        for secret, body in re.findall(r"kubectl create secret generic (\S+)((?:.*\\\n)*.*)", page)
        for key in re.findall(r"--from-(?:literal|file)=([a-z_-]+)=", body)
    }
    used = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for component in ("workers", "migrateDatabaseJob", "apiServer")
        for variable in connections_of(values[component])
    }
    used |= {("importer-airflow", key) for key in ("connection", "fernet-key", "api-secret-key", "jwt-secret")}
    (login,) = values["apiServer"]["extraInitContainers"]
    used |= {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for variable in login["env"]
        if "valueFrom" in variable
    }
    assert documented == used


def keys_of(value: Any) -> set[str]:
    """Return every key at any depth."""
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    return {key for item in value for key in keys_of(item)} if isinstance(value, list) else set()


def test_no_secret_is_written_in_the_values(values: dict[str, Any]) -> None:
    """The chart takes secrets themselves under these keys, and makes some up on each upgrade where it is given none."""
    themselves = {"fernetKey", "apiSecretKey", "jwtSecret", "metadataConnection", "brokerUrl", "password", "pass",
                  "extraSecrets", "stringData"}  # fmt: skip
    assert keys_of(values) & themselves == set()
    text = VALUES.read_text()
    assert re.findall(r"://[^\s/]*:[^\s/]*@", text) == []
    assert re.findall(r"\b(?=\w*[a-z])(?=\w*[A-Z])(?=\w*\d)[\w-]{24,}", text) == [], "this looks like a key"


def test_the_image_is_the_one_of_docker_compose(values: dict[str, Any], services: dict[str, Any]) -> None:
    images = values["images"]["airflow"]
    image = f"{images['repository']}:{images['tag']}"
    assert {image} == {services[name]["image"] for name in (*COMPONENTS.values(), "worker", "init")}
    assert f"{values['defaultAirflowRepository']}:{values['defaultAirflowTag']}" == image
    assert [container["image"] for container in values["apiServer"]["extraInitContainers"]] == [image]
    locked = locked_versions("requirements")
    assert {values["airflowVersion"]} == locked["apache-airflow"]
    # What the executor and the metrics of the values need beside docker-compose's.
    assert {"apache-airflow-providers-cncf-kubernetes", "statsd"} <= locked.keys()


def test_components_run_what_docker_compose_runs(values: dict[str, Any], services: dict[str, Any]) -> None:
    for component, service in COMPONENTS.items():
        assert values[component]["args"] == services[service]["command"]
    assert values["migrateDatabaseJob"]["args"] == services["init"]["command"]
    assert values["scheduler"]["livenessProbe"]["command"] == services["scheduler"]["healthcheck"]["test"][1:]
    assert values["scheduler"]["startupProbe"]["command"] == values["scheduler"]["livenessProbe"]["command"]


def test_no_command_needs_what_the_image_does_not_have(values: dict[str, Any]) -> None:
    """The chart's own commands go through the entry point and the scripts of Airflow's reference image."""
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["python", "-m"]' in dockerfile
    for component in COMPONENTS:
        assert values[component]["args"][0] == "airflow"
    for component in ("scheduler", "dagProcessor", "triggerer"):
        assert values[component]["livenessProbe"]["command"][0] == "python"
        assert values[component]["logGroomerSidecar"] == {"enabled": False}


def test_a_task_s_pod_runs_the_executor_s_arguments(values: dict[str, Any]) -> None:
    """They are a whole command line, which must not come after the `python -m` of the image's entry point."""
    from airflow.providers.cncf.kubernetes.pod_generator import workload_to_command_args

    workload = SimpleNamespace(model_dump_json=lambda: "{}")
    assert workload_to_command_args(workload)[:2] == ["python", "-m"]
    task = [*values["workers"]["kubernetes"]["command"], sys.executable, "-c", "print('a task')"]
    assert subprocess.run(task, capture_output=True, text=True, check=True).stdout == "a task\n"


def test_the_scheduler_of_pods_does_not_load_what_tasks_need(values: dict[str, Any]) -> None:
    settings = runpy.run_path(str(PROJECT / "config" / "airflow_local_settings.py"))
    (executor,) = values["scheduler"]["env"]
    assert executor == {"name": "AIRFLOW__CORE__EXECUTOR", "value": values["executor"]}
    command = ["airflow", *values["scheduler"]["args"][1:]]
    assert not settings["forks_tasks"](command, executor["value"])
    assert settings["forks_tasks"](command, "LocalExecutor")


def test_airflow_knows_every_option_of_the_config(values: dict[str, Any]) -> None:
    from airflow.configuration import retrieve_configuration_description

    sections = retrieve_configuration_description()
    unknown = [
        f"{section}.{option}"
        for section, options in values["config"].items()
        for option in options
        if option not in sections.get(section, {}).get("options", {})
    ]
    assert unknown == []


def database(login: str, name: str = "warehouse") -> str:
    """Return a Connection as JSON."""
    return json.dumps({"login": login, "password": f"of-{login}", "host": "c", "port": 5432, "schema": name})


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a preparation does to databases and buckets, instead of doing it."""
    steps: list[tuple[Any, ...]] = []
    monkeypatch.setattr(containers.bootstrap, "prepare_server", lambda *args: steps.append(("roles", *args)))
    monkeypatch.setattr(containers, "prepare_databases", lambda url, *_: steps.append(("schemas", url)))
    monkeypatch.setattr(containers, "create_buckets", lambda _: steps.append(("buckets",)))
    return steps


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://airflow:of-airflow@c:5432/metadata",
        "AIRFLOW_CONN_WAREHOUSE_OWNER": database("proprietor"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(tmp_path / "login" / "passwords.json"),
    }


def test_a_job_without_a_password_prepares_databases_and_leaves_the_login_alone(
    tmp_path: Path, environ: dict[str, str], done: list[tuple[Any, ...]]
) -> None:
    containers.prepare(environ)
    assert done == [("schemas", "postgresql://proprietor:of-proprietor@c:5432/warehouse"), ("buckets",)]
    assert not (tmp_path / "login").exists()
    containers.write_login(environ | {"AIRFLOW_ADMIN_PASSWORD": "open sesame"})
    assert json.loads((tmp_path / "login" / "passwords.json").read_text()) == {"admin": "open sesame"}
    (tmp_path / "login" / "passwords.json").unlink()
    containers.prepare(environ | {"AIRFLOW_ADMIN_PASSWORD": "open sesame"})
    assert (tmp_path / "login" / "passwords.json").exists()


def test_a_job_with_an_administrator_first_makes_each_role_by_the_name_of_its_connection(
    environ: dict[str, str], done: list[tuple[Any, ...]]
) -> None:
    """Source: X-22: the names that programs sign in with are the user's choice."""
    names = {Role.OWNER: "proprietor", Role.IMPORTER: "loader", Role.PAGES: "reader", Role.SHOP: "till"}
    role_connections = {f"AIRFLOW_CONN_{containers.CONNECTIONS[role]}": database(name) for role, name in names.items()}
    containers.prepare(environ | role_connections | {"AIRFLOW_CONN_DATABASE_ADMIN": database("boss", "postgres")})
    logins = {role: Login(name, f"of-{name}") for role, name in {**names, Role.AIRFLOW: "airflow"}.items()}
    databases = {"metadata": Role.AIRFLOW, "warehouse": Role.OWNER}
    assert done[0] == ("roles", "postgresql://boss:of-boss@c:5432/postgres", logins, databases)
    assert [step[0] for step in done] == ["roles", "schemas", "buckets"]


def test_a_connection_of_a_role_that_is_missing_is_named(environ: dict[str, str], done: list[tuple[Any, ...]]) -> None:
    """Source: X-22."""
    del environ["AIRFLOW_CONN_WAREHOUSE_OWNER"]
    with pytest.raises(StackError, match="AIRFLOW_CONN_WAREHOUSE_OWNER is missing"):
        containers.prepare(environ)
    assert done == []
