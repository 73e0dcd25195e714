"""Pasted texts: what was typed or piped in becomes a file of the landing area, like any other. Source: PC-01.

Run parameters never carry rows (X-20): a text goes from standard input straight into the file.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

import yaml

from include.declaration.import_type import ImportType
from include.declaration.settings import ImportSettings
from include.errors import FileRefused
from include.names import normalise_name
from include.runtime import Runtime
from include.settings.layers import resolve
from include.storage.file_names import SIDECAR_SUFFIX
from include.storage.locations import Location, written_whole

_SEPARATORS = ",;\t|"


def write_pasted(runtime: Runtime, import_type: ImportType, raw: bytes, settings: Mapping[str, object]) -> Location:
    """Write a text into the landing folder of its type, as `file_of` makes it.

    What was set for it is beside it, as for a dropped file: should this process end before the import has begun, the
    file is picked up, with the same settings.

    Args:
        raw: as for `file_of`.
        settings: of this text. Those of the landing folder hold as well, but for the encoding.

    Raises:
        SettingsError: they are wrong.
        FileRefused: as `file_of` does.
        StorageError: the landing area can't be written to.
    """
    chosen = resolve(runtime.import_types, import_type, sidecar=settings, defaults_file=runtime.defaults_file)
    name, content = file_of(runtime, import_type, raw, chosen)
    path = runtime.landing / import_type.name / name
    with written_whole(path.with_name(f"{path.name}{SIDECAR_SUFFIX}")) as sink:
        sink.write(yaml.safe_dump({**settings, "encoding": chosen.encoding}, allow_unicode=True).encode())
    with written_whole(path) as sink:
        sink.write(content)
    return path


def file_of(runtime: Runtime, import_type: ImportType, raw: bytes, chosen: ImportSettings) -> tuple[str, bytes]:
    """Return name and content of the file that a text becomes: under the type's header unless it begins with one.

    Args:
        raw: in the encoding that the settings declare; a byte order mark may be before it.

    Raises:
        FileRefused: `file.encoding`: not in that encoding; `file.empty`: nothing but blanks.
    """
    try:
        text = raw.decode("utf-8-sig" if chosen.encoding == "utf-8" else chosen.encoding)
    except UnicodeDecodeError as error:
        message = f"The text is not {chosen.encoding} at byte {error.start}."
        raise FileRefused("file.encoding", message) from None
    if not text.strip():
        raise FileRefused("file.empty", "The text is empty.")
    if import_type.extras.pasted_header is not None and not begins_with_header(text, import_type, chosen):
        text = f"{import_type.extras.pasted_header}\n{text}"
    if not text.endswith(("\n", "\r")):
        text += "\n"
    name = f"pasted-{runtime.clock():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.txt"
    return name, text.encode(chosen.encoding)


def begins_with_header(text: str, import_type: ImportType, chosen: ImportSettings) -> bool:
    """Say whether the first line names the column of the type's key, by one of its names or as the settings map it.

    Only the key's: a code such as `POOL` in the first line is no header.
    """
    key = next(field for field in import_type.fields if field.name == import_type.key)
    names = {normalise_name(name) for name in (key.name, key.label, *key.aliases)}
    names |= {normalise_name(header) for header in chosen.mapping}
    separators = chosen.delimiter or _SEPARATORS
    first = next(line for line in text.splitlines() if line.strip())
    cells = re.split(f"[{re.escape(separators)}]", first)
    return any(normalise_name(cell) in names for cell in cells)
