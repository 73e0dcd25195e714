"""The defaults of each import type, which `include/config/imports.yaml` states. Source: X-11."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from include.declaration.import_type import ImportTypes
from include.errors import ConfigurationError
from include.located_yaml import YamlMistake, read_yaml, show_key
from include.names import did_you_mean
from include.settings.checks import check
from include.settings.raw import RawSettings

IMPORTS_YAML = Path(__file__).resolve().parents[1] / "config" / "imports.yaml"


def load_defaults(types: ImportTypes, path: Path = IMPORTS_YAML) -> dict[str, RawSettings]:
    """Read the defaults of each import type.

    Raises:
        ConfigurationError: one line for each mistake, with file, line and key.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path.name}: can't be read: {error.strerror}") from None
    return _parse_defaults(types, text, path.name)


@lru_cache(maxsize=8)  # the landing folders are listed twice a second, and each file in them asks
def _parse_defaults(types: ImportTypes, text: bytes, file_name: str) -> dict[str, RawSettings]:
    try:
        located = read_yaml(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file_name}: not UTF-8 at byte {error.start}") from None
    except YamlMistake as mistake:
        raise ConfigurationError(f"{file_name}: line {mistake.line or 1}: {mistake.sentence}") from None
    mistakes: list[str] = []

    def complain(key: tuple[str, ...], sentence: str) -> None:
        mistakes.append(f"{file_name}: line {located.line_of(key)}, {show_key(key)}: {sentence}")

    by_type: dict[str, RawSettings] = {}
    sections = located.value if isinstance(located.value, dict) else {}
    if not sections:
        raise ConfigurationError(f"{file_name}: expected a section for each import type, found none")
    for name, section in sections.items():
        if name not in types:
            complain((name,), f"there is no such import type{did_you_mean(name, types)}")
            continue
        defaults = section.get("defaults") if isinstance(section, dict) else None
        if not isinstance(defaults, dict) or list(section) != ["defaults"]:
            complain((name,), "must have the key defaults, with settings below it, and nothing else")
            continue
        lines = {key: located.line_of((name, "defaults", key)) for key in defaults}
        by_type[name] = RawSettings(file_name, defaults, lines, checked={})
        wrong = check(by_type[name], types[name], types).mistakes
        for key, sentence in wrong.first:
            complain((name, "defaults", key), sentence)
        if wrong.number > len(wrong.first):
            complain((name, "defaults"), f"and {wrong.number - len(wrong.first):,} more mistakes")
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return by_type
