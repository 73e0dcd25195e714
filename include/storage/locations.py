"""Files and folders by their exact names, on disks and in object stores.

Every access to a landing, work, report or archive area goes through this module, because the libraries' conveniences
take names for more than names: fsspec's `copy`, `rm`, `get` and `expand_path` take `*`, `?` and `[` for patterns,
universal_pathlib takes `::` for a chain of addresses, s3fs cuts a key off at `?versionId=`, and `open` follows links
and waits for named pipes. Here a name is a name, and only regular files are opened. A lint rule keeps the other calls
out of the project.
Source: X-12, X-21.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import hashlib
import os
import signal
import stat as modes
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, Self

from include.storage.file_names import PARTIAL_SUFFIX

_COPY_BYTES = 4 << 20
_READ_AHEAD_BYTES = 8 << 20
_UPLOAD_BYTES = 16 << 20
"""Of a part of an upload: a bucket takes 10,000 of them. s3fs would read ahead, and gather before it sends, 50 MiB."""
_HERE, _NO_REPLACE = -100, 1
"""AT_FDCWD and RENAME_NOREPLACE, of Linux's renameat2, which Python doesn't have."""
_DISK = ("", "file", "local")
_BUCKETS, _MEMORY = ("s3", "s3a"), "memory"
"""Stores: buckets, and fsspec's in the memory of the process, for a store that is no bucket."""
NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
_EPOCH = datetime.fromtimestamp(0, UTC)
_KINDS = (
    (modes.S_ISLNK, "a link"),
    (modes.S_ISFIFO, "a named pipe"),
    (modes.S_ISSOCK, "a socket"),
    (modes.S_ISCHR, "a device"),
    (modes.S_ISBLK, "a device"),
)


class StorageError(OSError):
    """A file could not be written. Its number, reason and file name are those of the operating system's error."""

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.filename} could not be written: {self.strerror}."


class NotARegularFile(OSError):
    """What has this name is a link, a named pipe, a socket or a device: it is never opened."""

    def __init__(self, kind: str, path: str) -> None:
        super().__init__(errno.EINVAL, f"is {kind}, no regular file", path)
        self.kind = kind


@dataclass(frozen=True)
class FileStat:
    """What distinguishes one version of a file from another.

    Args:
        version: size and mtime (ns) on a disk; size, ETag and time of writing (s) in an object store.
        modified_at: last write, UTC. The last change of the entry where the time of the last write is no date.
        is_object: an object of a store, which appears as a whole; a file on a disk may still be growing.
        changed_at: last change of the entry itself, UTC: when it was written, or came here by renaming or copying,
            whatever time it brought with it. In an object store that is the last write.
    """

    size_bytes: int
    version: str
    modified_at: datetime
    is_object: bool
    changed_at: datetime

    def arrived_at(self, now: datetime) -> datetime:
        """Return when a file came to be where it is, as it is (X-14).

        Each write and each coming here changes the entry, by this machine's clock or its disk server's, so that its
        last change is the later of both; the time of the last write may have been brought along. Changes in the future
        are of a clock that was put back: then the last write counts, and if that is in the future too, this moment.
        """
        return next((moment for moment in (self.changed_at, self.modified_at) if moment <= now), now)

    def age_seconds(self, now: datetime) -> float:
        """Return how long it is since the last write, which is not after the entry's last change: never below 0."""
        return max((now - min(self.modified_at, self.changed_at)).total_seconds(), 0)


@dataclass(frozen=True)
class Location:
    """A file or folder by its exact name.

    Args:
        path: absolute path on a disk; bucket and key, as the store has them, in an object store.
        protocol: of the store, such as `s3`; empty for a disk.
        options: what the store's library needs to reach it, credentials among them.
    """

    path: str
    protocol: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_local(self) -> bool:
        """A disk, not an object store."""
        return not self.protocol

    @property
    def name(self) -> str:
        """The part behind the last slash."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Self:
        """The folder."""
        return self._at(self.path.rpartition("/")[0] or "/")

    @property
    def store(self) -> Any:
        """The store's file system. Only calls that take a name for a name are allowed: see this module's docstring."""
        return _store(self.protocol, self.options)

    def __truediv__(self, name: str) -> Self:
        """Return what has this name in the folder. A name may hold slashes; nothing of it has a meaning."""
        return self._at(f"{self.path.rstrip('/')}/{name}")

    def __str__(self) -> str:
        """Return the path, or the URL as it is stored in the ledger; `locate` reads it."""
        return self.path if self.is_local else f"{self.protocol}://{self.path}"

    def with_name(self, name: str) -> Self:
        """Return what has another name in the same folder. In a bucket, `a//b` is in another one than `a/b`."""
        return self._at(f"{self.path.rpartition('/')[0]}/{name}")

    def below(self, folder: Location) -> str | None:
        """Return the path relative to a folder, None when it is not in it. Texts are compared, no link is resolved."""
        prefix = f"{folder.path.rstrip('/')}/"
        is_below = self.protocol == folder.protocol and self.path.startswith(prefix)
        return self.path[len(prefix) :] if is_below else None

    def exists(self) -> bool:
        """Say whether there is a regular file of this name."""
        try:
            self.stat()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotARegularFile):
            return False
        return True

    def stat(self) -> FileStat:
        """Return the version of the file.

        Raises:
            FileNotFoundError, NotADirectoryError: there is none.
            IsADirectoryError: it is a folder.
            NotARegularFile: it is a link or a special file.
        """
        if self.is_local:
            return local_stat(os.lstat(self.path), self.path)
        info = self.store.info(self.path)
        if info.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self))
        return object_stat(info)

    def open_whole(self) -> BinaryIO:
        """Open a file that is read from its beginning to its end: a store is asked for a few mebibytes ahead."""
        return self._open(block_size=_READ_AHEAD_BYTES, cache_type="readahead")

    def open_parts(self) -> BinaryIO:
        """Open a file of which parts are read: a store is asked for just the bytes of each `read`: large ones."""
        return self._open(cache_type="none")

    def read_bytes(self, most_bytes: int) -> bytes:
        """Return the first bytes of a file: `most_bytes` and one more at most, which says that it is longer."""
        with self.open_parts() as stream:
            return stream.read(most_bytes + 1)

    def sha256(self) -> str:
        """Return the hash of the file's bytes."""
        digest = hashlib.sha256()
        with self.open_whole() as stream:
            while data := stream.read(_COPY_BYTES):
                digest.update(data)
        return digest.hexdigest()

    def remove(self) -> None:
        """Remove a file. That it is gone already is no error.

        Raises:
            OSError: there is no right to.
        """
        if self.is_local:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(self.path)
        else:
            with suppress(FileNotFoundError):
                self.store.rm_file(self.path)

    def _at(self, path: str) -> Self:
        return type(self)(path, self.protocol, self.options)

    def _open(self, **options: Any) -> BinaryIO:
        if self.is_local:
            return open_regular(self.path)
        stream: BinaryIO = self.store.open(self.path, "rb", **options)
        return stream


def locate(url: str, options: Mapping[str, Any] | None = None) -> Location:
    """Return the location of a path or URL. Behind `://` nothing is parsed: `?`, `#`, `%` and `::` are characters.

    Of stores there are buckets alone: of web servers, archives and the like a name says no place by itself (X-21).

    Raises:
        ValueError: it is of another kind of storage.
    """
    protocol, separator, rest = url.partition("://")
    if not separator or "/" in protocol:
        return Location(os.path.abspath(url))
    if protocol in _DISK:
        return Location(os.path.abspath(rest))
    if not is_storage(url):
        raise ValueError(f"{protocol}:// is no kind of storage: files are on a disk, or in a bucket (s3://)")
    path = f"/{rest.strip('/')}" if protocol == _MEMORY else rest.rstrip("/")
    return Location(path, protocol, options or {})


def is_storage(url: str) -> bool:
    """Say whether an address with `://` is of a kind that `locate` takes."""
    return url.partition("://")[0] in (*_DISK, *_BUCKETS, _MEMORY)


def area(place: Location | os.PathLike[str] | str) -> Location:
    """Return the location of a configured folder, whatever names it; other libraries' paths keep their options."""
    if isinstance(place, Location):
        return place
    return locate(str(place), dict(getattr(place, "storage_options", {})))


@functools.cache
def _exact_s3() -> type[Any]:
    from s3fs import S3FileSystem

    class ExactS3FileSystem(S3FileSystem):  # type: ignore[misc]  # s3fs ships no types
        """s3fs, but a key may hold `?versionId=` (s3fs 2026.9 would take another key in its place)."""

        def split_path(self, path: str) -> tuple[str, str, None]:
            bucket, key = self._find_bucket_key(path.removeprefix("s3://").lstrip("/"))
            return bucket, key, None

        def _find_bucket_key(self, path: str) -> tuple[str, str]:
            bucket, _, key = path.partition("/")
            if bucket.startswith("arn:"):
                bucket, key = super()._find_bucket_key(path)
            return bucket, key

    return ExactS3FileSystem


def _store(protocol: str, options: Mapping[str, Any]) -> Any:
    if protocol in _BUCKETS:
        return _exact_s3()(**options)
    import fsspec

    return fsspec.filesystem(protocol, **options)


def local_stat(entry: os.stat_result, path: str) -> FileStat:
    """Return the version of a file on a disk.

    Raises:
        IsADirectoryError, NotARegularFile: it is none.
    """
    if modes.S_ISDIR(entry.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not modes.S_ISREG(entry.st_mode):
        raise NotARegularFile(next((kind for is_it, kind in _KINDS if is_it(entry.st_mode)), "special"), path)
    version = f"{entry.st_size}-{entry.st_mtime_ns}"
    return FileStat(entry.st_size, version, _moment(entry.st_mtime, entry.st_ctime), False, _moment(entry.st_ctime))


def _moment(*times: float) -> datetime:
    """Return the first time that is a date: some file systems keep years that no calendar has."""
    for seconds in times:
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(seconds, UTC)
    return _EPOCH


def object_stat(info: Mapping[str, Any]) -> FileStat:
    """Return the version of a store's object from what a listing, or a question about it, says of it."""
    modified = info.get("LastModified") or info.get("last_modified") or info.get("mtime")
    modified_at = modified if isinstance(modified, datetime) else _EPOCH
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    # Whole seconds: S3 has fractions in listings alone.
    version = f"{info['size']}-{tag}-{int(modified_at.timestamp())}"
    modified_at = modified_at.astimezone(UTC)
    return FileStat(int(info["size"] or 0), version, modified_at, is_object=True, changed_at=modified_at)


def open_regular(path: str, folder: int | None = None) -> BinaryIO:
    """Open a regular file of a disk: no link is followed, no named pipe waited for, no device read.

    Args:
        folder: descriptor of the folder that a relative path is in.

    Raises:
        NotARegularFile: it is none.
        OSError: it can't be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket, or a device without a driver
            local_stat(os.stat(path, dir_fd=folder, follow_symlinks=False), path)
        raise
    try:
        local_stat(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def folder_below(path: Location, root: Location) -> Iterator[int]:
    """Open the folder of a file by walking down from a root: no folder on the way may be a link, or become one.

    Yields:
        A descriptor, for calls that take `dir_fd`. The root itself may be reached through links.

    Raises:
        OSError: a folder is a link, or is gone.
    """
    relative = path.below(root)
    if relative is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path.path)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(root.path, flags)
    try:
        for part in relative.split("/")[:-1]:
            deeper = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


def open_below(path: Location, root: Location) -> BinaryIO:
    """Open a regular file of a disk, on the way to which from the root there is no link.

    Raises:
        NotARegularFile: it is none.
        OSError: it can't be opened.
    """
    with folder_below(path, root) as folder:
        return open_regular(path.name, folder)


def remove_below(path: Location, root: Location) -> None:
    """Remove a file of a folder below a root; on a disk, none that a link on the way leads to.

    Raises:
        OSError: there is no right to.
    """
    if not path.is_local:
        path.remove()
        return
    with suppress(FileNotFoundError, NotADirectoryError), folder_below(path, root) as folder:
        os.unlink(path.name, dir_fd=folder)


def remove_version(path: Location, root: Location, version: str) -> None:
    """Remove a file that was copied; from a store, only this version of it: another one is another arrival (X-12).

    A store without conditions removes what is there. That is the file that was looked at a moment ago, unless
    a person has replaced it within the round trip in between.

    Raises:
        OSError: there is no right to.
    """
    if path.is_local or not hasattr(path.store, "call_s3"):
        remove_below(path, root)
        return
    tag = version.partition("-")[2].rpartition("-")[0]
    bucket, key, _ = path.store.split_path(path.path)
    try:
        path.store.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=tag)
        path.store.invalidate_cache(path.path)
    except FileNotFoundError:
        return
    except OSError as error:
        answer = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
        if error.errno == errno.ENOSYS:  # the store has no such condition
            path.remove()
        elif answer not in ("PreconditionFailed", "412"):
            raise


def has_writer(path: str) -> bool | None:
    """Say whether a program of this machine has a file open for writing; None when that can't be found out.

    Linux grants a read lease only on a file that nobody has open for writing, and only to its owner or a process that
    may take any lease; network file systems have no leases. Who opens the file for writing meanwhile makes the kernel
    send the holder a signal: one that is ignored is chosen, for the usual one ends the process.
    """
    try:
        stream = open_regular(path)
    except OSError:
        return None
    with stream:
        try:
            fcntl.fcntl(stream, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except (OSError, AttributeError):
            return None
    return False


def removal_right(folder: Location) -> bool | None:
    """Say whether entries of a folder on a disk may be removed, by rights and mounts; None: only one's own may."""
    if not os.access(folder.path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return False
    held, user = os.stat(folder.path), os.geteuid()
    return None if held.st_mode & modes.S_ISVTX and user not in (0, held.st_uid) else True


def can_remove(path: Location) -> bool:
    """Say whether a file may be removed from its folder, as far as rights and mounts say. Stores don't say."""
    if not path.is_local:
        return True
    right = removal_right(path.parent)
    return right if right is not None else os.lstat(path.path).st_uid == os.geteuid()


@contextmanager
def written_whole(path: Location) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete; readable by its owner alone (X-20).

    Raises:
        StorageError: there is no room, or no right to write there.
    """
    try:
        with _renamed_when_whole(path.path) if path.is_local else _uploaded_when_whole(path) as stream:
            yield stream
    except StorageError:  # of another file, which it names
        raise
    except OSError as error:
        raise StorageError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def _renamed_when_whole(path: str) -> Iterator[BinaryIO]:
    folder = os.path.dirname(path)
    _make_folders(folder)
    # A short name, as the file's own may be a long one.
    partial = os.path.join(folder, f".{os.getpid()}-{threading.get_ident()}{PARTIAL_SUFFIX}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def _make_folders(folder: str) -> None:
    """Make a folder and those above it that are missing, all of them for owner and group alone (X-20)."""
    if not os.path.isdir(folder):
        _make_folders(os.path.dirname(folder))
        with suppress(FileExistsError):  # made by another program meanwhile; what it is, its use will show
            os.mkdir(folder, mode=0o750)


@contextmanager
def _uploaded_when_whole(path: Location) -> Iterator[BinaryIO]:
    # Without `autocommit=False` closing it after an error would keep what is there.
    stream = path.store.open(path.path, "wb", block_size=_UPLOAD_BYTES, autocommit=False)
    try:
        with stream:
            yield stream
    except BaseException:
        stream.discard()
        raise
    stream.commit()


def copy(source: Location, target: Location, root: Location | None = None) -> None:
    """Copy a file as a whole, within a storage or between two.

    Args:
        root: a folder of a disk; on the way from it to the source there may be no link.
    """
    # Of objects over 5 GiB s3fs gives the store an address, in which this would not be part of the key.
    is_an_address = "?versionId=" in source.path
    if source.protocol == target.protocol and not source.is_local and not is_an_address:
        source.store.cp_file(source.path, target.path)
        return
    with source.open_whole() if root is None else open_below(source, root) as reader, written_whole(target) as writer:
        while data := reader.read(_COPY_BYTES):
            writer.write(data)


def move(source: Location, target: Location) -> None:
    """Move a file; a kill in between leaves the source, the target, or both, never neither."""
    if str(source) == str(target):
        return
    try:
        is_renamed = rename(source, target)
    except OSError:  # what is wrong, the copy will report
        is_renamed = False
    if not is_renamed:
        copy(source, target)
        source.remove()


def rename(source: Location, target: Location) -> bool:
    """Rename a file within a file system, whatever has the new name; return False where there is no such thing.

    Raises:
        OSError: there is no right to, or no room.
    """
    if not (source.is_local and target.is_local):
        return False
    try:
        _make_folders(os.path.dirname(target.path))
        os.replace(source.path, target.path)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    return True


def is_link(path: Location) -> bool:
    """Recognise a symbolic link on a disk."""
    return path.is_local and os.path.islink(path.path)


def take_out(path: Location, root: Location, target: Location, version: str) -> bool:
    """Rename a file out of a folder below a root, if it is the version that was looked at.

    Returns:
        False where a store or another file system is in between.

    Raises:
        FileNotFoundError: it is gone, or another one by now.
        OSError: there is no right to.
    """
    if not (path.is_local and target.is_local):
        return False
    with folder_below(path, root) as folder:
        held = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if local_stat(held, path.path).version != version:
            raise FileNotFoundError(errno.ENOENT, "is another file by now", path.path)
        _make_folders(os.path.dirname(target.path))
        try:
            os.rename(path.name, target.path, src_dir_fd=folder)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise
        moved = os.lstat(target.path)
        if (moved.st_dev, moved.st_ino) != (held.st_dev, held.st_ino):  # exchanged in between
            _rename_to_free_name(target.path, path.name, folder)
            raise FileNotFoundError(errno.ENOENT, "is another file by now", path.path)
    return True


def put_back(source: Location, target: Location, root: Location) -> bool:
    """Rename a file into a folder below a root, on the way to which there is no link.

    Returns:
        False when something has the name by now.

    Raises:
        OSError: the folder is gone or a link, or there is no right to.
    """
    with folder_below(target, root) as folder:
        return _rename_to_free_name(source.path, target.name, folder)


def _rename_to_free_name(source: str, name: str, folder: int) -> bool:
    """Rename a file without replacing another one; return False when there is one.

    A hard link would do without Linux's own call, but of other users' files the kernel refuses it.
    """
    if (rename_at := _renameat2()) is not None:
        if rename_at(_HERE, os.fsencode(source), folder, os.fsencode(name), _NO_REPLACE) == 0:
            return True
        number = ctypes.get_errno()
        if number == errno.EEXIST:
            return False
        if number not in (errno.EINVAL, errno.ENOSYS):  # the file system, or the kernel, has no such call
            raise OSError(number, os.strerror(number), name)
    try:
        os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    os.unlink(source)
    return True


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call


def names_in(folder: Location) -> list[str]:
    """Return the names of the entries of a folder that are no folders, none when there is no such folder.

    Raises:
        OSError: the folder can't be listed.
    """
    if not folder.is_local:
        prefix = f"{folder.path}/"
        below = (path.path.removeprefix(prefix) for path, _ in files_below(folder) if path.path.startswith(prefix))
        return [name for name in below if "/" not in name]
    try:
        with os.scandir(folder.path) as entries:
            return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def folders(parent: Location) -> list[Location]:
    """Return the folders of a folder, none when there is no such folder. Links are no folders."""
    if parent.is_local:
        try:
            with os.scandir(parent.path) as entries:
                return [parent / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
    with suppress(FileNotFoundError):
        listed = parent.store.ls(parent.path, detail=True)
        return [parent / info["name"].rstrip("/").rpartition("/")[2] for info in listed if info["type"] == "directory"]
    return []


def files_below(folder: Location) -> Iterator[tuple[Location, FileStat]]:
    """Yield every regular file below a folder, at any depth; what can't be looked at is left out."""
    if not folder.is_local:
        with suppress(FileNotFoundError):
            for name, info in folder.store.find(folder.path, detail=True).items():
                if not (name.endswith("/") and not info["size"]):  # by which some tools show a folder
                    yield Location(name, folder.protocol, folder.options), object_stat(info)
        return
    pending = [folder.path]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    continue
                with suppress(OSError):
                    yield Location(entry.path), local_stat(entry.stat(follow_symlinks=False), entry.path)


def delete_folder(folder: Location) -> None:
    """Delete a folder and all that is in it, if it is there. Links in it are removed, not followed."""
    if not folder.is_local:
        _abort_uploads(folder)
        for path, _ in list(files_below(folder)):
            path.remove()
        return
    _delete_tree(folder.path)


def _delete_tree(folder: str) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    _delete_tree(entry.path)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(folder)


def delete_unfinished(folder: Location) -> None:
    """Delete what killed attempts at writing have left in a folder of a job: it holds full values (X-20)."""
    if not folder.is_local:
        _abort_uploads(folder)
        return
    with suppress(FileNotFoundError), os.scandir(folder.path) as entries:
        for entry in list(entries):
            if entry.name.startswith(".") and entry.name.endswith(PARTIAL_SUFFIX):
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)


def _abort_uploads(folder: Location) -> None:
    """Make the bucket forget the parts of uploads that were not completed: nobody sees them, and they always stay."""
    store = folder.store
    if not hasattr(store, "call_s3"):
        return
    bucket, prefix, _ = store.split_path(f"{folder.path.rstrip('/')}/")
    unfinished = store.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
    for upload in unfinished.get("Uploads", ()):
        store.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
