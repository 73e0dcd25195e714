"""Staging tables: one unlogged table a chunk, filled and replaced as a whole, so that a killed chunk leaves nothing.

A table holds every well-formed row of its chunk, the rejected ones too (`is_valid` false): the load can then say of a
rejected row as well that its key is taken (X-08: *all* reasons).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import sqlalchemy as sa
from psycopg2.extensions import connection as DriverConnection
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier, Literal
from sqlalchemy import Connection

from include.declaration.fields import Kind

SQL_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: 'text COLLATE "C"',
    Kind.IDENTIFIER: 'text COLLATE "C"',
    Kind.BOOLEAN: "boolean",
    Kind.DECIMAL: "numeric(18,2)",
    Kind.INTEGER: "bigint",
    Kind.DATE: "date",
    Kind.DATETIME: "timestamptz",
    Kind.ENUM: 'text COLLATE "C"',
    Kind.EMAIL: 'text COLLATE "C"',
    Kind.PHONE: 'text COLLATE "C"',
}
PACKED_TYPE = "jsonb"
_ROWS_AT_ONCE = 16_384
"""Of the CSV writer: with Arrow's 1,024 a million rows of 46 columns took 2.3 s instead of 0.7."""
ROW_COLUMNS: Mapping[str, str] = {
    "line": "bigint",
    "byte_offset": "bigint",
    "byte_length": "bigint",
    "is_valid": "boolean",
    "origin_job_id": "bigint",
    "origin_line": "bigint",
}


def driver(connection: Connection) -> DriverConnection:
    """Return the psycopg2 connection below a SQLAlchemy one, in the same transaction."""
    return connection.connection.driver_connection


def table_name(job_id: int, chunk_number: int) -> str:
    """Return the name of a chunk's table in the schema `staging`."""
    return f"job_{job_id}_chunk_{chunk_number}"


def create_table(cursor: Cursor, job_id: int, chunk_number: int, columns: Mapping[str, str]) -> None:
    """Make an empty table for a chunk, in place of an earlier attempt's.

    Args:
        columns: name → SQL type of the type's own columns, after the row columns.
    """
    table = Identifier("staging", table_name(job_id, chunk_number))
    cursor.execute(SQL("DROP TABLE IF EXISTS {}").format(table))
    definitions = [
        SQL("{} " + sql_type).format(Identifier(name)) for name, sql_type in {**ROW_COLUMNS, **columns}.items()
    ]
    cursor.execute(
        SQL("CREATE UNLOGGED TABLE {} ({}) WITH (autovacuum_enabled = false)").format(
            table, SQL(", ").join(definitions)
        )
    )


def _table_oids(connection: Connection, job_id: int) -> dict[int, str]:
    names = connection.execute(
        sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'staging' AND starts_with(tablename, :prefix)"),
        {"prefix": f"job_{job_id}_chunk_"},
    ).scalars()
    return {int(name.rsplit("_", 1)[1]): name for name in names}


def staged_rows(connection: Connection, job_id: int, columns: Mapping[str, str]) -> dict[int, int]:
    """Return how many rows each staged chunk really holds, of those whose table has all columns and no other.

    Unlogged tables are emptied by a database crash: what the ledger says was staged must be counted again. And a job
    that waited over an upgrade has the columns of the version before.

    Args:
        columns: the type's own, as for `create_table`.
    """
    counts = {}
    for number, name in _table_oids(connection, job_id).items():
        with driver(connection).cursor() as cursor:
            table = Identifier("staging", name)
            cursor.execute(SQL("SELECT * FROM {} LIMIT 0").format(table))
            if {column.name for column in cursor.description or ()} == {*ROW_COLUMNS, *columns}:
                cursor.execute(SQL("SELECT count(*) FROM {}").format(table))
                counts[number] = cursor.fetchone()[0]
    return counts


def drop_tables(connection: Connection, job_id: int) -> None:
    """Drop every staging table of a job."""
    for name in _table_oids(connection, job_id).values():
        with driver(connection).cursor() as cursor:
            cursor.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier("staging", name)))


def create_views(cursor: Cursor, job_id: int, chunk_numbers: Sequence[int]) -> None:
    """Show the job's chunks to the load statement: the views `staged_row` (all), `staged` (valid), `staged_reject`.

    Temporary views end with the session: drop them in the same transaction, so that a pooled one never sees them.
    """
    select = SQL(" UNION ALL ").join(
        SQL("SELECT {} AS chunk_number, * FROM {}").format(
            Literal(number), Identifier("staging", table_name(job_id, number))
        )
        for number in chunk_numbers
    )
    for view, condition in (("staged_row", "TRUE"), ("staged", "is_valid"), ("staged_reject", "NOT is_valid")):
        cursor.execute(
            SQL("CREATE OR REPLACE TEMP VIEW {} AS SELECT * FROM ({}) AS chunk WHERE " + condition).format(
                Identifier(view), select
            )
        )


@dataclass(frozen=True)
class Batch:
    """Rows on their way to one table, in columns of the table's names."""

    schema: str
    table: str
    rows: pa.Table


def write_batch(cursor: Cursor, batch: Batch) -> None:
    """COPY one batch. Nulls are written as nothing, empty strings quoted; columns of nothing but nulls are left out."""
    if batch.rows.num_rows == 0:
        return
    sink = pa.BufferOutputStream()
    rows = batch.rows.drop_columns(
        [
            name
            for name, column in zip(batch.rows.column_names, batch.rows.columns, strict=True)
            if column.null_count == len(column)
        ]
    )
    for index, column in enumerate(rows.columns):
        if pa.types.is_fixed_size_binary(column.type):
            rows = rows.set_column(index, rows.field(index).name, _as_bytea(column))
        elif pa.types.is_timestamp(column.type):
            rows = rows.set_column(index, rows.field(index).name, _as_timestamptz(column))
    options = pa_csv.WriteOptions(include_header=False, quoting_style="needed", batch_size=_ROWS_AT_ONCE)
    pa_csv.write_csv(rows, sink, options)
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        Identifier(batch.schema, batch.table), SQL(", ").join(map(Identifier, rows.column_names))
    )
    cursor.copy_expert(statement, pa.BufferReader(sink.getvalue()), size=1 << 20)


def _as_timestamptz(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write moments in UTC as texts with their offset. Arrow's own way, by the zone, takes 1 s a million (26)."""
    return pc.binary_join_element_wise(column.cast(pa.timestamp("us")).cast(pa.string()), "+00", "")


def _as_bytea(column: pa.ChunkedArray) -> pa.Array:
    r"""Write binary values of one width as PostgreSQL's `\x…`, all at once."""
    values = pa.concat_arrays(column.chunks)
    width = values.type.byte_width
    start = values.offset * width
    digits = bytes(values.buffers()[1] or b"")[start : start + len(values) * width].hex().encode()
    offsets = np.arange(len(values) + 1, dtype=np.int32) * (2 * width)
    texts = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(digits))
    return pc.if_else(values.is_valid(), pc.binary_join_element_wise("\\x", texts, ""), pa.scalar(None, pa.string()))


class Writer:
    """COPYs batches in a thread of its own, in the caller's transaction, while the next block is being judged.

    The caller must not use the connection between `__enter__` and `__exit__`. An error of the database is raised in
    the caller at the next `put` or at the end.
    """

    def __init__(self, connection: Connection) -> None:
        self._cursor = driver(connection).cursor()
        self._batches: queue.Queue[Batch | None] = queue.Queue(maxsize=2)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="staging-writer")

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            if self._error is None:
                try:
                    write_batch(self._cursor, batch)
                except BaseException as error:
                    self._error = error

    def put(self, *batches: Batch) -> None:
        """Hand over batches; blocks while two are waiting."""
        for batch in batches:
            self._batches.put(batch)
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.put(None)
        self._thread.join()
        self._cursor.close()
        if self._error is not None and error is None:
            raise self._error
