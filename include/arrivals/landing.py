"""Taking a file out of the landing area: how a request becomes a job that has the file in hand.

A file that is taken is copied, and the copy is what is read, judged and archived: a program that still writes into the
file can't change it. The file itself is kept beside the copy until the job ends, and goes back to the landing area if
it has changed by then. Source: X-01, X-10, X-12, X-14, X-21.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from include.arrivals import files, returning
from include.arrivals.listing import IGNORED, Arrival, Unusable, list_landing, still_growing
from include.arrivals.places import Source, permitted, shown
from include.arrivals.settings_files import (
    Neighbours,
    ignored_names,
    leave_out_ignored,
    look_beside,
    read_layers,
    read_text,
    settings_texts,
)
from include.declaration.settings import ImportSettings
from include.errors import ConfigurationError, FileRefused, FileUnsettled, SourceChanged
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import JOB, UNKNOWN_TYPE, Claim, Job, State
from include.ledger.records import SettingsSources, SettingsText
from include.reading.chunk_plan import check_size
from include.runtime import Runtime
from include.settings.layers import resolve
from include.storage import locations
from include.storage.file_names import EXTENSIONS, matches, suffix_of
from include.storage.locations import FileStat, Location, NotARegularFile
from include.warehouse.transactions import values_hidden

__all__ = ["UNKNOWN_TYPE", "FileUnsettled", "list_landing"]

UNUSABLE_LAUNCHER = "pick_up_files"
_UNUSABLE_KEY = f"{UNUSABLE_LAUNCHER}/unusable|"
"""What the run keys of such entries begin with."""
_WAITED_FOR = "|waited for"
"""Ends the key of an entry that files wait for."""
_MOST_RECORDED = 1000
"""Entries at once: the others come with the next tick."""


@dataclass(frozen=True)
class Request:
    """One import of one file, as a DAG run or a command asks for it.

    Args:
        run_key: names the request: the same key is the same job, however often it is asked (X-14).
        parameters: settings of this run alone (X-11).
        sidecar: settings given as a file of the command line; None looks beside the source.
        listed_version: of the file when a listing had it ready: another one goes back to waiting (X-12).
        roots: folders besides the type's own whose files may be imported (X-21); None is for the command line, whose
            user reads files with the rights of an account.
    """

    import_type: str
    source_url: str
    run_key: str
    launched_by: str = "file drop"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dag_id: str | None = None
    dag_run_id: str | None = None
    sidecar: str | None = None
    listed_version: str | None = None
    roots: Sequence[str] | None = ()


@dataclass(frozen=True)
class Taken:
    """The job that has the file in hand, and its state."""

    job_id: int
    state: State


class Taking(StrEnum):
    """What a request does with the job that it has."""

    LEAVE = "leave"
    GO_ON = "go on"
    REOPEN = "reopen"


@dataclass(frozen=True)
class TakingFacts:
    """What bears on it.

    Args:
        is_asked_otherwise: the request's own settings are other ones than the job was given.
        has_new_settings: so are the settings files that are there now; looked at while the job awaits review.
    """

    state: State
    is_loaded: bool
    is_asked_otherwise: bool
    has_new_settings: bool = False


def choose_taking(facts: TakingFacts) -> Taking:
    """Decide whether a job stays as it is, goes on, or is opened again (X-14)."""
    if facts.is_loaded:
        return Taking.LEAVE
    if facts.state.is_completed and not facts.is_asked_otherwise:
        return Taking.LEAVE  # a dry run too: its rejects may have been fixed since
    if facts.state is State.AWAITING_REVIEW and not facts.has_new_settings:
        return Taking.LEAVE  # its question is still open
    is_going_on = facts.state in (State.AWAITING_EXECUTION, State.RUNNING) and not facts.is_asked_otherwise
    return Taking.GO_ON if is_going_on else Taking.REOPEN


def take_file(runtime: Runtime, request: Request) -> Taken:
    """Open the job of a request and bring its file into the job's work folder.

    A file in the landing area is moved, one from elsewhere copied. Asking again with the same key continues the job;
    one that has ended without loading, or is now asked for with other parameters, is opened again, with the settings
    that hold now; so is one that awaits review, if its settings files have changed.

    Raises:
        FileTaken: another job has this file in hand.
        FileRefused: the request may not name this file, there is no such file, or its name can't be stored.
        FileUnsettled: the file has changed since it was listed, or is still being written: it waits again.
    """
    source = _source_of(runtime, request)
    with values_hidden(), runtime.engine.begin() as connection:
        job = jobs.find(connection, request.run_key) or _open(runtime, connection, request, source)
    try:
        with stage(runtime, job.id) as (connection, job):
            taking = choose_taking(_taking_facts(runtime, job, request, source))
            if taking is Taking.LEAVE:
                return Taken(job.id, job.state)
            if taking is Taking.REOPEN:
                _reopen(runtime, connection, job, request, source)
            _bring(runtime, connection, job, source)
    except SourceChanged as change:
        _give_up(runtime, job.id, change)
        raise FileUnsettled(f"{source.named.name} {change}") from None
    if source.is_dropped:
        with stage(runtime, job.id) as (connection, job):
            _remove_taken(runtime, connection, job, source)
    return Taken(job.id, State.RUNNING)


def _source_of(runtime: Runtime, request: Request) -> Source:
    """Return the file that a request names.

    A command line's user may import any file (X-21): what the listing of the landing area ignores is copied then.
    """
    source = permitted(runtime, request.import_type, request.source_url, request.roots)
    if request.roots is not None or not source.is_dropped:
        return source
    texts = settings_texts(runtime, source.named, request.import_type)
    is_ignored = matches(source.named.name, ignored_names(runtime, request.import_type, texts))
    return Source(source.named, None) if is_ignored else source


def refuse_arrival(runtime: Runtime, arrival: Arrival, *, run_key: str, launched_by: str = "file drop") -> int:
    """Take a file that no import type wants, and refuse it: it must not stay there unnoticed (X-01).

    Returns:
        The job; `write_report` and `close_job` end it like any other.
    """
    names = ", ".join(runtime.import_types)
    request = Request(UNKNOWN_TYPE, arrival.url, run_key, launched_by)
    job_id = take_file(runtime, request).job_id
    place = "at the top of the landing area" if arrival.folder == "." else f'in "{arrival.folder}"'
    with values_hidden(), runtime.engine.begin() as connection:
        jobs.refuse(
            connection,
            job_id,
            FileRefused(
                "file.unknown_type",
                f"This file was {place}, which is not the folder of any import type. Put it into one of: {names}.",
            ),
        )
    return job_id


def record_unusable(runtime: Runtime, entries: Sequence[Unusable]) -> list[Unusable]:
    """Write entries of the landing area that can't be imported into the history, each once (X-01, X-12).

    One that a file comes to wait for later is written once more, with that file's name (X-11).
    They stay where they are: nothing is opened, moved or removed. Those that are ignored on purpose are no fault of
    any user's: they are cancelled, not refused.

    Returns:
        The entries that are new there, of very many the first thousand.
    """
    now = runtime.clock()
    keys = {_run_key(entry): entry for entry in entries}
    if not keys:
        return []
    sought = {*keys, *(f"{key}{_WAITED_FOR}" for key in keys)}
    with values_hidden(), runtime.engine.begin() as connection:
        there = sa.select(JOB.c.run_key).where(JOB.c.run_key == sa.any_(sa.cast(list(sought), sa.ARRAY(sa.Text))))
        recorded = set(connection.execute(there).scalars())
        fresh = [key for key in keys if not recorded & {key, f"{key}{_WAITED_FOR}"}][:_MOST_RECORDED]
        if fresh:
            rows = [_refused_row(key, keys[key], now) for key in fresh]
            connection.execute(insert(JOB).on_conflict_do_nothing(), rows)
    return [keys[key] for key in fresh]


def is_left_in_place(job: Job) -> bool:
    """Say whether a job is for an entry of the landing area that was never taken."""
    return job.run_key.startswith(_UNUSABLE_KEY)


def _run_key(entry: Unusable) -> str:
    key = f"{_UNUSABLE_KEY}{entry.rule}|{entry.version}|{entry.url}"
    return f"{key}{_WAITED_FOR}" if entry.is_waited_for else key


def _refused_row(run_key: str, entry: Unusable, now: datetime) -> dict[str, Any]:
    return {
        "run_key": run_key, "import_type": entry.import_type or UNKNOWN_TYPE,
        "state": State.CANCELLED if entry.rule == IGNORED else State.REFUSED,
        "launched_at": now, "launched_by": UNUSABLE_LAUNCHER, "source_url": entry.url,
        "source_version": entry.version, "file_name": entry.file_name, "arrived_at": now, "parameters": {},
        "is_dry_run": False, "refusal_rule": entry.rule, "refusal_message": f"{entry.file_name} {entry.reason}.",
        "finished_at": now,
    }  # fmt: skip


def settings_layers(job: Job) -> dict[str, Any]:
    """Return the settings given for a job, layer by layer, as `include.settings.layers.resolve` takes them (X-11).

    Raises:
        SettingsError: a settings file can't be read.
    """
    return {"parameters": job.parameters.run} | read_layers(job.parameters.texts, job.file_name)


def _open(runtime: Runtime, connection: Connection, request: Request, source: Source) -> Job:
    files.check_name(source.named)
    try:
        stat = source.stat()
        if source.is_dropped and not locations.can_remove(source.named):
            raise FileRefused(
                "file.not_removable",
                f"{source.named.name} can't be removed from its folder, and would be imported again and again.",
            )
    except FileRefused as refusal:
        if (job := jobs.find(connection, request.run_key)) is not None:
            return job  # another worker with this very request has just opened it, and taken the file
        held = _holder(connection, source.url)
        if held is not None:
            raise jobs.FileTaken(f"{source.named.name} has been taken by job {held}") from None
        raise refusal
    if request.listed_version is not None and source.is_dropped:
        _check_settled(source, request.listed_version, stat.version)
    neighbours, now = look_beside(runtime, source.named), runtime.clock()
    sources = _settings_sources(runtime, request, source, neighbours)
    if source.is_dropped:
        _check_not_ignored(runtime, request, source, sources.texts)
    if request.import_type in runtime.import_types and suffix_of(source.named.name) in EXTENSIONS:
        leave_out_ignored(runtime, request.import_type, neighbours, sources.texts)
        _check_settings_names(source, neighbours)
    return jobs.claim(
        connection,
        Claim(
            request.run_key, request.import_type, source.url, stat.version, source.named.name, stat.arrived_at(now),
            request.launched_by, sources, request.dag_id, request.dag_run_id, stat.size_bytes,
        ),
        now=now,
    )  # fmt: skip


def _check_not_ignored(runtime: Runtime, request: Request, source: Source, texts: Mapping[str, SettingsText]) -> None:
    """Refuse a file of the landing area that its folder's settings keep out of every listing (X-12, X-21).

    Raises:
        FileUnsettled: it was listed before the settings said so.
        FileRefused: `file.place`: a request names it.
    """
    if matches(source.named.name, ignored_names(runtime, request.import_type, texts)):
        if request.listed_version is not None:
            raise FileUnsettled(f"{source.named.name} is ignored since it was listed: it stays where it is")
        raise FileRefused(
            "file.place",
            f"{shown(str(source.named))} is ignored, as the setting `ignore` of its folder says, and stays where it "
            "is: rename it, or change the setting.",
        )


def _check_settings_names(source: Source, neighbours: Neighbours) -> None:
    """Look whether a name beside a file only resembles its settings: never may it load without them (X-11).

    Raises:
        FileUnsettled, FileRefused: there is one; a dropped file waits until it is gone.
    """
    obstacle = neighbours.obstacle(source.named.name)
    if obstacle is None:
        return
    if source.is_dropped:
        raise FileUnsettled(f"{source.named.name} waits: {obstacle}")
    raise FileRefused("file.settings", f"Beside {source.named.name}, {obstacle}.")


def _check_settled(source: Source, listed: str, now: str) -> None:
    """Look again, for between the listing and this moment may be hours.

    Raises:
        FileUnsettled: it is another version, or a program is writing.
    """
    if now != listed:
        raise FileUnsettled(f"{source.named.name} has changed since it was listed: it waits until it has settled")
    if source.named.is_local and locations.has_writer(source.content().path):
        raise FileUnsettled(f"{source.named.name} is open for writing in another program: it waits")


def _settings_sources(
    runtime: Runtime, request: Request, source: Source, neighbours: Neighbours | None = None
) -> SettingsSources:
    texts = settings_texts(runtime, source.named, request.import_type, root=source.root, neighbours=neighbours)
    return SettingsSources(
        dict(request.parameters), texts if request.sidecar is None else texts | {"sidecar": request.sidecar}
    )


def _holder(connection: Connection, source_url: str) -> int | None:
    holder = sa.select(JOB.c.id).where(JOB.c.source_url == source_url, JOB.c.finished_at.is_(None))
    return connection.execute(holder.order_by(JOB.c.id.desc()).limit(1)).scalar_one_or_none()


def _taking_facts(runtime: Runtime, job: Job, request: Request, source: Source) -> TakingFacts:
    return TakingFacts(
        job.state,
        job.is_loaded,
        is_asked_otherwise=job.parameters.differs(
            SettingsSources(dict(request.parameters), {"sidecar": request.sidecar})
        ),
        has_new_settings=job.state is State.AWAITING_REVIEW
        and job.parameters.differs(_settings_sources(runtime, request, source)),
    )


def _reopen(runtime: Runtime, connection: Connection, job: Job, request: Request, source: Source) -> None:
    """Start a job again that has loaded nothing: refused, failed, cancelled, a duplicate, a dry run, or unfinished."""
    sources = job.parameters.updated(_settings_sources(runtime, request, source))
    staging.drop_tables(connection, job.id)
    jobs.forget_rows(connection, job.id)
    jobs.update(
        connection, job.id, state=State.RUNNING, finished_at=None, inspection=None, mapping=None, duplicate_of=None,
        refusal_rule=None, refusal_message=None, warnings=[], parameters=sources.to_json(),
        rows_read=None, rows_inserted=None, rows_updated=None, rows_unchanged=None, rows_not_found=None,
        rows_rejected=None,
    )  # fmt: skip


def _bring(runtime: Runtime, connection: Connection, job: Job, source: Source) -> None:
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


def _give_up(runtime: Runtime, job_id: int, change: SourceChanged) -> None:
    """End a job whose file changed while it was taken: the file goes back to waiting."""
    with stage(runtime, job_id) as (connection, job):
        returned = returning.return_taken(runtime, job)
        message = "it waits until it has settled." if returned is None else returned.message
        kept = {"archive_url": None} | ({} if returned is None else returned.columns())
        jobs.update(
            connection, job_id, state=State.FAILED, refusal_rule=files.CHANGED, finished_at=runtime.clock(),
            refusal_message=f"{job.file_name} {change}; {message}", **kept,
        )  # fmt: skip


def _remove_taken(runtime: Runtime, connection: Connection, job: Job, source: Source) -> None:
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
