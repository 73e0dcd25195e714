"""What gives settings: texts of settings files, and assignments of the command line. Source: X-11."""

from __future__ import annotations

import codecs
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from include.declaration.import_type import ImportType
from include.errors import SettingsError
from include.located_yaml import YamlMistake, quoted, read_yaml, shown
from include.names import mask_data
from include.settings.raw import RawSettings
from include.settings.schema import is_text

LARGEST_SETTINGS_BYTES = 64 << 10
"""Of a settings file: a mapping of a thousand columns takes half of it (X-11, X-22)."""
_CACHE_BYTES = 32 << 20
"""Of what was read of settings files: a listing asks for those of twenty thousand files, twice a second."""
_ENTRY_BYTES = 300
"""Of memory for a key or an item, roughly; a short one has two bytes of a file."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_settings(text: str | bytes, source: str) -> RawSettings:
    """Read a settings file; an empty one gives no settings. The same text is read once, however often it is asked for.

    Raises:
        SettingsError: too large (the first byte too many is enough to know), not UTF-8, not YAML, not `key: value`
            lines; names `source` and the byte or line.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    if len(raw) > LARGEST_SETTINGS_BYTES:  # before it is hashed, or kept
        raise SettingsError(f"{shown(source)}: larger than the {LARGEST_SETTINGS_BYTES:,} bytes of a settings file.")
    read = _READ.get(raw)
    if isinstance(read, str):
        raise SettingsError(f"{shown(source)}: {read}")
    return replace(read, source=source)


def _parse_settings(raw: bytes) -> RawSettings | str:
    """Return the settings of a text, or what is wrong with it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        hint = " It seems to be UTF-16: save it as UTF-8." if raw.startswith(_UTF_16) else ""
        return f"not UTF-8 at byte {error.start}.{hint}"
    try:
        located = read_yaml(text)
    except YamlMistake as mistake:
        return f"{f'line {mistake.line}: ' if mistake.line else ''}{mistake.sentence}."
    values = {} if located.value is None else located.value
    if not isinstance(values, dict):
        return "expected lines such as `encoding: windows-1251`."
    return RawSettings("", values, {key: located.line_of((key,)) for key in values}, checked={})


class _ReadTexts:
    """What was read of the latest settings files, by their bytes: their settings, or what is wrong with them."""

    def __init__(self, most_bytes: int) -> None:
        self._room = most_bytes
        self._kept: OrderedDict[bytes, tuple[RawSettings | str, int]] = OrderedDict()
        self._lock = threading.Lock()  # Airflow's pages are served by several threads

    def get(self, raw: bytes) -> RawSettings | str:
        with self._lock:
            if raw in self._kept:
                self._kept.move_to_end(raw)
                return self._kept[raw][0]
        read = _parse_settings(raw)
        size = 1000 + len(raw) + (0 if isinstance(read, str) else _ENTRY_BYTES * _entries(read.values))
        with self._lock:
            if raw not in self._kept:
                self._kept[raw] = (read, size)
                self._room -= size
            while self._room < 0:
                _, (_, size) = self._kept.popitem(last=False)
                self._room += size
        return read


def _entries(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + sum(map(_entries, inner))


_READ = _ReadTexts(_CACHE_BYTES)


def read_assignments(import_type: ImportType, assignments: Iterable[str], source: str = "--set") -> RawSettings:
    """Read `KEY=VALUE` arguments: text as it is (`pool=0123`), anything else as YAML (`mapping={PIN: cvv}`).

    Raises:
        SettingsError: no `=`, no value, or a key given twice.
    """
    values: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not text:
            raise SettingsError(f"{source}: expected KEY=VALUE, found {quoted(assignment)}.")
        if key in values:
            raise SettingsError(f"{source}: {mask_data(shown(key))} is given twice.")
        values[key] = (
            text
            if is_text(import_type.settings, key)
            else read_settings(f"value: {text}", f"{source} {mask_data(key)}").values["value"]
        )
    return RawSettings(source, values)
