"""Bring databases from before the baseline to it: their revisions 0008 to 0010, frozen as they were.

Those databases carry their revision in `public.alembic_version`. The oldest that can be upgraded is at 0007. Functions,
views and triggers are no part of this: the files of `include/warehouse/objects` replace them afterwards.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text

from include.errors import ConfigurationError
from include.warehouse.sql_scripts import run_file

OLDEST = "0007"
_STEPS = ("0008", "0009", "0010")
"""Revision 0008 changed functions alone."""
_FOLDER = Path(__file__).parent


def is_older(connection: Connection) -> bool:
    """Return whether a database has the schema of a revision before the baseline."""
    return bool(
        connection.scalar(
            text(
                "SELECT to_regclass('public.alembic_version') IS NOT NULL "
                "AND to_regclass('ledger.schema_revision') IS NULL"
            )
        )
    )


def bring_to_baseline(connection: Connection) -> None:
    """Give a database from before the baseline the tables that the baseline has; the caller records the baseline.

    Raises:
        ConfigurationError: the schema is older than the oldest supported revision, or customers would have the same
            e-mail address (`identities.py`). The caller must roll back.
    """
    version = connection.scalar(text("SELECT version_num FROM public.alembic_version"))
    if version not in (OLDEST, *_STEPS):
        raise ConfigurationError(
            f"The warehouse's schema is of revision {version}, which is too old to be upgraded: the oldest is {OLDEST}."
        )
    if version < "0009":
        from include.warehouse.migrations.before_baseline import identities  # Arrow's import takes a while

        identities.prepare(connection)
        run_file(connection, _FOLDER / "0009_identities.sql")
        identities.fill(connection)
    if version < "0010":
        run_file(connection, _FOLDER / "0010_card_limits.sql")
    connection.execute(text("DROP TABLE public.alembic_version"))
