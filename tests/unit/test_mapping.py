"""Columns and fields: matched by name, corrected by settings, never guessed. Source: X-04, X-05, X-09, X-20."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.columns.mapping import (
    ORIGIN_COLUMNS,
    Column,
    ColumnMapping,
    How,
    columns_named,
    map_columns,
    match_columns,
    origin_columns,
    override_key,
    propose_columns,
)
from include.declaration.fields import Field
from include.declaration.import_type import ImportType
from include.errors import ConfigurationError, FileRefused, SettingsError
from include.names import mask_header, normalise_name

pytestmark = pytest.mark.unit

FIELDS = (
    Field("card_number", "Card number", aliases=("Gift card no.",), required=True),
    Field("balance", "Card balance", aliases=("Amount",), required=True),
    Field("purchased_at", "Card purchase date (UTC)"),
    Field("status", "Gift card status"),
)
CARDS = ImportType("cards", "Cards", ("add",), FIELDS, "card_number", Path("load.sql"), ("loyalty.card",))


def mapped(*header: str, overrides=None, import_type=CARDS) -> ColumnMapping:
    return map_columns(header, import_type.fields, overrides or {}, import_type)


def refusal(*header: str, overrides=None, import_type=CARDS) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        mapped(*header, overrides=overrides, import_type=import_type)
    return caught.value


@pytest.mark.parametrize(
    "header",
    [
        "card_number", "CardNumber", "CARD NUMBER", " card-number ", "card.number", "Card  (number)",
        "\ufeffcard\u00a0number", "GIFT CARD NO", "Ｃａｒｄ Ｎｕｍｂｅｒ", "«Card/Number»", "card_number:",
    ],
)  # fmt: skip
def test_x05_names_match_whatever_their_case_blanks_and_punctuation(header):
    mapping = mapped(header, "Amount")
    assert mapping.columns[0] == Column(0, header, "card_number", How.EXACT)
    assert mapping.field_indexes == {"card_number": 0, "balance": 1}


@pytest.mark.parametrize("header", ["card_numbe", "card number 2", "cardnumbers", "number", "карта"])
def test_x05_names_that_are_only_similar_do_not_match(header):
    mapping = match_columns((header, "Amount"), FIELDS, {})
    assert mapping.columns[0].field is None
    assert mapping.columns[0].how is How.UNMATCHED


def test_x05_a_similar_name_gets_a_suggestion_that_is_not_applied():
    mapping = mapped("card number", "amount", "Gift card statsu", "Comment")
    assert mapping.columns[2:] == (
        Column(2, "Gift card statsu", None, How.UNMATCHED, "status"),
        Column(3, "Comment", None, How.UNMATCHED, None),
    )
    assert mapping.field_indexes == {"card_number": 0, "balance": 1}


def test_x05_a_field_that_has_its_column_is_not_suggested_again():
    assert mapped("card number", "amount", "card numbr").columns[2].suggestion is None


def test_x05_skipped_columns_are_listed_with_the_reason():
    mapping = mapped(
        "_job", "card number", "amount", "statuss", "", "purchase\ndate", "Status", overrides={"Status": None}
    )
    assert [column.index for column in mapping.skipped] == [3, 4, 5, 6]
    assert {rule for rule, _ in mapping.skipped_messages()} == {"file.column_skipped"}
    assert [message for _, message in mapping.skipped_messages()] == [
        "Column 4 (statuss) is not imported: no field has this name; the setting mapping can make it status.",
        "Column 5 (no name) is not imported: no field has this name.",
        "Column 6 (purchase date) is not imported: no field has this name; "
        "the setting mapping can make it purchased_at.",
        "Column 7 (Status) is switched off by the settings.",
    ]


def test_gc01_settings_map_headers_in_any_words_and_switch_columns_off():
    mapping = mapped("Nr", "Wert", "status", overrides={"Nr": "card_number", "wert": "Card balance", "Status": None})
    assert mapping.columns == (
        Column(0, "Nr", "card_number", How.SETTING),
        Column(1, "Wert", "balance", How.SETTING),
        Column(2, "status", None, How.SWITCHED_OFF, "status"),
    )


def test_an_exact_header_goes_before_a_similar_one():
    mapping = mapped("nr", "NR", "amount", overrides={"NR": "card_number"})
    assert [column.field for column in mapping.columns] == [None, "card_number", "balance"]


def test_one_setting_switches_off_every_column_of_the_name():
    mapping = mapped("card_number", "amount", "note", "note", overrides={"note": None})
    assert [column.how for column in mapping.columns[2:]] == [How.SWITCHED_OFF] * 2


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"Card numbr": "card_number"}, "the file has no column 'Card numbr' (did you mean 'Card number'?)"),
        ({"PIN": None}, "the file has no column 'P…'."),
        ({"Amount": "balanse"}, "there is no field 'balanse' (did you mean balance?)"),
        ({"Amount": "zzz"}, "there is no field 'z…' (there are: card_number, balance, purchased_at, status)"),
        ({"Amount": "balance", "AMOUNT": None}, "'Amount' and 'AMOUNT' both name column 2"),
        ({"_job": "card_number"}, "the file has no column '_job'"),
    ],
)
def test_x05_a_mapping_that_names_no_column_or_no_field_is_a_wrong_setting(overrides, sentence):
    with pytest.raises(SettingsError) as caught:
        mapped("Card number", "Amount", "_job", overrides=overrides)
    assert caught.value.message.startswith("mapping")
    assert sentence in caught.value.message


@pytest.mark.parametrize(
    "overrides",
    [
        {"Ivan Petrovich": "card_number"},
        {"Amount": "Ivan Petrovich"},
        {"Ivan Petrovich": "balance", "IVAN PETROVICH": None},
        {"4929333344445551": None},
        {"status 4929333344445551": None},
        {"Amount": "balance ann@example.com"},
    ],
)
def test_x20_what_a_mapping_says_is_masked_where_it_is_no_field_s_name(overrides):
    """Headers of a file without headers are its first row, and the sentence goes into logs, notes and the ledger."""
    with pytest.raises(SettingsError) as caught:
        mapped("Card number", "Amount", "Ivan Petrovich", "_job", overrides=overrides | {"_job": "nothing at all"})
    for canary in ("van", "VAN", "92933", "ann@"):
        assert canary not in str(caught.value)
        assert canary not in caught.value.message


@pytest.mark.parametrize(
    ("header", "overrides"),
    [
        (("card number", "CARD_NUMBER", "amount"), {}),
        (("card number", "gift card no", "amount"), {}),
        (("card number", "Nr", "amount"), {"Nr": "card_number"}),
        (("a", "a", "amount"), {"a": "card_number"}),
    ],
)
def test_x05_two_columns_on_one_field_refuse_the_file(header, overrides):
    refused = refusal(*header, overrides=overrides)
    assert refused.rule == "file.ambiguous_mapping"
    assert refused.message == (
        f"Card number is read from 2 columns: {header[0]} (column 1), {header[1]} (column 2). "
        "Switch off all but one with the setting mapping, for example mapping: {Header: null}."
    )


def test_x05_switching_one_of_two_off_resolves_the_ambiguity():
    assert mapped(
        "card number", "Nr", "amount", overrides={"Nr": "card_number", "card number": None}
    ).field_indexes == {
        "card_number": 1,
        "balance": 2,
    }


def test_x04_a_required_field_without_a_column_refuses_and_names_expected_and_found():
    refused = refusal("Card number", "Blance", "Kommentar")
    assert refused.rule == "file.required_column"
    assert refused.message == (
        "Required columns are missing: Card balance (balance). Found: Card number, Blance [perhaps balance], Kommentar."
    )


def test_x05_switching_off_a_required_field_refuses_the_file():
    refused = refusal("Card number", "Amount", overrides={"amount": None})
    assert refused.rule == "file.required_switched_off"
    assert refused.message == "Card balance is required, and the settings switch its column Amount off."


def test_x04_at_least_one_of_a_group_needs_a_column_and_patterns_mean_names_of_the_project():
    customers = replace(
        CARDS,
        fields=(
            Field("Email", "Email", identifies=True),
            Field("Sex", "Sex"),
            Field("ExternalIdentityShop", "Shop ID", identifies=True),
        ),
    )
    refused = refusal("Sex", import_type=customers)
    assert refused.rule == "file.required_column"
    assert refused.message == (
        "At least one of these columns is required, and the file has none: Email (Email), "
        "Shop ID (ExternalIdentityShop). Found: Sex."
    )
    assert refusal("Sex", "Email", overrides={"Email": None}, import_type=customers).rule == "file.required_column"
    assert mapped("Sex", "Shop ID", import_type=customers).field_indexes == {"Sex": 0, "ExternalIdentityShop": 1}


def test_x02_a_file_without_any_known_name_has_no_header():
    refused = refusal("6030000000000001", "50", "")
    assert refused.rule == "file.missing_header"
    assert "is the header missing?" in refused.message
    assert "Card number (card_number), Card balance (balance)" in refused.message


def test_x20_headers_that_match_nothing_are_masked_since_they_may_be_data():
    message = refusal("6030000000000001", "737", "ann@example.com", "42").message
    assert message.endswith("Found: column 1 (603…), column 2 (7…), column 3 (ann…), column 4 (…).")
    assert mask_header(" 4111 ") == "4…"


def test_a_header_known_by_the_settings_alone_is_a_header():
    assert refusal("Nr", "x", overrides={"Nr": None}).rule == "file.required_column"


def test_x09_the_columns_of_a_rejected_rows_file_are_ignored_and_known():
    mapping = mapped(*ORIGIN_COLUMNS, "card number", "amount")
    assert {column.how for column in mapping.columns[:4]} == {How.IGNORED}
    assert mapping.skipped == ()
    assert origin_columns([*ORIGIN_COLUMNS, "card number"]) == {"_job": 0, "_line": 1, "_rules": 2, "_reasons": 3}


def test_x09_they_are_known_wherever_a_person_has_moved_them():
    assert origin_columns(["card number", "_line", " _job ", "amount"]) == {"_job": 2, "_line": 1}


def test_x09_a_sender_s_own_line_column_is_no_origin():
    assert origin_columns(["Line", "Job", "card number"]) == {}
    assert origin_columns(["_line", "card number"]) == {}


def test_x09_a_second_line_column_is_the_sender_s_own():
    header = [*ORIGIN_COLUMNS, "_line", "card number", "amount"]
    assert origin_columns(header)["_line"] == 1
    assert mapped(*header).skipped == ()


def test_x09_two_job_columns_refuse_the_file():
    refused = refusal("_job", "_job", "card number", "amount")
    assert (refused.rule, refused.message) == ("file.ambiguous_mapping", "The file has 2 columns _job.")


def test_two_fields_of_one_name_are_a_mistake_of_the_declaration():
    fields = (*FIELDS, Field("number", "Number", aliases=("Card Number",)))
    with pytest.raises(ConfigurationError, match="card_number and number are both known as 'Card Number'"):
        match_columns(("x",), fields, {})


def test_the_mapping_survives_the_ledger():
    mapping = mapped(*ORIGIN_COLUMNS, "card number", "amount", "statuss", "Ünïcode", overrides={"amount": "balance"})
    assert ColumnMapping.from_json(json.loads(json.dumps(mapping.to_json()))) == mapping


def test_a_header_of_very_many_or_very_long_cells_is_judged_in_a_moment():
    started = time.process_time()
    assert refusal(*(f"kolumne {number}" for number in range(50_000))).rule == "file.missing_header"
    assert refusal("x" * 5_000_000, "y").rule == "file.missing_header"
    assert time.process_time() - started < 20


@given(st.lists(st.sampled_from(["card number", "Amount", "status", "Purchase", "", "_job", "x"]), max_size=8))
def test_every_column_is_accounted_for_once(header):
    mapping = match_columns(header, FIELDS, {})
    assert [(column.index, column.header) for column in mapping.columns] == list(enumerate(header))
    accounted = sorted(
        [column.index for column in mapping.columns if column.field]
        + [column.index for column in mapping.skipped]
        + [column.index for column in mapping.columns if column.how is How.IGNORED]
    )
    assert accounted == list(range(len(header)))


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(name):
    assert normalise_name(normalise_name(name)) == normalise_name(name)


@pytest.mark.parametrize(
    ("key", "indexes"),
    [("twin [1]", [1]), ("twin [2]", [3]), ("twin [3]", []), ("twin [0]", []), ("twin", [1, 3]), ("one [1]", []),
     ("a [1]", [4])],
)  # fmt: skip
def test_of_columns_with_one_header_each_can_be_named(key, indexes):
    """Source: X-06."""
    assert columns_named(key, ["_job", "twin", "one", "twin", "a [1]"]) == indexes


def test_the_key_of_a_column_names_it_and_no_other():
    header = ["twin", "_job", "twin", "one", "", ""]
    columns = match_columns(header, FIELDS, {}).columns
    keys = [override_key(columns, index) for index in (0, 2, 3, 4, 5)]
    assert keys == ["twin [1]", "twin [2]", "one", " [1]", " [2]"]
    assert [columns_named(key, header) for key in keys] == [[0], [2], [3], [4], [5]]


def test_what_can_be_matched_of_an_unusable_file_is_proposed():
    """Source: X-06, GC-01."""
    mapping = propose_columns(["Amount", "Nr"], FIELDS, {"gone": "card_number", "Amount": "nonsense", "nr": None}, {})
    assert [(column.field, column.how) for column in mapping.columns] == [
        ("balance", How.EXACT), (None, How.SWITCHED_OFF),
    ]  # fmt: skip
    twice = propose_columns(["Amount"], FIELDS, {"Amount": None, "amount": "card_number"}, {})
    assert twice.field_indexes in ({"balance": 0}, {})


def test_x20_headers_beside_a_known_one_are_named_unless_any_looks_like_data():
    """A first row of data may hold a word that is a field's name: one long number betrays it."""
    message = refusal("Card number", "Betrag", "Bemerkung").message
    assert message.endswith("Found: Card number, Betrag, Bemerkung.")
    message = refusal("4929333344445555", "c4n4ry", "Card number").message
    assert message.endswith("Found: column 1 (492…), column 2 (c4…), Card number.")


@pytest.mark.parametrize(
    "cell",
    ["4111 1111 1111 1111", "4111-1111-1111-1111", "4111\u20111111\u20111111\u20111111", "Card 4111,1111,1111,1111",
     "+1 202 555 0199", "+49 (0)30 12 34 56", "4462 9282", "jane (at) example.com", "jane[at]example.com",
     "GC-AB12CD34", "gc-ab12cd34", "K7QW-PL0M", "ABCD-1234-EFGH"],
)  # fmt: skip
def test_x20_a_header_that_is_a_grouped_number_an_address_or_a_code_is_masked(cell: str):
    mapping = mapped("Card number", "Amount", cell)
    ((_, message),) = mapping.skipped_messages()
    refused = refusal("Card number", cell).message
    for text in (message, refused, mapping.shown(mapping.columns[2])):
        assert cell not in text
        assert cell[5:] not in text
    assert "…" in message


@pytest.mark.parametrize(
    "header",
    ["Betrag", "Budget 2024-2025", "Q1 2024", "2024Q1", "Balance on 2026-01-31", "address1line2", "B2B", "cvv2",
     "created 2026-01-31 10:00:00", "Umsatz 2024 (EUR)"],
)  # fmt: skip
def test_x05_a_header_with_years_or_a_few_digits_is_named(header: str):
    ((_, message),) = mapped("Card number", "Amount", header).skipped_messages()
    assert header in message
