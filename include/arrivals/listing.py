"""What is in the landing area: which files have arrived whole, which wait and why, and which entries are no files.

One entry never stops the others: whatever looking at it raises, it is listed as waiting or unusable, with its reason.
A listing reads each folder once, each settings file once a version, and asks the database once a type.
Source: X-01, X-11, X-12, X-14, GC-05.
"""

from __future__ import annotations

import errno
import hashlib
import heapq
import os
import random
import stat as modes
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from include.arrivals.places import OutOfPlace, content_of, is_hidden, name_mistake, place_of, visible
from include.arrivals.settings_files import Neighbours, folder_of, read_layers, read_text, two_files
from include.declaration.settings import ImportSettings
from include.errors import SettingsError
from include.ledger.jobs import JOB, State
from include.runtime import Runtime
from include.settings.layers import resolve
from include.storage import locations
from include.storage.file_names import (
    EXTENSIONS,
    SettingsNames,
    is_settings,
    is_unfinished,
    matches,
    natural_key,
    suffix_of,
)
from include.storage.locations import FileStat, Location, NotARegularFile
from include.values.cron import next_release
from include.warehouse.transactions import values_hidden

SETTLING = "settling"
UNREADABLE = "file.unreadable"
IGNORED = "file.ignored"
"""Rule of entries that are ignored on purpose: they are listed once, and no alarm."""
UNENDED_SETTLE_SECONDS = 60
"""How long a file without a line end at its end must be unchanged: it may have been cut off."""
_UNUSABLE_AFTER_SECONDS = 60
"""How long an entry that can't be used is left to the program that is still making it."""
_STALE_AFTER_SECONDS = 3600
"""How long settings may be without their file, or unfinished, before they are reported (X-11)."""
_IGNORED_AFTER_SECONDS = 86_400
"""How old an ignored file is when it is listed (X-12)."""
_MOST_REMEMBERED = 50_000
MOST_READING_SECONDS = 3.0
"""Of a listing, for settings files that were not read before: 64 KiB of nonsense take half a second."""
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_LONGEST_HOLD = timedelta(seconds=UNENDED_SETTLE_SECONDS)


@dataclass(frozen=True)
class Arrival:
    """A file in the landing area.

    Args:
        import_type: by its folder, or the folder above it (PC-02); None when no type has that folder (X-01).
        folder: relative to the landing area.
        version: distinguishes this arrival from others of the same name.
        arrived_at: the later of its last write and its coming to this place, UTC; never in the future.
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
class Unusable:
    """An entry of the landing area that can't become an import as it is, and why. It stays where it is.

    Args:
        import_type: by its folder; None when no type has it.
        url: as it may be shown.
        reason: a sentence without subject, such as "is a named pipe, no regular file".
        version: distinguishes this entry from a later one of the same name.
        is_waited_for: files wait until it is gone, and the reason names them.
    """

    import_type: str | None
    url: str
    file_name: str
    rule: str
    reason: str
    version: str
    is_waited_for: bool = False


@dataclass(frozen=True)
class Listing:
    """The landing area at one moment; files in the order of arrival (X-14)."""

    ready: list[Arrival] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)


@dataclass(frozen=True)
class _Entry:
    """A name in the landing area.

    Args:
        content: where the bytes are, elsewhere only for a link.
        problem: rule and reason for which it can't be used.
        changed_at: the last change of the entry itself, s since 1970; in a store the last write.
    """

    path: Location
    relative: str
    stat: FileStat | None
    content: Location
    problem: tuple[str, str] | None = None
    identity: str = ""
    changed_at: float = 0.0

    @property
    def name(self) -> str:
        return self.relative.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.relative.rpartition("/")[0]

    def arrived_at(self, now: datetime) -> datetime:
        """Return when the file, or the link to it, came to be here (X-14)."""
        assert self.stat is not None
        arrived_at = self.stat.arrived_at(now)
        if self.content is self.path or self.changed_at > now.timestamp():
            return arrived_at
        return max(arrived_at, datetime.fromtimestamp(self.changed_at, UTC))

    def age_seconds(self, now: datetime) -> float:
        """Return how long it is since the last write; of what is no file, since the entry's last change."""
        return max(now.timestamp() - self.changed_at, 0) if self.stat is None else self.stat.age_seconds(now)


def arrivals(runtime: Runtime) -> list[Arrival]:
    """Return every usable file in the landing area that isn't ignored, in the order of arrival."""
    return _Scan(runtime, runtime.clock()).arrivals


def list_landing(runtime: Runtime, now: datetime) -> Listing:
    """Sort what is in the landing area into what can start now, what must wait, and what is unusable (X-12, GC-05)."""
    scan = _Scan(runtime, now)
    considered = scan.consider_all()
    queue = _Queue(runtime, considered)
    listing = Listing(unusable=scan.unusable)
    for candidate in considered:
        reason = scan.reason_to_wait(candidate, now) or queue.reason_to_wait(candidate, now)
        if reason is None:
            listing.ready.append(candidate.arrival)
        else:
            listing.waiting.append(Waiting(candidate.arrival, reason))
            # For a minute at most; what else holds one file holds no other sender's.
            if reason.startswith(SETTLING) and now - candidate.arrival.arrived_at < _LONGEST_HOLD:
                queue.note_waiting(candidate.arrival)
    return listing


@dataclass(frozen=True)
class _PickUp:
    """The settings that bear on a file's pick-up. Only these are remembered: others may be as large as they like."""

    settle_seconds: float
    release: str | None
    after: tuple[tuple[str, int], ...]
    ignore: tuple[str, ...]


def _pick_up(chosen: ImportSettings) -> _PickUp:
    return _PickUp(chosen.settle_seconds, chosen.release, tuple(chosen.after.items()), tuple(chosen.ignore))


_MOST_NAMED = 3
"""Files that wait, in a reason; of the others their number."""
_NO_FILE = "is the settings of a file that has not come for an hour: rename it after its file, or remove it"
_NO_TYPE = "is the settings of a folder that belongs to no import type: move it, or remove it"
_RESEMBLES = (
    "resembles a settings file, and is none: give it the exact name, `_settings.yaml` or that of the file and "
    "`.settings.yaml`, or remove it"
)
_SHARED = "may be the settings of several files: give it the exact name of one, or remove it"
_KEPT_COPY = "is a copy of the settings beside it: no file waits for it, and it is never imported; keep it elsewhere"
_NO_SETTINGS = ("file.settings_name", "is a folder, or leads to one, and no settings file: rename or remove it")
_FOLDER_LINK = ("file.link", "is a link to a folder, which is not followed: give the folder itself this name")
_UNFINISHED = (
    "is ignored, as its name is hidden or says that it is still being written, and is older than a day: rename it when "
    "it is whole, or remove it"
)
_UNWANTED = "is ignored, as the setting `ignore` says, and is older than a day"
_DEFAULTS = _pick_up(ImportSettings.from_stored({}))
_remembered: OrderedDict[tuple[Any, ...], _PickUp] = OrderedDict()
"""By the versions of the settings files, which are read when they have changed: the area is listed twice a second."""


@dataclass(frozen=True)
class _Considered:
    """An arrival with the settings that bear on its pick-up.

    Args:
        settings: the defaults when its own are wrong, as its job will say.
        starts_at: when the file may start: at the first release after its arrival, else at once.
        is_wanted: folder and name don't refuse it already; if they do, it waits for nothing but its last byte.
        trouble: why it can't start: its settings can't be read now, or a name beside it resembles theirs.
    """

    arrival: Arrival
    entry: _Entry
    settings: _PickUp
    starts_at: datetime
    is_wanted: bool
    trouble: str | None = None


@dataclass(frozen=True)
class _Place:
    """A folder of the landing area, with what holds for all of its files.

    Args:
        layers: the settings files of this folder and of the one above.
    """

    import_type: str | None
    folder_name: str | None
    names: Neighbours
    layers: Mapping[str, Sequence[_Entry]]


class _Scan:
    """The entries of the landing area, looked at once."""

    def __init__(self, runtime: Runtime, now: datetime) -> None:
        self._runtime = runtime
        self._now = now
        self._read_until = time.monotonic() + MOST_READING_SECONDS
        self._folders: dict[str, dict[str, _Entry]] = {}
        self._names: dict[str, SettingsNames] = {}
        self._places: dict[str, _Place] = {}
        self._stale: dict[str, frozenset[str]] = {}
        self._held: dict[str, _Entry] = {}
        self._odd_names: dict[tuple[str, str], tuple[str, str]] = {}
        self._waiting_for: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._rights: dict[str, bool | None] = {}
        self.unusable: list[Unusable] = []
        for entry in _entries(runtime):
            if not is_hidden(entry.folder):
                self._folders.setdefault(entry.folder, {})[entry.name] = entry
        usable = [entry for folder in self._folders for entry in self._usable(folder)]
        arrivals = [arrival for entry in usable if (arrival := self._looked_at(entry, now)) is not None]
        self.arrivals = sorted(arrivals, key=lambda arrival: _order(arrival, self._held[arrival.url].stat))

    def _usable(self, folder: str) -> Iterator[_Entry]:
        """Yield the entries of a folder that are no settings and not ignored; report what is odd of the others.

        Odd names of settings are reported when it is known which files wait for them.
        """
        entries, names = self._folders[folder], self._names_in(folder)
        ignore = self._ignored_in(folder)
        names.leave_out(ignore)
        has_type = self._place(folder).import_type is not None
        self._stale[folder] = frozenset(name for name in names.orphans if self._is_older(entries[name]))
        for name, entry in entries.items():
            if is_settings(name) and not is_unfinished(name) and name not in names.resembling:
                if entry.problem is not None:
                    self._odd_names[folder, name] = entry.problem
                elif name in self._stale[folder]:
                    self._odd_names[folder, name] = ("file.settings_name", _NO_FILE)
                elif name in names.shared:
                    self._odd_names[folder, name] = ("file.settings_name", _SHARED)
                elif not has_type and name in names.of_folder:
                    self._odd_names[folder, name] = ("file.settings_name", _NO_TYPE)
            elif name in names.resembling:
                if not names.resembling[name].is_unfinished or self._is_older(entry):
                    reason = _KEPT_COPY if name in names.harmless else _RESEMBLES
                    self._odd_names[folder, name] = ("file.settings_name", reason)
            elif is_unfinished(name) or matches(name, ignore):
                if entry.problem is None and self._is_older(entry, _IGNORED_AFTER_SECONDS):
                    self._note_unusable(entry, IGNORED, _UNFINISHED if is_unfinished(name) else _UNWANTED)
            elif entry.problem is not None:
                self._note_unusable(entry, *entry.problem)
            else:
                yield entry

    def _is_older(self, entry: _Entry, seconds: float = _STALE_AFTER_SECONDS) -> bool:
        return entry.age_seconds(self._now) > seconds

    def _names_in(self, folder: str) -> SettingsNames:
        if folder not in self._names:
            self._names[folder] = SettingsNames(self._folders.get(folder, ()), folder)
        return self._names[folder]

    def _place(self, folder: str) -> _Place:
        """Return what is the same for all files of a folder."""
        if folder not in self._places:
            import_type, folder_name = place_of(self._runtime.import_types, f"{folder}/")
            own = folder_of(f"{folder}/")
            above = own.rpartition("/")[0] if folder_name is not None else None
            names = Neighbours(
                self._names_in(folder), self._names_in(own), None if above is None else self._names_in(above)
            )
            layers = {"folder": self._settings_in(own, names.folder.of_folder)}
            if above is not None and names.above is not None:
                layers["type_folder"] = self._settings_in(above, names.above.of_folder)
            self._places[folder] = _Place(import_type, folder_name, names, layers)
        return self._places[folder]

    def _ignored_in(self, folder: str) -> tuple[str, ...]:
        """Return the patterns of names that a folder ignores; the usual ones where its settings can't be read."""
        place = self._place(folder)
        if place.import_type is None:
            return _DEFAULTS.ignore
        try:
            return self._pick_up_of(place.import_type, place, (), "").ignore
        except Exception:  # an entry that is no file of rows waits for it: see `consider`
            return _DEFAULTS.ignore

    def consider_all(self) -> list[_Considered]:
        """Consider every arrival, in their order. Settings that are new are read for a few seconds at most.

        Those of the others are read by a later listing, in no order, so that no file is always the last.
        """
        self._read_until = time.monotonic() + MOST_READING_SECONDS  # whatever looking at the entries took
        considered: dict[str, _Considered] = {}
        for arrival in random.sample(self.arrivals, len(self.arrivals)):
            considered[arrival.url] = self.consider(arrival)
        self._report_odd_names()
        return [considered[arrival.url] for arrival in self.arrivals]

    def consider(self, arrival: Arrival) -> _Considered:
        """Return an arrival with its settings; with the reason why there are none when they can't be read now."""
        entry, chosen, trouble = self._held[arrival.url], _DEFAULTS, None
        is_wanted = arrival.import_type is not None and suffix_of(arrival.file_name) in EXTENSIONS
        starts_at = arrival.arrived_at
        if arrival.import_type is not None:
            try:
                place = self._place(entry.folder)
                if is_wanted:
                    trouble = self._obstacle(entry)
                    sidecars = self._settings_in(entry.folder, place.names.beside.sidecars(entry.name))
                    chosen = self._pick_up_of(arrival.import_type, place, sidecars, entry.name)
                else:  # the folder's settings may ignore it, if they could be read
                    self._pick_up_of(arrival.import_type, place, (), entry.name)
                if chosen.release is not None:
                    starts_at = next_release(chosen.release, arrival.arrived_at)
            except Exception as error:  # one entry never stops the others
                trouble = f"its settings can't be read: {_reason(error)}"
        return _Considered(arrival, entry, chosen, starts_at, is_wanted, trouble)

    def _obstacle(self, entry: _Entry) -> str | None:
        """Return which name beside a file resembles one of its settings (X-11)."""
        obstacle = self._place(entry.folder).names.obstacle(entry.name, self._stale[entry.folder])
        if obstacle is None:
            return None
        self._waiting_for[obstacle.folder, obstacle.name].append(entry.name)
        return visible(str(obstacle))

    def _report_odd_names(self) -> None:
        """Report what is odd of the names of settings, and the files that wait for that (X-11)."""
        for (folder, name), (rule, reason) in self._odd_names.items():
            waiting = self._waiting_for.get((folder, name), [])
            if waiting:
                named = [visible(waiting_name) for waiting_name in heapq.nsmallest(_MOST_NAMED, waiting)]
                rest = len(waiting) - len(named)
                listed = f"{', '.join(named)} and {rest:,} more" if rest else ", ".join(named)
                reason = (
                    f"{reason}; until then {'this file waits' if len(waiting) == 1 else 'these files wait'}: {listed}"
                )
            self._note_unusable(self._folders[folder][name], rule, reason, is_waited_for=bool(waiting))

    def reason_to_wait(self, considered: _Considered, now: datetime) -> str | None:
        """Say why a file may still be growing, or can't start yet. A store's object appears as a whole."""
        try:
            reason = considered.trouble or _unsettled(considered, now)
            if reason is None and considered.settings.release is not None and now < considered.starts_at:
                reason = f"released at {considered.starts_at:%Y-%m-%d %H:%M} UTC"
        except FileNotFoundError:
            return "taken since the listing began"
        except Exception as error:  # one entry never stops the others
            return f"can't be looked at: {_reason(error)}"
        return reason

    def _looked_at(self, entry: _Entry, now: datetime) -> Arrival | None:
        try:
            return self._arrival(entry, now)
        except FileNotFoundError:  # taken away since the listing began
            return None
        except Exception as error:  # one entry never stops the others
            self._note_unusable(entry, UNREADABLE, f"can't be looked at: {_reason(error)}")
            return None

    def _arrival(self, entry: _Entry, now: datetime) -> Arrival | None:
        assert entry.stat is not None
        mistake = name_mistake(entry.relative)
        if mistake is not None:
            self._note_unusable(entry, "file.name", mistake)
            return None
        if not self._can_remove(entry):
            self._note_unusable(entry, "file.not_removable", "can't be removed from its folder: no right to")
            return None
        url = str(entry.path)
        self._held[url] = entry
        return Arrival(
            self._place(entry.folder).import_type, url, entry.folder or ".", entry.name, entry.stat.size_bytes,
            entry.stat.version, entry.arrived_at(now), entry.stat.is_object,
        )  # fmt: skip

    def _can_remove(self, entry: _Entry) -> bool:
        if not entry.path.is_local:
            return True
        folder = entry.path.parent
        if folder.path not in self._rights:
            self._rights[folder.path] = locations.removal_right(folder)
        right = self._rights[folder.path]
        return right if right is not None else os.lstat(entry.path.path).st_uid == os.geteuid()

    def _note_unusable(self, entry: _Entry, rule: str, reason: str, *, is_waited_for: bool = False) -> None:
        age = self._now.timestamp() - entry.changed_at
        if 0 <= age < _UNUSABLE_AFTER_SECONDS:
            return
        name = visible(entry.relative.rstrip("/").rpartition("/")[2])
        # Names that are shown alike are still apart.
        exact = hashlib.sha256(str(entry.path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        version = f"{entry.identity}-{exact}"
        import_type, _ = place_of(self._runtime.import_types, entry.relative)
        self.unusable.append(
            Unusable(import_type, visible(str(entry.path)), name, rule, reason, version, is_waited_for)
        )

    def _settings_in(self, folder: str, names: Sequence[str]) -> list[_Entry]:
        return [self._folders[folder][name] for name in names]

    def _pick_up_of(self, import_type: str, place: _Place, sidecars: Sequence[_Entry], file_name: str) -> _PickUp:
        """Return the settings of a file, or of a folder, that bear on the pick-up; the defaults when they are wrong.

        Raises:
            OSError: they can't be read.
        """
        layers = {**place.layers, "sidecar": sidecars} if sidecars else place.layers
        there = [(layer, entry) for layer, entries in layers.items() for entry in entries]
        for _, entry in there:
            if entry.problem is not None:
                if file_name:
                    self._waiting_for[entry.folder, entry.name].append(file_name)
                raise PermissionError(errno.EACCES, f"{entry.path.name} {entry.problem[1]}", entry.path.path)
        versions = tuple((entry.relative, entry.identity) for _, entry in there)
        defaults = os.stat(self._runtime.defaults_file).st_mtime_ns
        key = (self._runtime.landing, import_type, place.folder_name, versions, self._runtime.defaults_file, defaults)
        if key not in _remembered:
            if time.monotonic() >= self._read_until:
                raise TimeoutError(errno.EAGAIN, "there are very many, and a later listing reads them")
            _remembered[key] = self._read_settings(import_type, place.folder_name, layers, file_name)
            if len(_remembered) > _MOST_REMEMBERED:
                _remembered.popitem(last=False)
        return _remembered[key]

    def _read_settings(
        self, import_type: str, folder_name: str | None, layers: Mapping[str, Sequence[_Entry]], file_name: str
    ) -> _PickUp:
        texts = {
            layer: read_text(entries[0].path, self._runtime.landing, self._runtime.import_types)
            if len(entries) == 1
            else two_files([entry.name for entry in entries])
            for layer, entries in layers.items()
            if entries
        }
        try:
            settings = read_layers(texts | {"folder_name": folder_name}, file_name)
            types = self._runtime.import_types
            chosen = resolve(types, types[import_type], **settings, defaults_file=self._runtime.defaults_file)
        except SettingsError:  # its job will say so
            return _DEFAULTS
        return _pick_up(chosen)


def _order(arrival: Arrival, stat: FileStat | None) -> tuple[Any, ...]:
    """Return what files are ordered by: the second of their arrival, that of their last write, their names (X-14).

    Files that a program drops at once come in whatever order it lists them: the time of writing that they bring along
    counts, and where that is the same as well, names in natural order. A time that is in the future is no such time.
    """
    written_at = arrival.arrived_at if stat is None else min(stat.modified_at, arrival.arrived_at)
    return (
        int(arrival.arrived_at.timestamp()), int(written_at.timestamp()), natural_key(arrival.file_name), arrival.url
    )  # fmt: skip


class _Queue:
    """Which files go before others: those of the types in `after` (GC-05), earlier ones of types that edit (X-14)."""

    def __init__(self, runtime: Runtime, everything: Sequence[_Considered]) -> None:
        self._runtime = runtime
        self._running: dict[str, bool] = {}
        self._first_waiting: dict[str, str] = {}
        self._has_files: set[str] = set()
        self._last_release: dict[str, datetime] = {}
        for candidate in everything:
            name = candidate.arrival.import_type
            if name is None or not candidate.is_wanted:
                continue
            self._has_files.add(name)
            if candidate.settings.release is not None:
                until = candidate.starts_at
                self._last_release[name] = max(until, self._last_release.get(name, until))

    def reason_to_wait(self, candidate: _Considered, now: datetime) -> str | None:
        return self._held_back(candidate, now) or self._overtaking(candidate.arrival)

    def note_waiting(self, arrival: Arrival) -> None:
        if arrival.import_type is not None:
            self._first_waiting.setdefault(arrival.import_type, arrival.file_name)

    def _overtaking(self, arrival: Arrival) -> str | None:
        """Say which file of a type that edits arrived before this one and still waits (X-14)."""
        if arrival.import_type is None or not self._runtime.import_types[arrival.import_type].edits:
            return None
        earlier = self._first_waiting.get(arrival.import_type)
        return None if earlier is None else f"after {earlier}, which arrived before it"

    def _held_back(self, candidate: _Considered, now: datetime) -> str | None:
        """Say which files go first (GC-05): those of the types in `after`, waiting or running, but only for a time.

        The patience begins when the file could start; files held for their release are waited for that much longer.
        """
        for other, minutes in candidate.settings.after:
            begins = max(candidate.starts_at, self._last_release.get(other, candidate.starts_at))
            until = min(begins, _LATEST) + timedelta(minutes=minutes)
            if now < until and (other in self._has_files or self._is_running(other)):
                return f"after {other}, until {until:%H:%M} UTC at most"
        return None

    def _is_running(self, import_type: str) -> bool:
        if import_type not in self._running:
            self._running[import_type] = _has_open_job(self._runtime, import_type)
        return self._running[import_type]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _has_open_job(runtime: Runtime, import_type: str) -> bool:
    with values_hidden(), runtime.engine.connect() as connection:
        running = sa.select(sa.literal(1)).where(
            JOB.c.import_type == import_type,
            JOB.c.finished_at.is_(None),
            JOB.c.loaded_at.is_(None),
            JOB.c.state.in_([State.AWAITING_EXECUTION, State.RUNNING, State.AWAITING_REVIEW]),
        )
        return connection.execute(running.limit(1)).first() is not None


def _unsettled(considered: _Considered, now: datetime) -> str | None:
    entry = considered.entry
    if considered.arrival.is_object or entry.stat is None:
        return None
    age_seconds = locations.age_seconds(entry.content, entry.stat, now)
    return still_growing(entry.content, age_seconds, considered.settings.settle_seconds)


def still_growing(content: Location, age_seconds: float, settle_seconds: float) -> str | None:
    """Say why a file on a disk may still be growing; None when it has settled (X-12).

    A missing line end at its end makes every file wait longer, whatever its name: nothing is moved under its writer.

    Args:
        age_seconds: since its last write.

    Raises:
        OSError: it can't be read.
    """
    if age_seconds < settle_seconds:
        return SETTLING
    if age_seconds < UNENDED_SETTLE_SECONDS and not _ends_with_line_end(content):
        return f"{SETTLING}: no line end at its end yet"
    return "a program still has it open for writing" if locations.has_writer(content.path) else None


def _ends_with_line_end(path: Location) -> bool:
    with path.open_parts() as stream:
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        stream.seek(max(0, size - 4))
        tail = stream.read()
    # In UTF-16 and UTF-32, little-endian, zeros follow the line end.
    return tail.rstrip(b"\0")[-1:] in (b"\n", b"\r")


def _entries(runtime: Runtime) -> Iterator[_Entry]:
    """Yield the entries of the landing area: no folders but those that can't be entered, or are named as settings."""
    landing = runtime.landing
    if not landing.is_local:
        for path, stat in locations.files_below(landing):
            relative = path.below(landing)
            if relative is not None:
                changed_at = stat.changed_at.timestamp()
                yield _Entry(path, relative, stat, path, identity=stat.version, changed_at=changed_at)
        return
    pending = [""]
    while pending:
        folder = pending.pop()
        place = landing / folder if folder else landing
        try:
            with os.scandir(place.path) as entries:
                for entry in entries:
                    relative = f"{folder}/{entry.name}" if folder else entry.name
                    is_hidden_entry = entry.name.startswith(".")
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_folder and not is_hidden_entry:
                        pending.append(relative)
                    if is_folder and (is_hidden_entry or not is_settings(entry.name)):
                        continue
                    if not is_hidden_entry or entry.is_file(follow_symlinks=False):
                        looked = _look(runtime, relative, entry)
                        if looked is not None:
                            yield looked
        except FileNotFoundError:  # taken away since its parent was listed, or an area that is not there yet
            continue
        except OSError as error:
            if not folder:
                raise
            reason = f"is a folder that can't be listed: {error.strerror}"
            yield _Entry(place, folder, None, place, ("file.folder", reason), f"folder-{error.errno}", 0.0)


def _look(runtime: Runtime, relative: str, entry: os.DirEntry[str]) -> _Entry | None:
    """Look at an entry that should be no folder; None when it has gone meanwhile."""
    path = runtime.landing / relative
    try:
        held = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _Entry(path, relative, None, path, (UNREADABLE, f"can't be looked at: {error.strerror}"), "?")
    problem: tuple[str, str] | None = None
    stat, content = None, path
    try:
        if entry.is_symlink():
            content = content_of(path, runtime.landing, runtime.import_types)
            stat = content.stat()
        else:
            stat = locations.local_stat(held, path.path)
        if not os.access(content.path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            problem = (UNREADABLE, "can't be read: no right to")
    except OutOfPlace as error:
        problem = ("file.link", str(error))
    except NotARegularFile as error:
        problem = ("file.special", str(error.strerror))
    except IsADirectoryError:
        problem = _NO_SETTINGS if is_settings(entry.name) else _FOLDER_LINK
    except OSError as error:
        problem = (UNREADABLE, f"can't be looked at: {error.strerror}")
    identity = f"{held.st_ino}-{stat.version if stat else _odd_version(path, held)}"
    return _Entry(path, relative, stat, content, problem, identity, held.st_ctime)


def _odd_version(path: Location, held: os.stat_result) -> str:
    """Return what distinguishes an entry that is no readable file from a later one, whose inode may be the same."""
    target = ""
    if modes.S_ISLNK(held.st_mode):
        with suppress(OSError):
            target = hashlib.sha256(os.fsencode(os.readlink(path.path))).hexdigest()[:16]
    # Whatever happens in a folder changes it.
    changed = "" if modes.S_ISDIR(held.st_mode) else f"-{held.st_ctime_ns}-{target}"
    return f"{held.st_mode}{changed}"
