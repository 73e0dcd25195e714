"""Functions, views and triggers: files in `include/warehouse/objects` that run again when one of them differs.

A file holds `CREATE OR REPLACE` statements. Where PostgreSQL creates an object only after those of other files, its
first line names these files: `-- After: references, refuse_change`. `ledger.schema_object` records the objects of each
file, so that an object whose statement has left the files is dropped. Where PostgreSQL can't replace an object, because
a view loses a column or a function gets another result, all of them are dropped and created again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from include.errors import ConfigurationError
from include.warehouse.roles import SCHEMAS
from include.warehouse.sql_files import statement_beside
from include.warehouse.sql_scripts import run_file

_AFTER = re.compile(r"-- After: (?P<names>[a-z0-9_]+(?:, [a-z0-9_]+)*)\n")
_NOT_REPLACEABLE = ("42P13", "42P16", "42809")
"""Another result or parameter name of a function, other columns of a view, a function that becomes a procedure."""
_IN_USE = "2BP01"

_OBJECTS = statement_beside(__file__, "existing_objects.sql")
_RECORD = text("INSERT INTO ledger.schema_object (kind, name, file, sha256) VALUES (:kind, :name, :file, :sha256)")


@dataclass(frozen=True)
class ObjectFile:
    """A file of functions, views and triggers.

    Args:
        path: `<name>.sql`.
        after: names of the files whose objects have to be there.
    """

    path: Path
    after: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the file, without its ending."""
        return self.path.stem

    @cached_property
    def sha256(self) -> str:
        """Hash of the content."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@dataclass(frozen=True, order=True)
class SchemaObject:
    """A function, view or trigger of the database.

    Args:
        kind: ROUTINE, VIEW or TRIGGER, as DROP wants it.
        name: as DROP wants it: with schema, quoted; a function with its parameters, a trigger with its table.
    """

    kind: str
    name: str


def read_objects(folder: Path) -> list[ObjectFile]:
    """Return the files of a folder, each after those that it names; by name where the order is free.

    Raises:
        ConfigurationError: a file names one that is not there, or files name each other in a circle.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".sql":
            header = _AFTER.match(path.read_text(encoding="utf-8"))
            files[path.stem] = ObjectFile(path, tuple(header["names"].split(", ")) if header else ())
    for file in files.values():
        if missing := sorted(set(file.after) - set(files)):
            raise ConfigurationError(f"{file.path.name} comes after {', '.join(missing)}, of which there is no file.")
    sorter = TopologicalSorter({file.name: file.after for file in files.values()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigurationError(f"Files of {folder} come after each other: {', '.join(error.args[1])}.") from None
    ordered: list[ObjectFile] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += (files[name] for name in ready)
        sorter.done(*ready)
    return ordered


def apply_objects(connection: Connection, files: Sequence[ObjectFile], *, is_forced: bool) -> None:
    """Make the functions, views and triggers of the database those of the files; nothing when no file differs.

    Args:
        files: in the order in which they run.
        is_forced: run them even when none differs, because the tables may have changed.

    Raises:
        ConfigurationError: objects of others depend on one that has to be dropped. The caller must roll back.
    """
    hashes = {file.name: file.sha256 for file in files}
    if not is_forced and _recorded_hashes(connection) == hashes:
        return
    recorded = _recorded_objects(connection)
    try:
        with connection.begin_nested():
            created = _run(connection, files)
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) not in _NOT_REPLACEABLE:
            raise
        _drop(connection, recorded)
        created = _run(connection, files)
    _drop(connection, recorded - set(created))
    connection.execute(text("DELETE FROM ledger.schema_object"))
    for listed, file_name in sorted(created.items()):
        record = {"kind": listed.kind, "name": listed.name, "file": file_name, "sha256": hashes[file_name]}
        connection.execute(_RECORD, record)


def adopt_objects(connection: Connection) -> None:
    """Record every function, view and trigger that is there, so that those of no file are dropped."""
    for adopted in sorted(_versions(connection)):
        connection.execute(_RECORD, {"kind": adopted.kind, "name": adopted.name, "file": "", "sha256": ""})


def _run(connection: Connection, files: Iterable[ObjectFile]) -> dict[SchemaObject, str]:
    """Run the files; return the objects that they created or replaced, with the name of the file."""
    created: dict[SchemaObject, str] = {}
    before = _versions(connection)
    for file in files:
        run_file(connection, file.path)
        after = _versions(connection)
        created |= {changed: file.name for changed, version in after.items() if before.get(changed) != version}
        before = after
    return created


def _drop(connection: Connection, objects: Iterable[SchemaObject]) -> None:
    """Drop objects that are still there, in whichever order their dependencies allow.

    Raises:
        ConfigurationError: others depend on what is left.
    """
    existing = set(objects) & set(_versions(connection))
    left = sorted(existing, key=lambda dropped: ("TRIGGER", "VIEW", "ROUTINE").index(dropped.kind))
    while left:
        refusals = {dropped: refusal for dropped in left if (refusal := _refusal(connection, dropped))}
        if len(refusals) == len(left):
            raise ConfigurationError(
                "The warehouse's functions and views must be created again, and others depend on them: "
                f"{'; '.join(refusals.values())}. Drop what depends on them, migrate, and create it again."
            )
        left = list(refusals)


def _refusal(connection: Connection, dropped: SchemaObject) -> str | None:
    """Drop one object; return what depends on it where PostgreSQL refuses for that reason."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"DROP {dropped.kind} {dropped.name}".replace("%", "%%"))
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) != _IN_USE:
            raise
        detail: str = error.orig.diag.message_detail  # type: ignore[union-attr]  # psycopg2 ships no types
        return " ".join(detail.split())
    return None


def _recorded_hashes(connection: Connection) -> Mapping[str, str]:
    rows = connection.execute(text("SELECT DISTINCT file, sha256 FROM ledger.schema_object"))
    return {row.file: row.sha256 for row in rows}


def _recorded_objects(connection: Connection) -> set[SchemaObject]:
    rows = connection.execute(text("SELECT kind, name FROM ledger.schema_object"))
    return {SchemaObject(row.kind, row.name) for row in rows}


def _versions(connection: Connection) -> dict[SchemaObject, Any]:
    rows = connection.execute(_OBJECTS, {"schemas": [schema for schema in SCHEMAS if schema != "staging"]})
    return {SchemaObject(kind, name): version for kind, name, *version in rows}
