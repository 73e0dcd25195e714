"""One way to write a masked value, and which values are. Source: X-20."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.columns.mapping import match_columns
from include.declaration.fields import Field, Kind
from include.import_types.customers import CUSTOMERS
from include.names import MASK, mask, mask_data
from include.review.preview import hidden_fields, safely_shown_cell, shown_cell
from include.values.private_values import may_be_private

pytestmark = pytest.mark.unit

NUMBER = Field("card_number", "Card number", sensitive=True)
CVV = Field("cvv", "CVV", sensitive=True, is_secret=True)
STATUS = Field("status", "Status", Kind.ENUM, choices=("Active",))
BALANCE = Field("balance", "Balance", Kind.DECIMAL)
POOL = Field("pool", "Pool", Kind.IDENTIFIER)
FIELDS = (NUMBER, CVV, STATUS, BALANCE, POOL)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("4929333344445555", "…5555"),
        ("4929 3333 4444 5555", "…5555"),
        ("GIFT7700000000000001", "…0001"),
        ("Maria", "…"),
        ("Christina Wu", "…"),
        ("29. Februar 1980", "…"),
        ("29 February 1980", "…"),
        ("1980-02-29 12:00", "…"),
        ("49293333", "…"),
        ("737", "…"),
        ("ann@example.com", "…"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_x20_a_masked_value_is_written_in_one_way(value: str, shown: str):
    assert mask(value) == shown


@pytest.mark.parametrize(
    "value",
    ["xmas_2026", "xmas-20261224", "xmas_20261201_1", "Winter-sale-20261201-001", "Active", "-5",
     "100000.00", "2024-02-30", "29.02.2024 13:45:10 +02:00",
     "2024-02-29T13:45:10.123456789Z", "02/29/2024 13:45", "12345678,90", "Müller", ""],
)  # fmt: skip
def test_x20_names_amounts_and_dates_may_be_read(value: str):
    assert not may_be_private(value)


@pytest.mark.parametrize(
    "value",
    ["4929333344445555", "4929 3333 4444 5555", "+1 202-555-0163", "ann@example.com", "4.929E+15,49293333",
     "\uff14\uff19\uff12\uff19\uff13\uff13\uff13\uff13\uff14\uff14", "1234567890.00", "612345678",
     "06.12.34.56.78", "06-12-34-56-78", "49-30-1234-56789", "0151-23-456 7890", "12-34-5678-9012-3456",
     "GIFT_20261201_1", "030_20261201_1", "tel 20261201_1", "xmas_20261301_1", "xmas_20261201_1234", "x_120261201_1",
     "ann\uff20example.com", "ann\ufe6bexample.com",
     "19.80.1 4929333344445555", "29.02.1980 4929333344445555", "9876.54.321"],
)  # fmt: skip
def test_x20_card_numbers_phones_and_addresses_are_masked_under_any_header(value: str):
    """A date is one only as a whole: phones are written with points and dashes as well."""
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


@pytest.mark.parametrize("name", ["area", "last_update_date_time", "source_date_time"])
@pytest.mark.parametrize(
    ("sent", "is_masked"),
    [
        ("1990-01-02", True), ("02.01.1990", True), ("2004-05-06 00:00", True), ("1989-12-31T23:00:00Z", True),
        ("01/02/90", True), ("2025-05-06 10:00:30", False), ("2025-05-06T10:00", False),
    ],
)  # fmt: skip
def test_x20_what_looks_like_a_birth_date_is_masked_in_every_column_of_customers(name: str, sent: str, is_masked: bool):
    """Of a row or two nobody sees that two columns of dates are exchanged."""
    field = next(field for field in CUSTOMERS.fields if field.name == name)
    row = {name: sent, f"{name}__sent": sent}
    assert shown_cell(row, field, has_birth_dates=True) == (MASK if is_masked else sent)
    assert shown_cell(row, field) == sent


@pytest.mark.parametrize("sent", ["1990/01/02", "2 January 1990", "19900102"])
def test_x20_a_birth_date_that_no_date_field_can_read_is_masked_there(sent: str):
    field = next(field for field in CUSTOMERS.fields if field.name == "last_update_date_time")
    row = {field.name: None, f"{field.name}__sent": sent}
    assert shown_cell(row, field, has_birth_dates=True) == MASK


def test_x20_no_reason_quotes_a_date_beside_birth_dates():
    mapping = match_columns(["Email", "Birth date", "Last update date time"], CUSTOMERS.fields, {})
    hidden = hidden_fields(CUSTOMERS.fields, mapping, is_doubtful=False)
    assert {"last_update_date_time", "source_date_time"} <= set(hidden)
    assert "area" not in hidden


def test_x20_a_file_without_headers_is_masked_as_a_whole():
    headed = match_columns(["status", "Betrag"], FIELDS, {"Betrag": "balance"})
    assert hidden_fields(FIELDS, headed, is_doubtful=False) == ["card_number", "cvv"]
    bare = match_columns(["Maria", "50"], FIELDS, {"Maria": "status", "50": "balance"})
    assert hidden_fields(FIELDS, bare, is_doubtful=False) == [field.name for field in FIELDS]
    assert hidden_fields(FIELDS, headed, is_doubtful=True) == [field.name for field in FIELDS]
    assert safely_shown_cell({"status": None, "status__sent": "Maria"}, STATUS, has_cvvs=False) == MASK
    assert safely_shown_cell({"pool": "Maria"}, replace(POOL, sensitive=False), has_cvvs=False) == MASK


@pytest.mark.parametrize(
    ("sent", "has_cvvs", "shown"), [("737", False, "737"), ("737", True, MASK), ("50", True, "50")]
)
def test_x20_a_short_number_may_be_a_cvv_where_columns_may_be_exchanged(sent: str, has_cvvs: bool, shown: str):
    assert safely_shown_cell({"balance": 1, "balance__sent": sent}, BALANCE, has_cvvs=has_cvvs) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("4111 1111 1111 1111", "411…"),
        ("4111-1111-1111-1111", "411…"),
        ("+1 202 555 0199", "+1 …"),
        ("jane (at) example.com", "jan…"),
        ("GC-AB12CD34", "GC-…"),
        ("2026-01-31T10:00:00", "2026-01-31T10:00:00"),
        ("31.01.2026 10:00", "31.01.2026 10:00"),
        ("ISO-8859-15", "ISO-8859-15"),
        ("windows-1252", "windows-1252"),
        ("top_up_threshold", "top_up_threshold"),
    ],
)
def test_x20_a_sentence_about_settings_masks_grouped_numbers_addresses_and_codes(value: str, shown: str):
    assert mask_data(f"line 3: '{value}' is no setting") == f"line 3: '{shown}' is no setting"
