"""The load: ONE transaction with key rules, rows, side effects, counts and state. Source: X-07, X-14, X-19.

A type's load is made from its declaration (`include.stages.generic_load`), or is what its folder has as SQL. Either

- reads the temporary views `staged_row` (every well-formed row), `staged` (those that the suite accepts) and
  `staged_reject` (the others), which have the columns of `staging.ROW_COLUMNS` and of the fields; the tables
  `load_rule` (id and sentence) and `load_field`; and the settings `import.job_id`, `import.attempt`, `import.fields`
  and those of the import;
- writes `load_count` (`inserted`, `updated`, `unchanged`), `load_reject` (line, rule, sentence), `load_warning` and
  `load_not_found`. Each row of `staged` is counted or rejected, which a check of the ledger enforces; a row of
  `staged_reject` may get further reasons;
- drops the temporary objects that it has made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from include.errors import ConfigurationError, FileRefused, ReviewNeeded, SuiteError, WarehouseFault
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import CHUNK, JOB_RULE, REJECT, Job, JobCounts, State
from include.ledger.records import FIRST_LINES, RuleCount
from include.project.model import Project
from include.rules.sentences import masked_sentences, mistake_in_words
from include.rules.suites import Share
from include.rules.wildcards import expand_load_rules
from include.runtime import Runtime
from include.stages import generic_load, limits
from include.stages.judging import WRAPPED_CELLS, staging_columns
from include.stages.validation import refuse_other_project, stage_chunk
from include.storage.spooling import temporary_file
from include.warehouse import schema_check
from include.warehouse.sql_scripts import note_file, shown
from include.warehouse.transactions import repeat_on_conflict, values_hidden

OUTCOMES = ("inserted", "updated", "unchanged", "not_found")
_WRAPPED_CELLS = (
    'Cells of these rows are written as ="…", which a spreadsheet calculates: they were read as the text between the '
    "quotes. Have the export write plain text."
)

_PREPARE = """
SET LOCAL work_mem = '256MB';
SET LOCAL jit = off;
CREATE TEMP TABLE load_rule (id text, message text) ON COMMIT DROP;
CREATE TEMP TABLE load_field (
    name text, label text, staging_column text, key text, position integer
) ON COMMIT DROP;
CREATE TEMP TABLE load_reject (line bigint, rule text, reason text) ON COMMIT DROP;
CREATE TEMP TABLE load_warning (line bigint, rule text) ON COMMIT DROP;
CREATE TEMP TABLE load_count (outcome text, rows bigint) ON COMMIT DROP;
CREATE TEMP TABLE load_not_found (line bigint) ON COMMIT DROP;
"""
# A row that only the load could reject, and further reasons for rows that the suite rejected already.
_REJECT = """
INSERT INTO ledger.reject AS stored
    (job_id, line, chunk_number, byte_offset, byte_length, rules, reasons, origin_job_id, origin_line)
SELECT %(job_id)s, row.line, row.chunk_number, row.byte_offset, row.byte_length,
       failed.rules, failed.reasons, row.origin_job_id, row.origin_line
FROM (
    SELECT line, string_agg(rule, ' ' ORDER BY rule) AS rules, string_agg(reason, ' | ' ORDER BY rule) AS reasons
    FROM load_reject
    GROUP BY line
) AS failed
JOIN staged_row AS row USING (line)
ON CONFLICT ON CONSTRAINT reject_pkey DO UPDATE
SET rules = stored.rules || ' ' || excluded.rules, reasons = stored.reasons || ' | ' || excluded.reasons
"""
# Rows of nobody (CU-01): their records are listed in a file of their own.
_NOT_FOUND = """
INSERT INTO ledger.not_found
    (job_id, line, chunk_number, byte_offset, byte_length, origin_job_id, origin_line)
SELECT %(job_id)s, row.line, row.chunk_number, row.byte_offset, row.byte_length, row.origin_job_id, row.origin_line
FROM load_not_found
JOIN staged_row AS row USING (line)
"""
# Values are listed as dropped of rows that are loaded; the others keep them until they load.
_FORGET_DROPPED = """
DELETE FROM ledger.dropped_value
WHERE job_id = %(job_id)s
  AND line IN (SELECT line FROM load_reject UNION ALL SELECT line FROM load_not_found)
"""
# The first lines are numbered, not cut off an array of all: of a file of millions that would be held in memory.
_DROPPED_BY_RULE = """
SELECT rule, count(*), array_agg(line ORDER BY line) FILTER (WHERE place <= %(lines)s)
FROM (
    SELECT line, rule, row_number() OVER (PARTITION BY rule ORDER BY line) AS place
    FROM ledger.dropped_value
    CROSS JOIN LATERAL unnest(string_to_array(rules, ' ')) AS rule
    WHERE job_id = %(job_id)s
) AS dropped
GROUP BY rule
"""
# Rejects of earlier jobs whose corrected rows have now loaded, through the whole chain of `_job`s.
_CLOSE = """
WITH RECURSIVE fixed AS (
    SELECT staged.origin_job_id AS job_id, staged.origin_line AS line
    FROM staged
    WHERE staged.origin_line IS NOT NULL
      AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line)
      AND NOT EXISTS (SELECT FROM load_not_found WHERE load_not_found.line = staged.line)
    UNION
    SELECT earlier.origin_job_id, earlier.origin_line
    FROM fixed
    CROSS JOIN LATERAL (
        SELECT origin_job_id, origin_line
        FROM ledger.reject
        WHERE reject.job_id = fixed.job_id AND reject.line = fixed.line
        UNION ALL
        SELECT origin_job_id, origin_line
        FROM ledger.not_found
        WHERE not_found.job_id = fixed.job_id AND not_found.line = fixed.line
    ) AS earlier
    WHERE earlier.origin_line IS NOT NULL
), locked AS (                                            -- in one order: parts of a file may load at the same time
    SELECT reject.job_id, reject.line
    FROM ledger.reject
    JOIN fixed USING (job_id, line)
    WHERE reject.fixed_by_job_id IS NULL
      AND reject.job_id <> %(job_id)s
    ORDER BY reject.job_id, reject.line
    FOR NO KEY UPDATE OF reject
)
UPDATE ledger.reject
SET fixed_by_job_id = %(job_id)s
FROM locked
WHERE (reject.job_id, reject.line) = (locked.job_id, locked.line)
"""
_REJECT_SHARE = """
SELECT (SELECT sum(rows_read) FROM ledger.import_chunk WHERE job_id = %(job_id)s),
       (SELECT count(*) FROM (
            SELECT line FROM ledger.reject WHERE job_id = %(job_id)s UNION SELECT line FROM load_reject
        ) AS rejected)
"""
_COMMON_RULES = """
SELECT rule, count(*)
FROM (
    SELECT unnest(string_to_array(rules, ' ')) AS rule FROM ledger.reject WHERE job_id = %(job_id)s
    UNION ALL
    SELECT rule FROM load_reject
) AS failed
GROUP BY rule
ORDER BY count(*) DESC, rule
LIMIT 3
"""
_RULES_OF_LOAD = """
SELECT rule, severity, count(*), array_agg(line ORDER BY line) FILTER (WHERE place <= %(lines)s)
FROM (
    SELECT line, rule, severity, row_number() OVER (PARTITION BY rule, severity ORDER BY line) AS place
    FROM (
        SELECT line, rule, 'critical' AS severity FROM load_reject
        UNION ALL
        SELECT line, rule, 'warning' FROM load_warning
    ) AS verdict
) AS numbered
GROUP BY rule, severity
"""
# Valid rows, those of them that the load rejected, and the rows that it counted.
_ACCOUNT = """
SELECT (SELECT coalesce(sum(rows_read) - sum(rows_rejected), 0) FROM ledger.import_chunk WHERE job_id = %(job_id)s),
       (SELECT count(*)
        FROM (SELECT DISTINCT line FROM load_reject) AS failed
        LEFT JOIN ledger.reject ON reject.job_id = %(job_id)s AND reject.line = failed.line
        WHERE reject.line IS NULL),
       (SELECT coalesce(sum(rows), 0) FROM load_count WHERE outcome = ANY (%(outcomes)s))
"""
_UNACCOUNTED = """
SELECT line
FROM staged
WHERE NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line)
  AND NOT EXISTS (SELECT FROM load_not_found WHERE load_not_found.line = staged.line)
  AND NOT EXISTS (
      SELECT FROM {target} AS loaded WHERE loaded.import_job_id = %(job_id)s AND loaded.import_line = staged.line)
ORDER BY line
LIMIT %(lines)s
"""
_HAS_ORIGIN = """
SELECT count(*) = 2
FROM pg_attribute
WHERE attrelid = to_regclass(%(target)s) AND attname IN ('import_job_id', 'import_line')
"""
_UNACCOUNTED_LINES = 5
"""How many lines the report of a broken count names."""
_GIVE_ATTEMPT = sa.text("SELECT set_config('import.attempt', :attempt, true)")


def load_rows(runtime: Runtime, job_id: int) -> JobCounts:
    """Load the valid rows of a job, once.

    Everything commits together or not at all. A job that has loaded, or has finished its dry run, is left as it is;
    chunks whose staging table is missing, was emptied by a database crash or is of another version are judged again
    first. Rolled back because
    another transaction was in its way, it is repeated; the load statement knows by the setting `import.attempt`.

    Raises:
        FileRefused: more rows were rejected than `max_reject_share` allows.
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
        if job.state is not State.RUNNING:
            raise LookupError(f"job {job_id} is {job.state}: it has nothing to load")
        if not job.is_approved:
            raise LookupError(f"nobody has approved job {job_id}")
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
        cursor.execute(_PREPARE)
        if numbers:
            staging.create_views(cursor, job.id, numbers)
            _give_settings(cursor, job, import_type, runtime.project)
            cursor.execute("SAVEPOINT before_load")
            _run_statement(cursor, job, import_type)
            _check_account(cursor, job, import_type)
            refusal = _too_many_rejects(runtime, cursor, job)
            if job.is_dry_run or refusal:
                _undo_but_keep_verdicts(cursor)
            elif jobs.parents(connection, job.id):
                cursor.execute(_CLOSE, {"job_id": job.id})
            cursor.execute(_REJECT, {"job_id": job.id})
            cursor.execute(_NOT_FOUND, {"job_id": job.id})
            cursor.execute(_FORGET_DROPPED, {"job_id": job.id})
        _tally_rules(runtime, connection, cursor, job)
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

    What follows from the settings takes the place of those of the same names. `import.fields` names the fields that the
    file has columns for, separated by commas. The table `load_field` has every field of the type, in the order of the
    declaration and of the project settings; those packed into a `jsonb` column with that column and their key.
    """
    mapped = ColumnMapping.from_json(job.mapping or {}).field_indexes
    fields = import_type.all_fields(project)
    values = {
        "job_id": str(job.id),
        "launched_at": job.launched_at.isoformat(),
        "fields": ",".join(mapped),
        "max_generation": str(project.max_generation),
    } | {
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


def _check_account(cursor: Cursor, job: Job, import_type: ImportType) -> None:
    """Check that the load counted or rejected each valid row once.

    Raises:
        WarehouseFault: it did not; names lines of rows that it forgot.
    """
    cursor.execute(_ACCOUNT, {"job_id": job.id, "outcomes": list(OUTCOMES)})
    valid, rejected, counted = map(int, cursor.fetchone())
    if counted + rejected == valid:
        return
    problem = (
        f"The load of {import_type.name} counted {counted:,} and rejected {rejected:,} of {valid:,} valid rows: "
        "each row must be counted once in load_count, or rejected in load_reject with a rule that the type declares"
    )
    if counted + rejected < valid and (lines := _unaccounted_lines(cursor, job, import_type)):
        problem += f". Rows that it neither inserted nor rejected are on these lines: {lines}"
    raise WarehouseFault(f"{problem}. Nothing was loaded.")


def _unaccounted_lines(cursor: Cursor, job: Job, import_type: ImportType) -> str:
    """Return the first lines of valid rows that were neither inserted nor rejected, as text.

    A load counts rows, not lines: of those that it says to have updated or left unchanged, no line is recorded.
    """
    target = import_type.targets[0]
    cursor.execute(_HAS_ORIGIN, {"target": target})
    if cursor.fetchone() != (True,):
        return ""
    query = SQL(_UNACCOUNTED).format(target=Identifier(*target.split(".")))
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


def _too_many_rejects(runtime: Runtime, cursor: Cursor, job: Job) -> FileRefused | None:
    """Return the refusal of a file with too many rejects, naming the rules that explain most of them (X-18)."""
    limit = job.common_settings.max_reject_share
    if limit is None:
        return None
    cursor.execute(_REJECT_SHARE, {"job_id": job.id})
    read, rejected = cursor.fetchone() or (0, 0)
    if not read or int(rejected) / int(read) <= limit:  # limit * read would round 0.29 of 100 down
        return None
    cursor.execute(_COMMON_RULES, {"job_id": job.id})
    sentences = masked_sentences(runtime, runtime.import_types.of(job.import_type))
    rejected_rows = limits.rejected_rows(rejected, read, "was rejected" if rejected == 1 else "were rejected")
    return FileRefused(
        "file.reject_share",
        f"{rejected_rows}, more than max_reject_share = {limit:g} allows; nothing was loaded. "
        f"{limits.most_frequent(cursor.fetchall(), sentences)}.",
    )


def _call_for_review(runtime: Runtime, connection: Connection, job: Job, counts: JobCounts) -> None:
    """Give the load up where its counts call for a person who is to be asked, and nobody has been (X-18).

    Judged here, where the rows are counted anyway: to rehearse every load would double its time.

    Raises:
        ReviewNeeded: the transaction is to be rolled back.
    """
    if job.is_dry_run or job.has_review:
        return
    mapping = ColumnMapping.from_json(job.mapping or {})
    import_type = runtime.import_types.of(job.import_type)
    chosen, sentences = import_type.settings.from_stored(job.settings), masked_sentences(runtime, import_type)
    if reasons := limits.exceeded(chosen, counts, jobs.rule_counts(connection, job.id), mapping, sentences):
        raise ReviewNeeded(reasons)


def _tally_rules(runtime: Runtime, connection: Connection, cursor: Cursor, job: Job) -> None:
    """Write the counts per rule, from the chunks and from the load, and the warnings that follow from them."""
    tallies: dict[tuple[str, str], tuple[int, list[int]]] = {}
    shares: dict[tuple[str, str], tuple[Share, int]] = {}
    for evidence in jobs.evidence(connection, job.id):
        for key, tally in evidence.items():
            if tally.drops:
                continue
            rows, lines = tallies.get(key, (0, []))
            tallies[key] = (rows + tally.failed, [*lines, *tally.lines][:FIRST_LINES])
            if tally.share:
                _, evaluated = shares.get(key, (None, 0))
                shares[key] = (Share(**tally.share), evaluated + tally.evaluated)
    for key, (share, evaluated) in shares.items():  # what only the file as a whole can show
        if not share.is_exceeded(tallies[key][0], evaluated):
            del tallies[key]
    cursor.execute(_DROPPED_BY_RULE, {"job_id": job.id, "lines": FIRST_LINES})
    dropped = {rule: (rows, lines) for rule, rows, lines in cursor.fetchall()}
    tallies |= {(rule, "warning"): counted for rule, counted in dropped.items()}
    cursor.execute(_RULES_OF_LOAD, {"lines": FIRST_LINES})
    for rule, severity, rows, lines in cursor.fetchall():
        tallies[rule, severity] = (rows, lines)
    counted = [
        {"job_id": job.id, "rule": rule, "severity": severity, "rows": rows, "first_lines": lines}
        for (rule, severity), (rows, lines) in tallies.items()
        if rows
    ]
    sentences = dict(masked_sentences(runtime, runtime.import_types.of(job.import_type)))
    sentences[WRAPPED_CELLS] = _WRAPPED_CELLS
    connection.execute(sa.delete(JOB_RULE).where(JOB_RULE.c.job_id == job.id))
    if counted:
        connection.execute(sa.insert(JOB_RULE), counted)
    jobs.update(
        connection,
        job.id,
        warnings=[
            *(warning.to_json() for warning in (job.inspection.warnings if job.inspection else ())),
            *_warnings(connection, job.id, counted, dropped, sentences),
        ],
    )


def _warnings(
    connection: Connection,
    job_id: int,
    counted: Sequence[Mapping[str, Any]],
    dropped: Collection[str],
    sentences: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Say what a person should know of the rows.

    Args:
        dropped: rules that cost the value alone.
        sentences: of the rules; in place of what they quote of a row they have an ellipsis.
    """
    warnings = []
    for rule in counted:
        if rule["severity"] == "warning":
            message = f"{rule['rows']:,} {'row' if rule['rows'] == 1 else 'rows'}"
            message += " loaded without this value" if rule["rule"] in dropped else ""
            message += f", first on line {rule['first_lines'][0]}"
            if rule["rule"] in sentences and rule["rule"] not in dropped:
                message += f". {sentences[rule['rule']]}"
            warnings.append({"rule": rule["rule"], "rows": rule["rows"], "message": message})
    rejected = _rejected(connection, job_id)
    for rule in counted:
        if rule["severity"] == "critical" and rejected >= limits.SUSPICIOUS_REJECTS:
            share = rule["rows"] / rejected
            if share > limits.SUSPICIOUS_SHARE:
                warnings.append(
                    {
                        "rule": "file.probable_mapping_slip",
                        "message": f"{share:.0%} of the {rejected:,} rejected rows were rejected for this: "
                        f"{mistake_in_words(rule['rule'], sentences)}. Is the right column mapped?",
                    }
                )
    return warnings


def _rejected(connection: Connection, job_id: int) -> int:
    return connection.execute(
        sa.select(sa.func.count()).select_from(REJECT).where(REJECT.c.job_id == job_id)
    ).scalar_one()


def _count(connection: Connection, job: Job) -> JobCounts:
    """Write and return the counts; a check of the ledger refuses a completed job whose outcomes don't add up."""
    read = connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(CHUNK.c.rows_read), 0)).where(CHUNK.c.job_id == job.id)
    ).scalar_one()
    jobs.update(connection, job.id, rows_read=int(read), rows_rejected=_rejected(connection, job.id))
    return jobs.get(connection, job.id).counts
