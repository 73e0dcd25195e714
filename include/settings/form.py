"""The settings of an import as a form of a page: which it offers, and how what was filled in is read. Source: X-11."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.declaration.import_type import ImportType
from include.settings.layers import find_mistakes, parameter_schema

FORM_SETTINGS = (
    "action", "pool", "on_existing", "data_source", "point_of_contact", "segment", "take_point_of_contact_from_file",
    "take_action_template_from_file", "on_invalid_optional", "strict_sold_cards", "encoding", "delimiter",
    "slash_dates", "max_reject_share", "rejects_verbatim", "force",
)  # fmt: skip
"""The settings that a page offers, in this order: those that people need. The others are given by settings files."""
_WORDS = {"yes": True, "no": False}


def read_form(import_type: ImportType, texts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the settings of a form.

    Returns:
        Those that are right, as values; what is wrong with each of the others.
    """
    given: dict[str, Any] = {}
    problems: dict[str, str] = {}
    schema = parameter_schema(import_type.name)
    for name, text in texts.items():
        if not text.strip():  # left alone
            continue
        kinds = schema[name]["type"] if name in schema else ["string"]
        value: Any = text.strip()
        if "boolean" in kinds:
            value = _WORDS.get(value, value)
        elif "number" in kinds:
            value = _number(value)
        mistakes = find_mistakes(import_type.name, {name: value})
        if mistakes:
            problems[name] = mistakes[name]
        else:
            given[name] = value
    return given, problems


def form_settings(import_type: ImportType) -> dict[str, dict[str, Any]]:
    """Return the settings that a form offers for a type: name → JSON schema, as a run's form has them."""
    schema = parameter_schema(import_type.name)
    left_out = {"encoding"} if import_type.utf8_only else set()
    if len(import_type.actions) == 1:
        left_out.add("action")
    return {name: schema[name] for name in FORM_SETTINGS if name in schema and name not in left_out}


def form_text(value: object) -> str:
    """Return a setting as it is written in a form; "" for none."""
    if isinstance(value, bool):
        return next(word for word, meant in _WORDS.items() if meant is value)
    return "" if value is None else str(value)


def _number(text: str) -> float | str:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text
