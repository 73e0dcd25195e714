"""The settings files beside a file: what they are called, where they are looked for, how much of them is read.

Source: X-11, PC-02.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from include.arrivals.places import OutOfPlace, content_of, is_hidden, name_mistake, place_of
from include.declaration.import_type import ImportType, ImportTypes
from include.declaration.settings import IGNORED_NAMES
from include.errors import ConfigurationError, SettingsError
from include.ledger.jobs import Job
from include.ledger.records import SettingsText
from include.located_yaml import shown
from include.runtime import Runtime
from include.settings.checks import MOST_MISTAKES
from include.settings.files import LARGEST_SETTINGS_BYTES, read_settings
from include.settings.layers import resolve
from include.settings.raw import RawSettings
from include.storage.file_names import (
    FOLDER_SETTINGS,
    FOLDER_SETTINGS_NAMES,
    SIDECAR_SUFFIX,
    SIDECAR_SUFFIXES,
    Obstacle,
    SettingsNames,
)
from include.storage.locations import NO_SUCH_FILE, Location, NotARegularFile, names_in, open_below


def read_layers(
    texts: Mapping[str, SettingsText], file_name: str, called: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Read what `settings_texts` returned, for `layers.resolve`.

    Args:
        called: what messages call some of them.

    Raises:
        SettingsError: one can't be read.
    """
    names = {
        "landing_folder": f"{FOLDER_SETTINGS} of the landing folder",
        "type_folder": f"{FOLDER_SETTINGS} of the folder above",
        "folder": FOLDER_SETTINGS,
        "sidecar": f"{file_name}{SIDECAR_SUFFIX}",
    } | dict(called or {})
    layers: dict[str, Any] = {}
    for layer, name in names.items():
        text = texts.get(layer)
        if isinstance(text, dict):
            raise SettingsError(text["mistake"])
        layers[layer] = None if text is None else read_settings(text, name)
    return layers | {"folder_name": texts.get("folder_name")}


def settings_layers(job: Job) -> dict[str, Any]:
    """Return the settings given for a job, layer by layer, as `include.settings.layers.resolve` takes them (X-11).

    Raises:
        SettingsError: a settings file can't be read.
    """
    return {"parameters": job.parameters.run} | read_layers(job.parameters.texts, job.file_name)


@dataclass(frozen=True)
class Neighbours:
    """The names beside a file, of which some are settings.

    Args:
        folder: those of the folder whose settings hold: in a bucket's key, empty parts don't lead around them.
        above: those of the type's folder, for a file in a folder below it.
        is_dropped: the file is in the landing area.
    """

    beside: SettingsNames
    folder: SettingsNames
    above: SettingsNames | None = None
    is_dropped: bool = True

    def obstacle(self, file_name: str, stale: Collection[str] = ()) -> Obstacle | None:
        """Return what keeps a file from being imported: a name that only resembles one of its settings (X-11).

        Folders outside the landing area have files of other purposes: there, only names that name the file count.

        Args:
            stale: names of settings beside it whose file has not come for an hour.
        """
        of_folder = self.folder.folder_obstacle
        if of_folder is None and self.above is not None:
            of_folder = self.above.folder_obstacle
        is_held = self.is_dropped and of_folder is not None
        return of_folder if is_held else self.beside.file_obstacle(file_name, stale)


def look_beside(runtime: Runtime, source: Location) -> Neighbours:
    """Look at the names beside a file.

    Raises:
        OSError: a folder can't be listed.
    """
    relative = source.below(runtime.landing)
    if relative is None:
        beside = SettingsNames(_names_beside(source))
        return Neighbours(beside, beside, is_dropped=False)
    beside = SettingsNames(names_in(source.parent))
    folder = folder_of(relative)
    has_own = (runtime.landing / folder).path == source.parent.path or not folder
    above = folder.rpartition("/")[0] if place_of(runtime.import_types, relative)[1] is not None else None
    return Neighbours(
        beside,
        beside if has_own else SettingsNames(names_in(runtime.landing / folder)),
        None if above is None else SettingsNames(names_in(runtime.landing / above)),
    )


def settings_texts(
    runtime: Runtime,
    source: Location,
    import_type: str | None = None,
    *,
    root: Location | None = None,
    neighbours: Neighbours | None = None,
) -> dict[str, SettingsText]:
    """Return what a file's place says of its import, None where it says nothing.

    `folder` and `sidecar` are the texts of the settings files beside it. A file in a folder below its type's own has
    that folder's name as `folder_name`, and the settings file above it as `type_folder` (PC-02). What the type's
    landing folder locks holds for files from elsewhere as well: they have its settings file as `landing_folder` (X-21).

    Args:
        root: the folder outside the landing area below which a run's file must be (X-21); its settings must be as well.
        neighbours: as `look_beside` returned them; None looks.

    Raises:
        OSError: a settings file is there and can't be read, or its folder can't be listed.
    """
    names = neighbours or look_beside(runtime, source)
    sidecars = [source.with_name(name) for name in names.beside.sidecars(source.name)]
    relative = source.below(runtime.landing)
    if relative is None:
        beside = [source.with_name(name) for name in names.folder.of_folder]
        texts = {"folder": _one_text(beside, root), "sidecar": _one_text(sidecars, root)}
        if import_type is not None:
            texts["landing_folder"] = folder_text(runtime, import_type)
        return texts | {"folder_name": None}
    folder = folder_of(relative)
    texts = {
        "folder": _folder_text(runtime, folder, names.folder),
        "sidecar": _one_text(sidecars, runtime.landing, runtime.import_types),
    }
    if names.above is not None:
        texts["type_folder"] = _folder_text(runtime, folder.rpartition("/")[0], names.above)
    return texts | {"folder_name": place_of(runtime.import_types, relative)[1]}


def leave_out_ignored(
    runtime: Runtime, import_type: str, neighbours: Neighbours, texts: Mapping[str, SettingsText]
) -> None:
    """Let names resemble nothing that their folder's settings ignore (X-12).

    Args:
        texts: as `settings_texts` returned them.
    """
    ignored = ignored_names(runtime, import_type, texts)
    neighbours.beside.leave_out(ignored)
    neighbours.folder.leave_out(ignored)
    if neighbours.above is not None:
        neighbours.above.leave_out(_ignored(runtime, import_type, {"folder": texts.get("type_folder")}))


def ignored_names(runtime: Runtime, import_type: str, texts: Mapping[str, SettingsText]) -> Sequence[str]:
    """Return the patterns of names that a file's folder ignores; the usual ones where its settings are wrong (X-12).

    Args:
        import_type: `unknown` for files of no type's folder, where the usual names are ignored.
        texts: as `settings_texts` returned them.
    """
    if import_type not in runtime.import_types:
        return IGNORED_NAMES
    layers = ("landing_folder", "type_folder", "folder", "folder_name")
    return _ignored(runtime, import_type, {layer: texts.get(layer) for layer in layers})


def _ignored(runtime: Runtime, import_type: str, texts: Mapping[str, SettingsText]) -> Sequence[str]:
    try:
        layers = read_layers(texts, "")
        return resolve(
            runtime.import_types, runtime.import_types.of(import_type), **layers, defaults_file=runtime.defaults_file
        ).ignore
    except (SettingsError, ConfigurationError):  # its job will say so
        return IGNORED_NAMES


def _names_beside(source: Location) -> list[str]:
    """Return the names beside a file outside the landing area; of those that can't, or shouldn't, be listed the usual.

    A store may have millions of objects below a prefix that a run names.
    """
    if source.is_local:
        with suppress(PermissionError):
            return names_in(source.parent)
    forms = {source.name, *(unicodedata.normalize(form, source.name) for form in ("NFC", "NFD"))}
    usual = [*FOLDER_SETTINGS_NAMES, *(f"{form}{suffix}" for form in sorted(forms) for suffix in SIDECAR_SUFFIXES)]
    return [source.name, *(name for name in usual if _has_entry(source.with_name(name)))]


def _has_entry(path: Location) -> bool:
    """Say whether anything has this name, a regular file or not."""
    return os.path.lexists(path.path) if path.is_local else path.exists()


def folder_text(runtime: Runtime, import_type: str) -> SettingsText:
    """Return the text of the settings file of a type's folder in the landing area.

    Raises:
        OSError: it is there and can't be read, or the folder can't be listed.
    """
    return _folder_text(runtime, import_type, SettingsNames(names_in(runtime.landing / import_type)))


def named_folder(runtime: Runtime, import_type: ImportType, name: object) -> RawSettings | None:
    """Read the settings file of the folder that a setting names, such as a pool's, for `layers.resolve` (X-21).

    Raises:
        SettingsError: it is wrong.
        OSError: it can't be read.
    """
    if not isinstance(name, str) or "/" in name or "\0" in name or is_hidden(name) or name in (".", ".."):
        return None
    for form in ("NFC", "NFD"):
        folder = f"{import_type.name}/{unicodedata.normalize(form, name)}"
        if name_mistake(folder) is None:
            text = _folder_text(runtime, folder, SettingsNames(names_in(runtime.landing / folder)))
            if text is not None:
                called = f"{FOLDER_SETTINGS} of the folder {name}"
                settings: RawSettings | None = read_layers({"folder": text}, "", {"folder": called})["folder"]
                return settings
    return None


def folder_of(relative: str) -> str:
    """Return the folder of a path in the landing area. Empty parts of a bucket's key don't lead around its settings."""
    return "/".join(part for part in relative.split("/")[:-1] if part)


def two_files(names: Sequence[str]) -> dict[str, str]:
    """Say that there are several settings files where there may be one (X-11)."""
    listed = ", ".join(map(shown, sorted(names)[:MOST_MISTAKES]))
    return {"mistake": f"There are {len(names)} settings files where one may be: {listed}. Keep the one that counts."}


def _folder_text(runtime: Runtime, folder: str, names: SettingsNames) -> SettingsText:
    paths = [runtime.landing / f"{folder}/{name}".lstrip("/") for name in names.of_folder]
    return _one_text(paths, runtime.landing, runtime.import_types)


def _one_text(paths: Sequence[Location], root: Location | None, types: ImportTypes | None = None) -> SettingsText:
    if len(paths) > 1:
        return two_files([path.name for path in paths])
    return read_text(paths[0], root, types) if paths else None


def _read(path: Location, root: Location | None, types: ImportTypes | None) -> bytes:
    if not path.is_local:
        return path.read_bytes(LARGEST_SETTINGS_BYTES)
    content = content_of(path, root, types)
    if root is None:
        return content.read_bytes(LARGEST_SETTINGS_BYTES)
    with open_below(content, Location(os.path.realpath(root.path))) as stream:
        return stream.read(LARGEST_SETTINGS_BYTES + 1)


def read_text(path: Location, root: Location | None, types: ImportTypes | None = None) -> SettingsText:
    """Return the text of a settings file: at most 64 KiB of UTF-8 (X-11).

    Args:
        root: the folder out of which no link may lead; None lets links lead anywhere.
        types: the root is the landing area, which has folders of these.

    Raises:
        OSError: it is there and can't be read.
    """
    try:
        raw = _read(path, root, types)
    except OutOfPlace as error:
        return {"mistake": f"{path.name}: {error}."}
    except NotARegularFile as error:
        return {"mistake": f"{path.name}: {error.strerror}."}
    except IsADirectoryError:
        return {"mistake": f"{path.name}: is a folder, or leads to one."}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in NO_SUCH_FILE:
            return None
        raise
    try:
        text = raw.decode()
        if len(raw) <= LARGEST_SETTINGS_BYTES and "\0" not in text:  # which the ledger could not store
            return text
    except UnicodeDecodeError:
        pass
    try:
        read_settings(raw, path.name)
    except SettingsError as error:
        return {"mistake": error.message}
    return {"mistake": f"{path.name}: this is no text."}
