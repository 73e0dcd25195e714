"""The SQLAlchemy engine of the warehouse: psycopg2, UTC, and no values in exception texts.

PostgreSQL quotes values in its errors (`Key (card_number)=(…) already exists`, `COPY gift_card, line 2, column …`),
and exceptions end in task logs. So the connections of this engine cut an error's text down to what names no value,
whether it comes through SQLAlchemy or straight from the driver's cursor. The error keeps its class, SQLSTATE and
diagnostics (`error.diag`) for code that must distinguish errors. Source: X-20.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import psycopg2
import sqlalchemy
from psycopg2 import extensions
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from include.warehouse.bootstrap import WAREHOUSE
from include.warehouse.embedded import default_server
from include.warehouse.roles import Role

Method = TypeVar("Method", bound=Callable[..., Any])


URL_VARIABLES = {Role.OWNER: "WAREHOUSE_OWNER_URL", Role.IMPORTER: "WAREHOUSE_URL", Role.PAGES: "WAREHOUSE_PAGES_URL"}
"""Where commands find the address for what they do: changing the schema, importing, reading (X-22)."""


def warehouse_url(role: Role = Role.IMPORTER) -> str:
    """Return the warehouse's address for a role: its variable's, else `$WAREHOUSE_URL`, else the embedded server's.

    Raises:
        EmbeddedServerError: none is there.
    """
    return os.environ.get(variable_of(role)) or default_server().url(WAREHOUSE, role)


def variable_of(role: Role) -> str:
    """Name the environment variable of a role's address: `WAREHOUSE_URL` serves those without their own."""
    own = URL_VARIABLES[role]
    return own if os.environ.get(own) else URL_VARIABLES[Role.IMPORTER]


KEEPALIVE = {"keepalives": 1, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
"""Finds within a minute that the server has vanished without a word."""
SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    # The same the other way round: a machine that is gone holds the locks of its chunk until the server notices.
    "tcp_keepalives_idle": 20,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "idle_in_transaction_session_timeout": 900_000,  # of a worker that hangs with the locks of its chunk
}


def create_warehouse_engine(url: str, *, application_name: str = "loyalty-import") -> Engine:
    """Return an engine whose sessions live in UTC and whose errors quote no values.

    Args:
        url: `postgres://`, `postgresql://` or `postgresql+<driver>://`; the driver used is always psycopg2.
        application_name: what `pg_stat_activity` shows.
    """
    address = make_url(url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url)
    if address.get_backend_name() != "postgresql":
        raise ValueError(f"The warehouse is a PostgreSQL database, not {address.get_backend_name()}.")
    return sqlalchemy.create_engine(
        address.set(drivername="postgresql+psycopg2"),
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            "application_name": application_name,
            "options": " ".join(f"-c {name}={value}" for name, value in SESSION.items()),
            **KEEPALIVE,
            "connection_factory": DiscreetConnection,
            "cursor_factory": DiscreetCursor,
        },
    )


def text_without_values(error: psycopg2.Error) -> str:
    """Return an error's text without anything that could be a value.

    Kept are the primary message, unless its SQLSTATE class quotes input (22, data exceptions), the hint of our own
    refusals and the names of table, column and constraint. DETAIL, CONTEXT and the statement go.
    """
    diagnostics = error.diag
    if error.pgcode is None:  # raised by the driver itself: no connection, wrong use
        return str(error)
    quotes_input = error.pgcode.startswith("22")
    parts = [f"{type(error).__name__}" if quotes_input else diagnostics.message_primary or type(error).__name__]
    parts += [
        f"{name} {value}"
        for name, value in (
            ("table", diagnostics.table_name),
            ("column", diagnostics.column_name),
            ("constraint", diagnostics.constraint_name),
        )
        if value
    ]
    return f"{'; '.join(parts)} (SQLSTATE {error.pgcode})"


def _discreet(method: Method) -> Method:
    """Cut the text of the psycopg2 errors that a method raises."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except psycopg2.Error as error:
            error.args = (text_without_values(error),)
            raise

    return cast(Method, call)


class DiscreetCursor(extensions.cursor):  # type: ignore[misc]  # psycopg2 ships no types
    """A cursor whose errors quote no values."""

    execute = _discreet(extensions.cursor.execute)
    executemany = _discreet(extensions.cursor.executemany)
    callproc = _discreet(extensions.cursor.callproc)
    copy_expert = _discreet(extensions.cursor.copy_expert)
    copy_from = _discreet(extensions.cursor.copy_from)
    copy_to = _discreet(extensions.cursor.copy_to)
    fetchone = _discreet(extensions.cursor.fetchone)
    fetchmany = _discreet(extensions.cursor.fetchmany)
    fetchall = _discreet(extensions.cursor.fetchall)


class DiscreetConnection(extensions.connection):  # type: ignore[misc]  # psycopg2 ships no types
    """A connection whose errors, also those of deferred constraints at the commit, quote no values."""

    commit = _discreet(extensions.connection.commit)
