"""The environment in which Airflow and its tasks run: the one place that says how the local stack is configured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from include.storage import LOCATIONS
from tools.stack.keys import Keys
from tools.stack.settings import PROJECT, StackSettings

# Set by many containers and CI machines; without bytecode every Airflow process compiles for a minute at each start.
UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONSTARTUP")
ALERTS = "AIRFLOW_CONN_ALERTS_SMTP"


def make_environment(
    settings: StackSettings,
    keys: Keys,
    *,
    airflow_url: str,
    warehouse_url: str,
    pages_url: str,
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Compose the whole environment of the stack's processes.

    Args:
        settings: folders and ports.
        keys: the stack's secrets.
        airflow_url: `postgresql://user:password@host:port/database` of Airflow's own tables.
        warehouse_url: the same of the database that is imported into, for the importer.
        pages_url: the same for the web pages, which only read it (X-22).
        inherited: what the processes get besides; what is set here wins over it.
    """
    environment = {name: value for name, value in inherited.items() if name not in UNWANTED}
    environment |= _python(inherited) | _airflow(settings, keys, airflow_url)
    environment |= _locations(settings) | _connections(keys, warehouse_url, pages_url)
    environment |= settings.extra_environment
    if catches_mails(settings, inherited):
        environment[ALERTS] = _mail_catcher(settings)
    return environment


def catches_mails(settings: StackSettings, inherited: Mapping[str, str] = os.environ) -> bool:
    """Return whether alerts go to the stack's own mail catcher: they do unless a Connection is given for them."""
    return ALERTS not in {**inherited, **settings.extra_environment}


def _python(inherited: Mapping[str, str]) -> dict[str, str]:
    loopback = "127.0.0.1,localhost"
    bypass = inherited.get("NO_PROXY") or inherited.get("no_proxy")
    no_proxy = f"{bypass},{loopback}" if bypass else loopback
    return {
        # `config` holds airflow_local_settings.py; PROJECT makes `include` importable.
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "config")]),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def _airflow(settings: StackSettings, keys: Keys, airflow_url: str) -> dict[str, str]:
    home = settings.airflow_home
    options: dict[tuple[str, str], object] = {
        ("core", "dags_folder"): settings.dags,
        ("core", "plugins_folder"): settings.plugins,
        ("core", "load_examples"): False,
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): 8,
        # Task processes must inherit what airflow_local_settings has imported; Python 3.14 would start them afresh.
        ("core", "mp_start_method"): "fork",
        ("core", "dags_are_paused_at_creation"): False,
        ("core", "fernet_key"): keys.fernet_key,
        # The default asks DNS for a full name, which takes seconds where none answers.
        ("core", "hostname_callable"): "socket.gethostname",
        ("core", "simple_auth_manager_users"): "admin:admin",
        ("core", "simple_auth_manager_passwords_file"): home / "passwords.json",
        ("core", "execution_api_server_url"): f"{settings.url}/execution/",
        ("api", "host"): "127.0.0.1",
        ("api", "port"): settings.port,
        ("api", "base_url"): settings.url,
        ("api", "secret_key"): keys.api_secret_key,
        ("api_auth", "jwt_secret"): keys.jwt_secret,
        ("database", "sql_alchemy_conn"): urlsplit(airflow_url)._replace(scheme="postgresql+psycopg2").geturl(),
        ("dag_processor", "refresh_interval"): 10,
        ("dag_processor", "min_file_process_interval"): 30,
        ("dag_processor", "parsing_processes"): 1,
        ("scheduler", "scheduler_idle_sleep_time"): 0.1,
        # Also how long a worker may go on waiting for a task that has already ended (3.3.2), its slot occupied: 5 s.
        ("workers", "min_heartbeat_interval"): 1,
        ("logging", "base_log_folder"): home / "logs",
        ("logging", "dag_processor_child_process_log_directory"): home / "logs" / "dag_processor",
        ("logging", "colored_console_log"): False,
        ("logging", "file_task_handler_new_folder_permissions"): "0o700",
        ("logging", "file_task_handler_new_file_permissions"): "0o600",
        ("usage_data_collection", "enabled"): False,
    }
    environment = {f"AIRFLOW__{section}__{key}".upper(): str(value) for (section, key), value in options.items()}
    return environment | {"AIRFLOW_HOME": str(home)}


def _locations(settings: StackSettings) -> dict[str, str]:
    """Plain paths: a `file://` URL would need its blanks quoted, and not every reader unquotes them."""
    return {f"AIRFLOW_VAR_{name.upper()}_URL": str(settings.home / name) for name in LOCATIONS}


def _connections(keys: Keys, warehouse_url: str, pages_url: str) -> dict[str, str]:
    return {
        "AIRFLOW_CONN_WAREHOUSE_POSTGRES": _database_connection(warehouse_url),
        "AIRFLOW_CONN_WAREHOUSE_PAGES": _database_connection(pages_url),
        "AIRFLOW_CONN_CVV_KEY": json.dumps({"conn_type": "generic", "password": keys.cvv_key}),
        "AIRFLOW_CONN_CODE_KEY": json.dumps({"conn_type": "generic", "password": keys.code_key}),
        "WAREHOUSE_URL": warehouse_url,
        "WAREHOUSE_PAGES_URL": pages_url,
    }


def _database_connection(url: str) -> str:
    parts = urlsplit(url)
    connection = {
        "conn_type": "postgres",
        "host": parts.hostname,
        "port": parts.port,
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "schema": parts.path.removeprefix("/"),
        # PostgresHook would take psycopg 3; the importer's COPY is psycopg2's.
        "extra": {"sqlalchemy_scheme": "postgresql+psycopg2"},
    }
    return json.dumps(connection)


def _mail_catcher(settings: StackSettings) -> str:
    extra = {"from_email": "imports@example.com", "disable_ssl": True, "disable_tls": True}
    return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": settings.smtp_port, "extra": extra})
