"""The settings files beside a file: what they are called, where they are looked for, how much of them is read.

Source: X-11, PC-02.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from include.importing import settings
from include.importing.errors import SettingsError
from include.importing.files import FOLDER_SETTINGS, SIDECAR_SUFFIX
from include.importing.places import OutOfPlace, content_of, place_of
from include.importing.runtime import Runtime
from include.importing.settings import LARGEST_SETTINGS_BYTES
from include.importing.storage import NO_SUCH_FILE, Location, NotARegularFile, open_below

SettingsText = str | dict[str, str] | None
"""Text of a settings file; `{"mistake": sentence}` when it is no text; None without a file."""


def read_layers(texts: Mapping[str, SettingsText], file_name: str) -> dict[str, Any]:
    """Read what `given_texts` returned, for `settings.resolve`.

    Raises:
        SettingsError: one can't be read.
    """
    names = {
        "landing_folder": f"{FOLDER_SETTINGS} of the landing folder",
        "type_folder": f"{FOLDER_SETTINGS} of the folder above",
        "folder": FOLDER_SETTINGS,
        "sidecar": f"{file_name}{SIDECAR_SUFFIX}",
    }
    layers: dict[str, Any] = {}
    for layer, name in names.items():
        text = texts.get(layer)
        if isinstance(text, dict):
            raise SettingsError(text["mistake"])
        layers[layer] = None if text is None else settings.read_settings(text, name)
    return layers | {"folder_name": texts.get("folder_name")}


def given_texts(
    runtime: Runtime, source: Location, import_type: str | None = None, *, root: Location | None = None
) -> dict[str, SettingsText]:
    """Return what a file's place says of its import, None where it says nothing.

    `folder` and `sidecar` are the texts of the settings files beside it. A file in a folder below its type's own has
    that folder's name as `folder_name`, and the settings file above it as `type_folder` (PC-02). What the type's
    landing folder locks holds for files from elsewhere as well: they have its settings file as `landing_folder` (X-21).

    Args:
        root: the folder outside the landing area below which a run's file must be (X-21); its settings must be as well.

    Raises:
        OSError: a settings file is there and can't be read.
    """
    relative = source.below(runtime.landing)
    if relative is None:
        places = {"folder": source.parent / FOLDER_SETTINGS, "sidecar": sidecar_of(source)}
        texts = {layer: read_text(path, root) for layer, path in places.items()}
        if import_type is not None:
            place = runtime.landing / import_type / FOLDER_SETTINGS
            texts["landing_folder"] = read_text(place, runtime.landing, is_dropped=True)
        return texts | {"folder_name": None}
    places = {layer: runtime.landing / path for layer, path in landing_places(relative).items()}
    texts = {layer: read_text(path, runtime.landing, is_dropped=True) for layer, path in places.items()}
    return texts | {"folder_name": place_of(relative)[1]}


def landing_places(relative: str) -> dict[str, str]:
    """Return where the settings of a file of the landing area are, by layer; all paths are relative to that area.

    Empty parts of a bucket's key don't lead around a folder's settings.
    """
    folder = "/".join(part for part in relative.split("/")[:-1] if part)
    places = {"folder": f"{folder}/{FOLDER_SETTINGS}".lstrip("/"), "sidecar": f"{relative}{SIDECAR_SUFFIX}"}
    if place_of(relative)[1] is not None:
        places["type_folder"] = f"{folder.rpartition('/')[0]}/{FOLDER_SETTINGS}"
    return places


def sidecar_of(source: Location) -> Location:
    """Return where the settings of one file are."""
    return source.with_name(f"{source.name}{SIDECAR_SUFFIX}")


def _read(path: Location, root: Location | None, *, is_dropped: bool) -> bytes:
    if not path.is_local:
        return path.read_bytes(LARGEST_SETTINGS_BYTES)
    content = content_of(path, root, is_dropped=is_dropped)
    if root is None:
        return content.read_bytes(LARGEST_SETTINGS_BYTES)
    with open_below(content, Location(os.path.realpath(root.path))) as stream:
        return stream.read(LARGEST_SETTINGS_BYTES + 1)


def read_text(path: Location, root: Location | None, *, is_dropped: bool = False) -> SettingsText:
    """Return the text of a settings file: at most 64 KiB of UTF-8 (X-11).

    Args:
        root: the folder out of which no link may lead; None lets links lead anywhere.

    Raises:
        OSError: it is there and can't be read.
    """
    try:
        raw = _read(path, root, is_dropped=is_dropped)
    except OutOfPlace as error:
        return {"mistake": f"{path.name}: {error}."}
    except NotARegularFile as error:
        return {"mistake": f"{path.name}: {error.strerror}."}
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
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
        settings.read_settings(raw, path.name)
    except SettingsError as error:
        return {"mistake": error.message}
    return {"mistake": f"{path.name}: this is no text."}
