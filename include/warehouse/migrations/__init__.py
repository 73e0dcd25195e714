"""Bring a database to the schema this code needs: `migrate(engine)`.

The owner of the database does it, who needs no superuser's rights; then the grants of all others are brought in line
with `include/warehouse/rights.py` (X-22). It is one transaction under an advisory lock, so that several processes may
ask at once and a failed migration leaves nothing behind. SQL functions lie in `include/warehouse/objects`, one file
each, and are `CREATE OR REPLACE`: a revision that changes one runs its file again.

There is no way down: an older schema would mean dropping cards. Restore a backup instead.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from include.warehouse.rights import apply_rights

FUNCTIONS = Path(__file__).resolve().parents[1] / "objects"

# Any number will do, as long as nothing else in this database locks it.
MIGRATION_LOCK = 7_310_587_441


def migrate(engine: Engine, revision: str = "head") -> None:
    """Run the migrations that the database lacks; none when it is up to date. Then give every role its rights.

    Raises:
        ConfigurationError: the roles have not been made (include/warehouse/bootstrap.py).
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)
        if revision in ("head", newest_revision()):  # the declarations are of the newest schema
            apply_rights(connection)


def newest_revision() -> str:
    """Return the revision that `migrate` leads to."""
    head = ScriptDirectory.from_config(_configuration()).get_current_head()
    if head is None:
        raise LookupError("there are no migrations")
    return head


def run_sql(connection: Connection, statements: str) -> None:
    """Run SQL text as it stands: no bound values, so that `:` and `%` need no escape."""
    connection.exec_driver_sql(statements.replace("%", "%%"))


def run_function_files(connection: Connection, *names: str) -> None:
    """Create or replace the SQL functions of these files, in this order."""
    for name in names:
        run_sql(connection, (FUNCTIONS / f"{name}.sql").read_text(encoding="utf-8"))


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    return configuration
