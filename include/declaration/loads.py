"""Loads that follow from a declaration: a table with a natural key, whose columns are the fields of the type.

A type whose rows obey laws of their own has load statements instead (`ImportType.load_statements`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.declaration.fields import Field, LoadRule

DUPLICATE = "duplicate_in_file"
OTHER_VALUES = "other_values"


@dataclass(frozen=True)
class Insert:
    """Rows of new keys are added and never changed by an import: a row that differs from the stored one is rejected.

    Only the fields that the file has a column for are compared.
    """

    edits = False

    def rules(self, key: Field) -> tuple[LoadRule, ...]:
        """Return the rules that the load decides."""
        return (
            _duplicate(key),
            LoadRule(
                f"{key.name}.{OTHER_VALUES}",
                f"A row with this {_in_sentence(key)}{_value(key)} has been imported before, and an import never "
                "changes it; this row differs in {fields}.",
                "X-17",
            ),
        )

    def refusal(self, key: Field, fields: Sequence[Field]) -> str | None:
        """Say why fields can't be loaded like this; None when they can."""
        return _needs_statements(fields)


@dataclass(frozen=True)
class Upsert:
    """Rows of new keys are added, the others edit the stored row: a blank cell keeps its value, `%CLEAR%` erases it."""

    edits = True

    def rules(self, key: Field) -> tuple[LoadRule, ...]:
        """Return the rules that the load decides."""
        return (_duplicate(key),)

    def refusal(self, key: Field, fields: Sequence[Field]) -> str | None:
        """Say why fields can't be loaded like this; None when they can."""
        if len(fields) == 1:
            return "has no field beside its key that a row could change: declare load=Insert()"
        if key.clearable:
            return f"{key.name} is the key, which nothing erases: it can't be clearable"
        for field in fields:
            if field.default is not None:
                return f"{field.name} has a default, but a blank cell keeps the stored value"
        return _needs_statements(fields)


Load = Insert | Upsert


def _needs_statements(fields: Sequence[Field]) -> str | None:
    for field in fields:
        if field.is_secret or field.packed:
            return f"{field.name} is not stored under its own name: the type needs load statements"
    return None


def _duplicate(key: Field) -> LoadRule:
    return LoadRule(
        f"{key.name}.{DUPLICATE}",
        f"Duplicate {_in_sentence(key)}{_value(key)}, first seen on line {{line}}. The first row is kept.",
        "X-17",
    )


def _value(key: Field) -> str:
    return "" if key.sensitive else " {value}"


def _in_sentence(field: Field) -> str:
    """Return a label within a sentence: with a small letter, unless it begins with an abbreviation."""
    return field.label if field.label[1:2].isupper() else f"{field.label[:1].lower()}{field.label[1:]}"
