"""The suite of a type as its declaration alone makes it: the rules of each kind of field.

Rules between fields, and limits of a type's own, are written by hand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType

LONGEST_TEXT = 1000
LARGEST_KEY_BYTES = 2600
"""What a row of an index holds, with room for the rest of the row."""
_FORMATS = "value formats"
_READABLE = "expect_column_values_to_be_readable"
_EXPORT_AGAIN = "Format the column as text and export the file again."
_SPREADSHEET = f"looks like a number that a program has rounded: its last digits may be lost. {_EXPORT_AGAIN}"
_ERROR_VALUE = (
    "is an error value of a spreadsheet. Correct its formula or the width of its column, and export the file again."
)
_INVISIBLE = "contains {character}, which nobody can see or type. Remove it, and send the row again."
_NO_QUOTES = (
    "is in single quotes, but ' is no quote: it would be kept. Write the cell without quotes, or in double ones (\")."
)
_APOSTROPHE = (
    "begins with ', which is kept as a part of it. Spreadsheets put it before texts: remove it unless it is meant."
)
_WHOLE = "is a number that a program has changed: write a whole number of digits alone, such as 2 for 2.0."
_SLASH_DATE = (
    "may be month first or day first. Choose one with the setting slash_dates (month_first or day_first), or write it "
    "as 2024-02-29."
)
_IN_PROBLEMS: dict[Kind, tuple[tuple[str, str, str], ...]] = {
    Kind.IDENTIFIER: (
        ("invisible_character", _INVISIBLE, "X-16"),
        ("error_value", _ERROR_VALUE, "X-16"),
        (
            "changed_number",
            f"is a number that a program has changed: it has put marks into it. {_EXPORT_AGAIN}",
            "X-16",
        ),
        ("single_quotes", _NO_QUOTES, "X-15"),
    ),
    Kind.BOOLEAN: (
        ("changed_number", "is a number that a program has changed: write 1 or 0, or true or false.", _FORMATS),
    ),
    Kind.DECIMAL: (
        ("too_many_decimals", "has more than 2 digits after the decimal mark.", _FORMATS),
        ("too_many_digits", "has more than 16 digits before the decimal mark.", _FORMATS),
    ),
    Kind.INTEGER: (("changed_number", _WHOLE, _FORMATS),),
    Kind.DATE: (
        ("impossible_date", "is a day or a time that doesn't exist.", _FORMATS),
        ("slash_date", _SLASH_DATE, _FORMATS),
    ),
    Kind.EMAIL: (
        ("invisible_character", _INVISIBLE, "X-16"),
        ("email_too_long", "is longer than the 254 characters that an e-mail address may have.", _FORMATS),
    ),
    Kind.PHONE: (
        ("invisible_character", _INVISIBLE, "X-16"),
        (
            "phone_characters",
            "is not written as a phone number: digits, blanks and + - . ( ) / alone, beginning with a digit, + or (, "
            "and no extension.",
            _FORMATS,
        ),
        ("invalid_phone", "is not a valid number of any phone network.", _FORMATS),
        ("spreadsheet_number", _SPREADSHEET, _FORMATS),
        (
            "changed_number",
            f"is a number that a program has changed: it has put marks into it. {_EXPORT_AGAIN}",
            "X-16",
        ),
    ),
}
"""Problems of reading with a sentence of their own: problem, sentence after the label and the value, source."""
_IN_PROBLEMS[Kind.DATETIME] = _IN_PROBLEMS[Kind.DATE]
_UNREADABLE = {
    Kind.IDENTIFIER: ("spreadsheet_number", _SPREADSHEET),
    Kind.BOOLEAN: ("not_boolean", "is none of true, false, yes, no, 1 and 0."),
    Kind.DECIMAL: (
        "not_decimal",
        "is not a number. Write digits with a point or a comma as the decimal mark, such as 19.99, without currency "
        "sign or thousands separator.",
    ),
    Kind.INTEGER: ("not_integer", "is not a whole number of at most 18 digits."),
    Kind.DATE: ("not_date", "is not a date in a known form, such as 2024-02-29 or 29.02.2024."),
    Kind.DATETIME: ("not_date", "is not a date in a known form, such as 2024-02-29 or 29.02.2024 13:45."),
    Kind.EMAIL: ("not_email", "is not an e-mail address."),
    Kind.PHONE: ("not_phone", "is not a phone number."),
}
"""What is wrong with any other cell that can't be read: rule and sentence."""


def standard_suite(import_type: ImportType) -> dict[str, Any]:
    """Return the suite as a dictionary that JSON can hold: every rule that follows from the kinds of the fields."""
    entries = [entry for field in import_type.fields for entry in _rules(field, is_key=field.name == import_type.key)]
    return {"name": import_type.name, "expectations": entries}


def _rules(field: Field, *, is_key: bool) -> Iterator[dict[str, Any]]:
    if field.required:
        yield _entry(
            field, "expect_column_values_to_be_present", "required", "is blank, but every row needs one.", "X-04"
        )
    yield from _rules_of_reading(field)
    if field.kind in (Kind.TEXT, Kind.IDENTIFIER):
        yield _entry(
            field,
            "expect_column_value_characters_to_be_at_most",
            "too_long",
            "has more than {max_characters} characters: {value}.",
            _FORMATS,
            max_characters=LONGEST_TEXT,
        )
    if field.kind is Kind.IDENTIFIER and is_key:
        yield _entry(
            field,
            "expect_column_value_bytes_to_be_at_most",
            "too_many_bytes",
            "takes more than {max_bytes} bytes in UTF-8, too many for a key: {value}.",
            _FORMATS,
            max_bytes=LARGEST_KEY_BYTES,
        )
    if field.kind is Kind.IDENTIFIER:
        yield _entry(
            field,
            "expect_column_values_to_not_begin_with_apostrophe",
            "leading_apostrophe",
            _APOSTROPHE,
            "X-16",
            severity="warning",
        )


def _rules_of_reading(field: Field) -> Iterator[dict[str, Any]]:
    if field.kind is Kind.TEXT:
        yield _entry(
            field,
            "expect_column_values_to_be_no_error_values",
            "error_value",
            f"{{value}} {_ERROR_VALUE}",
            "X-16",
        )
        return
    if field.kind is Kind.ENUM:
        choices = f"is none of {', '.join(field.choices)}."
        yield _entry(field, _READABLE, "unknown_choice", f"{{value}} {choices}", _FORMATS)
        return
    problems = _IN_PROBLEMS[field.kind]
    rule, sentence = _UNREADABLE[field.kind]
    yield _entry(
        field,
        _READABLE,
        rule,
        f"{{value}} {sentence}",
        _FORMATS,
        other_than=[problem for problem, _, _ in problems],
    )
    for problem, sentence, source in problems:
        rule = "too_long" if problem == "email_too_long" else problem
        yield _entry(field, _READABLE, rule, f"{{value}} {sentence}", source, problems=[problem])


def _entry(
    field: Field,
    expectation: str,
    rule: str,
    sentence: str,
    source: str,
    *,
    severity: str = "critical",
    **arguments: object,
) -> dict[str, Any]:
    return {
        "type": expectation,
        "kwargs": {"column": field.name, **arguments},
        "severity": severity,
        "meta": {"rule": f"{field.name}.{rule}", "message": f"{field.label} {sentence}", "source": source},
    }
