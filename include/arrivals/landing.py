"""Taking a file out of the landing area: how a request becomes a job that has the file in hand.

A file that is taken is copied, and the copy is what is read, judged and archived: a program that still writes into the
file can't change it. The file itself is kept beside the copy until the job ends, and goes back to the landing area if
it has changed by then. Source: X-01, X-10, X-12, X-14, X-21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from include.arrivals import files, returning
from include.arrivals.copying import bring, remove_taken
from include.arrivals.places import Source, permitted, shown
from include.arrivals.settings_files import Neighbours, ignored_names, leave_out_ignored, look_beside, settings_texts
from include.errors import FileRefused, FileUnsettled, SourceChanged
from include.ledger import jobs, staging
from include.ledger.job_stage import stage
from include.ledger.jobs import JOB, Claim, Job, State
from include.ledger.records import SettingsSources, SettingsText
from include.runtime import Runtime
from include.storage import locations
from include.storage.file_names import EXTENSIONS, matches, suffix_of
from include.warehouse.transactions import values_hidden


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
            bring(runtime, connection, job, source)
    except SourceChanged as change:
        _give_up(runtime, job.id, change)
        raise FileUnsettled(f"{source.named.name} {change}") from None
    if source.is_dropped:
        with stage(runtime, job.id) as (connection, job):
            remove_taken(runtime, connection, job, source)
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
