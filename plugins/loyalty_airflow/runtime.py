"""From Airflow's Connections and Variables to the runtime of the stages; read in tasks and triggers, never at parse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection, Variable, conf
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, ErrorType

from include.errors import ConfigurationError
from include.import_types import IMPORT_TYPES
from include.storage import LOCATIONS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.runtime import Runtime
    from include.storage.locations import Location

WAREHOUSE_CONNECTION = "warehouse_postgres"
"""Of the importer: what tasks and triggers may do."""
PAGES_CONNECTION = "warehouse_pages"
"""Of a role that only reads (X-22)."""
STORAGE_CONNECTION = "landing_storage"
KEY_CONNECTIONS = ("cvv_key", "code_key")
"""Keys of the CVV hashes and of the promo codes, each the password of its Connection."""
CHUNK_VARIABLE = "chunk_bytes"
ROOTS_VARIABLE = "import_roots"
SMALLEST_CHUNK_BYTES = 64 << 10


@contextmanager
def open_runtime() -> Iterator[Runtime]:
    """Build what the stages need, and close its database connections afterwards.

    Raises:
        ConfigurationError: a Connection or Variable is missing, named in the message; the first connection raises it
            when the warehouse has not been migrated.
    """
    from include.warehouse.engine import create_warehouse_engine
    from include.warehouse.schema_check import expect_schema

    engine = expect_schema(create_warehouse_engine(warehouse_url()))
    try:
        yield make_runtime(engine)
    finally:
        engine.dispose()


def make_runtime(engine: Engine) -> Runtime:
    """Return what the stages need, as Connections and Variables say it.

    Raises:
        ConfigurationError: a Connection or Variable is missing, named in the message.
    """
    from include.runtime import Runtime

    landing, work, reports, archive = map(location, LOCATIONS)
    cvv_key, code_key = map(secret_key, KEY_CONNECTIONS)
    return Runtime(
        engine, landing, work, reports, archive, cvv_key=cvv_key, code_key=code_key, store_options=_storage_options(),
        import_types=IMPORT_TYPES,
    )  # fmt: skip


def with_chunk_size(runtime: Runtime) -> Runtime:
    """Return a runtime that cuts files into chunks as large as the Variable `chunk_bytes` says, if it is defined.

    Raises:
        ConfigurationError: it is no whole number, or too small a one.
    """
    text = Variable.get(CHUNK_VARIABLE, default=None)
    if text is None:
        return runtime
    if not (text.isascii() and text.isdigit() and int(text) >= SMALLEST_CHUNK_BYTES):
        raise ConfigurationError(
            f"The Variable {CHUNK_VARIABLE} is {text!r}: expected a number of bytes, {SMALLEST_CHUNK_BYTES:,} or more."
        )
    return replace(runtime, chunk_bytes=int(text))


def import_roots(import_type: str) -> tuple[str, ...]:
    """Return the folders and bucket prefixes whose files may be imported besides a type's own (X-21).

    The Variable `import_roots` is a JSON object: `{"customers": ["/exports/crm", "s3://partner/customers"]}`.

    Raises:
        ConfigurationError: it is something else, or names a folder that is no absolute path and no URL of a bucket.
    """
    from include.storage.locations import is_storage

    text = Variable.get(ROOTS_VARIABLE, default=None)
    if not text:
        return ()
    try:
        roots = json.loads(text)
    except ValueError:
        roots = None
    wrong = f'The Variable {ROOTS_VARIABLE} must be a JSON object such as {{"customers": ["/exports/crm"]}}'
    if not isinstance(roots, dict) or not all(isinstance(folders, list) for folders in roots.values()):
        raise ConfigurationError(f"{wrong}.")
    for name, folders in roots.items():
        if name not in IMPORT_TYPES:
            raise ConfigurationError(f"{wrong}; {name!r} is no import type.")
        for folder in folders:
            is_place = isinstance(folder, str) and (folder.startswith("/") or ("://" in folder and is_storage(folder)))
            if not is_place or {".", ".."} & set(str(folder).split("/")):
                raise ConfigurationError(f"{wrong}; {folder!r} is no absolute path and no URL.")
    return tuple(roots.get(import_type, ()))


def rule_link(import_type: str, rule: str) -> str | None:
    """Return where the documentation explains a rule, as far as Airflow's option `[importer] docs_url` names a site.

    An option like `[api] base_url`, with which the addresses of pages begin: listeners and the API server have it too.
    """
    from include.rule_pages import rule_url

    return rule_url(str(conf.get("importer", "docs_url", fallback="")), import_type, rule)


def find_connection(name: str) -> Connection | None:
    """Return a Connection, or None when it isn't defined."""
    try:
        connection: Connection = Connection.get(name)
    except AirflowNotFoundException:
        return None
    return connection


def warehouse_url(name: str = WAREHOUSE_CONNECTION) -> str:
    """Return the warehouse's address. PostgresHook would make its own engine of it, with psycopg 3.

    Raises:
        ConfigurationError: the Connection is missing.
    """
    from sqlalchemy import URL

    connection = find_connection(name)
    if connection is None:
        raise ConfigurationError(f"The Connection {name} is not defined: the warehouse's address.")
    options = {name: str(value) for name, value in connection.extra_dejson.items() if name != "sqlalchemy_scheme"}
    url = URL.create(
        "postgresql",
        username=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        database=connection.schema,
        query=options,
    )
    return url.render_as_string(hide_password=False)


def location(name: str) -> Location:
    """Return the folder or bucket prefix that the Variable `<name>_url` names."""
    from include.storage import locations

    variable = f"{name}_url"
    try:
        url = Variable.get(variable)
    except AirflowRuntimeError as error:
        if error.error.error is not ErrorType.VARIABLE_NOT_FOUND:
            raise
        raise ConfigurationError(f"The Variable {variable} is not defined: where {name} files are stored.") from None
    return locations.locate(url, _storage_options() if url.startswith("s3://") else {})


def _storage_options() -> dict[str, Any]:
    """Return what s3fs needs; without the Connection it looks for credentials where every AWS tool does.

    It must not remember listings: in the triggerer, which lives long, new files would never show.
    """
    connection = find_connection(STORAGE_CONNECTION)
    if connection is None:
        return {"use_listings_cache": False}
    extra = connection.extra_dejson
    options = {
        "key": connection.login,
        "secret": connection.password,
        "endpoint_url": extra.get("endpoint_url"),
        "client_kwargs": {"region_name": extra["region_name"]} if extra.get("region_name") else None,
    }
    return {"use_listings_cache": False} | {name: value for name, value in options.items() if value}


def secret_key(name: str) -> bytes | None:
    """Return the password of a Connection, or None when there is none."""
    connection = find_connection(name)
    return connection.password.encode() if connection and connection.password else None
