"""Judging rows chunk by chunk: bytes → records → frame → GX suite → staging and rejects. Source: X-07, X-08, X-14."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from include.arrivals.files import open_text
from include.columns.mapping import ColumnMapping
from include.declaration.fields import Kind
from include.declaration.import_type import ImportType
from include.errors import ConfigurationError, FileRefused
from include.ledger import staging
from include.ledger.job_stage import stage
from include.ledger.jobs import CHUNK, DROPPED_VALUE, REJECT, Job, State
from include.ledger.records import evidence_to_json
from include.reading import records, rejected_rows
from include.reading.records import Chunk
from include.runtime import Runtime
from include.stages.inspection import dialect_of, ensure_text
from include.stages.judging import Judge, LookupTable

_LOOKUP_TYPES = {Kind.TEXT: pa.string(), Kind.BOOLEAN: pa.bool_(), Kind.DECIMAL: pa.decimal128(18, 2),
                 Kind.INTEGER: pa.int64()}  # fmt: skip


@dataclass(frozen=True)
class ChunkCounts:
    """Rows of a chunk.

    Args:
        read: records of the chunk.
        staged: the well-formed ones, all of which go to the staging table.
        rejected: those that a rule or the reader rejected.
    """

    read: int
    staged: int
    rejected: int


def read_lookups(connection: Connection, import_type: ImportType) -> list[LookupTable]:
    """Read the tables that the suite's helper columns come from."""
    tables = []
    for lookup in import_type.lookups:
        rows = connection.execute(sa.text(lookup.query)).all()
        columns = {
            name: pa.array([row[number] for row in rows], _LOOKUP_TYPES[kind])
            for number, (name, kind) in enumerate(lookup.columns.items(), start=1)
        }
        tables.append(LookupTable(lookup, pa.array([row[0] for row in rows], pa.string()), columns))
    return tables


def judge_of(
    runtime: Runtime, connection: Connection, job: Job, *, hidden: Sequence[str] = (), masks_private: bool = False
) -> Judge:
    """Make the judge of a job that has been inspected.

    Args:
        hidden, masks_private: see `Judge`.
    """
    if job.inspection is None or job.mapping is None:
        raise LookupError(f"job {job.id} has not been inspected")
    import_type = runtime.import_types.of(job.import_type)
    refuse_other_project(runtime, connection, job)
    return Judge(
        runtime,
        import_type,
        dialect=dialect_of(job),
        mapping=ColumnMapping.from_json(job.mapping),
        import_settings=import_type.settings.from_stored(job.settings),
        launched_at=job.launched_at,
        lookups=read_lookups(connection, import_type),
        unescape=job.inspection.is_escaped,
        hidden=hidden,
        masks_private=masks_private,
    )


def refuse_other_project(runtime: Runtime, connection: Connection, job: Job) -> None:
    """Make sure that the project settings still are what the file was inspected with, as far as it depends on them.

    Raises:
        ConfigurationError: a field that a column is mapped to is gone, or what followed from the settings is another.
    """
    import_type = runtime.import_types.of(job.import_type)
    existing = {field.name for field in import_type.all_fields(runtime.project)}
    changes = [name for name in ColumnMapping.from_json(job.mapping or {}).field_indexes if name not in existing]
    if import_type.extras.derive_settings is not None:
        chosen = import_type.settings.from_stored(job.settings)
        try:
            derived = import_type.extras.derive_settings(connection, chosen, runtime.project)
        except (FileRefused, ConfigurationError) as error:
            changes.append(str(error))
        else:
            changes += [name for name, value in derived.items() if chosen.derived.get(name) != value]
    if changes:
        raise ConfigurationError(
            f"The project settings have changed since job {job.id} inspected its file: {', '.join(changes)}. Drop the "
            "file again to import it as they are now, or take the change back."
        )


def validate_chunk(runtime: Runtime, job_id: int, number: int) -> ChunkCounts:
    """Judge one chunk: its valid rows to staging, its rejects to the ledger, in one transaction.

    Repeating it replaces what an earlier attempt left; after the load it only reports what was counted (X-14).
    """
    with stage(runtime, job_id, lock="share") as (connection, job):
        if job.refusal is not None:
            raise job.refusal
        chunk = connection.execute(
            sa.select(CHUNK).where(CHUNK.c.job_id == job_id, CHUNK.c.number == number).with_for_update()
        ).one()
        if job.state.is_completed or job.state is State.AWAITING_REVIEW:
            return ChunkCounts(chunk.rows_read, chunk.rows_staged, chunk.rows_rejected)
        if job.state is not State.RUNNING:
            raise LookupError(f"job {job_id} is {job.state}: it has nothing to validate")
        return stage_chunk(runtime, connection, job, chunk)


def stage_chunk(runtime: Runtime, connection: Connection, job: Job, chunk: sa.Row[Any]) -> ChunkCounts:
    """Judge and stage one chunk in the caller's transaction, which holds the chunk's row."""
    judge = judge_of(runtime, connection, job)
    read = staged_rows = rejected = 0
    for table in (REJECT, DROPPED_VALUE):
        connection.execute(sa.delete(table).where(table.c.job_id == job.id, table.c.chunk_number == chunk.number))
    with staging.driver(connection).cursor() as cursor:
        staging.create_table(cursor, job.id, chunk.number, judge.staging_columns)
    ensure_text(runtime, job)
    plan = Chunk(chunk.number, chunk.byte_start, chunk.byte_end, chunk.first_line)
    with open_text(runtime, job) as text, staging.Writer(connection) as writer:
        for block in records.read_blocks(text, plan, judge.dialect, len(judge.mapping.columns), runtime.block_bytes):
            judged = judge.judge(block)
            read += judged.read
            staged_rows += judged.rows.num_rows
            rejected += judged.rejects.num_rows
            writer.put(staging.Batch("staging", staging.table_name(job.id, chunk.number), judged.rows))
            for table, rows, order in (
                (REJECT, judged.rejects, REJECT_ORDER),
                (DROPPED_VALUE, judged.dropped, rejected_rows.DROPPED_COLUMNS),
            ):
                if rows.num_rows:
                    writer.put(staging.Batch("ledger", table.name, _of_chunk(job.id, chunk.number, rows, order)))
    evidence = evidence_to_json(judge.tallies)
    connection.execute(
        sa.update(CHUNK)
        .where(CHUNK.c.job_id == job.id, CHUNK.c.number == chunk.number)
        .values(rows_read=read, rows_staged=staged_rows, rows_rejected=rejected, evidence=evidence)
    )
    return ChunkCounts(read, staged_rows, rejected)


REJECT_ORDER = ("line", "byte_offset", "byte_length", "rules", "reasons", "origin_job_id", "origin_line")


def _of_chunk(job_id: int, chunk_number: int, rows: pa.Table, order: Sequence[str]) -> pa.Table:
    """Put job and chunk before the columns of a ledger's table."""
    count = rows.num_rows
    columns = {
        "job_id": pa.repeat(pa.scalar(job_id, pa.int64()), count),
        "chunk_number": pa.repeat(pa.scalar(chunk_number, pa.int64()), count),
    }
    return pa.table(columns | {name: rows[name] for name in order})
