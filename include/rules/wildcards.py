"""Rules for fields that the project settings add: an expectation on the column `custom_field_*` means one on each.

The expanded rules are filed under the fields themselves: `custom_field_*.not_date` gives `custom_field_born.not_date`.
`{label}` and `{choices}` in a message, or in a rule of the load, are the field's own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from include.declaration.fields import Field, Kind, LoadRule
from include.errors import SuiteError

ANY = "*"


def expand_entries(entries: Iterable[Mapping[str, Any]], fields: Sequence[Field]) -> list[dict[str, Any]]:
    """Return the entries of a suite's JSON with those on `prefix_*` repeated for each field of that prefix.

    Args:
        entries: as the JSON has them. `meta.kinds` limits a wildcard to fields of these kinds. A `columns` argument may
            hold wildcards too: they are replaced by all fields that they match.
        fields: the fields that the frame has.

    Raises:
        SuiteError: `meta.kinds` names no kind of field: the rule would never be judged.
    """
    expanded = []
    for entry in entries:
        arguments = entry.get("kwargs")
        if not isinstance(arguments, dict):
            expanded.append(dict(entry))
            continue
        if isinstance(columns := arguments.get("columns"), list) and any(ANY in str(name) for name in columns):
            entry = {**entry, "kwargs": {**arguments, "columns": _matched(columns, fields)}}
        if ANY in str(arguments.get("column", "")):
            expanded += [_entry_for(entry, field) for field in _meant(entry, fields)]
        else:
            expanded.append(dict(entry))
    return expanded


def expand_load_rules(rules: Iterable[LoadRule], fields: Sequence[Field]) -> list[LoadRule]:
    """Return the rules of a load with those of `prefix_*` repeated for each field of that prefix."""
    expanded = []
    for rule in rules:
        pattern, _, name = rule.id.partition(".")
        if ANY not in pattern:
            expanded.append(rule)
            continue
        expanded += [
            LoadRule(f"{field.name}.{name}", rule.message.replace("{label}", field.label), rule.source, rule.severity)
            for field in fields
            if fnmatchcase(field.name, pattern)
        ]
    return expanded


def _matched(columns: Sequence[str], fields: Sequence[Field]) -> list[str]:
    names = []
    for pattern in columns:
        names += [field.name for field in fields if fnmatchcase(field.name, pattern)] if ANY in pattern else [pattern]
    return names


def _meant(entry: Mapping[str, Any], fields: Sequence[Field]) -> list[Field]:
    kinds = entry.get("meta", {}).get("kinds")
    pattern = entry["kwargs"]["column"]
    if kinds is not None and not (isinstance(kinds, list) and kinds and set(kinds) <= set(Kind)):
        raise SuiteError(f"The rules on {pattern}: meta.kinds must be a list of {', '.join(Kind)}.")
    return [field for field in fields if fnmatchcase(field.name, pattern) and (kinds is None or field.kind in kinds)]


def _entry_for(entry: Mapping[str, Any], field: Field) -> dict[str, Any]:
    expanded = copy.deepcopy(dict(entry))
    expanded["kwargs"]["column"] = field.name
    meta = expanded["meta"]
    meta.pop("kinds", None)
    meta["rule"] = str(meta["rule"]).replace(entry["kwargs"]["column"], field.name)
    for place, text in (("{label}", field.label), ("{choices}", ", ".join(field.choices))):
        # A name of the project settings is no message: its braces are no places.
        meta["message"] = meta["message"].replace(place, text.replace("{", "{{").replace("}", "}}"))
    return expanded
