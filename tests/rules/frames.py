"""Frames as the import builds them, for tests of rules: Arrow-backed columns, numbered from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa

from include import import_types
from include.declaration.fields import Field, Kind
from include.reading import parsing

DAMAGE = frozenset(
    {
        *("invisible_character", "error_value", "spreadsheet_number", "changed_number", "single_quotes"),
        *("leading_apostrophe", "rounded", "blank_inside", "no_letter_or_digit", "phone_characters", "implausible"),
    }
)
"""Rules about what a program has damaged, which all fields of a kind have: `test_damaged_values.py` tries them all."""
DECIMAL = pa.decimal128(18, 2)
TIMESTAMP = pa.timestamp("us", "UTC")
LAUNCHED_AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

_FACT_TYPES = {Kind.TEXT: pa.string(), Kind.BOOLEAN: pa.bool_(), Kind.DECIMAL: DECIMAL, Kind.INTEGER: pa.int64()}


def frame_of(**columns: pa.Array) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series(pd.arrays.ArrowExtensionArray(values), copy=False) for name, values in columns.items()}
    )


def is_about_damage(rule: str) -> bool:
    return rule.partition(".")[2] in DAMAGE


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def read_rows(
    type_name: str,
    rows: Sequence[Mapping[str, str]],
    lookups: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    slash_dates: str = "refuse",
    settings: Mapping[str, str] | None = None,
    fields: Sequence[Field] | None = None,
    max_card_value: Decimal | None = None,
) -> pd.DataFrame:
    """Read rows (field → cell text; what is left out is blank) into a frame; lookups are name → key → facts.

    `fields` stands in for the declared fields, where those of the project settings are wanted too; `max_card_value` is
    the project's.
    """
    import_type = import_types.get(type_name)
    options = parsing.ReadOptions(slash_dates=slash_dates, phone_region="US", today=LAUNCHED_AT.date())
    columns = {
        "line": pa.array(range(2, len(rows) + 2), pa.int64()),
        "job__launched_at": pa.array([LAUNCHED_AT] * len(rows), TIMESTAMP),
        "project__max_card_value": pa.array([max_card_value] * len(rows), DECIMAL),
    }
    for field in import_type.fields if fields is None else fields:
        cells = pa.array([row.get(field.name, "") for row in rows], pa.string())
        columns |= parsing.read_field(cells, field, options)
        if field.setting is not None:
            columns = parsing.with_setting(columns, field, (settings or {}).get(field.setting))
    for name in import_type.shown_settings:
        value = pa.scalar((settings or {}).get(name), pa.string())
        columns[f"setting__{name}"] = pa.repeat(value, len(rows))
    for lookup in import_type.lookups:
        table, keys = lookups[lookup.name], columns[lookup.field].to_pylist()
        found = [None if key is None else key in table for key in keys]
        columns[f"{lookup.name}__found"] = pa.array(found, pa.bool_())
        for name, kind in lookup.columns.items():
            facts = [table.get(key, {}).get(name) for key in keys]
            columns[f"{lookup.name}__{name}"] = pa.array(facts, _FACT_TYPES[kind])
    return frame_of(**columns)
