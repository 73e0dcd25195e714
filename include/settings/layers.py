"""The settings of one import: who gives them, which one holds. Source: X-09, X-11, X-21."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from include.declaration.import_type import ImportType, ImportTypes
from include.declaration.settings import Bears, ImportSettings, OfOneRun
from include.errors import SettingsError
from include.located_yaml import describe, named, shown
from include.settings.checks import MOST_MISTAKES, refusal, validated
from include.settings.defaults import IMPORTS_YAML, load_defaults
from include.settings.raw import Mistakes, RawSettings

_LOCKERS = ("defaults", "folder")
"""Givers of settings who may lock some: what is there before a file is dropped or a run started (X-21)."""

_OF_FOLDERS = {"locked": "can lock settings", "ignore": "can say which names are ignored"}
"""Settings that only they may give."""

_FOR_ONE_FILE = ("sidecar", "parameters", "review")
"""Givers of settings that were meant for one file and the corrected rows of it."""


@dataclass(frozen=True)
class InheritedSettings:
    """What a corrected file takes over from the job that rejected its rows (X-09).

    Two are equal when their values are, and what followed from them: who gave them does not matter to the rows.
    """

    values: Mapping[str, object]
    given_by: Mapping[str, str] = field(compare=False)
    derived: Mapping[str, str] = field(default_factory=dict)


def resolve(
    types: ImportTypes,
    import_type: ImportType,
    type_folder: RawSettings | Mapping[str, object] | None = None,
    folder: RawSettings | Mapping[str, object] | None = None,
    sidecar: RawSettings | Mapping[str, object] | None = None,
    inherited: InheritedSettings | Mapping[str, object] | None = None,
    parameters: RawSettings | Mapping[str, object] | None = None,
    *,
    landing_folder: RawSettings | Mapping[str, object] | None = None,
    named_folder: RawSettings | Mapping[str, object] | None = None,
    folder_name: str | None = None,
    defaults_file: Path = IMPORTS_YAML,
) -> ImportSettings:
    """Decide the settings of one import. Source: X-09, X-11.

    In rising precedence: the type's defaults, the folder's settings file, the sidecar, the run's parameters. A key's
    value replaces the one below it as a whole, `mapping` too.

    What a corrected file inherits takes the place where it was given: what was set for the earlier job itself (by
    sidecar, parameters or in its review) goes before the folder's settings, which were there then as well; the rest
    goes behind them, so that a folder's settings that were corrected since apply.

    What a folder's settings file, or the defaults, lock stays as it is there: a later layer may only repeat it, and
    what a corrected file inherits yields to it (X-21).

    The name of a folder below the type's own is no layer: it gives the type's `folder_setting`, and a layer that gives
    that setting too must give the same (PC-02). It is a new, explicit setting: what a corrected file inherits yields to
    it.

    Args:
        types: all that there are: a type's settings may name others.
        type_folder: of `_settings.yaml` in the type's folder, for a file in a folder below it.
        folder: of `_settings.yaml`.
        sidecar: of `<file name>.settings.yaml`.
        inherited: the ledger's settings of the earlier job; keys that no longer exist are passed over.
        parameters: None and "" mean that a form's field was left alone.
        landing_folder: of `_settings.yaml` in the type's landing folder, for a file that is elsewhere: only what it
            locks holds.
        named_folder: of `_settings.yaml` in the folder that the settings name, for a file that is not in it: only what
            it locks holds.
        folder_name: of the folder below the type's own in which the file is.
        defaults_file: as `load_defaults` reads it.

    Raises:
        SettingsError: an unknown key (with a close match), one that does not fit the type, a wrong value; each named
            with its source; one that is locked. Rule `file.<setting>_disagrees`: settings and folder name different
            values of the type's `folder_setting`.
        ConfigurationError: the defaults file is wrong.
    """
    folder_name = None if folder_name is None else unicodedata.normalize("NFC", folder_name)
    names = import_type.settings.names()
    source_of_named = f"the {import_type.folder_setting} folder's settings"
    chosen = _as_layer(parameters, "the run's parameters")
    filled_in = {key: value for key, value in chosen.values.items() if key not in names or value not in (None, "")}
    before_the_file = [
        ("defaults", load_defaults(types, defaults_file).get(import_type.name, RawSettings(defaults_file.name, {}))),
        ("folder", _locked_part(_as_layer(landing_folder, "the landing folder's settings"), import_type, types)),
        ("folder", _as_layer(type_folder, "the type folder's settings")),
        ("folder", _as_layer(folder, "the folder's settings")),
        ("folder", _locked_part(_as_layer(named_folder, source_of_named), import_type, types, of_its_name=True)),
    ]
    for_the_file = [
        ("sidecar", _as_layer(sidecar, "the file's settings")),
        ("parameters", replace(chosen, values=filled_in, checked=None)),
    ]
    locked = {key for _, layer in before_the_file for key in validated(layer, import_type, types).get("locked", ())}
    taken_over = inherited if isinstance(inherited, InheritedSettings) else inheritable(import_type, inherited or {})
    overruled = locked if folder_name is None else {*locked, import_type.folder_setting}
    fitting = {key: value for key, value in taken_over.values.items() if key in names and key not in overruled}
    of_that_job = {key for key in fitting if taken_over.given_by.get(key) in (None, *_FOR_ONE_FILE)}
    own = {key: fitting[key] for key in fitting if key in of_that_job}
    rest = {key: fitting[key] for key in fitting if key not in of_that_job}

    merged = _Merged(types, import_type, folder_name)
    defaults, *folders = before_the_file
    merged.add(*defaults)
    merged.take_over(rest, taken_over.given_by)
    for giver, layer in folders:
        merged.add(giver, layer)
    merged.take_over(own, taken_over.given_by)
    for giver, layer in for_the_file:
        merged.add(giver, layer)
    values, given_by = merged.values, merged.given_by
    _take_folder_name(values, given_by, folder_name, import_type)
    values["action"] = _action(values.get("action"), import_type)
    given_by = {key: giver for key, giver in given_by.items() if giver != "defaults"}
    settings = import_type.settings(**values, given_by=given_by, derived=dict(taken_over.derived))
    _check_kept_for_review(settings)
    return settings


def _locked_part(
    layer: RawSettings, import_type: ImportType, types: ImportTypes, *, of_its_name: bool = False
) -> RawSettings:
    """Return the settings that a layer locks, and that it locks them.

    Args:
        of_its_name: they are of the folder that the settings name: that name itself is locked by nobody.
    """
    locks = [
        key
        for key in validated(layer, import_type, types).get("locked", ())
        if not of_its_name or key != import_type.folder_setting
    ]
    values = {key: layer.values[key] for key in layer.values if key in locks}
    return replace(layer, values=values | ({"locked": locks} if locks else {}), checked=None)


class _Merged:
    """The settings of an import while they are put together, layer by layer, and which of them are locked."""

    def __init__(self, types: ImportTypes, import_type: ImportType, folder_name: str | None) -> None:
        self._types = types
        self._import_type = import_type
        self._folder_name = folder_name
        self._locked_by: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self.given_by: dict[str, str] = {}

    def add(self, giver: str, layer: RawSettings) -> None:
        """Put a layer over those before.

        Raises:
            SettingsError: wrong settings, or it changes what is locked.
        """
        values = validated(layer, self._import_type, self._types)
        for key in _OF_FOLDERS if giver not in _LOCKERS else ():
            if key in values:
                raise SettingsError(f"{layer.at(key)}: only a folder's settings file {_OF_FOLDERS[key]}.")
        locks = values.get("locked", ())
        changes = [(key, sentence) for key, value in values.items() if (sentence := self._objection(key, value))]
        if changes:
            raise SettingsError(refusal(layer, Mistakes(changes[:MOST_MISTAKES], len(changes))))
        for key, value in values.items():
            if key != "locked" and key not in self._locked_by:
                self.values[key], self.given_by[key] = value, giver
        for key in locks:
            self._locked_by.setdefault(key, layer.source)
        if locks:
            self.values["locked"], self.given_by["locked"] = list(self._locked_by), giver

    def take_over(self, inherited: Mapping[str, object], given_by: Mapping[str, str]) -> None:
        """Put the settings of the earlier job over those before."""
        layer = RawSettings("settings of the earlier job", inherited)
        values = validated(layer, self._import_type, self._types)
        for key, value in values.items():
            self.values[key], self.given_by[key] = value, given_by.get(key, "sidecar")

    def _objection(self, key: str, value: object) -> str | None:
        """Say why a setting may not be given so; None when it may."""
        if key not in self._locked_by:
            return None
        held = self._held(key)
        if value == held:
            return None
        if isinstance(value, Mapping):  # its headers may be data
            return f"is locked by {shown(self._locked_by[key])} and can't be another one"
        is_name = key == self._import_type.folder_setting
        stays, other = (named(text) if is_name and isinstance(text, str) else describe(text) for text in (held, value))
        return f"is locked by {shown(self._locked_by[key])} and stays {stays}; found {other}"

    def _held(self, key: str) -> object:
        """Return what holds for a locked setting."""
        value = self.values.get(key, self._import_type.settings.default(key))
        if value is None and key == self._import_type.folder_setting:
            return self._folder_name
        if value is None and key == "action" and len(self._import_type.actions) == 1:
            return self._import_type.actions[0]
        return value


def inheritable(import_type: ImportType, stored: Mapping[str, object]) -> InheritedSettings:
    """Return what a corrected file takes over from a job, given the settings that the ledger holds of it (X-09)."""
    left_out = {*import_type.settings.marked(OfOneRun), "given_by", "derived"}
    values = {key: value for key, value in stored.items() if key not in left_out}
    given_by, derived = stored.get("given_by"), stored.get("derived")
    derived = dict(derived) if isinstance(derived, Mapping) else {}
    if not isinstance(given_by, Mapping):
        return InheritedSettings(values, {}, derived)
    return InheritedSettings(values, {key: str(given_by.get(key, "defaults")) for key in values}, derived)


def chosen_settings(import_type: ImportType, stored: Mapping[str, object]) -> dict[str, object]:
    """Return what a job was given beside the defaults, for another import of its file: the ledger's settings of it."""
    before = inheritable(import_type, stored)
    return {key: value for key, value in before.values.items() if before.given_by.get(key, "defaults") != "defaults"}


def fingerprint_settings(types: ImportTypes, settings: ImportSettings) -> str:
    """Return the settings that bear on what is loaded, and what follows from them, as canonical JSON (X-13)."""
    bearing = {
        name: import_type.settings.default(name)
        for import_type in types.values()
        for name, mark in import_type.settings.marked(Bears).items()
        if mark.by_all
    }
    values = settings.model_dump(mode="json")
    for name, mark in settings.marked(Bears).items():
        if mark.by_all or getattr(settings, name) != settings.default(name):
            bearing[name] = values[name]
    return json.dumps(bearing | settings.derived, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _take_folder_name(
    values: dict[str, Any], given_by: dict[str, str], folder_name: str | None, import_type: ImportType
) -> None:
    setting = import_type.folder_setting
    if folder_name is None or setting is None:
        return
    value = values.get(setting)
    if value is not None and value != folder_name:
        raise SettingsError(
            f"The file is in the folder of the {setting} {named(folder_name)}, but its settings "
            f"({given_by[setting]}) name the {setting} {named(value)}.",
            f"file.{setting}_disagrees",
        )
    if value is None:
        values[setting], given_by[setting] = folder_name, "folder"


def _check_kept_for_review(settings: ImportSettings) -> None:
    """Refuse to wait for an answer for longer than the file is kept (X-20)."""
    longest = 24 * settings.retention_days
    if settings.review_hours > longest:
        raise SettingsError(
            f"review_hours: {settings.review_hours:g} hours are longer than the file is kept, retention_days "
            f"{settings.retention_days}: state {longest} at most, or more days."
        )


def _as_layer(layer: RawSettings | Mapping[str, object] | None, source: str) -> RawSettings:
    return layer if isinstance(layer, RawSettings) else RawSettings(source, layer or {})


def _action(action: str | None, import_type: ImportType) -> str:
    if action is not None:
        return action
    if len(import_type.actions) == 1:
        return import_type.actions[0]
    raise SettingsError(f"action: must be stated for {import_type.name}, one of {', '.join(import_type.actions)}.")
