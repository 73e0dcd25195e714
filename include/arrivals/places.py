"""What a place means: which import type a file of the landing area belongs to, and which files a request may name.

A run reads, keeps and shows the file that it names, so that this decides who can read what. Source: X-01, X-12, X-21.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from include.arrivals.files import UPLOAD_RECORD, UPLOADS, locate
from include.declaration.import_type import ImportTypes
from include.errors import FileRefused
from include.ledger.jobs import UNKNOWN_TYPE
from include.runtime import Runtime
from include.storage import locations
from include.storage.file_names import LONGEST_NAME_BYTES, is_ignored
from include.storage.locations import FileStat, Location, NotARegularFile

LONGEST_SHOWN = 300
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What terminals carry out, ends lines or turns the direction of writing."""
_ADDRESS = re.compile(r"([^/:]+):(?://|:)?")
"""The beginning of a text that is no path on a disk."""
_USER = re.compile(r"[^/\s]*(?::|%3[Aa])[^/\s]*@")
"""User and password, wherever they are written; without them nobody needs them."""
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Their names of files are keys, in which `?` and `@` are characters."""


@dataclass(frozen=True)
class Source:
    """A file that a request names.

    Args:
        named: below the folder as it is configured, though that may be a link itself.
        root: the configured folder that it is permitted below; None for a command line's file.
        types: of a file in the landing area, from where it is moved; files elsewhere are copied.
    """

    named: Location
    root: Location | None
    types: ImportTypes | None = None

    @property
    def is_dropped(self) -> bool:
        """The file is in the landing area."""
        return self.types is not None

    @property
    def url(self) -> str:
        """What the ledger stores: of an address that is no key of a store, nothing that may be a secret."""
        is_name = self.named.is_local or self.named.protocol in _OBJECT_STORES
        return str(self.named) if is_name else shown(str(self.named))

    def content(self) -> Location:
        """Return where the bytes are: elsewhere only for a link.

        Raises:
            FileRefused: `file.missing`: it can't be read; `file.place`: a link leads out of the permitted folder.
        """
        if not self.named.is_local:
            return self.named
        try:
            return content_of(self.named, self.root, self.types)
        except OutOfPlace as error:
            raise FileRefused("file.place", f"{shown(str(self.named))} {error}.") from None
        except OSError as error:
            raise missing(str(self.named), error) from None

    @property
    def real_root(self) -> Location | None:
        """The folder on a disk below which the content is; None of stores and of a command line's file."""
        is_bound = self.root is not None and self.root.is_local
        return Location(os.path.realpath(self.root.path)) if is_bound and self.root is not None else None

    def copy_to(self, target: Location) -> None:
        """Copy the content; no link is followed that was not there when it was looked at.

        Raises:
            FileRefused: as `content` does.
            StorageError: there is no room.
        """
        locations.copy(self.content(), target, self.real_root)

    def stat(self) -> FileStat:
        """Return the version of the content.

        Raises:
            FileRefused: as `content` does.
        """
        try:
            return self.content().stat()
        except OSError as error:
            raise missing(str(self.named), error) from None


class OutOfPlace(Exception):
    """A link leads out of the folder in which it is; the message goes on where the file's name ends."""


def visible(text: str) -> str:
    """Return a name with its odd characters replaced, and cut where it is very long."""
    printable = _CONTROL.sub("\ufffd", text.encode(errors="backslashreplace").decode())
    return printable if len(printable) <= LONGEST_SHOWN else f"{printable[:LONGEST_SHOWN]}…"


def shown(text: str) -> str:
    """Return what a request named as it may be stored and shown.

    An address loses whatever may be a secret: user and password, query, the path on a host that is no store of objects.
    """
    text = _USER.sub("…@", text)
    if address := _ADDRESS.match(text):
        first = text.split("::")[0]
        host, slash, key = first[address.end() :].partition("/")
        rest = re.split("[?#]", key)[0] if address[1] in _OBJECT_STORES else "…"
        text = f"{address[0]}{host.rpartition('@')[2].split('?')[0]}{slash}{rest if slash else ''}"
    return visible(text)


def missing(named: str, error: OSError) -> FileRefused:
    """Say why a file can't be read."""
    whys = {errno.ENOENT: "does not exist", errno.EACCES: "can't be read", errno.EISDIR: "is a folder"}
    whys[errno.ENAMETOOLONG] = "can't exist: its name is too long"
    why = f"is {error.kind}, no regular file" if isinstance(error, NotARegularFile) else whys.get(error.errno or 0)
    return FileRefused("file.missing", f"The file {shown(named)} {why or 'does not exist'}.")


def place_of(types: ImportTypes, relative: str) -> tuple[str | None, str | None]:
    """Return the import type of a path relative to the landing area, and the name of the folder below the type's own.

    None for the type when no type has that folder (X-01). Empty parts, which keys of buckets may have, don't count. The
    folder's name is a pool's, and as those in NFC (X-16).
    """
    folders = [part for part in relative.split("/")[:-1] if part]
    declared = types.get(folders[0]) if folders else None
    if declared is None:
        return None, None
    if len(folders) == 2 and declared.folder_setting is not None:
        return declared.name, unicodedata.normalize("NFC", folders[1])
    return (declared.name if len(folders) == 1 else None), None


def is_hidden(relative: str) -> bool:
    """Recognise paths of which some part begins with a dot. `..` is none: no listing passes over it."""
    return any(part.startswith(".") and part not in (".", "..") for part in relative.split("/"))


def name_mistake(relative: str) -> str | None:
    """Say why a path of the landing area can't be kept in ledger, work and archive; None when it can."""
    if relative.endswith("/"):
        return "its key ends in `/`, as a folder's: rename it"
    try:
        relative.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    parts = relative.split("/")
    if {".", ".."} & set(parts):
        return "its key has a part `.` or `..`, which names another place elsewhere: rename it"
    if len(parts[-1].encode()) > LONGEST_NAME_BYTES:
        return f"its name has {len(parts[-1].encode())} bytes, more than the {LONGEST_NAME_BYTES} that a disk takes"
    return None


def content_of(named: Location, root: Location | None, types: ImportTypes | None = None) -> Location:
    """Return where the bytes of a file on a disk are. Links are resolved here, once; what opens files follows none.

    A link in the landing area may lead to a regular file of that area, but not to another import type's. Below other
    folders, only the folder itself may be reached through a link.

    Args:
        root: the configured folder; None lets links lead anywhere (of a command line's user).
        types: the root is the landing area, which has folders of these; None of other folders.

    Raises:
        OutOfPlace: a link leads out of the folder.
        NotARegularFile, OSError: it is no regular file, or can't be looked at.
    """
    try:
        real = os.path.realpath(named.path, strict=True)
    except OSError as error:
        if os.path.islink(named.path) and error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            whys = {errno.ELOOP: "a link that leads to itself", errno.ENOENT: "a link that leads nowhere"}
            raise NotARegularFile(whys.get(error.errno, "a broken link"), named.path) from None
        raise
    if root is not None:
        real_root = Location(os.path.realpath(root.path))
        relative, expected = Location(real).below(real_root), named.below(root)
        if relative is None:
            raise OutOfPlace("is, or is below, a link that leads out of its folder")
        if relative != expected:
            if types is None:
                raise OutOfPlace("is a link")
            _check_dropped_link(types, named, root, real_root, relative)
    locations.local_stat(os.lstat(real), named.path)
    return named if root is None and real == named.path else Location(real)


def _check_dropped_link(
    types: ImportTypes, named: Location, root: Location, real_root: Location, relative: str
) -> None:
    """Refuse links by folders, which a listing doesn't enter, and into other types' folders."""
    folder = named.parent.below(root)
    if folder is not None and os.path.realpath(named.parent.path) != (real_root / folder).path:
        raise OutOfPlace("is below a folder that is a link")
    own = (named.below(root) or "").split("/")[0]
    target = relative.split("/")[0]
    if target != own and target in types:
        raise OutOfPlace("is a link that leads into another import type's folder")


def permitted(runtime: Runtime, import_type: str, url: str, roots: Sequence[str] | None = ()) -> Source:
    """Decide whether an import may read a file: by its name alone, before anything is opened (X-21).

    Permitted are the files that a listing of the landing area shows for the type, its uploads, its part of archive and
    quarantine, and what is below `roots`. Elsewhere, nothing of a name says whether there is such a file.

    Args:
        import_type: `unknown` for files of the landing area that belong to no type.
        roots: folders or bucket prefixes; None permits every file, for people who can read it themselves.

    Raises:
        FileRefused: `file.place`.
    """
    refusal = FileRefused(
        "file.place",
        f"{shown(url)} is in none of the places that {import_type} are imported from: the type's landing folder, its "
        "uploads and archive, and the folders that the Variable import_roots names for it.",
    )
    if not url or "\0" in url:
        raise refusal
    if roots is None:
        named = locate(runtime, url)
        relative = named.below(runtime.landing)
        is_dropped = relative is not None and _is_shown(runtime.import_types, relative, import_type)
        return Source(named, runtime.landing, runtime.import_types) if is_dropped else Source(named, None)
    named = _parse(runtime, url, roots, refusal)
    relative = named.below(runtime.landing)
    if relative is not None and _is_shown(runtime.import_types, relative, import_type):
        return Source(named, runtime.landing, runtime.import_types)
    if import_type in runtime.import_types and not is_ignored(named.name):
        own = [(runtime.work / UPLOADS / import_type, 3)]
        own += [(runtime.archive / kind / import_type, 2) for kind in ("imported", "quarantine")]
        for folder, depth in own:
            relative = named.below(folder)
            if relative is not None and len(relative.split("/")) == depth and named.name != UPLOAD_RECORD:
                return Source(named, folder)
        for root in roots:
            folder = locate(runtime, root)
            relative = named.below(folder)
            if relative is not None and not is_hidden(relative) and not _is_in_an_area(runtime, named):
                return Source(named, folder)
    raise refusal


def _is_in_an_area(runtime: Runtime, named: Location) -> bool:
    """Say whether a file is in one of the importer's own areas: there, only what is said of them is permitted."""
    real = Location(os.path.realpath(named.path)) if named.is_local else named
    for folder in runtime.areas:
        real_folder = Location(os.path.realpath(folder.path)) if folder.is_local else folder
        if named.below(folder) is not None or real.below(real_folder) is not None:
            return True
    return False


def _parse(runtime: Runtime, url: str, roots: Sequence[str], refusal: FileRefused) -> Location:
    """Read the name of a file: an absolute path, or the URL of a store that is configured, without `.` and `..`."""
    protocol, separator, rest = url.partition("://")
    if separator and "/" not in protocol:
        if protocol == "file":
            url = rest
        elif protocol not in {folder.protocol for folder in runtime.areas} | {_protocol(root) for root in roots}:
            raise refusal
    path = rest if separator and protocol != "file" else url
    parts = path.split("/")
    is_absolute = path.startswith("/") or (bool(separator) and protocol != "file")
    if not is_absolute or not parts[-1] or {".", ".."} & set(parts):
        raise refusal
    return locate(runtime, url)


def _protocol(url: str) -> str:
    return url.partition("://")[0] if "://" in url else ""


def _is_shown(types: ImportTypes, relative: str, import_type: str) -> bool:
    """Say whether a listing shows a file of the landing area for an import type, if its folder doesn't ignore it.

    What the setting `ignore` names is refused when the folder's settings are read: `landing.take_file`.
    """
    name = relative.rpartition("/")[2]
    if is_hidden(relative) or is_ignored(name) or name_mistake(relative):
        return False
    return (place_of(types, relative)[0] or UNKNOWN_TYPE) == import_type
