"""The landing area: which files have arrived whole, which wait, how a job takes one. Source: X-01, X-12, GC-05."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa
from croniter import croniter  # comes with Airflow, and decides there as well when a cron expression is due
from sqlalchemy import Connection
from upath import UPath

from include import import_types
from include.importing import files, jobs, settings, staging
from include.importing.errors import FileRefused, SettingsError
from include.importing.files import FOLDER_SETTINGS, SIDECAR_SUFFIX, FileStat
from include.importing.jobs import JOB, Claim, Job, State
from include.importing.runtime import Runtime
from include.importing.settings import ImportSettings
from include.importing.stages import stage, values_hidden

UNKNOWN_TYPE = "unknown"
EXTENSIONS = (".csv", ".txt")
"""In any letter case (X-01)."""
UNFINISHED_SUFFIXES = (".part", ".tmp", ".filepart", ".crdownload")
_NO_SUCH_FILE = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
UNENDED_SETTLE_SECONDS = 60
"""How long a file without a line end at its end must be unchanged: it may have been cut off."""


@dataclass(frozen=True)
class Arrival:
    """A file in the landing area.

    Args:
        import_type: by its folder, or the folder above it (PC-02); None when no type has that folder (X-01).
        folder: relative to the landing area.
        version: tells this arrival from others of the same name.
        arrived_at: its last write, UTC.
    """

    import_type: str | None
    url: str
    folder: str
    file_name: str
    size_bytes: int
    version: str
    arrived_at: datetime
    is_object: bool


@dataclass(frozen=True)
class Waiting:
    """A file that is not picked up yet, and why."""

    arrival: Arrival
    reason: str


@dataclass(frozen=True)
class Listing:
    """The landing area at one moment; both lists in the order of arrival (mtime, then name; X-14)."""

    ready: list[Arrival] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


@dataclass(frozen=True)
class Request:
    """One import of one file, as a DAG run or a command asks for it.

    Args:
        run_key: names the request: the same key is the same job, however often it is asked (X-14).
        parameters: settings of this run alone (X-11).
        sidecar: settings given as a file of the command line; None looks beside the source.
    """

    import_type: str
    source_url: str
    run_key: str
    launched_by: str = "file drop"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dag_id: str | None = None
    dag_run_id: str | None = None
    sidecar: str | None = None


@dataclass(frozen=True)
class Taken:
    """The job that has the file in hand, and its state."""

    job_id: int
    state: State


def is_ignored(name: str) -> bool:
    """Tell names that are no files of rows: settings, hidden ones, and those still being written (X-12)."""
    lowered = name.lower()
    return (
        name.startswith(".")
        or lowered.endswith(UNFINISHED_SUFFIXES)
        or lowered.endswith(SIDECAR_SUFFIX)
        or lowered == FOLDER_SETTINGS
    )


def arrivals(runtime: Runtime) -> list[Arrival]:
    """Return every file in the landing area that isn't ignored, in the order of arrival."""
    found = []
    for path, stat in _walk(runtime.landing):
        relative = _relative(runtime, path)
        if any(part.startswith(".") for part in relative.parts) or is_ignored(relative.name):
            continue
        found.append(
            Arrival(
                _place(relative)[0],
                str(path),
                str(relative.parent),
                relative.name,
                stat.size_bytes,
                stat.version,
                stat.modified_at,
                stat.is_object,
            )
        )
    return sorted(found, key=lambda arrival: (arrival.arrived_at, arrival.file_name))


def list_landing(runtime: Runtime, now: datetime) -> Listing:
    """Sort what lies in the landing area into what can start now and what must wait (X-12, GC-05)."""
    listing = Listing()
    considered = [_considered(runtime, arrival) for arrival in arrivals(runtime)]
    for each in considered:
        reason = _unsettled(runtime, each, now)
        if reason is None and each.settings.release is not None and each.starts_at > now:
            reason = f"released at {each.starts_at:%Y-%m-%d %H:%M} UTC"
        if reason is None:
            reason = _held_back(runtime, each, considered, now) or _overtaking(each.arrival, listing.waiting)
        if reason is None:
            listing.ready.append(each.arrival)
        else:
            listing.waiting.append(Waiting(each.arrival, reason))
    return listing


def _overtaking(arrival: Arrival, waiting: Sequence[Waiting]) -> str | None:
    """Say which file of a type that edits arrived before this one and still waits (X-14)."""
    if arrival.import_type is None or not import_types.get(arrival.import_type).edits:
        return None
    earlier = [each.arrival.file_name for each in waiting if each.arrival.import_type == arrival.import_type]
    return f"after {earlier[0]}, which arrived before it" if earlier else None


def take_file(runtime: Runtime, request: Request) -> Taken:
    """Open the job of a request and bring its file into the job's work folder.

    A file in the landing area is moved, one from elsewhere copied. Asking again with the same key continues the job;
    one that has ended without loading, or is now asked for with other parameters, is opened anew, with the settings
    that hold now; so is one that awaits review, if its settings files have changed.

    Raises:
        FileTaken: another job has this file in hand.
        FileRefused: there is no such file, or its name can't be written down.
    """
    source = files.from_url(runtime, request.source_url)
    with values_hidden(), runtime.engine.begin() as connection:
        job = jobs.find(connection, request.run_key) or _open(runtime, connection, request, source)
    with stage(runtime, job.id) as (connection, job):
        if job.is_loaded or (job.state.is_completed and not _asks_otherwise(job, request)):
            return Taken(job.id, job.state)  # a dry run too: its rejects may have been fixed since
        if job.state is State.AWAITING_REVIEW and not _is_given_otherwise(runtime, job, request, source):
            return Taken(job.id, job.state)  # its question stands
        if job.state not in (State.AWAITING_EXECUTION, State.RUNNING) or _asks_otherwise(job, request):
            _reopen(runtime, connection, job, request, source)
        target = files.work_folder(runtime, job.id) / job.file_name
        _bring(runtime, job, source, target)
        jobs.update(connection, job.id, state=State.RUNNING, work_url=str(target))
    return Taken(job.id, State.RUNNING)


def refuse_arrival(runtime: Runtime, arrival: Arrival, *, run_key: str, launched_by: str = "file drop") -> int:
    """Take a file that no import type wants, and refuse it: it must not lie there unnoticed (X-01).

    Returns:
        The job; `write_report` and `close_job` end it like any other.
    """
    known = ", ".join(import_types.IMPORT_TYPES)
    request = Request(UNKNOWN_TYPE, arrival.url, run_key, launched_by)
    job_id = take_file(runtime, request).job_id
    place = "at the top of the landing area" if arrival.folder == "." else f"in the folder {arrival.folder}"
    with values_hidden(), runtime.engine.begin() as connection:
        jobs.refuse(
            connection,
            job_id,
            FileRefused("file.unknown_type", f"The file lies {place}, which belongs to no import type ({known})."),
        )
    return job_id


def settings_layers(job: Job) -> dict[str, Any]:
    """Return the settings given for a job, layer by layer, as `settings.resolve` takes them (X-11).

    Raises:
        SettingsError: a settings file can't be read.
    """
    return {"parameters": job.parameters.get("run")} | read_layers(job.parameters, job.file_name)


def read_layers(texts: Mapping[str, str | None], file_name: str) -> dict[str, Any]:
    """Read what `given_texts` gave, for `settings.resolve`.

    Raises:
        SettingsError: one can't be read.
    """
    names = {
        "landing_folder": f"{FOLDER_SETTINGS} of the landing folder",
        "type_folder": f"{FOLDER_SETTINGS} of the folder above",
        "folder": FOLDER_SETTINGS,
        "sidecar": f"{file_name}{SIDECAR_SUFFIX}",
    }
    layers: dict[str, Any] = {
        layer: None if (text := texts.get(layer)) is None else settings.read_settings(text, name)
        for layer, name in names.items()
    }
    return layers | {"folder_name": texts.get("folder_name")}


def _walk(landing: UPath) -> Iterator[tuple[UPath, FileStat]]:
    if not files.is_local(landing):
        for name, info in landing.fs.find(landing.path, detail=True).items():
            if not name.endswith("/"):  # an empty object by which some tools show a folder
                yield UPath(f"{landing.protocol}://{name}", **landing.storage_options), files.object_stat(info)
        return
    for folder, _, names in os.walk(landing.path):
        for name in names:
            path = UPath(os.path.join(folder, name))
            try:
                yield path, files.stat(path)
            except FileNotFoundError:  # taken between the listing and the look
                continue


@dataclass(frozen=True)
class _Considered:
    """An arrival with the settings that bear on its pick-up.

    Args:
        settings: the defaults when its own are wrong, as its job will say.
        is_wanted: folder and name don't refuse it already; if they do, it waits for nothing but its last byte.
    """

    arrival: Arrival
    settings: ImportSettings
    is_wanted: bool

    @property
    def starts_at(self) -> datetime:
        """When the file may start: at the first release after its arrival, else at once."""
        if self.settings.release is None:
            return self.arrival.arrived_at
        moment: datetime = croniter(self.settings.release, self.arrival.arrived_at).get_next(datetime)
        return moment.astimezone(UTC)


def _considered(runtime: Runtime, arrival: Arrival) -> _Considered:
    if arrival.import_type is None or PurePosixPath(arrival.file_name).suffix.lower() not in EXTENSIONS:
        return _Considered(arrival, ImportSettings.model_validate({}), is_wanted=False)
    texts = given_texts(runtime, files.from_url(runtime, arrival.url))
    try:
        given = read_layers(texts, arrival.file_name)
        chosen = settings.resolve(arrival.import_type, **given, defaults_file=runtime.defaults_file)
    except SettingsError:
        chosen = ImportSettings.model_validate({})
    return _Considered(arrival, chosen, is_wanted=True)


def given_texts(runtime: Runtime, source: UPath, import_type: str | None = None) -> dict[str, str | None]:
    """Return what a file's place says of its import, None where it says nothing.

    `folder` and `sidecar` are the texts of the settings files beside it. A file in a folder below its type's own has
    that folder's name as `folder_name`, and the settings file above it as `type_folder` (PC-02). What the type's
    landing folder locks holds for files from elsewhere as well: they have its settings file as `landing_folder` (X-21).
    """
    places = {"folder": source.parent / FOLDER_SETTINGS, "sidecar": _sidecar(source)}
    name = None
    if runtime.is_in_landing(source):
        _, name = _place(_relative(runtime, source))
    elif import_type is not None:
        places["landing_folder"] = runtime.landing / import_type / FOLDER_SETTINGS
    if name is not None:
        places["type_folder"] = source.parent.parent / FOLDER_SETTINGS
    return {layer: _read_text(path) for layer, path in places.items()} | {"folder_name": name}


def _sidecar(source: UPath) -> UPath:
    return source.parent / f"{source.name}{SIDECAR_SUFFIX}"


def _read_text(path: UPath) -> str | None:
    try:
        raw = path.read_bytes()
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and error.errno not in _NO_SUCH_FILE:
            raise
        return None
    text: str = raw.decode("utf-8", errors="replace").replace("\0", "\ufffd")
    return text


def _relative(runtime: Runtime, path: UPath) -> PurePosixPath:
    return PurePosixPath(str(path)[len(str(runtime.landing).rstrip("/")) + 1 :])


def _place(relative: PurePosixPath) -> tuple[str | None, str | None]:
    """Return the import type of a place in the landing area, and the name of the folder below the type's own."""
    folders = relative.parts[:-1]
    declared = import_types.IMPORT_TYPES.get(folders[0]) if folders else None
    if declared is None:
        return None, None
    if len(folders) == 2 and declared.folder_setting is not None:
        return declared.name, folders[1]
    return (declared.name if len(folders) == 1 else None), None


def _unsettled(runtime: Runtime, considered: _Considered, now: datetime) -> str | None:
    """Say why a file may still be growing. A bucket's object appears as a whole."""
    arrival, settle_seconds = considered.arrival, considered.settings.settle_seconds
    if arrival.is_object:
        return None
    try:
        age = (now - arrival.arrived_at).total_seconds()
        if age < 0:  # another machine's clock: the time of the last change of the file's entry is this machine's
            age = now.timestamp() - os.stat(arrival.url).st_ctime
        if age < settle_seconds:
            return "settling"
        if age >= UNENDED_SETTLE_SECONDS or not considered.is_wanted:
            return None
        is_ended = _ends_with_line_end(files.from_url(runtime, arrival.url))
    except FileNotFoundError:
        return "taken since the listing began"
    return None if is_ended else "settling: no line end at its end yet"


def _ends_with_line_end(path: UPath) -> bool:
    with path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        stream.seek(max(0, size - 4))
        tail = stream.read()
    # In UTF-16 and UTF-32, little-endian, zeros follow the line end.
    return tail.rstrip(b"\0")[-1:] in (b"\n", b"\r")


def _held_back(
    runtime: Runtime, considered: _Considered, everything: Sequence[_Considered], now: datetime
) -> str | None:
    """Say which files go first (GC-05): those of the types in `after`, waiting or running, but not for ever.

    The patience begins when the file could start; files held for their release are waited for that much longer.
    """
    for other, minutes in considered.settings.after.items():
        waiting = [each for each in everything if each.arrival.import_type == other and each.is_wanted]
        held = [each.starts_at for each in waiting if each.settings.release is not None]
        until = max([considered.starts_at, *held]) + timedelta(minutes=minutes)
        if now < until and (waiting or _is_running(runtime, other)):
            return f"after {other}, until {until:%H:%M} UTC at most"
    return None


def _is_running(runtime: Runtime, import_type: str) -> bool:
    with values_hidden(), runtime.engine.connect() as connection:
        running = sa.select(sa.literal(1)).where(
            JOB.c.import_type == import_type,
            JOB.c.finished_at.is_(None),
            JOB.c.loaded_at.is_(None),
            JOB.c.state.in_([State.AWAITING_EXECUTION, State.RUNNING, State.AWAITING_REVIEW]),
        )
        return connection.execute(running.limit(1)).first() is not None


def _open(runtime: Runtime, connection: Connection, request: Request, source: UPath) -> Job:
    files.check_name(source)
    try:
        stat = files.stat(source)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        if (job := jobs.find(connection, request.run_key)) is not None:
            return job  # another worker with this very request has just opened it, and taken the file
        held = _holder(connection, str(source))
        if held is not None:
            raise jobs.FileTaken(f"{source.name} has been taken by job {held}") from None
        whys = {PermissionError: "can't be read", IsADirectoryError: "is a folder"}
        why = whys.get(type(error), "does not exist")
        raise FileRefused("file.missing", f"The file {request.source_url} {why}.") from None
    return jobs.claim(
        connection,
        Claim(
            request.run_key, request.import_type, str(source), stat.version, source.name, stat.modified_at,
            request.launched_by, _given(runtime, request, source), request.dag_id, request.dag_run_id, stat.size_bytes,
        ),
        now=runtime.clock(),
    )  # fmt: skip


def _given(runtime: Runtime, request: Request, source: UPath) -> dict[str, Any]:
    given = {"run": dict(request.parameters), **given_texts(runtime, source, request.import_type)}
    return given if request.sidecar is None else given | {"sidecar": request.sidecar}


def _holder(connection: Connection, source_url: str) -> int | None:
    holder = sa.select(JOB.c.id).where(JOB.c.source_url == source_url, JOB.c.finished_at.is_(None))
    return connection.execute(holder.order_by(JOB.c.id.desc()).limit(1)).scalar_one_or_none()


def _asks_otherwise(job: Job, request: Request) -> bool:
    """Tell whether an unfinished job is asked for again with other settings than before."""
    has_other_sidecar = request.sidecar is not None and request.sidecar != job.parameters.get("sidecar")
    return has_other_sidecar or dict(request.parameters) != job.parameters["run"]


def _is_given_otherwise(runtime: Runtime, job: Job, request: Request, source: UPath) -> bool:
    """Tell whether the settings that are there now are other ones than the job was given."""
    given = _given(runtime, request, source)
    return any(told is not None and told != job.parameters.get(layer) for layer, told in given.items())


def _reopen(runtime: Runtime, connection: Connection, job: Job, request: Request, source: UPath) -> None:
    """Start a job anew that has loaded nothing: refused, failed, cancelled, a duplicate, a dry run, or unfinished."""
    given = {layer: text for layer, text in _given(runtime, request, source).items() if text is not None}
    staging.drop_tables(connection, job.id)
    jobs.forget_rows(connection, job.id)
    jobs.update(
        connection, job.id, state=State.RUNNING, finished_at=None, inspection=None, mapping=None, duplicate_of=None,
        refusal_rule=None, refusal_message=None, warnings=[], parameters={**job.parameters, **given},
        rows_read=None, rows_inserted=None, rows_updated=None, rows_unchanged=None, rows_not_found=None,
        rows_rejected=None,
    )  # fmt: skip


def _bring(runtime: Runtime, job: Job, source: UPath, target: UPath) -> None:
    """Bring the file into work, from wherever a killed attempt or an earlier end of the job has left it."""
    is_dropped = runtime.is_in_landing(source)
    # A file dropped later under the same name is another arrival.
    is_there = source.exists() and (not is_dropped or files.stat(source).version == job.source_version)
    if not target.exists():
        if is_there:
            (files.move if is_dropped else files.copy)(source, target)
        elif (ended := files.find_source(runtime, job)) is not None:
            files.move(ended, target)
        else:
            raise FileRefused("file.missing", f"The file {job.source_url} is gone.")
    elif is_there and is_dropped:  # a killed attempt had copied it, from one storage to another
        source.unlink()
    # Another sidecar than the job's announces another file of this name.
    sidecar = _read_text(_sidecar(source))
    if is_dropped and not source.exists() and sidecar is not None and sidecar == job.parameters.get("sidecar"):
        _sidecar(source).unlink(missing_ok=True)
