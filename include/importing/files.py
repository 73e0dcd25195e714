"""Where a job's files lie, and how they get there: local folders and buckets alike, through universal_pathlib."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from upath import UPath

from include.importing.errors import FileRefused
from include.importing.jobs import Job, State
from include.importing.runtime import Runtime

SIDECAR_SUFFIX = ".settings.yaml"
FOLDER_SETTINGS = "_settings.yaml"
_COPY_BYTES = 4 << 20


@dataclass(frozen=True)
class FileStat:
    """What tells one version of a file from another.

    Args:
        version: size and mtime (ns) on a disk, size and ETag in a bucket.
        modified_at: last write, UTC.
        is_object: a bucket's object, which appears as a whole; a file on a disk may still be growing.
    """

    size_bytes: int
    version: str
    modified_at: datetime
    is_object: bool


def is_local(path: UPath) -> bool:
    """Tell a folder on a disk from a bucket."""
    return path.protocol in ("", "file", "local")


def stat(path: UPath) -> FileStat:
    """Return the version of a file.

    Raises:
        FileNotFoundError: there is none.
    """
    if is_local(path):
        found = os.stat(path.path)
        modified_at = datetime.fromtimestamp(found.st_mtime, UTC)
        return FileStat(found.st_size, f"{found.st_size}-{found.st_mtime_ns}", modified_at, is_object=False)
    info = path.fs.info(path.path)
    modified = info.get("LastModified") or info.get("last_modified") or info.get("mtime")
    modified_at = modified if isinstance(modified, datetime) else datetime.fromtimestamp(0, UTC)
    tag = str(info.get("ETag") or info.get("etag") or modified_at.isoformat()).strip('"')
    return FileStat(int(info["size"]), f"{info['size']}-{tag}", modified_at.astimezone(UTC), is_object=True)


def from_url(runtime: Runtime, url: str) -> UPath:
    """Return the path of a URL, with the credentials of the runtime's folder on the same storage.

    Args:
        url: a local path, `file://…`, or `s3://…` as `str(path)` gave it.
    """
    scheme = urlsplit(url).scheme
    for folder in (runtime.landing, runtime.work, runtime.reports, runtime.archive):
        if scheme and folder.protocol == scheme:
            return _path(url, folder.storage_options)
    return _path(url, {})


def _path(url: str, storage_options: Mapping[str, Any]) -> UPath:
    path: UPath = UPath(url, **storage_options)
    return path


def work_folder(runtime: Runtime, job_id: int) -> UPath:
    """Return the job's own folder in the work area."""
    return runtime.work / str(job_id)


def text_path(runtime: Runtime, job_id: int) -> UPath:
    """Return where the UTF-8 copy of a file in another encoding lies."""
    return work_folder(runtime, job_id) / "text.utf8"


def archive_folder(runtime: Runtime, job: Job) -> UPath:
    """Return where the file ends: the archive, or the quarantine when it was refused."""
    place = "quarantine" if job.state is State.REFUSED else "imported"
    return runtime.archive / place / job.import_type / str(job.id)


def report_folder(runtime: Runtime, job: Job) -> UPath:
    """Return the folder of the job's reports."""
    return runtime.reports / job.import_type / str(job.id)


def find_source(runtime: Runtime, job: Job) -> UPath | None:
    """Return where the sender's bytes are now: in work while the job runs, in the archive afterwards.

    None when neither has them any more: deleted after `retention_days`.
    """
    for url in (job.work_url, job.archive_url):
        if url is not None and (path := from_url(runtime, url)).exists():
            return path
    return None


def source_path(runtime: Runtime, job: Job) -> UPath:
    """Return where the sender's bytes are now.

    Raises:
        FileRefused: they are no longer kept.
    """
    path = find_source(runtime, job)
    if path is None:
        raise FileRefused("file.gone", f"The file of job {job.id} is no longer kept.")
    return path


@contextmanager
def written_whole(path: UPath) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete; readable by its owner alone (X-20)."""
    if not is_local(path):
        with path.open("wb") as stream:
            yield stream
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    partial = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")  # short: the name may be a long one
    try:
        descriptor = os.open(partial.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial.path, path.path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def copy(source: UPath, target: UPath) -> None:
    """Copy a file as a whole, within a storage or between two."""
    if source.protocol == target.protocol and not is_local(source):
        source.fs.copy(source.path, target.path)
        return
    with source.open("rb") as reader, written_whole(target) as writer:
        while data := reader.read(_COPY_BYTES):
            writer.write(data)


def move(source: UPath, target: UPath) -> None:
    """Move a file; a kill in between leaves the source, the target, or both, never neither."""
    if is_local(source) and is_local(target):
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            os.replace(source.path, target.path)
        except OSError:  # another file system
            pass
        else:
            return
    copy(source, target)
    source.unlink()


def delete_folder(folder: UPath) -> None:
    """Delete a folder and all that is in it, if it is there."""
    if folder.exists():
        folder.fs.rm(folder.path, recursive=True)


@contextmanager
def open_text(runtime: Runtime, job: Job) -> Iterator[BinaryIO]:
    """Open the file's UTF-8 text: the sender's bytes themselves, or the copy made from another encoding."""
    is_recoded = job.inspection is not None and job.inspection["dialect"]["encoding"] != "utf-8"
    path = text_path(runtime, job.id) if is_recoded else source_path(runtime, job)
    with path.open("rb") as stream:
        yield stream
