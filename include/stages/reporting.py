"""What an import leaves behind: the rejected-rows file, the summary, the evidence; then archive or quarantine.

Source: X-08, X-09, X-10, X-20.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import sqlalchemy as sa
import yaml
from psycopg2.sql import SQL, Composed, Literal
from sqlalchemy import Connection

from include.arrivals import files, returning
from include.declaration.import_type import ImportType
from include.errors import FileRefused, Reason
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import DROPPED_VALUE, NOT_FOUND, REJECT, UNKNOWN_TYPE, Job, JobResult, State
from include.reading import rejected_rows
from include.rules.wildcards import expand_entries
from include.runtime import Runtime
from include.settings.layers import chosen_settings
from include.stages.inspection import dialect_of, ensure_text
from include.storage import locations
from include.storage.file_names import LONGEST_NAME_BYTES, SIDECAR_SUFFIX
from include.storage.locations import Location, StorageError
from include.storage.spooling import temporary_file

_WINDOW_BYTES = 8 << 20
_SPOOL_BYTES = 2 << 20
"""Of ledger rows at once: some 20,000 rejects. With 8 MiB, and read ahead by threads, reports took 250 MiB more."""
_SUMMARY, _EVIDENCE = "summary.json", "validation.json"
WITHOUT_VALUES = (_SUMMARY, _EVIDENCE)
WITH_VALUES = ("rejected_file_url", "not_found_file_url", "dropped_values_file_url")
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
            reason = runtime.import_types.of(job.import_type).extras.not_found.reason
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
        for earlier in {getattr(job, column) for column in WITH_VALUES} - {None, *vars(reports).values()}:
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
            returned = returning.return_taken(runtime, job)
            rule, message = "job.failed", failure
            if returned is not None and returned.is_changed:
                rule, message = files.CHANGED, f"{returned.message} Nothing of it was loaded."
            elif returned is not None:
                message = f"{failure} {returned.message}"
            kept = {}
            if returned is not None:
                files.delete_copies(runtime, job)  # cut off, as they may be: no later import reads them
                kept = returned.columns()
            jobs.update(
                connection, job_id, state=State.FAILED, refusal_rule=rule, refusal_message=message,
                finished_at=runtime.clock(), **kept,
            )  # fmt: skip
            if job.summary_file_url is not None:  # written while the job was still running
                _write_summary(runtime, connection, job_id)
        elif job.state not in (*unfinished, State.FAILED):
            archive_url, warnings = _put_away(runtime, job)
            if (returned := returning.return_taken(runtime, job)) is not None:
                rule = files.CHANGED_LATER if job.is_loaded or job.state.is_completed else files.CHANGED
                warnings.append(Reason(rule, returned.message))
            finished_at = job.finished_at or runtime.clock()
            jobs.update(
                connection, job_id, archive_url=archive_url, work_url=None, finished_at=finished_at,
                warnings=[*job.warnings, *(warning.to_json() for warning in warnings)],
            )  # fmt: skip
            if warnings and job.summary_file_url is not None:
                _write_summary(runtime, connection, job_id)
            # Before the commit: afterwards nobody would come back to do what a kill has left undone.
            locations.delete_folder(files.work_folder(runtime, job_id))
            locations.delete_unfinished(files.report_folder(runtime, job))
        return jobs.result(connection, job_id)


def _put_away(runtime: Runtime, job: Job) -> tuple[str | None, list[Reason]]:
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
    warnings: list[Reason] = []
    if (job.is_dry_run and job.state.is_completed) or job.state is State.CANCELLED:
        warnings = _write_settings(target, runtime.import_types.of(job.import_type), job)
    return str(target), warnings


def _write_settings(target: Location, import_type: ImportType, job: Job) -> list[Reason]:
    """Put what a job that loaded nothing was given beside its file: a launch names the file alone (X-06, X-19).

    Returns:
        A warning when the file's name leaves no room for that of its settings.
    """
    settings = chosen_settings(import_type, job.settings)
    name = f"{target.name}{SIDECAR_SUFFIX}"
    if settings and len(name.encode()) > LONGEST_NAME_BYTES:
        message = "The file's name is too long to keep its settings beside it: a later launch needs them again."
        return [Reason("file.settings_not_kept", message)]
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
        is_verbatim=job.common_settings.rejects_verbatim,
    )
    composed = SQL(query).format(job=Literal(job.id), reason=Literal(reason))
    with locations.written_whole(target) as sink, files.open_text(runtime, job) as text:
        text.seek(job.inspection.header_offset)
        sink.write(writer.header(text.read(job.inspection.header_bytes)))
        for rows in _windows(_query(connection, composed, _ROW_COLUMNS)):
            sink.write(writer.records(rows["line"], rows["rules"], rows["reasons"], _records(text, rows)))


def _write_dropped_values(connection: Connection, job: Job, target: Location) -> None:
    """Write the values that rows were loaded without (CU-14)."""
    is_verbatim = job.common_settings.rejects_verbatim
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
