"""Uploads: files that a person has sent from a page, kept where the pick-up doesn't look until they are launched.

Each has a folder of its own in the work area, `uploads/<type>/<user>/<id>/`, and in it `upload.json`, the file, a copy
of the landing folder's settings, which hold for it as for a dropped file, and once it is launched the settings chosen
on the page as its sidecar (X-11). Source: X-01, X-12, X-18, X-20.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Self

import yaml
from sqlalchemy import Connection

from include.arrivals import files
from include.arrivals.files import UPLOAD_RECORD, UPLOADS
from include.arrivals.settings_files import folder_text, read_layers, settings_texts
from include.arrivals.upload_quota import Quota, Usage
from include.declaration.import_type import ImportType
from include.declaration.settings import ImportSettings
from include.errors import FileRefused, NotAllDeleted, SettingsError
from include.ledger import jobs
from include.ledger.jobs import Job, State
from include.runtime import Runtime
from include.settings.checks import find_mistakes
from include.settings.form import split_for_form
from include.settings.layers import chosen_settings, inheritable, resolve
from include.storage import locations
from include.storage.file_names import (
    EXTENSIONS,
    FOLDER_SETTINGS,
    LONGEST_UPLOAD_NAME_BYTES,
    SIDECAR_SUFFIX,
    is_ignored,
    suffix_of,
)
from include.storage.locations import Location
from include.storage.one_by_one import Failures
from include.warehouse.transactions import values_hidden

log = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=1)
"""How long an upload is kept that nobody launches, from its last use on."""
LONGEST_KEPT = timedelta(days=30)
"""How long one is kept whose run never took it: its DAG is paused, or the run was deleted."""
BLOCK_BYTES = 1 << 20
_LARGEST_RECORD_BYTES = 4 << 20
_ID = re.compile(r"[0-9a-f]{32}")
_PATHS = re.compile(r"[/\\]")


@dataclass(frozen=True)
class Choices:
    """What was chosen on the page, as it was written there.

    Args:
        settings: setting → text; those left alone are missing.
        columns: field → index of the file's column, None for none; None before the user has chosen.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, int | None] | None = None


@dataclass(frozen=True)
class Upload:
    """One file that a person has sent.

    Args:
        user: whose it is; nobody else sees it.
        used_at: the last time that its user did something with it, UTC.
        dry_runs: how many were asked for.
        is_launched: an import was started with it; from then on nothing of it changes.
        taken_over: settings of the job whose file it is, beside those of the form; what is chosen goes before them.
    """

    import_type: str
    id: str
    user: str
    file_name: str
    size_bytes: int
    received_at: datetime
    used_at: datetime
    choices: Choices = field(default_factory=Choices)
    dry_runs: int = 0
    is_launched: bool = False
    taken_over: Mapping[str, object] = field(default_factory=dict)

    def folder(self, runtime: Runtime) -> Location:
        """Return where it is stored."""
        return _folder(runtime, self.import_type, self.user) / self.id

    def path(self, runtime: Runtime) -> Location:
        """Return the file."""
        return self.folder(runtime) / self.file_name

    @property
    def run_id(self) -> str:
        """The DAG run that imports it: the same however often it is launched."""
        return f"upload__{self.id}"

    def dry_run_id(self, number: int) -> str:
        """Name the DAG run of the n-th dry run."""
        return f"upload__{self.id}__dry_run_{number}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        times = {name: datetime.fromisoformat(stored[name]) for name in ("received_at", "used_at")}
        return cls(**{**stored, **times, "choices": Choices(**stored["choices"])})


class Reception:
    """A file on its way into its folder. Nothing stays of one that doesn't arrive whole.

    Raises:
        FileRefused: `file.name`, `file.extension`, `upload.quota`, `upload.no_room`.
        SettingsError, ConfigurationError: the landing folder's settings are wrong, or the defaults.
    """

    def __init__(self, runtime: Runtime, import_type: ImportType, user: str, sent_name: str) -> None:
        now = runtime.clock()
        self._runtime = runtime
        self._upload = Upload(import_type.name, secrets.token_hex(16), user, safe_name(sent_name), 0, now, now)
        folder_settings = _folder_settings(runtime, import_type)
        self._max_bytes = max_bytes(runtime, import_type, folder_settings)
        self._stack = ExitStack()
        try:
            _write(runtime, self._upload)  # first: what is cut off is found, and deleted, by it
            self._quota = _quota(runtime, self._upload)
            self._quota.check(0)
            if folder_settings is not None:
                with locations.written_whole(self._upload.folder(runtime) / FOLDER_SETTINGS) as sink:
                    sink.write(folder_settings.encode())
            self._sink = self._stack.enter_context(locations.written_whole(self._upload.path(runtime)))
        except BaseException:
            self.abandon()
            raise
        self._size_bytes = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            FileRefused: `file.too_big`, `upload.quota`, `upload.no_room`.
            StorageError: there is no room.
        """
        self._size_bytes += len(data)
        if self._size_bytes > self._max_bytes:
            raise too_big(self._max_bytes)
        self._quota.check(self._size_bytes)
        self._sink.write(data)

    def complete(self, choices: Choices, taken_over: Mapping[str, object] | None = None) -> Upload:
        """Keep the file, with what was chosen when it was sent.

        Args:
            taken_over: the other settings of the job whose file it is.

        Raises:
            FileRefused: `file.empty`, `upload.quota`, `upload.no_room`.
            StorageError: there is no room.
        """
        if not self._size_bytes:
            raise FileRefused("file.empty", "The file is empty. Expected: a first row of column headers, then rows.")
        self._stack.close()
        self._upload = replace(self._upload, size_bytes=self._size_bytes, choices=choices, taken_over=taken_over or {})
        _write(self._runtime, self._upload)
        # After it is written: of two that arrive at once each sees the other, so that together they can't be too much.
        _quota(self._runtime, self._upload).check(self._size_bytes)
        return self._upload

    def abandon(self) -> None:
        """Leave nothing behind."""
        with suppress(_Abandoned, OSError), self._stack:
            raise _Abandoned
        with suppress(OSError):
            locations.delete_folder(self._upload.folder(self._runtime))


class _Abandoned(Exception):
    """Ends the writing of a file before its end."""


def safe_name(sent: str) -> str:
    """Return the name under which an upload is kept: the sender's, without what could lead or fool anyone elsewhere.

    No folders, no characters that control or can't be seen, no dots, blanks or `~` at its start; its end is cut off
    before the extension when it is too long.

    Raises:
        FileRefused: `file.extension`: neither .csv nor .txt (X-01); `file.name`: one that the pick-up ignores (X-12).
    """
    name = unicodedata.normalize("NFC", _PATHS.split(sent)[-1])
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C")
    name = " ".join(name.split()).lstrip(". ~")
    path = PurePosixPath(name or "?")
    if suffix_of(path.name) not in EXTENSIONS:
        raise FileRefused("file.extension", "The file is neither a .csv nor a .txt file.")
    room = LONGEST_UPLOAD_NAME_BYTES - len(path.suffix)
    name = path.stem.encode()[:room].decode(errors="ignore") + path.suffix
    if is_ignored(name):
        raise FileRefused("file.name", "Files of this name are settings, or still being written: rename it.")
    return name


def too_big(max_file_bytes: int) -> FileRefused:
    """Say that a file is over the limit, of which nobody knows by how much. Source: X-18."""
    return FileRefused("file.too_big", f"The file is larger than {max_file_bytes:,} bytes (max_file_bytes).")


def max_bytes(runtime: Runtime, import_type: ImportType, folder_settings: str | None = None) -> int:
    """Return how large an upload of a type may be.

    Args:
        folder_settings: text of the landing folder's settings; None reads it.
    """
    text = folder_settings if folder_settings is not None else _folder_settings(runtime, import_type)
    layers = read_layers({"folder": text}, "")
    return resolve(runtime.import_types, import_type, **layers, defaults_file=runtime.defaults_file).max_file_bytes


def receive(
    runtime: Runtime,
    import_type: ImportType,
    user: str,
    name: str,
    blocks: Iterable[bytes],
    choices: Choices,
    taken_over: Mapping[str, object] | None = None,
) -> Upload:
    """Keep a file that the server has already. Nothing stays of one that can't be kept whole.

    Raises:
        FileRefused, SettingsError, ConfigurationError, StorageError: as `Reception` does.
    """
    reception = Reception(runtime, import_type, user, name)
    try:
        for block in blocks:
            reception.write(block)
        return reception.complete(choices, taken_over)
    except BaseException:
        reception.abandon()
        raise


def receive_again(runtime: Runtime, import_type: ImportType, user: str, job: Job) -> Upload:
    """Make an upload of a job's file, with all settings that were given for it, its columns among them.

    What was meant for its one run alone is left out: that it was a dry run, that it awaited review.

    Raises:
        FileRefused: `file.gone`: it is no longer kept; or as `Reception` does.
        SettingsError, ConfigurationError, StorageError: as `Reception` does.
    """
    source = files.source_path(runtime, job)
    texts, others = split_for_form(runtime.import_types, import_type, _settings_before(runtime, import_type, job))
    with source.open_parts() as stream:
        blocks = iter(lambda: stream.read(BLOCK_BYTES), b"")
        return receive(runtime, import_type, user, job.file_name, blocks, Choices(texts), others)


def _settings_before(runtime: Runtime, import_type: ImportType, job: Job) -> dict[str, object]:
    """Return what a job was given; of one that was refused for its settings those that are right by themselves."""
    if job.settings:
        values = chosen_settings(import_type, job.settings)
    else:
        setting, folder_name = import_type.folder_setting, job.parameters.texts.get("folder_name")
        values = {setting: folder_name} if setting is not None and folder_name is not None else {}
        for layer in ("type_folder", "folder", "sidecar"):
            with suppress(SettingsError):
                read = read_layers({layer: job.parameters.texts.get(layer)}, job.file_name)[layer]
                values |= {} if read is None else read.values
        values |= {name: value for name, value in job.parameters.run.items() if value not in (None, "")}
        values = dict(inheritable(import_type, values).values)
    return {
        name: value
        for name, value in values.items()
        if name in import_type.settings.names() and not find_mistakes(runtime.import_types, import_type, {name: value})
    }


def find(runtime: Runtime, import_type: str, user: str, upload_id: str) -> Upload | None:
    """Return a user's upload, or None when there is none (any more), or it is another user's."""
    if not _ID.fullmatch(upload_id):
        return None
    return _read(_folder(runtime, import_type, user) / upload_id)


def waiting(runtime: Runtime, import_type: str, user: str, *, limit: int = 20) -> list[Upload]:
    """Return a user's uploads that were not launched, newest first."""
    uploads = [_read(record.parent) for record in _records(_folder(runtime, import_type, user))]
    kept = [upload for upload in uploads if upload is not None and upload.size_bytes and not upload.is_launched]
    return sorted(kept, key=lambda upload: upload.received_at, reverse=True)[:limit]


def save(runtime: Runtime, upload: Upload, **changes: Any) -> Upload:
    """Write down what has become of an upload."""
    changed = replace(upload, used_at=runtime.clock(), **changes)
    _write(runtime, changed)
    return changed


def sidecar_text(settings: Mapping[str, object]) -> str:
    """Return settings as the text of a sidecar: the same settings, the same text."""
    return yaml.safe_dump(dict(settings), allow_unicode=True, sort_keys=True) if settings else ""


def write_sidecar(runtime: Runtime, upload: Upload, settings: Mapping[str, object]) -> None:
    """Put the chosen settings beside the file, where its import looks for them (X-11).

    Not into the run's parameters: the headers of a mapping may be a row of data (X-20).
    """
    path = upload.path(runtime)
    with locations.written_whole(path.with_name(f"{path.name}{SIDECAR_SUFFIX}")) as sink:
        sink.write(sidecar_text(settings).encode())


def folder_layers(runtime: Runtime, upload: Upload) -> dict[str, Any]:
    """Return the settings that are beside an upload, but for those chosen on the page, for `layers.resolve`."""
    texts = settings_texts(runtime, upload.path(runtime), upload.import_type)
    return read_layers(texts | {"sidecar": None}, upload.file_name)


def usual_settings(runtime: Runtime, import_type: ImportType, upload: Upload | None = None) -> ImportSettings | None:
    """Return the settings that hold for an upload when nothing is chosen; None when the folder's are wrong."""
    try:
        layers = (
            read_layers({"folder": _folder_settings(runtime, import_type)}, "")
            if upload is None
            else folder_layers(runtime, upload)
        )
        return resolve(runtime.import_types, import_type, **layers, defaults_file=runtime.defaults_file)
    except SettingsError:
        return None


def dropped_place(runtime: Runtime, job: Job) -> str:
    """Return where a job's file came from; of an upload, where it would have been dropped instead."""
    if job.source_url.startswith(f"{str(runtime.work / UPLOADS).rstrip('/')}/"):
        return str(runtime.landing / job.import_type / job.file_name)
    return job.source_url


def delete(runtime: Runtime, upload: Upload) -> None:
    """Delete an upload and all that belongs to it."""
    locations.delete_folder(upload.folder(runtime))


def delete_expired(runtime: Runtime, now: datetime) -> dict[str, int]:
    """Delete the uploads that are of no more use; return how many, by import type. Source: X-20.

    One that nobody launched goes a day after its last use. A launched one is kept until its run has taken the file,
    for the job has its own copy then.

    Raises:
        NotAllDeleted: some could not be deleted; all others were.
    """
    deleted: dict[str, int] = {}
    failures = Failures()
    with values_hidden(), runtime.engine.connect() as connection:
        for folder, newest in _folders(runtime).items():
            with failures.guard(f"the upload {folder}"):
                upload = _read(folder)
                if now - newest >= KEPT_FOR if upload is None else _is_expired(connection, upload, now):
                    locations.delete_folder(folder)
                    if upload is not None:
                        deleted[upload.import_type] = deleted.get(upload.import_type, 0) + 1
    if failures:
        raise NotAllDeleted(failures)
    return deleted


def _folders(runtime: Runtime) -> dict[Location, datetime]:
    """Return the folder of every upload, and when its newest file was written. Not all have a record."""
    root = runtime.work / UPLOADS
    folders: dict[Location, datetime] = {}
    for path, stat in locations.files_below(root):
        parts = (path.below(root) or "").split("/")
        folder = root / "/".join(parts[:3])
        if len(parts) == 4:
            folders[folder] = max(stat.modified_at, folders.get(folder, stat.modified_at))
    return folders


def _is_expired(connection: Connection, upload: Upload, now: datetime) -> bool:
    age = now - upload.used_at
    if age < KEPT_FOR or not upload.is_launched:
        return age >= KEPT_FOR
    job = jobs.find(connection, f"{jobs.dag_of(upload.import_type)}/{upload.run_id}")
    has_taken = job is not None and (job.state is not State.AWAITING_EXECUTION or job.finished_at is not None)
    return has_taken or age >= LONGEST_KEPT


def _folder(runtime: Runtime, import_type: str, user: str) -> Location:
    """Return the folder of a user's uploads: named for them, and no one else's whatever their name."""
    stem = re.sub(r"[^a-z0-9]+", "_", user.lower()).strip("_")[:40]
    return runtime.work / UPLOADS / import_type / f"{stem}-{hashlib.sha256(user.encode()).hexdigest()[:16]}"


def _quota(runtime: Runtime, upload: Upload) -> Quota:
    """Return the room that is left for an upload; those that are arriving count when they have arrived."""
    own = upload.folder(runtime)
    mine = [
        _read(record.parent)
        for import_type in runtime.import_types
        for record in _records(_folder(runtime, import_type, upload.user))
    ]
    sizes = [
        other.size_bytes
        for other in mine
        if other and other.size_bytes and not other.is_launched and other.id != own.name
    ]
    kept = [
        (path.name, stat.size_bytes)
        for path, stat in locations.files_below(runtime.work / UPLOADS)
        if path.below(own) is None
    ]
    return Quota(
        Usage(len(sizes), sum(sizes)),
        Usage(sum(name == UPLOAD_RECORD for name, _ in kept), sum(size for _, size in kept)),
        own if own.is_local else None,
    )


def _folder_settings(runtime: Runtime, import_type: ImportType) -> str | None:
    """Return the settings file of the type's landing folder.

    Raises:
        SettingsError: it is no text, or there are several.
    """
    text = folder_text(runtime, import_type.name)
    if isinstance(text, dict):
        raise SettingsError(text["mistake"])
    return text


def _records(folder: Location) -> Iterator[Location]:
    return (path for path, _ in locations.files_below(folder) if path.name == UPLOAD_RECORD)


def _read(folder: Location) -> Upload | None:
    return _read_record(folder / UPLOAD_RECORD)


def _read_record(path: Location) -> Upload | None:
    try:
        return Upload.from_json(json.loads(path.read_bytes(_LARGEST_RECORD_BYTES)))
    except FileNotFoundError:  # deleted between the listing and the look
        return None
    except (ValueError, KeyError, TypeError):
        log.warning("An upload is left alone, for nobody can say what it is: %s", path)
        return None


def _write(runtime: Runtime, upload: Upload) -> None:
    with locations.written_whole(upload.folder(runtime) / UPLOAD_RECORD) as sink:
        sink.write(json.dumps(upload.to_json(), ensure_ascii=False).encode())
