"""One-shot preparation of the container deployment: databases, bucket, login. The `init` service of docker-compose.

It is configured by the same Connections and Variables as Airflow, and may be repeated at any time. On Kubernetes, where
containers share no disk, the job of the databases runs it without AIRFLOW_ADMIN_PASSWORD, and the API server's pod
begins with `python -m include.stack.containers login`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import psycopg2
from psycopg2 import sql
from sqlalchemy import URL
from sqlalchemy.engine import make_url

from include.stack.environment import LOCATIONS
from include.stack.errors import StackError
from include.stack.keys import write_private
from include.stack.lifecycle import ADMIN
from include.stack.preparation import prepare_databases

DEFAULT_REGION = "us-east-1"
"""The region that buckets come into when none is asked for, and that S3 refuses to be asked for."""


def prepare(environ: Mapping[str, str] = os.environ) -> None:
    """Make what is missing: the warehouse's database, both schemas, the buckets; given a password, the login file."""
    create_database(warehouse_address(environ), make_url(environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]).database or "")
    url = warehouse_address(environ).render_as_string(hide_password=False)
    prepare_databases(url, environ, Path(environ["AIRFLOW_HOME"]) / "logs" / "migration.log")
    create_buckets(environ)
    if "AIRFLOW_ADMIN_PASSWORD" in environ:
        write_login(environ)


def write_login(environ: Mapping[str, str] = os.environ) -> None:
    """Write the file that Airflow's simple auth manager reads the password from."""
    passwords = Path(environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    write_private(passwords, json.dumps({ADMIN: environ["AIRFLOW_ADMIN_PASSWORD"]}) + "\n")


def warehouse_address(environ: Mapping[str, str]) -> URL:
    """Return the warehouse's address as the Connection `warehouse_postgres` gives it."""
    connection = json.loads(environ["AIRFLOW_CONN_WAREHOUSE_POSTGRES"])
    return URL.create(
        "postgresql",
        username=connection["login"],
        password=connection["password"],
        host=connection["host"],
        port=connection["port"],
        database=connection["schema"],
    )


def create_database(address: URL, maintenance_database: str) -> None:
    """Create the database of an address unless it exists, from within another one of the same server."""
    server = address.set(database=maintenance_database).render_as_string(hide_password=False)
    with contextlib.closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (address.database,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(address.database)))


def create_buckets(environ: Mapping[str, str]) -> None:
    """Create the buckets that the location Variables name; plain folders need nothing."""
    urls = [environ[f"AIRFLOW_VAR_{name.upper()}_URL"] for name in LOCATIONS]
    buckets = {url.removeprefix("s3://").split("/")[0] for url in urls if url.startswith("s3://")}
    if not buckets:
        return
    storage: dict[str, Any] = json.loads(environ["AIRFLOW_CONN_LANDING_STORAGE"])
    extra = storage.get("extra", {})
    region = extra.get("region_name")
    files = fsspec.filesystem(
        "s3",
        key=storage.get("login"),
        secret=storage.get("password"),
        endpoint_url=extra.get("endpoint_url"),  # of a store that isn't AWS's
        config_kwargs={"region_name": region},
    )
    for bucket in sorted(buckets):
        if not files.exists(bucket):
            files.mkdir(bucket, region_name=None if region == DEFAULT_REGION else region)


if __name__ == "__main__":
    try:
        write_login() if sys.argv[1:] == ["login"] else prepare()
    except StackError as error:
        sys.exit(f"error: {error}")
