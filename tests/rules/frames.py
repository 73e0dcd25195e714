"""Frames as the import builds them, for tests of rules: Arrow-backed columns, numbered from 0."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa

from include import import_types
from include.columns.mapping import map_columns
from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType
from include.project.loader import load_project
from include.reading import parsing
from include.rules.suites import Rule, Suite

DECIMAL = pa.decimal128(18, 2)
TIMESTAMP = pa.timestamp("us", "UTC")
LAUNCHED_AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

_FACT_TYPES = {Kind.TEXT: pa.string(), Kind.BOOLEAN: pa.bool_(), Kind.DECIMAL: DECIMAL, Kind.INTEGER: pa.int64()}


def frame_of(**columns: pa.Array) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series(pd.arrays.ArrowExtensionArray(values), copy=False) for name, values in columns.items()}
    )


class AnyKey(dict[str, Any]):
    """A lookup that has every key, and no facts about any."""

    def __contains__(self, key: object) -> bool:
        return True


def written_by_hand(suite: Suite) -> list[Rule]:
    """Return the rules that people write: `test_standard_rules.py` tries the others in every type."""
    return [rule for rule in suite.rules if not (rule.expectation.meta or {}).get("standard")]


def sample_row(import_type: ImportType) -> dict[str, str]:
    """Return the first row of a type's sample: field → cell text."""
    header, first, *_ = csv.reader(import_type.sample.read_text(encoding="utf-8").splitlines())
    mapping = map_columns(header, import_type.all_fields(load_project()), {}, import_type)
    return {column.field: cell for column, cell in zip(mapping.columns, first, strict=True) if column.field}


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
    max_generation: int = 10_000_000,
) -> pd.DataFrame:
    """Read rows (field → cell text; what is left out is blank) into a frame; lookups are name → key → facts.

    `fields` replaces the declared fields, where those of the project settings are wanted too; `max_card_value` and
    `max_generation` are the project's.
    """
    import_type = import_types.get(type_name)
    options = parsing.ReadOptions(slash_dates=slash_dates, phone_region="US", today=LAUNCHED_AT.date())
    columns = {
        "line": pa.array(range(2, len(rows) + 2), pa.int64()),
        "job__launched_at": pa.array([LAUNCHED_AT] * len(rows), TIMESTAMP),
        "project__max_card_value": pa.array([max_card_value] * len(rows), DECIMAL),
        "project__max_generation": pa.array([max_generation] * len(rows), pa.int64()),
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
        is_found = [None if key is None else key in table for key in keys]
        columns[f"{lookup.name}__found"] = pa.array(is_found, pa.bool_())
        for name, kind in lookup.columns.items():
            facts = [table.get(key, {}).get(name) for key in keys]
            columns[f"{lookup.name}__{name}"] = pa.array(facts, _FACT_TYPES[kind])
    return frame_of(**columns)
