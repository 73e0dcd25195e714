"""Standard rules: every field of every type has those of its kind, and its suite has them as `make suites` writes them.

Source: value formats, X-04, X-15, X-16.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from include.declaration.fields import Field, Kind, Look
from include.declaration.import_type import ImportType
from include.import_types import IMPORT_TYPES
from include.reading.parsing import REASONS
from include.rules.row_sentences import sentences
from include.rules.standard import is_standard, outdated_rules, rule_of, standard_entries, with_standard
from include.rules.suites import Checker, load_suite
from include.rules.wildcards import expand_entries
from tests.rules.frames import AnyKey, read_rows, sample_row
from tests.rules.test_customers_suite import PROJECT, UEBER
from tests.rules.test_damaged_values import suite_of
from tools.suites import SUITES, write_suite

pytestmark = pytest.mark.rules

BROKEN = tuple[str, str]
"""A cell, and what its sender reads of it; `<value>` is the cell as it is quoted, `<label>` the field."""
INVISIBLE: BROKEN = (
    "a\u200b",
    "<label> <value> contains U+200B ZERO WIDTH SPACE as its last character, which nobody can see or type. Remove it, "
    "and send the row again.",
)
ERROR_VALUE: BROKEN = (
    "#N/A",
    "<label> <value> is an error value of a spreadsheet. Correct its formula or the width of its column, and export "
    "the file again.",
)
ROUNDED = (
    "<label> <value> looks like a number that a program has rounded: its last digits may be lost. Format the column as "
    "text and export the file again."
)
WITH_MARKS = (
    "<label> <value> is a number that a program has changed: it has put marks into it. Format the column as text and "
    "export the file again."
)
LEADING_APOSTROPHE: BROKEN = (
    "'ann@example.com",
    "<label> begins with ', which is kept as a part of it. Spreadsheets put it before texts: remove it unless it is "
    "meant.",
)
NOT_BOOLEAN: BROKEN = ("maybe", "<label> <value> is not true/false, t/f, yes/no, y/n, on/off or 1/0.")
NOT_DECIMAL: BROKEN = (
    "10 USD",
    "<label> <value> is not a number. Write digits with a point or a comma as the decimal mark, such as 19.99, without "
    "currency sign or thousands separator.",
)
TOO_MANY_DECIMALS: BROKEN = ("1.234", "<label> <value> has more than 2 digits after the decimal mark.")
DIGITS_ONLY: BROKEN = ("two", "<label> <value> is not a whole number: digits only.")
DATES: Mapping[str, BROKEN] = {
    "not_date": ("soon", "<label> <value> is not a date in a known form, such as 2024-02-29 or 29.02.2024 13:45."),
    "impossible_date": ("30.02.2020", "<label> <value> is a day or a time that doesn't exist."),
    "slash_date": (
        "03/04/2020",
        "<label> <value> may be month first or day first. Choose one with the setting slash_dates (month_first or "
        "day_first), or write it as 2024-02-29.",
    ),
}
BY_KIND: Mapping[Kind, Mapping[str, BROKEN]] = {
    Kind.TEXT: {"error_value": ERROR_VALUE},
    Kind.IDENTIFIER: {
        "invisible_character": INVISIBLE,
        "error_value": ERROR_VALUE,
        "spreadsheet_number": ("1.23E+15", ROUNDED),
        "changed_number": ("1001.0", WITH_MARKS),
        "single_quotes": (
            "'a'",
            "<label> <value> is in single quotes, but ' is no quote: it would be kept. Write the cell without quotes, "
            'or in double ones (").',
        ),
        "leading_apostrophe": ("'0077", LEADING_APOSTROPHE[1]),
    },
    Kind.BOOLEAN: {
        "not_boolean": NOT_BOOLEAN,
        "changed_number": (
            "1.0",
            "<label> <value> is a number that a program has changed: write 1 or 0, or true or false.",
        ),
    },
    Kind.DECIMAL: {
        "not_decimal": NOT_DECIMAL,
        "too_many_decimals": TOO_MANY_DECIMALS,
        "too_many_digits": ("1" * 17, "<label> <value> has more than 16 digits before the decimal mark."),
    },
    Kind.INTEGER: {
        "not_integer": ("two", "<label> <value> is not a whole number of at most 18 digits."),
        "changed_number": (
            "2.0",
            "<label> <value> is a number that a program has changed: write a whole number of digits alone, such as 2 "
            "for 2.0.",
        ),
    },
    Kind.DATE: DATES,
    Kind.DATETIME: DATES,
    Kind.ENUM: {"unknown_choice": ("?", "<label> <value> is <no choice>.")},
    Kind.EMAIL: {
        "invisible_character": ("a@b.de\u200b", INVISIBLE[1]),
        "not_email": ("ann@", "<label> <value> is not an e-mail address."),
        "too_long": (
            f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 60}.com",
            "<label> <value> is longer than the 254 characters that an e-mail address may have.",
        ),
        "leading_apostrophe": LEADING_APOSTROPHE,
    },
    Kind.PHONE: {
        "invisible_character": ("+12025550123\u200b", INVISIBLE[1]),
        "phone_characters": (
            "1-800-FLOWERS",
            "<label> <value> is not written as a phone number: digits, blanks and + - . ( ) / alone, beginning with a "
            "digit, + or (, and no extension.",
        ),
        "not_phone": ("+999 1234567", "<label> <value> is not a phone number."),
        "invalid_phone": ("+1 555 0000", "<label> <value> is not a valid number of any phone network."),
        "spreadsheet_number": ("1.2025550123E10", ROUNDED),
        "changed_number": ("2025550123.0", WITH_MARKS),
    },
}
"""By kind of field: each standard rule with a cell that breaks it."""
CHANGED_OF_SEVERAL = (
    "<label> <value> is a number that a program has changed: write it without marks and exponent, such as 2 for 2.0."
)
DIGITS_OF_SEVERAL = (
    "<label> <value> has more digits than can be kept (16 before the decimal mark, 18 in a whole number)."
)
OF_SEVERAL_KINDS: Mapping[Kind, Mapping[str, BROKEN]] = {
    **BY_KIND,
    Kind.BOOLEAN: {"not_boolean": NOT_BOOLEAN, "changed_number": ("1.0", CHANGED_OF_SEVERAL)},
    Kind.DECIMAL: {
        "not_decimal": NOT_DECIMAL,
        "too_many_decimals": TOO_MANY_DECIMALS,
        "too_many_digits": ("1" * 17, DIGITS_OF_SEVERAL),
    },
    Kind.INTEGER: {
        "not_integer": DIGITS_ONLY,
        "changed_number": ("2.0", CHANGED_OF_SEVERAL),
        "too_many_digits": ("1" * 19, DIGITS_OF_SEVERAL),
    },
}
"""The same of custom fields, whose kind the project settings choose."""
NO_CHOICE = {
    "expiration_type": "neither NoExpiration nor Year",
    "status": "none of CanBeUsed, Inactive and Blocked",
    "fill_method": "neither upload nor generate",
    "processing": "neither internal nor external",
    "sex": "neither male nor female (m, f and w are understood as well)",
    "custom_field_size_0": "none of the field's values: S, M",
}
FIELDS = [(name, field) for name, declared in IMPORT_TYPES.items() for field in declared.all_fields(PROJECT)]
OF_FIELDS = pytest.mark.parametrize(("name", "field"), FIELDS, ids=[f"{name}.{field.name}" for name, field in FIELDS])


def entries_of(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((SUITES / f"{name}.json").read_text(encoding="utf-8"))["expectations"]
    return entries


def broken_rules(name: str, rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return for each row the sentences by rule: of all critical rules and of the standard warnings."""
    declared = IMPORT_TYPES[name]
    lookups = {lookup.name: AnyKey() for lookup in declared.lookups}
    frame = read_rows(name, rows, lookups, fields=declared.all_fields(PROJECT))
    hidden = [field.name for field in declared.fields if field.is_secret]
    broken: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(suite_of(name)).check(frame):
        if result.rule.severity == "critical" or result.rule.id.endswith(".leading_apostrophe"):
            for row, sentence in zip(result.rows, sentences(result, frame, hidden=hidden), strict=True):
                broken[row][result.rule.id] = sentence
    return broken


def judged_row(declared: ImportType, field: Field) -> dict[str, str]:
    """Return the first row of a type's sample so that the field's standard rules apply to it."""
    names = {declared_field.name for declared_field in declared.all_fields(PROJECT)}
    row = {name: cell for name, cell in sample_row(declared).items() if name in names}
    for name in field.rule_condition.get("unless_present", []):
        row[name] = ""
    if "when_column" in field.rule_condition:
        row[field.rule_condition["when_column"]] = field.rule_condition["when_value"]
    return row


def breaking_cells(declared: ImportType, field: Field) -> dict[str, BROKEN]:
    """Return every standard rule that a field must have, by what it declares."""
    patterns = declared.dynamic.patterns if declared.dynamic else ()
    is_of_several = sum(fnmatchcase(field.name, pattern.name) for pattern in patterns) > 1
    cells = dict((OF_SEVERAL_KINDS if is_of_several else BY_KIND)[field.kind])
    if field.required:
        cells["required"] = ("", "<label> is blank, but every row needs one.")
    if field.look is Look.NAME:
        cells.pop("single_quotes", None)
    if f"{field.name}.not_integer" in left_to_range(declared):
        cells["not_integer"] = DIGITS_ONLY
    if field.kind in (Kind.TEXT, Kind.IDENTIFIER) and field.name not in {lookup.field for lookup in declared.lookups}:
        most = field.max_characters
        cells["too_long"] = ("ä" * (most + 1), f"<label> has more than {most} characters: <value>.")
    if field.is_indexed:
        cells["too_many_bytes"] = (
            "€" * 867,
            "<label> takes more than 2600 bytes in UTF-8, too many for a key: <value>.",
        )
    return cells


def left_to_range(declared: ImportType) -> set[str]:
    return {rule_of(entry) for entry in entries_of(declared.name) if "left_to_range" in entry["kwargs"]}


def expected_sentence(field: Field, cell: str, sentence: str) -> str:
    if field.is_secret:
        sentence = sentence.replace(": <value>", "").replace(" <value>", "")
    value = f"'{cell[:100]}...'" if len(cell) > 100 else f"'{cell}'".replace("\u200b", "<U+200B>")
    sentence = sentence.replace("<no choice>", NO_CHOICE.get(field.name, ""))
    return sentence.replace("<label>", field.label_in_rules or field.label).replace("<value>", value)


@OF_FIELDS
def test_a_cell_that_breaks_a_standard_rule_of_its_field_is_reported_so_and_nothing_else(
    name: str, field: Field
) -> None:
    declared = IMPORT_TYPES[name]
    row, cells = judged_row(declared, field), breaking_cells(declared, field)
    # Single quotes count where most cells of a column have them.
    together = [rule for rule in cells if rule != "single_quotes"]
    broken = broken_rules(name, [row, *(row | {field.name: cells[rule][0]} for rule in together)])
    reported = dict(zip(together, broken[1:], strict=True))
    if "single_quotes" in cells:
        reported["single_quotes"], _ = broken_rules(name, [row | {field.name: cell} for cell in ("'a'", "'b'")])
    assert broken[0] == {}
    assert reported == {rule: {f"{field.name}.{rule}": expected_sentence(field, *case)} for rule, case in cells.items()}


@pytest.mark.parametrize("name", IMPORT_TYPES)
def test_every_standard_rule_of_a_suite_has_such_a_cell(name: str) -> None:
    declared = IMPORT_TYPES[name]
    fields = declared.all_fields(PROJECT)
    standard = [entry for entry in entries_of(name) if is_standard(entry)]
    tried = {f"{field.name}.{rule}" for field in fields for rule in breaking_cells(declared, field)}
    assert {rule_of(entry) for entry in expand_entries(standard, fields)} == tried


@pytest.mark.parametrize("field", [field for _, field in FIELDS if field.kind is Kind.INTEGER], ids=lambda f: f.name)
def test_a_whole_number_of_too_many_digits_breaks_one_rule(field: Field) -> None:
    (name,) = [name for name, declared in IMPORT_TYPES.items() if field in declared.all_fields(PROJECT)]
    row = judged_row(IMPORT_TYPES[name], field) | {field.name: "1" * 19}
    assert [len(broken) for broken in broken_rules(name, [row])] == [1]


def test_what_the_shipped_types_declare_for_their_standard_rules() -> None:
    fields = {(name, field.name): field for name, field in FIELDS}
    assert {key for key, field in fields.items() if field.is_indexed} >= {
        ("gift_card_pools", "system_name"), ("gift_card_pools", "product_external_id"), ("gift_cards", "card_number"),
        ("promo_code_pools", "system_id"), ("promo_codes", "code"), ("customers", "external_identity_website"),
        ("customers", UEBER),
    }  # fmt: skip
    shorter = {key[1]: field.max_characters for key, field in fields.items() if field.max_characters != 1000}
    assert shorter == {"last_name": 100, "first_name": 100, "middle_name": 100, "code_pattern": 500}
    labels = {key[1]: field.label_in_rules for key, field in fields.items() if field.label_in_rules}
    assert labels == {
        "purchased_at": "Card purchase date",
        "parameter_name": "Parameter name",
        "auto_generate": "Auto-generate",
        "issue_check": "Check that code was issued",
    }


@pytest.mark.parametrize("name", IMPORT_TYPES)
def test_a_key_that_is_an_identifier_is_indexed(name: str) -> None:
    key = next(field for field in IMPORT_TYPES[name].fields if field.name == IMPORT_TYPES[name].key)
    assert key.is_indexed == (key.kind is Kind.IDENTIFIER)


@pytest.mark.parametrize("name", IMPORT_TYPES)
def test_every_problem_that_a_rule_names_is_one_of_reading(name: str) -> None:
    arguments = [entry["kwargs"] for entry in standard_entries(IMPORT_TYPES[name])]
    named = {code for kwargs in arguments for key in ("problems", "other_than") for code in kwargs.get(key, [])}
    assert named <= set(REASONS)


@pytest.mark.parametrize("name", IMPORT_TYPES)
def test_the_shipped_suite_has_its_standard_rules_as_they_are_written(name: str) -> None:
    entries = entries_of(name)
    assert outdated_rules(entries, IMPORT_TYPES[name]) == [], "run `make suites`; edit only what isn't standard"
    assert with_standard(entries, IMPORT_TYPES[name]) == entries
    ids = [rule_of(entry) for entry in entries]
    assert len(set(ids)) == len(ids)


def edited(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.update(changes)


@pytest.mark.parametrize(
    "edit",
    [
        edited(severity="warning"),
        edited(type="expect_column_values_to_be_present"),
        lambda entry: entry["kwargs"].update(max_characters=2000),
        lambda entry: entry["meta"].update(message="Card number is long."),
        lambda entry: entry["meta"].update(source="made up"),
        lambda entry: entry["meta"].pop("standard"),
    ],
    ids=["severity", "type", "argument", "message", "source", "mark"],
)
def test_an_edited_standard_rule_is_named_and_written_again_in_its_place(
    edit: Callable[[dict[str, Any]], None],
) -> None:
    before = entries_of("gift_cards")
    entries = copy.deepcopy(before)
    edit(next(entry for entry in entries if rule_of(entry) == "card_number.too_long"))
    assert outdated_rules(entries, IMPORT_TYPES["gift_cards"]) == ["card_number.too_long"]
    assert with_standard(entries, IMPORT_TYPES["gift_cards"]) == before


def test_a_missing_standard_rule_is_named_and_comes_behind_the_rules_of_the_field_before() -> None:
    before = entries_of("gift_cards")
    removed = [rule_of(entry) for entry in before if rule_of(entry).startswith("purchased_at.") and is_standard(entry)]
    entries = [entry for entry in before if rule_of(entry) not in [*removed, "card_number.too_long"]]
    assert outdated_rules(entries, IMPORT_TYPES["gift_cards"]) == ["card_number.too_long", *removed]
    assert with_standard(entries, IMPORT_TYPES["gift_cards"]) == before


def test_a_standard_rule_of_a_field_that_is_gone_is_named_and_goes() -> None:
    before = entries_of("gift_cards")
    gone = copy.deepcopy(next(entry for entry in before if rule_of(entry) == "card_number.required"))
    gone["kwargs"]["column"] = "pin"
    gone["meta"]["rule"] = "pin.required"
    assert outdated_rules([gone, *before], IMPORT_TYPES["gift_cards"]) == ["pin.required"]
    assert with_standard([gone, *before], IMPORT_TYPES["gift_cards"]) == before


def test_a_number_of_too_many_digits_is_left_to_a_range_that_rejects_it_and_to_no_other() -> None:
    pools = IMPORT_TYPES["promo_code_pools"]
    entries = entries_of("promo_code_pools")
    (limit,) = [entry for entry in entries if rule_of(entry) == "lead_hours.out_of_range"]
    others = [entry for entry in entries if entry is not limit]

    def is_left(*ranges: Mapping[str, Any]) -> bool:
        entry_by_rule = {rule_of(entry): entry for entry in standard_entries(pools, [*others, *ranges])}
        return "left_to_range" in entry_by_rule["lead_hours.not_integer"]["kwargs"]

    assert is_left(limit)
    assert not is_left()
    assert not is_left(limit | {"severity": "warning"})
    assert not is_left(limit | {"kwargs": {"column": "lead_hours", "min_value": 1}})
    assert not is_left(limit | {"kwargs": limit["kwargs"] | {"when_column": "processing", "when_value": "internal"}})


def test_a_suite_is_made_from_nothing_and_written_again_only_where_something_changed(tmp_path: Path) -> None:
    declared = IMPORT_TYPES["promo_codes"]
    path = tmp_path / "promo_codes.json"
    assert write_suite(path, declared) == [rule_of(entry) for entry in standard_entries(declared)]
    columns = set(read_rows("promo_codes", [{}], {"pool": {}}).columns)
    assert len(load_suite(path, columns=columns, settings={}).rules) == len(standard_entries(declared))
    text = path.read_text().replace("  ", " ")  # another layout is not an edited rule
    path.write_text(text)
    assert write_suite(path, declared) == []
    assert path.read_text() == text
