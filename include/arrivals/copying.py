"""Bringing a file into work: copied or renamed, from wherever it is, and then removed from the landing area.

What is in work counts only once the ledger names it: each step may be killed and repeated. Source: X-12, X-14, X-21.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Connection

from include.arrivals import files, returning
from include.arrivals.listing import still_growing
from include.arrivals.places import Source
from include.arrivals.settings_files import look_beside, read_text, settings_layers
from include.declaration.settings import ImportSettings
from include.errors import ConfigurationError, FileRefused, FileUnsettled, SourceChanged
from include.ledger import jobs
from include.ledger.jobs import Job, State
from include.reading.chunk_plan import check_size
from include.runtime import Runtime
from include.settings.layers import resolve
from include.storage import locations
from include.storage.locations import FileStat, Location, NotARegularFile


def bring(runtime: Runtime, connection: Connection, job: Job, source: Source) -> None:
    """Bring the file into work, from wherever a killed attempt or an earlier end of the job has left it.

    What is in work counts only once the ledger names it, so that nothing is taken for the file that is not (X-12).

    Raises:
        FileRefused: it is gone.
        SourceChanged: it was written on while it was copied.
    """
    target = files.work_folder(runtime, job.id) / job.file_name
    is_changed = job.refusal_rule == files.CHANGED and job.archive_url is None  # it went back: a retry reads it again
    is_there = job.work_url == str(target) and target.exists()
    if not is_there or is_changed:
        version = _copy_source(runtime, job, source, target, any_version=is_changed)
        if version is None:
            ended = None if is_changed else files.find_source(runtime, job)
            if ended is None:
                raise FileRefused("file.missing", f"The file {job.source_url} is gone.")
            locations.move(ended, target)
        else:
            parameters = replace(jobs.get(connection, job.id).parameters, is_removed=False).to_json()
            size_bytes = target.stat().size_bytes
            jobs.update(connection, job.id, source_version=version, size_bytes=size_bytes, parameters=parameters)
    jobs.update(connection, job.id, state=State.RUNNING, work_url=str(target))


def _copy_source(
    runtime: Runtime, job: Job, source: Source, target: Location, *, any_version: bool = False
) -> str | None:
    """Copy the file, taken out of the landing area if it can be by renaming; None when it is not there.

    Returns:
        The version that was copied.
    """
    taken = files.taken_path(runtime, job)
    chosen = _settings_so_far(runtime, job)
    if not taken.exists():
        try:
            content, stat = source.content(), source.stat()
        except FileRefused:
            return None
        version = stat.version
        # A file dropped later under the same name is another arrival.
        if source.is_dropped and version != job.source_version and not any_version:
            return None
        if any_version:
            _check_grown(source, content, stat, chosen.settle_seconds, runtime)
        is_link = source.named.is_local and locations.is_link(source.named)
        if not source.is_dropped or is_link or not _take(runtime, source.named, taken, version):
            if content.is_local or not target.protocol:  # within a store nothing passes through here
                check_size(stat.size_bytes, chosen.max_file_bytes)
            return _copy_unchanged(lambda: source.copy_to(target), content, target, version)
    stat = taken.stat()
    if stat.version != job.source_version and not any_version:
        raise SourceChanged("was written on while it was taken")
    if any_version:
        _check_grown(source, taken, stat, chosen.settle_seconds, runtime)
    if stat.size_bytes > chosen.max_file_bytes:  # refused before it is read: the file itself goes to the quarantine
        locations.rename(taken, target)
        return stat.version
    try:
        return _copy_unchanged(lambda: locations.copy(taken, target), taken, target, stat.version)
    except OSError:  # such as a full disk: outside of work, the file is picked up again when there is room
        with suppress(OSError):  # else it stays beside the job, which says so when it is closed
            returning.put_back(runtime, job, source.named)
        raise


def _settings_so_far(runtime: Runtime, job: Job) -> ImportSettings:
    """Return the settings of a job before its file is read; the defaults when they are wrong, as it will say."""
    try:
        import_type = runtime.import_types.of(job.import_type)
        return resolve(runtime.import_types, import_type, **settings_layers(job), defaults_file=runtime.defaults_file)
    except (FileRefused, ConfigurationError):
        return ImportSettings.from_stored({})


def _check_grown(source: Source, content: Location, stat: FileStat, settle_seconds: float, runtime: Runtime) -> None:
    """Look whether a file that was written on while it was taken has settled by now.

    Raises:
        FileUnsettled: it has not.
    """
    if source.is_dropped and not stat.is_object:
        reason = still_growing(content, locations.age_seconds(content, stat, runtime.clock()), settle_seconds)
        if reason is not None:
            raise FileUnsettled(f"{source.named.name} waits: {reason}")


def _take(runtime: Runtime, named: Location, taken: Location, version: str) -> bool:
    """Rename a file into work; False where another file system or a store is in between.

    Raises:
        FileRefused: it can't be removed from its folder, which is known before it is copied.
        SourceChanged: it is another file, or in another folder, than a moment ago.
    """
    try:
        return locations.take_out(named, runtime.landing, taken, version)
    except (FileNotFoundError, NotADirectoryError, NotARegularFile) as error:
        raise SourceChanged(f"was exchanged while it was taken: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SourceChanged("is in a folder that has become a link") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise FileRefused(
                "file.not_removable", f"{named.name} can't be removed from its folder: {error.strerror}."
            ) from None
        raise


def _copy_unchanged(copy: Callable[[], None], content: Location, target: Location, version: str) -> str:
    try:
        copy()
    except (FileNotFoundError, NotADirectoryError, NotARegularFile):
        raise SourceChanged("was exchanged while it was copied") from None
    if content.stat().version != version:
        target.remove()
        raise SourceChanged("was written on while it was copied")
    return version


def remove_taken(runtime: Runtime, connection: Connection, job: Job, source: Source) -> None:
    """Remove what was copied from the landing area, and its settings: only now does the ledger name the copy.

    Once: what is there at a later attempt has been dropped since, alike as it may look.
    """
    if job.parameters.is_removed:
        return
    if not files.taken_path(runtime, job).exists() and _is_there(source, job.source_version):
        _remove(runtime, job, source.named)
    if job.parameters.sidecar is not None and not source.named.exists():
        for name in look_beside(runtime, source.named).beside.sidecars(source.named.name):
            sidecar = source.named.with_name(name)
            # Another sidecar than the job's announces another file of this name.
            if read_text(sidecar, runtime.landing, runtime.import_types) == job.parameters.sidecar:
                locations.remove_below(sidecar, runtime.landing)
    jobs.update(connection, job.id, parameters=replace(job.parameters, is_removed=True).to_json())


def _is_there(source: Source, version: str) -> bool:
    try:
        return source.stat().version == version
    except FileRefused:  # it is gone: renamed into work
        return False


def _remove(runtime: Runtime, job: Job, named: Location) -> None:
    """Remove a file that was copied from another store or file system.

    Raises:
        FileRefused: there is no right to; no copy is kept, for each later attempt would make another.
    """
    try:
        locations.remove_version(named, runtime.landing, job.source_version)
    except PermissionError as error:
        files.delete_copies(runtime, job)
        message = f"{job.file_name} can't be removed from the landing area: {error.strerror or error}."
        raise FileRefused("file.not_removable", message) from None
