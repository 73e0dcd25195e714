"""The load: ONE transaction with key rules, rows, side effects, counts and state. Source: X-07, X-14, X-19.

A type's load is made from its declaration (`include.stages.generic_load`), or is what its folder has as SQL. Either

- reads the temporary views `staged_row` (every well-formed row), `staged` (those that the suite accepts) and
  `staged_reject` (the others), which have the columns of `staging.ROW_COLUMNS` and of the fields; the tables
  `load_rule` (id and sentence) and `load_field`; and the settings `import.job_id`, `import.attempt`, `import.fields`,
  those of the import and the project's limits that the type names;
- writes `load_count` (`inserted`, `updated`, `unchanged`), `load_reject` (line, rule, sentence), `load_warning` and
  `load_not_found`. Each row of `staged` is counted or rejected, which a check of the ledger enforces; a row of
  `staged_reject` may get further reasons;
- drops the temporary objects that it has made.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
import sqlalchemy as sa
from psycopg2.errors import UndefinedTable
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Identifier
from sqlalchemy import Connection

from include.arrivals import files
from include.columns.mapping import ColumnMapping
from include.declaration.import_type import ImportType
from include.errors import (
    ConfigurationError,
    FileRefused,
    LoadCancelled,
    NotApproved,
    Reason,
    ReviewNeeded,
    SuiteError,
    WarehouseFault,
)
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import CHUNK, REJECT, Job, JobCounts, State
from include.ledger.records import RuleCount
from include.project.model import Project
from include.rules.sentences import masked_sentences, questions
from include.rules.wildcards import expand_load_rules
from include.runtime import Runtime
from include.stages import generic_load, limits
from include.stages.judging import staging_columns
from include.stages.tallies import count_rejected, tally_rules
from include.stages.validation import refuse_other_project, stage_chunk
from include.storage.spooling import temporary_file
from include.warehouse import schema_check
from include.warehouse.sql_files import statement_beside
from include.warehouse.sql_scripts import note_file, shown
from include.warehouse.transactions import repeat_on_conflict, values_hidden

OUTCOMES = ("inserted", "updated", "unchanged", "not_found")
_PREPARE = statement_beside(__file__, "prepare_load.sql")
_REJECT = statement_beside(__file__, "write_rejects.sql")
_NOT_FOUND = statement_beside(__file__, "write_not_found.sql")
_FORGET_DROPPED = statement_beside(__file__, "forget_dropped.sql")
_CLOSE = statement_beside(__file__, "close_rejects.sql")
_REJECT_SHARE = statement_beside(__file__, "reject_share.sql")
_COMMON_RULES = statement_beside(__file__, "common_rules.sql")
_ACCOUNT = statement_beside(__file__, "load_account.sql")
_UNACCOUNTED = Path(__file__).with_name("unaccounted_rows.sql")
_HAS_ORIGIN = statement_beside(__file__, "has_origin.sql")
_UNACCOUNTED_LINES = 5
"""How many lines the report of a broken count names."""
_GIVE_ATTEMPT = sa.text("SELECT set_config('import.attempt', :attempt, true)")


def load_rows(runtime: Runtime, job_id: int) -> JobCounts:
    """Load the valid rows of a job, once.

    Everything commits together or not at all. A job that has loaded, or has finished its dry run, is left as it is;
    chunks whose staging table is missing, was emptied by a database crash or is of another version are judged again
    first. Rolled back because another transaction was in its way, it is repeated; the load statement knows by the
    setting `import.attempt`.

    Raises:
        FileRefused: more rows were rejected than `max_reject_share` allows.
        LoadCancelled, NotApproved: a person has rejected the import, or not approved it yet, even if a user brought
            the job or its tasks here by hand (X-06).
        ReviewNeeded: so many that a person is to be asked first, and nobody has been (X-18).
        SourceChanged: the file was written on after it had been taken (X-12).
        SuiteError: the suite let a row through that the table refuses.
        WarehouseUnavailable, WarehouseFault
    """
    return repeat_on_conflict(lambda attempt: _load_once(runtime, job_id, attempt))


@dataclass(frozen=True)
class Rehearsal:
    """What a load would do.

    Args:
        refusal: it would load nothing: why.
        counted: what `jobs.rule_counts` would say of it.
        rejected: line → rules, of the lines that were asked about.
    """

    counts: JobCounts
    refusal: FileRefused | None
    counted: list[RuleCount]
    rejected: dict[int, tuple[str, ...]]

    @property
    def rules(self) -> dict[str, int]:
        """How many rows each rule would reject, most frequent first."""
        return {rule.rule: rule.rows for rule in self.counted if rule.is_critical}


def rehearse(runtime: Runtime, job_id: int, lines: Sequence[int] = ()) -> Rehearsal:
    """Load the rows of a job and take all of it back, what the ledger was given included (X-06, X-19).

    Args:
        lines: rows to be distinguished in the result.

    Raises:
        SuiteError, WarehouseUnavailable, WarehouseFault
    """
    with stage(runtime, job_id) as (connection, job):
        refuse_other_project(runtime, connection, job)
        _restage(runtime, connection, job)  # for the load as well, so it is kept
    return repeat_on_conflict(lambda attempt: _rehearse_once(runtime, job_id, attempt, lines))


def _rehearse_once(runtime: Runtime, job_id: int, attempt: int, lines: Sequence[int]) -> Rehearsal:
    with values_hidden(), runtime.engine.connect() as connection:
        job = jobs.get(connection, job_id, lock="update")
        connection.execute(_GIVE_ATTEMPT, {"attempt": str(attempt)})
        refusal = _load(runtime, connection, replace(job, is_dry_run=True))
        counts = _count(connection, job)
        counted = jobs.rule_counts(connection, job_id)
        query = sa.select(REJECT.c.line, REJECT.c.rules).where(REJECT.c.job_id == job_id, REJECT.c.line.in_(lines))
        rejected = {row.line: tuple(row.rules.split()) for row in connection.execute(query)}
        connection.rollback()
    return Rehearsal(counts, refusal, counted, rejected)


def _load_once(runtime: Runtime, job_id: int, attempt: int) -> JobCounts:
    with stage(runtime, job_id) as (connection, job):
        if job.state.is_completed:
            return job.counts
        if job.refusal is not None:
            raise job.refusal
        if job.state is State.CANCELLED:
            raise LoadCancelled(f"job {job_id} was cancelled in its review: there is nothing to load")
        if job.state is State.AWAITING_REVIEW or not job.is_approved:
            raise NotApproved(f"nobody has approved job {job_id} yet")
        if job.state is not State.RUNNING:
            raise LookupError(f"job {job_id} is {job.state}: it has nothing to load")
        files.check_unchanged(runtime, job)
        connection.execute(_GIVE_ATTEMPT, {"attempt": str(attempt)})
        refuse_other_project(runtime, connection, job)
        _restage(runtime, connection, job)
        refusal = _load(runtime, connection, job)
        counts = _count(connection, job)
        if refusal:
            jobs.refuse(connection, job_id, refusal)
        else:
            _call_for_review(runtime, connection, job, counts)
            loaded_at = None if job.is_dry_run else sa.func.clock_timestamp()
            state = State.COMPLETED_WITH_REJECTS if counts.rejected else State.COMPLETED
            jobs.update(connection, job_id, state=state, loaded_at=loaded_at)
    if refusal:  # recorded with its rejects above: raising inside would have rolled them back
        raise refusal
    return counts


def _restage(runtime: Runtime, connection: Connection, job: Job) -> None:
    import_type = runtime.import_types.of(job.import_type)
    fields = import_type.read_fields(runtime.project, ColumnMapping.from_json(job.mapping or {}).field_indexes)
    real = staging.staged_rows(connection, job.id, staging_columns(import_type, fields))
    for chunk in jobs.chunks(connection, job.id):
        if chunk.rows_staged is None or real.get(chunk.number) != chunk.rows_staged:
            stage_chunk(runtime, connection, job, chunk)


def _load(runtime: Runtime, connection: Connection, job: Job) -> FileRefused | None:
    """Run the type's statements, then write what they rejected to the ledger.

    A dry run, or a load with too many rejects, is undone to a savepoint; the verdicts are kept.

    Returns:
        The refusal when too many rows were rejected.
    """
    import_type = runtime.import_types.of(job.import_type)
    numbers = [chunk.number for chunk in jobs.chunks(connection, job.id)]
    refusal = None
    with staging.driver(connection).cursor() as cursor:
        connection.execute(_PREPARE)
        if numbers:
            staging.create_views(cursor, job.id, numbers)
            _give_settings(cursor, job, import_type, runtime.project)
            cursor.execute("SAVEPOINT before_load")
            _run_statement(cursor, job, import_type)
            _check_account(connection, job, import_type)
            refusal = _too_many_rejects(runtime, connection, job)
            if job.is_dry_run or refusal:
                _undo_but_keep_verdicts(cursor)
            elif jobs.parents(connection, job.id):
                connection.execute(_CLOSE, {"job_id": job.id})
            connection.execute(_REJECT, {"job_id": job.id})
            connection.execute(_NOT_FOUND, {"job_id": job.id})
            connection.execute(_FORGET_DROPPED, {"job_id": job.id})
        tally_rules(runtime, connection, job)
        cursor.execute("SELECT outcome, sum(rows)::bigint FROM load_count GROUP BY outcome")
        outcomes = dict(cursor.fetchall())
        cursor.execute("DROP VIEW IF EXISTS pg_temp.staged_row, pg_temp.staged, pg_temp.staged_reject")
        cursor.execute("DROP TABLE load_rule, load_field, load_reject, load_warning, load_count, load_not_found")
    staging.drop_tables(connection, job.id)
    if not refusal:
        jobs.update(connection, job.id, **{f"rows_{name}": outcomes.get(name, 0) for name in OUTCOMES})
    return refusal


def _give_settings(cursor: Cursor, job: Job, import_type: ImportType, project: Project) -> None:
    """Show the load statement the job's number, its settings (`import.<name>`) and the sentences of its rules.

    What follows from the settings takes the place of those of the same names; the project's limits that the type names
    are there as well. `import.fields` names the fields that the file has columns for, separated by commas. The table
    `load_field` has every field of the type, in the order of the declaration and of the project settings; those packed
    into a `jsonb` column with that column and their key.
    """
    mapped = ColumnMapping.from_json(job.mapping or {}).field_indexes
    fields = import_type.all_fields(project)
    values = {
        "job_id": str(job.id),
        "launched_at": job.launched_at.isoformat(),
        "fields": ",".join(mapped),
    }
    for name in import_type.extras.project_limits:
        if (limit := getattr(project, name)) is not None:
            values[name] = str(limit)
    values |= {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (job.settings | job.common_settings.derived).items()
        if isinstance(value, str | int | float)
    }
    for name, value in values.items():
        cursor.execute("SELECT set_config(%s, %s, true)", (f"import.{name}", value))
    for rule in expand_load_rules(import_type.load_rules, fields):
        cursor.execute("INSERT INTO load_rule VALUES (%s, %s)", (rule.id, rule.message))
    execute_values(
        cursor,
        "INSERT INTO load_field VALUES %s",
        [
            (field.name, field.label, *(field.packed or (field.name, None)), position)
            for position, field in enumerate(fields)
        ],
    )


def _run_statement(cursor: Cursor, job: Job, import_type: ImportType) -> None:
    """Run a type's load: that of its declaration, else its SQL files.

    Raises:
        ConfigurationError: a table that the type loads into does not exist.
        SuiteError: the suite let a row through that the table refuses.
        psycopg2.Error: anything else, with a note of file and line.
    """
    if import_type.load is not None:
        mapped = ColumnMapping.from_json(job.mapping or {}).field_indexes
        statement = generic_load.statement(import_type, mapped).as_string(cursor)
        _run_text(cursor, import_type, generic_load.template_of(import_type), statement)
        return
    for path in import_type.load_statements:
        _run_text(cursor, import_type, path, path.read_text(encoding="utf-8"))


def _run_text(cursor: Cursor, import_type: ImportType, path: Path, statements: str) -> None:
    """Run SQL.

    Args:
        path: the file that it comes from, for messages.
    """
    try:
        cursor.execute(statements)
    except UndefinedTable as error:
        if table := _missing_target(error, import_type):
            raise ConfigurationError(
                f"{table}, which {shown(path)} loads into, does not exist: the migration of the type "
                f"{import_type.name} is missing. Add it to include/warehouse/migrations/revisions and run "
                f"`{schema_check.COMMAND}`."
            ) from None
        note_file(error, path, statements)
        raise
    except psycopg2.IntegrityError as error:
        table = f"{error.diag.schema_name}.{error.diag.table_name}" if error.diag.table_name else import_type.targets[0]
        place = error.diag.constraint_name or error.diag.column_name or error.pgcode
        raise SuiteError(
            f"expectations/{import_type.name}.json let rows through that {table} refuses ({place}); nothing was loaded"
        ) from None
    except psycopg2.Error as error:
        note_file(error, path, statements)
        raise


def _missing_target(error: psycopg2.Error, import_type: ImportType) -> str | None:
    """Return the target whose name an error quotes, as PostgreSQL quotes a relation that does not exist."""
    return next((table for table in import_type.targets if f'"{table}"' in (error.diag.message_primary or "")), None)


def _check_account(connection: Connection, job: Job, import_type: ImportType) -> None:
    """Check that the load counted or rejected each valid row once.

    Raises:
        WarehouseFault: it did not; names lines of rows that it forgot.
    """
    account = connection.execute(_ACCOUNT, {"job_id": job.id, "outcomes": list(OUTCOMES)}).one()
    valid, rejected, counted = map(int, account)
    if counted + rejected == valid:
        return
    problem = (
        f"The load of {import_type.name} counted {counted:,} and rejected {rejected:,} of {valid:,} valid rows: "
        "each row must be counted once in load_count, or rejected in load_reject with a rule that the type declares"
    )
    if counted + rejected < valid and (lines := _unaccounted_lines(connection, job, import_type)):
        problem += f". Rows that it neither inserted nor rejected are on these lines: {lines}"
    raise WarehouseFault(f"{problem}. Nothing was loaded.")


def _unaccounted_lines(connection: Connection, job: Job, import_type: ImportType) -> str:
    """Return the first lines of valid rows that were neither inserted nor rejected, as text.

    A load counts rows, not lines: of those that it says to have updated or left unchanged, no line is recorded.
    """
    target = import_type.targets[0]
    if not connection.execute(_HAS_ORIGIN, {"target": target}).scalar_one():
        return ""
    query = SQL(_UNACCOUNTED.read_text(encoding="utf-8")).format(target=Identifier(*target.split(".")))
    with staging.driver(connection).cursor() as cursor:
        cursor.execute(query, {"job_id": job.id, "lines": _UNACCOUNTED_LINES + 1})
        lines = [f"{line:,}" for (line,) in cursor.fetchall()]
    return ", ".join(lines[:_UNACCOUNTED_LINES]) + (" and others" if len(lines) > _UNACCOUNTED_LINES else "")


def _undo_but_keep_verdicts(cursor: Cursor) -> None:
    """Roll the load back to its savepoint and put back what it said of the rows, which the rollback forgot."""
    with ExitStack() as stack:
        verdicts = ("load_reject", "load_warning", "load_count", "load_not_found")
        spools = {name: stack.enter_context(temporary_file()) for name in verdicts}
        for name, spool in spools.items():
            cursor.copy_expert(SQL("COPY {} TO STDOUT").format(Identifier(name)), spool)
        cursor.execute("ROLLBACK TO SAVEPOINT before_load")
        for name, spool in spools.items():
            spool.seek(0)
            cursor.copy_expert(SQL("COPY {} FROM STDIN").format(Identifier(name)), spool)


def _too_many_rejects(runtime: Runtime, connection: Connection, job: Job) -> FileRefused | None:
    """Return the refusal of a file with too many rejects, naming the rules that explain most of them (X-18)."""
    limit = job.common_settings.max_reject_share
    if limit is None:
        return None
    read, rejected = connection.execute(_REJECT_SHARE, {"job_id": job.id}).one()
    if not read or int(rejected) / int(read) <= limit:  # limit * read would round 0.29 of 100 down
        return None
    common = [(rule, rows) for rule, rows in connection.execute(_COMMON_RULES, {"job_id": job.id})]
    sentences = masked_sentences(runtime, runtime.import_types.of(job.import_type))
    rejected_rows = limits.rejected_rows(rejected, read, "was rejected" if rejected == 1 else "were rejected")
    return FileRefused(
        "file.reject_share",
        f"{rejected_rows}, more than max_reject_share = {limit:g} allows; nothing was loaded. "
        f"{limits.most_frequent(common, sentences)}.",
    )


def _call_for_review(runtime: Runtime, connection: Connection, job: Job, counts: JobCounts) -> None:
    """Give the load up where its counts call for a person who is to be asked, and nobody has been (X-18).

    Judged here, where the rows are counted anyway: to rehearse every load would double its time.

    Raises:
        ReviewNeeded: the transaction is to be rolled back.
    """
    if job.is_dry_run or job.has_review:
        return
    if reasons := exceeded_limits(runtime, job, counts, jobs.rule_counts(connection, job.id)):
        raise ReviewNeeded(reasons)


def exceeded_limits(runtime: Runtime, job: Job, counts: JobCounts, rules: Sequence[RuleCount]) -> list[Reason]:
    """Return which limits a load, or its rehearsal, exceeds; see `limits.exceeded`."""
    import_type = runtime.import_types.of(job.import_type)
    return limits.exceeded(
        import_type.settings.from_stored(job.settings),
        counts,
        rules,
        ColumnMapping.from_json(job.mapping or {}),
        masked_sentences(runtime, import_type),
        questions(runtime, import_type),
    )


def _count(connection: Connection, job: Job) -> JobCounts:
    """Write and return the counts; a check of the ledger refuses a completed job whose outcomes don't add up."""
    read = connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(CHUNK.c.rows_read), 0)).where(CHUNK.c.job_id == job.id)
    ).scalar_one()
    jobs.update(connection, job.id, rows_read=int(read), rows_rejected=count_rejected(connection, job.id))
    return jobs.get(connection, job.id).counts
