"""The environment a fresh machine gets: locks, Make targets, and what Airflow's processes get."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from include.deployment.errors import StackError
from tools.stack.environment import make_environment
from tools.stack.keys import Keys, load_keys
from tools.stack.settings import PROJECT, StackSettings, read_settings

pytestmark = pytest.mark.unit

LOCKS = ("requirements-bootstrap", "requirements", "requirements-dev")
PINNED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(\[[^]]*])?==(?P<version>[^ ;\\]+)")


def locked_versions(lock: str) -> dict[str, set[str]]:
    """Return the pinned versions of each package; several where they depend on the Python."""
    versions: dict[str, set[str]] = {}
    for line in (PROJECT / f"{lock}.txt").read_text().splitlines():
        if match := PINNED.match(line):
            versions.setdefault(match["name"], set()).add(match["version"])
    return versions


def some_settings(home: Path, **changes: object) -> StackSettings:
    values: dict[str, object] = {"home": home, "port": 8080, "postgres_data": home / "pg" / "data", "pg_port": 5442}
    return StackSettings(**{**values, **changes})


def some_environment(home: Path, inherited: dict[str, str] | None = None, **changes: object) -> dict[str, str]:
    return make_environment(
        some_settings(home, **changes),
        Keys(cvv_key="the-cvv-key", code_key="the-code-key"),
        airflow_url="postgresql://loyalty:pa%2Fss@127.0.0.1:5442/airflow",
        warehouse_url="postgresql://loader:pa%2Fss@127.0.0.1:5442/warehouse",
        pages_url="postgresql://reader:pass@127.0.0.1:5442/warehouse",
        inherited=inherited or {},
    )


# -- locks


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_pinned_and_hashed_and_comes_from_no_named_place(lock: str) -> None:
    text = (PROJECT / f"{lock}.txt").read_text()
    requirements = [block for block in re.split(r"\n(?=[^\s#])", text) if not block.startswith("#")]
    assert requirements
    assert [block.splitlines()[0] for block in requirements if not PINNED.match(block)] == []
    assert [block.splitlines()[0] for block in requirements if "--hash=sha256:" not in block] == []
    assert re.findall(r"https?://\S*|file:\S*|--\S*index\S*|--find-links\S*", text) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_wanted_package_is_in_the_lock(lock: str) -> None:
    lines = (PROJECT / f"{lock}.in").read_text().splitlines()
    wanted = {re.split(r"[\[=<>~! #]", line)[0].lower() for line in lines if line and not line.startswith(("#", "-r"))}
    assert wanted
    assert wanted - locked_versions(lock).keys() == set()


def test_development_and_production_run_the_same_versions() -> None:
    production, development = locked_versions("requirements"), locked_versions("requirements-dev")
    assert {
        name: (versions, development.get(name))
        for name, versions in production.items()
        if development.get(name) != versions
    } == {}


def test_celery_stays_below_the_release_that_breaks_its_provider() -> None:
    (version,) = locked_versions("requirements")["celery"]
    assert tuple(int(part) for part in version.split(".")[:2]) < (5, 7)


# -- make and CI


@pytest.mark.parametrize("target", ["demo", "start", "stop", "test", "lint", "bench", "lock", "help", "setup"])
def test_make_knows_the_target(target: str) -> None:
    completed = subprocess.run(["make", "--dry-run", target], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr


def test_make_alone_lists_the_targets() -> None:
    listed = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "stop", "test", "lint", "bench", "lock"):
        assert f"make {target} " in listed


def test_ci_runs_what_a_desk_runs() -> None:
    script = PROJECT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text().splitlines()[-1] == "make lint test"
    assert "bash .ci/run" in (PROJECT / ".github" / "workflows" / "ci.yaml").read_text()
    assert "entry: make lint" in (PROJECT / ".pre-commit-config.yaml").read_text()


def test_without_root_a_missing_program_stops_the_tests_with_the_command_to_install_it(tmp_path: Path) -> None:
    for program in ("bash", "dirname", "grep"):
        (tmp_path / program).symlink_to(
            next(p for p in (Path("/usr/bin") / program, Path("/bin") / program) if p.exists())
        )
    (tmp_path / "id").write_text("#!/usr/bin/env bash\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    script = PROJECT / ".ci" / "system-packages"
    completed = subprocess.run(
        [str(tmp_path / "bash"), str(script)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 1
    assert "sudo apt-get install --yes --no-install-recommends docker-compose" in completed.stderr


# -- settings


def test_ports_come_from_the_environment_then_from_dotenv_then_from_the_defaults(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=9001\nPG_PORT=9002\n")
    assert read_settings({"PORT": "9003"}, dotenv).port == 9003
    assert read_settings({"PORT": "9003"}, dotenv).pg_port == 9002
    assert read_settings({}, tmp_path / "none").port == 8080


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "80 80", "٨٠"])
def test_a_port_that_is_none_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="PG_PORT"):
        read_settings({"PG_PORT": text}, tmp_path / "none")


@pytest.mark.parametrize(("one", "other"), [("PORT", "PG_PORT"), ("PORT", "SMTP_PORT"), ("PG_PORT", "SMTP_PORT")])
def test_the_ports_must_differ(one: str, other: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=f"{one} and {other} are both 9001"):
        read_settings({one: "9001", other: "9001"}, tmp_path / "none")


# -- keys


def test_keys_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    first = load_keys(path)
    assert load_keys(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keys(tmp_path / "other.json") != first
    assert first.cvv_key not in repr(first)


def test_a_key_that_an_older_file_lacks_is_added_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"cvv_key": "old"}))
    keys = load_keys(path)
    assert keys.cvv_key == "old"
    assert load_keys(path) == keys


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_key_file_is_not_overwritten(text: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(StackError, match="damaged"):
        load_keys(path)
    assert path.read_text() == text


# -- environment


def test_airflow_gets_ports_folders_and_secrets(tmp_path: Path) -> None:
    environment = some_environment(tmp_path, port=9001)
    assert environment["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert environment["AIRFLOW__API__PORT"] == "9001"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:9001/execution/"
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert environment["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "0.1"
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://loyalty:pa%2Fss@")
    assert environment["AIRFLOW_VAR_LANDING_URL"] == str(tmp_path / "landing")
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(PROJECT), str(PROJECT / "config")]


def test_connections_carry_the_warehouse_and_the_keys_of_cvvs_and_codes(tmp_path: Path) -> None:
    environment = some_environment(tmp_path)
    warehouse = json.loads(environment["AIRFLOW_CONN_WAREHOUSE_POSTGRES"])
    assert (warehouse["host"], warehouse["port"], warehouse["schema"]) == ("127.0.0.1", 5442, "warehouse")
    assert (warehouse["login"], warehouse["password"]) == ("loader", "pa/ss")
    pages = json.loads(environment["AIRFLOW_CONN_WAREHOUSE_PAGES"])
    assert warehouse | {"login": "reader", "password": "pass"} == pages
    assert json.loads(environment["AIRFLOW_CONN_CVV_KEY"])["password"] == "the-cvv-key"
    assert json.loads(environment["AIRFLOW_CONN_CODE_KEY"])["password"] == "the-code-key"


def test_alerts_go_to_the_mail_catcher_unless_a_connection_says_where_else(tmp_path: Path) -> None:
    """Source: TU-03."""
    own = json.loads(some_environment(tmp_path, smtp_port=9025)["AIRFLOW_CONN_ALERTS_SMTP"])
    assert (own["conn_type"], own["host"], own["port"]) == ("smtp", "127.0.0.1", 9025)
    elsewhere = {"AIRFLOW_CONN_ALERTS_SMTP": "smtp://mail.example.com"}
    assert some_environment(tmp_path, elsewhere).items() >= elsewhere.items()
    assert some_environment(tmp_path, extra_environment=elsewhere).items() >= elsewhere.items()


def test_what_would_slow_or_misdirect_airflow_is_not_inherited(tmp_path: Path) -> None:
    inherited = {"PYTHONDONTWRITEBYTECODE": "1", "AIRFLOW_HOME": "/elsewhere", "LANG": "C", "NO_PROXY": "intranet"}
    environment = some_environment(tmp_path, inherited)
    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert environment["LANG"] == "C"
    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_a_stack_may_be_given_other_locations(tmp_path: Path) -> None:
    environment = some_environment(tmp_path, extra_environment={"AIRFLOW_VAR_LANDING_URL": "s3://bucket/landing"})
    assert environment["AIRFLOW_VAR_LANDING_URL"] == "s3://bucket/landing"


# -- what is imported where tasks are forked


@pytest.mark.parametrize(
    ("arguments", "executor", "expected"),
    [
        (["scheduler", "--skip-serve-logs"], "LocalExecutor", True),
        (["scheduler"], "CeleryExecutor", False),
        (["celery", "worker"], "CeleryExecutor", True),
        (["celery", "flower"], "CeleryExecutor", False),
        (["api-server"], "LocalExecutor", False),
        (["dag-processor"], "LocalExecutor", False),
        (["triggerer"], "LocalExecutor", False),
        ([], "LocalExecutor", False),
    ],
)
def test_only_processes_that_fork_tasks_pay_for_heavy_imports(
    arguments: list[str], executor: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(importlib, "import_module", loaded.append)
    monkeypatch.setattr(sys, "argv", ["airflow", *arguments])
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    runpy.run_path(str(PROJECT / "config" / "airflow_local_settings.py"))
    assert ("great_expectations" in loaded, "include.importer" in loaded) == (expected, expected)
    assert ("airflow.sdk.execution_time.task_runner" in loaded) == expected
    assert expected or loaded == []
