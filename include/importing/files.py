"""Where a job's files lie, and how they get there: local folders and buckets alike, through universal_pathlib."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from stat import S_ISDIR
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from upath import UPath

from include.importing.errors import FileRefused
from include.importing.jobs import Job, State
from include.importing.runtime import Runtime

SIDECAR_SUFFIX = ".settings.yaml"
FOLDER_SETTINGS = "_settings.yaml"
_COPY_BYTES = 4 << 20
_READ_AHEAD_BYTES = 8 << 20
_UPLOAD_BYTES = 16 << 20
"""Of a part of an upload: a bucket takes 10,000 of them. s3fs would read ahead, and gather before it sends, 50 MiB."""
_PARTIAL_SUFFIX = ".part"


class StorageError(OSError):
    """A file could not be written. Its number, reason and file name are those of the operating system's error."""

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.filename} could not be written: {self.strerror}."


@dataclass(frozen=True)
class FileStat:
    """What tells one version of a file from another.

    Args:
        version: size and mtime (ns) on a disk; size, ETag and time of writing (s) in a bucket.
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


def check_name(path: UPath) -> None:
    """Make sure that a name can be written down, in the ledger and in reports.

    Raises:
        FileRefused: its bytes are no UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = path.name.encode(errors="backslashreplace").decode()
        raise FileRefused("file.name", f"The name of the file {shown} is not UTF-8; rename it.") from None


def stat(path: UPath) -> FileStat:
    """Return the version of a file.

    Raises:
        FileNotFoundError: there is none.
        IsADirectoryError: it is a folder.
    """
    if is_local(path):
        found = os.stat(path.path)
        if S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path.path)
        modified_at = datetime.fromtimestamp(found.st_mtime, UTC)
        return FileStat(found.st_size, f"{found.st_size}-{found.st_mtime_ns}", modified_at, is_object=False)
    return object_stat(path.fs.info(path.path))


def object_stat(info: Mapping[str, Any]) -> FileStat:
    """Return the version of a bucket's object from what a listing, or a question about it, says of it."""
    modified = info.get("LastModified") or info.get("last_modified") or info.get("mtime")
    modified_at = modified if isinstance(modified, datetime) else datetime.fromtimestamp(0, UTC)
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    # Whole seconds: S3 tells fractions in listings alone.
    version = f"{info['size']}-{tag}-{int(modified_at.timestamp())}"
    return FileStat(int(info["size"]), version, modified_at.astimezone(UTC), is_object=True)


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
    imported, quarantined = archive_folders(runtime, job)
    return quarantined if job.state is State.REFUSED else imported


def archive_folders(runtime: Runtime, job: Job) -> tuple[UPath, UPath]:
    """Return where the file of a job may end: in the archive or in the quarantine."""
    imported, quarantined = (
        runtime.archive / place / job.import_type / str(job.id) for place in ("imported", "quarantine")
    )
    return imported, quarantined


def report_folder(runtime: Runtime, job: Job) -> UPath:
    """Return the folder of the job's reports."""
    return runtime.reports / job.import_type / str(job.id)


def find_source(runtime: Runtime, job: Job) -> UPath | None:
    """Return where the sender's bytes are now: in work while the job runs, in the archive afterwards.

    A killed attempt may have moved the file without telling the ledger: every place where it could be is looked at.
    None when it is in none of them: deleted after `retention_days`.
    """
    told = [from_url(runtime, url) for url in (job.work_url, job.archive_url) if url is not None]
    folders = (work_folder(runtime, job.id), *archive_folders(runtime, job))
    for path in (*told, *(folder / job.file_name for folder in folders)):
        if path.exists():
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
    """Open a file that appears under its name only when it is complete; readable by its owner alone (X-20).

    Raises:
        StorageError: there is no room, or no right to write there.
    """
    try:
        with _renamed_when_whole(path) if is_local(path) else _uploaded_when_whole(path) as stream:
            yield stream
    except StorageError:  # of another file, which it names
        raise
    except OSError as error:
        raise StorageError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def _renamed_when_whole(path: UPath) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    # A short name, as the file's own may be a long one.
    partial = path.with_name(f".{os.getpid()}-{threading.get_ident()}{_PARTIAL_SUFFIX}")
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


@contextmanager
def _uploaded_when_whole(path: UPath) -> Iterator[BinaryIO]:
    # Without `autocommit=False` closing it after an error would keep what is there.
    stream = path.fs.open(path.path, "wb", block_size=_UPLOAD_BYTES, autocommit=False)
    try:
        with stream:
            yield stream
    except BaseException:
        stream.discard()
        raise
    stream.commit()


def copy(source: UPath, target: UPath) -> None:
    """Copy a file as a whole, within a storage or between two."""
    if source.protocol == target.protocol and not is_local(source):
        source.fs.copy(source.path, target.path)
        return
    with open_whole(source) as reader, written_whole(target) as writer:
        while data := reader.read(_COPY_BYTES):
            writer.write(data)


def move(source: UPath, target: UPath) -> None:
    """Move a file; a kill in between leaves the source, the target, or both, never neither."""
    if is_local(source) and is_local(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            os.replace(source.path, target.path)
        except OSError:  # another file system; what else may be wrong, the copy will tell
            pass
        else:
            return
    copy(source, target)
    source.unlink()


def delete_folder(folder: UPath) -> None:
    """Delete a folder and all that is in it, if it is there."""
    if not is_local(folder):
        _abort_uploads(folder)
    if folder.exists():
        folder.fs.rm(folder.path, recursive=True)


def delete_unfinished(folder: UPath) -> None:
    """Delete what killed attempts at writing have left in a folder of a job: it holds full values (X-20)."""
    if not is_local(folder):
        _abort_uploads(folder)
        return
    for path in folder.glob(f".*{_PARTIAL_SUFFIX}"):
        path.unlink(missing_ok=True)


def _abort_uploads(folder: UPath) -> None:
    """Let the bucket forget the parts of uploads that were not completed: nobody sees them, and they stay for ever."""
    bucket, prefix, _ = folder.fs.split_path(f"{folder.path.rstrip('/')}/")
    found = folder.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
    for upload in found.get("Uploads", ()):
        folder.fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def open_whole(path: UPath) -> BinaryIO:
    """Open a file that is read from its beginning to its end: a bucket is asked for a few mebibytes ahead."""
    return _open(path, block_size=_READ_AHEAD_BYTES, cache_type="readahead")


def open_parts(path: UPath) -> BinaryIO:
    """Open a file of which parts are read: a bucket is asked for just the bytes of each `read`, which must be large."""
    return _open(path, cache_type="none")


def _open(path: UPath, **options: Any) -> BinaryIO:
    stream: BinaryIO = path.open("rb") if is_local(path) else path.fs.open(path.path, "rb", **options)
    return stream


@contextmanager
def open_text(runtime: Runtime, job: Job) -> Iterator[BinaryIO]:
    """Open parts of the file's UTF-8 text: the sender's bytes themselves, or the copy made from another encoding."""
    is_recoded = job.inspection is not None and job.inspection["dialect"]["encoding"] != "utf-8"
    path = text_path(runtime, job.id) if is_recoded else source_path(runtime, job)
    with open_parts(path) as stream:
        yield stream
