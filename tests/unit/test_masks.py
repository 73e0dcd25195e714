"""One way to write a masked value, and which values are. Source: X-20."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.importing.import_type import Field, Kind
from include.importing.mapping import match_columns
from include.importing.names import MASK, mask, may_be_private
from include.importing.preview import hidden_fields, safely_shown_cell, shown_cell

pytestmark = pytest.mark.unit

NUMBER = Field("card_number", "Card number", sensitive=True)
CVV = Field("cvv", "CVV", sensitive=True, is_secret=True)
STATUS = Field("status", "Status", Kind.ENUM, choices=("Active",))
BALANCE = Field("balance", "Balance", Kind.DECIMAL)
POOL = Field("pool", "Pool", Kind.IDENTIFIER)
FIELDS = (NUMBER, CVV, STATUS, BALANCE, POOL)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("4929333344445555", "…5555"), ("Maria", "…"), ("737", "…"), ("ann@example.com", "….com"), ("", ""), ("  ", "")],
)
def test_x20_a_masked_value_is_written_in_one_way(value: str, shown: str):
    assert mask(value) == shown


@pytest.mark.parametrize(
    "value",
    ["xmas_2026", "xmas-20261224", "Active", "-5", "100000.00", "123456789", "2024-02-30", "29.02.2024 13:45:10 +02:00",
     "9876.54.321", "Müller", ""],
)  # fmt: skip
def test_x20_names_amounts_and_dates_may_be_read(value: str):
    assert not may_be_private(value)


@pytest.mark.parametrize(
    "value",
    ["4929333344445555", "4929 3333 4444 5555", "+1 202-555-0163", "ann@example.com", "4.929E+15,49293333",
     "\uff14\uff19\uff12\uff19\uff13\uff13\uff13\uff13\uff14\uff14", "1234567890.00"],
)  # fmt: skip
def test_x20_card_numbers_phones_and_addresses_are_masked_under_any_header(value: str):
    assert may_be_private(value)


@pytest.mark.parametrize(
    ("field", "row", "shown"),
    [
        (NUMBER, {"card_number": "4929333344445555"}, "…5555"),
        (CVV, {"cvv": "a long cvv of 20 chars"}, MASK),
        (STATUS, {"status": None, "status__sent": "Aktiv"}, "Aktiv"),
        (STATUS, {"status": None, "status__sent": "4929333344445555"}, "…5555"),
        (BALANCE, {"balance": None, "balance__sent": "-5"}, "-5"),
        (POOL, {"pool": "xmas_2026"}, "xmas_2026"),
        (POOL, {"pool": None}, ""),
    ],
)
def test_x20_a_cell_is_masked_by_its_field_never_because_its_row_is_rejected(
    field: Field, row: dict[str, object], shown: str
):
    assert shown_cell(row, field) == shown


def test_x20_a_file_without_headers_is_masked_as_a_whole():
    headed = match_columns(["status", "Betrag"], FIELDS, {"Betrag": "balance"})
    assert hidden_fields(FIELDS, headed) == ["card_number", "cvv"]
    bare = match_columns(["Maria", "50"], FIELDS, {"Maria": "status", "50": "balance"})
    assert hidden_fields(FIELDS, bare) == [field.name for field in FIELDS]
    assert safely_shown_cell({"status": None, "status__sent": "Maria"}, STATUS) == MASK
    assert safely_shown_cell({"pool": "Maria"}, replace(POOL, sensitive=False)) == MASK
