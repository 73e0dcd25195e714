"""Standard rules: what every field of a kind is checked for, in every type. Source: value formats, X-04, X-15, X-16.

Most entries of a suite follow from the declaration: a text may be too long, a date unreadable, an identifier a number
that a spreadsheet has rounded. `make suites` writes them into `expectations/<type>.json`, where `meta` marks them with
`"standard": true`; a test compares. People write the other entries.

What a standard rule says is decided here. What differs between two fields of a kind is in their declarations:
`max_characters`, `is_indexed`, `label_in_rules`, `rule_condition`, `choices`, `is_secret`, and the lookups of the type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from include.declaration.fields import Field, Kind, Look
from include.declaration.import_type import ImportType

Entry = dict[str, Any]
"""An expectation as the suite's JSON has it."""

MAX_BYTES = 2600
"""Of an indexed value: a row of an index of PostgreSQL holds 2,700 bytes, and some have a number beside it."""

_READABLE = "expect_column_values_to_be_readable"
_IN_RANGE = "expect_column_values_to_be_in_range"
_FORMATS = "value formats"


@dataclass(frozen=True)
class _Problem:
    """Why a cell can't be read, and the rule that says so.

    Args:
        code: a key of `include.reading.parsing.REASONS`.
        sentence: what is wrong, after the field's label and the value; empty where the field's choices say it.
        rule: the rule's name, where it differs from the code.
        is_fallback: the rule also takes the codes that no other rule of the field names. Each kind has one such rule.
    """

    code: str
    sentence: str
    source: str = _FORMATS
    rule: str = ""
    is_fallback: bool = False


_INVISIBLE = _Problem(
    "invisible_character",
    "contains {character}, which nobody can see or type. Remove it, and send the row again.",
    "X-16",
)
_ERROR_VALUE = _Problem(
    "error_value",
    "is an error value of a spreadsheet. Correct its formula or the width of its column, and export the file again.",
    "X-16",
)
_ROUNDED = (
    "looks like a number that a program has rounded: its last digits may be lost. Format the column as text and export "
    "the file again."
)
_WITH_MARKS = _Problem(
    "changed_number",
    "is a number that a program has changed: it has put marks into it. Format the column as text and export the file "
    "again.",
    "X-16",
)
_SINGLE_QUOTES = _Problem(
    "single_quotes",
    "is in single quotes, but ' is no quote: it would be kept. Write the cell without quotes, or in double ones (\").",
    "X-15",
)
_NOT_BOOLEAN = _Problem("not_boolean", "is not true/false, t/f, yes/no, y/n, on/off or 1/0.", is_fallback=True)
_NOT_DECIMAL = _Problem(
    "not_decimal",
    "is not a number. Write digits with a point or a comma as the decimal mark, such as 19.99, without currency sign "
    "or thousands separator.",
    is_fallback=True,
)
_TOO_MANY_DECIMALS = _Problem("too_many_decimals", "has more than 2 digits after the decimal mark.")
_DIGITS_ONLY = "is not a whole number: digits only."
_DATES = (
    _Problem(
        "not_date", "is not a date in a known form, such as 2024-02-29 or 29.02.2024 13:45.", is_fallback=True
    ),
    _Problem("impossible_date", "is a day or a time that doesn't exist."),
    _Problem(
        "slash_date",
        "may be month first or day first. Choose one with the setting slash_dates (month_first or day_first), or write "
        "it as 2024-02-29.",
    ),
)  # fmt: skip

_UNREADABLE: Mapping[Kind, tuple[_Problem, ...]] = {
    Kind.TEXT: (),
    Kind.IDENTIFIER: (
        _INVISIBLE,
        _ERROR_VALUE,
        _Problem("spreadsheet_number", _ROUNDED, is_fallback=True),
        _WITH_MARKS,
        _SINGLE_QUOTES,
    ),
    Kind.BOOLEAN: (
        _NOT_BOOLEAN,
        _Problem("changed_number", "is a number that a program has changed: write 1 or 0, or true or false."),
    ),
    Kind.DECIMAL: (
        _NOT_DECIMAL,
        _TOO_MANY_DECIMALS,
        _Problem("too_many_digits", "has more than 16 digits before the decimal mark."),
    ),
    Kind.INTEGER: (
        _Problem("not_integer", "is not a whole number of at most 18 digits.", is_fallback=True),
        _Problem(
            "changed_number",
            "is a number that a program has changed: write a whole number of digits alone, such as 2 for 2.0.",
        ),
    ),
    Kind.DATE: _DATES,
    Kind.DATETIME: _DATES,
    Kind.ENUM: (_Problem("unknown_choice", "", is_fallback=True),),
    Kind.EMAIL: (
        _INVISIBLE,
        _Problem("not_email", "is not an e-mail address.", is_fallback=True),
        _Problem(
            "email_too_long", "is longer than the 254 characters that an e-mail address may have.", rule="too_long"
        ),
    ),
    Kind.PHONE: (
        _INVISIBLE,
        _Problem(
            "phone_characters",
            "is not written as a phone number: digits, blanks and + - . ( ) / alone, beginning with a digit, + or (, "
            "and no extension.",
        ),
        _Problem("not_phone", "is not a phone number.", is_fallback=True),
        _Problem("invalid_phone", "is not a valid number of any phone network."),
        _Problem("spreadsheet_number", _ROUNDED),
        _WITH_MARKS,
    ),
}
"""By kind: every problem that reading raises, in the order of the suite."""

_CHANGED_OF_SEVERAL = _Problem(
    "changed_number",
    "is a number that a program has changed: write it without marks and exponent, such as 2 for 2.0.",
)
_DIGITS_OF_SEVERAL = _Problem(
    "too_many_digits", "has more digits than can be kept (16 before the decimal mark, 18 in a whole number)."
)
_UNREADABLE_OF_SEVERAL: Mapping[Kind, tuple[_Problem, ...]] = {
    **_UNREADABLE,
    Kind.BOOLEAN: (_NOT_BOOLEAN, _CHANGED_OF_SEVERAL),
    Kind.DECIMAL: (_NOT_DECIMAL, _TOO_MANY_DECIMALS, _DIGITS_OF_SEVERAL),
    Kind.INTEGER: (_Problem("not_integer", _DIGITS_ONLY, is_fallback=True), _CHANGED_OF_SEVERAL, _DIGITS_OF_SEVERAL),
}
"""The same where the fields of one wildcard are of several kinds: a rule of several kinds says the same of each."""


def standard_entries(import_type: ImportType, entries: Iterable[Mapping[str, Any]] = ()) -> list[Entry]:
    """Return the standard rules of a type, field by field in the declaration's order, wildcards last.

    Args:
        entries: the suite that they are for. Where it has a range with an upper limit for a whole number, a number of
            too many digits is left to that rule.
    """
    looked_up = {lookup.field for lookup in import_type.lookups}
    limited = [_cells_of(entry) for entry in entries if _is_upper_limit(entry)]
    rules: list[Entry] = []
    for field in import_type.fields:
        left_to_range = field.kind is Kind.INTEGER and {"column": field.name, **field.rule_condition} in limited
        rules += _of_field(field, _UNREADABLE, is_looked_up=field.name in looked_up, left_to_range=left_to_range)
    patterns = import_type.dynamic.patterns if import_type.dynamic else ()
    for _, fields in groupby(patterns, key=lambda field: field.name):
        rules += _of_pattern(list(fields))
    return rules


def with_standard(entries: Sequence[Mapping[str, Any]], import_type: ImportType) -> list[Entry]:
    """Return the entries of a suite with its standard rules brought in line with the declaration.

    Every entry stays in its place. A missing standard rule comes after the one that precedes it in `standard_entries`;
    an entry that is marked as standard and isn't one any more goes.
    """
    standard = {rule_of(entry): entry for entry in standard_entries(import_type, entries)}
    kept = [entry for entry in entries if rule_of(entry) in standard or not is_standard(entry)]
    placed = [standard.get(rule_of(entry), dict(entry)) for entry in kept]
    place = 0
    for rule, entry in standard.items():
        rules = [rule_of(other) for other in placed]
        if rule in rules:
            place = rules.index(rule) + 1
            continue
        while 0 < place < len(placed) and _column(placed[place]) == _column(placed[place - 1]) != _column(entry):
            place += 1  # after what people wrote about the field before
        placed.insert(place, entry)
        place += 1
    return placed


def outdated_rules(entries: Sequence[Mapping[str, Any]], import_type: ImportType) -> list[str]:
    """Return the ids of the standard rules that a suite lacks, has in other words or has without need."""
    before = {rule_of(entry): entry for entry in entries}
    after = {rule_of(entry): entry for entry in with_standard(entries, import_type)}
    return [rule for rule in before | after if before.get(rule) != after.get(rule)]


def is_standard(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry is marked as one that `make suites` writes."""
    return entry["meta"].get("standard") is True


def rule_of(entry: Mapping[str, Any]) -> str:
    """Return the id of an entry's rule."""
    return str(entry["meta"]["rule"])


def _column(entry: Mapping[str, Any]) -> object:
    return entry["kwargs"].get("column")


def _is_upper_limit(entry: Mapping[str, Any]) -> bool:
    return entry["type"] == _IN_RANGE and entry["severity"] == "critical" and "max_value" in entry["kwargs"]


def _cells_of(entry: Mapping[str, Any]) -> Entry:
    """Return which cells a range judges."""
    limits = ("min_value", "max_value", "strict_min", "strict_max")
    return {name: value for name, value in entry["kwargs"].items() if name not in limits}


def _of_pattern(fields: Sequence[Field]) -> list[Entry]:
    """Return the rules of a wildcard. Where its fields are of several kinds, `meta.kinds` says which a rule is for."""
    if len(fields) == 1:
        return list(_of_field(fields[0], _UNREADABLE))
    merged: dict[str, Entry] = {}
    for field in fields:
        for entry in _of_field(field, _UNREADABLE_OF_SEVERAL):
            meta = merged.setdefault(rule_of(entry), entry)["meta"]
            meta["kinds"] = [*meta.get("kinds", []), str(field.kind)]
    return list(merged.values())


def _of_field(
    field: Field,
    unreadable: Mapping[Kind, tuple[_Problem, ...]],
    *,
    is_looked_up: bool = False,
    left_to_range: bool = False,
) -> Iterator[Entry]:
    """Yield the rules of a field. One that is looked up needs no limit of its length: a longer value isn't there."""
    label = field.label_in_rules or field.label
    after_label, at_end = ("", "") if field.is_secret else (" {value}", ": {value}")
    if field.required:
        yield _entry(
            field,
            "required",
            "expect_column_values_to_be_present",
            f"{label} is blank, but every row needs one.",
            "X-04",
        )
    for problem, codes, wrong in _readings(field, unreadable[field.kind], left_to_range):
        yield _entry(
            field, problem.rule or problem.code, _READABLE, f"{label}{after_label} {wrong}", problem.source, **codes
        )
    if field.kind is Kind.TEXT:
        yield _entry(
            field,
            _ERROR_VALUE.code,
            "expect_column_values_to_be_no_error_values",
            f"{label}{after_label} {_ERROR_VALUE.sentence}",
            _ERROR_VALUE.source,
        )
    if field.kind in (Kind.TEXT, Kind.IDENTIFIER) and not is_looked_up:
        yield _entry(
            field,
            "too_long",
            "expect_column_value_characters_to_be_at_most",
            f"{label} has more than {{max_characters}} characters{at_end}.",
            _FORMATS,
            max_characters=field.max_characters,
        )
    if field.is_indexed:
        yield _entry(
            field,
            "too_many_bytes",
            "expect_column_value_bytes_to_be_at_most",
            f"{label} takes more than {{max_bytes}} bytes in UTF-8, too many for a key{at_end}.",
            _FORMATS,
            max_bytes=MAX_BYTES,
        )
    if field.kind in (Kind.IDENTIFIER, Kind.EMAIL):
        warning = _entry(
            field,
            "leading_apostrophe",
            "expect_column_values_to_not_begin_with_apostrophe",
            f"{label} begins with ', which is kept as a part of it. Spreadsheets put it before texts: remove it unless "
            "it is meant.",
            "X-16",
        )
        yield warning | {"severity": "warning"}


def _readings(
    field: Field, problems: Sequence[_Problem], left_to_range: bool
) -> Iterator[tuple[_Problem, dict[str, list[str]], str]]:
    """Yield the problems that a field's cells can have, the codes of each and what it says of a cell."""
    if field.look is Look.NAME:
        problems = [problem for problem in problems if problem is not _SINGLE_QUOTES]  # names may be quoted in part
    for problem in problems:
        others = [other.code for other in problems if other is not problem]
        if not problem.is_fallback:
            yield problem, {"problems": [problem.code]}, problem.sentence
        elif field.kind is Kind.ENUM:
            yield problem, {}, _no_choice(field)
        elif left_to_range:
            yield problem, {"other_than": others, "left_to_range": ["too_many_digits"]}, _DIGITS_ONLY
        else:
            yield problem, {"other_than": others}, problem.sentence


def _no_choice(field: Field) -> str:
    """Say what the choices are; those of a field that the project settings add are filled in with its label."""
    if not field.choices:
        return "is none of the field's values: {choices}."
    words = f"neither {' nor '.join(field.choices)}" if len(field.choices) == 2 else f"none of {_listed(field.choices)}"
    synonyms = f" ({_listed(field.synonyms)} are understood as well)" if field.synonyms else ""
    return f"is {words}{synonyms}."


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _entry(field: Field, rule: str, expectation: str, message: str, source: str, **arguments: object) -> Entry:
    return {
        "type": expectation,
        "kwargs": {"column": field.name, **arguments, **field.rule_condition},
        "severity": "critical",
        "meta": {"standard": True, "rule": f"{field.name}.{rule}", "message": message, "source": source},
    }
