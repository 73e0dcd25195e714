"""Where a job's files are: in work while it runs, in archive or quarantine afterwards, its reports beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from include.errors import FileRefused, SourceChanged
from include.ledger.jobs import Job, State
from include.reading.dialect import Dialect
from include.runtime import Runtime
from include.storage import locations
from include.storage.locations import Location

CHANGED = "file.changed"
"""Rule of a job whose file was written on after it had been taken, so that nothing of it was loaded."""
CHANGED_LATER = "file.changed_after_load"
"""Warning of a job whose file was written on when it had been loaded."""
RETURNED_SUFFIX = "-returned"
"""Of the quarantine's folder for a file that could not be put back; the job's number is before it."""
UPLOADS = "uploads"
"""Folder of the uploads in the work area."""
UPLOAD_RECORD = "upload.json"
"""What is beside an upload's file."""


def check_name(path: Location) -> None:
    """Make sure that a name can be written down, in the ledger and in reports.

    Raises:
        FileRefused: its bytes are no UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = path.name.encode(errors="backslashreplace").decode()
        raise FileRefused("file.name", f"The name of the file {shown} is not UTF-8; rename it.") from None


def locate(runtime: Runtime, url: str) -> Location:
    """Return the location of a path or URL that `str(location)` gave, with the credentials of the same kind of store.

    Raises:
        ValueError: there is no library for this kind of store.
    """
    protocol = url.partition("://")[0] if "://" in url else ""
    of_stores = {"s3": runtime.store_options} | {folder.protocol: folder.options for folder in runtime.areas}
    options = of_stores.get(protocol, {})
    return locations.locate(url, options)


def work_folder(runtime: Runtime, job_id: int) -> Location:
    """Return the job's own folder in the work area."""
    return runtime.work / str(job_id)


def text_path(runtime: Runtime, job_id: int) -> Location:
    """Return where the UTF-8 copy of a file in another encoding is stored."""
    return work_folder(runtime, job_id) / "text.utf8"


def archive_folder(runtime: Runtime, job: Job) -> Location:
    """Return where the file ends: the archive, or the quarantine when it was refused."""
    imported, quarantined = archive_folders(runtime, job)
    return quarantined if job.state is State.REFUSED else imported


def archive_folders(runtime: Runtime, job: Job) -> tuple[Location, Location]:
    """Return where the file of a job may end: in the archive or in the quarantine."""
    imported, quarantined = (
        runtime.archive / place / job.import_type / str(job.id) for place in ("imported", "quarantine")
    )
    return imported, quarantined


def returned_folder(runtime: Runtime, job: Job) -> Location:
    """Return the quarantine's folder for the file itself that a job had taken and that could not be put back."""
    return runtime.archive / "quarantine" / job.import_type / f"{job.id}{RETURNED_SUFFIX}"


def report_folder(runtime: Runtime, job: Job) -> Location:
    """Return the folder of the job's reports."""
    return runtime.reports / job.import_type / str(job.id)


def taken_path(runtime: Runtime, job: Job) -> Location:
    """Return where the file itself is that a job has taken from a landing area on the same disk.

    Its importer reads a copy: a program that still writes into the file writes here. The folder's name is this job's
    alone, also when a restored database counts its jobs from an earlier number on.
    """
    name = hashlib.sha256(f"{job.run_key}\n{job.launched_at.isoformat()}".encode()).hexdigest()[:16]
    return work_folder(runtime, job.id) / f"taken-{name}" / job.file_name


def delete_copies(runtime: Runtime, job: Job) -> None:
    """Delete what a job has read and made of its file, but for the file itself, should it be kept in work."""
    (work_folder(runtime, job.id) / job.file_name).remove()
    text_path(runtime, job.id).remove()


def check_unchanged(runtime: Runtime, job: Job) -> None:
    """Make sure that nobody has written into the file since it was taken: asked before anything is loaded (X-12).

    Raises:
        SourceChanged: a program has.
    """
    taken = taken_path(runtime, job)
    if taken.exists() and taken.stat().version != job.source_version:
        raise SourceChanged("was written on after it had been taken: nothing of it is loaded")


def find_source(runtime: Runtime, job: Job) -> Location | None:
    """Return where the sender's bytes are now: in work while the job runs, in the archive afterwards.

    A killed attempt may have moved the file without recording it, so that every place is looked at where it could be;
    what the ledger doesn't name counts only if its bytes are those that the job has read: another database's job may
    have had the same number. None when it is in none of them: deleted after `retention_days`.
    """
    for url in (job.work_url, job.archive_url):
        if url is not None and (path := locate(runtime, url)).exists():
            return path
    for folder in (work_folder(runtime, job.id), *archive_folders(runtime, job)):
        path = folder / job.file_name
        if path.exists() and _is_of(job, path):
            return path
    return None


def _is_of(job: Job, path: Location) -> bool:
    if job.sha256 is None:  # refused before it was read
        return job.state is State.REFUSED and path.stat().size_bytes == job.size_bytes
    return path.sha256() == job.sha256


def source_path(runtime: Runtime, job: Job) -> Location:
    """Return where the sender's bytes are now.

    Raises:
        FileRefused: they are no longer kept.
    """
    path = find_source(runtime, job)
    if path is None:
        raise FileRefused("file.gone", f"The file of job {job.id} is no longer kept.")
    return path


@contextmanager
def open_text(runtime: Runtime, job: Job) -> Iterator[BinaryIO]:
    """Open parts of the file's UTF-8 text: the sender's bytes themselves, or the copy made from another encoding."""
    is_recoded = job.inspection is not None and Dialect.from_json(job.inspection.dialect).encoding != "utf-8"
    path = text_path(runtime, job.id) if is_recoded else source_path(runtime, job)
    with path.open_parts() as stream:
        yield stream
