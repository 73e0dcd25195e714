"""The settings of an import as a form of a page: which it offers, and how what was filled in is read. Source: X-11."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.declaration.import_type import ImportType, ImportTypes
from include.declaration.settings import ImportSettings, InForm
from include.settings.checks import check, find_mistakes
from include.settings.raw import RawSettings
from include.settings.schema import parameter_schema
from include.values.private_values import may_be_private

_WORDS = {"yes": True, "no": False}


def read_form(
    types: ImportTypes, import_type: ImportType, texts: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the settings of a form.

    Returns:
        Those that are right, as values; what is wrong with each of the others.
    """
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    schema = parameter_schema(import_type)
    for name, text in texts.items():
        if not text.strip():  # left alone
            continue
        kinds = schema[name]["type"] if name in schema else ["string"]
        value: Any = text.strip()
        if "boolean" in kinds:
            value = _WORDS.get(value, value)
        elif "number" in kinds:
            value = _number(value)
        mistakes = find_mistakes(types, import_type, {name: value})
        if mistakes:
            problems[name] = mistakes[name]
        else:
            values[name] = value
    return values, problems


def form_settings(import_type: ImportType) -> dict[str, dict[str, Any]]:
    """Return the settings that a form offers for a type: name → JSON schema, as a run's form has them.

    The action comes first, then what the type alone has, then what all have.
    """
    schema = parameter_schema(import_type)
    offered = import_type.settings.marked(InForm)
    left_out = {"encoding"} if import_type.settings.utf8_alone else set()
    if len(import_type.actions) == 1:
        left_out.add("action")
    general = ImportSettings.names()
    own = [name for name in offered if name not in general]
    names = ["action", *own, *(name for name in general if name in offered and name != "action")]
    return {name: schema[name] for name in names if name not in left_out}


def split_for_form(
    types: ImportTypes, import_type: ImportType, values: Mapping[str, object]
) -> tuple[dict[str, str], dict[str, object]]:
    """Return the settings that a form can hold, as texts, and the others as they are: together they are all of them.

    A form holds a setting that it offers, and that is the same when its text is read; none that may be private (X-20).
    """
    offered = form_settings(import_type)
    texts = {name: form_text(value) for name, value in values.items() if name in offered}
    held = {
        name: text
        for name, text in texts.items()
        if not may_be_private(text) and _reads_as(types, import_type, name, text, values[name])
    }
    return held, {name: value for name, value in values.items() if name not in held}


def form_text(value: object) -> str:
    """Return a setting as it is written in a form; "" for none."""
    if isinstance(value, bool):
        return next(word for word, meant in _WORDS.items() if meant is value)
    return "tab" if value == "\t" else "" if value is None else str(value)


def _reads_as(types: ImportTypes, import_type: ImportType, name: str, text: str, value: object) -> bool:
    if not text.isprintable():
        return False
    read, _ = read_form(types, import_type, {name: text})
    return name in read and check(RawSettings("the form", read), import_type, types).values[name] == value


def _number(text: str) -> float | str:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text
