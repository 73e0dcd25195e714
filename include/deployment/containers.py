"""One-shot preparation of the container deployment: databases, bucket, login. The `init` service of docker-compose.

It is configured by the same Connections and Variables as Airflow, and may be repeated at any time. On Kubernetes, where
containers share no disk, the job of the databases runs it without AIRFLOW_ADMIN_PASSWORD, and the API server's pod
begins with `python -m include.deployment.containers login`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import psycopg2
from sqlalchemy import URL
from sqlalchemy.engine import make_url

from include.deployment.errors import StackError
from include.deployment.names import ADMIN
from include.deployment.preparation import prepare_databases
from include.deployment.private_files import write_private
from include.storage import LOCATIONS
from include.warehouse import bootstrap
from include.warehouse.roles import Login, Role

ADMINISTRATOR, OWNER = "DATABASE_ADMIN", "WAREHOUSE_OWNER"
"""Connections that only this module has."""
CONNECTIONS: Mapping[Role, str] = {
    Role.OWNER: OWNER,
    Role.IMPORTER: "WAREHOUSE_POSTGRES",
    Role.PAGES: "WAREHOUSE_PAGES",
    Role.SHOP: "WAREHOUSE_SHOP",
}
DEFAULT_REGION = "us-east-1"
"""The region that buckets come into when none is asked for, and that S3 refuses to be asked for."""


def prepare(environ: Mapping[str, str] = os.environ) -> None:
    """Make what is missing: roles and databases, both schemas, the buckets; given a password, the login file.

    Roles and databases are made when there is the Connection of an administrator; without it they have to be there
    (`python -m include.warehouse.bootstrap`). The schemas are the owner's work (X-22).
    """
    if f"AIRFLOW_CONN_{ADMINISTRATOR}" in environ:
        create_roles_and_databases(environ)
    url = database_address(environ, OWNER).render_as_string(hide_password=False)
    prepare_databases(url, environ, Path(environ["AIRFLOW_HOME"]) / "logs" / "migration.log")
    create_buckets(environ)
    if "AIRFLOW_ADMIN_PASSWORD" in environ:
        write_login(environ)


def write_login(environ: Mapping[str, str] = os.environ) -> None:
    """Write the file that Airflow's simple auth manager reads the password from."""
    passwords = Path(environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    write_private(passwords, json.dumps({ADMIN: environ["AIRFLOW_ADMIN_PASSWORD"]}) + "\n")


def create_roles_and_databases(environ: Mapping[str, str]) -> None:
    """Give each role the name and the password of its Connection, and each database its owner."""
    airflow = make_url(environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    addresses = {role: database_address(environ, name) for role, name in CONNECTIONS.items()} | {Role.AIRFLOW: airflow}
    logins = {role: Login(address.username or "", str(address.password or "")) for role, address in addresses.items()}
    databases = {addresses[role].database or "": role for role in (Role.AIRFLOW, Role.OWNER)}
    administrator = database_address(environ, ADMINISTRATOR).render_as_string(hide_password=False)
    try:
        bootstrap.prepare_server(administrator, logins, databases)
    except (bootstrap.BootstrapError, psycopg2.Error) as error:
        raise StackError(f"The roles and databases can't be made: {error}") from None


def database_address(environ: Mapping[str, str], name: str) -> URL:
    """Return the address that a Connection gives, such as that of `WAREHOUSE_OWNER`."""
    variable = f"AIRFLOW_CONN_{name}"
    if variable not in environ:
        raise StackError(f"{variable} is missing: the Connection of the database role (docs/operate/configuration.md).")
    connection = json.loads(environ[variable])
    return URL.create(
        "postgresql",
        username=connection["login"],
        password=connection["password"],
        host=connection["host"],
        port=connection["port"],
        database=connection["schema"],
    )


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
