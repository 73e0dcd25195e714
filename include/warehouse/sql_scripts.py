"""Run files of SQL; an error says in which file and line it arose."""

from __future__ import annotations

from pathlib import Path

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_ROOT = Path(__file__).resolve().parents[2]


def run_sql(connection: Connection, statements: str) -> None:
    """Run SQL text as it is: no bound values, so that `:` and `%` need no escape."""
    connection.exec_driver_sql(statements.replace("%", "%%"))


def run_file(connection: Connection, path: Path) -> None:
    """Run the statements of a file.

    Raises:
        DBAPIError: with the file's name and the line as a note, which `values_hidden` reports.
    """
    statements = path.read_text(encoding="utf-8")
    try:
        run_sql(connection, statements)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.Error):
            note_file(error.orig, path, statements)
        raise


def note_file(error: psycopg2.Error, path: Path, statements: str) -> None:
    """Note on a database error the file that it arose in, and the line where the database names a position."""
    position = error.diag.statement_position
    line = f", line {statements[: int(position)].count(chr(10)) + 1}" if position else ""
    error.add_note(f"in {shown(path)}{line}")


def shown(path: Path) -> str:
    """Return a file's path as messages show it: from the project's folder on, elsewhere its name alone."""
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name
