"""What settings there are, as JSON schema and in words: for a run's form, for pages and for the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from include.declaration.import_type import ImportType, ImportTypes
from include.declaration.settings import ImportSettings, OfOneRun


class SettingDescription(NamedTuple):
    """One line of the table of settings."""

    name: str
    values: str
    default: str
    only_for: tuple[str, ...]
    description: str


def parameter_schema(import_type: ImportType) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each setting for a run's form: every one may be null, "left alone"."""
    properties = import_type.settings.model_json_schema()["properties"]
    over = {name for name, mark in import_type.settings.marked(OfOneRun).items() if mark.is_over}
    return {
        name: _form_field(name, properties[name], import_type)
        for name in import_type.settings.names()
        if name not in over
    }


def describe_settings(types: ImportTypes) -> list[SettingDescription]:
    """Return the table of all settings: those that all types have first, then those of one type after another."""
    table = []
    for name in types.setting_names():
        owners = types.with_setting(name)
        settings = types[owners[0]].settings
        default = settings.default(name)
        table.append(
            SettingDescription(
                name,
                _values_in_words(_without_null(settings.model_json_schema()["properties"][name])),
                "" if default in (None, {}, []) else json.dumps(default).strip('"'),
                () if len(owners) == len(types) else tuple(owners),
                settings.model_fields[name].description or "",
            )
        )
    return table


def is_text(settings: type[ImportSettings], key: str) -> bool:
    """Say whether a setting's value is text as it is."""
    schema = settings.model_json_schema()["properties"].get(key, {})
    return _without_null(schema).get("type") == "string"


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    variants = [variant for variant in schema.get("anyOf", [schema]) if variant.get("type") != "null"]
    return dict(variants[0])


def _form_field(name: str, schema: Mapping[str, Any], import_type: ImportType) -> dict[str, Any]:
    value = {
        key: part
        for key, part in _without_null(schema).items()
        if key in ("type", "enum", "minimum", "maximum", "additionalProperties")
    }
    if name == "action":
        value["enum"] = list(import_type.actions)
    if "enum" in value:
        value["enum"] = [*value["enum"], None]
    words = name.replace("_", " ")
    return {
        **value,
        "type": [value["type"], "null"],
        "title": f"{words[:1].upper()}{words[1:]}",
        "description": schema["description"],
    }


def _values_in_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(schema["enum"])
    kinds = {
        "boolean": "true, false",
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "object": "keys and values",
        "array": "list",
    }
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = "" if low is None else f" from {low:,}" if high is None else f" from {low:,} to {high:,}"
    return kinds[schema["type"]] + bounds
