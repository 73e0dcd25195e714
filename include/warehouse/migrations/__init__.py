"""Bring a database to the schema that this code needs: `migrate(engine)`.

The owner of the database does it, who needs no superuser's rights; then every other role gets the rights that
`include/warehouse/rights.py` declares (X-22). It is one transaction under an advisory lock, so that several processes
may ask at once and a failed migration leaves nothing behind.

*Revisions* change tables, types, constraints, indexes and their comments. A revision is plain SQL in `revisions/`: a
file `NNNN_name.sql`, or a folder of files that run in the order of their names. The first is the baseline. A revision
that has landed is never edited: a test compares it with the first commit that has it, and with `landed.sha256`. A
database records the hash of what it ran, and `migrate` refuses a revision with another text.

*Objects* are functions, views and triggers: files in `include/warehouse/objects`. Edit them in place; `migrate` runs
them again after the revisions (`objects.py`). So a revision calls none of our functions and relies on no trigger or
view, which a fresh database does not have yet. Where a view is in the way of a change, the revision drops it with
`IF EXISTS`. Where triggers refuse the filling of a column, it disables those of the table and enables them again.

There is no way down: an older schema would mean dropping cards. Restore a backup instead.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from include.errors import ConfigurationError
from include.warehouse.migrations import before_baseline
from include.warehouse.migrations.objects import adopt_objects, apply_objects, read_objects
from include.warehouse.rights import apply_rights
from include.warehouse.sql_scripts import run_file, shown

_FOLDER = Path(__file__).parent

# Any number will do, as long as nothing else in this database locks it.
MIGRATION_LOCK = 7_310_587_441
# Read as JSON, because databases that have only the baseline lack the column of the hash.
_RECORDED = text("SELECT number, name, to_jsonb(stored) ->> 'sha256' FROM ledger.schema_revision AS stored ORDER BY 1")
_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)(?:\.sql)?")


@dataclass(frozen=True)
class SchemaFiles:
    """Where the files of a schema are.

    Args:
        revisions: folder of the revisions.
        objects: folder of functions, views and triggers.
    """

    revisions: Path = _FOLDER / "revisions"
    objects: Path = _FOLDER.parent / "objects"


SHIPPED = SchemaFiles()
"""The schema that this code needs."""


@dataclass(frozen=True)
class Revision:
    """A change of the tables.

    Args:
        number: from 1, without gaps.
        name: what it is about.
        path: a file, or a folder of files.
    """

    number: int
    name: str
    path: Path

    @property
    def files(self) -> list[Path]:
        """The SQL files, in the order in which they run."""
        return sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]

    @property
    def sha256(self) -> str:
        """Hash of the SQL of all files, one after the other."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in self.files)).hexdigest()


def migrate(engine: Engine, schema: SchemaFiles = SHIPPED) -> None:
    """Run the revisions that the database lacks, replace its functions, views and triggers, give every role its rights.

    Nothing changes when the database is up to date.

    Raises:
        ConfigurationError: the roles have not been made (include/warehouse/bootstrap.py), the database is newer than
            this code or too old for it, it ran another text of a revision, or something of others depends on a view or
            function that changes.
    """
    revisions = read_revisions(schema.revisions)
    files = read_objects(schema.objects)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        if is_older := before_baseline.is_older(connection):
            _adopt(connection, revisions[0])
        pending = _pending(connection, revisions)
        for revision in pending:
            for path in revision.files:
                run_file(connection, path)
            _record(connection, revision)
        _record_hashes(connection, revisions)
        apply_objects(connection, files, is_forced=bool(pending) or is_older)
        apply_rights(connection)


def read_revisions(folder: Path = SHIPPED.revisions) -> list[Revision]:
    """Return the revisions in the order of their numbers.

    Raises:
        ConfigurationError: a file is no `NNNN_name.sql`, or the numbers don't run from 1 without a gap.
    """
    revisions = []
    for number, path in enumerate(sorted(folder.iterdir()), start=1):
        name = _NAME.fullmatch(path.name)
        if name is None or int(name["number"]) != number:
            raise ConfigurationError(f"{path.name} in {folder} should be {number:04}_<name>.sql.")
        revisions.append(Revision(number, name["name"], path))
    return revisions


def _adopt(connection: Connection, baseline: Revision) -> None:
    """Give a database from before the baseline what the baseline has, and record it."""
    before_baseline.bring_to_baseline(connection)
    by_name = {path.name: path for path in baseline.files}
    for name in ("06_schema_state.sql", "07_comments.sql"):
        run_file(connection, by_name[name])
    adopt_objects(connection)
    _record(connection, baseline)


def _pending(connection: Connection, revisions: list[Revision]) -> list[Revision]:
    """Return the revisions that the database lacks.

    Raises:
        ConfigurationError: it has one that this code doesn't have, or ran one with another text.
    """
    if not connection.scalar(text("SELECT to_regclass('ledger.schema_revision') IS NOT NULL")):
        return revisions
    ours = {revision.number: revision for revision in revisions}
    applied = set()
    for number, name, sha256 in connection.execute(_RECORDED):
        revision = ours.get(number)
        if revision is None or revision.name != name:
            raise ConfigurationError(
                f"The warehouse has the revision {number:04}_{name}, which this version doesn't have: "
                "a newer or another version has migrated it."
            )
        if sha256 not in (None, revision.sha256):
            raise ConfigurationError(
                f"The warehouse ran another text of the revision {number:04}_{name} than this version has. Restore the "
                f"text of {shown(revision.path)} and write the change as a further revision. If the database has no "
                "rows to keep, you can delete it instead and migrate a new one."
            )
        applied.add(number)
    return [revision for revision in revisions if revision.number not in applied]


def _record(connection: Connection, revision: Revision) -> None:
    connection.execute(
        text("INSERT INTO ledger.schema_revision (number, name) VALUES (:number, :name)"),
        {"number": revision.number, "name": revision.name},
    )


def _record_hashes(connection: Connection, revisions: Iterable[Revision]) -> None:
    """Record the hash of revisions that lack it: they ran just now, or before hashes were recorded."""
    connection.execute(
        text("UPDATE ledger.schema_revision SET sha256 = :sha256 WHERE number = :number AND sha256 IS NULL"),
        [{"number": revision.number, "sha256": revision.sha256} for revision in revisions],
    )
