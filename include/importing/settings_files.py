"""The settings files beside a file: what they are called, where they are looked for, how much of them is read.

Source: X-11, PC-02.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.importing import settings
from include.importing.errors import SettingsError
from include.importing.files import FOLDER_SETTINGS, SIDECAR_SUFFIX
from include.importing.places import OutOfPlace, content_of, place_of
from include.importing.runtime import Runtime
from include.importing.storage import NO_SUCH_FILE, Location, NotARegularFile

LARGEST_SETTINGS_BYTES = 64 << 10
SettingsText = str | dict[str, str] | None
"""Text of a settings file; `{"mistake": sentence}` when it is no text; None without a file."""


def read_layers(texts: Mapping[str, SettingsText], file_name: str) -> dict[str, Any]:
    """Read what `given_texts` returned, for `settings.resolve`.

    Raises:
        SettingsError: one can't be read.
    """
    names = {"type_folder": FOLDER_SETTINGS, "folder": FOLDER_SETTINGS, "sidecar": f"{file_name}{SIDECAR_SUFFIX}"}
    layers: dict[str, Any] = {}
    for layer, name in names.items():
        text = texts.get(layer)
        if isinstance(text, dict):
            raise SettingsError(text["mistake"])
        layers[layer] = None if text is None else settings.read_settings(text, name)
    return layers | {"folder_name": texts.get("folder_name")}


def given_texts(runtime: Runtime, source: Location, root: Location | None = None) -> dict[str, SettingsText]:
    """Return what a file's place says of its import, None where it says nothing.

    `folder` and `sidecar` are the texts of the settings files beside it. A file in a folder below its type's own has
    that folder's name as `folder_name`, and the settings file above it as `type_folder` (PC-02).

    Args:
        root: the folder outside the landing area below which a run's file must be (X-21); its settings must be as well.

    Raises:
        OSError: a settings file is there and can't be read.
    """
    relative = source.below(runtime.landing)
    if relative is None:
        places = {"folder": source.parent / FOLDER_SETTINGS, "sidecar": sidecar_of(source)}
        return {layer: read_text(path, root) for layer, path in places.items()} | {"folder_name": None}
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


def read_text(path: Location, root: Location | None, *, is_dropped: bool = False) -> SettingsText:
    """Return the text of a settings file: at most 64 KiB of UTF-8 (X-11).

    Args:
        root: the folder out of which no link may lead; None lets links lead anywhere.

    Raises:
        OSError: it is there and can't be read.
    """
    try:
        content = content_of(path, root, is_dropped=is_dropped) if path.is_local else path
        raw = content.read_bytes(LARGEST_SETTINGS_BYTES)
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
    if len(raw) > LARGEST_SETTINGS_BYTES:
        return {"mistake": f"{path.name}: larger than {LARGEST_SETTINGS_BYTES:,} bytes: these are no settings."}
    try:
        return raw.decode("utf-8-sig").replace("\0", "\ufffd")
    except UnicodeDecodeError as error:
        return {"mistake": f"{path.name}: not UTF-8 at byte {error.start}."}
