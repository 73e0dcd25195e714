"""Which raw settings are wrong, and the sentences that say so. Source: X-11."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from include.declaration.import_type import ImportType, ImportTypes
from include.declaration.settings import ImportSettings
from include.errors import SettingsError
from include.located_yaml import explain, quoted, show_key
from include.names import closest, did_you_mean, normalise_name
from include.settings.raw import Checked, Mistakes, RawSettings

MOST_MISTAKES = 10
"""So many a refusal lists; of the others it says how many there are."""
_LONGEST_REFUSAL_BYTES = 2000


def find_mistakes(types: ImportTypes, import_type: ImportType, values: Mapping[str, object]) -> dict[str, str]:
    """Return what is wrong with settings, setting by setting, for a form that says so beside each."""
    mistakes = check(RawSettings("the form", values), import_type, types).mistakes
    return {key: f"{sentence[:1].upper()}{sentence[1:]}." for key, sentence in reversed(mistakes.first)}


def validated(settings: RawSettings, import_type: ImportType, types: ImportTypes) -> Mapping[str, Any]:
    """Return the values of raw settings, as the type reads them.

    Raises:
        SettingsError: some are wrong; each is named with its source.
    """
    checked = check(settings, import_type, types)
    if checked.mistakes.number:
        raise SettingsError(refusal(settings, checked.mistakes))
    return checked.values


def refusal(settings: RawSettings, mistakes: Mistakes) -> str:
    """List the first mistakes, as far as they fit into a message, and say how many others there are."""
    sentences: list[str] = []
    for key, sentence in mistakes.first:
        sentences.append(f"{settings.at(key)}: {sentence}.")
        if len(" ".join(sentences).encode()) > _LONGEST_REFUSAL_BYTES and len(sentences) > 1:
            sentences.pop()
            break
    others = mistakes.number - len(sentences)
    return " ".join([*sentences, f"… and {others:,} more."] if others else sentences)


def check(settings: RawSettings, import_type: ImportType, types: ImportTypes) -> Checked:
    """Check the settings that a person gave; a text that is read once is checked once a type as well."""
    if not settings.values:  # most layers of most files
        return Checked(import_type, {}, Mistakes([], 0))
    if settings.checked is None:
        return _check(settings, import_type, types)
    checked = settings.checked.get(import_type.name)
    if checked is None or checked.import_type is not import_type:
        checked = settings.checked[import_type.name] = _check(settings, import_type, types)
    return checked


def _check(settings: RawSettings, import_type: ImportType, types: ImportTypes) -> Checked:
    """Check the settings someone gave: unknown keys first, then wrong values, then what the type can't do with them.

    Only the first mistakes are put into words: to find out what forty thousand keys may have meant takes seconds.
    """
    names = import_type.settings.names()
    strange = [key for key in settings.values if key not in names]
    first: list[tuple[str, str]] = []
    is_listed = False
    for key in strange[:MOST_MISTAKES]:
        if owners := types.with_setting(key):
            first.append((key, f"only {', '.join(owners)} have this setting, not {import_type.name}"))
            continue
        near = closest(key, {normalise_name(name): name for name in names})
        choice = f" (did you mean {near}?)" if near else "" if is_listed else f" (there are: {', '.join(names)})"
        is_listed = is_listed or near is None
        first.append((key, f"there is no such setting{choice}"))
    try:
        read = import_type.settings.model_validate(
            {key: settings.values[key] for key in settings.values if key in names}
        )
    except ValidationError as error:
        first += map(_wrong_value, error.errors(include_url=False)[: MOST_MISTAKES - len(first)])
        return Checked(import_type, {}, Mistakes(first, len(strange) + error.error_count()))
    misfits = _misfits(read, import_type, types)
    first += misfits.first[: MOST_MISTAKES - len(first)]
    values = {key: getattr(read, key) for key in settings.values if key in names}
    return Checked(import_type, values, Mistakes(first, len(strange) + misfits.number))


def _wrong_value(detail: Mapping[str, Any]) -> tuple[str, str]:
    setting, *inner = detail["loc"]
    place = f"{quoted(show_key(tuple(inner)))} " if inner else ""
    return str(setting), f"{place}{explain(detail)}"


def _misfits(read: ImportSettings, import_type: ImportType, types: ImportTypes) -> Mistakes:
    """Return what is wrong with values that only the import type can judge."""
    mistakes = []
    if read.action is not None and read.action not in import_type.actions:
        there = did_you_mean(read.action, import_type.actions)
        mistakes.append(("action", f"{import_type.name} have no action {quoted(read.action)}{there}"))
    if import_type.settings.utf8_alone and read.encoding != "utf-8":
        mistakes.append(("encoding", f"files of {import_type.name} are UTF-8, found {quoted(read.encoding)}"))
    mistakes += [("locked", sentence) for name in read.locked if (sentence := _unlockable(name, import_type, types))]
    others = [name for name in types if name != import_type.name]
    strange = [name for name in read.after if name not in others]
    first = [
        ("after", f"there is no other import type {quoted(name)}{did_you_mean(name, others)}")
        for name in strange[:MOST_MISTAKES]
    ]
    return Mistakes(mistakes + first, len(mistakes) + len(strange))


def _unlockable(name: str, import_type: ImportType, types: ImportTypes) -> str | None:
    """Say why nobody can lock a setting of this name; None when it can be locked."""
    if name in import_type.settings.names() and name != "locked":
        return None
    if owners := types.with_setting(name) if name != "locked" else []:
        return f"only {', '.join(owners)} have the setting {name}, not {import_type.name}"
    lockable = [other for other in types.setting_names() if other != "locked"]
    return f"there is no setting {quoted(name)} to lock{did_you_mean(name, lockable)}"
