"""The warehouse for the pages: connections that are kept, since a page is no task and comes often."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from loyalty_airflow.runtime import (
    PAGES_CONNECTION,
    WAREHOUSE_CONNECTION,
    make_runtime,
    warehouse_url,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from include.runtime import Runtime

log = logging.getLogger(__name__)

PAGE_SECONDS = 15
_lock = threading.Lock()
_engines: dict[str, Engine] = {}


def engine() -> Engine:
    """Return the engine of the Connection as it is now; one of a changed Connection takes the older one's place."""
    from include.warehouse.engine import create_warehouse_engine
    from include.warehouse.schema_check import expect_schema

    url = _pages_url()
    with _lock:
        if url not in _engines:
            for old in _engines.values():
                old.dispose()
            _engines.clear()
            _engines[url] = expect_schema(create_warehouse_engine(url))
        return _engines[url]


def _pages_url() -> str:
    """Return the address for a role that only reads; the importer's, with a warning, where there is none (X-22).

    Raises:
        ConfigurationError: neither Connection is defined.
    """
    try:
        return warehouse_url(PAGES_CONNECTION)
    except ConfigurationError as error:
        url = warehouse_url()
        log.warning("%s Until it is, the pages have the rights of %s.", error, WAREHOUSE_CONNECTION)
        return url


@contextmanager
def reading() -> Iterator[Connection]:
    """Open a transaction in which nothing can be changed, and no statement takes longer than a page may.

    Raises:
        WarehouseUnavailable: the database can't be reached, or took too long.
    """
    from include.warehouse.transactions import values_hidden

    with values_hidden(), engine().connect() as connection, connection.begin():
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{PAGE_SECONDS}s'")
        yield connection


def runtime() -> Runtime:
    """Return what the stages of an import need, on the pages' own connections."""
    return make_runtime(engine())
