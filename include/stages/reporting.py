"""What an import leaves behind: the rejected-rows file, the summary, the evidence; then archive or quarantine.

Source: X-08, X-09, X-10, X-20.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import sqlalchemy as sa
import yaml
from psycopg2.sql import SQL, Composed, Literal
from sqlalchemy import Connection

from include.arrivals import files
from include.declaration.settings import ImportSettings
from include.errors import ConfigurationError, FileRefused, NotAllDeleted
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import DROPPED_VALUE, JOB, NOT_FOUND, REJECT, UNKNOWN_TYPE, Job, JobResult, State
from include.reading import rejected_rows
from include.rules.wildcards import expand_entries
from include.runtime import Runtime
from include.settings.layers import chosen_settings, resolve
from include.stages.inspection import dialect_of, ensure_text
from include.storage import locations
from include.storage.file_names import LONGEST_NAME_BYTES, SIDECAR_SUFFIX
from include.storage.locations import Location, StorageError
from include.storage.one_by_one import Failures
from include.storage.spooling import temporary_file
from include.warehouse.transactions import values_hidden

_WINDOW_BYTES = 8 << 20
_SPOOL_BYTES = 2 << 20
"""Of ledger rows at once: some 20,000 rejects. With 8 MiB, and read ahead by threads, reports took 250 MiB more."""
_SUMMARY, _EVIDENCE = "summary.json", "validation.json"
_WITHOUT_VALUES = (_SUMMARY, _EVIDENCE)
_OF_A_JOB = re.compile(f"([0-9]+)({files.RETURNED_SUFFIX})?")
"""Names of folders."""
_WITH_VALUES = ("rejected_file_url", "not_found_file_url", "dropped_values_file_url")
"""Files that hold the sender's values: they go after `retention_days`."""

_ROW_COLUMNS = {"line": pa.int64(), "byte_offset": pa.int64(), "byte_length": pa.int64(), "rules": pa.string(),
                "reasons": pa.string()}  # fmt: skip
_REJECTS = """
SELECT line, byte_offset, byte_length, rules, reasons FROM ledger.reject WHERE job_id = {job} ORDER BY line
"""
_NOT_FOUND_ROWS = """
SELECT line, byte_offset, byte_length, 'row.not_found', {reason}
FROM ledger.not_found
WHERE job_id = {job}
ORDER BY line
"""
_DROPPED_TYPES = {"line": pa.int64(), "field": pa.string(), "value": pa.string(), "rules": pa.string(),
                  "reasons": pa.string()}  # fmt: skip
_DROPPED_VALUES = """
SELECT line, field, value, rules, reasons FROM ledger.dropped_value WHERE job_id = {job} ORDER BY line, field
"""


@dataclass(frozen=True)
class Reports:
    """Where the reports of a job are; None for those it has no use for."""

    rejected_file: str | None
    not_found_file: str | None
    dropped_values_file: str | None
    summary_file: str
    evidence_file: str | None


def write_report(runtime: Runtime, job_id: int) -> Reports:
    """Write the reports of a job, again if they are there already: same bytes (X-14)."""
    with stage(runtime, job_id) as (connection, job):
        folder = files.report_folder(runtime, job)
        has_source = files.find_source(runtime, job) is not None  # else it has expired
        rejected_file = not_found_file = dropped_values_file = evidence_file = None
        if has_source and _has_rows(connection, REJECT, job_id):
            rejected_file = folder / rejected_rows.file_name(job.file_name)
            _write_rows(runtime, connection, job, rejected_file, _REJECTS)
        if has_source and _has_rows(connection, NOT_FOUND, job_id):
            not_found_file = folder / rejected_rows.file_name(job.file_name, rejected_rows.NOT_FOUND)
            reason = runtime.import_types.of(job.import_type).extras.not_found_reason or ""
            _write_rows(runtime, connection, job, not_found_file, _NOT_FOUND_ROWS, reason)
        if has_source and _has_rows(connection, DROPPED_VALUE, job_id):
            name = PurePosixPath(rejected_rows.file_name(job.file_name, rejected_rows.DROPPED)).with_suffix(".csv")
            dropped_values_file = folder / str(name)
            _write_dropped_values(connection, job, dropped_values_file)
        evidence = _evidence(runtime, connection, job)
        if evidence:
            evidence_file = folder / _EVIDENCE
            _write_json(evidence_file, evidence)
        summary_file = folder / _SUMMARY
        reports = Reports(
            rejected_file=str(rejected_file) if rejected_file else None,
            not_found_file=str(not_found_file) if not_found_file else None,
            dropped_values_file=str(dropped_values_file) if dropped_values_file else None,
            summary_file=str(summary_file),
            evidence_file=str(evidence_file) if evidence_file else None,
        )
        for earlier in {getattr(job, column) for column in _WITH_VALUES} - {None, *vars(reports).values()}:
            if has_source:  # an attempt with other settings had such rows
                files.locate(runtime, earlier).remove()
        jobs.update(
            connection, job_id, rejected_file_url=reports.rejected_file, not_found_file_url=reports.not_found_file,
            dropped_values_file_url=reports.dropped_values_file, summary_file_url=reports.summary_file,
            evidence_file_url=reports.evidence_file,
        )  # fmt: skip
        _write_summary(runtime, connection, job_id)
    return reports


def close_job(runtime: Runtime, job_id: int, *, failure: str | None = None) -> JobResult:
    """End a job: its file to the archive, or to the quarantine when it was refused.

    Args:
        failure: why the job can't go on, in a sentence without values; the file then stays in work, so that a rerun
            continues where it stopped.
    """
    with stage(runtime, job_id) as (connection, job):
        unfinished = (State.AWAITING_EXECUTION, State.RUNNING, State.AWAITING_REVIEW)
        if job.import_type == UNKNOWN_TYPE and job.state in unfinished and job.work_url is not None:
            # Its refusal was killed before it was recorded: nothing else can become of it.
            refusal = FileRefused("file.unknown_type", "This file was not in the folder of any import type.")
            jobs.refuse(connection, job_id, refusal)
            job = jobs.get(connection, job_id)
        if job.state in unfinished and failure is not None:
            returned = files.return_taken(runtime, job)
            rule, message = "job.failed", failure
            if returned is not None and returned.is_changed:
                rule, message = files.CHANGED, f"{returned.message} Nothing of it was loaded."
            elif returned is not None:
                message = f"{failure} {returned.message}"
            archive_url = job.archive_url if returned is None or returned.kept is None else str(returned.kept)
            jobs.update(
                connection, job_id, state=State.FAILED, refusal_rule=rule, refusal_message=message,
                archive_url=archive_url, finished_at=runtime.clock(),
            )  # fmt: skip
            if job.summary_file_url is not None:  # written while the job was still running
                _write_summary(runtime, connection, job_id)
        elif job.state not in (*unfinished, State.FAILED):
            archive_url, warnings = _put_away(runtime, job)
            if (returned := files.return_taken(runtime, job)) is not None:
                rule = files.CHANGED_LATER if job.is_loaded else files.CHANGED
                warnings.append({"rule": rule, "message": returned.message})
            finished_at = job.finished_at or runtime.clock()
            jobs.update(
                connection, job_id, archive_url=archive_url, work_url=None, finished_at=finished_at,
                warnings=[*job.warnings, *warnings],
            )  # fmt: skip
            if warnings and job.summary_file_url is not None:
                _write_summary(runtime, connection, job_id)
            # Before the commit: afterwards nobody would come back to do what a kill has left undone.
            locations.delete_folder(files.work_folder(runtime, job_id))
            locations.delete_unfinished(files.report_folder(runtime, job))
        return jobs.result(connection, job_id)


def delete_expired(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Delete source copies, files of rows and values, staging and sentences of rejects past `retention_days` (X-20).

    The ledger keeps the jobs and their counts. Folders of which it knows nothing, such as those of a job that was never
    committed or of a database that was restored since, go by the time of their newest file.

    Returns:
        How many jobs lost their files, by import type; folders of no job count for `unknown`.

    Raises:
        NotAllDeleted: something could not be; everything else was.
    """
    with values_hidden(), runtime.engine.begin() as connection:
        rows = connection.execute(
            sa.select(JOB.c.id, JOB.c.settings, JOB.c.launched_at, JOB.c.import_type).where(
                sa.or_(
                    JOB.c.archive_url.is_not(None),
                    JOB.c.work_url.is_not(None),
                    *(JOB.c[column].is_not(None) for column in _WITH_VALUES),
                )
            )
        ).all()
    deleted: dict[str, int] = {}
    failures = Failures()
    for row in rows:
        with failures.guard(f"the files of job {row.id}"):
            days = row.settings.get("retention_days") or _default_retention(runtime, row.import_type)
            if row.launched_at + timedelta(days=days) <= now:
                _delete_files_of(runtime, row.id)
                deleted[row.import_type] = deleted.get(row.import_type, 0) + 1
    if strays := _delete_strays(runtime, now, failures):
        deleted[UNKNOWN_TYPE] = deleted.get(UNKNOWN_TYPE, 0) + strays
    if failures:
        raise NotAllDeleted(failures)
    return deleted


def _delete_files_of(runtime: Runtime, job_id: int) -> None:
    with stage(runtime, job_id) as (connection, job):
        for folder in (files.work_folder(runtime, job.id), *files.archive_folders(runtime, job)):
            locations.delete_folder(folder)
        locations.delete_unfinished(files.report_folder(runtime, job))
        for url in filter(None, (getattr(job, column) for column in _WITH_VALUES)):
            files.locate(runtime, url).remove()
        staging.drop_tables(connection, job.id)
        connection.execute(sa.update(REJECT).where(REJECT.c.job_id == job.id).values(reasons="(deleted)"))
        jobs.forget_sentences(connection, job.id)
        connection.execute(sa.delete(DROPPED_VALUE).where(DROPPED_VALUE.c.job_id == job.id))
        jobs.update(connection, job.id, archive_url=None, work_url=None, **dict.fromkeys(_WITH_VALUES))


def _delete_strays(runtime: Runtime, now: datetime, failures: Failures) -> int:
    """Delete what is in the areas beyond what the ledger names; return how many folders lost something."""
    by_type = [UNKNOWN_TYPE, *runtime.import_types]
    places = [(runtime.work, "", max(_default_retention(runtime, name) for name in by_type))]
    for name in by_type:
        days = _default_retention(runtime, name)
        places += [(runtime.archive / kind / name, "", days) for kind in ("imported", "quarantine")]
        places.append((runtime.reports / name, "reports", days))
    deleted = 0
    for place, kind, days in places:
        with failures.guard(f"what is in {place}"):
            before = now - timedelta(days=days)
            deleted += _delete_stray_folders(runtime, place, before, failures, is_report=kind == "reports")
    return deleted


def _delete_stray_folders(
    runtime: Runtime, place: Location, before: datetime, failures: Failures, *, is_report: bool
) -> int:
    named = [(_OF_A_JOB.fullmatch(folder.name), folder) for folder in locations.folders(place)]
    folders = [(int(name[1]), folder) for name, folder in named if name is not None]
    if not folders:
        return 0
    lowest, highest = min(number for number, _ in folders), max(number for number, _ in folders)
    with values_hidden(), runtime.engine.connect() as connection:
        keeping = sa.or_(
            *(JOB.c[column].is_not(None) for column in ("work_url", "archive_url", *_WITH_VALUES)),
            JOB.c.finished_at.is_(None),
            JOB.c.launched_at >= before,
        )
        query = sa.select(JOB.c.id, keeping.label("keeps")).where(JOB.c.id.between(lowest, highest))
        keeps = {row.id: row.keeps for row in connection.execute(query)}
    deleted = 0
    for number, folder in folders:
        if keeps.get(number):
            continue
        with failures.guard(f"the folder {folder}"):
            # A report's folder always has its job's summary and evidence.
            deleted += _delete_stray(folder, before, is_report=is_report and number in keeps)
    return deleted


def _delete_stray(folder: Location, before: datetime, *, is_report: bool) -> bool:
    held = list(locations.files_below(folder))
    if any(stat.changed_at >= before for _, stat in held):
        return False
    if not is_report:
        locations.delete_folder(folder)
        return True
    strays = [path for path, _ in held if path.name not in _WITHOUT_VALUES]
    for path in strays:
        path.remove()
    return bool(strays)


def _default_retention(runtime: Runtime, import_type: str) -> int:
    try:
        types = runtime.import_types
        return resolve(types, types.of(import_type), defaults_file=runtime.defaults_file).retention_days
    except (FileRefused, ConfigurationError):
        return ImportSettings.from_stored({}).retention_days


def _put_away(runtime: Runtime, job: Job) -> tuple[str | None, list[dict[str, Any]]]:
    """Move the source to where it ends, from wherever a killed close or an earlier end of the job has left it.

    Returns:
        Where it is, and warnings.

    Raises:
        StorageError: its bytes are no longer those whose hash the ledger has.
    """
    folder = files.archive_folder(runtime, job)
    source = files.find_source(runtime, job)
    if source is None:
        return None, []
    target = folder / job.file_name
    if str(source) != str(target):
        if job.sha256 is not None and source.sha256() != job.sha256:
            raise StorageError(errno.EIO, "its bytes are no longer those that were read", str(source))
        locations.move(source, target)
    locations.delete_unfinished(folder)
    for other in files.archive_folders(runtime, job):
        if str(other) != str(folder):
            locations.delete_folder(other)
    warnings = []
    if (job.is_dry_run and job.state.is_completed) or job.state is State.CANCELLED:
        warnings = _write_settings(target, job)
    return str(target), warnings


def _write_settings(target: Location, job: Job) -> list[dict[str, Any]]:
    """Put what a job that loaded nothing was given beside its file: a launch names the file alone (X-06, X-19).

    Returns:
        A warning when the file's name leaves no room for that of its settings.
    """
    settings = chosen_settings(job.settings)
    name = f"{target.name}{SIDECAR_SUFFIX}"
    if settings and len(name.encode()) > LONGEST_NAME_BYTES:
        message = "The file's name is too long to keep its settings beside it: a later launch needs them again."
        return [{"rule": "file.settings_not_kept", "message": message}]
    if settings:
        with locations.written_whole(target.with_name(name)) as sink:
            sink.write(yaml.safe_dump(settings, allow_unicode=True).encode())
    return []


def _has_rows(connection: Connection, table: sa.Table, job_id: int) -> bool:
    return connection.execute(sa.select(sa.exists().where(table.c.job_id == job_id))).scalar_one()


def _write_rows(
    runtime: Runtime, connection: Connection, job: Job, target: Location, query: str, reason: str = ""
) -> None:
    """Write a file of the sender's own records, which can be dropped back (X-09, CU-01)."""
    if job.inspection is None:
        raise LookupError(f"job {job.id} has not been inspected")
    ensure_text(runtime, job)
    writer = rejected_rows.Writer(
        job_id=job.id,
        dialect=dialect_of(job),
        header=list(job.inspection.header),
        was_escaped=job.inspection.is_escaped,
        is_verbatim=bool(job.settings.get("rejects_verbatim")),
    )
    composed = SQL(query).format(job=Literal(job.id), reason=Literal(reason))
    with locations.written_whole(target) as sink, files.open_text(runtime, job) as text:
        text.seek(job.inspection.header_offset)
        sink.write(writer.header(text.read(job.inspection.header_bytes)))
        for rows in _windows(_query(connection, composed, _ROW_COLUMNS)):
            sink.write(writer.records(rows["line"], rows["rules"], rows["reasons"], _records(text, rows)))


def _write_dropped_values(connection: Connection, job: Job, target: Location) -> None:
    """Write the values that rows were loaded without (CU-14)."""
    is_verbatim = bool(job.settings.get("rejects_verbatim"))
    with locations.written_whole(target) as sink:
        sink.write(f"{','.join(rejected_rows.DROPPED_COLUMNS)}\n".encode())
        query = SQL(_DROPPED_VALUES).format(job=Literal(job.id))
        for rows in _query(connection, query, _DROPPED_TYPES, longest=_longest_dropped(connection, job)):
            sink.write(rejected_rows.dropped_values(rows, is_verbatim=is_verbatim))


def _longest_dropped(connection: Connection, job: Job) -> int:
    """Return a bound of the longest row of dropped values as CSV, where quotes are doubled."""
    column = DROPPED_VALUE.c
    texts = sum((sa.func.octet_length(column[name]) for name in ("value", "rules", "reasons")), start=sa.literal(100))
    longest = sa.select(sa.func.coalesce(sa.func.max(2 * texts), 0)).where(column.job_id == job.id)
    return int(connection.execute(longest).scalar_one())


def _query(
    connection: Connection, query: Composed, columns: Mapping[str, pa.DataType], *, longest: int = 0
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a query in its order; on a disk in between, for there may be millions.

    Args:
        longest: bytes of the longest row as CSV; Arrow takes none that is longer than what it reads at once (26).
    """
    with temporary_file() as spool, staging.driver(connection).cursor() as cursor:
        cursor.copy_expert(SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query), spool)
        if spool.tell() == 0:
            return
        spool.seek(0)
        yield from pa_csv.open_csv(
            spool,
            read_options=pa_csv.ReadOptions(
                column_names=list(columns), block_size=max(_SPOOL_BYTES, longest), use_threads=False
            ),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(column_types=dict(columns)),
        )


def _windows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut batches so that the records of each are close enough together to be read from the file in one piece."""
    for batch in batches:
        starts = batch["byte_offset"].to_numpy()
        ends = starts + batch["byte_length"].to_numpy()
        first = 0
        while first < len(starts):
            last = max(first + 1, int(np.searchsorted(ends, starts[first] + _WINDOW_BYTES, side="right")))
            yield batch.slice(first, last - first)
            first = last


def _records(text: BinaryIO, rejects: pa.RecordBatch) -> pa.Array:
    """Return the rejected records themselves: of one piece of text, what is between them left out."""
    starts = rejects["byte_offset"].to_numpy()
    ends = starts + rejects["byte_length"].to_numpy()
    text.seek(starts[0])
    data = text.read(int(ends[-1] - starts[0]))
    places = np.column_stack((starts, ends)).ravel() - starts[0]
    pieces = pa.LargeStringArray.from_buffers(
        len(places) - 1, pa.py_buffer(places.astype(np.int64)), pa.py_buffer(data)
    )
    return pieces.take(pa.array(np.arange(0, len(pieces), 2))).cast(pa.string())


def _evidence(runtime: Runtime, connection: Connection, job: Job) -> dict[str, Any] | None:
    """Return the verdict of the suite in the shape of GX's own validation results, without any value (X-20)."""
    totals: dict[tuple[str, str], list[int]] = {}
    shares: dict[tuple[str, str], dict[str, Any]] = {}
    for evidence in jobs.evidence(connection, job.id):
        for (rule, severity), tally in evidence.items():
            total = totals.setdefault((rule, severity), [0, 0])
            total[0] += tally.evaluated
            total[1] += tally.failed
            if tally.share:
                shares[rule, severity] = tally.share
    if not totals:  # a file of no import type among them, for which there is no suite
        return None
    suite = json.loads((runtime.suites / f"{job.import_type}.json").read_text(encoding="utf-8"))
    fields = runtime.import_types.of(job.import_type).all_fields(runtime.project)
    configurations = {entry["meta"]["rule"]: entry for entry in expand_entries(suite["expectations"], fields)}
    results: list[dict[str, Any]] = [
        {
            "success": failed == 0 or _is_below(shares.get((rule, severity)), failed, evaluated),
            "expectation_config": configurations.get(rule, {"meta": {"rule": rule}}) | {"severity": severity},
            "result": {
                "element_count": evaluated,
                "unexpected_count": failed,
                "unexpected_percent": 100 * failed / evaluated if evaluated else 0.0,
            },
        }
        for (rule, severity), (evaluated, failed) in totals.items()
        if rule in configurations or failed
    ]
    successes = sum(result["success"] for result in results)
    return {
        "success": successes == len(results),
        "suite_name": suite["name"],
        "meta": {"job": job.id, "file": job.file_name},
        "results": results,
        "statistics": {
            "evaluated_expectations": len(results),
            "successful_expectations": successes,
            "unsuccessful_expectations": len(results) - successes,
        },
    }


def _is_below(share: Mapping[str, Any] | None, failed: int, evaluated: int) -> bool:
    """Say whether too few rows break a rule that is about the file's rows together, for it to say something."""
    return share is not None and (evaluated < share["of_at_least"] or failed <= share["above"] * evaluated)


def _write_summary(runtime: Runtime, connection: Connection, job_id: int) -> None:
    job = jobs.get(connection, job_id)
    _write_json(files.locate(runtime, job.summary_file_url or ""), _summary(connection, job))


def _summary(connection: Connection, job: Job) -> dict[str, Any]:
    """Return what the job was and did. Nothing in it changes when later jobs fix its rejects (X-14)."""
    mapping = job.mapping["columns"] if job.mapping else None
    result = jobs.result(connection, job.id).to_json()
    return {name: value for name, value in result.items() if not name.startswith("rejects_")} | {
        "action": job.action,
        "launched_at": job.launched_at.isoformat(),
        "launched_by": job.launched_by,
        "dag_run": job.dag_run_id,
        "source": job.source_url,
        "size_bytes": job.size_bytes,
        "sha256": job.sha256,
        "is_dry_run": job.is_dry_run,
        "settings": job.settings,
        "mapping": mapping,
        "corrects_jobs": jobs.parents(connection, job.id),
        "evidence_file": job.evidence_file_url,
        "reviews": [_review_json(row) for row in jobs.reviews(connection, job.id)],
    }


def _review_json(asked: sa.Row[Any]) -> dict[str, Any]:
    """Return a question and its answer (X-06)."""
    return {
        "asked_at": asked.asked_at.isoformat(),
        "reasons": asked.reasons,
        "counts": asked.counts,
        "answer": asked.answer,
        "answered_by": asked.answered_by,
        "answered_at": asked.answered_at.isoformat() if asked.answered_at else None,
        "mapping": asked.mapping,
        "problem": asked.problem,
    }


def _write_json(path: Location, value: dict[str, Any]) -> None:
    with locations.written_whole(path) as sink:
        sink.write(json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")
