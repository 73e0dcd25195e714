"""Say at the first connection that a database has not been migrated, instead of at the first statement that fails."""

from __future__ import annotations

import sqlalchemy as sa
from psycopg2.extensions import connection as DriverConnection
from sqlalchemy import Engine

from include.errors import ConfigurationError
from include.warehouse.migrations import Revision, read_revisions

COMMAND = "python -m include.cli migrate"
_HAS_TABLE = """
SELECT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %s AND relname = %s)
"""


def expect_schema(engine: Engine) -> Engine:
    """Let an engine refuse a database whose schema is missing, or older than this code.

    A newer one is let through: while several workers are upgraded, those of the version before go on.

    Returns:
        The same engine. `connect` raises ConfigurationError until the database has been migrated.
    """
    sa.event.listen(engine, "first_connect", lambda driver, _: _check(driver))
    return engine


def _check(driver: DriverConnection) -> None:
    newest = read_revisions()[-1]
    try:
        if problem := _problem(driver, newest):
            raise ConfigurationError(f"{problem}: run `{COMMAND}` as the owner of the database.")
    finally:
        driver.rollback()


def _problem(driver: DriverConnection, newest: Revision) -> str | None:
    with driver.cursor() as cursor:
        cursor.execute(_HAS_TABLE, ("ledger", "schema_revision"))
        if cursor.fetchone() == (True,):
            cursor.execute("SELECT coalesce(max(number), 0) FROM ledger.schema_revision")
            (number,) = cursor.fetchone() or (0,)
            if number >= newest.number:
                return None
        else:
            cursor.execute(_HAS_TABLE, ("ledger", "import_job"))
            if cursor.fetchone() == (False,):
                return "The warehouse has no schema"
    return f"The warehouse's schema is older than this version, which needs revision {newest.number:04}_{newest.name}"
