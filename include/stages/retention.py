"""Deleting what is past `retention_days`: source copies, files of rows and values, staging, sentences. Source: X-20."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from include.arrivals import files
from include.arrivals.settings_files import settings_layers
from include.declaration.settings import ImportSettings
from include.errors import ConfigurationError, FileRefused, NotAllDeleted, SettingsError
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import DROPPED_VALUE, JOB, REJECT, UNKNOWN_TYPE
from include.runtime import Runtime
from include.settings.layers import resolve
from include.stages.reporting import WITH_VALUES, WITHOUT_VALUES
from include.storage import locations
from include.storage.locations import Location
from include.storage.one_by_one import Failures
from include.warehouse.transactions import values_hidden

_OF_A_JOB = re.compile(f"([0-9]+)({files.RETURNED_SUFFIX})?")
"""Names of folders."""


def delete_expired(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Delete source copies, files of rows and values, staging and sentences of rejects past `retention_days` (X-20).

    The ledger keeps the jobs and their counts. Folders of which it knows nothing, such as those of a job that was never
    committed or of a database that was restored since, go by the time of their newest file.

    Returns:
        How many jobs lost their files, by import type; folders of no job count for `unknown`.

    Raises:
        NotAllDeleted: something could not be; everything else was.
    """
    retention_days = JOB.c.settings["retention_days"].as_integer().label("retention_days")
    with values_hidden(), runtime.engine.begin() as connection:
        rows = connection.execute(
            sa.select(JOB.c.id, retention_days, JOB.c.finished_at, JOB.c.import_type).where(
                JOB.c.finished_at.is_not(None),  # the file of an open job is needed, however long it takes
                sa.or_(
                    JOB.c.archive_url.is_not(None),
                    JOB.c.work_url.is_not(None),
                    *(JOB.c[column].is_not(None) for column in WITH_VALUES),
                ),
            )
        ).all()
    deleted: dict[str, int] = {}
    failures = Failures()
    for row in rows:
        with failures.guard(f"the files of job {row.id}"):
            days = row.retention_days or _retention_so_far(runtime, row.id)
            if row.finished_at + timedelta(days=days) <= now and _delete_files_of(runtime, row.id):
                deleted[row.import_type] = deleted.get(row.import_type, 0) + 1
    if strays := _delete_strays(runtime, now, failures):
        deleted[UNKNOWN_TYPE] = deleted.get(UNKNOWN_TYPE, 0) + strays
    if failures:
        raise NotAllDeleted(failures)
    return deleted


def _delete_files_of(runtime: Runtime, job_id: int) -> bool:
    """Delete the files and values of a job; return False when it has been opened again meanwhile."""
    with stage(runtime, job_id) as (connection, job):
        if job.finished_at is None:
            return False
        archived = (*files.archive_folders(runtime, job), files.returned_folder(runtime, job))
        for folder in (files.work_folder(runtime, job.id), *archived):
            locations.delete_folder(folder)
        locations.delete_unfinished(files.report_folder(runtime, job))
        for url in filter(None, (getattr(job, column) for column in WITH_VALUES)):
            files.locate(runtime, url).remove()
        staging.drop_tables(connection, job.id)
        connection.execute(sa.update(REJECT).where(REJECT.c.job_id == job.id).values(reasons="(deleted)"))
        jobs.forget_sentences(connection, job.id)
        connection.execute(sa.delete(DROPPED_VALUE).where(DROPPED_VALUE.c.job_id == job.id))
        jobs.update(connection, job.id, archive_url=None, work_url=None, **dict.fromkeys(WITH_VALUES))
    return True


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
            *(JOB.c[column].is_not(None) for column in ("work_url", "archive_url", *WITH_VALUES)),
            JOB.c.finished_at.is_(None),
            JOB.c.finished_at >= before,
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
    strays = [path for path, _ in held if path.name not in WITHOUT_VALUES]
    for path in strays:
        path.remove()
    return bool(strays)


def _retention_so_far(runtime: Runtime, job_id: int) -> int:
    """Return the days of a job that ended before its settings were decided."""
    with values_hidden(), runtime.engine.connect() as connection:
        job = jobs.get(connection, job_id)
    try:
        return _default_retention(runtime, job.import_type, **settings_layers(job))
    except SettingsError:
        return _default_retention(runtime, job.import_type)


def _default_retention(runtime: Runtime, import_type: str, **layers: Any) -> int:
    try:
        types = runtime.import_types
        return resolve(types, types.of(import_type), **layers, defaults_file=runtime.defaults_file).retention_days
    except (FileRefused, ConfigurationError):
        return ImportSettings.from_stored({}).retention_days
