"""The functions of the settings, with the project's import types by their names."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from include.declaration.settings import ImportSettings
from include.import_types import IMPORT_TYPES
from include.settings import checks, defaults, files, layers
from include.settings.raw import RawSettings

load_defaults = partial(defaults.load_defaults, IMPORT_TYPES)
fingerprint_settings = partial(layers.fingerprint_settings, IMPORT_TYPES)


def resolve(import_type: str, *settings: Any, **layered: Any) -> Any:
    return layers.resolve(IMPORT_TYPES, IMPORT_TYPES.of(import_type), *settings, **layered)


def inheritable(import_type: str, stored: Mapping[str, object]) -> layers.InheritedSettings:
    return layers.inheritable(IMPORT_TYPES[import_type], stored)


def read_assignments(assignments: Iterable[str], import_type: str = "gift_cards") -> RawSettings:
    return files.read_assignments(IMPORT_TYPES[import_type], assignments)


def find_mistakes(import_type: str, settings: Mapping[str, object]) -> dict[str, str]:
    return checks.find_mistakes(IMPORT_TYPES, IMPORT_TYPES[import_type], settings)


def settings_of(import_type: str, **values: object) -> ImportSettings:
    return IMPORT_TYPES[import_type].settings.model_validate(values)
