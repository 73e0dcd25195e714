"""Fields of the project settings as JSON objects of the staging table: compared with Python's own JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.declaration.fields import Field, Kind
from include.reading.packing import escape, pack

pytestmark = pytest.mark.unit

TYPES = {
    Kind.TEXT: pa.string(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.DECIMAL: pa.decimal128(18, 2),
    Kind.DATE: pa.date32(),
    Kind.DATETIME: pa.timestamp("us", "UTC"),
}


def packed(kind: Kind, *values: object, key: str = "k", cleared: tuple[int, ...] = ()) -> list[str | None]:
    field = Field("f", "F", kind, packed=("column", key), clearable=True)
    is_clear = pa.array([row in cleared for row in range(len(values))], pa.bool_())
    texts: list[str | None] = pack(
        [field], {"f": pa.array(values, TYPES[kind]), "f__clear": is_clear}, len(values)
    ).to_pylist()
    return texts


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        (Kind.TEXT, ["red", "", '"\\\n', "зелёный"], ['"red"', '""', '"\\"\\\\\\u000a"', '"зелёный"']),
        (Kind.BOOLEAN, [True, False], ["true", "false"]),
        (Kind.INTEGER, [0, -5, 10**18 - 1], ["0", "-5", "999999999999999999"]),
        (
            Kind.DECIMAL,
            [Decimal("0.00"), Decimal("-0.05"), Decimal("9999999999999999.99")],
            ["0.00", "-0.05", "9999999999999999.99"],
        ),
        (Kind.DATE, [date(1, 2, 3), date(2024, 2, 29)], ['"0001-02-03"', '"2024-02-29"']),
        (
            Kind.DATETIME,
            [
                datetime(1, 1, 1, tzinfo=UTC),
                datetime(2024, 2, 29, 13, 45, 7, tzinfo=UTC),
                datetime(2024, 2, 29, 13, 45, 7, 120000, tzinfo=UTC),
            ],
            ['"0001-01-01T00:00:00Z"', '"2024-02-29T13:45:07Z"', '"2024-02-29T13:45:07.120000Z"'],
        ),
    ],
)
def test_values_are_typed_json(kind: Kind, values: list[object], texts: list[str]):
    assert packed(kind, *values) == [f'{{"k":{text}}}' for text in texts]


def test_cu04_a_blank_cell_has_no_key_and_a_cleared_one_is_null():
    assert packed(Kind.TEXT, "a", None, None, cleared=(2,)) == ['{"k":"a"}', None, '{"k":null}']
    assert packed(Kind.BOOLEAN, None, None) == [None, None]


def test_several_fields_are_one_object_and_a_row_without_any_has_none():
    fields = [
        Field("a", "A", packed=("c", "")),
        Field("b", "B", Kind.BOOLEAN, packed=("c", "Email/News"), clearable=True),
        Field("d", "D", Kind.INTEGER, packed=("c", 'say "d"')),
    ]
    columns = {
        "a": pa.array(["x", None, None, "y"]),
        "b": pa.array([True, None, None, None], pa.bool_()),
        "b__clear": pa.array([False, False, True, False]),
        "d": pa.array([1, None, None, None], pa.int64()),
    }
    assert pack(fields, columns, 4).to_pylist() == [
        '{"":"x","Email/News":true,"say \\"d\\"":1}',
        None,
        '{"Email/News":null}',
        '{"":"y"}',
    ]
    assert pack([], columns, 2).to_pylist() == [None, None]
    assert pack(fields, {name: values.slice(0, 0) for name, values in columns.items()}, 0).to_pylist() == []


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))), st.text(max_size=5))
def test_any_text_comes_back_as_it_was(values: list[str | None], key: str):
    texts = packed(Kind.TEXT, *values, key=key)
    assert [None if text is None else json.loads(text) for text in texts] == [
        None if value is None else {key: value} for value in values
    ]


def test_a_slice_of_a_column_is_escaped_by_its_own_bytes():
    texts = pa.array(['"', "a", "\t"])
    assert escape(texts.slice(1, 1)).to_pylist() == ["a"]
    assert escape(texts.slice(1)).to_pylist() == ["a", "\\u0009"]
